"""Random transformations of what the discriminator sees: aligned, lossless where promised, differentiable twice."""

import math

import pytest
import torch
import torch.nn.functional as F

from ssgan_core.config import AugmentationConfig
from ssgan_core.layers import box_average
from ssgan_core.training import augmentation
from ssgan_core.training.augmentation import (
    MOST_PROBABILITY,
    Adaptation,
    augment,
    draw_colours,
    draw_geometry,
    recolour,
    resample,
    sample_bilinear,
)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def chance(count: int, probability: float = 0.8, seed: int = 0):
    return augmentation._Chance(count, probability, seeded(seed))


def hills(size: int) -> torch.Tensor:
    """A smooth picture [1, 1, size, size], the same at every size."""
    places = (torch.arange(size) + 0.5) / size * 2 - 1
    return (torch.sin(3 * places + 1)[:, None] * torch.cos(2 * places))[None, None]


def test_without_probability_nothing_is_drawn():
    images, masks, rng = torch.randn(2, 6, 8, 8), torch.randn(2, 3, 4, 4), seeded()
    before = rng.get_state()
    unchanged = augment(images, masks, 0.0, rng)
    assert unchanged[0] is images
    assert unchanged[1] is masks
    assert torch.equal(rng.get_state(), before)


def test_images_and_masks_move_together():
    inverse, zoom = draw_geometry(chance(16), 16)
    assert (zoom < 1).any()
    image = resample(hills(64).expand(16, 1, 64, 64), inverse, zoom)
    mask = resample(hills(16).expand(16, 1, 16, 16), inverse, zoom)
    assert (box_average(image, 16) - mask)[..., 2:-2, 2:-2].abs().max() < 0.06
    moved = (mask - hills(16)).abs().amax((1, 2, 3))
    assert (moved > 0.2).any()


def test_shifts_are_whole_pixels_of_the_rendering_and_lose_nothing():
    image, mask = torch.randn(1, 3, 16, 16), torch.randn(1, 2, 8, 8)
    inverse = torch.tensor([[[1.0, 0, -2 / 8], [0, 1, 0]]])  # to the right by one pixel of the mask
    one = torch.ones(1)
    torch.testing.assert_close(resample(image, inverse, one)[..., 2:], image[..., :-2])
    moved = resample(mask, inverse, one)
    torch.testing.assert_close(moved[..., 1:], mask[..., :-1])
    torch.testing.assert_close(moved[..., 0], mask[..., 0])  # reflected
    shifts = draw_geometry(chance(200), 8)[0]
    plain = shifts[(shifts[:, :, :2] == torch.eye(2)).all((1, 2))]
    assert len(plain.unique(dim=0)) > 3
    assert (plain[:, :, 2] * 4 % 1 == 0).all()
    assert plain[:, :, 2].abs().max() <= 2 * 0.125


def test_geometry_is_as_wide_as_documented():
    inverse, zoom = draw_geometry(chance(4000), 64)
    rolls = torch.atan2(inverse[:, 0, 1], inverse[:, 0, 0])
    rolled = rolls[rolls != 0]
    assert len(rolled) / 4000 == pytest.approx(0.8, abs=0.03)
    assert math.degrees(rolled.std()) == pytest.approx(8, abs=0.5)
    assert zoom[zoom != 1].log2().std().item() == pytest.approx(0.2, abs=0.02)
    scales = torch.linalg.det(inverse[:, :, :2]).rsqrt()
    torch.testing.assert_close(scales, zoom)  # isotropic


def test_what_shrinks_is_averaged():
    """Stripes too fine for the smaller picture turn grey instead of into other stripes."""
    stripes = torch.tensor([1.0, -1.0]).repeat(32).expand(1, 1, 64, 64)
    zoom = torch.tensor([0.6])
    inverse = torch.tensor([[[1 / 0.6, 0, 0], [0, 1 / 0.6, 0]]])
    grid = F.affine_grid(inverse, [1, 1, 64, 64], align_corners=False)
    naive = sample_bilinear(stripes, grid)
    assert resample(stripes, inverse, zoom).std() < 0.6 * naive.std()


