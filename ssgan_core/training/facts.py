"""What a run needs to know of its data before it starts: part areas, spread, and where every part usually is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ssgan_core.cameras import split_label
from ssgan_core.layers import gaussian_blur
from ssgan_core.losses import real_mask_channels
from ssgan_core.model.geometry import dome, texel_centres
from ssgan_core.parts import PartSchema
from ssgan_core.progress import Progress, silent
from ssgan_core.training.backdrops import measured_waves
from ssgan_core.training.data import TrainingSource

_MASK_SIZE = 64
_COMPARED_SIZE = 32
_LAYOUT_CLAMP = (-5.0, 2.0)


@dataclass(frozen=True)
class DataFacts:
    """Statistics of (a sample of) the data.

    Attributes:
        part_areas: [K + 1] mean share of the image that each part covers.
        layout: [K, S, S] log-odds of each part at its map's texels.
        image_spread, mask_spread: mean distance between two examples (see `pairwise_distance`).
        labels: [N, 25] cameras to draw from.
        backdrops: [n, model.backdrop] waves in what lies behind the sample's heads; None if nobody asked.
    """

    part_areas: Tensor
    layout: Tensor
    image_spread: float
    mask_spread: float
    labels: Tensor
    backdrops: Tensor | None = None


def gather_facts(
    source: TrainingSource,
    part_resolution: int,
    mirror: bool,
    progress: Progress = silent,
    in_plane: bool = False,
    with_backdrops: bool = False,
) -> DataFacts:
    """Measure the source's sample.

    Args:
        mirror: whether training shows portraits mirrored too.
        in_plane: whether part maps cover the frame of the picture, instead of a window in space.
        with_backdrops: whether to measure what lies behind heads.
    """
    schema, size = source.schema, min(_MASK_SIZE, source.resolution)
    masks, images, labels, backdrops = [], [], [], []
    count, sample = source.sample()
    for done, (image, mask, label) in enumerate(sample, start=1):
        masks.append(real_mask_channels(torch.from_numpy(mask)[None], len(schema.parts), size, 0.0))
        images.append(torch.from_numpy(image.transpose(2, 0, 1).copy())[None].float() / 127.5 - 1)
        if with_backdrops:
            backdrops.append(measured_waves(images[-1], torch.from_numpy(mask)[None]))
        labels.append(label)
        progress(done, count)
    mask_batch, image_batch = torch.cat(masks), torch.cat(images)
    return DataFacts(
        part_areas=mask_batch.mean((0, 2, 3)),
        layout=part_layout(
            mask_batch, None if in_plane else np.stack(labels), schema, part_resolution, mirror
        ),
        image_spread=pairwise_distance(image_batch),
        mask_spread=pairwise_distance(mask_batch),
        labels=torch.from_numpy(source.labels),
        backdrops=torch.cat(backdrops) if with_backdrops else None,
    )


def part_layout(
    masks: Tensor, labels: np.ndarray | None, schema: PartSchema, part_resolution: int, mirror: bool
) -> Tensor:
    """Log-odds [K, S, S] that a part is seen at a texel of its map.

    Every texel is put on the skin's dome and looked up in each example's mask through that example's own camera;
    the means are blurred and clamped. A part that starts from them is semantic from the first step.

    Args:
        masks: [N, K + 1, H, H] part probabilities.
        labels: [N, 25] their cameras; None where maps cover the frame, so that texels are simply parts of the picture.
    """
    if labels is None:
        mean = F.interpolate(masks[:, 1:], size=(part_resolution,) * 2, mode="area").mean(0)
    else:
        mean = _mean_on_dome(masks, labels, schema, part_resolution)
    if mirror:
        order = torch.from_numpy(schema.mirror_ids[1:] - 1)
        mean = (mean + mean[order].flip(-1)) / 2
    mean = gaussian_blur(mean[None], part_resolution / 48)[0]
    return torch.logit(mean.clamp(1e-4, 1 - 1e-4)).clamp(*_LAYOUT_CLAMP)


def _mean_on_dome(masks: Tensor, labels: np.ndarray, schema: PartSchema, part_resolution: int) -> Tensor:
    pose, matrix = (torch.from_numpy(m).float() for m in split_label(labels))
    means = []
    for k, part in enumerate(schema.foreground):
        x, y = texel_centres(part.window, part_resolution)
        points = torch.stack([x, y, dome(x, y), torch.ones_like(x)]).flatten(1)
        seen = (torch.linalg.inv(pose) @ points)[:, :3]
        pixels = matrix @ (seen / seen[:, 2:3])
        grid = (pixels[:, :2] * 2 - 1).movedim(1, -1).unflatten(1, (part_resolution, part_resolution))
        looked_up = F.grid_sample(masks[:, k + 1 : k + 2], grid, padding_mode="border", align_corners=False)
        means.append(looked_up.mean((0, 1)))
    return torch.stack(means)


def pairwise_distance(batch: Tensor) -> float:
    """Mean root mean square difference between neighbours in the batch, at 32 pixels; 0 when all are alike."""
    small = F.interpolate(batch.float(), size=(_COMPARED_SIZE,) * 2, mode="area")
    return float((small - small.roll(1, 0)).square().mean((1, 2, 3)).sqrt().mean())
