"""The definition of truth: the analytic renderer in plain PyTorch, on any device, differentiable twice.

A part is a sheet z = d(x, y) of Gaussian thickness w in z, so the density along a ray is a Gaussian in
q = (z - d) / w. Depth d and width w are sampled at segment boundaries and q is taken as linear in between,
which makes each segment's optical depth a difference of two error functions. q is continuous along the ray,
so no sheet is skipped or counted twice, however thin it is. docs/rendering.md has the derivation and
measurements.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ssgan_core.rendering.composite import composite_weights
from ssgan_core.rendering.gather import Samples, gather_rays
from ssgan_core.rendering.gaussian import mean_gaussian
from ssgan_core.rendering.rays import Rays
from ssgan_core.rendering.sampling import Maps, coordinate, map_coordinates, ray_range, sample_maps

# Weights under this are left out of the feature sum (never out of masks, transmittance or depth), which
# changes a feature by less than (segments) x (parts) x epsilon x max |f|. In double precision nothing is
# left out.
FEATURE_EPSILON = {torch.float32: 1e-6, torch.float64: 0.0}

# How the coarse weights become the density of importance boundaries: each segment gives a share to either neighbour,
# because its sheets may lie near an edge, and a floor keeps boundaries where the coarse pass saw nothing. The values
# are the best of those tried (docs/rendering.md).
_RESAMPLING_SPREAD = 0.2
_RESAMPLING_FLOOR = 0.003


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
    middle = (boundaries[:, 1:] + boundaries[:, :-1]) / 2
    at_middle = map_coordinates(maps, rays, middle)
    weights, transmittance = composite_weights(optical_depths(maps, rays, boundaries, at_middle))
    cosine = torch.einsum("bpi,bi->bp", rays.directions, rays.forward)
    depth = (weights.sum(1) * middle).sum(1) * cosine
    return sum_features(maps.features, weights, at_middle), weights.sum(2), transmittance, depth


def optical_depths(maps: Maps, rays: Rays, boundaries: Tensor, at_middle: Tensor) -> Tensor:
    """Optical depth tau [B, K, N - 1, P] of each part in each segment.

    Args:
        boundaries: [B, N, P] distances along the rays.
        at_middle: `map_coordinates` of the segments' midpoints.
    """
    at_boundaries = map_coordinates(maps, rays, boundaries)
    q = coordinate(rays, boundaries, 2)[:, None] - sample_maps(maps.depth, at_boundaries, "border")
    amplitude = sample_maps(maps.optical_depth, at_middle, "zeros")
    if maps.width.ndim:
        q = q / sample_maps(maps.width, at_boundaries, "border")
        amplitude = amplitude / sample_maps(maps.width, at_middle, "border")
        length = boundaries[:, 1:] - boundaries[:, :-1]
    else:
        q = q / maps.width
        length = (boundaries[:, 1:] - boundaries[:, :-1]) / maps.width
    return amplitude * (length / math.sqrt(2 * math.pi))[:, None] * mean_gaussian(q)


def sum_features(features: Tensor, weights: Tensor, at_middle: Tensor) -> Tensor:
    """Features [B, C, P]: the sum of weights times the parts' features at the segments' midpoints.

    Only texels of entries whose weight reaches FEATURE_EPSILON are touched. Neighbouring entries of a ray
    that lie in the same cell of the same part's map are merged first: bilinear samples are linear in their
    corner weights, so this is exact, and it leaves a third to a fifth of the texels to fetch.

    Args:
        features: [B, K, C, S, S].
        weights: [B, K, N, P] of the segments.
        at_middle: `map_coordinates` of the segments' midpoints.
    """
    batch, parts, channels, size, _ = features.shape
    segments, pixels = weights.shape[2:]

    # Entries in the order ray, part, segment; their places in weights [B, K, N, P] and in the coordinates.
    kept = weights.detach() >= FEATURE_EPSILON[weights.dtype]
    entry = kept.flatten(1, 2).transpose(1, 2).reshape(-1).nonzero()[:, 0]
    ray, part_segment = entry // (parts * segments), entry % (parts * segments)
    image, part, segment = ray // pixels, part_segment // segments, part_segment % segments
    place = part_segment * pixels + ray + image * (pixels * (parts * segments - 1))
    by_segment = segment * pixels + ray + image * (pixels * (segments - 1))
    coordinate_place = by_segment if len(at_middle) == batch else place
    weight = weights.reshape(-1).index_select(0, place)
    coordinates = at_middle.reshape(-1, 2).index_select(0, coordinate_place)

    texel = ((coordinates + 1) * (size / 2) - 0.5).clamp(0, size - 1)
    corner = texel.detach().floor().clamp(max=size - 2)
    x, y = (texel - corner).unbind(1)
    upper, lower = (1 - y) * weight, y * weight
    corner_weights = torch.stack([upper * (1 - x), upper * x, lower * (1 - x), lower * x], dim=1)
    left, top = corner.long().unbind(1)
    cells = ((image * parts + part) * size + top) * size + left

    starts = torch.ones_like(cells, dtype=torch.bool)
    starts[1:] = (cells[1:] != cells[:-1]) | (ray[1:] != ray[:-1])
    run = starts.cumsum(0) - 1
    first = starts.nonzero()[:, 0]
    run_weights = corner_weights.new_zeros(len(first), 4).index_add(0, run, corner_weights)

    table = features.permute(0, 1, 3, 4, 2).reshape(-1, channels).to(weights.dtype)
    steps = (0, 1, size, size + 1)
    samples = Samples(cells[first], ray[first], steps, len(table), batch * pixels)
    return gather_rays(table, run_weights, samples).reshape(batch, pixels, channels).transpose(1, 2)


def place_boundaries(
    maps: Maps, rays: Rays, depth_bounds: tuple[float, float], uniform: int, importance: int
) -> Tensor:
    """Segment boundaries [B, uniform + importance, P], ascending: uniform ones, more where the weights are.

    The weights of a first pass over the uniform boundaries are blurred over neighbours (0.2, 0.6, 0.2) and raised by
    0.003; the importance boundaries are the (j + 0.5) / M quantiles of the piecewise constant density they make.
    Nothing is random, so that a view does not flicker.
    """
    near, far = ray_range(maps, rays, depth_bounds)
    steps = torch.linspace(0, 1, uniform, dtype=near.dtype, device=near.device)
    coarse = near[:, None] + (far - near)[:, None] * steps[:, None]
    if importance == 0:
        return coarse
    at_middle = map_coordinates(maps, rays, (coarse[:, 1:] + coarse[:, :-1]) / 2)
    weights = composite_weights(optical_depths(maps, rays, coarse, at_middle))[0].sum(1)
    beside = F.pad(weights, (0, 0, 1, 1))
    spread = _RESAMPLING_SPREAD * (beside[:, :-2] + beside[:, 2:]) + (1 - 2 * _RESAMPLING_SPREAD) * weights
    mass = (spread + _RESAMPLING_FLOOR).transpose(1, 2)
    fine = _quantiles(coarse.transpose(1, 2).contiguous(), mass, importance)
    return torch.cat([coarse, fine.transpose(1, 2)], dim=1).sort(dim=1)[0]


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
