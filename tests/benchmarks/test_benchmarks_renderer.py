"""The benchmark of the renderer: both inputs at three poses, and the floors of each."""

import argparse
import json

import pytest
import torch

from benchmarks import renderer
from benchmarks.smooth_head import labels
from ssgan_core.model.codes import Codes
from ssgan_core.rendering import camera_rays, render
from ssgan_core.synthesis import codes_from_seed, load_generator

SIZES = ["--rays", "8", "--size", "12", "--channels", "4", "--parts", "5", "--batch", "2"]


def run(arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> dict:
    fixed = ["--uniform", "8", "--importance", "4", "--device", "cpu", "--repeats", "1"]
    monkeypatch.setattr("sys.argv", ["renderer", *SIZES, *fixed, *arguments])
    renderer.main()
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_both_inputs_are_timed_at_three_poses(tiny_model, monkeypatch, capsys):
    result = run(["--backend", "reference", "--model", str(tiny_model)], monkeypatch, capsys)
    rows = result["results"]
    assert [(row["input"], row["yaw"]) for row in rows] == [
        (name, yaw) for name in ("smooth head", "model") for yaw in (0.0, 0.35, 0.6)
    ]
    assert all(row["both_ms"] > 0 and row["forward_ms"] > 0 for row in rows)
    # By hand: maps of C + 2 numbers, pictures of C + K + 2, four bytes each; the model's sizes are its own.
    for name, (channels, parts, size) in {"smooth head": (4, 5, 12), "model": (8, 12, 16)}.items():
        maps, pictures = parts * (channels + 2) * size**2, (channels + parts + 2) * 8**2
        assert result["floor_bytes"][name] == {
            "forward": 4 * 2 * (maps + pictures),
            "both": 4 * 2 * (3 * maps + 2 * pictures),
        }


@pytest.mark.parametrize("backend", ["grid", "auto"])
def test_without_a_model_the_smooth_head_is_timed_at_the_poses_asked_for(backend, monkeypatch, capsys):
    rows = run(["--yaw", "-0.2", "0.1", "--backend", backend], monkeypatch, capsys)["results"]
    assert [(row["input"], row["yaw"], row["backend"]) for row in rows] == [
        ("smooth head", -0.2, backend), ("smooth head", 0.1, backend),
    ]  # fmt: skip


def test_the_models_maps_are_those_of_its_portraits(tiny_model):
    options = argparse.Namespace(device="cpu", seed=3, batch=2, dtype="float32")
    scene = renderer.model_scene(tiny_model, options)
    generator, _ = load_generator(tiny_model, torch.device("cpu"))
    cameras = labels(1, 0.35).expand(2, -1)
    with torch.no_grad():
        codes = Codes.cat([codes_from_seed(generator, seed) for seed in (3, 4)])
        portrait = generator(codes, cameras)
        size = generator.config.render_resolution
        seen = render(
            scene.features, scene.depth, scene.optical_depth, scene.width, scene.windows, camera_rays(cameras, size),
            depth_bounds=scene.depth_bounds, uniform=generator.config.uniform_boundaries,
            importance=generator.config.importance_boundaries,
        )  # fmt: skip
    torch.testing.assert_close(seen.masks.unflatten(-1, (size, size)), portrait.low_mask[:, 1:])
