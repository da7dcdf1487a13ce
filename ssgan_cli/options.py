"""Options that several commands share, and the parsing of their values."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from ssgan_cli.console import print_warning
from ssgan_core.resources import DEFAULT_MODEL, default_model

_MOST_SEEDS = 100_000


class Device(str, Enum):
    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class Backend(str, Enum):
    auto = "auto"
    native = "native"
    reference = "reference"
    grid = "grid"


def parse_model(text: str) -> Path:
    """A model's file or run folder. `default` always is the model that ships with the package, whatever the current
    folder holds; `./default` is a path.

    Raises:
        SsganError: the installation lacks its model.
    """
    if text != DEFAULT_MODEL:
        return Path(text)
    if Path(text).exists():
        print_warning(f"{text} is the model that ships with ssgan; the one in this folder is ./{text}")
    return default_model()


WHICH_MODEL = (
    f"Run folder (its newest model), a model .safetensors, or {DEFAULT_MODEL}: the one that ships with ssgan"
)
MakersModelOption = Annotated[
    Path | None,
    typer.Option(
        parser=parse_model, metavar="MODEL", help=f"{WHICH_MODEL}; by default the one that made the portrait."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object on stdout, all else on stderr.")]
DeviceOption = Annotated[Device, typer.Option(help="Where to compute; auto takes a GPU when there is one.")]
BackendOption = Annotated[Backend, typer.Option(help="Renderer; auto is the model's own choice.")]


def parse_parts(text: str) -> list[str]:
    """Names of a list such as `nose, mouth`; whether there are such parts, the model knows."""
    return [name.strip() for name in text.split(",")]


def parse_seeds(text: str) -> list[int]:
    """Seeds of a list of numbers and inclusive ranges such as `0-7,12`, in the order given, without repeats.

    Raises:
        typer.BadParameter: it is no such list.
    """
    seeds: dict[int, None] = {}
    for piece in text.split(","):
        first, dash, last = piece.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise typer.BadParameter(f"'{piece.strip()}' is no seed or range; write seeds like 0-7,12")
        start, end = int(first), int(last or first)
        if end < start or end >= 2**63:
            raise typer.BadParameter(f"'{piece.strip()}' is no range of seeds")
        if end - start + 1 + len(seeds) > _MOST_SEEDS:
            raise typer.BadParameter(f"more than {_MOST_SEEDS} seeds")
        seeds.update(dict.fromkeys(range(start, end + 1)))
    return list(seeds)
