"""Part-wise 2D generators: for every semantic part a feature map, a depth relative to the face and an opacity.

All K parts run side by side as one batched matrix product a layer (layers.PartLinear). The networks are
pointwise in position, so they can be evaluated at any resolution. Information flows one way:

    position -> [base code] -> [shape codes] -> opacity
                                     |
                                     +--------> [texture codes] -> features
    position, low frequencies -> [base code] -> [shape codes] -> relative depth

Texture codes therefore cannot move geometry, and a part's codes reach no other part. The separate depth trunk
sees low frequencies only: depth from the sharp shape trunk tears side views.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssgan_core.config import ModelConfig
from ssgan_core.layers import PartLinear, fourier_features, position_code, resize_bilinear
from ssgan_core.model.codes import Codes
from ssgan_core.parts import PartSchema

_MOST_OPTICAL_DEPTH = 20.0
_DEPTH_FREQUENCIES = 12
_DEPTH_HIGHEST = 2.5  # cycles across a window


class PartGenerators(nn.Module):
    """Codes -> features [B, K, C, S, S], relative depth [B, K, S, S] and optical depth [B, K, S, S].

    Attributes:
        size: side S; the configured one at first. Another may be set at any time.
    """

    def __init__(self, config: ModelConfig, schema: PartSchema) -> None:
        super().__init__()
        parts = len(schema.foreground)
        latent, width = config.latent, config.part_width
        self.size = config.part_resolution
        self.register_buffer("waves", fourier_features(config.frequencies, config.highest_frequency))
        self.register_buffer("depth_waves", fourier_features(_DEPTH_FREQUENCIES, _DEPTH_HIGHEST))
        self.register_buffer("layout_prior", torch.zeros(parts, self.size, self.size))
        self.register_buffer("depth_start", torch.tensor([part.depth_start for part in schema.foreground]))
        self.register_buffer("depth_bound", torch.tensor([part.depth_bound for part in schema.foreground]))
        self.waves: Tensor
        self.depth_waves: Tensor
        self.layout_prior: Tensor
        self.depth_start: Tensor
        self.depth_bound: Tensor

        self.base_layers = _stack(parts, latent, 2 * config.frequencies + 2, width, config.base_layers)
        self.shape_layers = _stack(parts, latent, width, width, config.shape_layers)
        self.texture_layers = _stack(parts, latent, width, width, config.texture_layers)
        self.to_opacity = PartLinear(parts, latent, width, 1, demodulate=False, gain=0.25)
        self.to_features = PartLinear(parts, latent, width, config.features, demodulate=False, gain=0.2)
        self.depth_layers = _stack(
            parts, latent, 2 * _DEPTH_FREQUENCIES + 2, config.depth_width, config.depth_layers
        )
        self.to_depth = PartLinear(parts, latent, config.depth_width, 1, demodulate=False, gain=0.25)

    def forward(self, codes: Codes) -> tuple[Tensor, Tensor, Tensor]:
        parts = codes.shape.shape[1]
        base = codes.base[:, None].expand(-1, parts, -1)
        texture = codes.texture[:, 1:]

        x = position_code(self.waves, self.size)
        for layer in self.base_layers:
            x = layer(x, base)
        for layer in self.shape_layers:
            x = layer(x, codes.shape)
        # Sigmoid of the logit is the sheet's opacity: 1 - exp(-softplus(l)) = sigmoid(l). So a prior of
        # log-odds makes the untrained parts as opaque as they are frequent in the data.
        logit = _maps(self.to_opacity(x, codes.shape), self.size)[:, :, 0].float()
        logit = logit + resize_bilinear(self.layout_prior[None], self.size)
        optical_depth = F.softplus(logit).clamp(max=_MOST_OPTICAL_DEPTH)
        for layer in self.texture_layers:
            x = layer(x, texture)
        features = _maps(self.to_features(x, texture), self.size)

        x = position_code(self.depth_waves, self.size)
        first, *rest = self.depth_layers
        x = first(x, base)
        for layer in rest:
            x = layer(x, codes.shape)
        offset = torch.tanh(_maps(self.to_depth(x, codes.shape), self.size)[:, :, 0].float())
        relative_depth = self.depth_start[:, None, None] + self.depth_bound[:, None, None] * offset
        return features, relative_depth, optical_depth


class BackgroundGenerator(nn.Module):
    """The background's texture code -> features [B, C, R, R] on the image plane, the same for every camera."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.size = config.render_resolution
        self.register_buffer("waves", fourier_features(config.frequencies, config.highest_frequency))
        self.waves: Tensor
        self.layers = _stack(
            1, config.latent, 2 * config.frequencies + 2, config.part_width, config.background_layers
        )
        self.to_features = PartLinear(
            1, config.latent, config.part_width, config.features, demodulate=False, gain=0.2
        )

    def forward(self, code: Tensor) -> Tensor:
        codes = code[:, None]
        x = position_code(self.waves, self.size)
        for layer in self.layers:
            x = layer(x, codes)
        return _maps(self.to_features(x, codes), self.size)[:, 0]


def _stack(groups: int, latent: int, inputs: int, width: int, layers: int) -> nn.ModuleList:
    return nn.ModuleList(
        PartLinear(groups, latent, inputs if index == 0 else width, width) for index in range(layers)
    )


def _maps(x: Tensor, size: int) -> Tensor:
    """[B, G, size * size, C] as [B, G, C, size, size]; in memory a texel's channels stay side by side."""
    return x.unflatten(2, (size, size)).permute(0, 1, 4, 2, 3)
