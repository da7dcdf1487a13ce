"""preprocess: how it reports, when it fetches the networks, its exit codes. The preparation is stubbed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ssgan_cli.commands.preprocess import MaskLayout
from ssgan_core.dataset.options import read_options
from ssgan_core.errors import SsganError
from ssgan_core.preparation import backends, weights
from ssgan_core.preparation import prepare as preparation
from ssgan_core.preparation.backends import Backends
from ssgan_core.preparation.entry import Skip
from ssgan_core.preparation.masks import LAYOUTS
from ssgan_core.preparation.quality import Filters
from ssgan_core.preparation.report import Report, SkippedFace


@pytest.fixture
def stub(monkeypatch):
    """Replaces the core's `prepare`; .report is what it returns, .calls what it was asked."""

    class Stub:
        report = Report(photos=3, handled=3, written=3, seconds=1.5)
        calls: list[tuple]

        def __call__(self, photos, out, backends, **options):
            self.calls.append((photos, out, backends, options))
            options["progress"](1, 1)
            return self.report

    stub = Stub()
    stub.calls = []
    monkeypatch.setattr(preparation, "prepare", stub)
    monkeypatch.setattr(
        backends,
        "choose_backends",
        lambda folder, detector, parser, check_pose: Backends(
            object,
            object if parser else None,
            {"weights": str(folder), "detector": detector, "parser": str(parser), "pose": str(check_pose)},
        ),
    )
    return stub


@pytest.fixture
def fetched(monkeypatch, tmp_path):
    """An empty cache; the list of fetches that were asked for."""
    monkeypatch.setenv("SSGAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SSGAN_WEIGHTS", raising=False)
    fetches = []
    monkeypatch.setattr(weights, "ensure", lambda progress, folder, names: fetches.append((folder, names)))
    return fetches


def test_options_reach_the_core(ssgan, stub, fetched, tmp_path):
    photos, out = tmp_path / "photos [ü]", tmp_path / "out"
    arguments = ["--masks", "m", "--mask-layout", "bisenet", "--size", "128", "--workers", "2"]
    result = ssgan("preprocess", photos, out, *arguments, "--json")
    assert result.exit_code == 0, result.output
    ((given, target, backends, options),) = stub.calls
    assert (given, target) == (photos, out)
    names = {"weights": "None", "detector": "blazeface", "parser": "None", "pose": "False"}
    assert backends == Backends(object, None, names)
    del options["progress"]
    assert options == {
        "masks": Path("m"),
        "mask_layout": "bisenet",
        "size": 128,
        "every_face": False,
        "filters": Filters(),
        "workers": 2,
    }
    told = json.loads(result.stdout)
    assert told["written"] == 3
    assert told["dataset"] == str(out)
    assert "read as bisenet" in result.stderr


def test_without_masks_a_parser_is_used_and_filters_reach_the_core(ssgan, stub, fetched, tmp_path):
    arguments = ["--faces", "all", "--min-face", "64", "--min-sharpness", "60", "--max-occlusion", "0.3"]
    result = ssgan(
        "preprocess", tmp_path, tmp_path / "out", *arguments, "--max-yaw", "40", "--weights-dir", "w"
    )
    assert result.exit_code == 0, result.output
    ((_, _, backends, options),) = stub.calls
    names = {"weights": "w", "detector": "blazeface", "parser": "own", "pose": "False"}
    assert backends == Backends(object, object, names)
    assert options["masks"] is None
    assert options["every_face"] is True
    assert options["filters"] == Filters(64, 60, 0.3, 40)


