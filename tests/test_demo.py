"""The demo on a tiny model: what it writes, that its counting adds up, and that it needs no video encoder."""

import sys

import pytest
import torch
from PIL import Image

from ssgan_core import demo
from ssgan_core.errors import SsganError
from ssgan_core.portrait import load_portrait

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(demo, "FRAMES", 4)


def test_everything_is_written(tiny_model, tmp_path):
    seen = []
    saved = demo.make_demo(
        tiny_model,
        tmp_path,
        device=CPU,
        progress=lambda done, total, note="": seen.append((done, total, note)),
    )
    total = 16 + 16 + 1 + 7 + 4
    assert [row[:2] for row in seen] == [(i, total) for i in range(1, total + 1)]
    assert list(dict.fromkeys(row[2] for row in seen)) == [
        "portraits", "portraits from five sides", "part transfer", "part interpolation", "orbit",
    ]  # fmt: skip
    assert saved.no_video == ""
    assert saved.orbit == tmp_path / "orbit.mp4"
    assert saved.orbit.read_bytes()[4:8] == b"ftyp"
    for picture in (saved.contact, saved.sheet, saved.transfer, saved.interpolation):
        with Image.open(picture) as image:
            image.verify()
    assert len(saved.portraits) == 16
    assert load_portrait(saved.portraits[15]).codes.base.isfinite().all()


def test_without_an_encoder_the_orbit_is_frames(tiny_model, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    saved = demo.make_demo(tiny_model, tmp_path, device=CPU)
    assert "no ffmpeg" in saved.no_video
    assert saved.orbit == tmp_path / "orbit"
    assert len(list(saved.orbit.glob("frame*.png"))) == 4


def test_a_place_that_cannot_be_written_to(tiny_model, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SsganError, match="cannot write"):
        demo.make_demo(tiny_model, tmp_path / "file", device=CPU)
