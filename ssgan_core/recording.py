"""Replays work on a GPU as a CUDA graph: hundreds of small kernels for the price of one launch."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

_WARM_UPS = 2  # libraries choose algorithms and allocate in the first calls, which a graph must not record
_MOST_GRAPHS = 4  # each keeps the memory of its intermediate results


class RecordingWarning(UserWarning):
    """Work could not be recorded and runs kernel by kernel."""


@dataclass(frozen=True)
class _Graph:
    graph: torch.cuda.CUDAGraph
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


class Recorded:
    """A function of tensors that is recorded once for each shape of its inputs and replayed afterwards.

    On a CPU it is simply called. Where recording fails there is one RecordingWarning, and it is called as well.

    Args:
        work: takes tensors of one device and returns tensors. It must launch the same kernels whatever the values and
            never wait for the device, and it runs without gradients. Other tensors that it reads must stay where
            they are.
    """

    def __init__(self, work: Callable[..., tuple[Tensor, ...]]) -> None:
        self._work = work
        self._graphs: dict[tuple[object, ...], _Graph] = {}
        self._refused = False

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """The outputs; on a GPU they are overwritten by the next call with inputs of these shapes."""
        if self._refused or not inputs[0].is_cuda:
            return self._work(*inputs)
        key = tuple((value.shape, value.dtype) for value in inputs)
        if key not in self._graphs:
            if len(self._graphs) == _MOST_GRAPHS:
                return self._work(*inputs)
            try:
                self._graphs[key] = _record(self._work, inputs)
            except RuntimeError as error:
                self._refused = True
                warnings.warn(
                    f"this GPU work cannot be recorded as a CUDA graph and runs slower: {error}",
                    RecordingWarning,
                    stacklevel=2,
                )
                return self._work(*inputs)
        graph = self._graphs[key]
        for kept, value in zip(graph.inputs, inputs, strict=True):
            kept.copy_(value)
        graph.graph.replay()
        return graph.outputs


def _record(work: Callable[..., tuple[Tensor, ...]], inputs: tuple[Tensor, ...]) -> _Graph:
    kept = tuple(value.clone() for value in inputs)
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(_WARM_UPS):
            work(*kept)
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        outputs = work(*kept)
    return _Graph(graph, kept, outputs)
