"""Beginning with weights of another run: the same pictures, larger ones, and refusals that name what differs."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from recipes import recipe

from ssgan_core import cameras
from ssgan_core.checkpoints import load_model, save_model, write_tensors
from ssgan_core.config import load_config
from ssgan_core.errors import SsganError
from ssgan_core.heads.frames import FrameLayout, WornLayout
from ssgan_core.heads.latent import ChoiceLayout, NumberLayout
from ssgan_core.layers import resize_bilinear, up2
from ssgan_core.model.details import Surface
from ssgan_core.model.frames import RANK, SIDE, WORN_RANK, WORN_SIDE
from ssgan_core.model.traits import KNOTS
from ssgan_core.parts import PORTRAIT, PartSchema
from ssgan_core.synthesis import load_generator
from ssgan_core.training import runs
from ssgan_core.training.augmentation import Adaptation
from ssgan_core.training.carry import carry_paths, load_carry, save_carry
from ssgan_core.training.loop import train
from ssgan_core.training.origin import FromCarry, FromModel
from ssgan_core.training.schedule import Schedule
from ssgan_core.training.state import TrainingState
from ssgan_core.training.warmup import known_traits

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def begun(heads, tmp_path_factory):
    """A run of two steps with a probability of its own."""
    run = tmp_path_factory.mktemp("begun") / "run"
    train(heads, recipe({"mode": "adaptive", "probability": 0.25}, kimg=0.008), run, device=CPU)
    return run


def fresh(model=None, schema=PORTRAIT, augmentation=None):
    return TrainingState.create(recipe(augmentation, model), schema, CPU)


def look(generator):
    codes = generator.map(torch.randn(2, generator.config.latent, generator=torch.Generator().manual_seed(0)))
    labels = torch.eye(4).flatten().repeat(2, 1)
    labels[:, [5, 10]], labels[:, 11] = -1, 2.7
    intrinsics = torch.tensor([4.2647, 0, 0.5, 0, 4.2647, 0.5, 0, 0, 1]).repeat(2, 1)
    with torch.no_grad():
        return generator(codes, torch.cat([labels, intrinsics], 1))


def test_the_generator_begins_as_the_model_and_the_discriminator_anew(begun):
    state, untouched = fresh(), fresh()
    FromModel.open(begun).fill(state)
    model, _ = load_generator(begun, CPU)
    for generator in (state.generator, state.average):
        for name, tensor in model.state_dict().items():
            assert torch.equal(generator.state_dict()[name], tensor), name
    assert torch.equal(state.discriminator.from_image.weight, untouched.discriminator.from_image.weight)
    assert (state.images, state.seen_before, state.age) == (0, 8, 8)


def test_a_higher_resolution_begins_as_bilinear_upsampling(begun):
    state = fresh({"resolution": 64})
    FromModel.open(begun).fill(state)
    before, after = look(load_generator(begun, CPU)[0]), look(state.average)
    assert after.image.shape[-1] == 64
    torch.testing.assert_close(after.low_image, before.low_image)
    torch.testing.assert_close(after.low_mask, before.low_mask)
    torch.testing.assert_close(after.image, up2(up2(before.image)))
    loss = state.generator(state.generator.map(torch.randn(1, 16)), torch.zeros(1, 25) + look_label()).image
    loss.square().sum().backward()
    assert state.generator.upsampler.scales[2].to_rgb.weight.grad.abs().max() > 0  # and it can learn


def look_label():
    label = torch.eye(4).flatten()
    label[[5, 10]], label[11] = -1, 2.7
    return torch.cat([label, torch.tensor([4.2647, 0, 0.5, 0, 4.2647, 0.5, 0, 0, 1])])


def test_finer_maps_more_rays_and_smaller_pictures_keep_what_they_can(begun):
    before = look(load_generator(begun, CPU)[0])
    state = fresh({"part_resolution": 16})
    FromModel.open(begun).fill(state)
    assert state.generator.parts.layout_prior.shape[-1] == 16
    assert (look(state.average).low_mask - before.low_mask).abs().mean() < 0.05
    state = fresh({"render_resolution": 16})
    FromModel.open(begun).fill(state)
    low = look(state.average).low_image
    assert (torch.nn.functional.avg_pool2d(low, 2) - before.low_image).abs().mean() < 0.05
    assert not state.generator.upsampler.scales


def test_other_sizes_and_parts_are_named(begun):
    with pytest.raises(SsganError, match=r"model\.latent is 16 in .*, but 32 in the recipe"):
        FromModel.open(begun).fill(fresh({"latent": 32}))
    with pytest.raises(SsganError, match=r"model\.upsampler_width"):
        FromModel.open(begun).fill(fresh({"upsampler_width": 32}))
    with pytest.raises(SsganError, match="other parts than the data: hat"):
        FromModel.open(begun).parts(PartSchema(PORTRAIT.parts[:-2] + PORTRAIT.parts[-1:]))


def test_a_model_keeps_its_windows_and_depths(heads, tmp_path):
    """Those of the data's parts are for weights that nobody has yet."""
    moved = replace(PORTRAIT.parts[3], depth_start=0.02, window=(-0.2, -0.1, 0.2, 0.3))
    schema = PartSchema((*PORTRAIT.parts[:3], moved, *PORTRAIT.parts[4:]))
    had = fresh(schema=schema).generator
    save_model(tmp_path / "model.safetensors", had.state_dict(), had.describe())
    origin = FromModel.open(tmp_path / "model.safetensors")
    for kimg in (0.004, 0.008):  # begun, then prolonged
        result = train(heads, recipe(kimg=kimg), tmp_path / "run", device=CPU, origin=origin)
        assert PartSchema.from_json(load_model(result.model).metadata["parts"]) == schema


