"""The synthetic portraits that the parser is trained on, in memory."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from ssgan_core.dataset.reader import PortraitDataset
from ssgan_core.errors import SsganError
from ssgan_core.layers import down2
from ssgan_core.parsing.parser import SIZE
from ssgan_core.parts import PORTRAIT
from ssgan_core.progress import Progress, silent

_HELD_OUT = 20  # every so many-th person is never trained on
_RARITY = 0.25  # power of the rarity by which parts weigh more and portraits are drawn more often
_RAREST = 8.0  # largest weight of a part in the cross-entropy
# Parts that lie on the skin of every face. They weigh what skin weighs: with more, their borders move outwards wherever
# the parser is in doubt, which it is on photos.
_ON_SKIN = [PORTRAIT.names.index(name) for name in ("eyes", "brows", "mouth", "nose")]
# Hair fills twice as much of photos as of our portraits, most of which have it short.
_HAIR = PORTRAIT.names.index("hair")
_HAIR_GROUPS, _MUCH_HAIR = 5, 0.35
# Parts whose borders annotators smooth. The others are thin, or end where an edge is.
_SMOOTH = [PORTRAIT.names.index(name) for name in ("background", "skin", "hair", "neck", "cloth")]


class TrainingData:
    """The portraits of a data set in memory, some people held out.

    Attributes:
        images: uint8 [N, 3, S, S].
        masks: uint8 ids [N, S, S], smoothed as `annotated` does it.
        held_out: indices that are never trained on.
        facts: number of portraits, seeds and a digest of names and masks, for the record.
        part_weights: of each part in the cross-entropy [13]: by the fourth root of how rare its pixels are,
            but for the parts on every face's skin.
    """

    def __init__(self, path: Path, size: int = SIZE, progress: Progress = silent) -> None:
        """Read a data set; a larger one is reduced to `size`.

        Raises:
            SsganError: it is none, its parts are others than parts.PORTRAIT, or it has too few people.
        """
        data = PortraitDataset.open(path, size)
        if data.schema.names != PORTRAIT.names:
            raise SsganError(f"{path} has other parts than the parser", "train on what 'ssgan synth' writes")
        count = len(data)
        self.images = torch.empty(count, 3, size, size, dtype=torch.uint8)
        self.masks = torch.empty(count, size, size, dtype=torch.uint8)
        people, seeds = [], set()
        for index in range(count):
            self.images[index] = torch.from_numpy(data.image(index)).permute(2, 0, 1)
            self.masks[index] = torch.from_numpy(data.mask(index))
            meta = data.meta(index)
            people.append(meta.get("identity", index))
            seeds.add(meta.get("seed"))
            progress(index + 1, count, "reading")
        last = np.unique(people)[_HELD_OUT - 1 :: _HELD_OUT]
        is_held_out = np.isin(people, last)
        self.held_out = np.flatnonzero(is_held_out)
        self._trained = torch.from_numpy(np.flatnonzero(~is_held_out))
        if not len(self.held_out):
            raise SsganError(f"{path} shows fewer than {_HELD_OUT} people", "a parser needs thousands")
        digest = hashlib.sha256(json.dumps(data.names).encode())
        digest.update(self.masks.numpy().data)
        for index in range(count):
            self.masks[index] = annotated(self.masks[index])
            progress(index + 1, count, "smoothing")
        self.facts: dict[str, Any] = {
            "portraits": count,
            "people": len(np.unique(people)),
            "seeds": sorted(str(seed) for seed in seeds),
            "sha256": digest.hexdigest(),
        }
        pixels = torch.stack([torch.bincount(mask.flatten(), minlength=13) for mask in self.masks])
        shares = pixels.sum(0) / pixels.sum()
        rarity = shares.clamp_min(1e-6) ** -_RARITY
        rarity[_ON_SKIN] = rarity[PORTRAIT.names.index("skin")].item()
        # One in the mean over pixels.
        self.part_weights = (rarity / (shares * rarity).sum()).clamp_max(_RAREST)
        # A portrait is drawn as often as the rarest part that it shows asks for: glasses, hats and earrings.
        shown = (pixels > 0).float()
        odds = (shown * shown.mean(0).clamp_min(1e-6) ** -_RARITY).amax(1)
        self._odds = (odds * _evened(pixels[:, _HAIR] / pixels.sum(1)))[self._trained]

    def batch(self, count: int, small: bool, draw: Generator) -> tuple[Tensor, Tensor]:
        """Random portraits: images [B, 3, S, S] in [0, 1] and ids [B, S, S] int64, at half size if `small`."""
        chosen = self._trained[torch.multinomial(self._odds, count, replacement=True, generator=draw)]
        images, masks = self.images[chosen].float() / 255, self.masks[chosen].long()
        if not small:
            return images, masks
        # Any of the four: one and the same would shift all masks by half a pixel.
        row, column = torch.randint(0, 2, (2,), generator=draw).tolist()
        return down2(images), masks[:, row::2, column::2]


def _evened(hair: Tensor) -> Tensor:
    """Odds [N] that bring little, some and much hair, shares [N] of the pictures, half the way to equally often.

    All the way would leave few ears in sight."""
    group = (hair * _HAIR_GROUPS / _MUCH_HAIR).long().clamp_max(_HAIR_GROUPS - 1)
    return torch.bincount(group, minlength=_HAIR_GROUPS).float()[group] ** -0.5


def annotated(mask: Tensor) -> Tensor:
    """Ids [S, S] with the outlines that annotators of photos draw: single strands of hair, and gaps between them,
    go to what most of the 5 x 5 pixels around are. Thin parts stay as they are."""
    votes = torch.stack([mask == part for part in _SMOOTH]).float()
    votes = F.avg_pool2d(votes[None], 5, 1, 2, count_include_pad=False)[0]
    ids = torch.tensor(_SMOOTH, dtype=mask.dtype)
    return torch.where(torch.isin(mask, ids), ids[votes.argmax(0)], mask)
