"""The z-buffer of ssgan_core.heads.raster in torch operations, for devices.

Triangles are expanded into rows, rows into the samples between two edges, and every sample is offered to its place in
the picture: the largest of (nearness, triangle number) stays. So the result does not depend on the order.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ssgan_core.heads.raster import SLACK

_LAST = 2**31 - 1


def rasterise(
    screen: Tensor, triangles: Tensor, closed: int, size: int, budget: int = 1 << 22
) -> tuple[Tensor, Tensor]:
    """Which triangle every sample shows; what raster.rasterise draws, but for rounding.

    Args:
        screen: [V, 3] float32, from Projection.project of a pinhole; nearness must be positive.
        triangles: [T, 3] int.
        closed: so many triangles, the first ones, are seen from their front (counter-clockwise) only.
        size: samples along a side.
        budget: rows, or samples, that are worked on at once; an element takes about 100 bytes.

    Returns:
        nearness [size, size] float32, -inf where nothing is; triangle numbers [size, size] int32, -1 for none.
    """
    device = screen.device
    a, b, c = (screen[triangles[:, k]] for k in range(3))
    ux, uy = b[:, 0] - a[:, 0], b[:, 1] - a[:, 1]
    vx, vy = c[:, 0] - a[:, 0], c[:, 1] - a[:, 1]
    area = ux * vy - uy * vx
    low = torch.minimum(torch.minimum(a, b), c)[:, :2]
    high = torch.maximum(torch.maximum(a, b), c)[:, :2]
    first = torch.ceil(low - 0.5).clip(0, size).to(torch.int64)
    last = torch.floor(high - 0.5).clip(-1, size - 1).to(torch.int64)
    number = torch.arange(len(triangles), device=device)
    wanted = (area != 0) & ((number >= closed) | (area < 0)) & (first <= last).all(dim=1)
    (number,) = torch.where(wanted)

    # Weights of b, c and a (plus what shared edges need) and nearness as value + x * slope_x + y * slope_y, x and y
    # counted from corner a.
    inverse = 1 / area[number]
    ux, uy, vx, vy = ux[number], uy[number], vx[number], vy[number]
    a, b, c, first, last = a[number], b[number], c[number], first[number], last[number]
    slope_x = torch.stack([vy * inverse, -uy * inverse])
    slope_y = torch.stack([-vx * inverse, ux * inverse])
    slope_x = torch.cat([slope_x, -slope_x.sum(dim=0, keepdim=True)])
    slope_y = torch.cat([slope_y, -slope_y.sum(dim=0, keepdim=True)])
    value = torch.tensor([SLACK, SLACK, 1 + SLACK], device=device)[:, None]
    rises = torch.stack([b[:, 2] - a[:, 2], c[:, 2] - a[:, 2]])
    near_x, near_y = (slope_x[:2] * rises).sum(dim=0), (slope_y[:2] * rises).sum(dim=0)

    best = torch.zeros(size * size, dtype=torch.int64, device=device)
    heights = last[:, 1] - first[:, 1] + 1
    for some in _pieces(heights, budget):
        t = torch.repeat_interleave(some, heights[some])
        row = first[t, 1] + _places(heights[some])
        dy = row + 0.5 - a[t, 1]
        crossing = a[t, 0] - 0.5 - (value + dy * slope_y[:, t]) / slope_x[:, t]
        left = torch.where(slope_x[:, t] > 0, crossing, -1.0).amax(dim=0)
        right = torch.where(slope_x[:, t] < 0, crossing, float(size)).amin(dim=0)
        begin = torch.maximum(torch.ceil(left.clip(-1, size)).to(torch.int64), first[t, 0])
        end = torch.minimum(torch.floor(right.clip(-1, size)).to(torch.int64), last[t, 0])
        widths = (end - begin + 1).clip(0)
        start = a[t, 2] + dy * near_y[t]
        for span in _pieces(widths, budget):
            r = torch.repeat_interleave(span, widths[span])
            column = begin[r] + _places(widths[span])
            nearness = start[r] + (column - (a[t[r], 0] - 0.5)) * near_x[t[r]]
            # Positive floats are ordered as their bits are; of equals the lowest number wins.
            key = (nearness.view(torch.int32).to(torch.int64) << 32) | (_LAST - number[t[r]])
            best.scatter_reduce_(0, row[r] * size + column, key, "amax")
    seen = best > 0
    nearness = torch.where(seen, (best >> 32).to(torch.int32).view(torch.float32), -torch.inf)
    shown = torch.where(seen, _LAST - (best & _LAST), -1).to(torch.int32)
    return nearness.reshape(size, size), shown.reshape(size, size)


def _pieces(counts: Tensor, budget: int) -> Iterator[Tensor]:
    """Numbers of consecutive entries whose counts sum to at most `budget`, or of one larger entry."""
    ends = counts.cumsum(0)
    begin = 0
    while begin < len(counts):
        before = int(ends[begin - 1]) if begin else 0
        end = max(int(torch.searchsorted(ends, before + budget, right=True)), begin + 1)
        yield torch.arange(begin, end, device=counts.device)
        begin = end


def _places(counts: Tensor) -> Tensor:
    """0, 1, .. counts[0] - 1, 0, 1, .. counts[1] - 1, and so on."""
    starts = counts.cumsum(0) - counts
    total = int(counts.sum())
    return torch.arange(total, device=counts.device) - torch.repeat_interleave(starts, counts)
