"""Trains the parser on synthetic portraits; `tools/train_parser.py` is its command line.

Most steps see small pictures, which are cheap; the last ones see them at the size that the parser works at.
The learning rate is constant while they are small and falls along a cosine to zero afterwards, so that a
budget of time needs to be turned into a number of steps only once, at the change. Randomness is not state:
every step draws from generators seeded by the recipe's seed and the step, so that the same seed, data and numbers
of steps give the same weights, interrupted or not.

A step's pictures are shared out in two halves whose gradients are averaged. Each half is varied, seen and
differentiated by one thread: on two cores that is nearly twice as fast, which PyTorch's own threads, which
share out single operations, are not.
"""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor
from torch.optim.swa_utils import AveragedModel

from ssgan_core.checkpoints import load_state, save_state
from ssgan_core.errors import SsganError
from ssgan_core.parsing.agreement import Agreement
from ssgan_core.parsing.augmentation import IGNORED, augment
from ssgan_core.parsing.data import TrainingData
from ssgan_core.parsing.network import STRIDE, WIDTHS, ParserNetwork
from ssgan_core.parsing.parser import SIZE, FaceParser
from ssgan_core.parts import PORTRAIT
from ssgan_core.progress import Progress, silent

_EVAL_BATCH = 8
_SAVE_SECONDS = 60.0
_HALVES = 2  # of a step; not an option, because the weights depend on it


@dataclass(frozen=True)
class Recipe:
    """Everything but the data that decides the weights.

    Attributes:
        seed: of initial weights and every step's chance.
        small_steps: steps on small pictures; None = until `small_share` of a time budget is used up.
        full_steps: steps at full size; None = as many as the rest of the budget allows.
        small_share: part of a time budget that small pictures get.
        size: side of the full pictures, pixels, a multiple of 64; small ones have half of it.
        small_batch, full_batch: pictures a step, even.
        learning_rate, weight_decay, betas: of AdamW.
        warmup_steps: steps in which the learning rate rises from zero.
        average_decay: of the moving average of the weights, once there are steps enough behind it.
        largest_gradient: norm that gradients are cut to.
        precision: "fp32", or "bf16" for the network's convolutions, which processors with AMX do twice as fast.
        new_share: of the trained weights in the result; the rest are those that the training went on from. Between both
            lie weights that do better on pictures unlike the training's than either (Wortsman et al., 2022).
        initial: sha256 of the parser whose weights the training goes on from; "" = random ones.
    """

    seed: int = 0
    small_steps: int | None = None
    full_steps: int | None = None
    small_share: float = 0.6
    size: int = SIZE
    small_batch: int = 16
    full_batch: int = 8
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    betas: tuple[float, float] = (0.9, 0.99)
    warmup_steps: int = 50
    average_decay: float = 0.998
    largest_gradient: float = 1.0
    precision: str = "fp32"
    new_share: float = 1.0
    initial: str = ""

    def __post_init__(self) -> None:
        if self.size % (2 * STRIDE):
            raise SsganError(f"the size must be a multiple of {2 * STRIDE}, got {self.size}")
        if self.small_batch % _HALVES or self.full_batch % _HALVES:
            raise SsganError(f"batches must be even, got {self.small_batch} and {self.full_batch}")
        if (self.small_steps is None) != (self.full_steps is None):
            raise SsganError("both numbers of steps are given, or none", "name the small and the full steps")
        if not 0 < self.small_share < 1:
            raise SsganError(f"the share of small pictures lies between 0 and 1, got {self.small_share}")
        if not 0 < self.learning_rate < 1:
            raise SsganError(f"the learning rate lies between 0 and 1, got {self.learning_rate}")
        if self.precision not in ("fp32", "bf16"):
            raise SsganError(f"the precision is fp32 or bf16, got {self.precision}")
        if not 0 < self.new_share <= 1:
            raise SsganError(f"the share of new weights lies above 0 and up to 1, got {self.new_share}")
        if self.full_steps is not None and self.full_steps < 1:
            raise SsganError(f"at least one step must be at full size, got {self.full_steps}")


def parsing_loss(logits: Tensor, masks: Tensor, part_weights: Tensor) -> Tensor:
    """Weighted cross-entropy plus soft Dice of the parts that the batch shows.

    Args:
        logits: [B, C, S, S].
        masks: ids [B, S, S] int64; pixels with IGNORED do not count.
        part_weights: [C].
    """
    known = masks != IGNORED
    ids = torch.where(known, masks, 0)
    classes = logits.shape[1]
    logs = logits.log_softmax(1)
    right = logs.gather(1, ids[:, None])[:, 0]  # of the true part
    weights = part_weights[ids] * known
    entropy = -(weights * right).sum() / weights.sum()
    truth = torch.bincount(ids[known], minlength=classes).float()
    both = torch.zeros(classes).index_add(0, ids.flatten(), (right.exp() * known).flatten())
    seen = torch.einsum("bchw,bhw->c", logs.exp(), known.float())
    dice = 1 - 2 * both / (truth + seen).clamp_min(1.0)
    return entropy + dice[truth > 0].mean()


