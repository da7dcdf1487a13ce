"""Where the pictures come from: a data set's entries and a model's samples, both as views in 8 bits."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch

from ssgan_core.dataset.reader import PortraitDataset
from ssgan_core.model.codes import Codes
from ssgan_core.model.generator import Generator
from ssgan_core.synthesis import View, codes_from_seed, synthesise

_MOST_AT_ONCE = 32
_PIXELS_AT_ONCE = 1 << 21


def batch_size(resolution: int) -> int:
    """Pictures computed at a time: few enough for memory, whatever their size."""
    return max(1, min(_MOST_AT_ONCE, _PIXELS_AT_ONCE // resolution**2))


class RealPortraits:
    """Entries of a data set as views; their content is digested as it is read.

    Args:
        united: show masks as a generator without parts sees them: 0 and 1 (see PartSchema.united).
    """

    def __init__(self, data: PortraitDataset, united: bool = False) -> None:
        self.data = data
        self.united = united
        self._digests: dict[int, bytes] = {}

    def view(self, index: int) -> View:
        """An entry; its depth is 0 everywhere if it has none."""
        image, mask, depth = self.data.image(index), self.data.mask(index), self.data.depth(index)
        if depth is None:
            depth = np.zeros(mask.shape, np.float32)
        if index not in self._digests:
            digest = hashlib.sha256(image.tobytes())
            digest.update(mask.tobytes())
            digest.update(depth.tobytes())
            self._digests[index] = digest.digest()
        return View(image, mask.clip(max=1) if self.united else mask, depth)

    def views(self, indices: Sequence[int] | np.ndarray) -> list[View]:
        """Some entries."""
        return [self.view(int(index)) for index in indices]

    def digest(self) -> str:
        """SHA-256 over names, cameras and pixels of all entries read so far."""
        digest = hashlib.sha256()
        for index in sorted(self._digests):
            digest.update(self.data.names[index].encode())
            digest.update(self.data.labels[index].tobytes())
            digest.update(self._digests[index])
        return digest.hexdigest()


class Samples:
    """A model's portraits by number: sample i has the seed first + i, and its own truncated codes."""

    def __init__(self, generator: Generator, psi: float, first: int) -> None:
        self.generator = generator
        self.psi = psi
        self.first = first

    def codes(self, numbers: Sequence[int] | range) -> Codes:
        """The codes of some samples."""
        return Codes.cat([codes_from_seed(self.generator, self.first + i, self.psi) for i in numbers])

    def views(self, numbers: Sequence[int] | range, labels: np.ndarray) -> list[View]:
        """Some samples, each seen from a camera of labels [N, 25]."""
        return synthesise(self.generator, self.codes(numbers), labels)


def to_tensor(views: Sequence[View], device: torch.device) -> torch.Tensor:
    """The images of views as [B, 3, H, W] in [-1, 1]."""
    images = np.stack([view.image for view in views]).transpose(0, 3, 1, 2)
    return torch.from_numpy(np.ascontiguousarray(images)).to(device).float() / 127.5 - 1
