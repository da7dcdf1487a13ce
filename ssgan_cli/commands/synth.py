"""`ssgan synth`: a data set of synthetic heads."""

from __future__ import annotations

import os
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from ssgan_cli.console import Output
from ssgan_cli.options import Device, DeviceOption, JsonOption


class Accessory(str, Enum):
    glasses = "glasses"
    hat = "hat"
    earrings = "earrings"


def synth(
    out: Annotated[Path, typer.Argument(help="Folder of the data set, or a .zip.")],
    count: Annotated[int, typer.Option(min=1, max=10**8, help="Heads.")] = 1000,
    views: Annotated[int, typer.Option(min=1, max=1000, help="Views of each head.")] = 1,
    size: Annotated[int, typer.Option(min=16, max=2048, help="Side of the images, pixels.")] = 256,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same heads.")] = 0,
    wearing: Annotated[
        Accessory | None,
        typer.Option(help="Only heads that wear this: the population's first, as many as --count says."),
    ] = None,
    workers: Annotated[int, typer.Option(min=0, max=256, help="Processes; 0 means one a core.")] = 0,
    device: DeviceOption = Device.auto,
    as_json: JsonOption = False,
) -> None:
    """Render synthetic heads with exact part masks, depth and cameras as a **data set**.

    Run again after an interruption, it continues where it stopped. With a GPU, the processes build the heads and
    the GPU draws them; pictures of GPU and CPU differ by rounding only.

    Example: ssgan synth data/heads --count 2000 --size 128
    """
    from ssgan_core.dataset.packing import made_in_folder
    from ssgan_core.heads.synth import synthesise

    where = device.value
    if device is not Device.cpu:
        from ssgan_core.synthesis import choose_device  # imports torch

        where = choose_device(device.value).type
    output = Output(as_json)
    with output.progress("synthetic heads", "images") as progress, made_in_folder(out, progress) as folder:
        report = synthesise(
            folder,
            count=count,
            size=size,
            seed=seed,
            views=views,
            wearing=None if wearing is None else wearing.value,
            workers=workers or os.cpu_count() or 1,
            device=where,
            progress=progress,
        )
    again = f", {report.kept} were there already" if report.kept else ""
    output.say(f"{report.written} images of {size} px{again}")
    if report.beyond:
        output.note(
            f"{out} holds {report.beyond} more images of earlier calls, which stay; name another folder for fewer"
        )
    sheet = report.contact_sheet if folder == out else out.with_suffix(".jpg")
    output.wrote(out, sheet)
    output.result({"dataset": out, "size": size, **vars(report), "contact_sheet": sheet})