def test_a_model_that_was_told_z_alone_learns_to_hear_choices(heads, begun, tmp_path, monkeypatch):
    layout = ChoiceLayout(np.eye(2, 1, dtype=np.float32), np.full(2, 0.5, np.float32), np.zeros(2, np.int64))
    monkeypatch.setattr("ssgan_core.training.warmup.choice_layout", lambda: layout)
    origin, told = FromModel.open(begun), {"choices": 2}
    config = recipe(None, told, kimg=0.004, warmup_kimg=0.004)
    first = train(heads, config, tmp_path / "first", device=CPU, origin=origin, should_stop=lambda: True)
    tensors = load_model(first.model).tensors
    assert tensors["mapping.choices.directions"][:, 0].tolist() == [1, 0]
    assert 0 < tensors["mapping.from_choices.weight"].abs().max() < 1  # of zero, one step
    # Those who begin with such a model need neither truth nor known heads.
    later = train(
        heads,
        recipe(None, told, kimg=0.004),
        tmp_path / "later",
        device=CPU,
        origin=FromModel.open(tmp_path / "first"),
    )
    assert torch.equal(
        load_model(later.model).tensors["mapping.choices.directions"], tensors["mapping.choices.directions"]
    )
    with pytest.raises(SsganError, match=r"model\.choices is 2 in .*, but 0 in the recipe"):
        FromModel.open(tmp_path / "first").fill(fresh())


def told_two_numbers(monkeypatch):
    ranks = np.linspace(-1, 1, KNOTS, dtype=np.float32)
    unmixed, odd = np.eye(2, dtype=np.float32), np.array([False, True])
    layout = NumberLayout(np.ones((2, 1), np.float32), np.stack([ranks, -ranks]), unmixed, odd)
    monkeypatch.setattr("ssgan_core.training.warmup.number_layout", lambda knots: layout)


def test_a_model_of_w_alone_draws_the_same_with_longer_codes(begun):
    plain, longer = fresh(), fresh({"traits": 2})
    for state in (plain, longer):
        FromModel.open(begun).fill(state)
    before, after = look(plain.generator), look(longer.generator)
    for name in ("image", "mask", "depth"):
        torch.testing.assert_close(getattr(after, name), getattr(before, name))


