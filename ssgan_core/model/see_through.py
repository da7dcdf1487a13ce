"""Parts that light passes through: a mask is the lens's, colours are those of the eye behind it.

A sheet has one opacity, and masks are right with it: people call what lies behind a lens glasses. To colours such a
sheet is a veil, thinner by as much as its clearness says. So rays that meet one are rendered twice, for masks and depth
with the sheets' own optical depth, for colours with the veils'. Not in the paper, whose glasses must have eyes painted
on them, which no change of the eyes reaches.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ssgan_core.rendering.rays import Rays
from ssgan_core.rendering.render import Rendering

_START = 2.0  # log-odds of clearness. Lenses that begin opaque get eyes painted on them, and stay so
_LEAST_SHARE = 1e-3  # of a ray's mask, below which colours behind need no second look


def veil(optical_depth: Tensor, logits: Tensor, clear: slice) -> Tensor:
    """Optical depths [B, L, S, S] for colours, from those for masks and what the sheets `clear` say.

    A sheet of opacity o and clearness t hides o (1 - t) of what is behind it, and shows as much of itself.

    Args:
        logits: [B, G, S, S] log-odds of clearness, as networks say them.
        clear: the G sheets, side by side, that light may pass through.
    """
    clearness = torch.sigmoid(logits.float() + _START)
    passed = torch.exp(-optical_depth[:, clear])
    thinner = -torch.log(passed + (1 - passed) * clearness)
    return torch.cat([optical_depth[:, : clear.start], thinner, optical_depth[:, clear.stop :]], dim=1)


def seen_through(
    found: Rendering, rays: Rays, clear: slice, look: Callable[[slice, Rays], Rendering]
) -> tuple[Tensor, Tensor]:
    """Features [B, C, P] and share of the background [B, P] as colours have them.

    On a processor only rays that meet a clear sheet are rendered again; a GPU is not to wait for which these are.

    Args:
        found: what the rays see by the sheets' own optical depths.
        look: renders some of the portraits along rays of theirs by their veils.
    """
    if found.masks.device.type != "cpu":
        again = look(slice(None), rays)
        return again.features, again.transmittance
    meets = found.masks.detach()[:, clear].sum(1) > _LEAST_SHARE
    features, background = list(found.features), list(found.transmittance)
    for index in meets.any(1).nonzero()[:, 0].tolist():
        chosen, one = meets[index].nonzero()[:, 0], slice(index, index + 1)
        again = look(one, Rays(rays.origins[one, chosen], rays.directions[one, chosen], rays.forward[one]))
        features[index] = features[index].index_copy(1, chosen, again.features[0])
        background[index] = background[index].index_copy(0, chosen, again.transmittance[0])
    return torch.stack(features), torch.stack(background)
