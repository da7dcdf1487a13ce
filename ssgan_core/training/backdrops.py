"""What lies behind known heads, in numbers that a generator's z can hold.

A head's parameters say which colours lie behind it and of what kind it is, not where a lamp hangs or a wall ends. Told
nothing of that, a generator draws the average: flat walls. So it is measured from the pictures, and a known head's z
ends with what was found; a random z then has walls of its own.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ssgan_core.config import BACKDROP_NUMBERS, BACKDROP_WAVES
from ssgan_core.layers import box_average
from ssgan_core.model.background import cosines

_SIDE = 32
_MIXTURES = ((1.0, 1.0, 1.0), (1.0, 0.0, -1.0), (-0.5, 1.0, -0.5))  # brightness and two hues
_RIDGE = 0.02  # of what a picture without a head weighs: the middle is hidden
_LEAST_VARIANCE = 0.01  # of a direction, in terms of the mean


class Backdrops:
    """Pictures -> numbers that look like N(0, I): which way a backdrop departs from its mean, not how far.

    How far, kind and colours tell; and a random z has that length, about.

    Args:
        measured: [n, BACKDROP_NUMBERS] what `measured_waves` says of some of the data, to know what is usual.
    """

    def __init__(self, measured: Tensor) -> None:
        self.mean = measured.mean(0)
        variances, directions = torch.linalg.eigh(torch.cov(measured.T))
        gains = variances.clamp(min=float(_LEAST_VARIANCE * variances.mean()) + 1e-12).rsqrt()
        self.whitening = (directions * gains) @ directions.T

    def numbers(self, images: Tensor, masks: Tensor) -> Tensor:
        """Numbers [B, BACKDROP_NUMBERS] of pictures [B, 3, H, W] in [-1, 1] and their masks [B, H, W]."""
        white = (measured_waves(images, masks) - self.mean) @ self.whitening
        return white * math.sqrt(BACKDROP_NUMBERS) / white.norm(dim=1, keepdim=True).clamp(min=1e-6)


def measured_waves(images: Tensor, masks: Tensor) -> Tensor:
    """[B, BACKDROP_NUMBERS] amplitudes of slow cosine waves in what is background, float32, on the CPU.

    By least squares over the pixels that no head hides, with a small penalty on amplitudes. Means are left out: colours
    are told by the heads' parameters.

    Args:
        images: [B, 3, H, W] in [-1, 1], H a multiple of 32 or less.
        masks: [B, H, W] part ids, 0 is background.
    """
    side = min(_SIDE, images.shape[-1])
    seen = box_average((masks == 0)[:, None].float(), side).flatten(1).cpu()
    colours = box_average(images.float() * (masks == 0)[:, None], side).flatten(2).cpu()
    colours = colours / seen[:, None].clamp(min=1e-6) * (seen[:, None] > 0)
    found = []
    for mixture, waves in zip(_MIXTURES, BACKDROP_WAVES, strict=True):
        basis = cosines(waves, side)
        values = torch.einsum("c,bcn->bn", torch.tensor(mixture) / 3, colours)
        products = torch.einsum("ni,bn,nj->bij", basis, seen, basis)
        penalty = torch.full((waves**2,), _RIDGE * side * side)
        penalty[0] = 1e-3
        aims = torch.einsum("ni,bn->bi", basis, seen * values)
        found.append(torch.linalg.solve(products + torch.diag(penalty), aims)[:, 1:])
    return torch.cat(found, dim=1)
