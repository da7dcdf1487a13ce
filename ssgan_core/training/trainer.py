"""One optimisation step after another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ssgan_core.cameras import mirror_label
from ssgan_core.config import Config
from ssgan_core.errors import SsganError
from ssgan_core.model.critic import Pair
from ssgan_core.training.backdrops import Backdrops
from ssgan_core.training.data import Batch, TrainingSource
from ssgan_core.training.ema import update_average
from ssgan_core.training.exchange import EVERY, exchange_terms
from ssgan_core.training.facts import DataFacts
from ssgan_core.training.phases import Examples, Phases
from ssgan_core.training.ranks import ALONE, Ranks
from ssgan_core.training.schedule import Schedule
from ssgan_core.training.state import TrainingState
from ssgan_core.training.warmup import Warmup

_MOST_BAD_STEPS = 5


class Trainer:
    """Takes the steps of a recipe; all ranks take them together.

    Attributes:
        skipped_updates: how many updates of a network were left out so far, because a gradient was not finite.
    """

    def __init__(
        self,
        config: Config,
        state: TrainingState,
        source: TrainingSource,
        facts: DataFacts,
        device: torch.device,
        ranks: Ranks = ALONE,
    ) -> None:
        self.config = config
        self.state = state
        self.ranks = ranks
        self.schedule = Schedule(config)
        self.phases = Phases(config, state.generator, state.discriminator, source.has_depth, device)
        self.labels = _with_mirrored(facts.labels) if config.data.mirror else facts.labels
        self.warmup = (
            Warmup(
                self.phases,
                source.parameter_count(),
                facts.part_areas,
                self.labels,
                state.critic,
                None if facts.backdrops is None else Backdrops(facts.backdrops),
            )
            if config.training.uses_truth
            else None
        )
        self.device = device
        self.skipped_updates = 0
        self._bad_steps = 0

    def step(self, batch: Batch) -> dict[str, Tensor]:
        """Show one batch (this rank's share of it): returns the loss terms.

        Raises:
            SsganError: several steps in a row had gradients that are not finite.
        """
        skipped_before = self.skipped_updates
        state, training = self.state, self.config.training
        state.generator.set_sides(self.schedule.render_side(state.age), self.schedule.part_side(state.age))
        state.generator.set_shell_width(self.schedule.shell_width(state.age))
        seed = self.config.seed * 1_000_003 + state.steps + self.ranks.seed_offset
        rng = torch.Generator().manual_seed(seed)
        if self.warmup is not None and self.schedule.is_warmup(state.images):
            terms = self._warmup_step(self.warmup, batch, rng)
        else:
            terms = self._adversarial_step(batch, rng)
        self._bad_steps = 0 if self.skipped_updates == skipped_before else self._bad_steps + 1
        if self._bad_steps == _MOST_BAD_STEPS:
            raise self.divergence()
        state.images += training.batch
        state.steps += 1
        update_average(state.average, state.generator, self.schedule.ema_decay(state.age))
        return {name: value.detach() for name, value in terms.items()}

    def divergence(self) -> SsganError:
        """The error for a run whose numbers left the finite."""
        return SsganError(
            f"training diverged after {self.state.images} images: numbers that are not finite",
            "resume from the last snapshot with a lower learning rate or a larger R1 gamma",
        )

    def _warmup_step(self, warmup: Warmup, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        training = self.config.training
        if training.backdrop_alone or training.points_alone:
            undrawn = warmup.backdrop if training.backdrop_alone else warmup.surfaces
            terms, loss = undrawn(batch, rng)
            loss.backward()
            self._update_generator()
            return terms
        known = warmup.reconstruction(batch, rng)
        known.loss.backward()
        terms = known.terms | self._exchange(batch, rng)
        self._update_generator()
        return terms | self._critic_phase(known.pair)

    def _adversarial_step(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        state, config = self.state, self.config
        state.discriminator.requires_grad_(False)
        real, augmentation = self.phases.real(batch, state.age), state.adaptation.probability
        terms, fake, pair = self._generator_terms(batch, real, rng)
        terms |= self._exchange(batch, rng)
        self._update_generator()
        terms |= self._critic_phase(pair)
        state.discriminator.requires_grad_(True)
        terms |= self.phases.discriminator_phase(real, fake, rng, augmentation)
        self._update_discriminator([terms["sign_real"]])
        if state.steps % config.training.r1_interval == 0:
            terms |= self.phases.penalty_phase(real, fake, rng, augmentation)
            self._update_discriminator()
        if config.augmentation.mode == "adaptive":
            state.adaptation.observe(float(terms["sign_real"]), config.training.batch, config.augmentation)
        return terms

    def _generator_terms(
        self, batch: Batch, real: Examples, rng: torch.Generator
    ) -> tuple[dict[str, Tensor], Examples, Pair | None]:
        """The generator's gradients: by random heads, or by known ones that are reconstructed at the same time.

        Returns:
            The terms, the examples that were generated, and known ones beside the truth as the critic sees them.
        """
        age, augmentation = self.state.age, self.state.adaptation.probability
        if self.warmup is None or not self.reconstructs():
            labels = self._draw_labels(batch, rng)
            views = batch.views_a_head()
            return *self.phases.generator_phase(real, views, labels, rng, age, augmentation), None
        known = self.warmup.reconstruction(batch, rng)
        fake = self.phases.judged(known.output, batch.labels, age)
        terms = known.terms | self.phases.adversarial_terms(fake, real, rng, augmentation)
        (known.loss + terms["loss_g"]).backward()
        return terms, fake.detached(), known.pair

    def _critic_phase(self, pair: Pair | None) -> dict[str, Tensor]:
        """The critic learns to tell what was drawn from what is true."""
        critic, optimiser = self.state.critic, self.state.critic_optimiser
        if pair is None or critic is None or optimiser is None:
            return {}
        with self.phases.autocast():
            loss, right = critic.loss(pair)
        loss.backward()
        self._update(optimiser, self.schedule.critic_lr(self.state.images))
        return {"loss_critic": loss, "critic_right": right}

    def _exchange(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Gradients of what leaks out of exchanged parts, in some of the steps."""
        weight = self.config.training.exchange_weight
        if weight == 0 or self.state.steps % EVERY:
            return {}
        with self.phases.autocast():
            terms = exchange_terms(self.state.generator, batch.labels, rng)
        (weight * EVERY * torch.stack(list(terms.values())).sum()).backward()
        return terms

    def reconstructs(self) -> bool:
        """Whether the game's next step reconstructs known heads: all ranks decide alike, as they average terms."""
        chance = np.random.default_rng([self.config.seed, self.state.steps]).random()
        return bool(chance < self.schedule.truth_share(self.state.images))

    def _draw_labels(self, batch: Batch, rng: torch.Generator) -> Tensor:
        if self.phases.relativistic:
            return batch.labels
        chosen = torch.randint(len(self.labels), (len(batch.labels),), generator=rng)
        return self.labels[chosen].to(self.device)

    def _update_generator(self) -> None:
        state = self.state
        self._update(
            state.generator_optimiser,
            self.schedule.generator_lr(state.images),
            mapping_speed=self.schedule.mapping_speed(state.images),
        )

    def _update_discriminator(self, alongside: Sequence[Tensor] = ()) -> None:
        lr = self.schedule.discriminator_lr(self.state.images)
        self._update(self.state.discriminator_optimiser, lr, alongside)

    def _update(
        self,
        optimiser: torch.optim.Adam,
        lr: float,
        alongside: Sequence[Tensor] = (),
        mapping_speed: float = 1.0,
    ) -> None:
        """Take the step with the ranks' mean gradients, unless one is not finite.

        Args:
            lr: learning rate of the step.
            alongside: what else the ranks average, in the same reduction.
            mapping_speed: the mapping's rate in terms of the others'.
        """
        for group in optimiser.param_groups:
            group["lr"] = lr * (mapping_speed if group.get("mapping") else 1.0)
        learning = [p for group in optimiser.param_groups for p in group["params"] if p.requires_grad]
        for parameter in learning:  # a rank whose heads wear no glasses learns nothing of them; others may
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        gradients = [parameter.grad for parameter in learning]
        self.ranks.average([*gradients, *alongside])
        if _all_finite(gradients):
            optimiser.step()
        else:
            self.skipped_updates += 1
        optimiser.zero_grad(set_to_none=True)


def _all_finite(tensors: Sequence[Tensor]) -> bool:
    return bool(torch.stack([tensor.sum() for tensor in tensors]).isfinite().all())


def _with_mirrored(labels: Tensor) -> Tensor:
    return torch.cat([labels, torch.from_numpy(mirror_label(labels.numpy()))])
