"""Numbers made visible: images of networks, masks, depth, and pictures side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ssgan_core.parts import PartSchema

# What colour_depth shows from white to dark: the range that the discriminator's depth channel uses too.
_SHOWN_NEAR, _SHOWN_FAR = 2.35, 3.05


def to_uint8(image: Any) -> np.ndarray:
    """A picture uint8 [H, W, 3] of finite values [3, H, W] or [H, W, 3] in [-1, 1]; outside is clipped."""
    values = np.asarray(image, np.float32)
    if values.ndim != 3 or 3 not in (values.shape[0], values.shape[2]):
        raise ValueError(f"expected [3, H, W] or [H, W, 3], got {list(values.shape)}")
    if values.shape[0] == 3:
        values = values.transpose(1, 2, 0)
    return np.round(np.clip((values + 1) * 127.5, 0, 255)).astype(np.uint8)


def colour_mask(ids: np.ndarray, schema: PartSchema) -> np.ndarray:
    """Part ids [H, W] in the schema's colours: uint8 [H, W, 3]."""
    return schema.colours[ids]


def colour_depth(z_cam: Any, alpha: Any = None) -> np.ndarray:
    """Depth as grey, near bright, nothing black: uint8 [H, W, 3]. One fixed scale, so that views compare.

    Args:
        z_cam: depth [H, W] in world units, 0 = none.
        alpha: how much foreground each pixel holds [H, W], 0..1; fades the grey into the black background.
    """
    depth = np.asarray(z_cam, np.float32)
    cover = (depth > 0).astype(np.float32)
    if alpha is not None:
        cover = cover * np.clip(np.asarray(alpha, np.float32), 0, 1)
    nearness = np.clip((_SHOWN_FAR - depth) / (_SHOWN_FAR - _SHOWN_NEAR), 0, 1)
    grey = np.round(255 * cover * (0.15 + 0.85 * nearness)).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def tile(pictures: Sequence[np.ndarray], columns: int, gap: int = 0) -> np.ndarray:
    """Pictures of one size [H, W, 3] in rows of `columns`, `gap` white pixels between; uint8.

    Cells that remain free in the last row are white.
    """
    height, width = pictures[0].shape[:2]
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    sheet = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), 255, np.uint8)
    for index, picture in enumerate(pictures):
        top, left = index // columns * (height + gap), index % columns * (width + gap)
        sheet[top : top + height, left : left + width] = picture
    return sheet
