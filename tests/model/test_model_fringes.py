"""Fringes: outlines of hair move along strands, image and masks alike, and nothing else does."""

import math
from dataclasses import replace

import pytest
import torch
from torch.autograd import gradcheck

from ssgan_core.cameras import FOCAL, RADIUS, label
from ssgan_core.config import ModelConfig
from ssgan_core.errors import SsganError
from ssgan_core.layers import resize_bilinear
from ssgan_core.model.fringes import Fringes
from ssgan_core.model.generator import Generator
from ssgan_core.model.noise import OrientedNoise, bilinear_rows
from ssgan_core.parts import PORTRAIT

SIDE = 128
CHANNELS = 4
DISTANCE = torch.full((1, 1, SIDE, SIDE), RADIUS)


def view(yaw: float = 0.0) -> torch.Tensor:
    return torch.from_numpy(label(yaw, 0.0)[None])


def scene() -> tuple[torch.Tensor, torch.Tensor]:
    """Features that hold x and y of their pixels, and masks of hair (part 2) in the upper half before a background."""
    y, x = torch.meshgrid(*[(torch.arange(SIDE) + 0.5) / SIDE] * 2, indexing="ij")
    features = torch.stack([x, y, x * 0, x * 0 + 1])[None]
    masks = torch.zeros(1, 3, SIDE, SIDE)
    masks[:, 2, : SIDE // 2] = 1
    masks[:, 0, SIDE // 2 :] = 1
    return features, masks


NOISE = OrientedNoise(1, 12, 2 * SIDE)


def fringes(direction: int | None = None, amplitude: float = 0.1) -> Fringes:
    """Of one direction alone, as far everywhere, or as they begin."""
    torch.manual_seed(0)
    made = Fringes(NOISE, torch.tensor([False, True]), CHANNELS)
    if direction is not None:
        with torch.no_grad():
            made.to_amplitudes.weight.zero_()
            made.to_amplitudes.bias.zero_()
            made.to_amplitudes.bias[direction] = amplitude
    return made.requires_grad_(False)


def test_rows_are_those_between_texels():
    maps = torch.arange(24.0).view(2, 1, 3, 4)
    at = torch.tensor([[0.0, 0.0], [1.5, 0.5], [9.0, 9.0], [-3.0, 1.0]])
    rows = bilinear_rows(maps, torch.tensor([0, 0, 1, 1]), at)
    assert rows[:, 0].tolist() == [0.0, 3.5, 23.0, 16.0]
    halved = bilinear_rows(maps, torch.tensor([0, 0, 1, 1]), at, torch.full((4,), 0.5))
    assert torch.equal(halved, rows / 2)
    one = bilinear_rows(torch.ones(1, 2, 1, 1), torch.zeros(1, dtype=torch.long), torch.rand(1, 2))
    assert one.tolist() == [[1.0, 1.0]]


def test_rows_have_the_gradients_of_differences():
    torch.manual_seed(0)
    maps = torch.randn(2, 3, 4, 4, dtype=torch.double, requires_grad=True)
    at = (torch.rand(5, 2, dtype=torch.double) * 0.8 + 1.1).requires_grad_()
    strength = torch.rand(5, dtype=torch.double, requires_grad=True)
    entry = torch.tensor([0, 1, 1, 0, 1])
    assert gradcheck(lambda m, a, s: bilinear_rows(m, entry, a, s), (maps, at, strength))


def test_without_amplitudes_all_stays():
    features, masks = scene()
    enlarged, frayed = fringes(0, 0.0)(view(), features, masks, DISTANCE)
    torch.testing.assert_close(enlarged, resize_bilinear(features, 2 * SIDE), atol=1e-5, rtol=0)
    torch.testing.assert_close(frayed, resize_bilinear(masks, 2 * SIDE), atol=1e-4, rtol=0)


@pytest.mark.parametrize(("direction", "moves"), [(0, (0, 1)), (6, (1, 0)), (3, (1, 1)), (9, (1, -1))])
def test_pixels_look_along_the_strands(direction, moves):
    """Plane d's waves run at d times 15 degrees to world x, its strands across them: 0 has upright ones."""
    features, masks = scene()
    before = resize_bilinear(features, 2 * SIDE)
    after, _ = fringes(direction)(view(), features, masks, DISTANCE)
    moved = (after - before)[0, :2]
    moved = moved[:, 16:-16, 16:-16].flatten(1)
    assert moved.norm(dim=0).max() > 0.02  # five pixels
    axis = torch.tensor(moves, dtype=torch.float32) / math.hypot(*moves)
    across = torch.tensor([-axis[1], axis[0]])
    assert (across @ moved).abs().max() < 1e-3


def test_only_what_lies_around_outlines_moves():
    features, masks = scene()
    after, frayed = fringes(0)(view(), features, masks, DISTANCE)
    moved = (after - resize_bilinear(features, 2 * SIDE)).abs().amax((0, 1, 3))
    assert moved[SIDE - 2 : SIDE + 2].min() > 0.02
    assert moved[: SIDE - 24].max() < 1e-5
    assert moved[SIDE + 24 :].max() < 1e-5
    assert (frayed - resize_bilinear(masks, 2 * SIDE)).abs().max() > 0.5
    torch.testing.assert_close(frayed.sum(1), torch.ones(1, 2 * SIDE, 2 * SIDE))
    # Outlines of what is no strands stay, and so does a picture without hair.
    for other in (masks[:, [0, 2, 1]], masks[:, [0, 1, 1]]):
        kept, _ = fringes(0)(view(), features, other, DISTANCE)
        assert torch.equal(kept, resize_bilinear(features, 2 * SIDE))


def test_no_other_part_says_how_far():
    features, masks = scene()
    other = torch.where(masks[:, 2:] > 0, features, 5 * torch.randn_like(features))
    made = fringes()
    made.to_amplitudes.weight.normal_(std=20.0)
    found = [made(view(), told, masks, DISTANCE)[1] for told in (features, other)]
    assert torch.equal(*found)
    hair = torch.where(masks[:, 2:] > 0, 5 * torch.randn_like(features), features)
    assert not torch.allclose(made(view(), hair, masks, DISTANCE)[1], found[0], atol=0.1)


def test_a_displacement_is_as_long_as_the_noise_says():
    """On the plane z = 0 seen from the front, by hand: amplitude times noise times strength, over a picture's width."""
    features, masks = scene()
    made = fringes(0, 0.05)
    after, _ = made(view(), features, masks, DISTANCE)
    moved = (after - resize_bilinear(features, 2 * SIDE))[0, 1, SIDE, 8:-8]
    step = RADIUS / FOCAL / (2 * SIDE)
    points = torch.stack(
        [(torch.arange(2 * SIDE) + 0.5 - SIDE) * step, torch.full((2 * SIDE,), -0.5 * step)], 1
    )
    noise = made.noise.at(points, torch.ones(2 * SIDE))[8:-8, 0]
    strength = 1 - 0.02  # where half of the surroundings is hair; below 0.02 nothing moves
    expected = -0.75 / 12**0.5 * 0.05 * noise * strength * FOCAL / RADIUS
    torch.testing.assert_close(moved, expected, atol=4e-3, rtol=0)
    assert moved.std() > 0.01


def test_a_turned_head_shows_displacements_from_the_side():
    features, masks = scene()
    made = fringes(6)  # along world x
    front, side = (made(view(yaw), features, masks, DISTANCE)[0][0, 0] for yaw in (0.0, 1.2))
    before = resize_bilinear(features, 2 * SIDE)[0, 0]
    rows = slice(SIDE - 2, SIDE + 2)
    assert (side - before)[rows].std() < 0.6 * (front - before)[rows].std()


def test_fringes_begin_as_hair_that_hangs_down():
    made = fringes()
    shares = made.to_amplitudes.bias.unflatten(0, (1, 12)).square()
    torch.testing.assert_close(shares.sum(1).sqrt(), torch.full((1,), 0.05))
    shares = shares[0] / shares.sum()
    assert shares[0] > 0.4
    assert shares[4:9].sum() < 0.01  # nothing lies level


def test_looks_learn_by_what_is_displaced_and_surfaces_do_not():
    features, masks = scene()
    features = torch.randn_like(features).requires_grad_()
    masks, distance = masks.requires_grad_(), DISTANCE.clone().requires_grad_()
    made = fringes().requires_grad_(True)
    enlarged, _ = made(view(), features, masks, distance)
    enlarged.square().mean().backward()
    for name, parameter in made.named_parameters():
        assert parameter.grad.abs().sum() > 0, name
    assert features.grad.abs().sum() > 0
    assert masks.grad is None or not masks.grad.any()
    assert distance.grad is None


TINY = ModelConfig(
    resolution=32, render_resolution=16, part_resolution=16, latent=16, part_width=8, depth_width=8,
    features=8, frequencies=8, highest_frequency=4.0, upsampler_width=8, detail_octaves=2, fringes=True,
)  # fmt: skip


def test_a_generator_displaces_image_and_masks_and_nothing_before_them():
    torch.manual_seed(0)
    model = Generator(TINY, PORTRAIT).eval()
    layout = torch.full_like(model.parts.layout_prior, -6.0)
    layout[PORTRAIT.foreground_index("hair"), :, :8] = 3.0
    model.parts.set_layout(layout)
    maps = model.part_maps(model.map(torch.randn(1, 16)))
    before = model.render(maps, view(0.2))
    with torch.no_grad():
        model.fringes.to_amplitudes.weight.zero_()
        model.fringes.to_amplitudes.bias.zero_()
    after = model.render(maps, view(0.2))
    assert (after.image - before.image).abs().max() > 0.01
    assert (after.mask - before.mask).abs().max() > 0.01
    for name in ("depth", "low_image", "low_mask"):
        assert torch.equal(getattr(after, name), getattr(before, name))
    # The masks are those that a generator without fringes has.
    model.fringes = None
    torch.testing.assert_close(model.render(maps, view(0.2)).mask, after.mask, atol=1e-4, rtol=0)


def test_without_lifting_outlines_are_frayed_in_the_picture():
    torch.manual_seed(0)
    model = Generator(replace(TINY, lifting="none"), PORTRAIT).eval()
    codes = model.map(torch.randn(1, 16))
    with torch.no_grad():
        image = model(codes, view()).image
        assert torch.equal(model(codes, view(0.6)).image, image)
        model.fringes = None
        assert not torch.equal(model(codes, view()).image, image)


def test_what_fringes_need_is_named():
    for missing in ({"detail_octaves": 0}, {"render_resolution": 32}, {"parts": "one"}):
        with pytest.raises(SsganError, match=r"model\.fringes needs model\.detail_octaves, and"):
            replace(TINY, **missing)
