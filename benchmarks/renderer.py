"""What a rendering costs: every backend, forward and forward + backward, beside the bytes that must move.

    python -m benchmarks.renderer --rays 64 --size 64 --channels 64 --parts 12 --batch 4
    python -m benchmarks.renderer --batch 4 --model runs/00000-128

Two inputs: the seeded smooth head and, with --model, a trained model's maps of seeded codes, in the sizes, shell width
and depth bounds that are its own. Each is seen from three yaws at pitch 0.1. Prints one table and, last, one line of
JSON. The floor counts each map read once and each output written once, and for the gradients maps and the outputs'
gradients read once and the maps' gradients written once.

On a GPU times are CUDA events around one run, each after a write that evicts the L2 cache, and memory is the peak above
what was allocated before the run. `render` also looks at the values of its arguments, which waits for the GPU; the row
`operator` is the compiled kernels without that.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from benchmarks.smooth_head import DEPTH_BOUNDS, labels, smooth_head
from benchmarks.timing import Cost, cost, machine
from ssgan_core.errors import SsganError
from ssgan_core.model.codes import Codes
from ssgan_core.rendering import BACKENDS, camera_rays, native, render
from ssgan_core.rendering.sampling import Maps
from ssgan_core.synthesis import codes_from_seed, load_generator

_TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_OPERATOR = "operator"


@dataclass(frozen=True)
class Scene:
    """Sheets to be rendered: the arguments of `ssgan_core.rendering.render` but for the rays."""

    name: str
    features: Tensor
    depth: Tensor
    optical_depth: Tensor
    width: Tensor
    windows: Tensor
    depth_bounds: tuple[float, float]


def main() -> None:
    options = _options()
    if options.threads:
        torch.set_num_threads(options.threads)
    names = [name for name in BACKENDS if name != "auto"] if options.backend == "all" else [options.backend]
    if "native" in names and native.is_available(options.device):
        names.append(_OPERATOR)
    scenes = [smooth_scene(options), *([model_scene(options.model, options)] if options.model else [])]
    rows = [
        measure(scene, yaw, backend, options) for scene in scenes for yaw in options.yaw for backend in names
    ]
    _report(scenes, rows, options)


def smooth_scene(options: argparse.Namespace) -> Scene:
    """The smooth heads of a seed."""
    head = smooth_head(
        options.size, options.channels, options.parts, options.batch, options.seed, options.device
    )
    width = torch.tensor(options.width, device=options.device)
    features = head.features.to(_TYPES[options.dtype])
    return Scene("smooth head", features, head.depth, head.optical_depth, width, head.windows, DEPTH_BOUNDS)


def model_scene(path: Path, options: argparse.Namespace) -> Scene:
    """A trained model's sheets for the codes of as many seeds as the batch has entries.

    Raises:
        SsganError: there is no such model, it is damaged, or it composes parts in the image plane.
    """
    generator, _ = load_generator(path, torch.device(options.device))
    if not generator.has_depth:
        raise SsganError(
            f"{path} lifts nothing: it has no sheets to render", "name a model with model.lifting: depth"
        )
    seeds = range(options.seed, options.seed + options.batch)
    with torch.no_grad():
        maps = generator.part_maps(Codes.cat([codes_from_seed(generator, seed) for seed in seeds]))
    return Scene(
        "model",
        maps.features.to(_TYPES[options.dtype]),
        maps.depth,
        maps.optical_depth,
        generator.shell_width,
        generator.windows,
        generator.depth_bounds,
    )


def measure(scene: Scene, yaw: float, backend: str, options: argparse.Namespace) -> dict[str, Any]:
    """Median milliseconds of one rendering, alone and with its gradients, and peak memory (None without CUDA)."""
    batch = len(scene.depth)
    rays = camera_rays(labels(1, yaw, options.device).expand(batch, -1), options.rays)
    maps = [m.detach().requires_grad_() for m in (scene.features, scene.depth, scene.optical_depth)]

    def run() -> tuple[Tensor, ...]:
        if backend == _OPERATOR:
            sheets = Maps(maps[0], maps[1], maps[2], scene.width, scene.windows, True)
            return native.render_native(sheets, rays, scene.depth_bounds, options.uniform, options.importance)
        seen = render(
            maps[0], maps[1], maps[2], scene.width, scene.windows, rays, depth_bounds=scene.depth_bounds,
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
        "input": scene.name, "yaw": yaw, "backend": backend, "forward_ms": alone.ms, "forward_mib": alone.mib,
        "both_ms": with_gradients.ms, "both_mib": with_gradients.mib,
    }  # fmt: skip


def floor_bytes(scene: Scene, rays: int) -> dict[str, int]:
    """Bytes of the maps (C features, depth, optical depth) and of the pictures (C + K + 2), read or written once.

    `forward` reads maps and writes pictures; `both` also reads maps and the pictures' gradients and writes the maps'
    gradients. Pictures, depth and optical depth are float32.
    """
    batch, parts, channels, size, _ = scene.features.shape
    maps = parts * (scene.features.element_size() * channels + 2 * 4) * size**2
    pictures = 4 * (channels + parts + 2) * rays**2
    return {"forward": batch * (maps + pictures), "both": batch * (3 * maps + 2 * pictures)}


def _report(scenes: list[Scene], rows: list[dict[str, Any]], options: argparse.Namespace) -> None:
    what = machine(options.device)
    table = Table(title=what)
    for column in ("input", "yaw", "backend", "forward ms", "MiB", "forward + backward ms", "MiB"):
        table.add_column(column, justify="left" if column in ("input", "backend") else "right")
    for row in rows:
        cells = (
            *Cost(row["forward_ms"], row["forward_mib"]).cells(),
            *Cost(row["both_ms"], row["both_mib"]).cells(),
        )
        table.add_row(row["input"], f"{row['yaw']:g}", row["backend"], *cells)
    Console().print(table)
    floors = {scene.name: floor_bytes(scene, options.rays) for scene in scenes}
    for scene in scenes:
        batch, parts, channels, size, _ = scene.features.shape
        floor = floors[scene.name]
        print(
            f"{scene.name}: batch {batch}, K {parts}, C {channels}, S {size}, width {float(scene.width):.4g}; floor "
            f"forward {floor['forward'] / 1e6:.1f} MB, forward + backward {floor['both'] / 1e6:.1f} MB"
        )
    settings = {**vars(options), "model": None if options.model is None else str(options.model)}
    print(json.dumps({**settings, "machine": what, "floor_bytes": floors, "results": rows}))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", type=Path, help="a trained model: a file or a run folder")
    parser.add_argument("--yaw", type=float, nargs="+", default=[0.0, 0.35, 0.6], help="poses, radians")
    parser.add_argument("--rays", type=int, default=64, help="rays along a side")
    parser.add_argument("--size", type=int, default=64, help="texels along a side of a smooth head's map")
    parser.add_argument("--channels", type=int, default=64, help="of the smooth head")
    parser.add_argument("--parts", type=int, default=12, help="of the smooth head")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--width", type=float, default=0.02, help="of the smooth head's sheets, world units")
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