def test_traits_are_learnt_alone(heads, begun, tmp_path, monkeypatch):
    told_two_numbers(monkeypatch)
    settings = {"kimg": 0.008, "exchange_weight": 1.0, "critic_weight": 0.1}
    config = recipe(None, {"traits": 2}, warmup_kimg=0.008, traits_alone=True, **settings)
    result = train(heads, config, tmp_path / "run", device=CPU, origin=FromModel.open(begun))
    untouched, found = fresh({"traits": 2}), load_model(result.model).tensors
    FromModel.open(begun).fill(untouched)
    for name, before in untouched.generator.state_dict().items():
        if name.endswith(".styles.weight"):
            assert torch.equal(found[name][:, :16], before[:, :16]), name
            assert not before[:, 16:].any()
            assert found[name][:, 16:].any(), name
        elif name not in ("mapping.mean", "shell_width") and not name.startswith("mapping.traits."):
            assert torch.equal(found[name], before), name
    assert found["mapping.traits.directions"][:, 0].tolist() == [1, 1]
    # Who begins with such a model needs no truth; and cannot go back.
    later = recipe(None, {"traits": 2}, kimg=0.004)
    train(heads, later, tmp_path / "later", device=CPU, origin=FromModel.open(tmp_path / "run"))
    with pytest.raises(SsganError, match=r"model\.traits is 2 in .*, but 0 in the recipe"):
        FromModel.open(tmp_path / "run").fill(fresh())


def test_traits_that_nobody_described_or_that_are_others(heads, tmp_path, monkeypatch):
    def begin(name, **settings):
        train(heads, recipe(None, {"traits": 3}, **settings), tmp_path / name, device=CPU)

    with pytest.raises(SsganError, match=r"model\.traits is 3, but neither data nor first weights say"):
        begin("random")
    with pytest.raises(SsganError, match="have 1 generating parameters, those of this version 178"):
        begin("count", warmup_kimg=0.004)
    with pytest.raises(SsganError, match=r"traits_alone keeps what first weights know"):
        begin("alone", warmup_kimg=0.004, traits_alone=True)
    told_two_numbers(monkeypatch)
    with pytest.raises(SsganError, match=r"model\.traits is 3, but the data's heads have 2 numbers"):
        begin("others", warmup_kimg=0.004)


def test_a_model_of_painted_lenses_begins_to_see_through_them(begun):
    plain, state = fresh(), fresh({"see_through": True})
    FromModel.open(begun).fill(plain)
    FromModel.open(begun).fill(state)
    before, after = look(plain.generator), look(state.generator)
    assert torch.equal(after.low_mask, before.low_mask)
    assert (after.image - before.image).abs().max() > 1e-4
    state.generator.parts.to_clearness.bias.data.fill_(-1e3)
    torch.testing.assert_close(look(state.generator).image, before.image, atol=1e-4, rtol=1e-4)


def test_a_model_of_smooth_outlines_begins_to_fray_them(begun, tmp_path):
    sizes = {"resolution": 32, "detail_octaves": 2}
    had = fresh(sizes).generator
    save_model(tmp_path / "model.safetensors", had.state_dict(), had.describe())
    state = fresh({**sizes, "fringes": True})
    FromModel.open(tmp_path / "model.safetensors").fill(state)
    before, after = look(had), look(state.generator)
    assert torch.equal(after.low_image, before.low_image)
    assert not torch.equal(after.image, before.image)
    with torch.no_grad():
        state.generator.fringes.to_amplitudes.weight.zero_()
        state.generator.fringes.to_amplitudes.bias.zero_()
    torch.testing.assert_close(look(state.generator).image, before.image, atol=1e-4, rtol=1e-4)
    wanted = {"resolution": 64, "render_resolution": 16, "detail_octaves": 3, "detail_directions": 24}
    both, untouched = fresh({**wanted, "fringes": True}), fresh({**wanted, "fringes": True})
    FromModel.open(tmp_path / "model.safetensors").fill(both)
    for name, tensor in untouched.generator.fringes.state_dict().items():
        assert torch.equal(both.generator.fringes.state_dict()[name], tensor)
    # Octaves and directions stay what they are on the surfaces, as those of details do.
    state.generator.fringes.to_amplitudes.bias.data.copy_(torch.arange(24.0))
    save_model(tmp_path / "frayed.safetensors", state.generator.state_dict(), state.generator.describe())
    with pytest.raises(SsganError, match=r"model\.fringes is True in .*, but False"):
        FromModel.open(tmp_path / "frayed.safetensors").fill(fresh(sizes))
    larger = fresh({**wanted, "fringes": True})
    FromModel.open(tmp_path / "frayed.safetensors").fill(larger)
    grown = larger.generator.fringes.to_amplitudes.bias.detach().view(3, 24)
    assert not grown[0].any()  # finer than the model's pixels
    expected = torch.arange(24.0).view(2, 12).repeat_interleave(2, 1) * 1.5**0.5
    torch.testing.assert_close(grown[1:], expected)


