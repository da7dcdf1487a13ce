"""`ssgan evaluate`: measures a model beside its data, and writes figures, a page to look at, and a sheet of samples."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from ssgan_core.checkpoints import ModelFile
from ssgan_core.config import DataOptions
from ssgan_core.dataset.options import read_options
from ssgan_core.dataset.reader import PortraitDataset
from ssgan_core.errors import SsganError
from ssgan_core.evaluation import camera_accuracy, edits, turns
from ssgan_core.evaluation.exhibits import SHOWN, exhibit_neighbours, exhibit_samples
from ssgan_core.evaluation.inception import (
    HOW_TO,
    Pictures,
    find_weights,
    inception_metrics,
    read_weights,
    require_torch_fidelity,
)
from ssgan_core.evaluation.page import Exhibits, samples_sheet, write_page
from ssgan_core.evaluation.selection import select
from ssgan_core.evaluation.sets import (
    COMMON_SIDE,
    collect,
    compare_appearance,
    compare_cameras,
    compare_masks,
    compare_neighbours,
    compare_relief,
    compare_variety,
)
from ssgan_core.evaluation.sources import RealPortraits, Samples
from ssgan_core.evaluation.subject import USUAL_SAMPLES, Settings, Steps, Subject
from ssgan_core.files import cannot_write, read_json, write_bytes, write_json
from ssgan_core.model.generator import Generator
from ssgan_core.parsing.parser import LEAST_SIDE, FaceParser
from ssgan_core.pictures import encode_jpeg
from ssgan_core.progress import Progress, silent
from ssgan_core.synthesis import find_model, load_generator
from ssgan_core.training.data import StoredPortraits
from ssgan_core.training.runs import DATA_NAME

FORMAT = 1
_FEW_FOR_FEATURES = 3  # times the number of features, below which covariances are mostly noise


@dataclass(frozen=True)
class SavedEvaluation:
    """What `evaluate_to_folder` wrote.

    Attributes:
        evaluation: everything measured, as in evaluation.json.
        figures, report, samples: evaluation.json, report.html and samples.jpg.
    """

    evaluation: dict[str, Any]
    figures: Path
    report: Path
    samples: Path


def evaluate_to_folder(
    model: Path,
    data: Path,
    out: Path,
    settings: Settings,
    *,
    inception: Path | None,
    device: torch.device,
    backend: str = "auto",
    progress: Progress = silent,
) -> SavedEvaluation:
    """Evaluate a model and write evaluation.json, report.html and samples.jpg to `out`; nothing before all is done.

    Args:
        model: run folder or model file.
        data: data set with masks; best one that the model was not trained on.
        inception: weights for FID; None = those in $TORCH_HOME, if any.

    Raises:
        SsganError: model or data are missing, damaged, of different parts or too small, the Inception weights are not
            what they should be, or the place cannot be written to.
    """
    _check_writable(out)
    path = find_model(model)
    generator, loaded = load_generator(path, device, backend)
    evaluation, exhibits = evaluate(
        generator, loaded, path, data, settings, inception=inception, progress=progress
    )
    saved = SavedEvaluation(evaluation, out / "evaluation.json", out / "report.html", out / "samples.jpg")
    write_bytes(saved.samples, encode_jpeg(samples_sheet(exhibits.samples, generator.schema)))
    write_page(saved.report, evaluation, exhibits, generator.schema)
    write_json(saved.figures, evaluation)
    return saved


def evaluate(
    generator: Generator,
    loaded: ModelFile,
    model: Path,
    data: Path,
    settings: Settings,
    *,
    inception: Path | None = None,
    progress: Progress = silent,
) -> tuple[dict[str, Any], Exhibits]:
    """All figures (plain JSON values, None where there is none) and the pictures beside them.

    Every random choice follows from settings.seed, and nothing depends on the time or place of the run, so that two
    runs on one machine with as many threads give the same figures. A measurement that cannot be made is
    {"skipped": why}.

    Args:
        loaded, model: the generator's file, for its identity.
        data, inception: as in `evaluate_to_folder`.
    """
    if inception is not None:  # noticed now, not after many minutes
        require_torch_fidelity()
        read_weights(inception)
    size = generator.config.resolution
    if size < LEAST_SIDE:
        raise SsganError(
            f"{model} makes pictures of {size} x {size} pixels, too small to tell parts apart",
            f"models of {LEAST_SIDE} pixels and more can be evaluated",
        )
    source = StoredPortraits(PortraitDataset.open(data, size), DataOptions(**read_options(data)))
    dataset = source.dataset
    united = generator.config.parts == "one"
    parts = (dataset.schema.united() if united else dataset.schema).names
    if parts != generator.schema.names:
        raise SsganError(
            f"{data} has other parts than {model}: {_difference(parts, generator.schema.names)}",
            "evaluate a model on data with the parts it was trained on",
        )
    selection = select(dataset, settings.samples, settings.yaw, settings.pitch, settings.seed)
    samples = Samples(generator, settings.psi, settings.seed)
    subject = Subject(generator, dataset, selection, samples, RealPortraits(dataset, united), settings)
    parser = FaceParser.load(device=subject.device)
    estimate, no_cameras = _estimator()
    weights = find_weights(inception)

    count = len(selection)
    total = 3 * count + edits.count_pictures(subject) + turns.count_pictures(subject) + min(SHOWN, count)
    steps = Steps(progress, total)
    sets = collect(subject, parser, estimate, steps)
    facts_of_edits, shown_edits = edits.measure_edits(subject, steps)
    facts_of_turns = turns.measure_turns(subject, steps)
    exhibits = Exhibits(exhibit_samples(subject, steps), shown_edits, exhibit_neighbours(subject, sets))
    trained_on = _trained_on(loaded, model, source)
    evaluation = {
        "format": FORMAT,
        "model": {
            "path": str(model),
            "sha256": loaded.sha256,
            "resolution": size,
            "has_depth": generator.has_depth,
        },
        "data": {
            "path": str(data),
            "entries": len(dataset),
            "in_range": selection.in_range,
            "people_in_range": selection.people,
            "has_depth": dataset.has_depth,
            **source.fingerprint(),
            "trained_on": trained_on,
        },
        "parser_sha256": parser.sha256,
        "settings": {**asdict(settings), "portraits": count, "device": subject.device.type},
        "notes": _notes(settings, count, parser.feature_size, trained_on),
        "appearance": compare_appearance(sets, size, selection.repeated, settings.seed),
        "appearance_small": compare_appearance(sets, COMMON_SIDE, selection.repeated, settings.seed)
        if size > COMMON_SIDE
        else None,
        "inception": _inception(subject, weights, required=inception is not None),
        "masks": compare_masks(sets, generator.schema.names),
        "edits": facts_of_edits,
        "reprojection": facts_of_turns,
        "relief": compare_relief(sets),
        "cameras": {"skipped": no_cameras} if estimate is None else compare_cameras(sets),
        "variety": compare_variety(sets, subject),
        "neighbours": compare_neighbours(sets),
    }
    evaluation["data"]["pictures_sha256"] = subject.real.digest()
    return evaluation, exhibits


def _check_writable(folder: Path) -> None:
    """Noticed before the work, not after it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise cannot_write(folder, error) from error


