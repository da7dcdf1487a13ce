"""What a portrait costs: from codes, and again from a new camera.

    python -m benchmarks.inference --recipe 256 512 --batch 1 8

Prints a table and, last, one line of JSON. The generators are untrained: their networks cost what trained ones do, and
their parts are given the layout of a smooth head, so that the renderer's rays meet as many sheets as a head's.
`--model` takes a trained model instead. On a GPU times are CUDA events with a cold L2 cache, and memory is the peak
above the weights; `eager` runs the same work without CUDA graphs and half precision.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks.smooth_head import labels, layout_prior
from benchmarks.timing import cost, report, row
from ssgan_core.config import load_config
from ssgan_core.layers import place
from ssgan_core.model.codes import Codes
from ssgan_core.model.generator import Generator
from ssgan_core.parts import PORTRAIT
from ssgan_core.synthesis import Synthesiser, load_generator


def main() -> None:
    options = _options()
    if options.threads:
        torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    generators = (
        {str(options.model): load_generator(options.model, device)[0]}
        if options.model
        else {recipe: untrained(recipe, device) for recipe in options.recipe}
    )
    rows = [
        measured
        for name, generator in generators.items()
        for batch in options.batch
        for measured in measure(name, generator, batch, options)
    ]
    report(
        rows,
        options.device,
        [
            f"{name}: {sum(weight.numel() for weight in generator.parameters()) / 1e6:.2f} M parameters"
            for name, generator in generators.items()
        ],
    )


def untrained(recipe: str, device: torch.device) -> Generator:
    """The recipe's generator with random weights and a smooth head's layout."""
    torch.manual_seed(0)
    config = load_config(recipe).model
    generator = Generator(config, PORTRAIT)
    generator.parts.layout_prior.copy_(layout_prior(config.part_resolution, len(PORTRAIT.foreground)))
    place(generator, device)
    return generator.eval().requires_grad_(False)


def measure(name: str, generator: Generator, batch: int, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Rows of the table: each kind of work for one batch size."""
    device = torch.device(options.device)
    cameras = labels(batch, device=options.device)
    with torch.inference_mode():
        z = torch.randn(batch, generator.config.latent, generator=torch.Generator().manual_seed(1))
        codes = generator.map(z.to(device))
        codes = Codes(codes.base, codes.shape.contiguous(), codes.texture.contiguous())
    draw = Synthesiser(generator)
    look = draw.around(codes)
    works: dict[str, Callable[[], object]] = {
        "from codes": lambda: draw(codes, cameras),
        "new camera": lambda: look(cameras),
    }
    if device.type == "cuda":
        works["from codes, eager"] = lambda: _eager(generator, codes, cameras)
    return [
        row({"generator": name, "work": work}, batch, cost(run, options.device, options.repeats))
        for work, run in works.items()
    ]


def _eager(generator: Generator, codes: Codes, cameras: torch.Tensor) -> object:
    with torch.inference_mode():
        return generator(codes, cameras)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--recipe", nargs="+", default=["256", "512"], help="whose generators")
    parser.add_argument("--model", type=Path, help="a trained model instead")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (0: PyTorch's choice)")
    parser.add_argument("--repeats", type=int, default=0, help="0: 7 on a CPU, 100 on a GPU")
    return parser.parse_args()


if __name__ == "__main__":
    main()
