"""Pictures that a person should look at, whatever the figures say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ssgan_core import cameras
from ssgan_core.evaluation.sets import Sets
from ssgan_core.evaluation.subject import Steps, Subject
from ssgan_core.evaluation.variety import nearest
from ssgan_core.model.codes import Codes
from ssgan_core.synthesis import View, look_around

SHOWN = 16
YAWS = 5


@dataclass(frozen=True)
class SampleExhibit:
    """A sample: its seed, from the front, and from `YAWS` yaws."""

    seed: int
    front: View
    turned: list[View]


@dataclass(frozen=True)
class NeighbourExhibit:
    """A sample, and the portraits of the data that are nearest in pixels and in features, with their names.

    Attributes:
        distances: root mean square differences of pixels (32 x 32, in [0, 1]) and of features.
    """

    seed: int
    sample: np.ndarray
    nearest: tuple[np.ndarray, np.ndarray]
    names: tuple[str, str]
    distances: tuple[float, float]


def exhibit_samples(subject: Subject, steps: Steps) -> list[SampleExhibit]:
    """The first samples from the front and from five yaws over the range."""
    yaws = np.linspace(-subject.settings.yaw, subject.settings.yaw, YAWS)
    labels = np.concatenate([cameras.label([0.0], [0.0]), cameras.label(yaws, np.zeros(YAWS))])
    shown = []
    for number in range(min(SHOWN, len(subject.selection))):
        codes: Codes = subject.samples.codes([number])
        front, *turned = look_around(subject.generator, codes, labels)
        shown.append(SampleExhibit(subject.samples.first + number, front, turned))
        steps.advance(1, "samples to look at")
    return shown


def exhibit_neighbours(subject: Subject, sets: Sets) -> list[NeighbourExhibit]:
    """The first samples beside their nearest portraits among all that were read."""
    count = min(SHOWN, len(subject.selection))
    everyone = np.concatenate([subject.selection.reference, subject.selection.held])
    spaces: Sequence[tuple[torch.Tensor, torch.Tensor]] = (
        (sets.samples.small_images, torch.cat([sets.reference.small_images, sets.held.small_images])),
        (sets.samples.features, torch.cat([sets.reference.features, sets.held.features])),
    )
    found = [nearest(rows[:count], among) for rows, among in spaces]
    views = [
        view
        for batch in subject.batches(count)
        for view in subject.samples.views(batch, subject.labels[batch.start : batch.stop])
    ]
    exhibits = []
    for number, view in enumerate(views):
        entries = [int(everyone[index[number]]) for index, _ in found]
        pictures = [subject.real.view(entry).image for entry in entries]
        exhibits.append(
            NeighbourExhibit(
                subject.samples.first + number,
                view.image,
                (pictures[0], pictures[1]),
                (subject.data.names[entries[0]], subject.data.names[entries[1]]),
                (float(found[0][1][number]), float(found[1][1][number])),
            )
        )
    return exhibits
