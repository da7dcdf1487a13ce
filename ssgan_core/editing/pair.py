"""Two portraits of one model: what every edit that mixes their codes begins with, and how its outcome is written."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from ssgan_core.model.generator import Generator
from ssgan_core.portrait import Portrait, check_same_model, load_portrait, save_portrait
from ssgan_core.synthesis import View, open_portrait, path_to_model, save_view


@dataclass(frozen=True)
class Pair:
    """Two portraits and the generator that made both, on its device.

    Attributes:
        first: the portrait that is edited; the outcome keeps its camera.
        second: the one that gives codes.
        model: the model's file.
    """

    first: Portrait
    second: Portrait
    generator: Generator
    model: Path


def open_pair(first: Path, second: Path, model: Path | None, device: torch.device, backend: str) -> Pair:
    """Two portrait files and their model.

    Args:
        model: model file or run folder; None looks where the first portrait says it was.

    Raises:
        SsganError: a file is damaged or missing, or the portraits are of different models or parts.
    """
    portrait, generator, path = open_portrait(first, model, device, backend)
    other = load_portrait(second)
    check_same_model(portrait, other)
    return Pair(portrait, other, generator, path)


def save_edited(folder: Path, stem: str, portrait: Portrait, view: View, pair: Pair) -> dict[str, Path]:
    """Write an outcome as pictures and as stem.portrait; returns their paths by kind."""
    paths = {
        **save_view(folder, stem, view, pair.generator.schema),
        "portrait": folder / f"{stem}.portrait",
    }
    save_portrait(paths["portrait"], replace(portrait, model_path=path_to_model(folder, pair.model)))
    return paths
