"""Glasses: masks say where they are, colours come through them."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from ssgan_core import cameras
from ssgan_core.config import ModelConfig
from ssgan_core.errors import SsganError
from ssgan_core.model import see_through
from ssgan_core.model.codes import Codes
from ssgan_core.model.generator import Generator, PartMaps
from ssgan_core.model.see_through import seen_through, veil
from ssgan_core.parts import PORTRAIT
from ssgan_core.rendering.rays import Rays, camera_rays
from ssgan_core.rendering.render import Rendering, render

TINY = ModelConfig(
    resolution=32, render_resolution=16, part_resolution=64, latent=16, part_width=8, depth_width=8,
    features=4, frequencies=6, highest_frequency=4.0, upsampler_width=16, see_through=True,
)  # fmt: skip
GLASSES = PORTRAIT.foreground_index("glasses")
EYES = PORTRAIT.foreground_index("eyes")


def view(yaw: float = 0.0, count: int = 2) -> torch.Tensor:
    return torch.from_numpy(cameras.label(np.full(count, yaw), 0.1))


@pytest.fixture
def generator() -> Generator:
    """Skin everywhere, eyes and glasses in front of it in the middle; no hair that might hide these."""
    torch.manual_seed(0)
    generator = Generator(TINY, PORTRAIT).eval().requires_grad_(False)
    layout = torch.full_like(generator.parts.layout_prior, -9.0)
    layout[PORTRAIT.foreground_index("skin")] = 4.0
    layout[EYES, 24:40, 12:52] = 8.0
    layout[GLASSES, 24:40, 12:52] = 8.0
    generator.parts.set_layout(layout)
    return generator


def drawn(generator: Generator, seed: int = 1) -> Codes:
    return generator.map(torch.randn(2, 16, generator=torch.Generator().manual_seed(seed)))


def with_clearness(maps: PartMaps, log_odds: float) -> PartMaps:
    """Glasses as clear as that everywhere."""
    logits = torch.full_like(maps.optical_depth[:, :1], log_odds - see_through._START)
    return replace(maps, veil=veil(maps.optical_depth, logits, slice(GLASSES, GLASSES + 1)))


def taken_off(maps: PartMaps) -> PartMaps:
    bare = maps.optical_depth.clone()
    bare[:, GLASSES] = 0
    return replace(maps, optical_depth=bare, veil=bare)


@pytest.mark.parametrize(("opacity", "clearness"), [(0.8, 0.25), (0.5, 0.5), (0.0, 0.9)])
def test_a_veil_hides_its_share_of_what_the_sheet_hides(opacity, clearness):
    depths = torch.full((1, 3, 2, 2), -math.log(1 - opacity))
    logits = torch.full((1, 1, 2, 2), math.log(clearness / (1 - clearness)) - see_through._START)
    found = veil(depths, logits, slice(1, 2))
    assert torch.equal(found[:, [0, 2]], depths[:, [0, 2]])
    hidden = 1 - torch.exp(-found[:, 1])
    torch.testing.assert_close(hidden, torch.full_like(hidden, opacity * (1 - clearness)))


@pytest.mark.parametrize("log_odds", [-200.0, 0.0, 200.0])
@pytest.mark.parametrize("depth", [0.0, 20.0])
def test_veils_and_their_gradients_are_finite_at_the_ends(log_odds, depth):
    depths = torch.full((1, 1, 2, 2), depth, requires_grad=True)
    logits = torch.full((1, 1, 2, 2), log_odds, requires_grad=True)
    found = veil(depths, logits, slice(0, 1))
    assert ((found >= 0) & (found <= 20.0001)).all()
    for gradient in torch.autograd.grad(found.sum(), (depths, logits)):
        assert gradient.isfinite().all()


def test_clearness_leaves_masks_and_depth_bit_identical(generator):
    maps = generator.part_maps(drawn(generator))
    opaque = generator.render(replace(maps, veil=maps.optical_depth), view(0.2))
    clear = generator.render(with_clearness(maps, 2.0), view(0.2))
    assert torch.equal(clear.low_mask, opaque.low_mask)
    assert torch.equal(clear.mask, opaque.mask)
    assert torch.equal(clear.depth, opaque.depth)
    assert (clear.low_mask[:, GLASSES + 1] > 0.9).any()
    assert (clear.image - opaque.image).abs().max() > 0.01


@pytest.mark.parametrize("backend", ["native", "reference", "grid"])
def test_through_clear_lenses_colours_are_those_without_glasses(generator, backend):
    generator.config = replace(TINY, backend=backend)
    maps = generator.part_maps(drawn(generator))
    clear = generator.render(with_clearness(maps, 30.0), view(0.2))
    bare = generator.render(taken_off(maps), view(0.2))
    torch.testing.assert_close(clear.low_image, bare.low_image, atol=2e-3, rtol=0)
    opaque = generator.render(with_clearness(maps, -30.0), view(0.2))
    alone = generator.render(replace(maps, veil=maps.optical_depth), view(0.2))
    torch.testing.assert_close(opaque.low_image, alone.low_image, atol=1e-4, rtol=1e-4)
    assert (alone.low_image - bare.low_image).abs().max() > 0.05


def test_what_is_behind_a_clear_lens_may_be_the_background(generator):
    maps = generator.part_maps(drawn(generator))
    nobody = torch.zeros_like(maps.optical_depth)
    nobody[:, GLASSES] = maps.optical_depth[:, GLASSES]
    maps = with_clearness(replace(maps, optical_depth=nobody), 30.0)
    output = generator.render(maps, view())
    assert (output.low_mask[:, GLASSES + 1] > 0.9).any()
    torch.testing.assert_close(output.low_image, maps.background[:, :3], atol=2e-3, rtol=0)


def test_eyes_that_change_are_seen_to_change_through_lenses(generator):
    codes, other = drawn(generator), drawn(generator, 2)
    changed = codes.with_part(other, EYES)
    painted = (
        generator.render(with_clearness(generator.part_maps(codes), -30.0), view()),
        generator.render(with_clearness(generator.part_maps(changed), -30.0), view()),
    )
    through = (
        generator.render(with_clearness(generator.part_maps(codes), 2.0), view()),
        generator.render(with_clearness(generator.part_maps(changed), 2.0), view()),
    )
    lens = painted[0].low_mask[:, GLASSES + 1] > 0.99
    assert lens.any()
    moved = [(b.low_image - a.low_image).abs().amax(1)[lens].mean() for a, b in (painted, through)]
    assert moved[1] > 20 * moved[0]


def test_clearness_is_learnt_from_pictures_and_from_the_glasses_alone(generator):
    generator.parts.to_clearness.requires_grad_(True)
    codes = drawn(generator)
    (gradient,) = torch.autograd.grad(
        generator(codes, view()).image.square().sum(), generator.parts.to_clearness.weight
    )
    assert gradient.shape == (1, 1, 8)
    assert gradient.any()
    generator.parts.to_clearness.requires_grad_(False)
    generator.parts.to_clearness.weight.normal_()
    other = drawn(generator, 2)
    before = generator.part_maps(codes)
    eyes = generator.part_maps(codes.with_part(other, EYES))
    glasses = generator.part_maps(codes.with_part(other, GLASSES))
    assert torch.equal(before.veil[:, GLASSES], eyes.veil[:, GLASSES])
    assert not torch.allclose(before.veil[:, GLASSES], glasses.veil[:, GLASSES])


def rendered(maps: PartMaps, optical_depth: torch.Tensor, rays: Rays) -> Rendering:
    windows = torch.from_numpy(PORTRAIT.windows)
    return render(
        maps.features, maps.depth, optical_depth, 0.05, windows, rays, depth_bounds=(-0.6, 0.6), backend="reference"
    )  # fmt: skip


def test_only_rays_that_meet_lenses_are_rendered_again(generator):
    maps = with_clearness(generator.part_maps(drawn(generator)), 1.0)
    for whole in (maps.optical_depth, maps.veil):
        whole[0, GLASSES] = 0  # the first portrait wears none
    rays = camera_rays(view(0.3), 16)
    found, again = rendered(maps, maps.optical_depth, rays), rendered(maps, maps.veil, rays)
    asked = []

    def look(some, along):
        asked.append((some, along.origins.shape[1]))
        return rendered(maps[some], maps.veil[some], along)

    features, background = seen_through(found, rays, slice(GLASSES, GLASSES + 1), look)
    meets = found.masks[:, GLASSES] > 1e-3
    assert not meets[0].any()
    assert asked == [(slice(1, 2), int(meets[1].sum()))]
    assert 0 < asked[0][1] < 16 * 16 / 2
    torch.testing.assert_close(features, again.features, atol=2e-3, rtol=0)
    torch.testing.assert_close(background, again.transmittance, atol=2e-3, rtol=0)
    assert torch.equal(features[0], found.features[0])
    assert torch.equal(features[1][:, ~meets[1]], found.features[1][:, ~meets[1]])


def test_a_gpu_is_not_asked_which_rays_meet_lenses(generator):
    maps, rays = with_clearness(generator.part_maps(drawn(generator)), 1.0), camera_rays(view(), 16)
    found = rendered(maps, maps.optical_depth, rays)
    elsewhere = replace(found, masks=found.masks.to("meta"))  # its values can be asked by nobody
    features, background = seen_through(
        elsewhere,
        rays,
        slice(GLASSES, GLASSES + 1),
        lambda some, along: rendered(maps[some], maps.veil[some], along),
    )
    again = rendered(maps, maps.veil, rays)
    assert torch.equal(features, again.features)
    assert torch.equal(background, again.transmittance)


def test_without_glasses_among_the_parts_nothing_is_asked_for():
    schema = replace(PORTRAIT, parts=tuple(part for part in PORTRAIT.parts if part.name != "glasses"))
    generator = Generator(TINY, schema).eval().requires_grad_(False)
    assert generator.parts.to_clearness is None
    maps = generator.part_maps(drawn(generator))
    assert torch.equal(maps.veil, maps.optical_depth)
    with_setting = set(generator.state_dict())
    assert with_setting == set(Generator(replace(TINY, see_through=False), schema).state_dict())


@pytest.mark.parametrize("settings", [{"lifting": "none"}, {"parts": "one"}])
def test_it_takes_parts_in_space(settings):
    with pytest.raises(SsganError, match=r"model\.see_through needs parts that lie behind one another"):
        replace(TINY, **settings)
