"""From z to codes, and the mean of codes that truncation pulls towards."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ssgan_core.layers import EqualLinear, leaky_relu
from ssgan_core.model.choices import Choices
from ssgan_core.model.traits import LOUDNESS, Traits

_MEASURED = 32768
_SPEED = 0.01


class Mapping(nn.Module):
    """z [B, latent] -> codes [B, latent + traits + worn + backdrop]: w of slow layers after a normalisation of z, as in
    StyleGAN2, then the head's traits, which kinds of clothes and hats it wears, and the last of z as they are.

    Attributes:
        mean: of codes, as `measure` found it.

    Args:
        choices: options among which z chooses, told to the first layer beside z (see Choices); 0 = z alone.
        traits: numbers of a head that z holds (see Traits).
        as_seen: whether these are told as the picture shows them, if it is mirrored.
        worn: choices that codes tell (see Choices).
        backdrop: how many of z's last numbers codes tell.
    """

    def __init__(
        self,
        latent: int,
        layers: int,
        choices: int = 0,
        traits: int = 0,
        backdrop: int = 0,
        *,
        as_seen: bool = False,
        worn: int = 0,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(EqualLinear(latent, latent, lr_multiplier=_SPEED) for _ in range(layers))
        self.choices = Choices(choices, latent, worn) if choices else None
        self.from_choices = EqualLinear(choices, latent, lr_multiplier=_SPEED) if choices else None
        self.traits = Traits(traits, latent, as_seen=as_seen) if traits else None
        self.backdrop = backdrop
        width = latent + traits + worn + backdrop
        self.register_buffer("mean", torch.zeros(width))
        self.mean: Tensor

    def forward(self, z: Tensor, psi: float = 1.0) -> Tensor:
        """Codes, truncated: psi 1 is the full variety, 0 the mean.

        Without choices codes move towards their mean, as in StyleGAN. With them, z holds what describes a head, and
        moves towards the head that chooses the same and is else as usual as can be: half a hat is none, and
        the mean of many codes is the code of no head. What lies behind is no matter of how usual a head is, and stays.
        """
        if psi != 1 and self.choices is not None:
            return self(self._with_backdrop(self.choices.truncated(z, psi), z))
        first, *others = self.layers
        w, told = first(z * torch.rsqrt(z.square().mean(-1, keepdim=True) + 1e-8)), []
        if self.choices is not None and self.from_choices is not None:
            chosen = self.choices.chosen(z)
            w = w + self.from_choices(self.choices.numbers(chosen))
            told = [LOUDNESS * self.choices.kinds(chosen)]
        w = leaky_relu(w)
        for layer in others:
            w = leaky_relu(layer(w))
        if self.traits is not None:
            told = [self.traits(z), *told]
        if self.backdrop:
            told.append(LOUDNESS * z[:, -self.backdrop :])
        w = torch.cat([w, *(numbers.to(w.dtype) for numbers in told)], dim=1)
        return w if psi == 1 else self._with_backdrop(torch.lerp(self.mean.expand_as(w), w.float(), psi), w)

    def _with_backdrop(self, x: Tensor, other: Tensor) -> Tensor:
        """x with the last numbers of the other: what lies behind."""
        return torch.cat(
            [x[:, : x.shape[1] - self.backdrop], other[:, x.shape[1] - self.backdrop :].to(x)], dim=1
        )

    @torch.no_grad()
    def measure(self) -> None:
        """Take the mean of codes over many random z, always the same ones.

        A mean that runs along with training would be late.
        """
        rng = torch.Generator().manual_seed(0)
        first = self.layers[0]
        assert isinstance(first, EqualLinear)
        z = torch.randn(_MEASURED, first.weight.shape[1], generator=rng).to(self.mean.device)
        self.mean.copy_(self(z).float().mean(0))

    @torch.no_grad()
    def read_first(self, count: int) -> None:
        """Make a fresh mapping read only the first numbers of z, at the same variance; others can be learnt."""
        first = self.layers[0]
        assert isinstance(first, EqualLinear)
        first.weight[:, count:] = 0
        first.weight *= (first.weight.shape[1] / count) ** 0.5
