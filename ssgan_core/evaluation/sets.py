"""The three sets of portraits (reference, held-out, samples), collected once, and the figures that compare them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ssgan_core.evaluation.camera_accuracy import Estimator, angle_bias, camera_accuracy
from ssgan_core.evaluation.collection import Appearance, Collection
from ssgan_core.evaluation.coverage import NEIGHBOURS, coverage, expected_coverage
from ssgan_core.evaluation.frechet import frechet_distance
from ssgan_core.evaluation.mask_agreement import mask_agreement
from ssgan_core.evaluation.selection import similar_views
from ssgan_core.evaluation.sliced_wasserstein import sliced_wasserstein
from ssgan_core.evaluation.subject import Steps, Subject
from ssgan_core.evaluation.variety import mean_distance, nearest
from ssgan_core.parsing.parser import FaceParser
from ssgan_core.synthesis import View

BLUR = 2.0
"""Pixels: standard deviation of the blur of the first ruler."""
COMMON_SIDE = 128
"""Pixels: larger portraits are also averaged down to this side and compared there, as models of that side are."""


@dataclass(frozen=True)
class Sets:
    """What was collected of the reference, the held-out portraits, and the model's samples."""

    reference: Collection
    held: Collection
    samples: Collection


def collect(subject: Subject, parser: FaceParser, estimate: Estimator | None, steps: Steps) -> Sets:
    """Read and render the three sets, a batch at a time."""
    schema, count = subject.generator.schema, len(subject.selection)
    side = subject.generator.config.resolution
    sides = sorted({side, min(side, COMMON_SIDE)})

    def gather(
        number: int,
        stage: str,
        labels: np.ndarray,
        make: Callable[[range], list[View]],
        estimate: Estimator | None,
        blurred: float = 0.0,
    ) -> Collection:
        seed = subject.settings.seed * 3 + number
        collection = Collection(parser, schema, count, seed, sides, estimate, subject.posed, blurred)
        for batch in subject.batches(count):
            collection.add(make(batch), labels[batch.start : batch.stop])
            steps.advance(len(batch), stage)
        return collection

    def entries(indices: np.ndarray) -> Callable[[range], list[View]]:
        return lambda batch: subject.real.views(indices[batch.start : batch.stop])

    chosen, data = subject.selection, subject.data
    return Sets(
        gather(0, "reference portraits", data.labels[chosen.reference], entries(chosen.reference), None),
        gather(1, "held-out portraits", data.labels[chosen.held], entries(chosen.held), estimate, BLUR),
        gather(
            2,
            "samples",
            subject.labels,
            lambda batch: subject.samples.views(batch, subject.labels[batch.start : batch.stop]),
            estimate,
        ),
    )


def compare_appearance(sets: Sets, side: int, repeated: np.ndarray, seed: int) -> dict[str, Any]:
    """Frechet distance, coverage and sliced Wasserstein distance to the reference.

    Args:
        side: of the pictures: the model's, or COMMON_SIDE.
        repeated: positions of one person's portraits among the held-out ones.
        seed: of directions.

    Returns:
        `side`; `fpd`, `coverage` and `sliced_wasserstein`, each of `model`, of held-out portraits as they are
        (`floor`), `blurred` by 2 px, and of one person repeated (`one_person`); coverage_expected; and the levels of
        the sliced Wasserstein distance, finest first.
    """
    held = sets.held.looks(side)
    rows = {
        "model": sets.samples.looks(side),
        "floor": held,
        "blurred": sets.held.blurred_looks(side),
        "one_person": held.repeated(repeated),
    }
    reference = sets.reference.looks(side)
    count = len(reference.features)
    levels = {name: _levels(reference, looks, seed) for name, looks in rows.items()}
    return {
        "side": side,
        "fpd": {name: frechet_distance(reference.features, looks.features) for name, looks in rows.items()},
        "coverage": {name: coverage(reference.features, looks.features) for name, looks in rows.items()},
        "coverage_neighbours": NEIGHBOURS,
        "coverage_expected": expected_coverage(count, count),
        "sliced_wasserstein": {name: float(np.mean(values)) for name, values in levels.items()},
        "sliced_wasserstein_levels": levels,
    }


def compare_masks(sets: Sets, names: tuple[str, ...]) -> dict[str, Any]:
    """Rendered masks against the parser, beside the held-out portraits' masks against it."""
    if not sets.samples.agreement.counts:
        return {"skipped": "the model's parts are not those of the parser"}
    return mask_agreement(sets.samples.agreement, sets.held.agreement, names)


def compare_relief(sets: Sets) -> dict[str, Any]:
    """Median relief of skin and nose and its standard deviation between portraits, of samples and held-out data."""
    return {"model": _relief_facts(sets.samples.reliefs), "data": _relief_facts(sets.held.reliefs)}


def compare_cameras(sets: Sets) -> dict[str, Any]:
    """Accuracy of the samples' cameras after subtracting the estimator's bias, beside the held-out portraits'."""
    held, samples = (
        (np.stack(collection.asked), np.stack(collection.found)) for collection in (sets.held, sets.samples)
    )
    bias = angle_bias(*held)
    return {
        "portraits": len(samples[0]),
        "bias": {"yaw": float(bias[0]), "pitch": float(bias[1])},
        "model": camera_accuracy(*samples, bias),
        "data": camera_accuracy(*held, bias),
    }


def compare_variety(sets: Sets, subject: Subject) -> dict[str, Any]:
    """Mean distance between two samples, of images and of masks, beside that between two reference portraits.

    The portraits of a pair are seen from almost the same side, the same pairs of cameras in both sets: otherwise a
    single head that turns would seem varied.
    """
    reference = subject.selection.reference
    place = {int(entry): position for position, entry in enumerate(reference)}
    pairs = similar_views(subject.data, reference, len(reference))
    first, second = ([place[pair[side]] for pair in pairs] for side in (0, 1))
    facts: dict[str, Any] = {"pairs": len(pairs)}
    for kind in ("images", "masks"):
        model, data = (
            mean_distance(rows[first], rows[second])
            for rows in (getattr(side, f"small_{kind}") for side in (sets.samples, sets.reference))
        )
        facts[kind] = {"model": model, "data": data, "share": model / data if data else None}
    return facts


def compare_neighbours(sets: Sets) -> dict[str, Any]:
    """Median distance to the nearest reference portrait, of samples and of held-out portraits, and their ratio.

    A ratio far below one means samples nearer to portraits of the data than other people of the data are: copies.
    """
    facts: dict[str, Any] = {}
    spaces = {
        "pixels": [side.small_images for side in (sets.reference, sets.samples, sets.held)],
        "features": [side.features for side in (sets.reference, sets.samples, sets.held)],
    }
    for space, (reference, samples, held) in spaces.items():
        model, data = (float(nearest(rows, reference)[1].median()) for rows in (samples, held))
        facts[space] = {"model": model, "data": data, "ratio": model / data if data else None}
    return facts


def _levels(reference: Appearance, other: Appearance, seed: int) -> list[float]:
    return [
        sliced_wasserstein(ours, theirs, seed)
        for ours, theirs in zip(reference.patches, other.patches, strict=True)
    ]


def _relief_facts(reliefs: list[float]) -> dict[str, Any] | None:
    known = np.array(reliefs)[np.isfinite(reliefs)]
    if not len(known):
        return None
    return {"median": float(np.median(known)), "spread": float(known.std()), "portraits": len(known)}
