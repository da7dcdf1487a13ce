"""The model called default: taken when none is named, found again by what it made, never confused with a folder."""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from ssgan_core.checkpoints import load_model
from ssgan_core.portrait import load_portrait
from ssgan_core.resources import default_model

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def ssgan_in():
    """Run a command as a user would, in some folder: ssgan_in(folder, "generate", ...)."""

    def run(folder, *arguments):
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "ssgan_cli", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment)

    return run


def test_portraits_of_the_default_find_it_from_everywhere(ssgan_in, tmp_path):
    here, there = tmp_path / "here", tmp_path / "far" / "away [1]"
    (here / "default").mkdir(parents=True)
    there.mkdir(parents=True)
    made = ssgan_in(here, "generate", "--seeds", "0-1", "--out", "p", "--sheet", "p/sheet.jpg", "--json")
    assert made.returncode == 0, made.stderr
    told = json.loads(made.stdout)
    assert Path(told["model"]) == default_model()
    with Image.open(here / told["sheet"]) as sheet:
        assert sheet.format == "JPEG"
    portrait = load_portrait(here / "p" / "seed0000.portrait")
    assert portrait.model_sha256 == load_model(default_model()).sha256
    assert portrait.model_path == ""  # no path of this machine travels with it
    for seed in (0, 1):
        (here / "p" / f"seed000{seed}.portrait").rename(there / f"{seed}.portrait")
    edited = ssgan_in(
        there, "edit", "transfer", "0.portrait", "--from", "1.portrait", "--parts", "hair", "--out", "e"
    )
    assert edited.returncode == 0, edited.stderr
    filmed = ssgan_in(
        tmp_path, "video", there / "e" / "edited.portrait", "--frames", "2", "--size", "64", "--out", "frames"
    )
    assert filmed.returncode == 0, filmed.stderr
    assert len(list((tmp_path / "frames").iterdir())) == 2


def test_a_folder_of_that_name_is_a_path_with_a_slash(ssgan, tmp_path, monkeypatch):
    (tmp_path / "default").mkdir()
    monkeypatch.chdir(tmp_path)
    shipped = ssgan("generate", "default", "--seeds", "0", "--out", "out")
    assert shipped.exit_code == 0, shipped.output
    assert str(default_model()) in shipped.stdout
    assert "./default" in shipped.stderr
    own = ssgan("generate", "./default", "--seeds", "0", "--out", "out")
    assert own.exit_code == 1
    assert "default holds no trained model yet" in own.stderr


def test_an_installation_without_its_model_says_so(ssgan, tmp_path, monkeypatch):
    monkeypatch.setattr("ssgan_core.resources._DEFAULT_MODEL_FILE", tmp_path / "default.safetensors")
    for arguments in (["generate"], ["generate", "default"], ["demo"], ["evaluate", "default", "heads"]):
        result = ssgan(*arguments)
        assert result.exit_code == 1
        assert "lacks its model" in result.stderr
        assert "reinstall" in result.stderr
    assert json.loads(ssgan("doctor", "--json").stdout)["model"].startswith("none: ")


def test_doctor_lists_the_shipped_model(ssgan):
    told = json.loads(ssgan("doctor", "--json").stdout)["model"]
    assert told.startswith("default: ")
    assert load_model(default_model()).sha256[:12] in told


def test_evaluate_takes_the_default(ssgan, tmp_path):
    result = ssgan("evaluate", "default", tmp_path / "absent", "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "absent" in result.stderr


def test_training_begins_with_the_default(ssgan, tiny_data, tmp_path):
    """At a smaller size than its own; four images long."""
    metadata = load_model(default_model()).metadata
    sizes = {"resolution": 16, "render_resolution": 8, "part_resolution": 32, "detail_octaves": 2}
    model = {**metadata["config"]["model"], **sizes}
    (tmp_path / "recipe.yaml").write_text(
        json.dumps(
            {
                "model": {**model, "uniform_boundaries": 8, "importance_boundaries": 4},
                "discriminator": {"width": 8, "most_width": 16},
                "training": {"kimg": 0.004, "batch": 4, "precision": "fp32"},
            }
        )
    )
    run = tmp_path / "run"
    result = ssgan(
        "train", tiny_data, "--config", tmp_path / "recipe.yaml", "--init", "default", "--run", run, "--json"
    )
    assert result.exit_code == 0, result.output
    assert json.loads((run / "origin.json").read_text()) == {"model": load_model(default_model()).sha256}
    begun = load_model(run / "model-000000004.safetensors")
    assert begun.metadata["images_seen"] == metadata["images_seen"] + 4
    integers = {"mapping.choices.groups", "mapping.choices.worn", "parts.frames.worn_class"}
    assert {str(t.dtype) for name, t in begun.tensors.items() if name not in integers} == {"torch.float32"}


def test_the_demo_needs_nothing_but_the_package(ssgan_in, tmp_path):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = ssgan_in(tmp_path, "demo", "--out", "a b", "--json")
    assert result.returncode == 0, result.stderr
    told = json.loads(result.stdout)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    computed = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert computed < 120  # processor time, a compiled renderer included: a minute of two cores
    for name in ("contact", "sheet", "transfer", "interpolation", "orbit"):
        assert (tmp_path / told[name]).is_file()
        assert told[name] in result.stderr
    assert len(told["portraits"]) == 16
    assert "orbit" in result.stderr
