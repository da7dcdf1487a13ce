"""Part generators, mapping, upsampler and discriminator: what may depend on what."""

import copy
import math
from dataclasses import replace

import pytest
import torch

from ssgan_core.config import DiscriminatorConfig, ModelConfig
from ssgan_core.model.codes import Codes
from ssgan_core.model.discriminator import Discriminator, minibatch_deviation
from ssgan_core.model.geometry import depth_bounds, dome, part_dome, texel_centres
from ssgan_core.model.mapping import Mapping
from ssgan_core.model.part_generators import PartGenerators
from ssgan_core.model.texels import KnownRows, marked_of_each
from ssgan_core.model.upsampler import Upsampler, upsample_masks
from ssgan_core.parts import PORTRAIT

TINY = ModelConfig(
    resolution=32, render_resolution=16, part_resolution=12, latent=16, part_width=8, depth_width=8,
    features=5, frequencies=6, highest_frequency=4.0, upsampler_width=16, see_through=True,
)  # fmt: skip
PARTS = len(PORTRAIT.foreground)


def random_codes(count: int, seed: int = 0) -> Codes:
    rng = torch.Generator().manual_seed(seed)
    shapes = [(count, 16), (count, PARTS, 16), (count, PARTS + 1, 16)]
    return Codes(*(torch.randn(shape, generator=rng) for shape in shapes))


@pytest.fixture(scope="module")
def networks() -> PartGenerators:
    torch.manual_seed(0)
    networks = PartGenerators(TINY, PORTRAIT).eval().requires_grad_(False)
    networks.to_clearness.weight.normal_()  # as uneven as a trained one's
    return networks


def test_shapes_and_ranges(networks):
    features, relative_depth, optical_depth, veil = networks(random_codes(2))
    assert features.shape == (2, PARTS, 5, 12, 12)
    assert relative_depth.shape == optical_depth.shape == veil.shape == (2, PARTS, 12, 12)
    assert (optical_depth >= 0).all()
    assert (optical_depth <= 20).all()
    for k, part in enumerate(PORTRAIT.foreground):
        assert (relative_depth[:, k] - part.depth_start).abs().max() <= part.depth_bound + 1e-6


def test_coarser_maps_are_the_same_functions_of_position(networks):
    fine = networks(random_codes(2))
    networks = copy.copy(networks)
    networks.size = 4
    coarse = networks(random_codes(2))
    assert coarse[0].shape == (2, PARTS, 5, 4, 4)
    for a, b in zip(
        fine, coarse, strict=True
    ):  # a coarse texel's centre is that of the middle of 3 x 3 fine ones
        torch.testing.assert_close(a[..., 1::3, 1::3], b, atol=1e-5, rtol=1e-4)


def test_texture_codes_cannot_move_geometry(networks):
    codes, other = random_codes(2), random_codes(2, 1)
    before = networks(codes)
    after = networks(Codes(codes.base, codes.shape, other.texture))
    assert torch.equal(before[1], after[1])
    assert torch.equal(before[2], after[2])
    assert not torch.allclose(before.features, after.features)
    assert not torch.allclose(before.veil, after.veil)


def test_outlines_are_sharp_but_while_they_are_learnt(networks):
    sharp = PartGenerators(replace(TINY, outline_sharpness=3.0), PORTRAIT).requires_grad_(False)
    sharp.load_state_dict(networks.state_dict())
    soft = networks(random_codes(2))[2]
    assert torch.equal(sharp.train()(random_codes(2))[2], soft)
    expected = torch.nn.functional.softplus(3 * torch.log(torch.expm1(soft)))
    torch.testing.assert_close(sharp.eval()(random_codes(2))[2], expected, atol=1e-4, rtol=1e-4)


FINE = {"paint_frequencies": 5, "highest_paint_frequency": 6.0}


