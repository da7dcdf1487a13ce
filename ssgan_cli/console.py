"""What the commands show: facts on stdout, progress and trouble on stderr, one JSON object when asked for.

Text is printed with rich's markup off, because paths contain [brackets]. The core never prints: it calls the
progress callback that `Output.progress` makes.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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
from rich.table import Table
from rich.text import Text

from ssgan_core.errors import SsganError
from ssgan_core.progress import Progress as Callback

_QUIET_SECONDS = 20.0  # between two lines of progress where there is no terminal to draw a bar in


class Output:
    """The voice of one command.

    Args:
        as_json: print one JSON object on stdout at the end, and everything else on stderr.
    """

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self._facts = _console(stderr=as_json)
        self._trouble = _console(stderr=True)

    def say(self, text: str) -> None:
        """One fact."""
        self._facts.print(text)

    def wrote(self, *paths: Path) -> None:
        """Files or folders that now exist."""
        for path in paths:
            self._facts.print(Text.assemble(("wrote ", "green"), str(path)))

    def note(self, text: str) -> None:
        """Something on the side, on stderr: what is being waited for, or what looks odd."""
        self._trouble.print(Text(text, "yellow"))

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        table = Table(box=None, header_style="bold", pad_edge=False)
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(*(Text(str(cell)) for cell in row))
        self._facts.print(table)

    def result(self, value: dict[str, Any]) -> None:
        """The command's outcome, printed only under --json; paths become strings."""
        if self._as_json:
            print(json.dumps(value, default=str, ensure_ascii=False, allow_nan=False))

    @contextmanager
    def progress(self, what: str, unit: str) -> Iterator[Callback]:
        """A bar on stderr with rate and time left, or a line now and then where there is no terminal."""
        if not self._trouble.is_terminal:
            yield _Lines(self._trouble, what, unit)
            return
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            _Rate(unit),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}", markup=False),
        )
        with Progress(*columns, console=self._trouble) as bar:
            task = bar.add_task(what, total=None, note="")

            def update(done: int, total: int, note: str = "") -> None:
                bar.update(task, completed=done, total=total, note=note)

            yield update


def print_error(error: SsganError) -> None:
    """One line, and the hint under it."""
    console = _console(stderr=True)
    console.print(Text.assemble(("error: ", "bold red"), " ".join(error.message.split("\n"))))
    if error.hint:
        console.print(Text.assemble(("hint: ", "bold"), error.hint))


def print_warning(text: str) -> None:
    """One line on stderr."""
    _console(stderr=True).print(Text(text, "yellow"))


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


def _console(*, stderr: bool) -> Console:
    return Console(stderr=stderr, markup=False, highlight=False, emoji=False, soft_wrap=True)


def _rate(speed: float, unit: str) -> str:
    return f"{speed:.1f} {unit}/s" if speed >= 0.1 else f"{1 / speed:.0f} s each"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"
