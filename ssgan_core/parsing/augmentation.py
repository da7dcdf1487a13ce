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
from ssgan_core.parsing.appearance import bare_shoulders, luminance, marked_skin, retextured, retoned
from ssgan_core.parsing.chance import happens, normal, number, uniform, whole
from ssgan_core.parsing.full_hair import full_hair
from ssgan_core.parsing.textures import shape, texture
from ssgan_core.parts import PartSchema

IGNORED = 255
"""Id of pixels that hold no truth: under occluders and beyond the frame."""

_GENTLEST = 0.2  # least share of the largest changes of light and colour


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
    images, masks = bare_shoulders(images, masks, schema, draw)
    images, masks = full_hair(images, masks, schema, draw)
    images = retextured(images, masks, schema, draw)
    images = marked_skin(images, masks, schema, draw)
    images = retoned(images, masks, schema, draw)
    images, masks = _occluded(images, masks, draw)
    # Some portraits are lit and graded gently, as most photos are, others far beyond what a photo shows.
    wild = uniform(draw, _GENTLEST, 1, len(images), 1, 1, 1)
    images = _lit(images, wild, draw)
    images = _graded(images, wild, draw)
    images = torch.stack([_degraded(image, draw) for image in images])
    return images * 2 - 1, masks


# ---------------------------------------------------------------------------------------- geometry


def _mirrored(images: Tensor, masks: Tensor, schema: PartSchema, draw: Generator) -> tuple[Tensor, Tensor]:
    chosen = happens(draw, 0.5, len(images))
    swap = torch.from_numpy(schema.mirror_ids)
    return (
        torch.where(chosen[:, None, None, None], images.flip(-1), images),
        torch.where(chosen[:, None, None], swap[masks.flip(-1)], masks),
    )


def _moved(images: Tensor, masks: Tensor, draw: Generator) -> tuple[Tensor, Tensor]:
    """Rotate, scale, stretch, shift and warp. Beyond the frame the picture goes on somehow and has no truth."""
    batch, size = len(images), images.shape[-1]
    angle = normal(draw, math.radians(8), batch)
    zoom = (normal(draw, 0.18, batch) - 0.02).exp()
    stretch = normal(draw, 0.04, batch).exp()
    shift = normal(draw, 0.12, batch, 2)
    rows = torch.stack(
        [
            torch.stack([angle.cos() * zoom * stretch, -angle.sin() * zoom, shift[:, 0]], 1),
            torch.stack([angle.sin() * zoom, angle.cos() * zoom / stretch, shift[:, 1]], 1),
        ],
        1,
    )
    grid = F.affine_grid(rows, [*images.shape], align_corners=False)
    warp = normal(draw, 0.02, batch, 2, 6, 6)  # other faces and hairstyles than the renderer has
    warp = F.interpolate(warp, size=(size, size), mode="bicubic", align_corners=True)
    grid = grid + warp.permute(0, 2, 3, 1)
    padding = "border" if happens(draw, 0.5, 1) else "reflection"
    moved = F.grid_sample(images, grid, padding_mode=padding, align_corners=False)
    # Shifted by one, so that the zeros that come in beyond the frame are no part's id.
    ids = F.grid_sample(masks[:, None] + 1.0, grid, mode="nearest", align_corners=False)[:, 0].long() - 1
    return moved, torch.where(ids < 0, IGNORED, ids)


# ------------------------------------------------------------------------- occluders, light, colour


def _occluded(images: Tensor, masks: Tensor, draw: Generator) -> tuple[Tensor, Tensor]:
    """Things in front of a third of the portraits; what they hide is not asked for."""
    images, masks = images.clone(), masks.clone()
    size = images.shape[-1]
    for index in torch.nonzero(happens(draw, 0.3, len(images)))[:, 0].tolist():
        for _ in range(whole(draw, 1, 3)):
            inside = shape(size, draw) > 0
            if inside.float().mean() < 0.2:
                images[index] = torch.where(inside, texture(size, draw).clamp(0, 1), images[index])
                masks[index][inside] = IGNORED
    return images, masks


def _lit(images: Tensor, wild: Tensor, draw: Generator) -> Tensor:
    """Shade and tinted light that change slowly across the picture; shadows with edges. `wild`: [B, 1, 1, 1]."""
    batch, _, size, _ = images.shape
    grey, tint = normal(draw, 0.35, batch, 1, 3, 3), normal(draw, 0.07, batch, 3, 3, 3)
    field = (grey + tint) * happens(draw, 0.5, batch)[:, None, None, None]
    field = F.interpolate(field, size=(size, size), mode="bicubic", align_corners=True)
    for index in torch.nonzero(happens(draw, 0.2, batch))[:, 0].tolist():
        edges = gaussian_blur(shape(size, draw)[None, None], number(draw, 0.003, 0.05) * size + 0.3)[0]
        field[index] += edges * number(draw, -1.2, 0.5)
    return images * (wild * field).exp()


def _graded(images: Tensor, wild: Tensor, draw: Generator) -> Tensor:
    """Exposure, white balance, contrast, gamma, saturation, hue, grey pictures. `wild`: [B, 1, 1, 1].

    Contrast rises rather than falls: photos have more of it than renderings.
    """
    batch = len(images)
    gain = (normal(draw, 0.18, batch, 1) + normal(draw, 0.08, batch, 3)).exp()
    images = images * gain[..., None, None] ** wild
    centre = images.mean((1, 2, 3), keepdim=True)
    images = centre + (images - centre) * (wild * normal(draw, 0.25, batch, 1, 1, 1) + 0.1).exp()
    images = images.clamp(0, 1) ** (wild * normal(draw, 0.25, batch, 1, 1, 1)).exp()
    grey = luminance(images)
    saturation = (wild * normal(draw, 0.35, batch, 1, 1, 1)).exp() * ~happens(draw, 0.1, batch, 1, 1, 1)
    colour = (images - grey) * saturation
    # A turn about the grey axis, to first order: adding what is across the axis and the colour.
    turn = torch.tan(wild * normal(draw, math.radians(7), batch, 1, 1, 1))
    across = (colour.roll(1, 1) - colour.roll(-1, 1)) / math.sqrt(3)
    return (grey + colour + turn * across).clamp(0, 1)


# --------------------------------------------------------------------------------------- cameras


def _degraded(image: Tensor, draw: Generator) -> Tensor:
    """What lenses, sensors, scaling and JPEG do to a picture [3, S, S]."""
    size = image.shape[-1]
    if happens(draw, 0.25, 1):
        image = gaussian_blur(image[None], number(draw, 0.3, 0.008 * size))[0]
    if happens(draw, 0.3, 1):
        side = max(16, round(size / math.exp(number(draw, 0, math.log(4)))))
        small = F.interpolate(image[None], size=(side, side), mode="bilinear", antialias=True)
        image = F.interpolate(small, size=(size, size), mode="bilinear")[0]
    if happens(draw, 0.4, 1):
        image = image + number(draw, 0, 0.06) * torch.randn(image.shape, generator=draw)
    if happens(draw, 0.3, 1):
        image = _jpeg(image, whole(draw, 20, 90))
    return image.clamp(0, 1)


def _jpeg(image: Tensor, quality: int) -> Tensor:
    pixels = (image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, format="JPEG", quality=quality)
    with Image.open(buffer) as stored:
        return torch.from_numpy(np.array(stored)).permute(2, 0, 1).float() / 255
