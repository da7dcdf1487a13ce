"""In which order a stored data set is shown: an endless stream of positions, each an entry and a side.

An order depends on its seed and the position alone, so that a resumed run sees what a straight one sees.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np


class Order(Protocol):
    """What is shown at a position of the stream."""

    def at(self, position: int) -> tuple[int, bool]:
        """Index of the entry, and whether it is shown mirrored."""
        ...


class ShuffledOrder:
    """Epochs that show every entry once, and once mirrored if so wished, in an order of their own.

    Args:
        shown: [S] indices of the entries, as often as an epoch shows them.
        mirror: whether each is shown both ways.
    """

    def __init__(self, shown: np.ndarray, seed: int, mirror: bool) -> None:
        self._shown = shown
        self._epochs = _Epochs(len(shown) * (2 if mirror else 1), seed)

    def at(self, position: int) -> tuple[int, bool]:
        mirrored, place = divmod(self._epochs.at(position), len(self._shown))
        return int(self._shown[place]), bool(mirrored)


class HeadOrder:
    """Heads in shuffled order; of each, several views in succession, all of them mirrored or none.

    Args:
        heads: indices of each head's views.
        views: how many are shown of a head; one that has more shows some of them, one that has fewer repeats them.
        mirror: whether an epoch shows every head both ways.
    """

    def __init__(self, heads: Sequence[Sequence[int]], views: int, seed: int, mirror: bool) -> None:
        self._heads = heads
        self._views = views
        self._seed = seed
        self._epochs = _Epochs(len(heads) * (2 if mirror else 1), seed)

    def at(self, position: int) -> tuple[int, bool]:
        turn, view = divmod(position, self._views)
        mirrored, number = divmod(self._epochs.at(turn), len(self._heads))
        head = self._heads[number]
        chosen = np.random.default_rng([self._seed, turn]).permutation(len(head))
        return head[chosen[view % len(head)]], bool(mirrored)


class _Epochs:
    """The numbers below `count`, permuted anew in every epoch."""

    def __init__(self, count: int, seed: int) -> None:
        self._count = count
        self._seed = seed
        self._epoch = -1
        self._order = np.zeros(0, np.int64)

    def at(self, position: int) -> int:
        epoch, offset = divmod(position, self._count)
        if epoch != self._epoch:
            self._order = np.random.default_rng([self._seed, epoch]).permutation(self._count)
            self._epoch = epoch
        return int(self._order[offset])
