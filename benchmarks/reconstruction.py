"""How well a trained model portrays heads that it is told of: its share of what the representation could hold.

    python -m benchmarks.reconstruction default --heads 16
    python -m benchmarks.reconstruction runs/00003-default --seed 1 --heads 16 --out reconstruction.jpg

A model that was taught by reconstruction reads the parameters of a synthetic head in its z. So it can be asked for any
head, those of its training (`--seed` of its data) and others alike: where these are portrayed worse, it knows its
training's heads by heart, and samples are guesses between them. Views, figures and, with the same seed and size, heads
are those of `python -m benchmarks.representation`, the ceiling.

Prints a table and, last, one line of JSON. `--out` writes a picture: views of each head and their masks, the model's
above, truth below.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from benchmarks.judging import FIGURES, FITTED, JUDGED, comparison, describe, head_angles, judge, mean_figures
from benchmarks.sheet_start import HeadViews, render_views
from benchmarks.timing import machine
from ssgan_cli.options import parse_model
from ssgan_core.errors import SsganError
from ssgan_core.files import write_bytes
from ssgan_core.heads.latent import latent_parameters
from ssgan_core.heads.sampler import Identity, sample_identity
from ssgan_core.model.codes import Codes
from ssgan_core.model.generator import Generator
from ssgan_core.parts import PORTRAIT
from ssgan_core.pictures import encode_jpeg, tile
from ssgan_core.synthesis import find_model, load_generator, look_around
from ssgan_core.training.warmup import known_z


def main() -> None:
    options = _options()
    torch.set_num_threads(options.threads)
    try:
        rows, pictures = reconstruct(options)
    except SsganError as error:
        raise SystemExit(f"error: {error}") from error
    mean = mean_figures(rows)
    report(rows, mean)
    if options.out:
        write_bytes(options.out, encode_jpeg(tile(pictures, 2, gap=4), quality=65))
        print(options.out)
    facts = {**vars(options), "out": options.out and str(options.out)}
    print(json.dumps({**facts, "machine": machine("cpu"), "results": rows, "mean": mean}))


def reconstruct(options: argparse.Namespace) -> tuple[list[dict[str, Any]], list[np.ndarray]]:
    """A row of figures and a picture of each head.

    Raises:
        SsganError: the model has other parts than synthetic heads, cannot turn, or has no room for parameters.
    """
    path = find_model(parse_model(options.model))
    generator, _ = load_generator(path, torch.device("cpu"))
    if generator.schema.names != PORTRAIT.names or not generator.has_depth:
        raise SsganError(f"{path} cannot portray synthetic heads", "it needs their parts, and lifting")
    window = float(generator.windows.max())
    rows, pictures = [], []
    for index in range(options.heads):
        identity = sample_identity(options.seed, index)
        angles = head_angles(options.seed, index, FITTED, options.judged)
        judged, turned = (
            render_views(identity, *chosen, generator.config.resolution)
            for chosen in (angles.judged, angles.turned)
        )
        portrayed = Portrayed(generator, identity)
        facts, seen = judge(portrayed.views, window, judged, turned)
        rows.append({"head": index, "who": describe(identity), **facts})
        pictures.append(comparison(seen, judged))
    return rows, pictures


class Portrayed:
    """A synthetic head as a generator that was taught by reconstruction portrays it."""

    def __init__(self, generator: Generator, identity: Identity) -> None:
        self.generator = generator
        self.codes = known_codes(generator, identity)

    def views(self, labels: np.ndarray) -> tuple[HeadViews, np.ndarray]:
        """The head from cameras [V, 25]; and 1 where the background is seen, else 0 [V, size, size]."""
        seen = list(look_around(self.generator, self.codes, labels))
        images, masks, depths = (
            np.stack([getattr(view, name) for view in seen]) for name in ("image", "mask", "depth")
        )
        return HeadViews(labels, images, masks, depths), (depths == 0).astype(np.float32)


def known_codes(generator: Generator, identity: Identity) -> Codes:
    """Codes of a head, not mirrored, as the training makes them, with the noise of the head's number.

    Raises:
        SsganError: z has no room for the parameters.
    """
    parameters, latent = torch.from_numpy(latent_parameters(identity))[None], generator.config.latent
    if latent <= parameters.shape[1]:
        raise SsganError(
            f"the model's latent {latent} is too small for {parameters.shape[1]} parameters of a head",
            "name a model that was taught by reconstruction",
        )
    noise = torch.Generator().manual_seed(identity.index)
    z = known_z(parameters, torch.tensor([False]), latent, noise)
    if generator.config.backdrop:
        z[:, -generator.config.backdrop :] = 0  # nobody said what lies behind: its mean
    with torch.inference_mode():
        return generator.map(z)


def report(rows: list[dict[str, Any]], mean: dict[str, Any]) -> None:
    """Print the table."""
    table = Table(title=f"{machine('cpu')}; depth in world units")
    table.add_column("head")
    for title, _ in FIGURES.values():
        table.add_column(title, justify="right")
    for row in (*rows, mean):
        table.add_row(
            f"{row['head']}: {row['who']}" if "head" in row else "mean",
            *("-" if row[name] is None else shape.format(row[name]) for name, (_, shape) in FIGURES.items()),
        )
    Console(width=150).print(table)
    print("IoU of parts: " + ", ".join(f"{name} {value:.2f}" for name, value in mean["parts"].items()))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model", help="run folder, model file, or default")
    parser.add_argument("--heads", type=int, default=8, help="numbers 0 and up of the population")
    parser.add_argument("--seed", type=int, default=0, help="of the population and of the angles")
    parser.add_argument("--judged", type=int, default=JUDGED, help="views of a head")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--out", type=Path, help="write a JPEG of portrayed and true views here")
    options = parser.parse_args()
    if min(options.heads, options.judged) < 1:
        parser.error("--heads and --judged must be at least 1")
    return options


if __name__ == "__main__":
    main()
