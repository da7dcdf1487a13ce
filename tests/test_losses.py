"""Loss terms on hand-computed numbers."""

import math

import pytest
import torch

from ssgan_core import losses
from ssgan_core.layers import box_average, resize_bilinear


def test_logistic_losses_by_hand():
    logits = torch.tensor([[0.0], [2.0]])
    expected = (math.log(2) + math.log1p(math.exp(-2))) / 2
    assert losses.generator_loss(logits) == pytest.approx(expected)
    assert losses.discriminator_loss(logits, -logits) == pytest.approx(2 * expected, rel=1e-6)


def test_all_places_together_weigh_as_much_as_the_whole():
    logits = torch.tensor([[0.0, 1.0, 3.0], [2.0, -1.0, 5.0]])
    whole = (math.log(2) + math.log1p(math.exp(-2))) / 2
    places = sum(math.log1p(math.exp(-x)) for x in (1, 3, -1, 5)) / 4
    assert losses.generator_loss(logits) == pytest.approx(whole + places)
    assert losses.relativistic_generator_loss(0 * logits, logits) == pytest.approx(whole + places)
    assert losses.discriminator_loss(logits, -logits) == pytest.approx(2 * (whole + places))


def test_relativistic_losses_by_hand():
    real, fake = torch.tensor([[1.0], [-1.0]]), torch.tensor([[0.0], [2.0]], requires_grad=True)
    generator = losses.relativistic_generator_loss(real, fake)
    assert generator.item() == pytest.approx((math.log1p(math.e) + math.log1p(math.exp(-3))) / 2)
    (gradient,) = torch.autograd.grad(generator, fake)
    sigmoid = [-1 / (1 + math.exp(-1)) / 2, -1 / (1 + math.exp(3)) / 2]
    assert gradient.flatten().tolist() == pytest.approx(sigmoid)
    discriminator = losses.relativistic_discriminator_loss(real, fake)
    assert discriminator.item() == pytest.approx((math.log1p(math.exp(-1)) + math.log1p(math.exp(3))) / 2)
    # A value common to all logits, such as a camera's, changes nothing.
    shifted = losses.relativistic_discriminator_loss(real + 5, fake + 5)
    assert shifted.item() == pytest.approx(discriminator.item())


def test_share_of_a_change_that_leaks_by_hand():
    change = torch.zeros(2, 4, 4)
    change[0, 0, 0], change[0, 3, 3] = 3.0, 1.0  # a quarter outside
    change[1, 3, 3] = 0.016  # all of it outside, but next to nothing: 0.001 in the mean
    region = torch.zeros(2, 4, 4, dtype=torch.bool)
    region[:, :2, :2] = True
    change.requires_grad_()
    share = losses.leaked_share(change, region, 0.01)
    assert share.item() == pytest.approx((0.25 + 0.1) / 2)
    (gradient,) = torch.autograd.grad(share, change)
    assert gradient[0, 3, 3].item() == pytest.approx(0.25 / 2)
    assert not gradient[region].any()


