"""Synthetic portraits as a source for training, rendered while it runs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
import torch

from ssgan_core.cameras import mirror_label
from ssgan_core.config import Config
from ssgan_core.parts import PORTRAIT
from ssgan_core.pictures import decode_depth16
from ssgan_core.training.data import Batch, Example
from ssgan_core.training.ranks import ALONE, Ranks
from ssgan_core.training.streaming.buffer import PortraitBuffer
from ssgan_core.training.streaming.heads import HeadRenderer
from ssgan_core.training.streaming.order import ShowOrder, Shows, plan_window
from ssgan_core.training.streaming.renderer import Renderer
from ssgan_core.training.streaming.slots import SlotShape
from ssgan_core.training.streaming.spec import StreamSpec
from ssgan_core.training.streaming.worker import Job

_MOST_BYTES = 2 << 30
_SAMPLED = 256  # views
_MOST_LABELS = 4096


class StreamedPortraits:
    """A TrainingSource whose portraits are rendered by worker processes into a bounded buffer.

    The processes start with the first `sample` or `batches` and end with `close`. One iterator of the two at a time.

    Args:
        spec: which portraits, and how many processes.
        size: side of the pictures, pixels.
        renderer: what makes them.
        ranks: whose share of every batch is wanted; each has its own processes and buffer.

    Raises:
        SsganError: the buffer would need more than 2 GiB.
    """

    schema = PORTRAIT
    has_depth = True

    def __init__(
        self, spec: StreamSpec, size: int, renderer: Renderer | None = None, ranks: Ranks = ALONE
    ) -> None:
        self.spec = spec
        self.ranks = ranks
        self.resolution = size
        self._renderer = renderer or HeadRenderer()
        view_bytes = SlotShape(1, size, self.parameter_count()).slot_bytes
        self._window = plan_window(spec, view_bytes, _MOST_BYTES)
        self._buffer: PortraitBuffer | None = None
        self._mirror_ids = self.schema.mirror_ids.astype(np.uint8)

    def __len__(self) -> int:
        return self.spec.heads * self.spec.views

    @property
    def rendered(self) -> int:
        """Views rendered so far."""
        return 0 if self._buffer is None else self._buffer.filled * self.spec.views

    @property
    def labels(self) -> np.ndarray:
        """Cameras [N, 25] of up to 4096 views spread over the stream."""
        return self._labels

    def fingerprint(self) -> dict[str, Any]:
        # A few labels and parameters stand for the population, which a later version may draw otherwise.
        digest = hashlib.sha256(str(self.spec).encode())
        digest.update(self.labels[:8].tobytes())
        digest.update(self._first_parameters.tobytes())
        return {"examples": len(self), "stream": str(self.spec), "fingerprint": digest.hexdigest()}

    def parameter_count(self) -> int:
        return len(self._first_parameters)

    def sample(self) -> tuple[int, Iterator[Example]]:
        chosen = _spread(self.spec.heads, -(-_SAMPLED // self.spec.views))
        return len(chosen) * self.spec.views, self._sampled(chosen)

    def batches(self, config: Config, start: int, stop: int) -> Iterator[Batch]:
        window, count = self._window, self.ranks.count
        batch, start, stop = config.training.batch // count, start // count, stop // count
        order = ShowOrder(self.spec, window, config.seed, config.data.mirror, self.ranks.rank, count)
        buffer = self._opened()
        buffer.drain()
        requested: set[int] = set()
        reached = -1
        for position in range(start, stop - batch + 1, batch):
            pieces = []
            for round_number, shows in order.shows(position, position + batch):
                # The groups of all earlier rounds have been copied by now, so their blocks may be filled anew.
                for coming in range(max(round_number, reached + 1), round_number + window.ahead + 1):
                    for group in order.groups(coming):
                        if group not in requested:
                            requested.add(group)
                            self._request(buffer, order, group)
                    reached = coming
                requested = {group for group in requested if group > round_number - window.alive}
                blocks = shows.numbers % window.identities
                buffer.wait(blocks)
                pieces.append(self._copied(buffer, order, shows, blocks))
            tensors = (torch.from_numpy(np.concatenate(arrays)) for arrays in zip(*pieces, strict=True))
            yield Batch(*(tensor.pin_memory() if torch.cuda.is_available() else tensor for tensor in tensors))

    def close(self) -> None:
        if self._buffer is not None:
            self._buffer.close()
            self._buffer = None

    @cached_property
    def _labels(self) -> np.ndarray:
        chosen = (divmod(index, self.spec.views) for index in _spread(len(self), _MOST_LABELS))
        return np.stack([self._renderer.label(self.spec.seed, *view) for view in chosen])

    @cached_property
    def _first_parameters(self) -> np.ndarray:
        return self._renderer.parameters(self.spec.seed, 0)

    def _opened(self) -> PortraitBuffer:
        if self._buffer is None:
            spec = self.spec
            slots = self._window.identities * spec.views
            shape = SlotShape(slots, self.resolution, self.parameter_count())
            processes = spec.workers or max(1, spec.processes // self.ranks.local_count)
            self._buffer = PortraitBuffer(Job(self._renderer, spec.seed, spec.views, shape), processes)
        return self._buffer

    def _request(self, buffer: PortraitBuffer, order: ShowOrder, group: int) -> None:
        first = group * self._window.group
        for number in range(first, first + self._window.group):
            buffer.request(number % self._window.identities, order.identity(number))

    def _copied(
        self, buffer: PortraitBuffer, order: ShowOrder, shows: Shows, blocks: np.ndarray
    ) -> tuple[np.ndarray, ...]:
        """The fields of a Batch."""
        slots, chosen, mirrored = buffer.slots, blocks * self.spec.views + shows.views, shows.mirrored
        images, masks, depths = slots.images[chosen], slots.masks[chosen], slots.depths[chosen]
        labels = slots.labels[chosen]
        images[mirrored] = images[mirrored][..., ::-1]
        masks[mirrored] = self._mirror_ids[masks[mirrored][..., ::-1]]
        depths[mirrored] = depths[mirrored][..., ::-1]
        labels[mirrored] = mirror_label(labels[mirrored])
        identities = np.array([order.identity(number) for number in shows.numbers.tolist()])
        indices = identities * self.spec.views + shows.views
        parameters = slots.parameters[chosen]
        return images, masks, decode_depth16(depths)[:, None], labels, indices, mirrored, parameters

    def _sampled(self, chosen: list[int]) -> Iterator[Example]:
        buffer, views, blocks = self._opened(), self.spec.views, self._window.identities
        buffer.drain()
        for block, identity in enumerate(chosen[:blocks]):
            buffer.request(block, identity)
        for number in range(len(chosen)):
            block = number % blocks
            buffer.wait(np.array([block]))
            for slot in range(block * views, (block + 1) * views):
                slots = buffer.slots
                image = slots.images[slot].transpose(1, 2, 0).copy()
                yield Example(image, slots.masks[slot].copy(), slots.labels[slot].copy())
            if number + blocks < len(chosen):
                buffer.request(block, chosen[number + blocks])


def _spread(count: int, most: int) -> list[int]:
    """Up to `most` of the numbers below `count`, evenly spread, without repeats."""
    return sorted({round(value) for value in np.linspace(0, count - 1, min(count, most)).tolist()})
