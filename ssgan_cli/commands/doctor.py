"""`ssgan doctor`: what this machine has."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from importlib.util import find_spec

from ssgan_cli.console import Output
from ssgan_cli.options import JsonOption
from ssgan_cli.renderer import announce_renderer
from ssgan_core import __version__
from ssgan_core.errors import SsganError


def doctor(as_json: JsonOption = False) -> None:
    """Report what is **installed**, which hardware is used and which renderer runs.

    Example: ssgan doctor
    """
    output = Output(as_json)

    import torch

    from ssgan_core.resources import cache_folder, shipped
    from ssgan_core.video import find_ffmpeg

    try:
        ffmpeg = find_ffmpeg()
    except SsganError as error:
        ffmpeg = f"none: {error.message}"
    facts = {
        "ssgan": __version__,
        "python": f"{platform.python_version()} ({sys.executable})",
        "system": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "torch": f"{torch.__version__}, {torch.get_num_threads()} threads",
        "gpu": _gpu(),
        "renderer": _renderer(output, "cpu"),
        "gpu renderer": _renderer(output, "cuda"),
        "c++ compiler": shutil.which(os.environ.get("CXX", "c++")) or "none",
        "cuda compiler": _cuda_compiler(),
        "ninja": shutil.which("ninja") or ("python module" if find_spec("ninja") else "none"),
        "ffmpeg": ffmpeg,
        "opencv": _installed("cv2", "needed by preprocess only"),
        "facexlib": _facexlib(),
        "model": _model(),
        "weights": _weights("default"),
        "high-quality weights": _weights("high-quality"),
        "recipes": ", ".join(sorted(path.stem for path in shipped("configs").glob("*.yaml"))),
        "cache": str(cache_folder()),
    }
    output.table(("what", "here"), list(facts.items()))
    output.result(facts)


def _gpu() -> str:
    import torch

    if not torch.cuda.is_available():
        return "none usable: everything runs on the CPU"
    properties = torch.cuda.get_device_properties(0)
    memory, version = f"{properties.total_memory / 2**30:.0f} GiB", f"sm_{properties.major}{properties.minor}"
    return f"{properties.name} ({version}), {memory}, CUDA {torch.version.cuda}"


def _cuda_compiler() -> str:
    from ssgan_core.rendering import kernels

    nvcc = kernels.find_nvcc()
    return f"{nvcc}, CUDA {kernels.nvcc_version(nvcc) or 'unknown'}" if nvcc else "none"


def _renderer(output: Output, kind: str) -> str:
    """Which backend renders on a kind of device, and why; compiles the kernel if it can be."""
    import torch

    from ssgan_core.rendering import kernels

    if kind == "cuda" and not torch.cuda.is_available():
        return "none: there is no usable GPU"
    announce_renderer(output, torch.device(kind))
    try:
        library = kernels.build(kind=kind)
    except SsganError as error:
        return f"reference (PyTorch), more slowly, because {error.message}: {error.hint}"
    what = "this processor" if kind == "cpu" else "this GPU"
    return f"native, compiled for {what}: {library} (log: {library.with_suffix('.log').name} beside it)"


def _model() -> str:
    """What ships, read as any model is: with its digest verified and its weights fitted."""
    import torch

    from ssgan_core.resources import DEFAULT_MODEL, default_model
    from ssgan_core.synthesis import load_generator

    try:
        path = default_model()
        generator, loaded = load_generator(path, torch.device("cpu"))
    except SsganError as error:
        return f"none: {error.message} ({error.hint})"
    size, seen = generator.config.resolution, loaded.metadata.get("images_seen", "unknown")
    parameters = sum(parameter.numel() for parameter in generator.parameters())
    return (
        f"{DEFAULT_MODEL}: {size} x {size} pixels, {parameters:,} parameters, {seen} images seen, "
        f"sha256 {loaded.sha256[:12]}, intact: {path}"
    )


def _installed(module: str, purpose: str) -> str:
    return "installed" if find_spec(module) else f"not installed ({purpose})"


def _facexlib() -> str:
    """Importing is the only proof: with a torchvision for another PyTorch it fails."""
    from ssgan_core.preparation.facexlib_nets.loading import facexlib_module

    try:
        facexlib_module("detection")
    except SsganError as error:
        return f"not usable: {error.message} (needed only by the high-quality options of preprocess; {error.hint})"
    return "installed"


def _weights(group: str) -> str:
    from ssgan_cli.commands.weights import state_of
    from ssgan_core.preparation.weights import list_weights

    rows = list_weights(names=[group])
    if all(row.ok for row in rows):
        return "all here and intact"
    if not any(row.present for row in rows):
        return f"none (ssgan weights fetch {group})"
    return ", ".join(f"{row.name} {state_of(row)}" for row in rows) + f" (ssgan weights fetch {group})"
