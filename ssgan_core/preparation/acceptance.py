"""Digests that the user has accepted beside the listed ones: checked, remembered, read back.

A record is a text file beside the network's own in the cache folder, in the format of sha256sum.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from ssgan_core.errors import SsganError
from ssgan_core.files import write_bytes
from ssgan_core.preparation.weight_files import HIGH_QUALITY, WeightFile

_SUFFIX = ".accepted"
_MOST_BYTES = 1000
_DIGEST = re.compile("[0-9a-f]{64}")


def parsed(accept: Mapping[WeightFile, str]) -> dict[WeightFile, str]:
    """What the user asks to accept, digests in lower case.

    Raises:
        SsganError: the file is none of the high-quality group, or the digest is no SHA-256.
    """
    checked = {}
    for file, digest in accept.items():
        if not file.url:
            raise SsganError(
                f"no other digest can be accepted for {file.name}",
                f"only for files of the group {HIGH_QUALITY}",
            )
        if not _DIGEST.fullmatch(digest.lower()):
            raise SsganError(f"'{digest}' is no SHA-256 for {file.name}", "it has 64 hex digits")
        checked[file] = digest.lower()
    return checked


def remember(file: WeightFile, digest: str, folder: Path) -> None:
    """Write the record of an accepted digest, atomically."""
    write_bytes(_path(file, folder), f"{digest}  {file.name}\n".encode())


def recall(file: WeightFile, folder: Path) -> str | None:
    """The accepted digest of a file, if there is a record of one.

    Raises:
        SsganError: the record cannot be read or is damaged.
    """
    path = _path(file, folder)
    if not file.url or not path.is_file():
        return None
    try:
        with path.open("rb") as record:
            text = record.read(_MOST_BYTES).decode("ascii", "replace")
    except OSError as error:
        raise SsganError(f"cannot read {path}: {error.strerror}") from error
    digest, _, name = text.rstrip("\n").partition("  ")
    if not _DIGEST.fullmatch(digest) or name != file.name:
        raise SsganError(f"{path} is no record of an accepted digest", "delete it")
    return digest


def _path(file: WeightFile, folder: Path) -> Path:
    return folder / (file.name + _SUFFIX)
