"""Exponential moving average of a network's weights."""

from __future__ import annotations

import torch
from torch import nn


@torch.no_grad()
def update_average(average: nn.Module, source: nn.Module, decay: float) -> None:
    """average <- decay average + (1 - decay) source for parameters; buffers are copied."""
    parameters = list(average.parameters())
    torch._foreach_lerp_(parameters, list(source.parameters()), 1 - decay)
    for mine, theirs in zip(average.buffers(), source.buffers(), strict=True):
        mine.copy_(theirs)
