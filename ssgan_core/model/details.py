"""Strands, pores, stubble, weave: details as fine as the picture's pixels, painted on surfaces that the renderer drew.

Every pixel looks up oriented noise where its ray meets a surface, and mixes it as its features say. So strength,
direction and colour of a texture are a linear layer away; networks of position would have to learn every strand, and
maps with a ray for every other pixel cannot show them. Not in the paper: its upsampler has nothing to draw hair with.

Amplitudes are linear in features, and what is added in both: with noise n, features f and weights W, the sum over k
of (W f)[k] n[k]. A GPU multiplies amplitudes by noise. A processor, which waits for memory, takes those pixels alone
that have details, and multiplies f by the sum over k of W[k] n[k]: as many numbers as features, not as planes of noise.

Unsure of which way strands run, a layer says a little of every direction, and a mixture of all looks like knitwear. So
strands are combed: directions that are loud become louder, the rest fainter, and each octave keeps its energy. Two that
are as loud would still look woven. So locks lean: smooth noise on the head says which way strands rather run, here one
and there another, and where a layer is sure of their course it hardly turns them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ssgan_core.cameras import RADIUS
from ssgan_core.layers import EqualConv2d, resize_bilinear
from ssgan_core.model.noise import OrientedNoise
from ssgan_core.rendering.rays import camera_rays

_LEAST_OPACITY = 1e-3
_COMBED = 2  # power of a direction's energy, in terms of the loudest one's, that amplitudes are multiplied by
_LEAST_ENERGY = 1e-12
_LEAN = 0.2  # standard deviation of the logarithm of energies that locks lean by
# Standard deviation that grain begins with: that of most of the skin of synthetic heads. From zero no slope leads
# anywhere, since noise that is added and noise that is taken away look alike.
_FAINT = 0.005


@dataclass(frozen=True)
class Surface:
    """What the pixels of a picture show.

    Attributes:
        points: [B, H, H, 2] world x and y.
        masks: [B, K, H, H] of the foreground's parts. The background moves with the camera: it gets no details.
        whole: side of the picture that it is a square of, pixels; H if not given.
    """

    points: Tensor
    masks: Tensor
    whole: int | None = None


class SurfaceDetails(nn.Module):
    """Mixes oriented noise as the upsampler's features say, at every pixel.

    Args:
        noise: that is mixed.
        painted: [K] bool, which of the foreground's parts get details.
        width: channels of the features.
        grain: whether they begin alike everywhere and faint, and run wherever they like; else they are strands.
    """

    def __init__(self, noise: OrientedNoise, painted: Tensor, width: int, *, grain: bool = False) -> None:
        super().__init__()
        self.noise = noise
        self.combed = not grain
        self.register_buffer("painted", painted.float(), persistent=False)
        self.painted: Tensor
        self.to_amplitudes = EqualConv2d(width, 3 * len(noise.planes), 1, gain=0.25)
        with torch.no_grad():  # the same in red, green and blue: grey at first
            weight = self.to_amplitudes.weight.unflatten(0, (3, -1))
            weight[1:] = weight[:1]
            if grain:
                weight.zero_()
                self.to_amplitudes.bias.fill_(_FAINT)

    def forward(self, features: Tensor, surface: Surface) -> Tensor:
        """Features [B, width, H, H] of the last scale -> addition to the RGB [B, 3, H, H]. Smaller pictures than the
        configured ones lack the octaves that their pixels would alias."""
        left_out = self.noise.left_out(surface.whole or features.shape[-1])
        add = self._where_strong if features.device.type == "cpu" else self._everywhere
        added = add(features, surface.points, self._strength(surface.masks), left_out)
        return added / len(self.noise.planes) ** 0.5

    def _everywhere(self, features: Tensor, points: Tensor, strength: Tensor, left_out: int) -> Tensor:
        noise = self.noise.everywhere(points)[:, left_out:] * strength
        amplitudes = self.to_amplitudes(features).float().unflatten(1, (3, -1))[:, :, left_out:]
        if self.combed:
            lean = _LEAN * self.noise.leaning(points)
            noise = noise * combing(amplitudes.mean(1).movedim(1, -1), lean).movedim(-1, 1)
        return (amplitudes * noise[:, None]).sum(2)

    def _where_strong(self, features: Tensor, points: Tensor, strength: Tensor, left_out: int) -> Tensor:
        batch, width, *square = features.shape
        strong = strength.flatten().nonzero()[:, 0]
        points = points.flatten(0, 2)[strong]
        noise = self.noise.at(points, strength.flatten()[strong])[:, left_out:]
        weight, bias = self.to_amplitudes.scaled()
        weight, bias = weight.view(3, -1, width)[:, left_out:], bias.view(3, -1)[:, left_out:]
        rows = features.permute(0, 2, 3, 1).flatten(0, 2)[strong]
        if self.combed:
            amplitudes = rows @ weight.mean(0).T.to(rows) + bias.mean(0)
            noise = noise * combing(amplitudes.float(), _LEAN * self.noise.leaning(points))
        by_features = torch.einsum("nk,ckw->ncw", noise, weight)
        added = (by_features * rows[:, None]).sum(2, dtype=torch.float32) + noise @ bias.T
        everywhere = added.new_zeros(strength.numel(), 3).index_copy(0, strong, added)
        return everywhere.view(batch, *square, 3).permute(0, 3, 1, 2)

    def _strength(self, masks: Tensor) -> Tensor:
        """[B, 1, H, W]: the opacity of painted parts, down to zero where the largest of them has half of a pixel.

        Else noise would stand in for the contrast of outlines that are not sharp yet, and lie on cheeks where hair seen
        from the side thins out.
        """
        painted = masks * self.painted[:, None, None]
        largest = painted.amax(1, keepdim=True) / masks.sum(1, keepdim=True).clamp(min=1e-3)
        return painted.sum(1, keepdim=True) * (2 * largest - 1).clamp(min=0)


def combing(amplitudes: Tensor, lean: Tensor) -> Tensor:
    """What to multiply amplitudes [..., octaves * directions] by, so that one direction prevails.

    A direction's energy is that of all octaves, and half of its neighbours', as two neighbours make a direction between
    theirs; times e to the lean [..., directions]. The amplitudes of an octave keep the sum of their squares.
    """
    energy = amplitudes.unflatten(-1, (-1, lean.shape[-1])).square() + _LEAST_ENERGY
    whole = energy.sum(-2, keepdim=True)
    whole = (whole + (whole.roll(1, -1) + whole.roll(-1, -1)) / 2) * lean.exp().unsqueeze(-2)
    share = (whole / whole.amax(-1, keepdim=True)) ** _COMBED
    kept = (energy * share.square()).sum(-1, keepdim=True)
    return (share * (energy.sum(-1, keepdim=True) / kept).sqrt()).flatten(-2)


def mean_distance(depth: Tensor, opacity: Tensor) -> Tensor:
    """Mean z_cam [B, 1, R, R] of what pixels show, world units.

    Args:
        depth: [B, 1, R, R] sum of weight times z_cam.
        opacity: [B, 1, R, R] sum of weights. Where it is zero, the distance of the world's origin stands in.
    """
    return (depth + _LEAST_OPACITY * RADIUS) / (opacity + _LEAST_OPACITY)


def seen_surface(labels: Tensor, distance: Tensor, masks: Tensor, whole: int | None = None) -> Surface:
    """What a picture shows of surfaces whose distance is known. Nothing is learned through it: details are not to
    bend surfaces or move outlines.

    Args:
        labels: [B, 25] cameras.
        distance: [B, 1, R, R] z_cam, world units.
        masks: [B, K, H, H] of the foreground's parts in the picture.
        whole: side of the picture that it is a square of, pixels; H if not given.
    """
    size = masks.shape[-1]
    distance = resize_bilinear(distance.detach(), size).flatten(1)
    rays = camera_rays(labels.detach(), size)
    along = distance / (rays.directions * rays.forward[:, None]).sum(-1)
    points = rays.origins + along[..., None] * rays.directions
    return Surface(points[..., :2].unflatten(1, (size, size)), masks.detach(), whole)
