"""The benchmarks of portraits and of training steps run, tiny, and their figures belong together."""

import json
from pathlib import Path

import pytest

from benchmarks import inference, training_step

TINY = """
model: {resolution: 32, render_resolution: 16, part_resolution: 16, latent: 16, part_width: 8, features: 8,
  depth_width: 8, frequencies: 4, highest_frequency: 4.0, upsampler_width: 16}
discriminator: {width: 8, most_width: 16}
training: {batch: 4, r1_interval: 4, precision: fp32}
"""


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY)
    return str(path)


def run(module: object, arguments: list[str], monkeypatch, capsys) -> list[dict]:
    monkeypatch.setattr("sys.argv", ["benchmark", *arguments, "--device", "cpu", "--repeats", "2"])
    module.main()  # type: ignore[attr-defined]
    return json.loads(capsys.readouterr().out.splitlines()[-1])["results"]


def test_inference_is_timed_from_codes_and_from_a_new_camera(recipe, monkeypatch, capsys):
    rows = run(inference, ["--recipe", recipe, "--batch", "1", "2"], monkeypatch, capsys)
    assert [(row["batch"], row["work"]) for row in rows] == [
        (1, "from codes"), (1, "new camera"), (2, "from codes"), (2, "new camera"),
    ]  # fmt: skip
    for row in rows:
        assert row["ms"] > 0
        assert row["images_per_second"] == pytest.approx(1000 * row["batch"] / row["ms"])


def test_inference_takes_a_trained_model(tiny_model, monkeypatch, capsys):
    rows = run(inference, ["--model", str(tiny_model), "--batch", "1"], monkeypatch, capsys)
    assert {row["generator"] for row in rows} == {str(tiny_model)}


def test_training_steps_are_amortised_over_the_interval_of_r1(recipe, monkeypatch, capsys):
    rows = run(training_step, ["--recipe", recipe], monkeypatch, capsys)
    without, with_r1, amortised = (row["ms"] for row in rows)
    assert amortised == pytest.approx((with_r1 + 3 * without) / 4)
    assert [row["batch"] for row in rows] == [4, 4, 4]
