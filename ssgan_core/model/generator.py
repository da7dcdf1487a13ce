"""The 3D-SSGAN generator: mapping -> part generators -> depth-guided lifting and rendering -> upsampler.

The only module that wires the others. A portrait is made in two steps: `part_maps` depends on codes alone and is
computed once; `render` looks at the maps from any camera. The baselines that it is compared with are the same networks
with fewer abilities: without lifting (parts composed in the image plane) and without parts (see config.ModelConfig).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssgan_core.cameras import FOCAL, RADIUS, label
from ssgan_core.config import ModelConfig, config_to_json
from ssgan_core.layers import PartStyles, resize_bilinear, texel_places
from ssgan_core.model.background import BackgroundGenerator
from ssgan_core.model.codes import Codes
from ssgan_core.model.composition import compose
from ssgan_core.model.crops import Crop
from ssgan_core.model.details import SurfaceDetails, mean_distance, seen_surface
from ssgan_core.model.fringes import Fringes
from ssgan_core.model.geometry import (
    depth_bounds,
    dome,
    light_stops_ahead,
    loosened,
    part_dome,
    texel_centres,
)
from ssgan_core.model.mapping import Mapping
from ssgan_core.model.noise import OrientedNoise
from ssgan_core.model.part_generators import PartGenerators
from ssgan_core.model.see_through import seen_through
from ssgan_core.model.upsampler import Upsampler, upsample_masks
from ssgan_core.parts import GRAINED, STRANDS, PartSchema
from ssgan_core.rendering.rays import Rays, camera_rays, project
from ssgan_core.rendering.render import Rendering, render

# A pore or a hair of a brow has no course to follow.
_GRAIN_OCTAVES = 2
_GRAIN_DIRECTIONS = 12
# Of a picture's side, how far beside a view lies what its rays may meet: shells are thick.
_AROUND_VIEW = 0.08
_AROUND_RELIEF = 0.06  # more, where sheets may stand out
_TEXELS_A_LOOK = 4


@dataclass(frozen=True)
class PartMaps:
    """What a portrait is before a camera looks at it.

    L counts sheets: one for each of the K foreground parts, or model.sheets, side by side.

    Attributes:
        features: [B, L, C, S, S] appearance of each sheet.
        relative_depth: [B, L, S, S] world units; the skin's above the dome, every other part's above the skin.
        depth: [B, L, S, S] world z of each sheet. Without lifting both depths are zero and mean nothing.
        optical_depth: [B, L, S, S] along the sheet's normal; opacity = 1 - exp(-optical_depth).
        background: [B, C, R, R] features behind everything, on the image plane.
        veil: [B, L, S, S] optical depth for colours (see model.see_through).
    """

    features: Tensor
    relative_depth: Tensor
    depth: Tensor
    optical_depth: Tensor
    background: Tensor
    veil: Tensor

    def __getitem__(self, index: slice | Tensor) -> PartMaps:
        """The maps of some portraits; a batch again (index with a slice or a tensor of indices)."""
        return self._each(lambda maps: maps[index])

    def repeated(self, times: int) -> PartMaps:
        """Every portrait's maps so many times in succession; once is a view of them."""
        # Not repeat_interleave: its gradient is a scatter.
        return self._each(lambda maps: maps[:, None].expand(-1, times, *maps.shape[1:]).flatten(0, 1))

    def _each(self, change: Callable[[Tensor], Tensor]) -> PartMaps:
        return PartMaps(*(change(getattr(self, field.name)) for field in fields(self)))


@dataclass(frozen=True)
class Output:
    """One view of a batch of portraits.

    Attributes:
        image: [B, 3, H, H] in [-1, 1], not clipped.
        mask: [B, K + 1, H, H] part probabilities, background first, summing to one.
        depth: [B, 1, R, R] sum of weight times z_cam, world units; divide by the foreground's opacity for a mean.
            Zero everywhere without lifting: there is none.
        low_image: [B, 3, R, R] the rendered RGB before the upsampler.
        low_mask: [B, K + 1, R, R] the rendered masks.
    """

    image: Tensor
    mask: Tensor
    depth: Tensor
    low_image: Tensor
    low_mask: Tensor


