"""From z to w, and the running means of w that truncation pulls towards."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ssgan_core.layers import EqualLinear, leaky_relu
from ssgan_core.model.choices import Choices

_TRACKING = 0.998
_SPEED = 0.01


class Mapping(nn.Module):
    """z [B, latent] -> w [B, latent]; slow layers after a normalisation of z, as in StyleGAN2.

    Args:
        choices: options among which z chooses, told to the first layer beside z (see Choices); 0 = z alone.
    """

    def __init__(self, latent: int, layers: int, choices: int = 0) -> None:
        super().__init__()
        self.layers = nn.ModuleList(EqualLinear(latent, latent, lr_multiplier=_SPEED) for _ in range(layers))
        self.choices = Choices(choices, latent) if choices else None
        self.chosen = EqualLinear(choices, latent, lr_multiplier=_SPEED) if choices else None
        self.register_buffer("mean", torch.zeros(latent))
        self.mean: Tensor
        if choices:
            self.register_buffer("choice_means", torch.zeros(choices, latent))
            self.choice_means: Tensor

    def forward(self, z: Tensor, psi: float = 1.0) -> Tensor:
        """Codes w, moved towards the mean of those that choose the same: psi 1 is the full variety, 0 the mean.

        Half a hat is none, so choices are not averaged; as truncation towards several centres does it (Mokady et al.,
        "Self-Distilled StyleGAN", 2022).
        """
        first, *others = self.layers
        w = first(z * torch.rsqrt(z.square().mean(-1, keepdim=True) + 1e-8))
        told = None
        if self.choices is not None and self.chosen is not None:
            told = self.choices(z)
            w = w + self.chosen(told)
        w = leaky_relu(w)
        for layer in others:
            w = leaky_relu(layer(w))
        if psi == 1:
            return w
        with torch.autocast(z.device.type, enabled=False):
            centre = self.mean if told is None else self.mean + told @ self.choice_means
            return torch.lerp(centre.expand_as(w), w.float(), psi)

    @torch.no_grad()
    def track(self, z: Tensor, w: Tensor) -> None:
        """Update the running means with a batch of z and their w."""
        w = w.float()
        self.mean.lerp_(w.mean(0), 1 - _TRACKING)
        if self.choices is not None:
            # In expectation told' (told @ means) is, group by group, how the mean of those that chose alike differs
            # from the mean of all.
            told = self.choices(z)
            with torch.autocast(z.device.type, enabled=False):
                self.choice_means.lerp_(told.T @ (w - self.mean) / len(w), 1 - _TRACKING)

    def tracked(self) -> list[Tensor]:
        """The running means."""
        return [self.mean] if self.choices is None else [self.mean, self.choice_means]

    @torch.no_grad()
    def read_first(self, count: int) -> None:
        """Make a fresh mapping read only the first numbers of z, at the same variance; others can be learnt."""
        first = self.layers[0]
        assert isinstance(first, EqualLinear)
        first.weight[:, count:] = 0
        first.weight *= (first.weight.shape[1] / count) ** 0.5
