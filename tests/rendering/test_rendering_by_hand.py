"""Rays whose answer is known: flat and tilted sheets, empty and grazing rays, and a brute-force integral."""

import math

import numpy as np
import pytest
import torch

from benchmarks.smooth_head import DEPTH_BOUNDS, labels, smooth_head
from ssgan_core.rendering import Rays, Rendering, camera_rays, render

SIZE = 4
WINDOW = [-0.4, -0.4, 0.4, 0.4]
WIDTH = 0.02


def one_ray(origin: tuple[float, float, float], direction: tuple[float, float, float]) -> Rays:
    towards = torch.nn.functional.normalize(torch.tensor(direction, dtype=torch.float64), dim=0)
    return Rays(torch.tensor(origin, dtype=torch.float64)[None, None], towards[None, None], towards[None])


def sheets(kappas: list[float], depths: list[float], rays: Rays, windows=None, **options) -> Rendering:
    """Flat sheets; part k has the feature vector (1, k + 1)."""
    parts = len(kappas)
    flat = torch.ones(1, parts, SIZE, SIZE, dtype=torch.float64)
    values = torch.stack([torch.ones(parts), torch.arange(1.0, parts + 1)], dim=1).double()
    return render(
        values[None, :, :, None, None].expand(1, parts, 2, SIZE, SIZE),
        flat * torch.tensor(depths)[:, None, None],
        flat * torch.tensor(kappas)[:, None, None],
        WIDTH,
        torch.tensor(windows or [WINDOW] * parts, dtype=torch.float64),
        rays,
        **({"depth_bounds": (-0.2, 0.2), "backend": "reference"} | options),
    )


AHEAD = one_ray((0.1, 0.05, 2.7), (0, 0, -1))


@pytest.mark.parametrize("kappa", [0.5, 2.0, 20.0])
def test_one_sheet_absorbs_by_its_optical_depth(kappa):
    seen = sheets([kappa], [0.03], AHEAD)
    assert seen.masks.item() == pytest.approx(1 - math.exp(-kappa), abs=1e-9)
    assert seen.transmittance.item() == pytest.approx(math.exp(-kappa), rel=1e-9)
    torch.testing.assert_close(seen.features[0, :, 0], seen.masks[0, 0].expand(2), rtol=1e-9, atol=0)
    assert seen.depth.item() / seen.masks.item() == pytest.approx(2.67, abs=2 * WIDTH)


def test_depth_is_along_the_optical_axis_not_the_ray():
    rays = one_ray((0.1, 0.05, 2.7), (0.05, 0.02, -1))
    rays = Rays(rays.origins, rays.directions, torch.tensor([[0.0, 0.0, -1.0]], dtype=torch.float64))
    thin = sheets([20.0], [0.03], rays, uniform=1025, importance=0)
    assert thin.depth.item() == pytest.approx(2.67, abs=2 * WIDTH)
    assert thin.depth.item() == pytest.approx(
        sheets([20.0], [0.03], AHEAD, uniform=1025).depth.item(), abs=1e-4
    )


def test_the_nearer_of_two_sheets_hides_the_other():
    near_first = sheets([1.0, 2.0], [0.1, -0.1], AHEAD)
    expected = [1 - math.exp(-1), math.exp(-1) * (1 - math.exp(-2))]
    assert near_first.masks[0, :, 0].tolist() == pytest.approx(expected, abs=1e-6)
    assert near_first.transmittance.item() == pytest.approx(math.exp(-3), rel=1e-9)
    assert near_first.features[0, 1, 0].item() == pytest.approx(expected[0] + 2 * expected[1], abs=1e-6)

    far_first = sheets([1.0, 2.0], [-0.1, 0.1], AHEAD)
    expected = [math.exp(-2) * (1 - math.exp(-1)), 1 - math.exp(-2)]
    assert far_first.masks[0, :, 0].tolist() == pytest.approx(expected, abs=1e-6)


