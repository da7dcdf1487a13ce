"""Pictures as arrays and files: reading photos of unknown origin, writing PNG, colouring masks and depth.

NumPy and Pillow only. Pictures are uint8 [H, W, 3] sRGB, masks uint8 part ids [H, W], depth z_cam [H, W]
(OpenCV z, world units, 0 where there is none).
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from ssgan_core.errors import SsganError
from ssgan_core.files import atomic_path
from ssgan_core.parts import PartSchema

MAX_PIXELS = 89_478_485
"""Default limit of a picture's size: Pillow's own, a quarter of a gigabyte in RGB."""

# 16-bit depth files cover z_cam 2.0 to 3.4, the cube around the head as seen from radius 2.7.
_DEPTH_NEAR, _DEPTH_SPAN = 2.0, 1.4
# What colour_depth shows from white to dark: the range that the discriminator's depth channel uses too.
_SHOWN_NEAR, _SHOWN_FAR = 2.35, 3.05

# Formats that photos and masks come in. Pillow knows others that start programs (EPS) or are hardly
# hardened; none of them is needed.
_FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "PPM")
# What Pillow's decoders are known to raise on broken files; their warnings too, where those are errors.
_DECODER_ERRORS = (
    OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, AttributeError, ArithmeticError,
    EOFError, RuntimeError, MemoryError, struct.error, zlib.error, Warning,
)  # fmt: skip

# ------------------------------------------------------------------------------------------ reading


def read_image(source: Path | bytes, max_pixels: int = MAX_PIXELS, name: str = "") -> np.ndarray:
    """A photo as it is meant to be seen: uint8 [H, W, 3].

    The EXIF rotation is applied, transparency composited on white, 16-bit grey scaled by 1/257 (Pillow's
    own conversion clips it), CMYK, grey and palettes converted. Of an animation, the first frame.

    Args:
        source: a file's path or its content.
        max_pixels: refuse larger pictures, judged by the header before anything is decoded.
        name: what to call the picture in errors; by default its path.

    Raises:
        SsganError: it is missing, damaged, too large or no picture.
    """
    with _opened(source, max_pixels, name) as image:
        return _rgb(ImageOps.exif_transpose(image))


def read_ids(source: Path | bytes, max_pixels: int = MAX_PIXELS, name: str = "") -> np.ndarray:
    """A label map: the palette indices or the 8-bit grey values of a picture, uint8 [H, W].

    Raises:
        SsganError: as read_image, or the picture has colours instead of ids.
    """
    with _opened(source, max_pixels, name) as image:
        if image.mode not in ("P", "L"):
            raise SsganError(
                f"{_name_of(source, name)} is no label map: its pixels are {image.mode}, not ids",
                "masks are PNG with a palette or with 8-bit grey values",
            )
        return np.array(image)


def load_depth16(source: Path | bytes, max_pixels: int = MAX_PIXELS, name: str = "") -> np.ndarray:
    """Depth written by save_depth16: z_cam float32 [H, W], 0 where there is none.

    Raises:
        SsganError: as read_image, or the picture is no 16-bit grey one.
    """
    with _opened(source, max_pixels, name) as image:
        if not image.mode.startswith("I"):
            raise SsganError(
                f"{_name_of(source, name)} is no depth: its pixels are {image.mode}, not 16-bit grey"
            )
        return decode_depth16(np.array(image))


def decode_depth16(stored: np.ndarray) -> np.ndarray:
    """z_cam float32 in world units of what encode_depth16 made, any shape; 0 = none."""
    stored = stored.astype(np.float32)
    return np.where(stored > 0, _DEPTH_NEAR + _DEPTH_SPAN / 65535 * stored, 0).astype(np.float32)


@contextmanager
def _opened(source: Path | bytes, max_pixels: int, name: str) -> Iterator[Image.Image]:
    """The open, not yet decoded picture; every failure of a decoder becomes an SsganError naming the file."""
    called = _name_of(source, name)
    try:
        with Image.open(
            io.BytesIO(source) if isinstance(source, bytes) else source, formats=_FORMATS
        ) as image:
            if image.width * image.height > max_pixels:
                raise SsganError(
                    f"{called} has {image.width} x {image.height} pixels, more than {max_pixels} in all",
                    "make it smaller first",
                )
            yield image
    except Image.UnidentifiedImageError as error:
        raise SsganError(
            f"{called} is not a picture that can be read", "PNG, JPEG, WebP, TIFF, BMP, GIF, PPM"
        ) from error
    except Image.DecompressionBombError as error:
        raise SsganError(f"{called} is too large: {error}", "make it smaller first") from error
    except _DECODER_ERRORS as error:
        reason = (
            error.strerror if isinstance(error, OSError) and error.strerror else str(error) or repr(error)
        )
        raise SsganError(f"cannot read {called}: {reason}") from error


def _name_of(source: Path | bytes, name: str) -> str:
    return name or ("the given bytes" if isinstance(source, bytes) else str(source))


def _rgb(image: Image.Image) -> np.ndarray:
    if image.mode.startswith("I"):  # I;16, I;16B, and I for 16-bit grey in older Pillow
        grey = np.clip(np.array(image).astype(np.int64), 0, 65535)
        return np.repeat(((grey + 128) // 257).astype(np.uint8)[..., None], 3, axis=2)
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers of unknown range")
    if image.has_transparency_data:
        colour = image.convert("RGBA")
        white = Image.new("RGBA", colour.size, (255, 255, 255, 255))
        return np.array(Image.alpha_composite(white, colour).convert("RGB"))
    return np.array(image.convert("RGB"))


# ------------------------------------------------------------------------------------------ writing


def save_png(path: Path, array: np.ndarray, palette: np.ndarray | None = None) -> None:
    """Write a PNG atomically, with little compression (the usual level takes 5 to 8 times longer).

    Args:
        path: the file.
        array: uint8 [H, W, 3], uint8 [H, W] or uint16 [H, W].
        palette: colours uint8 [n, 3]; then `array` is uint8 [H, W] and holds indices.

    Raises:
        SsganError: the place cannot be written to, or the disk is full.
    """
    with atomic_path(path) as temporary:
        temporary.write_bytes(encode_png(array, palette))


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
    if ids.dtype != np.uint8 or ids.ndim != 2 or ids.max(initial=0) >= len(schema.parts):
        raise ValueError(f"masks are uint8 [H, W] with ids below {len(schema.parts)}")
    save_png(path, ids, schema.colours)


def save_depth16(path: Path, z_cam: np.ndarray) -> None:
    """Write z_cam [H, W] (world units, 0 = none) as a 16-bit PNG (see encode_depth16)."""
    save_png(path, encode_depth16(z_cam))


def encode_depth16(z_cam: np.ndarray) -> np.ndarray:
    """z_cam (world units, 0 = none) of any shape as uint16: round((z - 2) / 1.4 * 65535), 0 = none.

    Depth outside 2.0 to 3.4 is clipped to it; steps are 2.1e-5.
    """
    scaled = np.round((np.asarray(z_cam, np.float64) - _DEPTH_NEAR) / _DEPTH_SPAN * 65535)
    return np.where(np.asarray(z_cam) > 0, np.clip(scaled, 1, 65535), 0).astype(np.uint16)


# ----------------------------------------------------------------------------------------- colouring


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
