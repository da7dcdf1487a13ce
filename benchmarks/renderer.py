"""What a rendering costs: every backend, forward and forward + backward, beside the bytes that must move.

    python -m benchmarks.renderer --rays 64 --size 64 --channels 64 --parts 12 --batch 4

Prints a table and, last, one line of JSON. The floor counts each map read once and each output written once, and for
the gradients maps and the outputs' gradients read once and the maps' gradients written once.

On a GPU times are CUDA events around one run, each after a write that evicts the L2 cache, and memory is the peak above
what was allocated before the run. `render` also looks at the values of its arguments, which waits for the GPU; the row
`operator` is the compiled kernels without that.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from benchmarks.smooth_head import DEPTH_BOUNDS, labels, smooth_head
from benchmarks.timing import cost, machine
from ssgan_core.rendering import BACKENDS, camera_rays, native, render
from ssgan_core.rendering.sampling import Maps

_TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_OPERATOR = "operator"


def main() -> None:
    options = _options()
    if options.threads:
        torch.set_num_threads(options.threads)
    names = [name for name in BACKENDS if name != "auto"] if options.backend == "all" else [options.backend]
    if "native" in names and native.is_available(options.device):
        names.append(_OPERATOR)
    rows = [measure(backend, options) for backend in names]
    floors = floor_bytes(options)
    what = machine(options.device)
    table = Table(
        title=f"{what}; floor forward {floors['forward'] / 1e6:.1f} MB, "
        f"forward + backward {floors['both'] / 1e6:.1f} MB"
    )
    for column in ("backend", "forward ms", "MiB", "forward + backward ms", "MiB"):
        table.add_column(column, justify="left" if column == "backend" else "right")
    for row in rows:
        peaks = ["-" if peak is None else f"{peak:.0f}" for peak in (row["forward_mib"], row["both_mib"])]
        table.add_row(row["backend"], f"{row['forward_ms']:.3f}", peaks[0], f"{row['both_ms']:.3f}", peaks[1])
    Console().print(table)
    print(json.dumps({**vars(options), "machine": what, "floor_bytes": floors, "results": rows}))


def measure(backend: str, options: argparse.Namespace) -> dict[str, Any]:
    """Median milliseconds of one rendering, alone and with its gradients, and peak memory (None without CUDA)."""
    head = smooth_head(
        options.size, options.channels, options.parts, options.batch, options.seed, options.device
    )
    rays = camera_rays(labels(options.batch, device=options.device), options.rays)
    maps = [head.features.to(_TYPES[options.dtype]), head.depth, head.optical_depth]
    maps = [values.requires_grad_() for values in maps]
    width = torch.tensor(options.width, device=options.device)

    def run() -> tuple[Tensor, ...]:
        if backend == _OPERATOR:
            sheets = Maps(maps[0], maps[1], maps[2], width, head.windows, True)
            return native.render_native(sheets, rays, DEPTH_BOUNDS, options.uniform, options.importance)
        seen = render(
            maps[0], maps[1], maps[2], width, head.windows, rays, depth_bounds=DEPTH_BOUNDS,
            uniform=options.uniform, importance=options.importance, backend=backend,
        )  # fmt: skip
        return seen.features, seen.masks, seen.transmittance, seen.depth

    with torch.no_grad():
        upstream = [torch.ones_like(output) for output in run()]

    def forward() -> None:
        with torch.no_grad():
            run()

    def both() -> None:
        torch.autograd.grad(run(), maps, upstream)

    alone, with_gradients = (cost(work, options.device, options.repeats) for work in (forward, both))
    return {
        "backend": backend, "forward_ms": alone.ms, "forward_mib": alone.mib, "both_ms": with_gradients.ms,
        "both_mib": with_gradients.mib,
    }  # fmt: skip


def floor_bytes(options: argparse.Namespace) -> dict[str, int]:
    """Bytes of the maps (C features, depth, optical depth) and of the pictures (C + K + 2), read or written once.

    `forward` reads maps and writes pictures; `both` also reads maps and the pictures' gradients and writes the maps'
    gradients. Pictures, depth and optical depth are float32.
    """
    feature = _TYPES[options.dtype].itemsize
    maps = options.parts * (feature * options.channels + 2 * 4) * options.size**2
    pictures = 4 * (options.channels + options.parts + 2) * options.rays**2
    return {"forward": options.batch * (maps + pictures), "both": options.batch * (3 * maps + 2 * pictures)}


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
    parser.add_argument("--repeats", type=int, default=0, help="0: 7 on a CPU, 100 on a GPU")
    parser.add_argument("--dtype", choices=[*_TYPES], default="float32", help="of the features")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
