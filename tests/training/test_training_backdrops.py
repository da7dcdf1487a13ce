"""What lies behind heads, in numbers: waves by hand, whatever a head hides; told to the background alone."""

import math
from dataclasses import replace

import pytest
import torch
from recipes import recipe

from ssgan_core.checkpoints import load_model, save_model
from ssgan_core.config import BACKDROP_NUMBERS as NUMBERS
from ssgan_core.errors import SsganError
from ssgan_core.model.codes import Codes
from ssgan_core.parts import PORTRAIT
from ssgan_core.training.backdrops import Backdrops, measured_waves
from ssgan_core.training.loop import train
from ssgan_core.training.origin import FromModel
from ssgan_core.training.phases import Phases
from ssgan_core.training.state import TrainingState
from ssgan_core.training.warmup import Warmup

CPU = torch.device("cpu")
SIDE = 32
BRIGHTNESS = 24  # numbers of brightness, 8 and 8 of hues
TOLD = {"latent": 64, "backdrop": NUMBERS}


def wave(across, down, colour):
    """[1, 3, SIDE, SIDE] one slow wave of 0.4 in a colour."""
    along = (torch.arange(SIDE) + 0.5) / SIDE * math.pi
    picture = torch.cos(down * along)[:, None] * torch.cos(across * along)
    return 0.4 * torch.tensor(colour)[None, :, None, None] * picture


def nobody(count=1):
    return torch.zeros(count, SIDE, SIDE, dtype=torch.uint8)


def a_head(count=1):
    masks = nobody(count)
    masks[:, 8:, 9:23] = 1
    return masks


def test_a_wave_is_found_by_hand():
    found = measured_waves(wave(1, 0, (1.0, 1.0, 1.0)), nobody())[0]
    assert found.shape == (NUMBERS,)
    # Half of the pixels' squares is the wave's energy, 0.02 the penalty.
    assert found[0].item() == pytest.approx(0.4 * 0.5 / 0.52, abs=1e-5)
    assert found[1:].abs().max() < 1e-5
    hue = measured_waves(0.3 + wave(0, 2, (1.0, 0.0, -1.0)), nobody())[0]  # a constant colour is nothing
    assert hue[BRIGHTNESS + 5].item() == pytest.approx(
        0.4 * 2 / 3 * 0.5 / 0.52, abs=1e-5
    )  # after (0, 1), (0, 2), (1, 0), ...
    hue[BRIGHTNESS + 5] = 0
    assert hue.abs().max() < 1e-5


def test_heads_do_not_show():
    picture = wave(1, 0, (1.0, 1.0, 1.0)) + wave(0, 1, (0.5, 0.5, 0.5))
    bare, hidden = measured_waves(picture, nobody()), measured_waves(picture, a_head())
    painted = torch.where(a_head()[:, None] > 0, torch.tensor(-1.0), picture)
    torch.testing.assert_close(measured_waves(painted, a_head()), hidden)
    assert (hidden - bare).norm() < 0.25 * bare.norm()
    assert torch.isfinite(measured_waves(picture, nobody() + 1)).all()  # nothing but a head
    large = torch.nn.functional.interpolate(picture, scale_factor=4, mode="bilinear")
    masks = a_head().repeat_interleave(4, 1).repeat_interleave(4, 2)
    torch.testing.assert_close(measured_waves(large, masks), hidden, atol=0.01, rtol=0)


def test_numbers_look_like_random_ones():
    rng = torch.Generator().manual_seed(0)
    along = (torch.arange(SIDE) + 0.5) / SIDE * math.pi
    waves = torch.cos(torch.arange(5)[:, None] * along)
    strengths = 0.1 / (1 + torch.arange(5) + torch.arange(5)[:, None])  # slow waves are the strongest
    amplitudes = torch.randn(800, 3, 5, 5, generator=rng) * strengths
    pictures = torch.einsum("ncij,iy,jx->ncyx", amplitudes, waves, waves) + 0.1
    measured = measured_waves(pictures, a_head(800))
    numbers = Backdrops(measured).numbers(pictures, a_head(800))
    torch.testing.assert_close(numbers.norm(dim=1), torch.full((800,), NUMBERS**0.5))
    assert numbers.mean(0).abs().max() < 0.2
    assert (numbers.std(0) - 1).abs().max() < 0.35
    # How strong a backdrop is does not count.
    mean = measured.mean(0)
    stronger = Backdrops(mean + 3 * (measured - mean))
    torch.testing.assert_close(stronger.whitening, Backdrops(measured).whitening / 3, rtol=1e-3, atol=1e-3)


def warmup_of(heads, config, state):
    phases = Phases(config, state.generator, state.discriminator, True, CPU)
    areas = torch.full((len(heads.schema.parts),), 0.1)
    backdrops = Backdrops(torch.randn(200, NUMBERS, generator=torch.Generator().manual_seed(0)))
    labels = torch.from_numpy(heads.labels)
    return Warmup(phases, heads.parameter_count(), areas, labels, None, backdrops)


def test_known_heads_tell_what_lies_behind_them(heads):
    config = recipe(None, TOLD, truth_kimg=1.0)
    state = TrainingState.create(config, heads.schema, CPU)
    warmup, batch = warmup_of(heads, config, state), next(heads.batches(config, 0, 4))
    codes = warmup.codes(batch, 1, torch.Generator().manual_seed(0))
    numbers = warmup.backdrops.numbers(batch.normalised_images(), batch.masks)
    torch.testing.assert_close(codes.texture[:, 0, -NUMBERS:], 4 * numbers)


