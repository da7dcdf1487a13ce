"""The code of the CUDA kernels, run on a CPU by an emulated warp: values, gradients, and no race between lanes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from rendering_scenes import (
    WARP_SCENES,
    WINDOWS,
    assert_agrees,
    assert_places_boundaries,
    leaves,
    of_leaves,
    scene,
)
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from benchmarks.smooth_head import DEPTH_BOUNDS, labels, smooth_head
from ssgan_core.errors import SsganError
from ssgan_core.rendering import Rays, camera_rays, kernels, native, reference
from ssgan_core.rendering.sampling import Maps
from ssgan_core.resources import shipped


@pytest.fixture(scope="module", autouse=True)
def emulation(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The operators `ssgan_emulated`, compiled here, with the autograd of the real ones."""
    from torch.utils import cpp_extension

    try:
        kernels._environment_with_tools("cpu")
    except SsganError as error:
        pytest.skip(str(error))
    cpp_extension.load(
        name="emulated_warp",
        sources=[str(Path(__file__).with_name("emulated_warp.cpp"))],
        extra_include_paths=[str(shipped("cuda"))],
        extra_cflags=["-O1", "-Wno-unknown-pragmas"],
        is_python_module=False,
        build_directory=str(tmp_path_factory.mktemp("emulated")),
    )
    native._register_lift("ssgan_emulated")


@pytest.fixture
def backwards() -> Iterator[None]:
    """Lanes run from the last to the first."""
    torch.ops.ssgan_emulated.set_order(True)
    yield
    torch.ops.ssgan_emulated.set_order(False)


def emulated_lift(maps: Maps, rays: Rays, uniform: int, importance: int) -> tuple[Tensor, ...]:
    return torch.ops.ssgan_emulated.lift(
        native._channels_last_in_fours(maps.features), maps.depth, maps.optical_depth, maps.width, maps.windows,
        rays.origins, rays.directions, *DEPTH_BOUNDS, uniform, importance,
    )  # fmt: skip


def emulate(maps: Maps, rays: Rays, uniform: int, importance: int) -> tuple[Tensor, ...]:
    """`render_native` on a GPU, but for the device; and the boundaries."""
    placed: list[Tensor] = []

    def lift(*arguments):  # type: ignore[no-untyped-def]
        results = torch.ops.ssgan_emulated.lift(*arguments)
        placed.append(results[4])
        return results

    texels = native._channels_last_in_fours(maps.features)
    return *native._render(lift, texels, maps, rays, DEPTH_BOUNDS, uniform, importance), placed[0]


@pytest.mark.parametrize("name", WARP_SCENES)
def test_values_and_gradients_are_the_references(name, monkeypatch):
    monkeypatch.setitem(reference.FEATURE_EPSILON, torch.float64, reference.FEATURE_EPSILON[torch.float32])
    *shape, uniform, importance = WARP_SCENES[name]
    assert_agrees(emulate, *scene(*shape), uniform, importance, "cpu")


@pytest.mark.parametrize("name", WARP_SCENES)
def test_boundaries_are_placed_as_the_reference_does(name):
    *shape, uniform, importance = WARP_SCENES[name]
    maps, rays = scene(*shape)
    boundaries = emulated_lift(maps, rays, uniform, importance)[4]
    assert_places_boundaries(boundaries, maps, rays, uniform, importance)


def everything(maps: Maps, rays: Rays, uniform: int, importance: int) -> tuple[list[Tensor], list[Tensor]]:
    """Results, and gradients of all inputs."""
    inputs = leaves(maps, rays, torch.float32)
    *values, boundaries = emulate(*of_leaves(inputs, maps), uniform, importance)
    upstream = [torch.linspace(-1, 1, value.numel()).view_as(value) for value in values]
    return [*values, boundaries], list(torch.autograd.grad(values, inputs, upstream))


