"""Procedural fabrics, walls, crowds of things and locks of hair: what the training puts into portraits.

Pictures are float [3, S, S] of about [0, 1]: whoever shows them cuts them.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw
from torch import Generator, Tensor

from ssgan_core.layers import gaussian_blur
from ssgan_core.parsing.chance import happens, number, numpy_chance, uniform, whole

_MOST_THINGS = 120


def texture(size: int, draw: Generator) -> Tensor:
    """Something like a fabric or a wall [3, S, S]: plain, clouds, stripes, checks, a print."""
    first, second = uniform(draw, 0, 1, 3, 1, 1), uniform(draw, 0, 1, 3, 1, 1)
    kind = whole(draw, 0, 4)
    if kind == 0:
        return first + 0.05 * clouds(size, draw)
    if kind == 1:
        return first + 0.25 * clouds(size, draw) + 0.1 * clouds(size, draw) * second
    if kind == 4:
        return things(first.expand(3, size, size), draw)
    waves = _wave(size, draw)
    if kind == 3:
        waves = waves * _wave(size, draw)
    mix = torch.sigmoid(number(draw, 1, 12) * waves)
    return first + mix * (second - first)


def scenery(size: int, draw: Generator) -> Tensor:
    """A background [3, S, S]: a texture or a gradient, things in it, more or less out of focus, light unequal."""
    if happens(draw, 0.5, 1):
        # Half as sharp as the portrait before it, and a quarter of the work.
        scene = F.interpolate(texture(size // 2, draw)[None], size=(size, size), mode="bilinear")[0]
    else:
        scene = _gradient(size, draw)
    if happens(draw, 0.75, 1):
        scene = things(scene, draw)
    blur = number(draw, 0, 0.03) * size
    if happens(draw, 0.6, 1) and blur > 0.4:
        scene = gaussian_blur(scene[None], blur)[0]
    if happens(draw, 0.15, 1):
        scene = _discs_of_light(scene, draw)
    if happens(draw, 0.4, 1):
        scene = scene * (1.2 * _gradient(size, draw).mean(0) + 0.2)
    return scene


def things(scene: Tensor, draw: Generator) -> Tensor:
    """Dead leaves (Lee, Mumford and Huang, 2001): ellipses, polygons, bars and writing that hide one another.

    Sizes follow a power law, as those of the things of a photo do; colours come from a palette of a few.
    """
    size = scene.shape[-1]
    chance = numpy_chance(draw)
    canvas = Image.fromarray(_bytes(scene))
    pen = ImageDraw.Draw(canvas)
    palette = chance.uniform(0, 255, (chance.integers(2, 7), 3))
    palette += chance.random() * (palette.mean(1, keepdims=True) - palette)  # grey to gaudy
    smallest, largest = size * chance.uniform(0.01, 0.05), size * chance.uniform(0.1, 0.6)
    for _ in range(int(np.exp(chance.uniform(0, np.log(_MOST_THINGS))))):
        # Areas by the inverse square: radii r with density r^-3 between both ends.
        radius = (smallest**-2 - chance.random() * (smallest**-2 - largest**-2)) ** -0.5
        colour = palette[chance.integers(len(palette))] + chance.normal(0, 14, 3)
        _thing(pen, chance.uniform(0, size, 2), radius, _ink(colour), chance)
    if chance.random() < 0.3:
        for _ in range(chance.integers(1, 5)):
            _writing(pen, size, _ink(palette[chance.integers(len(palette))]), chance)
    return torch.from_numpy(np.array(canvas)).permute(2, 0, 1).float() / 255


def shape(size: int, draw: Generator) -> Tensor:
    """Cover [S, S] of a turned rectangle or ellipse somewhere in the frame."""
    x, y = _turned(size, draw)
    x = (x - number(draw, -1, 1)) / math.exp(number(draw, -3, 0))
    y = (y - number(draw, -1, 1)) / math.exp(number(draw, -3, 0))
    distance = torch.maximum(x.abs(), y.abs()) if happens(draw, 0.5, 1) else torch.hypot(x, y)
    return (distance < 1).float()


def strokes(size: int, draw: Generator) -> Tensor:
    """Some curved lines and blots [S, S] in [-1, 1], dark or light on zero: creases, marks, shine."""
    chance = numpy_chance(draw)
    canvas = Image.new("L", (size, size), 128)
    pen = ImageDraw.Draw(canvas)
    for _ in range(chance.integers(2, 14)):
        (x, y), tone = chance.uniform(0, size, 2), int(chance.integers(0, 256))
        a, b = np.exp(chance.uniform(np.log(0.01), np.log(0.2), 2)) * size
        box = (x - a, y - b, x + a, y + b)
        if chance.random() < 0.5:
            pen.ellipse(box, fill=tone)
        else:
            start = chance.uniform(0, 360)
            width = int(1 + chance.integers(0, max(2, size // 80)))
            pen.arc(box, start, start + chance.uniform(30, 180), fill=tone, width=width)
    drawn = torch.from_numpy(np.array(canvas)).float()[None, None] / 128 - 1
    return gaussian_blur(drawn, number(draw, 0.002, 0.02) * size + 0.3)[0, 0]


def streaks(size: int, draw: Generator) -> Tensor:
    """Locks [S, S], single strands to broad ones: noise that is much longer than it is wide, about zero."""
    columns = round(size / math.exp(number(draw, math.log(2), math.log(16))))
    noise = torch.randn((1, 1, max(size // 48, 2), columns), generator=draw)
    along = F.interpolate(noise, size=(size, size), mode="bilinear", align_corners=True)
    x, y = _turned(size, draw)
    grid = torch.stack([x, y], -1)[None] * 0.7
    return 0.5 * F.grid_sample(along, grid, padding_mode="reflection", align_corners=False)[0, 0]


def clouds(size: int, draw: Generator) -> Tensor:
    """Coloured noise of several scales [3, S, S]; a random fall of the spectrum from cloudy to grainy."""
    fall = number(draw, 0.3, 0.9)
    shared = number(draw, 0, 1)  # grey to coloured
    total, side = torch.zeros(1, 3, 1, 1), 2
    while side <= size:
        noise = torch.randn((1, 3, side, side), generator=draw)
        noise = shared * noise[:, :1] + (1 - shared) * noise
        total = F.interpolate(total / fall, size=(side, side), mode="bilinear") + noise
        side *= 2
    total = total * fall ** math.log2(size / 2)
    return F.interpolate(total, size=(size, size), mode="bilinear")[0]


def _gradient(size: int, draw: Generator) -> Tensor:
    corners = uniform(draw, 0, 1, 1, 3, 2, 2)
    return F.interpolate(corners, size=(size, size), mode="bilinear", align_corners=True)[0]


def _turned(size: int, draw: Generator) -> tuple[Tensor, Tensor]:
    """Coordinates [S, S] from -1 to 1, turned by any angle."""
    line = (torch.arange(size) + 0.5) * 2 / size - 1
    y, x = torch.meshgrid(line, line, indexing="ij")
    angle = number(draw, 0, 2 * math.pi)
    return math.cos(angle) * x + math.sin(angle) * y, math.cos(angle) * y - math.sin(angle) * x


def _wave(size: int, draw: Generator) -> Tensor:
    along, _ = _turned(size, draw)
    return torch.sin(math.exp(number(draw, 1.5, 4.5)) * along + number(draw, 0, 6.3))


# ------------------------------------------------------------------------------------------ drawing

_Ink = tuple[int, int, int]


def _ink(colour: np.ndarray) -> _Ink:
    red, green, blue = colour.clip(0, 255).astype(int).tolist()
    return red, green, blue


def _bytes(picture: Tensor) -> np.ndarray:
    pixels = (picture.clamp(0, 1) * 255).round().byte().permute(1, 2, 0)
    return np.ascontiguousarray(pixels.numpy())


def _thing(
    pen: ImageDraw.ImageDraw, centre: np.ndarray, radius: float, ink: _Ink, chance: np.random.Generator
) -> None:
    """An ellipse, a bar or a polygon about a centre."""
    kind = chance.integers(3)
    if kind == 0:
        a, b = radius * np.exp(chance.uniform(-0.7, 0.7, 2))
        x, y = centre
        pen.ellipse((x - a, y - b, x + a, y + b), fill=ink)
        return
    if kind == 1:
        turn, half = chance.uniform(0, 2 * np.pi), np.arctan(np.exp(chance.uniform(-2.5, 0)))
        angles = turn + np.array([half, np.pi - half, np.pi + half, -half])
    else:
        angles = np.sort(chance.uniform(0, 2 * np.pi, chance.integers(3, 8)))
    reach = radius * (1 if kind == 1 else chance.uniform(0.5, 1.3, len(angles)))
    corners = centre + np.stack([np.cos(angles), np.sin(angles)], 1) * np.reshape(reach, (-1, 1))
    pen.polygon([(float(x), float(y)) for x, y in corners], fill=ink)


def _writing(pen: ImageDraw.ImageDraw, size: int, ink: _Ink, chance: np.random.Generator) -> None:
    """A line of something like letters: an upright and two strokes each."""
    height = size * chance.uniform(0.02, 0.2)
    x, y = chance.uniform(-0.2, 0.8) * size, chance.uniform(0, 1) * size
    width = int(max(1, height * chance.uniform(0.1, 0.25)))
    for _ in range(chance.integers(3, 12)):
        right = x + height * chance.uniform(0.4, 0.8)
        pen.line((x, y, x, y + height), fill=ink, width=width)
        for _ in range(2):
            ends = chance.uniform(y, y + height, 2)
            if chance.random() < 0.5:
                pen.line((x, ends[0], right, ends[1]), fill=ink, width=width)
            else:
                pen.arc((x, min(ends), right, max(ends)), -90, 90, fill=ink, width=width)
        x = right + height * 0.25


def _discs_of_light(scene: Tensor, draw: Generator) -> Tensor:
    """Lights out of focus: bright discs that add up."""
    size = scene.shape[-1]
    chance = numpy_chance(draw)
    total = np.zeros((size, size, 3), np.int32)
    for _ in range(chance.integers(3, 20)):
        layer = Image.new("RGB", (size, size))
        (x, y), radius = chance.uniform(0, size, 2), size * chance.uniform(0.01, 0.08)
        box = (x - radius, y - radius, x + radius, y + radius)
        ImageDraw.Draw(layer).ellipse(box, fill=_ink(chance.uniform(20, 200, 3)))
        total += np.array(layer)
    return scene + torch.from_numpy(total).permute(2, 0, 1) / 255