def _estimator() -> tuple[camera_accuracy.Estimator | None, str]:
    """The camera estimator, or why there is none."""
    try:
        return camera_accuracy.face_estimator(), ""
    except SsganError as error:
        return None, str(error)


def _inception(subject: Subject, weights: Path | None, required: bool) -> dict[str, Any]:
    if weights is None:
        return {"skipped": HOW_TO}
    selection, count = subject.selection, len(subject.selection)

    def sample(number: int) -> Any:
        return subject.samples.views([number], subject.labels[number : number + 1])[0].image

    def entry(indices: Any) -> Callable[[int], Any]:
        return lambda number: subject.real.view(int(indices[number])).image

    try:
        return inception_metrics(
            weights,
            Pictures(count, sample),
            Pictures(count, entry(selection.reference)),
            Pictures(count, entry(selection.held)),
            subject.device,
        )
    except SsganError as error:
        if required:
            raise
        return {"skipped": str(error)}


def _trained_on(loaded: ModelFile, model: Path, data: StoredPortraits) -> bool | None:
    """Whether the model's runs were trained on these very portraits; None where neither its folder nor it says so."""
    notes = model.parent / DATA_NAME
    if notes.is_file():
        remembered = [read_json(notes)]
    else:  # what tools/ship_model.py writes
        shipped = loaded.metadata.get("shipped")
        stages = shipped.get("stages") if isinstance(shipped, dict) else None
        remembered = (
            [stage.get("data") for stage in stages if isinstance(stage, dict)]
            if isinstance(stages, list)
            else []
        )
    if not remembered:
        return None
    wanted = data.fingerprint()["fingerprint"]
    return any(isinstance(row, dict) and row.get("fingerprint") == wanted for row in remembered)


def _notes(settings: Settings, count: int, features: int, trained_on: bool | None) -> list[str]:
    notes = []
    if count != USUAL_SAMPLES:
        short = (
            f", as the data has no more ({settings.samples} were asked for)"
            if count < settings.samples
            else ""
        )
        notes.append(
            f"{count} portraits a set{short}: figures of different counts do not compare "
            f"(the usual count is {USUAL_SAMPLES})"
        )
    if count < _FEW_FOR_FEATURES * features:
        notes.append(
            f"a Frechet distance in {features} dimensions from {count} portraits is mostly noise: "
            "read it against its floor, or not at all"
        )
    if trained_on:
        notes.append("the model was trained on these very portraits: new ones would judge it more strictly")
    return notes


def _difference(data: tuple[str, ...], model: tuple[str, ...]) -> str:
    only_data = [name for name in data if name not in model]
    only_model = [name for name in model if name not in data]
    if not only_data and not only_model:
        return "their order differs"
    return "; ".join(
        f"only the {side} has {', '.join(names)}"
        for side, names in (("data", only_data), ("model", only_model))
        if names
    )
