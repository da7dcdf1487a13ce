"""Which squares of pictures are compared: around eyes as often as around hair, however few pixels these have."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ssgan_core.model.crops import Crop
from ssgan_core.training.data import Batch


def around_parts(masks: Tensor, side: int, whole: int, rng: torch.Generator, parts: Tensor) -> Crop:
    """Squares around random pixels of random parts, within the pictures.

    Args:
        masks: [B, H, H] uint8 part ids.
        side: of the squares, rays.
        whole: side of the pictures, rays.
        rng: CPU generator.
        parts: [n] their ids: those that a mask has are all as likely. A mask that has none counts by all that it has.
    """
    ids = masks.flatten(1).long()
    wanted = torch.isin(ids, parts)
    wanted = torch.where(wanted.any(1, keepdim=True), wanted, ids > 0)
    counts = torch.zeros(len(ids), 256, device=ids.device).scatter_add_(
        1, ids, torch.ones_like(ids, dtype=torch.float)
    )
    weights = wanted / counts.gather(1, ids).double()
    reached = weights.cumsum(1)
    drawn = torch.rand(len(ids), 1, generator=rng, dtype=torch.double).to(ids.device)
    pixel = torch.searchsorted(reached, drawn * reached[:, -1:])[:, 0].clamp(max=ids.shape[1] - 1)
    size = masks.shape[-1]
    centre = torch.stack([pixel % size, pixel.div(size, rounding_mode="floor")], 1) * whole / size
    return Crop((centre - side / 2).round().long().clamp(0, whole - side), side, whole)


def cropped(batch: Batch, crop: Crop) -> Batch:
    """What the squares show of a batch; labels are those of their cameras."""
    cut = {name: crop.cut(getattr(batch, name)) for name in ("images", "masks", "depths")}
    return replace(batch, **cut, labels=crop.labels(batch.labels))
