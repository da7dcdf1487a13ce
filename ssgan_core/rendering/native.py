"""The analytic renderer, compiled: the reference's values and gradients, several times faster, on a CPU or a GPU.

The kernels (folder `cuda` of the sources) are two operators of PyTorch, `ssgan::lift` and `ssgan::lift_backward`. On a
CPU results are the same bit for bit from run to run and for any number of threads; on a GPU this holds for the forward
pass only. docs/rendering.md says how they work.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ssgan_core.errors import SsganError
from ssgan_core.rendering import kernels
from ssgan_core.rendering.kernels import build, is_built
from ssgan_core.rendering.rays import Rays
from ssgan_core.rendering.sampling import Maps

__all__ = ["NativeKernelWarning", "build", "is_available", "is_built", "render_native", "suits"]

# The limits of the CUDA kernels: a lane a part, and a ray's boundaries in shared memory (lifting_job.h).
_GPU_PARTS = 32
_GPU_BOUNDARIES = 128
_GPU_CHANNELS = 4  # channels come in multiples of it
_GPU_FEATURES = (torch.float32, torch.bfloat16, torch.float16)


class NativeKernelWarning(RuntimeWarning):
    """The compiled renderer cannot be used; the reference does the work, more slowly."""


_guard = threading.Lock()
_loaded: set[str] = set()  # kinds of device
_failures: dict[str, SsganError] = {}
_warned: set[str] = set()


def suits(maps: Maps, boundaries: int) -> bool:
    """Whether a kernel computes these maps with so many boundaries a ray: see `render_native`."""
    return _objection(maps, boundaries) is None


def is_available(device: torch.device | str = "cpu") -> bool:
    """Whether the kernel for a device is there, compiling it if need be; if not, warns why, once a process."""
    kind = torch.device(device).type
    try:
        _load(kind)
    except SsganError as error:
        if kind not in _warned:
            _warned.add(kind)
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
    are refused. On a GPU at most 32 parts and 128 boundaries, and features and masks lie in memory as [B, P, C] and
    [B, P, K].

    Raises:
        TypeError: the maps are not float32, or neither on a CPU nor on a GPU of NVIDIA.
        ValueError: a GPU is given more parts or boundaries than its kernel takes.
        SsganError: the kernel is neither in the cache nor can it be compiled.
    """
    objection = _objection(maps, uniform + importance)
    if objection is not None:
        raise objection
    _load(maps.depth.device.type)
    return _render(
        torch.ops.ssgan.lift, channels_last(maps.features), maps, rays, depth_bounds, uniform, importance
    )


def channels_last(features: Tensor) -> Tensor:
    """Features [B, K, C, S, S] of any dtype as the kernels read them: contiguous [B, K, S, S, C].

    On a CPU in float32; on a GPU half precision stays, and channels of zeros make their number a multiple of 4.
    """
    if features.device.type != "cpu":
        return _channels_last_in_fours(features)
    if features.dtype == torch.float32 and features.is_contiguous():
        return torch.ops.ssgan.channels_last(features)
    return features.permute(0, 1, 3, 4, 2).to(torch.float32).contiguous()


def _channels_last_in_fours(features: Tensor) -> Tensor:
    if features.dtype not in _GPU_FEATURES:
        features = features.to(torch.float32)
    texels = features.permute(0, 1, 3, 4, 2)
    missing = -texels.shape[-1] % _GPU_CHANNELS
    return F.pad(texels, (0, missing)).contiguous() if missing else texels.contiguous()


