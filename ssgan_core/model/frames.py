"""Where the points of a portrait's sheets lie on the mean head.

From head to head eyes, brows and lips are much alike, but for where they lie, how large they are and how they move. A
network of position alone must learn all of its lines at every place where some head has them, and draws blurs; one that
is told the place on the mean head paints them once. Where points move is not learnt: the numbers that known heads are
made of (model.traits) say it, by displacements linear in them, as in active shape models (Cootes et al., "Active Shape
Models - Their Training and Application", 1995). Not in the paper.

Eyes have a frame of their own, which turns with the gaze. What is worn comes in kinds without a point in common, and
each kind has a frame, that of the mean shirt or the mean cap; all other parts share that of the body's surface.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssgan_core.model.traits import LOUDNESS
from ssgan_core.parts import HEAD_WINDOW, WORN, Part

COUNT = 2  # the body's and the eyes'
RANK = 40  # displacement fields that others are mixed of
SIDE = 48  # nodes along a side of the window that fields cover
WORN_RANK = 10
WORN_SIDE = 32
_EYES = 1
_OF_EYES = "l_eye"


class Frames(nn.Module):
    """Shape codes -> places on the mean head.

    Args:
        parts: what each of L sheets belongs to.
        rectangle: (x0, y0, x1, y1) of the world's x, y plane, across which places are told from -1 to 1.
        latent: where the traits begin in a code.
        traits: how many there are.
        worn: how many kinds of what is worn codes tell after the traits; each is 1 where it is chosen.

    Attributes:
        shares: [COUNT, traits + 1, RANK] how much of a field each trait adds; the last row always adds.
        fields: [COUNT, RANK, 2, SIDE, SIDE] by how much a point, world x and y, lies elsewhere than on the mean head.
        worn_shares, worn_fields: [worn, ...] those of each kind, of WORN_RANK fields and WORN_SIDE nodes; none without.
        worn_class: [worn] int64, which of parts.WORN each kind is; -1 until described.
    """

    def __init__(
        self,
        parts: list[Part],
        rectangle: tuple[float, float, float, float],
        latent: int,
        traits: int,
        worn: int = 0,
    ) -> None:
        super().__init__()
        self.told = slice(latent, latent + traits)
        self.told_worn = slice(latent + traits, latent + traits + worn)
        of_eyes = torch.tensor([_EYES if _OF_EYES in part.merges else 0 for part in parts])
        self.register_buffer("frame", of_eyes, persistent=False)
        self.frame: Tensor
        low, high = torch.tensor(rectangle).unflatten(0, (2, 2))
        self.register_buffer("centre", (low + high) / 2, persistent=False)
        self.register_buffer("reach", (high - low) / 2, persistent=False)
        self.centre: Tensor
        self.reach: Tensor
        self.register_buffer("shares", torch.zeros(COUNT, traits + 1, RANK))
        self.register_buffer("fields", torch.zeros(COUNT, RANK, 2, SIDE, SIDE))
        self.shares: Tensor
        self.fields: Tensor
        wearing = [
            (i, kind) for i, part in enumerate(parts) for kind, name in enumerate(WORN) if name in part.merges
        ]
        wearers, classes = torch.tensor(wearing if worn else []).view(-1, 2).long().unbind(1)
        self.register_buffer("wearers", wearers, persistent=False)
        self.register_buffer("worn_by", classes, persistent=False)
        self.wearers: Tensor
        self.worn_by: Tensor
        for name, value in {
            "worn_shares": torch.zeros(worn, traits + 1, WORN_RANK),
            "worn_fields": torch.zeros(worn, WORN_RANK, 2, WORN_SIDE, WORN_SIDE),
            "worn_class": torch.full((worn,), -1, dtype=torch.int64),
        }.items():
            self.register_buffer(name, value if worn else None)
        self.worn_shares: Tensor
        self.worn_fields: Tensor
        self.worn_class: Tensor

    @property
    def known(self) -> bool:
        """Whether somebody said how points move."""
        return bool(self.shares.any())

    @property
    def knows_worn(self) -> bool:
        """Whether somebody said how points of what is worn move."""
        return self.worn_shares is not None and bool(self.worn_shares.any())

    @torch.no_grad()
    def describe(self, shares: Tensor, fields: Tensor) -> None:
        """Say how points move (see ssgan_core.heads.frames)."""
        self.shares.copy_(shares)
        self.fields.copy_(fields)

    @torch.no_grad()
    def describe_worn(self, shares: Tensor, fields: Tensor, classes: tuple[str, ...]) -> None:
        """Say how points of each kind move, and which of parts.WORN it is."""
        self.worn_shares.copy_(shares)
        self.worn_fields.copy_(fields)
        self.worn_class.copy_(torch.tensor([WORN.index(name) for name in classes]))

    def forward(self, shape: Tensor, own: Tensor) -> Tensor:
        """Where points of the sheets lie on the mean head [B, L, N, 2], as `own` says where they are.

        Args:
            shape: [B, L, W] codes of the sheets.
            own: [N, 2], of all sheets alike, [L, N, 2] or [B, L, N, 2]; from -1 to 1 across the rectangle, y upwards.
        """
        with torch.autocast(shape.device.type, enabled=False):
            traits = F.pad(shape[..., self.told].float() / LOUDNESS, (0, 1), value=1.0)
            at = self._looked_up(own if own.ndim > 2 else own.expand(shape.shape[1], -1, -1))
            bare, worn = traits, None
            if len(self.wearers):
                kinds = self._kinds(shape)
                worn = self._worn(traits[:, self.wearers], kinds, at[..., self.wearers, :, :])
                left = 1 - kinds.sum(-1, keepdim=True)
                bare = traits.index_copy(1, self.wearers, traits[:, self.wearers] * left)
            shares, fields = self.shares.float()[self.frame], self.fields.float()[self.frame]
            moves = _looked_at(torch.einsum("blt,ltr->lbr", bare, shares), fields, at)
            if worn is not None:
                moves = moves.index_add(1, self.wearers, worn)
            return own - moves / self.reach

    def absent(self, shape: Tensor) -> Tensor | None:
        """How much of what each of L sheets would be nobody wears [B, L]: 1 of hats if no kind of hat is told, else 0.
        None where codes tell no kinds."""
        if not len(self.wearers):
            return None
        described = (self.worn_class == self.worn_by[:, None]).any(-1)
        missing = described * (1 - self._kinds(shape).sum(-1)).clamp(0, 1)
        return missing.new_zeros(shape.shape[:2]).index_copy(1, self.wearers, missing)

    def _kinds(self, shape: Tensor) -> Tensor:
        """How much sheets that are worn are of each kind of theirs [B, n, W]."""
        kinds = shape[:, self.wearers, self.told_worn].float() / LOUDNESS
        return kinds * (self.worn_class == self.worn_by[:, None])

    def _worn(self, traits: Tensor, kinds: Tensor, at: Tensor) -> Tensor:
        """How points of sheets that are worn move [B, n, N, 2], of each kind as much as it is worn.

        Args:
            traits: [B, n, T + 1].
            kinds: [B, n, W].
            at: [n, N, 2] or [B, n, N, 2] where their points lie in the fields.
        """
        amounts = torch.einsum("bnt,ktr,bnk->nbkr", traits, self.worn_shares.float(), kinds).flatten(2)
        fields = self.worn_fields.float().flatten(0, 1).expand(len(self.wearers), -1, -1, -1, -1)
        return _looked_at(amounts, fields, at)

    def _looked_up(self, own: Tensor) -> Tensor:
        """Where sheets' points lie in the fields [L, N, 2] or [B, L, N, 2], x and y from -1 to 1, y downwards."""
        world = self.centre + self.reach * own
        x0, y0, x1, y1 = HEAD_WINDOW
        x, y = world.unbind(-1)
        return torch.stack([(2 * x - x0 - x1) / (x1 - x0), (y0 + y1 - 2 * y) / (y1 - y0)], -1)


def _looked_at(amounts: Tensor, fields: Tensor, at: Tensor) -> Tensor:
    """The mixture [B, L, N, 2] that amounts [L, B, R] say of fields [L, R, 2, s, s], at places [L, N, 2] of all
    portraits alike, or [B, L, N, 2]."""
    sheets, batch, _ = amounts.shape
    moves = torch.bmm(amounts, fields.flatten(2)).view(sheets, -1, *fields.shape[-2:])
    if at.ndim == 4:
        moves, at = moves.unflatten(1, (-1, 2)).flatten(0, 1), at.transpose(0, 1).flatten(0, 1)
    # Else a sheet's fields of all portraits are looked up at the same points: side by side, as channels.
    moves = F.grid_sample(moves, at[:, :, None], padding_mode="border", align_corners=False)
    return moves.view(sheets, batch, 2, -1).permute(1, 0, 3, 2)
