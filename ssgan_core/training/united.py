"""Any source, seen by a generator without parts: all that is not background is one part."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from ssgan_core.config import Config
from ssgan_core.parts import PartSchema
from ssgan_core.training.data import Batch, Example, TrainingSource


def as_parts(source: TrainingSource, parts: str) -> TrainingSource:
    """The source as a generator with `model.parts: parts` learns from it."""
    return UnitedParts(source) if parts == "one" else source


class UnitedParts:
    """A source whose masks are 0 or 1; it remembers the same data as the source itself."""

    def __init__(self, source: TrainingSource) -> None:
        self.source = source

    @property
    def schema(self) -> PartSchema:
        return self.source.schema.united()

    @property
    def resolution(self) -> int:
        return self.source.resolution

    @property
    def has_depth(self) -> bool:
        return self.source.has_depth

    @property
    def labels(self) -> np.ndarray:
        return self.source.labels

    def __len__(self) -> int:
        return len(self.source)

    def fingerprint(self) -> dict[str, Any]:
        return self.source.fingerprint()

    def parameter_count(self) -> int:
        return self.source.parameter_count()

    def sample(self) -> tuple[int, Iterator[Example]]:
        count, examples = self.source.sample()
        return count, (example._replace(mask=example.mask.clip(max=1)) for example in examples)

    def batches(self, config: Config, start: int, stop: int) -> Iterator[Batch]:
        return (
            replace(batch, masks=batch.masks.clamp(max=1))
            for batch in self.source.batches(config, start, stop)
        )

    def close(self) -> None:
        self.source.close()
