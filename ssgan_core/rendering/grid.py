"""The paper's explicit form: every part fills a grid of density and features, and rays sample the grids.

Kept to compare with, not to work with: the grid of one part holds S x S x D x (C + 1) numbers where the
analytic form reads S x S x (C + 2), and D planes must resolve the width of a sheet. docs/rendering.md says
how the two differ.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ssgan_core.rendering.composite import composite_weights
from ssgan_core.rendering.rays import Rays
from ssgan_core.rendering.reference import place_boundaries
from ssgan_core.rendering.sampling import Maps, coordinate, map_coordinates, slab


def render_grid(
    maps: Maps,
    rays: Rays,
    depth_bounds: tuple[float, float],
    uniform: int,
    importance: int,
    depth_samples: int = 32,
    falloff: bool = True,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Features [B, C, P], masks [B, K, P], transmittance [B, P] and depth [B, P]; see `render`.

    Density s psi and features are written to D planes of constant z, psi = exp(-(d - z)^2 / (2 w^2))
    (3D-SSGAN's depth-guided lifting), and sampled trilinearly at the midpoints of the same segments that
    the analytic form uses.

    Args:
        maps: the sheets.
        rays: P rays for each entry of the batch.
        depth_bounds: least and largest z of the sheets.
        uniform: uniform segment boundaries.
        importance: boundaries placed by the analytic form's coarse weights.
        depth_samples: D, planes over the slab, at the centres (j + 0.5) / D.
        falloff: whether features fade away from the sheet as density does, as in the paper.
    """
    with torch.no_grad():
        boundaries = place_boundaries(maps, rays, depth_bounds, uniform, importance)
    middle = (boundaries[:, 1:] + boundaries[:, :-1]) / 2
    length = boundaries[:, 1:] - boundaries[:, :-1]

    low, high = slab(maps, depth_bounds)
    planes = low + (high - low) * (torch.arange(depth_samples).to(low) + 0.5) / depth_samples
    width = maps.width.expand_as(maps.depth)[:, :, None]
    psi = torch.exp(-((maps.depth[:, :, None] - planes[:, None, None]) / width).square() / 2)
    density = maps.optical_depth[:, :, None] / (width * math.sqrt(2 * math.pi)) * psi

    points = _grid_coordinates(maps, rays, middle, low, high)
    sampled = [_sample(density[:, k, None], points[k], "zeros")[:, 0] for k in range(density.shape[1])]
    weights, transmittance = composite_weights(torch.stack(sampled, dim=1) * length[:, None])

    features = torch.zeros((), dtype=weights.dtype, device=weights.device)
    for k, point in enumerate(points):
        lifted = maps.features[:, k, :, None].to(weights.dtype).expand(-1, -1, depth_samples, -1, -1)
        if falloff:
            lifted = lifted * psi[:, k, None]
        features = features + (_sample(lifted, point, "border") * weights[:, k, None]).sum(2)

    cosine = torch.einsum("bpi,bi->bp", rays.directions, rays.forward)
    depth = (weights.sum(1) * middle).sum(1) * cosine
    return features, weights.sum(2), transmittance, depth


def _grid_coordinates(maps: Maps, rays: Rays, distances: Tensor, low: Tensor, high: Tensor) -> list[Tensor]:
    """Where the points at `distances` [B, N, P] lie in each part's grid: K times [B, N, P, 3]."""
    batch, parts = maps.depth.shape[:2]
    in_plane = map_coordinates(maps, rays, distances)
    in_plane = in_plane.reshape(batch, -1, *in_plane.shape[1:]).expand(-1, parts, -1, -1, -1)
    along = (2 * coordinate(rays, distances, 2) - (low + high)) / (high - low)
    return [torch.cat([in_plane[:, k], along[..., None]], dim=-1) for k in range(parts)]


def _sample(volume: Tensor, points: Tensor, padding: str) -> Tensor:
    """Trilinear samples [B, C, N, P] of a volume [B, C, D, S, S] at points [B, N, P, 3]."""
    sampled = F.grid_sample(
        volume, points[:, None], mode="bilinear", padding_mode=padding, align_corners=False
    )
    return sampled[:, :, 0]
