"""The comparison of variants: one row each beside the data's, and nothing that is finished is done twice."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import ablation
from ssgan_core import cameras
from ssgan_core.config import load_config
from ssgan_core.dataset.writer import DatasetWriter
from ssgan_core.evaluation import camera_accuracy
from ssgan_core.parts import PORTRAIT
from ssgan_core.training import runs

# Pictures as large as the parser needs them, rendered with 8 x 8 rays.
TINY = """
model: {resolution: 64, render_resolution: 8, part_resolution: 8, latent: 16, part_width: 8, features: 4,
  depth_width: 8, frequencies: 4, highest_frequency: 4.0, upsampler_width: 16, base_layers: 1, shape_layers: 1,
  texture_layers: 1, uniform_boundaries: 8, importance_boundaries: 4}
discriminator: {width: 8, most_width: 16}
training: {warmup_kimg: 0.004, batch: 4, tick_kimg: 0.004, snapshot_kimg: 0.004, precision: fp32}
"""

NOTHING_MEASURED = {
    **{name: {} for name in ("reprojection", "relief", "cameras", "masks", "edits")},
    "variety": {"images": {"share": None}, "masks": {"share": None}},
    "appearance": {"fpd": {"model": None, "floor": None}},
}


@pytest.fixture(scope="module")
def recipe(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("recipe") / "tiny.yaml"
    path.write_text(TINY)
    return str(path)


@pytest.fixture(scope="module")
def heads(tmp_path_factory) -> Path:
    """Two views of block heads whose colour is their generating parameter."""
    folder = tmp_path_factory.mktemp("data") / "heads"
    rng = np.random.default_rng(0)
    mask = np.zeros((64, 64), np.uint8)
    mask[8:20, 14:50], mask[20:48, 16:48], mask[54:, 8:56], mask[30:40, 28:36] = 7, 1, 9, 5
    depth = np.where(mask > 0, 2.55, 0).astype(np.float32)
    with DatasetWriter(folder, PORTRAIT, 64) as writer:
        for someone in range(18):
            tone = rng.uniform(0.3, 1)
            image = np.clip(20 * tone * mask[..., None] + rng.normal(40, 5, (64, 64, 3)), 0, 255)
            for view, yaw in enumerate((-0.15, 0.15)):
                meta = {"seed": 0, "identity": someone, "parameters": [tone]}
                label = cameras.label(yaw, 0.0)
                writer.add(f"{someone:04d}_{view}", image.astype(np.uint8), mask, label, meta, depth)
        writer.finish()
    return folder


@pytest.fixture
def compared(heads, recipe, monkeypatch, capsys):
    """Runs the command; gives what it prints, read from JSON, and what it says on the side."""
    monkeypatch.setattr(camera_accuracy, "face_estimator", lambda: lambda image: np.zeros(2))

    def run(out: Path, *arguments: str) -> tuple[dict, str]:
        given = [str(heads), "--recipe", recipe, "--samples", "8", "--device", "cpu", "--out", str(out)]
        monkeypatch.setattr("sys.argv", ["ablation", *given, *arguments])
        ablation.main()
        told = capsys.readouterr()
        return json.loads(told.out.splitlines()[-1]), told.out + told.err

    return run


def refused(*_, **__):
    raise AssertionError("trained again")


def test_variants_stand_beside_the_data_and_are_not_trained_twice(compared, tmp_path, monkeypatch):
    command = ("--kimg", "0.008", "--variants", "plane", "one-part", "no-curvature")
    settings = ("--set", "training.curvature_weight=0")
    told, text = compared(tmp_path, *command, *settings)
    assert "no-curvature is left out" in text
    data, plane, one = told["results"]
    assert [row["variant"] for row in told["results"]] == ["data", "plane", "one-part"]
    assert {row["kimg"] for row in (plane, one)} == {0.008}
    assert plane["generator's parameters"] > one["generator's parameters"]
    assert data["inliers"] is not None
    assert one["inliers"] is not None
    assert plane["inliers"] is plane["relief"] is None
    assert one["mask IoU"] is one["edit locality"] is one["edits counted"] is None
    assert plane["edits counted"].endswith(" of 48")
    for name in ("run/config.yaml", "evaluation/report.html", "evaluation/samples.jpg", "result.json"):
        assert (tmp_path / "plane" / name).is_file()

    monkeypatch.setattr(ablation, "train", refused)
    again, text = compared(tmp_path, *command, *settings)
    assert again == told
    assert "plane: taken from" in text
    with pytest.raises(SystemExit, match="trained or measured otherwise"):
        compared(tmp_path, "--kimg", "0.012", "--variants", "plane")


def test_minutes_are_counted_over_interruptions(compared, tmp_path, monkeypatch):
    monkeypatch.setattr(
        ablation, "evaluate_to_folder", lambda *_, **__: SimpleNamespace(evaluation=NOTHING_MEASURED)
    )
    told, _ = compared(tmp_path, "--minutes", "0.01", "--variants", "full")
    full = told["results"][1]
    assert full["kimg"] >= 0.004
    assert full["minutes"] >= 0.005
    run = tmp_path / "full" / "run"
    assert ablation._trained_seconds(run) == pytest.approx(60 * full["minutes"])
    rows = runs.read_stats(run)
    runs.append_stats(run, {**rows[-1], "images": rows[-1]["images"] + 4, "images_per_second": 0.1})
    assert ablation._trained_seconds(run) == pytest.approx(60 * full["minutes"])  # beyond the snapshot
    assert ablation._trained_seconds(tmp_path / "none") == 0


def test_every_variant_changes_a_recipe_that_has_everything():
    everything = load_config("demo")
    for name, settings in ablation.VARIANTS.items():
        changed = load_config("demo", list(settings))
        assert (changed == everything) == (name == ablation.FULL), name


@pytest.mark.parametrize(
    "arguments",
    [["data"], ["data", "--minutes", "1", "--kimg", "1"], ["data", "--kimg", "0"], ["synth:", "--kimg", "1"]],
)
def test_wrong_usage(arguments, monkeypatch):
    monkeypatch.setattr("sys.argv", ["ablation", *arguments])
    with pytest.raises(SystemExit) as stopped:
        ablation.main()
    assert stopped.value.code == 2
