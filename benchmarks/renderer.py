"""What a rendering costs: every backend, forward and forward + backward, beside the bytes that must move.

    python -m benchmarks.renderer --rays 64 --size 64 --channels 64 --parts 12 --batch 4

Prints a table and, last, one line of JSON. The floor counts each map read once and each output written once.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from benchmarks.smooth_head import DEPTH_BOUNDS, labels, smooth_head
from ssgan_core.rendering import BACKENDS, camera_rays, render


def main() -> None:
    options = _options()
    if options.threads:
        torch.set_num_threads(options.threads)
    rows = [
        measure(backend, options)
        for backend in (BACKENDS if options.backend == "all" else [options.backend])
        if backend != "auto"
    ]
    floor = floor_bytes(options)
    table = Table(title=f"{options.device}, {torch.get_num_threads()} threads; floor {floor / 1e6:.1f} MB")
    for column in ("backend", "forward ms", "forward + backward ms", "peak MB"):
        table.add_column(column, justify="left" if column == "backend" else "right")
    for row in rows:
        peak = "-" if row["peak_mb"] is None else f"{row['peak_mb']:.0f}"
        table.add_row(row["backend"], f"{row['forward_ms']:.1f}", f"{row['both_ms']:.1f}", peak)
    Console().print(table)
    print(json.dumps({**vars(options), "floor_bytes": floor, "results": rows}))


def measure(backend: str, options: argparse.Namespace) -> dict[str, Any]:
    """Median milliseconds of one rendering and its gradients, and peak memory (None without CUDA)."""
    cuda = options.device.startswith("cuda")
    head = smooth_head(
        options.size, options.channels, options.parts, options.batch, options.seed, options.device
    )
    rays = camera_rays(labels(options.batch, device=options.device), options.rays)
    maps = [values.requires_grad_() for values in head.arguments()]

    def run() -> tuple[Tensor, ...]:
        seen = render(
            *maps, options.width, head.windows, rays, depth_bounds=DEPTH_BOUNDS,
            uniform=options.uniform, importance=options.importance, backend=backend,
        )  # fmt: skip
        return seen.features, seen.masks, seen.transmittance, seen.depth

    def forward() -> None:
        with torch.no_grad():
            run()

    def both() -> None:
        outputs = run()
        torch.autograd.grad(outputs, maps, [torch.ones_like(output) for output in outputs])

    def median(work: Any) -> float:
        times = []
        for _ in range(options.repeats + 1):  # the first warms up
            start = time.perf_counter()
            work()
            if cuda:
                torch.cuda.synchronize()
            times.append(time.perf_counter() - start)
        return 1000 * statistics.median(times[1:])

    if cuda:
        torch.cuda.reset_peak_memory_stats()
    result = {"backend": backend, "forward_ms": median(forward), "both_ms": median(both)}
    return {**result, "peak_mb": torch.cuda.max_memory_allocated() / 1e6 if cuda else None}


def floor_bytes(options: argparse.Namespace) -> int:
    """Bytes of the maps in (C features, depth, optical depth) and the pictures out (C + K + 2), float32."""
    maps = options.parts * (options.channels + 2) * options.size**2
    pictures = (options.channels + options.parts + 2) * options.rays**2
    return 4 * options.batch * (maps + pictures)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rays", type=int, default=64, help="rays along a side")
    parser.add_argument("--size", type=int, default=64, help="texels along a side of a map")
    parser.add_argument("--channels", type=int, default=64)
    parser.add_argument("--parts", type=int, default=12)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--width", type=float, default=0.02, help="width of the sheets, world units")
    parser.add_argument("--uniform", type=int, default=16)
    parser.add_argument("--importance", type=int, default=16)
    parser.add_argument("--backend", choices=[*BACKENDS, "all"], default="all")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (0: PyTorch's choice)")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
