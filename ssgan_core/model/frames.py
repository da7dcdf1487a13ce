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

from ssgan_core.model.geometry import texel_centres
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
        self.frame = [_EYES if _OF_EYES in part.merges else 0 for part in parts]
        self.windows = torch.tensor([part.window for part in parts])
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
        batch = len(shape)
        with torch.autocast(shape.device.type, enabled=False):
            traits = F.pad(shape[..., self.told].float() / LOUDNESS, (0, 1), value=1.0)
            shares, fields = self.shares.float()[self.frame], self.fields.float()[self.frame]
            amounts = torch.einsum("blt,ltr->lbr", traits, shares)
            moves = torch.bmm(amounts, fields.flatten(2)).view(-1, *fields.shape[2:])
            centres, looked_up, half = self._texels(size)
            at = looked_up.repeat_interleave(batch, 0)
            moves = F.grid_sample(moves, at, mode="bilinear", padding_mode="border", align_corners=False)
            moves = moves.view(-1, batch, 2, size * size).permute(1, 0, 3, 2)
            return centres - moves / half

    def _texels(self, size: int) -> tuple[Tensor, Tensor, Tensor]:
        """Of every sheet: its texels' centres [size * size, 2] from -1 to 1 across its window and, for a look-up in
        the fields, [L, size, size, 2] across theirs, y downwards; half its sides [L, 1, 2]."""
        device = self.fields.device
        x0, y0, x1, y1 = HEAD_WINDOW
        pairs = [texel_centres(tuple(window), size) for window in self.windows.tolist()]
        x, y = (torch.stack(numbers).to(device) for numbers in zip(*pairs, strict=True))
        looked_up = torch.stack([2 * (x - x0) / (x1 - x0) - 1, 2 * (y1 - y) / (y1 - y0) - 1], -1)
        own_x, own_y = (one.to(device) for one in texel_centres((-1.0, -1.0, 1.0, 1.0), size))
        half = (self.windows[:, 2:] - self.windows[:, :2]).to(device)[:, None] / 2
        return torch.stack([own_x.flatten(), own_y.flatten()], 1), looked_up, half