def test_a_model_begins_to_paint_finely_and_with_grain(begun, tmp_path):
    wanted = {"paint_frequencies": 3, "highest_paint_frequency": 5.0, "grain": True}
    plain, state = fresh(), fresh(wanted)
    FromModel.open(begun).fill(plain)
    FromModel.open(begun).fill(state)
    before, after = look(plain.generator), look(state.generator)
    assert torch.equal(after.low_image, before.low_image)
    assert 0 < (after.image - before.image).abs().max() < 0.05
    state.generator.grain = None
    assert torch.equal(look(state.generator).image, before.image)
    # What was learnt of both stays, and cannot be left behind; grain of other pixels begins anew.
    learnt = fresh(wanted).generator
    learnt.parts.to_fine.weight.data.fill_(0.1)
    learnt.grain.to_amplitudes.weight.data.fill_(0.1)
    save_model(tmp_path / "learnt.safetensors", learnt.state_dict(), learnt.describe())
    origin = FromModel.open(tmp_path / "learnt.safetensors")
    same, larger = fresh(wanted), fresh({**wanted, "resolution": 32})
    for later in (same, larger):
        origin.fill(later)
        assert later.generator.parts.to_fine.weight.eq(0.1).all()
    assert same.generator.grain.to_amplitudes.weight.eq(0.1).all()
    assert not larger.generator.grain.to_amplitudes.weight.any()
    with pytest.raises(SsganError, match=r"model\.paint_frequencies is 3 in .*, but 0 in the recipe"):
        origin.fill(fresh({"grain": True}))
    with pytest.raises(SsganError, match=r"model\.grain is True in .*, but False"):
        origin.fill(fresh({**wanted, "grain": False}))


def told_how_points_move(monkeypatch):
    """By the first of two numbers, all points of all parts to the right."""
    shares, fields = (np.zeros(shape, np.float32) for shape in ((2, 3, RANK), (2, RANK, 2, SIDE, SIDE)))
    shares[:, 0, 0], fields[:, 0, 0] = 1, 0.05
    monkeypatch.setattr("ssgan_core.heads.frames.frame_layout", lambda *sizes: FrameLayout(shares, fields))


def test_a_model_begins_to_hear_where_the_mean_head_has_its_points(heads, tmp_path, monkeypatch):
    told_two_numbers(monkeypatch)
    told_how_points_move(monkeypatch)
    before_frames = fresh({"traits": 2})
    before_frames.set_traits(known_traits(recipe(None, {"traits": 2}), 1))
    had = before_frames.generator
    save_model(tmp_path / "model.safetensors", had.state_dict(), had.describe())
    origin = FromModel.open(tmp_path / "model.safetensors")
    config = recipe(None, {"traits": 2, "frames": True}, kimg=0.008, warmup_kimg=0.008, keep_depths=True)
    result = train(heads, config, tmp_path / "run", device=CPU, origin=origin)
    untouched, found = fresh({"traits": 2, "frames": True}), load_model(result.model).tensors
    origin.fill(untouched)
    assert torch.equal(look(untouched.generator).image, look(had).image)
    assert found["parts.frames.shares"][:, 0, 0].tolist() == [1, 1]
    assert found["mapping.traits.odd"].tolist() == [0, 1]
    assert found["mapping.traits.mirror"].nonzero().tolist() == [[1]]
    assert found["parts.to_place.weight"].any()
    # Depths and codes stay what they were; outlines and looks do not.
    before = untouched.generator.state_dict()
    kept = ("parts.depth_layers.", "parts.to_depth.", "mapping.layers.")
    for name in before:
        if name.startswith(kept):
            assert torch.equal(found[name], before[name]), name
    for name in ("parts.to_opacity.weight", "parts.to_features.weight"):
        assert not torch.equal(found[name], before[name]), name
    # Who begins with such a model needs no truth; and cannot go back.
    later = recipe(None, {"traits": 2, "frames": True}, kimg=0.004)
    train(heads, later, tmp_path / "later", device=CPU, origin=FromModel.open(tmp_path / "run"))
    with pytest.raises(SsganError, match=r"model\.frames is True in .*, but False in the recipe"):
        FromModel.open(tmp_path / "run").fill(fresh({"traits": 2}))


