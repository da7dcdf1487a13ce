"""Pictures, masks and depth as files."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from ssgan_core.files import write_bytes
from ssgan_core.parts import PartSchema
from ssgan_core.pictures.depth16 import encode_depth16


def save_png(path: Path, array: np.ndarray, palette: np.ndarray | None = None) -> None:
    """Write a PNG atomically, with little compression (the usual level takes 5 to 8 times longer).

    Args:
        path: the file.
        array: uint8 [H, W, 3], uint8 [H, W] or uint16 [H, W].
        palette: colours uint8 [n, 3]; then `array` is uint8 [H, W] and holds indices.

    Raises:
        SsganError: the place cannot be written to, or the disk is full.
    """
    write_bytes(path, encode_png(array, palette))


def encode_png(array: np.ndarray, palette: np.ndarray | None = None) -> bytes:
    """The content of save_png's file."""
    if array.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"a PNG takes uint8 or uint16, not {array.dtype}")
    image = Image.fromarray(np.ascontiguousarray(array))
    if palette is not None:
        image.putpalette(palette.astype(np.uint8).tobytes())
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()


def encode_jpeg(array: np.ndarray, quality: int = 90) -> bytes:
    """A JPEG of a picture uint8 [H, W, 3], colours at full resolution; for looking at, never for measuring."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(array)).save(buffer, format="JPEG", quality=quality, subsampling=0)
    return buffer.getvalue()


def save_mask(path: Path, ids: np.ndarray, schema: PartSchema) -> None:
    """Write part ids uint8 [H, W] as an indexed PNG in the schema's colours."""
    write_bytes(path, encode_mask(ids, schema))


def encode_mask(ids: np.ndarray, schema: PartSchema) -> bytes:
    """The content of save_mask's file."""
    if ids.dtype != np.uint8 or ids.ndim != 2 or ids.max(initial=0) >= len(schema.parts):
        raise ValueError(f"masks are uint8 [H, W] with ids below {len(schema.parts)}")
    return encode_png(ids, schema.colours)


def save_depth16(path: Path, z_cam: np.ndarray) -> None:
    """Write z_cam [H, W] (world units, 0 = none) as a 16-bit PNG (see encode_depth16)."""
    save_png(path, encode_depth16(z_cam))
