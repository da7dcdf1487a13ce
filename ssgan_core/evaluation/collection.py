"""What is kept of a set of portraits while it streams by: little, however many and large the pictures are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ssgan_core.cameras import angles
from ssgan_core.evaluation.camera_accuracy import Estimator
from ssgan_core.evaluation.relief import relief
from ssgan_core.evaluation.sliced_wasserstein import draw_patches, laplacian_pyramid
from ssgan_core.evaluation.sources import to_tensor
from ssgan_core.layers import box_average, gaussian_blur
from ssgan_core.parsing.agreement import Agreement
from ssgan_core.parsing.parser import FaceParser
from ssgan_core.parts import PartSchema
from ssgan_core.synthesis import View

SMALL = 32
"""Side at which pictures are compared pixel by pixel."""
_PATCHES = 1 << 15  # of a level and a set, all pictures together
_MOST_PATCHES = 64  # of a level of one picture


@dataclass(frozen=True)
class Appearance:
    """How pictures look: parser features [N, D], and patches [N * n, 147] of every pyramid level, the finest first."""

    features: np.ndarray
    patches: list[Tensor]

    def repeated(self, positions: np.ndarray) -> Appearance:
        """As many pictures, but only those at `positions`, over and over."""
        count = len(self.features)
        chosen = positions[np.arange(count) % len(positions)]
        patches = [level.unflatten(0, (count, -1))[chosen].flatten(0, 1) for level in self.patches]
        return Appearance(self.features[chosen], patches)


class AppearanceCollector:
    """Gathers the appearance of `count` pictures.

    Args:
        seed: of the places of patches; two sets to be compared take different ones.
    """

    def __init__(self, parser: FaceParser, count: int, seed: int) -> None:
        self._parser = parser
        self._each = max(1, min(_MOST_PATCHES, _PATCHES // count))
        self._rng = np.random.default_rng(seed)
        self._features: list[np.ndarray] = []
        self._patches: list[list[Tensor]] = []

    def add(self, images: Tensor) -> None:
        """Images [B, 3, H, W] in [-1, 1]."""
        self._features.append(self._parser.features(images).double().cpu().numpy())
        levels = laplacian_pyramid(images.cpu())
        self._patches.append([draw_patches(level, self._each, self._rng) for level in levels])

    @property
    def features(self) -> np.ndarray:
        """[N, D] of all that was added."""
        return np.concatenate(self._features)

    def appearance(self) -> Appearance:
        """All that was added."""
        return Appearance(self.features, [torch.cat(level) for level in zip(*self._patches, strict=True)])


class Collection:
    """Everything that the figures need to know of one set of portraits.

    Args:
        parser: of the parts and features.
        schema: of the portraits' masks.
        count: portraits that will be added.
        seed: of the patches.
        sides: how large to look at the portraits, pixels: their own side, and others that divide it.
        estimate: camera estimator, or None.
        estimated: of how many portraits, the first ones, cameras are estimated.
        blurred: also collect how they look when blurred by so many pixels of each of these sides.

    Attributes:
        small_images: [N, 3, 32, 32] in [0, 1], and `small_masks` [N, K + 1, 32, 32] part shares, both area averages.
        agreement: masks against the parser; empty when the schema is not the parser's.
        reliefs: of skin and nose, world units; NaN where unknown. Where the schema has neither, they lie where the
            parser sees them.
        asked, found: yaw and pitch of the cameras and as estimated.
    """

    def __init__(
        self,
        parser: FaceParser,
        schema: PartSchema,
        count: int,
        seed: int,
        sides: Sequence[int],
        estimate: Estimator | None = None,
        estimated: int = 0,
        blurred: float = 0.0,
    ) -> None:
        self._parser, self._schema = parser, schema
        self._estimate, self._estimated = estimate, estimated
        self._blur = blurred
        self._largest = max(sides)
        self._looks = {side: AppearanceCollector(parser, count, seed) for side in sides}
        self._blurred_looks = {side: AppearanceCollector(parser, count, seed) for side in sides}
        told = schema if "skin" in schema.names else parser.schema
        self._deep = [told.names.index(name) for name in ("skin", "nose") if name in told.names]
        self._parsed_relief = told is not schema
        self._images: list[Tensor] = []
        self._masks: list[Tensor] = []
        self.agreement = Agreement(len(schema.parts))
        self.reliefs: list[float] = []
        self.asked: list[np.ndarray] = []
        self.found: list[np.ndarray] = []

    def add(self, views: Sequence[View], labels: np.ndarray) -> None:
        """Portraits and the cameras [B, 25] that they are seen from."""
        device = next(self._parser.network.parameters()).device
        images = to_tensor(views, device)
        for side, looks in self._looks.items():
            smaller = box_average(images, side)
            looks.add(smaller)
            if self._blur:
                self._blurred_looks[side].add(gaussian_blur(smaller, self._blur))
        self._images.append(F.interpolate((images.cpu() + 1) / 2, size=(SMALL, SMALL), mode="area").half())
        ids = torch.from_numpy(np.stack([view.mask for view in views])).long()
        shares = F.one_hot(ids, len(self._schema.parts)).movedim(-1, 1).float()
        self._masks.append(F.interpolate(shares, size=(SMALL, SMALL), mode="area").half())
        parsed = self._parser.mask(images).cpu().numpy()
        if self._schema.names == self._parser.schema.names:
            for view, mask in zip(views, parsed, strict=True):
                self.agreement.add(view.mask, mask)
        for view, mask, label in zip(views, parsed, labels, strict=True):
            shown = mask if self._parsed_relief else view.mask
            self.reliefs.append(relief(view.depth, shown, label, self._deep))
            if self._estimate is not None and len(self.asked) < self._estimated:
                angle = self._estimate(view.image)
                self.asked.append(np.stack(angles(label)))
                self.found.append(np.full(2, np.nan) if angle is None else angle)

    def looks(self, side: int) -> Appearance:
        """The portraits' appearance at one of the sides."""
        return self._looks[side].appearance()

    def blurred_looks(self, side: int) -> Appearance:
        """Their appearance there when blurred."""
        return self._blurred_looks[side].appearance()

    @property
    def features(self) -> torch.Tensor:
        """Parser features [N, D] at the largest side."""
        return torch.from_numpy(self._looks[self._largest].features)

    @property
    def small_images(self) -> Tensor:
        return torch.cat(self._images)

    @property
    def small_masks(self) -> Tensor:
        return torch.cat(self._masks)
