"""`ssgan generate`: portraits of seeds."""

from __future__ import annotations

from math import radians
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ssgan_cli.console import Output
from ssgan_cli.options import Backend, BackendOption, Device, DeviceOption, JsonOption, parse_seeds
from ssgan_core.errors import SsganError
from ssgan_core.files import read_json

if TYPE_CHECKING:
    import numpy as np

_MOST_ON_SHEET = 64
_LARGEST_CAMERA_FILE = 1 << 20


def generate(
    model: Annotated[Path, typer.Argument(help="Run folder (its newest model) or a model .safetensors.")],
    seeds: Annotated[str, typer.Option(help="Seeds and ranges, such as 0-7,12.")] = "0-7",
    psi: Annotated[float, typer.Option(min=0.0, max=2.0, help="Truncation: 0 is the mean head.")] = 0.7,
    yaw: Annotated[float, typer.Option(min=-90.0, max=90.0, help="Camera to the right (+), degrees.")] = 0.0,
    pitch: Annotated[float, typer.Option(min=-80.0, max=80.0, help="Camera up (+), degrees.")] = 0.0,
    camera: Annotated[
        Path | None,
        typer.Option(help="JSON file with an EG3D camera label (25 numbers) instead of yaw and pitch."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the pictures.")] = Path("out/portraits"),
    backend: BackendOption = Backend.auto,
    device: DeviceOption = Device.auto,
    as_json: JsonOption = False,
) -> None:
    """Make **portraits**: image, part mask, depth and portrait file of each seed.

    Writes seed0000.png, seed0000_mask.png (indexed by part), seed0000_depth.png (16 bit: (z - 2) / 1.4 *
    65535, 0 = none), seed0000.portrait and so on, and contact.png with the first 64 portraits.

    Example: ssgan generate runs/00000-smoke_cpu --seeds 0-7 --out out/portraits
    """
    numbers = parse_seeds(seeds)
    if camera is not None and (yaw or pitch):
        raise typer.BadParameter("give either --camera or --yaw and --pitch")

    import numpy as np

    from ssgan_core import cameras
    from ssgan_core.model.codes import Codes
    from ssgan_core.pictures import colour_depth, colour_mask, save_depth16, save_mask, save_png, tile
    from ssgan_core.portrait import Portrait, save_portrait
    from ssgan_core.synthesis import (
        choose_device,
        codes_from_seed,
        find_model,
        load_generator,
        remember_model,
        synthesise,
    )

    output = Output(as_json)
    label = _read_camera(camera) if camera else cameras.label(radians(yaw), radians(pitch))
    model_file = find_model(model)
    generator, loaded = load_generator(model_file, choose_device(device.value), backend.value)
    schema = generator.schema
    codes = Codes.cat([codes_from_seed(generator, seed, psi) for seed in numbers])
    labels = np.repeat(label[None], len(numbers), axis=0)
    sheet: list[np.ndarray] = []
    written: list[dict[str, Any]] = []
    with output.progress("portraits", "images") as progress:
        for index, view in enumerate(synthesise(generator, codes, labels)):
            stem = f"seed{numbers[index]:04d}"
            files = {
                "image": out / f"{stem}.png",
                "mask": out / f"{stem}_mask.png",
                "depth": out / f"{stem}_depth.png",
                "portrait": out / f"{stem}.portrait",
            }
            save_png(files["image"], view.image)
            save_mask(files["mask"], view.mask, schema)
            save_depth16(files["depth"], view.depth)
            portrait = Portrait(
                codes[index : index + 1].to("cpu"),
                label,
                loaded.sha256,
                schema.names,
                remember_model(out, model_file),
            )
            save_portrait(files["portrait"], portrait)
            written.append({"seed": numbers[index], **files})
            if index < _MOST_ON_SHEET:
                sheet += [view.image, colour_mask(view.mask, schema), colour_depth(view.depth)]
            progress(index + 1, len(numbers))
    contact = out / "contact.png"
    save_png(contact, tile(sheet, columns=3 if len(numbers) == 1 else 6))
    output.say(f"{len(numbers)} portraits by {model_file}")
    output.wrote(*(path for files in written for path in files.values() if isinstance(path, Path)), contact)
    output.result({"model": model_file, "portraits": written, "contact": contact})


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
