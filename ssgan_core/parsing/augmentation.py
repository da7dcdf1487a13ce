"""Makes synthetic portraits varied enough that a parser trained on them is not lost on photos.

Randomness comes from one generator alone, so that a step of training can be done again exactly. Pictures are
float [B, 3, S, S] in [0, 1], masks int64 ids [B, S, S].
"""

from __future__ import annotations

import io
import math

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Generator, Tensor

from ssgan_core.layers import gaussian_blur
from ssgan_core.parts import PartSchema

IGNORED = 255
"""Id of pixels that hold no truth: under occluders and beyond the frame."""

# Parts whose look the renderer knows least about, and how often another texture takes their place.
_RETEXTURED = {"background": 0.6, "cloth": 0.5, "hat": 0.5}
_STREAKED = {"hair": 0.4}
_SMOOTHED = 0.3  # how often hair shows no single strands, as in photos of few pixels
_SHADOWED = 0.25  # how often skin around the eyes is painted or lies in shadow
_LUMINANCE = (0.299, 0.587, 0.114)


def augment(images: Tensor, masks: Tensor, schema: PartSchema, draw: Generator) -> tuple[Tensor, Tensor]:
    """Vary portraits, each in its own way.

    Args:
        images: [B, 3, S, S] in [0, 1].
        masks: ids [B, S, S], int64.
        schema: what the ids stand for.
        draw: the only source of chance.

    Returns:
        Images [B, 3, S, S] in [-1, 1] and masks with IGNORED where there is no truth.
    """
    images, masks = _mirrored(images, masks, schema, draw)
    images, masks = _moved(images, masks, draw)
    images = _retextured(images, masks, schema, draw)
    images = _shadowed_eyes(images, masks, schema, draw)
    images = _retoned(images, masks, len(schema.parts), draw)
    images, masks = _occluded(images, masks, draw)
    images = _lit(images, draw)
    images = _graded(images, draw)
    images = torch.stack([_degraded(image, draw) for image in images])
    return images * 2 - 1, masks


# ----------------------------------------------------------------------------------------- chance


def _uniform(draw: Generator, low: float, high: float, *shape: int) -> Tensor:
    return low + (high - low) * torch.rand(shape, generator=draw)


def _normal(draw: Generator, deviation: float, *shape: int) -> Tensor:
    """Normal, cut at 2.5 standard deviations."""
    return torch.randn(shape, generator=draw).clamp_(-2.5, 2.5) * deviation


def _happens(draw: Generator, probability: float, *shape: int) -> Tensor:
    return torch.rand(shape, generator=draw) < probability


def _number(draw: Generator, low: float, high: float) -> float:
    return float(_uniform(draw, low, high, 1))


def _whole(draw: Generator, low: int, high: int) -> int:
    """An integer from low to high, both included."""
    return int(torch.randint(low, high + 1, (1,), generator=draw))


# ---------------------------------------------------------------------------------------- geometry


def _mirrored(images: Tensor, masks: Tensor, schema: PartSchema, draw: Generator) -> tuple[Tensor, Tensor]:
    chosen = _happens(draw, 0.5, len(images))
    swap = torch.from_numpy(schema.mirror_ids)
    return (
        torch.where(chosen[:, None, None, None], images.flip(-1), images),
        torch.where(chosen[:, None, None], swap[masks.flip(-1)], masks),
    )


def _moved(images: Tensor, masks: Tensor, draw: Generator) -> tuple[Tensor, Tensor]:
    """Rotate, scale, stretch and shift. Beyond the frame the picture goes on somehow and has no truth.

    Portraits are enlarged rather than shrunk: data sets of photos are cut more tightly than ours.
    """
    batch = len(images)
    angle = _normal(draw, math.radians(12), batch)
    zoom = (_normal(draw, 0.18, batch) - 0.09).exp()
    stretch = _normal(draw, 0.04, batch).exp()
    shift = _normal(draw, 0.12, batch, 2)
    rows = torch.stack(
        [
            torch.stack([angle.cos() * zoom * stretch, -angle.sin() * zoom, shift[:, 0]], 1),
            torch.stack([angle.sin() * zoom, angle.cos() * zoom / stretch, shift[:, 1]], 1),
        ],
        1,
    )
    grid = F.affine_grid(rows, [*images.shape], align_corners=False)
    padding = "border" if _happens(draw, 0.5, 1) else "reflection"
    moved = F.grid_sample(images, grid, padding_mode=padding, align_corners=False)
    # Shifted by one, so that the zeros that come in beyond the frame are no part's id.
    ids = F.grid_sample(masks[:, None] + 1.0, grid, mode="nearest", align_corners=False)[:, 0].long() - 1
    return moved, torch.where(ids < 0, IGNORED, ids)