def test_a_model_begins_to_tell_kinds_of_what_is_worn(heads, tmp_path, monkeypatch):
    """Codes grow in their middle: what lies behind, and the weights that read it, move to the new end."""
    told_two_numbers(monkeypatch)
    told_how_points_move(monkeypatch)
    options = np.eye(2, 1, dtype=np.float32)
    layout = ChoiceLayout(options, np.full(2, 0.5, np.float32), np.zeros(2, np.int64))
    monkeypatch.setattr("ssgan_core.training.warmup.choice_layout", lambda: layout)
    kinds = WornLayout(
        np.ones((2, 3, WORN_RANK), np.float32), np.full((2, WORN_RANK, 2, WORN_SIDE, WORN_SIDE), 0.01, np.float32),
        np.array([1, 0]), ("hat", "cloth"),
    )  # fmt: skip
    monkeypatch.setattr("ssgan_core.heads.frames.worn_layout", lambda *sizes: kinds)
    told = {"latent": 64, "choices": 2, "traits": 2, "frames": True, "backdrop": 40}
    first = train(heads, recipe(None, told, kimg=0.008, warmup_kimg=0.008), tmp_path / "first", device=CPU)
    had, worn = fresh(told), fresh({**told, "worn": 2})
    for state in (had, worn):
        FromModel.open(first.model).fill(state)
    assert worn.generator.mapping.mean.shape == (64 + 2 + 2 + 40,)
    assert had.generator.background.layers[0].styles.weight[:, -40:].any()
    before, after = look(had.generator), look(worn.generator)
    for name in ("image", "mask", "depth"):
        torch.testing.assert_close(getattr(after, name), getattr(before, name))
    config = recipe(None, {**told, "worn": 2}, kimg=0.008, warmup_kimg=0.008)
    result = train(heads, config, tmp_path / "run", device=CPU, origin=FromModel.open(first.model))
    found = load_model(result.model).tensors
    assert found["mapping.choices.worn"].tolist() == [1, 0]
    assert found["parts.frames.worn_class"].tolist() == [1, 0]
    assert found["parts.frames.worn_shares"].eq(1).all()
    assert found["parts.base_layers.0.styles.weight"][:, 66:68].any()
    # Who begins with such a model needs no truth; and cannot go back.
    later = recipe(None, {**told, "worn": 2}, kimg=0.004)
    train(heads, later, tmp_path / "later", device=CPU, origin=FromModel.open(tmp_path / "run"))
    with pytest.raises(SsganError, match=r"model\.worn is 2 in .*, but 0 in the recipe"):
        FromModel.open(tmp_path / "run").fill(fresh(told))
    wrong = recipe(None, {**told, "choices": 2, "worn": 1}, kimg=0.008, warmup_kimg=0.008)
    with pytest.raises(SsganError, match=r"model\.worn is 1, but the data's heads wear 2 kinds"):
        train(heads, wrong, tmp_path / "wrong", device=CPU, origin=FromModel.open(first.model))
    blind = recipe(None, {**told, "worn": 2}, kimg=0.004)
    with pytest.raises(SsganError, match=r"model\.worn is 2, but neither data nor first weights say"):
        train(heads, blind, tmp_path / "blind", device=CPU, origin=FromModel.open(first.model))


def test_frames_that_nobody_described(heads, tmp_path, monkeypatch):
    told_two_numbers(monkeypatch)
    had = fresh({"traits": 2})
    had.set_traits(known_traits(recipe(None, {"traits": 2}), 1))
    save_model(tmp_path / "model.safetensors", had.generator.state_dict(), had.generator.describe())
    config = recipe(None, {"traits": 2, "frames": True}, kimg=0.004)
    with pytest.raises(
        SsganError, match=r"model\.frames is true, but neither data nor first weights say"
    ) as raised:
        train(
            heads, config, tmp_path / "run", device=CPU, origin=FromModel.open(tmp_path / "model.safetensors")
        )
    assert "set model.frames=false" in raised.value.hint


