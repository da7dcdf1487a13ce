"""Exchanging one part is to change that part and nothing else: what `evaluation.locality` measures, as a loss.

Neither the adversarial game nor reconstruction sees how two heads with all parts but one in common differ, so nothing
else keeps a part's faint fringe out of its neighbours, or the upsampler from looking across outlines. One part of
random heads is exchanged for another head's; the share of the pictures' and of the masks' change outside of where the
part is before or after is the loss. Not in the paper.
"""

from __future__ import annotations

from math import ceil

import torch
from torch import Tensor

from ssgan_core import losses
from ssgan_core.layers import dilate
from ssgan_core.model.generator import Generator, Output

EVERY = 4  # steps between two exchanges, as lazy regularisers are: it counts so many times as much instead
_VIEWS_A_HEAD = 3  # of the batch, for each head that exchanges a part
_WIDENED = 0.02  # of the picture's side: less than the 0.03 that is tolerated when locality is measured
# Mean square of the pictures, in [-1, 1], and mean change of the masks: what ears or brows change.
_LEAST_IMAGE, _LEAST_MASK = 2e-4, 2e-3


def exchange_terms(generator: Generator, labels: Tensor, rng: torch.Generator) -> dict[str, Tensor]:
    """Shares, in [0, 1], of the change that leaks out of an exchanged part.

    Part generators and upsampler learn from it, the mapping does not: heads are not to resemble one another for it.

    Args:
        labels: [B, 25] cameras of a batch; every third is looked from.
        rng: CPU random generator.
    """
    labels = labels[::_VIEWS_A_HEAD]
    count, parts = len(labels), len(generator.schema.foreground)
    z = torch.randn(2 * count, generator.config.latent, generator=rng).to(labels.device)
    part = int(torch.randint(parts, (), generator=rng))
    with torch.no_grad():
        codes = generator.map(z)
        receiver, giver = codes[:count], codes[count:]
        before = generator(receiver, labels)
    after = generator(receiver.with_part(giver, part), labels)
    parts = [part]
    if generator.parts.to_clearness is not None:  # what is behind lenses may change, too
        parts.append(generator.parts.clear.start // generator.config.sheets)
    region = dilate(
        _where(before, parts) | _where(after, parts), ceil(_WIDENED * generator.config.resolution)
    )
    image = (after.image - before.image).float().square().mean(1)
    masks = (after.mask - before.mask).abs().sum(1) / 2
    return {
        "leaked_image": losses.leaked_share(image, region, _LEAST_IMAGE),
        "leaked_masks": losses.leaked_share(masks, region, _LEAST_MASK),
    }


def _where(output: Output, parts: list[int]) -> Tensor:
    return torch.isin(output.mask.argmax(1), torch.tensor(parts, device=output.mask.device) + 1)
