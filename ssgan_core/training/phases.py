"""The steps that training is made of: one function a phase, each computing gradients and nothing else."""

from __future__ import annotations

import torch
from torch import Tensor

from ssgan_core import losses
from ssgan_core.config import Config
from ssgan_core.layers import resize_bilinear
from ssgan_core.model.codes import Codes
from ssgan_core.model.discriminator import Discriminator
from ssgan_core.model.generator import Generator, Output, PartMaps
from ssgan_core.training.data import Batch
from ssgan_core.training.schedule import Schedule


class Phases:
    """The networks' loss computations under one recipe.

    Args:
        has_depth: whether the data knows depth; without it the discriminator's depth channel is zero on both sides.
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
        self.has_depth = has_depth
        self.device = device

    def generator_phase(self, labels: Tensor, rng: torch.Generator, images_seen: int) -> dict[str, Tensor]:
        """Gradients of the adversarial and curvature losses for the generator.

        Args:
            labels: [B, 25] cameras to draw from.
            rng: CPU random generator of this step and phase.
        """
        with self.autocast():
            codes = self.draw_codes(len(labels), rng, track=True)
            maps = self.generator.part_maps(codes)
            output = self.generator.render(maps, labels)
            images, masks = self.judged(output, images_seen)
            logits = self.discriminator(images, masks, labels)
        adversarial = losses.generator_loss(logits)
        curvature = self.curvature(maps)
        (adversarial + self.config.training.curvature_weight * curvature).backward()
        return {"loss_g": adversarial, "curvature": curvature, "logit_fake": logits.mean()}

    def discriminator_phase(
        self, batch: Batch, labels: Tensor, rng: torch.Generator, images_seen: int
    ) -> dict[str, Tensor]:
        """Gradients of the logistic loss for the discriminator on real and generated examples."""
        with self.autocast():
            with torch.no_grad():
                output = self.generator(self.draw_codes(len(labels), rng), labels)
                images, masks = self.judged(output, images_seen)
            fake_logits = self.discriminator(images, masks, labels)
            real_logits = self.discriminator(*self.real(batch, images_seen), batch.labels)
        loss = losses.discriminator_loss(real_logits, fake_logits)
        loss.backward()
        return {"loss_d": loss, "logit_real": real_logits.mean()}

    def r1_phase(self, batch: Batch, images_seen: int) -> dict[str, Tensor]:
        """Gradients of the lazy R1 penalty, already multiplied by its interval."""
        images, masks = (x.requires_grad_() for x in self.real(batch, images_seen))
        with self.autocast():
            logits = self.discriminator(images, masks, batch.labels)
        penalty = losses.r1_penalty(
            logits, images, masks, self.schedule.image_gamma, self.schedule.mask_gamma
        )
        (penalty * self.config.training.r1_interval).backward()
        return {"r1": penalty}

    def curvature(self, maps: PartMaps) -> Tensor:
        """Depth curvature of the sheets, in texels."""
        windows = self.generator.windows
        texel = (windows[:, 2] - windows[:, 0]) / self.config.model.part_resolution
        return losses.depth_curvature(maps.depth / texel[:, None, None], maps.optical_depth)

    def draw_codes(self, count: int, rng: torch.Generator, track: bool = False) -> Codes:
        """Random codes with part-wise style mixing."""
        z = torch.randn(2 * count, self.config.model.latent, generator=rng).to(self.device)
        codes = self.generator.map(z)
        if track:
            self.generator.mapping.track(codes.base.detach())
        return mix_codes(codes[:count], codes[count:], self.config.training.mixing, rng)

    def judged(self, output: Output, images_seen: int) -> tuple[Tensor, Tensor]:
        """Generated examples as the discriminator sees them."""
        low = resize_bilinear(output.low_image, output.image.shape[-1])
        masks = losses.judged_masks(output.low_mask, self.schedule.mask_blur(images_seen))
        if self.discriminator.depth_channel:
            depth = losses.rendered_depth_channel(output.depth, output.low_mask[:, :1])
            masks = torch.cat([masks, depth * self.has_depth], dim=1)
        return torch.cat([output.image, low], dim=1), masks

    def real(self, batch: Batch, images_seen: int) -> tuple[Tensor, Tensor]:
        """Real examples as the discriminator sees them."""
        model = self.config.model
        images = batch.normalised_images()
        low = resize_bilinear(losses.box_average(images, model.render_resolution), model.resolution)
        classes = len(self.generator.schema.parts)
        smoothing = self.config.training.label_smoothing
        masks = losses.real_mask_channels(batch.masks, classes, model.render_resolution, smoothing)
        masks = losses.judged_masks(masks, self.schedule.mask_blur(images_seen))
        if self.discriminator.depth_channel:
            depth = losses.real_depth_channel(batch.depths, model.render_resolution)
            masks = torch.cat([masks, depth * self.has_depth], dim=1)
        return torch.cat([images, low], dim=1), masks

    def autocast(self) -> torch.autocast:
        """bf16 for the networks where the recipe asks for it and the device is a GPU."""
        enabled = self.config.training.precision == "bf16" and self.device.type == "cuda"
        return torch.autocast(self.device.type, torch.bfloat16, enabled=enabled)


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
