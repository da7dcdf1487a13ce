"""What a GPU would do for a portrait, counted without one: operations, and the bytes that they read and write.

    python -m benchmarks.traffic --recipe default 512 --batch 1

Prints a table and, last, one line of JSON; `--places N` adds the N places of the code that move most. Every operation
that computes anything counts as a kernel, and as if it read all of its inputs and wrote all of its outputs once in
memory; the networks compute in fp16, as in `ssgan generate`. It is a floor for what plain calls take, less what stays
in caches, and says where fusing would help; time is asked of `benchmarks.inference` on a GPU.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks.pretended_gpu import GPU, move, pretend
from ssgan_core.config import load_config
from ssgan_core.model.generator import Generator
from ssgan_core.parts import PORTRAIT

_MEGABYTE = 1e6
_PACKAGE = "ssgan_core"
# They make no values, but places in memory.
_ALLOCATE = {"empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided"}


class Traffic(TorchDispatchMode):
    """Counts what is computed while it is entered.

    Attributes:
        kernels: operations that compute anything.
        bytes: that they read and write.
        places: bytes by the line of the package and the operation.
    """

    def __init__(self) -> None:
        super().__init__()
        self.kernels = 0
        self.bytes = 0
        self.places: Counter[tuple[str, str]] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        written = [x for x in tree_leaves(result) if isinstance(x, Tensor)]
        if not written or func.is_view or name in _ALLOCATE:
            return result
        read = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        moved = sum(_bytes(x) for x in (*read, *written) if x.device.type == GPU.type)
        if moved:
            self.kernels += 1
            self.bytes += moved
            self.places[_caller(), name] += moved
        return result


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory() as folder:
        pretend(Path(folder))
    rows, places = [], []
    for recipe in options.recipe:
        for batch in options.batch:
            for work, traffic in count(recipe, batch).items():
                rows.append({
                    "recipe": recipe, "batch": batch, "work": work, "kernels": traffic.kernels,
                    "megabytes": round(traffic.bytes / _MEGABYTE, 1),
                })  # fmt: skip
                places += [
                    (recipe, batch, work, where, operation, moved / _MEGABYTE)
                    for (where, operation), moved in traffic.places.most_common(options.places)
                ]
    console = Console()
    table = Table("recipe", "batch", "work", "kernels", "MB")
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    console.print(table)
    if places:
        table = Table("recipe", "batch", "work", "where", "operation", "MB")
        for *names, moved in places:
            table.add_row(*map(str, names), f"{moved:.1f}")
        console.print(table)
    print(json.dumps({"results": rows}))


def count(recipe: str, batch: int) -> dict[str, Traffic]:
    """What each kind of work moves, for a batch of portraits by the recipe's generator."""
    generator = Generator(load_config(recipe).model, PORTRAIT).eval().requires_grad_(False)
    # Not inference_mode, under which operations made of others are not taken apart.
    with (
        FakeTensorMode() as mode,
        torch.no_grad(),
        torch.autocast(GPU.type, torch.float16, cache_enabled=False),
    ):
        move(mode, generator)
        cameras = torch.zeros(batch, 25, device=GPU)
        codes = generator.map(torch.randn(batch, generator.config.latent, device=GPU))
        maps = generator.part_maps(codes)
        works: dict[str, Callable[[], object]] = {
            "from codes": lambda: generator.render(generator.part_maps(codes), cameras),
            "new camera": lambda: generator.render(maps, cameras),
        }
        found = {}
        for name, work in works.items():
            with Traffic() as found[name]:
                work()
    return found


def _bytes(x: Tensor) -> int:
    """What of a tensor lies in memory: dimensions that it is expanded along count once."""
    sides = [size for size, stride in zip(x.shape, x.stride(), strict=True) if stride]
    return x.element_size() * int(torch.Size(sides).numel()) if x.numel() else 0


def _caller() -> str:
    """The innermost line of the package that is being run."""
    for frame in reversed(traceback.extract_stack()):
        if f"/{_PACKAGE}/" in frame.filename:
            return f"{frame.filename.rpartition(f'/{_PACKAGE}/')[2]}:{frame.lineno}"
    return "elsewhere"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--recipe", nargs="+", default=["default", "256", "512"], help="whose generators")
    parser.add_argument("--batch", type=int, nargs="+", default=[1])
    parser.add_argument("--places", type=int, default=0, help="places of the code to show for each row")
    return parser.parse_args()


if __name__ == "__main__":
    main()
