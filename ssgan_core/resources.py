"""Finds what ships with the package: recipes, kernel sources and a model, in a checkout and in an installed wheel."""

from __future__ import annotations

import os
from pathlib import Path

from ssgan_core.errors import SsganError

DEFAULT_MODEL = "default"
"""What the command line calls the model that ships with the package."""

_PACKAGE = Path(__file__).resolve().parent
_DEFAULT_MODEL_FILE = _PACKAGE / "models" / f"{DEFAULT_MODEL}.safetensors"


def shipped(folder: str) -> Path:
    """The folder `configs` or `cuda`: inside the package in a wheel, at the top level in a checkout.

    Raises:
        SsganError: the installation lacks it.
    """
    for candidate in (_PACKAGE / "_shipped" / folder, _PACKAGE.parent / folder):
        if candidate.is_dir():
            return candidate
    raise SsganError(f"the installation lacks its folder '{folder}'", "reinstall ssgan")


def default_model() -> Path:
    """The file of the model that ships with the package; ssgan_core/models/README.md is its card.

    Raises:
        SsganError: the installation lacks it.
    """
    if not _DEFAULT_MODEL_FILE.is_file():
        raise SsganError(f"the installation lacks its model {_DEFAULT_MODEL_FILE}", "reinstall ssgan")
    return _DEFAULT_MODEL_FILE


def is_default_model(path: Path) -> bool:
    """Whether a path leads to the model that ships with the package."""
    return path.resolve() == _DEFAULT_MODEL_FILE


def cache_folder() -> Path:
    """Where downloads and compiled kernels are kept: $SSGAN_CACHE, else $XDG_CACHE_HOME/ssgan, else ~/.cache/ssgan.

    The folder is not created here; whoever writes creates it.
    """
    if own := os.environ.get("SSGAN_CACHE"):
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "ssgan"
