"""Part transfer: a portrait takes the codes of named parts from another portrait of the same model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from ssgan_core.editing.pair import open_pair, save_edited
from ssgan_core.errors import SsganError
from ssgan_core.model.codes import Codes
from ssgan_core.parts import PartSchema
from ssgan_core.pictures import colour_mask, save_png, tile
from ssgan_core.portrait import Portrait, check_same_model
from ssgan_core.synthesis import View, synthesise

_VISIBLE = 8  # of 255: a mean change over the channels that an eye can see


@dataclass(frozen=True)
class Change:
    """What an edit did to the picture.

    Attributes:
        inside: mean absolute change (of 255) where one of the parts is or was.
        outside: the same everywhere else.
        visible_outside: share of the pixels elsewhere that changed by more than 8 of 255.
    """

    inside: float
    outside: float
    visible_outside: float


@dataclass(frozen=True)
class SavedEdit:
    """What `transfer_to_folder` wrote.

    Attributes:
        model: the model file that was used.
        parts: the parts that were taken.
        files: paths of image, mask, depth, portrait and sheet.
        change: what the edit did to the picture.
    """

    model: Path
    parts: list[str]
    files: dict[str, Path]
    change: Change


def transfer(
    receiver: Portrait, donor: Portrait, parts: Sequence[int], *, shape: bool = True, texture: bool = True
) -> Portrait:
    """The receiver with the donor's codes for foreground parts (indices 0..K-1); all other codes stay.

    The base code stays the receiver's, so that a part keeps fitting the head it is put on.

    Raises:
        SsganError: the two were not made by the same model, or it has a single part.
    """
    check_same_model(receiver, donor)
    if len(receiver.part_names) == 2:
        raise SsganError(
            f"the portraits' model has a single part, '{receiver.part_names[1]}': there is none to exchange",
            "use a model with parts (model.parts: all)",
        )
    codes = receiver.codes
    for part in parts:
        codes = codes.with_part(donor.codes, part, shape=shape, texture=texture)
    return replace(receiver, codes=codes)


def transfer_to_folder(
    portrait: Path,
    donor: Path,
    parts: Sequence[str],
    out: Path,
    *,
    shape: bool,
    texture: bool,
    model: Path | None,
    device: torch.device,
    backend: str = "auto",
) -> SavedEdit:
    """`transfer` between portrait files, with pictures of the outcome.

    Writes edited.portrait, edited.png, edited_mask.png, edited_depth.png and sheet.png (see `comparison`) to `out`.

    Args:
        parts: names; `all` means every part.
        model: model file or run folder; None looks where the portrait says it was.

    Raises:
        SsganError: a file is damaged or missing, the portraits are of different models, a part does not exist.
    """
    pair = open_pair(portrait, donor, model, device, backend)
    receiver, schema = pair.first, pair.generator.schema
    indices = schema.foreground_indices(parts)
    edited = transfer(receiver, pair.second, indices, shape=shape, texture=texture)
    codes = Codes.cat([receiver.codes, pair.second.codes, edited.codes]).to(device)
    before, other, after = synthesise(pair.generator, codes, np.repeat(receiver.label[None], 3, axis=0))
    files = {**save_edited(out, "edited", edited, after, pair), "sheet": out / "sheet.png"}
    save_png(files["sheet"], comparison(before, other, after, schema))
    names = [schema.foreground[index].name for index in indices]
    return SavedEdit(pair.model, names, files, measure_change(before, after, indices))


def measure_change(before: View, after: View, parts: Sequence[int]) -> Change:
    """How much an edit of foreground parts changed the picture, inside and outside of them."""
    ids = [part + 1 for part in parts]
    inside = np.isin(before.mask, ids) | np.isin(after.mask, ids)
    difference = np.abs(before.image.astype(np.float32) - after.image).mean(-1)
    return Change(
        inside=_mean(difference[inside]),
        outside=_mean(difference[~inside]),
        visible_outside=_mean(difference[~inside] > _VISIBLE),
    )


def comparison(receiver: View, donor: View, edited: View, schema: PartSchema) -> np.ndarray:
    """A sheet [2 H, 4 W, 3], uint8: receiver, donor, edited and the difference, with their masks below.

    The difference is the absolute change, doubled; below it, pixels whose part changed, in the new colour.
    """
    difference = np.abs(receiver.image.astype(np.int16) - edited.image)
    moved = np.where((receiver.mask != edited.mask)[..., None], colour_mask(edited.mask, schema), 0).astype(
        np.uint8
    )
    masks = [colour_mask(view.mask, schema) for view in (receiver, donor, edited)]
    doubled = np.clip(2 * difference, 0, 255).astype(np.uint8)
    return tile([receiver.image, donor.image, edited.image, doubled, *masks, moved], columns=4)


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else 0.0
