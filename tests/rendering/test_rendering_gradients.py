"""First and second derivatives against finite differences, in double precision."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from ssgan_core.rendering import Rays
from ssgan_core.rendering.composite import absorbed_per_tau
from ssgan_core.rendering.gaussian import mean_gaussian
from ssgan_core.rendering.grid import render_grid
from ssgan_core.rendering.reference import place_boundaries, render_segments
from ssgan_core.rendering.sampling import Maps

BOUNDS = (-0.1, 0.1)


def scene(common_window: bool, width_map: bool) -> tuple[Maps, Rays]:
    """Two parts, two features, 3 x 3 maps, two rays that cross and do not touch texel centres."""
    generator = torch.Generator().manual_seed(1)

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(*shape, generator=generator, dtype=torch.float64)

    windows = torch.tensor([[-0.4, -0.4, 0.4, 0.4]] * 2, dtype=torch.float64)
    if not common_window:
        windows[1] = torch.tensor([-0.3, -0.45, 0.35, 0.3])
    width = uniform(0.04, 0.06, 1, 2, 3, 3) if width_map else torch.tensor(0.05, dtype=torch.float64)
    maps = Maps(
        uniform(-1, 1, 1, 2, 2, 3, 3),
        uniform(-0.1, 0.1, 1, 2, 3, 3),
        uniform(0.5, 2, 1, 2, 3, 3),
        width,
        windows,
        common_window,
    )
    directions = torch.tensor([[[0.13, 0.06, -1.0], [-0.21, -0.11, -1.0]]], dtype=torch.float64)
    origins = torch.tensor([[[-0.21, -0.09, 1.3], [0.43, 0.27, 1.3]]], dtype=torch.float64)
    forward = torch.tensor([[0.05, -0.02, -1.0]], dtype=torch.float64)
    return maps, Rays(origins, torch.nn.functional.normalize(directions, dim=-1), forward)


def differentiable(maps: Maps, rays: Rays, boundaries: Tensor):  # type: ignore[no-untyped-def]
    """The rendering as a function of everything that has a gradient, and the point where to test it."""

    def function(features, depth, kappa, width, origins, directions, forward):  # type: ignore[no-untyped-def]
        changed = replace(maps, features=features, depth=depth, optical_depth=kappa, width=width)
        return render_segments(changed, Rays(origins, directions, forward), boundaries)

    point = (
        maps.features, maps.depth, maps.optical_depth, maps.width,
        rays.origins, rays.directions, rays.forward,
    )  # fmt: skip
    return function, tuple(value.clone().requires_grad_() for value in point)


@pytest.mark.parametrize("common_window", [True, False])
@pytest.mark.parametrize("width_map", [True, False])
def test_first_and_second_derivatives(common_window, width_map):
    maps, rays = scene(common_window, width_map)
    boundaries = place_boundaries(maps, rays, BOUNDS, 3, 3)
    function, point = differentiable(maps, rays, boundaries)
    assert gradcheck(function, point)
    if width_map:
        assert gradgradcheck(function, point, atol=1e-4)


def test_small_and_large_steps_of_q_meet():
    """Values and gradients on both sides of the switch, and where q does not change at all."""
    middle = torch.linspace(-3, 3, 7, dtype=torch.float64)
    for step in (0.0, 1e-9, 0.0499, 0.0501, 0.3):
        q = torch.stack([middle - step / 2, middle + step / 2])[None, None].requires_grad_()
        fine = ((torch.arange(2000).double() + 0.5) / 2000 - 0.5)[:, None] * step + middle
        torch.testing.assert_close(
            mean_gaussian(q)[0, 0, 0], torch.exp(-fine.square() / 2).mean(0), atol=2e-7, rtol=0
        )
        if step != 0.0501 and step != 0.0499:
            assert gradcheck(mean_gaussian, q)
            assert gradgradcheck(mean_gaussian, q)
    for centre in (0.0, 40.0, -2000.0):
        q = torch.tensor([centre, centre, centre + 5, centre - 30]).reshape(1, 1, 4, 1).requires_grad_()
        value = mean_gaussian(q)
        (gradient,) = torch.autograd.grad(value.sum(), q, create_graph=True)
        (second,) = torch.autograd.grad(gradient.sum(), q)
        assert value.isfinite().all()
        assert gradient.isfinite().all()
        assert second.isfinite().all()


def test_absorption_has_clean_limits():
    tau = torch.tensor([0.0, 1e-300, 1e-9, 0.999e-3, 1.001e-3, 0.5, 700.0], dtype=torch.float64)
    expected = torch.cat([torch.ones(2, dtype=torch.float64), -torch.expm1(-tau[2:]) / tau[2:]])
    torch.testing.assert_close(absorbed_per_tau(tau), expected, rtol=1e-13, atol=0)
    single = torch.tensor([0.0, 1e-40, 1e-6, 1e-3, 1e30], requires_grad=True)
    (gradient,) = torch.autograd.grad(absorbed_per_tau(single).sum(), single, create_graph=True)
    (second,) = torch.autograd.grad(gradient.sum(), single)
    torch.testing.assert_close(gradient[:3], torch.full((3,), -0.5), atol=1e-5, rtol=0)
    torch.testing.assert_close(second[:3], torch.full((3,), 1 / 3), atol=1e-3, rtol=0)
    assert second.isfinite().all()


def test_gradients_of_the_grid_form():
    maps, rays = scene(common_window=False, width_map=True)

    def function(features, depth, kappa, width):  # type: ignore[no-untyped-def]
        # The slab, and with it the boundaries, follows the largest width: keep it out of the differences.
        widths = torch.cat([width.detach() * 0 + 0.06, width], dim=0)
        doubled = [torch.cat([value, value], dim=0) for value in (features, depth, kappa)]
        both = replace(maps, features=doubled[0], depth=doubled[1], optical_depth=doubled[2], width=widths)
        twice = Rays(*(torch.cat([v, v], dim=0) for v in (rays.origins, rays.directions, rays.forward)))
        return tuple(value[1:] for value in render_grid(both, twice, BOUNDS, 5, 0, 6))

    point = (maps.features, maps.depth, maps.optical_depth, maps.width)
    assert gradcheck(function, tuple(value.clone().requires_grad_() for value in point))
