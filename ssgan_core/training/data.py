"""The stream of training batches, addressed by position so that a resumed run sees exactly what a straight one sees."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ssgan_core.cameras import mirror_label
from ssgan_core.dataset.reader import PortraitDataset

_MOST_CACHED_BYTES = 4 << 30


@dataclass(frozen=True)
class Batch:
    """Real examples.

    Attributes:
        images: [B, 3, H, W], uint8.
        masks: [B, H, W], uint8 part ids.
        depths: [B, 1, H, W] z_cam in world units, 0 = none; all zero when the data set has no depth.
        labels: [B, 25] cameras.
        indices: [B] positions in the data set.
        mirrored: [B] bool, whether the example is shown mirrored.
    """

    images: Tensor
    masks: Tensor
    depths: Tensor
    labels: Tensor
    indices: Tensor
    mirrored: Tensor

    def to(self, device: torch.device) -> Batch:
        return Batch(*(getattr(self, field.name).to(device, non_blocking=True) for field in fields(self)))

    def normalised_images(self) -> Tensor:
        """Images [B, 3, H, W] in [-1, 1], float32."""
        return self.images.float() / 127.5 - 1


class Examples(Dataset):
    """Maps a position of the endless training stream to an example.

    Every epoch is a permutation seeded by the epoch's number; with `mirror`, an epoch shows each image both ways.
    """

    def __init__(self, dataset: PortraitDataset, seed: int, mirror: bool) -> None:
        self.dataset = dataset
        self.seed = seed
        self.mirror = mirror
        self.mirror_ids = dataset.schema.mirror_ids.astype(np.uint8)
        bytes_each = dataset.resolution**2 * (4 + 4 * dataset.has_depth)
        self.cache: dict[int, tuple[np.ndarray, np.ndarray, np.ndarray | None]] | None = (
            {} if len(dataset) * bytes_each <= _MOST_CACHED_BYTES else None
        )
        self._epoch = -1
        self._order = np.zeros(0, np.int64)

    def __len__(self) -> int:
        return len(self.dataset) * (2 if self.mirror else 1)

    def __getitem__(self, position: int) -> tuple[Tensor, Tensor, Tensor, Tensor, int, bool]:
        epoch, offset = divmod(position, len(self))
        if epoch != self._epoch:
            self._order = np.random.default_rng([self.seed, epoch]).permutation(len(self))
            self._epoch = epoch
        index, mirrored = self._order[offset] % len(self.dataset), self._order[offset] >= len(self.dataset)
        image, mask, depth = self.read(int(index))
        label = self.dataset.labels[index]
        if mirrored:
            image, mask = image[:, ::-1], self.mirror_ids[mask[:, ::-1]]
            depth = None if depth is None else depth[:, ::-1]
            label = mirror_label(label)
        if depth is None:
            depth = np.zeros(mask.shape, np.float32)
        return (
            torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))),
            torch.from_numpy(np.ascontiguousarray(mask)),
            torch.from_numpy(np.ascontiguousarray(depth[None])),
            torch.from_numpy(label),
            int(index),
            bool(mirrored),
        )

    def read(self, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Image, mask and depth (or None) at an index of the data set, unmirrored."""
        if self.cache is not None and index in self.cache:
            return self.cache[index]
        example = self.dataset.image(index), self.dataset.mask(index), self.dataset.depth(index)
        if self.cache is not None:
            self.cache[index] = example
        return example


def stream(examples: Examples, batch: int, start: int, stop: int, workers: int) -> Iterator[Batch]:
    """Batches of the stream's positions `start` to `stop`."""
    loader = DataLoader(
        examples,
        batch_size=batch,
        sampler=range(start, stop),
        num_workers=workers,
        drop_last=True,
        pin_memory=torch.cuda.is_available(),
        persistent_workers=workers > 0,
    )
    for tensors in loader:
        yield Batch(*tensors)
