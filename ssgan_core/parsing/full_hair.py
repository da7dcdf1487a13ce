"""Long, full hair around heads that the renderer gave less of.

In photos hair fills more of the frame than any other part: down to the shoulders and over them, out of the frame,
across ears, cheeks and forehead. Pictures are float [B, 3, S, S] in [0, 1], masks int64 ids [B, S, S]; randomness
comes from one generator alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from ssgan_core.parsing.appearance import softened
from ssgan_core.parsing.chance import happens, normal, number, whole
from ssgan_core.parts import PartSchema

_PROBABILITY = 0.3
_FEW = 60  # pixels of hair or skin below which there is no head to speak of
_HATS = 0.3  # share of the portraits with hats that get hair below them
_BEHIND = ("background", "neck", "cloth")
_EARS = ("ears", "earrings")  # hair hides both or lies behind them
_FACE = ("skin", "brows", "eyes")


def full_hair(images: Tensor, masks: Tensor, schema: PartSchema, draw: Generator) -> tuple[Tensor, Tensor]:
    """More hair on some portraits that have any, of its colour, with outlines and locks of its own.

    Args:
        images: [B, 3, S, S] in [0, 1].
        masks: ids [B, S, S], int64.
        schema: what the ids stand for.
        draw: the only source of chance.
    """
    images, masks = images.clone(), masks.clone()
    hair = schema.names.index("hair")
    for index in torch.nonzero(happens(draw, _PROBABILITY, len(images)))[:, 0].tolist():
        image, mask = images[index], masks[index]
        own, face = mask == hair, mask == schema.names.index("skin")
        if min(int(own.sum()), int(face.sum())) < _FEW:
            continue
        if (mask == schema.names.index("hat")).any() and not happens(draw, _HATS, 1):
            continue
        style = _Style.of(face, own | face, draw)
        covered = _BEHIND if happens(draw, 0.7, 1) else _BEHIND + _EARS
        grown = style.outline & _is_one_of(mask, covered, schema) & ~style.parted
        if happens(draw, 0.4, 1):
            grown |= _fringe(style, draw) & _is_one_of(mask, _FACE, schema) & style.outline
        painted = _painted(style, image[:, own].mean(1), draw)
        alike = grown | own if happens(draw, 0.5, 1) else grown
        images[index] = image + softened(alike.float(), 0.6) * (painted - image)
        masks[index][grown] = hair
    return images, masks


@dataclass(frozen=True)
class _Style:
    """Where hair may be, in coordinates of the head.

    Attributes:
        across: [S, S] from the middle of the face, in half widths of the hair: beyond -1 and 1 there is none.
        down: [S, S] rows from the eyes, in sizes of the face.
        sideways: [S, S] from the middle of the face, in sizes of the face.
        outline: bool [S, S].
        parted: bool [S, S], where hair falls to both sides and shows neck and clothes.
    """

    across: Tensor
    down: Tensor
    sideways: Tensor
    outline: Tensor
    parted: Tensor

    @classmethod
    def of(cls, face: Tensor, head: Tensor, draw: Generator) -> _Style:
        size = face.shape[-1]
        rows, columns = torch.nonzero(face, as_tuple=True)
        scale = math.sqrt(len(rows)) / 1.1  # about the width of a face
        y, x = torch.meshgrid(torch.arange(size) + 0.5, torch.arange(size) + 0.5, indexing="ij")
        # Waves of the outline, and single locks that leave it.
        waves = _noise(size, 5, 5, draw) * number(draw, 0, 0.12)
        locks = _noise(size, whole(draw, 4, 16), size // whole(draw, 3, 8), draw) * number(draw, 0, 0.04)
        sideways = (x - columns.float().mean()) / scale + waves + locks
        uneven = _noise(size, 2, size // whole(draw, 3, 20), draw) * number(draw, 0, 0.12)
        down = (y - rows.float().quantile(0.4)) / scale + uneven + _noise(size, 5, 5, draw) * 0.05
        top = (float(torch.nonzero(head.any(1))[0]) - float(rows.float().quantile(0.4))) / scale
        height = -top + number(draw, -0.05, 0.45)  # of the crown above the eyes
        level = number(draw, 0.55, 1.25)  # half width at the eyes
        flare = normal(draw, 0.25, 2)[(sideways > 0).long()] + number(draw, -0.1, 0.3)
        width = (level + flare * down.clamp_min(0)).clamp_min(0.3)
        rising = down.clamp(max=0) / max(height, 0.2)
        across = sideways / width
        away = torch.hypot(across, rising)
        ends = torch.tensor([number(draw, 0.3, 2.4)] * 2) + normal(draw, 0.15, 2)
        if happens(draw, 0.15, 1):
            ends[whole(draw, 0, 1)] = 0.0  # all of it on one side
        outline = (away < 1) & (down < ends[(sideways > 0).long()])
        gap = number(draw, 0.25, 0.6) + number(draw, -0.2, 0.3) * down.clamp_min(0)
        parted = (down > 0) & ((sideways + number(draw, -0.1, 0.1)).abs() < gap)
        return cls(torch.copysign(away, across), down, sideways, outline, parted)


def _fringe(style: _Style, draw: Generator) -> Tensor:
    """Hair across the forehead and down the cheeks [S, S]."""
    slope, start = number(draw, -0.8, 0.8), number(draw, -0.55, -0.1)
    swept = style.down < start + slope * style.sideways
    curtains = [number(draw, 0.3, 0.6), number(draw, 0.3, 0.6)]
    beside = torch.where(style.sideways > 0, style.sideways > curtains[0], style.sideways < -curtains[1])
    if happens(draw, 0.5, 1):
        return beside
    return beside | (swept & (style.down < 0.15))


def _painted(style: _Style, colour: Tensor, draw: Generator) -> Tensor:
    """Hair of a colour everywhere [3, S, S]: locks along the outline, shade towards the neck, a band of shine."""
    size = style.down.shape[-1]
    tone = torch.zeros(size, size)
    curl, pitch = number(draw, 0, 0.15), number(draw, 2, 12)
    along = style.across + curl * torch.sin(pitch * style.down + 3 * style.across + number(draw, 0, 6.3))
    for wide in (number(draw, 0.15, 0.4), number(draw, 0.02, 0.08)):
        noise = torch.randn((1, 1, whole(draw, 2, 8), round(4 / wide)), generator=draw)
        grid = torch.stack([along / 2, style.down / 2], -1)[None]
        tone += F.grid_sample(noise, grid, padding_mode="reflection", align_corners=False)[0, 0] * number(
            draw, 0.1, 0.45
        )
    if happens(draw, 0.2, 1):  # curls
        cells = whole(draw, 12, 50)
        tone += _noise(size, cells, cells, draw) * number(draw, 0.1, 0.4)
    depth = (style.across.abs() - 0.4).clamp(0, 0.6) / 0.6
    tone += (depth - 1) * number(draw, 0, 0.9) * (style.down > -0.3)
    tone += torch.sign(style.sideways) * normal(draw, 0.2, 1)
    shine = (-(((style.down - number(draw, -0.6, 0.6)) / 0.25) ** 2)).exp() * number(draw, 0, 0.5)
    return (colour[:, None, None] * (tone + shine).clamp(-1.6, 1.0).exp()).clamp(0, 1)


def _noise(size: int, rows: int, columns: int, draw: Generator) -> Tensor:
    """Smooth noise [S, S] of so many cells."""
    coarse = torch.randn((1, 1, rows, columns), generator=draw).clamp_(-2.5, 2.5)
    return F.interpolate(coarse, size=(size, size), mode="bicubic", align_corners=True)[0, 0]


def _is_one_of(mask: Tensor, names: tuple[str, ...], schema: PartSchema) -> Tensor:
    return torch.isin(mask, torch.tensor([schema.names.index(name) for name in names]))
