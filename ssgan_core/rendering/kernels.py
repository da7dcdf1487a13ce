"""Compiles the native kernels at first use, and keeps them.

A compiled library is named after everything that it depends on: the sources, the flags, PyTorch and the processor
(it is compiled for this one). It appears under that name only when it is whole and has been loaded once.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from ssgan_core.errors import SsganError
from ssgan_core.files import atomic_path, cannot_write
from ssgan_core.progress import Progress, silent
from ssgan_core.resources import cache_folder, shipped

_SOURCES = (
    "lifting_cpu.cpp", "lifting_backward.h", "lifting_forward.h", "lifting_scene.h", "lifting_rays.h", "lanes.h",
    "lifting.h",
)  # fmt: skip
_INTEL = platform.machine().lower() in ("x86_64", "amd64", "i686")
# No -ffast-math: results must not depend on how a compiler regroups sums, and rounding tricks are meant as written.
_FLAGS = (
    "-O3",
    "-march=native" if _INTEL else "-mcpu=native",
    "-fno-math-errno",
    "-fno-trapping-math",
    *(("-fopenmp",) if sys.platform == "linux" else ()),  # elsewhere the kernel runs on one thread
)
_WRITABLE = "is the place writable and the disk not full? the variable SSGAN_CACHE names another"
# In a process of its own, so that the compiler's output and a crash of the new library stay there.
_BUILD = (
    "import json, sys; from torch.utils import cpp_extension; cpp_extension.load(**json.loads(sys.argv[1]))"
)


def library_path() -> Path:
    """Where the compiled kernel of this machine is, or will be.

    Raises:
        SsganError: the installation lacks the sources.
    """
    digest = hashlib.sha256()
    for fact in (torch.__version__, platform.system(), platform.machine(), _processor(), *_FLAGS):
        digest.update(fact.encode() + b"\0")
    for source in _sources():
        digest.update(source.read_bytes() + b"\0")
    return cache_folder() / "kernels" / f"lifting-cpu-{digest.hexdigest()[:20]}.so"


def is_built() -> bool:
    """Whether the kernel for this machine is in the cache; without it the first use takes half a minute."""
    return library_path().is_file()


def build(progress: Progress = silent) -> Path:
    """The compiled kernel: from the cache, else compiled now (about half a minute, once a machine).

    Processes that want it at the same time wait for the first one.

    Raises:
        SsganError: it is not in the cache and cannot be compiled; the message says why, the hint names the log.
    """
    library = library_path()
    if library.is_file():
        return library
    environment = _environment_with_tools()
    try:
        library.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _cannot_build(cannot_write(library, error).message, _WRITABLE) from error
    with _lock(library.with_suffix(".lock")) as lock:
        if not library.is_file():
            progress(0, 1, "compiling the renderer for this machine")
            _compile(library, environment, lock)
            progress(1, 1, "compiled the renderer for this machine")
    return library


def _compile(library: Path, environment: dict[str, str], lock: int) -> None:
    """Compile beside the cache's libraries and publish; the lock is held, by a build that outlives us, too."""
    scratch, log = library.with_suffix(".building"), library.with_suffix(".log")
    try:
        shutil.rmtree(scratch, ignore_errors=True)  # a killed build's
        scratch.mkdir()
        name = library.stem.replace("-", "_")
        arguments = {
            "name": name, "sources": [str(_sources()[0])], "extra_cflags": list(_FLAGS), "is_python_module": False,
            "build_directory": str(scratch), "verbose": True,
        }  # fmt: skip
        with log.open("wb") as output:
            done = subprocess.run(
                [sys.executable, "-c", _BUILD, json.dumps(arguments)],
                env=environment, pass_fds=[lock], stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                check=False,
            )  # fmt: skip
        compiled = scratch / f"{name}.so"
        if done.returncode != 0 or not compiled.is_file():
            raise _cannot_build("compiling it failed", f"the compiler's words are in {log}")
        with atomic_path(library) as temporary:
            shutil.copyfile(compiled, temporary)
    except OSError as error:
        raise _cannot_build(cannot_write(library, error).message, _WRITABLE) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _environment_with_tools() -> dict[str, str]:
    """The environment for the build, with ninja on the path even where only its Python package is installed."""
    environment = dict(os.environ)
    compiler = shlex.split(environment.get("CXX", "c++")) or ["c++"]
    if shutil.which(compiler[0]) is None:
        raise _cannot_build(
            f"there is no C++ compiler '{compiler[0]}'",
            "install g++ or clang, or name one in the variable CXX",
        )
    if shutil.which("ninja") is None:
        try:
            import ninja
        except ImportError as error:
            raise _cannot_build("there is no ninja to drive the compiler", "pip install ninja") from error
        environment["PATH"] = os.pathsep.join([ninja.BIN_DIR, environment.get("PATH", os.defpath)])
    return environment


def _cannot_build(reason: str, hint: str) -> SsganError:
    return SsganError(
        f"the native renderer is not in the cache {cache_folder() / 'kernels'}, and {reason}", hint
    )


def _sources() -> list[Path]:
    folder = shipped("cuda")
    for name in _SOURCES:
        if not (folder / name).is_file():
            raise SsganError(f"the installation lacks cuda/{name}", "reinstall ssgan")
    return [folder / name for name in _SOURCES]


def _processor() -> str:
    """What `native` flags compile for: the processor's model and what it can do."""
    facts = Path("/proc/cpuinfo")
    if not facts.is_file():
        return platform.processor()
    first = facts.read_text(errors="replace").split("\n\n")[0]
    telling = ("model name", "flags", "Features", "CPU part")
    return "\n".join(line for line in first.splitlines() if line.startswith(telling))


@contextmanager
def _lock(path: Path) -> Iterator[int]:
    """Hold a file lock, which ends with the last process that has the file open; yields the file's descriptor."""
    try:
        import fcntl
    except ImportError as error:
        raise _cannot_build(
            "compiling needs Linux or macOS", "the reference backend works anywhere"
        ) from error
    try:
        file = path.open("w")
    except OSError as error:
        raise _cannot_build(cannot_write(path, error).message, _WRITABLE) from error
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()
