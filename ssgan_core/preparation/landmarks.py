"""468 points of a face with FaceMesh, on a region that is rotated along the eye line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from ssgan_core.preparation.blazeface import FaceBox
from ssgan_core.preparation.networks import Network
from ssgan_core.preparation.weight_files import FACE_MESH

INPUT = 192
_REGION_SCALE = 1.5  # side of the region over the longer side of the face's box
_MIN_FACE_PROBABILITY = 0.5
_POINTS, _IS_FACE = "conv2d_21", "conv2d_31"  # the network's outputs
# Outer eye corners in the mesh: the subject's right one is on the image's left.
RIGHT_EYE_CORNER, LEFT_EYE_CORNER = 33, 263


@dataclass(frozen=True)
class Region:
    """A rotated square of a photo: centre (x, y) and side in pixels, angle of its x axis in radians."""

    centre: np.ndarray
    side: float
    angle: float

    @property
    def to_photo(self) -> np.ndarray:
        """Affine [2, 3] from the network's pixels to the photo's, pixel centres at i + 0.5 in both."""
        scale = self.side / INPUT
        cos, sin = scale * np.cos(self.angle), scale * np.sin(self.angle)
        linear = np.array([[cos, -sin], [sin, cos]])
        return np.column_stack([linear, self.centre - linear @ np.full(2, INPUT / 2)])


class _Runs(Protocol):
    def run(self, pixels: np.ndarray, output: str) -> np.ndarray: ...


class FaceMesh:
    """FaceMesh over a detected face."""

    def __init__(
        self, mirror_index: np.ndarray, weights_dir: Path | None = None, network: _Runs | None = None
    ) -> None:
        """Args:
        mirror_index: [468], the point that each becomes in a mirrored face (`mesh.CanonicalMesh`).
        weights_dir: as in `weights.read`.
        network: instead of the real one, in tests.
        """
        self._network = network or Network(FACE_MESH, weights_dir)
        self._mirror_index = mirror_index

    def points(self, photo: np.ndarray, face: FaceBox) -> np.ndarray | None:
        """Points [468, 3] of a face in photo [H, W, 3], uint8 RGB, or None where the network sees no face.

        x and y are photo pixels, z is the depth in the same unit (weak perspective, away from the camera).
        The first pass looks at the detector's box, the second at the box of the first pass's points, together
        with its mirror image: the average of the two does not know left from right, so that a mirrored photo
        gets the mirrored camera.
        """
        region = region_of_box(face)
        tile = _cut(photo, region)
        if not self._sees_face(tile):
            return None
        region = region_of_points(self._look(tile, region, mirrored=False))
        tile = _cut(photo, region)
        return (self._look(tile, region, mirrored=False) + self._look(tile, region, mirrored=True)) / 2

    def look(self, photo: np.ndarray, region: Region, mirrored: bool = False) -> np.ndarray:
        """Points [468, 3] in photo pixels of one look at a region, or at the region's mirror image."""
        return self._look(_cut(photo, region), region, mirrored)

    def _look(self, tile: np.ndarray, region: Region, mirrored: bool) -> np.ndarray:
        points = self._network.run((tile[:, ::-1] if mirrored else tile) / 255.0, _POINTS)
        points = points.reshape(468, 3).astype(np.float64)
        if mirrored:
            points[:, 0] = INPUT - points[:, 0]
            points = points[self._mirror_index]
        affine = region.to_photo
        depth = points[:, 2] * region.side / INPUT
        return np.column_stack([points[:, :2] @ affine[:, :2].T + affine[:, 2], depth])

    def _sees_face(self, tile: np.ndarray) -> bool:
        logit = float(self._network.run(tile / 255.0, _IS_FACE).reshape(-1)[0])
        return 1 / (1 + np.exp(-np.clip(logit, -80, 80))) >= _MIN_FACE_PROBABILITY


def region_of_box(face: FaceBox) -> Region:
    """The region of a detected face: along its eyes, centred on its box."""
    right, left = face.keypoints[0], face.keypoints[1]
    x0, y0, x1, y1 = face.box
    centre = np.array([(x0 + x1) / 2, (y0 + y1) / 2])
    side = _REGION_SCALE * max(x1 - x0, y1 - y0)
    return Region(centre, float(side), float(np.arctan2(left[1] - right[1], left[0] - right[0])))


def region_of_points(points: np.ndarray) -> Region:
    """The region of known points [468, 2 or 3]: along the eye corners, around the points' box."""
    line = points[LEFT_EYE_CORNER, :2] - points[RIGHT_EYE_CORNER, :2]
    angle = float(np.arctan2(line[1], line[0]))
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    upright = points[:, :2] @ turn.T
    low, high = upright.min(axis=0), upright.max(axis=0)
    return Region(turn.T @ ((low + high) / 2), float(_REGION_SCALE * (high - low).max()), angle)


def _cut(photo: np.ndarray, region: Region) -> np.ndarray:
    """The region's pixels [192, 192, 3], black beyond the photo, shrunk without aliasing."""
    factor = max(int(region.side / INPUT), 1)
    fine = region.to_photo
    fine = np.column_stack([fine[:, :2] / factor, fine[:, 2]])
    fine[:, 2] += fine[:, :2] @ np.full(2, 0.5) - 0.5  # from pixel centres at i + 0.5 to OpenCV's at i
    size = INPUT * factor
    pixels = cv2.warpAffine(photo, fine, (size, size), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    return cv2.resize(pixels, (INPUT, INPUT), interpolation=cv2.INTER_AREA) if factor > 1 else pixels
