"""Sheets fitted to the views of one head, without networks: the best maps that a generator could make of it.

Depth, optical depth and colour of every part and the picture behind them are free numbers, a set for every texel, that
Adam changes until renderings agree with the views. They obey what a generator's maps obey: the schema's window, depths
relative to the skin within the parts' bounds (unless they are set free), optical depth of at most 20.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.sheet_start import HeadViews, first_backdrop, first_maps, world_points
from ssgan_core import cameras
from ssgan_core.losses import real_mask_channels
from ssgan_core.model.geometry import depth_bounds, part_dome
from ssgan_core.parts import PORTRAIT, PartSchema
from ssgan_core.progress import Progress, silent
from ssgan_core.rendering import Rays, Rendering, camera_rays, render
from ssgan_core.training.facts import part_layout

_MOST_OPTICAL_DEPTH = 20.0
# Losses: class-balanced cross-entropy of masks, L1 of depth, squared and absolute error of colours.
_MASK_WEIGHT = 0.6
_DEPTH_WEIGHT = 10.0
_SQUARE_WEIGHT = 20.0
_COLOUR_WEIGHT = 4.0
_LEAST_AREA = 1e-4  # of the balance: a part with less is not weighted more
_RATES = {"depth": 0.01, "logits": 0.3, "colours": 0.02, "backdrop": 0.03}
_FREE_RATE = 0.001  # of depth in world units
_RISE, _FALL = 20, 0.3  # steps over which rates rise, last share of the fit over which they fall
_START_WIDTH, _ANNEALED = 0.03, 0.4  # width at the start, and the share of the fit over which it falls
_PRIOR_VIEWS = 8  # the most frontal ones
_FREE_MARGIN = 0.05  # world units beyond the points of the views


@dataclass(frozen=True)
class Variant:
    """Which sheets are fitted.

    Attributes:
        texels: side S of the maps.
        window: half side of the square of the x, y plane that they cover, world units.
        width: Gaussian width w of the shells, world units.
        bounded: whether depths keep to the parts' bounds (PartSchema) or are free.
    """

    texels: int = 64
    window: float = PORTRAIT.foreground[0].window[2]
    width: float = 0.0125
    bounded: bool = True

    @property
    def schema(self) -> PartSchema:
        """The portrait's parts over this window."""
        square = (-self.window, -self.window, self.window, self.window)
        return PartSchema(tuple(replace(part, window=square) for part in PORTRAIT.parts))


class Sheets(nn.Module):
    """The sheets of one head and the picture behind them.

    Args:
        views: what they start from.
    """

    def __init__(self, views: HeadViews, variant: Variant) -> None:
        super().__init__()
        schema = variant.schema
        self.variant = variant
        self.size = views.size
        self.width = variant.width
        self.bounds = depth_bounds(schema) if variant.bounded else _reach(views)
        self.register_buffer("windows", torch.from_numpy(schema.windows))
        self.register_buffer("dome", part_dome(schema, variant.texels)[0])
        parts = schema.foreground
        self.register_buffer("part_start", torch.tensor([part.depth_start for part in parts])[:, None, None])
        self.register_buffer("part_bound", torch.tensor([part.depth_bound for part in parts])[:, None, None])
        self.windows: Tensor
        self.dome: Tensor
        self.part_start: Tensor
        self.part_bound: Tensor

        depth, colours = first_maps(views, schema, variant.texels)
        self.depth = nn.Parameter(self._unbounded(depth) if variant.bounded else depth)
        frontal = np.argsort(np.abs(cameras.angles(views.labels)[0]))[:_PRIOR_VIEWS]
        masks = real_mask_channels(torch.from_numpy(views.masks[frontal]), len(schema.parts), views.size, 0.0)
        self.logits = nn.Parameter(part_layout(masks, views.labels[frontal], schema, variant.texels, False))
        self.colours = nn.Parameter(torch.logit(colours, 0.02))
        self.backdrop = nn.Parameter(torch.logit(first_backdrop(views), 0.02))

    def _unbounded(self, depth: Tensor) -> Tensor:
        """The numbers of which `sheet_depth` makes a depth [K, S, S], or the nearest within the bounds."""
        offset = depth - torch.cat([self.dome[None], depth[:1].expand_as(depth[1:])]) - self.part_start
        return torch.atanh((offset / self.part_bound).clamp(-0.9, 0.9))

    def sheet_depth(self) -> Tensor:
        """World z of the sheets [K, S, S], as the generator makes it of its networks' outputs."""
        if not self.variant.bounded:
            return self.depth.clamp(*self.bounds)
        offset = self.part_start + self.part_bound * torch.tanh(self.depth)
        skin = self.dome + offset[:1]
        return torch.cat([skin, skin + offset[1:]])

    def look(self, rays: Rays) -> tuple[Rendering, Tensor]:
        """What rays [1, P] see of the sheets, and the picture behind them [3, size^2], colours in 0..1."""
        rendering = render(
            torch.sigmoid(self.colours)[None],
            self.sheet_depth()[None],
            F.softplus(self.logits).clamp(max=_MOST_OPTICAL_DEPTH)[None],
            self.width,
            self.windows,
            rays,
            depth_bounds=self.bounds,
        )
        return rendering, torch.sigmoid(self.backdrop).flatten(1)

    @torch.no_grad()
    def views(self, labels: np.ndarray) -> tuple[HeadViews, np.ndarray]:
        """The head from cameras [V, 25]: as data has it, and the transmittance [V, size, size].

        A pixel's mask is its strongest part, its depth the foreground's mean where that hides half of what is behind.
        """
        images, masks, depths, transmittances = [], [], [], []
        for label in labels:
            seen, backdrop = self.look(camera_rays(torch.from_numpy(label)[None], self.size))
            through = seen.transmittance[0]
            images.append((seen.features[0] + through * backdrop).clamp(0, 1) * 255)
            masks.append(torch.cat([through[None], seen.masks[0]]).argmax(0))
            depths.append(torch.where(through < 0.5, seen.depth[0] / (1 - through).clamp(min=0.5), 0))
            transmittances.append(through)
        square = (len(labels), self.size, self.size)
        return (
            HeadViews(
                labels,
                torch.stack(images).round().to(torch.uint8).mT.reshape(*square, 3).numpy(),
                torch.stack(masks).to(torch.uint8).reshape(square).numpy(),
                torch.stack(depths).reshape(square).numpy(),
            ),
            torch.stack(transmittances).reshape(square).numpy(),
        )


