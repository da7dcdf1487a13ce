"""Views of synthetic heads, and how well something portrays them: fitted sheets, or a trained model.

PSNR is the mean over the judging views, of whole pictures and of the head's pixels alone. Mask IoU is as in `ssgan
evaluate`: for every part the mean over the views that show it, then over parts. Depth: median absolute error, world
units, where both show the head. Holes: share of the head's pixels where more than half of the background is seen;
beyond: share of them that lie outside the window, where no sheet is. Inliers: of pixels carried by depth between views
0.3 radians apart, and seen there at that depth, those with the same colour (evaluation/reprojection.py), beside the
truth's.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.sheet_start import HeadViews, world_points
from ssgan_core.evaluation.reprojection import APART, Reprojection, reproject
from ssgan_core.heads.sampler import EARRINGS, GLASSES, HAIR_STYLES, HATS, Identity
from ssgan_core.parsing.agreement import Agreement
from ssgan_core.parts import PORTRAIT
from ssgan_core.pictures import colour_mask, tile

FIGURES = {
    "psnr": ("PSNR", "{:.2f}"), "head_psnr": ("head", "{:.2f}"), "mask_iou": ("mask IoU", "{:.3f}"),
    "depth_error": ("depth", "{:.4f}"), "holes": ("holes", "{:.2%}"), "beyond": ("beyond", "{:.2%}"),
    "inliers": ("inliers", "{:.2%}"), "data_inliers": ("truth's", "{:.2%}"),
}  # fmt: skip
"""Of `judge`: their titles and formats in a table."""
FITTED, JUDGED = 24, 8
"""Views of a head: to fit, and to judge by."""
_FITTED_YAW, _JUDGED_YAW, _PITCH = 0.6, 0.55, 0.2  # radians: angles lie within +- these
_SHOWN = 4  # judging views of a head on the picture


@dataclass(frozen=True)
class Angles:
    """Of the views of one head: yaws and pitches [V] in radians to fit, to judge by, and `APART` from one another."""

    fitted: tuple[np.ndarray, np.ndarray]
    judged: tuple[np.ndarray, np.ndarray]
    turned: tuple[np.ndarray, np.ndarray]


def head_angles(seed: int, index: int, fitted: int, judged: int) -> Angles:
    """So many angles to fit and to judge by, and four that are `APART`; those to judge by depend on both numbers."""
    rng = np.random.default_rng([seed, index])

    def around(count: int, yaw: float) -> tuple[np.ndarray, np.ndarray]:
        pitches = rng.uniform(-_PITCH, _PITCH, count)
        return spread(count, yaw, rng), pitches

    turns = (np.arange(4) - 1.5) * APART
    return Angles(around(fitted, _FITTED_YAW), around(judged, _JUDGED_YAW), (turns, np.zeros(4)))


def spread(count: int, reach: float, rng: np.random.Generator) -> np.ndarray:
    """Angles [count] within +-reach, one in each of so many equal intervals."""
    return reach * (2 * (np.arange(count) + rng.uniform(size=count)) / count - 1)


def judge(
    portrayed: Callable[[np.ndarray], tuple[HeadViews, np.ndarray]],
    window: float,
    judged: HeadViews,
    turned: HeadViews,
) -> tuple[dict[str, Any], HeadViews]:
    """Figures of something that portrays a head, and the judging views as it shows them.

    Args:
        portrayed: from cameras [V, 25] to views of the head and the transmittance [V, size, size].
        window: half the side of the parts' windows, world units.
        judged: true views that it was not made from.
        turned: true views `APART` from one another.
    """
    seen, transmittance = portrayed(judged.labels)
    square = (seen.images / 255.0 - judged.images / 255.0) ** 2
    head = judged.masks > 0
    agreement = Agreement(len(PORTRAIT.parts))
    for truth, found in zip(judged.masks, seen.masks, strict=True):
        agreement.add(truth, found)
    iou, shown = agreement.mean_iou(), agreement.shown() > 0
    both = head & (seen.depths > 0)
    beyond = np.abs(world_points(judged)[head][:, :2]).max(axis=1) > window
    facts = {
        "psnr": float(np.mean([_decibels(one) for one in square])),
        "head_psnr": float(
            np.mean([_decibels(one[inside]) for one, inside in zip(square, head, strict=True)])
        ),
        "mask_iou": float(iou[1:][shown[1:]].mean()),
        "depth_error": float(np.median(np.abs(seen.depths - judged.depths)[both])),
        "holes": float((transmittance[head] > 0.5).mean()),
        "beyond": float(beyond.mean()),
        "inliers": inliers(portrayed(turned.labels)[0]),
        "data_inliers": inliers(turned),
        "parts": {name: float(iou[k]) for k, name in enumerate(PORTRAIT.names) if k and shown[k]},
    }
    return facts, seen


def _decibels(square: np.ndarray) -> float:
    """PSNR of squared errors of colours in 0..1; at most that of 8 bits."""
    return float(-10 * np.log10(max(square.mean(), 1 / 255**2 / 12)))


def inliers(views: HeadViews) -> float | None:
    """Share of the co-visible pixels of neighbouring views, both ways, that have the same colour."""
    total = Reprojection()
    sides = list(zip(views.images, views.depths, views.labels, strict=True))
    for one, other in itertools.pairwise(sides):
        total += reproject(*one, *other) + reproject(*other, *one)
    return total.facts()["inliers"]


def mean_figures(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean figures of heads, where they have them, and the mean IoU of each part over the heads that show it."""
    parts = {
        name: [row["parts"][name] for row in rows if name in row["parts"]] for name in PORTRAIT.names[1:]
    }
    return {
        **{name: _mean([row[name] for row in rows if row[name] is not None]) for name in FIGURES},
        "parts": {name: _mean(values) for name, values in parts.items() if values},
    }


def _mean(values: list[float]) -> float | None:
    return float(np.mean(values)) if values else None


def describe(identity: Identity) -> str:
    """Hair and what is worn, in words."""
    worn = (GLASSES[identity.glasses], HATS[identity.hat], EARRINGS[identity.earrings])
    kinds = ("glasses", "hat", "earrings")
    extras = [f"{name} {kind}" for name, kind in zip(worn, kinds, strict=True) if name != "none"]
    return ", ".join([f"{HAIR_STYLES[identity.hair_style]} hair", *extras])


def comparison(seen: HeadViews, truth: HeadViews) -> np.ndarray:
    """Some unseen views of a head and their masks: as portrayed above, truth below."""
    chosen = np.linspace(0, len(truth.labels) - 1, min(_SHOWN, len(truth.labels))).round().astype(int)
    rows = [
        [*views.images[chosen], *(colour_mask(mask, PORTRAIT) for mask in views.masks[chosen])]
        for views in (seen, truth)
    ]
    return tile([*rows[0], *rows[1]], len(rows[0]))
