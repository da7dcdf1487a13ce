"""Weighted sums of bilinear texels for scattered samples: fast on a CPU, and differentiable to any order.

Samples e = 0..E-1 each lie in a cell of a table of texels and belong to a ray. Everything here is a partial
derivative of one trilinear form

    L(table, rays, weights) = sum_e sum_c weights[e, c] <table[cell_e + step_c], rays[ray_e]>

with c over the cell's four corners. dL/d rays gathers (the picture), dL/d table scatters (the gradient of the
maps), dL/d weights are inner products. The derivatives of each of the three are the other two, so three small
autograd functions close under differentiation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn.functional import embedding_bag


@dataclass(frozen=True)
class Samples:
    """Where the samples are.

    Attributes:
        cells: [E] int64 index of each sample's upper left texel in the table.
        rays: [E] int64 ray of each sample, ascending.
        steps: from the upper left texel to the cell's four corners, in texels.
        texels: length of the table.
        ray_count: number of rays.
    """

    cells: Tensor
    rays: Tensor
    steps: tuple[int, int, int, int]
    texels: int
    ray_count: int

    def corners(self) -> Tensor:
        """[E, 4] index of each sample's texels."""
        return self.cells[:, None] + torch.tensor(self.steps, device=self.cells.device)


def gather_rays(table: Tensor, weights: Tensor, samples: Samples) -> Tensor:
    """Sum of each ray's weighted texels.

    Args:
        table: [texels, C].
        weights: [E, 4] of each sample's corners, of the table's dtype.
        samples: E samples.

    Returns:
        [ray_count, C]; rays without samples are zero.
    """
    return _GatherRays.apply(table, weights, samples)  # type: ignore[no-any-return]


class _GatherRays(Function):
    """(table, weights) -> dL/d rays [ray_count, C]."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, weights: Tensor, samples: Samples) -> Tensor:
        ctx.save_for_backward(table, weights)
        ctx.samples = samples
        return _corner_bags(table, weights, samples)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = grads
        table, weights = ctx.saved_tensors
        needs_table, needs_weights, _ = ctx.needs_input_grad
        return (
            _ScatterTexels.apply(grad, weights, ctx.samples) if needs_table else None,
            _InnerProducts.apply(table, grad, ctx.samples) if needs_weights else None,
            None,
        )


class _ScatterTexels(Function):
    """(rays, weights) -> dL/d table [texels, C]."""

    @staticmethod
    def forward(ctx: Any, rays: Tensor, weights: Tensor, samples: Samples) -> Tensor:
        ctx.save_for_backward(rays, weights)
        ctx.samples = samples
        cells, order = torch.sort(samples.cells)
        index, sorted_weights = samples.rays.index_select(0, order), weights.index_select(0, order)
        starts = _starts(cells, samples.texels)
        result = rays.new_zeros(samples.texels, rays.shape[1])
        for corner, step in enumerate(samples.steps):
            # No cell is among the last `step` texels: its corner would lie beyond the table.
            within = starts[: samples.texels - step]
            result[step:] += _bags(rays, index, sorted_weights[:, corner], within)
        return result

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = grads
        rays, weights = ctx.saved_tensors
        needs_rays, needs_weights, _ = ctx.needs_input_grad
        return (
            _GatherRays.apply(grad, weights, ctx.samples) if needs_rays else None,
            _InnerProducts.apply(grad, rays, ctx.samples) if needs_weights else None,
            None,
        )


class _InnerProducts(Function):
    """(table, rays) -> dL/d weights [E, 4]."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, rays: Tensor, samples: Samples) -> Tensor:
        ctx.save_for_backward(table, rays)
        ctx.samples = samples
        # The gradient of embedding_bag in its weights is this very product, without E x 4 x C temporaries.
        with torch.enable_grad():
            weights = table.new_zeros(len(samples.cells), 4, requires_grad=True)
            sums = _corner_bags(table.detach(), weights, samples)
            (products,) = torch.autograd.grad(sums, weights, rays)
        return products

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = grads
        table, rays = ctx.saved_tensors
        needs_table, needs_rays, _ = ctx.needs_input_grad
        return (
            _ScatterTexels.apply(rays, grad, ctx.samples) if needs_table else None,
            _GatherRays.apply(table, grad, ctx.samples) if needs_rays else None,
            None,
        )


def _corner_bags(table: Tensor, weights: Tensor, samples: Samples) -> Tensor:
    """[ray_count, C]: each ray's sum of weights [E, 4] times the texels of its samples' corners."""
    starts = 4 * _starts(samples.rays, samples.ray_count)
    return _bags(table, samples.corners().reshape(-1), weights.reshape(-1), starts)


def _starts(ascending: Tensor, count: int) -> Tensor:
    """Where the run of each value 0..count-1 starts [count] in ascending integers [E]."""
    lengths = torch.bincount(ascending, minlength=count)
    return lengths.cumsum(0) - lengths


def _bags(table: Tensor, index: Tensor, weights: Tensor, starts: Tensor) -> Tensor:
    """[bags, C]: the sum of weights[e] table[index[e]] over the e from a bag's start to the next one's."""
    return embedding_bag(index, table, starts, mode="sum", per_sample_weights=weights.contiguous())
