"""Other looks for the parts of a portrait whose exact masks are known: textures, tones, hair, skin, lips.

Pictures are float [B, 3, S, S] in [0, 1], masks int64 ids [B, S, S]; randomness comes from one generator alone.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from ssgan_core.layers import gaussian_blur
from ssgan_core.parsing.chance import happens, normal, number, uniform
from ssgan_core.parsing.textures import clouds, scenery, streaks, strokes, texture
from ssgan_core.parts import PartSchema

# How often the parts whose look the renderer knows least about get another one.
_RETEXTURED = {"background": 0.75, "cloth": 0.5, "hat": 0.5}
# What is black or nearly so in many photos, whatever hangs there or is worn.
_DARKENED = {"background": 0.15, "cloth": 0.35, "hat": 0.35}
_DARKEST, _LIGHTEST = 0.015, 0.15  # their mean then
_BORROWED = 0.1  # a background from another portrait, with and without its person
_SOFT_EDGED = 0.5  # a new background shines through the rim of what stands before it
_BARE = 0.15  # shoulders without clothes
_DYED, _STREAKED, _SMOOTHED = 0.4, 0.4, 0.4  # hair: tone, locks, no single strands as in photos of few pixels
_MARKED = 0.35  # creases, marks and shine on skin
_SHADOWED = {"eyes": 0.4, "mouth": 0.15}  # paint, shadow or stubble on the skin around
_THINNEST, _WIDEST = 0.004, 0.04  # of it, as a share of the picture's side: a painted line, or shadow
_PAINTED_LIPS = 0.4
# Parts that are as light or dark as another one: a new tone for two of them moves neither's border.
_ALIKE = (
    ("background", "hair", 0.15),
    ("cloth", "hair", 0.2),
    ("cloth", "background", 0.12),
    ("hat", "hair", 0.2),
)
_LUMINANCE = (0.299, 0.587, 0.114)
_FEW = 24  # pixels of a part that has no mean to speak of


def luminance(images: Tensor) -> Tensor:
    """[..., 3, S, S] to [..., 1, S, S]."""
    weights = torch.tensor(_LUMINANCE).view(3, 1, 1)
    return (images * weights).sum(-3, keepdim=True)


def bare_shoulders(
    images: Tensor, masks: Tensor, schema: PartSchema, draw: Generator
) -> tuple[Tensor, Tensor]:
    """Clothes, down to some height or all, become skin: annotators of photos call it neck."""
    images, masks = images.clone(), masks.clone()
    cloth, neck = schema.names.index("cloth"), schema.names.index("neck")
    size = images.shape[-1]
    for index in torch.nonzero(happens(draw, _BARE, len(images)))[:, 0].tolist():
        image, mask = images[index], masks[index]
        inside, skin = mask == cloth, mask == neck
        if min(int(inside.sum()), int(skin.sum())) < _FEW:
            continue
        end = size if happens(draw, 0.5, 1) else number(draw, 0.7, 1) * size
        bare = inside & (torch.arange(size)[:, None] < end)
        light = luminance(_softened_within(image, inside.float(), 0.03 * size))
        shade = (light / light[:, inside].mean().clamp_min(0.05)).clamp(0.3, 2) ** number(draw, 0.2, 0.8)
        colour = image[:, skin].mean(1)[:, None, None] * number(draw, 0.8, 1.3)
        painted = colour * shade * (1 + number(draw, 0, 0.04) * clouds(size, draw))
        images[index] = image + softened(bare.float(), 0.6) * (painted.clamp(0, 1) - image)
        masks[index][bare] = neck
    return images, masks


def retextured(images: Tensor, masks: Tensor, schema: PartSchema, draw: Generator) -> Tensor:
    """Other hair, fabrics and backgrounds under the same shading."""
    result = []
    for index, (image, mask) in enumerate(zip(images, masks, strict=True)):
        other = images[index - 1], masks[index - 1]
        inside = mask == schema.names.index("hair")
        if inside.sum() > _FEW:
            image = _other_hair(image, inside, draw)
        for name, probability in _RETEXTURED.items():
            inside = mask == schema.names.index(name)
            if happens(draw, probability, 1) and inside.any():
                image = _covered(image, inside, name, other, draw)
        for name, probability in _DARKENED.items():
            inside = mask == schema.names.index(name)
            if happens(draw, probability, 1) and inside.sum() > _FEW:
                image = _darkened(image, inside, draw)
        result.append(_alike(image, mask, schema, draw))
    return torch.stack(result)


def _other_hair(image: Tensor, inside: Tensor, draw: Generator) -> Tensor:
    size = image.shape[-1]
    hair = image
    if happens(draw, _SMOOTHED, 1):
        # Only hair is mixed: what lies around it must not bleed in.
        hair = _softened_within(hair, inside.float(), number(draw, 0.003, 0.03) * size)
    if happens(draw, _DYED, 1):
        light = luminance(hair)
        relief = (light / light[:, inside].mean().clamp_min(0.02)).clamp(0.1, 4) ** number(draw, 0.4, 1.4)
        hair = _hair_colour(draw) * relief
    if happens(draw, _STREAKED, 1):
        hair = hair * (streaks(size, draw) * number(draw, 0.2, 1.2)).exp()
    if hair is image:
        return image
    return image + softened(inside.float(), 0.6) * (hair.clamp(0, 1) - image)


def _hair_colour(draw: Generator) -> Tensor:
    """From black to white along brown, red and fair [3, 1, 1]; seldom any colour."""
    if happens(draw, 0.06, 1):
        return uniform(draw, 0.05, 0.9, 3, 1, 1)
    light = math.exp(number(draw, math.log(0.02), math.log(0.75)))
    warmth = number(draw, -0.05, 0.4)
    return light * torch.tensor([warmth, 0.0, -1.2 * warmth]).exp().view(3, 1, 1)


def _covered(
    image: Tensor, inside: Tensor, name: str, other: tuple[Tensor, Tensor], draw: Generator
) -> Tensor:
    """A part under another texture; backgrounds may come from another portrait and its mask."""
    size = image.shape[-1]
    cover = softened(inside.float(), 0.6)
    if name == "background":
        kind = number(draw, 0, 1)
        if kind < _BORROWED:
            painted = _surroundings(*other)
        elif kind < 2 * _BORROWED:
            painted = gaussian_blur(other[0].flip(-2)[None], number(draw, 0.005, 0.05) * size + 0.3)[0]
        else:
            painted = scenery(size, draw)
        if happens(draw, _SOFT_EDGED, 1):
            softness = number(draw, 0.6, 1 + 0.012 * size)
            cover = torch.maximum(inside.float(), softened(inside.float(), softness))
    else:
        light = luminance(image)
        shade = (light / light[:, inside].mean().clamp_min(0.05)).clamp(0.3, 2)
        painted = (scenery if happens(draw, 0.3, 1) else texture)(size, draw) * shade
    return image + cover * (painted.clamp(0, 1) - image)


def _darkened(image: Tensor, inside: Tensor, draw: Generator) -> Tensor:
    """A part nearly black; what is dark already stays so."""
    tone = math.exp(number(draw, math.log(_DARKEST), math.log(_LIGHTEST)))
    gain = min(1.0, tone / float(image[:, inside].mean().clamp_min(0.01)))
    return image * gain ** softened(inside.float(), 0.6)


def _alike(image: Tensor, mask: Tensor, schema: PartSchema, draw: Generator) -> Tensor:
    """Parts that photos show in nearly one tone, such as dark hair before a dark wall."""
    for name, model, probability in _ALIKE:
        inside, pattern = mask == schema.names.index(name), mask == schema.names.index(model)
        if not happens(draw, probability, 1) or min(int(inside.sum()), int(pattern.sum())) < _FEW:
            continue
        means = [image[:, place].mean(1).clamp_min(0.02) for place in (inside, pattern)]
        gain = (means[1] / means[0]).clamp(0.1, 6) ** number(draw, 0.6, 1)
        toned = (image * gain[:, None, None]).clamp(0, 1)
        image = image + softened(inside.float(), 0.6) * (toned - image)
    return image


def marked_skin(images: Tensor, masks: Tensor, schema: PartSchema, draw: Generator) -> Tensor:
    """Creases, marks, shine; shadow, paint or stubble around eyes and mouth; lips of other colours."""
    size, batch = images.shape[-1], len(images)
    skin = torch.isin(masks, torch.tensor([schema.names.index("skin"), schema.names.index("nose")]))
    images = images.clone()
    for index in torch.nonzero(happens(draw, _MARKED, batch))[:, 0].tolist():
        marks = strokes(size, draw) * skin[index] * number(draw, 0.1, 0.7)
        images[index] = images[index] * marks.exp() + 0.3 * marks.clamp_min(0) * happens(draw, 0.5, 1)
    for name, probability in _SHADOWED.items():
        part = (masks == schema.names.index(name)).float()[:, None]
        width = math.exp(number(draw, math.log(_THINNEST), math.log(_WIDEST)))
        around = gaussian_blur(part, width * size)
        around = around / around.amax((1, 2, 3), keepdim=True).clamp_min(1e-3)
        strength = uniform(draw, 0.3, 1.8, batch, 1) * happens(draw, probability, batch, 1)
        tint = strength * (1 + normal(draw, 0.25, batch, 3))
        grain = 1 + number(draw, 0, 0.8) * torch.randn(batch, 1, size, size, generator=draw)
        images = images * (-tint[..., None, None] * around * skin[:, None] * grain.clamp(0, 2)).exp()
    lips = (masks == schema.names.index("mouth"))[:, None]
    for index in torch.nonzero(happens(draw, _PAINTED_LIPS, batch))[:, 0].tolist():
        if min(int(lips[index].sum()), int(skin[index].sum())) < _FEW:
            continue
        inside = lips[index, 0]
        if happens(draw, 0.5, 1):  # pale: nearly the colour of the skin
            gain = images[index][:, skin[index]].mean(1) / images[index][:, inside].mean(1).clamp_min(0.02)
            gain = gain.clamp(0.3, 3) ** number(draw, 0.3, 1)
        else:
            gain = (normal(draw, 0.2, 1) + normal(draw, 0.2, 3)).exp()
        field = gain.log()[:, None, None] * softened(inside.float(), 0.8)
        images[index] = images[index] * field.exp()
    return images.clamp(0, 1)


def retoned(images: Tensor, masks: Tensor, schema: PartSchema, draw: Generator) -> Tensor:
    """Each part a little brighter or darker and of another tint, with soft borders between.

    A nose keeps the skin's tone: nothing but its relief may tell it from the cheeks.
    """
    batch, classes = len(images), len(schema.parts)
    chosen = happens(draw, 0.5, batch)[:, None, None]
    gains = normal(draw, 0.16, batch, classes, 1) + normal(draw, 0.06, batch, classes, 3)
    gains[:, schema.names.index("nose")] = gains[:, schema.names.index("skin")]
    gains = gains * chosen
    known = torch.where(masks < classes, masks, 0)
    which = known.flatten(1)[..., None].expand(-1, -1, 3)
    field = gains.gather(1, which).transpose(1, 2).reshape(images.shape)
    return (images * gaussian_blur(field, number(draw, 0.6, 2.0)).exp()).clamp(0, 1)


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


def softened(cover: Tensor, sigma: float) -> Tensor:
    """A cover [S, S] with softer borders, [1, S, S]."""
    return gaussian_blur(cover[None, None], sigma)[0]


def _softened_within(image: Tensor, inside: Tensor, sigma: float) -> Tensor:
    """A picture [3, S, S] blurred with the pixels [S, S] that are inside alone."""
    weighted = torch.cat([image * inside, inside[None]])[None]
    mixed = gaussian_blur(weighted, max(sigma, 0.3))[0]
    return mixed[:3] / mixed[3:].clamp_min(1e-3)
