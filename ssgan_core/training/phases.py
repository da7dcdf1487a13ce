"""The steps that training is made of: one function a phase, each computing gradients and nothing else."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ssgan_core import losses
from ssgan_core.config import Config
from ssgan_core.layers import has_fast_bf16, resize_bilinear
from ssgan_core.model.codes import Codes
from ssgan_core.model.discriminator import Discriminator
from ssgan_core.model.generator import Generator, Output, PartMaps
from ssgan_core.training.augmentation import augment
from ssgan_core.training.data import Batch
from ssgan_core.training.schedule import Schedule


class Examples(NamedTuple):
    """What the discriminator judges.

    Attributes:
        images: [B, 6, H, H] image and upsampled low-resolution image, in [-1, 1].
        masks: [B, K + 1 (+ 1 depth), R, R] in [-1, 1].
        labels: [B, 25] cameras.
    """

    images: Tensor
    masks: Tensor
    labels: Tensor

    def detached(self) -> Examples:
        """The same without the graph that made them."""
        return Examples(self.images.detach(), self.masks.detach(), self.labels)


class Phases:
    """The networks' loss computations under one recipe.

    What the phases have in common:
        batch, real: real examples, as the data has them and as the discriminator sees them.
        fake: generated examples, with the relativistic loss seen by the cameras of the batch, so that pairs share one.
            The discriminator learns from those that the generator was taught by in the same step: drawing others would
            take another quarter of a step's time.
        rng: CPU random generator of this step and phase.
        images_seen: what annealed settings follow.
        augmentation: probability of each random transformation of what the discriminator sees.

    Args:
        has_depth: whether the data knows depth; without it, or where the generator has none, the discriminator's depth
            channel is zero on both sides.
    """

    def __init__(
        self,
        config: Config,
        generator: Generator,
        discriminator: Discriminator,
        has_depth: bool,
        device: torch.device,
    ) -> None:
        self.config = config
        self.schedule = Schedule(config)
        self.generator = generator
        self.discriminator = discriminator
        self.has_depth = has_depth and generator.has_depth
        self.device = device
        self.relativistic = config.training.loss == "relativistic"
        self._low_precision = config.training.precision == "bf16" and has_fast_bf16(device)

    def generator_phase(
        self,
        real: Examples,
        views: int,
        labels: Tensor,
        rng: torch.Generator,
        images_seen: int,
        augmentation: float = 0.0,
    ) -> tuple[dict[str, Tensor], Examples]:
        """Gradients of the adversarial and curvature losses for the generator.

        Args:
            views: of each random head: as many as the real examples show of theirs, so that nothing but their looks
                tells the two apart.
            labels: [B, 25] cameras to draw from.

        Returns:
            The terms, and the examples that were generated.
        """
        views = views if self.generator.has_depth else 1
        with self.autocast():
            maps = self.generator.part_maps(self.draw_codes(len(labels) // views, rng))
            output = self.generator.render(maps.repeated(views), labels)
        fake = self.judged(output, labels, images_seen)
        terms = self.adversarial_terms(fake, real, rng, augmentation)
        curvature = self.curvature(maps)
        (terms["loss_g"] + self.config.training.curvature_weight * curvature).backward()
        return {**terms, "curvature": curvature}, fake.detached()

    def adversarial_terms(
        self,
        fake: Examples,
        real: Examples,
        rng: torch.Generator,
        augmentation: float = 0.0,
    ) -> dict[str, Tensor]:
        """The generator's loss and the mean logit of what it generated."""
        with self.autocast():
            logits = self.discriminator(*self.augmented(fake, augmentation, rng))
        if self.relativistic:
            with torch.no_grad():
                judged = self.augmented(real, augmentation, rng)
                with self.autocast():
                    real_logits = self.discriminator(*judged)
            loss = losses.relativistic_generator_loss(real_logits, logits)
        else:
            loss = losses.generator_loss(logits)
        return {"loss_g": loss, "logit_fake": logits[:, 0].mean()} | self._of_places("fake", logits)

    def discriminator_phase(
        self, real: Examples, fake: Examples, rng: torch.Generator, augmentation: float = 0.0
    ) -> dict[str, Tensor]:
        """Gradients of the adversarial loss for the discriminator on real and generated examples.

        The term `sign_real` is what adaptive augmentation watches.
        """
        with self.autocast():
            fake_logits = self.discriminator(*self.augmented(fake, augmentation, rng))
            real_logits = self.discriminator(*self.augmented(real, augmentation, rng))
        if self.relativistic:
            loss = losses.relativistic_discriminator_loss(real_logits, fake_logits)
        else:
            loss = losses.discriminator_loss(real_logits, fake_logits)
        loss.backward()
        whole = real_logits[:, 0]
        terms = {"loss_d": loss, "logit_real": whole.mean(), "sign_real": whole.detach().sign().mean()}
        return terms | self._of_places("real", real_logits)

    def penalty_phase(
        self, real: Examples, fake: Examples, rng: torch.Generator, augmentation: float = 0.0
    ) -> dict[str, Tensor]:
        """Gradients of the lazy penalties, already multiplied by their interval: R1; R2, too, if relativistic."""
        terms = {"r1": self._penalty(real, augmentation, rng)}
        if self.relativistic:
            terms["r2"] = self._penalty(fake, augmentation, rng)
        return terms

    def _penalty(self, examples: Examples, augmentation: float, rng: torch.Generator) -> Tensor:
        """By the gradient at the examples before they are augmented."""
        images, masks = examples.images.requires_grad_(), examples.masks.requires_grad_()
        with self.autocast():
            logits = self.discriminator(*self.augmented(examples, augmentation, rng))
        gammas = self.schedule.image_gamma, self.schedule.mask_gamma
        penalty = losses.gradient_penalty(logits, images, masks, *gammas, rng)
        (penalty * self.config.training.r1_interval).backward()
        return penalty

    def _of_places(self, side: str, logits: Tensor) -> dict[str, Tensor]:
        return {f"places_{side}": logits[:, 1:].mean()} if self.discriminator.places else {}

    def augmented(self, examples: Examples, probability: float, rng: torch.Generator) -> Examples:
        """Examples whose images and masks are randomly transformed, in fp32."""
        with torch.autocast(self.device.type, enabled=False):
            images, masks = augment(
                examples.images, examples.masks, probability, rng, self.config.augmentation.cutout
            )
        return Examples(images, masks, examples.labels)

    def curvature(self, maps: PartMaps) -> Tensor:
        """Depth curvature of the sheets, as the change of slope from one texel of the configured maps to the next."""
        windows = self.generator.windows
        texel = (windows[:, 2] - windows[:, 0]) / self.config.model.part_resolution
        # Differences across a texel n times as wide are n^2 times as large.
        wider = self.config.model.part_resolution / maps.depth.shape[-1]
        return losses.depth_curvature(maps.depth / (texel * wider**2)[:, None, None], maps.optical_depth)

    def draw_codes(self, count: int, rng: torch.Generator) -> Codes:
        """Random codes with part-wise style mixing."""
        z = torch.randn(2 * count, self.config.model.latent, generator=rng).to(self.device)
        codes = self.generator.map(z)
        return mix_codes(codes[:count], codes[count:], self.config.training.mixing, rng)

    def judged(self, output: Output, labels: Tensor, images_seen: int) -> Examples:
        """Examples generated for the cameras `labels`."""
        low = resize_bilinear(output.low_image, output.image.shape[-1])
        masks = losses.judged_masks(output.low_mask, self.schedule.mask_blur(images_seen))
        if self.discriminator.depth_channel:
            depth = losses.rendered_depth_channel(output.depth, output.low_mask[:, :1])
            masks = torch.cat([masks, depth * self.has_depth], dim=1)
        return Examples(torch.cat([output.image, low], dim=1), masks, labels)

    def real(self, batch: Batch, images_seen: int) -> Examples:
        """The batch's examples, as sharp as generated ones."""
        model, side = self.config.model, self.generator.render_side
        images = batch.normalised_images()
        low = losses.with_fewer_rays(losses.box_average(images, model.render_resolution), side)
        low = resize_bilinear(low, model.resolution)
        classes = len(self.generator.schema.parts)
        smoothing = self.config.training.label_smoothing
        masks = losses.real_mask_channels(batch.masks, classes, model.render_resolution, smoothing)
        masks = losses.with_fewer_rays(masks, side)
        masks = losses.judged_masks(masks, self.schedule.mask_blur(images_seen))
        if self.discriminator.depth_channel:
            depth = losses.with_fewer_rays(
                losses.real_depth_channel(batch.depths, model.render_resolution), side
            )
            masks = torch.cat([masks, depth * self.has_depth], dim=1)
        return Examples(torch.cat([images, low], dim=1), masks, batch.labels)

    def autocast(self) -> torch.autocast:
        """bf16 for the networks where the recipe asks for it and the device gains by it."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self._low_precision)


def mix_codes(a: Codes, b: Codes, probability: float, rng: torch.Generator) -> Codes:
    """Part-wise style mixing of two batches of heads: what makes parts independent of one another.

    With `probability` a sample keeps the base code of A and every part takes, independently and equally likely,
    {A, A}, {shape of A, texture of B} or {B, B}; the background takes the texture of A or B. Otherwise it is A.
    """
    count, parts = a.shape.shape[:2]
    mixed = torch.rand(count, 1, generator=rng) < probability
    kind = torch.randint(3, (count, parts), generator=rng)
    background = torch.randint(2, (count, 1), generator=rng) == 1
    shape_from_b = (mixed & (kind == 2)).to(a.base.device)
    texture_from_b = (mixed & torch.cat([background, kind >= 1], dim=1)).to(a.base.device)
    return Codes(
        a.base,
        torch.where(shape_from_b[..., None], b.shape, a.shape),
        torch.where(texture_from_b[..., None], b.texture, a.texture),
    )
