"""Cameras as coordinates of z, for generators that no camera turns."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ssgan_core import cameras


class PoseScores:
    """Yaw and pitch as normal scores: angles of the same rank among the data's cameras as among normal numbers.

    Drawing z from a normal distribution then draws the data's angles, however these are distributed.

    Args:
        labels: [N, 25] the data's cameras.
    """

    def __init__(self, labels: Tensor) -> None:
        self._sorted = [np.sort(angle) for angle in cameras.angles(labels.cpu())]

    def __call__(self, labels: Tensor) -> Tensor:
        """Scores [B, 2] of yaw and pitch of cameras [B, 25]."""
        ranks = [
            # Half way between the ranks on both sides, so that equal angles have the middle one.
            (np.searchsorted(known, angle, "left") + np.searchsorted(known, angle, "right") + 1)
            / (2 * len(known) + 2)
            for known, angle in zip(self._sorted, cameras.angles(labels.cpu()), strict=True)
        ]
        return torch.special.ndtri(torch.from_numpy(np.stack(ranks, axis=1))).float()
