"""Z-buffer: which triangle every sample of a picture shows, and how deep it lies."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ssgan_core.heads.jit import entry


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

    def project(self, points: np.ndarray) -> np.ndarray:
        """Sample coordinates and nearness [..., 3], float32, of world points [..., 3].

        Nearness grows towards the camera and is linear across a projected triangle: 1 / z, or -z when rays are
        parallel.
        """
        local = (points - self.origin.astype(np.float32)) @ self.rotation.T.astype(np.float32)
        x, y, z = local[..., 0], local[..., 1], local[..., 2]
        nearness = -z if self.parallel else 1 / z
        spread = np.float32(1) if self.parallel else nearness
        scale, centre = self.scale.astype(np.float32), self.centre.astype(np.float32)
        return np.stack([x * spread * scale[0] + centre[0], y * spread * scale[1] + centre[1], nearness], axis=-1)

    def depth(self, nearness: np.ndarray) -> np.ndarray:
        """z in camera units, of nearness."""
        return -nearness if self.parallel else 1 / nearness


def pinhole(pose: np.ndarray, matrix: np.ndarray, size: int) -> Projection:
    """The projection of a camera (cam2world [4, 4], normalised intrinsics [3, 3] without skew) to size x size samples."""
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


@entry
def rasterise(screen, triangles, first, cull, nearness, shown):
    """Draw triangles into the buffers: a sample shows what is nearest at its centre.

    Args:
        screen: [V, 3] float32, from Projection.project.
        triangles: [T, 3] int32.
        first: number of the first triangle.
        cull: whether triangles that turn their back (clockwise in the picture) are left out.
        nearness, shown: buffers, changed in place.
    """
    size = nearness.shape[0]
    for t in range(triangles.shape[0]):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        ax, ay, az = screen[a, 0], screen[a, 1], screen[a, 2]
        bx, by, bz = screen[b, 0], screen[b, 1], screen[b, 2]
        cx, cy, cz = screen[c, 0], screen[c, 1], screen[c, 2]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if area == 0.0 or (cull and area > 0.0):
            continue
        left = max(math.ceil(min(ax, bx, cx) - 0.5), 0)
        right = min(math.floor(max(ax, bx, cx) - 0.5), size - 1)
        top = max(math.ceil(min(ay, by, cy) - 0.5), 0)
        bottom = min(math.floor(max(ay, by, cy) - 0.5), size - 1)
        if left > right or top > bottom:
            continue
        inverse = 1.0 / area
        # Barycentric weights of b and c, and nearness, are linear in x and y.
        ux, uy = (cy - ay) * inverse, (ax - cx) * inverse
        vx, vy = (ay - by) * inverse, (bx - ax) * inverse
        nx = ux * (bz - az) + vx * (cz - az)
        for row in range(top, bottom + 1):
            dy = row + 0.5 - ay
            dx = left + 0.5 - ax
            u = dx * ux + dy * uy
            v = dx * vx + dy * vy
            n = az + u * (bz - az) + v * (cz - az)
            for column in range(left, right + 1):
                if u >= 0.0 and v >= 0.0 and u + v <= 1.0 and n > nearness[row, column]:
                    nearness[row, column] = n
                    shown[row, column] = first + t
                u += ux
                v += vx
                n += nx