@pytest.mark.parametrize("name", ["usual", "windows and width map", "most boundaries, width map and windows"])
def test_the_order_of_lanes_changes_nothing(name, request):
    """Else lanes exchange something through memory without waiting for one another."""
    *shape, uniform, importance = WARP_SCENES[name]
    values, gradients = everything(*scene(*shape), uniform, importance)
    request.getfixturevalue("backwards")
    other_values, other_gradients = everything(*scene(*shape), uniform, importance)
    assert all(torch.equal(a, b) for a, b in zip(values, other_values, strict=True))
    assert all(
        torch.equal(a, b) for a, b in zip(gradients[4:], other_gradients[4:], strict=True)
    )  # of the rays
    for a, b in zip(gradients[:4], other_gradients[:4], strict=True):  # sums of many rays and lanes
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("channels", [8, 36, 5])
def test_half_precision_features_are_summed_in_full(dtype, channels):
    maps, rays = scene(16, channels, 3, 5, 0.02, True)
    half = maps.features.to(dtype)
    results, gradients = [], []
    for features in (half.clone(), half.float()):
        features.requires_grad_()
        *values, _ = emulate(Maps(features, *list(vars(maps).values())[1:]), rays, 8, 8)
        results.append(values)
        gradients.append(torch.autograd.grad(values[0].square().sum(), features)[0])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
    assert results[0][0].shape[1] == channels
    assert gradients[0].dtype == dtype
    torch.testing.assert_close(gradients[0], gradients[1].to(dtype))


def test_empty_saturated_and_missing_rays():
    """A ray that misses the box, one through empty sheets and one through a wall of optical depth 2000."""
    towards = torch.tensor([0.0, 0.0, -1.0])
    origins = torch.tensor([[[0.9, 0, 2.7], [0.1, 0, 2.7], [-0.3, 0, 2.7]]])
    rays = Rays(origins, towards.expand(1, 3, 3), towards[None])
    kappa = torch.zeros(1, 2, 8, 8)
    kappa[..., :3] = 2000
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(1, 2, 4, 8, 8, generator=generator)
    maps = Maps(features, torch.zeros(1, 2, 8, 8), kappa, torch.tensor(0.02), WINDOWS[:1].repeat(2, 1), True)
    inputs = leaves(maps, rays, torch.float32)
    picture, masks, transmittance, depth, boundaries = emulate(*of_leaves(inputs, maps), 16, 16)
    assert transmittance[0].tolist() == [1, 1, 0]
    assert not masks[0, :, :2].any()
    assert not picture[0, :, :2].any()
    assert not boundaries[0, 0].any()
    assert masks[0, :, 2].sum().item() == pytest.approx(1, abs=1e-6)
    gradients = torch.autograd.grad([picture.sum(), masks.sum(), depth.sum()], inputs)
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert gradients[2][..., 4:6].any()
    assert not gradients[1][..., 4:].any()
    assert not gradients[4][0, 0].any()


@pytest.mark.parametrize("seed", range(6))
def test_whatever_the_sheets_masks_sum_to_one_and_gradients_are_finite(seed):
    generator = torch.Generator().manual_seed(seed)
    draws = torch.rand(4, generator=generator)
    width, gain, yaw = 10 ** (-4 * draws[0]).item() / 2, (0.0, 1.0, 30.0)[seed % 3], 3 * draws[2].item() - 1.5
    head = smooth_head(7, 4, 1 + 5 * seed, batch=2, seed=seed)
    windows = head.windows if seed % 2 else WINDOWS[torch.arange(1 + 5 * seed) % 4]
    kappa = head.optical_depth * gain
    maps = Maps(head.features, head.depth, kappa, torch.tensor(width), windows, bool(seed % 2))
    inputs = leaves(maps, camera_rays(labels(2, yaw), 4), torch.float32)
    *values, _ = emulate(*of_leaves(inputs, maps), 2 + 3 * seed, 4 * seed)
    total = values[1].sum(1) + values[2]
    torch.testing.assert_close(total, torch.ones_like(total), atol=1e-5, rtol=0)
    assert (values[1] >= 0).all()
    assert all(value.isfinite().all() for value in values)
    gradients = torch.autograd.grad([value.square().sum() for value in values], inputs)
    assert all(gradient.isfinite().all() for gradient in gradients)


