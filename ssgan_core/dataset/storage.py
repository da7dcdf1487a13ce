"""A data set's files by name, from a folder or from a zip of unknown origin that is never extracted."""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any, Protocol

from ssgan_core.errors import SsganError

# A compressed member may not claim to grow more than this: text shrinks by 10, a bomb by 1,000.
_LARGEST_RATIO, _SMALL = 100, 1 << 20
_ZIP_ERRORS = (
    zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, struct.error, EOFError, OSError, ValueError,
    NotImplementedError, RuntimeError, OverflowError, IndexError,
)  # fmt: skip


class Storage(Protocol):
    """Read access to files by their name relative to the data set, "/" between folders."""

    def names(self) -> set[str]:
        """All files."""
        ...

    def read(self, name: str, limit: int) -> bytes:
        """The content of one file; SsganError if it is missing, damaged or larger than `limit` bytes."""
        ...

    def describe(self, name: str) -> str:
        """What to call a file in an error."""
        ...


def open_storage(path: Path) -> Storage:
    """The files of a data set that is a folder or a zip.

    Raises:
        SsganError: there is none, or it is a zip that is refused (see ZipStorage).
    """
    path = Path(path)
    if path.is_dir():
        return FolderStorage(path)
    if not path.is_file():
        raise SsganError(
            f"there is no data set at {path}", "make one with 'ssgan preprocess' or 'ssgan synth'"
        )
    return ZipStorage(path)


class FolderStorage:
    """The files under a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def names(self) -> set[str]:
        found = set()
        for place, _, files in os.walk(self._folder):
            prefix = Path(place).relative_to(self._folder).as_posix() + "/"
            found.update((prefix if prefix != "./" else "") + file for file in files)
        return found

    def read(self, name: str, limit: int) -> bytes:
        try:
            with (self._folder / name).open("rb") as file:
                content = file.read(limit + 1)
        except OSError as error:
            raise SsganError(f"cannot read {self.describe(name)}: {error.strerror}") from error
        if len(content) > limit:
            raise SsganError(f"{self.describe(name)} is larger than {limit} bytes")
        return content

    def describe(self, name: str) -> str:
        return str(self._folder / name)


class ZipStorage:
    """The members of a zip.

    Each process opens the file for itself: a ZipFile that is opened before the workers of a data loader fork
    shares its file position with them, and reads fail at random.

    Raises:
        SsganError: it is no zip, or a member's name would lead out of it, is there twice or is encrypted.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._opened: tuple[int, zipfile.ZipFile] | None = None
        seen: set[str] = set()
        for member in self._archive().infolist():
            name = member.filename
            if name.startswith("/") or "\\" in name or ":" in name or ".." in name.split("/"):
                raise SsganError(f"{path} is refused: its member {name!r} would lead out of it")
            if name in seen:
                raise SsganError(f"{path} is refused: it holds {name!r} twice")
            if member.flag_bits & 1:
                raise SsganError(f"{path} is encrypted", "pack the data set without a password")
            seen.add(name)

    def names(self) -> set[str]:
        return {name for name in self._archive().namelist() if not name.endswith("/")}

    def read(self, name: str, limit: int) -> bytes:
        called = self.describe(name)
        try:
            member = self._archive().getinfo(name)
        except KeyError:
            raise SsganError(f"cannot read {called}: there is no such member") from None
        if member.file_size > limit:
            raise SsganError(f"{called} is larger than {limit} bytes")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise SsganError(
                f"{called} is compressed in an unusual way", "pack the data set without compression"
            )
        if member.file_size > max(_LARGEST_RATIO * member.compress_size, _SMALL):
            raise SsganError(f"{called} is refused: it would unpack to {member.file_size} bytes, as bombs do")
        try:
            with self._archive().open(member) as file:
                return file.read(limit)
        except _ZIP_ERRORS as error:
            raise SsganError(f"cannot read {called}: {error}", "the zip is damaged") from error

    def describe(self, name: str) -> str:
        return f"{self._path}/{name}"

    def _archive(self) -> zipfile.ZipFile:
        if self._opened is None or self._opened[0] != os.getpid():
            try:
                self._opened = (os.getpid(), zipfile.ZipFile(self._path))
            except _ZIP_ERRORS as error:
                raise SsganError(f"cannot read {self._path} as a zip: {error}") from error
        return self._opened[1]

    def __getstate__(self) -> dict[str, Any]:
        return {"_path": self._path, "_opened": None}
