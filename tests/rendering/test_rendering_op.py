"""The public op: its properties, its agreement with itself and with the grid form, and its refusals."""

from dataclasses import fields, replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from benchmarks.smooth_head import DEPTH_BOUNDS, SmoothHead, labels, smooth_head
from ssgan_core import cameras
from ssgan_core.rendering import BACKENDS, Rays, Rendering, camera_rays, render
from ssgan_core.rendering.grid import render_grid
from ssgan_core.rendering.reference import render_analytic, sum_features
from ssgan_core.rendering.sampling import Maps


def picture(head: SmoothHead, rays: Rays, width: Any = 0.02, **options: Any) -> Rendering:
    return render(
        *head.arguments(),
        width,
        head.windows,
        rays,
        **({"depth_bounds": DEPTH_BOUNDS, "backend": "reference"} | options),
    )


def assert_same(a: Rendering, b: Rendering, **tolerance: float) -> None:
    for field in fields(Rendering):
        torch.testing.assert_close(getattr(a, field.name), getattr(b, field.name), **tolerance)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10_000),
    parts=st.integers(1, 6),
    size=st.integers(2, 17),
    width=st.floats(1e-3, 0.2),
    gain=st.sampled_from([0.0, 0.1, 1.0, 2.5]),
    yaw=st.floats(-0.6, 0.6),
    uniform=st.integers(2, 24),
    importance=st.integers(0, 24),
    backend=st.sampled_from(["reference", "grid"]),
)
def test_masks_and_transmittance_sum_to_one(
    seed, parts, size, width, gain, yaw, uniform, importance, backend
):
    head = smooth_head(size, 1, parts, batch=2, seed=seed)
    head = replace(head, optical_depth=head.optical_depth * gain)
    seen = picture(
        head, camera_rays(labels(2, yaw), 5), width, uniform=uniform, importance=importance, backend=backend
    )
    total = seen.masks.sum(1) + seen.transmittance
    torch.testing.assert_close(total, torch.ones_like(total), atol=1e-5, rtol=0)
    assert (seen.masks >= 0).all()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("width", [0.02, 0.0125])
def test_32_boundaries_come_close_to_1024_segments(width, seed):
    head, rays = smooth_head(64, 8, seed=seed), camera_rays(labels(1), 24)
    truth = picture(head, rays, width, uniform=1025, importance=0)
    assert ((truth.masks > 0.01).sum(1) >= 5).any()  # five parts do share a ray
    coarse = picture(head, rays, width)
    assert (coarse.masks - truth.masks).abs().max() <= 0.02
    assert (coarse.features - truth.features).norm() <= 0.01 * truth.features.norm()
    assert (coarse.depth - truth.depth).norm() <= 0.01 * truth.depth.norm()
    evenly = picture(head, rays, width, uniform=32, importance=0)
    assert (evenly.masks - truth.masks).abs().max() > 2 * (coarse.masks - truth.masks).abs().max()


def test_features_left_out_stay_within_the_bound():
    head, rays = smooth_head(32, 4, 12), camera_rays(labels(1), 16)
    single = picture(head, rays)
    double = picture(smooth_head(32, 4, 12, dtype=torch.float64), rays_to(rays, torch.float64))
    error = (single.features - double.features).abs().max()
    assert error <= 31 * 12 * 1e-6 * head.features.abs().max()
    assert error < 5e-5
    torch.testing.assert_close(single.masks, double.masks.float(), atol=1e-5, rtol=0)
    torch.testing.assert_close(single.transmittance, double.transmittance.float(), atol=1e-5, rtol=0)
    torch.testing.assert_close(single.depth, double.depth.float(), atol=3e-5, rtol=0)


def rays_to(rays: Rays, dtype: torch.dtype) -> Rays:
    return Rays(rays.origins.to(dtype), rays.directions.to(dtype), rays.forward.to(dtype))


def test_the_grid_form_approaches_the_analytic_one_as_it_is_refined():
    """More planes leave the error of trilinear texels, smaller texels take that away: docs/rendering.md."""
    rays = camera_rays(labels(1), 12)
    errors = []
    for size, planes in ((32, 16), (32, 32), (32, 128), (128, 128)):
        head = smooth_head(size, 3, 5)
        maps = Maps(*head.arguments(), torch.tensor(0.03), head.windows, True)
        truth = render_analytic(maps, rays, DEPTH_BOUNDS, 129, 0)
        grid = render_grid(maps, rays, DEPTH_BOUNDS, 129, 0, planes, falloff=False)
        errors.append([((a - b).norm() / b.norm()).item() for a, b in zip(grid, truth, strict=True)])
    for coarse, fine in pairwise(errors):
        assert all(after < before for before, after in zip(coarse, fine, strict=True)), errors
    assert max(errors[-1]) < 0.004, errors


