"""Views of one head, and where its sheets are before they are fitted: where the views' own points lie."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ssgan_core import cameras
from ssgan_core.evaluation.geometry import unproject
from ssgan_core.heads.render import render_portrait
from ssgan_core.heads.sampler import Identity
from ssgan_core.layers import gaussian_blur
from ssgan_core.model.geometry import part_dome
from ssgan_core.parts import PartSchema

_CONTINUED = (1.0, 2.0, 4.0, 8.0)  # texels over which maps go on where a part was not seen
_SEEN = 0.05  # least weight of points that decides
_FRONTAL = 0.3  # radians of yaw: points of views farther from the front count less


@dataclass(frozen=True)
class HeadViews:
    """Views of one head.

    Attributes:
        labels: cameras [V, 25], float32.
        images: uint8 [V, R, R, 3].
        masks: part ids [V, R, R], uint8.
        depths: z_cam [V, R, R], float32, 0 = background.
    """

    labels: np.ndarray
    images: np.ndarray
    masks: np.ndarray
    depths: np.ndarray

    @property
    def size(self) -> int:
        """Pixels R along a side."""
        return self.masks.shape[-1]


def render_views(identity: Identity, yaws: np.ndarray, pitches: np.ndarray, size: int) -> HeadViews:
    """Views of a synthetic head from angles [V] in radians."""
    labels = cameras.label(yaws, pitches).astype(np.float32)
    views = [render_portrait(identity, label, size) for label in labels]
    images, masks, depths = (
        np.stack([getattr(view, name) for view in views]) for name in ("image", "mask", "depth")
    )
    return HeadViews(labels, images, masks, depths)


def world_points(views: HeadViews) -> np.ndarray:
    """World points [V, R, R, 3] of all pixels; those of the background mean nothing."""
    pairs = zip(views.depths.astype(np.float64), views.labels, strict=True)
    return np.stack([unproject(depth, label) for depth, label in pairs])


def first_maps(views: HeadViews, schema: PartSchema, texels: int) -> tuple[Tensor, Tensor]:
    """Depth [K, S, S] (world z) and colours [K, 3, S, S] (0..1) of sheets through the points of their parts.

    A texel has the mean of the points over it, frontal views before others. Where none is, the mean of those around
    it, over distances that double; farther away depth returns to the dome and the part's start, colours to the part's
    mean.
    """
    rest = (
        part_dome(schema, texels)
        + torch.tensor([part.depth_start for part in schema.foreground])[:, None, None]
    )
    weight, height, colour = _gathered(views, schema, texels)
    above = height - weight * rest
    mean = colour.sum((2, 3)) / weight.sum((1, 2)).clamp(min=1e-6)[:, None]
    off = torch.zeros_like(rest)
    shown = mean[:, :, None, None].expand_as(colour)
    known = torch.zeros_like(rest, dtype=torch.bool)
    for sigma in (0.0, *_CONTINUED):
        if sigma:
            near, near_above = (gaussian_blur(sums[None], sigma)[0] for sums in (weight, above))
            near_colour = gaussian_blur(colour, sigma)
        else:
            near, near_above, near_colour = weight, above, colour
        fill = ~known & (near > _SEEN)
        off = torch.where(fill, near_above / near.clamp(min=_SEEN), off)
        shown = torch.where(fill[:, None], near_colour / near.clamp(min=_SEEN)[:, None], shown)
        known |= fill
    return rest + gaussian_blur(off[None], 1.0)[0], shown


def first_backdrop(views: HeadViews) -> Tensor:
    """The picture behind the head [3, R, R] (0..1): means of what views show of it, grey where none does."""
    behind = (views.masks == 0)[..., None]
    mean = (views.images * behind).sum(0) / 255 / behind.sum(0).clip(1)
    mean = np.where(behind.any(0), mean, 0.5)
    return torch.from_numpy(mean).float().permute(2, 0, 1)


def _gathered(views: HeadViews, schema: PartSchema, texels: int) -> tuple[Tensor, Tensor, Tensor]:
    """Sums over the points above each texel: of weights and weighted z [K, S, S] and colours [K, 3, S, S]."""
    parts = len(schema.foreground)
    weights, heights, colours = (np.zeros((parts, texels, texels, n)) for n in (1, 1, 3))
    yaws = cameras.angles(views.labels)[0]
    for yaw, points, mask, image in zip(yaws, world_points(views), views.masks, views.images, strict=True):
        x0, y0, x1, y1 = schema.foreground[0].window  # all windows are equal
        column = np.floor((points[..., 0] - x0) / (x1 - x0) * texels).astype(int)
        row = np.floor((y1 - points[..., 1]) / (y1 - y0) * texels).astype(int)
        inside = (mask > 0) & (np.minimum(column, row) >= 0) & (np.maximum(column, row) < texels)
        place = (mask[inside].astype(int) - 1, row[inside], column[inside])
        weight = np.exp(-((yaw / _FRONTAL) ** 2))
        np.add.at(weights, place, weight)
        np.add.at(heights, place, weight * points[inside][:, 2:])
        np.add.at(colours, place, weight / 255 * image[inside])
    sums = (torch.from_numpy(array).float().movedim(-1, 1) for array in (weights, heights, colours))
    weight, height, colour = sums
    return weight[:, 0], height[:, 0], colour
