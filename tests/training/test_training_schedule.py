"""Schedules, mixing, averages and run folders."""

import pytest
import torch
from torch import nn

from ssgan_core.config import Config, TrainingConfig, load_config
from ssgan_core.errors import SsganError
from ssgan_core.model.codes import Codes
from ssgan_core.training import runs
from ssgan_core.training.ema import update_average
from ssgan_core.training.phases import mix_codes
from ssgan_core.training.schedule import Schedule


def test_annealed_settings_start_and_end_where_the_recipe_says():
    training = TrainingConfig(shell_start=0.05, shell_kimg=2, blur_start=2, blur_end=0.5, blur_kimg=4)
    schedule = Schedule(Config(training=training))
    assert schedule.shell_width(0) == pytest.approx(0.05)
    assert schedule.shell_width(1000) == pytest.approx((0.05 * 0.0125) ** 0.5)
    assert schedule.shell_width(2000) == schedule.shell_width(10**9) == pytest.approx(0.0125)
    assert schedule.mask_blur(2000) == pytest.approx(1.0)


def test_sides_grow_in_steps_of_8_and_end_where_the_model_says():
    training = TrainingConfig(render_start=32, render_kimg=4, part_start=27, part_kimg=2)
    schedule = Schedule(Config(training=training))
    assert [schedule.render_side(images) for images in range(0, 6000, 500)] == [
        32, 32, 40, 40, 48, 48, 56, 56, 64, 64, 64, 64,
    ]  # fmt: skip
    assert [schedule.part_side(images) for images in (0, 500, 1999, 2000, 10**9)] == [27, 35, 59, 64, 64]


def test_without_a_start_sides_are_the_models():
    schedule = Schedule(load_config("512"))
    assert schedule.render_side(0) == schedule.part_side(0) == 128


def test_total_images_are_whole_batches():
    assert Schedule(Config(training=TrainingConfig(kimg=0.1, batch=32))).total_images == 96


def test_average_half_life():
    schedule = Schedule(Config(training=TrainingConfig(batch=32, ema_kimg=10, ema_rampup=0.05)))
    assert schedule.ema_decay(10**7) ** (10_000 / 32) == pytest.approx(0.5)
    assert schedule.ema_decay(20_000) ** (1000 / 32) == pytest.approx(0.5)


def test_average_moves_parameters_and_copies_buffers():
    average, source = nn.BatchNorm1d(2), nn.BatchNorm1d(2)
    with torch.no_grad():
        average.weight.fill_(1.0)
        source.weight.fill_(3.0)
        source.running_mean.fill_(7.0)
    update_average(average, source, 0.75)
    assert average.weight.tolist() == [1.5, 1.5]
    assert average.running_mean.tolist() == [7.0, 7.0]


def labelled_codes(count: int, parts: int, value: float) -> Codes:
    return Codes(
        *(torch.full(shape, value) for shape in [(count, 1), (count, parts, 1), (count, parts + 1, 1)])
    )


def test_mixing_draws_the_three_kinds_equally_and_keeps_the_base():
    a, b = labelled_codes(3000, 4, 0.0), labelled_codes(3000, 4, 1.0)
    mixed = mix_codes(a, b, 1.0, torch.Generator().manual_seed(0))
    assert (mixed.base == 0).all()
    shape, texture = mixed.shape[..., 0], mixed.texture[:, 1:, 0]
    assert not ((shape == 1) & (texture == 0)).any()  # B's shape never wears A's texture
    for kind in [(shape == 0) & (texture == 0), (shape == 0) & (texture == 1), (shape == 1) & (texture == 1)]:
        assert kind.float().mean() == pytest.approx(1 / 3, abs=0.03)
    assert mixed.texture[:, 0].mean() == pytest.approx(0.5, abs=0.05)
    # Independence between parts: the chance that two parts both come from B is the product.
    both = ((shape[:, 0] == 1) & (shape[:, 1] == 1)).float().mean()
    assert both == pytest.approx(1 / 9, abs=0.03)


def test_mixing_with_probability_zero_changes_nothing():
    a, b = labelled_codes(50, 4, 0.0), labelled_codes(50, 4, 1.0)
    mixed = mix_codes(a, b, 0.0, torch.Generator().manual_seed(0))
    assert not mixed.shape.any()
    assert not mixed.texture.any()


def test_run_folders_are_numbered_and_never_shared(tmp_path):
    assert runs.create_run(tmp_path, "a").name == "00000-a"
    (tmp_path / "00007-else").mkdir()
    (tmp_path / "notes").mkdir()
    assert runs.create_run(tmp_path, "b [c]").name == "00008-b [c]"
    with pytest.raises(SsganError, match="cannot name a run"):
        runs.create_run(tmp_path, "../up")


def test_stats_survive_a_torn_line_and_can_be_rewound(tmp_path):
    for images in (0, 8, 16):
        runs.append_stats(tmp_path, {"images": images})
    with (tmp_path / runs.STATS_NAME).open("a") as file:
        file.write('{"images": 2')
    runs.rewind_stats(tmp_path, 8)
    assert [row["images"] for row in runs.read_stats(tmp_path)] == [0, 8]


def test_newest_model_is_the_one_with_most_images(tmp_path):
    with pytest.raises(SsganError, match="no trained model"):
        runs.newest_model(tmp_path)
    for images in (9, 1000, 200):
        runs.model_path(tmp_path, images).touch()
    assert runs.newest_model(tmp_path) == runs.model_path(tmp_path, 1000)


def test_gammas_of_the_recipe_win_over_the_scaled_defaults():
    assert Schedule(load_config("128")).image_gamma == pytest.approx(0.0512)
    assert Schedule(load_config("128", ["training.image_gamma=2.0"])).image_gamma == 2.0
    assert Schedule(load_config("128")).mask_gamma == pytest.approx(15.625)