def test_non_contiguous_tensors_are_the_same_to_the_operators():
    maps, rays = scene(8, 4, 3, 4, None, False)
    loose = [
        value.transpose(0, -1).contiguous().transpose(0, -1) for value in leaves(maps, rays, torch.float32)
    ]
    assert not any(value.is_contiguous() for value in loose[:4])
    for a, b in zip(emulate(*of_leaves(loose, maps), 6, 6), emulate(maps, rays, 6, 6), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_views_that_begin_anywhere_in_their_storage_can_be_read(dtype):
    """The emulated warp refuses what a GPU would fault at."""
    maps, rays = scene(8, 8, 3, 4, 0.02, True)
    texels = native._channels_last_in_fours(maps.features.to(dtype))
    odd = torch.cat([texels.new_zeros(1), texels.flatten()])[1:].view_as(texels)
    inputs = (maps.depth, maps.optical_depth, maps.width, maps.windows, rays.origins, rays.directions)
    results, gradients = [], []
    for features in (texels.clone(), odd):
        features.requires_grad_()
        picture = torch.ops.ssgan_emulated.lift(features, *inputs, *DEPTH_BOUNDS, 6, 6)[0]
        upstream = torch.linspace(-1, 1, picture.numel() + 1)[1:].view(2, 16, 8).transpose(1, 2)
        results.append(picture)
        gradients.append(torch.autograd.grad(picture, features, upstream)[0])
    assert torch.equal(*results)
    assert torch.equal(*gradients)


@pytest.mark.parametrize("sheets", [True, False])
def test_operators_keep_pytorchs_rules(sheets):
    maps, rays = scene(4, 4, 2, 2, None, False)
    maps, rays = of_leaves(leaves(maps, rays, torch.float32), maps)
    inputs = (
        maps.features.permute(0, 1, 3, 4, 2), maps.depth, maps.optical_depth, maps.width, maps.windows,
        rays.origins, rays.directions, *DEPTH_BOUNDS, 4, 2,
    )  # fmt: skip
    checks = ("test_schema", "test_autograd_registration")
    torch.library.opcheck(torch.ops.ssgan_emulated.lift, inputs, test_utils=checks)
    *outputs, boundaries = torch.ops.ssgan_emulated.lift(*inputs)
    detached = [value.detach() if isinstance(value, Tensor) else value for value in (*outputs, *inputs)]
    detached.insert(11, boundaries)
    needed = (True, sheets, sheets)  # rays are not asked for without the sheets that they meet
    torch.library.opcheck(
        torch.ops.ssgan_emulated.lift_backward, (*detached, *needed), test_utils=("test_schema",)
    )
    real = torch.ops.ssgan_emulated.lift_backward(*detached, *needed)

    # What is promised for a GPU, which fake tensors need not have, is what the code returns.
    with FakeTensorMode() as mode:
        fakes = [
            torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device="cuda")
            if isinstance(value, Tensor)
            else value
            for value in detached
        ]
        lift_inputs = [*fakes[4:11], *fakes[12:]]
        promised = [*native._fake_lift(*lift_inputs), *native._fake_backward(*fakes, *needed)]  # type: ignore[arg-type]
    assert mode is not None
    for a, b in zip(promised, (*outputs, boundaries, *real), strict=True):
        assert (a.shape, a.stride(), a.dtype) == (b.shape, b.stride(), b.dtype)


def test_operators_refuse_what_the_kernels_cannot_take():
    def lift(**changed: Tensor | int) -> None:
        maps, rays = scene(4, 4, 2, 2, None, True)
        given = {
            "features": native._channels_last_in_fours(maps.features), "depth": maps.depth,
            "optical_depth": maps.optical_depth, "width": maps.width, "windows": maps.windows,
            "origins": rays.origins, "directions": rays.directions, "low": -0.1, "high": 0.3, "uniform": 4,
            "importance": 2,
        }  # fmt: skip
        torch.ops.ssgan_emulated.lift(**(given | changed))

    lift()
    for changed, message in (
        ({"features": torch.ones(2, 2, 4, 4, 3)}, "multiple of 4"),
        ({"features": torch.ones(2, 33, 4, 4, 4)}, "at most 32 parts"),
        ({"features": torch.ones(2, 2, 4, 4, 4, dtype=torch.float64)}, "features must be float32"),
        ({"depth": torch.ones(2, 2, 4, 5)}, "depth must be"),
        ({"depth": torch.ones(2, 2, 4, 4, dtype=torch.float64)}, "float32"),
        ({"width": torch.ones(2, 2, 4)}, "width must be"),
        ({"windows": torch.ones(3, 4)}, "windows must be"),
        ({"origins": torch.ones(2, 0, 3), "directions": torch.ones(2, 0, 3)}, "nothing to render"),
        ({"uniform": 100, "importance": 29}, "at most 128"),
    ):
        with pytest.raises(RuntimeError, match=message):
            lift(**changed)


def test_deterministic_algorithms_are_told_that_there_is_none():
    maps, rays = scene(4, 4, 2, 2, 0.02, True)
    inputs = leaves(maps, rays, torch.float32)
    values = emulate(*of_leaves(inputs, maps), 4, 2)
    torch.use_deterministic_algorithms(True)
    try:
        with pytest.raises(RuntimeError, match="lift_backward on this device does not have a deterministic"):
            torch.autograd.grad(values[1].square().sum(), inputs[1])
    finally:
        torch.use_deterministic_algorithms(False)
