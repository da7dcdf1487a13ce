"""Which photos a data set is done with, so that a run that goes on neither repeats nor forgets any.

`photos.jsonl` has one line for each photo whose faces have all become entries or reasons. The line is written
after the entries, so that a kill between them only lets the photo be looked at once more.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

from ssgan_core.errors import SsganError
from ssgan_core.files import cannot_write
from ssgan_core.preparation.entry import Outcome, Skip
from ssgan_core.preparation.photos import Photo

_FILE = "photos.jsonl"


class HandledPhotos:
    """The journal of a data set folder; a context manager that closes it.

    Raises:
        SsganError: the journal is damaged or cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / _FILE
        try:
            content = self._path.read_bytes() if self._path.exists() else b""
            whole = content.rfind(b"\n") + 1  # a torn last line is what a kill leaves
            self._lines = dict(
                self._parsed(line, number) for number, line in enumerate(content[:whole].splitlines(), 1)
            )
            self._file = self._path.open("ab", buffering=0)
            if whole < len(content):
                self._file.truncate(whole)
        except OSError as error:
            raise cannot_write(self._path, error) from error

    def __len__(self) -> int:
        return len(self._lines)

    def find(self, photo: Photo) -> tuple[list[str], list[Skip]] | None:
        """Entries and reasons of a photo; None if it has still to be looked at.

        A photo that was skipped and whose file has changed since is to be looked at again.
        """
        line = self._lines.get(photo.entry)
        if line is None or (line["skipped"] and line["file"] != _stamp(photo)):
            return None
        return line["entries"], [Skip(**skip) for skip in line["skipped"]]

    def add(self, photo: Photo, outcome: Outcome) -> None:
        """Be done with a photo whose entries are written. Raises SsganError if the disk is full."""
        line = {
            "photo": photo.entry,
            "file": _stamp(photo),
            "entries": [entry.name for entry in outcome.entries],
            "skipped": [asdict(skip) for skip in outcome.skipped],
        }
        content = (json.dumps(line) + "\n").encode()
        try:
            # Not synced: after a power cut a photo is looked at again, and its entries are found.
            if self._file.write(content) != len(content):
                raise OSError("the line was written in part")
        except OSError as error:
            raise cannot_write(self._path, error) from error

    def close(self) -> None:
        """Close the journal."""
        self._file.close()

    def __enter__(self) -> HandledPhotos:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _parsed(self, line: bytes, number: int) -> tuple[str, dict[str, Any]]:
        try:
            row = json.loads(line)
            [Skip(**skip) for skip in row["skipped"]]
            if not all(isinstance(name, str) for name in (row["photo"], *row["entries"])):
                raise TypeError("names are text")
            row["file"]
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise SsganError(
                f"{self._path}, line {number} is damaged: {error!r}",
                "remove the file: then photos are looked at again, and entries that exist are kept",
            ) from error
        return row["photo"], row


def _stamp(photo: Photo) -> list[int]:
    """What changes with a file: its size and time of modification; nothing if it cannot be asked."""
    try:
        found = photo.path.stat()
    except OSError:
        return []
    return [found.st_size, found.st_mtime_ns]
