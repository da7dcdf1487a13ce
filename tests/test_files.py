"""A file appears whole under its name, or not at all."""

import json
import os
import resource
import subprocess
import sys
from subprocess import PIPE, Popen

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssgan_core.errors import SsganError
from ssgan_core.files import (
    atomic_path,
    owned,
    parse_json,
    read_json,
    sha256,
    sweep_temporaries,
    write_bytes,
    write_json,
)

plain = settings(derandomize=True, database=None, deadline=None, max_examples=20)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_atomic_path_creates_folders_and_replaces(tmp_path):
    path = tmp_path / "a" / "b" / "x.bin"
    write_bytes(path, b"old")
    write_bytes(path, b"new")
    assert path.read_bytes() == b"new"
    assert names(path.parent) == ["x.bin"]


def test_atomic_path_keeps_the_suffix_and_the_usual_permissions(tmp_path):
    with atomic_path(tmp_path / "x.mp4") as temporary:
        assert temporary.suffix == ".mp4"
        assert temporary.parent == tmp_path
        temporary.write_bytes(b"1")
    (tmp_path / "plain").touch()
    assert (tmp_path / "x.mp4").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("error", [KeyError, KeyboardInterrupt])
def test_atomic_path_leaves_the_old_file_when_the_block_fails(tmp_path, error):
    path = tmp_path / "x"
    path.write_bytes(b"old")
    with pytest.raises(error):
        _write_half(path, error)
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["x"]


def _write_half(path, error):
    with atomic_path(path) as temporary:
        temporary.write_bytes(b"half")
        raise error


def test_atomic_path_reports_an_impossible_place(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "file" / "x", tmp_path / "folder", tmp_path / ("n" * 300 + "." + "s" * 300)):
        with pytest.raises(SsganError, match="cannot write") as caught:
            write_bytes(path, b"1")
        assert "writable" in caught.value.hint
    assert names(tmp_path) == ["file", "folder"]


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write anywhere")
def test_atomic_path_reports_a_read_only_folder(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(SsganError, match="Permission denied"):
        write_bytes(tmp_path / "x", b"1")


FULL_DISK = """
import pathlib, sys
from ssgan_core.errors import SsganError
from ssgan_core.files import write_bytes
try:
    write_bytes(pathlib.Path(sys.argv[1]), bytes(1 << 20))
except SsganError as error:
    print("refused:", error.message)
"""


def test_a_full_disk_is_the_users_error_and_keeps_the_old_file(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"old")
    limit = (100_000, 100_000)  # bytes a file may grow to; beyond, writing fails as on a full disk
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path)],
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit),
        check=True,
    )
    assert done.stdout.startswith("refused: cannot write")
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["x"]


def test_sweep_removes_temporaries_only(tmp_path):
    with atomic_path(tmp_path / "kept") as temporary:
        temporary.write_bytes(b"1")
        (tmp_path / (temporary.name + "-killed")).write_bytes(b"half")
    assert len(names(tmp_path)) == 2
    sweep_temporaries(tmp_path)
    assert names(tmp_path) == ["kept"]


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@plain
@given(value=values)
def test_json_round_trip(tmp_path_factory, value):
    path = tmp_path_factory.getbasetemp() / "value.json"
    write_json(path, value)
    assert read_json(path) == value


def test_json_holds_file_names_that_are_no_unicode(tmp_path):
    name = os.fsdecode(b"photo-\xff.jpg")
    write_json(tmp_path / "x.json", {"source": name, "other": "ä [1]"})
    assert read_json(tmp_path / "x.json") == {"source": name, "other": "ä [1]"}


def test_json_refuses_not_a_number(tmp_path):
    with pytest.raises(ValueError, match="Out of range"):
        write_json(tmp_path / "x.json", float("nan"))
    assert names(tmp_path) == []


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"1" * 10_000])
def test_parse_json_names_the_source(content):
    with pytest.raises(SsganError, match=r"some\.json is not valid JSON"):
        parse_json(content, "some.json")


def test_read_json_reports_missing_and_large_files(tmp_path):
    with pytest.raises(SsganError, match="No such file"):
        read_json(tmp_path / "x.json")
    with pytest.raises(SsganError, match="cannot read"):
        read_json(tmp_path)
    (tmp_path / "x.json").write_text(json.dumps("a" * 100))
    with pytest.raises(SsganError, match="larger than 50 bytes"):
        read_json(tmp_path / "x.json", limit=50)


def test_sha256_of_known_content(tmp_path):
    write_bytes(tmp_path / "x", b"abc")
    assert sha256(tmp_path / "x") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_folder_has_one_writer_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr("ssgan_core.files._PATIENCE", 0.2)
    code = (
        "import sys; from pathlib import Path; from ssgan_core.files import owned\n"
        "with owned(Path(sys.argv[1])): print(1, flush=True); input()"
    )
    with Popen([sys.executable, "-c", code, str(tmp_path)], stdin=PIPE, stdout=PIPE) as other:
        assert other.stdout.readline() == b"1\n"
        with pytest.raises(SsganError, match="another process is writing into"), owned(tmp_path):
            pass
        other.kill()
    with owned(tmp_path), pytest.raises(SsganError), owned(tmp_path):
        pass
    with owned(tmp_path):
        assert list(tmp_path.iterdir()) == []
    with pytest.raises(SsganError, match="cannot write"), owned(tmp_path / "missing"):
        pass
