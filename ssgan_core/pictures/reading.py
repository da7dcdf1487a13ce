"""Pictures of unknown origin, read: photos, label maps, depth. Nothing is trusted until it is decoded."""

from __future__ import annotations

import io
import logging
import math
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from ssgan_core.errors import SsganError
from ssgan_core.pictures.depth16 import decode_depth16

MAX_PIXELS = 89_478_485
"""Default limit of a picture's size: Pillow's own, a quarter of a gigabyte in RGB."""

# What each EXIF orientation does to an array of rows; 1 and everything unknown do nothing.
EXIF_TURNS: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: np.fliplr,
    3: lambda rows: np.rot90(rows, 2),
    4: np.flipud,
    5: lambda rows: rows.swapaxes(0, 1),
    6: lambda rows: np.rot90(rows, -1),
    7: lambda rows: np.rot90(rows, 2).swapaxes(0, 1),
    8: np.rot90,
}
_ORIENTATION = 0x0112  # EXIF tag
_STRIP_PIXELS = 1 << 21  # converted at a time: Pillow's conversions keep several copies

# Formats that photos and masks come in. Pillow knows others that start programs (EPS) or are hardly
# hardened; none of them is needed.
_FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "PPM")
# Pillow's WebP decoder keeps 15 bytes a pixel, the others about 4: its pictures may have a third of the pixels.
_HEAVY = {"WEBP": 3}
# What Pillow's decoders are known to raise on broken files.
_DECODER_ERRORS = (
    OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, AttributeError, ArithmeticError,
    EOFError, RuntimeError, MemoryError, struct.error, zlib.error,
)  # fmt: skip

# Pillow also logs what it finds odd, and Python prints log entries that nobody handles.
logging.getLogger("PIL").addHandler(logging.NullHandler())


def read_image(source: Path | bytes, max_pixels: int = MAX_PIXELS, name: str = "") -> np.ndarray:
    """A photo as it is meant to be seen: uint8 [H, W, 3].

    The EXIF rotation is applied, transparency composited on white, 16-bit grey scaled by 1/257 (Pillow's
    own conversion clips it), CMYK, grey and palettes converted. Of an animation, the first frame.

    Args:
        source: a file's path or its content.
        max_pixels: refuse larger pictures, judged by the header before anything is decoded; WebP from a third of
            this on.
        name: what to call the picture in errors; by default its path.

    Raises:
        SsganError: it is missing, damaged, too large or no picture.
    """
    return read_reduced(source, max_pixels, max_pixels, name)[0]


def read_reduced(
    source: Path | bytes, most_pixels: int, max_pixels: int, name: str = ""
) -> tuple[np.ndarray, tuple[int, int]]:
    """A photo as read_image gives it, made smaller by averaging if it has more than `most_pixels`.

    A large JPEG is decoded at half, a quarter or an eighth of its size; other formats are decoded whole and
    averaged strip by strip.

    Args:
        source, max_pixels, name: as in read_image.
        most_pixels: of what is returned, but for a rounded-up last row and column.

    Returns:
        The picture uint8 [h, w, 3], and width and height of the stored photo as it is displayed.

    Raises:
        SsganError: as read_image.
    """
    with _opened(source, max_pixels, name) as image:
        stored = image.size
        if (factor := _factor(stored, most_pixels)) > 1:
            image.draft(None, (stored[0] // factor, stored[1] // factor))
        return _displayed(image, stored, most_pixels)


def read_draft(
    source: Path | bytes, least_pixels: int, max_pixels: int, name: str = ""
) -> tuple[np.ndarray, tuple[int, int]] | None:
    """A large JPEG at half, a quarter or an eighth of its size, in a fraction of the time.

    Args:
        source, max_pixels, name: as in read_image.
        least_pixels: of what is returned.

    Returns:
        As read_reduced; None if it is no JPEG, or none that half the size of has so many pixels.

    Raises:
        SsganError: as read_image.
    """
    with _opened(source, max_pixels, name) as image:
        stored = image.size
        factor = int(math.sqrt(stored[0] * stored[1] / least_pixels))
        if image.format != "JPEG" or factor < 2:
            return None
        power = 1 << min(factor.bit_length() - 1, 3)
        image.draft(None, (stored[0] // power, stored[1] // power))
        return _displayed(image, stored, max_pixels)


def read_orientation(source: Path, max_pixels: int = MAX_PIXELS, name: str = "") -> int:
    """The EXIF orientation of a picture that has still to be turned: a key of EXIF_TURNS, or 1.

    Raises:
        SsganError: as read_image.
    """
    with _opened(source, max_pixels, name) as image:
        return _orientation(image)


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


@contextmanager
def _opened(source: Path | bytes, max_pixels: int, name: str) -> Iterator[Image.Image]:
    """The open, not yet decoded picture; every failure of a decoder becomes an SsganError naming the file.

    Pillow's warnings are dropped: they tell of odd metadata, and of sizes that are checked here.
    """
    called = _name_of(source, name)
    content = io.BytesIO(source) if isinstance(source, bytes) else source
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(content, formats=_FORMATS) as image:
                most = max_pixels // _HEAVY.get(image.format or "", 1)
                if image.width * image.height > most:
                    raise SsganError(
                        f"{called} has {image.width} x {image.height} pixels, more than {most} in all",
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


def _orientation(image: Image.Image) -> int:
    value = image.getexif().get(_ORIENTATION, 1)
    return value if value in EXIF_TURNS else 1


def _name_of(source: Path | bytes, name: str) -> str:
    return name or ("the given bytes" if isinstance(source, bytes) else str(source))


def _displayed(
    image: Image.Image, stored: tuple[int, int], most_pixels: int
) -> tuple[np.ndarray, tuple[int, int]]:
    """What read_reduced returns, of an open picture of the size `stored` that may have been set to a draft."""
    drafted = image.size != stored
    image.load()  # a TIFF is turned here already, and then says so
    width, height = stored if drafted else image.size
    turn = _orientation(image)
    pixels = _rgb_in_strips(image, _factor(image.size, most_pixels))
    if turn >= 5:
        width, height = height, width
    return np.ascontiguousarray(EXIF_TURNS[turn](pixels)) if turn > 1 else pixels, (width, height)


def _factor(size: tuple[int, int], most_pixels: int) -> int:
    """The whole factor by which both sides have to shrink."""
    return max(math.ceil(math.sqrt(size[0] * size[1] / most_pixels)), 1)


def _rgb_in_strips(image: Image.Image, factor: int) -> np.ndarray:
    """uint8 [ceil(H / factor), ceil(W / factor), 3], each pixel the mean of a square of `factor`."""
    width, height = image.size
    rows = max(_STRIP_PIXELS // width // factor, 1) * factor
    if rows >= height and factor == 1:
        return _rgb(image)
    pixels = np.empty((-(-height // factor), -(-width // factor), 3), np.uint8)
    for top in range(0, height, rows):
        strip = _rgb(image.crop((0, top, width, min(top + rows, height))))
        small = strip if factor == 1 else np.asarray(Image.fromarray(strip).reduce(factor))
        pixels[top // factor : top // factor + len(small)] = small
    return pixels


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
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))
