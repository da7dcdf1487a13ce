"""`ssgan evaluate`: how good a model is."""

from __future__ import annotations

from math import degrees, radians
from pathlib import Path
from typing import Annotated

import typer

from ssgan_cli.console import Output
from ssgan_cli.options import (
    WHICH_MODEL,
    Backend,
    BackendOption,
    Device,
    DeviceOption,
    JsonOption,
    parse_model,
)
from ssgan_cli.renderer import announce_renderer

_YAW, _PITCH = 0.4, 0.2  # radians


def evaluate(
    model: Annotated[Path, typer.Argument(parser=parse_model, metavar="MODEL", help=f"{WHICH_MODEL}.")],
    data: Annotated[Path, typer.Argument(help="Data set with masks, best one that it was not trained on.")],
    samples: Annotated[int, typer.Option(min=8, max=100_000, help="Portraits in each compared set.")] = 2000,
    psi: Annotated[
        float, typer.Option(min=0.0, max=2.0, help="Truncation: 0 averages all but choices, such as a hat.")
    ] = 0.7,
    seed: Annotated[int, typer.Option(min=0, max=2**31, help="The same seed gives the same figures.")] = 0,
    yaw_range: Annotated[
        float, typer.Option(min=1.0, max=90.0, help="Cameras within this yaw, degrees.")
    ] = round(degrees(_YAW), 2),
    pitch_range: Annotated[float, typer.Option(min=1.0, max=60.0, help="The same for pitch.")] = round(
        degrees(_PITCH), 2
    ),
    inception: Annotated[
        Path | None, typer.Option(help="torch-fidelity's Inception weights, for FID, KID, precision, recall.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for figures and pictures.")] = Path("out/evaluation"),
    backend: BackendOption = Backend.auto,
    device: DeviceOption = Device.auto,
    as_json: JsonOption = False,
) -> None:
    """Measure a model **beside its data**: pictures, masks, edits, views, shape, cameras, variety.

    Every figure stands next to what portraits of the data reach that were kept apart, and next to what known faults
    (blur, one person repeated) score. Writes evaluation.json, report.html (one page with samples, edits and nearest
    portraits to look at) and samples.jpg. docs/evaluation.md defines every figure and says what fools it.

    Example: ssgan evaluate runs/00000-smoke_cpu data/heads --samples 500
    """
    output = Output(as_json)

    from ssgan_core.evaluation.evaluate import evaluate_to_folder
    from ssgan_core.evaluation.subject import Settings
    from ssgan_core.evaluation.summary import COLUMNS, PART_COLUMNS, part_rows, skipped_lines, summary_rows
    from ssgan_core.synthesis import choose_device

    chosen_device = choose_device(device.value)
    announce_renderer(output, chosen_device, backend.value)
    with output.progress("evaluation", "pictures") as progress:
        saved = evaluate_to_folder(
            model,
            data,
            out,
            Settings(samples, psi, seed, radians(yaw_range), radians(pitch_range)),
            inception=inception,
            device=chosen_device,
            backend=backend.value,
            progress=progress,
        )
    evaluation = saved.evaluation
    rows = summary_rows(evaluation)
    output.table(COLUMNS, [[row.name, row.model, row.data, row.rulers, row.reading] for row in rows])
    if by_part := part_rows(evaluation):
        output.say("")
        output.table(PART_COLUMNS, by_part)
    for line in [*evaluation["notes"], *skipped_lines(evaluation)]:
        output.note(line)
    output.wrote(saved.figures, saved.report, saved.samples)
    output.result({**evaluation, "files": [saved.figures, saved.report, saved.samples]})
