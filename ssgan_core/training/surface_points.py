"""Learning from points of surfaces, without drawing them.

Depth says where every pixel's surface lies, and its mask which part it is. The part networks are functions of position:
asked at that very point they say a colour and a depth, to be compared with the pixel's. What is drawn is compared where
it came to lie, and a sheet that lies too near by a hundredth of a head shows a turned head's pupils beside the true
ones: the best that errors of pixels then teach is a blur. And every part has as many points as any other, for a small
share of what drawing costs.

Eyes and mouths lie in openings of the skin, and skin that closed them would shine through: shells are thick. So where
they are seen, and not at their outlines, skin is taught to be clear.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ssgan_core.model.codes import Codes
from ssgan_core.model.generator import Generator
from ssgan_core.rendering.rays import lift
from ssgan_core.training.data import Batch

DEPTH_SCALE = 0.35  # world units that count as much as all of a colour's range


class SurfacePoints(NamedTuple):
    """N points of each of the K foreground parts that B pictures show.

    Attributes:
        places: [B, K, N, 3] world units.
        colours: [B, K, N, 3] in [-1, 1].
        shown: [B, K] bool, whether there is any; those of parts that are not shown mean nothing.
        told: [B, K, N] bool, which of their colours can be known.
        open: [B, K, N] bool, at which of them the skin has an opening.
    """

    places: Tensor
    colours: Tensor
    shown: Tensor
    told: Tensor
    open: Tensor


class PointErrors(NamedTuple):
    """Means, every part of every picture counting the same.

    Attributes:
        colour: absolute errors of colours.
        depth: absolute errors of depth, in DEPTH_SCALE.
        opening: cross-entropy of skin that is where its openings are.
    """

    colour: Tensor
    depth: Tensor
    opening: Tensor


def draw_points(
    batch: Batch, told: Tensor, opened: Tensor, parts: int, count: int, rng: torch.Generator
) -> SurfacePoints:
    """Random pixels of every part, with replacement where it has few.

    Args:
        told: [B, H, W] bool, pixels whose colours can be known.
        opened: [B, H, W] bool, pixels that are seen through openings of the skin.
        parts: K.
        count: N.
        rng: CPU generator.
    """
    ids = torch.where(batch.depths[:, 0] > 0, batch.masks, 0).flatten(1)
    device, pixels = ids.device, ids.shape[1]
    # In random order, then by parts: the first of each part are a random choice of its pixels.
    shuffled = torch.randperm(pixels, generator=rng).to(device)
    by_part, order = ids[:, shuffled].sort(dim=1, stable=True)
    wanted = torch.arange(1, parts + 2, device=device, dtype=ids.dtype).expand(len(ids), -1).contiguous()
    first = torch.searchsorted(by_part, wanted)
    counts = first.diff(dim=1)
    number = torch.arange(count, device=device) % counts.clamp(min=1)[..., None]
    chosen = (first[:, :-1, None] + number).clamp(max=pixels - 1).flatten(1)
    pixel = shuffled[order.gather(1, chosen)]
    side = batch.masks.shape[-1]
    seen_at = torch.stack([pixel % side, pixel.div(side, rounding_mode="floor")], -1)
    places = lift((seen_at + 0.5) / side, batch.depths.flatten(1).gather(1, pixel), batch.labels)
    images = batch.normalised_images().flatten(2)
    colours = images.gather(2, pixel[:, None].expand(-1, 3, -1)).transpose(1, 2)
    by_parts = (parts, count)
    return SurfacePoints(
        places.unflatten(1, by_parts),
        colours.unflatten(1, by_parts),
        counts > 0,
        told.flatten(1).gather(1, pixel).unflatten(1, by_parts),
        opened.flatten(1).gather(1, pixel).unflatten(1, by_parts),
    )


def point_errors(
    generator: Generator, codes: Codes, points: SurfacePoints, views: int, sunken: Tensor
) -> PointErrors:
    """Compare what the networks say of points with what the pictures do.

    Args:
        codes: B / views portraits.
        points: of B pictures.
        views: how many pictures in succession are of one portrait.
        sunken: [n] numbers of the parts, 0 to K - 1, that lie in openings of the skin.
    """

    def of_portraits(x: Tensor) -> Tensor:  # [B, K, N, ...] -> [B / views, K, views N, ...]
        return x.unflatten(0, (-1, views)).transpose(1, 2).flatten(2, 3)

    colours, depth = generator.surfaces(codes, of_portraits(points.places[..., :2]))
    shown = points.shown[..., None].expand_as(points.told)
    told = of_portraits((shown & points.told).float())
    shown = of_portraits(shown.float())
    colour = (colours - of_portraits(points.colours)).abs().mean(-1)
    away = (depth - of_portraits(points.places[..., 2])).abs() / DEPTH_SCALE
    if not len(sunken):
        return PointErrors(_mean(colour, told), _mean(away, shown), colour.new_zeros(()))
    through = of_portraits((points.shown[..., None] & points.open).float())[:, sunken]
    skin = generator.skin_at(codes, of_portraits(points.places[..., :2])[:, sunken].flatten(1, 2))
    closed = F.softplus(skin).view(through.shape)
    return PointErrors(_mean(colour, told), _mean(away, shown), _mean(closed, through))


def _mean(errors: Tensor, counted: Tensor) -> Tensor:
    """Of errors [B, K, N] those that are counted, 0 or 1: the mean of parts' means; 0 of none."""
    of_parts = (errors * counted).sum(-1) / counted.sum(-1).clamp(min=1)
    return of_parts.sum() / (counted.sum(-1) > 0).sum().clamp(min=1)
