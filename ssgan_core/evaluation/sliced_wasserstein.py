"""Sliced Wasserstein distance between the patches of two sets of pictures, scale by scale (after Karras et al. 2018).

Pictures become Laplacian pyramids: what a halving (2 x 2 mean, back up bilinearly) loses at every scale, and the
smallest picture itself, which carries colour and light. Of every level, patches of 7 x 7 pixels are drawn at random
places; in each channel they are shifted and scaled by mean and deviation of the reference's patches (not, as usual,
each set by its own, which would hide wrong colours and contrast). The distance of two clouds of patches is the mean,
over random directions, of the Wasserstein distance of their projections. It sees blur, noise and colour, and hardly
sees where in the picture something is.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ssgan_core.layers import down2, up2

PATCH = 7
SMALLEST = 16
DIRECTIONS = 256
_CHANNELS = 3


def laplacian_pyramid(images: Tensor) -> list[Tensor]:
    """Levels of images [B, 3, H, H], the finest first; their sum, each enlarged, is the images again."""
    levels = []
    while images.shape[-1] % 2 == 0 and images.shape[-1] // 2 >= SMALLEST:
        smaller = down2(images)
        levels.append(images - up2(smaller))
        images = smaller
    return [*levels, images]


def draw_patches(level: Tensor, count: int, rng: np.random.Generator) -> Tensor:
    """Patches [B * count, 3 * 49] at random places of a level [B, 3, h, h]."""
    places = level.shape[-1] - PATCH + 1
    windows = level.unfold(2, PATCH, 1).unfold(3, PATCH, 1)
    rows, columns = torch.from_numpy(rng.integers(0, places, (2, len(level), count)))
    picture = torch.arange(len(level))[:, None]
    return windows[picture, :, rows, columns].flatten(0, 1).flatten(1)


def sliced_wasserstein(reference: Tensor, other: Tensor, seed: int = 0) -> float:
    """Distance of two equally large clouds of patches [N, 3 * 49], normalised by the reference, times 1000.

    Args:
        seed: of the random directions.
    """
    if reference.shape != other.shape:
        raise ValueError(f"patches {list(reference.shape)} against {list(other.shape)}")
    by_channel = reference.double().unflatten(1, (_CHANNELS, -1))
    mean = by_channel.mean((0, 2), keepdim=True)
    deviation = by_channel.std((0, 2), keepdim=True).clamp_min(1e-8)
    rng = torch.Generator().manual_seed(seed)
    directions = torch.randn(reference.shape[1], DIRECTIONS, generator=rng, dtype=torch.float64)
    directions = (directions / directions.norm(dim=0)).float()
    projections = [
        (((cloud.double().unflatten(1, (_CHANNELS, -1)) - mean) / deviation).flatten(1).float() @ directions)
        .sort(dim=0)
        .values
        for cloud in (reference, other)
    ]
    return 1000 * float((projections[0] - projections[1]).abs().mean())
