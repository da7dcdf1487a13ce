"""Noise that tiles, several kinds side by side, so that one lookup serves them all; the same for every portrait."""

from __future__ import annotations

from functools import cache

import numpy as np

SIZE = 256
# Channels, each about 0..1 with mean 0.5 unless noted.
CLOUDS, MOTTLE, GRAIN, FRECKLES, MOLES, PORE_X, PORE_Y, LINES = range(8)
CHANNELS = 8


@cache
def noise() -> np.ndarray:
    """The texture [CHANNELS, SIZE, SIZE], float32; repeats at its edges.

    FRECKLES and MOLES are 0 outside spots; PORE_X and PORE_Y are slopes with mean 0; LINES are fine creases.
    """
    rng = np.random.default_rng(20_240_107)
    field = np.zeros((CHANNELS, SIZE, SIZE), np.float32)
    field[CLOUDS] = _band(rng, 2, 7)
    field[MOTTLE] = _band(rng, 8, 40)
    field[GRAIN] = _band(rng, 30, 110)
    field[FRECKLES] = _spots(rng, 420, (0.8, 2.0), 0.9)
    field[MOLES] = _spots(rng, 7, (0.9, 1.6), 1.0)
    pores = _band(rng, 40, 120)
    field[PORE_X] = np.roll(pores, -1, 1) - np.roll(pores, 1, 1)
    field[PORE_Y] = np.roll(pores, -1, 0) - np.roll(pores, 1, 0)
    ridge = _band(rng, 4, 20)
    field[LINES] = np.exp(-(((ridge - 0.5) / 0.04) ** 2))
    return field


def _band(rng: np.random.Generator, low: float, high: float) -> np.ndarray:
    """Noise of frequencies between `low` and `high` cycles a tile, falling with frequency; mean 0.5, spread 0.17."""
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(SIZE) * SIZE, np.fft.fftfreq(SIZE) * SIZE))
    gain = np.where((frequency >= low) & (frequency <= high), 1 / np.maximum(frequency, 1) ** 1.2, 0)
    wave = np.fft.ifft2(np.fft.fft2(rng.standard_normal((SIZE, SIZE))) * gain).real
    return (0.5 + 0.17 * wave / wave.std()).clip(0, 1).astype(np.float32)


def _spots(rng: np.random.Generator, count: int, radius: tuple[float, float], depth: float) -> np.ndarray:
    field = np.zeros((SIZE, SIZE), np.float32)
    ys, xs = np.mgrid[0:SIZE, 0:SIZE]
    for _ in range(count):
        x, y = rng.uniform(0, SIZE, 2)
        dx = (xs - x + SIZE / 2) % SIZE - SIZE / 2
        dy = (ys - y + SIZE / 2) % SIZE - SIZE / 2
        size = rng.uniform(*radius)
        spot = depth * rng.uniform(0.4, 1.0) / (1 + np.exp((np.hypot(dx, dy) - size) * 3))
        field = np.maximum(field, spot.astype(np.float32))
    return field
