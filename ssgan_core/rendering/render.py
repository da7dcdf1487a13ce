"""The public op: sheets of parts in, pictures of rays out, whatever computes them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ssgan_core.rendering import native
from ssgan_core.rendering.grid import render_grid
from ssgan_core.rendering.rays import Rays
from ssgan_core.rendering.reference import render_analytic
from ssgan_core.rendering.sampling import Maps

BACKENDS = ("auto", "native", "reference", "grid")

_FLOATS = (torch.float32, torch.float64)
_FEATURE_FLOATS = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


class NotFiniteError(ValueError):
    """Maps hold infinities or no numbers: the network that made them has diverged."""


@dataclass(frozen=True)
class Rendering:
    """What the rays see.

    Attributes:
        features: [B, C, P] weighted sum of the parts' features.
        masks: [B, K, P] share of each part; with the transmittance they sum to one.
        transmittance: [B, P] share of the background, exp(-sum tau).
        depth: [B, P] sum of weight times z_cam (OpenCV z, world units), not divided by anything.
    """

    features: Tensor
    masks: Tensor
    transmittance: Tensor
    depth: Tensor


def render(
    features: Tensor,
    depth: Tensor,
    optical_depth: Tensor,
    width: float | Tensor,
    windows: Tensor,
    rays: Rays,
    *,
    depth_bounds: tuple[float, float],
    uniform: int = 16,
    importance: int = 16,
    backend: str = "auto",
) -> Rendering:
    """Render the Gaussian sheets of K parts along rays (3D-SSGAN's volume and semantic mask renderer).

    Part k has the density kappa / (w sqrt(2 pi)) exp(-(z - d)^2 / (2 w^2)), with kappa, d and w read from
    its maps at (x, y); its features are constant across the sheet. Row 0 of a map is the window's +y edge,
    column 0 its x0 edge, texel centres lie at (i + 0.5) / S. Kappa fades to zero over half a texel beyond
    the window, where the part ends. Masks, transmittance and depth hold every contribution; feature terms
    of weight under `reference.FEATURE_EPSILON` are left out.

    Everything is computed in the dtype of `depth`, float32 or float64; features may also be half precision.
    Gradients reach features, depth, optical depth, width and the rays; the boundaries are constants to them. While a
    CUDA graph is recorded, shapes, dtypes and devices are checked, values are not.

    Args:
        features: [B, K, C, S, S], S >= 2.
        depth: [B, K, S, S] world z of the sheets.
        optical_depth: [B, K, S, S] kappa >= 0, optical depth along z through the whole sheet.
        width: w > 0, world units; a number, or a tensor that broadcasts to [B, K, S, S].
        windows: [K, 4] rectangles (x0, y0, x1, y1) of the world's x, y plane that the maps cover.
        rays: P rays for each of the B entries.
        depth_bounds: least and largest z of the sheets; what is integrated reaches 3 largest widths further.
        uniform: uniform segment boundaries, at least 2.
        importance: boundaries placed where a first pass over the uniform ones found weight.
        backend: `reference` (the analytic form), `native` (the same, compiled: see native.py), `grid` (the paper's:
            see grid.py), or `auto`: native if it can compute these maps, with a warning if it should but cannot.

    Returns:
        Rendering, in the dtype of `depth`.

    Raises:
        TypeError: an argument is no tensor or of a wrong dtype.
        ValueError: an argument's shape, device or values are impossible, or `native` on a GPU is given more than 32
            parts or 128 boundaries; the message names it.
        NotFiniteError: the same, for maps with numbers that are not finite.
        SsganError: `native` was asked for and can neither be found nor compiled.
    """
    if backend not in BACKENDS:
        raise ValueError(f"backend must be one of {', '.join(BACKENDS)}, got {backend!r}")
    _check_boundaries(uniform, importance, depth_bounds)
    _check_tensors(features, depth, optical_depth, windows, rays)
    width = _width_tensor(width, depth)
    # Looking at values waits for the device, which a CUDA graph cannot record.
    recorded = depth.is_cuda and torch.cuda.is_current_stream_capturing()
    common_window = not recorded and _check_values(depth, optical_depth, width, windows, rays)
    maps = Maps(features, depth, optical_depth, width, windows, common_window)
    if backend == "auto":
        suited = native.suits(maps, uniform + importance) and native.is_available(depth.device)
        backend = "native" if suited else "reference"
    run = {"native": native.render_native, "reference": render_analytic, "grid": render_grid}[backend]
    return Rendering(*run(maps, rays, depth_bounds, uniform, importance))


def _check_boundaries(uniform: int, importance: int, depth_bounds: tuple[float, float]) -> None:
    if uniform < 2:
        raise ValueError(f"uniform must be at least 2 boundaries, got {uniform}")
    if importance < 0:
        raise ValueError(f"importance must not be negative, got {importance}")
    low, high = depth_bounds
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"depth_bounds must be finite and ascending, got {depth_bounds}")


def _check_tensors(
    features: Tensor, depth: Tensor, optical_depth: Tensor, windows: Tensor, rays: Rays
) -> None:
    named = {
        "depth": depth, "features": features, "optical_depth": optical_depth, "windows": windows,
        "rays.origins": rays.origins, "rays.directions": rays.directions, "rays.forward": rays.forward,
    }  # fmt: skip
    for name, value in named.items():
        if not isinstance(value, Tensor):
            raise TypeError(f"{name} must be a tensor, got {type(value).__name__}")
        allowed = _FEATURE_FLOATS if name == "features" else _FLOATS if name == "depth" else (depth.dtype,)
        if value.dtype not in allowed:
            raise TypeError(f"{name} must be {' or '.join(map(str, allowed))}, got {value.dtype}")
        if value.device != depth.device:
            raise ValueError(f"{name} is on {value.device}, depth on {depth.device}")
        if value.numel() == 0:
            raise ValueError(f"{name} is empty: shape {list(value.shape)}")

    if features.ndim != 5 or features.shape[3] != features.shape[4] or features.shape[4] < 2:
        raise ValueError(f"features must have shape [B, K, C, S, S] with S >= 2, got {list(features.shape)}")
    batch, parts, _, size, _ = features.shape
    pixels = rays.origins.shape[1] if rays.origins.ndim == 3 else 0
    shapes = {
        "depth": (batch, parts, size, size), "optical_depth": (batch, parts, size, size),
        "windows": (parts, 4), "rays.origins": (batch, pixels, 3), "rays.directions": (batch, pixels, 3),
        "rays.forward": (batch, 3),
    }  # fmt: skip
    for name, shape in shapes.items():
        if named[name].shape != shape:
            raise ValueError(f"{name} must have shape {list(shape)}, got {list(named[name].shape)}")


def _width_tensor(width: float | Tensor, depth: Tensor) -> Tensor:
    """Width as a tensor of the depth's dtype: [] if it is one number, else [B, K, S, S]."""
    if not isinstance(width, Tensor):
        return torch.full((), width, dtype=depth.dtype, device=depth.device)
    if width.dtype != depth.dtype:
        raise TypeError(f"width must be {depth.dtype} as depth is, got {width.dtype}")
    if width.device != depth.device:
        raise ValueError(f"width is on {width.device}, depth on {depth.device}")
    if width.ndim == 0:
        return width
    try:
        return width.expand(depth.shape)
    except RuntimeError as error:
        raise ValueError(f"width must broadcast to {list(depth.shape)}, got {list(width.shape)}") from error


def _check_values(depth: Tensor, optical_depth: Tensor, width: Tensor, windows: Tensor, rays: Rays) -> bool:
    """Check the numbers, in one transfer from the device; returns whether all windows are equal."""
    with torch.no_grad():
        lengths = torch.linalg.vector_norm(rays.directions, dim=-1)
        facts = {
            "depth must be finite": depth.isfinite(),
            "optical_depth must be finite and not negative": (optical_depth >= 0) & optical_depth.isfinite(),
            "width must be finite and positive": (width > 0) & width.isfinite(),
            "windows must be finite": windows.isfinite(),
            "windows must have x0 < x1 and y0 < y1": windows[:, :2] < windows[:, 2:],
            "rays.origins must be finite": rays.origins.isfinite(),
            "rays.directions must be unit vectors": (lengths - 1).abs() < 1e-3,
            "rays.forward must be finite": rays.forward.isfinite(),
        }
        facts_hold = [fact.all() for fact in facts.values()]
        *verdicts, common_window = torch.stack([*facts_hold, (windows == windows[:1]).all()]).tolist()
    for demand, met in zip(facts, verdicts, strict=True):
        if not met:
            raise NotFiniteError(demand) if "finite" in demand else ValueError(demand)
    return common_window
