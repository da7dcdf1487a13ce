"""What is done to a parser's weights after the last step: a mean with the first ones, and a balance of its parts.

A mean of the weights before and after a training that went on from them is sounder on pictures of another kind than
either (Wortsman et al., "Robust fine-tuning of zero-shot models", 2022). The balance is one number a part, added to
its logits: losses that weigh rare parts more make them too large.
"""

from __future__ import annotations

import copy

import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from ssgan_core.parsing.augmentation import IGNORED, augment
from ssgan_core.parsing.data import TrainingData
from ssgan_core.parsing.network import ParserNetwork
from ssgan_core.parsing.parser import FaceParser
from ssgan_core.parts import PORTRAIT
from ssgan_core.progress import Progress, silent

_BATCH = 4
_EVERY = 13  # so many-th of the pixels are enough
_STRIDES = (0.5, 0.25, 0.125)  # of the search for the balance, in logits


def mixed(first: ParserNetwork, second: ParserNetwork, share: float) -> ParserNetwork:
    """The mean of two networks' weights, of which the second's have `share` (0 to 1)."""
    result = copy.deepcopy(second)
    ours, theirs = first.state_dict(), second.state_dict()
    result.load_state_dict({name: value.lerp(theirs[name], share) for name, value in ours.items()})
    return result


def balance(network: ParserNetwork, data: TrainingData, seed: int, progress: Progress = silent) -> Tensor:
    """What to add to the logits [C] for the best mean IoU on varied pictures of the people held out.

    Args:
        network: of the parts of PORTRAIT.
        data: whose held-out portraits are varied as in training.
        seed: of how they are.
        progress: called after every few portraits.
    """
    parser = FaceParser(copy.deepcopy(network), PORTRAIT, {}, "")
    logits, ids = [], []
    for start in range(0, len(data.held_out), _BATCH):
        chosen = torch.from_numpy(data.held_out[start : start + _BATCH])
        state = np.random.SeedSequence([seed, start]).generate_state(1, np.uint64)[0]
        draw = Generator().manual_seed(int(state))
        images, masks = augment(data.images[chosen].float() / 255, data.masks[chosen].long(), PORTRAIT, draw)
        seen = parser.logits(images)
        masks = F.interpolate(masks[:, None].float(), size=seen.shape[-2:], mode="nearest")[:, 0].long()
        known = masks != IGNORED
        logits.append(seen.movedim(1, -1)[known][::_EVERY])
        ids.append(masks[known][::_EVERY])
        progress(min(start + _BATCH, len(data.held_out)), len(data.held_out), "balancing")
    return fitted_balance(torch.cat(logits), torch.cat(ids))


def fitted_balance(logits: Tensor, ids: Tensor) -> Tensor:
    """The offsets [C], background 0, that a search part by part finds for the best mean IoU.

    Args:
        logits: [N, C].
        ids: the truth [N]; parts that it lacks do not count.
    """
    classes = logits.shape[1]
    present = torch.bincount(ids, minlength=classes) > 0

    def agreement(offsets: Tensor) -> float:
        pairs = ids * classes + (logits + offsets).max(1).indices
        counts = torch.bincount(pairs, minlength=classes**2).view(classes, classes).double()
        both = counts.diag()
        return float((both / (counts.sum(0) + counts.sum(1) - both).clamp_min(1))[present].mean())

    offsets = torch.zeros(classes)
    best = agreement(offsets)
    for stride in _STRIDES:
        for part in torch.nonzero(present)[:, 0].tolist():
            for step in (-stride, stride):
                while True:
                    moved = offsets.clone()
                    moved[part] += step
                    found = agreement(moved)
                    if found <= best:
                        break
                    offsets, best = moved, found
    return torch.where(present, offsets - offsets[0], 0)
