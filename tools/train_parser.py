"""Train the face parser that ships with the package, on synthetic portraits alone.

    ssgan synth heads --count 4000 --size 256
    python tools/train_parser.py ssgan_core/parsing/weights/parser.safetensors --data heads --minutes 80

or, with the portraits rendered here, `--heads 4000` in place of `--data heads`. Interrupted, the same command goes
on from OUT.state.pt. With --small-steps and --full-steps in place of --minutes the result does not depend on the
machine's speed. Measure the result with `python -m benchmarks.parsing`.
"""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

os.environ.setdefault(
    "OMP_WAIT_POLICY", "PASSIVE"
)  # before torch is imported: waiting threads leave the cores alone

import torch
import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from ssgan_core import __version__
from ssgan_core.errors import SsganError
from ssgan_core.parsing.data import TrainingData
from ssgan_core.parsing.parser import FaceParser, save_parser
from ssgan_core.parsing.training import ParserTraining, Recipe, train
from ssgan_core.parts import PORTRAIT

console = Console()


def main(
    out: Annotated[Path, typer.Argument(help="Weights to write, .safetensors.")],
    data: Annotated[
        Path | None, typer.Option(help="Data set of 'ssgan synth', 256 pixels or a multiple.")
    ] = None,
    heads: Annotated[int | None, typer.Option(help="Render so many people beside OUT instead.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Time budget of the training.")] = None,
    small_steps: Annotated[int | None, typer.Option(help="Steps at half size, in place of a budget.")] = None,
    full_steps: Annotated[int | None, typer.Option(help="Steps at full size, in place of a budget.")] = None,
    threads: Annotated[int, typer.Option(help="Threads that train (1 or 2), processes that render.")] = 2,
    seed: Annotated[int, typer.Option(help="Of the training, and of the people of --heads.")] = 0,
    start: Annotated[Path | None, typer.Option(help="Weights to go on from; else random ones.")] = None,
    learning_rate: Annotated[float, typer.Option(help="The largest.")] = Recipe.learning_rate,
    small_share: Annotated[float, typer.Option(help="Of the minutes, at half size.")] = Recipe.small_share,
    precision: Annotated[str, typer.Option(help="fp32, or bf16: faster on processors with AMX.")] = "fp32",
    new_share: Annotated[
        float, typer.Option(help="Of the trained weights in the result; the rest are those of --start.")
    ] = Recipe.new_share,
) -> None:
    """Train, validate on people held out, write the weights."""
    torch.set_num_threads(1)  # the halves of a step are the threads
    try:
        if (data is None) == (heads is None):
            raise SsganError("portraits come from --data or from --heads", "name one of them")
        with Progress(console=console, transient=True) as bars:
            bar = bars.add_task("", total=None)

            def progress(done: int, total: int, note: str = "") -> None:
                bars.update(bar, completed=done, total=total, description=note)

            if data is None:
                from ssgan_core.heads.synth import synthesise  # the renderer is compiled when imported

                assert heads is not None
                data = out.with_suffix(".heads")
                synthesise(data, count=heads, size=256, seed=seed, workers=threads, progress=progress)
            initial = None if start is None else FaceParser.load(start)
            recipe = Recipe(
                seed=seed,
                small_steps=small_steps,
                full_steps=full_steps,
                learning_rate=learning_rate,
                small_share=small_share,
                precision=precision,
                new_share=new_share,
            )
            training = ParserTraining(TrainingData(data, recipe.size, progress), recipe, initial)
            state = out.with_suffix(".state.pt")
            if state.is_file():
                training.restore(state)
            train(training, state, minutes, threads, progress)
        _finish(out, training, initial)
    except SsganError as error:
        console.print(f"{error.message}\n{error.hint}", style="red", markup=False)
        raise typer.Exit(1) from error


def _finish(out: Path, training: ParserTraining, initial: FaceParser | None) -> None:
    found = training.validate()
    ious = {
        name: round(float(value), 4)
        for name, value, shown in zip(PORTRAIT.names, found.mean_iou(), found.shown(), strict=True)
        if shown
    }
    recipe = training.recipe
    digest = save_parser(
        out,
        training.result(),
        {
            "recipe": {**asdict(recipe), "seconds": round(training.seconds)},
            "data": {**training.data.facts, "source": "synthetic portraits of this project alone"},
            "validation": {"portraits": len(training.data.held_out), "mean_iou": ious},
            "versions": {"ssgan": __version__, "torch": torch.__version__},
            "initial": initial and {**initial.metadata, "sha256": initial.sha256},
        },
    )
    table = Table(title=f"{len(training.data.held_out)} portraits of people held out")
    table.add_column("part")
    table.add_column("mean IoU", justify="right")
    for name, value in ious.items():
        table.add_row(name, f"{value:.3f}")
    table.add_row("mean", f"{sum(ious.values()) / len(ious):.3f}")
    console.print(table)
    console.print(
        f"{recipe.small_steps} + {recipe.full_steps} steps in {training.seconds / 60:.1f} minutes; wrote {out} "
        f"({out.stat().st_size / 1e6:.2f} MB, {digest[:12]})"
    )


if __name__ == "__main__":
    typer.run(main)
