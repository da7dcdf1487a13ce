"""Camera conventions, in one place: labels, angles, mirroring, pose sampling and orbits.

World: x right, y up, z towards the frontal camera, EG3D's scale and origin. Cameras follow OpenCV (x right,
y down, z forward): `cam2world` is 4x4, `intrinsics` 3x3 and normalised by the image size. A label is 25
floats: cam2world row-major (16), then intrinsics row-major (9), as in EG3D's dataset.json. Yaw and pitch are
radians and always mean the position's angles:
position = 2.7 (sin yaw cos pitch, sin pitch, cos yaw cos pitch).
Positive yaw moves the camera to +x, positive pitch up. The optical axis passes through (0, 0, 0.2), up is +y,
there is no roll.

Everything here is NumPy and cheap; rays, which need gradients, are made in `ssgan_core.rendering.rays`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ssgan_core.errors import SsganError

RADIUS = 2.7
TARGET = (0.0, 0.0, 0.2)
FOCAL = 4.2647  # in image sizes: 13.4 degrees from edge to edge

_LARGEST = 1e6  # no number of a label comes near
_FLIP_X = np.diag([-1.0, 1.0, 1.0, 1.0])


def intrinsics(focal: float = FOCAL) -> np.ndarray:
    """Normalised pinhole intrinsics [3, 3] with the principal point in the middle."""
    return np.array([[focal, 0, 0.5], [0, focal, 0.5], [0, 0, 1]], np.float64)


def cam2world(yaw: Any, pitch: Any) -> np.ndarray:
    """Camera poses [..., 4, 4], float64, of angles in radians (scalars or arrays of one shape).

    Pitch must stay inside +-pi/2: looking straight down leaves "up" undefined.
    """
    yaw, pitch = np.broadcast_arrays(np.asarray(yaw, np.float64), np.asarray(pitch, np.float64))
    position = RADIUS * np.stack(
        [np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)], axis=-1
    )
    forward = _normalised(np.asarray(TARGET) - position)
    right = _normalised(np.cross(forward, np.array([0.0, 1.0, 0.0])))
    down = np.cross(forward, right)
    pose = np.zeros((*yaw.shape, 4, 4))
    pose[..., :3, :3] = np.stack([right, down, forward], axis=-1)
    pose[..., :3, 3] = position
    pose[..., 3, 3] = 1.0
    return pose


def label(yaw: Any, pitch: Any, focal: float = FOCAL) -> np.ndarray:
    """Labels [..., 25], float32, of angles in radians."""
    return join_label(cam2world(yaw, pitch), intrinsics(focal))


def join_label(pose: np.ndarray, camera_intrinsics: np.ndarray) -> np.ndarray:
    """Labels [..., 25], float32, from cam2world [..., 4, 4] and intrinsics [3, 3] or [..., 3, 3]."""
    batch = pose.shape[:-2]
    matrices = np.broadcast_to(camera_intrinsics, (*batch, 3, 3))
    return np.concatenate([pose.reshape(*batch, 16), matrices.reshape(*batch, 9)], axis=-1).astype(np.float32)


def split_label(labels: Any) -> tuple[np.ndarray, np.ndarray]:
    """cam2world [..., 4, 4] and intrinsics [..., 3, 3], float64, of labels [..., 25]."""
    labels = np.asarray(labels, np.float64)
    batch = labels.shape[:-1]
    return labels[..., :16].reshape(*batch, 4, 4), labels[..., 16:].reshape(*batch, 3, 3)


def angles(labels: Any) -> tuple[np.ndarray, np.ndarray]:
    """Yaw and pitch of the camera positions in radians, from labels [..., 25]."""
    position = split_label(labels)[0][..., :3, 3]
    distance = np.linalg.norm(position, axis=-1)
    return (
        np.arctan2(position[..., 0], position[..., 2]),
        np.arcsin(np.clip(position[..., 1] / np.maximum(distance, 1e-12), -1, 1)),
    )


def mirror_label(labels: Any) -> np.ndarray:
    """Labels [..., 25], float32, of the mirrored image: S P S with S = diag(-1, 1, 1, 1), cx -> 1 - cx."""
    pose, matrix = split_label(labels)
    matrix = matrix.copy()
    matrix[..., 0, 2] = 1 - matrix[..., 0, 2]
    matrix[..., 0, 1] = -matrix[..., 0, 1]
    return join_label(_FLIP_X @ pose @ _FLIP_X, matrix)


def check_label(values: Any, source: str) -> np.ndarray:
    """One valid label [25], float32: finite, a rigid pose away from the head, a usable focal length.

    Args:
        values: 25 numbers from a file.
        source: what to call them in an error, such as the file's name.

    Raises:
        SsganError: they are no camera.
    """
    try:
        row = np.asarray(values, np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise SsganError(f"{source}: the camera label is not a list of numbers") from error
    if row.shape != (25,):
        raise SsganError(f"{source}: a camera label has 25 numbers, found shape {list(row.shape)}")
    if not (np.abs(row) < _LARGEST).all():  # also true of NaN
        raise SsganError(f"{source}: the camera label holds numbers that are not finite or absurdly large")
    pose, matrix = split_label(row)
    rotation = pose[:3, :3]
    rigid = np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-2) and np.linalg.det(rotation) > 0
    if not rigid or not np.allclose(pose[3], [0, 0, 0, 1], atol=1e-4):
        raise SsganError(f"{source}: the camera label's first 16 numbers are no rigid cam2world matrix")
    if matrix[0, 0] <= 0 or matrix[1, 1] <= 0:
        raise SsganError(f"{source}: the camera label's focal length is not positive")
    if np.linalg.norm(pose[:3, 3]) < 0.5:
        raise SsganError(f"{source}: the camera stands inside the head", "EG3D's labels have radius 2.7")
    return row.astype(np.float32)


@dataclass(frozen=True)
class PoseDistribution:
    """Normal yaw and pitch, clipped at two standard deviations (radians)."""

    yaw_mean: float = 0.0
    yaw_std: float = 0.3
    pitch_mean: float = 0.0
    pitch_std: float = 0.15

    def sample(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Labels [count, 25]."""
        yaw, pitch = np.clip(rng.standard_normal((2, count)), -2, 2)
        return label(self.yaw_mean + self.yaw_std * yaw, self.pitch_mean + self.pitch_std * pitch)


def orbit(
    frames: int, yaw_range: float = 0.5, pitch_range: float = 0.2, pitch_mean: float = 0.0
) -> np.ndarray:
    """Labels [frames, 25] of a closed elliptic path: frame 0 looks from straight ahead and highest."""
    phase = 2 * np.pi * np.arange(frames) / frames
    return label(yaw_range * np.sin(phase), pitch_mean + pitch_range * np.cos(phase))


def _normalised(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
