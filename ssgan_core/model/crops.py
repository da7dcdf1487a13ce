"""Squares of pictures, drawn and compared as whole pictures are: a camera that sees no more, and what lies within."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Crop:
    """A square of every picture of a batch, of the same size in each.

    Attributes:
        corner: [B, 2] int64, x and y of its upper left ray.
        side: of the squares, rays.
        whole: side of the pictures, rays.
    """

    corner: Tensor
    side: int
    whole: int

    def labels(self, labels: Tensor) -> Tensor:
        """Cameras [B, 25] whose whole pictures are the squares of those of `labels` [B, 25]."""
        share, first = self.side / self.whole, self.corner.to(labels) / self.whole
        pose, matrix = labels.split([16, 9], dim=1)
        matrix = matrix.unflatten(1, (3, 3))
        centre = (matrix[:, :2, 2] - first) / share
        upper = torch.cat([matrix[:, :2, :2] / share, centre[:, :, None]], 2)
        return torch.cat([pose, torch.cat([upper, matrix[:, 2:]], 1).flatten(1)], 1)

    def cut(self, maps: Tensor) -> Tensor:
        """The squares [B, ..., n side, n side] of maps [B, ..., n whole, n whole]."""
        times = maps.shape[-1] // self.whole
        if times * self.whole != maps.shape[-1]:
            raise ValueError(f"a side of {maps.shape[-1]} is no multiple of {self.whole} rays")
        size = times * self.side
        # Looked up, not sliced: a GPU need not be asked where the corners are.
        columns, rows = (times * self.corner[:, :, None] + torch.arange(size, device=maps.device)).unbind(1)
        entries = torch.arange(len(maps), device=maps.device)[:, None, None]
        texels = maps.reshape(len(maps), -1, *maps.shape[-2:]).movedim(1, -1)
        squares = texels[entries, rows[:, :, None], columns[:, None]].movedim(-1, 1)
        return squares.reshape(*maps.shape[:-2], size, size)
