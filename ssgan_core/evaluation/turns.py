"""Samples seen from two sides, and people of the data seen from two sides."""

from __future__ import annotations

from typing import Any

import numpy as np

from ssgan_core import cameras
from ssgan_core.evaluation.reprojection import APART, Reprojection, reproject
from ssgan_core.evaluation.selection import turned_views
from ssgan_core.evaluation.subject import Steps, Subject
from ssgan_core.synthesis import View, synthesise


def measure_turns(subject: Subject, steps: Steps) -> dict[str, Any]:
    """Carry views 0.3 radians of yaw apart into each other, both ways.

    Returns:
        `model` and `data` (see `reprojection.Reprojection.facts`; data None without depth or without several views of a
        person), `pairs`, `data_pairs`, and `data_apart`, the mean angle between the data's views.
    """
    settings = subject.settings
    rng = np.random.default_rng([settings.seed, 1])
    middle = max(settings.yaw - APART / 2, 0.0)
    yaw = rng.uniform(-middle, middle, subject.turned)
    pitch = rng.uniform(-settings.pitch, settings.pitch, subject.turned)
    sides = [cameras.label(yaw - APART / 2, pitch), cameras.label(yaw + APART / 2, pitch)]
    model = Reprojection()
    for batch in subject.batches(subject.turned):
        codes = subject.samples.codes(batch)
        left, right = (
            synthesise(subject.generator, codes, labels[batch.start : batch.stop]) for labels in sides
        )
        for number, first, second in zip(batch, left, right, strict=True):
            model += _both_ways(first, sides[0][number], second, sides[1][number])
        steps.advance(len(batch), "views from two sides")
    pairs = _pairs(subject)
    data = Reprojection()
    for first, second in pairs:
        data += _both_ways(
            subject.real.view(first),
            subject.data.labels[first],
            subject.real.view(second),
            subject.data.labels[second],
        )
        steps.advance(1, "real views from two sides")
    return {
        "pairs": subject.turned,
        "model": model.facts(),
        "data_pairs": len(pairs),
        "data_apart": _mean_angle(subject, pairs),
        "data": data.facts() if pairs else None,
    }


def count_pictures(subject: Subject) -> int:
    """How far `measure_turns` advances."""
    return subject.turned + len(_pairs(subject))


def _pairs(subject: Subject) -> list[tuple[int, int]]:
    if not subject.data.has_depth:
        return []
    chosen = np.concatenate([subject.selection.reference, subject.selection.held])
    return turned_views(subject.data, chosen, APART, subject.compared)


def _both_ways(first: View, label: np.ndarray, second: View, other: np.ndarray) -> Reprojection:
    return reproject(first.image, first.depth, label, second.image, second.depth, other) + reproject(
        second.image, second.depth, other, first.image, first.depth, label
    )


def _mean_angle(subject: Subject, pairs: list[tuple[int, int]]) -> float | None:
    if not pairs:
        return None
    yaw, pitch = cameras.angles(subject.data.labels)
    return float(np.mean([np.hypot(yaw[a] - yaw[b], pitch[a] - pitch[b]) for a, b in pairs]))
