"""Squares of pictures: what is drawn of them is what whole pictures show there."""

import pytest
import torch

from ssgan_core.cameras import label, mirror_label
from ssgan_core.config import ModelConfig
from ssgan_core.model.crops import Crop
from ssgan_core.model.generator import Generator
from ssgan_core.parts import PORTRAIT
from ssgan_core.rendering.rays import camera_rays, project

SMALL = ModelConfig(
    resolution=128, render_resolution=64, part_resolution=64, latent=16, part_width=8, depth_width=8, features=8,
    frequencies=8, highest_frequency=4.0, upsampler_width=8, detail_octaves=2, fringes=True, grain=True,
    see_through=True, paint_frequencies=4, highest_paint_frequency=8.0, outline_sharpness=3.0,
)  # fmt: skip
LABELS = torch.from_numpy(label([0.0, 0.4], [0.1, -0.2]))
CROP = Crop(torch.tensor([[20, 12], [36, 40]]), 24, 64)


def test_squares_by_hand():
    crop = Crop(torch.tensor([[0, 1], [2, 0]]), 2, 4)
    maps = torch.arange(32).view(2, 4, 4)
    expected = torch.tensor([[[4, 5], [8, 9]], [[18, 19], [22, 23]]])
    assert torch.equal(crop.cut(maps), expected)
    # Of maps with more pixels than rays, with channels, of any kind.
    larger = (
        maps.repeat_interleave(3, 1)
        .repeat_interleave(3, 2)[:, None, None]
        .expand(-1, 5, 2, -1, -1)
        .to(torch.uint8)
    )
    found = crop.cut(larger)
    assert found.shape == (2, 5, 2, 6, 6)
    assert found.dtype == torch.uint8
    assert torch.equal(found[:, 3, 1, 1::3, 1::3].long(), expected)
    with pytest.raises(ValueError, match="a side of 6 is no multiple of 4 rays"):
        crop.cut(torch.zeros(2, 6, 6))


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_squares_camera_has_the_squares_rays(mirrored):
    labels = LABELS.clone()
    labels[:, 17], labels[:, 18] = 0.05, 0.47  # skew, and a principal point beside the middle
    labels = torch.from_numpy(mirror_label(labels.numpy())) if mirrored else labels
    whole, square = camera_rays(labels, 64), camera_rays(CROP.labels(labels), 24)
    directions = whole.directions.unflatten(1, (64, 64)).permute(0, 3, 1, 2)
    torch.testing.assert_close(
        square.directions.unflatten(1, (24, 24)).permute(0, 3, 1, 2), CROP.cut(directions), atol=1e-6, rtol=0
    )
    torch.testing.assert_close(square.forward, whole.forward)


def test_points_are_seen_where_their_rays_pass():
    rays = camera_rays(LABELS, 8)
    along = 2 + torch.rand(2, 64, 1, generator=torch.Generator().manual_seed(0))
    place = project(rays.origins + along * rays.directions, LABELS)
    centres = (torch.arange(8) + 0.5) / 8
    v, u = torch.meshgrid(centres, centres, indexing="ij")
    torch.testing.assert_close(
        place, torch.stack([u, v], -1).flatten(0, 1).expand(2, -1, -1), atol=1e-4, rtol=0
    )


@pytest.fixture(scope="module")
def portraits() -> tuple[Generator, object]:
    """Two heads whose parts are discs, so that most texels are seen by nobody."""
    torch.manual_seed(0)
    model = Generator(SMALL, PORTRAIT).eval().requires_grad_(False)
    centres = torch.linspace(-1, 1, 64)
    near = (centres[:, None].square() + centres.square()).sqrt()
    reach = torch.linspace(0.2, 0.6, 12)[:, None, None]
    model.parts.set_layout(torch.where(near < reach, 3.0, -30.0))
    model.parts.to_clearness.weight.normal_()
    model.parts.to_fine.weight.normal_(std=0.2)
    return model, model.map(torch.randn(2, 16))


def test_squares_are_drawn_as_whole_pictures_show_them(portraits):
    model, codes = portraits
    maps = model.part_maps(codes)
    whole, square = model.render(maps, LABELS), model.render(maps, LABELS, crop=CROP)
    assert square.image.shape == (2, 3, 48, 48)
    for name in ("low_image", "low_mask", "depth"):
        torch.testing.assert_close(
            getattr(square, name), CROP.cut(getattr(whole, name)), atol=1e-4, rtol=1e-4, msg=name
        )
    # Beyond its border a square knows nothing: convolutions and the surroundings of hair end there.
    inner = (..., slice(10, -10), slice(10, -10))
    for name in ("image", "mask"):
        found, expected = (x[inner] for x in (getattr(square, name), CROP.cut(getattr(whole, name))))
        torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3, msg=name)
        assert found.std() > 0.05


def test_texels_out_of_view_are_left_out(portraits):
    model, codes = portraits
    every, some = model.part_maps(codes), model.part_maps(codes, CROP.labels(LABELS))
    seen = every.optical_depth > 1e-3
    assert (some.optical_depth[seen] > 0).float().mean() < 0.6
    assert torch.equal(some.depth, every.depth)
    found, expected = (model.render(maps, LABELS, crop=CROP) for maps in (some, every))
    for name in ("image", "mask", "depth"):
        torch.testing.assert_close(
            getattr(found, name), getattr(expected, name), atol=5e-3, rtol=1e-3, msg=name
        )
    # Of several views of a head whatever any of them sees is there.
    views = torch.cat([CROP.labels(LABELS), LABELS]).unflatten(0, (2, 2)).transpose(0, 1).flatten(0, 1)
    both = model.part_maps(codes, views)
    torch.testing.assert_close(
        model.render(both, LABELS).image, model.render(every, LABELS).image, atol=5e-3, rtol=1e-3
    )
