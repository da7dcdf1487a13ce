"""From rendered features to the final image.

The upsampler sees the rendered features only: no codes, no noise, no normalisation over space. What it adds can
depend on nothing but what the renderer drew nearby, which is what keeps views consistent.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from ssgan_core.config import ModelConfig
from ssgan_core.layers import EqualConv2d, leaky_relu, resize_bilinear, up2

_LEAST_WIDTH = 16


class Upsampler(nn.Module):
    """From the rays' resolution to the image's.

    Attributes:
        width: channels of the last scale's features.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        scales = (config.resolution // config.render_resolution).bit_length() - 1
        widths = [config.features] + [max(config.upsampler_width >> i, _LEAST_WIDTH) for i in range(scales)]
        self.scales = nn.ModuleList(_Scale(a, b) for a, b in pairwise(widths))
        self.width = widths[-1]

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Features [B, C, R, R], whose channels 0 to 2 are the low-resolution RGB -> RGB [B, 3, H, H] of the image, and
        the last scale's features [B, width, H, H]."""
        rgb, x = features[:, :3].float(), features
        for scale in self.scales:
            x, rgb = scale(x, rgb)
        return rgb, x


class _Scale(nn.Module):
    """One doubling: bilinear, two 3x3 convolutions, and a residual RGB that starts near zero."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.first = EqualConv2d(inputs, width, 3)
        self.second = EqualConv2d(width, width, 3)
        self.to_rgb = EqualConv2d(width, 3, 1, gain=0.1)

    def forward(self, x: Tensor, rgb: Tensor) -> tuple[Tensor, Tensor]:
        # Convolving before the upsampling would be cheaper but leaves nothing to sharpen edges with.
        x = leaky_relu(self.second(leaky_relu(self.first(up2(x)))))
        return x, up2(rgb) + self.to_rgb(x).float()


def upsample_masks(masks: Tensor, size: int) -> Tensor:
    """Rendered masks [B, K + 1, R, R] at the image's size: bilinear, nothing learned, still summing to one."""
    return resize_bilinear(masks, size)
