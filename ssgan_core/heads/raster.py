"""Z-buffer: which triangle every sample of a picture shows, and how deep it lies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ssgan_core.heads.jit import entry, kernel


@dataclass(frozen=True)
class Projection:
    """A pinhole or parallel projection to a square of samples, row 0 at the top.

    Attributes:
        rotation: [3, 3] world to camera (x right, y down, z forward).
        origin: [3] of the camera, world.
        scale: samples a unit of x / z (pinhole) or of x (parallel), for x and y [2].
        centre: samples [2] where the optical axis meets the picture.
        size: samples along a side.
        parallel: whether rays are parallel; depth is then measured from `origin`'s plane.
    """

    rotation: np.ndarray
    origin: np.ndarray
    scale: np.ndarray
    centre: np.ndarray
    size: int
    parallel: bool = False

    def project(self, xp: Any, points: Any) -> Any:
        """Sample coordinates and nearness [N, 3], float32, of world points [N, 3] of an array library.

        Nearness grows towards the camera and is linear across a projected triangle: 1 / z, or -z when rays are
        parallel.
        """
        turn = self.rotation.tolist()
        x, y, z = (points[:, i] - float(self.origin[i]) for i in range(3))
        x, y, z = (row[0] * x + row[1] * y + row[2] * z for row in turn)
        nearness = -z if self.parallel else 1.0 / z
        if not self.parallel:
            x, y = x * nearness, y * nearness
        (scale_x, scale_y), (centre_x, centre_y) = self.scale.tolist(), self.centre.tolist()
        return xp.stack([x * scale_x + centre_x, y * scale_y + centre_y, nearness], axis=-1)


def pinhole(pose: np.ndarray, matrix: np.ndarray, size: int) -> Projection:
    """The projection of a camera to size x size samples: cam2world [4, 4], normalised intrinsics [3, 3], no skew."""
    return Projection(
        rotation=pose[:3, :3].T,
        origin=pose[:3, 3],
        scale=np.array([matrix[0, 0], matrix[1, 1]]) * size,
        centre=matrix[:2, 2] * size,
        size=size,
    )


def parallel(direction: np.ndarray, centre: np.ndarray, radius: float, size: int) -> Projection:
    """Parallel rays that travel against `direction` [3] (towards which a lamp lies) over a ball of the world."""
    forward = -np.asarray(direction, np.float64) / np.linalg.norm(direction)
    side = np.array([1.0, 0.0, 0.0]) if abs(forward[1]) > 0.9 else np.array([0.0, 1.0, 0.0])
    right = np.cross(forward, side)
    right /= np.linalg.norm(right)
    rotation = np.stack([right, np.cross(forward, right), forward])
    return Projection(
        rotation=rotation,
        origin=np.asarray(centre, np.float64),
        scale=np.full(2, 0.5 * size / radius),
        centre=np.full(2, 0.5 * size),
        size=size,
        parallel=True,
    )


def empty_buffers(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Nearness [size, size] float32 of nothing, and triangle numbers [size, size] int32, -1 for none."""
    return np.full((size, size), -np.inf, np.float32), np.full((size, size), -1, np.int32)


SLACK = 1e-5  # of barycentric weights: shared edges leave no gap, whatever rounding does
_BLOCK = 16  # samples along a side of what is compared at once with a triangle that may be hidden
_REFRESH = 1 << 14  # triangles after which the blocks are looked through again


@entry
def rasterise(screen, triangles, first, cull, nearness, shown):
    """Draw triangles into the buffers: a sample shows what is nearest at its centre; of equals, what came first.

    Args:
        screen: [V, 3] float32, from Projection.project.
        triangles: [T, 3] int32.
        first: number of the first triangle.
        cull: whether triangles that turn their back (clockwise in the picture) are left out.
        nearness, shown: buffers, changed in place.
    """
    size = nearness.shape[0]
    half, width = np.float32(0.5), np.float32(size)
    farthest = np.empty((-(-size // _BLOCK), -(-size // _BLOCK)), np.float32)
    for t in range(triangles.shape[0]):
        if t % _REFRESH == 0:
            _farthest_of_blocks(nearness, farthest)
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        ax, ay = screen[a, 0], screen[a, 1]
        bx, by = screen[b, 0], screen[b, 1]
        cx, cy = screen[c, 0], screen[c, 1]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if area == 0.0 or (cull and area > 0.0):
            continue
        left, right = _columns(min(ax, bx, cx) - half, max(ax, bx, cx) - half, width)
        if left > right:
            continue
        top, bottom = _columns(min(ay, by, cy) - half, max(ay, by, cy) - half, width)
        if top > bottom:
            continue
        az, bz, cz = screen[a, 2], screen[b, 2], screen[c, 2]
        i, j = top // _BLOCK, left // _BLOCK
        k, m = bottom // _BLOCK, right // _BLOCK
        if k - i < 2 and m - j < 2:
            behind = min(min(farthest[i, j], farthest[i, m]), min(farthest[k, j], farthest[k, m]))
            if max(az, bz, cz) < behind:
                continue
        inverse = np.float32(1) / area
        # Barycentric weights of b, c and a, and nearness, are linear in x and y.
        ux, uy = (cy - ay) * inverse, (ax - cx) * inverse
        vx, vy = (ay - by) * inverse, (bx - ax) * inverse
        wx, wy = -ux - vx, -uy - vy
        nx = ux * (bz - az) + vx * (cz - az)
        ny = uy * (bz - az) + vy * (cz - az)
        ru, rv, rw = np.float32(-1) / ux, np.float32(-1) / vx, np.float32(-1) / wx
        x0 = ax - half
        slack = np.float32(SLACK)
        for row in range(top, bottom + 1):
            dy = np.float32(row) + half - ay
            low, high = np.float32(left), np.float32(right)
            low, high = _clipped(low, high, ux, x0 + (dy * uy + slack) * ru)
            low, high = _clipped(low, high, vx, x0 + (dy * vy + slack) * rv)
            low, high = _clipped(low, high, wx, x0 + (dy * wy + np.float32(1) + slack) * rw)
            begin, end = _columns(low, high, width)
            for column in range(begin, end + 1):
                n = np.float32(az + dy * ny + (np.float32(column) - x0) * nx)
                if n > nearness[row, column]:
                    nearness[row, column] = n
                    shown[row, column] = first + t


@kernel
def _columns(low, high, width):
    """The first whole number from `low` on and the last up to `high`, within 0 to width - 1, as math.ceil and floor."""
    zero, one = np.float32(0), np.float32(1)
    size = np.int32(width)
    first = size - np.int32(width - min(max(low, zero), width))
    last = np.int32(min(max(high, -one) + one, width)) - np.int32(1)
    return first, last


@kernel
def _clipped(low, high, slope, crossing):
    """The columns between `low` and `high` on that side of a crossing where a weight of this slope is positive."""
    if slope > 0.0:
        low = max(low, crossing)
    elif slope < 0.0:
        high = min(high, crossing)
    return low, high


@kernel
def _farthest_of_blocks(nearness, farthest):
    """Least nearness of every block of samples."""
    size = nearness.shape[0]
    farthest[:] = np.inf
    for row in range(size):
        for j in range(farthest.shape[1]):
            least = nearness[row, j * _BLOCK]
            for column in range(j * _BLOCK + 1, min((j + 1) * _BLOCK, size)):
                least = min(least, nearness[row, column])
            farthest[row // _BLOCK, j] = min(farthest[row // _BLOCK, j], least)
