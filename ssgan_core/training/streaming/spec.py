"""What `ssgan train synth:heads=20000,views=2` asks for."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from difflib import get_close_matches

from ssgan_core.errors import SsganError

PREFIX = "synth:"
_EXAMPLE = "write synth: alone, or with options such as synth:heads=20000,views=2"
_RANGES = {
    "heads": (1, 10_000_000),
    "views": (1, 64),
    "seed": (0, 2**63 - 1),
    "reuse": (1, 64),
    "workers": (0, 256),
}


@dataclass(frozen=True)
class StreamSpec:
    """A stream of synthetic portraits.

    Attributes:
        heads: identities of an epoch.
        views: views of each identity.
        seed: population, as in `ssgan synth`.
        reuse: how many times each rendered view is shown.
        workers: processes that render, for each process that trains; 0 means one a core, minus one for the trainer,
            shared among those that train. It changes no example.
    """

    heads: int = 20_000
    views: int = 2
    seed: int = 0
    reuse: int = 4
    workers: int = 0

    def __str__(self) -> str:
        """All that decides which portraits come, in the syntax of `parse_stream`."""
        names = ("heads", "views", "seed", "reuse")
        return PREFIX + ",".join(f"{name}={getattr(self, name)}" for name in names)

    @property
    def processes(self) -> int:
        """Worker processes to start, at least 1."""
        # Not all cores of the machine need be this process's, but only Linux tells.
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return self.workers or max(1, cores - 1)


def parse_stream(text: str) -> StreamSpec:
    """The stream that `synth:` with key=value options, separated by commas, describes.

    Raises:
        SsganError: an option is unknown, given twice, or its value is no whole number in its range.
    """
    options = text.removeprefix(PREFIX)
    values: dict[str, int] = {}
    for piece in options.split(",") if options else []:
        name, equals, value = piece.partition("=")
        if not equals:
            raise SsganError(f"cannot read '{piece}' in {text}", _EXAMPLE)
        if name not in _RANGES:
            close = get_close_matches(name, _RANGES, 1)
            hint = f"did you mean '{close[0]}'?" if close else "options are " + ", ".join(_RANGES)
            raise SsganError(f"{PREFIX} has no option '{name}'", hint)
        if name in values:
            raise SsganError(f"{text} gives '{name}' twice")
        low, high = _RANGES[name]
        if not (value.isascii() and value.isdecimal() and len(value) < 20 and low <= int(value) <= high):
            default = next(field.default for field in fields(StreamSpec) if field.name == name)
            raise SsganError(
                f"{name} in {text} must be a whole number from {low} to {high}, got '{value}'",
                f"{PREFIX} alone means {name}={default}",
            )
        values[name] = int(value)
    return StreamSpec(**values)
