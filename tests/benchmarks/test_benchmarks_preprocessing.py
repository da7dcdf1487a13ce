"""The benchmark of preprocessing: stages, their sum, and too few photos."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import preprocessing
from ssgan_core.errors import SsganError
from ssgan_core.preparation import weights
from ssgan_core.preparation.detection import FaceDetector

FACE = Path(__file__).parents[1] / "preparation" / "pictures" / "collins.jpg"

pytestmark = pytest.mark.skipif(
    not all(row.ok for row in weights.list_weights()), reason="the networks are not here: run `ssgan weights`"
)


def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: object) -> dict:
    monkeypatch.setattr("sys.argv", ["benchmark", *map(str, arguments)])
    preprocessing.main()
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_every_stage_takes_time_and_together_they_are_all(monkeypatch, capsys, tmp_path):
    for number in range(3):
        Image.open(FACE).save(tmp_path / f"{number}.png")
    original = FaceDetector.search
    facts = run(monkeypatch, capsys, tmp_path, "--size", 64)
    assert (facts["photos"], facts["portraits"], facts["skipped"], facts["size"]) == (3, 3, 0, 64)
    assert set(facts["ms"]) == {*preprocessing.STAGES, "other"}
    assert all(facts["ms"][stage] > 0 for stage in ("decode", "detect", "mesh", "measure", "cut", "parse"))
    assert sum(facts["ms"].values()) == pytest.approx(facts["ms_total"], abs=0.2)
    assert facts["photos_per_second_core"] == pytest.approx(1000 / facts["ms_total"], rel=1e-3)
    assert FaceDetector.search is original  # the stages are timed for the run only
    limited = run(monkeypatch, capsys, tmp_path, "--size", 64, "--limit", 2, "--faces", "all")
    assert limited["photos"] == 2


def test_one_photo_is_too_few(monkeypatch, capsys, tmp_path):
    Image.fromarray(np.zeros((80, 80, 3), np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(SsganError, match="too few photos"):
        run(monkeypatch, capsys, tmp_path)
