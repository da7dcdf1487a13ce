"""Zips: the same bytes, checked before they count, resumable before; and what is read of hostile ones."""

import os
import shutil
import stat
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from ssgan_core import cameras
from ssgan_core.dataset.packing import made_in_folder, pack
from ssgan_core.dataset.reader import PortraitDataset
from ssgan_core.dataset.storage import ZipStorage
from ssgan_core.dataset.writer import DatasetWriter
from ssgan_core.errors import SsganError
from ssgan_core.parts import PORTRAIT

SIZE = 8


def add(folder, *names, finish=True):
    writer = DatasetWriter(folder, PORTRAIT, SIZE)
    for name in names:
        if not writer.has(name):
            image = np.full((SIZE, SIZE, 3), ord(name[-1]), np.uint8)
            depth = np.full((SIZE, SIZE), 2.5, np.float32)
            writer.add(name, image, np.zeros((SIZE, SIZE), np.uint8), cameras.label(0, 0), {}, depth)
    if finish:
        writer.finish()
    writer.close()
    return folder


@pytest.fixture
def folder(tmp_path):
    return add(tmp_path / "ds [1] ä", "00000/a", "00000/b", "ü/c")


def content(folder):
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


# ----------------------------------------------------------------------------------------------- packing


def test_packs_are_stored_reproducible_and_hold_nothing_else(folder, tmp_path):
    for name in ("options.json", "preparation.json", "report.json"):
        (folder / name).write_text("{}")
    (folder / "contact.jpg").write_bytes(b"sheet")
    expected = content(folder)
    del expected["images/dataset.json"]  # EG3D's, for the folder
    (folder / "notes.txt").write_text("mine")
    (folder / "images" / "00000" / ".ssgan-tmp-x.png").write_bytes(b"half")
    (folder / "images" / "00000" / "stranger.png").write_bytes(b"not an entry")
    seen = []
    pack(folder, tmp_path / "a.zip", lambda done, total, note="": seen.append((done, total, note)))
    copy = shutil.copytree(folder, tmp_path / "copy")
    for path in copy.rglob("*.png"):
        os.utime(path, (1e9, 1e9))
        path.chmod(0o600)
    pack(copy, tmp_path / "b.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    total = 2 * len(expected)
    assert [done for done, _, _ in seen] == list(range(1, total + 1))
    assert seen[0] == (1, total, "packing")
    assert seen[-1] == (total, total, "reading back")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == expected
        assert archive.namelist()[0] == "dataset.json"
        for member in archive.infolist():
            assert member.compress_type == zipfile.ZIP_STORED
            assert member.date_time == (1980, 1, 1, 0, 0, 0)
            assert stat.filemode(member.external_attr >> 16) == "-rw-r--r--"  # what unzip makes of it
    assert PortraitDataset.open(tmp_path / "a.zip").names == ("00000/a", "00000/b", "ü/c")


def test_only_data_sets_are_packed(tmp_path):
    with pytest.raises(SsganError, match="not a folder"):
        pack(tmp_path / "missing", tmp_path / "a.zip")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SsganError, match="no finished data set"):
        pack(tmp_path / "empty", tmp_path / "a.zip")
    assert not (tmp_path / "a.zip").exists()


def test_a_zip_that_cannot_be_read_back_does_not_appear(folder, tmp_path, monkeypatch):
    (tmp_path / "ds.zip").write_bytes(b"the one before")
    honest = zipfile.ZipFile.writestr

    def garbled(self, member, data):
        honest(self, member, data[::-1] if member.filename.endswith("b.png") else data)

    monkeypatch.setattr(zipfile.ZipFile, "writestr", garbled)
    with pytest.raises(SsganError, match=r"images/00000/b\.png is not in .* as it was written"):
        pack(folder, tmp_path / "ds.zip")
    assert (tmp_path / "ds.zip").read_bytes() == b"the one before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ds [1] ä", "ds.zip"]


FULL_DISK = """
import pathlib, sys
from ssgan_core.dataset.packing import pack
from ssgan_core.errors import SsganError
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (4_000, 4_000))
try:
    pack(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
except SsganError as error:
    print(error.message)
"""


def test_a_full_disk_leaves_nothing(folder, tmp_path):
    out = tmp_path / "out" / "ds.zip"
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, folder, out], capture_output=True, text=True, check=False
    )
    assert done.stdout.startswith(f"cannot write {out}"), done.stderr
    assert list(out.parent.iterdir()) == []


# ------------------------------------------------------------------------------------ made in a folder


def test_folders_are_made_where_they_are_wanted(tmp_path):
    with made_in_folder(tmp_path / "ds") as place:
        assert place == tmp_path / "ds"
    (tmp_path / "named.zip").mkdir()
    with made_in_folder(tmp_path / "named.zip") as place:
        assert place == tmp_path / "named.zip"
    assert [path.name for path in tmp_path.iterdir()] == ["named.zip"]


