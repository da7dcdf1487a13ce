"""The whole generator: what every view must satisfy, whatever the weights."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ssgan_core import cameras
from ssgan_core.config import ModelConfig
from ssgan_core.layers import resize_bilinear
from ssgan_core.model.codes import Codes
from ssgan_core.model.generator import Generator, Output
from ssgan_core.parts import PORTRAIT, PartSchema

TINY = ModelConfig(
    resolution=32, render_resolution=16, part_resolution=16, latent=16, part_width=8, depth_width=8,
    features=4, frequencies=6, highest_frequency=4.0, upsampler_width=16,
)  # fmt: skip
PARTS = len(PORTRAIT.foreground)


@pytest.fixture(scope="module")
def generator() -> Generator:
    torch.manual_seed(0)
    generator = Generator(TINY, PORTRAIT).eval().requires_grad_(False)
    generator.parts.to_depth.weight.mul_(8)  # as uneven as a trained one
    return generator


@pytest.fixture(scope="module")
def codes(generator) -> Codes:
    return generator.map(torch.randn(4, 16, generator=torch.Generator().manual_seed(1)))


def view(yaw: float, pitch: float = 0.0, count: int = 4) -> torch.Tensor:
    return torch.from_numpy(cameras.label(np.full(count, yaw), pitch))


def shapes(output: Output) -> list[tuple[int, ...]]:
    return [
        tuple(t.shape) for t in (output.image, output.mask, output.depth, output.low_image, output.low_mask)
    ]


@pytest.mark.parametrize("yaw", [-1.2, -0.5, 0.0, 0.3, 0.9])
def test_masks_sum_to_one_in_every_view(generator, codes, yaw):
    output = generator(codes, view(yaw, 0.2))
    assert (output.low_mask.sum(1) - 1).abs().max() < 1e-5
    assert (output.mask.sum(1) - 1).abs().max() < 1e-5
    assert output.low_mask.min() >= 0


def test_shapes_at_the_configured_and_at_another_rendering_resolution(generator, codes):
    maps = generator.part_maps(codes)
    assert shapes(generator.render(maps, view(0.0))) == [
        (4, 3, 32, 32), (4, 13, 32, 32), (4, 1, 16, 16), (4, 3, 16, 16), (4, 13, 16, 16),
    ]  # fmt: skip
    assert shapes(generator.render(maps, view(0.0), render_resolution=24))[0] == (4, 3, 48, 48)


def test_fewer_rays_are_brought_to_the_configured_side(codes):
    torch.manual_seed(0)
    generator = Generator(TINY, PORTRAIT).eval().requires_grad_(False)
    before, weights = generator(codes, view(0.3)), list(generator.state_dict())
    maps = generator.part_maps(codes)
    few = generator.render(maps, view(0.3), render_resolution=8)
    generator.set_sides(8, 16)
    output = generator.render(maps, view(0.3))
    assert shapes(output) == shapes(before)
    for name in ("low_image", "low_mask", "depth"):
        assert torch.equal(getattr(output, name), resize_bilinear(getattr(few, name), 16)), name
    assert (output.mask.sum(1) - 1).abs().max() < 1e-5
    generator.set_sides(16, 16)
    assert torch.equal(generator(codes, view(0.3)).image, before.image)
    assert list(generator.state_dict()) == weights


def test_coarser_maps_show_much_the_same_picture_between_wider_shells(codes):
    torch.manual_seed(0)
    generator = Generator(TINY, PORTRAIT).eval().requires_grad_(False)
    generator.set_shell_width(0.1)
    fine = generator(codes, view(0.3)).low_mask
    generator.set_sides(16, 8)
    assert generator.part_maps(codes).depth.shape == (4, PARTS, 8, 8)
    assert (generator(codes, view(0.3)).low_mask - fine).abs().mean() < 0.01
    generator.set_shell_width(1e-4)
    assert generator.shell_width.item() == pytest.approx(0.8 / 8)


def test_maps_know_no_camera_and_may_be_rendered_again(generator, codes):
    maps = generator.part_maps(codes)
    direct, cached = generator(codes, view(0.4)), generator.render(maps, view(0.4))
    assert torch.equal(direct.image, cached.image)
    assert not torch.allclose(direct.image, generator.render(maps, view(-0.4)).image)


def test_repeated_maps_are_seen_from_several_cameras(generator, codes):
    maps, labels = generator.part_maps(codes), torch.cat([view(yaw)[:1] for yaw in (0.4, -0.4)]).repeat(4, 1)
    once = generator.render(maps.repeated(2), labels)
    for index in range(2):
        alone = generator.render(maps, labels[index::2])
        torch.testing.assert_close(once.image[index::2], alone.image)
        torch.testing.assert_close(once.mask[index::2], alone.mask)


def test_texture_codes_leave_masks_and_depth_bit_identical(generator, codes):
    other = generator.map(torch.randn(4, 16, generator=torch.Generator().manual_seed(2)))
    before = generator(codes, view(0.3))
    after = generator(Codes(codes.base, codes.shape, other.texture), view(0.3))
    assert torch.equal(before.low_mask, after.low_mask)
    assert torch.equal(before.mask, after.mask)
    assert torch.equal(before.depth, after.depth)
    assert not torch.allclose(before.image, after.image)


def test_other_depths_are_relative_to_the_skin(generator, codes):
    other = generator.map(torch.randn(4, 16, generator=torch.Generator().manual_seed(2)))
    before, after = generator.part_maps(codes), generator.part_maps(codes.with_part(other, 0))
    assert torch.equal(before.relative_depth[:, 1:], after.relative_depth[:, 1:])
    moved = after.depth - before.depth
    assert moved[:, 0].abs().max() > 1e-3
    alike = (generator.windows == generator.windows[0]).all(1)
    torch.testing.assert_close(moved[:, alike], moved[:, :1].expand(-1, int(alike.sum()), -1, -1))


def test_other_depths_are_relative_to_the_skin_wherever_their_windows_lie(codes):
    """Eyes' maps cover a quarter of the head's window, off its middle: world z is looked up by hand."""
    torch.manual_seed(0)
    window = (-0.16, -0.10, 0.24, 0.30)
    parts = tuple(replace(part, window=window) if part.name == "eyes" else part for part in PORTRAIT.parts)
    generator = Generator(TINY, PartSchema(parts)).eval().requires_grad_(False)
    generator.parts.to_depth.weight.mul_(8)
    eyes, hair = (PORTRAIT.foreground_index(name) for name in ("eyes", "hair"))
    maps, size = generator.part_maps(codes), TINY.part_resolution
    skin, above = maps.depth[:, 0], maps.depth - maps.relative_depth
    torch.testing.assert_close(above[:, hair], skin)
    texel = 0.8 / size
    for row, column in ((0, 0), (3, 12), (9, 5), (15, 15)):
        x = window[0] + 0.4 * (column + 0.5) / size
        y = window[3] - 0.4 * (row + 0.5) / size
        u, v = (x + 0.4) / texel - 0.5, (0.4 - y) / texel - 0.5
        left, top = int(u), int(v)
        right, down = u - left, v - top
        expected = (
            (1 - down) * ((1 - right) * skin[:, top, left] + right * skin[:, top, left + 1])
            + down * ((1 - right) * skin[:, top + 1, left] + right * skin[:, top + 1, left + 1])
        )  # fmt: skip
        torch.testing.assert_close(above[:, eyes, row, column], expected)


def test_a_portrait_does_not_depend_on_its_batch(generator, codes):
    whole, alone = generator(codes, view(0.2)), generator(codes[1:2], view(0.2, count=1))
    torch.testing.assert_close(whole.image[1:2], alone.image, atol=1e-5, rtol=1e-4)


def test_shells_are_never_thinner_than_a_texel():
    generator = Generator(TINY, PORTRAIT)
    generator.set_shell_width(1e-4)
    assert generator.shell_width.item() == pytest.approx(0.8 / 16)
    generator.set_shell_width(0.09)
    assert generator.shell_width.item() == pytest.approx(0.09)


def test_the_grid_backend_draws_much_the_same_picture(generator, codes):
    settings = {**TINY.__dict__, "backend": "grid"}
    paper = Generator(ModelConfig(**settings), PORTRAIT).eval().requires_grad_(False)
    paper.load_state_dict(generator.state_dict())
    a, b = generator(codes, view(0.2)).low_mask, paper(codes, view(0.2)).low_mask
    assert (a - b).abs().mean() < 0.02


def test_every_parameter_receives_a_gradient(codes):
    torch.manual_seed(0)
    generator = Generator(TINY, PORTRAIT)
    output = generator(generator.map(torch.randn(2, 16)), view(0.2, count=2))
    (output.image.square().sum() + output.depth.sum()).backward()
    silent = [name for name, p in generator.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []
