"""Hundreds of broken photos: each becomes an entry or a reason, quickly, and nothing half-written stays."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from prep_damage import HEIGHT, WIDTH, claiming, damaged, valid_pictures
from prep_doubles import face_points, label_map

from ssgan_core.dataset.reader import PortraitDataset
from ssgan_core.errors import SsganError
from ssgan_core.pictures import encode_png, read_image
from ssgan_core.preparation import weights
from ssgan_core.preparation.backends import Backends
from ssgan_core.preparation.faces import Face
from ssgan_core.preparation.prepare import prepare
from ssgan_core.preparation.quality import Filters
from ssgan_core.preparation.report import Report

MUTANTS = 672  # every kind of damage twice for every picture
SLOWEST = 3.0  # seconds of processor time for one photo, on a busy machine


class SeesFaces:
    """A face in the middle of any photo."""

    def __call__(self, photo: np.ndarray) -> Face:
        height, width = photo.shape[:2]
        return Face(np.array([0.0, 0.0, width, height]), face_points(width, height), 1.0, 0)


def run(folder: Path, out: Path, **options) -> Report:
    return prepare(
        folder / "photos", out, Backends(SeesFaces, None, {"double": "0"}), masks=folder / "masks",
        size=16, workers=1, filters=Filters(min_face=0), **options,
    )  # fmt: skip


def reasons_of(report: Report) -> dict[str, str]:
    return {row.name: row.skip.reason for row in report.skipped}


def write_photos(folder: Path, photos: Iterator[tuple[str, bytes]]) -> dict[str, bytes]:
    """Photos and a mask for each; gives the photos' contents."""
    written = dict(photos)
    (folder / "photos").mkdir(parents=True)
    (folder / "masks").mkdir()
    mask = encode_png(np.asarray(label_map(WIDTH, HEIGHT)))
    for name, content in written.items():
        (folder / "photos" / name).write_bytes(content)
        (folder / "masks" / name).with_suffix(".png").write_bytes(mask)
    return written


def strays(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.name.startswith(".")]


def check_whole(out: Path) -> PortraitDataset:
    """All that the data set has can be read, and what lies in its folders belongs to it."""
    data = PortraitDataset.open(out)
    for index in range(len(data)):
        assert data.image(index).shape == (16, 16, 3)
        assert data.mask(index).shape == (16, 16)
        assert data.meta(index)["source"]
    for kind in ("images", "masks"):
        files = {
            path.relative_to(out / kind).with_suffix("").as_posix() for path in (out / kind).rglob("*.png")
        }
        assert files == set(data.names)
    assert strays(out) == []
    return data


def check_reason(reason: str) -> None:
    assert reason.strip()
    assert reason.isprintable()  # one line, no control characters from the file
    assert len(reason) < 300
    assert "Error" not in reason  # a sentence, not the name of an exception


def test_every_broken_photo_becomes_an_entry_or_a_reason(tmp_path, capfd):
    photos = write_photos(tmp_path, damaged(MUTANTS, seed=0))
    assert len(photos) == MUTANTS
    times = [time.process_time()]
    report = run(tmp_path, tmp_path / "out", progress=lambda *_: times.append(time.process_time()))
    reasons = reasons_of(report)
    assert report.written + len(reasons) == MUTANTS
    assert report.written > 100
    assert len(reasons) > 300
    for reason in reasons.values():
        check_reason(reason)
    assert len(set(reasons.values())) > 15  # damage is told apart
    data = check_whole(tmp_path / "out")
    assert len(data) == report.written
    assert not set(reasons) & {data.meta(index)["source"] for index in range(len(data))}
    assert np.diff(times).max() < SLOWEST
    assert {path.name: path.read_bytes() for path in (tmp_path / "photos").iterdir()} == photos
    assert strays(tmp_path) == []
    printed = capfd.readouterr()
    assert printed.out == ""
    assert not any(word in printed.err for word in ("Traceback", "PIL", "Warning: "))


def test_the_undamaged_pictures_all_come_through(tmp_path):
    pictures = valid_pictures()
    write_photos(
        tmp_path, ((name.replace(".", "_") + Path(name).suffix, data) for name, data in pictures.items())
    )
    report = run(tmp_path, tmp_path / "out")
    assert report.skipped == []
    data = check_whole(tmp_path / "out")
    assert len(data) == len(pictures)
    assert all(data.image(index).std() > 8 for index in range(len(data)))


