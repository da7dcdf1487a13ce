"""`ssgan edit`: changes to portraits."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from ssgan_cli.console import Output
from ssgan_cli.options import Backend, BackendOption, Device, DeviceOption, JsonOption

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
    from dataclasses import replace

    import numpy as np

    from ssgan_core.editing.transfer import comparison, measure_change
    from ssgan_core.editing.transfer import transfer as transfer_parts
    from ssgan_core.model.codes import Codes
    from ssgan_core.pictures import save_depth16, save_mask, save_png
    from ssgan_core.portrait import load_portrait, save_portrait
    from ssgan_core.synthesis import (
        check_portrait,
        choose_device,
        load_generator,
        model_of_portrait,
        remember_model,
        synthesise,
    )

    output = Output(as_json)
    receiver, giver = load_portrait(portrait), load_portrait(donor)
    model_file = model_of_portrait(receiver, portrait, model)
    chosen_device = choose_device(device.value)
    generator, loaded = load_generator(model_file, chosen_device, backend.value)
    schema = generator.schema
    check_portrait(receiver, loaded, schema, str(portrait))
    check_portrait(giver, loaded, schema, str(donor))
    indices = schema.foreground_indices(name.strip() for name in parts.split(","))
    edited = transfer_parts(
        receiver, giver, indices, shape=what is not What.texture, texture=what is not What.shape
    )
    edited = replace(edited, model_path=remember_model(out, model_file))

    codes = Codes.cat([receiver.codes, giver.codes, edited.codes]).to(chosen_device)
    before, other, after = synthesise(generator, codes, np.repeat(receiver.label[None], 3, axis=0))
    files = {
        "portrait": out / "edited.portrait",
        "image": out / "edited.png",
        "mask": out / "edited_mask.png",
        "depth": out / "edited_depth.png",
        "sheet": out / "sheet.png",
    }
    save_portrait(files["portrait"], edited)
    save_png(files["image"], after.image)
    save_mask(files["mask"], after.mask, schema)
    save_depth16(files["depth"], after.depth)
    save_png(files["sheet"], comparison(before, other, after, schema))
    change = measure_change(before, after, indices)
    names = [schema.names[index + 1] for index in indices]
    output.say(
        f"{'shape and texture' if what is What.both else what.value} of {', '.join(names)}: "
        f"the image changed by {change.inside:.1f} of 255 inside these parts, by {change.outside:.1f} "
        f"elsewhere (visibly in {change.visible_outside:.1%} of the pixels there)"
    )
    output.wrote(*files.values())
    output.result({"model": model_file, "parts": names, "what": what.value, **files, "change": vars(change)})
