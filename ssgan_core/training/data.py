"""What training learns from: the interface of a source, and the stored data set as one.

Batches are addressed by position, so that a resumed run sees exactly what a straight one sees.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ssgan_core.cameras import mirror_label
from ssgan_core.config import Config, DataOptions
from ssgan_core.dataset.reader import PortraitDataset
from ssgan_core.dataset.selection import part_copies, select, yaw_copies
from ssgan_core.errors import SsganError
from ssgan_core.parts import PartSchema
from ssgan_core.training.order import HeadOrder, Order, ShuffledOrder
from ssgan_core.training.ranks import ALONE, Ranks
from ssgan_core.training.schedule import Schedule

_MOST_CACHED_BYTES = 4 << 30
_MOST_SAMPLED = 512
_NO_TRUTH = (
    "set training.warmup_kimg=0 and training.truth_kimg=0, or train on portraits made by `ssgan synth`"
)


@dataclass(frozen=True)
class Batch:
    """Real examples.

    Attributes:
        images: [B, 3, H, W], uint8.
        masks: [B, H, W], uint8 part ids.
        depths: [B, 1, H, W] z_cam in world units, 0 = none; all zero when the source has no depth.
        labels: [B, 25] cameras.
        indices: [B] numbers of the portraits in their source.
        mirrored: [B] bool, whether the example is shown mirrored.
        parameters: [B, n] generating parameters of the heads; None where warm-up did not ask for them.
    """

    images: Tensor
    masks: Tensor
    depths: Tensor
    labels: Tensor
    indices: Tensor
    mirrored: Tensor
    parameters: Tensor | None = None

    def to(self, device: torch.device) -> Batch:
        """The same with what networks see on a device.

        What tells heads apart stays on the CPU, where codes are drawn: asking a GPU for it would wait for all its work.
        """
        names = ("images", "masks", "depths", "labels")
        return replace(self, **{name: getattr(self, name).to(device, non_blocking=True) for name in names})

    def normalised_images(self) -> Tensor:
        """Images [B, 3, H, W] in [-1, 1], float32."""
        return self.images.float() / 127.5 - 1

    def views_a_head(self) -> int:
        """How many examples in succession are views of one head seen from the same side.

        1 where that is no constant, and where nothing tells heads apart.
        """
        if self.parameters is None:
            return 1
        heads = torch.column_stack([self.parameters, self.mirrored])
        starts = torch.ones(len(heads) + 1, dtype=torch.bool)
        starts[1:-1] = (heads[1:] != heads[:-1]).any(1)
        lengths = starts.nonzero()[:, 0].diff()
        return int(lengths[0]) if (lengths == lengths[0]).all() else 1


class Example(NamedTuple):
    """One portrait as it is: image uint8 [H, W, 3], mask uint8 [H, W], camera label [25]."""

    image: np.ndarray
    mask: np.ndarray
    label: np.ndarray


class TrainingSource(Protocol):
    """Portraits to learn from: a stored data set, or a stream that is rendered meanwhile.

    Who opens a source closes it.
    """

    @property
    def schema(self) -> PartSchema:
        """The parts that mask ids stand for."""
        ...

    @property
    def resolution(self) -> int:
        """Side of all pictures, pixels."""
        ...

    @property
    def has_depth(self) -> bool:
        """Whether every portrait has depth."""
        ...

    @property
    def labels(self) -> np.ndarray:
        """Cameras [N, 25], float32, as often as they are shown: those of the source, or enough of them to draw from."""
        ...

    def __len__(self) -> int:
        """Different portraits, not counting mirrored ones."""
        ...

    def fingerprint(self) -> dict[str, Any]:
        """What a run remembers, to notice that it is continued with other data; plain JSON values."""
        ...

    def parameter_count(self) -> int:
        """How many generating parameters a head has.

        Raises:
            SsganError: they are not known, or malformed, or depth is not known.
        """
        ...

    def sample(self) -> tuple[int, Iterator[Example]]:
        """How many, and a fixed choice of portraits spread over the source, for its statistics."""
        ...

    def batches(self, config: Config, start: int, stop: int) -> Iterator[Batch]:
        """Whole batches of the training stream's positions `start` to `stop`.

        A position's example depends on source, recipe and position alone. Where several processes train together,
        each gets its share of every batch. Where the recipe uses truth, batches carry generating parameters,
        and while heads are reconstructed views of one may follow one another (training.warmup_views).
        """
        ...

    def close(self) -> None:
        """End what the source has running; it may be called twice."""
        ...


class StoredPortraits:
    """A data set as a source; small ones stay in memory after their first reading.

    Any number of processes sees the same batches, each its share.

    Attributes:
        dataset: the entries that are shown; a portrait's index is the one it has here.
        shown: indices [S] in the order in which positions of an epoch count them: every entry once, then those that
            are shown twice, and so on.
    """

    def __init__(
        self, dataset: PortraitDataset, options: DataOptions | None = None, ranks: Ranks = ALONE
    ) -> None:
        """Args:
            options: which entries are shown, and how often; by default all of them once.
            ranks: whose share of every batch is wanted.

        Raises:
            SsganError: the options ask for what the data set does not have.
        """
        options = options or DataOptions()
        dataset = select(dataset, options)
        self.dataset = dataset
        self.ranks = ranks
        copies = yaw_copies(dataset.labels, options.balance_yaw) * part_copies(dataset, options.balance_parts)
        self.shown = np.concatenate([np.flatnonzero(copies > turn) for turn in range(copies.max())])
        bytes_each = dataset.resolution**2 * (4 + 4 * dataset.has_depth)
        self._cache: dict[int, tuple[np.ndarray, np.ndarray, np.ndarray | None]] | None = (
            {} if len(dataset) * bytes_each <= _MOST_CACHED_BYTES else None
        )

    @property
    def schema(self) -> PartSchema:
        return self.dataset.schema

    @property
    def resolution(self) -> int:
        return self.dataset.resolution

    @property
    def has_depth(self) -> bool:
        return self.dataset.has_depth

    @property
    def labels(self) -> np.ndarray:
        return self.dataset.labels[self.shown]

    def __len__(self) -> int:
        return len(self.dataset)

    def fingerprint(self) -> dict[str, Any]:
        digest = hashlib.sha256("\n".join(self.dataset.names).encode())
        digest.update(self.labels.tobytes())
        digest.update(self.shown[len(self) :].tobytes())
        return {"examples": len(self), "fingerprint": digest.hexdigest()}

    def parameter_count(self) -> int:
        return self._parameters.shape[1]

    def sample(self) -> tuple[int, Iterator[Example]]:
        places = np.linspace(0, len(self.shown) - 1, min(len(self.shown), _MOST_SAMPLED)).astype(int)
        chosen = self.shown[np.unique(places)]
        return len(chosen), (Example(*self.read(int(i))[:2], self.dataset.labels[i]) for i in chosen)

    def batches(self, config: Config, start: int, stop: int) -> Iterator[Batch]:
        training, mirror = config.training, config.data.mirror
        shuffled = ShuffledOrder(self.shown, config.seed, mirror)
        if not training.uses_truth:
            return self._ordered(shuffled, config, start, stop)
        first: Order = shuffled
        if training.warmup_views > 1:
            first = HeadOrder(self._heads, training.warmup_views, config.seed, mirror)
        turn = min(max(start, Schedule(config).truth_images), stop)
        batches = chain(
            self._ordered(first, config, start, turn), self._ordered(shuffled, config, turn, stop)
        )
        return (replace(batch, parameters=self._parameters[batch.indices]) for batch in batches)

    def _ordered(self, order: Order, config: Config, start: int, stop: int) -> Iterator[Batch]:
        return stream(
            Examples(self, order), config.training.batch, start, stop, config.data.workers, self.ranks
        )

    def close(self) -> None:
        """There is nothing to end."""

    def read(self, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Image, mask and depth (or None) at an index of the data set."""
        if self._cache is not None and index in self._cache:
            return self._cache[index]
        example = self.dataset.image(index), self.dataset.mask(index), self.dataset.depth(index)
        if self._cache is not None:
            self._cache[index] = example
        return example

    @cached_property
    def _heads(self) -> list[list[int]]:
        """Indices of the views of every head."""
        return self.dataset.by_person(range(len(self)))

    @cached_property
    def _parameters(self) -> Tensor:
        """Generating parameters [N, n] of every entry."""
        if not self.has_depth:
            raise SsganError("learning with truth needs a data set with depth", _NO_TRUTH)
        rows = [self.dataset.meta(index).get("parameters") for index in range(len(self))]
        try:
            parameters = torch.tensor(rows, dtype=torch.float32)
        except (TypeError, ValueError) as error:
            raise SsganError(
                "learning with truth needs the generating parameters of every portrait", _NO_TRUTH
            ) from error
        if parameters.ndim != 2 or not parameters.isfinite().all():
            raise SsganError("the data set's generating parameters are malformed", _NO_TRUTH)
        return parameters


class Examples(Dataset):
    """Maps a position of the endless training stream to an example of a stored data set."""

    def __init__(self, portraits: StoredPortraits, order: Order) -> None:
        self.portraits = portraits
        self.order = order
        self.mirror_ids = portraits.schema.mirror_ids.astype(np.uint8)

    def __getitem__(self, position: int) -> tuple[Tensor, Tensor, Tensor, Tensor, int, bool]:
        index, mirrored = self.order.at(position)
        image, mask, depth = self.portraits.read(index)
        label = self.portraits.dataset.labels[index]
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
            index,
            mirrored,
        )


def stream(
    examples: Examples, batch: int, start: int, stop: int, workers: int, ranks: Ranks = ALONE
) -> Iterator[Batch]:
    """This process's share of the whole batches of the stream's positions `start` to `stop`."""
    share = ranks.share(batch)
    loader = DataLoader(
        examples,
        batch_sampler=(  # type: ignore[arg-type]
            range(first + share.start, first + share.stop) for first in range(start, stop - batch + 1, batch)
        ),
        num_workers=workers,
        pin_memory=torch.cuda.is_available(),
        persistent_workers=workers > 0,
    )
    for tensors in loader:
        yield Batch(*tensors)