def test_a_model_without_details_begins_to_paint_them(heads, begun, tmp_path):
    plain, state = fresh(), fresh({"detail_octaves": 1})
    FromModel.open(begun).fill(plain)
    FromModel.open(begun).fill(state)
    before, after = look(plain.generator), look(state.generator)
    assert torch.equal(after.low_image, before.low_image)
    change = (after.image - before.image).abs().mean()
    assert 0.001 < change < 0.5 * before.image.std()
    state.generator.details.noise.planes.zero_()
    assert torch.equal(look(state.generator).image, before.image)
    # Not back again: what was learnt would be lost.
    train(heads, recipe(model={"detail_octaves": 1}, kimg=0.004), tmp_path / "new", device=CPU)
    with pytest.raises(SsganError, match=r"model\.detail_octaves is 1 in .*, but 0"):
        FromModel.open(tmp_path / "new").fill(fresh())
    # Where the upsampler has a scale more, there are details of its own.
    larger, untouched = (fresh({"detail_octaves": 2, "resolution": 32}) for _ in range(2))
    FromModel.open(tmp_path / "new").fill(larger)
    for name, tensor in untouched.generator.details.state_dict().items():
        assert torch.equal(larger.generator.details.state_dict()[name], tensor)


def test_directions_become_several_that_paint_as_strongly(tmp_path):
    had = fresh({"detail_octaves": 2}).generator
    rng = torch.Generator().manual_seed(0)
    had.details.to_amplitudes.bias.data.normal_(generator=rng)
    save_model(tmp_path / "model.safetensors", had.state_dict(), had.describe())
    state = fresh({"detail_octaves": 2, "detail_directions": 24})
    FromModel.open(tmp_path / "model.safetensors").fill(state)
    for name, after in state.generator.details.to_amplitudes.state_dict().items():
        before = had.details.to_amplitudes.state_dict()[name].unflatten(0, (3, 2, 12))
        both = after.unflatten(0, (3, 2, 12, 2)).unbind(3)
        assert all(torch.equal(half, before) for half in both)
    painted = []
    for generator in (had, state.generator):
        details, features = generator.details, torch.ones(16, had.upsampler.width, 16, 16)
        details.painted.fill_(1)
        points = torch.rand(16, 16, 16, 2, generator=rng) - 0.5
        surface = Surface(points, torch.ones(16, len(details.painted), 16, 16) / 12)
        surface.masks[:, 1:] = 0
        painted.append(details(features, surface).std().item())
    assert painted[1] == pytest.approx(painted[0], rel=0.15)
    with pytest.raises(SsganError, match=r"model\.detail_directions is 12 in .*, but 18"):
        FromModel.open(tmp_path / "model.safetensors").fill(
            fresh({"detail_octaves": 2, "detail_directions": 18})
        )


def test_larger_pictures_with_more_rays_begin_as_the_model_seen_with_more_rays(tmp_path):
    """The same surfaces carry the same frequencies; which strand is where is another draw of the noise."""

    def grown(had, octaves, **sizes):
        save_model(tmp_path / "model.safetensors", had.state_dict(), had.describe())
        state = fresh({"detail_octaves": octaves, **sizes})
        FromModel.open(tmp_path / "model.safetensors").fill(state)
        return state.generator

    def amplitudes(generator):
        """[2, 3, octaves, ...] weights and biases as they count: divided by the root of the number of patterns."""
        octaves, layer = generator.config.detail_octaves, generator.details.to_amplitudes
        both = torch.cat([layer.weight.flatten(1), layer.bias[:, None]], 1)
        return both.detach().unflatten(0, (3, octaves, -1)) / octaves**0.5

    had = fresh({"detail_octaves": 2}).generator
    larger = {"resolution": 32, "render_resolution": 16, "part_resolution": 16}
    for octaves, kept in ((3, [0, 1]), (2, [0]), (1, [])):
        after = amplitudes(grown(had, octaves, **larger))
        assert not after[:, 0].any()  # finer than the model's pixels
        assert torch.allclose(after[:, 1:], amplitudes(had)[:, kept])
    # Fewer pixels: what is too fine for them is left out.
    large = fresh({"detail_octaves": 2, **larger}).generator
    fewer = grown(large, 1)
    assert fewer.config.resolution == 16
    assert torch.allclose(amplitudes(fewer), amplitudes(large)[:, 1:])

    after = grown(had, 3, **larger)
    had.set_sides(8, 16)
    had.background.size = 16
    after.dome.copy_(resize_bilinear(had.dome[None], 16)[0])  # which is sampled more finely as well
    for details in (had.details, after.details):
        details.noise.planes.zero_()
    codes = had.map(torch.randn(2, 16, generator=torch.Generator().manual_seed(0)))
    labels = torch.from_numpy(np.stack([cameras.label(yaw, 0.0) for yaw in (-0.3, 0.2)]))
    with torch.no_grad():
        seen, now = had.render(had.part_maps(codes), labels, 16), after(codes, labels)
    for name in ("image", "mask", "depth", "low_image", "low_mask"):
        assert torch.allclose(getattr(now, name), getattr(seen, name), atol=1e-5), name