class ParserTraining:
    """Network, moving average, optimiser and how far they have come.

    Attributes:
        recipe: with the numbers of steps as far as they are decided.
        average: the moving average of the network's weights.
        steps: done so far.
        seconds: spent so far, over all sessions.
    """

    def __init__(self, data: TrainingData, recipe: Recipe, initial: FaceParser | None = None) -> None:
        """At its beginning.

        Args:
            data: what to train on.
            recipe: how; its `initial` becomes that of this call.
            initial: a parser whose weights to go on from; None = random ones.
        """
        self.data = data
        if initial is None and recipe.new_share < 1:
            raise SsganError("there are no other weights to mix the new ones with", "name some to go on from")
        self.recipe = replace(recipe, initial=initial.sha256 if initial else "")
        self._initial = initial
        self.steps = 0
        self.seconds = 0.0
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.seed)
            self.network = ParserNetwork(len(PORTRAIT.parts), initial.network.widths if initial else WIDTHS)
        if initial is not None:
            self.network.load_state_dict(initial.network.state_dict())
        self._average = AveragedModel(
            self.network,
            # A young average remembers less, or the initial weights would stay in it.
            avg_fn=lambda mean, new, count: mean.lerp(
                new, 1 - min(recipe.average_decay, (1 + int(count)) / (10 + int(count)))
            ),
        )
        self._optimiser = torch.optim.AdamW(
            self.network.parameters(), lr=0.0, betas=recipe.betas, weight_decay=recipe.weight_decay
        )

    @property
    def average(self) -> ParserNetwork:
        network = self._average.module
        assert isinstance(network, ParserNetwork)
        return network

    def result(self) -> ParserNetwork:
        """The moving average, mixed with the weights that the training went on from as the recipe says."""
        mixed = copy.deepcopy(self.average)
        if self._initial is not None:
            before = self._initial.network.state_dict()
            mixed.load_state_dict(
                {
                    name: before[name].lerp(new, self.recipe.new_share)
                    for name, new in self.average.state_dict().items()
                }
            )
        return mixed

    @property
    def small(self) -> bool:
        """Whether the next step sees small pictures."""
        return self.recipe.small_steps is None or self.steps < self.recipe.small_steps

    @property
    def total_steps(self) -> int | None:
        """Of the whole training; None while a time budget has not been turned into steps."""
        small, full = self.recipe.small_steps, self.recipe.full_steps
        return None if small is None or full is None else small + full

    def step(self, threads: ThreadPoolExecutor | None = None) -> float:
        """One step; returns its loss. The result is the same with and without threads."""
        halves = range(_HALVES)
        made = list(threads.map(self._half, halves) if threads else map(self._half, halves))
        parameters = list(self.network.parameters())
        for place, parameter in enumerate(parameters):
            parameter.grad = torch.stack([gradients[place] for _, gradients in made]).mean(0)
        torch.nn.utils.clip_grad_norm_(parameters, self.recipe.largest_gradient)
        for group in self._optimiser.param_groups:
            group["lr"] = self._learning_rate()
        self._optimiser.step()
        self._average.update_parameters(self.network)
        self.steps += 1
        return sum(loss for loss, _ in made) / _HALVES

    def _half(self, half: int) -> tuple[float, Sequence[Tensor]]:
        """Loss and gradients of half a step's pictures."""
        recipe = self.recipe
        seed = np.random.SeedSequence([recipe.seed, self.steps, half]).generate_state(1, np.uint64)[0]
        draw = Generator().manual_seed(int(seed))
        batch = (recipe.small_batch if self.small else recipe.full_batch) // _HALVES
        images, masks = augment(*self.data.batch(batch, self.small, draw), PORTRAIT, draw)
        with torch.autocast("cpu", torch.bfloat16, enabled=recipe.precision == "bf16"):
            logits = self.network(images)
        logits = F.interpolate(logits.float(), size=masks.shape[1:], mode="bilinear", align_corners=False)
        loss = parsing_loss(logits, masks, self.data.part_weights)
        return loss.item(), torch.autograd.grad(loss, list(self.network.parameters()))

    def _learning_rate(self) -> float:
        recipe = self.recipe
        rate = recipe.learning_rate * min(1.0, (self.steps + 1) / recipe.warmup_steps)
        if self.small:
            return rate
        assert recipe.small_steps is not None
        assert recipe.full_steps is not None
        done = (self.steps - recipe.small_steps) / recipe.full_steps
        return rate * 0.5 * (1 + math.cos(math.pi * done))

    def plan(self, seconds_left: float, threads: ThreadPoolExecutor | None = None) -> None:
        """Turn the rest of a time budget into steps at full size, of which a copy takes three to find the pace."""
        scratch = copy.deepcopy(self, {id(self.data): self.data})  # all but the data
        scratch.recipe = replace(self.recipe, small_steps=self.steps, full_steps=3)
        scratch.step(threads)
        started = time.monotonic()
        scratch.step(threads)
        scratch.step(threads)
        pace = (time.monotonic() - started) / 2
        self.recipe = replace(
            self.recipe, small_steps=self.steps, full_steps=max(1, int(seconds_left / pace))
        )

    def validate(self) -> Agreement:
        """How the result does on the people held out, as drawn."""
        parser = FaceParser(self.result(), PORTRAIT, {}, "")
        found = Agreement(len(PORTRAIT.parts))
        indices = self.data.held_out
        for start in range(0, len(indices), _EVAL_BATCH):
            chosen = torch.from_numpy(indices[start : start + _EVAL_BATCH])
            seen = parser.mask(self.data.images[chosen].float() / 127.5 - 1)
            for truth, predicted in zip(self.data.masks[chosen], seen, strict=True):
                found.add(truth.numpy(), predicted.numpy())
        return found

    def save(self, path: Path) -> None:
        """Write all that `restore` needs, atomically."""
        save_state(
            path,
            {
                "recipe": json.dumps(asdict(self.recipe)),
                "data": self.data.facts["sha256"],
                "steps": self.steps,
                "seconds": self.seconds,
                "network": self.network.state_dict(),
                "average": self._average.state_dict(),
                "optimiser": self._optimiser.state_dict(),
            },
        )

    def restore(self, path: Path) -> None:
        """Go on from a saved state.

        Raises:
            SsganError: it is damaged, or was written for other data or another recipe.
        """
        state = load_state(path)
        hint = "remove it to begin anew"
        try:
            stored = json.loads(state["recipe"])
            stored["betas"] = tuple(stored["betas"])
            recipe = Recipe(**stored)
            wanted = self.recipe
            decided = replace(
                recipe,
                small_steps=wanted.small_steps if wanted.small_steps is None else recipe.small_steps,
                full_steps=wanted.full_steps if wanted.full_steps is None else recipe.full_steps,
            )
            if decided != wanted or state["data"] != self.data.facts["sha256"]:
                raise SsganError(f"{path} was written for another recipe or other data", hint)
            self.network.load_state_dict(state["network"])
            self._average.load_state_dict(state["average"])
            self._optimiser.load_state_dict(state["optimiser"])
            self.recipe, self.steps, self.seconds = recipe, state["steps"], state["seconds"]
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise SsganError(f"{path} is no state of a parser's training", hint) from error


