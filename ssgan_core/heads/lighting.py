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
from ssgan_core.heads.jit import entry
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


def nearness_map(direction: np.ndarray, size: int, points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Nearness [size, size], float32, of what a distant lamp in `direction` sees; -inf where nothing is."""
    projection = _looking(direction, size)
    nearness, shown = raster.empty_buffers(size)
    raster.rasterise(projection.project(points), triangles, 0, False, nearness, shown)
    return nearness


def _looking(direction: np.ndarray, size: int) -> raster.Projection:
    return raster.parallel(direction, np.array(_CENTRE), _RADIUS, size)


@dataclass(frozen=True)
class ShadowMap:
    """What the lamp sees; `share` tells how much of its light arrives.

    Attributes:
        nearness: [size, size] float32.
        rows: [3, 4] float32: world coordinates and one, to map column, row and nearness.
    """

    nearness: np.ndarray
    rows: np.ndarray


def shadow_map(direction: np.ndarray, points: np.ndarray, triangles: np.ndarray) -> ShadowMap:
    """The shadow map of a distant lamp."""
    projection = _looking(direction, _SHADOW_SIZE)
    scale = np.append(projection.scale, -1.0)
    shift = np.append(projection.centre, 0.0)
    linear = projection.rotation * scale[:, None]
    rows = np.concatenate([linear, (shift - linear @ projection.origin)[:, None]], axis=1)
    return ShadowMap(nearness_map(direction, _SHADOW_SIZE, points, triangles), rows.astype(np.float32))


def gather(
    sky: np.ndarray,
    points: np.ndarray,
    normals: np.ndarray,
    fibres: np.ndarray,
    occluders: np.ndarray,
    triangles: np.ndarray,
) -> np.ndarray:
    """Irradiance over pi [V, 3], float32, that vertices receive from the surroundings.

    Args:
        sky: radiance in `directions()` [DIRECTIONS, 3].
        points, normals: of the vertices [V, 3].
        fibres: [V] bool, which are points of hair: these gather from all around and deeper inside.
        occluders: points [P, 3] and `triangles` [T, 3] of what hides the sky.
    """
    light = np.zeros(points.shape, np.float32)
    norm = np.zeros(len(points), np.float32)
    for direction, radiance in zip(directions(), sky, strict=True):
        seen = nearness_map(direction, _MAP_SIZE, occluders, triangles)
        seen[~np.isfinite(seen)] = -1e3
        projection = _looking(direction, _MAP_SIZE)
        _gather(projection.project(points), normals, fibres, direction, radiance, seen, light, norm)
    # The mean cosine over the lattice is 1/4 only about: normalise so that an open surface gets the sky's mean.
    return light / norm.clip(1e-6)[:, None]


@entry
def _gather(screen, normals, fibres, direction, radiance, seen, light, norm):
    size = seen.shape[0]
    for v in range(screen.shape[0]):
        cosine = normals[v, 0] * direction[0] + normals[v, 1] * direction[1] + normals[v, 2] * direction[2]
        weight = max(cosine, 0.0)
        bias = _BIAS / max(cosine, 0.25)  # maps are coarse: grazing surfaces hide themselves
        if fibres[v]:
            bias = _BIAS
            weight = 0.35 + 0.65 * (0.5 + 0.5 * cosine)
        if weight <= 0.0:
            continue
        norm[v] += weight
        x, y = screen[v, 0] - 0.5, screen[v, 1] - 0.5
        left, top = math.floor(x), math.floor(y)
        open_share = 0.0
        for i in range(2):
            for j in range(2):
                column, row = min(max(left + i, 0), size - 1), min(max(top + j, 0), size - 1)
                part = (x - left if i else 1.0 - x + left) * (y - top if j else 1.0 - y + top)
                behind = seen[row, column] - screen[v, 2] - bias
                soft = 2.5 * _SOFTNESS if fibres[v] else _SOFTNESS
                open_share += part * (1.0 if behind <= 0.0 else math.exp(-behind / soft))
        for c in range(3):
            light[v, c] += weight * open_share * radiance[c]
