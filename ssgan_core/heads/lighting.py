"""Light: a lamp that casts shadows, and surroundings whose light every vertex gathers by itself.

For the surroundings every vertex looks in a few fixed directions; a small parallel z-buffer a direction tells what it
sees (hair lets some light through). The result is stored with the vertex, so that all views share it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np

from ssgan_core.heads import raster
from ssgan_core.heads.jit import entry, kernel
from ssgan_core.heads.sampler import Identity

DIRECTIONS = 20
_MAP_SIZE = 112
_SHADOW_SIZE = 640
_RADIUS = 0.52  # world: of the ball that casts shadows
_CENTRE = (0.0, -0.02, -0.02)
_BIAS = 0.007
_METERED = 0.95
_SOFTNESS = 0.010  # world: depth of hair or skin that dims light to 1/e


@dataclass(frozen=True)
class Lights:
    """Everything that shines.

    Attributes:
        lamp: unit vector [3] towards the lamp.
        lamp_colour: [3] its irradiance on a surface that faces it, divided by pi.
        sky: [DIRECTIONS, 3] radiance of the surroundings in `directions()`.
        rim: unit vector [3] towards a lamp behind the head; rim_colour: [3], its strength.
        exposure: factor before the tone curve.
    """

    lamp: np.ndarray
    lamp_colour: np.ndarray
    sky: np.ndarray
    rim: np.ndarray
    rim_colour: np.ndarray
    exposure: float


@cache
def directions() -> np.ndarray:
    """Unit vectors [DIRECTIONS, 3], float32, spread evenly over the sphere (a Fibonacci lattice)."""
    i = np.arange(DIRECTIONS) + 0.5
    y = 1 - 2 * i / DIRECTIONS
    turn = i * math.pi * (3 - math.sqrt(5))
    ring = np.sqrt(1 - y * y)
    return np.stack([ring * np.cos(turn), y, ring * np.sin(turn)], axis=-1).astype(np.float32)


def towards(yaw: float, pitch: float) -> np.ndarray:
    """Unit vector [3], float32, with angles as cameras have them."""
    return np.array(
        [math.sin(yaw) * math.cos(pitch), math.sin(pitch), math.cos(yaw) * math.cos(pitch)], np.float32
    )


def build_lights(identity: Identity) -> Lights:
    """The lights of an identity."""
    warm = 0.07 * identity.light_warmth
    tint = np.array([1 + warm, 1.0, 1 - warm], np.float32)
    cool = np.array([1 - 0.5 * warm, 1.0, 1 + 0.6 * warm], np.float32)
    lamp = towards(identity.light_yaw, identity.light_pitch)
    softness = identity.light_softness
    around = directions()
    up = around[:, 1:2]
    room = 0.5 * (identity.colour("back") + identity.colour("back2"))
    room = room / max(float(room.mean()), 1e-3)
    sky = (0.24 + 0.15 * up) * cool * (0.8 + 0.2 * room)
    # A window or softbox where the lamp is: it grows as the lamp itself gets weaker.
    facing = (around @ lamp)[:, None].clip(0, 1)
    window = (0.30 + 1.6 * softness) * facing**3 * tint
    ground = 0.07 * (-up).clip(0, 1) * room
    sky = sky + window + ground
    strength = 1.12 - 0.86 * softness
    # Photographers meter the face: what its front receives decides the exposure, most of the way.
    front = np.array([0.0, 0.1, 0.995], np.float32)
    weights = (around @ front).clip(0, 1)
    received = strength * max(float(lamp @ front), 0.0) + float(sky.mean(axis=1) @ weights / weights.sum())
    return Lights(
        lamp=lamp,
        lamp_colour=(strength * tint).astype(np.float32),
        sky=sky.astype(np.float32),
        rim=towards(identity.light_yaw + math.pi * (0.80 if identity.light_yaw < 0 else -0.80), 0.45),
        rim_colour=(0.6 * identity.rim_light * cool).astype(np.float32),
        exposure=math.exp(identity.exposure) * (_METERED / received) ** 0.8,
    )


@dataclass(frozen=True)
class LampView:
    """What a distant lamp sees.

    Attributes:
        nearness: [size, size] float32: z-buffer, larger towards the lamp, -1000 where nothing is.
        rows: [3, 4] float32: world coordinates and one, to map column, row and nearness.
    """

    nearness: np.ndarray
    rows: np.ndarray


def lamp_view(direction: np.ndarray, size: int, points: np.ndarray, triangles: np.ndarray) -> LampView:
    """Draw what hides the light, points [P, 3] and triangles [T, 3], as seen from `direction` [3]."""
    return _view(_rows(direction, size), size, points, triangles)


def _view(rows: np.ndarray, size: int, points: np.ndarray, triangles: np.ndarray) -> LampView:
    nearness, shown = raster.empty_buffers(size)
    raster.rasterise(_mapped(points, rows), triangles, 0, False, nearness, shown)
    return LampView(np.maximum(nearness, -1e3), rows)


@entry
def _mapped(points, rows):
    """Points [P, 3] on a map; without BLAS, whose threads cost more than they gain on so little."""
    result = np.empty((points.shape[0], 3), np.float32)
    for p in range(points.shape[0]):
        x, y, z = points[p, 0], points[p, 1], points[p, 2]
        for k in range(3):
            result[p, k] = rows[k, 0] * x + rows[k, 1] * y + rows[k, 2] * z + rows[k, 3]
    return result


def _rows(direction: np.ndarray, size: int) -> np.ndarray:
    """World coordinates and one, to column, row and nearness of a map [3, 4], float32."""
    projection = raster.parallel(direction, np.array(_CENTRE), _RADIUS, size)
    scale = np.append(projection.scale, -1.0)
    shift = np.append(projection.centre, 0.0)
    linear = projection.rotation * scale[:, None]
    return np.concatenate([linear, (shift - linear @ projection.origin)[:, None]], axis=1).astype(np.float32)


@cache
def _sky_rows() -> np.ndarray:
    """`_rows` of all directions [DIRECTIONS, 3, 4]."""
    return np.stack([_rows(direction, _MAP_SIZE) for direction in directions()])


def shadow_map(direction: np.ndarray, points: np.ndarray, triangles: np.ndarray) -> LampView:
    """The shadow map of the lamp; arguments as in `lamp_view`."""
    return lamp_view(direction, _SHADOW_SIZE, points, triangles)


class Surroundings:
    """The light from all around, partly hidden.

    Args:
        sky: radiance in `directions()` [DIRECTIONS, 3].
        points, triangles: of what hides it, as in `lamp_view`.
    """

    def __init__(self, sky: np.ndarray, points: np.ndarray, triangles: np.ndarray) -> None:
        views = [_view(rows, _MAP_SIZE, points, triangles) for rows in _sky_rows()]
        self._sky = np.ascontiguousarray(sky, np.float32)
        self._maps = np.stack([view.nearness for view in views])

    def received(self, points: np.ndarray, normals: np.ndarray, fibres: bool = False) -> np.ndarray:
        """Irradiance over pi [V, 3], float32, at points [V, 3] with unit normals [V, 3].

        Args:
            fibres: whether the points are of hair, which gathers light from all around and deeper inside.
        """
        return _received(points, normals, fibres, directions(), self._sky, self._maps, _sky_rows())


@entry
def _received(points, normals, fibres, around, sky, maps, rows):
    size = maps.shape[1]
    one, half = np.float32(1), np.float32(0.5)
    fall = np.float32(-1.0 / (2.5 * _SOFTNESS if fibres else _SOFTNESS))
    most = np.float32(size - 1.001)
    result = np.empty((points.shape[0], 3), np.float32)
    for v in range(points.shape[0]):
        px, py, pz = points[v, 0], points[v, 1], points[v, 2]
        red, green, blue, norm = np.float32(0), np.float32(0), np.float32(0), np.float32(1e-6)
        for d in range(around.shape[0]):
            cosine = (
                normals[v, 0] * around[d, 0] + normals[v, 1] * around[d, 1] + normals[v, 2] * around[d, 2]
            )
            weight = np.float32(0.675) + np.float32(0.325) * cosine if fibres else cosine
            if weight <= 0.0:
                continue
            norm += weight
            # Maps are coarse: grazing surfaces would hide themselves.
            bias = np.float32(_BIAS) if fibres else np.float32(_BIAS) / max(cosine, np.float32(0.25))
            m = rows[d]
            x = m[0, 0] * px + m[0, 1] * py + m[0, 2] * pz + m[0, 3] - half
            y = m[1, 0] * px + m[1, 1] * py + m[1, 2] * pz + m[1, 3] - half
            near = m[2, 0] * px + m[2, 1] * py + m[2, 2] * pz + m[2, 3] + bias
            x, y = min(max(x, np.float32(0)), most), min(max(y, np.float32(0)), most)
            i, j = np.int32(y), np.int32(x)
            u, w = x - np.float32(j), y - np.float32(i)
            upper = (one - u) * _let_through(maps[d, i, j] - near, fall)
            upper += u * _let_through(maps[d, i, j + 1] - near, fall)
            lower = (one - u) * _let_through(maps[d, i + 1, j] - near, fall)
            lower += u * _let_through(maps[d, i + 1, j + 1] - near, fall)
            share = weight * ((one - w) * upper + w * lower)
            red += share * sky[d, 0]
            green += share * sky[d, 1]
            blue += share * sky[d, 2]
        # The directions are few: an open surface shall get the sky's mean whichever way it faces.
        result[v, 0], result[v, 1], result[v, 2] = red / norm, green / norm, blue / norm
    return result


@kernel
def _let_through(depth, fall):
    """Share of light that arrives at a depth inside hair or skin: exp(fall * depth) but for 0.03, far cheaper."""
    t = max(np.float32(1) + np.float32(0.125) * fall * max(depth, np.float32(0)), np.float32(0))
    t *= t
    t *= t
    return t * t
