"""Coverage: which share of the real portraits has a sample close by (Naeem et al. 2020).

A distance of means and covariances can be small for a model that forgot some people, or made the mean of all. Coverage
asks every real portrait by itself, and collapse can't pass it.
"""

from __future__ import annotations

import numpy as np
import torch

NEIGHBOURS = 5
_ROWS = 256  # of the distance matrix at a time


def coverage(real: np.ndarray, other: np.ndarray, neighbours: int = NEIGHBOURS) -> float:
    """Share of the rows of `real` [N, D] that have a row of `other` [M, D] nearer than their k-th real neighbour.

    Args:
        neighbours: k, below N; a row is not its own neighbour.
    """
    if not 0 < neighbours < len(real):
        raise ValueError(f"{neighbours} neighbours among {len(real)} rows")
    points, others = (torch.from_numpy(np.asarray(rows, np.float64)) for rows in (real, other))
    covered = 0
    for start in range(0, len(points), _ROWS):
        rows = points[start : start + _ROWS]
        among = _distances(rows, points)
        among[torch.arange(len(rows)), start + torch.arange(len(rows))] = torch.inf
        radii = among.kthvalue(neighbours, dim=1).values
        covered += int((_distances(rows, others).amin(1) < radii).sum())
    return covered / len(points)


def expected_coverage(real: int, other: int, neighbours: int = NEIGHBOURS) -> float:
    """Coverage to expect when `other` rows are drawn from the same distribution as the `real` ones."""
    steps = np.arange(1, neighbours + 1)
    return float(1 - np.prod((real - steps) / (real + other - steps)))


def _distances(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Without the product form, whose rounding makes equal rows differ."""
    return torch.cdist(first, second, compute_mode="donot_use_mm_for_euclid_dist")
