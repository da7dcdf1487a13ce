"""From rendered features to the final image.

The upsampler sees the rendered features only: no codes, no noise, no normalisation over space. What it adds can
depend on nothing but what the renderer drew nearby, which is what keeps views consistent.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from ssgan_core.config import ModelConfig
from ssgan_core.layers import EqualConv2d, resize_bilinear, up2

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

    def forward(self, features: Tensor, enlarged: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Features [B, C, R, R], whose channels 0 to 2 are the low-resolution RGB -> RGB [B, 3, H, H] of the image, and
        the last scale's features [B, width, H, H].

        Args:
            enlarged: [B, C, 2 R, 2 R] the features as the first scale works on them; their bilinear upsampling if not
                given.
        """
        rgb, x = features[:, :3].float(), features.contiguous(memory_format=torch.channels_last)
        for index, scale in enumerate(self.scales):
            if index == 0 and enlarged is not None:
                rgb, x = enlarged[:, :3], enlarged.contiguous(memory_format=torch.channels_last)
            else:
                rgb, x = up2(rgb), _up2_as_computed(x)
            x, rgb = scale(x, rgb)
        return rgb, x


class _Scale(nn.Module):
    """After a doubling: two 3x3 convolutions, and a residual RGB that starts near zero."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.first = EqualConv2d(inputs, width, 3)
        self.second = EqualConv2d(width, width, 3)
        self.to_rgb = EqualConv2d(width, 3, 1, gain=0.1)

    def forward(self, x: Tensor, rgb: Tensor) -> tuple[Tensor, Tensor]:
        # Convolving before the upsampling would be cheaper but leaves nothing to sharpen edges with.
        x = self.second.activated(self.first.activated(x))
        return x, rgb + self.to_rgb(x).float()


def _up2_as_computed(x: Tensor) -> Tensor:
    """Upsampled in the precision that the convolution after it computes in: autocast would do it in fp32 on a CPU."""
    device = x.device.type
    if torch.is_autocast_enabled(device):
        x = x.to(torch.get_autocast_dtype(device))
    with torch.autocast(device, enabled=False):
        return up2(x)


def upsample_masks(masks: Tensor, size: int) -> Tensor:
    """Rendered masks [B, K + 1, R, R] at the image's size: bilinear, nothing learned, still summing to one."""
    return resize_bilinear(masks, size)
