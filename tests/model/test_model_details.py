"""Details: which noise there is, where it lies, and that only the picture shows it."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ssgan_core.cameras import FOCAL, RADIUS, label
from ssgan_core.config import ModelConfig
from ssgan_core.errors import SsganError
from ssgan_core.model.details import Surface, SurfaceDetails, combing, mean_distance, seen_surface
from ssgan_core.model.generator import Generator
from ssgan_core.model.noise import OrientedNoise, oriented_noise
from ssgan_core.parts import PORTRAIT
from ssgan_core.rendering.rays import camera_rays

PIXEL = RADIUS / FOCAL / 32  # world units on the plane z = 0, of a picture of 32 x 32


def view(yaw: float = 0.0, pitch: float = 0.0) -> torch.Tensor:
    return torch.from_numpy(label(yaw, pitch)[None])


@pytest.fixture(scope="module")
def noise() -> torch.Tensor:
    return oriented_noise(2, 12, 64, 12.0)


def test_every_plane_has_its_octave_and_direction(noise):
    assert noise.shape == (24, 64, 64)
    torch.testing.assert_close(noise.std((1, 2), correction=0), torch.ones(24))
    power = torch.fft.fft2(noise.double()).abs().square()
    along = torch.fft.fftfreq(64, 1 / 64, dtype=torch.float64)
    y, x = torch.meshgrid(along, along, indexing="ij")
    for index, plane in enumerate(power / power.sum((1, 2), keepdim=True)):
        octave, direction = divmod(index, 12)
        top = 12 / 2**octave
        length = torch.hypot(x, y)
        assert plane[(length > top + 1e-9) | (length <= top / 2)].sum() < 1e-9
        # Doubled angles have no sign; the share of power along the plane's own direction is 1 if there is no other.
        coherence = (plane * torch.cos(2 * (torch.atan2(y, x) - direction * math.pi / 12))).sum()
        assert coherence > 0.95


def test_twice_the_directions_make_strands_twice_as_long():
    lengths = []
    for directions in (6, 12, 24):
        upright = oriented_noise(1, directions, 128, 40.0)[0]  # waves run across, strands down
        kept = torch.fft.ifft2(torch.fft.fft2(upright).abs().square()).real[:32, 0]  # along the strand
        lengths.append((kept / kept[0] > 0.5).float().cumprod(0).sum().item())
    assert lengths[1] == pytest.approx(2 * lengths[0], abs=1)
    assert lengths[2] == pytest.approx(2 * lengths[1], abs=1)


def test_the_noise_is_the_one_that_models_were_trained_with(noise):
    expected = torch.tensor([[-0.6691, -0.2887, -1.2802]])
    torch.testing.assert_close(noise[[0, 7, 23], [0, 20, 63], [0, 40, 63]][None], expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize(("yaw", "pitch"), [(0.0, 0.0), (0.5, 0.1), (-0.3, -0.2)])
def test_surfaces_are_found_where_rays_meet_them(yaw, pitch):
    # A slanted plane z = 0.1 + 0.2 x, thinner in places.
    labels = view(yaw, pitch)
    rays = camera_rays(labels, 16)
    (x0, _, z0), (dx, _, dz) = rays.origins[0].T, rays.directions[0].T
    t = (0.1 + 0.2 * x0 - z0) / (dz - 0.2 * dx)
    distance = t * (rays.directions[0] * rays.forward).sum(-1)
    expected = (rays.origins + t[:, None] * rays.directions)[0, :, :2]
    opacity = torch.ones(1, 1, 16, 16)
    opacity[..., :8, ::5] = 0.4
    mean = mean_distance(distance.view(1, 1, 16, 16) * opacity, opacity)
    surface = seen_surface(labels, mean, opacity)
    torch.testing.assert_close(surface.points.view(-1, 2), expected, atol=5e-4, rtol=0)


def test_where_nothing_is_the_plane_through_the_origin_stands_in():
    nothing = torch.zeros(1, 1, 8, 8)
    surface = seen_surface(view(), mean_distance(nothing, nothing), torch.zeros(1, 2, 32, 32))
    corners = surface.points[0, [0, 0, 31], [0, 31, 0]]
    expected = torch.tensor([[-15.5, 15.5], [15.5, 15.5], [-15.5, -15.5]]) * PIXEL
    torch.testing.assert_close(corners, expected, rtol=1e-4, atol=1e-6)


@pytest.fixture
def details() -> SurfaceDetails:
    torch.manual_seed(0)
    return SurfaceDetails(OrientedNoise(2, 12, 32), torch.tensor([True, True]), 4).requires_grad_(False)


def shown(points: torch.Tensor, first: float = 1.0, second: float = 0.0) -> Surface:
    """Two parts with shares of every pixel."""
    masks = torch.tensor([first, second])[:, None, None].expand(len(points), 2, *points.shape[1:3])
    return Surface(points, masks)


def test_an_amplitude_is_the_height_of_its_noise(details):
    details.to_amplitudes.weight.zero_()
    details.to_amplitudes.bias.zero_()
    details.to_amplitudes.bias[24 + 5] = 3.0  # green, of the sixth plane
    y, x = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    # A pixel spans two texels; whole periods to either side nothing changes.
    surface = shown(torch.stack([x - 64, y + 96], -1)[None] * PIXEL)
    added = details(torch.randn(1, 4, 32, 32), surface)
    assert not added[:, [0, 2]].any()
    expected = 3.0 * details.noise.planes[5, :-1:2, :-1:2] / 24**0.5
    torch.testing.assert_close(added[0, 1], expected, atol=1e-3, rtol=0)


def test_details_begin_grey_and_faint_and_spare_the_background(details):
    surface = shown(torch.rand(2, 32, 32, 2) - 0.5)
    added = details(torch.randn(2, 4, 32, 32), surface)
    torch.testing.assert_close(added[:, 0], added[:, 1])
    torch.testing.assert_close(added[:, 0], added[:, 2])
    assert 0.05 < added.std() < 0.4


@pytest.mark.parametrize(
    ("first", "second", "strength"),
    [(0.0, 0.0, 0), (0.6, 0.0, 0.6), (0.4, 0.4, 0), (0.2, 0.6, 0.4), (0.0, 1.0, 1)],
)
def test_details_fade_into_the_background_and_where_parts_meet(details, first, second, strength):
    features, points = torch.randn(1, 4, 32, 32), torch.rand(1, 32, 32, 2) - 0.5
    whole = details(features, shown(points))
    torch.testing.assert_close(details(features, shown(points, first, second)), strength * whole)


def test_only_painted_parts_get_details():
    torch.manual_seed(0)
    details = SurfaceDetails(OrientedNoise(2, 12, 32), torch.tensor([True, False]), 4)
    features, points = torch.randn(1, 4, 32, 32), torch.rand(1, 32, 32, 2) - 0.5
    whole = details(features, shown(points, 1.0, 0.0))
    assert whole.any()
    for share, strength in (
        (0.0, 0.0),
        (0.3, 0.0),
        (0.5, 0.0),
        (0.7, 0.7 * 0.4),
    ):  # hair that thins out over a cheek
        added = details(features, shown(points, share, 1 - share))
        torch.testing.assert_close(added, strength * whole, atol=1e-6, rtol=1e-4)


def test_smaller_pictures_lack_the_octaves_that_they_would_alias(details):
    features, points = torch.randn(1, 4, 16, 16), torch.rand(1, 16, 16, 2) - 0.5
    before = details(features, shown(points))
    details.noise.planes[:12] += 1
    assert torch.equal(details(features, shown(points)), before)
    details.noise.planes[12:] += 1
    assert not torch.allclose(details(features, shown(points)), before)


TINY = ModelConfig(
    resolution=32, render_resolution=16, part_resolution=16, latent=16, part_width=8, depth_width=8,
    features=8, frequencies=8, highest_frequency=4.0, upsampler_width=8, detail_octaves=2,
)  # fmt: skip


def generator(**settings) -> Generator:
    """One whose hair covers everything: where untrained parts share pixels there are no details."""
    torch.manual_seed(0)
    model = Generator(replace(TINY, **settings), PORTRAIT).eval()
    layout = torch.full_like(model.parts.layout_prior, -6.0)
    layout[min(PORTRAIT.foreground_index("hair"), len(layout) - 1)] = 3.0
    model.parts.set_layout(layout)
    return model


def test_details_reach_the_image_alone():
    model = generator()
    codes = model.map(torch.randn(1, 16))
    before = model(codes, view(0.2))
    model.details.noise.planes *= -1
    after = model(codes, view(0.2))
    assert (after.image - before.image).abs().max() > 0.01
    for name in ("mask", "depth", "low_image", "low_mask"):
        assert torch.equal(getattr(after, name), getattr(before, name))


def test_hair_gets_details_also_in_one_part_of_all():
    painted = [
        part.name for part, yes in zip(PORTRAIT.foreground, generator().details.painted, strict=True) if yes
    ]
    assert painted == ["hair"]
    assert generator(parts="one").details.painted.tolist() == [1]


def test_grain_lies_on_all_that_is_smooth_but_for_it_and_begins_faint():
    torch.manual_seed(0)
    model = Generator(replace(TINY, detail_octaves=0, grain=True), PORTRAIT).eval()
    painted = [part.name for part, yes in zip(PORTRAIT.foreground, model.grain.painted, strict=True) if yes]
    assert painted == ["skin", "brows", "nose", "ears", "neck", "cloth", "hat"]
    layout = torch.full_like(model.parts.layout_prior, -30.0)
    layout[PORTRAIT.foreground_index("skin")] = 30.0
    codes = model.map(torch.randn(1, 16))
    for index in ("skin", "hair"):
        layout = torch.full_like(layout, -30.0)
        layout[PORTRAIT.foreground_index(index)] = 30.0
        model.parts.set_layout(layout)
        with torch.no_grad():
            grained = model(codes, view(0.2))
        grain, model.grain = model.grain, None
        with torch.no_grad():
            change = (grained.image - model(codes, view(0.2)).image)[..., 8:24, 8:24]
        model.grain = grain
        assert 0.003 < change.std() < 0.008 if index == "skin" else not change.any()
        torch.testing.assert_close(change[:, 0], change[:, 2])


def test_grain_needs_skin_of_its_own():
    with pytest.raises(SsganError, match=r"model\.grain needs skin that is a part of its own"):
        replace(TINY, grain=True, parts="one")


def test_details_teach_no_geometry():
    distance = torch.rand(1, 1, 8, 8).requires_grad_()
    surface = seen_surface(view().requires_grad_(), distance, torch.rand(1, 3, 16, 16).requires_grad_())
    assert not surface.points.requires_grad
    assert not surface.masks.requires_grad


def test_details_turn_with_the_head():
    """The same point of a surface looks up the same noise from every side."""
    model = generator()
    maps = model.part_maps(model.map(torch.randn(1, 16)))
    seen = {}

    def remember(_, inputs):
        seen["points"] = inputs[1].points

    model.details.register_forward_pre_hook(remember)
    for yaw in (-0.3, 0.3):
        with torch.no_grad():
            output = model.render(maps, view(yaw))
        mean = (output.depth / (1 - output.low_mask[:, :1]).clamp(min=0.05))[0, 0, 8, 8]
        rays = camera_rays(view(yaw), 16)
        pixel = 8 * 16 + 8
        along = mean / (rays.directions[0, pixel] * rays.forward[0]).sum()
        point = (rays.origins[0, pixel] + along * rays.directions[0, pixel])[:2]
        around = seen["points"][0, 16:18, 16:18].mean((0, 1))  # four pixels of the image in one of the rays'
        assert (around - point).norm() < 0.02


def test_without_lifting_details_lie_on_the_picture():
    model = generator(lifting="none")
    codes = model.map(torch.randn(1, 16))
    with torch.no_grad():
        image = model(codes, view()).image
        assert torch.equal(model(codes, view(0.6)).image, image)
        model.details.noise.planes *= -1
        assert not torch.allclose(model(codes, view()).image, image)


@pytest.mark.parametrize(("resolution", "octaves"), [(8, 2), (16, 3), (32, 4)])
def test_the_most_octaves_that_small_pictures_may_have_are_noise(resolution, octaves):
    """The next octave, which the settings refuse, has no frequency."""
    planes = oriented_noise(octaves, 12, 2 * resolution, 0.4 * resolution)
    assert torch.allclose(planes.flatten(1).std(1), torch.ones(12 * octaves), atol=0.01)
    one_more = oriented_noise(octaves + 1, 12, 2 * resolution, 0.4 * resolution)
    assert one_more[-12:].isnan().all()  # nothing, divided by nothing
    with pytest.raises(SsganError, match=r"model\.detail_octaves"):
        ModelConfig(resolution=resolution, render_resolution=8, detail_octaves=octaves + 1)


@pytest.mark.parametrize("grain", [False, True])
@pytest.mark.parametrize("size", [32, 16])
def test_a_processor_adds_what_a_gpu_adds(size, grain):
    torch.manual_seed(0)
    details = SurfaceDetails(OrientedNoise(2, 12, 32), torch.tensor([True, False]), 4, grain=grain)
    details.to_amplitudes.weight.data.normal_()  # of every colour its own
    details.to_amplitudes.bias.data.normal_()
    features = torch.randn(2, 4, size, size, requires_grad=True)
    points = torch.rand(2, size, size, 2) - 0.5
    # Both ends: what lies just below zero is rounded to one.
    points[0, :2] = torch.tensor([[0.0], [-1e-9]])[:, None]
    strength = torch.rand(2, 1, size, size).where(torch.rand(2, 1, size, size) > 0.4, 0)
    left_out = 12 * (size == 16)
    found = []
    for add in (details._everywhere, details._where_strong):
        added = add(features, points, strength, left_out)
        learning = (features, details.to_amplitudes.weight, details.to_amplitudes.bias)
        found.append((added, *torch.autograd.grad((added * torch.arange(3.0).view(3, 1, 1)).sum(), learning)))
    for expected, value in zip(*found, strict=True):
        torch.testing.assert_close(value, expected, atol=1e-4, rtol=1e-4)
    assert found[0][0].any()


def test_of_two_directions_the_louder_prevails():
    # Energies 4, 1, 0, 0 with half of both neighbours' are 4.5, 3, .5, 2. As shares of the loudest, squared, that
    # is 1, 4/9, 1/81, 16/81; so 4 and 16/81 of the energy 5 are kept.
    first, second, *rest = combing(torch.tensor([2.0, 1.0, 0.0, 0.0]), torch.zeros(4)).tolist()
    assert first == pytest.approx((5 / (4 + 16 / 81)) ** 0.5)
    assert second == pytest.approx(4 / 9 * first)
    assert rest == pytest.approx([first / 81, first * 16 / 81])


@given(
    amplitudes=st.lists(st.floats(-10, 10, width=32), min_size=12, max_size=12).filter(
        lambda x: all(sum(a * a for a in x[octave : octave + 6]) > 1e-3 for octave in (0, 6))
    )
)
def test_combing_keeps_each_octaves_energy_and_the_loudest_direction(amplitudes):
    before = torch.tensor(amplitudes)
    after = before * combing(before, torch.zeros(6))
    energy, kept = (x.view(2, 6).square() for x in (before, after))
    torch.testing.assert_close(kept.sum(1), energy.sum(1), rtol=1e-3, atol=1e-6)
    loudest = (energy.sum(0) + (energy.sum(0).roll(1) + energy.sum(0).roll(-1)) / 2).argmax()
    assert (kept[:, loudest] >= energy[:, loudest] * 0.999 - 1e-6).all()
    torch.testing.assert_close(-before * combing(-before, torch.zeros(6)), -after)


def test_combing_nothing_is_nothing_and_slopes_are_finite():
    nothing = torch.zeros(3, 12, requires_grad=True)
    (nothing * combing(nothing, torch.zeros(6))).sum().backward()
    assert torch.isfinite(nothing.grad).all()


def test_of_two_that_are_as_loud_the_one_prevails_that_locks_lean_to():
    # Energies 1, 0, 1, 0 are 1, 1, 1, 1 with half of their neighbours'; a lean of log 3 makes that 3, 1, 1, 1 and, as
    # squared shares, 1, 1/9, 1/9, 1/9. So 1 and 1/81 of the energy 2 are kept.
    first, _, second, _ = combing(torch.tensor([1.0, 0, 1, 0]), torch.tensor([3.0, 1, 1, 1]).log()).tolist()
    assert first == pytest.approx((2 / (1 + 1 / 81)) ** 0.5)
    assert second == pytest.approx(first / 9)
    # Of one that is sure all other directions together stay a hundredth.
    sure = torch.tensor([1.0, 0, 0.05, 0, 0, 0])
    left = sure * combing(sure, torch.tensor([-0.7, 0, 0.7, 0, 0, 0]))
    assert left[2] < 0.01 < 0.99 < left[0]


def test_locks_of_very_large_pictures():
    leaning = OrientedNoise(1, 2, 4096).leaning(torch.rand(50, 2))
    assert leaning.isfinite().all()
    assert leaning.std() > 0.5


@pytest.mark.parametrize("resolution", [64, 256, 512])
def test_locks_lean_smoothly_one_way_here_and_another_there(resolution):
    noise = OrientedNoise(1, 12, resolution)
    steps = torch.arange(200) / 200
    points = torch.stack(torch.meshgrid(steps, steps, indexing="xy"), -1) * noise.period
    leaning = noise.leaning(points)
    assert leaning.shape == (200, 200, 12)
    torch.testing.assert_close(
        leaning[..., 6:], -leaning[..., :6], atol=1e-5, rtol=0
    )  # at right angles the contrary
    assert abs(leaning.mean()) < 0.01
    assert 0.9 < leaning.std() < 1.05
    # A world unit holds 6 to 19 waves; their slopes are bounded by the fastest.
    slope = (leaning[:, 1:] - leaning[:, :-1]).abs().mean() / (noise.period / 200)
    assert 2 * 3.14 * 6 * 0.3 < slope < 2 * 3.14 * 19
    again = noise.leaning(points[:3, :3] + noise.period)
    torch.testing.assert_close(again, leaning[:3, :3], atol=1e-3, rtol=0)


def test_where_no_pixel_has_details_nothing_is_added():
    details = SurfaceDetails(OrientedNoise(2, 12, 32), torch.tensor([True, False]), 4)
    features = torch.randn(1, 4, 32, 32, requires_grad=True)
    added = details(features, shown(torch.rand(1, 32, 32, 2), 0.0, 1.0))
    assert added.shape == (1, 3, 32, 32)
    assert not added.any()
    added.sum().backward()
    assert not features.grad.any()
