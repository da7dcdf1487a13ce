"""`ssgan preprocess`: photos to a data set."""

from __future__ import annotations

from collections import Counter
from enum import Enum
from pathlib import Path
from typing import Annotated

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


def preprocess(
    photos: Annotated[Path, typer.Argument(help="Folder of photos, searched below too.")],
    out: Annotated[Path, typer.Argument(help="Folder of the data set.")],
    masks: Annotated[Path | None, typer.Option(help="Folder of existing masks, named as the photos.")] = None,
    mask_layout: Annotated[
        MaskLayout,
        typer.Option(
            help="How the masks are stored: label maps in CelebAMask-HQ's order, its original one PNG a "
            "part, or label maps in the BiSeNet parsers' order."
        ),
    ] = MaskLayout.celebamask_hq,
    size: Annotated[int, typer.Option(min=32, max=2048, help="Side of the images, pixels.")] = 512,
    workers: Annotated[int, typer.Option(min=0, max=256, help="Processes; 0 means one a core.")] = 0,
    weights_dir: Annotated[
        Path | None, typer.Option(help="Folder with the three networks, or with the wheel that holds them.")
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Never download the networks.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Find faces, crop them as EG3D does, estimate cameras and import masks: a **data set**.

    A photo that fails is skipped with a reason, kept in report.json; the exit code is 3 when more than half
    fail. Run again after an interruption, it continues where it stopped. The small networks it needs are
    downloaded on first use.

    Example: ssgan preprocess photos data/faces --masks masks --size 128
    """
    from ssgan_core.preparation import weights
    from ssgan_core.preparation.prepare import prepare

    output = Output(as_json)
    if not offline and any(not row.present for row in weights.list_weights(weights_dir)):
        output.note("fetching the three small networks that preprocessing needs (once)")
        with output.progress("weights", "files") as progress:
            weights.ensure(progress, weights_dir)
    if masks:
        output.note(f"masks are read as {mask_layout.value} (--mask-layout names another)")
    with output.progress("photos", "photos") as progress:
        report = prepare(
            photos,
            out,
            masks=masks,
            mask_layout=mask_layout.value,
            size=size,
            workers=workers or None,
            weights_dir=weights_dir,
            progress=progress,
        )
    done = report.written + report.already
    again = f", {report.already} were there already" if report.already else ""
    output.say(
        f"{report.written} portraits in {report.seconds:.1f} s{again}; {len(report.skipped)} photos skipped"
    )
    kinds = [(name, reason.split(" (")[0]) for name, reason in report.skipped]  # details are in the report
    for reason, count in Counter(kind for _, kind in kinds).most_common():
        names = [name for name, kind in kinds if kind == reason]
        more = ", …" if count > _NAMED_PER_REASON else ""
        output.say(f"  {count} x {reason}: {', '.join(names[:_NAMED_PER_REASON])}{more}")
    output.wrote(out)
    output.result({"dataset": out, "report": out / "report.json", **vars(report)})
    if len(report.skipped) > _MOST_FAILED * (done + len(report.skipped)):
        output.note(f"more than half of the photos failed; {out / 'report.json'} says why")
        raise typer.Exit(TOO_MANY_FAILED)
