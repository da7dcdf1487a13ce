"""Part-wise 2D generators: for every semantic part a feature map, a depth relative to the face and an opacity.

All K parts run side by side as one batched matrix product a layer (layers.PartLinear). The networks are
pointwise in position, so they can be evaluated at any resolution. Information flows one way:

    position -> [base code] -> [shape codes] -> opacity
                                     |
                                     +--------> [texture codes] -> features
    position, low frequencies -> [base code] -> [shape codes] -> relative depth

Texture codes therefore cannot move geometry, and a part's codes reach no other part. The separate depth trunk
sees low frequencies only: depth from the sharp shape trunk tears side views.

A part may have several sheets, each a network of its own that the part's codes modulate.
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
    """Codes -> features [B, L, C, S, S], relative depth [B, L, S, S] and optical depth [B, L, S, S].

    L counts sheets: model.sheets for each of the K foreground parts, a part's side by side. Without lifting, sheets
    have no depth: it is zero.

    Attributes:
        size: side S; the configured one at first. Another may be set at any time.
    """

    def __init__(self, config: ModelConfig, schema: PartSchema) -> None:
        super().__init__()
        self.sheets = config.sheets
        self.sharpness = config.outline_sharpness
        sheets = [part for part in schema.foreground for _ in range(config.sheets)]
        count = len(sheets)
        latent, width = config.latent, config.part_width
        self.size = config.part_resolution
        self.register_buffer("waves", fourier_features(config.frequencies, config.highest_frequency))
        self.register_buffer("depth_waves", fourier_features(_DEPTH_FREQUENCIES, _DEPTH_HIGHEST))
        self.register_buffer("layout_prior", torch.zeros(count, self.size, self.size))
        self.register_buffer("depth_start", torch.tensor([part.depth_start for part in sheets]))
        self.register_buffer("depth_bound", torch.tensor([part.depth_bound for part in sheets]))
        self.waves: Tensor
        self.depth_waves: Tensor
        self.layout_prior: Tensor
        self.depth_start: Tensor
        self.depth_bound: Tensor

        self.base_layers = _stack(count, latent, 2 * config.frequencies + 2, width, config.base_layers)
        self.shape_layers = _stack(count, latent, width, width, config.shape_layers)
        self.texture_layers = _stack(count, latent, width, width, config.texture_layers)
        self.to_opacity = PartLinear(count, latent, width, 1, demodulate=False, gain=0.25)
        self.to_features = PartLinear(count, latent, width, config.features, demodulate=False, gain=0.2)
        if config.lifting == "none":
            self.depth_layers, self.to_depth = None, None
            return
        own_trunk = config.depth_trunk == "smooth"
        self.depth_layers = (
            _stack(count, latent, 2 * _DEPTH_FREQUENCIES + 2, config.depth_width, config.depth_layers)
            if own_trunk
            else None
        )
        depth_width = config.depth_width if own_trunk else width
        self.to_depth = PartLinear(count, latent, depth_width, 1, demodulate=False, gain=0.25)

    def set_layout(self, log_odds: Tensor) -> None:
        """Let every part start with the log-odds [K, S, S] of being seen; its sheets share its optical depth."""
        if self.sheets > 1:
            log_odds = torch.log(torch.expm1(F.softplus(log_odds) / self.sheets))
            log_odds = log_odds.repeat_interleave(self.sheets, dim=0)
        self.layout_prior.copy_(log_odds)

    def forward(self, codes: Codes) -> tuple[Tensor, Tensor, Tensor]:
        shape, texture = self._of_sheets(codes.shape), self._of_sheets(codes.texture[:, 1:])
        base = codes.base[:, None].expand(-1, shape.shape[1], -1)

        x = position_code(self.waves, self.size)
        for layer in self.base_layers:
            x = layer(x, base)
        for layer in self.shape_layers:
            x = layer(x, shape)
        relative_depth = self._relative_depth(x, base, shape)
        # Sigmoid of the logit is the sheet's opacity: 1 - exp(-softplus(l)) = sigmoid(l). So a prior of
        # log-odds makes the untrained parts as opaque as they are frequent in the data.
        logit = _maps(self.to_opacity(x, shape), self.size)[:, :, 0].float()
        logit = logit + resize_bilinear(self.layout_prior[None], self.size)
        if not self.training:
            logit = self.sharpness * logit
        optical_depth = F.softplus(logit).clamp(max=_MOST_OPTICAL_DEPTH)
        for layer in self.texture_layers:
            x = layer(x, texture)
        return _maps(self.to_features(x, texture), self.size), relative_depth, optical_depth

    def _relative_depth(self, shape_trunk: Tensor, base: Tensor, shape: Tensor) -> Tensor:
        if self.to_depth is None:
            return torch.zeros(*shape.shape[:2], self.size, self.size, device=shape.device)
        x = shape_trunk
        if self.depth_layers is not None:
            x = position_code(self.depth_waves, self.size)
            first, *rest = self.depth_layers
            x = first(x, base)
            for layer in rest:
                x = layer(x, shape)
        offset = torch.tanh(_maps(self.to_depth(x, shape), self.size)[:, :, 0].float())
        return self.depth_start[:, None, None] + self.depth_bound[:, None, None] * offset

    def _of_sheets(self, codes: Tensor) -> Tensor:
        """Codes [B, K, W] of parts as codes of their sheets [B, L, W]."""
        return codes if self.sheets == 1 else codes.repeat_interleave(self.sheets, dim=1)


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
