"""Run folders: 00012-name, never two runs in one."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from ssgan_core.config import Config, config_to_json, dump_config, load_config
from ssgan_core.errors import SsganError
from ssgan_core.files import cannot_write, read_json, write_bytes, write_json
from ssgan_core.training.data import TrainingSource
from ssgan_core.training.schedule import Schedule

STATE_NAME = "state.pt"
STATS_NAME = "stats.jsonl"
CONFIG_NAME = "config.yaml"
DATA_NAME = "data.json"
ORIGIN_NAME = "origin.json"
_RUN_PATTERN = re.compile(r"^(\d{5})-")
_MODEL_PATTERN = re.compile(r"^model-(\d{9})\.safetensors$")


def create_run(folder: Path, name: str) -> Path:
    """Create the next run folder, such as folder/00012-name; two processes never get the same."""
    if not re.fullmatch(r"[^/\\\0]{1,100}", name):
        raise SsganError(f"'{name}' cannot name a run", "use a short name without slashes")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        taken = [int(match[1]) for path in folder.iterdir() if (match := _RUN_PATTERN.match(path.name))]
        number = max(taken, default=-1) + 1
        while True:
            run = folder / f"{number:05d}-{name}"
            if not any(folder.glob(f"{number:05d}-*")):
                try:
                    run.mkdir(exist_ok=False)
                    return run
                except FileExistsError:
                    pass
            number += 1
    except OSError as error:
        raise cannot_write(folder, error) from error


def unfinished_run(
    folder: Path, name: str, config: Config, source: TrainingSource, origin: dict[str, Any] | None = None
) -> Path | None:
    """The newest run of this name if it has this recipe, data and origin and is not complete: what the command
    continues.
    """
    named = [run for run in folder.glob("*") if _RUN_PATTERN.match(run.name) and run.name[6:] == name]
    run = max(named, default=None)
    if run is None or not (run / CONFIG_NAME).is_file() or not (run / DATA_NAME).is_file():
        return None
    same = (
        load_config(str(run / CONFIG_NAME)) == config
        and read_json(run / DATA_NAME) == source.fingerprint()
        and _origin(run) == origin
    )
    complete = model_path(run, Schedule(config).total_images).exists()
    return run if same and not complete else None


def model_path(run: Path, images: int) -> Path:
    """Where a run keeps its moving-average model after so many images."""
    return run / f"model-{images:09d}.safetensors"


def newest_model(run: Path) -> Path:
    """The model of a run folder that saw the most images.

    Raises:
        SsganError: the folder holds none.
    """
    models = sorted(path for path in run.iterdir() if _MODEL_PATTERN.match(path.name))
    if not models:
        raise SsganError(
            f"{run} holds no trained model yet", "training writes model-….safetensors at every snapshot"
        )
    return models[-1]


def append_stats(run: Path, row: dict[str, Any]) -> None:
    """Add one line to stats.jsonl."""
    try:
        with (run / STATS_NAME).open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
    except OSError as error:
        raise cannot_write(run / STATS_NAME, error) from error


def read_stats(run: Path) -> list[dict[str, Any]]:
    """All rows of stats.jsonl; a line torn by a kill is left out."""
    path = run / STATS_NAME
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            rows.append(json.loads(line))
        except ValueError:
            continue
    return rows


def rewind_stats(run: Path, images: int) -> None:
    """Forget rows written after the state that a run resumes from."""
    kept = [row for row in read_stats(run) if row.get("images", 0) <= images]
    write_bytes(run / STATS_NAME, "".join(json.dumps(row) + "\n" for row in kept).encode())


def claim(run: Path, config: Config, source: TrainingSource, origin: dict[str, Any] | None = None) -> None:
    """Write a new run's recipe, data and origin, or check that an old run is continued with the same ones.

    Only the length of training (training.kimg) may differ from before. A run that has a state needs its origin no
    more, so it may be left out.

    Args:
        origin: what the run's first weights are (see training.origin); None for random ones.

    Raises:
        SsganError: recipe, data or origin differ; the message names the first setting that does.
    """
    data = source.fingerprint()
    if not (run / CONFIG_NAME).exists():
        write_json(run / DATA_NAME, data)
        if origin is not None:
            write_json(run / ORIGIN_NAME, origin)
        write_bytes(run / CONFIG_NAME, dump_config(config).encode())
        return
    before = load_config(str(run / CONFIG_NAME))
    extended = replace(before, training=replace(before.training, kimg=config.training.kimg))
    if extended != config:
        name = _first_difference(config_to_json(extended), config_to_json(config))
        raise SsganError(
            f"{run} was begun with another recipe: '{name}' differs",
            f"repeat the settings in {run / CONFIG_NAME}, or begin a new run",
        )
    if read_json(run / DATA_NAME) != data:
        raise SsganError(f"{run} was begun with another data set", "give the same data, or begin a new run")
    if origin != _origin(run) and not (origin is None and (run / STATE_NAME).exists()):
        raise SsganError(f"{run} was begun with other weights", "give the same --init, or begin a new run")
    write_bytes(run / CONFIG_NAME, dump_config(config).encode())


def _origin(run: Path) -> dict[str, Any] | None:
    return read_json(run / ORIGIN_NAME) if (run / ORIGIN_NAME).exists() else None


def _first_difference(before: dict[str, Any], now: dict[str, Any], prefix: str = "") -> str:
    for key, value in before.items():
        if value != now[key]:
            return (
                _first_difference(value, now[key], f"{prefix}{key}.")
                if isinstance(value, dict)
                else prefix + key
            )
    raise ValueError("the recipes are equal")
