"""The training loop. To resume a run, call it with the same recipe, data and run folder again."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import torch

from ssgan_core.config import Config
from ssgan_core.errors import SsganError
from ssgan_core.files import make_folder, owned, sweep_temporaries
from ssgan_core.progress import Progress, silent
from ssgan_core.rendering.render import NotFiniteError
from ssgan_core.training import runs
from ssgan_core.training.carry import carry_paths, save_carry
from ssgan_core.training.data import TrainingSource
from ssgan_core.training.facts import gather_facts
from ssgan_core.training.log import Log
from ssgan_core.training.monitor import Monitor
from ssgan_core.training.origin import Origin
from ssgan_core.training.ranks import ALONE, Ranks
from ssgan_core.training.schedule import Schedule
from ssgan_core.training.state import TrainingState
from ssgan_core.training.trainer import Trainer
from ssgan_core.training.united import as_parts
from ssgan_core.training.warmup import known_choices, known_frames, known_numbers, known_traits, known_worn


@dataclass(frozen=True)
class TrainingResult:
    """What a call of `train` left behind.

    Attributes:
        model: the newest moving-average model.
        images: images seen so far.
        finished: whether the recipe is complete; otherwise the run was stopped and can be resumed.
        carry: generator and discriminator to begin another run with.
        first, last: measurements at the run's start and now (see monitor.Monitor.measure).
    """

    model: Path
    images: int
    finished: bool
    carry: tuple[Path, Path]
    first: dict[str, float]
    last: dict[str, float]


def train(
    source: TrainingSource,
    config: Config,
    run: Path,
    *,
    device: torch.device,
    ranks: Ranks = ALONE,
    origin: Origin | None = None,
    progress: Progress = silent,
    should_stop: Callable[[], bool] = lambda: False,
) -> TrainingResult:
    """Train until the recipe is complete or `should_stop` says so; resumes when the run holds a state.

    On the CPU a run resumed by as many processes equals a straight one bit for bit.

    Args:
        ranks: the processes that call this together, each with its own share of the source.
        origin: weights that a new run begins with; for a run that already holds a state, only compared.
        should_stop: all ranks stop after the step in which one of them says so.

    Raises:
        SsganError: run, data, origin and recipe do not belong together, another process writes into the run folder, or
            training diverged.
    """
    ranks.check_batch(config.training.batch, config.discriminator.group)
    source = as_parts(source, config.model.parts)
    with ExitStack() as held:
        resumed = ranks.from_first(lambda: _prepared(run, config, source, origin, held))
        schedule = Schedule(config)
        total, batch_size = schedule.total_images, config.training.batch
        schema = source.schema if origin is None else origin.parts(source.schema)
        state = TrainingState.create(config, schema, device)
        if resumed:
            state.restore(run)
            ranks.from_first(lambda: runs.rewind_stats(run, state.images))
        else:
            _begin(state, config, source, origin)

        def measuring(done: int, total: int, note: str = "") -> None:
            progress(state.images, schedule.total_images, f"measuring the data, {done} of {total}")

        facts = ranks.from_first(
            lambda: gather_facts(
                source,
                config.model.part_resolution,
                config.data.mirror,
                measuring,
                in_plane=config.model.lifting == "none",
                with_backdrops=config.training.uses_truth and config.model.backdrop > 0,
            )
        )
        if not resumed:
            if origin is None and config.training.layout_prior:
                state.set_layout(facts.layout)
            state.set_shell_width(schedule.shell_width(state.age))
        ranks.broadcast(state.tensors())
        trainer = Trainer(config, state, source, facts, device, ranks)
        log = Log(run, trainer, Monitor(facts, config.model.latent, config.seed, device, ranks), ranks)

        for batch in log.waiting(source.batches(config, state.images, total)):
            try:
                log.add(trainer.step(batch.to(device)))
            except NotFiniteError as error:
                raise trainer.divergence() from error
            progress(state.images, total, log.note() if ranks.first else "")
            leaving = ranks.any(should_stop()) or state.images == total
            keeping = leaving or _crossed(state.images, batch_size, config.training.snapshot_kimg)
            if keeping:  # before what takes longer: who asked to stop may not wait for it
                ranks.check_alike(state.tensors())
                state.average.mapping.measure()
                if ranks.first:
                    state.save(run, config)
                    if leaving:
                        save_carry(run, state, config)
            if leaving or _crossed(state.images, batch_size, config.training.tick_kimg):
                log.tick()
            if keeping:
                log.grid()
            if leaving:
                break
        log.close()
        return ranks.from_first(lambda: _left_behind(run, config, state))


def _begin(state: TrainingState, config: Config, source: TrainingSource, origin: Origin | None) -> None:
    """Make fresh weights those that the run begins with, but for what the data's facts decide."""
    truth = config.training.uses_truth
    for name in (
        "keep_shapes",
        "keep_depths",
        "parts_alone",
        "traits_alone",
        "points_alone",
        "backdrop_alone",
    ):
        if getattr(config.training, name) and origin is None:
            raise SsganError(
                f"training.{name} keeps what first weights know, but the run begins with random ones",
                "begin with a model: --init",
            )
    if truth and config.model.choices:
        state.set_choices(known_choices(config, source.parameter_count()))
    if truth and config.model.traits:
        state.set_traits(known_traits(config, source.parameter_count()))
    if origin is not None:
        origin.fill(state)
    elif truth:
        state.read_first(known_numbers(config, source.parameter_count()))
    mapping, frames = state.generator.mapping, state.generator.parts.frames
    # Measured on many heads, unless first weights know them.
    if truth and frames is not None and not frames.known:
        state.set_frames(known_frames())
    if truth and frames is not None and config.model.worn and not frames.knows_worn:
        state.set_worn(known_worn())
    for name, known in (
        ("choices", mapping.choices is None or mapping.choices.known),
        ("traits", mapping.traits is None or mapping.traits.known),
        ("frames", frames is None or frames.known),
        ("worn", frames is None or not config.model.worn or frames.knows_worn),
    ):
        if not known:
            asked, none = getattr(config.model, name), "false" if name == "frames" else "0"
            raise SsganError(
                f"model.{name} is {str(asked).lower()}, but neither data nor first weights say which these are",
                f"train with truth (training.warmup_kimg), or set model.{name}={none}",
            )


def _prepared(
    run: Path, config: Config, source: TrainingSource, origin: Origin | None, held: ExitStack
) -> bool:
    """Make the run folder this run's own, and this process's while `held`; whether there is a state to resume from."""
    make_folder(run)
    held.enter_context(owned(run))
    runs.claim(run, config, source, None if origin is None else origin.describe())
    sweep_temporaries(run)
    resumed = (run / runs.STATE_NAME).exists()
    if not resumed:
        runs.rewind_stats(run, -1)
    return resumed


def _left_behind(run: Path, config: Config, state: TrainingState) -> TrainingResult:
    rows, carry = runs.read_stats(run), carry_paths(run, state.images)
    if not all(path.exists() for path in carry):  # of a run that was complete, but for these
        save_carry(run, state, config)
    return TrainingResult(
        model=runs.newest_model(run),
        images=state.images,
        finished=state.images >= Schedule(config).total_images,
        carry=carry,
        first=rows[0],
        last=rows[-1],
    )


def _crossed(images: int, batch: int, kimg: float) -> bool:
    """Whether the last batch crossed a multiple of so many thousand images."""
    interval = max(kimg * 1000, batch)
    return images // interval != (images - batch) // interval
