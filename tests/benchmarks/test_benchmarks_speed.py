"""The benchmark of the portraits' speed runs, on the kernels and on torch."""

import json

import pytest

from benchmarks import portraits

STAGES = {"bust", "hair", "clothes", "light"}


@pytest.mark.parametrize(
    ("device", "stages"), [("cpu", {"draw", "shade", "resolve"}), ("cpu:0", {"pack", "device"})]
)
def test_every_stage_is_timed(
    device: str, stages: set[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    arguments = ["portraits", "--size", "16", "24", "--count", "1", "--device", device]
    monkeypatch.setattr("sys.argv", arguments)
    portraits.main()
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [row["size"] for row in result["results"]] == [16, 24]
    for row in result["results"]:
        assert set(row["ms"]) == STAGES | stages
        assert min(row["ms"].values()) >= 0
        assert row["images_per_s"] > 0
