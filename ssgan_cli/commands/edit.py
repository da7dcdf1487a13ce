"""`ssgan edit`: changes to portraits."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ssgan_cli.console import Output
from ssgan_cli.options import (
    Backend,
    BackendOption,
    Device,
    DeviceOption,
    JsonOption,
    MakersModelOption,
    parse_parts,
)
from ssgan_cli.renderer import announce_renderer

if TYPE_CHECKING:
    from ssgan_core.editing.transfer import Change

app = typer.Typer(help="Edit portraits part by part.", no_args_is_help=True, rich_markup_mode="markdown")


class What(str, Enum):
    shape = "shape"
    texture = "texture"
    both = "both"


@app.callback()
def _edit() -> None:
    """Edit portraits part by part."""


@app.command("transfer")
def transfer(
    portrait: Annotated[Path, typer.Argument(help="The portrait to edit; it stays as it is.")],
    donor: Annotated[Path, typer.Option("--from", help="The portrait that gives the parts.")],
    parts: Annotated[str, typer.Option(help="Parts, such as hair or nose,mouth; all means every part.")],
    what: Annotated[What, typer.Option(help="Which codes to take.")] = What.both,
    model: MakersModelOption = None,
    out: Annotated[Path, typer.Option(help="Folder for the pictures.")] = Path("out/edit"),
    backend: BackendOption = Backend.auto,
    device: DeviceOption = Device.auto,
    as_json: JsonOption = False,
) -> None:
    """Take shape, texture or both of **named parts** from another portrait; all else stays.

    Writes edited.portrait, edited.png, edited_mask.png, edited_depth.png and sheet.png: the portrait, the
    donor, the edit and the difference, with their masks below.

    Example: ssgan edit transfer portraits/seed0000.portrait --from portraits/seed0003.portrait --parts hair
    """
    output = Output(as_json)

    from ssgan_core.editing.transfer import transfer_to_folder
    from ssgan_core.synthesis import choose_device

    chosen_device = choose_device(device.value)
    announce_renderer(output, chosen_device, backend.value)
    saved = transfer_to_folder(
        portrait,
        donor,
        parse_parts(parts),
        out,
        shape=what is not What.texture,
        texture=what is not What.shape,
        model=model,
        device=chosen_device,
        backend=backend.value,
    )
    output.say(f"{_codes(what)} of {', '.join(saved.parts)}: the image changed by {_change(saved.change)}")
    output.wrote(*saved.files.values())
    output.result({**vars(saved), "what": what.value, "change": vars(saved.change)})


@app.command("interpolate")
def interpolate(
    first: Annotated[Path, typer.Argument(help="The portrait to begin with; it stays as it is.")],
    second: Annotated[Path, typer.Argument(help="The portrait whose parts the last step has.")],
    parts: Annotated[
        str | None,
        typer.Option(
            help="Parts, such as hair or nose,mouth; all means every part. Without it everything moves, the head's "
            "base code and the background too, and the last step is the second portrait."
        ),
    ] = None,
    what: Annotated[What, typer.Option(help="Which codes of the parts move.")] = What.both,
    steps: Annotated[int, typer.Option(min=2, max=100, help="Portraits, both ends included.")] = 7,
    video: Annotated[
        Path | None,
        typer.Option(help="Also film the way there and back: an .mp4 file, or a folder for PNG frames."),
    ] = None,
    frames: Annotated[int, typer.Option(min=2, max=100_000, help="Frames of the video.")] = 90,
    fps: Annotated[int, typer.Option(min=1, max=240, help="Frames a second.")] = 30,
    size: Annotated[
        int | None,
        typer.Option(help="Side of each of the video's three pictures, even; by default the model's."),
    ] = None,
    model: MakersModelOption = None,
    out: Annotated[Path, typer.Option(help="Folder for portraits and pictures.")] = Path("out/interpolation"),
    backend: BackendOption = Backend.auto,
    device: DeviceOption = Device.auto,
    as_json: JsonOption = False,
) -> None:
    """Move shape, texture or both of **named parts** in equal steps to those of another portrait; all else stays.

    Codes move on a straight line. The first step is the first portrait, the last what `edit transfer` makes; all are
    seen by the first portrait's camera.

    Writes step00.portrait, step00.png, step00_mask.png, step00_depth.png and so on, and sheet.png: the steps with
    their masks and depth below.

    Example: ssgan edit interpolate portraits/seed0000.portrait portraits/seed0003.portrait --parts hair,skin
    """
    if parts is None and what is not What.both:
        raise typer.BadParameter("--what needs --parts: without parts, all codes move")
    output = Output(as_json)

    from ssgan_core.editing.interpolation import interpolate_to_folder
    from ssgan_core.synthesis import choose_device
    from ssgan_core.video import film_interpolation

    names = None if parts is None else parse_parts(parts)
    shape, texture = what is not What.texture, what is not What.shape
    chosen_device = choose_device(device.value)
    announce_renderer(output, chosen_device, backend.value)
    if video is not None:
        with output.progress("video", "frames") as progress:
            film_interpolation(
                first,
                second,
                names,
                video,
                frames=frames,
                fps=fps,
                size=size,
                shape=shape,
                texture=texture,
                model=model,
                device=chosen_device,
                backend=backend.value,
                progress=progress,
            )
    with output.progress("interpolation", "steps") as progress:
        saved = interpolate_to_folder(
            first,
            second,
            names,
            out,
            steps=steps,
            shape=shape,
            texture=texture,
            model=model,
            device=chosen_device,
            backend=backend.value,
            progress=progress,
        )
    if saved.parts is None:
        output.say(f"everything in {steps} steps")
    else:
        named = ", ".join(saved.parts)
        output.say(
            f"{_codes(what)} of {named} in {steps} steps: in all the image changed by {_change(saved.change)}"
        )
    for row in saved.steps:
        output.wrote(row["image"], row["mask"], row["depth"], row["portrait"])
    output.wrote(saved.sheet, *([] if video is None else [video]))
    output.result({**vars(saved), "what": what.value, "change": vars(saved.change), "video": video})


def _codes(what: What) -> str:
    return "shape and texture" if what is What.both else what.value


def _change(change: Change) -> str:
    return (
        f"{change.inside:.1f} of 255 inside, by {change.outside:.1f} elsewhere "
        f"(visibly in {change.visible_outside:.1%} of the pixels there)"
    )
