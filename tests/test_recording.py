"""CUDA graphs of inference: the pictures of plain calls, and plain calls where there can be no graph."""

from __future__ import annotations

import warnings
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from ssgan_core import cameras, recording
from ssgan_core.model.codes import Codes
from ssgan_core.recording import Recorded, RecordingWarning
from ssgan_core.resources import default_model
from ssgan_core.synthesis import Synthesiser, codes_from_seed, load_generator, tensors


def _on_a_gpu(value: int) -> Any:
    """What looks like a tensor on a GPU to `Recorded`."""
    return SimpleNamespace(is_cuda=True, shape=(value,), dtype="float32")


def test_on_a_cpu_work_is_called_each_time():
    called = []

    def work(x: Tensor) -> tuple[Tensor, ...]:
        called.append(x)
        return (x + 1,)

    double = Recorded(work)
    assert double(torch.ones(2))[0].tolist() == [2, 2]
    assert double(torch.zeros(2))[0].tolist() == [1, 1]
    assert len(called) == 2


def test_what_cannot_be_recorded_runs_plainly_with_one_warning(monkeypatch):
    def fail(work: Any, inputs: Any) -> Any:
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(recording, "_record", fail)
    plain = Recorded(lambda x: (x.shape,))  # pyright: ignore[reportArgumentType]
    with pytest.warns(RecordingWarning, match="not permitted when stream is capturing"):
        assert plain(_on_a_gpu(3)) == ((3,),)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert plain(_on_a_gpu(4)) == ((4,),)


def test_few_shapes_are_recorded_and_the_others_run_plainly(monkeypatch):
    recorded = []

    def record(work: Any, inputs: Any) -> Any:
        recorded.append(inputs[0].shape)
        kept = SimpleNamespace(copy_=lambda value: None)
        return SimpleNamespace(
            graph=SimpleNamespace(replay=lambda: None), inputs=(kept,), outputs=("replayed",)
        )

    monkeypatch.setattr(recording, "_record", record)
    work = Recorded(lambda x: ("called",))  # pyright: ignore[reportArgumentType]
    results = [work(_on_a_gpu(size)) for size in (1, 1, 2, 3, 4, 5, 1)]
    assert recorded == [(1,), (2,), (3,), (4,)]
    assert results == [("replayed",)] * 5 + [("called",), ("replayed",)]


@pytest.mark.gpu
@pytest.mark.parametrize("shipped", [False, True])
def test_graphs_draw_what_plain_calls_draw(tiny_model, shipped):
    device = torch.device("cuda")
    generator, _ = load_generator(default_model() if shipped else tiny_model, device)
    draw = Synthesiser(generator)
    for seeds in ((0, 1), (2, 3)):  # recorded, then replayed
        codes = Codes.cat([codes_from_seed(generator, seed) for seed in seeds])
        labels = torch.from_numpy(cameras.label([0.1, -0.2], 0.0)).to(device)
        seen = draw(codes, labels)
        with torch.inference_mode(), torch.autocast("cuda", torch.float16, cache_enabled=False):
            plain = generator(codes, labels)
        for found, expected in zip(tensors(seen), tensors(plain), strict=True):
            torch.testing.assert_close(found, expected)
        view = draw.around(codes[:1])
        for label in labels:
            seen_again = view(label[None])
            with torch.inference_mode(), torch.autocast("cuda", torch.float16, cache_enabled=False):
                plain = generator.render(generator.part_maps(codes[:1]), label[None])
            torch.testing.assert_close(seen_again.image, plain.image)
