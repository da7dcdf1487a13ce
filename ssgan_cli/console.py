"""What the commands show: facts on stdout, progress and trouble on stderr, one JSON object when asked for.

Text is printed with rich's markup off, because paths contain [brackets]. The core never prints: it calls the
progress callback that `Output.progress` makes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from ssgan_core.errors import SsganError
from ssgan_core.progress import Progress as Callback


class Output:
    """The voice of one command.

    Args:
        as_json: print one JSON object on stdout at the end, and everything else on stderr.
        quiet: say nothing; for all but one of the processes that do the same together.
    """

    def __init__(self, as_json: bool, quiet: bool = False) -> None:
        self._as_json = as_json and not quiet
        self._facts = _console(stderr=as_json, quiet=quiet)
        self._trouble = _console(stderr=True, quiet=quiet)

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

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Aligned columns. Long paths are not folded, so that they can be copied."""
        lines = [[str(cell) for cell in row] for row in rows]
        widths = [max(map(len, column)) for column in zip(columns, *lines, strict=True)]
        for index, line in enumerate([columns, *lines]):
            cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
            self._facts.print(Text("  ".join(cells).rstrip(), "" if index else "bold"))

    def result(self, value: dict[str, Any]) -> None:
        """The command's outcome, printed only under --json; paths become strings."""
        if self._as_json:
            print(json.dumps(value, default=str, ensure_ascii=False))

    @contextmanager
    def progress(self, what: str, unit: str) -> Iterator[Callback]:
        """A bar on stderr with rate and time left, or a line now and then where there is no terminal."""
        from ssgan_cli.progress import show_progress

        with show_progress(self._trouble, what, unit) as progress:
            yield progress


def print_error(error: SsganError) -> None:
    """One line, and the hint under it."""
    console = _console(stderr=True)
    console.print(Text.assemble(("error: ", "bold red"), " ".join(error.message.split("\n"))))
    if error.hint:
        console.print(Text.assemble(("hint: ", "bold"), error.hint))


def print_warning(text: str) -> None:
    """One line on stderr."""
    _console(stderr=True).print(Text(text, "yellow"))


def _console(*, stderr: bool, quiet: bool = False) -> Console:
    return Console(stderr=stderr, quiet=quiet, markup=False, highlight=False, emoji=False, soft_wrap=True)