def test_fine_positions_are_painted_and_move_no_geometry(networks):
    fine = PartGenerators(replace(TINY, **FINE), PORTRAIT).eval().requires_grad_(False)
    assert fine.fine_waves.norm(dim=1).aminmax() == pytest.approx((4.0, 6.0))
    fresh = {name: tensor for name, tensor in fine.state_dict().items() if "fine" in name}
    fine.load_state_dict(networks.state_dict() | fresh)
    codes = random_codes(2)
    before, begun = networks(codes), fine(codes)
    assert all(map(torch.equal, begun, before))  # begins as networks without
    fine.to_fine.weight.normal_()
    after = fine(codes)
    assert torch.equal(after.relative_depth, before.relative_depth)
    assert torch.equal(after.optical_depth, before.optical_depth)
    assert not torch.allclose(after.features, before.features, atol=0.1)
    assert not torch.allclose(after.veil, before.veil)
    # Texture codes say what is painted; another part's say nothing.
    rest = [k for k in range(PARTS) if k != 3]
    other = fine(codes.with_part(random_codes(2, 1), 3)).features
    assert torch.equal(other[:, rest], after.features[:, rest])


def test_coarser_maps_go_without_waves_that_they_would_alias():
    torch.manual_seed(0)
    fine = PartGenerators(replace(TINY, **FINE), PORTRAIT).eval().requires_grad_(False)
    fine.to_fine.weight.normal_()
    lengths = fine.fine_waves.norm(dim=1)  # 4 to 6 cycles a window; 10 texels hold five
    aliased = lengths > 5
    assert 0 < aliased.sum() < len(lengths)
    fine.size = 10
    before = fine(random_codes(1)).features
    fine.to_fine.weight[:, :, torch.cat([aliased, aliased]).nonzero()[:, 0]] = 0
    assert torch.equal(fine(random_codes(1)).features, before)
    fine.size = 12
    restored = fine(random_codes(1)).features
    fine.to_fine.weight.zero_()
    assert not torch.allclose(fine(random_codes(1)).features, restored, atol=0.1)


def in_a_corner(size: int, count: int) -> tuple[PartGenerators, PartGenerators]:
    """Networks whose first parts are likely in `count` x `count` texels alone and whose last is nowhere, and the same
    ones computing every texel."""
    torch.manual_seed(0)
    networks = PartGenerators(replace(TINY, part_resolution=size, **FINE), PORTRAIT)
    log_odds = torch.full((PARTS, size, size), -30.0)
    log_odds[:-1, 1 : 1 + count, 2 : 2 + count] = 2.0
    networks.set_layout(log_odds)
    with torch.no_grad():
        networks.to_clearness.weight.normal_()
        networks.to_fine.weight.normal_()
    whole = copy.deepcopy(networks)
    whole.least_sparse = math.inf
    return networks, whole


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("size", [24, 25])
def test_texels_that_nobody_sees_are_left_out(size, count):
    fewer, whole = (networks(random_codes(2)) for networks in in_a_corner(size, count))
    assert torch.equal(fewer[1], whole[1])
    visible = whole[2] > 1e-4
    assert visible[:, :-1, 1 : 1 + count, 2 : 2 + count].all()
    for index in (2, 3):
        torch.testing.assert_close(fewer[index][visible], whole[index][visible])
        assert (fewer[index][~visible] <= 1e-4).all()
    # Between a visible texel and any of its neighbours the renderer interpolates.
    around = torch.nn.functional.max_pool2d(visible.float(), 3, 1, 1) > 0
    features, expected = (maps[0].movedim(2, -1) for maps in (fewer, whole))
    torch.testing.assert_close(features[around], expected[around])
    assert (features[~around] == 0).all()
    assert (expected != 0).all()


def test_a_portrait_of_nothing():
    for networks in in_a_corner(24, 0):
        _, _, optical_depth, veil = networks(random_codes(2))
        assert (optical_depth <= 1e-4).all()
        assert (veil <= 1e-4).all()


def test_rows_known_in_turns_are_those_of_their_texels():
    first, second = torch.zeros(2, 1, 2, 3, 3, dtype=torch.bool).unbind(0)
    first[0, 0, 1, 1], first[0, 1, 0] = True, True
    second[0, 0, 0, 2], second[0, 0, 2, 0], second[0, 1, 2, 1] = True, True, True
    values = torch.arange(18.0).view(2, 9, 1)
    rows = KnownRows()
    for asked in (first, second):
        rows.add(asked, marked_of_each(values[None], asked))
    wanted = first | second
    wanted[0, 0, 1, 1], wanted[0, 1, 0, 2] = False, False
    assert [found[:, 0].tolist() for found in rows.of(wanted)] == [[2, 6], [9, 10, 16]]


def test_what_is_left_out_teaches_nothing():
    gradients = []
    for networks in in_a_corner(24, 3):
        features, depth, optical_depth, veil = networks(random_codes(2))
        opacity, hidden = 1 - torch.exp(-optical_depth), 1 - torch.exp(-veil)
        ((features.square().mean(2) + depth + 1) * opacity + hidden).sum().backward()
        gradients.append({name: value.grad for name, value in networks.named_parameters()})
    for name, expected in gradients[1].items():
        torch.testing.assert_close(gradients[0][name], expected, rtol=1e-3, atol=1e-3, msg=name)


@pytest.mark.parametrize("layer", ["to_opacity", "to_fine", "to_features", "to_clearness"])
def test_weights_that_are_no_numbers_are_not_left_out(layer):
    networks, _ = in_a_corner(24, 3)
    getattr(networks, layer).weight.data.fill_(math.nan)
    assert any(maps.isnan().any() for maps in networks(random_codes(2)))


def test_maps_that_are_mostly_seen_or_coarse_are_computed_whole():
    for size, count in ((24, 21), (19, 3)):
        fewer, whole = (networks(random_codes(2)) for networks in in_a_corner(size, count))
        assert all(map(torch.equal, fewer, whole))


@pytest.mark.parametrize("part", [0, 6, PARTS - 1])
def test_one_parts_codes_reach_no_other_part(networks, part):
    codes, other = random_codes(2), random_codes(2, 1)
    before, after = networks(codes), networks(codes.with_part(other, part))
    rest = [k for k in range(PARTS) if k != part]
    for a, b in zip(before, after, strict=True):
        assert torch.equal(a[:, rest], b[:, rest])
        assert not torch.allclose(a[:, part], b[:, part])


def test_layout_prior_is_the_opacity_of_an_untrained_part():
    torch.manual_seed(0)
    networks = PartGenerators(TINY, PORTRAIT)
    with torch.no_grad():
        networks.to_opacity.weight.zero_()
        networks.layout_prior.fill_(-1.2)
        optical_depth = networks(random_codes(1)).optical_depth
    opacity = 1 - torch.exp(-optical_depth)
    torch.testing.assert_close(opacity, torch.full_like(opacity, torch.sigmoid(torch.tensor(-1.2)).item()))


def test_truncation_moves_codes_towards_their_mean():
    torch.manual_seed(0)
    mapping = Mapping(8, 2).requires_grad_(False)
    z = torch.randn(32768, 8, generator=torch.Generator().manual_seed(0))  # those that it measures
    w = mapping(z)
    mapping.measure()
    torch.testing.assert_close(mapping.mean, w.mean(0), atol=1e-5, rtol=0)
    torch.testing.assert_close(mapping(z, 0.0), mapping.mean.expand_as(w))
    torch.testing.assert_close(mapping(z, 0.5), (w + mapping.mean) / 2)
    assert torch.equal(mapping(z, 1.0), w)


def test_upsampler_starts_from_the_rendered_rgb():
    torch.manual_seed(0)
    upsampler = Upsampler(TINY)
    with torch.no_grad():
        for scale in upsampler.scales:
            scale.to_rgb.weight.zero_()
    features = torch.randn(1, 5, 16, 16)
    expected = torch.nn.functional.interpolate(features[:, :3], scale_factor=2, mode="bilinear")
    torch.testing.assert_close(upsampler(features)[0], expected)


