"""Small valid pictures of every format that photos come in, and what bad disks and bad people do to them."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 40, 56
_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def valid_pictures() -> dict[str, bytes]:
    """File name to content; all of one size, once turned as their EXIF says."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    noise = np.random.default_rng(0).integers(0, 30, (HEIGHT, WIDTH))
    pixels = np.stack([60 + 3 * x, 40 + 3 * y, 90 + noise], axis=-1).astype(np.uint8)
    colour = Image.fromarray(pixels)
    grey, deep = colour.convert("L"), Image.fromarray(pixels[..., 0].astype(np.uint16) * 257)
    veiled = colour.copy()
    veiled.putalpha(Image.fromarray((4 * x + 60).astype(np.uint8)))
    palette, ink = colour.quantize(32), colour.convert("CMYK")
    exif = Image.Exif()
    exif[0x0112] = 6
    lying = colour.transpose(Image.Transpose.ROTATE_90)
    second = Image.fromarray(pixels[::-1].copy())
    made = {
        "rgb.png": (colour, {}),
        "grey.png": (grey, {}),
        "deep.png": (deep, {}),
        "bits.png": (colour.convert("1"), {}),
        "palette.png": (palette, {}),
        "holes.png": (palette, {"transparency": 3}),
        "veiled.png": (veiled, {}),
        "veiled-grey.png": (veiled.convert("LA"), {}),
        "turned.png": (lying, {"exif": exif}),
        "rgb.jpg": (colour, {}),
        "grey.jpg": (grey, {}),
        "ink.jpg": (ink, {}),
        "progressive.jpeg": (colour, {"progressive": True}),
        "turned.jpg": (lying, {"exif": exif}),
        "lossy.webp": (colour, {}),
        "lossless.webp": (veiled, {"lossless": True}),
        "moving.webp": (colour, {"save_all": True, "append_images": [second]}),
        "rgb.bmp": (colour, {}),
        "palette.bmp": (palette, {}),
        "rgb.tif": (colour, {}),
        "ink.tif": (ink, {"compression": "tiff_lzw"}),
        "deep.tiff": (deep, {"compression": "tiff_adobe_deflate"}),
        "jpeg.tiff": (colour, {"compression": "jpeg"}),
        "pages.tiff": (colour, {"save_all": True, "append_images": [second]}),
    }
    contents = {}
    for name, (image, options) in made.items():
        buffer = io.BytesIO()
        suffix = name.rsplit(".", 1)[1]
        kind = {"jpg": "JPEG", "tif": "TIFF"}.get(suffix, suffix.upper())
        image.save(buffer, kind, **options)
        contents[name] = buffer.getvalue()
    return contents


