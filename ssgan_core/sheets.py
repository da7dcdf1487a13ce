"""A sheet that shows what a model makes: portraits from five sides, each view with its part mask and its depth."""

from __future__ import annotations

from collections.abc import Sequence
from math import radians
from pathlib import Path

import numpy as np
import torch

from ssgan_core import cameras
from ssgan_core.errors import SsganError
from ssgan_core.files import write_bytes
from ssgan_core.model.codes import Codes
from ssgan_core.model.generator import Generator
from ssgan_core.pictures import encode_jpeg, encode_png, tile
from ssgan_core.portrait import check_same_model, load_portrait
from ssgan_core.progress import Progress, silent
from ssgan_core.synthesis import look_around, open_portrait, views_sheet

MOST_ON_SHEET = 16
YAWS = tuple(radians(degrees) for degrees in (-28, -14, 0, 14, 28))
_SUFFIXES = (".png", ".jpg", ".jpeg")
_COLUMNS = 4  # portraits beside one another
_GAP = 4


def save_sheet(
    portraits: Sequence[Path],
    out: Path,
    *,
    model: Path | None = None,
    device: torch.device,
    backend: str = "auto",
    progress: Progress = silent,
) -> None:
    """Draw the first 16 portrait files from five sides.

    Args:
        out: a .png or .jpg.
        model: model file or run folder of all; None looks where the first portrait says it was.

    Raises:
        SsganError: a file is damaged or missing, the portraits are of different models, or `out` cannot be written.
    """
    check_sheet(out)
    shown = portraits[:MOST_ON_SHEET]
    first, generator, _ = open_portrait(shown[0], model, device, backend)
    blocks = []
    for file in shown:
        portrait = load_portrait(file)
        check_same_model(first, portrait)
        blocks.append(views_block(generator, portrait.codes.to(device)))
        progress(len(blocks), len(shown))
    sheet = tile(blocks, columns=_COLUMNS, gap=_GAP)
    write_bytes(out, encode_png(sheet) if out.suffix.lower() == ".png" else encode_jpeg(sheet))


def views_block(generator: Generator, codes: Codes) -> np.ndarray:
    """One portrait (a batch of one) from five sides: uint8 [3 H, 5 H, 3], images above masks above depth."""
    labels = cameras.label(np.array(YAWS), 0.0)
    return views_sheet(list(look_around(generator, codes, labels)), generator.schema)


def check_sheet(path: Path) -> None:
    """Notice before the work that a sheet of this name cannot be written.

    Raises:
        SsganError: it is neither .png nor .jpg.
    """
    if path.suffix.lower() not in _SUFFIXES:
        raise SsganError(f"cannot write the sheet {path}", "name a .png or a .jpg")
