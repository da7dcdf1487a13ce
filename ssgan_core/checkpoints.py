"""Files of tensors: models and portraits as safetensors with a digest, training state as a verified .pt.

Neither format notices a flipped bit by itself, so both carry a SHA-256 over everything that is read back.
Nothing in a file is executed: pickles of other projects are refused before they are opened.
"""

from __future__ import annotations

import hashlib
import io
import json
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ssgan_core.errors import SsganError
from ssgan_core.files import atomic_path, parse_json, write_bytes

FORMAT = 1
# Keys of safetensors' own metadata, which maps strings to strings: one JSON text and its digest.
_JSON_KEY, _DIGEST_KEY = "ssgan", "sha256"
_STATE_MAGIC = b"ssgan training state "
_STATE_HEADER = _STATE_MAGIC + b"%4d\n" % FORMAT
_OUTGROWN = {"mapping.choice_means"}  # means of codes by choice, which truncation moved towards
_COPY_HINT = "it is damaged: copy it again, or use an earlier one"
# What torch.load raises on content that is whole but not a plain state.
_UNPICKLING_ERRORS = (
    pickle.UnpicklingError,
    RuntimeError,
    ValueError,
    TypeError,
    KeyError,
    EOFError,
    AttributeError,
)


@dataclass(frozen=True)
class ModelFile:
    """What a model file holds.

    Attributes:
        tensors: by name, on the CPU; of a model never float16.
        metadata: format, config, parts and whatever else was saved.
        sha256: hex digest of tensors and metadata; the model's identity.
    """

    tensors: dict[str, Tensor]
    metadata: dict[str, Any]
    sha256: str


