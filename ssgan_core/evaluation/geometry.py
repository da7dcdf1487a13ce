"""Pixels with depth as points of the world, and back; NumPy, conventions as in ssgan_core.cameras."""

from __future__ import annotations

import numpy as np

from ssgan_core.cameras import split_label


def unproject(depth: np.ndarray, label: np.ndarray) -> np.ndarray:
    """World points [H, W, 3] of pixel centres with z_cam [H, W]; those without depth (0) become the camera's place."""
    height, width = depth.shape
    u, v = np.meshgrid((np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height)
    return lift(np.stack([u, v], axis=-1), depth, label)


def lift(places: np.ndarray, depth: np.ndarray, label: np.ndarray) -> np.ndarray:
    """World points [..., 3] that a camera sees at places [..., 2], 0..1 from the left upper corner, at z_cam [...]."""
    pose, matrix = split_label(label)
    directions = np.concatenate([places, np.ones_like(places[..., :1])], axis=-1) @ np.linalg.inv(matrix).T
    return (depth[..., None] * directions) @ pose[:3, :3].T + pose[:3, 3]


def project(points: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where a camera sees world points [..., 3]: [..., 2] in 0..1 from the left upper corner, and z_cam [...]."""
    pose, matrix = split_label(label)
    seen = (points - pose[:3, 3]) @ pose[:3, :3]
    on_plane = seen @ matrix.T
    return on_plane[..., :2] / np.maximum(on_plane[..., 2:], 1e-9), seen[..., 2]
