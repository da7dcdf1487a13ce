"""The mean of a Gaussian over segments, with a gradient that neither cancels nor keeps intermediates."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

# Under this |q1 - q0| the error functions' difference cancels, and the series about the midpoint is exact.
_SMALL_STEP = 0.05


def mean_gaussian(q: Tensor) -> Tensor:
    """Mean of exp(-q^2 / 2) over segments between boundaries where q is known, q being linear in between.

    sqrt(pi / 2) (erf(q1 / sqrt 2) - erf(q0 / sqrt 2)) / h with h = q1 - q0, and for small h, about the
    midpoint m, exp(-m^2 / 2) (1 + h^2 (m^2 - 1) / 24), whose next term is under 1e-8 there. Differentiable to
    any order.

    Args:
        q: [B, K, N, P] at the boundaries.

    Returns:
        [B, K, N - 1, P].
    """
    return _MeanGaussian.apply(q)  # type: ignore[no-any-return]


class _MeanGaussian(Function):
    """The formula with its first derivative written out; higher orders go through plain operations."""

    @staticmethod
    def forward(ctx: Any, q: Tensor) -> Tensor:
        mean = _by_plain_operations(q)
        ctx.save_for_backward(q, mean)
        return mean

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (grad,) = grads
        q, mean = ctx.saved_tensors
        if torch.is_grad_enabled():  # a derivative of this derivative is wanted
            return torch.autograd.grad(_by_plain_operations(q), q, grad, create_graph=True)[0]

        density = torch.exp(q.square().mul_(-0.5))
        q0, q1 = q[:, :, :-1], q[:, :, 1:]
        step, middle = q1 - q0, (q0 + q1).mul_(0.5)
        small = step.abs() < _SMALL_STEP
        # The series' derivatives: d/dm = mean (-m + h^2 m / 12) and d/dh = mean h (m^2 - 1) / 12.
        shift = mean * middle * (step.square() / 24 - 0.5)
        stretch = mean * step * (middle.square() - 1) / 12
        result = torch.zeros_like(q)
        result[:, :, :-1] = grad * torch.where(small, shift - stretch, (mean - density[:, :, :-1]) / step)
        result[:, :, 1:] += grad * torch.where(small, shift + stretch, (density[:, :, 1:] - mean) / step)
        return result


def _by_plain_operations(q: Tensor) -> Tensor:
    error_function = torch.erf(q * math.sqrt(0.5))
    q0, q1 = q[:, :, :-1], q[:, :, 1:]
    step = q1 - q0
    small = step.abs() < _SMALL_STEP
    safe = torch.where(small, torch.ones_like(step), step)
    exact = math.sqrt(math.pi / 2) * (error_function[:, :, 1:] - error_function[:, :, :-1]) / safe
    square = ((q0 + q1) / 2).square()
    series = torch.exp(-square / 2) * (1 + step.square() * (square - 1) / 24)
    return torch.where(small, series, exact)
