"""What is evaluated, against what, and how thoroughly: shared by all measurements."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ssgan_core.dataset.reader import PortraitDataset
from ssgan_core.evaluation.selection import Selection
from ssgan_core.evaluation.sources import RealPortraits, Samples, batch_size
from ssgan_core.model.generator import Generator
from ssgan_core.progress import Progress

USUAL_SAMPLES = 2000


@dataclass(frozen=True)
class Settings:
    """What the user chose.

    Attributes:
        samples: portraits in each of the compared sets, if the data has so many.
        psi: truncation of the model's codes.
        seed: of sample 0 (sample i has seed + i), of the choice of entries, and of everything random.
        yaw, pitch: cameras stay within plus and minus so many radians.
    """

    samples: int = USUAL_SAMPLES
    psi: float = 0.7
    seed: int = 0
    yaw: float = 0.4
    pitch: float = 0.2


@dataclass(frozen=True)
class Subject:
    """A model, the data beside it, and the portraits of both that are compared.

    Attributes:
        generator: on its device.
        data: at the model's resolution.
        selection: N entries to compare with, N to stand for a perfect model.
        samples, real: sources of pictures.
        settings: as chosen.
    """

    generator: Generator
    data: PortraitDataset
    selection: Selection
    samples: Samples
    real: RealPortraits
    settings: Settings

    @property
    def device(self) -> torch.device:
        return next(self.generator.parameters()).device

    @property
    def labels(self) -> np.ndarray:
        """The samples' cameras [N, 25]: those of the reference, so that both sets look the same way."""
        return self.data.labels[self.selection.reference]

    @property
    def at_once(self) -> int:
        """Pictures computed at a time."""
        return batch_size(self.generator.config.resolution)

    @property
    def edited(self) -> int:
        """Samples that are edited, each in every part."""
        return _within(len(self.selection) // 16, 4, 125)

    @property
    def turned(self) -> int:
        """Samples that are seen from two sides."""
        return _within(len(self.selection) // 8, 8, 250)

    @property
    def compared(self) -> int:
        """Pairs of real portraits that edits and views are compared with, at most."""
        return _within(len(self.selection), 8, 250)

    @property
    def posed(self) -> int:
        """Portraits of each set whose cameras are estimated."""
        return min(len(self.selection), 500)

    def batches(self, count: int) -> list[range]:
        """The numbers 0 to count - 1 in runs of at most `at_once`."""
        return [range(start, min(start + self.at_once, count)) for start in range(0, count, self.at_once)]


class Steps:
    """Counts pictures over all stages for one progress callback."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0

    def advance(self, pictures: int, stage: str) -> None:
        self._done += pictures
        self._progress(min(self._done, self._total), self._total, stage)


def _within(value: int, least: int, most: int) -> int:
    return max(least, min(value, most))