def test_the_background_alone_hears_of_it():
    generator = TrainingState.create(recipe(None, TOLD), PORTRAIT, CPU).generator
    z = torch.randn(2, 64, generator=torch.Generator().manual_seed(0))
    codes = generator.map(z)
    more = torch.zeros(codes.base.shape[1])
    more[-NUMBERS:] = 1
    changed = Codes(codes.base + more, codes.shape + more, codes.texture + more)
    before, after = generator.part_maps(codes), generator.part_maps(changed)
    assert torch.equal(before.background, after.background)  # at first not even that
    torch.nn.init.normal_(generator.background.layers[0].styles.weight)
    before, after = generator.part_maps(codes), generator.part_maps(changed)
    assert torch.equal(before.features, after.features)
    assert torch.equal(before.depth, after.depth)
    assert not torch.allclose(before.background, after.background)


def test_a_model_without_learns_to_hear_it(heads, tmp_path):
    plain = TrainingState.create(recipe(None, {"latent": 64}), PORTRAIT, CPU)
    path = tmp_path / "plain.safetensors"
    save_model(path, plain.average.state_dict(), {**plain.average.describe(), "images_seen": 0})
    longer = TrainingState.create(recipe(None, TOLD), PORTRAIT, CPU)
    FromModel.open(path).fill(longer)
    z = torch.randn(2, 64, generator=torch.Generator().manual_seed(0))
    before, after = (g.part_maps(g.map(z)) for g in (plain.average, longer.average))
    torch.testing.assert_close(after.background, before.background)
    torch.testing.assert_close(after.features, before.features)

    config = recipe(None, TOLD, kimg=0.008, warmup_kimg=0.008, traits_alone=True)
    stopped = train(
        heads, config, tmp_path / "run", device=CPU, origin=FromModel.open(path), should_stop=lambda: True
    )
    assert not stopped.finished
    resumed = train(heads, config, tmp_path / "run", device=CPU)
    straight = train(heads, config, tmp_path / "straight", device=CPU, origin=FromModel.open(path))
    found, same = (load_model(result.model).tensors for result in (resumed, straight))
    for name, tensor in found.items():
        assert torch.equal(tensor, same[name]), name
        if name.endswith(".styles.weight"):
            assert found[name][:, 64:].any() == name.startswith("background."), name


def test_other_counts_and_too_little_room_are_named(heads, tmp_path):
    with pytest.raises(SsganError, match=r"model\.backdrop is 3, but what lies behind is told by 40 numbers"):
        recipe(None, {"backdrop": 3})
    config = recipe(None, {**TOLD, "latent": 41}, warmup_kimg=0.004)
    with pytest.raises(
        SsganError, match=r"latent 41 is too small for 1 generating parameters and 40 numbers"
    ):
        train(heads, config, tmp_path / "room", device=CPU)
    with pytest.raises(SsganError, match=r"model\.backdrop 40 is more than model\.latent 16"):
        recipe(None, {"backdrop": NUMBERS})


def test_backdrops_alone_are_learnt_from_pictures_without_heads(heads, tmp_path):
    first = train(heads, recipe(None, TOLD, kimg=0.004, warmup_kimg=0.004), tmp_path / "first", device=CPU)
    config = recipe(None, TOLD, kimg=0.016, warmup_kimg=0.016, backdrop_alone=True, generator_lr=0.01)
    origin = FromModel.open(first.model)
    stopped = train(heads, config, tmp_path / "run", device=CPU, origin=origin, should_stop=lambda: True)
    assert not stopped.finished
    resumed = train(heads, config, tmp_path / "run", device=CPU)
    straight = train(heads, config, tmp_path / "straight", device=CPU, origin=origin)
    before, found, same = (load_model(result.model).tensors for result in (first, resumed, straight))
    for name, tensor in found.items():
        assert torch.equal(tensor, same[name]), name
        if not name.startswith("background.") and name != "shell_width":
            assert torch.equal(tensor, before[name]), name
    for name in ("background.to_waves.weight", "background.from_waves.weight", "background.layers.0.weight"):
        assert not torch.equal(found[name], before[name]), name
    assert {"warmup_image", "warmup_square", "warmup_gradient"} <= set(resumed.last)
    assert "warmup_masks" not in resumed.last


def test_what_a_head_hides_teaches_no_backdrop(heads):
    config = recipe(None, TOLD, truth_kimg=1.0)
    state = TrainingState.create(config, heads.schema, CPU)
    warmup, batch = warmup_of(heads, config, state), next(heads.batches(config, 0, 4))
    terms, loss = warmup.backdrop(batch, torch.Generator().manual_seed(0))
    hidden = torch.where(batch.masks[:, None] > 0, 255 - batch.images, batch.images)
    _, same = warmup.backdrop(replace(batch, images=hidden), torch.Generator().manual_seed(0))
    assert torch.equal(loss, same)
    lighter = torch.where(batch.masks[:, None] == 0, 255 - batch.images, batch.images)
    _, other = warmup.backdrop(replace(batch, images=lighter), torch.Generator().manual_seed(0))
    assert not torch.isclose(loss, other, rtol=0.01)
    expected = 2 * terms["warmup_image"] + 2.5 * terms["warmup_square"] + 2 * terms["warmup_gradient"]
    torch.testing.assert_close(loss, expected)


def test_backdrops_alone_have_no_game_and_no_first_weights_of_chance(heads, tmp_path):
    for wrong in ({"warmup_kimg": 0.004}, {"warmup_kimg": 0.016, "critic_weight": 0.1}):
        with pytest.raises(SsganError, match=r"training\.backdrop_alone draws no heads"):
            recipe(None, TOLD, backdrop_alone=True, **wrong)
    with pytest.raises(SsganError, match=r"backdrop_alone keeps what first weights know"):
        train(heads, recipe(None, TOLD, warmup_kimg=0.016, backdrop_alone=True), tmp_path / "run", device=CPU)