def stripes(period: int, shift: int, height: float) -> torch.Tensor:
    """[1, 3, 32, 32]: vertical grey stripes, half of them higher."""
    return (((torch.arange(32) + shift) % period < period // 2) * height).expand(1, 3, 32, 32)


def test_textures_agree_wherever_their_strands_run():
    distance = losses.texture_distance(stripes(4, 0, 0.5), stripes(4, 1, 0.5))
    assert distance < 0.1 * losses.texture_distance(stripes(4, 0, 0.5), torch.zeros(1, 3, 32, 32))


def test_textures_differ_in_contrast_and_direction_by_hand():
    # A slope of 0.5 at every pixel, across alone, its mean square 0.25.
    strong, weak = stripes(2, 0, 0.5), stripes(2, 0, 0.25)
    rms = (0.25 + 1e-4) ** 0.5
    contrast = rms - (0.25 / 4 + 1e-4) ** 0.5
    # One of three channels differs: grey has no differences of colours.
    expected = (contrast + 2 * 0.75 * 0.25 / rms) / 3
    assert losses.texture_distance(weak, strong).item() == pytest.approx(expected, rel=1e-3)
    assert losses.texture_distance(strong.mT, strong).item() == pytest.approx(2 * 0.25 / rms / 3, rel=1e-3)
    # Strands across one another run in no direction: as far from the truth's as all of that.
    crossed = (strong + strong.mT) / 2**0.5
    assert losses.texture_distance(crossed, strong).item() == pytest.approx(2 * 0.25 / rms / 3, rel=0.01)
    coloured = strong * torch.tensor([1.0, 0.5, 1.5])[:, None, None]
    # Red less green: stripes half as high.
    assert losses.texture_distance(coloured, strong) > 0.9 * 0.25 / 3


def test_textures_count_where_they_are_weighted():
    strong, weak = stripes(2, 0, 0.5), stripes(2, 0, 0.25)
    everywhere = losses.texture_distance(weak, strong)
    weights = torch.full((1, 1, 32, 32), 0.3)
    assert losses.texture_distance(weak, strong, weights).item() == pytest.approx(0.3 * everywhere.item())
    weights[..., :26, :] = 0
    mixed = torch.cat([strong[..., :16, :], weak[..., 16:, :]], 2)
    assert losses.texture_distance(mixed, weak, weights) < 0.02 * everywhere


def test_faint_details_are_pulled_towards_the_wanted_contrast():
    faint = (0.02 * stripes(4, 0, 1.0)).requires_grad_()
    (gradient,) = torch.autograd.grad(losses.texture_distance(faint, stripes(4, 2, 0.5)), faint)
    step = faint.detach() - 200 * gradient
    assert step[..., 8:-8, 8:-8].std() > 2 * faint[..., 8:-8, 8:-8].std()


def test_r1_of_a_linear_discriminator():
    images = torch.zeros(2, 3, 4, 4, requires_grad=True)
    masks = torch.zeros(2, 2, 2, 2, requires_grad=True)
    logits = (2 * images.sum((1, 2, 3)) + 3 * masks.sum((1, 2, 3)))[:, None]
    rng = torch.Generator().manual_seed(0)
    # |gradient|^2 is 4 for each of 48 pixels and 9 for each of 8.
    assert losses.gradient_penalty(logits, images, masks, 0.5, 0.25, rng) == pytest.approx(
        0.5 * (0.5 * 192 + 0.25 * 72)
    )


def test_r1_of_places_is_their_mean():
    """Places that see all the same pixels: one pass with random signs gives the mean of |gradient|^2 on average."""
    images = torch.zeros(400, 1, 2, 2, requires_grad=True)
    masks = torch.zeros(400, 1, 2, 2, requires_grad=True)
    slopes = torch.tensor([[1.0, 2.0, 0.0, 0.0], [1.0, 0.0, 3.0, 0.0], [0.0, 0.0, 2.0, 1.0]])
    places = images.flatten(1) @ slopes.T + 0 * masks.sum()
    whole = 0 * images.sum((1, 2, 3))[:, None]
    rng = torch.Generator().manual_seed(0)
    penalty = losses.gradient_penalty(torch.cat([whole, places], 1), images, masks, 2.0, 1.0, rng)
    assert penalty == pytest.approx((5 + 10 + 5) / 3, rel=0.1)
    wide = torch.cat([whole, places.repeat(1, 48)[:, :100]], 1)  # 10 x 10 places, each of which sees 5 x 5
    penalty = losses.gradient_penalty(wide, images, masks, 2.0, 1.0, rng)
    assert penalty == pytest.approx((5 + 10 + 5) / 3 / 4, rel=0.1)
    # Summed without signs the products of gradients would count, too: |(2, 2, 5, 1)|^2 / 3 = 11.3.


def test_gammas_scale_with_size():
    assert losses.default_image_gamma(128, 64) == pytest.approx(0.0512)
    assert losses.default_mask_gamma(64) == pytest.approx(15.625)


def test_curvature_is_blind_to_planes_and_sees_only_opaque_texels():
    y, x = torch.meshgrid(torch.arange(6.0), torch.arange(6.0), indexing="ij")
    plane = (2 * x - 3 * y)[None, None]
    opaque = torch.full_like(plane, 20)
    assert losses.depth_curvature(plane, opaque) == pytest.approx(0, abs=1e-9)
    bowl = (x**2)[None, None]  # second difference 2 along x only
    assert losses.depth_curvature(bowl, opaque) == pytest.approx(4, rel=1e-4)
    assert losses.depth_curvature(bowl, torch.zeros_like(bowl)) == 0


def test_real_masks_are_area_averages_moved_towards_uniform():
    ids = torch.tensor([[[0, 1], [1, 1]]])
    masks = losses.real_mask_channels(ids, 4, 1, 0.0)
    assert masks.flatten().tolist() == [0.25, 0.75, 0, 0]
    smoothed = losses.real_mask_channels(ids, 4, 1, 0.2)
    assert smoothed.flatten().tolist() == pytest.approx([0.25, 0.65, 0.05, 0.05])


def test_real_maps_are_made_as_sharp_as_rendered_ones():
    ids = torch.randint(0, 3, (2, 16, 16), generator=torch.Generator().manual_seed(0))
    masks = losses.real_mask_channels(ids, 3, 16, 0.1)
    assert losses.with_fewer_rays(masks, 16) is masks
    coarse = losses.with_fewer_rays(masks, 6)
    assert coarse.shape == masks.shape
    torch.testing.assert_close(coarse.sum(1), torch.ones(2, 16, 16))
    halved = losses.with_fewer_rays(masks, 8)
    torch.testing.assert_close(halved, resize_bilinear(box_average(masks, 8), 16))


def test_judged_masks_lie_between_minus_one_and_one():
    masks = losses.real_mask_channels(torch.randint(0, 3, (2, 8, 8)), 3, 8, 0.0)
    judged = losses.judged_masks(masks, 1.0)
    assert judged.min() >= -1 - 1e-6
    assert judged.max() <= 1 + 1e-6
    torch.testing.assert_close(judged.sum(1), torch.full((2, 8, 8), -1.0))  # 2 * 1 - 3


def test_depth_channels_agree_between_rendered_and_real():
    z_cam = torch.tensor([[[[2.5, 2.5], [0.0, 0.0]]]])  # upper half covered, lower half background
    real = losses.real_depth_channel(z_cam, 1)
    rendered = losses.rendered_depth_channel(torch.tensor([[[[0.5 * 2.5]]]]), torch.tensor([[[[0.5]]]]))
    assert real.item() == pytest.approx(0.5 * 0.2 / 0.35)
    assert rendered.item() == pytest.approx(real.item())
