"""Everything that a training run consists of, and how it is kept so that resuming equals never having stopped.

Randomness is not state: every step draws from a generator seeded by the recipe's seed, the step and the rank.
"""

from __future__ import annotations

import copy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from ssgan_core.checkpoints import load_state, save_model, save_state, without_outgrown
from ssgan_core.config import Config, config_to_json
from ssgan_core.errors import SsganError
from ssgan_core.heads.latent import ChoiceLayout, NumberLayout
from ssgan_core.layers import place
from ssgan_core.model.critic import Critic
from ssgan_core.model.discriminator import Discriminator
from ssgan_core.model.generator import Generator
from ssgan_core.parts import PartSchema
from ssgan_core.training.augmentation import Adaptation
from ssgan_core.training.runs import STATE_NAME, model_path

if TYPE_CHECKING:
    from ssgan_core.heads.frames import FrameLayout, WornLayout


@dataclass
class TrainingState:
    """Networks, their moving average, optimisers and counters.

    Attributes:
        critic, critic_optimiser: None where the recipe gives the critic no weight.
        adaptation: probability of the random transformations.
        images, steps: of this run.
        seen_before: images that the weights had seen when the run began.
    """

    generator: Generator
    average: Generator
    discriminator: Discriminator
    generator_optimiser: torch.optim.Adam
    discriminator_optimiser: torch.optim.Adam
    critic: Critic | None
    critic_optimiser: torch.optim.Adam | None
    adaptation: Adaptation
    images: int = 0
    steps: int = 0
    seen_before: int = 0

    @classmethod
    def create(cls, config: Config, schema: PartSchema, device: torch.device) -> TrainingState:
        """Freshly initialised networks; the same for the same seed."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            generator = Generator(config.model, schema)
            discriminator = Discriminator(config.discriminator, config.model, len(generator.schema.parts))
            critic = Critic(device) if config.training.critic_weight else None
        place(generator, device)
        place(discriminator, device)
        if critic is not None:
            place(critic, device)
        average = copy.deepcopy(generator).eval().requires_grad_(False)
        training = config.training
        if alone := generator.schema.listed_ids(training.parts_alone):
            generator.learn_parts_alone([part - 1 for part in alone])
        if training.traits_alone:
            generator.learn_traits_alone()
        if training.points_alone:
            generator.learn_surfaces_alone()
        if training.backdrop_alone:
            generator.learn_backdrop_alone()
        if training.keep_shapes:
            generator.keep_shapes()
        if training.keep_depths:
            generator.keep_depths()
        # Lazy regularisation (StyleGAN2, appendix B): the discriminator takes interval + 1 steps per interval.
        lazy = training.r1_interval / (training.r1_interval + 1)
        return cls(
            generator,
            average,
            discriminator,
            torch.optim.Adam(
                _mapping_apart(generator), lr=training.generator_lr, betas=(0.0, 0.99), eps=1e-8
            ),
            torch.optim.Adam(
                discriminator.parameters(),
                lr=training.discriminator_lr * lazy,
                betas=(0.0, 0.99**lazy),
                eps=1e-8,
            ),
            critic,
            None
            if critic is None
            else torch.optim.Adam(
                critic.parameters(), lr=training.discriminator_lr, betas=(0.0, 0.99), eps=1e-8
            ),
            Adaptation(config.augmentation.probability),
        )

    @property
    def age(self) -> int:
        """Images that the weights have seen, in this run and before: what annealed settings follow."""
        return self.seen_before + self.images

    def tensors(self) -> list[Tensor]:
        """Weights and buffers of all networks."""
        return [tensor for module in self._parts()[0].values() for tensor in module.state_dict().values()]

    def set_layout(self, layout: Tensor) -> None:
        """Start all parts where they usually are (see facts.part_layout)."""
        for generator in (self.generator, self.average):
            generator.parts.set_layout(layout)

    def read_first(self, count: int) -> None:
        """Start with a mapping that reads the first numbers of z only (see Mapping.read_first)."""
        for generator in (self.generator, self.average):
            generator.mapping.read_first(count)

    def set_choices(self, layout: ChoiceLayout) -> None:
        """Tell the mapping which options z chooses among.

        Raises:
            SsganError: the recipe counts others.
        """
        self._tell(
            "choices",
            len(layout.shares),
            "choose among {} options",
            (layout.directions, layout.shares, layout.groups),
        )

    def set_traits(self, layout: NumberLayout) -> None:
        """Tell codes which numbers of a head z holds.

        Raises:
            SsganError: the recipe counts others.
        """
        self._tell(
            "traits",
            len(layout.directions),
            "have {} numbers",
            (layout.directions, layout.quantiles, layout.whitening, layout.odd),
        )

    def set_frames(self, layout: FrameLayout) -> None:
        """Tell parts how points of heads lie on the mean head."""
        for generator in (self.generator, self.average):
            assert generator.parts.frames is not None
            generator.parts.frames.describe(torch.from_numpy(layout.shares), torch.from_numpy(layout.fields))

    def set_worn(self, layout: WornLayout) -> None:
        """Tell codes which kinds of hats and clothes there are, and parts how the points of each lie on its mean.

        Raises:
            SsganError: the recipe counts others.
        """
        self._check_count("worn", len(layout.options), "wear {} kinds")
        shares, fields, options = map(torch.from_numpy, (layout.shares, layout.fields, layout.options))
        for generator in (self.generator, self.average):
            frames, choices = generator.parts.frames, generator.mapping.choices
            assert frames is not None
            assert choices is not None
            frames.describe_worn(shares, fields, layout.classes)
            choices.describe_worn(options)

    def _tell(self, what: str, count: int, phrase: str, layout: tuple[np.ndarray, ...]) -> None:
        """Describe the mapping's choices or traits."""
        self._check_count(what, count, phrase)
        for generator in (self.generator, self.average):
            getattr(generator.mapping, what).describe(*(torch.from_numpy(x) for x in layout))

    def _check_count(self, what: str, count: int, phrase: str) -> None:
        counted = getattr(self.generator.config, what)
        if counted != count:
            raise SsganError(
                f"model.{what} is {counted}, but the data's heads {phrase.format(count)}",
                f"--set model.{what}={count}",
            )

    def set_shell_width(self, width: float) -> None:
        """Set the shells' width in world units."""
        for generator in (self.generator, self.average):
            generator.set_shell_width(width)

    def save(self, run: Path, config: Config) -> Path:
        """Write the moving-average model and the state that resuming needs; returns the model's path."""
        path = model_path(run, self.images)
        metadata = {**self.average.describe(), "recipe": config_to_json(config), "images_seen": self.age}
        save_model(path, self.average.state_dict(), metadata)
        modules, optimisers = self._parts()
        save_state(
            run / STATE_NAME,
            {
                "images": self.images,
                "steps": self.steps,
                "seen_before": self.seen_before,
                "adaptation": asdict(self.adaptation),
                "modules": {name: module.state_dict() for name, module in modules.items()},
                "optimisers": {name: optimiser.state_dict() for name, optimiser in optimisers.items()},
            },
        )
        return path

    def restore(self, run: Path) -> None:
        """Continue from a run's state.

        Raises:
            SsganError: the file is damaged, or was written by another recipe.
        """
        state: dict[str, Any] = load_state(run / STATE_NAME)
        modules, optimisers = self._parts()
        try:
            for name, module in modules.items():
                module.load_state_dict(without_outgrown(state["modules"][name]))
            for name, optimiser in optimisers.items():
                optimiser.load_state_dict(state["optimisers"][name])
            self.images, self.steps = int(state["images"]), int(state["steps"])
            self.seen_before = int(state["seen_before"])
            self.adaptation = Adaptation(**state["adaptation"])
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise SsganError(f"{run / STATE_NAME} does not fit the run's recipe: {reason}") from error

    def _parts(self) -> tuple[dict[str, nn.Module], dict[str, torch.optim.Optimizer]]:
        modules: dict[str, nn.Module] = {
            "generator": self.generator,
            "average": self.average,
            "discriminator": self.discriminator,
        }
        optimisers: dict[str, torch.optim.Optimizer] = {
            "generator": self.generator_optimiser,
            "discriminator": self.discriminator_optimiser,
        }
        if self.critic is not None and self.critic_optimiser is not None:
            modules["critic"], optimisers["critic"] = self.critic, self.critic_optimiser
        return modules, optimisers


def _mapping_apart(generator: Generator) -> list[dict[str, Any]]:
    """The generator's parameters in two groups, of which "mapping" says which is the mapping's."""
    mapping = list(generator.mapping.parameters())
    apart = set(mapping)
    others = [parameter for parameter in generator.parameters() if parameter not in apart]
    return [{"params": others, "mapping": False}, {"params": mapping, "mapping": True}]