def _render(
    lift: Callable[..., tuple[Tensor, ...]], texels: Tensor, maps: Maps, rays: Rays, depth_bounds: tuple[float, float],
    uniform: int, importance: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """The rendering by an operator; `texels` are the features as it reads them."""
    features, masks, transmittance, distance, _ = lift(
        texels, maps.depth, maps.optical_depth, maps.width, maps.windows,
        rays.origins, rays.directions, *depth_bounds, uniform, importance,
    )  # fmt: skip
    # Not einsum: the order of its gradient's sums depends on the number of threads where MKL uses AVX-512.
    cosine = (rays.directions * rays.forward[:, None]).sum(-1)
    return features[:, : maps.features.shape[2]], masks, transmittance, distance * cosine


def _objection(maps: Maps, boundaries: int) -> TypeError | ValueError | None:
    """Why no kernel computes these maps."""
    kind, parts = maps.depth.device.type, maps.depth.shape[1]
    if maps.depth.dtype != torch.float32 or kind not in kernels.TARGETS:
        return TypeError(
            f"backend native takes float32 on the cpu or a cuda device, got {maps.depth.dtype} on {maps.depth.device}"
        )
    if kind == "cpu":
        return None
    if parts > _GPU_PARTS:
        return ValueError(
            f"features must have at most {_GPU_PARTS} parts for backend native on a GPU, got {parts}"
        )
    if boundaries > _GPU_BOUNDARIES:
        return ValueError(
            f"uniform + importance must be at most {_GPU_BOUNDARIES} for backend native on a GPU, got {boundaries}"
        )
    return None


def _load(kind: str) -> None:
    """Make the operators known to PyTorch for a kind of device; what failed once in a process is not tried again."""
    with _guard:
        if kind in _failures:
            raise SsganError(_failures[kind].message, _failures[kind].hint)
        if kind in _loaded:
            return
        try:
            # The CPU's library also defines the operators.
            for needed in dict.fromkeys(("cpu", kind)):
                if needed not in _loaded:
                    _load_library(needed)
                    if needed == "cpu":
                        _register()
                    _loaded.add(needed)
        except SsganError as error:
            _failures[kind] = error
            raise


def _load_library(kind: str) -> None:
    library = kernels.build(kind=kind)
    try:
        torch.ops.load_library(str(library))
    except OSError as error:
        raise SsganError(
            f"loading {library} failed: {error}", "delete the file; it will be compiled again"
        ) from error


def _register() -> None:
    torch.library.register_fake("ssgan::channels_last", _fake_channels_last)
    torch.library.register_autograd("ssgan::channels_last", _channels_first)
    _register_lift("ssgan")


def _register_lift(namespace: str) -> None:
    """What PyTorch must know of `lift` and `lift_backward` beside their code: shapes and derivatives."""
    operators = getattr(torch.ops, namespace)

    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        return _backward(operators.lift_backward, ctx, *gradients)

    torch.library.register_fake(f"{namespace}::lift", _fake_lift)
    torch.library.register_fake(f"{namespace}::lift_backward", _fake_backward)
    torch.library.register_autograd(f"{namespace}::lift", backward, setup_context=_save)
    torch.library.register_autograd(f"{namespace}::lift_backward", _refuse)


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
    if depth.device.type == "cpu":
        pictures = [depth.new_empty(batch, planes, pixels) for planes in (channels, parts)]
    else:  # a ray's values lie side by side
        pictures = [depth.new_empty(batch, pixels, planes).transpose(1, 2) for planes in (channels, parts)]
    shapes = ((pixels,), (pixels,), (pixels, uniform + importance))
    return *pictures, *(depth.new_empty(batch, *shape) for shape in shapes)


def _fake_backward(*arguments: Any) -> tuple[Tensor, ...]:
    features, depth, optical_depth, width, _, origins, directions = arguments[4:11]
    features_needed, sheets_needed, rays_needed = arguments[-3:]
    of_sheets = (
        torch.empty_like(maps, memory_format=torch.contiguous_format)
        if sheets_needed or rays_needed
        else maps.new_empty(0)
        for maps in (depth, optical_depth, width)
    )
    return (
        features.new_empty(len(features) if features_needed else 0, *features.shape[1:]),
        *of_sheets,
        origins.new_empty(len(origins) if rays_needed else 0, *origins.shape[1:]),
        directions.new_empty(len(directions) if rays_needed else 0, *directions.shape[1:]),
    )


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    boundaries = output[4]
    ctx.mark_non_differentiable(boundaries)
    ctx.save_for_backward(*inputs[:7], boundaries)
    ctx.options = inputs[7:]


def _backward(
    lift_backward: Callable[..., tuple[Tensor, ...]], ctx: Any, *gradients: Tensor
) -> tuple[Tensor | None, ...]:
    features_needed, depth_needed, kappa_needed, width_needed, _, origins_needed, directions_needed, *_ = (
        ctx.needs_input_grad
    )
    features, depth, kappa, width, origins, directions = lift_backward(
        *gradients[:4], *ctx.saved_tensors, *ctx.options, features_needed,
        depth_needed or kappa_needed or width_needed, origins_needed or directions_needed,
    )  # fmt: skip
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
