"""Which files count as photos and how their entries are called."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssgan_core.dataset.layout import check_name
from ssgan_core.errors import SsganError
from ssgan_core.preparation.photos import Photo, find_photos


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_photos_are_found_below_too_and_sorted(tmp_path):
    touch(
        tmp_path,
        "b.JPG",
        "a.png",
        "sub/c.webp",
        "notes.txt",
        ".hidden.jpg",
        ".git/d.jpg",
        "sub/e.tiff",
        "f.bmp.zip",
    )
    (tmp_path / "folder.jpg").mkdir()
    assert [photo.source for photo in find_photos(tmp_path)] == ["a.png", "b.JPG", "sub/c.webp", "sub/e.tiff"]


def test_masks_and_data_set_inside_the_photo_folder_are_left_out(tmp_path):
    touch(tmp_path, "a.jpg", "masks/a.png", "out/images/a.png")
    found = find_photos(tmp_path, without=(tmp_path / "masks", tmp_path / "out"))
    assert [photo.source for photo in found] == ["a.jpg"]
    with pytest.raises(SsganError, match="cannot also be"):
        find_photos(tmp_path, without=(tmp_path,))


def test_no_photos_is_an_error(tmp_path):
    with pytest.raises(SsganError, match="holds no photos"):
        find_photos(tmp_path)
    with pytest.raises(SsganError, match="does not exist"):
        find_photos(tmp_path / "missing")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_that_is_named_like_a_photo_is_left_out(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    touch(tmp_path, "a.jpg")
    assert [photo.source for photo in find_photos(tmp_path)] == ["a.jpg"]


def test_links_that_lead_in_a_circle_are_no_photos_and_no_trouble(tmp_path):
    touch(tmp_path, "a.jpg")
    for name in ("circle.jpg", "circle"):
        (tmp_path / name).symlink_to(name)
    (tmp_path / "up").symlink_to(tmp_path, target_is_directory=True)
    found = find_photos(tmp_path, without=(tmp_path / "circle",))
    assert [photo.source for photo in found] == ["a.jpg"]
    with pytest.raises(SsganError, match="does not exist"):
        find_photos(tmp_path / "circle")


def test_files_that_cannot_be_looked_at_are_an_error(tmp_path, monkeypatch):
    def refuse(self: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(self))

    touch(tmp_path, "a.jpg")
    monkeypatch.setattr(Path, "is_file", refuse)  # as in a folder with permission to list, not to enter
    with pytest.raises(SsganError, match=r"cannot read .*a\.jpg: Permission denied"):
        find_photos(tmp_path)


def entry(relative: str) -> str:
    return Photo(Path("unused"), Path(relative)).entry


def test_entries_keep_suffixes_and_readable_names():
    assert entry("a.jpg") == "a_jpg"
    assert entry("sub/a b [ü].PNG") == "sub/a b [ü]_PNG"
    assert entry("12:30?.jpg") == "12%3A30%3F_jpg"


STEMS = st.text(
    st.characters(blacklist_characters="/\0", blacklist_categories=["Cs"]), min_size=1, max_size=8
)


@given(STEMS, STEMS, st.sampled_from(["jpg", "png"]), st.sampled_from(["jpg", "png"]))
def test_different_photos_have_different_entries(one, other, one_suffix, other_suffix):
    first, second = f"x{one}.{one_suffix}", f"x{other}.{other_suffix}"
    assert check_name(entry(first), "test")
    assert (entry(first) == entry(second)) == (first == second)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_names_that_are_not_unicode_can_be_written_down(tmp_path):
    path = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.jpg")
    Path(path).touch()
    (photo,) = find_photos(tmp_path)
    assert photo.source == "caf\\xe9.jpg"
    assert photo.entry == "caf%E9_jpg"
    assert check_name(photo.entry, "test")
