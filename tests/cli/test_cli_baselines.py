"""Models without lifting and without parts go through every command; what does not apply to them is said."""

import json

import numpy as np
import pytest
from PIL import Image
from test_cli_evaluate import write_portraits
from typer.testing import CliRunner

from ssgan_cli.app import app
from ssgan_core.evaluation import camera_accuracy

RECIPE = """
seed: 1
model: {resolution: 64, render_resolution: 8, part_resolution: 8, latent: 16, part_width: 8,
  features: 4, depth_width: 8, frequencies: 4, highest_frequency: 4.0, upsampler_width: 16,
  base_layers: 1, shape_layers: 1, texture_layers: 1, uniform_boundaries: 8, importance_boundaries: 4}
discriminator: {width: 8, most_width: 16}
training: {kimg: 0.008, batch: 4, tick_kimg: 0.008, snapshot_kimg: 0.008, shell_kimg: 0.02, blur_kimg: 0.02,
  ema_kimg: 0.01, precision: fp32}
"""


def command(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def done(*arguments):
    result = command(*arguments)
    assert result.exit_code == 0, result.output
    return result


@pytest.fixture(scope="module")
def portraits(tmp_path_factory):
    return write_portraits(tmp_path_factory.mktemp("data") / "heads", 10)


def made(folder, portraits, *settings):
    """A run and two portraits of it."""
    recipe = folder / "tiny.yaml"
    recipe.write_text(RECIPE)
    options = [option for setting in settings for option in ("--set", setting)]
    done("train", portraits, "--config", recipe, "--run", folder / "run", *options)
    done("generate", folder / "run", "--seeds", "0-1", "--out", folder / "made")
    return folder


@pytest.fixture(scope="module")
def plane(tmp_path_factory, portraits):
    return made(tmp_path_factory.mktemp("plane"), portraits, "model.lifting=none")


@pytest.fixture(scope="module")
def one(tmp_path_factory, portraits):
    return made(tmp_path_factory.mktemp("one"), portraits, "model.parts=one", "model.sheets=2")


def evaluated(folder, portraits, monkeypatch):
    """What is printed, the figures, and the page."""
    monkeypatch.setattr(camera_accuracy, "face_estimator", lambda: lambda image: np.zeros(2))
    out = folder / "evaluation"
    result = done("evaluate", folder / "run", portraits, "--samples", 8, "--out", out)
    return result, json.loads((out / "evaluation.json").read_text()), (out / "report.html").read_text()


def pixels(path):
    with Image.open(path) as picture:
        return np.asarray(picture)


def test_without_lifting_there_is_no_depth_and_nothing_turns(plane, tmp_path):
    portrait = plane / "made" / "seed0000.portrait"
    assert not pixels(plane / "made" / "seed0000_depth.png").any()
    done("video", portrait, "--orbit", "--frames", 3, "--out", tmp_path / "frames")
    frames = [pixels(path) for path in sorted((tmp_path / "frames").iterdir())]
    assert len(frames) == 3
    assert all(np.array_equal(frame, frames[0]) for frame in frames)


def test_without_lifting_parts_are_exchanged_as_ever(plane, tmp_path):
    portrait, donor = (plane / "made" / f"seed000{i}.portrait" for i in (0, 1))
    done("edit", "transfer", portrait, "--from", donor, "--parts", "all", "--out", tmp_path)
    assert not np.array_equal(pixels(tmp_path / "edited.png"), pixels(plane / "made" / "seed0000.png"))


def test_without_lifting_views_and_relief_are_not_measured(plane, portraits, monkeypatch):
    result, figures, _ = evaluated(plane, portraits, monkeypatch)
    assert figures["reprojection"]["model"]["inliers"] is None
    assert figures["reprojection"]["data"]["inliers"] > 0.5
    assert figures["relief"]["model"] is None
    assert figures["masks"]["model"] >= 0
    assert set(figures["edits"]["parts"]) == set(figures["masks"]["parts"]) - {"background"}
    assert "of the model: it has no depth" in result.stderr


def test_one_part_turns_but_has_nothing_to_exchange(one, tmp_path):
    portrait, donor = (one / "made" / f"seed000{i}.portrait" for i in (0, 1))
    done("video", portrait, "--orbit", "--frames", 3, "--out", tmp_path / "frames")
    frames = [pixels(path) for path in sorted((tmp_path / "frames").iterdir())]
    assert not np.array_equal(frames[0], frames[1])
    assert set(np.unique(pixels(one / "made" / "seed0000_mask.png"))) <= {0, 1}
    refused = command("edit", "transfer", portrait, "--from", donor, "--parts", "all", "--out", tmp_path)
    assert refused.exit_code == 1
    assert "error: the portraits' model has a single part, 'head'" in refused.stderr


def test_one_part_is_evaluated_on_data_with_all(one, portraits, monkeypatch):
    result, figures, page = evaluated(one, portraits, monkeypatch)
    assert "one part" in figures["edits"]["skipped"]
    assert "skipped" in figures["masks"]
    assert figures["reprojection"]["model"]["inliers"] is not None
    assert "not measured: edits: the model has one part" in result.stderr
    assert "edit locality" not in result.stdout
    assert "Part edits" not in page
    assert "Part by part" not in page
    # Relief is measured where the parser sees skin and nose, which in this data's blocks may be nowhere.
    assert figures["relief"].keys() == {"model", "data"}