def save_model(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> str:
    """Write a model atomically; returns its sha256.

    Args:
        path: the .safetensors file.
        tensors: by name; on any device.
        metadata: what JSON can hold; by convention `config` and `parts`.

    Raises:
        SsganError: the place cannot be written to, or the disk is full.
    """
    return write_tensors(path, "model", tensors, metadata)


def load_model(path: Path) -> ModelFile:
    """Read and verify a model file; what it keeps in fp16 (see `halved`) comes as float32.

    Raises:
        SsganError: it is missing, damaged, of a newer format or no model of this project.
    """
    model = read_tensors(path, "model")
    tensors = {name: t.float() if t.dtype == torch.float16 else t for name, t in model.tensors.items()}
    return replace(model, tensors=tensors)


def halved(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors in fp16 for a file of half the size.

    Scalars and vectors stay as they are, because they take no room and some are sizes in the world; so does a tensor
    with a value that fp16 cannot hold.
    """
    halves = {}
    for name, tensor in tensors.items():
        half = tensor.to(torch.float16) if tensor.ndim > 1 and tensor.is_floating_point() else tensor
        halves[name] = half if half.isfinite().all() else tensor
    return halves


def stated_sha256(path: Path) -> str:
    """The digest that a model or portrait file gives for itself, unverified and without reading its tensors.

    Raises:
        SsganError: it is missing, or no such file.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return (file.metadata() or {})[_DIGEST_KEY]
    except (SafetensorError, OSError, RuntimeError, ValueError, OverflowError, KeyError) as error:
        raise SsganError(f"{path} is not a file of ssgan", _COPY_HINT) from error


def write_tensors(path: Path, kind: str, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> str:
    """Write a safetensors file of some kind ("model", "portrait") atomically; returns its sha256."""
    text = json.dumps({**metadata, "format": FORMAT, "kind": kind}, allow_nan=False)
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    digest = _digest(plain, text)
    write_bytes(path, safetensors.torch.save(plain, {_JSON_KEY: text, _DIGEST_KEY: digest}))
    return digest


def read_tensors(path: Path, kind: str) -> ModelFile:
    """Read and verify a file of write_tensors.

    Raises:
        SsganError: it is missing, damaged, of a newer format or of another kind.
    """
    path = Path(path)
    if not path.is_file():
        raise SsganError(f"there is no {kind} at {path}")
    try:
        with safe_open(path, framework="pt") as file:
            notes = file.metadata() or {}
            # Copies: what safe_open returns is the file itself, mapped into memory.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, RuntimeError, ValueError, OverflowError) as error:
        hint = "pickles are never opened" if _looks_pickled(path) else _COPY_HINT
        raise SsganError(f"{path} is not a {kind} of ssgan: {' '.join(str(error).split())}", hint) from error
    text, digest = notes.get(_JSON_KEY), notes.get(_DIGEST_KEY)
    if text is None or digest is None:
        raise SsganError(
            f"{path} is not a {kind} of ssgan: its metadata lack '{_JSON_KEY}' or '{_DIGEST_KEY}'"
        )
    metadata = parse_json(text, f"the metadata of {path}")
    if not isinstance(metadata, dict) or not isinstance(metadata.get("format"), int):
        raise SsganError(f"the metadata of {path} name no format", _COPY_HINT)
    if metadata["format"] > FORMAT:
        raise SsganError(
            f"{path} has format {metadata['format']}, this version reads {FORMAT}", "upgrade ssgan"
        )
    if digest != _digest(tensors, text):
        raise SsganError(f"{path} does not match its sha256", _COPY_HINT)
    if metadata.get("kind") != kind:
        raise SsganError(f"{path} is a {metadata.get('kind')}, not a {kind}")
    return ModelFile(without_outgrown(tensors), metadata, digest)


def without_outgrown(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of a generator, less those that earlier versions wrote and nothing reads any more."""
    return {name: tensor for name, tensor in tensors.items() if name not in _OUTGROWN}


def save_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write training state atomically: a line naming the format, SHA-256 of the rest, a torch.save archive.

    Args:
        path: the .pt file.
        state: dictionaries, lists and tuples of tensors, numbers, strings, booleans and None.

    Raises:
        SsganError: the place cannot be written to, or the disk is full.
        TypeError: the state holds something that load_state would refuse.
    """
    buffer = io.BytesIO()
    torch.save(_plain(state, "state"), buffer)
    content = buffer.getbuffer()
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(_STATE_HEADER + hashlib.sha256(content).digest())
        file.write(content)


def load_state(path: Path) -> dict[str, Any]:
    """Read and verify training state, all tensors on the CPU.

    The content is handed to torch.load only after its digest is found right, and then with weights_only=True.

    Raises:
        SsganError: it is missing, damaged, of a newer format, a pickle or a state of another program.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SsganError(f"cannot read {path}: {error.strerror}") from error
    if not content.startswith(_STATE_MAGIC):
        raise SsganError(
            f"{path} is not a training state of ssgan",
            "checkpoints of other programs are pickles, which can run code; they are never opened",
        )
    start = len(_STATE_HEADER) + hashlib.sha256().digest_size
    digest, body = content[len(_STATE_HEADER) : start], memoryview(content)[start:]
    if not content.startswith(_STATE_HEADER):
        raise SsganError(
            f"{path} is damaged, or of a format that a newer ssgan writes", "upgrade, or copy it again"
        )
    if hashlib.sha256(body).digest() != digest:
        raise SsganError(f"{path} does not match its sha256", _COPY_HINT)
    refused = SsganError(f"{path} is refused: it holds more than tensors and numbers")
    if bytes(body[:2]) != b"PK":  # torch.load also takes bare pickles; torch.save writes zips
        raise refused
    try:
        state = torch.load(io.BytesIO(body), map_location="cpu", weights_only=True)
    except _UNPICKLING_ERRORS as error:
        raise refused from error
    if not isinstance(state, dict):
        raise refused
    return state


def _digest(tensors: Mapping[str, Tensor], text: str) -> str:
    """SHA-256 over the metadata's text and, sorted by name, each tensor's name, type, shape and bytes."""
    digest = hashlib.sha256()
    digest.update(json.dumps([text, len(tensors)]).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _looks_pickled(path: Path) -> bool:
    """A pickle, or the zip in which torch.save puts one."""
    with path.open("rb") as file:
        start = file.read(2)
    return start[:1] == b"\x80" or start == b"PK"


def _plain(value: Any, where: str) -> Any:
    """`value` rebuilt from types that torch.load takes with weights_only=True, without subclasses."""
    if isinstance(value, Tensor):
        return value.detach()
    if isinstance(value, Mapping):
        if strangers := [key for key in value if type(key) not in (int, str)]:
            raise TypeError(f"{where} has the key {strangers[0]!r}, which a training state cannot hold")
        return {key: _plain(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        items = [_plain(item, f"{where}[{index}]") for index, item in enumerate(value)]
        return items if isinstance(value, list) else tuple(items)
    if value is None or type(value) in (bool, int, float, str):
        return value
    raise TypeError(f"{where} is a {type(value).__name__}, which a training state cannot hold")
