"""What the representation can hold at best: sheets fitted to synthetic heads without networks, seen from new sides.

    python -m benchmarks.representation --heads 8 --out representation.jpg

Of every head 24 views (|yaw| up to 0.6) are rendered, sheets are fitted to them (benchmarks/sheet_fit.py), and 8 other
views (|yaw| up to 0.55) judge them; pitch is up to 0.2. This is the ceiling of every trained generator with the same
parts, windows, bounds and width: what is missing here no network can make.

PSNR is the mean over the judging views, of whole pictures and of the head's pixels alone. Mask IoU is as in `ssgan
evaluate`: for every part the mean over the views that show it, then over parts. Depth: median absolute error, world
units, where fit and truth show the head. Holes: share of the head's pixels where more than half of the background is
seen; beyond: share of them that lie outside the window, where no sheet is. Inliers: of pixels carried by depth between
views 0.3 radians apart, and seen there at that depth, those with the same colour (evaluation/reprojection.py), beside
the truth's. Seconds are processor time of the fit.

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

from benchmarks.sheet_fit import Sheets, Variant, fit_sheets
from benchmarks.sheet_start import HeadViews, render_views, world_points
from benchmarks.timing import machine
from ssgan_core.evaluation.reprojection import APART, Reprojection, reproject
from ssgan_core.files import write_bytes
from ssgan_core.heads.sampler import EARRINGS, GLASSES, HAIR_STYLES, HATS, Identity, sample_identity
from ssgan_core.parsing.agreement import Agreement
from ssgan_core.parts import PORTRAIT
from ssgan_core.pictures import colour_mask, encode_jpeg, tile

_FITTED_YAW, _JUDGED_YAW, _PITCH = 0.6, 0.55, 0.2  # radians: angles lie within +- these
_SHOWN = 4  # judging views of a head on the picture
_MEASURES = {
    "psnr": ("PSNR", "{:.2f}"), "head_psnr": ("head", "{:.2f}"), "mask_iou": ("mask IoU", "{:.3f}"),
    "depth_error": ("depth", "{:.4f}"), "holes": ("holes", "{:.2%}"), "beyond": ("beyond", "{:.2%}"),
    "inliers": ("inliers", "{:.2%}"), "data_inliers": ("truth's", "{:.2%}"), "seconds": ("s", "{:.0f}"),
}  # fmt: skip


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
        fitted, judged, turned = head_views(identity, options)
        for number, variant in enumerate(variants):
            print(f"head {index}, {describe(identity)}: {variant}", file=sys.stderr)
            start = time.process_time()
            fit = fit_sheets(fitted, variant, options.steps, options.rays)
            seconds = time.process_time() - start
            facts, seen = judge(fit, judged, turned)
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


def head_views(identity: Identity, options: argparse.Namespace) -> tuple[HeadViews, HeadViews, HeadViews]:
    """Views to fit, views to judge by, and four views `APART` from one another."""
    rng = np.random.default_rng([options.seed, identity.index])

    def around(count: int, yaw: float) -> HeadViews:
        pitches = rng.uniform(-_PITCH, _PITCH, count)
        return render_views(identity, spread(count, yaw, rng), pitches, options.size)

    turns = (np.arange(4) - 1.5) * APART
    turned = render_views(identity, turns, np.zeros(4), options.size)
    return around(options.views, _FITTED_YAW), around(options.judged, _JUDGED_YAW), turned


def spread(count: int, reach: float, rng: np.random.Generator) -> np.ndarray:
    """Angles [count] within +-reach, one in each of so many equal intervals."""
    return reach * (2 * (np.arange(count) + rng.uniform(size=count)) / count - 1)


def judge(sheets: Sheets, judged: HeadViews, turned: HeadViews) -> tuple[dict[str, Any], HeadViews]:
    """Figures of sheets on views they were not fitted to, and those views as the sheets show them."""
    seen, transmittance = sheets.views(judged.labels)
    square = (seen.images / 255.0 - judged.images / 255.0) ** 2
    head = judged.masks > 0
    agreement = Agreement(len(PORTRAIT.parts))
    for truth, found in zip(judged.masks, seen.masks, strict=True):
        agreement.add(truth, found)
    iou, shown = agreement.mean_iou(), agreement.shown() > 0
    both = head & (seen.depths > 0)
    beyond = np.abs(world_points(judged)[head][:, :2]).max(axis=1) > sheets.variant.window
    facts = {
        "psnr": float(np.mean([_decibels(one) for one in square])),
        "head_psnr": float(
            np.mean([_decibels(one[inside]) for one, inside in zip(square, head, strict=True)])
        ),
        "mask_iou": float(iou[1:][shown[1:]].mean()),
        "depth_error": float(np.median(np.abs(seen.depths - judged.depths)[both])),
        "holes": float((transmittance[head] > 0.5).mean()),
        "beyond": float(beyond.mean()),
        "inliers": inliers(sheets.views(turned.labels)[0]),
        "data_inliers": inliers(turned),
        "parts": {name: float(iou[k]) for k, name in enumerate(PORTRAIT.names) if k and shown[k]},
    }
    return facts, seen


def _decibels(square: np.ndarray) -> float:
    """PSNR of squared errors of colours in 0..1; at most that of 8 bits."""
    return float(-10 * np.log10(max(square.mean(), 1 / 255**2 / 12)))


def inliers(views: HeadViews) -> float | None:
    """Share of the co-visible pixels of neighbouring views, both ways, that have the same colour."""
    total = Reprojection()
    sides = list(zip(views.images, views.depths, views.labels, strict=True))
    for one, other in itertools.pairwise(sides):
        total += reproject(*one, *other) + reproject(*other, *one)
    return total.facts()["inliers"]


def describe(identity: Identity) -> str:
    """Hair and what is worn, in words."""
    worn = (GLASSES[identity.glasses], HATS[identity.hat], EARRINGS[identity.earrings])
    kinds = ("glasses", "hat", "earrings")
    extras = [f"{name} {kind}" for name, kind in zip(worn, kinds, strict=True) if name != "none"]
    return ", ".join([f"{HAIR_STYLES[identity.hair_style]} hair", *extras])


def mean_row(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean figures of one variant over heads, and the mean IoU of each part over the heads that show it."""
    parts = {
        name: [row["parts"][name] for row in rows if name in row["parts"]] for name in PORTRAIT.names[1:]
    }
    return {
        **{name: rows[0][name] for name in vars(Variant())},
        **{name: float(np.mean([row[name] for row in rows])) for name in _MEASURES},
        "parts": {name: float(np.mean(values)) for name, values in parts.items() if values},
    }


def comparison(seen: HeadViews, truth: HeadViews) -> np.ndarray:
    """Some unseen views of a head and their masks: fitted above, truth below."""
    chosen = np.linspace(0, len(truth.labels) - 1, min(_SHOWN, len(truth.labels))).round().astype(int)
    rows = [
        [*views.images[chosen], *(colour_mask(mask, PORTRAIT) for mask in views.masks[chosen])]
        for views in (seen, truth)
    ]
    return tile([*rows[0], *rows[1]], len(rows[0]))


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
    parser.add_argument("--views", type=int, default=24, help="views of a head that sheets are fitted to")
    parser.add_argument("--judged", type=int, default=8, help="other views, which judge")
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
