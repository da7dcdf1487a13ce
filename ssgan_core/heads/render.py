"""One view of an identity: image, mask and depth from the same rays."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ssgan_core import cameras
from ssgan_core.heads.fields import painted
from ssgan_core.heads.jit import entry, kernel
from ssgan_core.heads.sampler import Identity
from ssgan_core.heads.sculpt import sculpt
from ssgan_core.heads.shading import backdrop, display, reach, shade, surface_normal
from ssgan_core.heads.tracing import FAR, clear_depth, march
from ssgan_core.parts import PORTRAIT

_BLOCK = 8  # pixels a side that share one cone march


@dataclass(frozen=True)
class SyntheticView:
    """One rendered portrait.

    Attributes:
        image: sRGB [H, W, 3], uint8, anti-aliased with four samples where it varies.
        mask: ids of parts.PORTRAIT [H, W], uint8, at pixel centres.
        depth: z_cam in world units [H, W], float32, at pixel centres; 0 where there is background.
    """

    image: np.ndarray
    mask: np.ndarray
    depth: np.ndarray


def render_portrait(identity: Identity, label: np.ndarray, size: int) -> SyntheticView:
    """Render an identity from a camera.

    Args:
        identity: who.
        label: camera label [25] (see ssgan_core.cameras); the portrait must lie at depths 2.05 to 3.35.
        size: pixels along each side, at least 8.
    """
    made = sculpt(identity)
    pose, matrix = cameras.split_label(label)
    to_world = pose[:3, :3] @ np.linalg.inv(matrix)  # image coordinates (u, v, 1) -> direction with z_cam = 1
    origin = np.ascontiguousarray(pose[:3, 3])
    starts = _clear_depths(made.numbers, made.maps, made.blobs, origin, to_world, size)
    colours = np.zeros((size, size, 3))
    depth = np.zeros((size, size))
    mask = np.zeros((size, size), np.uint8)
    surface = np.zeros((size, size), np.uint8)
    lights = np.zeros((size, size, 2))
    view = (made.numbers, made.maps, made.blobs, origin, to_world, starts)
    found = (colours, lights, depth, mask, surface)
    _trace(*view, np.ones((size, size), np.bool_), 1, *found)
    _trace(*view, _busy(mask, colours), 4, *found)
    return SyntheticView(np.clip(colours + 0.5, 0, 255).astype(np.uint8), mask, depth.astype(np.float32))


def _busy(mask: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """Pixels whose 3 x 3 neighbourhood shows an edge or fine texture [H, W], bool."""
    grey = colours.mean(axis=2)
    low, high = grey.copy(), grey.copy()
    differs = np.zeros(mask.shape, bool)
    for axis in (0, 1):
        for array, pick in ((low, np.minimum), (high, np.maximum)):
            before = array.copy()
            forward, back = _halves(axis)
            array[forward] = pick(array[forward], before[back])
            array[back] = pick(array[back], before[forward])
        forward, back = _halves(axis)
        edge = mask[forward] != mask[back]
        differs[forward] |= edge
        differs[back] |= edge
    small = np.isin(
        mask, [PORTRAIT.names.index(name) for name in ("eyes", "brows", "mouth", "glasses", "earrings")]
    )
    return ((high - low > 14.0) & (mask > 0)) | differs | small


def _halves(axis: int) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    after, before = slice(1, None), slice(None, -1)
    return ((after,), (before,)) if axis == 0 else ((slice(None), after), (slice(None), before))


@kernel
def _ray(to_world, u, v):
    return (
        to_world[0, 0] * u + to_world[0, 1] * v + to_world[0, 2],
        to_world[1, 0] * u + to_world[1, 1] * v + to_world[1, 2],
        to_world[2, 0] * u + to_world[2, 1] * v + to_world[2, 2],
    )


@entry
def _clear_depths(s, maps, blobs, origin, to_world, size):
    blocks = (size + _BLOCK - 1) // _BLOCK
    starts = np.empty((blocks, blocks))
    # half the diagonal of a block and its margin, in image widths, times the widest column of to_world
    spread = (
        0.7072
        * (_BLOCK + 1.0)
        / size
        * math.sqrt(to_world[0, 0] ** 2 + to_world[1, 0] ** 2 + to_world[2, 0] ** 2)
    )
    for j in range(blocks):
        for i in range(blocks):
            dx, dy, dz = _ray(to_world, (i + 0.5) * _BLOCK / size, (j + 0.5) * _BLOCK / size)
            starts[j, i] = clear_depth(s, maps, blobs, origin[0], origin[1], origin[2], dx, dy, dz, spread)
    return starts


@kernel
def _hit(s, maps, blobs, origin, dx, dy, dz, start):
    """Depth, surface id and point where a ray meets something; id 0 where it meets nothing."""
    depth, part = 0.0, 0
    if start < FAR:
        depth, part = march(s, maps, blobs, origin[0], origin[1], origin[2], dx, dy, dz, start)
    return depth, part, origin[0] + depth * dx, origin[1] + depth * dy, origin[2] + depth * dz


@kernel
def _nearest(depth, i, j):
    """Least depth of a pixel and its neighbours; 0 if any shows background."""
    size = depth.shape[0]
    least = depth[j, i]
    for row in range(max(j - 1, 0), min(j + 2, size)):
        for column in range(max(i - 1, 0), min(i + 2, size)):
            least = min(least, depth[row, column])
    return least


@entry
def _trace(s, maps, blobs, origin, to_world, starts, chosen, samples, colours, lights, depth, mask, surface):
    """Colour the chosen pixels with one ray through the centre, or with four rays.

    One ray also sets depth, mask and surface id, and keeps the shares of key and ambient light [H, W, 2];
    four take those shares over where they meet the same surface as the centre.
    """
    size = mask.shape[0]
    for j in range(size):
        for i in range(size):
            if not chosen[j, i]:
                continue
            start = starts[j // _BLOCK, i // _BLOCK]
            if samples == 4:
                start = max(start, _nearest(depth, i, j) - 0.02)
            red, green, blue = 0.0, 0.0, 0.0
            for k in range(samples):
                u, v = (i + 0.5) / size, (j + 0.5) / size
                if samples == 4:
                    u, v = u + ((k & 1) - 0.5) * 0.5 / size, v + ((k >> 1) - 0.5) * 0.5 / size
                dx, dy, dz = _ray(to_world, u, v)
                t, part, x, y, z = _hit(s, maps, blobs, origin, dx, dy, dz, start)
                paint = painted(s, maps, part, x, y, z)
                if part == 0:
                    r, g, b = backdrop(s, u, v)
                else:
                    nx, ny, nz = surface_normal(s, maps, blobs, part, x, y, z)
                    if samples == 4 and part == surface[j, i] and abs(t - depth[j, i]) < 0.02:
                        shadow, ambient = lights[j, i, 0], lights[j, i, 1]
                    else:
                        shadow, ambient = reach(s, maps, blobs, x, y, z, nx, ny, nz)
                    length = -math.sqrt(dx * dx + dy * dy + dz * dz)
                    vx, vy, vz = dx / length, dy / length, dz / length
                    r, g, b = shade(s, maps, paint, x, y, z, nx, ny, nz, vx, vy, vz, shadow, ambient)
                    if samples == 1:
                        lights[j, i, 0], lights[j, i, 1] = shadow, ambient
                if samples == 1:
                    depth[j, i], mask[j, i], surface[j, i] = t, paint, part
                red, green, blue = red + display(r), green + display(g), blue + display(b)
            colours[j, i, 0] = red / samples
            colours[j, i, 1] = green / samples
            colours[j, i, 2] = blue / samples
