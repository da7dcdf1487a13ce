"""Compiles the native kernels at first use, and keeps them.

A compiled library is named after everything that it depends on: the sources, the flags, PyTorch and the processor or
the GPUs (it is compiled for these). It appears under that name only when it is whole and has been loaded once.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ssgan_core.errors import SsganError
from ssgan_core.files import atomic_path, cannot_write
from ssgan_core.progress import Progress, silent
from ssgan_core.resources import cache_folder, shipped

_INTEL = platform.machine().lower() in ("x86_64", "amd64", "i686")
# No -ffast-math: results must not depend on how a compiler regroups sums, and rounding tricks are meant as written.
_FLAGS = (
    "-O3",
    "-march=native" if _INTEL else "-mcpu=native",
    "-fno-math-errno",
    "-fno-trapping-math",
    *(("-fopenmp",) if sys.platform == "linux" else ()),  # elsewhere the kernel runs on one thread
)
# Divisions to two units in the last place instead of one, and no denormal numbers: a tenth of what is asked for.
NVCC_FLAGS = ("-O3", "-ftz=true", "-prec-div=false")


@dataclass(frozen=True)
class Target:
    """What is compiled for one kind of device.

    Attributes:
        name: of the library.
        sources: files of the folder `cuda` that the compilers are given.
        headers: files that these include.
        takes: how long compiling takes, in words.
    """

    name: str
    sources: tuple[str, ...]
    headers: tuple[str, ...]
    takes: str


TARGETS = {
    "cpu": Target(
        "lifting-cpu",
        ("lifting_cpu.cpp",),
        (
            "lifting_backward.h", "lifting_forward.h", "lifting_scene.h", "lifting_rays.h", "lanes.h",
            "lifting_schemas.h", "lifting.h",
        ),
        "half a minute",
    ),
    "cuda": Target(
        "lifting-cuda",
        ("lifting_cuda.cpp", "lifting_cuda.cu"),
        (
            "lifting_cuda.h", "lifting_operators.h", "lifting_layout.h", "lifting_warp.h", "lifting_job.h", "lifting.h",
        ),
        "a minute or two",
    ),
}  # fmt: skip
_USUAL_NVCC = "/usr/local/cuda/bin/nvcc"
_WRITABLE = "is the place writable and the disk not full? the variable SSGAN_CACHE names another"
# In a process of its own, so that the compiler's output and a crash of the new library stay there.
_BUILD = (
    "import json, sys; from torch.utils import cpp_extension; cpp_extension.load(**json.loads(sys.argv[1]))"
)


def library_path(kind: str = "cpu") -> Path:
    """Where the compiled kernel of this machine for a kind of device, `cpu` or `cuda`, is, or will be.

    Raises:
        SsganError: the installation lacks the sources, or there is no such device.
    """
    target, digest = TARGETS[kind], hashlib.sha256()
    facts = (
        (_processor(), *_FLAGS)
        if kind == "cpu"
        else (torch.version.cuda or "", _architectures(), *NVCC_FLAGS)
    )
    for fact in (torch.__version__, platform.system(), platform.machine(), *facts):
        digest.update(fact.encode() + b"\0")
    for source in _files(target):
        digest.update(source.read_bytes() + b"\0")
    return cache_folder() / "kernels" / f"{target.name}-{digest.hexdigest()[:20]}.so"


def is_built(kind: str = "cpu") -> bool:
    """Whether the kernel for this machine is in the cache; without it the first use takes half a minute and more."""
    return library_path(kind).is_file()


def build(progress: Progress = silent, kind: str = "cpu") -> Path:
    """The compiled kernel for a kind of device: from the cache, else compiled now (once a machine).

    Compiling takes about half a minute for `cpu`, a minute or two for `cuda`. Processes that want it at the same time
    wait for the first one.

    Raises:
        SsganError: it is not in the cache and cannot be compiled; the message says why, the hint names the log.
    """
    library = library_path(kind)
    if library.is_file():
        return library
    environment = _environment_with_tools(kind)
    try:
        library.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _cannot_build(cannot_write(library, error).message, _WRITABLE) from error
    with _lock(library.with_suffix(".lock")) as lock:
        if not library.is_file():
            what = "this machine" if kind == "cpu" else "this machine's GPU"
            progress(0, 1, f"compiling the renderer for {what}")
            _compile(library, environment, lock, kind)
            progress(1, 1, f"compiled the renderer for {what}")
    return library


def find_nvcc() -> Path | None:
    """The CUDA compiler: of $CUDA_HOME or $CUDA_PATH, else on the path, else in /usr/local/cuda."""
    homes = [os.environ[name] for name in ("CUDA_HOME", "CUDA_PATH") if os.environ.get(name)]
    for candidate in [*(Path(home) / "bin" / "nvcc" for home in homes), shutil.which("nvcc"), _USUAL_NVCC]:
        if candidate and os.access(candidate, os.X_OK):
            return Path(candidate)
    return None


def nvcc_version(nvcc: Path) -> str:
    """The release of CUDA that a compiler belongs to, like 13.0; empty if it does not say."""
    try:
        words = subprocess.run(
            [nvcc, "--version"], capture_output=True, text=True, check=False, timeout=60
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""
    found = re.search(r"release (\d+\.\d+)", words)
    return found[1] if found else ""


def _compile(library: Path, environment: dict[str, str], lock: int, kind: str) -> None:
    """Compile beside the cache's libraries and publish; the lock is held, by a build that outlives us, too."""
    scratch, log = library.with_suffix(".building"), library.with_suffix(".log")
    try:
        shutil.rmtree(scratch, ignore_errors=True)  # a killed build's
        scratch.mkdir()
        name = library.stem.replace("-", "_")
        sources = [str(path) for path in _files(TARGETS[kind])[: len(TARGETS[kind].sources)]]
        arguments: dict[str, Any] = {
            "name": name, "sources": sources, "is_python_module": False, "build_directory": str(scratch),
            "verbose": True,
        }  # fmt: skip
        if kind == "cpu":
            arguments["extra_cflags"] = list(_FLAGS)
        else:
            arguments |= {"extra_cflags": ["-O3"], "extra_cuda_cflags": list(NVCC_FLAGS), "with_cuda": True}
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


