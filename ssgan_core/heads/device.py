"""Portraits on a torch device: the scene is built elsewhere in NumPy; projecting, drawing and shading happen here.

What shades and resolves is the source that the CPU uses too (shading, render); only the rasteriser and the
interpolation are written anew. Worker processes must not import this module, since it imports torch.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import cache, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ssgan_core.errors import SsganError
from ssgan_core.heads import render, shading
from ssgan_core.heads.compose import Scene
from ssgan_core.heads.parcel import Parcel
from ssgan_core.heads.raster import Projection
from ssgan_core.heads.render import Drawn, SyntheticView
from ssgan_core.heads.scatter import rasterise
from ssgan_core.heads.shading import Palette, Samples


class DeviceRenderer:
    """Draws parcels (see ssgan_core.heads.parcel) on a device.

    Args:
        device: where.
        budget: samples that are drawn or shaded at once; bounds the memory, about 400 bytes each.

    Raises:
        SsganError: the device is a GPU that is not there.
    """

    def __init__(self, device: torch.device | str, budget: int = 1 << 22) -> None:
        self.device = torch.device(device)
        if self.device.type == "cuda" and not torch.cuda.is_available():
            raise SsganError(
                "there is no usable CUDA GPU", "the CPU draws with as many processes as it has cores"
            )
        self._budget = budget
        self._library = _Library(self.device)
        self._shared: dict[str, Tensor] = {}

    def render(self, parcel: Parcel, labels: Sequence[np.ndarray], size: int) -> list[SyntheticView]:
        """Views of one portrait, size x size pixels, from cameras [25] each."""
        with torch.inference_mode():
            scene = self._unpack(parcel)
            palette = self._palette(parcel)
            backdrop = self._tensor(parcel.backdrop)
            return [self._view(scene, palette, backdrop, label, size) for label in labels]

    def _view(
        self, scene: Scene, palette: Palette, backdrop: Tensor, label: np.ndarray, size: int
    ) -> SyntheticView:
        projection = render.camera_samples(label, size)
        drawn = draw(scene, projection, self._budget)
        look_up = partial(gather, scene, projection)
        if projection.size**2 <= self._budget:
            # Launching kernels is what takes time: interpolate everything at once, whatever its material.
            everywhere = gather(
                scene, projection, drawn, torch.arange(projection.size**2, device=self.device)
            )
            look_up = partial(_select, everywhere)
        colours, parts = render.paint(self._library, scene, palette, drawn, backdrop, look_up, self._budget)
        pictures = render.resolve(self._library, colours, parts, drawn.depth(torch))
        return SyntheticView(*(picture.contiguous().cpu().numpy() for picture in pictures))

    def _tensor(self, values: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(self.device)

    def _unpack(self, parcel: Parcel) -> Scene:
        packed = parcel.scene
        names = (
            "points", "culled", "open", "clear", "strand_points", "strand_tangents", "strand_widths", "strand_rarity",
            "segments", "materials",
        )  # fmt: skip
        arrays: dict[str, Any] = {name: self._tensor(getattr(packed, name)) for name in names}
        light, surface = self._tensor(parcel.light).float(), self._tensor(parcel.surface)
        strands = torch.cat([arrays["strand_tangents"], self._tensor(parcel.strands).float()], dim=1)
        place = torch.cat([surface, strands])
        arrays["attributes"] = torch.cat([light[:, :3], place[:, :3], light[:, 3:], place[:, 3:]], dim=1)
        shadow: Any = dataclasses.replace(
            packed.shadow,
            nearness=self._tensor(parcel.shadow).float(),  # pyright: ignore[reportArgumentType]
        )
        return dataclasses.replace(
            packed,
            **arrays,
            shadow=shadow,
        )

    def _palette(self, parcel: Parcel) -> Palette:
        plain = render.palette(parcel.identity, parcel.scene)
        if not self._shared:
            self._shared = {"noise": self._tensor(plain.noise), "curve": self._tensor(plain.curve)}
        moved: dict[str, Any] = {
            spec.name: self._tensor(getattr(plain, spec.name))
            for spec in dataclasses.fields(plain)
            if spec.name not in ("numbers", "constant", *self._shared)
        }
        return dataclasses.replace(plain, **moved, **self._shared, constant=self._constant)

    def _constant(self, values: Sequence[float]) -> Tensor:
        return _column(tuple(values), self.device)


class _Library:
    """torch as an array library whose new arrays lie on one device."""

    def __init__(self, device: torch.device) -> None:
        self.zeros = partial(torch.zeros, device=device)
        self.arange = partial(torch.arange, device=device)
        self.asarray = partial(torch.asarray, device=device)

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)


@cache
def _column(values: tuple[float, ...], device: torch.device) -> Tensor:
    """Constants of the shaders are few: none is copied to the device twice."""
    return torch.tensor(values, dtype=torch.float32, device=device)[:, None]


def draw(scene: Any, projection: Projection, budget: int) -> Drawn:
    """Project and rasterise a scene of tensors; `budget`: see scatter.rasterise."""
    geometry = render.view_geometry(torch, scene, projection)
    screen = projection.project(torch, geometry.points)
    nearness, shown = rasterise(screen, geometry.triangles, len(scene.culled), projection.size, budget)
    veil = None
    if len(scene.clear):
        before, clear = rasterise(screen, scene.clear, 0, projection.size, budget)
        veil = torch.where((clear >= 0) & (before > nearness), before, 0.0)
    return Drawn(shown, nearness, screen, geometry, veil)


def gather(scene: Any, projection: Projection, drawn: Drawn, chosen: Tensor) -> Samples:
    """What render.gather does, of tensors: at samples with flat numbers [n]; nonsense where nothing is shown."""
    size = projection.size
    triangle = drawn.shown.reshape(-1)[chosen].clip(0)
    corners = drawn.geometry.triangles[triangle]
    x, y = (chosen % size).float() + 0.5, (chosen // size).float() + 0.5
    a, b, c = (drawn.screen[corners[:, k]] for k in range(3))
    ux, uy = b[:, 0] - a[:, 0], b[:, 1] - a[:, 1]
    vx, vy = c[:, 0] - a[:, 0], c[:, 1] - a[:, 1]
    dx, dy = x - a[:, 0], y - a[:, 1]
    area = ux * vy - uy * vx
    v, w = (dx * vy - dy * vx) / area, (dy * ux - dx * uy) / area
    weights = torch.stack([(1 - v - w) * a[:, 2], v * b[:, 2], w * c[:, 2]])
    weights = weights / weights.sum(dim=0)
    # Both sides of a strand's point share its attributes.
    surface = len(scene.points)
    rows = torch.where(corners < surface, corners, surface + (corners - surface) // 2)
    terms = [weights[k, :, None] * scene.attributes[rows[:, k]] for k in range(3)]
    values = (terms[0] + terms[1] + terms[2]).T.contiguous()

    depth = 1.0 / drawn.nearness.reshape(-1)[chosen]
    (scale_x, scale_y), (centre_x, centre_y) = projection.scale.tolist(), projection.centre.tolist()
    local = ((x - centre_x) / scale_x * depth, (y - centre_y) / scale_y * depth, depth)
    axes = projection.rotation.T.tolist()
    away = [r[0] * local[0] + r[1] * local[1] + r[2] * local[2] for r in axes]
    view = -shading.unit(torch, torch.stack(away))
    position = torch.stack([away[k] + float(projection.origin[k]) for k in range(3)])
    normal = shading.unit(torch, values[0:3])
    # Open surfaces are seen from behind too.
    closed, strands = len(scene.culled), len(scene.culled) + len(scene.open)
    behind = (triangle >= closed) & (triangle < strands) & (shading.dot(normal, view) < 0)
    normal = torch.where(behind, -normal, normal)
    return Samples(
        position=position,
        view=view,
        normal=normal,
        chart=values[3:6],
        ambient=values[6:9],
        extra=values[9:],
        lamp=_lamp_share(scene, position + render.SHADOW_START * normal),
    )


def _select(everywhere: Samples, drawn: Drawn, chosen: Tensor) -> Samples:
    """Some of the samples of a picture, by their flat numbers [n]."""
    return Samples(
        **{spec.name: getattr(everywhere, spec.name)[..., chosen] for spec in dataclasses.fields(Samples)}
    )


def _lamp_share(scene: Any, position: Tensor) -> Tensor:
    """Share [n] of the lamp's light that reaches points [3, n]."""
    flat = scene.shadow.nearness.reshape(-1)
    size = len(scene.shadow.nearness)
    x, y, z = position
    column, row, near = (r[0] * x + r[1] * y + r[2] * z + r[3] for r in scene.shadow.rows.tolist())
    share = torch.zeros_like(x)
    for dx, dy in render.TAPS:
        i = (row + dy).to(torch.int64).clip(0, size - 1)
        j = (column + dx).to(torch.int64).clip(0, size - 1)
        behind = (flat[i * size + j] - near - render.SHADOW_BIAS).clip(0, 1)
        share += torch.exp(behind * (-1 / render.SHADOW_SOFTNESS))
    return share / len(render.TAPS)
