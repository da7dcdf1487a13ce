"""What a training step costs: generator, discriminator and the lazy R1 penalty, amortised over its interval.

    python -m benchmarks.training_step --recipe 128 256 512

Prints a table and, last, one line of JSON. Batches are random numbers that lie on the device already, so that loading
is left out; `ssgan train` reports how long it waits for data. Every phase is the trainer's own, optimisers included;
a recipe's warm-up is passed over.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Any

import torch

from benchmarks.smooth_head import labels, layout_prior
from benchmarks.timing import Cost, cost, report, row
from ssgan_core.config import Config, load_config
from ssgan_core.parts import PORTRAIT, PartSchema
from ssgan_core.training.data import Batch
from ssgan_core.training.facts import DataFacts
from ssgan_core.training.loop import Trainer
from ssgan_core.training.state import TrainingState


@dataclass(frozen=True)
class _NoPictures:
    """What a trainer asks of its source."""

    schema: PartSchema = PORTRAIT
    has_depth: bool = True


def main() -> None:
    options = _options()
    if options.threads:
        torch.set_num_threads(options.threads)
    rows = [measured for recipe in options.recipe for measured in measure(recipe, options)]
    report(rows, options.device)


def measure(recipe: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """The step without R1, the step with it, and the average over R1's interval."""
    overrides = ["training.warmup_kimg=0", *([f"training.batch={options.batch}"] if options.batch else [])]
    config = load_config(recipe, [*overrides, *options.set])
    device = torch.device(options.device)
    trainer = make_trainer(config, device)
    batch = random_batch(config, device)
    interval = config.training.r1_interval

    def step(remainder: int) -> None:
        trainer.state.steps = trainer.state.steps // interval * interval + remainder
        trainer.step(batch)

    with_r1 = cost(lambda: step(0), options.device, options.repeats)
    without = cost(lambda: step(1), options.device, options.repeats)
    mib = None if with_r1.mib is None or without.mib is None else max(with_r1.mib, without.mib)
    amortised = Cost((with_r1.ms + (interval - 1) * without.ms) / interval, mib)
    phases = {"without R1": without, "with R1": with_r1, f"R1 every {interval}": amortised}
    return [
        row({"recipe": recipe, "phase": phase}, config.training.batch, found)
        for phase, found in phases.items()
    ]


def make_trainer(config: Config, device: torch.device) -> Trainer:
    """A fresh trainer whose parts have a smooth head's layout and whose data knows depth."""
    parts = len(PORTRAIT.foreground)
    facts = DataFacts(
        part_areas=torch.full((parts + 1,), 1 / (parts + 1)),
        layout=layout_prior(config.model.part_resolution, parts),
        image_spread=1.0,
        mask_spread=1.0,
        labels=labels(64),
        backdrops=torch.zeros(2, config.model.backdrop) if config.model.backdrop else None,
    )
    state = TrainingState.create(config, PORTRAIT, device)
    state.generator.parts.layout_prior.copy_(facts.layout)
    return Trainer(config, state, _NoPictures(), facts, device)  # type: ignore[arg-type]


def random_batch(config: Config, device: torch.device) -> Batch:
    """Noise in the shapes of real examples."""
    count, side = config.training.batch, config.model.resolution
    rng = torch.Generator().manual_seed(0)
    return Batch(
        images=torch.randint(256, (count, 3, side, side), generator=rng, dtype=torch.uint8),
        masks=torch.randint(len(PORTRAIT.parts), (count, side, side), generator=rng, dtype=torch.uint8),
        depths=torch.rand(count, 1, side, side, generator=rng) * 0.3 + 2.5,
        labels=labels(count),
        indices=torch.arange(count),
        mirrored=torch.zeros(count, dtype=torch.bool),
    ).to(device)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--recipe", nargs="+", default=["128", "256", "512"])
    parser.add_argument("--set", action="append", default=[], help="section.key=value of the recipes")
    parser.add_argument("--batch", type=int, default=0, help="0: the recipe's")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (0: PyTorch's choice)")
    parser.add_argument("--repeats", type=int, default=0, help="0: 7 on a CPU, 100 on a GPU")
    return parser.parse_args()


if __name__ == "__main__":
    main()
