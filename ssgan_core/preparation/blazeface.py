"""BlazeFace (short range): faces in a picture of 128 x 128 pixels, or traces of faces in a picture of any size.

The network consists of convolutions alone, so that it also takes pictures larger than those it was trained on; then
its scores tell where faces are that are between a seventh and the whole of 128 pixels wide.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from ssgan_core.preparation.networks import Network
from ssgan_core.preparation.weight_files import FACE_DETECTION

INPUT = 128
"""Side of the pictures that the network was trained on."""
SMALLEST = 16
"""Faces of so many pixels are seen reliably (measured: all of 300, and nine in ten of 16 to 18 pixels)."""
STEP = 16
"""Sides of pictures for `BlazeFace.scores` are multiples of this."""

_MIN_SCORE = 0.5
_MIN_OVERLAP = 0.3  # intersection over union from which two boxes are one face
_GRIDS = ((8, 2), (16, 6))  # pixels between anchors, and anchors at each place


@dataclass(frozen=True)
class FaceBox:
    """A detected face in the photo's pixels.

    Attributes:
        box: x0, y0, x1, y1.
        keypoints: [6, 2]: the subject's right eye, left eye, nose tip, mouth, right ear, left ear.
        score: 0..1.
    """

    box: np.ndarray
    keypoints: np.ndarray
    score: float

    @property
    def area(self) -> float:
        """Square pixels."""
        return float((self.box[2] - self.box[0]) * (self.box[3] - self.box[1]))

    @property
    def centre(self) -> np.ndarray:
        """x, y of the box's middle."""
        return (self.box[:2] + self.box[2:]) / 2

    @property
    def side(self) -> float:
        """The box's longer side."""
        return float(max(self.box[2:] - self.box[:2]))

    def moved(self, scale: float, offset: np.ndarray) -> FaceBox:
        """The same face after its picture was scaled and then shifted by x, y."""
        return FaceBox(self.box * scale + np.tile(offset, 2), self.keypoints * scale + offset, self.score)


class Runs(Protocol):
    """A network, or its double in tests: see `networks.Network.run`."""

    def run(self, pixels: np.ndarray, output: str) -> np.ndarray: ...


class BlazeFace:
    """The network with what belongs to it: scaling, anchors, decoding, merging."""

    def __init__(self, weights_dir: Path | None = None, network: Runs | None = None) -> None:
        """Args: weights_dir: as in `weights.read`; network: instead of the real one, in tests."""
        self._network = network or Network(FACE_DETECTION, weights_dir)
        self._anchors = anchors()

    def faces(self, tile: np.ndarray) -> list[FaceBox]:
        """The faces of a picture [128, 128, 3], uint8 RGB, in its pixels; none overlap."""
        pixels = _scaled(tile)
        scores = _probability(self._network.run(pixels, "classificators").reshape(-1))
        chosen = np.flatnonzero(scores >= _MIN_SCORE)
        if not chosen.size:
            return []  # the second run, for the boxes, is saved
        values = self._network.run(pixels, "regressors").reshape(-1, 16)
        boxes, keypoints = decode(values[chosen], self._anchors[chosen])
        return merge(
            [
                FaceBox(box * INPUT, points * INPUT, float(score))
                for box, points, score in zip(boxes, keypoints, scores[chosen], strict=True)
            ]
        )

    def scores(self, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where a picture [H, W, 3], uint8 RGB, sides multiples of STEP, shows faces.

        Returns:
            Places x, y [N, 2] in its pixels, and the best score 0..1 of the anchors at each [N].
        """
        height, width = picture.shape[:2]
        logits = self._network.run(_scaled(picture), "classificators").reshape(-1)
        places, best, start = [], [], 0
        for step, repeats in _GRIDS:
            rows, columns = height // step, width // step
            end = start + rows * columns * repeats
            best.append(logits[start:end].reshape(-1, repeats).max(axis=1))
            places.append(_centres(rows, columns) * step)
            start = end
        return np.concatenate(places), _probability(np.concatenate(best))


def anchors() -> np.ndarray:
    """Anchor centres [896, 2] in 0..1: a grid of 16 x 16 with two anchors a cell, then 8 x 8 with six."""
    rows = []
    for step, repeats in _GRIDS:
        cells = INPUT // step
        rows.append(np.repeat(_centres(cells, cells) / cells, repeats, axis=0))
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
        same = overlap(boxes[0], boxes) >= _MIN_OVERLAP
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


def overlap(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Intersection over union [N] of a box [4] with boxes [N, 4]."""
    shared, own, areas = _areas(box, boxes)
    return shared / np.maximum(own + areas - shared, 1e-12)


def overlap_of_smaller(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Intersection over the smaller one's area [N] of a box [4] with boxes [N, 4]."""
    shared, own, areas = _areas(box, boxes)
    return shared / np.maximum(np.minimum(own, areas), 1e-12)


def _areas(box: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, float, np.ndarray]:
    """Areas: shared [N], the box's, the boxes' [N]."""
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=1)
    areas = np.prod(np.clip(boxes[:, 2:] - boxes[:, :2], 0, None), axis=1)
    return shared, float(np.prod(np.clip(box[2:] - box[:2], 0, None))), areas


def _centres(rows: int, columns: int) -> np.ndarray:
    """x, y [rows * columns, 2] of a grid's cells, row by row; cells are one wide."""
    return np.stack(np.meshgrid(np.arange(columns) + 0.5, np.arange(rows) + 0.5), axis=-1).reshape(-1, 2)


def _scaled(picture: np.ndarray) -> np.ndarray:
    return picture.astype(np.float32) / 127.5 - 1


def _probability(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(logits, -80, 80)))
