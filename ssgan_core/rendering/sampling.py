"""Maps over windows of the x, y plane: the box that rays cross, and values where rays go."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ssgan_core.rendering.rays import Rays

# The slab reaches this many widths beyond the depth bounds: a sheet at a bound keeps 99.87 % of its opacity.
_MARGIN_WIDTHS = 3.0


@dataclass(frozen=True)
class Maps:
    """The sheets of K parts; see `render` for units.

    Attributes:
        features: [B, K, C, S, S].
        depth: [B, K, S, S].
        optical_depth: [B, K, S, S].
        width: [] or [B, K, S, S].
        windows: [K, 4].
        common_window: whether all windows are equal.
    """

    features: Tensor
    depth: Tensor
    optical_depth: Tensor
    width: Tensor
    windows: Tensor
    common_window: bool


def slab(maps: Maps, depth_bounds: tuple[float, float]) -> tuple[Tensor, Tensor]:
    """Least and largest z [] that are integrated: the bounds of the sheets and 3 largest widths beyond."""
    margin = _MARGIN_WIDTHS * maps.width.amax()
    return depth_bounds[0] - margin, depth_bounds[1] + margin


def ray_range(maps: Maps, rays: Rays, depth_bounds: tuple[float, float]) -> tuple[Tensor, Tensor]:
    """Distances [B, P] at which rays enter and leave the box that holds all density; both 0 if they miss it.

    In x and y the box is the hull of the windows, widened by the half texel over which maps fade to nothing.
    """
    half_texel = (maps.windows[:, 2:] - maps.windows[:, :2]) / (2 * maps.depth.shape[-1])
    back, front = slab(maps, depth_bounds)
    low = torch.cat([(maps.windows[:, :2] - half_texel).amin(0), back[None]])
    high = torch.cat([(maps.windows[:, 2:] + half_texel).amax(0), front[None]])
    # A ray parallel to a face gets a tiny slope and meets the face so far away that only being inside counts.
    slope = torch.where(
        rays.directions.abs() < 1e-12, torch.full_like(rays.directions, 1e-12), rays.directions
    )
    first, second = (low - rays.origins) / slope, (high - rays.origins) / slope
    near = torch.minimum(first, second).amax(-1).clamp(min=0)
    far = torch.maximum(first, second).amin(-1)
    missed = far <= near
    return near.masked_fill(missed, 0), far.masked_fill(missed, 0)


def coordinate(rays: Rays, distances: Tensor, axis: int) -> Tensor:
    """x, y or z [B, N, P] of the points at `distances` [B, N, P] along the rays."""
    return rays.origins[:, None, :, axis] + rays.directions[:, None, :, axis] * distances


def map_coordinates(maps: Maps, rays: Rays, distances: Tensor) -> Tensor:
    """Where the points at `distances` [B, N, P] lie in the maps, for `sample_maps`.

    Returns:
        [B, N, P, 2] if all windows are equal, else [B K, N, P, 2]: x, y as grid_sample wants them, -1 to 1
        across the window, y downwards.
    """
    x, y = coordinate(rays, distances, 0), coordinate(rays, distances, 1)
    if maps.common_window:
        x0, y0, x1, y1 = maps.windows[0].unbind()
    else:
        x, y = x[:, None], y[:, None]
        x0, y0, x1, y1 = (edge[:, None, None] for edge in maps.windows.unbind(1))
    across, down = (2 * x - (x0 + x1)) / (x1 - x0), (y0 + y1 - 2 * y) / (y1 - y0)
    return torch.stack([across, down], dim=-1).reshape(-1, *distances.shape[1:], 2)


def sample_maps(values: Tensor, coordinates: Tensor, padding: str) -> Tensor:
    """Bilinear samples [B, K, N, P] of maps [B, K, S, S] at `map_coordinates`; padding: zeros or border."""
    batch, parts, size = values.shape[:3]
    if len(coordinates) != batch:
        values = values.reshape(-1, 1, size, size)
    sampled = F.grid_sample(values, coordinates, mode="bilinear", padding_mode=padding, align_corners=False)
    return sampled.reshape(batch, parts, *coordinates.shape[1:3])
