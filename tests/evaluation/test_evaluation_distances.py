"""Frechet distance, coverage, sliced Wasserstein distance, variety and neighbours, worked out by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ssgan_core.evaluation.coverage import coverage, expected_coverage
from ssgan_core.evaluation.frechet import frechet_distance, symmetric_root
from ssgan_core.evaluation.sliced_wasserstein import (
    PATCH,
    draw_patches,
    laplacian_pyramid,
    sliced_wasserstein,
)
from ssgan_core.evaluation.variety import mean_distance, nearest
from ssgan_core.layers import gaussian_blur, up2

SEEDS = st.integers(0, 2**31)


# ------------------------------------------------------------------------------------------ Frechet


def test_frechet_distance_by_hand():
    first = np.array([[-1.0, 0], [1, 0], [0, -1], [0, 1]])  # covariance 2/3 of the identity
    assert frechet_distance(first, first + np.array([3, 4])) == pytest.approx(25)
    # Along each axis (sqrt(2/3) - 2 sqrt(2/3))^2 = 2/3.
    assert frechet_distance(first, 2 * first) == pytest.approx(4 / 3)
    # One point: only the other's traces remain.
    assert frechet_distance(np.zeros((5, 2)), first) == pytest.approx(4 / 3)
    # Covariances that do not commute: diag(4/3, 0) against the same turned by 45 degrees.
    line = np.array([[-1.0, 0], [1, 0], [1, 0], [-1, 0]])
    turned = line @ np.array([[1, 1], [-1, 1]]) / np.sqrt(2)
    assert frechet_distance(line, turned) == pytest.approx(4 / 3 + 4 / 3 - 2 * 4 / 3 * np.sqrt(0.5))


@given(SEEDS)
@settings(max_examples=25, deadline=None, derandomize=True)
def test_frechet_distance_is_a_distance(seed):
    rng = np.random.default_rng(seed)
    rows, width = rng.integers(2, 12), rng.integers(1, 20)  # often fewer rows than columns
    first, second = (rng.normal(rng.normal(), rng.uniform(0.1, 3), (rows, width)) for _ in range(2))
    there, back = frechet_distance(first, second), frechet_distance(second, first)
    assert there == pytest.approx(back, rel=1e-6, abs=1e-7)
    assert frechet_distance(first, first) == pytest.approx(0, abs=1e-6)
    turn = np.linalg.qr(rng.normal(size=(width, width)))[0]
    assert frechet_distance(first @ turn + 7, second @ turn + 7) == pytest.approx(there, rel=1e-5, abs=1e-6)
    assert frechet_distance(3 * first, 3 * second) == pytest.approx(9 * there, rel=1e-5, abs=1e-6)


def test_frechet_distance_of_ill_conditioned_features_stays_finite():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(40, 120)) * np.logspace(-9, 3, 120)
    other = features.copy()
    other[:, :20] = 0
    assert 0 <= frechet_distance(features, features) < 1e-3
    assert np.isfinite(frechet_distance(features, other))
    root = symmetric_root(np.cov(features, rowvar=False))
    assert np.allclose(root @ root, np.cov(features, rowvar=False), atol=1e-8)


def test_frechet_distance_wants_rows():
    with pytest.raises(ValueError, match="two at least"):
        frechet_distance(np.zeros((1, 3)), np.zeros((5, 3)))


# ----------------------------------------------------------------------------------------- coverage


def test_coverage_by_hand():
    real = np.array([[0.0], [1], [3], [7]])  # nearest real neighbours at distance 1, 1, 2, 4
    assert coverage(real, np.array([[0.5]]), 1) == 0.5
    assert coverage(real, np.array([[4.0]]), 1) == 0.5  # 3 within 1 < 2, 7 within 3 < 4
    assert coverage(real, np.array([[2.0]]), 1) == 0.25  # exactly at the radius of 1 does not count
    assert coverage(real, np.array([[100.0]]), 1) == 0
    assert coverage(real, real, 1) == 1


@given(SEEDS)
@settings(max_examples=20, deadline=None, derandomize=True)
def test_coverage_grows_with_samples_and_ignores_order(seed):
    rng = np.random.default_rng(seed)
    real, other = rng.normal(size=(30, 3)), rng.normal(size=(20, 3))
    value = coverage(real, other)
    assert 0 <= value <= 1
    assert coverage(real, np.concatenate([other, rng.normal(size=(5, 3))])) >= value
    assert coverage(real[rng.permutation(30)], other[rng.permutation(20)]) == value
    assert coverage(5 * real, 5 * other) == pytest.approx(value)


def test_coverage_of_the_same_distribution_is_as_expected_and_collapse_is_seen():
    rng = np.random.default_rng(0)
    real, other = rng.normal(size=(600, 4)), rng.normal(size=(600, 4))
    assert expected_coverage(600, 600) == pytest.approx(1 - 0.5**5, abs=0.002)
    assert coverage(real, other) == pytest.approx(expected_coverage(600, 600), abs=0.03)
    assert coverage(real, np.repeat(other[:1], 600, axis=0)) < 0.1
    assert expected_coverage(2, 1, 1) == pytest.approx(1 - 1 / 2)
    with pytest.raises(ValueError, match="neighbours"):
        coverage(real[:5], other)


# ------------------------------------------------------------------------------- sliced Wasserstein


def test_laplacian_pyramid_adds_up_and_ends_at_16():
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    levels = laplacian_pyramid(images)
    assert [level.shape[-1] for level in levels] == [64, 32, 16]
    whole = levels[2]
    for level in levels[1::-1]:
        whole = up2(whole) + level
    assert torch.allclose(whole, images, atol=1e-6)
    flat = laplacian_pyramid(torch.full((1, 3, 64, 64), 0.3))
    assert flat[0].abs().max() < 1e-6
    assert torch.allclose(flat[2], torch.tensor(0.3))


def test_patches_are_cut_from_their_picture():
    values = torch.arange(16 * 16, dtype=torch.float32).view(1, 1, 16, 16)
    level = torch.cat([values, values + 1000, values + 2000], 1).repeat(2, 1, 1, 1)
    level[1] *= -1
    patches = draw_patches(level, 5, np.random.default_rng(0)).view(2, 5, 3, PATCH, PATCH)
    assert (patches[0] >= 0).all()
    assert (patches[1] <= 0).all()
    for patch in patches[0]:
        corner = int(patch[0, 0, 0])
        row, column = divmod(corner, 16)
        assert patch[0].equal(values[0, 0, row : row + PATCH, column : column + PATCH])
        assert patch[1].equal(patch[0] + 1000)


def test_sliced_wasserstein_by_hand():
    rng = torch.Generator().manual_seed(0)
    reference = torch.randn(400, 3 * PATCH**2, generator=rng)
    assert sliced_wasserstein(reference, reference[torch.randperm(400, generator=rng)]) < 1e-2
    # Twice as spread after normalisation: along every direction the quantiles double, by E|x| = .8 on average.
    spread = 2 * (reference - reference.mean(0)) + reference.mean(0)
    assert sliced_wasserstein(reference, spread) == pytest.approx(1000 * np.sqrt(2 / np.pi), rel=0.05)
    # Units of the reference: a common factor changes nothing.
    assert sliced_wasserstein(7 * reference, 7 * spread) == pytest.approx(
        sliced_wasserstein(reference, spread), rel=1e-4
    )


def test_sliced_wasserstein_sees_blur_noise_and_colour():
    rng = torch.Generator().manual_seed(0)
    real, other = (
        gaussian_blur(torch.randn(32, 3, 64, 64, generator=rng), 0.7).clamp(-1, 1) for _ in range(2)
    )

    def distance(images):
        clouds = (draw_patches(laplacian_pyramid(x)[0], 32, np.random.default_rng(0)) for x in (real, images))
        return sliced_wasserstein(*clouds)

    floor = distance(other)
    assert distance(gaussian_blur(other, 2.0)) > 4 * floor
    assert distance(other + 0.3 * torch.randn(other.shape, generator=rng)) > 2 * floor
    tinted = other * torch.tensor([1.0, 0.2, 1.0])[:, None, None]
    assert distance(tinted) > 2 * floor


# ------------------------------------------------------------------------------ variety, neighbours


def test_mean_distance_by_hand():
    rows = torch.tensor([[0.0, 0], [3, 4], [0, 0]])
    assert mean_distance(rows, torch.zeros(3, 2)) == pytest.approx(5 / 3 / np.sqrt(2))
    assert mean_distance(rows, rows) == 0


@given(SEEDS)
@settings(max_examples=20, deadline=None, derandomize=True)
def test_nearest_agrees_with_brute_force(seed):
    rng = np.random.default_rng(seed)
    rows, among = rng.normal(size=(7, 2, 3)), rng.normal(size=(9, 2, 3))
    index, distance = nearest(torch.from_numpy(rows), torch.from_numpy(among))
    brute = np.sqrt(((rows[:, None] - among[None]) ** 2).mean((2, 3)))
    assert index.tolist() == brute.argmin(1).tolist()
    assert np.allclose(distance, brute.min(1), atol=1e-5)
