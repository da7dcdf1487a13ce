"""Where part sheets may lie: the skin's dome, each part's start and bound, and the slab that holds them all."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ssgan_core.parts import PartSchema

# A smooth face-sized bump: the skin sheet departs from it by at most the skin's depth bound. It is smooth
# everywhere, so that the sheet continues quietly where the skin is hidden or absent.
# Fitted to the skin of 400 synthetic heads by tools/part_table.py (0.031 root mean square).
_DOME_HEIGHT = 0.201
_DOME_BASE = -0.04
_DOME_RADII = (0.125, 0.381)
_LOOSE_BOUND = 0.25
_FURTHEST = 5.0  # widths from a shell's middle where nothing of it is left


def dome(x: Tensor, y: Tensor) -> Tensor:
    """Height z of the skin's base shape over the world's x, y plane."""
    return (
        _DOME_HEIGHT * torch.exp(-0.5 * ((x / _DOME_RADII[0]) ** 2 + (y / _DOME_RADII[1]) ** 2)) + _DOME_BASE
    )


def texel_centres(window: tuple[float, float, float, float], size: int) -> tuple[Tensor, Tensor]:
    """World x and y [size, size] of a map's texel centres; row 0 is the +y edge, column 0 the x0 edge."""
    x0, y0, x1, y1 = window
    steps = (torch.arange(size, dtype=torch.float64) + 0.5) / size
    y, x = torch.meshgrid(y1 + (y0 - y1) * steps, x0 + (x1 - x0) * steps, indexing="ij")
    return x.float(), y.float()


def part_dome(schema: PartSchema, size: int) -> Tensor:
    """The dome [K, size, size] sampled over each part's window."""
    return torch.stack([dome(*texel_centres(part.window, size)) for part in schema.foreground])


def light_stops_ahead(optical_depth: Tensor) -> Tensor:
    """How far before its middle a shell of an optical depth stops light on average, in its Gaussian widths.

    Of light that is stopped, exp(-t Phi(x)) t phi(x) dx is x widths behind the front's infinity (docs/rendering.md).
    """
    x = torch.linspace(-_FURTHEST, _FURTHEST, 65, dtype=optical_depth.dtype, device=optical_depth.device)
    density = torch.exp(-x.square() / 2 - optical_depth[..., None] * torch.special.ndtr(x))
    return -(density * x).sum(-1) / density.sum(-1)


def loosened(schema: PartSchema) -> PartSchema:
    """The schema with sheets that may depart by at least 0.25 world units from where they start."""
    return PartSchema(
        (
            schema.parts[0],
            *(replace(part, depth_bound=max(part.depth_bound, _LOOSE_BOUND)) for part in schema.foreground),
        )
    )


def depth_bounds(schema: PartSchema) -> tuple[float, float]:
    """Lowest and highest world z that any sheet of the schema can reach."""
    skin, *others = schema.foreground
    low = min([0.0] + [part.depth_start - part.depth_bound for part in others])
    high = max([0.0] + [part.depth_start + part.depth_bound for part in others])
    return _DOME_BASE - skin.depth_bound + low, _DOME_BASE + _DOME_HEIGHT + skin.depth_bound + high
