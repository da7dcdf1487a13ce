"""How fast `ssgan train synth:` is fed: portraits rendered into the shared buffer, and examples served from it.

    python -m benchmarks.stream --size 128 --workers 2 --seconds 30

Prints a table and, last, one line of JSON. Two rows: the portraits themselves, and blank pictures that cost nothing to
make, which shows what processes, pipes and copies allow at most. The clock starts when the first batch is there, so
that compiling does not count; every view is shown `reuse` times.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from contextlib import closing

import numpy as np
from rich.console import Console
from rich.table import Table

from ssgan_core.config import load_config
from ssgan_core.heads.render import SyntheticView
from ssgan_core.heads.synth import view_label
from ssgan_core.training.streaming.heads import HeadRenderer
from ssgan_core.training.streaming.renderer import Renderer
from ssgan_core.training.streaming.source import StreamedPortraits
from ssgan_core.training.streaming.spec import StreamSpec

_MANY = 10**9  # positions: more than any run of this benchmark reaches


class BlankRenderer:
    """A Renderer whose pictures are empty."""

    def parameters(self, seed: int, identity: int) -> np.ndarray:
        return np.full(64, identity % 7, np.float32)

    def label(self, seed: int, identity: int, view: int) -> np.ndarray:
        return view_label(seed, identity, view)

    def views(self, seed: int, identity: int, count: int, size: int) -> Iterator[SyntheticView]:
        for _ in range(count):
            empty = np.zeros((size, size), np.uint8)
            yield SyntheticView(
                np.zeros((size, size, 3), np.uint8), empty, np.zeros((size, size), np.float32)
            )


def main() -> None:
    options = _options()
    spec = StreamSpec(views=options.views, reuse=options.reuse, workers=options.workers)
    renderers: dict[str, Renderer] = {"portraits": HeadRenderer(), "blank pictures": BlankRenderer()}
    rows = {name: measure(spec, options, renderer) for name, renderer in renderers.items()}
    table = Table(
        title=f"{options.size} x {options.size} pixels, {spec.processes} processes, batch {options.batch}"
    )
    for column in ("", "rendered images/s", "served images/s"):
        table.add_column(column, justify="right")
    for name, row in rows.items():
        table.add_row(name, *(f"{row[key]:.1f}" for key in ("rendered_per_s", "served_per_s")))
    Console(width=max(Console().width, 80)).print(table)
    print(json.dumps({**vars(options), "processes": spec.processes, "results": rows}))


def measure(spec: StreamSpec, options: argparse.Namespace, renderer: Renderer) -> dict[str, float]:
    """Images a second, rendered and served, over `options.seconds`."""
    settings = [f"training.batch={options.batch}", f"model.resolution={options.size}"]
    config = load_config("128", settings)
    with closing(StreamedPortraits(spec, options.size, renderer)) as source:
        batches = source.batches(config, 0, _MANY)
        next(batches)
        first = source.rendered
        start, served = time.perf_counter(), 0
        while time.perf_counter() - start < options.seconds:
            served += len(next(batches).indices)
        seconds = time.perf_counter() - start
        rendered = source.rendered - first
    return {"rendered_per_s": rendered / seconds, "served_per_s": served / seconds}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=128, help="side of the pictures, pixels")
    parser.add_argument("--workers", type=int, default=0, help="processes; 0: one a core but one")
    parser.add_argument("--views", type=int, default=2)
    parser.add_argument("--reuse", type=int, default=4)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=30.0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
