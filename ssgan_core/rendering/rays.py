"""Camera rays: where each pixel's ray starts and which way it goes, differentiable in the camera labels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Rays:
    """A batch of rays, one camera an entry of the batch.

    Attributes:
        origins: [B, P, 3] camera positions, world units.
        directions: [B, P, 3] unit vectors.
        forward: [B, 3] the cameras' optical axes (OpenCV z); z_cam = (point - origin) . forward.
    """

    origins: Tensor
    directions: Tensor
    forward: Tensor


def camera_rays(labels: Tensor, resolution: int) -> Rays:
    """The rays through the pixel centres (i + 0.5) / resolution of a square image.

    The cameras are OpenCV's: x right, y down, z forward, pinhole intrinsics normalised by the image size
    (`ssgan_core.cameras`). Skew is honoured, so that `cameras.mirror_label` mirrors the rays.

    Args:
        labels: [B, 25] float32 or float64: cam2world row-major (16), then intrinsics row-major (9).
        resolution: pixels along a side; P = resolution ** 2, row-major, row 0 at the top.

    Returns:
        Rays of the labels' dtype and device, differentiable in the labels.

    Raises:
        TypeError: labels are no floating point tensor.
        ValueError: labels are not [B, 25] or resolution is not positive.
    """
    if not isinstance(labels, Tensor) or labels.dtype not in (torch.float32, torch.float64):
        raise TypeError("labels must be a float32 or float64 tensor")
    if labels.ndim != 2 or labels.shape[1] != 25:
        raise ValueError(f"labels must have shape [B, 25], got {list(labels.shape)}")
    if resolution < 1:
        raise ValueError(f"resolution must be positive, got {resolution}")
    pose = labels[:, :16].reshape(-1, 4, 4)
    matrix = labels[:, 16:].reshape(-1, 3, 3)
    rotation, position = pose[:, :3, :3], pose[:, :3, 3]

    centres = (torch.arange(resolution, dtype=labels.dtype, device=labels.device) + 0.5) / resolution
    v, u = torch.meshgrid(centres, centres, indexing="ij")
    u, v = u.flatten()[None], v.flatten()[None]
    y = (v - matrix[:, 1, 2, None]) / matrix[:, 1, 1, None]
    x = (u - matrix[:, 0, 2, None] - matrix[:, 0, 1, None] * y) / matrix[:, 0, 0, None]

    in_camera = torch.nn.functional.normalize(torch.stack([x, y, torch.ones_like(x)], dim=-1), dim=-1)
    directions = in_camera @ rotation.transpose(1, 2)
    return Rays(position[:, None].expand_as(directions), directions, rotation[:, :, 2])


def lift(places: Tensor, depth: Tensor, labels: Tensor) -> Tensor:
    """World points [B, N, 3] that cameras [B, 25] see at places [B, N, 2], as `project` tells them, at z_cam [B, N]."""
    pose, matrix = labels[:, :16].unflatten(1, (4, 4)), labels[:, 16:].unflatten(1, (3, 3))
    on_plane = torch.cat([places, torch.ones_like(places[..., :1])], dim=-1)
    in_camera = depth[..., None] * (on_plane @ torch.linalg.inv(matrix).transpose(1, 2))
    return in_camera @ pose[:, :3, :3].transpose(1, 2) + pose[:, None, :3, 3]


def project(points: Tensor, labels: Tensor) -> Tensor:
    """Where cameras [B, 25] see world points [B, N, 3]: [B, N, 2] in picture sides, x right and y down."""
    pose, matrix = labels[:, :16].unflatten(1, (4, 4)), labels[:, 16:].unflatten(1, (3, 3))
    in_camera = (points - pose[:, None, :3, 3]) @ pose[:, :3, :3]
    return (in_camera / in_camera[..., 2:]) @ matrix[:, :2].transpose(1, 2)
