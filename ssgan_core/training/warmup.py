"""Warm-up with truth: reconstruct heads whose generating parameters are known, before the adversarial game.

Synthetic portraits carry what photos lack: the parameters that made them, exact masks and depth. A head's z is
made of its parameters, padded with noise that the network must learn to ignore, so that sampling z afterwards
samples heads.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ssgan_core import losses
from ssgan_core.errors import SsganError
from ssgan_core.layers import box_average
from ssgan_core.model.codes import Codes
from ssgan_core.model.generator import Output
from ssgan_core.training.data import Batch
from ssgan_core.training.phases import Phases

_MASK_WEIGHT = 1.0
_DEPTH_WEIGHT = 1.0
_IMAGE_WEIGHT = 2.0
_GRADIENT_WEIGHT = 2.0
# How often a head's base code is exchanged for another head's: the part codes then learn to carry their part
# alone, which is what a later transfer of one part relies on.
_FOREIGN_BASE = 0.3


class Warmup:
    """The reconstruction phase.

    Args:
        parameter_count: how many generating parameters the batches carry.
        part_areas: [K + 1] mean area of each part, for the class balance.

    Raises:
        SsganError: z has no room for so many parameters.
    """

    def __init__(self, phases: Phases, parameter_count: int, part_areas: Tensor) -> None:
        latent = phases.config.model.latent
        if parameter_count >= latent:
            raise SsganError(
                f"model.latent {latent} is too small for {parameter_count} generating parameters"
            )
        self.phases = phases
        balance = part_areas.clamp(min=1e-4).rsqrt()
        self.balance = (balance / (balance * part_areas).sum()).to(phases.device)

    def phase(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Gradients of the reconstruction losses for the generator."""
        phases = self.phases
        with phases.autocast():
            maps = phases.generator.part_maps(self.codes(batch, rng))
            output = phases.generator.render(maps, batch.labels)
        terms = self.losses(output, batch)
        curvature = phases.curvature(maps)
        total = (
            _MASK_WEIGHT * terms["warmup_masks"]
            + _DEPTH_WEIGHT * terms["warmup_depth"]
            + _IMAGE_WEIGHT * terms["warmup_image"]
            + _GRADIENT_WEIGHT * terms["warmup_gradient"]
            + phases.config.training.curvature_weight * curvature
        )
        total.backward()
        return {**terms, "curvature": curvature}

    def codes(self, batch: Batch, rng: torch.Generator) -> Codes:
        """Codes of known heads: z is the parameters, the side it is seen from (mirrored or not), and noise."""
        generator = self.phases.generator
        z = torch.randn(len(batch.indices), self.phases.config.model.latent, generator=rng)
        assert batch.parameters is not None  # the recipe has a warm-up, so the source sends them
        known = batch.parameters.shape[1]
        z[:, :known] = batch.parameters.cpu()
        z[:, known] = z[:, known].abs() * torch.where(batch.mirrored.cpu(), -1.0, 1.0)
        codes = generator.map(z.to(self.phases.device))
        generator.mapping.track(codes.base.detach())
        foreign = (torch.rand(len(z), 1, generator=rng) < _FOREIGN_BASE).to(codes.base.device)
        base = torch.where(foreign, codes.base.roll(1, 0), codes.base)
        return Codes(base, codes.shape, codes.texture)

    def losses(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """Class-balanced mask cross-entropy, premultiplied depth L1, and image L1 with gradients at both scales."""
        size, side = output.low_mask.shape[-1], self.phases.generator.render_side
        truth = losses.real_mask_channels(batch.masks, output.low_mask.shape[1], size, 0.0)
        truth = losses.with_fewer_rays(truth, side)
        weighted = truth * self.balance[:, None, None]
        depth = losses.rendered_depth_channel(output.depth, output.low_mask[:, :1])
        true_depth = losses.with_fewer_rays(losses.real_depth_channel(batch.depths, size), side)
        images = batch.normalised_images()
        low_images = losses.with_fewer_rays(box_average(images, size), side)
        return {
            "warmup_masks": -(weighted * output.low_mask.clamp(min=1e-3).log()).sum(1).mean(),
            "warmup_depth": F.l1_loss(depth, true_depth),
            "warmup_image": F.l1_loss(output.image, images) + F.l1_loss(output.low_image, low_images),
            "warmup_gradient": _gradient_loss(output.image, images)
            + _gradient_loss(output.low_image, low_images),
        }


def _gradient_loss(a: Tensor, b: Tensor) -> Tensor:
    difference = a - b
    return (difference[..., :, 1:] - difference[..., :, :-1]).abs().mean() + (
        difference[..., 1:, :] - difference[..., :-1, :]
    ).abs().mean()
