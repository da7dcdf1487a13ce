"""How long work reports that it moves: the core never prints, it calls back."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Called every so often by long work."""

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """`done` of `total` units are finished; `note` is a short line of facts for the eye."""
        ...


def silent(done: int, total: int, note: str = "") -> None:
    """Reports to nobody."""