def _environment_with_tools(kind: str) -> dict[str, str]:
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
    if kind == "cuda":
        environment |= _cuda_environment()
    return environment


def _cuda_environment() -> dict[str, str]:
    """Where the CUDA toolkit is and what to compile for, as torch.utils.cpp_extension wants to be told."""
    wanted = torch.version.cuda or ""
    nvcc = find_nvcc()
    if nvcc is None:
        raise _cannot_build(
            "there is no CUDA compiler nvcc",
            f"install the CUDA toolkit {wanted}, or name its folder in CUDA_HOME",
        )
    found = nvcc_version(nvcc)
    if found.split(".")[0] != wanted.split(".")[0]:
        raise _cannot_build(
            f"{nvcc} is of CUDA {found or 'unknown'} while this PyTorch was made with CUDA {wanted or 'none'}",
            f"install the CUDA toolkit {wanted}, or name its folder in CUDA_HOME",
        )
    return {"CUDA_HOME": str(toolkit(nvcc)), "TORCH_CUDA_ARCH_LIST": _architectures()}


def toolkit(nvcc: Path) -> Path:
    """The folder of the toolkit that a compiler belongs to; what is on the path may only be a script that calls it."""
    dry = subprocess.run(
        [nvcc, "--dryrun", "-x", "cu", os.devnull], capture_output=True, text=True, check=False, timeout=60
    )
    top = re.search(r"^#\$ TOP=(.+)$", dry.stderr, re.MULTILINE)
    return Path(top[1]).resolve() if top else nvcc.resolve().parents[1]


def _architectures() -> str:
    """Compute capabilities of the GPUs, like `8.0;9.0`."""
    if not torch.cuda.is_available():
        raise _cannot_build("there is no usable GPU", "the CPU and the reference backend work without one")
    count = torch.cuda.device_count()
    capabilities = {torch.cuda.get_device_capability(device) for device in range(count)}
    return ";".join(f"{major}.{minor}" for major, minor in sorted(capabilities))


def _cannot_build(reason: str, hint: str) -> SsganError:
    return SsganError(
        f"the native renderer is not in the cache {cache_folder() / 'kernels'}, and {reason}", hint
    )


def _files(target: Target) -> list[Path]:
    """Sources first, then headers."""
    folder, names = shipped("cuda"), (*target.sources, *target.headers)
    for name in names:
        if not (folder / name).is_file():
            raise SsganError(f"the installation lacks cuda/{name}", "reinstall ssgan")
    return [folder / name for name in names]


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
