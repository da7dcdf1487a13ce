"""`ssgan demo`: what the shipped model can do."""

from __future__ import annotations

import time
from pathlib import Path
from shlex import quote
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


def demo(
    model: Annotated[
        Path | None,
        typer.Option(
            parser=parse_model, metavar="MODEL", help=f"{WHICH_MODEL}, which is taken if none is named."
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for pictures, portraits and the video.")] = Path("demo"),
    backend: BackendOption = Backend.auto,
    device: DeviceOption = Device.auto,
    as_json: JsonOption = False,
) -> None:
    """Show what a model can do, without download, data or training: **portraits, edits and a video**.

    Writes portraits/ (16 seeds and contact.png), sheet.png (the same from five sides with masks and depth),
    transfer/sheet.png (hair taken from another portrait), interpolation/sheet.png (hair and skin on their way to
    another portrait's) and orbit.mp4. Everything beside them is a portrait that `edit` and `video` take.

    Example: ssgan demo --out demo
    """
    output = Output(as_json)

    from ssgan_core.demo import make_demo
    from ssgan_core.resources import default_model
    from ssgan_core.synthesis import choose_device

    began = time.monotonic()
    chosen_device = choose_device(device.value)
    announce_renderer(output, chosen_device, backend.value)
    with output.progress("demo", "pictures") as progress:
        saved = make_demo(
            model or default_model(), out, device=chosen_device, backend=backend.value, progress=progress
        )
    seconds = round(time.monotonic() - began, 1)
    output.say(f"{len(saved.portraits)} portraits, two edits and an orbit by {saved.model}, in {seconds} s")
    output.wrote(saved.contact, saved.sheet, saved.transfer, saved.interpolation, saved.orbit)
    first, second = (quote(str(path)) for path in saved.portraits[:2])
    output.say(
        "beside them: every portrait as picture, mask, depth and as a .portrait that edit and video take, such as\n"
        f"  ssgan edit transfer {first} --from {second} --parts nose,mouth"
    )
    if saved.no_video:
        output.note(f"the orbit is a folder of frames: {saved.no_video} (pip install imageio-ffmpeg)")
    output.result({**vars(saved), "seconds": seconds})
