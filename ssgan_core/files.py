"""Writing so that nothing is half-written: a file appears whole under its name, or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ssgan_core.errors import SsganError

_TEMPORARY_PREFIX = ".ssgan-tmp-"
# Seconds to wait for a folder: processes that were killed, and their children, may take a moment to end.
_PATIENCE = 3.0


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


_UMASK = _umask()  # read once: it can only be read by setting it, which other threads would notice


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, renamed to it when the block ends well and removed when it does not.

    The temporary keeps the suffix (encoders look at it). File and folder are synced, so that a crash or a
    kill at any moment leaves the old file or the new one. Missing parent folders are created.

    Raises:
        SsganError: the place cannot be written to, or the disk is full.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=_TEMPORARY_PREFIX, suffix=path.suffix, dir=path.parent)
        os.close(handle)
    except OSError as error:
        raise cannot_write(path, error) from error
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_UMASK)
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


def write_bytes(path: Path, content: bytes) -> None:
    """Write a whole file atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file atomically."""
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    # Names of files need not be valid Unicode; Python's escape of what is not is also JSON's.
    write_bytes(path, text.encode(errors="backslashreplace"))


def read_json(path: Path, limit: int = 1 << 30) -> Any:
    """Parse a JSON file of at most `limit` bytes.

    Raises:
        SsganError: it is missing, too large or not JSON.
    """
    try:
        if path.stat().st_size > limit:
            raise SsganError(f"{path} is larger than {limit} bytes")
        return parse_json(path.read_bytes(), str(path))
    except OSError as error:
        raise SsganError(f"cannot read {path}: {error.strerror}") from error


def parse_json(content: bytes | str, source: str) -> Any:
    """Parse JSON of unknown origin; `source` names it in the error."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise SsganError(f"{source} is not valid JSON: {error}") from error


def sha256(path: Path) -> str:
    """Hex digest of a file's content."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def sweep_temporaries(folder: Path) -> None:
    """Remove what a killed process left unfinished in a folder that this process owns."""
    for stray in Path(folder).glob(_TEMPORARY_PREFIX + "*"):
        with suppress(OSError):
            stray.unlink()


def make_folder(folder: Path) -> None:
    """Create a folder and those above it, unless they are there.

    Raises:
        SsganError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(folder, error) from error


@contextmanager
def owned(folder: Path) -> Iterator[None]:
    """Keep other processes that ask for the same from writing into an existing folder; the lock ends with the process.

    File systems without locks, and Windows, are not guarded.

    Raises:
        SsganError: another process has it and kept it for seconds, or the folder cannot be opened.
    """
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise cannot_write(folder, error) from error
    try:
        until = time.monotonic() + _PATIENCE
        while not _locked(handle):
            if time.monotonic() > until:
                raise SsganError(
                    f"another process is writing into {folder}",
                    "wait until it has ended, or name another folder",
                )
            time.sleep(0.05)
        yield
    finally:
        os.close(handle)


def _locked(handle: int) -> bool:
    """Whether the lock of an open folder is ours, or there are no locks."""
    try:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (ImportError, OSError):
        return True
    return True


def cannot_write(path: Path, error: OSError) -> SsganError:
    """The user's error for a failed write."""
    return SsganError(
        f"cannot write {path}: {error.strerror or error}", "is the place writable and the disk not full?"
    )


def _sync_folder(folder: Path) -> None:
    with suppress(OSError):  # not every file system lets a folder be opened
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
