"""The definition of truth: the analytic renderer in plain PyTorch, on any device, differentiable twice.

A part is a sheet z = d(x, y) of Gaussian thickness w in z, so the density along a ray is a Gaussian in
q = (z - d) / w wherever q is linear. Depth d and width w are sampled at segment boundaries and q is taken as linear
in between, which makes each segment's optical depth a difference of two error functions: q is continuous along the
ray, so no sheet is skipped or counted twice, however thin it is. docs/rendering.md has the derivation and measurements.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ssgan_core.rendering.composite import composite_weights
from ssgan_core.rendering.gather import Samples, gather_rays
from ssgan_core.rendering.rays import Rays

# Weights under this are left out of the feature sum (never out of masks, transmittance or depth). The error of a
# feature is at most (segments) x (parts) x epsilon x max |f|. In double precision nothing is left out.
FEATURE_EPSILON = {torch.float32: 1e-6, torch.float64: 0.0}

# The slab reaches this many widths beyond the depth bounds: a sheet at the bound keeps 99.87 % of its opacity.
_MARGIN_WIDTHS = 3.0
_SMALL_STEP = 0.05
_RESAMPLING_FLOOR = 0.01


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


def render_analytic(
    maps: Maps, rays: Rays, depth_bounds: tuple[float, float], uniform: int, importance: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Features [B, C, P], masks [B, K, P], transmittance [B, P] and depth [B, P]; see `render`."""
    with torch.no_grad():
        boundaries = place_boundaries(maps, rays, depth_bounds, uniform, importance)
    return render_segments(maps, rays, boundaries)


