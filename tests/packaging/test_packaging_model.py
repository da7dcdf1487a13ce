"""The model that ships with the package: small, whole, described by its card; and the tool that writes it."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from ssgan_core.cameras import label
from ssgan_core.checkpoints import load_model, save_model
from ssgan_core.errors import SsganError
from ssgan_core.files import sha256
from ssgan_core.resources import default_model
from ssgan_core.synthesis import codes_from_seed, load_generator
from ssgan_core.training.runs import model_path
from tools.ship_model import ship

ROOT = Path(__file__).resolve().parents[2]
MARKS = "<!-- begin: written by tools/ship_model.py -->\nold facts\n<!-- end -->"


def test_shipped_model_is_small_and_in_half_precision():
    path = default_model()
    assert path.stat().st_size <= 15_000_000
    generator, loaded = load_generator(path, torch.device("cpu"))
    assert sum(parameter.numel() for parameter in generator.parameters()) <= 7_000_000
    assert all(parameter.dtype == torch.float32 for parameter in generator.parameters())
    assert loaded.metadata["images_seen"] == sum(
        stage["images"] for stage in loaded.metadata["shipped"]["stages"]
    )
    with safe_open(path, framework="pt") as file:
        large = [name for name in file.keys() if len(file.get_slice(name).get_shape()) > 1]  # noqa: SIM118
        assert large
        assert {file.get_slice(name).get_dtype() for name in large} == {"F16"}


def test_card_and_figures_are_of_this_very_file():
    path = default_model()
    loaded = load_model(path)
    assert f"`{loaded.sha256}`" in (path.parent / "README.md").read_text(encoding="utf-8")
    shipped = loaded.metadata["shipped"]
    if shipped["metrics"] is not None:
        figures = path.parent / shipped["metrics"]["file"]
        assert sha256(figures) == shipped["metrics"]["sha256"]
        assert json.loads(figures.read_text())["model"]["sha256"] == shipped["source_sha256"]


def test_texels_that_the_shipped_model_leaves_out_are_not_missed():
    generator, _ = load_generator(default_model(), torch.device("cpu"))
    codes, camera = codes_from_seed(generator, seed=2, psi=1.0), torch.from_numpy(label([0.3], [0.1]))
    fewer = generator.part_maps(codes)
    generator.parts.least_sparse = math.inf
    whole = generator.part_maps(codes)
    assert (fewer.optical_depth == 0).float().mean() > 0.7
    expected, found = (generator.render(maps, camera) for maps in (whole, fewer))
    assert (found.image - expected.image).abs().max() < 0.1 / 127.5
    assert (found.mask - expected.mask).abs().max() < 1e-3


@pytest.fixture
def run(tiny_model, tmp_path):
    """A run folder as training leaves it, without the training: 32 images in two ticks."""
    folder = tmp_path / "00000-tiny [1]"
    folder.mkdir()
    save_with_age(tiny_model, folder, 32)
    (folder / "config.yaml").write_text("seed: 5\ntraining: {warmup_kimg: 0.024, batch: 4}\n")
    (folder / "data.json").write_text('{"examples": 8, "fingerprint": "f"}')
    ticks = ((0, 0.0), (16, 0.01), (32, 0.02), (48, 0.02))
    rows = [json.dumps({"images": images, "images_per_second": rate}) for images, rate in ticks]
    (folder / "stats.jsonl").write_text("\n".join(rows) + "\n")
    (tmp_path / "README.md").write_text(f"before\n{MARKS}\nafter\n")
    return folder


def save_with_age(source, run, images):
    model = load_model(source)
    described = {key: model.metadata[key] for key in ("config", "parts")}
    save_model(model_path(run, 32), model.tensors, {**described, "images_seen": images})


def test_tool_writes_model_and_card(run):
    out, card = run.parent / "small.safetensors", run.parent / "README.md"
    command = [sys.executable, ROOT / "tools" / "ship_model.py", run, out, "--card", card]
    command += ["--data", "ssgan synth x", "--hardware", "an abacus"]
    result = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert result.returncode == 0, result.stdout + result.stderr
    loaded, source = load_model(out), load_model(model_path(run, 32))
    assert out.stat().st_size < 0.75 * model_path(run, 32).stat().st_size
    for name, tensor in source.tensors.items():
        torch.testing.assert_close(loaded.tensors[name], tensor, rtol=1e-3, atol=1e-6)
    shipped = loaded.metadata["shipped"]
    assert shipped["source_sha256"] == source.sha256
    assert shipped["stages"][0]["hours"] == round((16 / 0.01 + 16 / 0.02) / 3600, 3)
    assert shipped["stages"][0]["recipe"]["seed"] == 5
    assert shipped["stages"][0]["data"]["fingerprint"] == "f"
    text = card.read_text()
    assert text.startswith("before\n<!-- begin")
    assert text.endswith("<!-- end -->\nafter\n")
    assert "old facts" not in text
    for fact in (loaded.sha256, "an abacus", "ssgan synth x", "Not evaluated", "(24 images)", "(8 images)"):
        assert fact in text
    assert load_generator(out, torch.device("cpu"))[0].config.resolution == 32


def test_a_model_that_went_on_from_a_shipped_one_tells_of_both(run):
    first, second, card = (
        run.parent / name for name in ("first.safetensors", "second.safetensors", "README.md")
    )
    ship(model_path(run, 32), first, card, [], "ssgan synth x", "an abacus", None, "")
    save_with_age(model_path(run, 32), run, 64)
    for examples, made in ((None, "x"), (77, "y")):  # the data that the first one saw, and others
        if examples:
            data = json.loads((run / "data.json").read_text())
            (run / "data.json").write_text(json.dumps({**data, "examples": examples}))
        ship(model_path(run, 32), second, card, [first], "ssgan synth y", "an abacus", None, "")
        stages = load_model(second).metadata["shipped"]["stages"]
        assert [stage["images"] for stage in stages] == [32, 32]
        assert [stage["made"] for stage in stages] == ["ssgan synth x", f"ssgan synth {made}"]
    assert "`ssgan synth x`, then `ssgan synth y`" in card.read_text()
    with pytest.raises(SsganError, match="does not say which runs"):
        ship(model_path(run, 32), second, card, [model_path(run, 32)], "ssgan synth y", "an abacus", None, "")


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("no data", "how the data was made"),
        ("no statistics", "no model in its run folder"),
        ("torn statistics", "ends at 16 images"),
        ("other weights before", "has seen 99 images, but the named runs account for 32"),
        ("no marks", "lacks the marks"),
        ("other figures", "about another model"),
        ("too large", "more than 1,000"),
    ],
)
def test_tool_refuses_what_the_card_could_not_say(run, monkeypatch, fault, words):
    out, card, figures = (run.parent / name for name in ("out.safetensors", "README.md", "evaluation.json"))
    if fault == "no statistics":
        (run / "stats.jsonl").unlink()
    if fault == "torn statistics":
        rows = (run / "stats.jsonl").read_text().splitlines()
        (run / "stats.jsonl").write_text("\n".join(rows[:2]) + "\n")
    if fault == "other weights before":
        save_with_age(model_path(run, 32), run, 99)
    if fault == "no marks":
        card.write_text("a card")
    if fault == "other figures":
        figures.write_text('{"model": {"sha256": "%s"}}' % ("0" * 64))
    if fault == "too large":
        monkeypatch.setattr("tools.ship_model.MOST_PARAMETERS", 1000)
    data = "" if fault == "no data" else "ssgan synth x"
    evaluation = figures if figures.exists() else None
    with pytest.raises(SsganError, match=words):
        ship(model_path(run, 32), out, card, [], data, "an abacus", evaluation, "")
    assert not out.exists()
    assert "an abacus" not in card.read_text()
