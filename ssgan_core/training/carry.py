"""What is kept of a run to train on elsewhere: moving-average generator and discriminator, half as precise.

The training state proper is seven times as large: the generator twice in fp32, and two moments of each weight. The
optimisers' moments are left out; Adam rebuilds them while the learning rate rises (training.lr_ramp_kimg). There
are two files, so that each stays small: at the shipped size they take 13 and 15 MiB.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from ssgan_core.checkpoints import halved, read_tensors, write_tensors
from ssgan_core.config import Config, config_to_json
from ssgan_core.errors import SsganError
from ssgan_core.training.state import TrainingState

_NAME = re.compile(r"^carry-(\d{9})-(generator|discriminator)\.safetensors$")


@dataclass(frozen=True)
class Carry:
    """The content of a pair of files.

    Attributes:
        generator, discriminator: weights and buffers, float32.
        recipe: of the run, as nested dictionaries.
        parts: part schema, as JSON.
        images: that the weights have seen.
        augmentation: probability of the random transformations.
        sha256: digest of the generator's file.
    """

    generator: dict[str, Tensor]
    discriminator: dict[str, Tensor]
    recipe: dict[str, Any]
    parts: Any
    images: int
    augmentation: float
    sha256: str


def carry_paths(folder: Path, images: int) -> tuple[Path, Path]:
    """Where a run keeps generator and discriminator after so many of its images."""
    generator, discriminator = (
        folder / f"carry-{images:09d}-{network}.safetensors" for network in ("generator", "discriminator")
    )
    return generator, discriminator


def save_carry(run: Path, state: TrainingState, config: Config) -> tuple[Path, Path]:
    """Write the pair of files; returns their paths."""
    generator, discriminator = carry_paths(run, state.images)
    metadata = {
        "recipe": config_to_json(config),
        "parts": state.average.describe()["parts"],
        "images_seen": state.age,
        "augmentation": state.adaptation.probability,
    }
    digest = write_tensors(generator, "carry", halved(state.average.state_dict()), metadata)
    write_tensors(
        discriminator, "carry", halved(state.discriminator.state_dict()), {"generator_sha256": digest}
    )
    return generator, discriminator


def load_carry(path: Path) -> Carry:
    """Read and verify a pair of files.

    Args:
        path: one of the two, which stand side by side, or a run folder, whose newest pair is taken.

    Raises:
        SsganError: one is missing or damaged, or they do not belong together.
    """
    generator_path, discriminator_path = _pair(path)
    generator, discriminator = (read_tensors(p, "carry") for p in (generator_path, discriminator_path))
    if discriminator.metadata.get("generator_sha256") != generator.sha256:
        raise SsganError(
            f"{discriminator_path} does not belong to {generator_path.name}", "copy both from one run"
        )
    try:
        notes = generator.metadata
        images, augmentation = int(notes["images_seen"]), float(notes["augmentation"])
        recipe, parts = notes["recipe"], notes["parts"]
    except (KeyError, TypeError, ValueError) as error:
        raise SsganError(f"{generator_path} lacks the notes that training needs") from error
    return Carry(
        {name: tensor.float() for name, tensor in generator.tensors.items()},
        {name: tensor.float() for name, tensor in discriminator.tensors.items()},
        recipe, parts, images, augmentation, generator.sha256,
    )  # fmt: skip


def _pair(path: Path) -> tuple[Path, Path]:
    if path.is_dir():
        found = [int(match[1]) for file in path.iterdir() if (match := _NAME.match(file.name))]
        if not found:
            raise SsganError(f"{path} holds no carry-….safetensors", "training writes them when it ends")
        return carry_paths(path, max(found))
    match = _NAME.match(path.name)
    if match is None:
        raise SsganError(
            f"{path} is not named like carry-….safetensors", "give one of the two, or a run folder"
        )
    return carry_paths(path.parent, int(match[1]))
