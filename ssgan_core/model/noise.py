"""Noise that runs in directions: the planes of which strands, weave and stubble are mixed.

The texture is fixed and lies over the world's x, y plane, as the sheets do, so that what is made of it stays on the
head when the camera moves.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssgan_core.cameras import FOCAL, RADIUS

_HIGHEST = 0.4  # cycles a pixel
_TEXELS_A_PIXEL = 2
_MOST_PIXELS = 256  # that the texture spans before it repeats itself
_LOCKS = (6.0, 19.0)  # waves a world unit of the noise that says which way locks lean


class OrientedNoise(nn.Module):
    """Planes of noise over the world's x, y plane, every octave's directions side by side, the finest octave first.

    Args:
        octaves: of the noise's frequencies, from 0.4 cycles a pixel downwards.
        directions: of every octave.
        resolution: side of the picture, pixels.

    Attributes:
        period: world units after which the noise repeats itself.
        planes: [octaves * directions, T, T].
        strands: [octaves * directions, 2] unit vectors x, y along every plane's strands; none points down.
        locks: [2, T', T'] smooth: cosine and sine of twice the angle that strands rather run at, times how much.
    """

    def __init__(self, octaves: int, directions: int, resolution: int) -> None:
        super().__init__()
        self.resolution = resolution
        self.directions = directions
        pixels = min(resolution, _MOST_PIXELS)
        self.period = pixels / resolution * RADIUS / FOCAL
        planes = oriented_noise(octaves, directions, pixels * _TEXELS_A_PIXEL, pixels * _HIGHEST)
        # The first row and column once more after the last, so that bilinear look-ups need not wrap around. A texel's
        # planes lie side by side in memory, as they are looked up together.
        around = F.pad(planes[None], (0, 1, 0, 1), mode="circular")[0]
        self.register_buffer(
            "planes", around.permute(1, 2, 0).contiguous().permute(2, 0, 1), persistent=False
        )
        turns = torch.arange(directions) * math.pi / directions + math.pi / 2  # across the waves
        strands = torch.stack([turns.cos(), turns.sin()], 1)
        strands = strands * torch.where(strands[:, 1:] < 0, -1, 1)
        self.register_buffer("strands", strands.repeat(octaves, 1), persistent=False)
        # The noise of large pictures is soon repeated: at least one wave fits.
        locks = smooth_noise(2, *(max(1.0, waves * self.period) for waves in _LOCKS))
        self.register_buffer("locks", F.pad(locks[None], (0, 1, 0, 1), mode="circular")[0], persistent=False)
        turns = torch.arange(directions) * 2 * math.pi / directions
        self.register_buffer("towards", torch.stack([turns.cos(), turns.sin()]), persistent=False)
        self.planes: Tensor
        self.strands: Tensor
        self.locks: Tensor
        self.towards: Tensor

    def left_out(self, size: int) -> int:
        """How many of the first planes pictures of side `size` lack: octaves that their pixels would alias."""
        return max(0, math.ceil(math.log2(self.resolution / size))) * self.directions

    def everywhere(self, points: Tensor) -> Tensor:
        """The noise [B, planes, H, W] at points [B, H, W, 2], world x and y; bilinear."""
        place = torch.remainder(points / self.period, 1.0)
        return F.grid_sample(self.planes.expand(len(place), -1, -1, -1), place * 2 - 1, align_corners=True)

    def at(self, points: Tensor, strength: Tensor) -> Tensor:
        """The noise [N, planes] at points [N, 2], world x and y, times its strength [N]; bilinear."""
        at = torch.remainder(points / self.period, 1.0) * (self.planes.shape[-1] - 1)
        return bilinear_rows(self.planes[None], torch.zeros_like(strength, dtype=torch.long), at, strength)

    def leaning(self, points: Tensor) -> Tensor:
        """How much strands at points [..., 2], world x and y, rather run in each direction [..., directions]: of mean 0
        and variance 1, and as much less at right angles."""
        place = torch.remainder(points.reshape(1, 1, -1, 2) / self.period, 1.0)
        locks = F.grid_sample(self.locks[None], place * 2 - 1, align_corners=True)[0, :, 0].T
        return (locks @ self.towards).view(*points.shape[:-1], self.directions)


def bilinear_rows(maps: Tensor, entry: Tensor, at: Tensor, strength: Tensor | None = None) -> Tensor:
    """What maps [B, C, H, W] have at N places, times the places' strength: [N, C]; differentiable in all floats.

    Args:
        entry: [N] which of the B maps.
        at: [N, 2] x and y in texels, counted from the first one's centre; beyond the last the border's texel is taken.
        strength: [N], or 1.
    """
    height, width = maps.shape[-2:]
    column, across = _shares(at[:, 0], width)
    row, down = _shares(at[:, 1], height)
    first = (entry * height + row) * width + column
    right, below = min(1, width - 1), width * min(1, height - 1)
    corners = torch.stack([first, first + right, first + below, first + below + right], 1)
    shares = (down[:, :, None] * across[:, None]).flatten(1)
    if strength is not None:
        shares = shares * strength[:, None]
    texels = maps.permute(0, 2, 3, 1).flatten(0, 2)
    return F.embedding_bag(corners, texels, mode="sum", per_sample_weights=shares)


def _shares(at: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The last of `count` texels in a row that lies before places [N], but for the row's last; and how much of each
    place is that texel's and the next one's [N, 2]."""
    at = at.clamp(0, count - 1)
    texel = at.detach().long().clamp(max=max(count - 2, 0))
    beyond = at - texel
    return texel, torch.stack([1 - beyond, beyond], 1)


