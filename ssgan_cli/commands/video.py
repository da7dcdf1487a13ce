"""`ssgan video`: a portrait in motion."""

from __future__ import annotations

from math import radians
from pathlib import Path
from typing import Annotated

import typer

from ssgan_cli.console import Output
from ssgan_cli.options import Backend, BackendOption, Device, DeviceOption, JsonOption, MakersModelOption
from ssgan_cli.renderer import announce_renderer


def video(
    portrait: Annotated[Path, typer.Argument(help="The portrait to show.")],
    orbit: Annotated[
        bool,
        typer.Option("--orbit", help="Move on an ellipse; without it, only from side to side."),
    ] = False,
    yaw_range: Annotated[float, typer.Option(min=0.0, max=90.0, help="Largest yaw, degrees.")] = 28.0,
    pitch_range: Annotated[
        float, typer.Option(min=0.0, max=60.0, help="The same for pitch, with --orbit.")
    ] = 11.0,
    frames: Annotated[int, typer.Option(min=1, max=100_000, help="Frames of one round.")] = 120,
    fps: Annotated[int, typer.Option(min=1, max=240, help="Frames a second.")] = 30,
    size: Annotated[
        int | None, typer.Option(help="Side of each of the three pictures, even; by default the model's.")
    ] = None,
    out: Annotated[Path, typer.Option(help="An .mp4 file, or a folder for PNG frames.")] = Path(
        "out/orbit.mp4"
    ),
    model: MakersModelOption = None,
    backend: BackendOption = Backend.auto,
    device: DeviceOption = Device.auto,
    as_json: JsonOption = False,
) -> None:
    """Film a portrait with **image, part mask and depth** side by side.

    The same portrait and options always give the same bytes.

    Example: ssgan video out/portraits/seed0000.portrait --orbit --out out/orbit.mp4
    """
    output = Output(as_json)

    from ssgan_core import cameras
    from ssgan_core.synthesis import choose_device
    from ssgan_core.video import film

    labels = cameras.orbit(frames, radians(yaw_range), radians(pitch_range if orbit else 0.0))
    chosen_device = choose_device(device.value)
    announce_renderer(output, chosen_device, backend.value)
    with output.progress("video", "frames") as progress:
        saved = film(
            portrait,
            labels,
            out,
            fps=fps,
            size=size,
            model=model,
            device=chosen_device,
            backend=backend.value,
            progress=progress,
        )
    output.say(f"{frames} frames of {saved.width} x {saved.height}, {frames / fps:.1f} s")
    output.wrote(saved.video)
    output.result({**vars(saved), "frames": frames, "fps": fps})
