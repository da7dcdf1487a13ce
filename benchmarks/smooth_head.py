"""A seeded stand-in for a head: smooth overlapping sheets, made without a network, at any map size.

Every map is evaluated at texel centres from a few cosines, so a seed gives the same head at every size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ssgan_core import cameras

HALF_WINDOW = 0.40
DEPTH_BOUNDS = (-0.15, 0.35)


@dataclass(frozen=True)
class SmoothHead:
    """Arguments of `ssgan_core.rendering.render` but for the rays; depth_bounds hold the sheets."""

    features: Tensor
    depth: Tensor
    optical_depth: Tensor
    windows: Tensor

    def arguments(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.features, self.depth, self.optical_depth


def smooth_head(
    size: int = 64,
    channels: int = 32,
    parts: int = 12,
    batch: int = 1,
    seed: int = 0,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> SmoothHead:
    """A batch of heads: part 0 is a face-sized ellipse on a dome, the others lie within .05 of it.

    Returns:
        features [batch, parts, channels, size, size] within about +-1, depth and optical_depth
        [batch, parts, size, size] (optical depth 0 to 8), windows [parts, 4].
    """
    rng = np.random.default_rng(seed)
    centres = (np.arange(size) + 0.5) / size * 2 - 1
    x, y = np.meshgrid(centres * HALF_WINDOW, -centres * HALF_WINDOW)

    def field(*shape: int) -> np.ndarray:
        frequency = rng.integers(-3, 4, (2, 6))
        phase = rng.uniform(0, 2 * math.pi, (*shape, 6))
        gain = rng.standard_normal((*shape, 6)) / math.sqrt(12)
        angle = (frequency[0] * x[..., None] + frequency[1] * y[..., None]) * math.pi / (2 * HALF_WINDOW)
        return (gain[..., None, None, :] * np.cos(angle + phase[..., None, None, :])).sum(-1)

    radius = np.concatenate([np.full((batch, 1), 0.24), rng.uniform(0.06, 0.22, (batch, parts - 1))], 1)
    centre = np.concatenate([np.zeros((batch, 1, 2)), rng.uniform(-0.15, 0.15, (batch, parts - 1, 2))], 1)
    offset = np.concatenate([np.zeros((batch, 1)), rng.uniform(-0.05, 0.05, (batch, parts - 1))], 1)
    away = np.hypot(x - centre[..., :1, None], y - centre[..., 1:, None]) / radius[..., None, None]
    dome = 0.24 * np.exp(-0.5 * ((x / 0.22) ** 2 + (y / 0.28) ** 2)) - 0.04
    depth = dome + offset[..., None, None] + 0.015 * field(batch, parts)
    optical_depth = 8 / (1 + np.exp(np.clip(12 * (away - 1) + field(batch, parts), -30, 30)))

    def tensor(values: Any) -> Tensor:
        return torch.as_tensor(np.ascontiguousarray(values), dtype=dtype, device=device)

    window = (-HALF_WINDOW, -HALF_WINDOW, HALF_WINDOW, HALF_WINDOW)
    return SmoothHead(
        tensor(field(batch, parts, channels)), tensor(depth), tensor(optical_depth), tensor([window] * parts)
    )


def layout_prior(size: int, parts: int) -> Tensor:
    """Opacity logits [parts, size, size] that give untrained part generators the layout of a smooth head."""
    return smooth_head(size, channels=1, parts=parts).optical_depth[0].expm1().clamp(min=1e-3).log()


def labels(batch: int, yaw: float = 0.35, device: str = "cpu", dtype: torch.dtype = torch.float32) -> Tensor:
    """Camera labels [batch, 25], yaw spread evenly over +-yaw; a single camera looks from +yaw."""
    yaws = np.linspace(yaw, -yaw, batch)
    return torch.as_tensor(cameras.label(yaws, np.full(batch, 0.1)), dtype=dtype, device=device)