def fit_sheets(
    views: HeadViews, variant: Variant, steps: int, rays: int, seed: int = 0, progress: Progress = silent
) -> Sheets:
    """Sheets that look like the views.

    Args:
        views: of one head.
        steps: of Adam.
        rays: of a step, a random choice out of all views' pixels, each of them once before any comes again.
        seed: of that choice.
    """
    sheets = Sheets(views, variant)
    pixels = _Pixels(views)
    rates = {**_RATES, **({} if variant.bounded else {"depth": _FREE_RATE})}
    groups = [{"params": [getattr(sheets, name)], "lr": rate} for name, rate in rates.items()]
    optimiser = torch.optim.Adam(groups, betas=(0.9, 0.99), eps=1e-10)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _ramp(step, steps))
    rng = torch.Generator().manual_seed(seed)
    waiting = torch.empty(0, dtype=torch.long)
    for step in range(steps):
        if len(waiting) < rays:
            waiting = torch.randperm(pixels.count, generator=rng)
        chosen, waiting = waiting[:rays], waiting[rays:]
        sheets.width = _width(step / steps, variant.width)
        optimiser.zero_grad()
        pixels.loss(sheets, chosen).backward()
        optimiser.step()
        schedule.step()
        progress(step + 1, steps)
    sheets.width = variant.width
    return sheets


class _Pixels:
    """The pixels of all views in one row, with their rays and what they show."""

    def __init__(self, views: HeadViews) -> None:
        size, self.parts = views.size, len(PORTRAIT.parts)
        rays = camera_rays(torch.from_numpy(views.labels), size)
        self.origins, self.directions = rays.origins.flatten(0, 1), rays.directions.flatten(0, 1)
        self.place = torch.arange(size**2).repeat(len(views.labels))
        self.parts_shown = torch.from_numpy(views.masks).flatten().long()
        self.colours = torch.from_numpy(views.images).reshape(-1, 3) / 255
        foreground = torch.from_numpy(views.masks > 0).flatten()
        height = torch.from_numpy(world_points(views)[..., 2]).float().flatten()
        self.heights = torch.where(foreground, height, 0)
        area = torch.bincount(self.parts_shown, minlength=self.parts) / len(self.parts_shown)
        balance = area.clamp(min=_LEAST_AREA).rsqrt()
        self.balance = balance / (balance * area).sum()
        self.count = len(self.place)

    def loss(self, sheets: Sheets, chosen: Tensor) -> Tensor:
        """What the sheets' renderings of some pixels miss.

        The rays of many cameras are one camera's to the renderer: it looks along -z, so that its depth is the height
        of the origins over the world points. Heights are compared premultiplied: of the background they are 0.
        """
        origins = self.origins[chosen]
        rays = Rays(origins[None], self.directions[chosen][None], origins.new_tensor([[0.0, 0.0, -1.0]]))
        seen, backdrop = sheets.look(rays)
        through = seen.transmittance[0]
        masks = torch.cat([through[None], seen.masks[0]])
        shown = self.parts_shown[chosen]
        mask_loss = (self.balance[shown] * -masks.gather(0, shown[None])[0].clamp(min=1e-3).log()).mean()
        heights = (1 - through) * origins[:, 2] - seen.depth[0]
        depth_loss = (heights - self.heights[chosen]).abs().mean()
        error = seen.features[0] + through * backdrop[:, self.place[chosen]] - self.colours[chosen].T
        colour_loss = _COLOUR_WEIGHT * error.abs().mean() + _SQUARE_WEIGHT * error.square().mean()
        return _MASK_WEIGHT * mask_loss + _DEPTH_WEIGHT * depth_loss + colour_loss


def _ramp(step: int, steps: int) -> float:
    """Factor of the learning rates: up at the start, level, and down to a fiftieth at the end."""
    return min(1.0, (step + 1) / _RISE, max((1 - step / steps) / _FALL, 0.02))


def _width(done: float, last: float) -> float:
    """Width of the shells, falling geometrically as in training; `done` in 0..1."""
    return last * max(_START_WIDTH / last, 1.0) ** max(0.0, 1 - done / _ANNEALED)


def _reach(views: HeadViews) -> tuple[float, float]:
    """Least and greatest world z of free sheets: the views' own, and some more."""
    heights = world_points(views)[views.masks > 0][:, 2]
    return float(heights.min()) - _FREE_MARGIN, float(heights.max()) + _FREE_MARGIN
