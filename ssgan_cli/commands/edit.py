"""`ssgan edit`: changes to portraits."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from ssgan_cli.console import Output
from ssgan_cli.options import Backend, BackendOption, Device, DeviceOption, JsonOption
from ssgan_cli.renderer import announce_renderer

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
    model: Annotated[
        Path | None, typer.Option(help="Run folder or model file; by default the one that made the portrait.")
    ] = None,
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
        [name.strip() for name in parts.split(",")],
        out,
        shape=what is not What.texture,
        texture=what is not What.shape,
        model=model,
        device=chosen_device,
        backend=backend.value,
    )
    change = saved.change
    taken = "shape and texture" if what is What.both else what.value
    output.say(
        f"{taken} of {', '.join(saved.parts)}: the image changed by {change.inside:.1f} of 255 inside, by "
        f"{change.outside:.1f} elsewhere (visibly in {change.visible_outside:.1%} of the pixels there)"
    )
    output.wrote(*saved.files.values())
    output.result({**vars(saved), "what": what.value, "change": vars(change)})
