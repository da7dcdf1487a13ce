"""How deep faces are: a flat face looks right from the front, and agrees with itself from every side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ssgan_core.evaluation.geometry import unproject

PERCENTILES = (5, 95)
LEAST_SHARE = 0.003  # of the picture that the parts must cover, or two percentiles mean nothing


def relief(depth: np.ndarray, mask: np.ndarray, label: np.ndarray, parts: Sequence[int]) -> float:
    """World units between the 5th and the 95th percentile of world z over the pixels of some parts.

    World z, not z_cam: from above or from the side, a face spans more of the latter.

    Args:
        depth: z_cam [H, W], 0 = none.
        mask: part ids [H, W].
        label: the camera [25].
        parts: ids, usually skin's and nose's.

    Returns:
        NaN where fewer than 0.3 % of the pixels show the parts with depth.
    """
    chosen = np.isin(mask, parts) & (depth > 0)
    if chosen.sum() < max(LEAST_SHARE * mask.size, 2):
        return float("nan")
    low, high = np.percentile(unproject(depth, label)[chosen][:, 2], PERCENTILES)
    return float(high - low)