def test_colours_are_rotations_and_scalings_about_grey():
    matrix, offset = draw_colours(chance(500))
    grey = torch.ones(500, 3, 1)
    on_grey = matrix @ grey
    torch.testing.assert_close(on_grey, on_grey[:, :1].expand(-1, 3, -1), atol=1e-5, rtol=1e-5)
    assert (on_grey[:, 0] < 0).float().mean().item() == pytest.approx(0.4, abs=0.06)  # luma flips
    torch.testing.assert_close(offset, offset[:, :1].expand(-1, 3), atol=1e-5, rtol=1e-4)
    # Off the axis of greys: a turn times saturation times contrast, the same for any direction.
    directions = torch.tensor([[1.0, -1, 0], [1, 1, -2]]).T
    lengths = (matrix @ directions).norm(dim=1) / directions.norm(dim=0)
    torch.testing.assert_close(lengths[:, 0], lengths[:, 1], rtol=1e-4, atol=1e-5)


def test_both_pictures_of_an_example_are_coloured_alike():
    matrix, offset = draw_colours(chance(4))
    picture = torch.rand(4, 3, 2, 2)
    out = recolour(torch.cat([picture, picture], 1), matrix, offset)
    assert torch.equal(out[:, :3], out[:, 3:])
    by_hand = matrix[1] @ picture[1, :, 0, 1] + offset[1]
    torch.testing.assert_close(out[1, :3, 0, 1], by_hand)


def test_cutout_blanks_the_same_square_of_image_and_masks():
    images, masks = torch.ones(64, 3, 32, 32), torch.ones(64, 2, 8, 8)
    wiped, wiped_masks = augment(images, masks, 0.5, seeded(), cutout=True)
    # The square is half as wide as the picture, or less where it reaches over the edge.
    blank = (wiped[:, :1] == 0).float()
    assert 0 < blank.mean() < 0.5 * 0.25
    torch.testing.assert_close(box_average(blank, 8), (wiped_masks[:, :1] == 0).float(), atol=0.76, rtol=0)


@pytest.mark.parametrize("seed", range(2))
def test_the_second_derivative_is_right(seed):
    generator = seeded(10)
    images = torch.randn(2, 3, 4, 4, dtype=torch.float64, generator=generator, requires_grad=True)
    masks = torch.randn(2, 2, 2, 2, dtype=torch.float64, generator=generator, requires_grad=True)

    def function(images, masks):
        out = augment(images, masks, 0.8, seeded(seed), cutout=True)
        return [x**2 for x in out]  # what makes the second derivative depend on the first

    transformed = function(images, masks)
    assert all((out != x**2).any() for out, x in zip(transformed, (images, masks), strict=True))
    assert torch.autograd.gradcheck(function, (images, masks), fast_mode=True)
    assert torch.autograd.gradgradcheck(function, (images, masks), fast_mode=True)


def test_the_probability_follows_the_signs_and_stays_in_range():
    config = AugmentationConfig(mode="adaptive", target=0.6, kimg=1.0)
    adaptation = Adaptation(0.0)
    for sign in (1.0, 1.0, 1.0, 0.0):
        assert adaptation.probability == 0
        adaptation.observe(sign, 32, config)
    assert adaptation.probability == pytest.approx(4 * 32 / 1000)  # 0.75 lies above the target
    for _ in range(4):
        adaptation.observe(0.5, 32, config)
    assert adaptation.probability == pytest.approx(0)
    for _ in range(400):
        adaptation.observe(1.0, 32, config)
    assert adaptation.probability == MOST_PROBABILITY
    for _ in range(400):
        adaptation.observe(-1.0, 32, config)
    assert adaptation.probability == 0


def test_from_0_to_1_takes_kimg():
    adaptation = Adaptation(0.0)
    steps = 0
    while adaptation.probability < 0.499:
        adaptation.observe(1.0, 25, AugmentationConfig(mode="adaptive", kimg=2.0))
        steps += 1
    assert steps * 25 == 1000