def test_two_sheets_in_one_place_share_by_optical_depth():
    seen = sheets([1.0, 3.0], [0.0, 0.0], AHEAD)
    assert seen.masks[0, 1, 0].item() == pytest.approx(3 * seen.masks[0, 0, 0].item(), rel=1e-12)
    assert seen.masks.sum().item() == pytest.approx(1 - math.exp(-4), rel=1e-9)


@pytest.mark.parametrize(
    "rays",
    [
        one_ray((0.9, 0.0, 2.7), (0, 0, -1)),  # beside the window
        one_ray((0.0, 0.0, 2.7), (0, 0, 1)),  # away from it
        one_ray((0.0, 0.0, 2.7), (1, 0, 0)),  # above the slab, parallel to it
        one_ray((0.6, 0.0, 2.7), (0, 1, 0)),
    ],
)
def test_a_ray_that_misses_the_box_sees_the_background_only(rays):
    seen = sheets([5.0, 5.0], [0.0, 0.1], rays)
    assert seen.transmittance.item() == 1
    assert not seen.masks.any()
    assert not seen.features.any()
    assert seen.depth.item() == 0


def test_an_empty_ray_is_exactly_empty_and_its_gradients_are_finite():
    kappa = torch.zeros(1, 1, SIZE, SIZE, requires_grad=True)
    depth = torch.zeros(1, 1, SIZE, SIZE, requires_grad=True)
    rays = Rays(AHEAD.origins.float(), AHEAD.directions.float(), AHEAD.forward.float())
    features = torch.ones(1, 1, 2, SIZE, SIZE)
    window, bounds = torch.tensor([WINDOW]), (-0.2, 0.2)
    seen = render(features, depth, kappa, WIDTH, window, rays, depth_bounds=bounds, backend="reference")
    assert seen.transmittance.item() == 1
    assert not seen.masks.any()
    assert not seen.features.any()
    (seen.masks.sum() + seen.depth.sum() + seen.transmittance.sum()).backward()
    assert kappa.grad is not None
    assert depth.grad is not None
    assert kappa.grad.isfinite().all()
    assert kappa.grad.any()
    assert depth.grad.isfinite().all()


@pytest.mark.parametrize("widths_away", [0.0, 0.5, 2.0])
def test_a_grazing_ray_integrates_along_the_sheet(widths_away):
    rays = one_ray((-2.0, 0.03, widths_away * WIDTH), (1, 0, 0))
    seen = sheets([0.1], [0.0], rays, uniform=2049, importance=0)
    tau = 0.1 / (WIDTH * math.sqrt(2 * math.pi)) * math.exp(-(widths_away**2) / 2) * 0.8
    assert seen.transmittance.item() == pytest.approx(math.exp(-tau), abs=1e-5)


def test_a_part_ends_where_its_window_does():
    windows = [WINDOW, [-0.4, -0.4, 0.0, 0.4]]
    left, right = one_ray((-0.2, 0, 2.7), (0, 0, -1)), one_ray((0.2, 0, 2.7), (0, 0, -1))
    seen = sheets([1.0, 1.0], [0.0, 0.1], left, windows)
    assert seen.masks[0, 1].item() == pytest.approx(1 - math.exp(-1), abs=1e-3)
    seen = sheets([1.0, 1.0], [0.0, 0.1], right, windows)
    assert seen.masks[0, :, 0].tolist() == pytest.approx([1 - math.exp(-1), 0], abs=1e-9)


