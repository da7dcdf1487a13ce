"""A trained model in use: loading it, codes of seeds, portraits seen from cameras, and how they find their model."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ssgan_core.checkpoints import ModelFile, load_model, stated_sha256
from ssgan_core.config import model_config_from_json
from ssgan_core.errors import SsganError
from ssgan_core.layers import place, resize_bilinear
from ssgan_core.model.codes import Codes
from ssgan_core.model.generator import Generator, Output
from ssgan_core.parts import PartSchema
from ssgan_core.pictures import (
    colour_depth,
    colour_mask,
    save_depth16,
    save_mask,
    save_png,
    tile,
    to_uint8,
)
from ssgan_core.portrait import Portrait, load_portrait, save_portrait
from ssgan_core.progress import Progress, silent
from ssgan_core.recording import Recorded
from ssgan_core.resources import DEFAULT_MODEL, default_model, is_default_model
from ssgan_core.training.runs import newest_model

_LEAST_OPACITY = 0.5  # of a pixel's foreground, for its depth to mean anything
_AT_ONCE = 4  # portraits computed at a time
_MOST_ON_SHEET = 64


@dataclass(frozen=True)
class View:
    """A portrait seen from one camera, as pictures.

    Attributes:
        image: uint8 [H, W, 3].
        mask: uint8 part ids [H, W], the most probable part of each pixel.
        depth: float32 z_cam [H, W] in world units; 0 where the background is seen.
    """

    image: np.ndarray
    mask: np.ndarray
    depth: np.ndarray


def choose_device(name: str) -> torch.device:
    """The device named `cpu` or `cuda`; `auto` is a GPU when there is one.

    Raises:
        SsganError: cuda was asked for and is not there.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise SsganError("there is no usable CUDA GPU", "leave --device out, or see `ssgan doctor`")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def find_model(path: Path) -> Path:
    """The model file that `path` means: itself, or the newest in a run folder.

    Raises:
        SsganError: there is none.
    """
    if path.is_dir():
        return newest_model(path)
    if not path.exists():
        raise SsganError(f"there is no model {path}", "give a run folder or its model-….safetensors")
    return path


def load_generator(path: Path, device: torch.device, backend: str = "auto") -> tuple[Generator, ModelFile]:
    """The generator that a model file describes, ready for inference.

    Args:
        path: a model .safetensors or a run folder (see `find_model`).
        device: where its weights go.
        backend: renderer backend; `auto` keeps the model's own.

    Raises:
        SsganError: it is damaged, not a model of this project, or its weights do not fit its own sizes; the
            message names the first tensor that does not.
    """
    path = find_model(path)
    model = load_model(path)
    try:
        tree, rows = model.metadata["config"]["model"], model.metadata["parts"]
    except (KeyError, TypeError) as error:
        raise SsganError(
            f"{path} does not say which generator it holds", "is it a model of ssgan?"
        ) from error
    config = model_config_from_json(tree, str(path))
    if backend != "auto":
        config = replace(config, backend=backend)
    generator = Generator(config, PartSchema.from_json(rows))
    _check_fit(path, generator.state_dict(), model.tensors)
    generator.load_state_dict(model.tensors)
    place(generator, device)
    return generator.eval().requires_grad_(False), model


def codes_from_seed(generator: Generator, seed: int, psi: float = 1.0) -> Codes:
    """W+ codes of a seed (a batch of one), truncated by psi (see Mapping): 1 is all variety, 0 the mean.

    They depend on the seed and the weights alone: the noise comes from a CPU generator of that seed, and no other
    portrait shares the batch.
    """
    noise = torch.randn(1, generator.config.latent, generator=torch.Generator().manual_seed(seed))
    with torch.inference_mode():
        return generator.map(noise.to(next(generator.parameters()).device), psi)


