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

    Attributes:
        directions: [N, latent] along which z holds the normal scores.
        quantiles: [N, KNOTS], rising, of mean 0 and variance 1.
        whitening: [N, N] that takes away the numbers' correlations.
    """

    def __init__(self, count: int, latent: int) -> None:
        super().__init__()
        self.register_buffer("directions", torch.zeros(count, latent))
        self.register_buffer("quantiles", torch.zeros(count, KNOTS))
        self.directions: Tensor
        self.quantiles: Tensor
        self.register_buffer("whitening", torch.eye(count))
        self.whitening: Tensor

    @property
    def known(self) -> bool:
        """Whether somebody said which numbers there are."""
        return bool(self.directions.any())

    @torch.no_grad()
    def describe(self, directions: Tensor, quantiles: Tensor, whitening: Tensor) -> None:
        """Say which numbers there are; of `directions` [N, n] the first n numbers of z are meant."""
        self.directions.zero_()
        self.directions[:, : directions.shape[1]] = directions
        self.quantiles.copy_(quantiles)
        self.whitening.copy_(whitening)

    def forward(self, z: Tensor) -> Tensor:
        with torch.autocast(z.device.type, enabled=False):
            places = torch.special.ndtr(z.float() @ self.directions.float().T) * (KNOTS - 1)
            piece = places.detach().long().clamp(0, KNOTS - 2)
            quantiles = self.quantiles.float().T
            numbers = torch.lerp(quantiles.gather(0, piece), quantiles.gather(0, piece + 1), places - piece)
            return LOUDNESS * numbers @ self.whitening.float()