def damaged(count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """`count` broken files, each with the kind of damage in its name; every kind meets every picture in turn."""
    rng = np.random.default_rng(seed)
    pictures = list(valid_pictures().items())
    for number in range(count):
        name, content = pictures[number % len(pictures)]
        kind = _KINDS[number // len(pictures) % len(_KINDS)]
        other = pictures[rng.integers(len(pictures))][1]
        yield f"{number:04}-{kind.__name__[1:]}-{name}", kind(rng, content, other)


def _truncate(rng: np.random.Generator, content: bytes, other: bytes) -> bytes:
    return content[: rng.integers(len(content))]


def _flip_bits(rng: np.random.Generator, content: bytes, other: bytes) -> bytes:
    broken = bytearray(content)
    for place in rng.integers(0, len(broken), rng.integers(1, 20)):
        broken[place] ^= 1 << int(rng.integers(8))
    return bytes(broken)


def _flip_one(rng: np.random.Generator, content: bytes, other: bytes) -> bytes:
    broken = bytearray(content)
    broken[rng.integers(len(broken))] ^= 1 << int(rng.integers(8))
    return bytes(broken)


def _header(rng: np.random.Generator, content: bytes, other: bytes) -> bytes:
    broken = bytearray(content)
    for place in rng.integers(2, min(64, len(broken)), 3):
        broken[place] = int(rng.choice([0, 1, 2, 127, 128, 254, 255]))
    return bytes(broken)


def _zeros(rng: np.random.Generator, content: bytes, other: bytes) -> bytes:
    start, end = sorted(rng.integers(0, len(content), 2).tolist())
    return content[:start] + bytes(end - start) + content[end:]


def _ones(rng: np.random.Generator, content: bytes, other: bytes) -> bytes:
    start, end = sorted(rng.integers(8, len(content), 2).tolist())
    return content[:start] + b"\xff" * (end - start) + content[end:]


def _splice(rng: np.random.Generator, content: bytes, other: bytes) -> bytes:
    return content[: rng.integers(len(content))] + other[rng.integers(len(other)) :]


def _repeat(rng: np.random.Generator, content: bytes, other: bytes) -> bytes:
    start, end = sorted(rng.integers(0, len(content), 2).tolist())
    return content[:end] + content[start:end] * int(rng.integers(1, 4)) + content[end:]


def _remove(rng: np.random.Generator, content: bytes, other: bytes) -> bytes:
    start, end = sorted(rng.integers(8, len(content), 2).tolist())
    return content[:start] + content[end:]


def _insert(rng: np.random.Generator, content: bytes, other: bytes) -> bytes:
    place = rng.integers(len(content))
    return content[:place] + rng.bytes(int(rng.integers(1, 200))) + content[place:]


def _noise(rng: np.random.Generator, content: bytes, other: bytes) -> bytes:
    start = int(rng.integers(4, 40))
    return content[:start] + rng.bytes(len(content) - start)


def _garbage_after(rng: np.random.Generator, content: bytes, other: bytes) -> bytes:
    return content + rng.bytes(500)


def _chunks(rng: np.random.Generator, content: bytes, other: bytes) -> bytes:
    """PNG: a chunk doubled, dropped, moved or edited, its checksum right; TIFF: a tag edited; others: bytes moved."""
    if content.startswith(_SIGNATURE):
        parts = list(png_chunks(content))
        index = int(rng.integers(len(parts)))
        kind, data = parts[index]
        deed = rng.integers(4)
        if deed == 0:
            parts.insert(index, (kind, data))
        elif deed == 1:
            del parts[index]
        elif deed == 2:
            parts.insert(int(rng.integers(len(parts))), parts.pop(index))
        else:
            parts[index] = (kind, _flip_bits(rng, data, b"") if data else rng.bytes(9))
        return png_of(parts)
    if content.startswith(b"II*\0"):
        broken = bytearray(content)
        (directory,) = struct.unpack_from("<I", broken, 4)
        (tags,) = struct.unpack_from("<H", broken, directory)
        place = directory + 2 + 12 * int(rng.integers(tags)) + int(rng.choice([2, 4, 8]))
        broken[place : place + 2] = rng.bytes(2)
        return bytes(broken)
    middle = int(rng.integers(12, len(content)))
    return content[:12] + content[middle:] + content[12:middle]


def _claim(rng: np.random.Generator, content: bytes, other: bytes) -> bytes:
    """The header claims another size, mostly an enormous one."""
    width, height = (int(rng.choice([0, 1, 30, 5_000, 20_000, 65_535, 1 << 24, (1 << 31) - 1])) for _ in "wh")
    return claiming(content, width, height)


_KINDS: list[Callable[[np.random.Generator, bytes, bytes], bytes]] = [
    _truncate, _flip_bits, _flip_one, _header, _zeros, _ones, _splice, _repeat, _remove, _insert, _noise,
    _garbage_after, _chunks, _claim,
]  # fmt: skip


def claiming(content: bytes, width: int, height: int) -> bytes:
    """A picture whose header tells another size, as far as its format can."""
    broken = bytearray(content)
    if content.startswith(_SIGNATURE):
        kind, data = next(png_chunks(content))
        head = struct.pack(">II", width & 0x7FFFFFFF, height & 0x7FFFFFFF) + data[8:]
        return png_of([(kind, head), *list(png_chunks(content))[1:]])
    if content.startswith(b"\xff\xd8"):
        frame = max(content.find(b"\xff\xc0"), content.find(b"\xff\xc2"))
        struct.pack_into(">HH", broken, frame + 5, height & 0xFFFF, width & 0xFFFF)
    elif content.startswith(b"BM"):
        struct.pack_into("<ii", broken, 18, width, height)
    elif content.startswith(b"II*\0"):
        (directory,) = struct.unpack_from("<I", broken, 4)
        for entry in range(directory + 2, directory + 2 + 24, 12):  # its first two tags are width and height
            (tag,) = struct.unpack_from("<H", broken, entry)
            struct.pack_into("<HII", broken, entry + 2, 4, 1, width if tag == 256 else height)
    elif content[8:12] == b"WEBP":
        if content[12:16] == b"VP8X":
            broken[24:27], broken[27:30] = (
                (side & 0xFFFFFF).to_bytes(3, "little") for side in (width, height)
            )
        elif content[12:16] == b"VP8 ":
            struct.pack_into("<HH", broken, 26, width & 0x3FFF, height & 0x3FFF)
        else:
            struct.pack_into("<I", broken, 21, (width & 0x3FFF) | (height & 0x3FFF) << 14)
    return bytes(broken)


def png_chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and data of each chunk of a valid PNG."""
    place = len(_SIGNATURE)
    while place < len(content):
        (size,) = struct.unpack_from(">I", content, place)
        yield content[place + 4 : place + 8], content[place + 8 : place + 8 + size]
        place += size + 12


def png_of(parts: list[tuple[bytes, bytes]]) -> bytes:
    """A PNG of chunks, with right lengths and checksums."""
    rows = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )
    return _SIGNATURE + b"".join(rows)