class Synthesiser:
    """Draws portraits with a generator, as fast as its device can: fp16 networks and CUDA graphs on a GPU.

    Sums along rays and the final RGB sum are float32 everywhere. Give portraits in batches of one size: each of the
    first few sizes is recorded at its first use.
    """

    def __init__(self, generator: Generator) -> None:
        self._generator = generator
        self._draw = Recorded(self._one_view_each)

    def __call__(self, codes: Codes, labels: Tensor) -> Output:
        """One view of each of N portraits; on a GPU it is overwritten by the next call.

        Args:
            codes: of N portraits.
            labels: [N, 25] their cameras, on the generator's device.
        """
        with _inference(labels.device):
            return Output(*self._draw(codes.base, codes.shape, codes.texture, labels))

    def around(self, codes: Codes) -> Callable[[Tensor], Output]:
        """One portrait (a batch of one) as a function of the camera [1, 25]; its part maps are computed once.

        Views are overwritten as those of `__call__` are.
        """
        with _inference(codes.base.device):
            maps = self._generator.part_maps(codes)
        look = Recorded(lambda labels: tensors(self._generator.render(maps, labels)))

        def view(labels: Tensor) -> Output:
            with _inference(labels.device):
                return Output(*look(labels))

        return view

    def _one_view_each(
        self, base: Tensor, shape: Tensor, texture: Tensor, labels: Tensor
    ) -> tuple[Tensor, ...]:
        return tensors(self._generator(Codes(base, shape, texture), labels))


def synthesise(generator: Generator, codes: Codes, labels: np.ndarray) -> list[View]:
    """One view of each of a batch of portraits.

    Args:
        codes: of N portraits.
        labels: [N, 25] their cameras.
    """
    return views(Synthesiser(generator)(codes, _labels(generator, labels)))


def look_around(generator: Generator, codes: Codes, labels: np.ndarray) -> Iterator[View]:
    """One portrait (a batch of one) seen from many cameras [N, 25]; its part maps are computed once."""
    view = Synthesiser(generator).around(codes)
    for label in labels:
        yield from views(view(_labels(generator, label[None])))


def views(output: Output) -> list[View]:
    """The pictures of a rendered batch, all at the image's resolution."""
    ids = output.mask.argmax(dim=1).to(torch.uint8).cpu().numpy()
    depths = mean_depth(output).cpu().numpy()
    images = output.image.float().cpu()
    return [
        View(to_uint8(image), mask, depth) for image, mask, depth in zip(images, ids, depths, strict=True)
    ]


def mean_depth(output: Output) -> Tensor:
    """Mean z_cam of the foreground [B, H, H] at the image's resolution, 0 where it is not opaque.

    The rendered depth is a sum of weight times z_cam, so that it is interpolated before it is divided by the
    opacity: silhouettes then do not mix with the background.
    """
    size = output.image.shape[-1]
    opacity = 1 - resize_bilinear(output.low_mask[:, :1].float(), size)[:, 0]
    total = resize_bilinear(output.depth.float(), size)[:, 0]
    return torch.where(opacity >= _LEAST_OPACITY, total / opacity.clamp_min(_LEAST_OPACITY), 0.0)


def open_portrait(
    source: Path, model: Path | None, device: torch.device, backend: str = "auto"
) -> tuple[Portrait, Generator, Path]:
    """A portrait, and the generator and model file that made it.

    Args:
        source: the .portrait file.
        model: its model file or run folder; None takes the shipped model if that one made the portrait, and looks
            where the portrait says that its model was if not.

    Raises:
        SsganError: one of them is damaged or missing, or another model made the portrait.
    """
    portrait = load_portrait(source)
    path = find_model(model) if model is not None else _remembered_model(portrait, source)
    generator, loaded = load_generator(path, device, backend)
    if portrait.model_sha256 != loaded.sha256:
        raise SsganError(
            f"{source} was made by another model ({portrait.model_sha256[:12]}…, not {loaded.sha256[:12]}…)",
            "name the model that made it with --model",
        )
    if portrait.part_names != generator.schema.names:
        raise SsganError(f"{source} has other parts than its model: {', '.join(portrait.part_names)}")
    return portrait, generator, path


def path_to_model(folder: Path, model: Path) -> str:
    """A model's path as a portrait in `folder` keeps it: relative, so that both can move together.

    It is empty for the model that ships with the package, which is found by its sha256 from everywhere.
    """
    if is_default_model(model):
        return ""
    try:
        return os.path.relpath(model.resolve(), folder.resolve())
    except ValueError:  # another drive on Windows
        return str(model.resolve())


def save_view(folder: Path, stem: str, view: View, schema: PartSchema) -> dict[str, Path]:
    """Write stem.png, stem_mask.png (indexed by part) and stem_depth.png (16 bit); returns their paths by kind."""
    paths = {
        "image": folder / f"{stem}.png",
        "mask": folder / f"{stem}_mask.png",
        "depth": folder / f"{stem}_depth.png",
    }
    save_png(paths["image"], view.image)
    save_mask(paths["mask"], view.mask, schema)
    save_depth16(paths["depth"], view.depth)
    return paths