# ------------------------------------------------------------------------------ textures and tones


def _retextured(images: Tensor, masks: Tensor, schema: PartSchema, draw: Generator) -> Tensor:
    """Other backgrounds, fabrics and locks under the same shading."""
    size = images.shape[-1]
    result = []
    for index, (image, mask) in enumerate(zip(images, masks, strict=True)):
        for name, probability in {**_RETEXTURED, **_STREAKED}.items():
            inside = mask == schema.names.index(name)
            if not _happens(draw, probability, 1) or not inside.any():
                continue
            cover = _softened(inside.float(), 0.6)
            if name in _STREAKED:
                locks = image
                if _happens(draw, _SMOOTHED, 1):
                    # Only hair is mixed: what lies around it must not bleed in.
                    sigma = _number(draw, 0.003, 0.02) * size
                    locks = _softened_within(image, inside.float(), sigma)
                painted = locks * (_streaks(size, draw) * _number(draw, 0.2, 1.0)).exp()
            elif name == "background":
                borrowed = _happens(draw, 0.2, 1)
                other = index - 1
                painted = _surroundings(images[other], masks[other]) if borrowed else _scenery(size, draw)
            else:
                light = _luminance(image)
                painted = _texture(size, draw) * (light / light[:, inside].mean().clamp_min(0.05)).clamp(
                    0.3, 2
                )
            image = image + cover * (painted.clamp(0, 1) - image)
        result.append(image)
    return torch.stack(result)


def _shadowed_eyes(images: Tensor, masks: Tensor, schema: PartSchema, draw: Generator) -> Tensor:
    """Shadow of some tint on the skin around the eyes."""
    size, batch = images.shape[-1], len(images)
    eyes = (masks == schema.names.index("eyes")).float()[:, None]
    skin = (masks == schema.names.index("skin")).float()[:, None]
    around = gaussian_blur(eyes, _number(draw, 0.01, 0.03) * size)
    around = around / around.amax((1, 2, 3), keepdim=True).clamp_min(1e-3)
    strength = _uniform(draw, 0.3, 1.8, batch, 1) * _happens(draw, _SHADOWED, batch, 1)
    tint = strength * (1 + _normal(draw, 0.25, batch, 3))
    return images * (-tint[..., None, None] * around * skin).exp()


def _retoned(images: Tensor, masks: Tensor, classes: int, draw: Generator) -> Tensor:
    """Each part a little brighter or darker and of another tint, with soft borders between."""
    batch = len(images)
    chosen = _happens(draw, 0.5, batch)[:, None, None]
    gains = _normal(draw, 0.14, batch, classes, 1) + _normal(draw, 0.06, batch, classes, 3)
    gains = gains * chosen
    known = torch.where(masks == IGNORED, 0, masks)
    which = known.flatten(1)[..., None].expand(-1, -1, 3)
    field = gains.gather(1, which).transpose(1, 2).reshape(images.shape)
    return (images * gaussian_blur(field, _number(draw, 0.6, 2.0)).exp()).clamp(0, 1)


def _surroundings(image: Tensor, mask: Tensor) -> Tensor:
    """The background alone of a portrait [3, S, S], the hole filled with means of what is near."""
    weight = (mask == 0).float()[None]
    levels = [torch.cat([image * weight, weight])[None]]
    while levels[-1].shape[-1] > 2:
        levels.append(F.avg_pool2d(levels[-1], 2))
    filled = levels.pop()
    while levels:
        finer = levels.pop()
        coarse = F.interpolate(filled, size=finer.shape[-2:], mode="bilinear")
        mean = coarse / coarse[:, 3:].clamp_min(1e-4)
        filled = finer + (1 - finer[:, 3:]) * mean
    return filled[0, :3]


