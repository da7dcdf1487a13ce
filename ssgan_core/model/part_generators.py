"""Part-wise 2D generators: for every semantic part a feature map, a depth relative to the face and an opacity.

All K parts run side by side as one batched matrix product a layer (layers.PartLinear). The networks are
pointwise in position, so they can be evaluated at any resolution. Information flows one way:

    position -> [base code] ---+--> [shape codes] -> opacity
                               |           |
    place on the mean head ----+           +--------> [texture codes] -> features, clearness
    (shape codes)                                           ^
    place, high frequencies --------------------------------+
    position, low frequencies -> [base code] -> [shape codes] -> relative depth

Texture codes therefore cannot move geometry, and a part's codes reach no other part. What is painted may be finer than
outlines: irises, creases and seams have positions of their own. Both may be told where a texel lies on the mean head
(see model.frames), which spares them to learn a line at every place where some head has it. The separate depth trunk
sees low frequencies only: depth from the sharp shape trunk tears side views. Clearness is what glasses are asked for:
how much of the colours behind them they let through, while their opacity says where they are.

A part may have several sheets, each a network of its own that the part's codes modulate.

Most parts cover little of their window. On a processor opacities are computed at every other texel first, and the rest
only where a sheet may be seen. What is never seen learns nothing either. Depth is computed everywhere: rays ask for it
before and behind what they see.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssgan_core.config import ModelConfig
from ssgan_core.layers import (
    PartLinear,
    dilate,
    fourier_features,
    part_stack,
    place_code,
    resize_bilinear,
    texel_places,
)
from ssgan_core.model.coded_parts import CodedParts, Positions
from ssgan_core.model.codes import Codes
from ssgan_core.model.frames import Frames
from ssgan_core.model.see_through import veil
from ssgan_core.model.texels import CodedLayer, KnownRows, Laid, applied, applied_to, as_maps, modulated
from ssgan_core.parts import SEEN_THROUGH, PartSchema

_MOST_OPTICAL_DEPTH = 20.0
_LATER_GAIN = 4.0  # of layers that begin at zero, to be learnt as quickly as what is known already
_DEPTH_FREQUENCIES = 12
_DEPTH_HIGHEST = 2.5  # cycles across a window
_ABSENT = 15.0  # log-odds that a sheet of what nobody wears lacks
_FAINTEST = -10.5  # log-odds of being seen, 3e-5, below which a sheet is left out
_PRESENT = 4.0  # log-odds above the faintest from which on what is worn has all of its relief
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
        least_fine: side from which on texels alias no wave of the paint.
        shapes_kept: whether opacities and depths no longer learn.
        clear: the sheets, side by side, that light may pass through.
        middle, reach: [L, 1, 2] where each sheet's window has its middle, from -1 to 1 across the schema's frame, and
            half of its sides in terms of the frame's.
        apart: [n] numbers of the sheets whose window is not the whole frame.
        worn: numbers of the sheets that have a relief beside their smooth depth: a brim stands out from a hat.
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
        low, high = torch.tensor([part.window for part in sheets]).unflatten(1, (2, 2)).unbind(1)
        first, last = torch.tensor(schema.frame).unflatten(0, (2, 2))
        middle, reach = (low + high - first - last) / (last - first), (high - low) / (last - first)
        apart = ((middle != 0) | (reach != 1)).any(1).nonzero()[:, 0]
        self.register_buffer("apart", apart, persistent=False)
        self.register_buffer("middle", middle[:, None], persistent=False)
        self.register_buffer("reach", reach[:, None], persistent=False)
        self.apart: Tensor
        self.middle: Tensor
        self.reach: Tensor
        self.least_sparse = _LEAST_TEXELS * config.highest_frequency
        self.least_fine = 2 * config.highest_paint_frequency
        self.register_buffer("waves", fourier_features(config.frequencies, config.highest_frequency))
        fine, self.to_fine = None, None
        if config.paint_frequencies:
            fine = fourier_features(
                config.paint_frequencies, config.highest_paint_frequency, config.highest_frequency
            )
            self.to_fine = _later(count, codes, 2 * len(fine) + 2, width)
        self.register_buffer("fine_waves", fine)
        self.frames, self.to_place = None, None
        if config.frames:
            self.frames = Frames(sheets, schema.frame, config.latent, config.traits, config.worn)
            self.to_place = _later(count, codes, 2 * config.frequencies + 2, width)
        own_trunk = config.lifting != "none" and config.depth_trunk == "smooth"
        worn = (
            self.frames.wearers if self.frames is not None and own_trunk else torch.zeros(0, dtype=torch.long)
        )
        self.register_buffer("worn", worn, persistent=False)
        self.worn: Tensor
        self.register_buffer("depth_waves", fourier_features(_DEPTH_FREQUENCIES, _DEPTH_HIGHEST))
        self.register_buffer("layout_prior", torch.zeros(count, self.size, self.size))
        self.register_buffer("depth_start", torch.tensor([part.depth_start for part in sheets]))
        self.register_buffer("depth_bound", torch.tensor([part.depth_bound for part in sheets]))
        self.waves: Tensor
        self.fine_waves: Tensor | None
        self.depth_waves: Tensor
        self.layout_prior: Tensor
        self.depth_start: Tensor
        self.depth_bound: Tensor

        self.base_layers = part_stack(count, codes, 2 * config.frequencies + 2, width, config.base_layers)
        self.shape_layers = part_stack(count, codes, width, width, config.shape_layers)
        self.texture_layers = part_stack(count, codes, width, width, config.texture_layers)
        self.to_opacity = PartLinear(count, codes, width, 1, demodulate=False, gain=0.25)
        self.to_features = PartLinear(count, codes, width, config.features, demodulate=False, gain=0.2)
        self.to_clearness, self.to_relief = None, None
        if clear:  # one number for all of a lens at first, and quick to learn
            self.to_clearness = _later(len(clear), codes, width, 1)
        if len(worn):
            self.to_relief = _later(len(worn), codes, width, 1)
        if config.lifting == "none":
            self.depth_layers, self.to_depth = None, None
            return
        self.depth_layers = (
            part_stack(count, codes, 2 * _DEPTH_FREQUENCIES + 2, config.depth_width, config.depth_layers)
            if own_trunk
            else None
        )
        depth_width = config.depth_width if own_trunk else width
        self.to_depth = PartLinear(count, codes, depth_width, 1, demodulate=False, gain=0.25)

    def keep_shapes(self) -> None:
        """Learn no more of opacities and depths: they stay, and outlines are as sharp as when nothing learns."""
        self.shapes_kept = True
        self.keep_depths()
        for layers in (self.base_layers, self.to_place, self.shape_layers, self.to_opacity):
            if layers is not None:
                layers.requires_grad_(False)

    def learn_alone(self, parts: list[int]) -> None:
        """Learn no more of sheets than those of some parts, by their numbers in the foreground."""
        chosen = torch.zeros(len(self.depth_start), dtype=torch.bool, device=self.depth_start.device)
        for part in parts:
            chosen[part * self.sheets : (part + 1) * self.sheets] = True
        few = {"to_clearness": chosen[self.clear], "to_relief": chosen[self.worn]}
        for name, layer in self.named_modules():
            if isinstance(layer, PartLinear):
                layer.learn_alone(few.get(name, chosen))

    def learn_surfaces(self) -> None:
        """Learn, of what does not learn, how surfaces look, and where they lie in depth."""
        for layers in (self.to_fine, self.texture_layers, self.to_features, *self._of_depth()):
            if layers is not None:
                layers.requires_grad_(True)

    def _of_depth(self) -> tuple[nn.Module | None, ...]:
        return self.depth_layers, self.to_depth, self.to_relief

    def keep_depths(self) -> None:
        """Learn no more of depths."""
        for layers in self._of_depth():
            if layers is not None:
                layers.requires_grad_(False)

    def set_layout(self, log_odds: Tensor) -> None:
        """Let every part start with the log-odds [K, S, S] of being seen; its sheets share its optical depth."""
        if self.sheets > 1:
            log_odds = torch.log(torch.expm1(F.softplus(log_odds) / self.sheets))
            log_odds = log_odds.repeat_interleave(self.sheets, dim=0)
        self.layout_prior.copy_(log_odds)

    def forward(self, codes: Codes, in_view: Callable[[Tensor], Tensor] | None = None) -> Sheets:
        """Sheets of B portraits.

        Args:
            in_view: from relative depths [B, L, S, S] to the texels [B, L, S, S], bool, that anyone will look at; the
                rest may be left out. None: all.
        """
        base, shape, texture = self._read(codes)
        networks, depth = self._coded(base, shape, texture), self._depth_layers(base, shape)
        own = self._texels()
        positions = self._positions(shape, own)
        prior = self._prior(shape, resize_bilinear(self.layout_prior[None], self.size))
        some, offset = None, None
        if self._may_leave_out(shape.device):
            offset = as_maps(self._offset(shape, own, None, depth), self.size)[:, :, 0]
            looked_at = None if in_view is None else in_view(self._relative_depth(offset.detach()))
            some = self._seen(positions, networks, prior, looked_at)
        said = networks.everywhere(positions) if some is None else networks.where(*some, positions)

        log_odds = self._log_odds(as_maps(said.opacity, self.size)[:, :, 0], prior)
        clearness = None if said.clearness is None else as_maps(said.clearness, self.size)[:, :, 0]
        optical_depth, veils = self._dense(log_odds, clearness)
        if offset is None:
            offset = as_maps(self._offset(shape, own, said.trunk, depth), self.size)[:, :, 0]
        if said.relief is not None:
            offset = self._standing_out(offset, as_maps(said.relief, self.size)[:, :, 0], log_odds)
        return Sheets(as_maps(said.features, self.size), self._relative_depth(offset), optical_depth, veils)

    def at(self, codes: Codes, own: Tensor) -> Sheets:
        """The same of points [B, L, N, 2], from -1 to 1 across the schema's frame, y upwards, as sharp as when nothing
        learns: N where maps have S, S."""
        base, shape, texture = self._read(codes)
        networks, depth = self._coded(base, shape, texture), self._depth_layers(base, shape)
        said = networks.everywhere(self._positions(shape, own))
        layout = self._layout_at(self.layout_prior, (own - self.middle) / self.reach)
        log_odds = self.sharpness * (said.opacity[..., 0].float() + self._prior(shape, layout))
        clearness = None if said.clearness is None else said.clearness[..., 0]
        optical_depth, veils = self._dense(log_odds, clearness)
        offset = self._offset(shape, own, said.trunk, depth)[..., 0]
        if said.relief is not None:
            offset = self._standing_out(offset, said.relief[..., 0], log_odds)
        return Sheets(said.features.transpose(2, 3), self._relative_depth(offset), optical_depth, veils)

    def first_depth(self, codes: Codes, own: Tensor) -> Tensor:
        """Relative depth [B, N] of the first sheet at points [B, N, 2] as in `at`, if depth has a trunk of its own."""
        base, shape, _ = self._read(codes)
        layers = self._depth_layers(base, shape)
        offset = applied_to(self._first, layers, place_code(self.depth_waves, own)[:, None])
        return self.depth_start[0] + self.depth_bound[0] * torch.tanh(offset[:, 0, :, 0].float())

    def first_log_odds(self, codes: Codes, own: Tensor) -> Tensor:
        """Log-odds [B, N] of the first sheet to be seen at points [B, N, 2] as in `at`, as soft as while it learns."""
        base, shape, texture = self._read(codes)
        networks = self._coded(base, shape, texture)
        own = own[:, None]
        x = applied_to(self._first, networks.base, place_code(self.waves, own))
        if self.frames is not None:
            places = self.frames(shape, own.expand(-1, shape.shape[1], -1, -1))[:, :1]
            x = x + applied_to(self._first, networks.place, place_code(self.waves, places))
        logits = applied_to(self._first, [*networks.trunk, *networks.opacity], x)[:, 0, :, 0].float()
        layout = self._layout_at(self.layout_prior[:1], (own - self.middle[:1]) / self.reach[:1])
        return logits + layout[:, 0]

    @property
    def _first(self) -> Tensor:
        return self.depth_start.new_zeros(1, dtype=torch.long)

    def _layout_at(self, layout: Tensor, own: Tensor) -> Tensor:
        """Layouts [L, S, S] at points [B, L, N, 2] of their windows."""
        found = F.grid_sample(
            layout.expand(len(own), -1, -1, -1).flatten(0, 1)[:, None],
            (own * own.new_tensor([1.0, -1.0])).flatten(0, 1)[:, None],
            padding_mode="border",
            align_corners=False,
        )
        return found.view(own.shape[:-1])

    def _read(self, codes: Codes) -> tuple[Tensor, Tensor, Tensor]:
        """Base, shape and texture codes [B, L, W] of sheets."""
        shape, texture = self._of_sheets(codes.shape), self._of_sheets(codes.texture[:, 1:])
        base = codes.base[:, None].expand(-1, shape.shape[1], -1)
        base, shape, texture = (code[..., : self.code_width].float() for code in (base, shape, texture))
        return base, shape, texture

    def _texels(self) -> Tensor:
        """Texel centres [S * S, 2] across the frame, of all sheets alike, or [L, S * S, 2]."""
        own = texel_places(self.size, self.waves)
        return self.middle + self.reach * own if len(self.apart) else own

    def _laid(self, waves: Tensor, own: Tensor) -> Laid:
        """Position codes of points [N, 2], [L, N, 2], which differ where sheets are apart, or [B, L, N, 2]."""
        if own.ndim == 3:
            common = texel_places(self.size, waves)
            return Laid(place_code(waves, common), self.apart, place_code(waves, own[self.apart]))
        codes = place_code(waves, own)
        return Laid(codes, self.apart[:0], codes.new_zeros(0, *codes.shape[-2:]))

    def _positions(self, shape: Tensor, own: Tensor) -> Positions:
        """Of points [N, 2], [L, N, 2] or [B, L, N, 2]."""
        places = own.expand(len(shape), -1, -1, -1) if own.ndim == 3 else own
        if self.frames is not None:
            places = self.frames(shape, own)
        return Positions(self._laid(self.waves, own), places)

    def _coded(self, base: Tensor, shape: Tensor, texture: Tensor) -> CodedParts:
        """The networks but for depth under the codes [B, L, W] of sheets."""
        heard = None
        if self.fine_waves is not None and self.size < self.least_fine:
            short = (self.fine_waves.norm(dim=1) <= self.size / 2).to(self.fine_waves)
            heard = torch.cat([short, short, short.new_ones(2)])
        clear = [] if self.to_clearness is None else modulated([self.to_clearness], texture[:, self.clear])
        return CodedParts(
            base=modulated(self.base_layers, base),
            place=[] if self.to_place is None else modulated([self.to_place], shape),
            trunk=modulated(self.shape_layers, shape),
            opacity=modulated([self.to_opacity], shape),
            fine=[] if self.to_fine is None else modulated([self.to_fine], texture),
            painting=modulated(self.texture_layers, texture),
            features=modulated([self.to_features], texture),
            clearness=clear,
            relief=[] if self.to_relief is None else modulated([self.to_relief], shape[:, self.worn]),
            waves=self.waves,
            fine_waves=self.fine_waves,
            heard=heard,
            clear=self.clear,
            worn=self.worn,
        )

    def _depth_layers(self, base: Tensor, shape: Tensor) -> list[CodedLayer]:
        """From positions of their own, or from the trunk, to depth."""
        last = [] if self.to_depth is None else modulated([self.to_depth], shape)
        if self.depth_layers is None:
            return last
        first, *rest = self.depth_layers
        return modulated([first], base) + modulated(rest, shape) + last

    def _prior(self, shape: Tensor, layout: Tensor) -> Tensor:
        """Log-odds [B or 1, L, ...] of being seen that untrained networks begin with, of points where the layout's are
        these; bare heads have no hat."""
        absent = None if self.frames is None else self.frames.absent(shape)
        if absent is None:
            return layout
        return layout - _ABSENT * absent.view(*absent.shape, *[1] * (layout.ndim - 2))

    def _log_odds(self, logits: Tensor, prior: Tensor) -> Tensor:
        """Log-odds [B, L, S, S] of being seen, from what the opacity layer says.

        Sigmoid of the logit is the sheet's opacity: 1 - exp(-softplus(l)) = sigmoid(l). So a prior of log-odds makes
        the untrained parts as opaque as they are frequent in the data.
        """
        log_odds = logits.float() + prior
        return log_odds if self.training and not self.shapes_kept else self.sharpness * log_odds

    def _dense(self, log_odds: Tensor, clearness: Tensor | None) -> tuple[Tensor, Tensor]:
        """Optical depth and veil [B, L, ...] of sheets."""
        optical_depth = F.softplus(log_odds).clamp(max=_MOST_OPTICAL_DEPTH)
        if clearness is None:
            return optical_depth, optical_depth
        return optical_depth, veil(optical_depth, clearness, self.clear)

    def _may_leave_out(self, device: torch.device) -> bool:
        """Whether texels that nobody sees need not be computed; a GPU computes one large product faster."""
        own_trunk = self.depth_layers is not None or self.to_depth is None
        return device.type == "cpu" and own_trunk and self.size >= self.least_sparse

    def _seen(
        self, positions: Positions, networks: CodedParts, prior: Tensor, in_view: Tensor | None
    ) -> tuple[Tensor, list[Tensor]] | None:
        """Where each sheet may be seen [B, L, S, S], bool, and what the trunk says there; None if that is most of the
        maps, or nowhere.

        Every other texel in both directions is asked first, then all that lie around those that are seen at all, then
        what lies around these. Neighbours of what is seen count as seen, as the renderer interpolates between them.

        Args:
            prior: [B or 1, L, S, S] log-odds.
            in_view: [B, L, S, S] bool, where anyone looks; None: everywhere.
        """
        with torch.autocast(prior.device.type, enabled=False):
            wanted = self._around_coarsely_visible(positions, networks, prior, in_view)
            if not wanted.any():  # of a portrait of nothing all texels are alike
                return None
            known, visible, rows = torch.zeros_like(wanted), torch.zeros_like(wanted), KnownRows()
            while wanted.float().mean() <= _MOST_SEEN and (unknown := wanted & ~known).any():
                x = networks.trunk_where(unknown, positions)
                rows.add(unknown, x)
                with torch.no_grad():
                    logits = as_maps(networks.opacity_where(unknown, x), self.size)[:, :, 0]
                    visible |= _visible(self._log_odds(logits, prior))
                known |= unknown
                wanted = dilate(visible, 1)
                wanted = wanted if in_view is None else wanted & in_view
            return (wanted, rows.of(wanted)) if wanted.float().mean() <= _MOST_SEEN else None

    @torch.no_grad()
    def _around_coarsely_visible(
        self, positions: Positions, networks: CodedParts, prior: Tensor, in_view: Tensor | None
    ) -> Tensor:
        """Texels [B, L, S, S], bool, around those of every other one in both directions that are seen at all."""
        coarse, prior = positions.every_other(), prior[:, :, ::2, ::2]
        if in_view is None:
            logits = applied(networks.opacity, networks.trunk_everywhere(coarse))
        else:
            asked = dilate(in_view, 1)[:, :, ::2, ::2]
            logits = networks.opacity_where(asked, networks.trunk_where(asked, coarse))
        visible = _visible(self._log_odds(as_maps(logits, prior.shape[-1])[:, :, 0], prior))
        wanted = dilate(visible, 1).repeat_interleave(2, 2).repeat_interleave(2, 3)
        wanted = wanted[:, :, : self.size, : self.size]
        return wanted if in_view is None else wanted & in_view

    def _offset(self, shape: Tensor, own: Tensor, trunk: Tensor | None, layers: list[CodedLayer]) -> Tensor:
        """[B, L, N, 1] how far sheets depart from where they start, before their bounds, at points [N, 2], [L, N, 2] or
        [B, L, N, 2]; of the trunk where depth has none of its own."""
        if self.to_depth is None:
            return shape.new_zeros(*shape.shape[:2], own.shape[-2], 1)
        if self.depth_layers is not None:
            return self._laid(self.depth_waves, own).passed(layers).float()
        assert trunk is not None  # nothing is left out where depth comes from the trunk
        return applied(layers, trunk).float()

    def _standing_out(self, offset: Tensor, relief: Tensor, log_odds: Tensor) -> Tensor:
        """Offsets [B, L, ...] with the relief [B, n, ...] of sheets that are worn, as far as these are there at all:
        of texels that nobody sees depth counts, too, as rays pass over them. There it is smooth, asked or not."""
        present = ((log_odds.detach()[:, self.worn] - _FAINTEST) / _PRESENT).clamp(0, 1)
        return offset.index_add(1, self.worn, relief.float() * present)

    def _relative_depth(self, offset: Tensor) -> Tensor:
        """World units; zero without lifting."""
        if self.to_depth is None:
            return offset
        start, bound = (x.view(-1, *[1] * (offset.ndim - 2)) for x in (self.depth_start, self.depth_bound))
        return start + bound * torch.tanh(offset)

    def _of_sheets(self, codes: Tensor) -> Tensor:
        """Codes [B, K, W] of parts as codes of their sheets [B, L, W]."""
        return codes if self.sheets == 1 else codes.repeat_interleave(self.sheets, dim=1)


def _later(sheets: int, codes: int, inputs: int, outputs: int) -> PartLinear:
    """A layer that says nothing at first, and is quick to learn."""
    layer = PartLinear(sheets, codes, inputs, outputs, demodulate=False, gain=_LATER_GAIN)
    nn.init.zeros_(layer.weight)
    return layer


def _visible(log_odds: Tensor) -> Tensor:
    """Where a sheet is more than nothing; numbers that are no numbers are not to be left out unnoticed."""
    return ~(log_odds < _FAINTEST)
