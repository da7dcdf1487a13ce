"""What a run tells while it runs: rows of stats.jsonl, the same numbers for TensorBoard, and grids of samples."""

from __future__ import annotations

import time
import warnings
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ssgan_core.training import runs
from ssgan_core.training.data import Batch
from ssgan_core.training.monitor import Monitor
from ssgan_core.training.ranks import Ranks
from ssgan_core.training.trainer import Trainer

_NOTED_WAIT = 0.1  # share of the time


class Log:
    """Collects loss terms between ticks. All ranks call it and measure; rank 0 writes.

    Args:
        monitor: measures the moving average.
    """

    def __init__(self, run: Path, trainer: Trainer, monitor: Monitor, ranks: Ranks) -> None:
        self.run = run
        self.trainer = trainer
        self.state = trainer.state
        self.monitor = monitor
        self.ranks = ranks
        self.board = _tensorboard(run, self.state.images) if ranks.first else None
        self.terms: dict[str, list[Tensor]] = defaultdict(list)
        self.since = time.monotonic()
        self.waited = 0.0
        self.images_since, self.skipped_since = self.state.images, 0
        rows = ranks.from_first(lambda: runs.read_stats(run))
        self.measured: dict[str, float] = rows[-1] if rows else {}
        if not rows:
            self.tick()
            self.grid()

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
        if skipped := self.trainer.skipped_updates:
            facts.append(f"{skipped} updates skipped, not finite")
        waited = self.waited / max(time.monotonic() - self.since, 1e-9)
        if waited > _NOTED_WAIT:
            facts.append(f"{waited:.0%} of the time waiting for data")
        return "  ".join(facts)

    def tick(self) -> None:
        """Write a row: means of the loss terms over ranks and steps since the last, and measurements."""
        seconds = time.monotonic() - self.since
        means = {name: torch.stack(values).float().mean() for name, values in self.terms.items()}
        self.ranks.average(list(means.values()))
        self.measured = self.monitor.measure(self.state.average)
        if self.ranks.first:
            self._write({name: float(value) for name, value in means.items()}, seconds)
        self.terms.clear()
        self.since, self.waited = time.monotonic(), 0.0
        self.images_since, self.skipped_since = self.state.images, self.trainer.skipped_updates

    def grid(self) -> None:
        """Write the picture of six samples and their views."""
        if self.ranks.first:
            self.monitor.snapshot(self.state.average, self.run / f"grid-{self.state.images:09d}.png")

    def close(self) -> None:
        """Write what TensorBoard has not got yet."""
        if self.board is not None:
            self.board.close()

    def _write(self, terms: dict[str, float], seconds: float) -> None:
        state = self.state
        row: dict[str, float] = {"images": state.images, "steps": state.steps, "ranks": self.ranks.count}
        row |= terms | self.measured
        row["shell_width"] = float(state.generator.shell_width)
        training, schedule = self.trainer.config.training, self.trainer.schedule
        if training.render_start:
            row["render_side"] = schedule.render_side(state.age)
        if training.part_start:
            row["part_side"] = schedule.part_side(state.age)
        if self.trainer.config.augmentation.mode != "off":
            row["augmentation"] = state.adaptation.probability
        row["skipped_updates"] = self.trainer.skipped_updates - self.skipped_since
        row["wait_seconds"] = self.waited
        row["images_per_second"] = (state.images - self.images_since) / max(seconds, 1e-9)
        runs.append_stats(self.run, row)
        if self.board is not None:
            for name, value in row.items():
                self.board.add_scalar(name, value, state.images)
            self.board.flush()


def _tensorboard(run: Path, images: int) -> Any:
    """A writer of events into the run folder, or None where TensorBoard is not installed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about its own dependencies
            from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    # Events of steps after the state that a run resumes from are hidden, as stats.jsonl forgets their rows.
    return SummaryWriter(str(run), purge_step=images + 1)
