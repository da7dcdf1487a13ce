"""`ssgan generate`: portraits of seeds."""

from __future__ import annotations

from math import radians
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
    parse_seeds,
)
from ssgan_cli.renderer import announce_renderer
from ssgan_core.errors import SsganError
from ssgan_core.files import read_json

if TYPE_CHECKING:
    import numpy as np

_LARGEST_CAMERA_FILE = 1 << 20


def generate(
    model: Annotated[
        Path | None,
        typer.Argument(
            parser=parse_model, metavar="MODEL", help=f"{WHICH_MODEL}, which is taken if none is named."
        ),
    ] = None,
    seeds: Annotated[str, typer.Option(help="Seeds and ranges, such as 0-7,12.")] = "0-7",
    psi: Annotated[
        float, typer.Option(min=0.0, max=2.0, help="Truncation: 0 averages all but choices, such as a hat.")
    ] = 0.7,
    yaw: Annotated[float, typer.Option(min=-90.0, max=90.0, help="Camera to the right (+), degrees.")] = 0.0,
    pitch: Annotated[float, typer.Option(min=-80.0, max=80.0, help="Camera up (+), degrees.")] = 0.0,
    camera: Annotated[
        Path | None,
        typer.Option(help="JSON file with an EG3D camera label (25 numbers) instead of yaw and pitch."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the pictures.")] = Path("out/portraits"),
    sheet: Annotated[
        Path | None,
        typer.Option(help="Also draw the first 16 from five sides with masks and depth: a .png or .jpg."),
    ] = None,
    backend: BackendOption = Backend.auto,
    device: DeviceOption = Device.auto,
    as_json: JsonOption = False,
) -> None:
    """Make **portraits**: image, part mask, depth and portrait file of each seed.

    Writes seed0000.png, seed0000_mask.png (indexed by part), seed0000_depth.png (16 bit: (z - 2) / 1.4 *
    65535, 0 = none), seed0000.portrait and so on, and contact.png with the first 64 portraits.

    Examples: ssgan generate --seeds 0-7; ssgan generate runs/00000-smoke_cpu --seeds 0-15 --sheet out/sheet.jpg
    """
    numbers = parse_seeds(seeds)
    if camera is not None and (yaw or pitch):
        raise typer.BadParameter("give either --camera or --yaw and --pitch")

    output = Output(as_json)

    from ssgan_core import cameras
    from ssgan_core.resources import default_model
    from ssgan_core.sheets import check_sheet, save_sheet
    from ssgan_core.synthesis import choose_device, save_portraits

    if sheet is not None:
        check_sheet(sheet)
    label = cameras.label(radians(yaw), radians(pitch)) if camera is None else _read_camera(camera)
    chosen_device = choose_device(device.value)
    announce_renderer(output, chosen_device, backend.value)
    with output.progress("portraits", "images") as progress:
        saved = save_portraits(
            model or default_model(),
            numbers,
            label,
            out,
            psi=psi,
            device=chosen_device,
            backend=backend.value,
            progress=progress,
        )
    if sheet is not None:
        files = [row["portrait"] for row in saved.portraits]
        with output.progress("sheet", "portraits") as progress:
            save_sheet(files, sheet, device=chosen_device, backend=backend.value, progress=progress)
    output.say(f"{len(numbers)} portraits by {saved.model}")
    for row in saved.portraits:
        output.wrote(row["image"], row["mask"], row["depth"], row["portrait"])
    output.wrote(saved.contact)
    if sheet is not None:
        output.wrote(sheet)
    output.result({**vars(saved), "sheet": sheet})


def _read_camera(path: Path) -> np.ndarray:
    """The camera of a JSON file: 25 numbers, {"label": 25 numbers} or a dataset.json with one entry."""
    from ssgan_core.cameras import check_label

    content = read_json(path, _LARGEST_CAMERA_FILE)
    if isinstance(content, dict):
        content = content.get("label", content.get("labels"))
        if isinstance(content, list) and content and isinstance(content[0], list):
            if len(content) != 1:
                raise SsganError(
                    f"{path} holds {len(content)} cameras, one is needed", "copy one label to a file"
                )
            content = content[0][-1] if content[0] else None
    return check_label(content, str(path))
