"""Write the model that ships with the package, in half precision, and the facts of its card.

    ssgan evaluate RUN held_out --samples 1000 --out evaluation
    python tools/ship_model.py RUN ssgan_core/models/default.safetensors --card ssgan_core/models/README.md \
        --data "ssgan synth heads --count 4000 --views 2 --size 64 --seed 1" --hardware "two cores of an AMD EPYC" \
        --evaluation evaluation/evaluation.json

A model that was trained in several runs names the earlier ones with --earlier, the first one first; a model that
went on from a shipped one names that file, which knows its runs. The card is a README with two marks; what stands
between them is replaced, the rest is for people to write. Figures come from the runs' config.yaml, data.json and
stats.jsonl, and from evaluation.json, which must be of this very model.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer

from ssgan_core import __version__, cameras
from ssgan_core.checkpoints import ModelFile, halved, load_model, save_model
from ssgan_core.config import Config, config_from_json, config_to_json, load_config
from ssgan_core.errors import SsganError
from ssgan_core.evaluation.summary import COLUMNS, skipped_lines, summary_rows
from ssgan_core.files import read_json, sha256, write_bytes, write_json
from ssgan_core.model.codes import Codes
from ssgan_core.model.generator import Generator
from ssgan_core.synthesis import codes_from_seed, find_model, load_generator, synthesise
from ssgan_core.training import runs
from ssgan_core.training.schedule import Schedule

MOST_PARAMETERS = 7_000_000
MOST_BYTES = 15_000_000
BEGIN, END = "<!-- begin: written by tools/ship_model.py -->", "<!-- end -->"
CPU = torch.device("cpu")
_COMPARED = 16  # portraits by which half precision is judged


@dataclass(frozen=True)
class Stage:
    """One run that the model went through.

    Attributes:
        name: of the run's folder.
        recipe: of the run.
        data: what the run remembers of its data.
        made: how the data was made; empty for a stream, which says so itself.
        images, hours: seen and spent in this run, up to the model; measurements, pauses and start-up not counted.
    """

    name: str
    recipe: Config
    data: dict[str, Any]
    made: str
    images: int
    hours: float


def main(
    model: Annotated[
        Path, typer.Argument(help="Run folder (its newest model), or a model in its run folder.")
    ],
    out: Annotated[Path, typer.Argument(help="The .safetensors to write.")],
    card: Annotated[Path, typer.Option(help="README whose marked part is written.")],
    earlier: Annotated[
        list[Path] | None,
        typer.Option(help="Runs whose weights this one began with, the first one first; or a shipped model."),
    ] = None,
    data: Annotated[
        str, typer.Option(help="How data was made that no earlier run saw; streams say it themselves.")
    ] = "",
    hardware: Annotated[str, typer.Option(help="What the model was trained on.")] = "not recorded",
    evaluation: Annotated[Path | None, typer.Option(help="evaluation.json of this model.")] = None,
    held_out: Annotated[str, typer.Option(help="How the data of the evaluation was made.")] = "",
) -> None:
    """Check everything, then write model, figures and card."""
    try:
        ship(find_model(model), out, card, earlier or [], data, hardware, evaluation, held_out)
    except SsganError as error:
        print(f"error: {error.message}\n{error.hint}")
        raise typer.Exit(1) from error


def ship(
    source: Path,
    out: Path,
    card: Path,
    earlier: list[Path],
    data: str,
    hardware: str,
    evaluation: Path | None,
    held_out: str,
) -> None:
    """Write `out`, its evaluation.json and the card.

    Raises:
        SsganError: the model is too large, a run lacks what the card has to say, or a file is damaged.
    """
    stages = [stage for path in earlier for stage in _earlier_stages(path, data)]
    stages.append(_stage(source.parent, source, data))
    stages = _told_once(stages)
    if not all(stage.made or "stream" in stage.data for stage in stages):
        raise SsganError("nobody knows how the data was made", "say it with --data")
    generator, loaded = load_generator(source, CPU)
    told, seen = sum(stage.images for stage in stages), loaded.metadata.get("images_seen")
    if told != seen:
        raise SsganError(
            f"{source} has seen {seen} images, but the named runs account for {told}",
            "name the runs that it began with by --earlier",
        )
    parameters = sum(parameter.numel() for parameter in generator.parameters())
    if parameters > MOST_PARAMETERS:
        raise SsganError(f"{source} has {parameters:,} parameters, more than {MOST_PARAMETERS:,}")
    before, _ = _split_card(card)
    figures = None if evaluation is None else _figures(evaluation, loaded, held_out)
    metrics = out.with_suffix(".evaluation.json")
    if figures is not None:
        write_json(metrics, figures)
    _write_model(
        out,
        loaded,
        {
            "source_sha256": loaded.sha256,
            "made_by": f"ssgan {__version__}",
            "hardware": hardware,
            "stages": [
                {
                    "run": stage.name,
                    "recipe": config_to_json(stage.recipe),
                    "data": stage.data,
                    "made": stage.made,
                    "images": stage.images,
                    "hours": round(stage.hours, 3),
                }
                for stage in stages
            ],
            "metrics": None if figures is None else {"file": metrics.name, "sha256": sha256(metrics)},
        },
    )
    shipped, file = load_generator(out, CPU)
    facts = _facts(out, shipped, file, stages, hardware, _difference(generator, shipped))
    text = "\n".join([*facts, *(["Not evaluated."] if figures is None else _evaluation(figures, metrics))])
    write_bytes(card, f"{before}{BEGIN}\n{text}\n{END}{_split_card(card)[1]}".encode())
    print(f"wrote {out} ({out.stat().st_size / 1e6:.2f} MB, {parameters:,} parameters, {file.sha256[:12]})")
    print(f"wrote {card}" + ("" if figures is None else f"\nwrote {metrics}"))


def _told_once(stages: list[Stage]) -> list[Stage]:
    """Stages that saw the data of an earlier one are told what that one was: --data is for data that are new."""
    made: dict[str, str] = {}
    return [
        replace(stage, made=made.setdefault(json.dumps(stage.data, sort_keys=True), stage.made))
        for stage in stages
    ]


def _earlier_stages(path: Path, data: str) -> list[Stage]:
    """Of a run folder the stage that it was; of a shipped model all that it went through."""
    if path.is_dir():
        return [_stage(path, runs.newest_model(path), data)]
    try:
        return [
            Stage(
                stage["run"],
                config_from_json(stage["recipe"], str(path)),
                stage["data"],
                stage["made"],
                stage["images"],
                stage["hours"],
            )
            for stage in load_model(path).metadata["shipped"]["stages"]
        ]
    except (KeyError, TypeError) as error:
        raise SsganError(f"{path} does not say which runs it went through", "name run folders") from error


def _stage(run: Path, model: Path, made: str) -> Stage:
    """What a run says of itself, up to one of its models."""
    match = re.fullmatch(r"model-(\d{9})", model.stem)
    rows = runs.read_stats(run)
    if match is None or not rows or not (run / runs.CONFIG_NAME).is_file():
        raise SsganError(
            f"{model} is no model in its run folder: the card needs the run's "
            f"{runs.CONFIG_NAME}, {runs.STATS_NAME} and the model's own name"
        )
    images, seconds, seen = int(match[1]), 0.0, 0
    for row in rows:
        if seen < row["images"] <= images:
            seconds += (row["images"] - seen) / row["images_per_second"]
            seen = row["images"]
    if seen != images:
        raise SsganError(f"{run / runs.STATS_NAME} ends at {seen} images, before {model.name}")
    data = read_json(run / runs.DATA_NAME)
    return Stage(
        run.resolve().name,
        load_config(str(run / runs.CONFIG_NAME)),
        data,
        "" if "stream" in data else made,
        images,
        seconds / 3600,
    )


def _figures(path: Path, model: ModelFile, held_out: str) -> dict[str, Any]:
    """An evaluation without the places of this machine.

    Raises:
        SsganError: it is of another model.
    """
    figures = read_json(path)
    if figures["model"]["sha256"] != model.sha256:
        raise SsganError(f"{path} is about another model ({figures['model']['sha256'][:12]}…)")
    figures["model"]["path"] = Path(figures["model"]["path"]).name
    figures["data"]["path"] = held_out or Path(figures["data"]["path"]).name
    return figures


def _write_model(out: Path, loaded: ModelFile, shipped: dict[str, Any]) -> None:
    kept = {name: value for name, value in loaded.metadata.items() if name not in ("format", "kind")}
    tensors = halved(loaded.tensors)
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    if size + len(json.dumps(kept)) > MOST_BYTES:
        raise SsganError(f"{out} would have {size / 1e6:.1f} MB, more than {MOST_BYTES / 1e6:.0f}")
    save_model(out, tensors, {**kept, "shipped": shipped})


def _difference(exact: Generator, shipped: Generator) -> tuple[float, int]:
    """What half precision changes in the images of the first seeds: mean and greatest, of 255."""
    images = []
    for generator in (exact, shipped):
        codes = Codes.cat([codes_from_seed(generator, seed) for seed in range(_COMPARED)])
        seen = synthesise(generator, codes, np.repeat(cameras.label(0.0, 0.0)[None], _COMPARED, axis=0))
        images.append(np.stack([view.image for view in seen]).astype(int))
    change = np.abs(images[0] - images[1])
    return float(change.mean()), int(change.max())


def _facts(
    out: Path,
    generator: Generator,
    file: ModelFile,
    stages: list[Stage],
    hardware: str,
    difference: tuple[float, int],
) -> list[str]:
    config = generator.config
    parameters = sum(parameter.numel() for parameter in generator.parameters())
    rows = [
        ("file", f"`{out.name}`, {out.stat().st_size / 1e6:.2f} MB, weights in fp16"),
        ("sha256 of tensors and metadata", f"`{file.sha256}`"),
        (
            "generator",
            f"{config.resolution} × {config.resolution} pixels, rendered at {config.render_resolution} × "
            f"{config.render_resolution}; {parameters:,} parameters",
        ),
        ("images seen", f"{sum(stage.images for stage in stages):,}"),
        ("hours of training", f"{sum(stage.hours for stage in stages):.1f}, on {hardware}"),
        (
            "data",
            ", then ".join(dict.fromkeys(_code(stage.made or stage.data["stream"]) for stage in stages)),
        ),
        (
            "fp16 against fp32",
            f"the images of {_COMPARED} seeds differ by {difference[0]:.2f} of 255 in the mean, by at most "
            f"{difference[1]}",
        ),
    ]
    lines = ["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows), ""]
    lines += [
        "| run | taught by | images | hours | batch | seed | portraits |",
        "|---|---|---|---|---|---|---|",
    ]
    for stage in stages:
        training = stage.recipe.training
        portraits = _code(stage.data["stream"]) if "stream" in stage.data else f"{stage.data['examples']:,}"
        cells = (
            stage.name,
            _teaching(stage),
            f"{stage.images:,}",
            f"{stage.hours:.2f}",
            training.batch,
            stage.recipe.seed,
            portraits,
        )
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return [*lines, ""]


def _teaching(stage: Stage) -> str:
    known = min(stage.images, Schedule(stage.recipe).warmup_images)
    parts = []
    if known:
        training = stage.recipe.training
        shown = "known heads"
        if training.backdrop_alone:
            shown = "what lies behind known heads"
        elif training.points_alone:
            shown = "points of known heads, undrawn"
        parts.append(f"reconstruction of {shown} ({known:,} images)")
    if stage.images > known:
        beside = " beside reconstruction" if stage.recipe.training.truth_kimg else ""
        parts.append(f"the adversarial game{beside} ({stage.images - known:,} images)")
    return ", then ".join(parts)


def _evaluation(figures: dict[str, Any], metrics: Path) -> list[str]:
    data, settings = figures["data"], figures["settings"]
    trained = {
        True: "those it was trained on",
        False: "none of its training data",
        None: "provenance unknown",
    }
    lines = [
        f"`ssgan evaluate` of the fp32 weights: {settings['portraits']} portraits a set, psi {settings['psi']}, "
        f"against `{data['path']}` ({data['entries']:,} portraits, {trained[data['trained_on']]}). "
        f"All figures: `{metrics.name}`; what they mean: `docs/evaluation.md`.",
        "",
        "| " + " | ".join(COLUMNS) + " |",
        "|---" * len(COLUMNS) + "|",
    ]
    for row in summary_rows(figures):
        lines.append(f"| {row.name} | {row.model} | {row.data} | {row.rulers} | {row.reading} |")
    notes = [*figures["notes"], *skipped_lines(figures)]
    return [*lines, *(["", *(f"- {note}" for note in notes)] if notes else [])]


def _code(text: str) -> str:
    return f"`{text}`"


def _split_card(card: Path) -> tuple[str, str]:
    """What stands before and after the marks."""
    try:
        before, begin, rest = card.read_text(encoding="utf-8").partition(BEGIN)
    except OSError as error:
        raise SsganError(f"cannot read {card}: {error.strerror}") from error
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SsganError(f"{card} lacks the marks between which the facts are written", f"{BEGIN} and {END}")
    return before, after


if __name__ == "__main__":
    typer.run(main)
