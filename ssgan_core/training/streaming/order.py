"""Which portrait stands at which position of the stream: a pure function of recipe seed, stream and position.

Identities come in the order of one permutation of all heads after another; the n-th identity of that endless order
has the number n. They are taken in groups, and positions in rounds. Round g shows the views of group g for the
first time, those of group g - stride for the second, of group g - 2 stride for the third, up to the `reuse`-th. So
a run can begin as soon as one group is rendered, the repeats of a view lie at least stride - 1 rounds apart, and
the portraits needed at any time belong to (reuse - 1) stride + 1 neighbouring groups. The first rounds of a run
are shorter, because the groups that they would repeat never were.

Where several ranks train together, every rank has a stream of its own, of every so-manyth identity of the endless
order: no identity is rendered twice. Positions and numbers are then those of the rank's own stream.

A round has as many sections as an identity has views, and a section shows each of its identities once. Half of
them keep to the first half of every section, so two views of one identity are at least half a section apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ssgan_core.errors import SsganError
from ssgan_core.training.streaming.spec import StreamSpec

# (identities a group, stride), the largest window first.
_WINDOWS = ((32, 8), (32, 4), (32, 2), (16, 2), (8, 2), (4, 2), (2, 2), (1, 2), (1, 1))
_IDENTITIES, _TRAITS, _ROUNDS = range(3)  # separate streams of random numbers


@dataclass(frozen=True)
class Window:
    """How much of the stream is held at a time.

    Attributes:
        group: identities a group.
        stride: rounds between two shows of a view.
        alive: groups that the shows of one round may come from, (reuse - 1) stride + 1.
        ahead: groups that are rendered before their first round.
    """

    group: int
    stride: int
    alive: int
    ahead: int

    @property
    def identities(self) -> int:
        """The most identities whose views are held."""
        return self.group * (self.alive + self.ahead)


def plan_window(spec: StreamSpec, view_bytes: int, most_bytes: int) -> Window:
    """The largest window whose views fit into `most_bytes`; it depends on nothing else, so a stream can be resumed.

    Raises:
        SsganError: not even the smallest fits.
    """
    for group, stride in _WINDOWS:
        window = Window(min(group, spec.heads), stride, (spec.reuse - 1) * stride + 1, max(2, stride))
        if window.identities * spec.views * view_bytes <= most_bytes:
            return window
    raise SsganError(
        f"{spec} needs more than the {most_bytes / 2**30:.1f} GiB that rendered portraits may take",
        "choose fewer views, less reuse or a lower resolution",
    )


@dataclass(frozen=True)
class Shows:
    """Consecutive positions of the stream.

    Attributes:
        numbers: [P] int64, places of the identities in the endless order.
        views: [P] int64.
        mirrored: [P] bool.
    """

    numbers: np.ndarray
    views: np.ndarray
    mirrored: np.ndarray

    def __getitem__(self, places: slice) -> Shows:
        return Shows(self.numbers[places], self.views[places], self.mirrored[places])


class ShowOrder:
    """The order of one stream.

    Args:
        seed: the recipe's; the stream's own seed decides what the identities look like, not their order.
        mirror: show every other repeat of a view mirrored.
        rank, ranks: whose stream, of how many.
    """

    def __init__(
        self, spec: StreamSpec, window: Window, seed: int, mirror: bool, rank: int = 0, ranks: int = 1
    ) -> None:
        self._spec = spec
        self._window = window
        self._seed = seed
        self._mirror = mirror
        self._rank, self._ranks = rank, ranks
        self._permutation = lru_cache(maxsize=2)(self._permuted_heads)
        self._round = lru_cache(maxsize=2)(self._drawn_round)

    def identity(self, number: int) -> int:
        """The identity at a place of the endless order."""
        epoch, place = divmod(number * self._ranks + self._rank, self._spec.heads)
        return int(self._permutation(epoch)[place])

    def groups(self, round_number: int) -> list[int]:
        """Groups that a round shows, the newest first."""
        stride = self._window.stride
        return [round_number - repeat * stride for repeat in range(self._repeats(round_number))]

    def shows(self, start: int, stop: int) -> Iterator[tuple[int, Shows]]:
        """Positions `start` to `stop`, split where a round ends: (round, shows)."""
        round_number, first = self._round_at(start)
        while start < stop:
            length = self._length(round_number)
            end = min(stop, first + length)
            yield round_number, self._round(round_number)[start - first : end - first]
            start, first, round_number = end, first + length, round_number + 1

    def _repeats(self, round_number: int) -> int:
        return min(self._spec.reuse, round_number // self._window.stride + 1)

    def _length(self, round_number: int) -> int:
        return self._repeats(round_number) * self._window.group * self._spec.views

    def _round_at(self, position: int) -> tuple[int, int]:
        """The round that a position lies in, and the round's first position."""
        first, round_number = 0, 0
        while self._repeats(round_number) < self._spec.reuse:  # the first rounds, in blocks of equal length
            block = self._window.stride * self._length(round_number)
            if position < first + block:
                break
            first, round_number = first + block, round_number + self._window.stride
        rounds = (position - first) // self._length(round_number)
        return round_number + rounds, first + rounds * self._length(round_number)

    def _permuted_heads(self, epoch: int) -> np.ndarray:
        return np.random.default_rng([self._seed, _IDENTITIES, epoch]).permutation(self._spec.heads)

    def _drawn_round(self, round_number: int) -> Shows:
        group, views = self._window.group, self._spec.views
        numbers, shifts, coins = [], [], []
        for repeat, q in enumerate(self.groups(round_number)):
            traits = self._random(_TRAITS, q)
            numbers.append(q * group + np.arange(group))
            shifts.append(traits.integers(views, size=group) + repeat)
            coins.append(traits.integers(2, size=(group, views)) + repeat)
        number, shift, coin = np.concatenate(numbers), np.concatenate(shifts), np.concatenate(coins)
        rng = self._random(_ROUNDS, round_number)
        entries = rng.permutation(len(number))
        halves = entries[: len(entries) // 2], entries[len(entries) // 2 :]
        sections = [np.concatenate([rng.permutation(half) for half in halves]) for _ in range(views)]
        order = np.concatenate(sections)
        view = (shift[order] + np.repeat(np.arange(views), len(number))) % views
        mirrored = (coin[order, view] % 2 == 1) & self._mirror
        return Shows(number[order], view, mirrored)

    def _random(self, stream: int, number: int) -> np.random.Generator:
        rank = [self._rank] if self._rank else []
        return np.random.default_rng([self._seed, stream, number, *rank])