@pytest.mark.parametrize("width", [0.02, 0.002])
@pytest.mark.parametrize("slope", [0.0, 0.6, -0.9])
def test_a_tilted_plane_has_a_closed_form_however_thin(slope, width):
    size = 16
    x = (torch.arange(size).double() + 0.5) / size * 0.8 - 0.4
    depth = (slope * x).expand(1, 1, size, size)
    rays = one_ray((0.5, 0.03, 2.7), (-0.18, 0.01, -1))
    seen = render(
        torch.ones(1, 1, 1, size, size, dtype=torch.float64),
        depth,
        torch.full_like(depth, 1.5),
        width,
        torch.tensor([WINDOW], dtype=torch.float64),
        rays,
        depth_bounds=(-0.2, 0.2),
        uniform=4,
        importance=4,
        backend="reference",
    )
    towards = rays.directions[0, 0]
    tau = 1.5 / abs(towards[2] - slope * towards[0]).item()
    assert seen.transmittance.item() == pytest.approx(math.exp(-tau), rel=1e-9)


def test_the_segments_converge_to_a_brute_force_integral():
    """Density, texels and compositing written again in NumPy, 20,000 midpoints a ray."""
    size, parts, width = 9, 3, 0.03
    head = smooth_head(size, 2, parts, seed=3, dtype=torch.float64)
    windows = torch.tensor([WINDOW, [-0.3, -0.35, 0.3, 0.2], [-0.25, -0.4, 0.4, 0.4]], dtype=torch.float64)
    rays = camera_rays(labels(1, 0.5, dtype=torch.float64), 3)
    seen = render(
        *head.arguments(), width, windows, rays,
        depth_bounds=DEPTH_BOUNDS, uniform=4097, importance=0, backend="reference",
    )  # fmt: skip

    def texels(
        image: np.ndarray, window: np.ndarray, x: np.ndarray, y: np.ndarray, outside: str
    ) -> np.ndarray:
        column = (x - window[0]) / (window[2] - window[0]) * size - 0.5
        row = (window[3] - y) / (window[3] - window[1]) * size - 0.5
        mode = {"mode": "constant"} if outside == "zero" else {"mode": "edge"}
        padded = np.pad(image, 1, **mode)  # type: ignore[call-overload]
        column, row = np.clip(column, -1, size) + 1, np.clip(row, -1, size) + 1
        i, j = np.minimum(row.astype(int), size), np.minimum(column.astype(int), size)
        v, u = row - i, column - j
        upper = padded[i, j] * (1 - u) + padded[i, j + 1] * u
        return upper * (1 - v) + (padded[i + 1, j] * (1 - u) + padded[i + 1, j + 1] * u) * v

    steps = 20_000
    for pixel in range(9):
        origin, towards = rays.origins[0, pixel].numpy(), rays.directions[0, pixel].numpy()
        distance = 1.8 + (np.arange(steps) + 0.5) / steps * 1.6
        x, y, z = (origin[:, None] + towards[:, None] * distance).copy()
        density = np.zeros((parts, steps))
        values = np.zeros((parts, 2, steps))
        for k, window in enumerate(windows.numpy()):
            d = texels(head.depth[0, k].numpy(), window, x, y, "edge")
            kappa = texels(head.optical_depth[0, k].numpy(), window, x, y, "zero")
            density[k] = kappa / (width * math.sqrt(2 * math.pi)) * np.exp(-0.5 * ((z - d) / width) ** 2)
            values[k] = [texels(f, window, x, y, "edge") for f in head.features[0, k].numpy()]
        tau = density * 1.6 / steps
        total = tau.sum(0)
        before = np.exp(-(np.cumsum(total) - total))
        weights = tau / np.maximum(total, 1e-300) * before * -np.expm1(-total)
        z_cam = distance * (towards @ rays.forward[0].numpy())
        np.testing.assert_allclose(seen.masks[0, :, pixel], weights.sum(1), atol=1e-4)
        np.testing.assert_allclose(seen.transmittance[0, pixel], np.exp(-total.sum()), atol=1e-4)
        np.testing.assert_allclose(seen.depth[0, pixel], (weights.sum(0) * z_cam).sum(), atol=3e-4)
        np.testing.assert_allclose(
            seen.features[0, :, pixel], (weights[:, None] * values).sum((0, 2)), atol=2e-4
        )
