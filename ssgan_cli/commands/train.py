"""`ssgan train`: trains a model, or continues to."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ssgan_cli.console import Output
from ssgan_cli.options import Device, DeviceOption, JsonOption
from ssgan_cli.renderer import announce_renderer

if TYPE_CHECKING:
    import torch

    from ssgan_core.config import Config
    from ssgan_core.training.data import TrainingSource
    from ssgan_core.training.loop import TrainingResult


def train(
    data: Annotated[
        str,
        typer.Argument(
            help="Data set: a folder or a stored zip. Or synth: for portraits rendered meanwhile, with options as in "
            "synth:heads=20000,views=2,seed=0,reuse=4,workers=0 (the defaults)."
        ),
    ],
    config: Annotated[str, typer.Option(help="Recipe: a YAML file or a shipped one's name.")] = "smoke_cpu",
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Change one setting of the recipe: section.key=value.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of the runs.")] = Path("runs"),
    name: Annotated[str, typer.Option(help="Name of the run; by default the recipe's.")] = "",
    run: Annotated[
        Path | None, typer.Option(help="Exactly this run folder: begun if it is new, continued if it is not.")
    ] = None,
    new: Annotated[bool, typer.Option("--new", help="Do not continue an unfinished run.")] = False,
    device: DeviceOption = Device.auto,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print parameters, steps and a memory estimate; train nothing.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Train a model in a new folder such as **runs/00000-smoke_cpu**.

    To resume, run the same command: an unfinished run with the same name, recipe and data is continued, on a
    CPU bit for bit as if it had never stopped. Ctrl-C saves first.

    Writes config.yaml, stats.jsonl, model-….safetensors, state.pt and grid-….png (image, mask, depth, views).

    With **synth:**, other processes render synthetic portraits while this one trains: so many heads, views of
    each, the population's seed, how many times each view is shown, and how many processes (0: one a core but one).

    Examples: ssgan train data/heads --config smoke_cpu --set training.kimg=20; ssgan train synth: --config 128
    """
    from ssgan_core.config import load_config
    from ssgan_core.synthesis import choose_device
    from ssgan_core.training import runs
    from ssgan_core.training.loop import train as train_model
    from ssgan_core.training.opening import data_defaults, open_source

    output = Output(as_json)
    recipe = load_config(config, settings, data_defaults(data))
    chosen_device = choose_device(device.value)
    with closing(open_source(data, recipe.model.resolution, recipe.data)) as source:
        if dry_run:
            _dry_run(output, recipe, source, chosen_device)
            return
        folder = run
        if folder is None:
            run_name = name or Path(config).stem
            folder = None if new else runs.unfinished_run(out, run_name, recipe, source)
            if folder is not None:
                output.note(f"continuing {folder} (--new begins a new run instead)")
            folder = folder or runs.create_run(out, run_name)
        output.say(f"run {folder}: {len(source)} portraits of {source.resolution} px on {chosen_device}")
        announce_renderer(output, chosen_device, recipe.model.backend)
        with _StopSignals(output).caught() as stop, output.progress("training", "images") as progress:
            result = train_model(
                source, recipe, folder, device=chosen_device, progress=progress, should_stop=stop.asked
            )
    _report(output, folder, result)
    if not result.finished:
        output.note("stopped and saved; run the same command again to continue")
        raise typer.Exit(128 + stop.number)


class _StopSignals:
    """The first Ctrl-C or SIGTERM asks training to save and stop after its step; a second stops at once."""

    def __init__(self, output: Output) -> None:
        self.number = 0
        self._output = output
        self._before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def asked(self) -> bool:
        return self.number != 0

    @contextmanager
    def caught(self) -> Iterator[_StopSignals]:
        for number in self._before:
            signal.signal(number, self._stop)
        try:
            yield self
        finally:
            self._restore()

    def _stop(self, number: int, frame: object) -> None:
        self.number = number
        self._restore()
        self._output.note("saving after this step; once more to stop at once")

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


def _dry_run(output: Output, recipe: Config, source: TrainingSource, device: torch.device) -> None:
    from ssgan_core.training.estimate import estimate

    figures = estimate(recipe, source.schema, device)
    output.say(f"generator       {figures.generator_parameters:,} parameters")
    output.say(f"discriminator   {figures.discriminator_parameters:,} parameters")
    output.say(f"training        {figures.images:,} images, {figures.steps:,} steps of {figures.batch}")
    output.say(f"memory          about {figures.memory_bytes / 2**30:.1f} GiB, up to half as much again")
    output.say(
        f"data            {len(source):,} portraits, {'with' if source.has_depth else 'without'} depth"
    )
    output.result(vars(figures))


def _report(output: Output, run: Path, result: TrainingResult) -> None:
    output.say(f"{result.images:,} images seen{', complete' if result.finished else ''}")
    before, now = result.first["area_distance"], result.last["area_distance"]
    output.say(f"part areas differ from the data's by {now:.3f} in sum, {before:.3f} at the start")
    if result.last["collapsed"]:
        output.note("samples look alike: less than half as varied as the data")
    output.wrote(result.model)
    output.result({"run": run, **vars(result)})