def test_a_missing_opencv_is_an_error_with_advice(tmp_path):
    code = "import sys; sys.modules['cv2'] = None; from ssgan_cli.app import main; main()"
    command = [sys.executable, "-c", code, "preprocess", str(tmp_path), str(tmp_path / "out"), "--offline"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert result.returncode == 1
    assert "error: OpenCV cannot be imported" in result.stderr
    assert "hint: pip install opencv-python-headless" in result.stderr


def test_the_command_knows_every_layout():
    assert tuple(layout.value for layout in MaskLayout) == LAYOUTS


def test_networks_are_fetched_on_first_use_only(ssgan, stub, fetched, monkeypatch, tmp_path):
    result = ssgan("preprocess", tmp_path, tmp_path / "out")
    assert fetched == [(None, ["default"])]
    assert "fetching" in result.stderr
    monkeypatch.setattr(weights, "list_weights", lambda folder, names: [])  # nothing is missing
    assert "fetching" not in ssgan("preprocess", tmp_path, tmp_path / "out").stderr
    assert fetched == [(None, ["default"])]


def test_high_quality_networks_are_chosen_by_name_and_fetched(ssgan, stub, fetched, tmp_path):
    arguments = ["--detector", "retinaface", "--parser", "bisenet", "--check-pose"]
    result = ssgan("preprocess", tmp_path, tmp_path / "out", *arguments)
    assert result.exit_code == 0, result.output
    files = ["detection_Resnet50_Final.pth", "parsing_bisenet.pth", "headpose_hopenet.pth"]
    assert fetched == [(None, ["default", *files])]
    ((_, _, backends, _),) = stub.calls
    names = {"weights": "None", "detector": "retinaface", "parser": "bisenet", "pose": "True"}
    assert backends.networks == names


def test_options_of_the_data_set_are_kept_with_it(ssgan, stub, fetched, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    assert ssgan("preprocess", tmp_path, out).exit_code == 0
    assert read_options(out) == {}
    assert (
        ssgan(
            "preprocess", tmp_path, out, "--no-mirror", "--balance-yaw", "4", "--balance-parts", "3"
        ).exit_code
        == 0
    )
    assert read_options(out) == {"mirror": False, "balance_yaw": 4, "balance_parts": 3}


def test_offline_never_fetches(ssgan, fetched, tmp_path):
    """The real preparation then names the missing network."""
    (tmp_path / "photos").mkdir()
    (tmp_path / "masks").mkdir()
    arguments = [tmp_path / "photos", tmp_path / "out", "--masks", tmp_path / "masks"]
    result = ssgan("preprocess", *arguments, "--offline")
    assert fetched == []
    assert result.exit_code == 1
    assert "missing" in result.stderr
    assert "ssgan weights" in result.stderr
    assert not (tmp_path / "out").exists()


def skipped(*rows: tuple[str, str]) -> list[SkippedFace]:
    return [SkippedFace(name, Path(name), Skip(reason)) for name, reason in rows]


@pytest.mark.parametrize(("photos", "failed", "code"), [(3, 2, 3), (4, 2, 0), (2, 0, 0), (2, 2, 3)])
def test_more_failures_than_portraits_exit_with_3(ssgan, stub, fetched, tmp_path, photos, failed, code):
    rows = skipped(("a [1].jpg", "no face"), ("b.jpg", "no face"))
    stub.report = Report(photos=photos, written=photos - failed, failed=failed, skipped=rows)
    result = ssgan("preprocess", tmp_path, tmp_path / "out")
    assert result.exit_code == code
    assert "2 x no face: a [1].jpg, b.jpg\n" in result.stdout
    assert ("more than half" in result.stderr) == (code == 3)


def test_reasons_are_counted(ssgan, stub, fetched, tmp_path):
    rows = skipped(
        *((f"{i}.jpg", "no face") for i in range(5)),
        ("x.jpg", "truncated (34 bytes)"),
        ("y.jpg", "truncated (5 bytes)"),
    )
    stub.report = Report(photos=107, written=100, failed=7, skipped=rows)
    shown = ssgan("preprocess", tmp_path, tmp_path / "out").stdout
    assert "  5 x no face: 0.jpg, 1.jpg, 2.jpg, …\n  2 x truncated: x.jpg, y.jpg\n" in shown


def test_errors_of_the_core_are_shown(ssgan, fetched, monkeypatch, tmp_path):
    def fail(*_, **__):
        raise SsganError("the disk is full", "make room")

    monkeypatch.setattr(backends, "choose_backends", fail)
    result = ssgan("preprocess", tmp_path, tmp_path / "out")
    assert result.exit_code == 1
    assert result.stderr.endswith("error: the disk is full\nhint: make room\n")
