"""The sheet of what was skipped: it shows what can be shown and survives what cannot."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from prep_doubles import picture

from ssgan_core.pictures import read_image
from ssgan_core.preparation import contact
from ssgan_core.preparation.contact import write_skipped_sheet
from ssgan_core.preparation.entry import Skip
from ssgan_core.preparation.report import SkippedFace

CELL = 192
GREY = np.full(3, 128)


def skipped(path: Path, reason: str = "no face was found", **details) -> SkippedFace:
    return SkippedFace(path.name, path, Skip(reason, **details))


def test_unreadable_photos_are_grey_cells(tmp_path):
    (tmp_path / "text.jpg").write_text("hello")
    picture(400, 300).save(tmp_path / "torn.png")
    (tmp_path / "torn.png").write_bytes((tmp_path / "torn.png").read_bytes()[:900])
    picture(400, 300).save(tmp_path / "whole.png")
    names = ("text.jpg", "torn.png", "missing.png", "whole.png")
    write_skipped_sheet(tmp_path / "sheet.jpg", [skipped(tmp_path / name, name) for name in names])
    sheet = read_image(tmp_path / "sheet.jpg").astype(int)
    assert sheet.shape[1] == 4 * CELL + 3 * 2
    cells = [sheet[:144, i * (CELL + 2) : i * (CELL + 2) + CELL] for i in range(4)]  # by reason
    for cell in (cells[0], cells[1], cells[2]):
        assert np.abs(cell - GREY).mean() < 3
    assert cells[3].std() > 30
    beneath = sheet[146:, :CELL]
    assert (beneath < 90).any()  # the reason is written there
    assert (beneath > 230).any()


def test_photos_that_are_too_large_for_a_thumbnail_are_grey(tmp_path, monkeypatch):
    monkeypatch.setattr(contact, "_MOST_THUMBNAIL", 1000)
    picture(400, 300).save(tmp_path / "a.png")
    write_skipped_sheet(tmp_path / "sheet.jpg", [skipped(tmp_path / "a.png")])
    assert np.abs(read_image(tmp_path / "sheet.jpg")[:144].astype(int) - GREY).mean() < 3


def test_a_face_that_was_turned_away_has_a_red_box(tmp_path):
    picture(400, 300).save(tmp_path / "a.png")
    row = skipped(tmp_path / "a.png", "too small (12 pixels)", face=1, box=[100.0, 75.0, 300.0, 225.0])
    write_skipped_sheet(tmp_path / "sheet.jpg", [row])
    sheet = read_image(tmp_path / "sheet.jpg").astype(int)
    edge = sheet[36, 60:130]  # 75 of 300 pixels down, shown at 144 / 300
    assert (edge[:, 0] - edge[:, 1] > 60).mean() > 0.9


@pytest.mark.parametrize("name", ["\u202e\n\x07[red] 日本 ü.jpg", "n" * 240 + ".jpg", "\udcff.jpg"])
def test_strange_names_and_long_reasons_do_no_harm(tmp_path, name):
    rows = [SkippedFace(name, tmp_path / "missing.jpg", Skip("word " * 100 + "x" * 300))]
    write_skipped_sheet(tmp_path / "sheet.jpg", rows)
    assert read_image(tmp_path / "sheet.jpg").shape[1] == CELL


def test_few_of_many_are_shown_and_an_old_sheet_goes(tmp_path):
    write_skipped_sheet(tmp_path / "sheet.jpg", [skipped(tmp_path / f"{i}.jpg") for i in range(200)])
    assert read_image(tmp_path / "sheet.jpg").shape[1] == 8 * CELL + 7 * 2
    assert read_image(tmp_path / "sheet.jpg").shape[0] < 6 * 240
    write_skipped_sheet(tmp_path / "sheet.jpg", [])
    assert not (tmp_path / "sheet.jpg").exists()
