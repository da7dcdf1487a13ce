"""How well predicted masks agree with true ones: intersection over union, part by part."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass
class Agreement:
    """Collects pictures and gives intersection over union (IoU) of every part.

    Attributes:
        classes: ids are below this.
        counts: for every picture added, pixels by true and predicted id [classes, classes].
    """

    classes: int
    counts: list[np.ndarray] = field(default_factory=list)

    def add(self, truth: np.ndarray, predicted: np.ndarray) -> None:
        """Add one picture's ids [H, W]; pixels whose truth is no id (255) are not judged."""
        judged = truth < self.classes
        pairs = truth[judged].astype(np.int64) * self.classes + predicted[judged]
        self.counts.append(np.bincount(pairs, minlength=self.classes**2).reshape(self.classes, self.classes))

    def mean_iou(self) -> np.ndarray:
        """Mean IoU [classes] over the pictures whose truth shows the part; NaN for parts that none shows."""
        ious = np.stack([_iou(count) for count in self.counts])
        shown = np.stack([count.sum(1) > 0 for count in self.counts])
        total = np.where(shown, ious, 0).sum(0)
        with np.errstate(invalid="ignore"):
            return total / shown.sum(0)

    def pooled_iou(self) -> np.ndarray:
        """IoU [classes] of all pixels together: unlike `mean_iou` it counts parts seen where there are none."""
        return _iou(np.sum(self.counts, axis=0))

    def shown(self) -> np.ndarray:
        """In how many pictures the truth shows each part [classes]."""
        return np.sum([count.sum(1) > 0 for count in self.counts], axis=0)


def _iou(count: np.ndarray) -> np.ndarray:
    both = np.diag(count)
    with np.errstate(invalid="ignore"):
        return both / (count.sum(0) + count.sum(1) - both)
