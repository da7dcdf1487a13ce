"""The baselines are the same networks with fewer abilities: without lifting, without parts, with other sheets."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ssgan_core import cameras
from ssgan_core.checkpoints import save_model
from ssgan_core.config import DiscriminatorConfig, ModelConfig, config_to_json, model_config_from_json
from ssgan_core.errors import SsganError
from ssgan_core.model.codes import Codes
from ssgan_core.model.composition import compose
from ssgan_core.model.discriminator import Discriminator
from ssgan_core.model.generator import Generator, Output
from ssgan_core.parts import PORTRAIT
from ssgan_core.synthesis import codes_from_seed, load_generator, views

TINY = ModelConfig(
    resolution=32, render_resolution=16, part_resolution=16, latent=16, part_width=8, depth_width=8,
    features=4, frequencies=6, highest_frequency=4.0, upsampler_width=16,
)  # fmt: skip
PARTS = len(PORTRAIT.foreground)
NEW_SETTINGS = ("lifting", "parts", "sheets", "depth_trunk", "see_through", "detail_directions")


def made(**settings) -> Generator:
    torch.manual_seed(0)
    return Generator(replace(TINY, **settings), PORTRAIT).eval().requires_grad_(False)


def drawn(generator: Generator, count: int = 2, seed: int = 1) -> Codes:
    return generator.map(torch.randn(count, 16, generator=torch.Generator().manual_seed(seed)))


def view(yaw: float, count: int = 2) -> torch.Tensor:
    return torch.from_numpy(cameras.label(np.full(count, yaw), 0.1))


def shapes(output: Output) -> list[tuple[int, ...]]:
    fields = (output.image, output.mask, output.depth, output.low_image, output.low_mask)
    return [tuple(field.shape) for field in fields]


# ------------------------------------------------------------------------------------------- without lifting


def test_composition_by_hand():
    odds = torch.tensor([3.0, 1.0])  # of two parts, the background's being 1: three, one and one fifth
    features = torch.tensor([10.0, -5.0]).view(1, 2, 1, 1, 1).expand(1, 2, 1, 2, 2)
    optical_depth = torch.log1p(odds).view(1, 2, 1, 1).expand(1, 2, 2, 2)
    foreground, masks, depth = compose(features, optical_depth, 4)
    assert masks[0, :, 3, 0].tolist() == pytest.approx([0.2, 0.6, 0.2])
    torch.testing.assert_close(foreground, torch.full((1, 1, 4, 4), 0.6 * 10 - 0.2 * 5))
    assert torch.equal(depth, torch.zeros(1, 1, 4, 4))


def test_without_lifting_the_output_is_as_with_it_but_no_camera_changes_it():
    lifted, plane = made(), made(lifting="none")
    codes = drawn(plane)
    front, side = plane(codes, view(0.0)), plane(codes, view(0.6))
    assert shapes(front) == shapes(lifted(codes, view(0.0)))
    assert torch.equal(front.image, side.image)
    assert torch.equal(front.low_mask, side.low_mask)
    assert (front.mask.sum(1) - 1).abs().max() < 1e-5
    assert front.low_mask.min() > 0
    assert not front.depth.any()
    assert not views(front)[0].depth.any()  # 0 in pictures means that there is none
    other = plane.render(plane.part_maps(codes), view(0.0), render_resolution=24)
    assert shapes(other)[0] == (2, 3, 48, 48)


def test_without_lifting_parts_are_as_independent():
    plane = made(lifting="none")
    codes, other = drawn(plane), drawn(plane, seed=2)
    before = plane(codes, view(0.0))
    after = plane(Codes(codes.base, codes.shape, other.texture), view(0.0))
    assert torch.equal(before.low_mask, after.low_mask)
    assert not torch.allclose(before.image, after.image)
    a, b = plane.part_maps(codes), plane.part_maps(codes.with_part(other, 6))
    rest = [k for k in range(PARTS) if k != 6]
    assert torch.equal(a.features[:, rest], b.features[:, rest])
    assert not torch.allclose(a.features[:, 6], b.features[:, 6])


def test_without_lifting_the_discriminator_asks_for_no_camera():
    torch.manual_seed(0)
    config = DiscriminatorConfig(width=8, most_width=16, group=2)
    images, masks = torch.randn(2, 6, 32, 32), torch.randn(2, PARTS + 2, 16, 16)
    for lifting, alike in (("depth", False), ("none", True)):
        network = Discriminator(config, replace(TINY, lifting=lifting), PARTS + 1)
        logits = [network(images, masks, view(yaw)) for yaw in (0.0, 0.5)]
        assert torch.equal(*logits) == alike


# ------------------------------------------------------------------------------------------- without parts


def test_one_part_holds_the_whole_foreground():
    one = made(parts="one", sheets=3)
    assert one.schema.names == ("background", "head")
    codes = drawn(one)
    assert codes.shape.shape == (2, 1, 16)
    assert codes.texture.shape == (2, 2, 16)
    assert one.part_maps(codes).depth.shape == (2, 3, 16, 16)
    output = one(codes, view(0.4))
    assert output.low_mask.shape == (2, 2, 16, 16)
    assert (output.low_mask.sum(1) - 1).abs().max() < 1e-5
    assert not torch.allclose(output.image, one(codes, view(-0.4)).image)
    assert 2.2 < output.depth.max() < 3.2


def test_its_description_builds_it_again():
    one = made(parts="one")
    tree = one.describe()
    config = model_config_from_json(tree["config"]["model"], "test")
    again = Generator(config, type(PORTRAIT).from_json(tree["parts"]))
    assert again.schema == one.schema
    again.load_state_dict(one.state_dict())


# ------------------------------------------------------------------------------------------- sheets


def test_sheets_of_a_part_share_its_mask_and_its_codes():
    double = made(sheets=2)
    codes, other = drawn(double), drawn(double, seed=2)
    before, after = double.part_maps(codes), double.part_maps(codes.with_part(other, 3))
    assert before.depth.shape == (2, 2 * PARTS, 16, 16)
    moved = (before.optical_depth != after.optical_depth).flatten(2).any(2).all(0)
    assert moved.nonzero()[:, 0].tolist() == [6, 7]
    output = double(codes, view(0.2))
    assert output.low_mask.shape == (2, PARTS + 1, 16, 16)
    assert (output.low_mask.sum(1) - 1).abs().max() < 1e-5


def test_other_parts_follow_the_skins_first_sheet():
    double = made(sheets=2)
    maps = double.part_maps(drawn(double))
    torch.testing.assert_close(maps.depth[:, :2], double.dome[0] + maps.relative_depth[:, :2])
    alike = (double.windows == double.windows[0]).all(1)
    alike[:2] = False
    torch.testing.assert_close(maps.depth[:, alike], maps.depth[:, :1] + maps.relative_depth[:, alike])


def test_sheets_together_are_as_opaque_as_the_layout_says():
    layout = torch.linspace(-5, 2, PARTS * 256).view(PARTS, 16, 16)
    for sheets in (1, 3):
        networks = made(sheets=sheets).parts
        networks.to_opacity.weight.zero_()
        networks.set_layout(layout)
        optical_depth = networks(drawn(made(sheets=sheets))).optical_depth
        together = optical_depth[0].unflatten(0, (PARTS, sheets)).sum(1)
        torch.testing.assert_close(1 - torch.exp(-together), torch.sigmoid(layout))


def test_depth_from_the_shape_trunk_is_loose_but_within_the_slab():
    smooth, loose = made(), made(depth_trunk="shape")
    assert not any("depth_layers" in name for name in loose.state_dict())
    for generator in (smooth, loose):
        generator.parts.to_depth.weight.mul_(1000)
        maps = generator.part_maps(drawn(generator))
        low, high = generator.depth_bounds
        assert low <= maps.depth.min()
        assert maps.depth.max() <= high
    brows = loose.part_maps(drawn(loose)).relative_depth[:, 2]
    assert brows.abs().max() > 0.2 > PORTRAIT.foreground[2].depth_bound
    assert loose.schema == smooth.schema  # what the data says stays what it says


@pytest.mark.parametrize(
    "settings",
    [{"lifting": "none"}, {"parts": "one", "sheets": 2}, {"depth_trunk": "shape"}, {"sheets": 2}],
    ids=str,
)
def test_every_parameter_receives_a_gradient(settings):
    generator = made(**settings).requires_grad_(True)
    output = generator(generator.map(torch.randn(2, 16)), view(0.2))
    (output.image.square().sum() + output.depth.sum()).backward()
    silent = [name for name, p in generator.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []


# ------------------------------------------------------------------------------------------- settings and old files


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lifting": "flat"}, "model.lifting is depth or none, got 'flat'"),
        ({"parts": "two"}, "model.parts is all or one"),
        ({"depth_trunk": "deep"}, "model.depth_trunk is smooth or shape"),
        ({"detail_octaves": -1}, "model.detail_octaves must lie between 0 and 4, got -1"),
        (
            {"detail_octaves": 4, "resolution": 16, "render_resolution": 8},
            "model.detail_octaves is 4: the coarsest has no wave within 16 pixels",
        ),
        ({"detail_directions": 1}, "model.detail_directions must lie between 2 and 48, got 1"),
        ({"outline_sharpness": 0.5}, "model.outline_sharpness must lie between 1 and 10, got 0.5"),
        ({"sheets": 0}, "model.sheets must lie between 1 and 32"),
        ({"lifting": "none", "sheets": 2}, "without lifting"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(SsganError, match=message):
        replace(TINY, **settings)


def test_a_model_file_without_these_settings_loads_as_before(tmp_path):
    old = made()
    description = old.describe()
    assert config_to_json(TINY) == description["config"]["model"]
    for name in NEW_SETTINGS:
        del description["config"]["model"][name]
    save_model(tmp_path / "old.safetensors", old.state_dict(), description)
    loaded, _ = load_generator(tmp_path / "old.safetensors", torch.device("cpu"))
    assert loaded.config == TINY
    codes = codes_from_seed(old, 4)
    assert torch.equal(loaded(codes, view(0.3, 1)).image, old(codes, view(0.3, 1)).image)
