"""Building blocks against slow, obvious versions of themselves."""

import math

import pytest
import torch
import torch.nn.functional as F

from ssgan_core import layers


def test_part_linear_equals_one_modulated_convolution_after_another():
    torch.manual_seed(0)
    layer = layers.PartLinear(3, 5, 4, 6)
    with torch.no_grad():
        layer.bias.normal_()
    x, codes = torch.randn(2, 3, 7, 4), torch.randn(2, 3, 5)
    expected = torch.empty(2, 3, 7, 6)
    for b in range(2):
        for g in range(3):
            style = codes[b, g] @ layer.styles.weight[g] / math.sqrt(5) + layer.styles.bias[g]
            weight = layer.weight[g] / math.sqrt(4) * style
            weight = weight / (weight.square().sum(1, keepdim=True) + 1e-8).sqrt()
            y = x[b, g] @ weight.T + layer.bias[g]
            expected[b, g] = F.leaky_relu(y, 0.2) * math.sqrt(2)
    torch.testing.assert_close(layer(x, codes), expected)


def test_part_linear_with_shared_input_equals_the_expanded_input():
    torch.manual_seed(1)
    layer = layers.PartLinear(3, 5, 4, 6, demodulate=False)
    x, codes = torch.randn(7, 4), torch.randn(2, 3, 5)
    torch.testing.assert_close(layer(x, codes), layer(x.expand(2, 3, 7, 4), codes))


def test_part_linear_keeps_groups_apart():
    torch.manual_seed(2)
    layer = layers.PartLinear(3, 5, 4, 6)
    x, codes = torch.randn(2, 3, 7, 4), torch.randn(2, 3, 5)
    changed = codes.clone()
    changed[:, 1] = torch.randn(2, 5)
    before, after = layer(x, codes), layer(x, changed)
    assert torch.equal(before[:, [0, 2]], after[:, [0, 2]])
    assert not torch.allclose(before[:, 1], after[:, 1])


@torch.no_grad()
def test_layers_keep_unit_variance():
    torch.manual_seed(3)
    x = torch.randn(64, 256)
    assert layers.leaky_relu(layers.EqualLinear(256, 256)(x)).square().mean().item() == pytest.approx(
        1, abs=0.15
    )
    y = torch.randn(4, 32, 16, 16)
    assert layers.EqualConv2d(32, 32, 3)(y)[..., 1:-1, 1:-1].var().item() == pytest.approx(1, abs=0.15)


def test_down2_is_the_box_average_and_up2_keeps_constants():
    x = torch.randn(1, 2, 8, 8)
    torch.testing.assert_close(layers.down2(x), F.avg_pool2d(x, 2))
    torch.testing.assert_close(layers.up2(torch.full((1, 1, 4, 4), 3.0)), torch.full((1, 1, 8, 8), 3.0))


def test_box_average_by_hand_and_refusal():
    x = torch.arange(16.0).view(1, 1, 4, 4)
    assert layers.box_average(x, 2).flatten().tolist() == [2.5, 4.5, 10.5, 12.5]
    with pytest.raises(ValueError, match="does not divide"):
        layers.box_average(x, 3)


@pytest.mark.parametrize(("side", "size"), [(6, 4), (8, 3), (5, 5)])
def test_area_average_equals_the_box_average_of_repeated_pixels(side, size):
    x = torch.randn(2, 3, side, side)
    repeated = x.repeat_interleave(size, -1).repeat_interleave(size, -2)
    torch.testing.assert_close(layers.area_average(x, size), F.avg_pool2d(repeated, side))


def test_gaussian_blur_keeps_sums_and_has_the_right_width():
    x = torch.zeros(1, 1, 41, 41)
    x[..., 20, 20] = 1
    blurred = layers.gaussian_blur(x, 2.0)[0, 0]
    assert blurred.sum().item() == pytest.approx(1, abs=1e-5)
    offsets = torch.arange(41.0) - 20
    assert (blurred.sum(0) * offsets**2).sum().sqrt().item() == pytest.approx(2.0, rel=0.02)


def test_gaussian_blur_keeps_masks_summing_to_one_at_the_border():
    masks = torch.softmax(torch.randn(2, 5, 9, 9), 1)
    torch.testing.assert_close(layers.gaussian_blur(masks, 1.3).sum(1), torch.ones(2, 9, 9))


@pytest.mark.parametrize("sigma", [0.4, 2.0, 30.0])
def test_gaussian_blur_by_products_and_by_convolutions_agree(monkeypatch, sigma):
    x = torch.randn(2, 3, 20, 24)
    by_products = layers.gaussian_blur(x, sigma)
    monkeypatch.setattr(layers, "_BLURRED_AS_PRODUCT", 0)
    torch.testing.assert_close(by_products, layers.gaussian_blur(x, sigma))


def test_positions_are_as_exact_in_low_precision():
    waves = layers.fourier_features(8, 40.0)
    exact = layers.position_code(waves, 128)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(layers.position_code(waves, 128), exact)


def test_position_code_knows_left_from_right_and_up_from_down():
    code = layers.position_code(layers.fourier_features(4, 3.0), 5)
    assert code.shape == (25, 10)
    x, y = code[:, -2].view(5, 5), code[:, -1].view(5, 5)
    torch.testing.assert_close(x[0], torch.tensor([-0.8, -0.4, 0.0, 0.4, 0.8]))
    assert (y[0] > 0).all()
    assert (y[-1] < 0).all()


@pytest.mark.parametrize("pixels", [0, 1, 2, 9])
@pytest.mark.parametrize("shape", [(2, 7, 9), (1, 3, 12, 5)])
def test_masks_grow_to_every_side_and_keep_what_they_were(shape, pixels):
    mask = torch.rand(shape, generator=torch.Generator().manual_seed(0)) > 0.95
    before = mask.clone()
    grown = layers.dilate(mask, pixels)
    expected = torch.zeros_like(mask)
    for *first, row, column in mask.nonzero().tolist():
        around = (
            slice(max(0, row - pixels), row + pixels + 1),
            slice(max(0, column - pixels), column + pixels + 1),
        )
        expected[(*first, *around)] = True
    assert torch.equal(grown, expected)
    assert torch.equal(mask, before)


def test_an_activated_convolution_is_the_convolution_and_the_activation():
    torch.manual_seed(0)
    convolution = layers.EqualConv2d(3, 4, 3)
    convolution.bias.data.normal_()
    x = torch.randn(2, 3, 6, 6)
    torch.testing.assert_close(convolution.activated(x), layers.leaky_relu(convolution(x)))
