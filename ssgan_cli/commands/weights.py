"""`ssgan weights`: the networks that preprocessing needs or can use."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ssgan_cli.console import Output
from ssgan_cli.options import JsonOption

if TYPE_CHECKING:
    from ssgan_core.preparation.weights import WeightRow

app = typer.Typer(help="Fetch and check the networks of preprocess.", rich_markup_mode="markdown")

WeightsDirOption = Annotated[
    Path | None, typer.Option(help="Folder that comes before the cache folder; also $SSGAN_WEIGHTS.")
]


@app.callback(invoke_without_command=True)
def _weights(context: typer.Context) -> None:
    """Fetch and check the networks of preprocess; without a subcommand, fetch the small default ones."""
    if context.invoked_subcommand is None:
        fetch()


@app.command("fetch")
def fetch(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME",
            help="Files, or the group `default` or `high-quality`. Default: the three small ones.",
        ),
    ] = None,
    accept: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=SHA256",
            help="Take this digest for a high-quality file, beside the listed one; remembered.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Download what is missing, once; everything works offline afterwards.

    The files are checked against listed SHA-256 digests. Those of the high-quality networks come from third
    parties; where one turns out wrong, the error names both, and the other can be accepted.

    Example: ssgan weights fetch high-quality
    """
    from ssgan_core.preparation import weights

    output = Output(as_json)
    accepted = dict(_acceptance(text) for text in accept or [])
    with output.progress("weights", "files") as progress:
        rows = weights.fetch(progress, names or None, accept=accepted)
    output.wrote(*(row.path for row in rows))
    for row in rows:
        if row.accepted:
            output.note(f"{row.name} has a digest that you accepted, not the listed one: {row.sha256}")
    output.result({"weights": [vars(row) for row in rows]})


@app.command("list")
def list_(weights_dir: WeightsDirOption = None, as_json: JsonOption = False) -> None:
    """What each file is for, and whether it is here and intact."""
    from ssgan_core.preparation import weights

    output = Output(as_json)
    rows = weights.list_weights(weights_dir, [weights.DEFAULT, weights.HIGH_QUALITY])
    output.table(
        ("file", "group", "state", "bytes", "licence", "purpose", "path"),
        [
            (row.name, row.group, state_of(row), row.bytes or "", row.licence, row.purpose, row.path)
            for row in rows
        ],
    )
    output.result({"weights": [{**vars(row), "state": state_of(row)} for row in rows]})


@app.command("verify")
def verify(weights_dir: WeightsDirOption = None, as_json: JsonOption = False) -> None:
    """Check SHA-256 of every file that is here; fails when one is changed or a default one is missing."""
    from ssgan_core.preparation import weights

    output = Output(as_json)
    extra = weights.list_weights(weights_dir, [weights.HIGH_QUALITY])
    here = [row.name for row in extra if row.present]
    checked = weights.named([weights.DEFAULT, *here])
    weights.verify(weights_dir, checked)
    output.say(
        f"the default files are here and intact, and so are {len(here)} of {len(extra)} high-quality ones"
    )
    output.result({"ok": True, "files": checked})


@app.command("path")
def path(
    name: Annotated[str | None, typer.Argument(help="A file; without one, the cache folder of all.")] = None,
    weights_dir: WeightsDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """The folder in which fetched files are kept, or where one file is read from or would be put."""
    from ssgan_core.preparation import weights

    output = Output(as_json)
    place = weights.weights_folder() if name is None else weights.path_of(name, weights_dir)
    output.say(str(place))
    output.result({"path": place})


def state_of(row: WeightRow) -> str:
    """In a word: missing, damaged, accepted (by the user, with another digest than the listed one), ok."""
    if not row.present:
        return "missing"
    if not row.ok:
        return "damaged"
    return "accepted" if row.accepted else "ok"


def _acceptance(text: str) -> tuple[str, str]:
    name, equals, digest = text.partition("=")
    if not equals:
        raise typer.BadParameter(f"'{text}' is not written as NAME=SHA256", param_hint="--accept")
    return name, digest
