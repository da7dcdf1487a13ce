"""`ssgan preprocess`: photos to a data set."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from ssgan_cli.console import Output
from ssgan_cli.options import JsonOption

TOO_MANY_FAILED = 3
_MOST_FAILED = 0.5
_NAMED_PER_REASON = 3


class MaskLayout(str, Enum):
    celebamask_hq = "celebamask-hq"
    celebamask_hq_parts = "celebamask-hq-parts"
    bisenet = "bisenet"


class Faces(str, Enum):
    largest = "largest"
    all = "all"


class Detector(str, Enum):
    blazeface = "blazeface"
    retinaface = "retinaface"
    retinaface_mobilenet = "retinaface-mobilenet"


class Parser(str, Enum):
    own = "own"
    parsenet = "parsenet"
    bisenet = "bisenet"


def _repeats(what: str) -> Any:
    return typer.Option(
        min=1,
        max=64,
        help=f"Training repeats {what} up to so many times; kept with the data set.",
        show_default="as the recipe says",
    )


def preprocess(
    photos: Annotated[Path, typer.Argument(help="Folder of photos, searched below too.")],
    out: Annotated[Path, typer.Argument(help="Folder of the data set, or a .zip.")],
    masks: Annotated[
        Path | None,
        typer.Option(help="Folder of existing masks, named as the photos; else parts are parsed."),
    ] = None,
    mask_layout: Annotated[
        MaskLayout,
        typer.Option(
            help="How the masks are stored: label maps in CelebAMask-HQ's order, its original one PNG a "
            "part, or label maps in the BiSeNet parsers' order."
        ),
    ] = MaskLayout.celebamask_hq,
    size: Annotated[int, typer.Option(min=32, max=2048, help="Side of the images, pixels.")] = 512,
    faces: Annotated[
        Faces, typer.Option(help="The largest face of a photo, or all of them.")
    ] = Faces.largest,
    min_face: Annotated[float, typer.Option(min=0, help="Smallest face, pixels of the photo.")] = 48.0,
    min_sharpness: Annotated[
        float, typer.Option(min=0, help="Least sharpness of the face; 0 = any, 60 turns clear blur away.")
    ] = 0.0,
    max_occlusion: Annotated[
        float, typer.Option(min=0, max=1, help="Largest covered share of the face, below the brows; 1 = any.")
    ] = 1.0,
    max_yaw: Annotated[
        float, typer.Option(min=0, max=90, help="Largest turn to a side, degrees; 90 = any.")
    ] = 90.0,
    detector: Annotated[
        Detector, typer.Option(help="What finds faces; RetinaFace needs facexlib and its weights.")
    ] = Detector.blazeface,
    parser: Annotated[
        Parser,
        typer.Option(help="What tells parts apart; all but ssgan's own need facexlib and its weights."),
    ] = Parser.own,
    check_pose: Annotated[
        bool,
        typer.Option("--check-pose", help="Skip faces whose camera Hopenet contradicts (facexlib)."),
    ] = False,
    mirror: Annotated[
        bool | None,
        typer.Option(
            "--mirror/--no-mirror",
            help="Whether training shows every portrait mirrored too; kept with the data set.",
            show_default="as the recipe says",
        ),
    ] = None,
    balance_yaw: Annotated[int | None, _repeats("rare yaws")] = None,
    balance_parts: Annotated[int | None, _repeats("portraits with rare parts")] = None,
    workers: Annotated[int, typer.Option(min=0, max=256, help="Processes; 0 means one a core.")] = 0,
    weights_dir: Annotated[
        Path | None, typer.Option(help="Folder with the three networks, or with the wheel that holds them.")
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Never download the networks.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Find faces, crop them as EG3D does, estimate cameras and tell parts apart: a **data set**.

    A photo that fails or is filtered is skipped with a reason, kept in report.json and shown in skipped.jpg;
    the exit code is 3 when more than half fail. Run again after an interruption, it continues where it stopped.
    The networks it needs are downloaded on first use (`ssgan weights list`).

    Example: ssgan preprocess photos data/faces --size 128
    """
    from ssgan_core.preparation import weights
    from ssgan_core.preparation.backends import choose_backends, needed_files

    output = Output(as_json)
    chosen_parser = None if masks else parser.value
    needed = ["default", *needed_files(detector.value, chosen_parser, check_pose)]
    if not offline and any(not row.present for row in weights.list_weights(weights_dir, needed)):
        output.note("fetching the networks that preprocessing needs (once)")
        with output.progress("weights", "files") as progress:
            weights.ensure(progress, weights_dir, needed)
    if masks:
        output.note(f"masks are read as {mask_layout.value} (--mask-layout names another)")
    backends = choose_backends(  # says so where OpenCV is missing
        weights_dir, detector=detector.value, parser=chosen_parser, check_pose=check_pose
    )

    from ssgan_core.dataset.options import write_options
    from ssgan_core.dataset.packing import made_in_folder
    from ssgan_core.preparation.prepare import prepare
    from ssgan_core.preparation.quality import Filters

    with output.progress("photos", "photos") as progress, made_in_folder(out, progress) as folder:
        report = prepare(
            photos,
            folder,
            backends,
            masks=masks,
            mask_layout=mask_layout.value,
            size=size,
            every_face=faces is Faces.all,
            filters=Filters(min_face, min_sharpness, max_occlusion, max_yaw),
            workers=workers or None,
            progress=progress,
        )
        if (mirror, balance_yaw, balance_parts) != (None, None, None):
            write_options(folder, mirror=mirror, balance_yaw=balance_yaw, balance_parts=balance_parts)
    again = f", {report.already} were there already" if report.already else ""
    what = "photos and faces" if faces is Faces.all else "photos"
    output.say(
        f"{report.written} portraits in {report.seconds:.1f} s{again}; {len(report.skipped)} {what} skipped"
    )
    if report.duplicates:
        output.say(
            f"  {report.duplicates} repeat another portrait (column duplicate_of; training leaves them out with "
            "--set data.skip_duplicates=true)"
        )
    for reason, count in report.reasons.items():
        names = [row.name for row in report.skipped if row.kind == reason]
        more = ", …" if count > _NAMED_PER_REASON else ""
        output.say(f"  {count} x {reason}: {', '.join(names[:_NAMED_PER_REASON])}{more}")
    output.wrote(out)
    output.result({"dataset": out, **report.to_json()})
    if report.failed > _MOST_FAILED * report.photos:
        output.note(f"more than half of the photos failed; report.json in {out} says why")
        raise typer.Exit(TOO_MANY_FAILED)
