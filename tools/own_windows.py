"""Give a model's parts the map windows of this version's table.

    python tools/own_windows.py MODEL finer.safetensors
    ssgan train DATA --config default --init finer.safetensors ...

The part networks know positions in the frame around all windows; a window says where a part has texels. So small parts
get finer maps of what their networks say already, without learning; layouts, which are maps, are sampled anew.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import torch
import torch.nn.functional as F
import typer
from torch import Tensor

from ssgan_core.checkpoints import save_model
from ssgan_core.errors import SsganError
from ssgan_core.model.geometry import texel_centres
from ssgan_core.parts import PORTRAIT, Part, PartSchema
from ssgan_core.training.origin import FromModel

_LAYOUT = "parts.layout_prior"


def main(
    model: Annotated[Path, typer.Argument(help="Model file or run folder.")],
    out: Annotated[Path, typer.Argument(help="The .safetensors to write.")],
) -> None:
    """Convert, and say whose windows changed."""
    try:
        changed = with_own_windows(model, out)
    except SsganError as error:
        print(f"error: {error.message}\n{error.hint}")
        raise typer.Exit(1) from error
    print(f"windows changed: {', '.join(changed) or 'none'}\nwrote {out}")


def with_own_windows(model_path: Path, out: Path) -> list[str]:
    """Write the model with other windows; returns the names of the parts whose windows changed.

    Raises:
        SsganError: the model is damaged, has other parts than the table, whose frame would change, or no lifting.
    """
    found = FromModel.open(model_path)
    before = PartSchema.from_json(found.model.metadata.get("parts"))
    if before.names != PORTRAIT.names or found.config.parts != "all":
        raise SsganError(
            f"{model_path} has other parts than the table", "it takes parts of " + ", ".join(PORTRAIT.names)
        )
    windows = {part.name: part.window for part in PORTRAIT.parts}
    after = PartSchema(tuple(replace(part, window=windows[part.name]) for part in before.parts))
    if after.frame != before.frame:
        raise SsganError(
            f"{model_path} knows positions in another frame, {before.frame}", f"the table's is {after.frame}"
        )
    if found.config.lifting == "none":
        raise SsganError(
            f"{model_path} has its maps in the picture", "windows are those of model.lifting=depth"
        )
    tensors, sheets = dict(found.model.tensors), found.config.sheets
    layout = tensors[_LAYOUT].clone()
    changed = []
    for k, (old, new) in enumerate(zip(before.foreground, after.foreground, strict=True)):
        if old.window != new.window:
            own = slice(k * sheets, (k + 1) * sheets)
            layout[own] = _sampled_anew(layout[own], old, new)
            changed.append(new.name)
    tensors[_LAYOUT] = layout
    save_model(out, tensors, found.model.metadata | {"parts": after.to_json()})
    return changed


def _sampled_anew(maps: Tensor, old: Part, new: Part) -> Tensor:
    """Maps [n, S, S] of a window at the texels of another; outside of the first as at its border."""
    x0, y0, x1, y1 = old.window
    x, y = texel_centres(new.window, maps.shape[-1])
    places = torch.stack([(2 * x - x0 - x1) / (x1 - x0), (y0 + y1 - 2 * y) / (y1 - y0)], -1)
    found = F.grid_sample(maps[None].float(), places[None], padding_mode="border", align_corners=False)
    return found[0].to(maps)


if __name__ == "__main__":
    typer.run(main)
