"""A head's traits that are numbers (lengths, shares, colours), told in every code beside w."""

from __future__ import annotations

import torch
from torch import Tensor, nn

KNOTS = 129  # of a quantile function, at ranks from 0 to 1: one in thirty-three has its eyes closed
# Louder than w, whose numbers have about variance 1: styles then follow traits within hundreds of steps, not thousands.
LOUDNESS = 4.0


class Traits(nn.Module):
    """z [B, latent] -> N numbers [B, N] of the head that z stands for, uncorrelated, of mean 0 and equal variance.

    N(0, I) holds the normal scores of the numbers' ranks along fixed directions, so the numbers are their quantile
    functions, here of straight pieces, at those ranks. A random z has traits as often as the data does. Most of what a
    portrait shows is about linear in them, above all colours; a network that reads z alone draws dyed hair brown, and
    clothes and walls greyer than they are.

    Heads are shown mirrored, too, and z's next number says whether. Told as seen, numbers of a side (which way eyes
    look, from where light falls) have the sign that the picture has; else a network must multiply them.

    Attributes:
        directions: [N, latent] along which z holds the normal scores.
        quantiles: [N, KNOTS], rising, of mean 0 and variance 1.
        whitening: [N, N] that takes away the numbers' correlations.
        odd: [N] 1 for numbers whose sign a mirror changes; None unless told as seen.
        mirror: [latent] 1 for the number of z that is negative if the head is mirrored; None unless told as seen.
    """

    def __init__(self, count: int, latent: int, *, as_seen: bool = False) -> None:
        super().__init__()
        self.register_buffer("directions", torch.zeros(count, latent))
        self.register_buffer("quantiles", torch.zeros(count, KNOTS))
        self.directions: Tensor
        self.quantiles: Tensor
        self.register_buffer("whitening", torch.eye(count))
        self.whitening: Tensor
        self.register_buffer("odd", torch.zeros(count) if as_seen else None)
        self.register_buffer("mirror", torch.zeros(latent) if as_seen else None)
        self.odd: Tensor | None
        self.mirror: Tensor | None

    @property
    def known(self) -> bool:
        """Whether somebody said which numbers there are."""
        return bool(self.directions.any())

    @torch.no_grad()
    def describe(self, directions: Tensor, quantiles: Tensor, whitening: Tensor, odd: Tensor) -> None:
        """Say which numbers there are; of `directions` [N, n] the first n numbers of z are meant, and the next one says
        whether the head is mirrored."""
        known = directions.shape[1]
        self.directions.zero_()
        self.directions[:, :known] = directions
        self.quantiles.copy_(quantiles)
        self.whitening.copy_(whitening)
        if self.odd is not None and self.mirror is not None:
            self.odd.copy_(odd)
            self.mirror.zero_()
            self.mirror[known] = 1

    def forward(self, z: Tensor) -> Tensor:
        with torch.autocast(z.device.type, enabled=False):
            places = torch.special.ndtr(z.float() @ self.directions.float().T) * (KNOTS - 1)
            piece = places.detach().long().clamp(0, KNOTS - 2)
            quantiles = self.quantiles.float().T
            numbers = torch.lerp(quantiles.gather(0, piece), quantiles.gather(0, piece + 1), places - piece)
            if self.odd is not None and self.mirror is not None:
                mirrored = (z.float() @ self.mirror.float() < 0)[:, None] & (self.odd > 0)
                numbers = torch.where(mirrored, -numbers, numbers)
            return LOUDNESS * numbers @ self.whitening.float()
