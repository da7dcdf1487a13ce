"""Depth as 16-bit grey: what z_cam a number stands for."""

from __future__ import annotations

import numpy as np

# 16-bit depth files cover z_cam 2.0 to 3.4, the cube around the head as seen from radius 2.7.
_DEPTH_NEAR, _DEPTH_SPAN = 2.0, 1.4


def encode_depth16(z_cam: np.ndarray) -> np.ndarray:
    """z_cam (world units, 0 = none) of any shape as uint16: round((z - 2) / 1.4 * 65535), 0 = none.

    Depth outside 2.0 to 3.4 is clipped to it; steps are 2.1e-5.
    """
    scaled = np.round((np.asarray(z_cam, np.float64) - _DEPTH_NEAR) / _DEPTH_SPAN * 65535)
    return np.where(np.asarray(z_cam) > 0, np.clip(scaled, 1, 65535), 0).astype(np.uint16)


def decode_depth16(stored: np.ndarray) -> np.ndarray:
    """z_cam float32 in world units of what encode_depth16 made, any shape; 0 = none."""
    stored = stored.astype(np.float32)
    return np.where(stored > 0, _DEPTH_NEAR + _DEPTH_SPAN / 65535 * stored, 0).astype(np.float32)
