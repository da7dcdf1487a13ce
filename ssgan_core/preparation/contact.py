"""Two contact sheets, so that one look shows whether a data set is right: entries, and what was skipped.

Entries are crops with masks and camera axes. Skipped photos are shown small with their reasons beneath.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ssgan_core.cameras import TARGET
from ssgan_core.dataset.reader import PortraitDataset
from ssgan_core.errors import SsganError
from ssgan_core.files import atomic_path
from ssgan_core.pictures import colour_mask, read_reduced, tile
from ssgan_core.preparation.pose import project
from ssgan_core.preparation.report import SkippedFace

_CELL = 192
_COLUMNS = 8
_MOST = 48
_OPACITY = 0.4
_AXIS = 0.13  # world units
_AXIS_COLOURS = ((255, 60, 60), (60, 230, 60), (80, 120, 255))  # x, y, z

_PHOTO_HEIGHT, _LINE, _LINES = 144, 14, 5  # pixels, and lines of text beneath
_MOST_THUMBNAIL = 1 << 25  # pixels of a photo that is decoded only to be shown
_GREY, _INK, _BOX = 128, (20, 20, 20), (230, 30, 30)


def write_contact_sheet(path: Path, dataset: PortraitDataset) -> None:
    """A JPEG of up to 48 entries, evenly spread over the data set.

    The world's axes start at the point that all cameras look at: red is x, green y, blue z.

    Raises:
        SsganError: an entry cannot be read, or the place cannot be written to.
    """
    chosen = np.unique(np.linspace(0, len(dataset) - 1, min(_MOST, len(dataset))).round().astype(int))
    cells = [_cell(dataset, int(index)) for index in chosen]
    with atomic_path(path) as temporary:
        Image.fromarray(tile(cells, _COLUMNS, gap=2)).save(temporary, "JPEG", quality=88)


def _cell(dataset: PortraitDataset, index: int) -> np.ndarray:
    image = dataset.image(index)
    mask = dataset.mask(index)
    colours = colour_mask(mask, dataset.schema)
    share = _OPACITY * (mask > 0)[..., None]
    blended = (image * (1 - share) + colours * share).astype(np.uint8)
    method = cv2.INTER_AREA if len(image) > _CELL else cv2.INTER_CUBIC
    cell = np.ascontiguousarray(cv2.resize(blended, (_CELL, _CELL), interpolation=method))
    origin = np.array(TARGET)
    ends = project(np.stack([origin, *(origin + _AXIS * np.eye(3))]), dataset.labels[index]) * _CELL
    start, *tips = [(round(float(x)), round(float(y))) for x, y in ends]
    for tip, colour in zip(tips, _AXIS_COLOURS, strict=True):
        cv2.line(cell, start, tip, colour, 2, cv2.LINE_AA)
    return cell


def write_skipped_sheet(path: Path, skipped: Sequence[SkippedFace]) -> None:
    """A JPEG of up to 48 skipped photos with their reasons, evenly spread over the kinds of reasons.

    A face that was turned away has a red box. A photo that cannot be decoded, or is too large to be decoded
    for this, is a grey cell. Without anything skipped, an earlier sheet is removed.

    Raises:
        SsganError: the place cannot be written to.
    """
    if not skipped:
        path.unlink(missing_ok=True)
        return
    ordered = sorted(skipped, key=lambda row: row.kind)
    chosen = np.unique(np.linspace(0, len(ordered) - 1, min(_MOST, len(ordered))).round().astype(int))
    cells = [_skipped_cell(ordered[index]) for index in chosen]
    with atomic_path(path) as temporary:
        Image.fromarray(tile(cells, _COLUMNS, gap=2)).save(temporary, "JPEG", quality=88)


def _skipped_cell(row: SkippedFace) -> np.ndarray:
    cell = Image.new("RGB", (_CELL, _PHOTO_HEIGHT + _LINE * _LINES + 4), (255, 255, 255))
    cell.paste(Image.fromarray(_thumbnail(row)))
    draw, font = ImageDraw.Draw(cell), ImageFont.load_default(11)
    lines = [_shortened(_printable(row.name), draw, font), *_wrapped(_printable(row.skip.reason), draw, font)]
    for number, line in enumerate(lines[:_LINES]):
        draw.text((2, _PHOTO_HEIGHT + 2 + number * _LINE), line, _INK, font)
    return np.asarray(cell)


def _thumbnail(row: SkippedFace) -> np.ndarray:
    """The photo in the middle of a grey cell [144, 192, 3]; nothing but grey if it cannot be decoded."""
    cell = np.full((_PHOTO_HEIGHT, _CELL, 3), _GREY, np.uint8)
    try:
        photo, (width, _) = read_reduced(row.path, 16 * _CELL * _PHOTO_HEIGHT, _MOST_THUMBNAIL)
    except SsganError:
        return cell
    scale = min(_CELL / photo.shape[1], _PHOTO_HEIGHT / photo.shape[0])
    size = (max(round(photo.shape[1] * scale), 1), max(round(photo.shape[0] * scale), 1))
    small = cv2.resize(photo, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    if row.skip.box is not None:
        x0, y0, x1, y1 = (round(value * size[0] / width) for value in row.skip.box)
        cv2.rectangle(small, (x0, y0), (x1, y1), _BOX, 1)
    top, left = (_PHOTO_HEIGHT - size[1]) // 2, (_CELL - size[0]) // 2
    cell[top : top + size[1], left : left + size[0]] = small
    return cell


def _printable(text: str) -> str:
    """What the built-in font can show."""
    return "".join(sign if sign.isprintable() and ord(sign) < 0x180 else "?" for sign in text)


def _shortened(
    text: str, draw: ImageDraw.ImageDraw, font: ImageFont.FreeTypeFont | ImageFont.ImageFont
) -> str:
    """Text that fits into a line: its end, which tells file names apart."""
    if draw.textlength(text, font) <= _CELL - 4:
        return text
    text = text[-_CELL:]
    while draw.textlength("..." + text, font) > _CELL - 4:
        text = text[1:]
    return "..." + text


def _wrapped(
    text: str, draw: ImageDraw.ImageDraw, font: ImageFont.FreeTypeFont | ImageFont.ImageFont
) -> list[str]:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if draw.textlength(longer, font) <= _CELL - 4:
            lines[-1] = longer
        else:
            lines.append(_shortened(word, draw, font))
    return lines
