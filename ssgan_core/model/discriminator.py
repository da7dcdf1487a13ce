"""The discriminator: is this image, with these part masks, real from this camera?

Image branch: the final image beside the upsampled low-resolution rendering (EG3D's dual discrimination), so that
an upsampler that departs from the rendering is caught. Mask branch: the RENDERED masks (and depth, where the
data has it) enter at the rendering resolution; masks can then only come from 3D. The camera conditions the score
by projection (Miyato and Koyama, 2018): without it geometry goes flat. A generator without lifting knows no camera and
is not asked for one: its pictures need only look real from some side.

With `places`, every place of a grid is judged as well, by what lies around it (Isola et al., 2017): texture is learnt
from a thousand judgements a picture instead of one.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ssgan_core.config import DiscriminatorConfig, ModelConfig
from ssgan_core.layers import EqualConv2d, EqualLinear, down2, leaky_relu

_LAST_SIZE = 4
_LABEL_WIDTH = 25


class Discriminator(nn.Module):
    """Images, masks and cameras -> logits.

    Args:
        config: sizes.
        model: the generator's sizes, for the resolutions.
        mask_channels: K + 1.
    """

    def __init__(self, config: DiscriminatorConfig, model: ModelConfig, mask_channels: int) -> None:
        super().__init__()
        self.group = config.group
        self.depth_channel = config.depth_channel
        self.mask_size = model.render_resolution
        sizes = [model.resolution >> i for i in range((model.resolution // _LAST_SIZE).bit_length())]
        widths = {size: min(config.width << i, config.most_width) for i, size in enumerate(sizes)}
        last = widths[_LAST_SIZE]

        self.from_image = EqualConv2d(6, widths[model.resolution], 1)
        self.blocks = nn.ModuleDict(
            {str(size): _Block(widths[size], widths[size // 2]) for size in sizes[:-1]}
        )
        mask_width = widths[self.mask_size]
        self.from_mask = EqualConv2d(mask_channels + config.depth_channel, mask_width, 1)
        self.mask_conv = EqualConv2d(mask_width, mask_width, 3)
        self.last_conv = EqualConv2d(last + 1, last, 3)
        self.last_linear = EqualLinear(last * _LAST_SIZE**2, last)
        self.to_score = EqualLinear(last, 1)
        self.places = config.places
        if self.places:
            self.to_places = EqualConv2d(widths[self.places], 1, 1)
        self.conditional = model.lifting == "depth"
        if not self.conditional:
            return
        self.camera_hidden = EqualLinear(_LABEL_WIDTH, config.camera_width)
        self.camera_embedding = EqualLinear(config.camera_width, last)

    def forward(self, images: Tensor, masks: Tensor, labels: Tensor) -> Tensor:
        """Logits [B, 1 + places^2], float32: of the whole picture, then of every place.

        Args:
            images: [B, 6, H, H] image and upsampled low-resolution image, in [-1, 1].
            masks: [B, K + 1 (+ 1 depth), R, R] in [-1, 1].
            labels: [B, 25] cameras.
        """
        x = self.from_image.activated(images)
        if x.shape[-1] == self.mask_size:
            x = self._with_masks(x, masks)
        places = []
        for block in self.blocks.values():
            x = block(x)
            if x.shape[-1] == self.mask_size:
                x = self._with_masks(x, masks)
            if x.shape[-1] == self.places:
                places.append(self.to_places(leaky_relu(x)).flatten(1).float())
        x = torch.cat([x, minibatch_deviation(x, self.group)], dim=1)
        x = self.last_conv.activated(x)
        x = leaky_relu(self.last_linear(x.flatten(1))).float()
        whole = self.to_score(x)
        if self.conditional:
            camera = self.camera_embedding(leaky_relu(self.camera_hidden(labels))).float()
            whole = whole + (x * camera).mean(-1, keepdim=True) * math.sqrt(x.shape[-1])
        return torch.cat([whole, *places], dim=1)

    def _with_masks(self, x: Tensor, masks: Tensor) -> Tensor:
        branch = self.mask_conv.activated(self.from_mask.activated(masks))
        return (x + branch) * math.sqrt(0.5)


class _Block(nn.Module):
    """Residual block that halves the resolution."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = EqualConv2d(inputs, inputs, 3)
        self.second = EqualConv2d(inputs, outputs, 3)
        self.skip = EqualConv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.first.activated(x)
        y = self.second.activated(down2(y))
        return (y + self.skip(down2(x))) * math.sqrt(0.5)


def minibatch_deviation(x: Tensor, group: int) -> Tensor:
    """Mean standard deviation over groups of samples [B, 1, H, W] (Karras et al., 2018): shows D a lack of variety.

    Sample i shares its group with every (B / group)-th sample. Smaller batches form one group.
    """
    batch, channels, height, width = x.shape
    group = min(group, batch)
    if batch % group:
        raise ValueError(f"the batch {batch} is no multiple of the group {group}")
    grouped = x.float().view(group, batch // group, channels, height, width)
    deviation = (grouped.var(0, unbiased=False) + 1e-8).sqrt().mean((1, 2, 3))
    return deviation.repeat(group).view(batch, 1, 1, 1).expand(-1, 1, height, width).to(x.dtype)
