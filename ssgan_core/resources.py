"""Finds what ships with the package: recipes and kernel sources, in a checkout and in an installed wheel."""

from __future__ import annotations

import os
from pathlib import Path

from ssgan_core.errors import SsganError

_PACKAGE = Path(__file__).resolve().parent


def shipped(folder: str) -> Path:
    """The folder `configs` or `cuda`: inside the package in a wheel, at the top level in a checkout.

    Raises:
        SsganError: the installation lacks it.
    """
    for candidate in (_PACKAGE / "_shipped" / folder, _PACKAGE.parent / folder):
        if candidate.is_dir():
            return candidate
    raise SsganError(f"the installation lacks its folder '{folder}'", "reinstall ssgan")


def cache_folder() -> Path:
    """Where downloads and compiled kernels are kept: $SSGAN_CACHE, else $XDG_CACHE_HOME/ssgan, else ~/.cache/ssgan.

    The folder is not created here; whoever writes creates it.
    """
    if own := os.environ.get("SSGAN_CACHE"):
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "ssgan"
