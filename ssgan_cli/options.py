"""Options that several commands share, and the parsing of their values."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import typer

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


JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object on stdout, all else on stderr.")]
DeviceOption = Annotated[Device, typer.Option(help="Where to compute; auto takes a GPU when there is one.")]
BackendOption = Annotated[Backend, typer.Option(help="Renderer; auto is the model's own choice.")]


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
