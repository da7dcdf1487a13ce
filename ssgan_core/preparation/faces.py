"""From a photo to the points of its largest face, or of all its faces."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from ssgan_core.errors import SsganError
from ssgan_core.preparation.detection import FaceBox, FaceDetector
from ssgan_core.preparation.landmarks import FaceMesh
from ssgan_core.preparation.mesh import canonical_mesh
from ssgan_core.preparation.pose import Correction, face_mesh_correction

MOST_FACES = 100
"""Of one photo."""
_SMALLEST_FACE = 24.0  # pixels: below this a crop would be nothing but blur
_MOST_OUTSIDE = 0.1  # share of the points that may lie beyond the photo's edge


@dataclass(frozen=True)
class Face:
    """A face of a photo.

    Attributes:
        box: x0, y0, x1, y1 in photo pixels, as detected.
        points: [468, 3] as `landmarks.FaceMesh.points` gives them.
        score: 0..1, of the detection.
        others: how many more faces the photo shows; of the largest face, at the same scale.
        correction: what the points' network is known to be off by, for `pose.solve`.
    """

    box: np.ndarray
    points: np.ndarray
    score: float
    others: int
    correction: Correction | None = None


class FindsFace(Protocol):
    """What the preparation of a photo needs to know about finding faces."""

    def __call__(self, photo: np.ndarray) -> Face:
        """The largest face of photo [H, W, 3], uint8 RGB; raises SsganError where there is none to be used."""
        ...

    def every(self, photo: np.ndarray) -> list[Face]:
        """All faces of a photo, the largest first, before `check`; raises SsganError where there are none."""
        ...


class SearchesFaces(Protocol):
    """Where faces are, roughly."""

    def search(self, photo: np.ndarray) -> Iterator[list[FaceBox]]:
        """Faces of photo [H, W, 3], uint8 RGB, from coarse to fine, each list with the largest face first."""
        ...

    def search_all(self, photo: np.ndarray) -> list[FaceBox]:
        """All faces of photo [H, W, 3], uint8 RGB, each once."""
        ...


class FaceFinder:
    """Faces that a detector finds and FaceMesh confirms."""

    def __init__(self, weights_dir: Path | None = None, detector: SearchesFaces | None = None) -> None:
        """Args:
            weights_dir: as in `weights.read`.
            detector: instead of BlazeFace.

        Raises:
            SsganError: a network is missing or damaged.
        """
        self._detector = detector or FaceDetector(weights_dir)
        self._mesh = FaceMesh(canonical_mesh().mirror, weights_dir)
        self._correction = face_mesh_correction()

    def __call__(self, photo: np.ndarray) -> Face:
        """The largest usable face of photo [H, W, 3], uint8 RGB.

        Raises:
            SsganError: there is none, it is tiny, or the photo's edge cuts it off.
        """
        for faces in self._detector.search(photo):
            for face in faces:
                points = self._mesh.points(photo, face)
                if points is not None:
                    found = Face(face.box, points, face.score, len(faces) - 1, self._correction)
                    check(found, photo.shape[1], photo.shape[0])
                    return found
        raise SsganError("no face was found")

    def every(self, photo: np.ndarray) -> list[Face]:
        """All faces of photo [H, W, 3], uint8 RGB, at all scales, by the size of their points' box, falling.

        A face that two scales find is one face: candidates whose middle lies inside a larger face are left
        out. Of a crowd, the largest 100 are taken.

        Raises:
            SsganError: there is none.
        """
        found: list[Face] = []
        for face in sorted(self._detector.search_all(photo), key=lambda face: -face.area):
            if len(found) == MOST_FACES or any(_holds(other.points, face.box) for other in found):
                continue
            points = self._mesh.points(photo, face)
            if points is not None and not any(_holds(other.points, _box(points)) for other in found):
                found.append(Face(face.box, points, face.score, 0, self._correction))
        if not found:
            raise SsganError("no face was found")
        found.sort(key=lambda face: -face_pixels(face.points))
        return [replace(face, others=len(found) - 1) for face in found]


def check(face: Face, width: int, height: int) -> None:
    """Gate on faces that make no portrait.

    Raises:
        SsganError: saying why.
    """
    x, y = face.points[:, 0], face.points[:, 1]
    extent = face_pixels(face.points)
    if extent < _SMALLEST_FACE:
        raise SsganError(f"the face is only a few pixels high ({extent:.0f})")
    outside = float(((x < 0) | (y < 0) | (x > width) | (y > height)).mean())
    if outside > _MOST_OUTSIDE:
        raise SsganError(
            f"the photo's edge cuts the face off ({100 * outside:.0f} % of its points lie outside)"
        )


def face_pixels(points: np.ndarray) -> float:
    """The longer side of the box around a face's points [N, 2 or 3], in their unit."""
    return float(np.ptp(points[:, :2], axis=0).max())


def _box(points: np.ndarray) -> np.ndarray:
    return np.concatenate([points[:, :2].min(axis=0), points[:, :2].max(axis=0)])


def _holds(points: np.ndarray, box: np.ndarray) -> bool:
    """Whether a box's middle lies inside the box around points."""
    middle, (x0, y0, x1, y1) = (box[:2] + box[2:]) / 2, _box(points)
    return bool(x0 <= middle[0] <= x1 and y0 <= middle[1] <= y1)