def view_strip(view: View, schema: PartSchema) -> list[np.ndarray]:
    """Image, coloured mask and depth as three pictures uint8 [H, W, 3]."""
    return [view.image, colour_mask(view.mask, schema), colour_depth(view.depth)]


def views_sheet(shown: Sequence[View], schema: PartSchema) -> np.ndarray:
    """N views beside one another: uint8 [3 H, N W, 3], images above masks above depth."""
    strips = [view_strip(view, schema) for view in shown]
    return tile([strip[row] for row in range(3) for strip in strips], columns=len(strips))


@dataclass(frozen=True)
class SavedPortraits:
    """What `save_portraits` wrote.

    Attributes:
        model: the model file that was used.
        portraits: per seed, its number and the paths of image, mask, depth and portrait.
        contact: a sheet with the first 64.
    """

    model: Path
    portraits: list[dict[str, Any]]
    contact: Path


def save_portraits(
    model: Path,
    seeds: Sequence[int],
    label: np.ndarray,
    out: Path,
    *,
    psi: float,
    device: torch.device,
    backend: str = "auto",
    progress: Progress = silent,
) -> SavedPortraits:
    """Make the portraits of seeds and write each as pictures and as a portrait file, with a contact sheet.

    Args:
        model: run folder or model file.
        label: the camera [25] that all are seen from.
        out: folder; files of the same names are replaced.
        psi: truncation.
    """
    path = find_model(model)
    generator, loaded = load_generator(path, device, backend)
    schema = generator.schema
    draw = Synthesiser(generator)
    rows: list[dict[str, Any]] = []
    sheet: list[np.ndarray] = []
    for start in range(0, len(seeds), _AT_ONCE):
        chosen = seeds[start : start + _AT_ONCE]
        codes = Codes.cat([codes_from_seed(generator, seed, psi) for seed in chosen])
        seen = views(draw(codes, _labels(generator, np.repeat(label[None], len(chosen), axis=0))))
        for index, (seed, view) in enumerate(zip(chosen, seen, strict=True)):
            own = codes[index : index + 1].to("cpu")
            portrait = Portrait(own, label, loaded.sha256, schema.names, path_to_model(out, path))
            file = out / f"seed{seed:04d}.portrait"
            save_portrait(file, portrait)
            rows.append({"seed": seed, **save_view(out, file.stem, view, schema), "portrait": file})
            if len(rows) <= _MOST_ON_SHEET:
                sheet += view_strip(view, schema)
            progress(len(rows), len(seeds))
    contact = out / "contact.png"
    save_png(contact, tile(sheet, columns=6))
    return SavedPortraits(path, rows, contact)


def _remembered_model(portrait: Portrait, source: Path) -> Path:
    with suppress(SsganError):  # a portrait of another model does not need the shipped one to be whole
        if stated_sha256(default_model()) == portrait.model_sha256:
            return default_model()
    remembered = Path(os.path.normpath(source.absolute().parent / portrait.model_path))
    if not portrait.model_path:
        place = f" (it is not the {DEFAULT_MODEL} of this version)"
    elif not remembered.is_file():
        place = f" ({remembered} is gone)"
    else:
        return remembered
    raise SsganError(f"{source} does not lead to its model{place}", "name the model with --model")


def tensors(output: Output) -> tuple[Tensor, ...]:
    """The fields of an output in their order."""
    return output.image, output.mask, output.depth, output.low_image, output.low_mask


@contextmanager
def _inference(device: torch.device) -> Iterator[None]:
    """No gradients; on a GPU the networks compute in fp16, which has three more bits than training's bf16."""
    # A graph must not read casts that a cache frees afterwards.
    autocast = torch.autocast(device.type, torch.float16, enabled=device.type == "cuda", cache_enabled=False)
    with torch.inference_mode(), autocast:
        yield


def _labels(generator: Generator, labels: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(labels, np.float32)).to(next(generator.parameters()).device)


def _check_fit(path: Path, wanted: dict[str, Tensor], found: dict[str, Tensor]) -> None:
    for name in wanted:
        if name not in found:
            raise SsganError(f"{path} lacks the weights '{name}' that its own sizes ask for")
        if wanted[name].shape != found[name].shape:
            raise SsganError(
                f"{path}: the weights '{name}' have shape {list(found[name].shape)}, "
                f"but its own sizes ask for {list(wanted[name].shape)}"
            )
    if strangers := sorted(set(found) - set(wanted)):
        raise SsganError(f"{path} holds weights that its own sizes do not know: '{strangers[0]}'")
