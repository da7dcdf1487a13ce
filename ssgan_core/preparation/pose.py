"""The camera of a face, and the crop in which that camera is exact.

A label has two degrees of freedom, yaw and pitch: its camera stands on the sphere of radius 2.7 and looks
through (0, 0, 0.2) without roll. The other four degrees of freedom of a rigid pose (roll, distance, and the
shift in two
directions) therefore belong to the crop:

1. EG3D's five-point window gives the perspective: in it the camera is solved by PnP (SQPnP, then iterative
refinement)
   at f = 4.2647 against the canonical mesh. Its position before any normalisation is the raw radius, a sanity
   gate.
2. Yaw and pitch are the angles of that position. The crop becomes the similarity that best carries the
photo's points
   onto the canonical mesh as the label's camera sees it, which removes the roll and puts the face where the
   label says.
3. Twice is enough: the angles move by 0.03 degrees in the second round.
4. What the network that found the points is known to be off by is added to the angles (of FaceMesh:
   `pose_correction.json`, made by tools/pose_correction.py), and the crop fitted once more.

Mouth, jaw and chin move with the expression and are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

import cv2
import numpy as np

from ssgan_core import cameras
from ssgan_core.errors import SsganError
from ssgan_core.files import read_json
from ssgan_core.preparation.alignment import Crop, fitted_crop, five_point_crop
from ssgan_core.preparation.mesh import canonical_mesh

CORRECTION_FILE = Path(__file__).with_name("pose_correction.json")
_MOST_CORRECTED = np.deg2rad(10)  # of 300 synthetic portraits, none needed more than 8.5
_ROUNDS = 2
# Gates, far outside what 1,000 real portraits showed: radius 2.57 to 3.37 (it grows with yaw), error 0.009 with a
# maximum of 0.026, yaw up to 65 degrees.
_RADII = (2.3, 3.8)
_LARGEST_ERROR = 0.03
_LARGEST_YAW, _LARGEST_PITCH = np.deg2rad(75), np.deg2rad(50)


@dataclass(frozen=True)
class View:
    """A solved camera.

    Attributes:
        crop: of the photo, in which `label` is the camera.
        yaw, pitch: radians.
        raw_radius: distance of the camera from the origin in the five-point window, world units.
        error: root mean square distance of the rigid points from the mesh as the label sees it, in crop
        sides.
    """

    crop: Crop
    yaw: float
    pitch: float
    raw_radius: float
    error: float

    @property
    def label(self) -> np.ndarray:
        """[25], float32."""
        return cameras.label(self.yaw, self.pitch)


@dataclass(frozen=True)
class Correction:
    """Errors of yaw and pitch that show in where a face's rigid points lie in its crop.

    Attributes:
        mean: [R, 2] mean places of the mesh's R rigid points, in crop sides.
        slopes: [2, R, 2] radians of yaw and of pitch for each crop side that a coordinate lies off its mean.
        offset: [2] radians.
    """

    mean: np.ndarray
    slopes: np.ndarray
    offset: np.ndarray

    def of(self, points: np.ndarray) -> np.ndarray:
        """What to add to yaw and pitch [2], radians, for points [468, 2] in the crop."""
        away = points[canonical_mesh().rigid] - self.mean
        found = self.offset + np.einsum("aij,ij->a", self.slopes, away)
        return found.clip(-_MOST_CORRECTED, _MOST_CORRECTED)

    @property
    def sha256(self) -> str:
        """Hex digest, kept with every data set that used it."""
        return sha256(self.mean.tobytes() + self.slopes.tobytes() + self.offset.tobytes()).hexdigest()


@lru_cache(maxsize=1)
def face_mesh_correction() -> Correction:
    """What `landmarks.FaceMesh` is off by on synthetic portraits."""
    content = read_json(CORRECTION_FILE)
    arrays = [np.array(content[name], np.float64) for name in ("mean", "slopes", "offset")]
    for array in arrays:  # shared by everyone
        array.setflags(write=False)
    return Correction(*arrays)


def solve(points: np.ndarray, correction: Correction | None = None) -> View:
    """Camera and crop of photo landmarks [468, 2 or 3], in photo pixels.

    Args:
        points: the landmarks.
        correction: of the network that found them; None for points that are exact.

    Raises:
        SsganError: the points are no face.
    """
    mesh = canonical_mesh()
    model, image = mesh.points[mesh.rigid], np.asarray(points, np.float64)[mesh.rigid, :2]
    crop = five_point_crop(points)
    raw_radius = 0.0
    for turn in range(_ROUNDS):
        position = _camera_position(model, crop.to_crop(image))
        radius = float(np.linalg.norm(position))
        raw_radius = raw_radius if turn else radius
        yaw = float(np.arctan2(position[0], position[2]))
        pitch = float(np.arcsin(position[1] / radius))
        seen = project(model, cameras.label(yaw, pitch))
        crop = fitted_crop(image, seen)
    error = float(np.sqrt(((crop.to_crop(image) - seen) ** 2).sum(axis=1).mean()))
    if correction is not None:
        more = correction.of(crop.to_crop(np.asarray(points, np.float64)[:, :2]))
        yaw, pitch = yaw + float(more[0]), pitch + float(more[1])
        crop = fitted_crop(image, project(model, cameras.label(yaw, pitch)))
    return View(crop, yaw, pitch, raw_radius, error)


def check(view: View) -> None:
    """Gate on what no portrait's camera looks like.

    Raises:
        SsganError: saying what is implausible.
    """
    yaw, pitch = np.rad2deg([view.yaw, view.pitch])
    if abs(view.yaw) > _LARGEST_YAW or abs(view.pitch) > _LARGEST_PITCH:
        raise SsganError(f"the face is turned too far: yaw {yaw:.0f}, pitch {pitch:.0f} degrees")
    if not _RADII[0] <= view.raw_radius <= _RADII[1]:
        raise SsganError(f"the camera is implausible: raw radius {view.raw_radius:.2f}")
    if not view.error <= _LARGEST_ERROR:
        raise SsganError(f"the points fit no face: {100 * view.error:.1f} % of the crop off")


def project(points: np.ndarray, label: np.ndarray) -> np.ndarray:
    """World points [N, 3] in a label's picture [N, 2], 0..1 from the left upper corner."""
    pose, matrix = cameras.split_label(label)
    seen = (points - pose[:3, 3]) @ pose[:3, :3]  # the transpose of cam2world's rotation, from the right
    seen = seen @ matrix.T
    return seen[:, :2] / seen[:, 2:]


def _camera_position(model: np.ndarray, image: np.ndarray) -> np.ndarray:
    """World position of the camera that sees model [N, 3] at image [N, 2], 0..1."""
    matrix = cameras.intrinsics()
    try:
        found, turn, shift = cv2.solvePnP(model, image, matrix, None, flags=cv2.SOLVEPNP_SQPNP)
        if found:
            found, turn, shift = cv2.solvePnP(
                model, image, matrix, None, turn, shift, True, flags=cv2.SOLVEPNP_ITERATIVE
            )
    except cv2.error as error:
        raise SsganError("the face's points allow no camera") from error
    if not found or not np.isfinite(shift).all():
        raise SsganError("the face's points allow no camera")
    return (-cv2.Rodrigues(turn)[0].T @ shift)[:, 0]
