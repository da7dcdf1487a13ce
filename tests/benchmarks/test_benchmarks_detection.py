"""The benchmark of face detection: how it counts, and that it runs."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import detection
from ssgan_core.preparation import weights


def box(x: float, y: float, side: float) -> np.ndarray:
    return np.array([x, y, x + side, y + side])


def test_boxes_are_counted_once_as_found_false_or_double():
    counts = detection.Counts()
    truth = [box(0, 0, 45), box(100, 0, 70), box(300, 0, 200)]
    counts.add(truth, [box(2, 0, 45), box(104, 0, 70), box(90, 0, 70), box(800, 800, 50)])
    counts.add([], [box(0, 0, 99)])
    counts.add([box(500, 0, 65)], [])
    facts = counts.facts()
    assert (facts["false"], facts["double"]) == (2, 1)
    assert facts["recall"]["40-50"] == {"faces": 1, "recall": 1.0}
    assert facts["recall"]["50-60"] == {"faces": 0, "recall": None}
    assert facts["recall"]["60-90"] == {"faces": 2, "recall": 0.5}
    assert facts["recall"]["60-600"] == {"faces": 3, "recall": 0.3333}
    assert facts["overlap"] == pytest.approx(((43 / 47) + (66 / 74)) / 2, abs=1e-4)


def test_a_box_that_is_too_far_off_finds_nothing():
    counts = detection.Counts()
    counts.add([box(0, 0, 100)], [box(40, 0, 100)])  # they share 60 of 140
    assert counts.facts()["recall"]["60-600"]["recall"] == 0
    assert counts.double == 1


def test_mosaics_know_where_their_faces_are():
    rng = np.random.default_rng(0)
    image = np.full((100, 100, 3), 40, np.uint8)
    image[30:70, 30:70] = 250
    mosaic = detection.make_mosaic(rng, [detection.Portrait(image, box(30, 30, 40))], 12)
    assert len(mosaic.boxes) >= 6
    assert mosaic.canvas.shape == (3000, 4000, 3)
    for x0, y0, x1, y1 in np.round(mosaic.boxes).astype(int):
        edge = max((x1 - x0) // 8, 4)
        inside = mosaic.canvas[y0 + edge : y1 - edge, x0 + edge : x1 - edge].astype(float)
        outside = mosaic.canvas[y0 + edge : y1 - edge, x0 - 2 * edge : x0 - edge].astype(float)
        assert 39 < max(x1 - x0, y1 - y0) < 601
        assert inside.std() < 6  # noise alone
        assert inside.mean() > outside.mean() + 50


def test_the_command_prints_its_figures(
    three_heads: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    if not all(row.ok for row in weights.list_weights()):
        pytest.skip("the networks are not here: fetch them with 'ssgan weights fetch'")
    monkeypatch.setattr(detection, "_CANVAS", (600, 800))
    arguments = ["--mosaics", "2", "--faces", "6", "--save", str(tmp_path), "--seed", "1"]
    monkeypatch.setattr("sys.argv", ["detection", str(three_heads), *arguments])
    detection.main()
    printed = capsys.readouterr().out.splitlines()
    facts = json.loads(printed[-1])
    assert any("target" in line for line in printed)
    assert facts["confirmed"]["recall"]["60-600"]["recall"] >= 0.5
    assert facts["ms_per_megapixel"] > 0
    assert len(list(tmp_path.iterdir())) == 2
