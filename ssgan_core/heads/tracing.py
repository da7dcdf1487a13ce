"""Rays against the implicit portrait. Rays are parametrised by z_cam: point = origin + t direction, with
directions whose camera z is one, so that the t of a hit is its depth."""

from __future__ import annotations

import math

from ssgan_core.heads.fields import scene, solids
from ssgan_core.heads.jit import kernel

NEAR, FAR = 2.05, 3.35  # depths between which everything lies, for cameras at radius 2.7
_STEP = 0.80  # the distances are estimates: step this fraction of them
_HIT = 3e-5
_STEPS = 300


@kernel
def clear_depth(s, maps, blobs, ox, oy, oz, dx, dy, dz, spread):
    """Depth up to which the cone about a ray is empty; FAR if nothing is in it.

    Args:
        spread: the cone's radius per unit of depth. One such march serves a block of pixels.
    """
    length = math.sqrt(dx * dx + dy * dy + dz * dz)
    t = NEAR
    for _ in range(64):
        d = scene(s, maps, blobs, ox + t * dx, oy + t * dy, oz + t * dz)[0]
        free = _STEP * d / length - spread * t
        if free < 0.3 * spread * t + 1e-3:
            return t
        t += free
        if t > FAR:
            return FAR
    return t


@kernel
def march(s, maps, blobs, ox, oy, oz, dx, dy, dz, start):
    """Depth and part id of the first surface behind `start`; (0, 0) if there is none."""
    length = math.sqrt(dx * dx + dy * dy + dz * dz)
    t = start
    before = start
    for _ in range(_STEPS):
        d, part = scene(s, maps, blobs, ox + t * dx, oy + t * dy, oz + t * dz)
        if d < 0.0:
            low, high = before, t
            for _ in range(10):
                t = 0.5 * (low + high)
                d, inner = scene(s, maps, blobs, ox + t * dx, oy + t * dy, oz + t * dz)
                if d < 0.0:
                    high, part = t, inner
                else:
                    low = t
            return high, part
        if d < _HIT:
            return t, part
        before = t
        t += max(_STEP * d / length, 2e-4)
        if t > FAR:
            return 0.0, 0
    return t, part  # still creeping along a silhouette: it counts as touched


@kernel
def normal(s, maps, blobs, x, y, z, e):
    """Unit gradient of the distance by four differences of width `e`."""
    nx, ny, nz = 0.0, 0.0, 0.0
    for corner in ((1.0, -1.0, -1.0), (-1.0, -1.0, 1.0), (-1.0, 1.0, -1.0), (1.0, 1.0, 1.0)):
        cx, cy, cz = corner
        d = scene(s, maps, blobs, x + e * cx, y + e * cy, z + e * cz)[0]
        nx, ny, nz = nx + cx * d, ny + cy * d, nz + cz * d
    length = max(math.sqrt(nx * nx + ny * ny + nz * nz), 1e-12)
    return nx / length, ny / length, nz / length


@kernel
def openness(s, maps, blobs, x, y, z, nx, ny, nz):
    """Ambient light that reaches a point, 0..1, from distances along its normal."""
    dark = 0.0
    for h, weight in ((0.010, 14.0), (0.028, 7.0), (0.060, 3.4), (0.110, 1.6)):
        d = solids(s, maps, blobs, x + h * nx, y + h * ny, z + h * nz)[0]
        dark += weight * max(h - max(d, 0.0), 0.0)
    return math.exp(-1.15 * dark)


@kernel
def lit(s, maps, blobs, x, y, z, lx, ly, lz):
    """Share of the key light that reaches a point, 0..1, with soft edges."""
    share = 1.0
    t = 0.014
    for _ in range(18):
        d = solids(s, maps, blobs, x + t * lx, y + t * ly, z + t * lz)[0]
        share = min(share, 0.5 + 0.5 * d / (0.075 * t))
        if share <= 0.0:
            return 0.0
        t += min(max(d, 0.012), 0.08)
        if t > 0.45:
            break
    return share * share * (3.0 - 2.0 * share)
