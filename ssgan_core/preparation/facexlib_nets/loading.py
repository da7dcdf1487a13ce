"""Imports facexlib only where it is wanted, and gives its networks checked weights.

facexlib's own loaders are not used: they download without checking and open pickles that may run code.
"""

from __future__ import annotations

import hashlib
import importlib
import io
import pickle
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from ssgan_core.errors import SsganError
from ssgan_core.preparation import weights

# What torch.load raises on content that is damaged, or holds more than tensors.
_UNPICKLING_ERRORS = (
    pickle.UnpicklingError,
    RuntimeError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    EOFError,
    AttributeError,
    ImportError,
)


def facexlib_module(name: str) -> ModuleType:
    """A module of facexlib, such as "parsing".

    Raises:
        SsganError: facexlib is not installed, or what it stands on cannot be imported.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about old habits of its dependencies: not the user's to mend
            return importlib.import_module(f"facexlib.{name}")
    except ModuleNotFoundError as error:
        if error.name == "facexlib":
            raise SsganError("facexlib is not installed", "pip install facexlib") from error
        package = (error.name or "facexlib").partition(".")[0]
        raise SsganError(f"facexlib cannot be imported: {error}", f"pip install {package}") from error
    except (ImportError, RuntimeError, OSError, AttributeError, ValueError, TypeError) as error:
        raise SsganError(
            f"facexlib cannot be imported: {' '.join(str(error).split())}",
            "torch and torchvision must be of one build: install both from the same index",
        ) from error


def load_network(
    name: str,
    make: Callable[[], nn.Module],
    weights_dir: Path | None,
    device: torch.device | str,
    key: str = "",
) -> tuple[nn.Module, dict[str, str]]:
    """A network with the checked content of a weights file, and that content's digest by file name.

    The network is in evaluation mode and without gradients.

    Args:
        name: of the file, as `weights.read` takes it.
        make: makes the network, of any weights, on the CPU.
        weights_dir: as in `weights.read`.
        device: where it shall run.
        key: of the file's dictionary under which the tensors lie; empty where they are the dictionary.

    Raises:
        SsganError: the file is missing or not the expected one, holds more than tensors, or does not fit.
    """
    content = weights.read(name, weights_dir)
    try:
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except _UNPICKLING_ERRORS as error:
        raise SsganError(
            f"{name} is refused: it is damaged, or holds more than tensors", "nothing in it was executed"
        ) from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # facexlib calls torchvision in a way that is deprecated
        network = make()
    try:
        network.load_state_dict(_tensors(state, key), strict=True)
    except (RuntimeError, ValueError) as error:
        raise SsganError(
            f"the tensors of {name} do not fit the network of facexlib", "facexlib 0.3.0 is known to work"
        ) from error
    return network.to(device).eval().requires_grad_(False), {name: hashlib.sha256(content).hexdigest()}


def _tensors(state: Any, key: str) -> dict[str, Tensor]:
    """The named tensors of a loaded file, without the prefix that DataParallel gives."""
    if key and isinstance(state, Mapping):
        state = state.get(key)
    if not isinstance(state, Mapping) or not all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in state.items()
    ):
        raise ValueError("no dictionary of tensors")
    return {name.removeprefix("module."): tensor for name, tensor in state.items()}