@pytest.mark.parametrize("name", ["rgb.png", "rgb.jpg", "rgb.bmp", "rgb.tif", "lossy.webp", "lossless.webp"])
def test_pictures_that_claim_to_be_enormous_are_refused_at_once(name):
    content = valid_pictures()[name]
    side = 16_383 if name.endswith("webp") else 65_000  # as far as a WebP can count
    started = time.process_time()
    with pytest.raises(SsganError, match=r"pixels|too large|not a picture|cannot read"):
        read_image(claiming(content, side, side), name="the photo")
    assert time.process_time() - started < 0.5


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 200 kB, for those who may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    if done.returncode:
        pytest.skip(f"a small disk cannot be mounted: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_stops_the_run_and_keeps_what_was_made(tmp_path, disk):
    content = valid_pictures()["rgb.png"]
    write_photos(tmp_path, ((f"{number:03}.png", content) for number in range(60)))
    with pytest.raises(SsganError, match="No space left") as caught:
        run(tmp_path, disk / "out")
    assert "disk not full" in caught.value.hint
    assert strays(disk) == []
    journal = (disk / "out" / "meta.jsonl").read_text().splitlines()
    assert 3 < len(journal) < 60
    assert len({json.loads(line)["name"] for line in journal}) == len(journal)
    subprocess.run(["mount", "-o", "remount,size=4m", str(disk)], check=True)
    report = run(tmp_path, disk / "out")
    assert (report.written, report.already, report.skipped) == (60 - len(journal), len(journal), [])
    assert len(check_whole(disk / "out")) == 60


def test_a_read_only_place_is_an_error_and_leaves_nothing(tmp_path, request):
    write_photos(tmp_path, iter([("a.png", valid_pictures()["rgb.png"])]))
    if os.geteuid() == 0:  # permissions don't hold the superuser, file systems do
        place = request.getfixturevalue("disk")
        subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
    else:
        place = tmp_path / "closed"
        place.mkdir(mode=0o500)
    with pytest.raises(SsganError, match=r"cannot write .*(Read-only|Permission denied)"):
        run(tmp_path, place / "out")
    assert list(place.iterdir()) == []


@pytest.mark.skipif(
    not all(row.ok for row in weights.list_weights()),
    reason="the networks are not here: run `ssgan weights fetch`",
)
def test_the_command_survives_them_too(tmp_path):
    photos = write_photos(tmp_path / "in [ä] 好", damaged(MUTANTS, seed=1))
    for name in list(photos)[::2]:  # half of them are more than enough
        (tmp_path / "in [ä] 好" / "photos" / name).unlink()
    face = Path(__file__).with_name("pictures") / "collins.jpg"
    crowd = np.full((300, 900, 3), 130, np.uint8)
    crowd[20:276, 20:276] = crowd[20:276, 600:856] = read_image(face)
    folder = tmp_path / "in [ä] 好"
    for name, image in (("one [face].png", Image.open(face)), ("two ü.png", Image.fromarray(crowd))):
        image.save(folder / "photos" / name)
        label_map(*image.size).save(folder / "masks" / name)
    command = [sys.executable, "-m", "ssgan_cli", "preprocess", folder / "photos", tmp_path / "out [1]"]
    command += ["--masks", folder / "masks", "--size", "32", "--workers", "2", "--offline", "--json"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=240, env=environment)
    assert done.returncode == 3, done.stderr  # most were skipped
    assert not any(word in done.stderr for word in ("Traceback", "Warning: ", "PIL"))
    told = json.loads(done.stdout)
    assert told["written"] == 2
    written = json.loads((tmp_path / "out [1]" / "report.json").read_text())
    assert len(written["skipped"]) == MUTANTS // 2
    for row in written["skipped"]:
        check_reason(row["reason"])
    data = PortraitDataset.open(tmp_path / "out [1]")
    assert sorted(data.meta(index)["source"] for index in range(2)) == ["one [face].png", "two ü.png"]
    assert strays(tmp_path) == []
