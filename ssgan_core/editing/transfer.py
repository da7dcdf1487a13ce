"""Part transfer: a portrait takes the codes of named parts from another portrait of the same model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ssgan_core.errors import SsganError
from ssgan_core.parts import PartSchema
from ssgan_core.pictures import colour_mask, tile
from ssgan_core.portrait import Portrait
from ssgan_core.synthesis import View

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


def transfer(
    receiver: Portrait, donor: Portrait, parts: Sequence[int], *, shape: bool = True, texture: bool = True
) -> Portrait:
    """The receiver with the donor's codes for foreground parts (indices 0..K-1); all other codes stay.

    The base code stays the receiver's, so that a part keeps fitting the head it is put on.

    Raises:
        SsganError: the two were not made by the same model.
    """
    if receiver.model_sha256 != donor.model_sha256 or receiver.part_names != donor.part_names:
        raise SsganError(
            "the two portraits were made by different models", "generate both with the same model"
        )
    codes = receiver.codes
    for part in parts:
        codes = codes.with_part(donor.codes, part, shape=shape, texture=texture)
    return replace(receiver, codes=codes)


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
