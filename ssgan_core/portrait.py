"""A portrait file: the codes of one head, the camera it is shown from, and the model that made it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ssgan_core.cameras import check_label
from ssgan_core.checkpoints import read_tensors, write_tensors
from ssgan_core.errors import SsganError
from ssgan_core.model.codes import Codes

SUFFIX = ".portrait"
_LARGEST_FILE = 1 << 26
_TENSORS = {"w_base", "w_shape", "w_texture", "camera"}


@dataclass(frozen=True)
class Portrait:
    """One portrait.

    Attributes:
        codes: a batch of one: base [1, W], shape [1, K, W], texture [1, K + 1, W].
        label: camera label float32 [25].
        model_sha256: identity of the model that the codes belong to.
        part_names: the K + 1 parts, the background first; texture code i belongs to part i.
        model_path: where the model was, relative to the portrait's folder; "" if not known.
    """

    codes: Codes
    label: np.ndarray
    model_sha256: str
    part_names: tuple[str, ...]
    model_path: str = ""


def save_portrait(path: Path, portrait: Portrait) -> None:
    """Write a portrait atomically.

    The file is safetensors: w_base [W], w_shape [K, W], w_texture [K + 1, W] and camera [25], all float32.

    Raises:
        SsganError: the name does not end in .portrait, the codes are not finite, the label is no camera, or
            the place cannot be written to.
    """
    path = Path(path)
    if path.suffix != SUFFIX:
        raise SsganError(f"{path} does not end in {SUFFIX}")
    codes = portrait.codes
    tensors = {
        "w_base": codes.base[0].float(),
        "w_shape": codes.shape[0].float(),
        "w_texture": codes.texture[0].float(),
        "camera": torch.from_numpy(check_label(portrait.label, str(path))),
    }
    _check(tensors, portrait.part_names, str(path))
    metadata = {
        "model_sha256": portrait.model_sha256,
        "model_path": portrait.model_path,
        "parts": list(portrait.part_names),
    }
    write_tensors(path, "portrait", tensors, metadata)


def load_portrait(path: Path) -> Portrait:
    """Read and verify a portrait.

    Raises:
        SsganError: it is missing, damaged, no portrait, or holds impossible codes or an impossible camera.
    """
    path = Path(path)
    if path.is_file() and path.stat().st_size > _LARGEST_FILE:
        raise SsganError(f"{path} is too large for a portrait")
    file = read_tensors(path, "portrait")
    names, sha256, model = (file.metadata.get(key) for key in ("parts", "model_sha256", "model_path"))
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise SsganError(f"{path} does not name its parts")
    if not isinstance(sha256, str) or not isinstance(model, str) or "\0" in model:
        raise SsganError(f"{path} does not name its model")
    _check(file.tensors, tuple(names), str(path))
    codes = Codes(*(file.tensors[name][None] for name in ("w_base", "w_shape", "w_texture")))
    return Portrait(
        codes, check_label(file.tensors["camera"].numpy(), str(path)), sha256, tuple(names), model
    )


def check_same_model(first: Portrait, second: Portrait) -> None:
    """Codes of one model mean nothing to another.

    Raises:
        SsganError: two portraits were made by different models, or have different parts.
    """
    if first.model_sha256 != second.model_sha256:
        raise SsganError(
            "the two portraits were made by different models "
            f"({first.model_sha256[:12]}… and {second.model_sha256[:12]}…)",
            "generate both with the same model",
        )
    if first.part_names != second.part_names:
        odd = sorted(set(first.part_names) ^ set(second.part_names)) or ["their order"]
        raise SsganError(f"the two portraits have different parts: {', '.join(odd)}")


def _check(tensors: dict[str, torch.Tensor], part_names: tuple[str, ...], source: str) -> None:
    """The codes have the shapes that the parts ask for, and are finite float32."""
    if set(tensors) != _TENSORS:
        raise SsganError(
            f"{source}: a portrait holds {', '.join(sorted(_TENSORS))}, not {', '.join(sorted(tensors))}"
        )
    base, foreground = tensors["w_base"], len(part_names) - 1
    width = base.shape[-1] if base.ndim == 1 else 0
    wanted = {
        "w_base": (width,),
        "w_shape": (foreground, width),
        "w_texture": (foreground + 1, width),
        "camera": (25,),
    }
    for name, shape in wanted.items():
        tensor = tensors[name]
        if tensor.shape != shape or not width or foreground < 1:
            raise SsganError(
                f"{source}: {name} has the shape {list(tensor.shape)}, "
                f"which does not fit {foreground} foreground parts and codes of width {width}"
            )
        if tensor.dtype != torch.float32 or not torch.isfinite(tensor).all():
            raise SsganError(f"{source}: {name} holds values that are not finite float32 numbers")
