"""Whether exchanging one part changes that part, and only that part.

The region of an edit is where the part is before or after, widened by 3 % of the picture's side. Locality is the share
of the change's energy (squared difference of the images) inside it. A code that does nothing would be perfectly local,
so an edit counts only when its part covers 0.3 % of the picture, before or after, and the root mean square change where
the part is before or after (not widened: two heads differ around the part, too) is at least a quarter of what it is, in
the same part, between two heads of the data seen from almost the same side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ssgan_core.layers import dilate

WIDENED = 0.03
LEAST_COVER = 0.003
LEAST_CHANGE = 0.25


@dataclass(frozen=True)
class EditEffect:
    """What exchanging a part did.

    Attributes:
        cover: share of the picture that the part covers, before or after, whichever is more.
        change: root mean square change where the part is before or after, images in [0, 1].
        locality: share of the change's energy inside the region; NaN when nothing changed.
        mask_leakage: share of the pixels that became another part which lie outside the region; NaN when none did.
        elsewhere: share of the pixels outside the region that became another part.
    """

    cover: float
    change: float
    locality: float
    mask_leakage: float
    elsewhere: float


def edit_effect(
    before: np.ndarray, mask_before: np.ndarray, after: np.ndarray, mask_after: np.ndarray, part: int
) -> EditEffect:
    """Compare two pictures, one with a part exchanged.

    Args:
        before, after: uint8 [H, W, 3].
        mask_before, mask_after: part ids [H, W].
        part: the exchanged part's id.
    """
    was, became = mask_before == part, mask_after == part
    place = was | became
    region = widen(place, round_up(WIDENED * len(before)))
    energy = ((after.astype(np.float64) - before) ** 2).mean(axis=-1) / 255**2
    total, inside = float(energy.sum()), float(energy[region].sum())
    moved = mask_before != mask_after
    outside = int((~region).sum())
    return EditEffect(
        cover=float(max(was.mean(), became.mean())),
        change=float(np.sqrt(energy[place].mean())) if place.any() else 0.0,
        locality=inside / total if total else float("nan"),
        mask_leakage=float(moved[~region].sum() / moved.sum()) if moved.any() else float("nan"),
        elsewhere=float(moved[~region].sum() / outside) if outside else 0.0,
    )


def widen(mask: np.ndarray, pixels: int) -> np.ndarray:
    """A mask [H, W] (bool) grown by so many pixels in every direction, diagonals included."""
    return dilate(torch.from_numpy(mask[None]), pixels)[0].numpy()


def round_up(value: float) -> int:
    """The next whole number, but for rounding errors below it."""
    return int(np.ceil(value - 1e-9))


def qualifies(effect: EditEffect, data_change: float | None) -> bool:
    """Whether an edit counts; `data_change` is the median change between heads of the data, None if unknown."""
    enough = data_change is not None and effect.change >= LEAST_CHANGE * data_change
    return effect.cover >= LEAST_COVER and enough and effect.change > 0


def data_change(effects: Sequence[EditEffect]) -> float | None:
    """Median change between pairs of real heads where a part is; None if no pair shows it."""
    changes = [effect.change for effect in effects if effect.cover >= LEAST_COVER]
    return float(np.median(changes)) if changes else None


def part_locality(edits: Sequence[EditEffect], data: Sequence[EditEffect]) -> dict[str, Any]:
    """A part's figures.

    Args:
        edits: of the model, tried on several pairs.
        data: effects between pairs of real heads, as if everything had been exchanged.

    Returns:
        `tried`, `covered` (edits whose part is large enough) and `qualifying` counts; medians over the covered ones:
        `change`, and `strength`, the same as a share of `data_change`; means over the qualifying ones: `locality`,
        `mask_leakage`, `elsewhere`. `locality_of_everything` is the ruler: mean locality when a whole head is replaced
        by another. None where there is nothing to take a figure of.
    """
    wanted = data_change(data)
    covered = [effect for effect in edits if effect.cover >= LEAST_COVER]
    counted = [effect for effect in covered if qualifies(effect, wanted)]
    change = float(np.median([effect.change for effect in covered])) if covered else None
    return {
        "tried": len(edits),
        "covered": len(covered),
        "qualifying": len(counted),
        "change": change,
        "data_change": wanted,
        "strength": change / wanted if change is not None and wanted else None,
        "locality": _mean([effect.locality for effect in counted]),
        "locality_of_everything": _mean([effect.locality for effect in data if effect.cover >= LEAST_COVER]),
        "mask_leakage": _mean([effect.mask_leakage for effect in counted]),
        "elsewhere": _mean([effect.elsewhere for effect in counted]),
    }


def _mean(values: Sequence[float]) -> float | None:
    finite = [value for value in values if np.isfinite(value)]
    return float(np.mean(finite)) if finite else None
