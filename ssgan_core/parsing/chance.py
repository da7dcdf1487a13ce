"""Random numbers of the parser's training, all from one generator."""

from __future__ import annotations

import numpy as np
import torch
from torch import Generator, Tensor


def uniform(draw: Generator, low: float, high: float, *shape: int) -> Tensor:
    return low + (high - low) * torch.rand(shape, generator=draw)


def normal(draw: Generator, deviation: float, *shape: int) -> Tensor:
    """Normal, cut at 2.5 standard deviations."""
    return torch.randn(shape, generator=draw).clamp_(-2.5, 2.5) * deviation


def happens(draw: Generator, probability: float, *shape: int) -> Tensor:
    return torch.rand(shape, generator=draw) < probability


def number(draw: Generator, low: float, high: float) -> float:
    return float(uniform(draw, low, high, 1))


def whole(draw: Generator, low: int, high: int) -> int:
    """An integer from low to high, both included."""
    return int(torch.randint(low, high + 1, (1,), generator=draw))


def numpy_chance(draw: Generator) -> np.random.Generator:
    """NumPy's generator, seeded by one draw: for what is drawn stroke by stroke."""
    return np.random.default_rng(whole(draw, 0, 2**62))
