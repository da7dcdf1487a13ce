"""The CUDA kernels on a GPU: values and gradients of the reference, PyTorch's rules, and refusals before any launch."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch
from rendering_scenes import (
    WARP_SCENES,
    WINDOWS,
    assert_agrees,
    assert_places_boundaries,
    leaves,
    lift,
    of_leaves,
    render_natively,
    scene,
)
from torch import Tensor

from benchmarks.smooth_head import DEPTH_BOUNDS, labels, smooth_head
from ssgan_core.errors import SsganError
from ssgan_core.rendering import Rays, Rendering, camera_rays, kernels, native, reference, render
from ssgan_core.rendering.sampling import Maps

on_a_gpu = pytest.mark.gpu


@pytest.fixture
def gpu_kernel() -> None:
    """The compiled CUDA kernels: from the cache, else compiled now."""
    try:
        kernels.build(kind="cuda")
    except SsganError as error:
        if os.environ.get("SSGAN_REQUIRE_GPU") == "1":
            raise
        pytest.skip(str(error))


def inputs_on_gpu(name: str, dtype: torch.dtype = torch.float32) -> tuple[Maps, Rays, int, int]:
    *shape, uniform, importance = WARP_SCENES[name]
    maps, rays = scene(*shape)
    return *of_leaves(leaves(maps, rays, dtype, "cuda"), maps), uniform, importance


@on_a_gpu
@pytest.mark.usefixtures("gpu_kernel")
@pytest.mark.parametrize("name", WARP_SCENES)
def test_values_and_gradients_are_the_references(name, monkeypatch):
    monkeypatch.setitem(reference.FEATURE_EPSILON, torch.float64, reference.FEATURE_EPSILON[torch.float32])
    *shape, uniform, importance = WARP_SCENES[name]
    assert_agrees(render_natively, *scene(*shape), uniform, importance, "cuda")


@on_a_gpu
@pytest.mark.usefixtures("gpu_kernel")
@pytest.mark.parametrize("name", WARP_SCENES)
def test_boundaries_are_placed_as_the_reference_does(name):
    *shape, uniform, importance = WARP_SCENES[name]
    boundaries = lift(*inputs_on_gpu(name))[4]
    assert_places_boundaries(boundaries, *scene(*shape), uniform, importance)


@on_a_gpu
@pytest.mark.usefixtures("gpu_kernel")
def test_the_public_op_takes_the_kernel_and_agrees_with_the_reference():
    maps, rays, *_ = inputs_on_gpu("usual")
    arguments = (maps.features, maps.depth, maps.optical_depth, maps.width, maps.windows, rays)
    auto, ours, theirs = (
        render(*arguments, depth_bounds=DEPTH_BOUNDS, backend=name)
        for name in ("auto", "native", "reference")
    )
    for field in fields(Rendering):
        assert torch.equal(getattr(auto, field.name), getattr(ours, field.name))
        torch.testing.assert_close(
            getattr(ours, field.name), getattr(theirs, field.name), atol=2e-5, rtol=1e-5
        )
    total = ours.masks.sum(1) + ours.transmittance
    torch.testing.assert_close(total, torch.ones_like(total), atol=2e-6, rtol=0)


@on_a_gpu
@pytest.mark.usefixtures("gpu_kernel")
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("channels", [5, 8, 36, 64])
def test_half_precision_features_are_summed_in_full(dtype, channels):
    maps, rays = scene(16, channels, 3, 5, 0.02, True)
    maps, rays = of_leaves(leaves(maps, rays, torch.float32, "cuda"), maps)
    half = maps.features.detach().to(dtype)
    results, gradients = [], []
    for features in (half.clone(), half.float()):
        features.requires_grad_()
        values = native.render_native(
            Maps(features, *list(vars(maps).values())[1:]), rays, DEPTH_BOUNDS, 8, 8
        )
        results.append(values)
        gradients.append(torch.autograd.grad(values[0].square().sum(), features)[0])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
    assert gradients[0].dtype == dtype
    torch.testing.assert_close(gradients[0], gradients[1].to(dtype), atol=1e-2, rtol=2e-2)


@on_a_gpu
@pytest.mark.usefixtures("gpu_kernel")
def test_the_same_bits_forward_and_nearly_the_same_backward():
    runs = []
    for _ in range(4):
        maps, rays, uniform, importance = inputs_on_gpu("width map")
        inputs = [*list(vars(maps).values())[:4], *vars(rays).values()]
        *values, _ = render_natively(maps, rays, uniform, importance)
        runs.append((values, torch.autograd.grad([value.square().sum() for value in values], inputs)))
    for values, gradients in runs[1:]:
        assert all(torch.equal(a, b) for a, b in zip(runs[0][0], values, strict=True))
        assert all((a - b).norm() <= 1e-5 * a.norm() for a, b in zip(runs[0][1], gradients, strict=True))


@on_a_gpu
@pytest.mark.usefixtures("gpu_kernel")
def test_empty_saturated_and_missing_rays():
    towards = torch.tensor([0.0, 0.0, -1.0], device="cuda")
    origins = torch.tensor([[[0.9, 0, 2.7], [0.1, 0, 2.7], [-0.3, 0, 2.7]]], device="cuda")
    rays = Rays(origins, towards.expand(1, 3, 3), towards[None])
    kappa = torch.zeros(1, 2, 8, 8, device="cuda")
    kappa[..., :3] = 2000
    features = torch.linspace(-1, 1, 2 * 4 * 64, device="cuda").view(1, 2, 4, 8, 8)
    windows = WINDOWS[:1].repeat(2, 1).cuda()
    maps = Maps(features, torch.zeros_like(kappa), kappa, torch.tensor(0.02, device="cuda"), windows, True)
    inputs = leaves(maps, rays, torch.float32, "cuda")
    picture, masks, transmittance, depth = native.render_native(
        *of_leaves(inputs, maps), DEPTH_BOUNDS, 16, 16
    )
    assert transmittance[0].tolist() == [1, 1, 0]
    assert not masks[0, :, :2].any()
    assert not picture[0, :, :2].any()
    gradients = torch.autograd.grad([picture.sum(), masks.sum(), depth.sum()], inputs)
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert gradients[2][..., 4:6].any()
    assert not gradients[1][..., 4:].any()


@on_a_gpu
@pytest.mark.usefixtures("gpu_kernel")
def test_non_contiguous_inputs_and_other_streams_change_nothing():
    maps, rays, uniform, importance = inputs_on_gpu("windows and width map")
    expected = render_natively(maps, rays, uniform, importance)
    loose = [
        value.detach().transpose(0, -1).contiguous().transpose(0, -1)
        for value in (*list(vars(maps).values())[:4], *vars(rays).values())
    ]
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        got = render_natively(*of_leaves(loose, maps), uniform, importance)
    torch.cuda.current_stream().wait_stream(stream)
    assert all(torch.equal(a, b) for a, b in zip(got, expected, strict=True))


@on_a_gpu
@pytest.mark.usefixtures("gpu_kernel")
def test_a_cuda_graph_replays_the_public_op():
    maps, rays, *_ = inputs_on_gpu("usual")

    def picture() -> Rendering:
        with torch.no_grad():
            return render(
                maps.features,
                maps.depth,
                maps.optical_depth,
                0.02,
                maps.windows,
                rays,
                depth_bounds=DEPTH_BOUNDS,
            )

    picture()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = picture()
    with torch.no_grad():
        maps.depth.add_(0.01)
    graph.replay()
    expected = picture()
    for field in fields(Rendering):
        assert torch.equal(getattr(captured, field.name), getattr(expected, field.name))


@on_a_gpu
@pytest.mark.usefixtures("gpu_kernel")
def test_views_that_begin_anywhere_in_their_storage_can_be_read():
    maps, rays, uniform, importance = inputs_on_gpu("usual")
    texels = native.channels_last(maps.features.detach()).to(torch.bfloat16)
    odd = torch.cat([texels.new_zeros(1), texels.flatten()])[1:].view_as(texels)
    inputs = (maps.depth, maps.optical_depth, maps.width, maps.windows, rays.origins, rays.directions)
    assert native.is_available("cuda")
    pictures = [
        torch.ops.ssgan.lift(features, *inputs, *DEPTH_BOUNDS, uniform, importance)[0]
        for features in (texels, odd)
    ]
    assert torch.equal(*pictures)


@on_a_gpu
@pytest.mark.usefixtures("gpu_kernel")
def test_operators_keep_pytorchs_rules():
    maps, rays = scene(4, 4, 2, 2, None, False)
    maps, rays = of_leaves(leaves(maps, rays, torch.float32, "cuda"), maps)
    assert native.is_available("cuda")
    inputs = (
        maps.features.permute(0, 1, 3, 4, 2), maps.depth, maps.optical_depth, maps.width, maps.windows,
        rays.origins, rays.directions, *DEPTH_BOUNDS, 4, 2,
    )  # fmt: skip
    checks = ("test_schema", "test_autograd_registration", "test_faketensor")
    torch.library.opcheck(torch.ops.ssgan.lift, inputs, test_utils=checks)
    *outputs, boundaries = torch.ops.ssgan.lift(*inputs)
    detached: list[Any] = [
        value.detach() if isinstance(value, Tensor) else value for value in (*outputs, *inputs)
    ]
    detached.insert(11, boundaries)
    for sheets_and_rays in ((True, True), (False, False)):
        torch.library.opcheck(
            torch.ops.ssgan.lift_backward,
            (*detached, True, *sheets_and_rays),
            test_utils=("test_schema", "test_faketensor"),
        )


@on_a_gpu
@pytest.mark.usefixtures("gpu_kernel")
def test_what_the_kernels_cannot_take_is_refused_by_name():
    def picture(parts: int = 2, dtype: torch.dtype = torch.float32, **options: Any) -> Rendering:
        head = smooth_head(4, 4, parts, device="cuda", dtype=dtype)
        rays = camera_rays(labels(1, device="cuda", dtype=dtype), 3)
        given = {"depth": head.depth, "features": head.features} | {
            name: options.pop(name) for name in ("depth", "features") if name in options
        }
        return render(
            given["features"], given["depth"], head.optical_depth, 0.02, head.windows, rays,
            depth_bounds=DEPTH_BOUNDS, **({"backend": "native"} | options),
        )  # fmt: skip

    picture(32)
    with pytest.raises(ValueError, match=r"^features must have at most 32 parts"):
        picture(33)
    with pytest.raises(ValueError, match=r"^uniform \+ importance must be at most 128"):
        picture(uniform=100, importance=29)
    with pytest.raises(TypeError, match="float32"):
        picture(dtype=torch.float64)
    with pytest.raises(ValueError, match=r"^depth must be finite"):
        picture(depth=torch.full((1, 2, 4, 4), float("nan"), device="cuda"))
    with pytest.raises(ValueError, match=r"^features is on cpu"):
        picture(features=torch.zeros(1, 2, 4, 4, 4))
    for unsuited in ({"parts": 33}, {"dtype": torch.float64}, {"uniform": 120, "importance": 9}):
        assert picture(backend="auto", **unsuited).masks.isfinite().all()
    torch.cuda.synchronize()


@pytest.mark.skipif(torch.cuda.is_available(), reason="is about machines without a GPU")
@pytest.mark.parametrize(("required", "outcome"), [("1", "1 error"), ("0", "1 skipped")])
def test_a_gpu_that_was_promised_must_be_there(required, outcome):
    test = "tests/rendering/test_rendering_gpu.py::test_operators_keep_pytorchs_rules"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-v", test],
        cwd=Path(__file__).parents[2],
        env=os.environ | {"SSGAN_REQUIRE_GPU": required},
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert outcome in done.stdout, done.stdout + done.stderr
