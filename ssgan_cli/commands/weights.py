"""`ssgan weights`: the small networks that preprocessing needs."""

from __future__ import annotations

import typer

from ssgan_cli.console import Output
from ssgan_cli.options import JsonOption

app = typer.Typer(help="Fetch and check the networks that preprocess needs.", rich_markup_mode="markdown")


@app.callback(invoke_without_command=True)
def _weights(context: typer.Context) -> None:
    """Fetch and check the small networks that preprocess needs; without a subcommand, fetch."""
    if context.invoked_subcommand is None:
        fetch()


@app.command("fetch")
def fetch(as_json: JsonOption = False) -> None:
    """Download what is missing, once; everything works offline afterwards."""
    from ssgan_core.preparation import weights

    output = Output(as_json)
    with output.progress("weights", "files") as progress:
        rows = weights.fetch(progress)
    output.wrote(*(row.path for row in rows))
    output.result({"weights": [vars(row) for row in rows]})


@app.command("list")
def list_(as_json: JsonOption = False) -> None:
    """What each file is for, and whether it is here and intact."""
    from ssgan_core.preparation import weights

    output = Output(as_json)
    rows = weights.list_weights()
    states = {(False, False): "missing", (True, False): "damaged", (True, True): "ok"}
    output.table(
        ("file", "state", "bytes", "purpose", "path"),
        [(row.name, states[row.present, row.ok], row.bytes, row.purpose, row.path) for row in rows],
    )
    output.result({"weights": [vars(row) for row in rows]})


@app.command("verify")
def verify(as_json: JsonOption = False) -> None:
    """Check every file's SHA-256; fails when one is missing or changed."""
    from ssgan_core.preparation import weights

    output = Output(as_json)
    weights.verify()
    output.say("all files are here and intact")
    output.result({"ok": True})


@app.command("path")
def path(as_json: JsonOption = False) -> None:
    """The folder in which fetched files are kept."""
    from ssgan_core.preparation import weights

    output = Output(as_json)
    folder = weights.weights_folder()
    output.say(str(folder))
    output.result({"path": folder})
