"""synth and train as real processes: resume by the same command, interruption, dry run, refusals."""

import json
import os
import pickle
import signal
import time

import pytest
import torch

from ssgan_core.checkpoints import load_model
from ssgan_core.dataset.reader import PortraitDataset


def finish(process):
    out, trouble = process.communicate(timeout=120)
    return process.returncode, out, trouble


def interrupt(stop):
    stop.number = signal.SIGINT
    return True


def test_the_same_command_continues_and_then_begins_anew(ssgan, tiny_data, recipe, tmp_path, monkeypatch):
    train = ["train", tiny_data, "--config", recipe, "--out", tmp_path / "runs [x]", "--device", "cpu"]
    with monkeypatch.context() as patch:
        patch.setattr("ssgan_cli.commands.train._StopSignals.asked", interrupt)
        stopped = ssgan(*train, "--json")
    assert stopped.exit_code == 130
    assert "run the same command again" in stopped.stderr
    run = tmp_path / "runs [x]" / "00000-tiny"
    told = json.loads(stopped.stdout)
    assert told["run"] == str(run)
    assert told["images"] == 4
    assert not told["finished"]
    for name in ("config.yaml", "stats.jsonl", "state.pt", "model-000000004.safetensors"):
        assert (run / name).is_file()
    continued = ssgan(*train, "--json")
    assert "continuing" in continued.stderr
    told = json.loads(continued.stdout)
    assert told["run"] == str(run)
    assert told["images"] == 32
    assert told["finished"]
    assert ssgan(*train).exit_code == 0  # complete: a new run begins
    assert (tmp_path / "runs [x]" / "00001-tiny" / "model-000000032.safetensors").is_file()


