"""What lies behind a head: features on the image plane, the same for every camera."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ssgan_core.config import BACKDROP_WAVES, ModelConfig
from ssgan_core.layers import EqualLinear, PartLinear, fourier_features, part_stack, position_code
from ssgan_core.model.texels import as_maps
from ssgan_core.model.traits import LOUDNESS

_SLOWEST = 0.3  # how high waves of brightness and hue are at first; n half waves are so many times lower


class BackgroundGenerator(nn.Module):
    """The background's texture code -> features [B, C, R, R] on the image plane.

    Where codes tell what lies behind (model.backdrop), the waves that they tell are drawn, and added as strongly as the
    code's other numbers say: a network of position that is to find out itself how waves look hardly does.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.size = config.render_resolution
        self.register_buffer("waves", fourier_features(config.frequencies, config.highest_frequency))
        self.waves: Tensor
        codes, width = config.code_width, config.part_width
        self.layers = part_stack(1, codes, 2 * config.frequencies + 2, width, config.background_layers)
        self.to_features = PartLinear(1, codes, width, config.features, demodulate=False, gain=0.2)
        self.to_waves, self.from_waves = None, None
        if config.backdrop:
            self.to_waves = EqualLinear(config.backdrop, config.backdrop)
            self.from_waves = PartLinear(1, codes, len(BACKDROP_WAVES), config.features, demodulate=False)
            with torch.no_grad():
                heights = torch.cat([_SLOWEST / (_half_waves(n).sum(1) + 1) for n in BACKDROP_WAVES])
                self.to_waves.weight.copy_(torch.diag(heights / self.to_waves.scale))
                self.from_waves.weight.zero_()

    def learn_waves(self) -> None:
        """Learn how told waves are drawn, whatever else is kept."""
        if self.to_waves is not None and self.from_waves is not None:
            self.to_waves.requires_grad_(True)
            self.from_waves.weight.requires_grad_(True)
            self.from_waves.bias.requires_grad_(True)

    def forward(self, code: Tensor, size: int | None = None) -> Tensor:
        """Args: code [B, width]; size: side R, the configured one if not given."""
        codes, size = code[:, None], size or self.size
        x = position_code(self.waves, size)
        for layer in self.layers:
            x = layer(x, codes)
        features = self.to_features(x, codes)
        if self.to_waves is not None and self.from_waves is not None:
            heights = self.to_waves(code[:, -self.to_waves.weight.shape[1] :] / LOUDNESS)
            features = features + self.from_waves(drawn_waves(heights, size)[:, None], codes)
        return as_maps(features, size)[:, 0]


def drawn_waves(heights: Tensor, size: int) -> Tensor:
    """Heights [B, n] of waves of brightness and two hues -> their sums [B, size * size, 3], the picture's first row
    first."""
    sums, first = [], 0
    for waves in BACKDROP_WAVES:
        basis = cosines(waves, size, heights.device).to(heights.dtype)[:, 1:]
        sums.append(heights[:, first : first + basis.shape[1]] @ basis.T)
        first += basis.shape[1]
    return torch.stack(sums, 2)


def cosines(waves: int, side: int, device: torch.device | None = None) -> Tensor:
    """[side * side, waves * waves] products of 0, 1, ... half waves across and down, the constant first."""
    number, place = (torch.arange(count, device=device) for count in (waves, side))
    along = torch.cos(math.pi * number * ((place + 0.5) / side)[:, None])
    return (along[:, None, :, None] * along[None, :, None]).flatten(2).flatten(0, 1)


def _half_waves(waves: int) -> Tensor:
    """[waves * waves - 1, 2] of every product of `cosines` but the constant: half waves down and across."""
    return torch.cartesian_prod(torch.arange(waves), torch.arange(waves))[1:]
