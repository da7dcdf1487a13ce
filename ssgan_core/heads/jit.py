"""Numba with one set of options: scalar kernels, cached between runs, never multi-threaded."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ssgan_core.errors import SsganError

try:
    from numba import njit
except ImportError as error:
    raise SsganError("synthetic portraits need numba", "pip install numba") from error


def _sources() -> list[Path]:
    """The modules beside this one that hold kernels, and this one."""
    decorated = re.compile(r"^@(kernel|entry)$", re.MULTILINE)
    here = Path(__file__)
    return [
        path
        for path in sorted(here.parent.glob("*.py"))
        if path == here or decorated.search(path.read_text())
    ]


def _fingerprint() -> str:
    digest = hashlib.sha256()
    for path in _sources():
        digest.update(path.read_bytes())
    return digest.hexdigest()


_FINGERPRINT = _fingerprint()


def kernel(function: Callable[..., Any]) -> Any:
    """Compile a scalar function that only other kernels call."""
    inner: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    return njit(fastmath=True, error_model="numpy", **inner)(function)


def entry(function: Callable[..., Any]) -> Any:
    """Compile a function that Python calls; its code is cached beside its module or in numba's cache folder.

    It includes the kernels that it calls, but numba takes a cached function for current as long as its own
    file is unchanged. So the stamp that it compares is replaced by a fingerprint of all the sources here.
    """
    compiled: Any = njit(cache=True, fastmath=True, error_model="numpy")(function)
    compiled._cache._cache_file._source_stamp = _FINGERPRINT
    return compiled
