"""`ssgan train`: trains a model, or continues to."""

from __future__ import annotations

import signal
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ssgan_cli.console import Output
from ssgan_cli.options import Device, DeviceOption, JsonOption, parse_model
from ssgan_cli.renderer import announce_renderer

if TYPE_CHECKING:
    import torch

    from ssgan_core.config import Config
    from ssgan_core.training.data import TrainingSource
    from ssgan_core.training.loop import TrainingResult
    from ssgan_core.training.origin import Origin
    from ssgan_core.training.ranks import Ranks


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
    init: Annotated[
        Path | None,
        typer.Option(
            parser=parse_model,
            metavar="MODEL",
            help="Begin with this model's weights (model file, run folder, or default: the model that ships with "
            "ssgan), on other data or at another resolution.",
        ),
    ] = None,
    init_state: Annotated[
        Path | None,
        typer.Option(
            help="Begin with generator and discriminator that another run left: its folder, or one of its two "
            "carry-….safetensors."
        ),
    ] = None,
    device: DeviceOption = Device.auto,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print parameters, steps and a memory estimate; train nothing.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Train a model in a new folder such as **runs/00000-smoke_cpu**.

    To resume, run the same command: an unfinished run with the same name, recipe and data is continued, on a
    CPU bit for bit as if it had never stopped. Ctrl-C saves first.

    Writes config.yaml, stats.jsonl, model-….safetensors, state.pt and grid-….png (image, mask, depth, views), and
    when it ends carry-….safetensors. TensorBoard gets the numbers of stats.jsonl where it is installed.

    Several GPUs: **torchrun --nproc-per-node 4 -m ssgan_cli train ...**; training.batch is split among them.

    With **synth:**, other processes render synthetic portraits while this one trains: so many heads, views of
    each, the population's seed, how many times each view is shown, and how many processes (0: one a core but one).

    Examples: ssgan train data/heads --config smoke_cpu --set training.kimg=20; ssgan train synth: --config 128
    """
    from ssgan_core.config import load_config
    from ssgan_core.synthesis import choose_device
    from ssgan_core.training import runs
    from ssgan_core.training.loop import train as train_model
    from ssgan_core.training.opening import data_defaults, open_source

    with _together() as ranks:
        output = Output(as_json, quiet=not ranks.first)
        recipe = load_config(config, settings, data_defaults(data))
        ranks.check_batch(recipe.training.batch, recipe.discriminator.group)
        own_device = ranks.device(choose_device(device.value))
        origin = _origin(init, init_state)
        with closing(open_source(data, recipe.model.resolution, recipe.data, ranks)) as source:
            if dry_run:
                _dry_run(output, recipe, source, own_device, ranks)
                return

            def choose_run() -> Path:
                if run is not None:
                    return run
                run_name = name or Path(config).stem
                begun_with = None if origin is None else origin.describe()
                unfinished = None if new else runs.unfinished_run(out, run_name, recipe, source, begun_with)
                if unfinished is not None:
                    output.note(f"continuing {unfinished} (--new begins a new run instead)")
                return unfinished or runs.create_run(out, run_name)

            folder = ranks.from_first(choose_run)
            _introduce(output, folder, source, own_device, ranks)
            announce_renderer(output, own_device, recipe.model.backend)
            stop_signals = _StopSignals(output, second_stops=ranks.count == 1)
            with stop_signals.caught() as stop, output.progress("training", "images") as progress:
                result = train_model(
                    source,
                    recipe,
                    folder,
                    device=own_device,
                    ranks=ranks,
                    origin=origin,
                    progress=progress,
                    should_stop=stop.asked,
                )
        number = ranks.from_first(lambda: stop.number)
    _report(output, folder, result)
    if not result.finished:
        output.note("stopped and saved; run the same command again to continue")
        raise typer.Exit(128 + (number or signal.SIGTERM))


@contextmanager
def _together() -> Iterator[Ranks]:
    """The processes that train together; of those that fail, only the first says why."""
    from ssgan_core.training.ranks import PeerFailed, joined

    try:
        with joined() as ranks:
            if not ranks.first:
                warnings.simplefilter("ignore")
            yield ranks
    except PeerFailed:
        raise typer.Exit(1) from None


def _origin(init: Path | None, init_state: Path | None) -> Origin | None:
    from ssgan_core.errors import SsganError
    from ssgan_core.training.origin import FromCarry, FromModel

    if init is not None and init_state is not None:
        raise SsganError("--init and --init-state exclude one another", "--init-state holds a generator, too")
    if init is not None:
        return FromModel.open(init)
    return None if init_state is None else FromCarry.open(init_state)


def _introduce(output: Output, run: Path, source: TrainingSource, device: torch.device, ranks: Ranks) -> None:
    from ssgan_core.training import runs

    together = f" in {ranks.count} processes" if ranks.count > 1 else ""
    output.say(f"run {run}: {len(source)} portraits of {source.resolution} px on {device}{together}")
    rows = runs.read_stats(run)
    if rows and rows[-1].get("ranks", 1) != ranks.count:
        output.note(
            f"{rows[-1].get('ranks', 1)} processes began this run and {ranks.count} continue it: "
            "that is sound, but not bit for bit what an unbroken run would give"
        )


class _StopSignals:
    """The first Ctrl-C or SIGTERM asks training to save and stop after its step; a second stops at once.

    Args:
        second_stops: whether a second signal stops at once. Not where several processes train together: batch
            systems tell every process, and torchrun tells them all again.
    """

    def __init__(self, output: Output, second_stops: bool) -> None:
        self.number = 0
        self._second_stops = second_stops
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
            if self._second_stops or not self.number:
                self._restore()

    def _stop(self, number: int, frame: object) -> None:
        if self._second_stops:
            self._restore()
            self._output.note("saving after this step; once more to stop at once")
        elif not self.number:
            self._output.note("saving after this step")
        self.number = number

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


def _dry_run(
    output: Output, recipe: Config, source: TrainingSource, device: torch.device, ranks: Ranks
) -> None:
    from ssgan_core.training.estimate import estimate

    figures = estimate(recipe, source.schema, device, ranks)
    output.say(f"generator       {figures.generator_parameters:,} parameters")
    output.say(f"discriminator   {figures.discriminator_parameters:,} parameters")
    output.say(f"training        {figures.images:,} images, {figures.steps:,} steps of {figures.batch}")
    each = " for each process" if ranks.count > 1 else ""
    output.say(
        f"memory          about {figures.memory_bytes / 2**30:.1f} GiB{each}, up to half as much again"
    )
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
    output.wrote(result.model, *result.carry)
    output.result({"run": run, **vars(result)})
