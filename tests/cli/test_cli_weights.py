"""weights: listing, fetching, verifying; a server of nothing but file:// addresses."""

import hashlib
import json

import pytest

from ssgan_core.preparation import weights

CONTENT = {"first.pth": b"first network", "second.pth": b"second"}
SMALL = b"a small network"


def sha256(content):
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def upstream(tmp_path, monkeypatch):
    """The folder that two high-quality files are fetched from; one default file lies in the cache."""
    folder = tmp_path / "upstream"
    folder.mkdir()
    extra = {}
    for name, content in CONTENT.items():
        (folder / name).write_bytes(content)
        url = (folder / name).as_uri()
        extra[name] = weights.WeightFile(name, sha256(content), "a test", "MIT", "the test goes on", url=url)
    small = weights.WeightFile("small.tflite", sha256(SMALL), "a test", "free", size=len(SMALL), member="m")
    monkeypatch.setattr(weights, "FILES", {small.name: small})
    monkeypatch.setattr(weights, "EXTRA_FILES", extra)
    monkeypatch.setenv("SSGAN_CACHE", str(tmp_path / "cache [ü]"))
    monkeypatch.delenv("SSGAN_WEIGHTS", raising=False)
    weights.weights_folder().mkdir(parents=True)
    (weights.weights_folder() / "small.tflite").write_bytes(SMALL)
    return folder


def states(ssgan, *options):
    rows = json.loads(ssgan("weights", "list", "--json", *options).stdout)["weights"]
    return {row["name"]: row["state"] for row in rows}


def test_an_empty_cache(ssgan, monkeypatch, tmp_path):
    monkeypatch.setenv("SSGAN_CACHE", str(tmp_path / "empty [cache]"))
    monkeypatch.delenv("SSGAN_WEIGHTS", raising=False)
    rows = json.loads(ssgan("weights", "list", "--json").stdout)["weights"]
    assert len(rows) == 8
    assert not any(row["present"] or row["ok"] for row in rows)
    assert ssgan("weights", "path").stdout.strip() == str(tmp_path / "empty [cache]" / "weights")
    failed = ssgan("weights", "verify")
    assert failed.exit_code == 1
    assert "missing" in failed.stderr


def test_list_shows_group_licence_purpose_and_state(ssgan, upstream):
    ssgan("weights", "fetch", "first.pth")
    (weights.weights_folder() / "second.pth").write_bytes(b"damaged")
    lines = ssgan("weights", "list").stdout.splitlines()
    assert lines[0].split() == ["file", "group", "state", "bytes", "licence", "purpose", "path"]
    shown = {line.split()[0]: line.split()[1:6] for line in lines[1:]}
    assert shown["small.tflite"] == ["default", "ok", str(len(SMALL)), "free", "a"]
    assert shown["first.pth"] == ["high-quality", "ok", "13", "MIT", "a"]
    assert shown["second.pth"] == ["high-quality", "damaged", "7", "MIT", "a"]
    assert str(weights.weights_folder() / "first.pth") in lines[2]


def test_fetch_without_names_fetches_the_default_ones_only(ssgan, upstream):
    for command in (["weights"], ["weights", "fetch"]):
        result = ssgan(*command)
        assert result.exit_code == 0
        assert "already in place" in result.stderr
        assert "first.pth" not in result.stdout
    assert states(ssgan) == {"small.tflite": "ok", "first.pth": "missing", "second.pth": "missing"}


@pytest.mark.parametrize("names", [["high-quality"], ["first.pth", "second.pth"]])
def test_fetch_by_name_and_by_group(ssgan, upstream, names):
    result = ssgan("weights", "fetch", *names)
    assert result.exit_code == 0
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["wrote", "wrote"]
    assert set(states(ssgan).values()) == {"ok"}


def test_an_unknown_name_is_an_error_that_lists_the_names(ssgan, upstream):
    result = ssgan("weights", "fetch", "third.pth")
    assert result.exit_code == 1
    assert "'third.pth'" in result.stderr
    assert "high-quality, small.tflite, first.pth, second.pth" in result.stderr


def test_a_mismatch_names_both_and_can_be_accepted(ssgan, upstream):
    other = sha256(b"other")
    (upstream / "first.pth").write_bytes(b"other")
    refused = ssgan("weights", "fetch", "first.pth")
    assert refused.exit_code == 1
    assert other in refused.stderr
    assert sha256(CONTENT["first.pth"]) in refused.stderr
    assert states(ssgan)["first.pth"] == "missing"
    accepted = ssgan("weights", "fetch", "--accept", f"first.pth={other}")
    assert accepted.exit_code == 0
    assert f"first.pth has a digest that you accepted, not the listed one: {other}" in accepted.stderr
    assert states(ssgan)["first.pth"] == "accepted"
    assert ssgan("weights", "verify").exit_code == 0


@pytest.mark.parametrize(("text", "code"), [("first.pth", 2), ("first.pth=", 1), ("third.pth=00", 1)])
def test_what_cannot_be_accepted(ssgan, upstream, text, code):
    result = ssgan("weights", "fetch", "--accept", text)
    assert result.exit_code == code
    assert text.split("=")[0] in result.stderr
    assert states(ssgan)["first.pth"] == "missing"


def test_verify_fails_for_damage_anywhere_but_not_for_missing_high_quality(ssgan, upstream):
    result = ssgan("weights", "verify", "--json")
    assert json.loads(result.stdout) == {"ok": True, "files": ["small.tflite"]}
    assert "0 of 2" in result.stderr
    (weights.weights_folder() / "second.pth").write_bytes(b"damaged")
    damaged = ssgan("weights", "verify")
    assert damaged.exit_code == 1
    assert "second.pth" in damaged.stderr
    (weights.weights_folder() / "second.pth").unlink()
    (weights.weights_folder() / "small.tflite").unlink()
    missing = ssgan("weights", "verify")
    assert missing.exit_code == 1
    assert "small.tflite is missing" in missing.stderr


def test_another_folder_comes_first(ssgan, upstream):
    assert states(ssgan, "--weights-dir", upstream)["second.pth"] == "ok"
    shown = ssgan("weights", "path", "second.pth", "--weights-dir", upstream)
    assert shown.stdout.strip() == str(upstream / "second.pth")
    would = ssgan("weights", "path", "second.pth")
    assert would.stdout.strip() == str(weights.weights_folder() / "second.pth")
    result = ssgan("weights", "verify", "--weights-dir", upstream)
    assert "2 of 2" in result.stdout


def test_offline_is_one_line_and_a_hint(ssgan, upstream):
    (upstream / "first.pth").unlink()
    result = ssgan("weights", "fetch", "high-quality")
    assert result.exit_code == 1
    error, hint = (line for line in result.stderr.splitlines() if line.startswith(("error:", "hint:")))
    assert "cannot download file://" in error
    assert "place first.pth, second.pth in" in hint
    assert "the test goes on" in hint


def test_doctor_tells_of_both_groups(ssgan, upstream, monkeypatch):
    monkeypatch.setattr(
        "ssgan_cli.commands.doctor._renderer", lambda *_: "not built here, for the new cache is empty"
    )
    ssgan("weights", "fetch", "first.pth")
    facts = json.loads(ssgan("doctor", "--json").stdout)
    assert facts["weights"] == "all here and intact"
    assert "first.pth ok, second.pth missing" in facts["high-quality weights"]
    assert facts["facexlib"].startswith(("installed", "not usable: facexlib "))
