"""What lifting, parts and each addition to them are worth: variants of one recipe, trained alike and measured alike.

    python -m benchmarks.ablation data/heads --recipe demo --minutes 20 --judge data/held-out
    python -m benchmarks.ablation data/heads --recipe 128 --kimg 500 --variants full plane --set training.batch=64

Every variant is the recipe with a setting or two changed (docs/ablations.md says what each means). It trains on the
same data, for as many minutes (--minutes: what a variant costs counts, and figures depend on the machine) or as many
images (--kimg: the same on every machine). `ssgan evaluate` then measures it on --judge, best people it has not seen.

Prints a table and, last, one line of JSON. Each variant has a folder in --out with its run and its evaluation. What is
finished there is not done again, and what was interrupted goes on from its last snapshot: run the same command.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from ssgan_cli.progress import show_progress
from ssgan_core.config import Config, config_to_json, load_config
from ssgan_core.errors import SsganError
from ssgan_core.evaluation.evaluate import evaluate_to_folder
from ssgan_core.evaluation.subject import Settings
from ssgan_core.evaluation.summary import number, percent
from ssgan_core.files import read_json, write_json
from ssgan_core.model.generator import Generator
from ssgan_core.parts import PORTRAIT
from ssgan_core.synthesis import choose_device
from ssgan_core.training import runs
from ssgan_core.training.data import TrainingSource
from ssgan_core.training.loop import train
from ssgan_core.training.opening import data_defaults, open_source

FULL = "full"
VARIANTS = {
    FULL: (),
    "plane": ("model.lifting=none",),
    "one-part": ("model.parts=one",),
    "one-part-layered": ("model.parts=one", f"model.sheets={len(PORTRAIT.foreground)}"),
    "no-layout": ("training.layout_prior=false",),
    "loose-depth": ("model.depth_trunk=shape",),
    "no-depth-channel": ("discriminator.depth_channel=false",),
    "no-warmup": ("training.warmup_kimg=0",),
    "no-mixing": ("training.mixing=0",),
    "no-curvature": ("training.curvature_weight=0",),
}
"""Settings by which a variant differs from the recipe."""
CLAIM = (FULL, "plane", "one-part", "one-part-layered")
"""Variants that the claim of part control with consistent views rests on."""
_ENDLESS_KIMG = 1e6
_RESULT = "result.json"
_COLUMNS: dict[str, Callable[[Any], str]] = {
    "kimg": number,
    "minutes": number,
    "generator's parameters": "{:,}".format,
    "inliers": percent,
    "co-visible": percent,
    "depth difference": number,
    "relief": number,
    "its spread": number,
    "faces detected": percent,
    "slope of yaw": number,
    "mask IoU": number,
    "edit locality": number,
    "edits counted": str,
    "variety of images": number,
    "of masks": number,
    "FPD": number,
}


@dataclass(frozen=True)
class Budget:
    """How long each variant trains: minutes or thousands of images, the other is None."""

    minutes: float | None
    kimg: float | None

    def total_kimg(self) -> float:
        """Of the recipe; with minutes, more than can be reached."""
        return _ENDLESS_KIMG if self.kimg is None else self.kimg


def main() -> None:
    options = _options()
    try:
        rows = compare(options)
    except SsganError as error:
        raise SystemExit(f"error: {error}") from error
    _print(rows, options)
    told = {name: value for name, value in vars(options).items() if name != "set"}
    print(json.dumps({**told, "settings": options.set, "results": rows}, default=str))


def compare(options: argparse.Namespace) -> list[dict[str, Any]]:
    """One row of figures a variant, after that of the data.

    Raises:
        SsganError: recipe or data are wrong, or a variant's folder belongs to another comparison.
    """
    budget = Budget(options.minutes, options.kimg)
    device = choose_device(options.device)
    configs = _configs(options, budget)
    size = configs[FULL].model.resolution
    results = []
    with closing(open_source(options.data, size, configs[FULL].data)) as source:
        for name in options.variants:
            if name != FULL and configs[name] == configs[FULL]:
                _say(f"{name} is left out: the recipe is like that already")
                continue
            results.append(_measured(name, configs[name], source, budget, options, device))
    return [{"variant": "data", **_data_figures(results[0]["evaluation"])}] + [
        {"variant": result["variant"], **_figures(result)} for result in results
    ]


def _configs(options: argparse.Namespace, budget: Budget) -> dict[str, Config]:
    """The recipe of every variant."""
    defaults = data_defaults(options.data)
    configs = {}
    for name in dict.fromkeys((FULL, *options.variants)):
        config = load_config(options.recipe, [*options.set, *VARIANTS[name]], defaults)
        configs[name] = replace(config, training=replace(config.training, kimg=budget.total_kimg()))
    return configs


def _measured(
    name: str,
    config: Config,
    source: TrainingSource,
    budget: Budget,
    options: argparse.Namespace,
    device: torch.device,
) -> dict[str, Any]:
    """A variant's result: what its folder holds, or else trained and evaluated now."""
    folder = options.out / name
    judge = Path(options.judge or options.data)
    settings = Settings(samples=options.samples, psi=options.psi, seed=config.seed)
    asked = {
        "recipe": config_to_json(config),
        "minutes": budget.minutes,
        "data": source.fingerprint(),
        "judge": str(judge.resolve()),
        "evaluation": vars(settings),
    }
    if (folder / _RESULT).is_file():
        result = read_json(folder / _RESULT)
        if result.get("asked") != asked:
            raise SsganError(
                f"{folder} holds a variant that was trained or measured otherwise", "choose another --out"
            )
        _say(f"{name}: taken from {folder / _RESULT}")
        return result
    run = folder / "run"
    stop = (lambda: False) if budget.minutes is None else _Alarm(60 * budget.minutes - _trained_seconds(run))
    with show_progress(Console(stderr=True), f"{name}: training", "images") as progress:
        trained = train(source, config, run, device=device, progress=progress, should_stop=stop)
    with show_progress(Console(stderr=True), f"{name}: evaluation", "pictures") as progress:
        saved = evaluate_to_folder(
            trained.model,
            judge,
            folder / "evaluation",
            settings,
            inception=None,
            device=device,
            progress=progress,
        )
    result = {
        "variant": name,
        "asked": asked,
        "images": trained.images,
        "seconds": _trained_seconds(run),
        "parameters": sum(p.numel() for p in Generator(config.model, source.schema).parameters()),
        "watch": {key: trained.last[key] for key in ("image_spread", "mask_spread", "collapsed")},
        "evaluation": saved.evaluation,
    }
    write_json(folder / _RESULT, result)
    return result