class Generator(nn.Module):
    """z or codes, and a camera -> image, part masks and depth.

    Args:
        config: sizes.
        schema: the parts of the data; the first foreground part is the base that other depths are relative to.

    Attributes:
        schema: the parts that masks and codes stand for: those of the data, or the one that unites them.
        render_side: rays along a side; their pictures are brought to the configured side before the upsampler.
    """

    def __init__(self, config: ModelConfig, schema: PartSchema) -> None:
        super().__init__()
        self.config = config
        self.schema = schema.united() if config.parts == "one" else schema
        limits = loosened(self.schema) if config.depth_trunk == "shape" else self.schema
        if config.lifting == "none":  # maps lie in the picture
            limits = limits.in_one_window()
        self.mapping = Mapping(
            config.latent,
            config.mapping_layers,
            config.choices,
            config.traits,
            config.backdrop,
            as_seen=config.frames,
            worn=config.worn,
        )
        self.parts = PartGenerators(config, limits)
        self.background = BackgroundGenerator(config)
        self.upsampler = Upsampler(config)
        self.details, self.fringes, self.grain = None, None, None
        if config.detail_octaves:
            noise = OrientedNoise(config.detail_octaves, config.detail_directions, config.resolution)
            self.details = SurfaceDetails(noise, self._called(STRANDS), self.upsampler.width)
            if config.fringes:
                self.fringes = Fringes(noise, self._called(STRANDS), config.features)
        if config.grain:
            noise = OrientedNoise(_GRAIN_OCTAVES, _GRAIN_DIRECTIONS, config.resolution)
            self.grain = SurfaceDetails(noise, self._called(*GRAINED), self.upsampler.width, grain=True)
        self.depth_bounds = depth_bounds(limits)
        windows = torch.from_numpy(limits.windows).repeat_interleave(config.sheets, dim=0)
        self.register_buffer("windows", windows, persistent=False)
        others = windows[config.sheets :]
        elsewhere = (others != windows[0]).any(1).nonzero()[:, 0]  # sheets that do not have the skin's window
        self.register_buffer("elsewhere", elsewhere, persistent=False)
        first, last = torch.tensor(self.schema.frame).unflatten(0, (2, 2))
        self.register_buffer("frame_middle", (first + last) / 2, persistent=False)
        self.register_buffer("frame_reach", (last - first) / 2, persistent=False)
        self.register_buffer("frontal", torch.from_numpy(label(0.0, 0.0)[None]), persistent=False)
        self.register_buffer("dome", part_dome(self.schema, config.part_resolution), persistent=False)
        self.register_buffer("shell_width", torch.tensor(config.shell_width))
        self.windows: Tensor
        self.elsewhere: Tensor
        self.frame_middle: Tensor
        self.frame_reach: Tensor
        self.dome: Tensor
        self.frontal: Tensor
        self.shell_width: Tensor
        for styles in self._styles():  # what codes tell beside w is loud, and begins unheard
            nn.init.zeros_(styles.weight[:, config.latent :])
        self.render_side = config.render_resolution
        self.set_shell_width(config.shell_width)

    @property
    def has_depth(self) -> bool:
        """Whether portraits have depth, and turn with the camera."""
        return self.config.lifting == "depth"

    @property
    def part_side(self) -> int:
        """Texels along a side of the parts' maps."""
        return self.parts.size

    def set_sides(self, render_side: int, part_side: int) -> None:
        """Work more coarsely than configured, as training may at first. Not kept with the weights."""
        self.render_side, self.parts.size = render_side, part_side

    def keep_shapes(self) -> None:
        """Learn nothing from now on but how parts look: shapes and codes stay, and are drawn as in use."""
        self.mapping.requires_grad_(False)
        self.parts.keep_shapes()

    def keep_depths(self) -> None:
        """Learn no more of codes and depths."""
        self.mapping.requires_grad_(False)
        self.parts.keep_depths()

    def learn_parts_alone(self, parts: list[int]) -> None:
        """Learn nothing from now on but the networks of some parts, by their numbers in the foreground."""
        self.requires_grad_(False)
        self.parts.learn_alone(parts)

    def learn_surfaces_alone(self) -> None:
        """Learn nothing from now on but how parts look, and where their surfaces lie in depth."""
        self.requires_grad_(False)
        self.parts.learn_surfaces()

    def learn_traits_alone(self) -> None:
        """Learn nothing from now on but what codes tell beside w."""
        self.requires_grad_(False)
        for styles in self._styles():
            styles.learn_beyond(self.config.latent)
        self.background.learn_waves()

    def learn_backdrop_alone(self) -> None:
        """Learn nothing from now on but what lies behind heads."""
        self.requires_grad_(False)
        self.background.requires_grad_(True)

    def _called(self, *classes: str) -> Tensor:
        """[K] bool, which of the foreground's parts hold any of the classes."""
        return torch.tensor([not set(classes).isdisjoint(part.merges) for part in self.schema.foreground])

    def _styles(self) -> list[PartStyles]:
        return [module for module in self.modules() if isinstance(module, PartStyles)]

    def set_shell_width(self, width: float) -> None:
        """Set the shells' Gaussian width in world units; a shell is never thinner than one texel of its maps."""
        texel = float((self.windows[:, 2] - self.windows[:, 0]).max()) / self.part_side
        self.shell_width.fill_(max(width, texel))

    def map(self, z: Tensor, psi: float = 1.0) -> Codes:
        """W+ codes of z [B, latent], every part with the same w, truncated by psi (see Mapping)."""
        w = self.mapping(z, psi)
        parts = len(self.schema.foreground)
        return Codes(w, w[:, None].expand(-1, parts, -1), w[:, None].expand(-1, parts + 1, -1))

    def part_maps(self, codes: Codes, views: Tensor | None = None) -> PartMaps:
        """The portrait's sheets and background; independent of any camera.

        Args:
            views: [B * n, 25] the only cameras that will look at them, n at each of the B portraits; what none of them
                sees need not be computed. None: any may.
        """

        def in_view(relative_depth: Tensor) -> Tensor:
            assert views is not None
            cameras = views.unflatten(0, (len(relative_depth), -1))
            depth = self._world_depth(relative_depth)
            return torch.stack([self._in_view(depth, some) for some in cameras.unbind(1)]).any(0)

        sheets = self.parts(codes, None if views is None else in_view)
        return PartMaps(
            sheets.features,
            sheets.relative_depth,
            self._world_depth(sheets.relative_depth),
            sheets.optical_depth,
            self.background(codes.texture[:, 0]),
            sheets.veil,
        )

    def _world_depth(self, relative_depth: Tensor) -> Tensor:
        """World z [B, L, S, S] of sheets with relative depths [B, L, S, S]."""
        if not self.has_depth:
            return relative_depth
        skin, others = relative_depth.tensor_split([self.config.sheets], dim=1)
        skin = resize_bilinear(self.dome[None, :1], self.part_side) + skin
        return torch.cat([skin, self._below(skin[:, :1], others.shape[1]) + others], dim=1)

    def skin_at(self, codes: Codes, points: Tensor) -> Tensor:
        """Log-odds [B, N] of the skin to be seen at world x and y [B, N, 2], as soft as while it learns."""
        return self.parts.first_log_odds(codes, self._in_frame(points))

    def _in_frame(self, points: Tensor) -> Tensor:
        """World x and y [..., 2] as networks know them: from -1 to 1 across the frame."""
        return (points - self.frame_middle) / self.frame_reach

    def surfaces(self, codes: Codes, points: Tensor) -> tuple[Tensor, Tensor]:
        """What the parts' networks say of points of their surfaces, without maps and cameras. It takes parts of one
        sheet each, whose depth has a trunk of its own.

        Args:
            codes: B portraits.
            points: [B, K, N, 2] world x and y.

        Returns:
            RGB [B, K, N, 3], as rays' are, and world z [B, K, N] where light is stopped when nothing learns: before the
            sheet's middle, the more the denser it is.
        """
        places = self._in_frame(points)
        sheets = self.parts.at(codes, places)
        skin = self.parts.first_depth(codes, places[:, 1:].flatten(1, 2)).view(places[:, 1:].shape[:-1])
        below = dome(*points.unbind(-1)) + torch.cat([torch.zeros_like(points[:, :1, :, 0]), skin], 1)
        ahead = self.shell_width * light_stops_ahead(sheets.optical_depth.detach())
        return sheets.features[:, :, :3].transpose(2, 3).float(), below + sheets.relative_depth + ahead

    def _below(self, skin: Tensor, count: int) -> Tensor:
        """The skin's world z [B, 1, S, S] at the texels of the `count` sheets that are not its own [B, count, S, S]."""
        below = skin.expand(-1, count, -1, -1)
        if not len(self.elsewhere):
            return below
        low, high = self.windows.unflatten(1, (2, 2)).unbind(1)
        centre, reach, few = (low + high) / 2, (high - low) / 2, self.elsewhere + self.config.sheets
        world = centre[few, None] + reach[few, None] * texel_places(self.part_side, skin)
        x, y = ((world - centre[0]) / reach[0]).unbind(-1)
        places = torch.stack([x, -y], -1).expand(len(skin), -1, -1, -1)
        found = F.grid_sample(skin, places, padding_mode="border", align_corners=False)
        return below.index_copy(1, self.elsewhere, found.view(len(skin), -1, *skin.shape[2:]))

    def _in_view(self, depth: Tensor, labels: Tensor) -> Tensor:
        """Which texels of sheets at world z [B, L, S, S] cameras [B, 25] see, or see around: bool. Depth is smooth: of
        several texels in a row one is looked at."""
        size = depth.shape[-1]
        centres = [texel_centres(tuple(window), size) for window in self.windows.tolist()]
        looked_at = (..., slice(None, None, _TEXELS_A_LOOK), slice(None, None, _TEXELS_A_LOOK))
        depth = depth[looked_at]
        x, y = (torch.stack(numbers)[looked_at].to(depth) for numbers in zip(*centres, strict=True))
        points = torch.stack([x.expand_as(depth), y.expand_as(depth), depth], -1)
        place = project(points.flatten(1, -2), labels)
        beside = _AROUND_VIEW + _AROUND_RELIEF * (self.parts.to_relief is not None)
        margin = beside * labels[:, 16, None, None] / FOCAL
        inside = ((place > -margin) & (place < 1 + margin)).all(-1).view(points.shape[:-1])
        for dim in (2, 3):
            inside = inside.repeat_interleave(_TEXELS_A_LOOK, dim).narrow(dim, 0, size)
        return inside

    def render(
        self, maps: PartMaps, labels: Tensor, render_resolution: int | None = None, crop: Crop | None = None
    ) -> Output:
        """Look at the maps from cameras.

        Args:
            maps: B portraits.
            labels: [B, 25] cameras (see ssgan_core.cameras); without lifting they change nothing.
            render_resolution: side R of the rendered features, with a ray each; the configured one, rendered with
                `render_side` rays a side, if not given. The image is larger by the configured factor.
            crop: draw these squares of the pictures alone; it needs lifting.
        """
        size = render_resolution or self.config.render_resolution
        rays, whole = render_resolution or self.render_side, size
        behind = maps.background
        if crop is not None:
            size = rays = crop.side
            behind, labels = crop.cut(resize_bilinear(behind, crop.whole)), crop.labels(labels)
        scale = self.config.resolution // self.config.render_resolution
        # Geometry and sums along rays stay in fp32, whatever the networks compute in.
        with torch.autocast(labels.device.type, enabled=False):
            if self.has_depth:
                features, background, masks, depth = self._lifted(maps, labels, rays)
            else:
                features, masks, depth = compose(maps.features, maps.optical_depth, rays)
                background = masks[:, :1]
            features = features + background * resize_bilinear(behind.float(), rays)
            features, masks, depth = (resize_bilinear(picture, size) for picture in (features, masks, depth))
            seen_by, distance = labels, mean_distance(depth, 1 - masks[:, :1])
            if not self.has_depth:  # surfaces lie in the plane of the picture
                seen_by, distance = self.frontal.expand(len(depth), -1), torch.full_like(depth, RADIUS)
            enlarged, frayed = None, masks
            if self.fringes is not None:
                enlarged, frayed = self.fringes(seen_by, features, masks, distance, whole)
            mask = upsample_masks(frayed, size * scale)
            painted = [details for details in (self.details, self.grain) if details is not None]
            surface = seen_surface(seen_by, distance, mask[:, 1:], whole * scale) if painted else None
        image, last = self.upsampler(features, enlarged)
        for details in painted:
            assert surface is not None
            image = image + details(last, surface)
        return Output(
            image=image,
            mask=mask,
            depth=depth,
            low_image=features[:, :3],
            low_mask=masks,
        )

    def backdrop(self, codes: Codes, render_resolution: int) -> tuple[Tensor, Tensor]:
        """What lies behind heads, and no heads: image [B, 3, H, H] and the RGB [B, 3, R, R] before the upsampler."""
        features = self.background(codes.texture[:, 0], render_resolution)
        return self.upsampler(features)[0], features[:, :3]

    def _lifted(self, maps: PartMaps, labels: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Foreground features [B, C, size, size], how much of the background shows beside them [B, 1, size, size],
        masks [B, K + 1, size, size] and depth [B, 1, size, size]."""

        def look(sheets: PartMaps, optical_depth: Tensor, rays: Rays) -> Rendering:
            return render(
                sheets.features,
                sheets.depth,
                optical_depth,
                self.shell_width,
                self.windows,
                rays,
                depth_bounds=self.depth_bounds,
                uniform=self.config.uniform_boundaries,
                importance=self.config.importance_boundaries,
                backend=self.config.backend,
            )

        rays = camera_rays(labels, size)
        rendering = look(maps, maps.optical_depth, rays)
        features, background = rendering.features, rendering.transmittance
        if self.parts.to_clearness is not None:
            features, background = seen_through(
                rendering,
                rays,
                self.parts.clear,
                lambda some, along: look(maps[some], maps.veil[some], along),
            )
        square = (size, size)
        masks = rendering.masks
        if self.config.sheets > 1:
            masks = masks.unflatten(1, (-1, self.config.sheets)).sum(2)
        masks = torch.cat([rendering.transmittance[:, None], masks], dim=1)
        return (
            features.unflatten(-1, square),
            background.unflatten(-1, square)[:, None],
            masks.unflatten(-1, square),
            rendering.depth.unflatten(-1, square)[:, None],
        )

    def forward(self, codes: Codes, labels: Tensor) -> Output:
        """One view of each portrait."""
        return self.render(self.part_maps(codes), labels)

    def describe(self) -> dict[str, Any]:
        """What a checkpoint must say so that the same generator can be built again."""
        return {"config": {"model": config_to_json(self.config)}, "parts": self.schema.to_json()}
