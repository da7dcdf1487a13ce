"""Blurred backgrounds: what a portrait lens leaves of a room, a garden or a street."""

from __future__ import annotations

import numpy as np

from ssgan_core.heads.sampler import BACKGROUNDS, Identity

SIZE = 96


def build_backdrop(identity: Identity) -> np.ndarray:
    """Linear colours [SIZE, SIZE, 3], float32, of an identity's background; smooth, so it may be enlarged."""
    rng = np.random.default_rng([identity.seed, identity.index, 77])
    first, second = identity.colour("back"), identity.colour("back2")
    v, u = (np.mgrid[0:SIZE, 0:SIZE].astype(np.float32) + 0.5) / SIZE
    kind = BACKGROUNDS[identity.background]
    if kind == "studio":
        distance = np.hypot(u - rng.uniform(0.3, 0.7), v - rng.uniform(0.2, 0.6))
        picture = _mix(first, second, (distance / 0.75).clip(0, 1))
        blur = 6.0
    elif kind == "gradient":
        angle = rng.uniform(0, 2 * np.pi)
        t = 0.5 + 0.6 * ((u - 0.5) * np.cos(angle) + (v - 0.5) * np.sin(angle))
        picture = _mix(first, second, t.clip(0, 1))
        blur = 4.0
    elif kind == "room":
        picture = np.broadcast_to(first, (SIZE, SIZE, 3)).copy()
        for _ in range(rng.integers(3, 7)):  # walls, shelves, a window
            x0, x1 = np.sort(rng.uniform(-0.2, 1.2, 2))
            y0, y1 = np.sort(rng.uniform(-0.2, 1.2, 2))
            inside = (u > x0) & (u < max(x1, x0 + 0.15)) & (v > y0) & (v < max(y1, y0 + 0.2))
            shade = _mix(first, second, np.float32(rng.random())) * rng.uniform(0.3, 1.7)
            picture[inside] = shade * (1 + 0.1 * rng.standard_normal(3))
        blur = rng.uniform(2.5, 6.0)
    elif kind == "foliage":
        t = np.mean([_wave(rng, u, v, f) for f in (2, 3, 5, 8, 12)], axis=0)
        leaf = np.array([0.11, 0.16, 0.055], np.float32) * rng.uniform(0.25, 0.9)
        leaf = leaf * (1 + 0.2 * rng.standard_normal(3).astype(np.float32)).clip(0.5, 1.6)
        picture = _mix(0.4 * leaf + 0.15 * second, leaf + 0.4 * first, (0.5 + 0.9 * t).clip(0, 1))
        picture = picture + 0.25 * ((t - 0.35).clip(0, 1) * 2)[..., None]
        blur = rng.uniform(3.0, 6.0)
    else:  # lights: out-of-focus lamps at dusk
        picture = _mix(0.25 * first, 0.25 * second, v)
        for _ in range(rng.integers(6, 18)):
            radius = rng.uniform(0.02, 0.07)
            beyond = np.hypot(u - rng.random(), v - rng.random()) - radius
            disc = 1 / (1 + np.exp((120 * beyond).clip(-60, 60)))
            colour = np.array([1.0, rng.uniform(0.5, 0.95), rng.uniform(0.2, 0.8)], np.float32)
            picture = picture + disc[..., None] * colour * rng.uniform(0.1, 0.5)
        blur = 1.2
    return _blurred(picture.astype(np.float32), blur).clip(0.002, 1.2)


def _mix(a: np.ndarray, b: np.ndarray, t: np.ndarray | np.float32) -> np.ndarray:
    return a + (b - a) * np.asarray(t, np.float32)[..., None]


def _wave(rng: np.random.Generator, u: np.ndarray, v: np.ndarray, frequency: float) -> np.ndarray:
    angle, phase, bend = rng.uniform(0, 2 * np.pi, 3)
    along = u * np.cos(angle) + v * np.sin(angle)
    return np.sin(2 * np.pi * frequency * along + phase + 2 * np.sin(4 * v + bend))


def _blurred(picture: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur with mirrored edges."""
    reach = int(3 * sigma) + 1
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    kernel = (kernel / kernel.sum()).astype(np.float32)
    for axis in (0, 1):
        padded = np.pad(
            picture, [(reach, reach) if a == axis else (0, 0) for a in range(3)], mode="symmetric"
        )
        stacked = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1, axis=axis)
        picture = stacked @ kernel
    return picture
