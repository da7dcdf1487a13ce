"""Scenes for the compiled renderers, and their comparison with the reference."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.smooth_head import DEPTH_BOUNDS, labels, smooth_head
from ssgan_core.rendering import Rays, camera_rays, native, reference
from ssgan_core.rendering.sampling import Maps

WINDOWS = torch.tensor(
    [[-0.4, -0.4, 0.4, 0.4], [-0.3, -0.35, 0.3, 0.2], [-0.25, -0.4, 0.4, 0.4], [-0.2, -0.2, 0.3, 0.35]]
)

# Size, channels, parts, pixels along a side, width (none: a map), whether windows are equal; boundaries.
SCENES = {
    "usual": (32, 16, 12, 16, 0.02, True, 16, 16),
    "windows": (32, 16, 12, 16, 0.02, False, 16, 16),
    "width map": (24, 12, 9, 11, None, True, 8, 24),
    "windows and width map": (17, 9, 5, 11, None, False, 4, 5),
    "one part, no importance": (5, 3, 1, 7, 0.03, True, 2, 0),
    "smallest": (2, 1, 1, 1, 0.02, True, 3, 1),
    "many parts and channels": (9, 70, 33, 5, 0.03, True, 24, 0),
    "thin": (16, 8, 3, 9, 0.003, True, 16, 16),
    "wide": (16, 8, 3, 9, 0.5, True, 16, 16),
}

# Those that the CUDA kernels take, and more at their limits.
WARP_SCENES = {name: row for name, row in SCENES.items() if row[2] <= 32} | {
    "most parts, three reads of channels": (9, 132, 32, 4, 0.03, True, 24, 0),
    "most boundaries": (12, 8, 3, 5, 0.02, True, 70, 58),
    "most boundaries, width map and windows": (12, 8, 5, 4, None, False, 33, 95),
    "a warp of segments": (12, 36, 3, 4, None, True, 20, 13),
    "two segments more": (12, 64, 2, 4, 0.02, True, 34, 0),
}

# A renderer of (maps, rays, uniform, importance): features, masks, transmittance, depth and the boundaries [B, P, N].
Renderer = Callable[[Maps, Rays, int, int], tuple[Tensor, ...]]


def scene(
    size: int,
    channels: int,
    parts: int,
    pixels: int,
    width: float | None,
    common_window: bool,
    batch: int = 2,
) -> tuple[Maps, Rays]:
    """A smooth head that is nowhere quite empty; without a width, a map of widths."""
    head = smooth_head(size, channels, parts, batch)
    generator = torch.Generator().manual_seed(3)
    widths = 0.012 + 0.02 * torch.rand(batch, parts, size, size, generator=generator)
    windows = head.windows if common_window else WINDOWS[torch.arange(parts) % 4]
    width_tensor = widths if width is None else torch.tensor(width)
    maps = Maps(head.features, head.depth, head.optical_depth + 0.02, width_tensor, windows, common_window)
    return maps, camera_rays(labels(batch), pixels)


def leaves(maps: Maps, rays: Rays, dtype: torch.dtype, device: str = "cpu") -> list[Tensor]:
    """What has gradients, in a dtype: features, depth, optical depth, width, origins, directions, forward."""
    values = (maps.features, maps.depth, maps.optical_depth, maps.width, *vars(rays).values())
    return [value.detach().to(device, dtype).requires_grad_() for value in values]


def of_leaves(values: list[Tensor], maps: Maps) -> tuple[Maps, Rays]:
    """Maps and rays of such a list, with the windows of `maps`."""
    windows = maps.windows.to(values[1])
    return Maps(*values[:4], windows, maps.common_window), Rays(*values[4:])


def assert_agrees(
    render: Renderer, maps: Maps, rays: Rays, uniform: int, importance: int, device: str
) -> None:
    """Values to 1e-5 and gradients to 1e-4 of their norm, against double precision between the same boundaries.

    The caller must make the reference leave out the same small weights in double precision.
    """
    single = leaves(maps, rays, torch.float32, device)
    *values, boundaries = render(*of_leaves(single, maps), uniform, importance)
    double = leaves(maps, rays, torch.float64)
    if maps.width.ndim == 0:  # as a map, whose gradient also tells how much cancels in the sum
        double[3] = double[3].detach().expand(double[1].shape).clone().requires_grad_()
    placed = boundaries.cpu().transpose(1, 2).double()
    expected = reference.render_segments(*of_leaves(double, maps), placed)
    for value, true in zip(values, expected, strict=True):
        torch.testing.assert_close(value.cpu().double(), true, atol=1e-5, rtol=1e-5)

    generator = torch.Generator().manual_seed(0)
    upstream = [torch.randn(value.shape, generator=generator) for value in values]
    got = torch.autograd.grad(values, single, [value.to(device) for value in upstream])
    true = torch.autograd.grad(expected, double, [value.double() for value in upstream])
    for i, (a, b) in enumerate(zip(got, true, strict=True)):
        if i == 3 and maps.width.ndim == 0:
            assert abs(a.item() - b.sum().item()) <= 1e-4 * b.abs().sum().item()
        else:
            assert (a.cpu().double() - b).norm() <= 1e-4 * b.norm(), f"gradient {i}"


def assert_places_boundaries(
    boundaries: Tensor, maps: Maps, rays: Rays, uniform: int, importance: int
) -> None:
    """Boundaries [B, P, N] are where the reference has them."""
    expected = reference.place_boundaries(maps, rays, DEPTH_BOUNDS, uniform, importance)
    torch.testing.assert_close(boundaries.cpu(), expected.transpose(1, 2), atol=1e-4, rtol=0)
    assert (boundaries.diff(dim=-1) >= 0).all()


def lift(maps: Maps, rays: Rays, uniform: int, importance: int) -> tuple[Tensor, ...]:
    """The bare operator, whose last result are the boundaries [B, P, N]."""
    assert native.is_available(maps.depth.device)
    return torch.ops.ssgan.lift(
        native.channels_last(maps.features), maps.depth, maps.optical_depth, maps.width, maps.windows,
        rays.origins, rays.directions, *DEPTH_BOUNDS, uniform, importance,
    )  # fmt: skip


def render_natively(maps: Maps, rays: Rays, uniform: int, importance: int) -> tuple[Tensor, ...]:
    boundaries = lift(maps, rays, uniform, importance)[4]
    return *native.render_native(maps, rays, DEPTH_BOUNDS, uniform, importance), boundaries
