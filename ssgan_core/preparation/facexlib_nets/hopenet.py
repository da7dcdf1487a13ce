"""A second opinion on a head's pose: Hopenet, as facexlib holds it.

Hopenet learnt the angles of 300W-LP: the head turned by R = Rx(-pitch) Ry(-yaw) Rz(-roll) in front of a fixed
camera, with x to the image's right, y up and z towards the viewer (Ruiz et al. 2018; Zhu et al. 2016). This
project keeps the head still and moves the camera (docs/conventions.md). The camera's direction in the head's
frame is R's last row; it has the same yaw, the opposite pitch, and roll mixes in only where the head is tilted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from ssgan_core.errors import SsganError
from ssgan_core.preparation.facexlib_nets.loading import facexlib_module, load_network
from ssgan_core.preparation.weight_files import HOPENET

INPUT = 224
# It was trained on loose boxes around the landmarks: of this project's crops that is the middle, 80 % wide.
_WINDOW = (0.1, 0.9)
# ImageNet's, RGB: what Hopenet was trained on. (The script that comes with facexlib's sources feeds BGR.)
_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
_DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)
# Far above Hopenet's published mean error of about 6 degrees an angle on AFLW2000: it finds blunders, no more.
LARGEST_DISAGREEMENT = 20.0


@dataclass(frozen=True)
class HeadPose:
    """Angles in degrees, in this project's sense.

    Attributes:
        yaw: of the camera, positive to +x: the subject's left cheek comes into view.
        pitch: of the camera, positive up.
        roll: by which the head is tilted in the image, positive clockwise.
    """

    yaw: float
    pitch: float
    roll: float


class Hopenet:
    """Head pose of a crop.

    Attributes:
        networks: digest of the weights, by file name.
    """

    def __init__(
        self,
        weights_dir: Path | None = None,
        device: torch.device | str = "cpu",
        network: Callable[[Tensor], tuple[Tensor, Tensor, Tensor]] | None = None,
    ) -> None:
        """Load the network.

        Args:
            weights_dir: as in `weights.read`.
            device: where to run.
            network: instead of the real one, in tests: [1, 3, 224, 224] to yaw, pitch and roll, [1] each.

        Raises:
            SsganError: facexlib or the weights are missing, or they are not as expected.
        """
        self._device = torch.device(device)
        self.networks: dict[str, str] = {}
        if network is None:
            arch = facexlib_module("headpose.hopenet_arch")
            network, self.networks = load_network(
                HOPENET,
                lambda: arch.HopeNet("resnet", [3, 4, 6, 3], 66),
                weights_dir,
                self._device,
                key="params",
            )
        self._network = network

    @torch.inference_mode()
    def __call__(self, crop: np.ndarray) -> HeadPose:
        """The pose in a crop, uint8 RGB [R, R, 3], framed as this project's data sets are.

        Raises:
            SsganError: the network gives no numbers.
        """
        size = crop.shape[0]
        start, end = round(_WINDOW[0] * size), round(_WINDOW[1] * size)
        window = crop[start:end, start:end]
        shrinks = end - start > INPUT
        window = cv2.resize(
            window, (INPUT, INPUT), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        )
        scaled = (window.astype(np.float32) / 255 - _MEAN) / _DEVIATION
        tensor = torch.from_numpy(np.ascontiguousarray(scaled.transpose(2, 0, 1)))[None].to(self._device)
        angles = [float(angle) for angle in self._network(tensor)]
        if not np.isfinite(angles).all():
            raise SsganError("Hopenet sees no head")
        return converted(*angles)


def converted(yaw: float, pitch: float, roll: float) -> HeadPose:
    """This project's angles from Hopenet's, all in degrees."""
    turn = _about(0, -pitch) @ _about(1, -yaw) @ _about(2, -roll)
    x, y, z = turn[2]  # the direction to the viewer, in the head's frame
    camera_yaw, camera_pitch = np.arctan2(x, z), np.arcsin(np.clip(y, -1, 1))
    # Where the head's image would have its x axis without tilt: the camera's right, from docs/conventions.md.
    right = turn @ np.array([np.cos(camera_yaw), 0.0, -np.sin(camera_yaw)])
    tilt = -np.arctan2(right[1], right[0])
    return HeadPose(*(float(np.rad2deg(angle)) for angle in (camera_yaw, camera_pitch, tilt)))


def disagreement(pose: HeadPose, yaw: float, pitch: float) -> float:
    """Degrees between the directions of Hopenet's camera and of another one, given in radians."""
    first, second = (
        np.array([np.sin(a) * np.cos(b), np.sin(b), np.cos(a) * np.cos(b)])
        for a, b in ((np.deg2rad(pose.yaw), np.deg2rad(pose.pitch)), (yaw, pitch))
    )
    return float(np.rad2deg(np.arctan2(np.linalg.norm(np.cross(first, second)), first @ second)))


def check(pose: HeadPose, yaw: float, pitch: float) -> None:
    """Gate on a solved camera (radians) that Hopenet contradicts.

    Raises:
        SsganError: they differ by more than LARGEST_DISAGREEMENT.
    """
    degrees = disagreement(pose, yaw, pitch)
    if degrees > LARGEST_DISAGREEMENT:
        raise SsganError(
            f"two estimates of the camera differ by {degrees:.0f} degrees (Hopenet: yaw {pose.yaw:.0f}, "
            f"pitch {pose.pitch:.0f})"
        )


def _about(axis: int, degrees: float) -> np.ndarray:
    """Right-handed rotation about a coordinate axis."""
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    first, second = (axis + 1) % 3, (axis + 2) % 3
    turn = np.eye(3)
    turn[first, first] = turn[second, second] = cos
    turn[first, second], turn[second, first] = -sin, sin
    return turn
