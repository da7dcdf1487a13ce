"""The benchmark of streaming runs, and counts what it says it counts."""

import argparse
import json

import pytest

from benchmarks import stream
from ssgan_core.training.streaming.spec import StreamSpec


def test_it_prints_both_rows(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr(
        "sys.argv", ["stream", "--size", "64", "--workers", "1", "--batch", "4", "--seconds", "0.5"]
    )
    monkeypatch.setattr(stream, "HeadRenderer", stream.BlankRenderer)
    stream.main()
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert set(result["results"]) == {"portraits", "blank pictures"}
    assert result["processes"] == 1
    assert all(row["served_per_s"] > 0 for row in result["results"].values())


def test_more_is_served_than_rendered_because_views_are_reused():
    options = argparse.Namespace(size=64, batch=16, seconds=2.0)
    row = stream.measure(StreamSpec(heads=500, workers=1, reuse=8), options, stream.BlankRenderer())
    assert row["served_per_s"] > 1.5 * row["rendered_per_s"] > 0
