"""From a photo to the points of its largest face."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from ssgan_core.errors import SsganError
from ssgan_core.preparation.detection import FaceDetector
from ssgan_core.preparation.landmarks import FaceMesh
from ssgan_core.preparation.mesh import canonical_mesh

_SMALLEST_FACE = 24.0  # pixels: below this a crop would be nothing but blur
_MOST_OUTSIDE = 0.1  # share of the points that may lie beyond the photo's edge


@dataclass(frozen=True)
class Face:
    """A face of a photo.

    Attributes:
        box: x0, y0, x1, y1 in photo pixels, as detected.
        points: [468, 3] as `landmarks.FaceMesh.points` gives them.
        score: 0..1, of the detection.
        others: how many more faces were seen at the same scale.
    """

    box: np.ndarray
    points: np.ndarray
    score: float
    others: int


class FindsFace(Protocol):
    """What the preparation of a photo needs to know about finding faces."""

    def __call__(self, photo: np.ndarray) -> Face:
        """The face of photo [H, W, 3], uint8 RGB; raises SsganError where there is none that can be used."""
        ...


class FaceFinder:
    """The largest face that BlazeFace finds and FaceMesh confirms."""

    def __init__(self, weights_dir: Path | None = None) -> None:
        """Args: weights_dir: as in `weights.read`. Raises SsganError if a network is missing or damaged."""
        self._detector = FaceDetector(weights_dir)
        self._mesh = FaceMesh(canonical_mesh().mirror, weights_dir)

    def __call__(self, photo: np.ndarray) -> Face:
        """The largest usable face of photo [H, W, 3], uint8 RGB.

        Raises:
            SsganError: there is none, it is tiny, or the photo's edge cuts it off.
        """
        for faces in self._detector.search(photo):
            for face in faces:
                points = self._mesh.points(photo, face)
                if points is not None:
                    found = Face(face.box, points, face.score, len(faces) - 1)
                    check(found, photo.shape[1], photo.shape[0])
                    return found
        raise SsganError("no face was found")


def check(face: Face, width: int, height: int) -> None:
    """Gate on faces that make no portrait.

    Raises:
        SsganError: saying why.
    """
    x, y = face.points[:, 0], face.points[:, 1]
    extent = float(max(np.ptp(x), np.ptp(y)))
    if extent < _SMALLEST_FACE:
        raise SsganError(f"the face is only {extent:.0f} pixels high")
    outside = float(((x < 0) | (y < 0) | (x > width) | (y > height)).mean())
    if outside > _MOST_OUTSIDE:
        raise SsganError(
            f"the photo's edge cuts the face off: {100 * outside:.0f} % of its points lie outside"
        )
