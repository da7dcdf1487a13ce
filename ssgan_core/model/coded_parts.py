"""The part networks under the codes of some portraits: functions of position, asked at all texels or at some."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ssgan_core.layers import place_code
from ssgan_core.model.texels import (
    CodedLayer,
    Laid,
    applied,
    each,
    every_other,
    marked_of_each,
    spread,
    sums,
)


class Positions(NamedTuple):
    """Where N points of every sheet lie.

    Attributes:
        own: their position codes.
        places: [B, L, N, 2] on the mean head; where frames are not known, where they are: [N, 2] or [B, L, N, 2], from
            -1 to 1 across the schema's frame, y upwards.
    """

    own: Laid
    places: Tensor

    def every_other(self) -> Positions:
        """Those of every other texel in both directions, of points that are a square map's texels."""
        square = (math.isqrt(self.places.shape[-2]), -1)
        return Positions(self.own.every_other(square), every_other(self.places, square))


class Said(NamedTuple):
    """What the networks say of N points of L sheets.

    Attributes:
        opacity: logits [B, L, N, 1].
        features: [B, L, N, C].
        clearness: of clear sheets; None where there are none.
        relief: of worn sheets; None where there are none.
        trunk: what all of it is made of; None where texels were left out.
    """

    opacity: Tensor
    features: Tensor
    clearness: Tensor | None
    relief: Tensor | None
    trunk: Tensor | None


@dataclass(frozen=True)
class CodedParts:
    """Layers with the codes that modulate them.

    Attributes:
        base: from position codes to where what is said of places on the mean head is added.
        place: from places' codes to there; empty where frames are not known.
        trunk: from there on; opacity and relief are made of what it says.
        opacity: from the trunk to logits.
        fine: from fine position codes to what is added to the trunk for paint; empty without.
        painting: from there to what features and clearness are made of.
        features: from the paint.
        clearness: from the paint of the clear sheets; empty without.
        relief: from the trunk of the worn sheets; empty without.
        waves: of codes of places.
        fine_waves: of fine position codes; None without.
        heard: which of a fine position code's numbers texels do not alias, 0 or 1; None: all.
        clear: the sheets, side by side, that light may pass through.
        worn: numbers of the sheets that have a relief.
    """

    base: list[CodedLayer]
    place: list[CodedLayer]
    trunk: list[CodedLayer]
    opacity: list[CodedLayer]
    fine: list[CodedLayer]
    painting: list[CodedLayer]
    features: list[CodedLayer]
    clearness: list[CodedLayer]
    relief: list[CodedLayer]
    waves: Tensor
    fine_waves: Tensor | None
    heard: Tensor | None
    clear: slice
    worn: Tensor

    def everywhere(self, positions: Positions) -> Said:
        """Of all points."""
        x = self.trunk_everywhere(positions)
        painted = x
        if self.fine_waves is not None:
            painted = x + applied(self.fine, self._fine(self.fine_waves, positions.places))
        painted = applied(self.painting, painted)
        clearness = applied(self.clearness, painted[:, self.clear]) if self.clearness else None
        relief = applied(self.relief, x[:, self.worn]) if self.relief else None
        return Said(applied(self.opacity, x), applied(self.features, painted), clearness, relief, x)

    def where(self, seen: Tensor, x: list[Tensor], positions: Positions) -> Said:
        """Of the texels [B, L, S, S] that may be seen, of which the trunk says x (see `trunk_where`); elsewhere
        opacities are minus infinity, all else is zero."""
        # In bf16 products of few texels are slower.
        with torch.autocast(seen.device.type, enabled=False):
            painted = x
            if self.fine_waves is not None:
                places = marked_of_each(positions.places.expand(*seen.shape[:2], -1, -1), seen)
                fine = [self._fine(self.fine_waves, rows) for rows in places]
                painted = sums(x, each(self.fine, fine))
            painted = each(self.painting, painted)
            sheets = torch.arange(seen.shape[1])

            def of_few(layers: list[CodedLayer], rows: list[Tensor], few: Tensor) -> Tensor:
                chosen = [rows[i + sheet] for i in range(0, len(rows), len(sheets)) for sheet in few.tolist()]
                return spread(each(layers, chosen), seen[:, few], 0.0)

            clearness = of_few(self.clearness, painted, sheets[self.clear]) if self.clearness else None
            relief = of_few(self.relief, x, self.worn) if self.relief else None
            features = spread(each(self.features, painted), seen, 0.0)
            return Said(self.opacity_where(seen, x), features, clearness, relief, None)

    def trunk_everywhere(self, positions: Positions) -> Tensor:
        """What opacity and paint are made of [B, L, N, width], of all points."""
        x = positions.own.passed(self.base)
        if self.place:
            x = x + applied(self.place, place_code(self.waves, positions.places))
        return applied(self.trunk, x)

    def trunk_where(self, where: Tensor, positions: Positions) -> list[Tensor]:
        """The same [n, width] of those texels [B, L, S, S] of each sheet that are marked."""
        x = each(self.base, positions.own.marked(where))
        if self.place:
            places = marked_of_each(positions.places, where)
            x = sums(x, each(self.place, [place_code(self.waves, rows) for rows in places]))
        return each(self.trunk, x)

    def opacity_where(self, where: Tensor, x: list[Tensor]) -> Tensor:
        """Logits [B, L, S * S, 1] of the marked texels, of which the trunk says x; minus infinity elsewhere."""
        return spread(each(self.opacity, x), where, -torch.inf)

    def _fine(self, waves: Tensor, places: Tensor) -> Tensor:
        """Fine position codes, of which texels alias nothing."""
        code = place_code(waves, places)
        return code if self.heard is None else code * self.heard
