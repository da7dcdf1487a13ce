"""Let no part of a model be where the data never has it.

    python tools/bound_parts.py MODEL DATA bounded.safetensors
    ssgan train DATA --config default --init bounded.safetensors ...

What one view a head hides, training with truth does not teach: shapes learnt from squares left ears and necks behind
heads, which turned heads showed. Depth says where surfaces of each part lie. Where none of a part's ever was, and some
texels around, its layout is made so low that it is nothing there. Skin and hair are left as they are: skin is what
all else lies on, and strands are too thin for every place to be met.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from torch import Tensor

from ssgan_core.checkpoints import save_model
from ssgan_core.dataset.reader import PortraitDataset
from ssgan_core.errors import SsganError
from ssgan_core.evaluation.geometry import unproject
from ssgan_core.layers import dilate
from ssgan_core.parts import PartSchema
from ssgan_core.training.origin import FromModel

_LAYOUT = "parts.layout_prior"
_NOTHING = -30.0  # log-odds
_AROUND = 5 / 128  # of a map's side
_FREE = ("skin", "hair")


def main(
    model: Annotated[Path, typer.Argument(help="Model file or run folder.")],
    data: Annotated[Path, typer.Argument(help="Data set with depth: ssgan synth.")],
    out: Annotated[Path, typer.Argument(help="The .safetensors to write.")],
    people: Annotated[int, typer.Option(min=1, help="Portraits to look at, from the first.")] = 900,
) -> None:
    """Measure, then write, and say how much of each part's map is closed."""
    try:
        closed = bound(model, data, out, people)
    except SsganError as error:
        print(f"error: {error.message}\n{error.hint}")
        raise typer.Exit(1) from error
    for name, share in closed.items():
        print(f"{name}: {share:.0%} closed")
    print(f"wrote {out}")


def bound(model_path: Path, data_path: Path, out: Path, people: int) -> dict[str, float]:
    """Write the model with closed layouts; returns the share of every bounded part's map that is closed.

    Raises:
        SsganError: a file is damaged, the data has no depth or other parts, or the model has several sheets a part.
    """
    model = FromModel.open(model_path)
    schema = PartSchema.from_json(model.model.metadata.get("parts"))
    data = PortraitDataset.open(data_path, model.config.resolution)
    if data.schema.names != schema.names:
        raise SsganError(f"{data_path} has other parts than {model_path}")
    tensors = dict(model.model.tensors)
    layout = tensors[_LAYOUT].clone()
    if len(layout) != len(schema.foreground):
        raise SsganError(
            f"{model_path} has several sheets a part, but bounds are those of parts", "model.sheets=1"
        )
    size = layout.shape[-1]
    met = dilate(met_texels(data, min(people, len(data)), size)[None], max(1, round(_AROUND * size)))[0]
    closed = {}
    for k, part in enumerate(schema.foreground):
        if part.name not in _FREE:
            layout[k] = torch.where(met[k], layout[k], _NOTHING)
            closed[part.name] = float((~met[k]).float().mean())
    tensors[_LAYOUT] = layout
    save_model(out, tensors, model.model.metadata)
    return closed


def met_texels(data: PortraitDataset, people: int, size: int) -> Tensor:
    """Texels [K, size, size], bool, in whose columns some portrait, or its mirror image, has a surface of the part.

    Raises:
        SsganError: a portrait has no depth.
    """
    windows = np.array([part.window for part in data.schema.foreground])
    met = np.zeros((len(windows), size, size), bool)
    for i in range(people):
        depth, mask = data.depth(i), data.mask(i)
        if depth is None:
            raise SsganError(f"{data.names[i]} has no depth", "bounds are measured on data of 'ssgan synth'")
        shown = (depth > 0) & (mask > 0)
        part = mask[shown].astype(int) - 1
        x0, y0, x1, y1 = windows[part].T
        x, y, _ = unproject(depth, data.labels[i])[shown].T
        column = np.floor((x - x0) / (x1 - x0) * size).astype(int)
        row = np.floor((y1 - y) / (y1 - y0) * size).astype(int)
        inside = (column >= 0) & (column < size) & (row >= 0) & (row < size)
        met[part[inside], row[inside], column[inside]] = True
    mirrored = met[data.schema.mirror_ids[1:] - 1][..., ::-1]
    return torch.from_numpy(met | mirrored)


if __name__ == "__main__":
    typer.run(main)
