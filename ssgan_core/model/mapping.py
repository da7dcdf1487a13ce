"""From z to w, and the running mean of w that truncation pulls towards."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ssgan_core.layers import EqualLinear, leaky_relu

_TRACKING = 0.998


class Mapping(nn.Module):
    """z [B, latent] -> w [B, latent]; slow layers after a normalisation of z, as in StyleGAN2."""

    def __init__(self, latent: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(EqualLinear(latent, latent, lr_multiplier=0.01) for _ in range(layers))
        self.register_buffer("mean", torch.zeros(latent))
        self.mean: Tensor

    def forward(self, z: Tensor, psi: float = 1.0) -> Tensor:
        """Codes w, moved towards their mean: psi 1 is the full variety, 0 the mean."""
        w = z * torch.rsqrt(z.square().mean(-1, keepdim=True) + 1e-8)
        for layer in self.layers:
            w = leaky_relu(layer(w))
        return w if psi == 1 else torch.lerp(self.mean, w, psi)

    @torch.no_grad()
    def track(self, w: Tensor) -> None:
        """Update the running mean with a batch of w."""
        self.mean.lerp_(w.float().mean(0), 1 - _TRACKING)

    @torch.no_grad()
    def read_first(self, count: int) -> None:
        """Make a fresh mapping read only the first numbers of z, at the same variance; others can be learnt."""
        first = self.layers[0]
        assert isinstance(first, EqualLinear)
        first.weight[:, count:] = 0
        first.weight *= (first.weight.shape[1] / count) ** 0.5