def test_falloff_dims_features_away_from_the_sheet_only():
    head, rays = smooth_head(16, 2, 2), camera_rays(labels(1), 6)
    maps = Maps(head.features.abs() + 1, *head.arguments()[1:], torch.tensor(0.05), head.windows, True)
    plain = render_grid(maps, rays, DEPTH_BOUNDS, 33, 0, falloff=False)
    faded = render_grid(maps, rays, DEPTH_BOUNDS, 33, 0)
    torch.testing.assert_close(plain[1], faded[1])
    seen = plain[0] > 0.1
    assert (faded[0] < plain[0])[seen].all()
    assert (faded[0] > 0.2 * plain[0])[seen].all()
    public = render(
        maps.features, maps.depth, maps.optical_depth, 0.05, maps.windows, rays,
        depth_bounds=DEPTH_BOUNDS, uniform=33, importance=0, backend="grid",
    )  # fmt: skip
    torch.testing.assert_close(public.features, faded[0])


@pytest.mark.parametrize("backend", ["reference", "grid"])
def test_mirrored_maps_and_camera_mirror_the_picture(backend):
    head = smooth_head(12, 3, 3, dtype=torch.float64)
    windows = torch.tensor([[-0.4, -0.4, 0.4, 0.4], [-0.3, -0.4, 0.1, 0.2], [-0.1, -0.2, 0.35, 0.4]]).double()
    label = labels(1, dtype=torch.float64)
    mirrored = torch.as_tensor(cameras.mirror_label(label.numpy()), dtype=torch.float64)
    here = picture(replace(head, windows=windows), camera_rays(label, 7), backend=backend)
    flipped = SmoothHead(
        *(values.flip(-1) for values in head.arguments()),
        windows[:, [2, 1, 0, 3]] * torch.tensor([-1, 1, -1, 1]),
    )
    there = picture(flipped, camera_rays(mirrored, 7), backend=backend)

    def mirror(values: Tensor) -> Tensor:
        return values.unflatten(-1, (7, 7)).flip(-1).flatten(-2)

    assert (here.masks[:, 1:] > 0.05).any()
    back = Rendering(*(mirror(getattr(there, field.name)) for field in fields(Rendering)))
    assert_same(back, here, atol=1e-5, rtol=0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_equal_windows_take_a_shortcut_with_the_same_answer(backend):
    head, rays = smooth_head(13, 3, 4, batch=2), camera_rays(labels(2), 7)
    maps = Maps(*head.arguments(), torch.tensor(0.03), head.windows, False)
    long_way = (render_grid if backend == "grid" else render_analytic)(maps, rays, DEPTH_BOUNDS, 16, 16)
    assert_same(picture(head, rays, 0.03, backend=backend), Rendering(*long_way), atol=2e-5, rtol=0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_non_contiguous_inputs_change_nothing(backend):
    head, rays = smooth_head(9, 5, 3, batch=2), camera_rays(labels(2), 5)

    def scattered(values: Tensor) -> Tensor:
        twisted = values.transpose(0, -1).contiguous().transpose(0, -1)
        assert not twisted.is_contiguous()
        return twisted

    other = SmoothHead(*(scattered(getattr(head, field.name)) for field in fields(SmoothHead)))
    loose = Rays(*(scattered(value) for value in (rays.origins, rays.directions, rays.forward)))
    widths = torch.linspace(0.02, 0.04, 3)[:, None, None]
    assert_same(picture(other, loose, widths, backend=backend), picture(head, rays, widths, backend=backend))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("parts", "channels", "size", "pixels", "uniform"), [(1, 1, 2, 1, 2), (1, 3, 5, 7, 3)]
)
def test_odd_sizes_and_single_parts(backend, parts, channels, size, pixels, uniform):
    head = smooth_head(size, channels, parts)
    seen = picture(head, camera_rays(labels(1), pixels), uniform=uniform, importance=1, backend=backend)
    assert seen.features.shape == (1, channels, pixels**2)
    assert seen.masks.shape == (1, parts, pixels**2)
    assert seen.transmittance.shape == seen.depth.shape == (1, pixels**2)
    assert all(getattr(seen, field.name).isfinite().all() for field in fields(Rendering))


def test_constant_width_is_the_same_as_a_number_or_a_map():
    head, rays = smooth_head(16, 2, 3), camera_rays(labels(1), 6)
    number = picture(head, rays, 0.03)
    assert_same(picture(head, rays, torch.tensor(0.03)), number)
    assert_same(picture(head, rays, torch.full((1, 3, 1, 1), 0.03)), number, atol=1e-5, rtol=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_features_are_summed_in_full(dtype):
    head, rays = smooth_head(16, 4, 3), camera_rays(labels(1), 6)
    rounded = replace(head, features=head.features.to(dtype))
    seen = picture(rounded, rays)
    assert seen.features.dtype == torch.float32
    exact = picture(replace(head, features=rounded.features.float()), rays)
    assert_same(seen, exact)


def test_merging_neighbours_of_a_cell_changes_no_sum():
    """Features of many entries a cell against a plain sum over samples."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(2, 3, 4, 3, 3, generator=generator, dtype=torch.float64)
    weights = torch.rand(2, 3, 9, 5, generator=generator, dtype=torch.float64)
    at_middle = torch.rand(2, 9, 5, 2, generator=generator, dtype=torch.float64) * 2.4 - 1.2
    at_middle[:, 1::2] = at_middle[:, ::2][:, :4]
    sampled = torch.stack(
        [
            torch.nn.functional.grid_sample(
                features[:, k], at_middle, padding_mode="border", align_corners=False
            )
            for k in range(3)
        ],
        dim=1,
    )
    expected = (sampled * weights[:, :, None]).sum((1, 3))
    torch.testing.assert_close(sum_features(features, weights, at_middle), expected)


def arguments() -> dict[str, Any]:
    head, rays = smooth_head(4, 2, 3, batch=2), camera_rays(labels(2), 3)
    return {
        "features": head.features, "depth": head.depth, "optical_depth": head.optical_depth, "width": 0.02,
        "windows": head.windows, "depth_bounds": DEPTH_BOUNDS,
        "origins": rays.origins, "directions": rays.directions, "forward": rays.forward,
    }  # fmt: skip


def spoiled(name: str, value: float) -> Tensor:
    tensor = arguments()[name].clone()
    tensor.view(-1)[3] = value
    return tensor


WRONG = [
    ("features", arguments()["features"][:, :, 0], ValueError),
    ("features", arguments()["features"][..., :3], ValueError),
    ("features", arguments()["features"][0], ValueError),
    ("features", arguments()["features"].long(), TypeError),
    ("features", arguments()["features"][:, :, :0], ValueError),
    ("features", arguments()["features"].to("meta"), ValueError),
    ("depth", arguments()["depth"][:1], ValueError),
    ("depth", arguments()["depth"].half(), TypeError),
    ("depth", arguments()["depth"].tolist(), TypeError),
    ("depth", spoiled("depth", float("nan")), ValueError),
    ("depth", spoiled("depth", float("inf")), ValueError),
    ("optical_depth", arguments()["optical_depth"].double(), TypeError),
    ("optical_depth", arguments()["optical_depth"][:, :1], ValueError),
    ("optical_depth", spoiled("optical_depth", float("nan")), ValueError),
    ("optical_depth", spoiled("optical_depth", -0.1), ValueError),
    ("width", 0.0, ValueError),
    ("width", -1.0, ValueError),
    ("width", float("nan"), ValueError),
    ("width", torch.zeros(2, 3, 4, 4), ValueError),
    ("width", torch.ones(5), ValueError),
    ("width", torch.ones(3, 1, 1, dtype=torch.float64), TypeError),
    ("width", torch.ones(3, 1, 1, device="meta"), ValueError),
    ("windows", arguments()["windows"][:2], ValueError),
    ("windows", arguments()["windows"].flip(1), ValueError),
    ("windows", spoiled("windows", float("nan")), ValueError),
    ("rays.origins", ("origins", arguments()["origins"][:1]), ValueError),
    ("rays.origins", ("origins", arguments()["origins"][:, 0]), ValueError),
    ("rays.origins", ("origins", arguments()["origins"][:, :0]), ValueError),
    ("rays.origins", ("origins", spoiled("origins", float("nan"))), ValueError),
    ("rays.directions", ("directions", arguments()["directions"][:, :2]), ValueError),
    ("rays.directions", ("directions", arguments()["directions"] * 2), ValueError),
    ("rays.forward", ("forward", arguments()["forward"].double()), TypeError),
    ("rays.forward", ("forward", spoiled("forward", float("inf"))), ValueError),
    ("uniform", 1, ValueError),
    ("importance", -1, ValueError),
    ("depth_bounds", (0.3, 0.1), ValueError),
    ("depth_bounds", (0.1, float("nan")), ValueError),
    ("backend", "cuda11", ValueError),
]


@pytest.mark.parametrize(
    ("name", "value", "error"), WRONG, ids=[f"{row[0]}-{i}" for i, row in enumerate(WRONG)]
)
def test_wrong_arguments_are_named(name, value, error):
    given_arguments = arguments()
    key, value = value if name.startswith("rays.") else (name, value)
    given_arguments[key] = value
    rays = Rays(*(given_arguments.pop(part) for part in ("origins", "directions", "forward")))
    with pytest.raises(error, match=f"^{name} "):
        render(**given_arguments, rays=rays)
