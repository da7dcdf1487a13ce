"""Everything in a training run that depends on how many images were seen."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from ssgan_core.config import Config
from ssgan_core.losses import default_image_gamma, default_mask_gamma


@dataclass(frozen=True)
class Schedule:
    """Annealed and size-scaled settings of a recipe; `images` is the number of images seen."""

    config: Config

    @property
    def total_images(self) -> int:
        """Images after which training is complete, in whole batches."""
        batch = self.config.training.batch
        return max(1, round(self.config.training.kimg * 1000 / batch)) * batch

    @property
    def image_gamma(self) -> float:
        """R1 weight on images."""
        training = self.config.training
        return training.image_gamma or default_image_gamma(self.config.model.resolution, training.batch)

    @property
    def mask_gamma(self) -> float:
        """R1 weight on rendered masks."""
        return self.config.training.mask_gamma or default_mask_gamma(self.config.model.render_resolution)

    def generator_lr(self, images: int) -> float:
        """Learning rate of the generator's next step."""
        return self.config.training.generator_lr * self._pace(images)

    def discriminator_lr(self, images: int) -> float:
        """Learning rate of the discriminator's next step, for lazy regularisation (StyleGAN2, appendix B)."""
        training = self.config.training
        lazy = training.r1_interval / (training.r1_interval + 1)
        return training.discriminator_lr * lazy * self._pace(images)

    def critic_lr(self, images: int) -> float:
        """Learning rate of the critic's next step."""
        return self.config.training.discriminator_lr * self._pace(images)

    @property
    def warmup_images(self) -> int:
        """Images in which known heads are reconstructed, in whole batches."""
        return self._whole_batches(self.config.training.warmup_kimg)

    @property
    def truth_images(self) -> int:
        """Images after which no known head is reconstructed any more, in whole batches."""
        return self.warmup_images + self._whole_batches(self.config.training.truth_kimg)

    def is_warmup(self, images: int) -> bool:
        """Whether this step reconstructs known heads instead of playing the adversarial game."""
        return images < self.warmup_images

    def mapping_speed(self, images: int) -> float:
        """The mapping's learning rate in terms of the generator's."""
        return self.config.training.warmup_mapping if self.is_warmup(images) else 1.0

    def truth_share(self, images: int) -> float:
        """Share of the game's steps in which known heads are reconstructed, too: falls linearly after the warm-up."""
        length = self.config.training.truth_kimg * 1000
        return 0.0 if length == 0 else max(0.0, 1 - (images - self.warmup_images) / length)

    def shell_width(self, images: int) -> float:
        """Gaussian shell width, world units: falls geometrically."""
        training = self.config.training
        return _geometric(
            training.shell_start, self.config.model.shell_width, images / (training.shell_kimg * 1000)
        )

    def render_side(self, images: int) -> int:
        """Rays along a side: grows linearly in steps of 8."""
        training, end = self.config.training, self.config.model.render_resolution
        return _grown(training.render_start or end, end, images / (training.render_kimg * 1000))

    def part_side(self, images: int) -> int:
        """Texels along a side of the parts' maps: grows linearly in steps of 8."""
        training, end = self.config.training, self.config.model.part_resolution
        return _grown(training.part_start or end, end, images / (training.part_kimg * 1000))

    def mask_blur(self, images: int) -> float:
        """Blur of the judged masks, pixels: falls geometrically."""
        training = self.config.training
        return _geometric(training.blur_start, training.blur_end, images / (training.blur_kimg * 1000))

    def ema_decay(self, images: int) -> float:
        """How much of the moving average a step keeps: its half-life is ema_kimg, less while few images were seen."""
        training = self.config.training
        half_life = min(training.ema_kimg * 1000, training.ema_rampup * images)
        return 0.5 ** (training.batch / max(half_life, 1e-8))

    def _whole_batches(self, kimg: float) -> int:
        batch = self.config.training.batch
        return ceil(kimg * 1000 / batch) * batch

    def _pace(self, images: int) -> float:
        """Linear from zero to one, as optimisers without moments begin with small steps, and to zero at the end, where
        smaller steps average out what batches differ in."""
        training = self.config.training
        rise, fall = training.lr_ramp_kimg * 1000, training.lr_fall_kimg * 1000
        risen = 1.0 if rise == 0 else min(1.0, (images + training.batch) / rise)
        left = 1.0 if fall == 0 else min(1.0, (self.total_images - images) / fall)
        return risen * left


def _grown(start: int, end: int, progress: float) -> int:
    return end if progress >= 1 else start + 8 * int(progress * (end - start) / 8)


def _geometric(start: float, end: float, progress: float) -> float:
    return start * (end / start) ** min(max(progress, 0.0), 1.0)
