"""Strands, weave, stubble: details as fine as the picture's pixels, painted on the surfaces that the renderer drew.

A fixed texture of oriented noise lies over the world's x, y plane, as the sheets do. Every pixel looks it up where its
ray meets a surface, so details stay on the head when the camera moves, and mixes it as its features say. So strength,
direction and colour of a texture are a linear layer away; networks of position would have to learn every strand, and
maps with a ray for every other pixel cannot show them. Not in the paper: its upsampler has nothing to draw hair with.

Amplitudes are linear in features, and what is added in both: with noise n, features f and weights W, the sum over k
of (W f)[k] n[k]. A GPU multiplies amplitudes by noise. A processor, which waits for memory, takes those pixels alone
that have details, and multiplies f by the sum over k of W[k] n[k]: as many numbers as features, not as planes of noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssgan_core.cameras import FOCAL, RADIUS
from ssgan_core.layers import EqualConv2d, resize_bilinear
from ssgan_core.rendering.rays import camera_rays

_HIGHEST = 0.4  # cycles a pixel
_TEXELS_A_PIXEL = 2
_MOST_PIXELS = 256  # that the texture spans before it repeats itself
_LEAST_OPACITY = 1e-3


@dataclass(frozen=True)
class Surface:
    """What the pixels of a picture show.

    Attributes:
        points: [B, H, H, 2] world x and y.
        masks: [B, K, H, H] of the foreground's parts. The background moves with the camera: it gets no details.
    """

    points: Tensor
    masks: Tensor


class SurfaceDetails(nn.Module):
    """Mixes oriented noise as the upsampler's features say, at every pixel.

    Args:
        painted: [K] bool, which of the foreground's parts get details.
        octaves: of the details' frequencies, from 0.4 cycles a pixel downwards.
        directions: of every octave.
        resolution: side H of the picture, pixels.
        width: channels of the features.
    """

    def __init__(self, painted: Tensor, octaves: int, directions: int, resolution: int, width: int) -> None:
        super().__init__()
        self.resolution = resolution
        self.directions = directions
        pixels = min(resolution, _MOST_PIXELS)
        self.period = pixels / resolution * RADIUS / FOCAL  # world units
        noise = oriented_noise(octaves, directions, pixels * _TEXELS_A_PIXEL, pixels * _HIGHEST)
        # The first row and column once more after the last, so that bilinear look-ups need not wrap around. A texel's
        # planes lie side by side in memory, as they are looked up together.
        around = F.pad(noise[None], (0, 1, 0, 1), mode="circular")[0]
        self.register_buffer("noise", around.permute(1, 2, 0).contiguous().permute(2, 0, 1), persistent=False)
        self.noise: Tensor
        self.register_buffer("painted", painted.float(), persistent=False)
        self.painted: Tensor
        self.to_amplitudes = EqualConv2d(width, 3 * len(noise), 1, gain=0.25)
        with torch.no_grad():  # the same in red, green and blue: grey at first
            weight = self.to_amplitudes.weight.unflatten(0, (3, -1))
            weight[1:] = weight[:1]

    def forward(self, features: Tensor, surface: Surface) -> Tensor:
        """Features [B, width, H, H] of the last scale -> addition to the RGB [B, 3, H, H]. Smaller pictures than the
        configured ones lack the octaves that their pixels would alias."""
        size = features.shape[-1]
        left_out = max(0, math.ceil(math.log2(self.resolution / size))) * self.directions
        place, strength = torch.remainder(surface.points / self.period, 1.0), self._strength(surface.masks)
        add = self._where_strong if features.device.type == "cpu" else self._everywhere
        return add(features, place, strength, left_out) / len(self.noise) ** 0.5

    def _everywhere(self, features: Tensor, place: Tensor, strength: Tensor, left_out: int) -> Tensor:
        noise = self.noise[left_out:].expand(len(place), -1, -1, -1)
        noise = F.grid_sample(noise, place * 2 - 1, align_corners=True) * strength
        amplitudes = self.to_amplitudes(features).float().unflatten(1, (3, -1))[:, :, left_out:]
        return (amplitudes * noise[:, None]).sum(2)

    def _where_strong(self, features: Tensor, place: Tensor, strength: Tensor, left_out: int) -> Tensor:
        batch, width, *square = features.shape
        strong = strength.flatten().nonzero()[:, 0]
        noise = self._looked_up(place.flatten(0, 2)[strong], strength.flatten()[strong])[:, left_out:]
        weight, bias = self.to_amplitudes.scaled()
        weight, bias = weight.view(3, -1, width)[:, left_out:], bias.view(3, -1)[:, left_out:]
        by_features = torch.einsum("nk,ckw->ncw", noise, weight)
        rows = features.permute(0, 2, 3, 1).flatten(0, 2)[strong]
        added = (by_features * rows[:, None]).sum(2, dtype=torch.float32) + noise @ bias.T
        everywhere = added.new_zeros(strength.numel(), 3).index_copy(0, strong, added)
        return everywhere.view(batch, *square, 3).permute(0, 3, 1, 2)

    def _looked_up(self, place: Tensor, strength: Tensor) -> Tensor:
        """The noise [N, planes] at places [N, 2], x and y in [0, 1), times its strength [N]; bilinear."""
        side = self.noise.shape[-1]
        at = place * (side - 1)
        texel = at.long().clamp(0, side - 2)  # a remainder of what is just below zero may round to one
        (column, row), (x, y) = texel.unbind(1), (at - texel).unbind(1)
        first = row * side + column
        corners = torch.stack([first, first + 1, first + side, first + side + 1], 1)
        shares = torch.stack([(1 - y) * (1 - x), (1 - y) * x, y * (1 - x), y * x], 1) * strength[:, None]
        texels = self.noise.permute(1, 2, 0).flatten(0, 1)
        return F.embedding_bag(corners, texels, mode="sum", per_sample_weights=shares)

    def _strength(self, masks: Tensor) -> Tensor:
        """[B, 1, H, W]: the opacity of painted parts, down to zero where the largest of them has half of a pixel.

        Else noise would stand in for the contrast of outlines that are not sharp yet, and lie on cheeks where hair seen
        from the side thins out.
        """
        painted = masks * self.painted[:, None, None]
        largest = painted.amax(1, keepdim=True) / masks.sum(1, keepdim=True).clamp(min=1e-3)
        return painted.sum(1, keepdim=True) * (2 * largest - 1).clamp(min=0)


def seen_surface(labels: Tensor, depth: Tensor, opacity: Tensor, masks: Tensor) -> Surface:
    """What a picture shows of surfaces whose mean depth is known. Nothing is learned through it: details are not to
    bend surfaces or move outlines.

    Args:
        labels: [B, 25] cameras.
        depth: [B, 1, R, R] sum of weight times z_cam, world units.
        opacity: [B, 1, R, R] sum of weights. Where it is zero, the distance of the world's origin stands in.
        masks: [B, K, H, H] of the foreground's parts in the picture.
    """
    size = masks.shape[-1]
    mean = (depth.detach() + _LEAST_OPACITY * RADIUS) / (opacity.detach() + _LEAST_OPACITY)
    distance = resize_bilinear(mean, size).flatten(1)
    rays = camera_rays(labels.detach(), size)
    along = distance / (rays.directions * rays.forward[:, None]).sum(-1)
    points = rays.origins + along[..., None] * rays.directions
    return Surface(points[..., :2].unflatten(1, (size, size)), masks.detach())


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
