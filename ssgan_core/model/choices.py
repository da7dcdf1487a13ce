"""Which options a head chooses (a hairstyle, whether there is a hat), told to the mapping beside z."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_LEAST_TAIL = 1e-4  # of a uniform number: its Gumbel score stays finite


class Choices(nn.Module):
    """z [B, latent] -> N numbers [B, N] that say which option is chosen in every group of options.

    A choice is the largest of log p_k + g_k over a group's options, with their shares p and independent Gumbel
    numbers g (Maddison et al., "A* Sampling", 2014); N(0, I) holds their normal scores along fixed directions. So a
    random z chooses options as often as the data does. A network that reads z alone would have to find those
    regions from examples, of which rare options have few: a hat is one head in twelve. Here they are computed.

    A number is that of a one-hot code less its mean, over the root of the share: all groups have similar variance.
    It changes where another option becomes the largest, and has no gradient.

    Attributes:
        directions: [N, latent] along which z holds the options' normal scores.
        shares: [N] how often each is chosen; sums to one over a group.
        groups: [N] int64, the group that each option belongs to, counted from 0.
        worn: [W] int64, which options are kinds of what is worn; None unless these are told in codes (see Frames).
    """

    def __init__(self, count: int, latent: int, worn: int = 0) -> None:
        super().__init__()
        self.register_buffer("directions", torch.zeros(count, latent))
        self.register_buffer("shares", torch.full((count,), 1 / count))
        self.register_buffer("groups", torch.zeros(count, dtype=torch.int64))
        self.directions: Tensor
        self.shares: Tensor
        self.groups: Tensor
        self.register_buffer("worn", torch.zeros(worn, dtype=torch.int64) if worn else None)
        self.worn: Tensor | None

    @property
    def known(self) -> bool:
        """Whether somebody said which options there are."""
        return bool(self.directions.any())

    @torch.no_grad()
    def describe(self, directions: Tensor, shares: Tensor, groups: Tensor) -> None:
        """Say which options there are; of `directions` [N, n] the first n numbers of z are meant."""
        self.directions.zero_()
        self.directions[:, : directions.shape[1]] = directions
        self.shares.copy_(shares)
        self.groups.copy_(groups)

    @torch.no_grad()
    def describe_worn(self, options: Tensor) -> None:
        """Say which options are kinds of what is worn."""
        assert self.worn is not None
        self.worn.copy_(options)

    def forward(self, z: Tensor) -> Tensor:
        return self.numbers(self.chosen(z))

    def numbers(self, chosen: Tensor) -> Tensor:
        """The numbers [B, N] of chosen options [B, N]."""
        return (chosen.float() - self.shares) * self.shares.rsqrt()

    def kinds(self, chosen: Tensor) -> Tensor:
        """What is worn [B, W], of chosen options [B, N]: 1 for each kind that is, else 0."""
        return (chosen[:, :0] if self.worn is None else chosen[:, self.worn]).float()

    def truncated(self, z: Tensor, psi: float) -> Tensor:
        """z that chooses the same, and is psi times as far from 0 at right angles to all directions."""
        with torch.autocast(z.device.type, enabled=False):
            directions, z = self.directions.float(), z.float()
            amounts = torch.linalg.solve(directions @ directions.T, directions @ z.T)
            choosing = amounts.T @ directions
        return torch.lerp(choosing, z, psi)

    @torch.no_grad()
    def chosen(self, z: Tensor) -> Tensor:
        """Which options are chosen, bool [B, N]: one in every group."""
        with torch.autocast(z.device.type, enabled=False):  # a rounded score could choose another option
            scores = z.float() @ self.directions.float().T
        uniform = torch.special.ndtr(scores).clamp(_LEAST_TAIL, 1 - _LEAST_TAIL)
        values = self.shares.log() - (-uniform.log()).log()
        best = torch.full_like(values, -torch.inf)
        best.scatter_reduce_(1, self.groups.expand_as(values), values, "amax")
        return values >= best.gather(1, self.groups.expand_as(values))
