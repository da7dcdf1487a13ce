"""How long work shows that it moves: a bar in a terminal, a line now and then in a log."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from ssgan_core.progress import Progress as Callback

_QUIET_SECONDS = 20.0  # between two lines where there is no terminal to draw a bar in


@contextmanager
def show_progress(console: Console, what: str, unit: str) -> Iterator[Callback]:
    """A callback for the core, shown with rate and time left."""
    if not console.is_terminal:
        yield _Lines(console, what, unit)
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(unit),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(what, total=None, note="")

        def update(done: int, total: int, note: str = "") -> None:
            bar.update(task, completed=done, total=total, note=note)

        yield update


class _Rate(ProgressColumn):
    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else _rate(speed, self._unit))


class _Lines:
    """Progress for logs: a line every so often, and one at the end."""

    def __init__(self, console: Console, what: str, unit: str) -> None:
        self._console, self._what, self._unit = console, what, unit
        self._began = self._printed = time.monotonic()
        self._first: int | None = None

    def __call__(self, done: int, total: int, note: str = "") -> None:
        now = time.monotonic()
        if self._first is None:
            self._first = done  # a resumed job starts above zero
        if done < total and now - self._printed < _QUIET_SECONDS:
            return
        self._printed = now
        speed = (done - self._first) / max(now - self._began, 1e-9)
        facts = [f"{self._what}: {done}/{total} {self._unit}"]
        if speed > 0:
            facts.append(_rate(speed, self._unit))
            if done < total:
                facts.append(f"{_duration((total - done) / speed)} left")
        self._console.print(", ".join([*facts, note] if note else facts))


def _rate(speed: float, unit: str) -> str:
    return f"{speed:.1f} {unit}/s" if speed >= 0.1 else f"{1 / speed:.0f} s each"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"
