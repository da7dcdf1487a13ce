"""Part-wise interpolation: named parts of a portrait move on a straight line in W+ to those of another portrait."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ssgan_core.editing.pair import Pair, open_pair, save_edited
from ssgan_core.editing.transfer import Change, measure_change, transfer
from ssgan_core.model.codes import Codes
from ssgan_core.pictures import save_png
from ssgan_core.portrait import Portrait, check_same_model
from ssgan_core.progress import Progress, silent
from ssgan_core.synthesis import Synthesiser, View, views, views_sheet

_AT_ONCE = 4  # portraits computed at a time


@dataclass(frozen=True)
class SavedInterpolation:
    """What `interpolate_to_folder` wrote.

    Attributes:
        model: the model file that was used.
        parts: the parts that moved; None if everything did.
        steps: per step, its amount and the paths of image, mask, depth and portrait.
        sheet: all steps beside one another.
        change: what the last step differs in from the first.
    """

    model: Path
    parts: list[str] | None
    steps: list[dict[str, Any]]
    sheet: Path
    change: Change


def interpolate(
    first: Portrait,
    second: Portrait,
    amount: float,
    parts: Sequence[int] | None,
    *,
    shape: bool = True,
    texture: bool = True,
) -> Portrait:
    """A portrait on the way from `first` (amount 0) to the transfer of parts from `second` (amount 1).

    Codes move linearly; both ends are exact, and codes of all other parts are the first's, bit for bit.

    Args:
        parts: foreground indices 0..K-1, whose codes move while the base code stays, so that parts keep fitting the
            head (see `transfer`). None moves everything, the base and the background too: the end then has the
            codes of `second`, and `shape` and `texture` are not looked at.

    Raises:
        SsganError: the two were not made by the same model.
    """
    check_same_model(first, second)
    mixed = replace(second, codes=first.codes.lerp(second.codes, amount))
    if parts is None:
        return replace(first, codes=mixed.codes)
    return transfer(first, mixed, parts, shape=shape, texture=texture)


def interpolated_views(
    pair: Pair, amounts: Sequence[float], parts: Sequence[int] | None, *, shape: bool, texture: bool
) -> Iterator[tuple[Portrait, View]]:
    """`interpolate` at several amounts, each seen by the first portrait's camera; computed a few at a time."""
    draw = Synthesiser(pair.generator)
    device = next(pair.generator.parameters()).device
    label = torch.from_numpy(pair.first.label).to(device)
    for start in range(0, len(amounts), _AT_ONCE):
        portraits = [
            interpolate(pair.first, pair.second, amount, parts, shape=shape, texture=texture)
            for amount in amounts[start : start + _AT_ONCE]
        ]
        codes = Codes.cat([portrait.codes for portrait in portraits]).to(device)
        yield from zip(portraits, views(draw(codes, label.repeat(len(portraits), 1))), strict=True)


def interpolate_to_folder(
    first: Path,
    second: Path,
    parts: Sequence[str] | None,
    out: Path,
    *,
    steps: int,
    shape: bool = True,
    texture: bool = True,
    model: Path | None,
    device: torch.device,
    backend: str = "auto",
    progress: Progress = silent,
) -> SavedInterpolation:
    """`interpolate` between portrait files in equal steps, both ends included, with pictures.

    Writes step00.portrait, step00.png, step00_mask.png, step00_depth.png and so on, and sheet.png (see
    `synthesis.views_sheet`) to `out`.

    Args:
        parts: names; `all` means every part, None everything (see `interpolate`).
        steps: at least 2.
        model: model file or run folder; None looks where the first portrait says it was.

    Raises:
        SsganError: a file is damaged or missing, the portraits are of different models, a part does not exist.
    """
    pair = open_pair(first, second, model, device, backend)
    schema = pair.generator.schema
    indices = None if parts is None else schema.foreground_indices(parts)
    amounts = [float(amount) for amount in np.linspace(0, 1, steps)]
    rows: list[dict[str, Any]] = []
    seen: list[View] = []
    for portrait, view in interpolated_views(pair, amounts, indices, shape=shape, texture=texture):
        paths = save_edited(out, f"step{len(seen):02d}", portrait, view, pair)
        rows.append({"amount": amounts[len(seen)], **paths})
        seen.append(view)
        progress(len(seen), steps)
    sheet = out / "sheet.png"
    save_png(sheet, views_sheet(seen, schema))
    moved = range(len(schema.foreground)) if indices is None else indices
    return SavedInterpolation(
        pair.model,
        None if indices is None else [schema.foreground[index].name for index in indices],
        rows,
        sheet,
        measure_change(seen[0], seen[-1], moved),
    )