@pytest.fixture
def one_thread():
    """As many threads as `spawn` gives its processes: sums depend on how they are split."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("one_thread")
def test_terminated_training_saves_and_resumes_to_the_same_weights(ssgan, spawn, tiny_data, recipe, tmp_path):
    longer = ["--set", "training.kimg=0.06", "--set", "training.snapshot_kimg=1"]
    train = ["train", tiny_data, "--config", recipe, "--device", "cpu", *longer]
    stopped, straight = tmp_path / "stopped", tmp_path / "straight"
    process = spawn(*train, "--run", stopped)
    deadline = time.monotonic() + 60
    while not (stopped / "stats.jsonl").exists() or (stopped / "stats.jsonl").read_text().count("\n") < 2:
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    code, _, trouble = finish(process)
    assert code == 143, trouble
    assert "run the same command again" in trouble
    assert (stopped / "state.pt").exists()
    assert not (stopped / "model-000000060.safetensors").exists()
    for run in (stopped, straight):
        assert ssgan(*train, "--run", run).exit_code == 0
    one, other = (load_model(run / "model-000000060.safetensors") for run in (stopped, straight))
    assert one.sha256 == other.sha256


def test_training_begins_with_another_runs_weights(ssgan, tiny_data, recipe, tmp_path):
    train = ["train", tiny_data, "--config", recipe, "--device", "cpu", "--out", tmp_path / "runs"]
    assert ssgan(*train).exit_code == 0
    first = tmp_path / "runs" / "00000-tiny"
    larger = [*train, "--init", first, "--set", "training.kimg=0.004"]
    result = ssgan(*larger, "--name", "larger", "--set", "model.resolution=8")
    assert result.exit_code == 0, result.stderr
    model = load_model(tmp_path / "runs" / "00001-larger" / "model-000000004.safetensors")
    assert model.metadata["images_seen"] == 36
    result = ssgan(*train, "--init-state", first / "carry-000000032-generator.safetensors", "--name", "on")
    assert result.exit_code == 0, result.stderr
    assert (
        load_model(tmp_path / "runs" / "00002-on" / "model-000000032.safetensors").metadata["images_seen"]
        == 64
    )
    result = ssgan(*larger, "--init-state", first)
    assert result.exit_code == 1
    assert "exclude one another" in result.stderr
    result = ssgan(*larger, "--new", "--set", "model.features=5")
    assert result.exit_code == 1
    assert "model.features is 4 in" in result.stderr


def test_a_run_that_other_processes_began_is_continued_with_a_note(ssgan, tiny_data, recipe, tmp_path):
    train = ["train", tiny_data, "--config", recipe, "--run", tmp_path / "run", "--device", "cpu"]
    assert ssgan(*train).exit_code == 0
    stats = tmp_path / "run" / "stats.jsonl"
    stats.write_text(stats.read_text().replace('"ranks": 1', '"ranks": 2'))
    result = ssgan(*train, "--set", "training.kimg=0.036")
    assert result.exit_code == 0
    assert "2 processes began this run and 1 continue it" in result.stderr


def test_streams_are_checked_before_anything_is_written(ssgan, recipe, tmp_path):
    train = ["train", "--config", recipe, "--out", tmp_path / "runs", "--device", "cpu"]
    result = ssgan(*train, "synth:head=6")
    assert result.exit_code == 1
    assert "did you mean 'heads'?" in result.stderr
    result = ssgan(*train, "synth:heads=1000,views=3", "--dry-run")
    assert result.exit_code == 0, result.output
    assert "3,000 portraits, with depth" in result.stdout
    assert not (tmp_path / "runs").exists()


def test_dry_run_trains_nothing(ssgan, tiny_data, recipe, tmp_path):
    result = ssgan("train", tiny_data, "--config", recipe, "--dry-run", "--out", tmp_path / "runs")
    assert result.exit_code == 0, result.output
    assert "parameters" in result.stdout
    assert "8 steps of 4" in result.stdout
    assert not (tmp_path / "runs").exists()


def test_unknown_settings_are_named(ssgan, tiny_data, recipe, tmp_path):
    result = ssgan(
        "train", tiny_data, "--config", recipe, "--set", "training.bach=8", "--out", tmp_path / "r"
    )
    assert result.exit_code == 1
    assert "did you mean 'training.batch'?" in result.stderr
    assert not (tmp_path / "r").exists()
    assert "smoke_cpu" in ssgan("train", tiny_data, "--config", "smoke").stderr


class Malicious:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_neither_another_recipe_nor_a_pickle_continues_a_run(ssgan, tiny_data, recipe, tmp_path):
    train = ["train", tiny_data, "--config", recipe, "--run", tmp_path / "run", "--device", "cpu"]
    assert ssgan(*train).exit_code == 0
    assert ssgan(*train).exit_code == 0  # complete: nothing to do
    result = ssgan(*train, "--set", "training.mixing=0.9")
    assert result.exit_code == 1
    assert "training.mixing" in result.stderr

    canary = tmp_path / "canary"
    (tmp_path / "run" / "state.pt").write_bytes(pickle.dumps(Malicious(str(canary))))
    result = ssgan(*train)
    assert result.exit_code == 1
    assert "state.pt" in result.stderr
    assert not canary.exists()


def test_data_that_is_none(ssgan, recipe, tmp_path):
    for path in (tmp_path / "absent", tmp_path):
        result = ssgan("train", path, "--config", recipe, "--out", tmp_path / "runs")
        assert result.exit_code == 1
        assert result.stderr.startswith("error: ")
    assert not (tmp_path / "runs").exists()


def test_synth_makes_a_data_set_and_continues(spawn, tmp_path):
    out = tmp_path / "heads [1]"
    synth = ["synth", out, "--count", 2, "--views", 2, "--size", 32, "--workers", 1]
    code, shown, trouble = finish(spawn(*synth))
    assert code == 0, trouble
    assert str(out) in shown
    dataset = PortraitDataset.open(out)
    assert len(dataset) == 4
    assert dataset.has_depth
    code, _, trouble = finish(spawn(*synth))
    assert code == 0
    assert "earlier calls" not in trouble
    assert len(PortraitDataset.open(out)) == 4
    code, shown, trouble = finish(spawn("synth", out, "--count", 1, "--size", 32, "--workers", 1))
    assert code == 0
    assert "0 images of 32 px, 1 were there already" in shown
    assert "holds 3 more images of earlier calls, which stay" in trouble
