"""How much portraits differ from one another, and how near they are to those of the data."""

from __future__ import annotations

import torch
from torch import Tensor

_ROWS = 256  # of the distance matrix at a time


def mean_distance(first: Tensor, second: Tensor) -> float:
    """Mean, over the rows of two batches [N, ...], of the root mean square difference of corresponding rows."""
    difference = (first.float() - second.float()).flatten(1)
    return float(difference.square().mean(1).sqrt().mean())


def nearest(rows: Tensor, among: Tensor) -> tuple[Tensor, Tensor]:
    """Of each row [N, ...], its nearest row among [M, ...]: index [N], and root mean square difference [N]."""
    flat, others = rows.flatten(1).float(), among.flatten(1).float()
    found = [torch.cdist(part, others).min(1) for part in flat.split(_ROWS)]
    distances = torch.cat([row.values for row in found]) / flat.shape[1] ** 0.5
    return torch.cat([row.indices for row in found]), distances
