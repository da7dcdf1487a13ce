"""The latent codes of a portrait in W+: one for the whole head, one shape code a part, one texture code a part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Codes:
    """Latent codes of a batch of portraits.

    Attributes:
        base: [B, W] what all parts share (pose of the head, identity): w, then the head's traits, the kinds of what it
            wears and, for the background alone, what lies behind it (see Mapping).
        shape: [B, K, W] opacity and depth of each foreground part.
        texture: [B, K + 1, W] appearance; index 0 is the background's, k + 1 belongs to foreground part k.
    """

    base: Tensor
    shape: Tensor
    texture: Tensor

    def __len__(self) -> int:
        return self.base.shape[0]

    def __getitem__(self, index: slice | Sequence[int] | Tensor) -> Codes:
        """The codes of some portraits; a batch again (index with a slice or a list)."""
        return Codes(self.base[index], self.shape[index], self.texture[index])

    def to(self, device: torch.device | str) -> Codes:
        return Codes(self.base.to(device), self.shape.to(device), self.texture.to(device))

    def with_part(self, other: Codes, part: int, *, shape: bool = True, texture: bool = True) -> Codes:
        """These codes with the shape and/or texture code of foreground part `part` taken from `other`."""
        new_shape, new_texture = self.shape, self.texture
        if shape:
            new_shape = new_shape.clone()
            new_shape[:, part] = other.shape[:, part]
        if texture:
            new_texture = new_texture.clone()
            new_texture[:, part + 1] = other.texture[:, part + 1]
        return Codes(self.base, new_shape, new_texture)

    def lerp(self, other: Codes, amount: float) -> Codes:
        """Codes on the straight line from these (0) to `other` (1)."""
        return Codes(
            torch.lerp(self.base, other.base, amount),
            torch.lerp(self.shape, other.shape, amount),
            torch.lerp(self.texture, other.texture, amount),
        )

    @staticmethod
    def cat(batches: Sequence[Codes]) -> Codes:
        return Codes(
            torch.cat([codes.base for codes in batches]),
            torch.cat([codes.shape for codes in batches]),
            torch.cat([codes.texture for codes in batches]),
        )
