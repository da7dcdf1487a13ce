"""Which entries of a data set are shown, and how often: conditions, duplicates, rare views."""

from __future__ import annotations

from difflib import get_close_matches

import numpy as np

from ssgan_core.cameras import angles
from ssgan_core.conditions import Condition, parse_conditions
from ssgan_core.config import DataOptions
from ssgan_core.dataset.layout import KEPT_COLUMN
from ssgan_core.dataset.reader import PortraitDataset
from ssgan_core.errors import SsganError

_BIN = np.deg2rad(5.0)


def select(dataset: PortraitDataset, options: DataOptions) -> PortraitDataset:
    """The entries that meet `options.where` and show one of the parts of `options.showing`, for which all masks are
    read; with `skip_duplicates`, the first by name of those that show the same.

    Duplicates are sought among the entries that meet the conditions: one whose better copy is left out is used.

    Raises:
        SsganError: a column is one that no entry has, a part is none, or no entry is left.
    """
    conditions = parse_conditions(options.where, "data.where")
    wanted = dataset.schema.listed_ids(options.showing)
    if not conditions and not wanted and not options.skip_duplicates:
        return dataset
    for condition in conditions:
        _check_known(dataset, condition)
    indices = [
        index
        for index in range(len(dataset))
        if all(condition.is_met(dataset.meta(index)) for condition in conditions)
    ]
    if not indices:
        raise SsganError(f"no entry of {dataset.path} meets data.where", "loosen its conditions")
    if wanted:
        indices = [index for index in indices if np.isin(wanted, dataset.mask(index)).any()]
        if not indices:
            raise SsganError(
                f"no entry of {dataset.path} shows {options.showing}", "name other parts in data.showing"
            )
    if options.skip_duplicates:
        indices = _without_duplicates(dataset, indices)
    return dataset.select(np.array(indices))


def yaw_copies(labels: np.ndarray, most: int) -> np.ndarray:
    """How many times to show each entry so that large |yaw| is no rarer than small, int64 [N], from 1 to `most`.

    |yaw| is counted in bins of 5 degrees. A bin of n entries gets min(F, most n) shows, where F is the number of
    entries of the fullest bin, so the histogram becomes flat where `most` allows it. The bin's entries share these
    shows as equally as whole numbers can; those with one more are evenly spread over the entries' order.

    Args:
        labels: cameras [N, 25].
        most: shows of one entry, at most.
    """
    yaw, _ = angles(labels)
    _, bins, counts = np.unique(np.abs(yaw) // _BIN, return_inverse=True, return_counts=True)
    shows = np.minimum(counts.max(), most * counts)
    order = np.argsort(bins, kind="stable")
    rank = np.empty(len(bins), np.int64)  # of an entry in its bin
    rank[order] = np.arange(len(bins)) - (np.cumsum(counts) - counts)[bins[order]]
    return (rank + 1) * shows[bins] // counts[bins] - rank * shows[bins] // counts[bins]


def part_copies(dataset: PortraitDataset, most: int) -> np.ndarray:
    """How many times to show each entry so that rare parts come more often, int64 [N], from 1 to `most`.

    A part that a share p of the entries shows gets its entries shown 1 / sqrt(p) times, rounded; an entry with several
    rare parts as often as the rarest asks for. All masks are read.
    """
    if most == 1:
        return np.ones(len(dataset), np.int64)
    parts = range(len(dataset.schema.parts))
    shows = np.array([np.isin(parts, dataset.mask(index)) for index in range(len(dataset))])
    wanted = np.maximum(shows.mean(0), 1 / len(dataset)) ** -0.5
    return np.clip((shows * wanted).max(1).round(), 1, most).astype(np.int64)


def _check_known(dataset: PortraitDataset, condition: Condition) -> None:
    rows = [dataset.meta(index) for index in range(len(dataset))]
    if any(condition.is_known(meta) for meta in rows):
        return
    columns = sorted({column for meta in rows for column in meta})
    close = get_close_matches(condition.column, columns, 1)
    hint = f"did you mean '{close[0]}'?" if close else "columns are " + (", ".join(columns) or "none")
    raise SsganError(f"no entry of {dataset.path} has the column '{condition.column}'", hint)


def _without_duplicates(dataset: PortraitDataset, indices: list[int]) -> list[int]:
    if not any(KEPT_COLUMN in dataset.meta(index) for index in range(len(dataset))):
        raise SsganError(
            f"data.skip_duplicates: {dataset.path} was never searched for duplicates",
            f"none of its entries has the column '{KEPT_COLUMN}', which 'ssgan preprocess' writes",
        )
    firsts: dict[str, int] = {}
    for index in indices:
        same = dataset.meta(index).get(KEPT_COLUMN) or dataset.names[index]
        if not isinstance(same, str):
            raise SsganError(
                f"{dataset.path}: {KEPT_COLUMN} of {dataset.names[index]} is not the name of an entry"
            )
        firsts.setdefault(same, index)
    return sorted(firsts.values())
