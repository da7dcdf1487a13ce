"""Finds faces with BlazeFace (short range), in the whole photo and in overlapping tiles at several scales.

The network's input is only 128 pixels wide and it misses faces narrower than about a seventh of that, so a
photo is searched level by level: first shrunk whole, then in tiles of its short side, of half of it and so
on. Finer levels only find smaller faces, and the largest face is wanted, so the caller stops at the first
level that holds one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from ssgan_core.preparation.networks import Network
from ssgan_core.preparation.weight_files import FACE_DETECTION

INPUT = 128
_MIN_SCORE = 0.5
_MIN_OVERLAP = 0.3  # intersection over union from which two boxes are one face
_SMALLEST_TILE = 192  # pixels; also the deepest level is an eighth of the short side
_DEEPEST = 8


@dataclass(frozen=True)
class FaceBox:
    """A detected face in the photo's pixels.

    Attributes:
        box: x0, y0, x1, y1.
        keypoints: [6, 2]: the subject's right eye, left eye, nose tip, mouth, right ear, left ear; NaN where
            the detector knows no such point.
        score: 0..1.
    """

    box: np.ndarray
    keypoints: np.ndarray
    score: float

    @property
    def area(self) -> float:
        """Square pixels."""
        return float((self.box[2] - self.box[0]) * (self.box[3] - self.box[1]))


class _Runs(Protocol):
    def run(self, pixels: np.ndarray, output: str) -> np.ndarray: ...


class FaceDetector:
    """BlazeFace over the levels of a photo."""

    def __init__(self, weights_dir: Path | None = None, network: _Runs | None = None) -> None:
        """Args: weights_dir: as in `weights.read`; network: instead of the real one, in tests."""
        self._network = network or Network(FACE_DETECTION, weights_dir)
        self._anchors = anchors()

    def search(self, photo: np.ndarray) -> Iterator[list[FaceBox]]:
        """Faces of photo [H, W, 3], uint8 RGB, level by level, each list with the largest face first."""
        height, width = photo.shape[:2]
        for side in tile_sides(width, height):
            scale = INPUT / side
            level = _resized(photo, scale)
            found = [
                face
                for x, y in tile_corners(level.shape[1], level.shape[0])
                for face in self._detect(_window(level, x, y), (x, y), scale)
            ]
            yield sorted(merge(found), key=lambda face: -face.area)

    def _detect(self, tile: np.ndarray, corner: tuple[int, int], scale: float) -> list[FaceBox]:
        pixels = tile.astype(np.float32) / 127.5 - 1
        logits = self._network.run(pixels, "classificators").reshape(-1)
        scores = 1 / (1 + np.exp(-np.clip(logits, -80, 80)))
        chosen = np.flatnonzero(scores >= _MIN_SCORE)
        if not chosen.size:
            return []  # most tiles: the second run for the boxes is saved
        values = self._network.run(pixels, "regressors").reshape(-1, 16)
        boxes, keypoints = decode(values[chosen], self._anchors[chosen])
        offset = np.array(corner, np.float64)
        return [
            FaceBox(
                (box * INPUT + np.tile(offset, 2)) / scale, (points * INPUT + offset) / scale, float(score)
            )
            for box, points, score in zip(boxes, keypoints, scores[chosen], strict=True)
        ]


def anchors() -> np.ndarray:
    """Anchor centres [896, 2] in 0..1: a grid of 16 x 16 with two anchors a cell, then 8 x 8 with six."""
    rows = []
    for cells, repeats in ((16, 2), (8, 6)):
        centres = (np.arange(cells) + 0.5) / cells
        grid = np.stack(np.meshgrid(centres, centres), axis=-1).reshape(-1, 2)
        rows.append(np.repeat(grid, repeats, axis=0))
    return np.concatenate(rows)


def decode(values: np.ndarray, centres: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Boxes [N, 4] (x0, y0, x1, y1) and keypoints [N, 6, 2] in 0..1 of the input, from raw outputs [N, 16].

    A row is centre, size and six points, in input pixels; all but the size are relative to the anchor's
    centre.
    """
    values = values.astype(np.float64) / INPUT
    centre = values[:, 0:2] + centres
    half = values[:, 2:4] / 2
    return np.concatenate([centre - half, centre + half], axis=1), values[:, 4:].reshape(-1, 6, 2) + centres[
        :, None
    ]


def merge(faces: list[FaceBox]) -> list[FaceBox]:
    """Weighted non-maximum suppression: overlapping boxes become their score-weighted mean."""
    remaining = sorted(faces, key=lambda face: -face.score)
    merged = []
    while remaining:
        boxes = np.stack([face.box for face in remaining])
        same = _overlap(boxes[0], boxes) >= _MIN_OVERLAP
        same[0] = True
        group = [face for face, taken in zip(remaining, same, strict=True) if taken]
        share = np.array([face.score for face in group])
        share /= share.sum()
        merged.append(
            FaceBox(
                np.einsum("n,ni->i", share, np.stack([face.box for face in group])),
                np.einsum("n,nij->ij", share, np.stack([face.keypoints for face in group])),
                group[0].score,
            )
        )
        remaining = [face for face, taken in zip(remaining, same, strict=True) if not taken]
    return merged


def tile_sides(width: int, height: int) -> list[int]:
    """Sides of the square tiles in photo pixels, level by level.

    The first covers the whole photo; the second, larger than the photo, finds faces that fill it.
    """
    long, short = max(width, height), min(width, height)
    sides = [long, long + long // 2]
    side = short if long > 1.25 * short else short // 2
    while side >= max(_SMALLEST_TILE, short // _DEEPEST):
        sides.append(side)
        side //= 2
    return sides


def tile_corners(width: int, height: int) -> list[tuple[int, int]]:
    """Left upper corners of tiles of INPUT pixels that cover a level, with half a tile of overlap.

    A level that is smaller than a tile lies in the middle of it, so corners can be negative.
    """
    return [(x, y) for y in _starts(height) for x in _starts(width)]


def _starts(length: int) -> list[int]:
    if length <= INPUT:
        return [(length - INPUT) // 2]
    last = length - INPUT
    return [*range(0, last, INPUT // 2), last]


def _window(level: np.ndarray, x: int, y: int) -> np.ndarray:
    """A tile of INPUT pixels, black beyond the photo's edge."""
    tile = np.zeros((INPUT, INPUT, 3), np.uint8)
    inside = level[max(y, 0) : y + INPUT, max(x, 0) : x + INPUT]
    top, left = max(-y, 0), max(-x, 0)
    tile[top : top + inside.shape[0], left : left + inside.shape[1]] = inside
    return tile


def _resized(photo: np.ndarray, scale: float) -> np.ndarray:
    width = max(round(photo.shape[1] * scale), 1)
    height = max(round(photo.shape[0] * scale), 1)
    shrinks = scale < 1
    return cv2.resize(photo, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def _overlap(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=1)
    areas = np.prod(np.clip(boxes[:, 2:] - boxes[:, :2], 0, None), axis=1)
    own = np.prod(np.clip(box[2:] - box[:2], 0, None))
    return shared / np.maximum(own + areas - shared, 1e-12)