def test_upsampled_masks_still_sum_to_one():
    masks = torch.softmax(torch.randn(1, 13, 16, 16), 1)
    upsampled = upsample_masks(masks, 64)
    assert upsampled.shape == (1, 13, 64, 64)
    torch.testing.assert_close(upsampled.sum(1), torch.ones(1, 64, 64))


def test_discriminator_sees_image_masks_and_camera():
    torch.manual_seed(0)
    network = Discriminator(DiscriminatorConfig(width=8, most_width=16, group=2), TINY, PARTS + 1)
    images = torch.randn(4, 6, 32, 32, requires_grad=True)
    masks = torch.randn(4, PARTS + 2, 16, 16, requires_grad=True)
    labels = torch.randn(4, 25, requires_grad=True)
    network(images, masks, labels).sum().backward()
    for name, tensor in {"images": images, "masks": masks, "labels": labels}.items():
        assert tensor.grad is not None, name
        assert tensor.grad.abs().sum() > 0, name


def test_discriminator_judges_every_place_by_what_lies_around_it():
    torch.manual_seed(0)
    config = DiscriminatorConfig(width=8, most_width=16, group=2, places=16)
    model = replace(TINY, resolution=64)
    network = Discriminator(config, model, PARTS + 1)
    images = torch.randn(2, 6, 64, 64, requires_grad=True)
    logits = network(images, torch.randn(2, PARTS + 2, 16, 16), torch.randn(2, 25))
    assert logits.shape == (2, 1 + 16**2)
    centre = 1 + 8 * 16 + 8
    (seen,) = torch.autograd.grad(logits[0, centre], images)
    rows, columns = seen[0].abs().sum(0).nonzero().T
    assert seen[1].abs().sum() == 0
    for where in (rows, columns):  # place 8 of 16 is pixels 32 to 35 of 64
        assert 16 <= where.min() <= 28
        assert 39 <= where.max() <= 51
    without = Discriminator(replace(config, places=0), model, PARTS + 1)
    assert without(images, torch.randn(2, PARTS + 2, 16, 16), torch.randn(2, 25)).shape == (2, 1)


def test_discriminator_without_upsampling_still_sees_masks():
    config = ModelConfig(resolution=16, render_resolution=16, part_resolution=12, highest_frequency=4.0)
    network = Discriminator(DiscriminatorConfig(width=8, most_width=16, depth_channel=False), config, 3)
    masks = torch.randn(1, 3, 16, 16, requires_grad=True)
    network(torch.randn(1, 6, 16, 16), masks, torch.randn(1, 25)).sum().backward()
    assert masks.grad is not None
    assert masks.grad.abs().sum() > 0


def test_minibatch_deviation_by_hand():
    x = torch.tensor([1.0, 3.0, 5.0, 5.0]).view(4, 1, 1, 1)
    # Groups of two: samples (0, 2) deviate by 2 and (1, 3) by 1; both values are averaged over channels only.
    assert minibatch_deviation(x, 2).flatten().tolist() == pytest.approx([2, 1, 2, 1], abs=1e-4)
    assert minibatch_deviation(torch.ones(4, 2, 3, 3), 4).abs().max() < 1e-3
    with pytest.raises(ValueError, match="no multiple"):
        minibatch_deviation(torch.ones(6, 1, 1, 1), 4)


def test_dome_is_symmetric_and_inside_the_bounds():
    x, y = texel_centres((-0.4, -0.4, 0.4, 0.4), 9)
    z = dome(x, y)
    torch.testing.assert_close(z, z.flip(-1))
    assert z[4, 4] == z.max() == pytest.approx(0.161)
    assert y[0, 0] > 0 > y[-1, 0]
    low, high = depth_bounds(PORTRAIT)
    others = PORTRAIT.foreground[1:]
    assert low == pytest.approx(-0.04 - 0.10 + min(part.depth_start - part.depth_bound for part in others))
    assert high == pytest.approx(0.161 + 0.10 + max(part.depth_start + part.depth_bound for part in others))
    assert low < -0.291 < 0.302 < high  # what 400 synthetic heads reach
    assert part_dome(PORTRAIT, 8).shape == (PARTS, 8, 8)