def oriented_noise(octaves: int, directions: int, texels: int, highest: float) -> Tensor:
    """Periodic Gaussian noise [octaves * directions, texels, texels] of variance 1: one direction and octave each.

    Strands are as irregular as noise across and, of twelve directions, about four waves long: neighbouring directions'
    windows, cos^2 of the angle over their spacing, sum to one, so that a mixture of two has a direction between theirs.

    Args:
        octaves: at least one; the finest comes first.
        texels: side, at least 2.5 texels a wave of `highest`.
        highest: highest frequency, waves a period.
    """
    along = np.fft.fftfreq(texels, 1 / texels)
    x, y = along[None, : texels // 2 + 1], along[:, None]  # real pictures need half the spectrum
    frequency = np.hypot(x, y)
    turn = np.arctan2(y, np.abs(x))
    random = np.random.RandomState(0)  # its numbers are the same in every version of NumPy
    planes = []
    for octave in range(octaves):
        top = highest / 2**octave
        band = (frequency <= top) & (frequency > top / 2)
        # Equal energy in equal shares of an octave: areas of the spectrum grow with the frequency.
        strength, turns = 1 / np.maximum(frequency[band], 1), turn[band]
        for direction in range(directions):
            off = (turns - direction * math.pi / directions + math.pi / 2) % math.pi - math.pi / 2
            window = np.cos(np.clip(off * directions / 2, -math.pi / 2, math.pi / 2)) ** 2
            phases = random.random_sample(frequency.shape)[band]
            spectrum = np.zeros(frequency.shape, np.complex64)
            spectrum[band] = strength * window * np.exp(2j * math.pi * phases)
            plane = torch.fft.irfft2(torch.from_numpy(spectrum), (texels, texels))
            planes.append(plane / plane.std(correction=0))
    return torch.stack(planes)


def smooth_noise(planes: int, lowest: float, highest: float) -> Tensor:
    """Periodic Gaussian noise [planes, T, T] of variance 1, of waves between two frequencies a period.

    Args:
        lowest, highest: there must be a whole number between them.
    """
    texels = 2 ** math.ceil(math.log2(4 * highest))
    along = np.fft.fftfreq(texels, 1 / texels)
    frequency = np.hypot(along[None, : texels // 2 + 1], along[:, None])
    strength = ((frequency >= lowest) & (frequency <= highest)) / np.maximum(frequency, 1)
    random = np.random.RandomState(1)
    made = []
    for _ in range(planes):
        spectrum = strength * np.exp(2j * math.pi * random.random_sample(frequency.shape))
        plane = torch.fft.irfft2(torch.from_numpy(spectrum), (texels, texels)).float()
        made.append(plane / plane.std(correction=0))
    return torch.stack(made)
