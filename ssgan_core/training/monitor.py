"""How a run is doing: part areas against the data's, the collapse watch, and a picture of five views."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ssgan_core import cameras
from ssgan_core.model.generator import Generator
from ssgan_core.pictures import colour_depth, colour_mask, save_png, tile, to_uint8
from ssgan_core.training.facts import DataFacts, pairwise_distance
from ssgan_core.training.ranks import ALONE, Ranks

_MEASURED_SAMPLES = 64
_LEAST_SAMPLES = 8  # of one rank
_MEASURED_AT_ONCE = 8
_GRID_SAMPLES = 6
_GRID_YAWS = (-0.5, -0.25, 0.0, 0.25, 0.5)
_COLLAPSE_SHARE = 0.5


class Monitor:
    """Measures a generator on fixed codes and on cameras of the data set, of which every rank takes its share."""

    def __init__(
        self, facts: DataFacts, latent: int, seed: int, device: torch.device, ranks: Ranks = ALONE
    ) -> None:
        rng = torch.Generator().manual_seed(seed)
        self.facts = facts
        self.device = device
        self.ranks = ranks
        samples = max(_MEASURED_SAMPLES // ranks.count, _LEAST_SAMPLES) * ranks.count
        mine = ranks.share(samples)
        self.z = torch.randn(samples, latent, generator=rng)[mine.start : mine.stop].to(device)
        chosen = torch.randint(len(facts.labels), (samples,), generator=rng)[mine.start : mine.stop]
        self.labels = facts.labels[chosen].to(device)

    @torch.inference_mode()
    def measure(self, generator: Generator) -> dict[str, float]:
        """Distance of mean part areas to the data's, and spread between samples as a share of the data's.

        All ranks call it and get the same; how far samples lie apart is the mean of what each finds among its own.
        `area_distance` is the sum over parts of absolute differences of mean areas, between 0 and 2.
        `collapsed` is 1 when images or masks differ from one another by less than half of what the data's do.
        """
        areas, masks, images = [], [], []
        for z, labels in zip(
            self.z.split(_MEASURED_AT_ONCE), self.labels.split(_MEASURED_AT_ONCE), strict=True
        ):
            output = generator(generator.map(z), labels)
            areas.append(output.low_mask.mean((2, 3)))
            masks.append(output.low_mask)
            images.append(output.image.clamp(-1, 1))
        mean_areas = torch.cat(areas).mean(0).cpu()
        spreads = torch.tensor([pairwise_distance(torch.cat(seen)) for seen in (images, masks)])
        self.ranks.average([mean_areas, spreads])
        image_spread = float(spreads[0]) / max(self.facts.image_spread, 1e-8)
        mask_spread = float(spreads[1]) / max(self.facts.mask_spread, 1e-8)
        return {
            "area_distance": float((mean_areas - self.facts.part_areas).abs().sum()),
            "image_spread": image_spread,
            "mask_spread": mask_spread,
            "collapsed": float(min(image_spread, mask_spread) < _COLLAPSE_SHARE),
        }

    @torch.inference_mode()
    def snapshot(self, generator: Generator, path: Path) -> None:
        """Write a grid: a row a sample, with image, mask and depth from the front, then five yaws."""
        rows: list[np.ndarray] = []
        maps = generator.part_maps(generator.map(self.z[:_GRID_SAMPLES]))
        front = generator.render(maps, self._cameras(0.0))
        views = [generator.render(maps, self._cameras(yaw)).image for yaw in _GRID_YAWS]
        size = front.image.shape[-1]
        for i in range(_GRID_SAMPLES):
            ids = front.mask[i].argmax(0).cpu().numpy().astype(np.uint8)
            rows += [to_uint8(front.image[i].float().cpu().numpy()), colour_mask(ids, generator.schema)]
            rows.append(_enlarged(depth_picture(front.depth[i, 0], front.low_mask[i, 0]), size))
            rows += [to_uint8(view[i].float().cpu().numpy()) for view in views]
        save_png(path, tile(rows, 3 + len(_GRID_YAWS)))

    def _cameras(self, yaw: float) -> Tensor:
        label = torch.from_numpy(cameras.label(yaw, 0.0))
        return label.expand(_GRID_SAMPLES, -1).to(self.device)


def depth_picture(depth: Tensor, transmittance: Tensor) -> np.ndarray:
    """Picture [R, R, 3] of rendered depth: weighted sum [R, R] and transmittance [R, R] of one portrait."""
    opacity = (1 - transmittance).float().cpu().numpy()
    z_cam = depth.float().cpu().numpy() / np.maximum(opacity, 1e-3)
    return colour_depth(z_cam, opacity)


def _enlarged(picture: np.ndarray, size: int) -> np.ndarray:
    factor = size // picture.shape[0]
    return picture.repeat(factor, 0).repeat(factor, 1)
