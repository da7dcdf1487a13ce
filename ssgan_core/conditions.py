"""Conditions on the columns of a data set's entries (their meta), as recipes and options.json write them.

A mapping from columns to what they must hold; an entry is used if all of it is true:

    where: {occlusion: {max: 0.3}, crop.padding: {max: 0.1}, source: synthetic, duplicate_of: null}

A number, a text, true or false must be equal; `null` means that the column is null or not there; `min` and `max` are
bounds of a number, both included. A dot leads into a column that is itself a mapping.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ssgan_core.errors import SsganError

_BOUNDS = ("min", "max")
_SHAPE = "conditions are such as {occlusion: {max: 0.3}, source: synthetic, duplicate_of: null}"


@dataclass(frozen=True)
class Condition:
    """What one column must hold.

    Attributes:
        column: its name, with dots between the names of nested ones.
        wanted: the value; None = none. For a number between bounds: the pair of them.
    """

    column: str
    wanted: bool | int | float | str | tuple[float, float] | None

    def is_met(self, meta: Mapping[str, Any]) -> bool:
        """Whether an entry with this meta is used."""
        value = self.value(meta)
        if isinstance(self.wanted, tuple):
            low, high = self.wanted
            return _is_number(value) and low <= value <= high
        if _is_number(self.wanted):
            return _is_number(value) and value == self.wanted
        return type(value) is type(self.wanted) and value == self.wanted

    def is_known(self, meta: Mapping[str, Any]) -> bool:
        """Whether an entry has the column, be it null."""
        *folders, last = self.column.split(".")
        for folder in folders:
            meta = meta.get(folder, {})
            if not isinstance(meta, Mapping):
                return False
        return last in meta

    def value(self, meta: Mapping[str, Any]) -> Any:
        """What the column holds, None if it is not there."""
        value: Any = meta
        for name in self.column.split("."):
            value = value.get(name) if isinstance(value, Mapping) else None
        return value


def parse_conditions(tree: Any, name: str) -> tuple[Condition, ...]:
    """The conditions of a parsed YAML or JSON mapping; `name` is what errors call it.

    Raises:
        SsganError: it is none, or a condition cannot be one.
    """
    if not isinstance(tree, dict):
        raise SsganError(f"{name} is not a mapping of columns", _SHAPE)
    return tuple(Condition(*_parsed(column, wanted, name)) for column, wanted in tree.items())


def _parsed(column: Any, wanted: Any, name: str) -> tuple[str, Any]:
    if not isinstance(column, str) or not all(column.split(".")):
        raise SsganError(f"{name}: {column!r} names no column", _SHAPE)
    called = f"{name}.{column}"
    if wanted is None or isinstance(wanted, bool | str) or _is_number(wanted):
        return column, wanted
    if not isinstance(wanted, dict) or not wanted:
        raise SsganError(
            f"{called} must be a value, or {{min: ..., max: ...}} with finite numbers, got {wanted!r}", _SHAPE
        )
    if strangers := [key for key in wanted if key not in _BOUNDS]:
        raise SsganError(f"{called}: there is no condition '{strangers[0]}'", "conditions are min and max")
    for bound, value in wanted.items():
        if not _is_number(value):
            raise SsganError(f"{called}.{bound} must be a finite number, got {value!r}")
    low, high = wanted.get("min", -math.inf), wanted.get("max", math.inf)
    if low > high:
        raise SsganError(f"{called}: nothing lies between min {low} and max {high}")
    return column, (float(low), float(high))


def _is_number(value: Any) -> bool:
    # The bounds exclude what is not finite, and whole numbers that no float can hold.
    return isinstance(value, int | float) and not isinstance(value, bool) and -1e300 < value < 1e300
