"""The critic: which of two pictures of one head is the true one, judged place by place from features of our parser.

A discriminator must learn to see before it can judge. A frozen network that tells parts apart sees already, and small
heads upon it soon judge (Sauer et al., "Projected GANs Converge Faster", 2021). The parser ships
with the package: there is nothing to download.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from ssgan_core.layers import SLOPE
from ssgan_core.parsing.parser import FaceParser

# Of the parser's maps: strides 4 and 8. Finer ones show single strands; `ssgan evaluate` reads those at 16 and 32,
# which are left alone: what measures is not what teaches.
_LEVELS = slice(1, 3)
_WIDTH = 64


class Pair(NamedTuple):
    """The parser's maps of drawn pictures and of true ones that show the same: [B, C, h, w] each, one a level."""

    drawn: list[Tensor]
    true: list[Tensor]

    def detached(self) -> Pair:
        """The same without the graph that drew them."""
        return Pair([maps.detach() for maps in self.drawn], self.true)


class Critic(nn.Module):
    """Maps of the parser -> logits of places, on every level by a head of its own.

    Args:
        device: where the parser runs, which is no part of the weights that are kept.
    """

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self._parser = FaceParser.load(device=device)
        self.heads = nn.ModuleList(_Head(width) for width in self._parser.network.widths[_LEVELS])

    def look(self, images: Tensor, truth: Tensor) -> Pair:
        """What the parser sees of pictures [B, 3, H, H] in [-1, 1]; gradients reach `images`.

        Maps are divided by the mean of the true ones', so that levels weigh alike whatever the parser.
        """
        network = self._parser.network
        with torch.no_grad():
            true = network.encode(truth, _LEVELS.stop)[_LEVELS]
        drawn = network.encode(images, _LEVELS.stop)[_LEVELS]
        scales = [maps.float().mean() for maps in true]
        return Pair(*([maps / scale for maps, scale in zip(x, scales, strict=True)] for x in (drawn, true)))

    def generator_loss(self, pair: Pair) -> Tensor:
        """Relativistic (Jolicoeur-Martineau, 2018): sum over levels of mean softplus(C(true) - C(drawn)).

        The critic learns nothing from it.
        """
        self.requires_grad_(False)
        loss = torch.stack([F.softplus(true - drawn).mean() for drawn, true in self._judged(pair)]).sum()
        self.requires_grad_(True)
        return loss

    def loss(self, pair: Pair) -> tuple[Tensor, Tensor]:
        """The same pairs from the critic's side, softplus(C(drawn) - C(true)); and the share that it tells right."""
        judged = self._judged(pair.detached())
        loss = torch.stack([F.softplus(drawn - true).mean() for drawn, true in judged]).sum()
        right = torch.stack([(true > drawn).float().mean() for drawn, true in judged]).mean()
        return loss, right

    def _judged(self, pair: Pair) -> list[tuple[Tensor, Tensor]]:
        """Logits [B, 1, h, w], float32, of drawn and true pictures, one pair a level."""
        judged = []
        for head, drawn, true in zip(self.heads, pair.drawn, pair.true, strict=True):
            of_drawn, of_true = head(torch.cat([drawn, true])).float().chunk(2)
            judged.append((of_drawn, of_true))
        return judged


class _Head(nn.Module):
    """Maps [B, C, h, w] of a level -> logits [B, 1, h / 2, w / 2].

    Spectral normalisation (Miyato et al., 2018) bounds slopes, and needs no gradient penalty through the parser.
    """

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, _WIDTH, 3, padding=1)
        self.second = nn.Conv2d(_WIDTH, _WIDTH, 3, stride=2, padding=1)
        # Differences of logits alone are judged: a bias would learn nothing.
        self.to_logits = nn.Conv2d(_WIDTH, 1, 3, padding=1, bias=False)
        for layer in (self.first, self.second, self.to_logits):
            spectral_norm(layer)

    def forward(self, x: Tensor) -> Tensor:
        x = F.leaky_relu(_convolved(x, self.first), SLOPE)
        x = F.leaky_relu(_convolved(x, self.second), SLOPE)
        return _convolved(x, self.to_logits)


def _convolved(x: Tensor, layer: nn.Conv2d) -> Tensor:
    """The layer's convolution; the norm's power iteration is not for low precision, as the convolution is."""
    with torch.autocast(x.device.type, enabled=False):
        weight = layer.weight
    return F.conv2d(x, weight, layer.bias, layer.stride, layer.padding)
