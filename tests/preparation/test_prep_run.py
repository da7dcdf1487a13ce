"""The whole run with a double for the networks: skipping, resuming, workers, reports."""

from __future__ import annotations

import json
import os
import struct
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from prep_doubles import (
    CUT_OFF,
    DEADLY,
    FACELESS,
    FRONTAL,
    GIVEN_MASKS,
    PARSED,
    UNPARSED,
    add_crowd,
    add_pair,
    label_map,
    picture,
)

from ssgan_core import cameras
from ssgan_core.dataset.reader import PortraitDataset
from ssgan_core.errors import SsganError
from ssgan_core.parts import PORTRAIT
from ssgan_core.pictures import read_image, read_reduced
from ssgan_core.preparation import entry
from ssgan_core.preparation.alignment import Crop, cut_photo
from ssgan_core.preparation.parsers import OwnParser
from ssgan_core.preparation.prepare import prepare
from ssgan_core.preparation.quality import Filters
from ssgan_core.preparation.report import Report

NETWORKS = {"double": "0"}
ALL = Filters(min_face=0)  # test photos are small


def run(folder: Path, out: str = "out", **options) -> Report:
    """With the masks of folder/masks."""
    return parsed(folder, out, **{"backends": GIVEN_MASKS, "masks": folder / "masks", **options})


def parsed(folder: Path, out: str = "out", **options) -> Report:
    """With a parser."""
    chosen = {"backends": PARSED, "size": 32, "workers": 1, "filters": ALL, **options}
    return prepare(folder / "photos", folder / out, chosen.pop("backends"), **chosen)


def reasons_of(report: Report) -> dict[str, str]:
    return {row.name: row.skip.reason for row in report.skipped}


