"""The training loop. To resume a run, call it with the same recipe, data and run folder again."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ssgan_core.cameras import mirror_label
from ssgan_core.config import Config
from ssgan_core.errors import SsganError
from ssgan_core.files import sweep_temporaries
from ssgan_core.progress import Progress, silent
from ssgan_core.rendering.render import NotFiniteError
from ssgan_core.training import runs
from ssgan_core.training.data import Batch, TrainingSource
from ssgan_core.training.ema import update_average
from ssgan_core.training.facts import DataFacts, gather_facts
from ssgan_core.training.monitor import Monitor
from ssgan_core.training.phases import Phases
from ssgan_core.training.schedule import Schedule
from ssgan_core.training.state import TrainingState
from ssgan_core.training.warmup import Warmup

_MOST_BAD_STEPS = 5
_NOTED_WAIT = 0.1  # share of the time


@dataclass(frozen=True)
class TrainingResult:
    """What a call of `train` left behind.

    Attributes:
        model: the newest moving-average model.
        images: images seen so far.
        finished: whether the recipe is complete; otherwise the run was stopped and can be resumed.
        first, last: measurements at the run's start and now (see monitor.Monitor.measure).
    """

    model: Path
    images: int
    finished: bool
    first: dict[str, float]
    last: dict[str, float]


def train(
    source: TrainingSource,
    config: Config,
    run: Path,
    *,
    device: torch.device,
    progress: Progress = silent,
    should_stop: Callable[[], bool] = lambda: False,
) -> TrainingResult:
    """Train until the recipe is complete or `should_stop` says so; resumes when the run holds a state.

    On the CPU a resumed run equals a straight one bit for bit.

    Raises:
        SsganError: run, data and recipe do not belong together, or training diverged.
    """
    schedule = Schedule(config)
    runs.claim(run, config, source)
    sweep_temporaries(run)
    total, batch_size = schedule.total_images, config.training.batch
    state = TrainingState.create(config, source.schema, device)
    resumed = (run / runs.STATE_NAME).exists()
    if resumed:
        state.restore(run)
    runs.rewind_stats(run, state.images if resumed else -1)

    def measuring(done: int, total: int, note: str = "") -> None:
        progress(state.images, schedule.total_images, f"measuring the data, {done} of {total}")

    facts = gather_facts(source, config.model.part_resolution, config.data.mirror, measuring)
    monitor = Monitor(facts, config.model.latent, config.seed, device)
    if not resumed:
        for generator in (state.generator, state.average):
            generator.parts.layout_prior.copy_(facts.layout)
            generator.set_shell_width(schedule.shell_width(0))
    trainer = Trainer(config, state, source, facts, device)
    log = _Log(run, state, monitor)

    for batch in log.waiting(source.batches(config, state.images, total)):
        try:
            log.add(trainer.step(batch.to(device)))
        except NotFiniteError as error:
            raise trainer.divergence() from error
        progress(state.images, total, log.note())
        leaving = should_stop() or state.images == total
        if leaving or _crossed(state.images, batch_size, config.training.tick_kimg):
            log.tick()
        if leaving or _crossed(state.images, batch_size, config.training.snapshot_kimg):
            state.save(run, config)
            monitor.snapshot(state.average, run / f"grid-{state.images:09d}.png")
        if leaving:
            break
    rows = runs.read_stats(run)
    return TrainingResult(runs.newest_model(run), state.images, state.images >= total, rows[0], rows[-1])


class Trainer:
    """One optimisation step after another."""

    def __init__(
        self,
        config: Config,
        state: TrainingState,
        source: TrainingSource,
        facts: DataFacts,
        device: torch.device,
    ) -> None:
        self.config = config
        self.state = state
        self.schedule = Schedule(config)
        self.phases = Phases(config, state.generator, state.discriminator, source.has_depth, device)
        self.warmup = (
            Warmup(self.phases, source.parameter_count(), facts.part_areas)
            if config.training.warmup_kimg
            else None
        )
        self.labels = _with_mirrored(facts.labels) if config.data.mirror else facts.labels
        self.device = device
        self.bad_steps = 0
        self.step_is_good = True

    def step(self, batch: Batch) -> dict[str, Tensor]:
        """Show one batch: returns the loss terms.

        Raises:
            SsganError: several steps in a row had gradients that are not finite.
        """
        self.step_is_good = True
        state, training = self.state, self.config.training
        state.generator.set_shell_width(self.schedule.shell_width(state.images))
        rng = torch.Generator().manual_seed(self.config.seed * 1_000_003 + state.steps)
        if self.warmup is not None and self.schedule.is_warmup(state.images):
            terms = self.warmup.phase(batch, rng)
            self._apply(state.generator_optimiser)
        else:
            terms = self._adversarial_step(batch, rng)
        self.bad_steps = 0 if self.step_is_good else self.bad_steps + 1
        if self.bad_steps == _MOST_BAD_STEPS:
            raise self.divergence()
        state.images += training.batch
        state.steps += 1
        update_average(state.average, state.generator, self.schedule.ema_decay(state.images))
        return {name: value.detach() for name, value in terms.items()}

    def _adversarial_step(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        state = self.state
        state.discriminator.requires_grad_(False)
        terms = self.phases.generator_phase(self._draw_labels(rng), rng, state.images)
        self._apply(state.generator_optimiser)
        state.discriminator.requires_grad_(True)
        terms |= self.phases.discriminator_phase(batch, self._draw_labels(rng), rng, state.images)
        self._apply(state.discriminator_optimiser)
        if state.steps % self.config.training.r1_interval == 0:
            terms |= self.phases.r1_phase(batch, state.images)
            self._apply(state.discriminator_optimiser)
        return terms

    def _draw_labels(self, rng: torch.Generator) -> Tensor:
        chosen = torch.randint(len(self.labels), (self.config.training.batch,), generator=rng)
        return self.labels[chosen].to(self.device)

    def _apply(self, optimiser: torch.optim.Adam) -> None:
        """Take the step, unless a gradient is not finite; that is remembered."""
        gradients = [
            p.grad for group in optimiser.param_groups for p in group["params"] if p.grad is not None
        ]
        if _all_finite(gradients):
            optimiser.step()
        else:
            self.step_is_good = False
        optimiser.zero_grad(set_to_none=True)

    def divergence(self) -> SsganError:
        """The error for a run whose numbers left the finite."""
        return SsganError(
            f"training diverged after {self.state.images} images: numbers that are not finite",
            "resume from the last snapshot with a lower learning rate or a larger R1 gamma",
        )


class _Log:
    """Collects loss terms between ticks and writes rows of stats.jsonl."""

    def __init__(self, run: Path, state: TrainingState, monitor: Monitor) -> None:
        self.run = run
        self.state = state
        self.monitor = monitor
        self.terms: dict[str, list[Tensor]] = defaultdict(list)
        self.since = time.monotonic()
        self.waited = 0.0
        self.images_since = state.images
        rows = runs.read_stats(run)
        self.measured: dict[str, float] = rows[-1] if rows else {}
        if not rows:
            self.tick()
            monitor.snapshot(state.average, run / f"grid-{state.images:09d}.png")

    def waiting(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """The same batches; how long each one is waited for is counted."""
        while True:
            before = time.monotonic()
            batch = next(batches, None)
            self.waited += time.monotonic() - before
            if batch is None:
                return
            yield batch

    def add(self, terms: dict[str, Tensor]) -> None:
        for name, value in terms.items():
            self.terms[name].append(value)

    def note(self) -> str:
        """The latest measurements for the progress line."""
        facts = [
            f"areas {self.measured['area_distance']:.3f}",
            f"variety {self.measured['image_spread']:.2f}",
        ]
        if self.measured["collapsed"] and self.state.images > 0:
            facts.append("samples look alike")
        waited = self.waited / max(time.monotonic() - self.since, 1e-9)
        if waited > _NOTED_WAIT:
            facts.append(f"{waited:.0%} of the time waiting for data")
        return "  ".join(facts)

    def tick(self) -> None:
        seconds = time.monotonic() - self.since
        self.measured = self.monitor.measure(self.state.average)
        row: dict[str, float] = {"images": self.state.images, "steps": self.state.steps}
        row |= {name: float(torch.stack(values).float().mean()) for name, values in self.terms.items()}
        row |= self.measured
        row["shell_width"] = float(self.state.generator.shell_width)
        row["wait_seconds"] = self.waited
        row["images_per_second"] = (self.state.images - self.images_since) / max(seconds, 1e-9)
        runs.append_stats(self.run, row)
        self.terms.clear()
        self.since, self.waited, self.images_since = time.monotonic(), 0.0, self.state.images


def _all_finite(tensors: Sequence[Tensor]) -> bool:
    return bool(torch.stack([tensor.sum() for tensor in tensors]).isfinite().all())


def _crossed(images: int, batch: int, kimg: float) -> bool:
    """Whether the last batch crossed a multiple of so many thousand images."""
    interval = max(kimg * 1000, batch)
    return images // interval != (images - batch) // interval


def _with_mirrored(labels: Tensor) -> Tensor:
    return torch.cat([labels, torch.from_numpy(mirror_label(labels.numpy()))])
