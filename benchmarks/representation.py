"""What the representation can hold at best: sheets fitted to synthetic heads without networks, seen from new sides.

    python -m benchmarks.representation --heads 8 --out representation.jpg

Of every head 24 views (|yaw| up to 0.6) are rendered, sheets are fitted to them (benchmarks/sheet_fit.py), and 8 other
views (|yaw| up to 0.55) judge them; pitch is up to 0.2. This is the ceiling of every trained generator with the same
parts, windows, bounds and width: what is missing here no network can make.

The figures are those of benchmarks/judging.py. Seconds are processor time of the fit.

`--texels`, `--window`, `--width` and `--depth` take several values each: every head is fitted for each combination.

Prints a table and, last, one line of JSON. `--out` writes a picture of the first combination: unseen views of each
head and their masks, fitted above, truth below.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from benchmarks.judging import FIGURES, FITTED, JUDGED, comparison, describe, head_angles, judge, mean_figures
from benchmarks.sheet_fit import Variant, fit_sheets
from benchmarks.sheet_start import render_views
from benchmarks.timing import machine
from ssgan_core.files import write_bytes
from ssgan_core.heads.sampler import sample_identity
from ssgan_core.pictures import encode_jpeg, tile

_MEASURES = {**FIGURES, "seconds": ("s", "{:.0f}")}


def main() -> None:
    options = _options()
    torch.set_num_threads(options.threads)
    variants = [
        Variant(texels, window, width, depth == "bounded")
        for texels, window, width, depth in itertools.product(
            options.texels, options.window, options.width, options.depth
        )
    ]
    rows, sheets = [], []
    for index in range(options.heads):
        identity = sample_identity(options.seed, index)
        angles = head_angles(options.seed, index, options.views, options.judged)
        fitted, judged, turned = (
            render_views(identity, *chosen, options.size)
            for chosen in (angles.fitted, angles.judged, angles.turned)
        )
        for number, variant in enumerate(variants):
            print(f"head {index}, {describe(identity)}: {variant}", file=sys.stderr)
            start = time.process_time()
            fit = fit_sheets(fitted, variant, options.steps, options.rays)
            seconds = time.process_time() - start
            facts, seen = judge(fit.views, variant.window, judged, turned)
            rows.append(
                {"head": index, "who": describe(identity), **vars(variant), **facts, "seconds": seconds}
            )
            if number == 0:
                sheets.append(comparison(seen, judged))
    means = [mean_row([row for row in rows if vars(variant).items() <= row.items()]) for variant in variants]
    report(rows, means, options)
    if options.out:
        write_bytes(options.out, encode_jpeg(tile(sheets, 2, gap=4), quality=65))
        print(options.out)
    facts = {**vars(options), "out": options.out and str(options.out), "machine": machine("cpu")}
    print(json.dumps({**facts, "results": rows, "means": means}))


def mean_row(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean figures of one variant over heads."""
    return {
        **{name: rows[0][name] for name in vars(Variant())},
        **mean_figures(rows),
        "seconds": float(np.mean([row["seconds"] for row in rows])),
    }


def report(rows: list[dict[str, Any]], means: list[dict[str, Any]], options: argparse.Namespace) -> None:
    """Print the table."""
    table = Table(
        title=f"{machine('cpu')}; {options.size} pixels, {options.views} views, {options.steps} steps "
        f"of {options.rays} rays; depth in world units"
    )
    for column in ("head", "S", "window", "width", "depth is"):
        table.add_column(column, justify="left" if column in ("head", "depth is") else "right")
    for title, _ in _MEASURES.values():
        table.add_column(title, justify="right")
    for row in (*rows, *means):
        table.add_row(
            f"{row['head']}: {row['who']}" if "head" in row else "mean",
            *(f"{row[name]:g}" for name in ("texels", "window", "width")),
            "bounded" if row["bounded"] else "free",
            *(shape.format(row[name]) for name, (_, shape) in _MEASURES.items()),
        )
    Console(width=150).print(table)
    for row in means:
        print("IoU of parts: " + ", ".join(f"{name} {value:.2f}" for name, value in row["parts"].items()))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--heads", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0, help="of the population and of the angles")
    parser.add_argument("--size", type=int, default=64, help="pixels along a side of a view")
    parser.add_argument("--views", type=int, default=FITTED, help="views of a head that sheets are fitted to")
    parser.add_argument("--judged", type=int, default=JUDGED, help="other views, which judge")
    parser.add_argument("--steps", type=int, default=700)
    parser.add_argument("--rays", type=int, default=4096, help="rays of a step")
    default = Variant()
    parser.add_argument(
        "--texels", type=int, nargs="+", default=[default.texels], help="along a side of a map"
    )
    parser.add_argument(
        "--window", type=float, nargs="+", default=[default.window], help="half its side, world units"
    )
    parser.add_argument(
        "--width", type=float, nargs="+", default=[default.width], help="of the shells, world units"
    )
    parser.add_argument("--depth", nargs="+", default=["bounded"], choices=["bounded", "free"])
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--out", type=Path, help="write a JPEG of fitted and true views here")
    options = parser.parse_args()
    if min(options.heads, options.views, options.judged, options.steps, options.rays) < 1:
        parser.error("--heads, --views, --judged, --steps and --rays must be at least 1")
    return options


if __name__ == "__main__":
    main()
