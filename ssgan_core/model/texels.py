"""Modulated layers on all texels of every sheet, or on those of each sheet that are wanted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from ssgan_core.layers import PartLinear


class CodedLayer(NamedTuple):
    """A layer and the codes [B, L, W] that modulate it."""

    linear: PartLinear
    codes: Tensor


def modulated(layers: Iterable[nn.Module], codes: Tensor) -> list[CodedLayer]:
    """Layers that the same codes [B, L, W] modulate."""
    return [CodedLayer(cast(PartLinear, layer), codes) for layer in layers]


def applied(layers: Sequence[CodedLayer], x: Tensor) -> Tensor:
    """Layers one after the other, on [N, inputs] or [B, L, N, inputs]."""
    for linear, codes in layers:
        x = linear(x, codes)
    return x


def applied_to(few: Tensor, layers: Sequence[CodedLayer], x: Tensor) -> Tensor:
    """Layers one after the other, of the sheets `few` [n] alone, on [B, n, N, inputs] or [n, N, inputs]."""
    for linear, codes in layers:
        folded, bias = linear.folded(codes)
        x = linear.applied(x.expand(len(codes), -1, -1, -1), folded[:, few], bias[:, few])
    return x


def every_other(points: Tensor, square: tuple[int, int]) -> Tensor:
    """Of points [..., N, n] that are texels of square maps, every other one in both directions."""
    return points.unflatten(-2, square)[..., ::2, ::2, :].flatten(-3, -2)


class Laid(NamedTuple):
    """Position codes of N points of every sheet: mostly the same points, as most windows are one.

    Attributes:
        codes: [N, n], of all sheets but those that are apart, or [B, L, N, n].
        apart: [m] numbers of the sheets that lie elsewhere.
        of_apart: [m, N, n] theirs.
    """

    codes: Tensor
    apart: Tensor
    of_apart: Tensor

    def every_other(self, square: tuple[int, int]) -> Laid:
        """Of every other texel in both directions, of points that are the texels of square maps."""
        return Laid(every_other(self.codes, square), self.apart, every_other(self.of_apart, square))

    def passed(self, layers: Sequence[CodedLayer]) -> Tensor:
        """What layers, one after the other, make of them [B, L, N, outputs]."""
        if not len(self.apart):
            return applied(layers, self.codes)
        x, few = self.codes, self.of_apart
        for linear, codes in layers:  # folded once for both
            folded, bias = linear.folded(codes)
            x = linear.applied(x, folded, bias)
            few = few.expand(len(codes), -1, -1, -1)
            few = linear.applied(few, folded[:, self.apart], bias[:, self.apart])
        return x.index_copy(1, self.apart, few)

    def marked(self, where: Tensor) -> list[Tensor]:
        """Those of the texels [B, L, S, S] that are marked, of each sheet."""
        of_sheets = [self.codes] * where.shape[1]
        for sheet, codes in zip(self.apart.tolist(), self.of_apart, strict=True):
            of_sheets[sheet] = codes
        marked = where.flatten(2).flatten(0, 1)
        return [codes[texels] for codes, texels in zip(of_sheets * len(where), marked, strict=True)]


def each(layers: Sequence[CodedLayer], rows: Sequence[Tensor]) -> list[Tensor]:
    """Layers one after the other, on any number of texels [n, inputs] of each of B * L sheets."""
    for linear, codes in layers:
        folded = [values.flatten(0, 1).unbind() for values in linear.folded(codes)]
        # Of sheets that learn nothing nothing is differentiated.
        sheets = zip(*folded, linear.learning * len(codes), strict=True)
        kept = [(w, b) if learns else (w.detach(), b.detach()) for w, b, learns in sheets]
        rows = [linear.one(x, *of_sheet) for x, of_sheet in zip(rows, kept, strict=True)]
    return list(rows)


def marked_of_each(values: Tensor, where: Tensor) -> list[Tensor]:
    """Of values [B, L, S * S, C] those of the texels [B, L, S, S] that are marked, of each sheet."""
    marked = where.flatten(2).flatten(0, 1)
    return [rows[texels] for rows, texels in zip(values.flatten(0, 1), marked, strict=True)]


def sums(first: Sequence[Tensor], second: Sequence[Tensor]) -> list[Tensor]:
    """Sums of what two layers say of the same texels."""
    return [a + b for a, b in zip(first, second, strict=True)]


class KnownRows:
    """What layers say of texels that they were asked for in turns."""

    def __init__(self) -> None:
        self._asked: list[Tensor] = []
        self._rows: list[Sequence[Tensor]] = []

    def add(self, where: Tensor, rows: Sequence[Tensor]) -> None:
        """Each sheet's rows [n, C] of the texels [B, L, S, S] that are marked; none of them was asked for before."""
        self._asked.append(where.flatten(2).flatten(0, 1))
        self._rows.append(rows)

    def of(self, where: Tensor) -> list[Tensor]:
        """Each sheet's rows of the texels [B, L, S, S] that are marked, which must be known."""
        chosen = []
        for sheet, marked in enumerate(where.flatten(2).flatten(0, 1)):
            texels = torch.cat([asked[sheet].nonzero()[:, 0] for asked in self._asked])
            number = torch.empty_like(marked, dtype=torch.long)
            number[texels] = torch.arange(len(texels), device=texels.device)
            chosen.append(torch.cat([rows[sheet] for rows in self._rows])[number[marked]])
        return chosen


def spread(rows: Sequence[Tensor], where: Tensor, elsewhere: float) -> Tensor:
    """Each sheet's rows [n, C] at the texels [B, L, S, S] that are marked -> [B, L, S * S, C]."""
    values = torch.cat(list(rows))
    maps = values.new_full((where.numel(), values.shape[1]), elsewhere)
    maps.index_copy_(0, where.flatten().nonzero()[:, 0], values)
    return maps.view(*where.shape[:2], -1, values.shape[1])


def as_maps(x: Tensor, size: int) -> Tensor:
    """[B, G, size * size, C] as [B, G, C, size, size]; in memory a texel's channels stay side by side."""
    return x.unflatten(2, (size, size)).permute(0, 1, 4, 2, 3)
