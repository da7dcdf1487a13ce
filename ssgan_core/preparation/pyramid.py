"""A photo at several scales, cut into blocks that a network can take one at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

_MOST_BETWEEN = 2.4  # factor between the scales of levels
_BLOCK = 384  # pixels, the largest side of a block: larger ones leave the processor's cache
_FLAT = 10  # grey levels: what varies less within a cell and its neighbours shows no face
_CELL = 8


@dataclass(frozen=True)
class Level:
    """A photo at one scale.

    Attributes:
        pixels: uint8 [H, W, 3].
        scale: its pixels over the photo's.
    """

    pixels: np.ndarray
    scale: float


def level_sides(width: int, height: int, finest: float) -> list[float]:
    """What lengths of the photo fill the network's input, level by level, in photo pixels.

    The first is the whole photo; the second, larger than the photo, finds faces that fill it; the others
    become finer by a steady factor, and the last is `finest`.
    """
    whole = float(max(width, height))
    steps = math.ceil(math.log(max(whole / finest, 1), _MOST_BETWEEN))
    return [whole, 1.5 * whole, *(whole * (finest / whole) ** (step / steps) for step in range(1, steps + 1))]


def levels(photo: np.ndarray, sides: list[float], size: int) -> Iterator[Level]:
    """Photo [H, W, 3] with each of the sides scaled to `size` pixels.

    The photo is shrunk to its finest level once, and the others are made from that.
    """
    base = resized(photo, size / min(sides))
    for side in sides:
        yield Level(resized(base, min(sides) / side), size / side)


def blocks(level: np.ndarray, size: int, overlap: int, step: int) -> Iterator[tuple[np.ndarray, int, int]]:
    """Overlapping parts of a level that together show all of it but what is flat; with their corners x, y.

    Args:
        level: [H, W, 3], uint8.
        size: no block is smaller than this; a smaller level lies in the middle of one, on black.
        overlap: pixels that neighbours share.
        step: sides are multiples of this; black beyond the level's edge.
    """
    busy = _busy(level)
    for y, height in _spans(level.shape[0], size, overlap, step):
        for x, width in _spans(level.shape[1], size, overlap, step):
            cells = busy[
                max(y, 0) // _CELL : -(-(y + height) // _CELL), max(x, 0) // _CELL : -(-(x + width) // _CELL)
            ]
            if cells.any():
                yield window(level, x, y, width, height), x, y


def window(pixels: np.ndarray, x: int, y: int, width: int, height: int) -> np.ndarray:
    """A part [height, width, 3] of a picture, black beyond its edges."""
    rows, columns = pixels.shape[:2]
    if x >= 0 and y >= 0 and x + width <= columns and y + height <= rows:
        return pixels[y : y + height, x : x + width]
    part = np.zeros((height, width, 3), np.uint8)
    inside = pixels[max(y, 0) : max(y + height, 0), max(x, 0) : max(x + width, 0)]
    top, left = max(-y, 0), max(-x, 0)
    part[top : top + inside.shape[0], left : left + inside.shape[1]] = inside
    return part


def resized(photo: np.ndarray, scale: float) -> np.ndarray:
    """A picture [H, W, 3] at another scale: halved as often as possible, which OpenCV does ten times faster than any
    other shrinking without aliasing, then interpolated. Positions are off by a pixel of the picture at most."""
    width, height = max(round(photo.shape[1] * scale), 1), max(round(photo.shape[0] * scale), 1)
    while photo.shape[1] >= 2 * width and photo.shape[0] >= 2 * height:
        even = photo[: photo.shape[0] // 2 * 2, : photo.shape[1] // 2 * 2]
        photo = cv2.resize(even, (even.shape[1] // 2, even.shape[0] // 2), interpolation=cv2.INTER_AREA)
    if (height, width) == photo.shape[:2]:
        return photo
    return cv2.resize(photo, (width, height), interpolation=cv2.INTER_LINEAR)


def _spans(length: int, size: int, overlap: int, step: int) -> list[tuple[int, int]]:
    """Starts and lengths of blocks along one axis: as few as can be, all alike, at least `overlap` shared."""
    if length <= size:
        return [((length - size) // 2, size)]
    count = max(math.ceil((length - overlap) / (_BLOCK - overlap)), 1)
    each = math.ceil((length + (count - 1) * overlap) / count / step) * step
    if count == 1:
        return [(0, each)]
    return [(round(index * (length - each) / (count - 1)), each) for index in range(count)]


def _busy(level: np.ndarray) -> np.ndarray:
    """Which cells [ceil(H / 8), ceil(W / 8)] of a level are not flat."""
    grey = cv2.cvtColor(level, cv2.COLOR_RGB2GRAY)
    around = np.ones((2 * _CELL, 2 * _CELL), np.uint8)
    return (
        cv2.dilate(grey, around)[::_CELL, ::_CELL].astype(int) - cv2.erode(grey, around)[::_CELL, ::_CELL]
    ) >= _FLAT
