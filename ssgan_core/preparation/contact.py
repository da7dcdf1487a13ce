"""The contact sheet: crops with masks and camera axes, so that one look shows whether a data set is right."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from ssgan_core.cameras import TARGET
from ssgan_core.dataset.reader import PortraitDataset
from ssgan_core.files import atomic_path
from ssgan_core.pictures import colour_mask, tile
from ssgan_core.preparation.pose import project

_CELL = 192
_COLUMNS = 8
_MOST = 48
_OPACITY = 0.4
_AXIS = 0.13  # world units
_AXIS_COLOURS = ((255, 60, 60), (60, 230, 60), (80, 120, 255))  # x, y, z


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
