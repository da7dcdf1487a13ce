"""Put what small pictures taught of traits into the larger model that the run began with.

    ssgan train DATA --config default --init LARGE --set training.traits_alone=true --set model.resolution=64 ...
    python tools/join_traits.py LARGE RUN traits.safetensors
    ssgan train DATA --config default --init traits.safetensors ...

Traits are learnt from small pictures many times faster. `training.traits_alone` changes nothing but the weights that
what codes tell beside w is multiplied with, which fit pictures of any size; but smaller pictures lack the finest
details, and what was grown from them again would have to learn these once more.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
import typer
from torch import Tensor

from ssgan_core.checkpoints import save_model
from ssgan_core.config import config_to_json
from ssgan_core.errors import SsganError
from ssgan_core.training.origin import FromModel

_OF_SIZES = ("resolution", "render_resolution", "part_resolution", "detail_octaves", "detail_directions")
_OF_CODES = ("traits", "backdrop")
_OF_TRAITS = ("mapping.traits.", "mapping.mean", "background.to_waves.", "background.from_waves.")
# Other pictures have other layouts, details and shells.
_OWN = ("parts.layout_prior", "details.", "shell_width")


def main(
    large: Annotated[Path, typer.Argument(help="Model file or run folder that the other run began with.")],
    small: Annotated[Path, typer.Argument(help="Run of training.traits_alone, or one of its models.")],
    out: Annotated[Path, typer.Argument(help="The .safetensors to write.")],
) -> None:
    """Check that nothing but traits was learnt, then write."""
    try:
        join(large, small, out)
    except SsganError as error:
        print(f"error: {error.message}\n{error.hint}")
        raise typer.Exit(1) from error
    print(f"wrote {out}")


def join(large_path: Path, small_path: Path, out: Path) -> None:
    """Write the large model with the small one's traits.

    Raises:
        SsganError: a file is damaged, the small model tells no traits, or it differs from the large one in more.
    """
    large, small = FromModel.open(large_path), FromModel.open(small_path)
    theirs, ours = config_to_json(large.config), config_to_json(small.config)
    if not small.config.traits:
        raise SsganError(
            f"{small_path} tells no traits", "train it with model.traits and training.traits_alone"
        )
    odd = [key for key in ours if key not in (*_OF_SIZES, *_OF_CODES) and ours[key] != theirs[key]]
    if odd:
        raise SsganError(
            f"model.{odd[0]} is {ours[odd[0]]} in {small_path}, but {theirs[odd[0]]} in {large_path}"
        )
    tensors = dict(large.model.tensors)
    for name, found in small.model.tensors.items():
        if name.startswith(_OWN):
            continue
        if name.startswith(_OF_TRAITS):
            tensors[name] = found
            continue
        known = large.model.tensors.get(name)
        if name.endswith(".styles.weight"):
            tensors[name] = found
            if known is not None:  # weights are divided by the root of the codes' width
                known = known[:, : large.config.latent] * (found.shape[1] / known.shape[1]) ** 0.5
            found = found[:, : large.config.latent]
        if known is None or not _same(found, known):
            raise SsganError(
                f"{small_path} changed '{name}', which is no trait", "train it with training.traits_alone"
            )
    metadata = dict(large.model.metadata)
    metadata["config"] = {**metadata["config"], "model": {**theirs, **{key: ours[key] for key in _OF_CODES}}}
    metadata["images_seen"] = small.model.metadata["images_seen"]
    save_model(out, tensors, metadata)


def _same(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and torch.allclose(one.float(), other.float(), rtol=1e-5, atol=1e-7)


if __name__ == "__main__":
    typer.run(main)
