"""Part edits of a model's samples, and what the same edits make between heads of the data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ssgan_core.evaluation.locality import EditEffect, data_change, edit_effect, part_locality, qualifies
from ssgan_core.evaluation.selection import similar_views
from ssgan_core.evaluation.subject import Steps, Subject
from ssgan_core.model.codes import Codes
from ssgan_core.synthesis import View, synthesise


@dataclass(frozen=True)
class EditExhibit:
    """An edit to be looked at.

    Attributes:
        part: its name.
        before, donor, after: from one camera.
        effect: what the edit did.
        counted: whether it qualifies.
    """

    part: str
    before: View
    donor: View
    after: View
    effect: EditEffect
    counted: bool


def measure_edits(subject: Subject, steps: Steps) -> tuple[dict[str, Any], list[EditExhibit]]:
    """Exchange every part of the first samples, one at a time, with the next sample's.

    A model with one part is skipped: nothing is exchanged between parts.

    Returns:
        `parts` by name (see `locality.part_locality`), `parts_qualifying` (with at least one edit that counts),
        `locality` (mean over these parts) and `pairs`, `data_pairs` compared; and for every part its first edit that
        counts, or, where none does, the first.
    """
    names = subject.generator.schema.names[1:]
    if not _apart(subject):
        return {"skipped": f"the model has one part, '{names[0]}'"}, []
    real = _between_heads(subject, steps)
    wanted = [data_change(effects) for effects in real]
    found: list[list[EditEffect]] = [[] for _ in names]
    shown: list[EditExhibit | None] = [None] * len(names)
    for number in range(subject.edited):
        before, donor, edited = _edited(subject, number)
        for k, after in enumerate(edited):
            effect = edit_effect(before.image, before.mask, after.image, after.mask, k + 1)
            found[k].append(effect)
            counted = qualifies(effect, wanted[k])
            exhibit = shown[k]
            if exhibit is None or (counted and not exhibit.counted):
                shown[k] = EditExhibit(names[k], before, donor, after, effect, counted)
        steps.advance(len(names) + 2, "part edits")
    parts = {name: part_locality(found[k], real[k]) for k, name in enumerate(names)}
    counted = [row["locality"] for row in parts.values() if row["qualifying"]]
    facts = {
        "pairs": subject.edited,
        "data_pairs": len(real[0]),
        "parts_qualifying": len(counted),
        "locality": float(np.mean(counted)) if counted else None,
        "parts": parts,
    }
    return facts, [exhibit for exhibit in shown if exhibit is not None]


def count_pictures(subject: Subject) -> int:
    """How far `measure_edits` advances."""
    if not _apart(subject):
        return 0
    return subject.edited * (len(subject.generator.schema.foreground) + 2) + len(_pairs(subject))


def _apart(subject: Subject) -> bool:
    """Whether there are parts that can be told from one another."""
    return len(subject.generator.schema.foreground) > 1


def _edited(subject: Subject, number: int) -> tuple[View, View, list[View]]:
    """A sample, the next one, and the sample with each part of the next one; all from the sample's camera."""
    codes = subject.samples.codes([number, number + 1])
    receiver, giver = codes[:1], codes[1:]
    exchanged = [receiver.with_part(giver, part) for part in range(len(subject.generator.schema.foreground))]
    everyone = Codes.cat([receiver, giver, *exchanged])
    label = subject.labels[number]
    seen: list[View] = []
    for batch in subject.batches(len(everyone)):
        labels = np.repeat(label[None], len(batch), axis=0)
        seen += synthesise(subject.generator, everyone[batch.start : batch.stop], labels)
    return seen[0], seen[1], seen[2:]


def _pairs(subject: Subject) -> list[tuple[int, int]]:
    return similar_views(subject.data, subject.selection.reference, subject.compared)


def _between_heads(subject: Subject, steps: Steps) -> list[list[EditEffect]]:
    """For every foreground part, what replacing one real head by another makes in the part's region."""
    effects: list[list[EditEffect]] = [[] for _ in subject.generator.schema.foreground]
    for first, second in _pairs(subject):
        here, there = subject.real.view(first), subject.real.view(second)
        for k, column in enumerate(effects):
            column.append(edit_effect(here.image, here.mask, there.image, there.mask, k + 1))
        steps.advance(1, "changes between real heads")
    return effects
