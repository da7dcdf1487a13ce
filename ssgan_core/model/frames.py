"""Where the points of a portrait's sheets lie on the mean head.

From head to head eyes, brows and lips are much alike, but for where they lie, how large they are and how they move. A
network of position alone must learn all of its lines at every place where some head has them, and draws blurs; one that
is told the place on the mean head paints them once. Where points move is not learnt: the numbers that known heads are
made of (model.traits) say it, by displacements linear in them, as in active shape models (Cootes et al., "Active Shape
Models - Their Training and Application", 1995). Not in the paper.

Eyes have a frame of their own, which turns with the gaze; all other parts share that of the body's surface.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssgan_core.layers import texel_places
from ssgan_core.model.traits import LOUDNESS
from ssgan_core.parts import HEAD_WINDOW, Part

COUNT = 2  # the body's and the eyes'
RANK = 40  # displacement fields that others are mixed of
SIDE = 48  # nodes along a side of the window that fields cover
_EYES = 1
_OF_EYES = "l_eye"


class Frames(nn.Module):
    """Shape codes -> places on the mean head.

    Args:
        parts: what each of L sheets belongs to.
        latent: where the traits begin in a code.
        traits: how many there are.

    Attributes:
        shares: [COUNT, traits + 1, RANK] how much of a field each trait adds; the last row always adds.
        fields: [COUNT, RANK, 2, SIDE, SIDE] by how much a point, world x and y, lies elsewhere than on the mean head.
    """

    def __init__(self, parts: list[Part], latent: int, traits: int) -> None:
        super().__init__()
        self.told = slice(latent, latent + traits)
        frame = torch.tensor([_EYES if _OF_EYES in part.merges else 0 for part in parts])
        self.register_buffer("frame", frame, persistent=False)
        self.frame: Tensor
        low, high = torch.tensor([part.window for part in parts]).unflatten(1, (2, 2)).unbind(1)
        self.register_buffer("centre", (low + high)[:, None] / 2, persistent=False)
        self.register_buffer("reach", (high - low)[:, None] / 2, persistent=False)
        self.centre: Tensor
        self.reach: Tensor
        self.register_buffer("shares", torch.zeros(COUNT, traits + 1, RANK))
        self.register_buffer("fields", torch.zeros(COUNT, RANK, 2, SIDE, SIDE))
        self.shares: Tensor
        self.fields: Tensor

    @property
    def known(self) -> bool:
        """Whether somebody said how points move."""
        return bool(self.shares.any())

    @torch.no_grad()
    def describe(self, shares: Tensor, fields: Tensor) -> None:
        """Say how points move (see ssgan_core.heads.frames)."""
        self.shares.copy_(shares)
        self.fields.copy_(fields)

    def forward(self, shape: Tensor, size: int) -> Tensor:
        """Places [B, L, size * size, 2] of texel centres, from -1 to 1 across each sheet's window, y upwards.

        Args:
            shape: [B, L, W] codes of the sheets.
        """
        with torch.autocast(shape.device.type, enabled=False):
            traits = F.pad(shape[..., self.told].float() / LOUDNESS, (0, 1), value=1.0)
            shares, fields = self.shares.float()[self.frame], self.fields.float()[self.frame]
            amounts = torch.einsum("blt,ltr->lbr", traits, shares)
            # A sheet's fields of all portraits are looked up at the same points: side by side, as channels.
            moves = torch.bmm(amounts, fields.flatten(2)).view(len(fields), -1, SIDE, SIDE)
            own = texel_places(size, moves)
            moves = F.grid_sample(
                moves, self._looked_up(own, size), padding_mode="border", align_corners=False
            )
            moves = moves.view(len(fields), -1, 2, size * size).permute(1, 0, 3, 2)
            return own - moves / self.reach

    def _looked_up(self, own: Tensor, size: int) -> Tensor:
        """Where sheets' texels lie in the fields [L, size, size, 2], x and y from -1 to 1, y downwards."""
        world = self.centre + self.reach * own
        x0, y0, x1, y1 = HEAD_WINDOW
        x, y = world.unbind(-1)
        places = torch.stack([(2 * x - x0 - x1) / (x1 - x0), (y0 + y1 - 2 * y) / (y1 - y0)], -1)
        return places.unflatten(1, (size, size))
