"""The analytic renderer as a compiled CPU kernel: the reference's values and gradients, several times faster.

The kernel (folder `cuda` of the sources) is two operators of PyTorch, `ssgan::lift` and `ssgan::lift_backward`.
Results are the same bit for bit from run to run and for any number of threads. docs/rendering.md says how it works.
"""

from __future__ import annotations

import threading
import warnings
from typing import Any

import torch
from torch import Tensor

from ssgan_core.errors import SsganError
from ssgan_core.rendering import kernels
from ssgan_core.rendering.kernels import build, is_built
from ssgan_core.rendering.rays import Rays
from ssgan_core.rendering.sampling import Maps

__all__ = ["NativeKernelWarning", "build", "is_available", "is_built", "render_native", "suits"]


class NativeKernelWarning(RuntimeWarning):
    """The compiled renderer cannot be used; the reference does the work, more slowly."""


_guard = threading.Lock()
_loaded = False
_failure: SsganError | None = None
_warned = False


def suits(maps: Maps) -> bool:
    """Whether the kernel computes these maps: float32 on a CPU."""
    return maps.depth.dtype == torch.float32 and maps.depth.device.type == "cpu"


def is_available() -> bool:
    """Whether the kernel is there, compiling it if need be; if not, warns why, once a process."""
    global _warned
    try:
        _load()
    except SsganError as error:
        if not _warned:
            _warned = True
            warnings.warn(
                f"rendering with the slower reference backend: {error}", NativeKernelWarning, stacklevel=3
            )
        return False
    return True


def render_native(
    maps: Maps, rays: Rays, depth_bounds: tuple[float, float], uniform: int, importance: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Features [B, C, P], masks [B, K, P], transmittance [B, P] and depth [B, P]; see `render`.

    Agrees with `reference.render_analytic` to about 1e-5, gradients to about 1e-4 of their norm. Gradients of gradients
    are refused.

    Raises:
        TypeError: the maps are not float32 on a CPU.
        SsganError: the kernel is neither in the cache nor can it be compiled.
    """
    if not suits(maps):
        raise TypeError(
            f"backend native takes float32 on the cpu, got {maps.depth.dtype} on {maps.depth.device}"
        )
    _load()
    features, masks, transmittance, distance, _ = torch.ops.ssgan.lift(
        channels_last(maps.features), maps.depth, maps.optical_depth, maps.width, maps.windows,
        rays.origins, rays.directions, *depth_bounds, uniform, importance,
    )  # fmt: skip
    cosine = torch.einsum("bpi,bi->bp", rays.directions, rays.forward)
    return features, masks, transmittance, distance * cosine


def channels_last(features: Tensor) -> Tensor:
    """Features [B, K, C, S, S] of any dtype as the kernel reads them: contiguous float32 [B, K, S, S, C]."""
    if features.dtype == torch.float32 and features.is_contiguous():
        return torch.ops.ssgan.channels_last(features)
    return features.permute(0, 1, 3, 4, 2).to(torch.float32).contiguous()


def _load() -> None:
    """Make the operators known to PyTorch; what failed once in a process is not tried again."""
    global _loaded, _failure
    with _guard:
        if _failure is not None:
            raise SsganError(_failure.message, _failure.hint)
        if _loaded:
            return
        try:
            _load_library()
        except SsganError as error:
            _failure = error
            raise
        _register()
        _loaded = True


def _load_library() -> None:
    library = kernels.build()
    try:
        torch.ops.load_library(str(library))
    except OSError as error:
        raise SsganError(
            f"loading {library} failed: {error}", "delete the file; it will be compiled again"
        ) from error


def _register() -> None:
    torch.library.register_fake("ssgan::channels_last", _fake_channels_last)
    torch.library.register_fake("ssgan::lift", _fake_lift)
    torch.library.register_fake("ssgan::lift_backward", _fake_backward)
    torch.library.register_autograd("ssgan::channels_last", _channels_first)
    torch.library.register_autograd("ssgan::lift", _backward, setup_context=_save)
    torch.library.register_autograd("ssgan::lift_backward", _refuse)


def _fake_channels_last(features: Tensor) -> Tensor:
    return torch.empty_like(features.permute(0, 1, 3, 4, 2), memory_format=torch.contiguous_format)


def _channels_first(ctx: Any, gradient: Tensor) -> Tensor:
    return gradient.permute(0, 1, 4, 2, 3)


def _fake_lift(
    features: Tensor, depth: Tensor, optical_depth: Tensor, width: Tensor, windows: Tensor, origins: Tensor,
    directions: Tensor, low: float, high: float, uniform: int, importance: int,
) -> tuple[Tensor, ...]:  # fmt: skip
    batch, parts, _, _, channels = features.shape
    pixels = origins.shape[1]
    shapes = ((channels, pixels), (parts, pixels), (pixels,), (pixels,), (pixels, uniform + importance))
    return tuple(depth.new_empty(batch, *shape) for shape in shapes)


def _fake_backward(*arguments: Any) -> tuple[Tensor, ...]:
    features, depth, optical_depth, width, _, origins, directions = arguments[4:11]
    features_needed, rays_needed = arguments[-2:]
    return (
        features.new_empty(len(features) if features_needed else 0, *features.shape[1:]),
        torch.empty_like(depth, memory_format=torch.contiguous_format),
        torch.empty_like(optical_depth, memory_format=torch.contiguous_format),
        torch.empty_like(width, memory_format=torch.contiguous_format),
        origins.new_empty(len(origins) if rays_needed else 0, *origins.shape[1:]),
        directions.new_empty(len(directions) if rays_needed else 0, *directions.shape[1:]),
    )


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    boundaries = output[4]
    ctx.mark_non_differentiable(boundaries)
    ctx.save_for_backward(*inputs[:7], boundaries)
    ctx.options = inputs[7:]


def _backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
    features_needed, depth_needed, kappa_needed, width_needed, _, origins_needed, directions_needed, *_ = (
        ctx.needs_input_grad
    )
    features, depth, kappa, width, origins, directions = torch.ops.ssgan.lift_backward(
        *gradients[:4], *ctx.saved_tensors, *ctx.options, features_needed, origins_needed or directions_needed
    )
    return (
        features if features_needed else None,
        depth if depth_needed else None,
        kappa if kappa_needed else None,
        width if width_needed else None,
        None,
        origins if origins_needed else None,
        directions if directions_needed else None,
        *[None] * len(ctx.options),
    )


def _refuse(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
    raise RuntimeError(
        "the native renderer has no second derivatives: render with backend='reference' for them"
    )
