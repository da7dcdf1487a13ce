"""The parser's network: a small U-Net with group normalisation, made for one CPU core.

Group normalisation (Wu and He, 2018) sees one picture at a time, so that photos with other statistics than
the portraits that the network was trained on are not judged by running averages of those.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDTHS = (16, 32, 64, 96, 144)
"""Channels at strides 2, 4, 8, 16 and 32 of the default network (1.7 M parameters)."""
STRIDE = 32
"""The sides of the network's input are multiples of this many pixels."""

_GROUPS = 8
_BLOCKS = (0, 1, 1, 2, 2)  # residual blocks at each stride: details are dear, context is cheap


class ParserNetwork(nn.Module):
    """Pictures to part logits at half their resolution.

    Args:
        classes: parts with the background.
        widths: channels at strides 2, 4, 8, 16 and 32, multiples of 8.
    """

    def __init__(self, classes: int, widths: Sequence[int] = WIDTHS) -> None:
        super().__init__()
        self.widths = tuple(widths)
        self.down = nn.ModuleList(
            nn.Sequential(
                _Convolution(inputs, outputs, stride=2), *(_Residual(outputs) for _ in range(blocks))
            )
            for inputs, outputs, blocks in zip((3, *self.widths), self.widths, _BLOCKS, strict=False)
        )
        self.up = nn.ModuleList(
            _Convolution(fine + coarse, fine)
            for fine, coarse in zip(self.widths, self.widths[1:], strict=False)
        )
        self.head = nn.Conv2d(self.widths[0], classes, 1)

    def encode(self, images: Tensor, levels: int | None = None) -> list[Tensor]:
        """Maps at strides 2, 4, 8, 16 and 32, or the first so many, of images [B, 3, H, W] in [-1, 1]."""
        maps = []
        for level in self.down[:levels]:
            images = level(images)
            maps.append(images)
        return maps

    def forward(self, images: Tensor) -> Tensor:
        """Logits [B, classes, H/2, W/2] of images [B, 3, H, W] in [-1, 1]; H and W are multiples of 32."""
        *fine, x = self.encode(images)
        for level, skip in zip(reversed(self.up), reversed(fine), strict=True):
            x = level(torch.cat([skip, F.interpolate(x, scale_factor=2, mode="nearest")], 1))
        return self.head(x)


class _Convolution(nn.Module):
    """3 x 3 convolution, group normalisation, ReLU."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm = nn.GroupNorm(_GROUPS, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.convolution(x)))


class _Residual(nn.Module):
    """x + two convolutions, ReLU."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = _Convolution(width, width)
        self.second = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.norm = nn.GroupNorm(_GROUPS, width)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.norm(self.second(self.first(x))))