def content(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_photo_becomes_an_entry(tmp_path):
    add_pair(tmp_path, "sub/a [1] ü.png", FRONTAL + 40)
    assert (run(tmp_path).written, run(tmp_path).already) == (1, 1)
    data = PortraitDataset.open(tmp_path / "out")
    assert list(data.names) == ["sub/a [1] ü_png"]
    yaw, pitch = cameras.angles(data.labels[0])
    assert (yaw, pitch) == pytest.approx((0.2, 0.0), abs=2e-3)
    assert data.image(0).shape == (32, 32, 3)
    mask = data.mask(0)
    assert (mask[:15] == PORTRAIT.names.index("hair")).all()
    assert (mask[17:] == PORTRAIT.names.index("skin")).all()
    meta = data.meta(0)
    assert meta["source"] == "sub/a [1] ü.png"
    assert meta["yaw_degrees"] == pytest.approx(np.rad2deg(0.2), abs=0.1)
    assert meta["networks"] == NETWORKS
    assert read_image(tmp_path / "out" / "contact.jpg").shape == (192, 192, 3)


def bomb() -> bytes:
    """A PNG whose header promises 60,000 x 60,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(100)))
        + chunk(b"IEND", b"")
    )


def test_what_fails_is_skipped_with_a_reason_and_the_rest_comes_through(tmp_path):
    photos, masks = tmp_path / "photos", tmp_path / "masks"
    for name in ("good.jpg", "empty.png", "text.jpg", "torn.png", "bomb.png"):
        add_pair(tmp_path, name)
    (photos / "empty.png").write_bytes(b"")
    (photos / "text.jpg").write_text("hello")
    (photos / "torn.png").write_bytes((photos / "torn.png").read_bytes()[:300])
    (photos / "bomb.png").write_bytes(bomb())
    add_pair(tmp_path, "faceless.png", FACELESS)
    add_pair(tmp_path, "cut-off.png", CUT_OFF)
    add_pair(tmp_path, "maskless.png")
    (masks / "maskless.png").unlink()
    add_pair(tmp_path, "other-size.png")
    label_map(90, 96).save(masks / "other-size.png")
    add_pair(tmp_path, "strange-label.png")
    Image.new("L", (96, 96), 77).save(masks / "strange-label.png")
    add_pair(tmp_path, "unlabelled.png")
    Image.new("L", (96, 96), 0).save(masks / "unlabelled.png")
    report = run(tmp_path)
    assert report.written == 1
    reasons = reasons_of(report)
    expected = {
        "empty.png": "not a picture",
        "text.jpg": "not a picture",
        "torn.png": "cannot read",
        "bomb.png": "the photo is too large",
        "faceless.png": "no face was found",
        "cut-off.png": "41 % would be made up",
        "maskless.png": "there is no mask maskless.png",
        "other-size.png": "does not fit",
        "strange-label.png": "label 77",
        "unlabelled.png": "mask is empty",
    }
    assert set(reasons) == set(expected)
    for name, part in expected.items():
        assert part in reasons[name]
        assert "\n" not in reasons[name]
    written = json.loads((tmp_path / "out" / "report.json").read_text())
    assert {row["photo"]: row["reason"] for row in written["skipped"]} == reasons
    assert (written["photos"], written["written"], written["already"], written["failed"]) == (11, 1, 0, 10)
    assert written["reasons"]["the photo is not a picture that can be read"] == 2
    assert read_image(tmp_path / "out" / "skipped.jpg").shape[1] == 8 * 192 + 7 * 2


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "I;16", "CMYK", "1"])
def test_photos_of_odd_modes_come_through(tmp_path, mode):
    suffix = "tiff" if mode == "CMYK" else "png"
    add_pair(tmp_path, f"odd.{suffix}")
    if mode == "I;16":
        grey = np.asarray(picture(96, 96).convert("L")).astype(np.uint16) * 257
        odd = Image.fromarray(grey)
    else:
        odd = picture(96, 96, 90).convert(mode)
    odd.save(tmp_path / "photos" / f"odd.{suffix}")
    report = run(tmp_path)
    assert (report.written, reasons_of(report)) == (1, {})
    image = PortraitDataset.open(tmp_path / "out").image(0)
    assert image.std() > 20


def test_an_exif_rotated_photo_is_prepared_as_it_is_seen(tmp_path):
    add_pair(tmp_path, "plain.png", size=(96, 120))
    add_pair(tmp_path, "turned.png", size=(96, 120))
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying on its left side
    picture(96, 120).transpose(Image.Transpose.ROTATE_90).save(tmp_path / "photos" / "turned.png", exif=exif)
    assert run(tmp_path).written == 2
    data = PortraitDataset.open(tmp_path / "out")
    assert np.array_equal(data.image(0), data.image(1))
    assert np.array_equal(data.mask(0), data.mask(1))


def test_the_same_name_with_two_suffixes_makes_two_entries(tmp_path):
    add_pair(tmp_path, "a.png", FRONTAL)
    add_pair(tmp_path, "a.bmp", FRONTAL + 20)
    run(tmp_path)
    assert list(PortraitDataset.open(tmp_path / "out").names) == ["a_bmp", "a_png"]


def test_a_second_run_redoes_nothing_and_picks_up_new_photos(tmp_path):
    add_pair(tmp_path, "b.png")
    add_pair(tmp_path, "faceless.png", FACELESS)
    run(tmp_path)
    before = (tmp_path / "out" / "images" / "b_png.png").stat().st_mtime_ns
    add_pair(tmp_path, "a.png")
    report = run(tmp_path)
    assert (report.written, report.already, len(report.skipped)) == (1, 1, 1)
    assert (tmp_path / "out" / "images" / "b_png.png").stat().st_mtime_ns == before
    assert len(PortraitDataset.open(tmp_path / "out")) == 2


def test_an_interrupted_run_goes_on_to_the_same_data_set(tmp_path):
    for number in range(5):
        add_pair(tmp_path, f"{number}.png", FRONTAL + 5 * number)
    run(tmp_path, "straight")

    def interrupt(done: int, total: int, note: str = "") -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, "broken", progress=interrupt)
    report = run(tmp_path, "broken")
    assert (report.written, report.already) == (3, 2)
    straight, broken = content(tmp_path / "straight"), content(tmp_path / "broken")
    for different in ("report.json",):  # it has times, and counts of its own run
        del straight[different], broken[different]
    assert straight == broken


def test_the_number_of_workers_changes_nothing(tmp_path):
    for number in range(6):
        add_pair(tmp_path, f"{number}.png", FRONTAL + 5 * number)
    add_pair(tmp_path, "3b.png", FACELESS)
    seen = []
    one, two = (
        run(tmp_path, "one"),
        run(tmp_path, "two", workers=2, progress=lambda *said: seen.append(said[0])),
    )
    assert (one.written, reasons_of(one)) == (two.written, reasons_of(two))
    assert seen == list(range(8))
    first, second = content(tmp_path / "one"), content(tmp_path / "two")
    del first["report.json"], second["report.json"]
    assert first == second


def test_a_worker_that_dies_is_an_error_that_names_the_photo(tmp_path):
    add_pair(tmp_path, "a.png")
    add_pair(tmp_path, "deadly.png", DEADLY)
    with pytest.raises(SsganError, match=r"worker process died.*deadly\.png") as caught:
        run(tmp_path, workers=2)
    assert "fewer workers" in caught.value.hint
    (tmp_path / "photos" / "deadly.png").unlink()
    report = run(tmp_path)
    assert report.written + report.already == 1


@pytest.mark.parametrize(
    "change",
    [
        {"backends": replace(GIVEN_MASKS, networks={"double": "1"})},
        {"mask_layout": "bisenet"},
        {"size": 64},
        {"every_face": True},
        {"filters": Filters()},
        {"backends": PARSED, "masks": None},
    ],
)
def test_a_data_set_is_not_continued_with_other_settings(tmp_path, change):
    add_pair(tmp_path, "a.png")
    run(tmp_path)
    before = content(tmp_path / "out")
    with pytest.raises(SsganError, match="was begun with"):
        run(tmp_path, **change)
    assert content(tmp_path / "out") == before


def test_foreign_folders_are_left_alone(tmp_path):
    add_pair(tmp_path, "a.png")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    with pytest.raises(SsganError, match="no data set"):
        run(tmp_path)
    assert content(tmp_path / "out") == {"thesis.txt": b"mine"}


def test_names_that_no_entry_can_have_are_skipped(tmp_path):
    add_pair(tmp_path, "a.png")
    add_pair(tmp_path, "n" * 249 + ".png")
    ((name, reason),) = reasons_of(run(tmp_path)).items()
    assert name.startswith("nnn")
    assert "too long" in reason


def test_all_photos_failing_still_ends_with_a_report(tmp_path):
    add_pair(tmp_path, "a.png", FACELESS)
    report = run(tmp_path)
    assert (report.written, len(report.skipped)) == (0, 1)
    assert (tmp_path / "out" / "report.json").is_file()
    assert not (tmp_path / "out" / "contact.jpg").exists()


def test_without_masks_parts_are_parsed(tmp_path):
    add_crowd(tmp_path, "a.png", [FRONTAL])
    add_crowd(tmp_path, "b.png", [UNPARSED])
    report = parsed(tmp_path)
    assert reasons_of(report) == {"b.png": "its mask is empty where the face is"}
    data = PortraitDataset.open(tmp_path / "out")
    mask = data.mask(0)
    assert (mask[:16] == PORTRAIT.names.index("hair")).all()
    assert (mask[16:] == PORTRAIT.names.index("skin")).all()
    assert data.meta(0)["networks"] == PARSED.networks
    assert "mask_layout" not in data.meta(0)


def test_a_large_face_is_cut_from_a_draft_and_a_small_one_from_all_pixels(tmp_path, monkeypatch):
    decoded = []

    def watched(*arguments):
        found = read_reduced(*arguments)
        decoded.append(found[0].shape)
        return found

    monkeypatch.setattr(entry, "read_reduced", watched)
    monkeypatch.setattr(entry, "_DRAFT_PIXELS", 1_000_000)
    add_crowd(tmp_path, "large.jpg", [FRONTAL + 20], side=2400)
    parsed(tmp_path, "quick")
    assert decoded == []
    monkeypatch.setattr(entry, "_FACE_OF_CROP", 5.0)  # as if the face were small
    parsed(tmp_path, "slow")
    assert decoded == [(2400, 2400, 3)]
    quick, slow = (PortraitDataset.open(tmp_path / name) for name in ("quick", "slow"))
    assert np.abs(quick.image(0).astype(int) - slow.image(0)).mean() < 1.5
    assert np.abs(quick.labels - slow.labels).max() < 2e-3
    for key, tolerance in (("face_pixels", 2), ("sharpness", 20), ("yaw_degrees", 0.1)):
        assert quick.meta(0)[key] == pytest.approx(slow.meta(0)[key], abs=tolerance)
    assert quick.meta(0)["crop"]["side"] == pytest.approx(2400, rel=1e-3)


def test_masks_or_a_parser_but_not_both(tmp_path):
    add_pair(tmp_path, "a.png")
    with pytest.raises(ValueError, match="either masks"):
        run(tmp_path, backends=PARSED)
    with pytest.raises(ValueError, match="either masks"):
        run(tmp_path, masks=None)


def test_every_face_of_a_photo_becomes_an_entry_or_a_reason(tmp_path):
    add_crowd(tmp_path, "three.png", [CUT_OFF, FRONTAL - 20, FRONTAL + 20])
    report = parsed(tmp_path, every_face=True)
    assert (report.photos, report.written, report.failed) == (1, 2, 0)
    ((name, reason),) = reasons_of(report).items()
    assert name == "three.png, face 0"
    data = PortraitDataset.open(tmp_path / "out")
    assert list(data.names) == ["three_png_face1", "three_png_face2"]
    yaws = [cameras.angles(label)[0] for label in data.labels]
    assert yaws == pytest.approx([-0.1, 0.1], abs=2e-3)
    assert [data.meta(index)["face"] for index in range(2)] == [1, 2]
    assert data.meta(1)["crop"]["centre"] == pytest.approx([240, 48], abs=0.5)
    (row,) = json.loads((tmp_path / "out" / "report.json").read_text())["skipped"]
    assert (row["face"], row["reason"]) == (0, reason)
    assert row["face_box"] == [0, 0, 96, 96]


def test_a_photo_whose_faces_are_written_in_part_is_completed(tmp_path):
    add_crowd(tmp_path, "two.png", [FRONTAL, FRONTAL + 20])
    parsed(tmp_path, "straight", every_face=True)
    parsed(tmp_path, "broken", every_face=True)
    out = tmp_path / "broken"
    journal = (out / "meta.jsonl").read_bytes().splitlines(keepends=True)
    (out / "meta.jsonl").write_bytes(journal[0])  # as a kill between the faces leaves it
    (out / "photos.jsonl").write_bytes((out / "photos.jsonl").read_bytes()[:-9])
    report = parsed(tmp_path, "broken", every_face=True)
    assert (report.written, report.already) == (1, 1)
    straight, broken = content(tmp_path / "straight"), content(out)
    del straight["report.json"], broken["report.json"]
    assert straight == broken


def test_what_was_skipped_is_remembered_until_its_file_changes(tmp_path):
    add_crowd(tmp_path, "a.png", [FACELESS])
    add_crowd(tmp_path, "b.png", [FRONTAL])
    first = parsed(tmp_path)
    again = parsed(tmp_path)
    assert (again.handled, again.already, again.failed) == (0, 1, 1)
    assert reasons_of(again) == reasons_of(first) == {"a.png": "no face was found"}
    add_crowd(tmp_path, "a.png", [FRONTAL])
    os.utime(tmp_path / "photos" / "a.png", ns=(1, 1))
    report = parsed(tmp_path)
    assert (report.handled, report.written, reasons_of(report)) == (1, 1, {})
    assert not (tmp_path / "out" / "skipped.jpg").exists()


def test_a_mask_that_is_mended_is_tried_again(tmp_path):
    add_pair(tmp_path, "a.png")
    (tmp_path / "masks" / "a.png").rename(tmp_path / "elsewhere.png")
    assert run(tmp_path).written == 0
    (tmp_path / "elsewhere.png").rename(tmp_path / "masks" / "a.png")
    assert run(tmp_path).written == 1


@pytest.mark.parametrize(
    ("filters", "reason"),
    [
        (Filters(min_face=400), "the face is too small ("),
        (Filters(min_face=0, max_yaw=3), "the face is turned away (yaw 5.7"),
        (Filters(min_face=0, min_sharpness=500), "the face is blurred ("),
        (Filters(min_face=0, max_occlusion=0.1), "the face is covered ("),
    ],
)
def test_filtered_faces_are_skipped_but_not_failures(tmp_path, filters, reason):
    add_crowd(tmp_path, "a.png", [FRONTAL + 20])
    report = parsed(tmp_path, filters=filters)
    assert (report.written, report.failed, len(report.skipped)) == (0, 0, 1)
    assert report.skipped[0].skip.reason.startswith(reason)
    assert json.loads((tmp_path / "out" / "report.json").read_text())["filtered"] == 1


def test_measures_are_columns_of_every_entry(tmp_path):
    add_crowd(tmp_path, "a.png", [FRONTAL + 20])
    parsed(tmp_path)
    meta = PortraitDataset.open(tmp_path / "out").meta(0)
    assert 40 < meta["face_pixels"] < 70
    assert meta["padding"] == 0
    assert 0.3 < meta["occlusion"] < 0.7  # the double calls the upper half hair
    assert 0.1 < meta["exposure"] < 0.9
    assert meta["sharpness"] == pytest.approx(0.5 / meta["blur"], abs=0.06)


def test_a_damaged_journal_is_an_error_that_says_what_to_do(tmp_path):
    add_crowd(tmp_path, "a.png", [FRONTAL])
    parsed(tmp_path)
    (tmp_path / "out" / "photos.jsonl").write_text('{"photo": 3}\n')
    with pytest.raises(SsganError, match="line 1 is damaged") as caught:
        parsed(tmp_path)
    assert "remove the file" in caught.value.hint
    (tmp_path / "out" / "photos.jsonl").unlink()
    report = parsed(tmp_path)
    assert (report.handled, report.written, report.already) == (1, 0, 1)


def test_the_default_parser_makes_masks(tmp_path):
    """The parser that ships with the package in place of the double; what it sees here is no face."""
    add_crowd(tmp_path, "a.png", [FRONTAL])
    report = parsed(tmp_path, backends=replace(PARSED, make_parser=OwnParser), size=64)
    assert report.written == 1
    mask = PortraitDataset.open(tmp_path / "out").mask(0)
    picture_256 = cut_photo(read_image(tmp_path / "photos" / "a.png"), Crop((48.0, 48.0), 96.0, 0.0), 256)
    assert (mask == OwnParser()(picture_256)[2::4, 2::4]).mean() > 0.9
