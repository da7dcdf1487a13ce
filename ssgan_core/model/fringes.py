"""Outlines of hair as uneven as strands are: what lies around them is displaced along the strands.

Sheets say where hair ends to a texel, and what a network of position knows of it is smooth. So pixels around outlines
do not look where they are, but a little further along the strands, each as far as oriented noise says: between two
strands the outline is further in, on a strand further out. Noise is looked up where hair is, so fringes stay on the
head, and image and masks are displaced alike. Not in the paper.

How far is linear in what a small network says of the surroundings, as the amplitudes of `details` are; it begins as
hair that hangs down.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssgan_core.cameras import RADIUS
from ssgan_core.layers import EqualConv2d, down2, gaussian_blur, leaky_relu, resize_bilinear
from ssgan_core.model.noise import OrientedNoise, bilinear_rows

# World units that an amplitude of 1 displaces by, over the root of the number of planes: far, so that amplitudes are
# small, and learnt within some hundreds of steps.
_UNIT = 0.75
_START = 0.05
_AROUND = 3 / 128  # of a picture's side: Gaussian in which outlines are felt
_WIDTH = 32
_DOWN = 0.35  # radians from the vertical within which strands run at first
_LEAST = 0.02  # of a strength below which nothing is displaced
_LEAST_SHARE = 1e-4


class Fringes(nn.Module):
    """Enlarges what was rendered by two, with uneven outlines.

    Args:
        noise: that displacements are made of.
        frayed: [K] bool, which of the foreground's parts are strands.
        width: channels of the rendered features.
    """

    def __init__(self, noise: OrientedNoise, frayed: Tensor, width: int) -> None:
        super().__init__()
        self.noise = noise
        self.register_buffer("frayed", frayed.float(), persistent=False)
        self.frayed: Tensor
        self.look = EqualConv2d(width + 3, _WIDTH, 1)
        self.to_amplitudes = EqualConv2d(_WIDTH, len(noise.planes), 1, gain=0.02)
        lean = torch.atan2(noise.strands[:, 0], noise.strands[:, 1])
        hanging = torch.exp(-0.5 * (lean / _DOWN) ** 2).unflatten(0, (-1, noise.directions))
        with torch.no_grad():
            self.to_amplitudes.bias.copy_(_START * (hanging / hanging.norm(dim=1, keepdim=True)).flatten())

    def forward(
        self, labels: Tensor, features: Tensor, masks: Tensor, distance: Tensor, whole: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """Rendered features and masks with fringes, [B, C, 2 R, 2 R] and [B, K + 1, 2 R, 2 R].

        Args:
            labels: [B, 25] cameras.
            features: [B, C, R, R].
            masks: [B, K + 1, R, R].
            distance: [B, 1, R, R] z_cam of what is seen. Nothing is learned of it, nor of where strands are.
            whole: side of the picture that these are a square of, in the same pixels; R if not given.
        """
        side = features.shape[-1]
        whole = whole or side
        size = 2 * side
        hidden, strength, distance = self._surroundings(features, masks.detach(), distance.detach(), whole)
        strength, distance = (resize_bilinear(x, size).flatten() for x in (strength, distance))
        strong = _above(strength, _LEAST)
        strength, distance = (strength[strong] - _LEAST).clamp(min=0), distance[strong]
        entry, pixel = strong.div(size * size, rounding_mode="floor"), strong % (size * size)
        centres = (torch.stack([pixel % size, pixel.div(size, rounding_mode="floor")], 1) + 0.5) / size

        cameras = _Cameras.of(labels, entry)
        points = cameras.seen_at(centres, distance)
        moved = self._moved(hidden, entry, centres, points, strength, self.noise.left_out(2 * whole))
        place = (centres + cameras.seen_moves(moved, distance)) * side - 0.5
        return _displaced(features, strong, entry, place), _displaced(masks, strong, entry, place)

    def _surroundings(
        self, features: Tensor, masks: Tensor, distance: Tensor, whole: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """What is around every other pixel: what the network says of the strands there, and of nothing else, so that no
        other part changes them; how near an outline is, from 0 to 1; and how far away the strands are."""
        sigma = _AROUND * whole / 2
        share = (masks[:, 1:] * self.frayed[:, None, None]).sum(1, keepdim=True)
        maps = torch.cat([features * share, distance * share, share], 1)
        width = features.shape[1]
        around = gaussian_blur(down2(maps), sigma)
        of_strands, far, share = around.split([width, 1, 1], 1)
        enough = share + _LEAST_SHARE
        across = torch.stack(torch.gradient(share, dim=(3, 2)), 1).flatten(1, 2) * sigma
        seen = torch.cat([of_strands / enough, share, across], 1)
        hidden = leaky_relu(self.look(seen)).float()
        return hidden, 4 * share * (1 - share), (far + _LEAST_SHARE * RADIUS) / enough

    def _moved(
        self, hidden: Tensor, entry: Tensor, place: Tensor, points: Tensor, strength: Tensor, left_out: int
    ) -> Tensor:
        """Displacements [N, 2] in the world's x, y plane: sums of noise times amplitude times the plane's strands."""
        noise = self.noise.at(points, strength)[:, left_out:]
        weight, bias = self.to_amplitudes.scaled()
        along = _UNIT / len(self.noise.planes) ** 0.5 * self.noise.strands[left_out:]
        by_hidden = noise @ (along[:, :, None] * weight[left_out:, None, :, 0, 0]).flatten(1)
        rows = bilinear_rows(hidden, entry, place * hidden.shape[-1] - 0.5)
        return (by_hidden.unflatten(1, (2, -1)) * rows[:, None]).sum(2) + noise @ (
            along * bias[left_out:, None]
        )


class _Cameras(NamedTuple):
    """The cameras of N pixels: what points' world x and y take, and no more.

    Attributes:
        position: [N, 2] world x, y.
        turn: [N, 2, 3] world x, y of the camera's axes.
        focal: [N, 2, 2] intrinsics, picture sides: u and v by x and y.
        centre: [N, 2] principal points.
    """

    position: Tensor
    turn: Tensor
    focal: Tensor
    centre: Tensor

    @staticmethod
    def of(labels: Tensor, entry: Tensor) -> _Cameras:
        pose, matrix = labels[:, :16].unflatten(1, (4, 4)), labels[:, 16:].unflatten(1, (3, 3))
        of_all = pose[:, :2, 3], pose[:, :2, :3], matrix[:, :2, :2], matrix[:, :2, 2]
        return _Cameras(*(numbers[entry] for numbers in of_all))

    def seen_at(self, places: Tensor, distance: Tensor) -> Tensor:
        """World x, y [N, 2] of the points seen at places [N, 2] at z_cam [N]."""
        u, v = (places - self.centre).unbind(1)
        y = v / self.focal[:, 1, 1]
        x = (u - self.focal[:, 0, 1] * y) / self.focal[:, 0, 0]
        in_camera = torch.stack([x, y, torch.ones_like(x)], 1) * distance[:, None]
        return self.position + (self.turn * in_camera[:, None]).sum(2)

    def seen_moves(self, moved: Tensor, distance: Tensor) -> Tensor:
        """Displacements [N, 2] in the picture of points at z_cam [N] that move by [N, 2] in the world's x, y plane."""
        in_camera = (moved[:, :, None] * self.turn[:, :, :2]).sum(1)
        return (self.focal * in_camera[:, None]).sum(2) / distance[:, None]


def _above(values: Tensor, least: float) -> Tensor:
    """Indices of the values that count; a GPU, which is not to wait for how many these are, takes all."""
    if values.device.type != "cpu":
        return torch.arange(len(values), device=values.device)
    return (values > least).nonzero()[:, 0]


def _displaced(maps: Tensor, pixels: Tensor, entry: Tensor, place: Tensor) -> Tensor:
    """Maps [B, C, R, R] enlarged by two, whose `pixels` [N], counted through the batch, show places [N, 2] of entries
    [N] instead. A texel's channels lie side by side, before and after."""
    channels, size = maps.shape[1], 2 * maps.shape[-1]
    # Whole vectors of a processor's registers are enlarged several times as fast.
    maps = F.pad(maps, (0, 0, 0, 0, 0, -channels % 16)).contiguous(memory_format=torch.channels_last)
    rows = resize_bilinear(maps, size).permute(0, 2, 3, 1).flatten(0, 2)
    rows.index_copy_(0, pixels, bilinear_rows(maps, entry, place))
    return rows.unflatten(0, (-1, size, size)).permute(0, 3, 1, 2)[:, :channels]