def test_choices_that_nobody_described_or_that_are_others(heads, begun, tmp_path, monkeypatch):
    def begin(name, origin=None, **settings):
        train(heads, recipe(None, {"choices": 2}, **settings), tmp_path / name, device=CPU, origin=origin)

    for name, origin in (("random", None), ("model", FromModel.open(begun))):
        with pytest.raises(SsganError, match="neither data nor first weights say"):
            begin(name, origin)
    with pytest.raises(SsganError, match="have 1 generating parameters, those of this version 178"):
        begin("count", warmup_kimg=0.004)
    layout = ChoiceLayout(
        np.eye(3, 1, dtype=np.float32), np.full(3, 1 / 3, np.float32), np.zeros(3, np.int64)
    )
    monkeypatch.setattr("ssgan_core.training.warmup.choice_layout", lambda: layout)
    with pytest.raises(SsganError, match=r"model\.choices is 2, but the data's heads choose among 3 options"):
        begin("options", warmup_kimg=0.004)


def test_weights_that_do_not_fit_their_own_recipe_are_named(begun, tmp_path):
    model = load_model(runs.newest_model(begun))
    path = tmp_path / "model.safetensors"
    for tensors, words in [
        ({**model.tensors, "mapping.mean": torch.zeros(3)}, r"'mapping.mean' have shape \[3\]"),
        ({k: v for k, v in model.tensors.items() if k != "mapping.mean"}, "lacks the weights 'mapping.mean'"),
        ({**model.tensors, "extra": torch.zeros(1)}, "does not know: 'extra'"),
    ]:
        write_tensors(path, "model", tensors, model.metadata)
        with pytest.raises(SsganError, match=words):
            FromModel.open(path).fill(fresh())
    write_tensors(path, "model", model.tensors, {"config": 3})
    with pytest.raises(SsganError, match="does not say which generator"):
        FromModel.open(path)


def test_a_run_goes_on_from_a_model_and_its_annealing_too(heads, begun, tmp_path):
    run, config, origin = tmp_path / "run", recipe(kimg=0.008), FromModel.open(begun)
    steps = iter([True])
    stopped = train(heads, config, run, device=CPU, origin=origin, should_stop=lambda: next(steps))
    assert stopped.images == 4
    assert load_model(stopped.model).metadata["images_seen"] == 12
    result = train(heads, config, run, device=CPU)  # holds a state, so the origin is needed no more
    assert result.finished
    straight = train(heads, config, tmp_path / "straight", device=CPU, origin=origin)
    for name, tensor in load_model(straight.model).tensors.items():
        assert torch.equal(tensor, load_model(result.model).tensors[name]), name
    first, last = runs.read_stats(run)[0], runs.read_stats(run)[-1]
    model_layout = load_model(runs.newest_model(begun)).tensors["parts.layout_prior"]
    assert torch.equal(load_model(result.model).tensors["parts.layout_prior"], model_layout)
    texel = 0.1  # the shells' least width here
    assert first["shell_width"] == pytest.approx(max(Schedule(config).shell_width(8), texel))
    assert last["images"] == 8


def test_another_origin_does_not_continue_a_run(heads, begun, tmp_path):
    run, config = runs.create_run(tmp_path, "run"), recipe(kimg=0.008)
    model, carry = FromModel.open(begun), FromCarry.open(begun)
    train(heads, config, run, device=CPU, origin=model, should_stop=lambda: True)
    assert runs.unfinished_run(tmp_path, "run", config, heads, model.describe()) == run
    assert runs.unfinished_run(tmp_path, "run", config, heads) is None
    with pytest.raises(SsganError, match="begun with other weights"):
        train(heads, config, run, device=CPU, origin=carry)
    (run / runs.STATE_NAME).unlink()
    with pytest.raises(SsganError, match="begun with other weights"):
        train(heads, config, run, device=CPU)


