"""Pixels with depth as points of the world, and back; NumPy, conventions as in ssgan_core.cameras."""

from __future__ import annotations

import numpy as np

from ssgan_core.cameras import split_label


def unproject(depth: np.ndarray, label: np.ndarray) -> np.ndarray:
    """World points [H, W, 3] of pixel centres with z_cam [H, W]; those without depth (0) become the camera's place."""
    pose, matrix = split_label(label)
    height, width = depth.shape
    u, v = np.meshgrid((np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height)
    directions = np.stack([u, v, np.ones_like(u)], axis=-1) @ np.linalg.inv(matrix).T
    return (depth[..., None] * directions) @ pose[:3, :3].T + pose[:3, 3]


def project(points: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where a camera sees world points [..., 3]: [..., 2] in 0..1 from the left upper corner, and z_cam [...]."""
    pose, matrix = split_label(label)
    seen = (points - pose[:3, 3]) @ pose[:3, :3]
    on_plane = seen @ matrix.T
    return on_plane[..., :2] / np.maximum(on_plane[..., 2:], 1e-9), seen[..., 2]