def train(
    training: ParserTraining,
    state: Path,
    minutes: float | None = None,
    threads: int = 1,
    progress: Progress = silent,
) -> None:
    """Train to the end, saving the state every minute; goes on where a saved state stopped.

    Args:
        training: new, or restored.
        state: file for the state.
        minutes: time budget over all sessions; needed unless the recipe says both numbers of steps.
        threads: 1 or 2, beside PyTorch's own, of which there had better be one; no matter to the result.
        progress: called after every step, with thousandths of the budget until steps are decided.

    Raises:
        SsganError: neither steps nor minutes are given, or the disk is full.
    """
    if minutes is None and training.total_steps is None:
        raise SsganError("a training needs an end", "give minutes, or both numbers of steps")
    budget = math.inf if minutes is None else 60 * minutes
    saved = time.monotonic()
    losses: list[float] = []
    with ThreadPoolExecutor(min(threads, _HALVES)) as pool:
        while training.total_steps is None or training.steps < training.total_steps:
            started = time.monotonic()
            if training.total_steps is None and training.seconds >= training.recipe.small_share * budget:
                training.plan(budget - training.seconds, pool)
            losses = [*losses[-99:], training.step(pool)]
            training.seconds += time.monotonic() - started
            note = f"loss {np.mean(losses):.3f}, step {training.steps}"
            if training.total_steps is None:
                progress(int(1000 * training.seconds / budget), 1000, note)
            else:
                progress(training.steps, training.total_steps, note)
            if time.monotonic() - saved > _SAVE_SECONDS:
                training.save(state)
                saved = time.monotonic()
    training.save(state)