def test_a_zip_is_made_in_a_folder_beside_it(tmp_path):
    seen = []
    with made_in_folder(tmp_path / "a.ZIP", lambda done, total, note="": seen.append(note)) as place:
        add(place, "a", "b")
        (place / "contact.jpg").write_bytes(b"sheet")
    assert seen[-1] == "reading back"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.ZIP", "a.jpg"]
    assert (tmp_path / "a.jpg").read_bytes() == b"sheet"
    assert PortraitDataset.open(tmp_path / "a.ZIP").names == ("a", "b")
    with pytest.raises(SsganError, match=r"a\.ZIP is there already"), made_in_folder(tmp_path / "a.ZIP"):
        raise AssertionError("not reached")


def make_one_and_stop(out):
    with made_in_folder(out) as place:
        add(place, "a", finish=False)
        raise KeyboardInterrupt


def test_an_interrupted_zip_goes_on(tmp_path):
    out = tmp_path / "ds.zip"
    with pytest.raises(KeyboardInterrupt):
        make_one_and_stop(out)
    assert [path.name for path in tmp_path.iterdir()] == ["ds.zip.making"]
    with pytest.raises(SsganError, match="no finished data set"), made_in_folder(out) as place:
        pass
    with made_in_folder(out) as place:
        add(place, "a", "b")
    straight = tmp_path / "straight.zip"
    with made_in_folder(straight) as place:
        add(place, "a", "b")
    assert out.read_bytes() == straight.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ds.zip", "straight.zip"]


def killed(*arguments):
    raise SystemExit("killed")


def test_a_kill_between_zip_and_removal_can_be_repeated(tmp_path, monkeypatch):
    out = tmp_path / "ds.zip"
    with monkeypatch.context() as patch:
        patch.setattr("ssgan_core.dataset.packing._remove", killed)
        with pytest.raises(SystemExit), made_in_folder(out) as place:
            add(place, "a", "b")
    assert PortraitDataset.open(out).names == ("a", "b")
    with made_in_folder(out) as place:
        add(place, "a", "b", "c")
    assert PortraitDataset.open(out).names == ("a", "b", "c")
    assert [path.name for path in tmp_path.iterdir()] == ["ds.zip"]


def test_half_a_folder_is_not_gone_on_with(tmp_path, monkeypatch):
    def half_removed(folder, **options):
        (folder / "parts.json").unlink(missing_ok=True)
        if not options:
            killed()

    out = tmp_path / "ds.zip"
    with monkeypatch.context() as patch:
        patch.setattr("ssgan_core.dataset.packing.shutil.rmtree", half_removed)
        with pytest.raises(SystemExit), made_in_folder(out) as place:
            add(place, "a", "b")
        assert len(list(tmp_path.iterdir())) == 2
    with pytest.raises(SsganError, match="there already"), made_in_folder(out):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["ds.zip"]  # the remains are gone too
    assert PortraitDataset.open(out).names == ("a", "b")


# --------------------------------------------------------------------------------------- hostile zips


@pytest.fixture
def packed(folder, tmp_path):
    pack(folder, tmp_path / "ds.zip")
    return tmp_path / "ds.zip"


def patched(path, name, header_place, field, value):
    """Change a field of a member's central header; offsets as in the format's specification."""
    raw = bytearray(path.read_bytes())
    start = raw.rindex(name.encode()) - 46
    assert raw[start : start + 4] == b"PK\x01\x02"
    raw[start + header_place : start + header_place + field] = value.to_bytes(field, "little")
    path.write_bytes(raw)


def test_a_wrong_checksum_is_noticed(packed):
    patched(packed, "images/00000/b.png", 16, 4, 0x12345678)
    data = PortraitDataset.open(packed)
    data.image(0)
    with pytest.raises(SsganError, match=r"images/00000/b\.png: Bad CRC-32"):
        data.image(1)


@pytest.mark.parametrize("size", [10, 2**31])
def test_members_that_lie_about_their_size(packed, size):
    patched(packed, "images/00000/b.png", 24, 4, size)
    with pytest.raises(SsganError, match=r"images/00000/b\.png"):
        PortraitDataset.open(packed).image(1)


def test_members_that_point_elsewhere(packed):
    patched(packed, "images/00000/b.png", 42, 4, 0)  # where dataset.json begins
    with pytest.raises(SsganError, match=r"images/00000/b\.png.*differ"):
        PortraitDataset.open(packed).image(1)


def test_links_are_read_as_the_text_they_are(packed, tmp_path):
    (tmp_path / "secret").write_text("secret")
    with zipfile.ZipFile(packed, "a") as archive:
        link = zipfile.ZipInfo("link")
        link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, str(tmp_path / "secret"))
    assert ZipStorage(packed).read("link", 1000) == str(tmp_path / "secret").encode()


def test_a_zip_is_never_extracted(packed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    data = PortraitDataset.open(packed)
    for index in range(len(data)):
        data.image(index), data.mask(index), data.depth(index), data.meta(index)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_every_process_opens_the_zip_for_itself(packed):
    """And closes nothing of its parent's: a shared file position gives wrong bytes at random."""
    storage = ZipStorage(packed)
    expected = storage.read("parts.json", 1 << 20)
    ours = storage._archive()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:  # no assertion may leave this process
        good = storage._archive() is not ours and storage.read("parts.json", 1 << 20) == expected
        os.write(writer, b"1" if good else b"0")
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reader, 1) == b"1"
    assert storage._archive() is ours
    assert storage.read("parts.json", 1 << 20) == expected
    os.close(reader)
    os.close(writer)