class _Alarm:
    """Says stop when so many seconds have passed since it was asked first, after the first step."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end: float | None = None

    def __call__(self) -> bool:
        if self._end is None:
            self._end = time.monotonic() + self._seconds
        return time.monotonic() >= self._end


def _trained_seconds(run: Path) -> float:
    """How long a run's steps took, up to its newest snapshot: what lies beyond is trained again."""
    if not (run / runs.STATE_NAME).exists():
        return 0.0
    kept = int(runs.newest_model(run).stem.removeprefix("model-"))
    seconds, before = 0.0, 0
    for row in runs.read_stats(run):
        if before < row["images"] <= kept:
            seconds += (row["images"] - before) / row["images_per_second"]
            before = row["images"]
    return seconds


def _figures(result: dict[str, Any]) -> dict[str, Any]:
    """A variant's figures; None where a figure does not apply to it."""
    evaluation = result["evaluation"]
    edits, variety = evaluation["edits"], evaluation["variety"]
    rows = edits.get("parts", {}).values()
    counted, tried = (sum(row[key] for row in rows) for key in ("qualifying", "tried"))
    return {
        "kimg": result["images"] / 1000,
        "minutes": result["seconds"] / 60,
        "generator's parameters": result["parameters"],
        **_shape(evaluation, "model"),
        "edit locality": edits.get("locality"),
        "edits counted": f"{counted} of {tried}" if tried else None,
        "variety of images": variety["images"]["share"],
        "of masks": variety["masks"]["share"],
        "FPD": evaluation["appearance"]["fpd"]["model"],
        "watch": result["watch"],
    }


def _data_figures(evaluation: dict[str, Any]) -> dict[str, Any]:
    """What portraits of the data reach in a variant's place."""
    return {
        **_shape(evaluation, "data"),
        "variety of images": 1.0,
        "of masks": 1.0,
        "FPD": evaluation["appearance"]["fpd"]["floor"],
    }


def _shape(evaluation: dict[str, Any], side: str) -> dict[str, Any]:
    turns, relief, cameras = (
        evaluation[key].get(side) or {} for key in ("reprojection", "relief", "cameras")
    )
    return {
        "inliers": turns.get("inliers"),
        "co-visible": turns.get("covisible"),
        "depth difference": turns.get("depth_error"),
        "relief": relief.get("median"),
        "its spread": relief.get("spread"),
        "faces detected": cameras.get("detected"),
        "slope of yaw": cameras.get("yaw_slope"),
        "mask IoU": evaluation["masks"].get(side),
    }


def _print(rows: list[dict[str, Any]], options: argparse.Namespace) -> None:
    """The table, variants side by side, since there are more figures than variants."""
    budget = f"{options.minutes} minutes" if options.minutes is not None else f"{options.kimg} kimg"
    table = Table(title=f"recipe {options.recipe}, {budget} each, {options.samples} samples")
    table.add_column("figure")
    for row in rows:
        table.add_column(row["variant"], justify="right")
    for name, show in _COLUMNS.items():
        cells = ("-" if row.get(name) is None else show(row[name]) for row in rows)
        table.add_row(name, *cells)
    Console(width=max(Console().width, 24 + 18 * len(rows))).print(table)
    collapsed = [row["variant"] for row in rows if row.get("watch", {}).get("collapsed")]
    if collapsed:
        _say(f"collapsed, less than half as varied as the data: {', '.join(collapsed)}")


def _say(text: str) -> None:
    Console(stderr=True).print(text, markup=False)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", help="data set to train on: a folder, a zip, or synth:...")
    parser.add_argument("--judge", default="", help="data set to measure on (by default the same)")
    budget = parser.add_mutually_exclusive_group(required=True)
    budget.add_argument("--minutes", type=float, help="training time of each variant")
    budget.add_argument("--kimg", type=float, help="or thousands of images of each variant")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(CLAIM), metavar="NAME")
    parser.add_argument("--recipe", default="demo", help="a YAML file or a shipped one's name")
    parser.add_argument("--set", action="append", default=[], help="section.key=value of the recipe")
    parser.add_argument("--samples", type=int, default=200, help="portraits in each compared set")
    parser.add_argument("--psi", type=float, default=0.7)
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--out", type=Path, default=Path("out/ablation"))
    options = parser.parse_args()
    if options.data.startswith("synth:") and not options.judge:
        parser.error("a stream cannot be measured on: name a data set with --judge")
    for name in ("minutes", "kimg"):
        if (value := getattr(options, name)) is not None and not value > 0:
            parser.error(f"--{name} must be positive")
    return options


if __name__ == "__main__":
    main()