def test_what_is_carried_comes_back_within_half_precision(begun):
    before = TrainingState.create(recipe({"mode": "adaptive"}), PORTRAIT, CPU)
    before.restore(begun)
    after = fresh(augmentation={"mode": "adaptive"})
    FromCarry.open(begun).fill(after)
    pairs = [
        (before.average, after.average),
        (before.average, after.generator),
        (before.discriminator, after.discriminator),
    ]
    for one, two in pairs:
        for name, tensor in one.state_dict().items():
            torch.testing.assert_close(
                two.state_dict()[name], tensor, rtol=1e-3, atol=1e-6, msg=lambda m, n=name: f"{n}: {m}"
            )
    assert (after.age, after.images) == (8, 0)
    assert after.adaptation == Adaptation(0.25)


def test_values_beyond_half_precision_stay_whole(tmp_path):
    state = fresh()
    state.average.mapping.mean[0] = 1e9
    save_carry(tmp_path, state, recipe())
    assert load_carry(tmp_path).generator["mapping.mean"][0] == 1e9


def test_files_of_two_runs_are_no_pair(begun, tmp_path):
    state = fresh()
    own = save_carry(tmp_path, state, recipe())
    theirs = carry_paths(begun, 8)
    own[1].write_bytes(theirs[1].read_bytes())
    with pytest.raises(SsganError, match="does not belong to"):
        load_carry(own[0])
    own[1].unlink()
    with pytest.raises(SsganError, match="no carry at"):
        load_carry(own[0])
    with pytest.raises(SsganError, match="not named like"):
        load_carry(runs.newest_model(begun))
    with pytest.raises(SsganError, match=r"holds no carry"):
        load_carry(begun.parent)
    damaged = bytearray(own[0].read_bytes())
    damaged[-3] ^= 1
    own[0].write_bytes(bytes(damaged))
    with pytest.raises(SsganError, match="sha256"):
        load_carry(own[0])


def test_a_carry_of_other_sizes_is_refused(begun):
    with pytest.raises(SsganError, match=r"model\.resolution is 16"):
        FromCarry.open(begun).fill(fresh({"resolution": 32}))


def test_the_shipped_size_fits_into_15_mib_a_file(tmp_path):
    config = load_config("256")
    state = TrainingState.create(config, PORTRAIT, CPU)
    for path in save_carry(tmp_path, state, config):
        assert path.stat().st_size < 15 * 2**20, path


def test_shapes_and_codes_that_are_kept_stay_while_looks_are_learnt(heads, begun, tmp_path):
    config = recipe(
        {"mode": "adaptive"},
        kimg=0.008,
        truth_kimg=1.0,
        keep_shapes=True,
        exchange_weight=1.0,
        critic_weight=0.1,
    )
    result = train(heads, config, tmp_path / "run", device=CPU, origin=FromModel.open(begun))
    before, after = (
        load_generator(begun, CPU)[0].state_dict(),
        load_generator(result.model, CPU)[0].state_dict(),
    )
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    groups = {".".join(name.split(".")[:2]) for name in changed if name.split(".")[0] == "parts"}
    assert groups == {"parts.texture_layers", "parts.to_features"}
    assert {name.split(".")[0] for name in changed - {"mapping.mean"}} == {"parts", "background", "upsampler"}


def test_kept_shapes_are_learnt_with_as_they_are_drawn():
    state = fresh({"outline_sharpness": 3.0})
    drawn, learning = (
        state.generator.eval(),
        TrainingState.create(
            recipe(None, {"outline_sharpness": 3.0}, truth_kimg=1.0, keep_shapes=True), PORTRAIT, CPU
        ).generator,
    )
    codes = drawn.map(torch.randn(2, 16, generator=torch.Generator().manual_seed(0)))
    assert torch.equal(drawn.part_maps(codes).optical_depth, learning.part_maps(codes).optical_depth)
    soft = fresh({"outline_sharpness": 3.0}).generator.part_maps(codes).optical_depth
    assert not torch.allclose(drawn.part_maps(codes).optical_depth, soft)


def test_random_shapes_are_not_kept(heads, tmp_path):
    with pytest.raises(SsganError, match=r"training\.keep_shapes"):
        train(heads, recipe(truth_kimg=1.0, keep_shapes=True), tmp_path / "run", device=CPU)