def _texture(size: int, draw: Generator) -> Tensor:
    """Something like a fabric or a wall [3, S, S]: plain, clouds, stripes, checks."""
    first, second = _uniform(draw, 0, 1, 3, 1, 1), _uniform(draw, 0, 1, 3, 1, 1)
    kind = _whole(draw, 0, 3)
    if kind == 0:
        return first + 0.05 * _clouds(size, draw)
    if kind == 1:
        return first + 0.25 * _clouds(size, draw) + 0.1 * _clouds(size, draw) * second
    waves = _wave(size, draw)
    if kind == 3:
        waves = waves * _wave(size, draw)
    mix = torch.sigmoid(_number(draw, 1, 12) * waves)
    return first + mix * (second - first)


def _scenery(size: int, draw: Generator) -> Tensor:
    """A background [3, S, S]: a texture or a gradient, objects in it, more or less out of focus."""
    full, size = size, size // 2  # half as sharp as the portrait before it, and a quarter of the work
    if _happens(draw, 0.5, 1):
        scene = _texture(size, draw)
    else:
        corners = _uniform(draw, 0, 1, 1, 3, 2, 2)
        scene = F.interpolate(corners, size=(size, size), mode="bilinear", align_corners=True)[0]
    for _ in range(_whole(draw, 0, 9)):
        cover = _shape(size, draw)
        scene = scene + cover * (_texture(size, draw) - scene)
    blur = _number(draw, 0, 0.02) * size
    scene = gaussian_blur(scene[None], blur) if blur > 0.4 else scene[None]
    return F.interpolate(scene, size=(full, full), mode="bilinear")[0]


def _shape(size: int, draw: Generator) -> Tensor:
    """Cover [S, S] of a turned rectangle or ellipse somewhere in the frame."""
    x, y = _turned(size, draw)
    x = (x - _number(draw, -1, 1)) / math.exp(_number(draw, -3, 0))
    y = (y - _number(draw, -1, 1)) / math.exp(_number(draw, -3, 0))
    distance = torch.maximum(x.abs(), y.abs()) if _happens(draw, 0.5, 1) else torch.hypot(x, y)
    return (distance < 1).float()


def _turned(size: int, draw: Generator) -> tuple[Tensor, Tensor]:
    """Coordinates [S, S] from -1 to 1, turned by any angle."""
    line = (torch.arange(size) + 0.5) * 2 / size - 1
    y, x = torch.meshgrid(line, line, indexing="ij")
    angle = _number(draw, 0, 2 * math.pi)
    return math.cos(angle) * x + math.sin(angle) * y, math.cos(angle) * y - math.sin(angle) * x


def _wave(size: int, draw: Generator) -> Tensor:
    along, _ = _turned(size, draw)
    return torch.sin(math.exp(_number(draw, 1.5, 4.5)) * along + _number(draw, 0, 6.3))


def _streaks(size: int, draw: Generator) -> Tensor:
    """Locks [S, S]: noise that is much longer than it is wide, about one."""
    noise = torch.randn((1, 1, max(size // 48, 2), size // 2), generator=draw)
    along = F.interpolate(noise, size=(size, size), mode="bilinear", align_corners=True)
    x, y = _turned(size, draw)
    grid = torch.stack([x, y], -1)[None] * 0.7
    return 0.5 * F.grid_sample(along, grid, padding_mode="reflection", align_corners=False)[0, 0]


def _clouds(size: int, draw: Generator) -> Tensor:
    """Coloured noise of several scales [3, S, S]; a random fall of the spectrum from cloudy to grainy."""
    fall = _number(draw, 0.3, 0.9)
    shared = _number(draw, 0, 1)  # grey to coloured
    total, side = torch.zeros(1, 3, 1, 1), 2
    while side <= size:
        noise = torch.randn((1, 3, side, side), generator=draw)
        noise = shared * noise[:, :1] + (1 - shared) * noise
        total = F.interpolate(total / fall, size=(side, side), mode="bilinear") + noise
        side *= 2
    total = total * fall ** math.log2(size / 2)
    return F.interpolate(total, size=(size, size), mode="bilinear")[0]


# ------------------------------------------------------------------------- occluders, light, colour


def _occluded(images: Tensor, masks: Tensor, draw: Generator) -> tuple[Tensor, Tensor]:
    """Things in front of a third of the portraits; what they hide is not asked for."""
    images, masks = images.clone(), masks.clone()
    size = images.shape[-1]
    for index in torch.nonzero(_happens(draw, 0.3, len(images)))[:, 0].tolist():
        for _ in range(_whole(draw, 1, 3)):
            inside = _shape(size, draw) > 0
            if inside.float().mean() < 0.2:
                images[index] = torch.where(inside, _texture(size, draw).clamp(0, 1), images[index])
                masks[index][inside] = IGNORED
    return images, masks


def _lit(images: Tensor, draw: Generator) -> Tensor:
    """Shade and tinted light that change slowly across the picture."""
    batch, _, size, _ = images.shape
    grey, tint = _normal(draw, 0.35, batch, 1, 3, 3), _normal(draw, 0.07, batch, 3, 3, 3)
    field = (grey + tint) * _happens(draw, 0.5, batch)[:, None, None, None]
    return images * F.interpolate(field, size=(size, size), mode="bicubic", align_corners=True).exp()


def _graded(images: Tensor, draw: Generator) -> Tensor:
    """Exposure, white balance, contrast, gamma, saturation, hue, grey pictures."""
    batch = len(images)
    gain = (_normal(draw, 0.22, batch, 1) + _normal(draw, 0.08, batch, 3)).exp()
    images = images * gain[..., None, None]
    centre = images.mean((1, 2, 3), keepdim=True)
    images = centre + (images - centre) * _normal(draw, 0.2, batch, 1, 1, 1).exp()
    images = images.clamp(0, 1) ** _normal(draw, 0.22, batch, 1, 1, 1).exp()
    grey = _luminance(images)
    saturation = _normal(draw, 0.35, batch).exp() * ~_happens(draw, 0.1, batch)
    colour = (images - grey) * saturation[:, None, None, None]
    # A turn about the grey axis, to first order: adding what is across the axis and the colour.
    turn = torch.tan(_normal(draw, math.radians(7), batch))[:, None, None, None]
    across = (colour.roll(1, 1) - colour.roll(-1, 1)) / math.sqrt(3)
    return (grey + colour + turn * across).clamp(0, 1)


def _luminance(images: Tensor) -> Tensor:
    weights = torch.tensor(_LUMINANCE).view(3, 1, 1)
    return (images * weights).sum(-3, keepdim=True)


# --------------------------------------------------------------------------------------- cameras


def _degraded(image: Tensor, draw: Generator) -> Tensor:
    """What lenses, sensors, scaling and JPEG do to a picture [3, S, S]."""
    size = image.shape[-1]
    if _happens(draw, 0.25, 1):
        image = gaussian_blur(image[None], _number(draw, 0.3, 0.008 * size))[0]
    if _happens(draw, 0.3, 1):
        side = max(16, round(size / math.exp(_number(draw, 0, math.log(4)))))
        small = F.interpolate(image[None], size=(side, side), mode="bilinear", antialias=True)
        image = F.interpolate(small, size=(size, size), mode="bilinear")[0]
    if _happens(draw, 0.4, 1):
        image = image + _number(draw, 0, 0.06) * torch.randn(image.shape, generator=draw)
    if _happens(draw, 0.3, 1):
        image = _jpeg(image, _whole(draw, 20, 90))
    return image.clamp(0, 1)


def _jpeg(image: Tensor, quality: int) -> Tensor:
    pixels = (image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, format="JPEG", quality=quality)
    with Image.open(buffer) as stored:
        return torch.from_numpy(np.array(stored)).permute(2, 0, 1).float() / 255


def _softened(cover: Tensor, sigma: float) -> Tensor:
    return gaussian_blur(cover[None, None], sigma)[0]


def _softened_within(image: Tensor, inside: Tensor, sigma: float) -> Tensor:
    """A picture [3, S, S] blurred with the pixels [S, S] that are inside alone."""
    weighted = torch.cat([image * inside, inside[None]])[None]
    mixed = gaussian_blur(weighted, max(sigma, 0.3))[0]
    return mixed[:3] / mixed[3:].clamp_min(1e-3)
