"""What a synthetic portrait costs: milliseconds a stage, one view of each identity, on one core.

    python -m benchmarks.portraits --size 128 256 512
    python -m benchmarks.portraits --size 256 --device cuda

Prints a table and, last, one line of JSON. On the CPU the figures are processor time of this process, so that what else
runs matters less; set OMP_NUM_THREADS=1. With a GPU, building stays on the CPU (`pack` is what handing over adds), and
`device` is wall time from the packed scene to the finished picture on the host.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from ssgan_core.heads import compose, render
from ssgan_core.heads.backdrop import build_backdrop
from ssgan_core.heads.compose import build_scene
from ssgan_core.heads.parcel import pack
from ssgan_core.heads.sampler import Identity, sample_identity
from ssgan_core.heads.synth import view_label

_PARTS_OF_SCENE = {
    "build_bust": "bust",
    "grow_hair": "hair",
    "scalp_cover": "hair",
    "beard_cover": "hair",
    "dress": "clothes",
}


def main() -> None:
    options = _options()
    rows = [measure(size, options) for size in options.size]
    stages = list(rows[0]["ms"])
    table = Table(title=f"{options.device}, {options.count} identities, one view each; milliseconds an image")
    for column in ("size", *stages, "all", "images/s"):
        table.add_column(column, justify="right")
    for row in rows:
        times = [row["ms"][stage] for stage in stages]
        table.add_row(
            str(row["size"]),
            *(f"{value:.1f}" for value in (*times, sum(times))),
            f"{row['images_per_s']:.2f}",
        )
    Console(width=max(Console().width, 100)).print(table)
    print(json.dumps({**vars(options), "results": rows}))


def measure(size: int, options: argparse.Namespace) -> dict[str, Any]:
    """Mean milliseconds of every stage at a size, and the images a second of one core (or of the device alone)."""
    portrait: Callable[[Identity, np.ndarray, int, Times], None] = _on_cpu
    if options.device != "cpu":
        from ssgan_core.heads.device import DeviceRenderer

        portrait = partial(_on_device, DeviceRenderer(options.device))
    times = Times()
    for index in range(-1, options.count):
        if index == 0:
            times = Times()  # the first one compiled kernels
        number = max(index, 0)
        portrait(sample_identity(options.seed, number), view_label(options.seed, number, 0), size, times)
    ms = {stage: 1000 * seconds / options.count for stage, seconds in times.seconds.items()}
    counted = sum(ms.values()) if options.device == "cpu" else ms["device"]
    return {"size": size, "ms": ms, "images_per_s": 1000 / counted}


class Times:
    """Seconds by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    @contextmanager
    def of(self, stage: str, clock: Callable[[], float] = time.process_time) -> Iterator[None]:
        """Add what happens inside to a stage."""
        start = clock()
        yield
        self.seconds[stage] += clock() - start

    def scene(self, identity: Identity) -> compose.Scene:
        """Build a scene, its stages timed one by one; the rest is gathering of light."""
        build_scene.cache_clear()
        kept = {name: getattr(compose, name) for name in _PARTS_OF_SCENE}
        inside = 0.0

        def timed(name: str, *arguments: Any) -> Any:
            nonlocal inside
            start = time.process_time()
            result = kept[name](*arguments)
            spent = time.process_time() - start
            self.seconds[_PARTS_OF_SCENE[name]] += spent
            inside += spent
            return result

        for name in kept:
            setattr(compose, name, partial(timed, name))
        try:
            start = time.process_time()
            scene = build_scene(identity)
            self.seconds["light"] += time.process_time() - start - inside
        finally:
            for name, function in kept.items():
                setattr(compose, name, function)
        return scene


def _on_cpu(identity: Identity, label: np.ndarray, size: int, times: Times) -> None:
    """The steps of render_portrait."""
    scene = times.scene(identity)
    projection = render.camera_samples(label, size)
    with times.of("draw"):
        drawn = render.draw(scene, projection)
    with times.of("shade"):
        colours, parts = render.paint(
            np, scene, render.palette(identity, scene), drawn, build_backdrop(identity),
            partial(render.gather, scene, projection), render.CHUNK,
        )  # fmt: skip
    with times.of("resolve"):
        render.resolve(np, colours, parts, drawn.depth(np))


def _on_device(renderer: Any, identity: Identity, label: np.ndarray, size: int, times: Times) -> None:
    times.scene(identity)
    with times.of("pack"):
        parcel = pack(identity)  # the scene is remembered
    with times.of("device", time.perf_counter):
        renderer.render(parcel, [label], size)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--size", type=int, nargs="+", default=[128, 256, 512], help="pixels along a side")
    parser.add_argument("--count", type=int, default=24, help="identities")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu", help="cpu, or a torch device such as cuda")
    return parser.parse_args()


if __name__ == "__main__":
    main()
