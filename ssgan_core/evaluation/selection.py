"""Which portraits of a data set a model is compared with, and which of them are kept apart as its own floor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ssgan_core import cameras
from ssgan_core.dataset.reader import PortraitDataset
from ssgan_core.errors import SsganError

LEAST = 8
"""Portraits in each half, below which no figure means anything."""


@dataclass(frozen=True)
class Selection:
    """Two equally large sets of a data set's entries that share no person, in random order.

    Attributes:
        reference: indices [N] that everything is compared with; their cameras are the samples' cameras, too.
        held: indices [N] that stand for a perfect model.
        repeated: positions in `held` of one person's portraits: that with the most.
        in_range: entries of the data set whose cameras are in the range.
        people: different persons among these.
    """

    reference: np.ndarray
    held: np.ndarray
    repeated: np.ndarray
    in_range: int
    people: int

    def __len__(self) -> int:
        return len(self.reference)


def select(data: PortraitDataset, count: int, yaw: float, pitch: float, seed: int) -> Selection:
    """Choose at most `count` entries for each set, among those whose camera is within +-yaw and +-pitch (radians).

    Views of one person (the same `seed` and `identity` in meta.jsonl) go to the same set; entries without an identity
    are persons of their own.

    Raises:
        SsganError: fewer than 8 a set can be had.
    """
    found_yaw, found_pitch = cameras.angles(data.labels)
    inside = np.flatnonzero((np.abs(found_yaw) <= yaw) & (np.abs(found_pitch) <= pitch))
    views = data.by_person(inside.tolist())
    sides: tuple[list[int], list[int]] = ([], [])
    for chosen in np.random.default_rng(seed).permutation(len(views)):
        side = min(sides, key=len)
        if len(side) >= count:
            break
        side.extend(views[chosen])
    size = min(count, *map(len, sides))
    if size < LEAST:
        raise SsganError(
            f"too few portraits to compare with: {len(inside)} of {len(data)} entries, of {len(views)} persons, "
            f"are seen from within {np.degrees(yaw):.1f} degrees of yaw and {np.degrees(pitch):.1f} of pitch",
            f"two sets of {LEAST} that share no person are needed at least; take more data or wider ranges",
        )
    reference, held = (np.array(side[:size]) for side in sides)
    owners = [data.person(int(index)) for index in held]
    commonest = max(dict.fromkeys(owners), key=owners.count)
    repeated = np.flatnonzero([owner == commonest for owner in owners])
    return Selection(reference, held, repeated, len(inside), len(views))


def similar_views(data: PortraitDataset, indices: np.ndarray, most: int) -> list[tuple[int, int]]:
    """Pairs of entries of different persons seen from almost the same side: each of the first, and its closest."""
    angles = np.stack(cameras.angles(data.labels[indices]), axis=1)
    owners = [data.person(int(index)) for index in indices]
    pairs = []
    for position in range(min(most, len(indices))):
        apart = np.linalg.norm(angles - angles[position], axis=1)
        apart[[owner == owners[position] for owner in owners]] = np.inf
        if np.isfinite(apart).any():
            pairs.append((int(indices[position]), int(indices[apart.argmin()])))
    return pairs


def turned_views(
    data: PortraitDataset, indices: np.ndarray, apart: float, most: int
) -> list[tuple[int, int]]:
    """Pairs of views of one person whose cameras are `apart` radians from one another, give or take a half."""
    yaw, pitch = cameras.angles(data.labels)
    pairs = []
    for views in data.by_person(indices.tolist()):
        for position, first in enumerate(views):
            for second in views[position + 1 :]:
                distance = float(np.hypot(yaw[first] - yaw[second], pitch[first] - pitch[second]))
                if apart / 2 <= distance <= 1.5 * apart and len(pairs) < most:
                    pairs.append((first, second))
    return pairs