def render_segments(maps: Maps, rays: Rays, boundaries: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The analytic form between given boundaries [B, N, P] (distances along the rays, ascending, N >= 2).

    Boundaries are constants to differentiation: moving them changes the partition, not the integral.
    """
    tau = optical_depths(maps, rays, boundaries)
    weights, transmittance = composite_weights(tau)
    masks = weights.sum(2)

    middle = (boundaries[:, 1:] + boundaries[:, :-1]) / 2
    cosine = torch.einsum("bpi,bi->bp", rays.directions, rays.forward)
    depth = (weights.sum(1) * middle).sum(1) * cosine
    return sum_features(maps, rays, middle, weights), masks, transmittance, depth


def optical_depths(maps: Maps, rays: Rays, boundaries: Tensor) -> Tensor:
    """Optical depth tau [B, K, N - 1, P] of each part in each segment."""
    z = _coordinate(rays, boundaries, 2)[:, None]
    at_boundaries = map_coordinates(maps, rays, boundaries)
    q = z - sample_maps(maps.depth, at_boundaries, "border")
    if maps.width.ndim:
        q = q / sample_maps(maps.width, at_boundaries, "border")
    else:
        q = q / maps.width

    middle = (boundaries[:, 1:] + boundaries[:, :-1]) / 2
    at_middle = map_coordinates(maps, rays, middle)
    amplitude = sample_maps(maps.optical_depth, at_middle, "zeros") / math.sqrt(2 * math.pi)
    amplitude = amplitude / (sample_maps(maps.width, at_middle, "border") if maps.width.ndim else maps.width)
    length = (boundaries[:, 1:] - boundaries[:, :-1])[:, None]
    return amplitude * length * mean_gaussian(q)


def mean_gaussian(q: Tensor) -> Tensor:
    """Mean of exp(-q^2 / 2) over each segment [B, K, N - 1, P], q [B, K, N, P] linear between boundaries.

    sqrt(pi / 2) (erf(q1 / sqrt 2) - erf(q0 / sqrt 2)) / (q1 - q0), and for small steps h = q1 - q0 about the
    midpoint m the series exp(-m^2 / 2) (1 + h^2 (m^2 - 1) / 24), whose next term is under 1e-8 there.
    """
    error_function = torch.erf(q * math.sqrt(0.5))
    step = q[:, :, 1:] - q[:, :, :-1]
    small = step.abs() < _SMALL_STEP
    safe = torch.where(small, torch.ones_like(step), step)
    exact = math.sqrt(math.pi / 2) * (error_function[:, :, 1:] - error_function[:, :, :-1]) / safe
    square = ((q[:, :, 1:] + q[:, :, :-1]) / 2).square()
    series = torch.exp(-square / 2) * (1 + step.square() * (square - 1) / 24)
    return torch.where(small, series, exact)


def sum_features(maps: Maps, rays: Rays, middle: Tensor, weights: Tensor) -> Tensor:
    """Features [B, C, P]: sum of weight times the part's features at the segment's midpoint.

    Only the texels of entries with weight >= FEATURE_EPSILON are touched: a handful of the K (N - 1) of a ray.

    Args:
        middle: [B, N - 1, P] distances of the midpoints.
        weights: [B, K, N - 1, P].
    """
    batch, parts, channels, size = maps.features.shape[:4]
    segments, pixels = middle.shape[1:]
    kept = weights.detach().permute(0, 3, 1, 2) >= FEATURE_EPSILON[weights.dtype]
    b, p, k, n = kept.nonzero(as_tuple=True)
    chosen = weights.reshape(-1)[((b * parts + k) * segments + n) * pixels + p]

    # Texel coordinates of the chosen samples, clamped to the border.
    distance = middle.reshape(-1)[(b * segments + n) * pixels + p]
    window = maps.windows[k]
    point = rays.origins[b, p, :2] + rays.directions[b, p, :2] * distance[:, None]
    extent = window[:, 2:] - window[:, :2]
    across = (point[:, 0] - window[:, 0]) / extent[:, 0]
    down = (window[:, 3] - point[:, 1]) / extent[:, 1]
    column = (across * size - 0.5).clamp(0, size - 1)
    row = (down * size - 0.5).clamp(0, size - 1)
    left = column.detach().floor().clamp(max=size - 2)
    top = row.detach().floor().clamp(max=size - 2)
    x, y = column - left, row - top
    corner_weights = (
        torch.stack([(1 - y) * (1 - x), (1 - y) * x, y * (1 - x), y * x], dim=1) * chosen[:, None]
    )

    table = maps.features.permute(0, 1, 3, 4, 2).reshape(-1, channels).to(weights.dtype)
    cells = ((b * parts + k) * size + top.long()) * size + left.long()
    samples = Samples(cells, b * pixels + p, (0, 1, size, size + 1), len(table), batch * pixels)
    return gather_rays(table, corner_weights, samples).reshape(batch, pixels, channels).transpose(1, 2)


def place_boundaries(
    maps: Maps, rays: Rays, depth_bounds: tuple[float, float], uniform: int, importance: int
) -> Tensor:
    """Segment boundaries [B, uniform + importance, P]: uniform ones over the slab, and more where the coarse weights are.

    The coarse weights are max-pooled over neighbours and raised by 0.01, and the importance boundaries are the
    (j + 0.5) / M quantiles of the piecewise constant density they make: deterministic, so that a view does not flicker.
    """
    near, far = ray_range(maps, rays, depth_bounds)
    steps = torch.linspace(0, 1, uniform, dtype=near.dtype, device=near.device)
    coarse = near[:, None] + (far - near)[:, None] * steps[:, None]
    if importance == 0:
        return coarse
    weights = composite_weights(optical_depths(maps, rays, coarse))[0].sum(1)
    pooled = F.max_pool1d(weights.transpose(1, 2), 3, stride=1, padding=1) + _RESAMPLING_FLOOR
    fine = _quantiles(coarse.transpose(1, 2).contiguous(), pooled, importance)
    return torch.cat([coarse, fine.transpose(1, 2)], dim=1).sort(dim=1)[0]


def ray_range(maps: Maps, rays: Rays, depth_bounds: tuple[float, float]) -> tuple[Tensor, Tensor]:
    """Distances [B, P] at which rays enter and leave the box that holds all density; both 0 for rays that miss it.

    In x and y the box is the union of the windows, widened by the half texel over which the maps fade to nothing.
    """
    half_texel = (maps.windows[:, 2:] - maps.windows[:, :2]) / (2 * maps.depth.shape[-1])
    margin = _MARGIN_WIDTHS * maps.width.amax()
    low = torch.cat([(maps.windows[:, :2] - half_texel).amin(0), (depth_bounds[0] - margin)[None]])
    high = torch.cat([(maps.windows[:, 2:] + half_texel).amax(0), (depth_bounds[1] + margin)[None]])
    # A ray parallel to a face gets a tiny slope: it then meets the face so far away that only "inside" counts.
    slope = torch.where(
        rays.directions.abs() < 1e-12, torch.full_like(rays.directions, 1e-12), rays.directions
    )
    first, second = (low - rays.origins) / slope, (high - rays.origins) / slope
    near = torch.minimum(first, second).amax(-1).clamp(min=0)
    far = torch.maximum(first, second).amin(-1)
    missed = far <= near
    return near.masked_fill(missed, 0), far.masked_fill(missed, 0)


def map_coordinates(maps: Maps, rays: Rays, distances: Tensor) -> Tensor:
    """Where the points at `distances` [B, N, P] lie in the maps, for `sample_maps`.

    Returns:
        [B, N, P, 2] if all windows are equal, else [B K, N, P, 2]; -1 to 1 across the window, row 0 at its +y edge.
    """
    x, y = _coordinate(rays, distances, 0), _coordinate(rays, distances, 1)
    if maps.common_window:
        x0, y0, x1, y1 = maps.windows[0].unbind()
    else:
        x, y = x[:, None], y[:, None]
        x0, y0, x1, y1 = (edge[:, None, None] for edge in maps.windows.unbind(1))
    across, down = (2 * x - (x0 + x1)) / (x1 - x0), (y0 + y1 - 2 * y) / (y1 - y0)
    return torch.stack([across, down], dim=-1).reshape(-1, *distances.shape[1:], 2)


def sample_maps(values: Tensor, coordinates: Tensor, padding: str) -> Tensor:
    """Bilinear samples [B, K, N, P] of maps [B, K, S, S] at `map_coordinates`; texel centres at (i + 0.5) / S."""
    batch, parts, size = values.shape[:3]
    if len(coordinates) != batch:
        values = values.reshape(-1, 1, size, size)
    sampled = F.grid_sample(values, coordinates, mode="bilinear", padding_mode=padding, align_corners=False)
    return sampled.reshape(batch, parts, *coordinates.shape[1:3])


def _coordinate(rays: Rays, distances: Tensor, axis: int) -> Tensor:
    """x, y or z [B, N, P] of the points at `distances` [B, N, P] along the rays."""
    return rays.origins[:, None, :, axis] + rays.directions[:, None, :, axis] * distances


def _quantiles(edges: Tensor, mass: Tensor, count: int) -> Tensor:
    """The (j + 0.5) / count quantiles [..., count] of a piecewise constant density.

    Args:
        edges: [..., N] ascending.
        mass: [..., N - 1] positive, up to a factor.
    """
    cumulative = mass.cumsum(-1)
    cumulative = cumulative / cumulative[..., -1:]
    cumulative = torch.cat([torch.zeros_like(cumulative[..., :1]), cumulative], dim=-1)
    wanted = (torch.arange(count, dtype=edges.dtype, device=edges.device) + 0.5) / count
    wanted = wanted.expand(*edges.shape[:-1], count).contiguous()
    above = torch.searchsorted(cumulative, wanted, right=True).clamp(1, edges.shape[-1] - 1)
    below = above - 1
    c0, c1 = cumulative.gather(-1, below), cumulative.gather(-1, above)
    e0, e1 = edges.gather(-1, below), edges.gather(-1, above)
    return e0 + (wanted - c0) / (c1 - c0) * (e1 - e0)
