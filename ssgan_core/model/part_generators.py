"""Part-wise 2D generators: for every semantic part a feature map, a depth relative to the face and an opacity.

All K parts run side by side as one batched matrix product a layer (layers.PartLinear). The networks are
pointwise in position, so they can be evaluated at any resolution. Information flows one way:

    position -> [base code] -> [shape codes] -> opacity
                                     |
                                     +--------> [texture codes] -> features, clearness
    position, low frequencies -> [base code] -> [shape codes] -> relative depth

Texture codes therefore cannot move geometry, and a part's codes reach no other part. The separate depth trunk
sees low frequencies only: depth from the sharp shape trunk tears side views. Clearness is what glasses are asked for:
how much of the colours behind them they let through, while their opacity says where they are.

A part may have several sheets, each a network of its own that the part's codes modulate.

Most parts cover little of their window. On a processor opacities are computed at every other texel first, and the rest
only where a sheet may be seen. What is never seen learns nothing either.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssgan_core.config import ModelConfig
from ssgan_core.layers import PartLinear, dilate, fourier_features, position_code, resize_bilinear
from ssgan_core.model.codes import Codes
from ssgan_core.model.see_through import veil
from ssgan_core.model.texels import CodedLayer, applied, each, marked_rows, modulated, spread
from ssgan_core.parts import SEEN_THROUGH, PartSchema

_MOST_OPTICAL_DEPTH = 20.0
_DEPTH_FREQUENCIES = 12
_DEPTH_HIGHEST = 2.5  # cycles across a window
_FAINTEST = -9.2  # log-odds of being seen, 1e-4, below which a sheet is left out
_MOST_SEEN = 0.5  # share of the texels above which one product of all of them is as fast
_LEAST_TEXELS = 5  # along the shortest wave: where there are fewer, eyes may lie between every other of them


class Sheets(NamedTuple):
    """What the part generators say of every sheet.

    L counts sheets: model.sheets for each of the K foreground parts, a part's side by side.

    Attributes:
        features: [B, L, C, S, S].
        relative_depth: [B, L, S, S]; without lifting, sheets have none: it is zero.
        optical_depth: [B, L, S, S].
        veil: [B, L, S, S] optical depth for colours (see model.see_through): the same but of clear sheets.
    """

    features: Tensor
    relative_depth: Tensor
    optical_depth: Tensor
    veil: Tensor


class PartGenerators(nn.Module):
    """Codes -> Sheets.

    Attributes:
        size: side S; the configured one at first. Another may be set at any time.
        code_width: how many of a code's numbers are read.
        least_sparse: side from which on texels that nobody sees are left out.
        shapes_kept: whether opacities and depths no longer learn.
        clear: the sheets, side by side, that light may pass through.
    """

    def __init__(self, config: ModelConfig, schema: PartSchema) -> None:
        super().__init__()
        self.sheets = config.sheets
        self.sharpness = config.outline_sharpness
        self.shapes_kept = False
        sheets = [part for part in schema.foreground for _ in range(config.sheets)]
        count = len(sheets)
        clear = [i for i, part in enumerate(sheets) if config.see_through and SEEN_THROUGH in part.merges]
        self.clear = slice(clear[0], clear[-1] + 1) if clear else slice(0)
        codes, width = config.part_code_width, config.part_width
        self.code_width = codes
        self.size = config.part_resolution
        self.least_sparse = _LEAST_TEXELS * config.highest_frequency
        self.register_buffer("waves", fourier_features(config.frequencies, config.highest_frequency))
        self.register_buffer("depth_waves", fourier_features(_DEPTH_FREQUENCIES, _DEPTH_HIGHEST))
        self.register_buffer("layout_prior", torch.zeros(count, self.size, self.size))
        self.register_buffer("depth_start", torch.tensor([part.depth_start for part in sheets]))
        self.register_buffer("depth_bound", torch.tensor([part.depth_bound for part in sheets]))
        self.waves: Tensor
        self.depth_waves: Tensor
        self.layout_prior: Tensor
        self.depth_start: Tensor
        self.depth_bound: Tensor

        self.base_layers = _stack(count, codes, 2 * config.frequencies + 2, width, config.base_layers)
        self.shape_layers = _stack(count, codes, width, width, config.shape_layers)
        self.texture_layers = _stack(count, codes, width, width, config.texture_layers)
        self.to_opacity = PartLinear(count, codes, width, 1, demodulate=False, gain=0.25)
        self.to_features = PartLinear(count, codes, width, config.features, demodulate=False, gain=0.2)
        self.to_clearness = None
        if clear:  # one number for all of a lens at first, and quick to learn
            self.to_clearness = PartLinear(len(clear), codes, width, 1, demodulate=False, gain=4.0)
            nn.init.zeros_(self.to_clearness.weight)
        if config.lifting == "none":
            self.depth_layers, self.to_depth = None, None
            return
        own_trunk = config.depth_trunk == "smooth"
        self.depth_layers = (
            _stack(count, codes, 2 * _DEPTH_FREQUENCIES + 2, config.depth_width, config.depth_layers)
            if own_trunk
            else None
        )
        depth_width = config.depth_width if own_trunk else width
        self.to_depth = PartLinear(count, codes, depth_width, 1, demodulate=False, gain=0.25)

    def keep_shapes(self) -> None:
        """Learn no more of opacities and depths: they stay, and outlines are as sharp as when nothing learns."""
        self.shapes_kept = True
        kept = [self.base_layers, self.shape_layers, self.to_opacity, self.depth_layers, self.to_depth]
        for layers in kept:
            if layers is not None:
                layers.requires_grad_(False)

    def set_layout(self, log_odds: Tensor) -> None:
        """Let every part start with the log-odds [K, S, S] of being seen; its sheets share its optical depth."""
        if self.sheets > 1:
            log_odds = torch.log(torch.expm1(F.softplus(log_odds) / self.sheets))
            log_odds = log_odds.repeat_interleave(self.sheets, dim=0)
        self.layout_prior.copy_(log_odds)

    def forward(self, codes: Codes) -> Sheets:
        shape, texture = self._of_sheets(codes.shape), self._of_sheets(codes.texture[:, 1:])
        base = codes.base[:, None].expand(-1, shape.shape[1], -1)
        base, shape, texture = (code[..., : self.code_width].float() for code in (base, shape, texture))
        trunk = modulated(self.base_layers, base) + modulated(self.shape_layers, shape)
        opacity = modulated([self.to_opacity], shape)
        painting, colours = modulated(self.texture_layers, texture), modulated([self.to_features], texture)
        clearing = [] if self.to_clearness is None else modulated([self.to_clearness], texture[:, self.clear])

        position = position_code(self.waves, self.size)
        found = None
        if self._may_leave_out(position.device):
            found = self._where_seen(position, trunk, opacity, painting, colours, clearing)
        x = None
        if found is None:
            x = applied(trunk, position)
            painted = applied(painting, x)
            clearness = applied(clearing, painted[:, self.clear]) if clearing else None
            found = applied(opacity, x), applied(colours, painted), clearness
        logit, features, clearness = found
        relative_depth = self._relative_depth(x, base, shape)
        log_odds = self._log_odds(_maps(logit, self.size)[:, :, 0], self._prior())
        optical_depth = F.softplus(log_odds).clamp(max=_MOST_OPTICAL_DEPTH)
        veils = optical_depth
        if clearness is not None:
            veils = veil(optical_depth, _maps(clearness, self.size)[:, :, 0], self.clear)
        return Sheets(_maps(features, self.size), relative_depth, optical_depth, veils)

    def _prior(self) -> Tensor:
        """Log-odds [1, L, S, S] of being seen that untrained networks begin with."""
        return resize_bilinear(self.layout_prior[None], self.size)

    def _log_odds(self, logit: Tensor, prior: Tensor) -> Tensor:
        """Log-odds of being seen, from what the opacity layer says.

        Sigmoid of the logit is the sheet's opacity: 1 - exp(-softplus(l)) = sigmoid(l). So a prior of log-odds makes
        the untrained parts as opaque as they are frequent in the data.
        """
        log_odds = logit.float() + prior
        return log_odds if self.training and not self.shapes_kept else self.sharpness * log_odds

    def _may_leave_out(self, device: torch.device) -> bool:
        """Whether texels that nobody sees need not be computed; a GPU computes one large product faster."""
        own_trunk = self.depth_layers is not None or self.to_depth is None
        return device.type == "cpu" and own_trunk and self.size >= self.least_sparse

    def _where_seen(
        self,
        position: Tensor,
        trunk: list[CodedLayer],
        opacity: list[CodedLayer],
        painting: list[CodedLayer],
        colours: list[CodedLayer],
        clearing: list[CodedLayer],
    ) -> tuple[Tensor, Tensor, Tensor | None] | None:
        """Logits [B, L, S * S, 1], features [B, L, S * S, C] and, of clear sheets, clearness where they may be seen,
        else minus infinity and zeros.

        None if that is most of the maps.
        """
        # In bf16 products of few texels are slower.
        with torch.autocast(position.device.type, enabled=False):
            seen = self._seen(position, trunk, opacity)
            if seen is None:
                return None
            rows = each(trunk, marked_rows(position, seen))
            logits = spread(each(opacity, rows), seen, -torch.inf)
            painted = each(painting, rows)
            features = spread(each(colours, painted), seen, 0.0)
            if not clearing:
                return logits, features, None
            portraits = range(0, len(painted), seen.shape[1])
            of_clear = [x for first in portraits for x in painted[first : first + seen.shape[1]][self.clear]]
            return logits, features, spread(each(clearing, of_clear), seen[:, self.clear], 0.0)

    @torch.no_grad()
    def _seen(self, position: Tensor, trunk: list[CodedLayer], opacity: list[CodedLayer]) -> Tensor | None:
        """Where each sheet may be seen [B, L, S, S], bool, or None if that is most of the maps.

        Every other texel in both directions is asked first, then all that lie around those that are seen at all, then
        what lies around these. Neighbours of what is seen count as seen, as the renderer interpolates between them.
        """
        coarse = position.view(self.size, self.size, -1)[::2, ::2]
        logit = applied(trunk + opacity, coarse.flatten(0, 1)).unflatten(2, coarse.shape[:2])[..., 0]
        wanted = dilate(_visible(self._log_odds(logit, self._prior()[:, :, ::2, ::2])), 1)
        wanted = wanted.repeat_interleave(2, 2).repeat_interleave(2, 3)[:, :, : self.size, : self.size]
        known = torch.zeros_like(wanted)
        visible = torch.zeros_like(wanted)
        while wanted.float().mean() <= _MOST_SEEN and (unknown := wanted & ~known).any():
            rows = each(trunk + opacity, marked_rows(position, unknown))
            logit = _maps(spread(rows, unknown, -torch.inf), self.size)[:, :, 0]
            visible |= _visible(self._log_odds(logit, self._prior()))
            known |= unknown
            wanted = dilate(visible, 1)
        return wanted if wanted.float().mean() <= _MOST_SEEN else None

    def _relative_depth(self, shape_trunk: Tensor | None, base: Tensor, shape: Tensor) -> Tensor:
        """[B, L, S, S], world units. `shape_trunk`: what the shape layers say, unless depth has layers of its own."""
        if self.to_depth is None:
            return torch.zeros(*shape.shape[:2], self.size, self.size, device=shape.device)
        x = shape_trunk
        if self.depth_layers is not None:
            x = position_code(self.depth_waves, self.size)
            first, *rest = self.depth_layers
            x = first(x, base)
            for layer in rest:
                x = layer(x, shape)
        offset = torch.tanh(_maps(self.to_depth(x, shape), self.size)[:, :, 0].float())
        return self.depth_start[:, None, None] + self.depth_bound[:, None, None] * offset

    def _of_sheets(self, codes: Tensor) -> Tensor:
        """Codes [B, K, W] of parts as codes of their sheets [B, L, W]."""
        return codes if self.sheets == 1 else codes.repeat_interleave(self.sheets, dim=1)


class BackgroundGenerator(nn.Module):
    """The background's texture code -> features [B, C, R, R] on the image plane, the same for every camera."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.size = config.render_resolution
        self.register_buffer("waves", fourier_features(config.frequencies, config.highest_frequency))
        self.waves: Tensor
        self.layers = _stack(
            1, config.code_width, 2 * config.frequencies + 2, config.part_width, config.background_layers
        )
        self.to_features = PartLinear(
            1, config.code_width, config.part_width, config.features, demodulate=False, gain=0.2
        )

    def forward(self, code: Tensor) -> Tensor:
        codes = code[:, None]
        x = position_code(self.waves, self.size)
        for layer in self.layers:
            x = layer(x, codes)
        return _maps(self.to_features(x, codes), self.size)[:, 0]


def _stack(groups: int, codes: int, inputs: int, width: int, layers: int) -> nn.ModuleList:
    return nn.ModuleList(
        PartLinear(groups, codes, inputs if index == 0 else width, width) for index in range(layers)
    )


def _visible(log_odds: Tensor) -> Tensor:
    """Where a sheet is more than nothing; numbers that are no numbers are not to be left out unnoticed."""
    return ~(log_odds < _FAINTEST)


def _maps(x: Tensor, size: int) -> Tensor:
    """[B, G, size * size, C] as [B, G, C, size, size]; in memory a texel's channels stay side by side."""
    return x.unflatten(2, (size, size)).permute(0, 1, 4, 2, 3)
