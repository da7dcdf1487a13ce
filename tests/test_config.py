"""Recipes: every shipped one parses, every mistake is named."""

import pytest

from ssgan_core.config import Config, config_from_json, config_to_json, dump_config, load_config
from ssgan_core.errors import SsganError
from ssgan_core.resources import shipped

SHIPPED = sorted(path.stem for path in shipped("configs").glob("*.yaml"))


def test_the_promised_recipes_are_shipped():
    assert {"smoke_cpu", "128", "256", "512"} <= set(SHIPPED)


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_recipe_parses_and_survives_a_round_trip(name, tmp_path):
    config = load_config(name)
    copy = tmp_path / "copy.yaml"
    copy.write_text(dump_config(config))
    assert load_config(str(copy)) == config
    assert config_from_json(config_to_json(config), "json") == config


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_recipe_says_how_to_run_it(name):
    head = (shipped("configs") / f"{name}.yaml").read_text().splitlines()[0:3]
    assert head[0].startswith("# ")
    assert any("ssgan train" in line for line in head)


def test_overrides_win_and_numbers_with_exponents_are_numbers():
    config = load_config("smoke_cpu", ["training.generator_lr=1e-3", "seed=7", "data.mirror=false"])
    assert config.training.generator_lr == 0.001
    assert config.seed == 7
    assert config.data.mirror is False


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("trainin: {}", "did you mean 'training'"),
        ("training: {bach: 4}", "did you mean 'training.batch'"),
        ("training: {batch: four}", "must be a whole number"),
        ("training: {batch: true}", "must be a whole number"),
        ("training: {kimg: .inf}", "must be a finite number"),
        ("training: {kimg: -1}", "must be positive"),
        ("training: {batch: 6}", "not a multiple"),
        ("training: []", "not a mapping"),
        ("- 1", "not a mapping"),
        ("seed: 1\nseed: 2", "given twice"),
        ("model: {resolution: 100}", "power of two"),
        ("training: {loss: hinge}", "logistic or relativistic"),
        ("discriminator: {places: 24}", "0 or a power of two from 8 on, got 24"),
        ("discriminator: {places: 4}", "0 or a power of two from 8 on, got 4"),
        ("discriminator: {places: 256}", "more than half of model.resolution 256"),
        ("augmentation: {mode: on}", "must be text"),
        ("augmentation: {mode: always}", "off, adaptive or fixed"),
        ("augmentation: {probability: 0.2}", "augmentation.mode is off"),
        ("augmentation: {mode: fixed, probability: 0.9}", "between 0 and 0.8"),
        ("training: {critic_weight: 0.1}", "training.critic_weight needs known heads"),
        ("training: {loss: relativistic}\naugmentation: {mode: adaptive}", "with relativistic use fixed"),
        ("training: {render_start: 128}", "lie between 8 and model.render_resolution 64, got 128"),
        ("training: {render_start: -8}", "lie between 8 and model.render_resolution 64, got -8"),
        ("training: {part_start: 16}", "lie between 24 and model.part_resolution 64, got 16"),
        ("model: {frames: true}", "model.frames needs model.traits"),
        ("model: {frames: true, traits: 3, parts: one}", "and model.parts=all"),
        ("model: {worn: 2, choices: 3}", "model.worn 2 needs model.frames"),
        ("model: {worn: 4, choices: 3, traits: 3, frames: true}", "and as many model.choices"),
        ("model: {paint_frequencies: -1}", "model.paint_frequencies must lie between 0 and 4096, got -1"),
        (
            "model: {paint_frequencies: 8, highest_paint_frequency: 12.0}",
            "must be more than model.highest_frequency, and at most 2048, got 12.0",
        ),
        ("model: {paint_frequencies: 8, highest_paint_frequency: 2049.0}", "at most 2048, got 2049.0"),
        ("training: {render_start: 32, render_kimg: 0}", "training.render_kimg must be positive"),
        ("model: {resolution: 32, render_resolution: 64}", "larger than"),
        ("model: {backend: cuda_magic}", "must be auto"),
        ("a: &x [1]\nb: *x", "aliases are not allowed"),
        ("a: !!python/object/apply:os.system ['true']", "not valid YAML"),
        ("{" * 5000, "nested too deeply"),
        ("training: {batch: [", "not valid YAML"),
    ],
)
def test_mistakes_are_named(tmp_path, text, words):
    path = tmp_path / "bad [recipe].yaml"
    path.write_text(text)
    with pytest.raises(SsganError) as caught:
        load_config(str(path))
    assert words in str(caught.value)
    assert str(path) in str(caught.value)


def test_an_unknown_recipe_lists_the_shipped_ones():
    with pytest.raises(SsganError, match="smoke_cpu"):
        load_config("no_such_recipe")


@pytest.mark.parametrize("override", ["training.batch", "=3", "seed.deeper=3"])
def test_unreadable_override(override):
    with pytest.raises(SsganError, match="--set"):
        load_config("smoke_cpu", [override])


def test_unknown_override_key():
    with pytest.raises(SsganError, match="did you mean"):
        load_config("smoke_cpu", ["training.bath=4"])


def test_defaults_are_a_valid_recipe():
    assert config_from_json({}, "empty") == Config()
