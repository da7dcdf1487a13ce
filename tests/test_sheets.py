"""The sheet of portraits from five sides."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from ssgan_core import cameras
from ssgan_core.errors import SsganError
from ssgan_core.parts import PORTRAIT
from ssgan_core.pictures import read_image
from ssgan_core.portrait import load_portrait, save_portrait
from ssgan_core.sheets import YAWS, save_sheet, views_block
from ssgan_core.synthesis import codes_from_seed, load_generator, look_around, save_portraits

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def portraits(tiny_model, tmp_path_factory):
    out = tmp_path_factory.mktemp("portraits")
    saved = save_portraits(tiny_model, range(17), cameras.label(0.3, 0.0), out, psi=1.0, device=CPU)
    return [row["portrait"] for row in saved.portraits]


def test_a_block_shows_five_sides_with_mask_and_depth(tiny_model):
    generator, _ = load_generator(tiny_model, CPU)
    codes = codes_from_seed(generator, 2)
    block = views_block(generator, codes)
    assert block.shape == (3 * 32, 5 * 32, 3)
    (view,) = look_around(generator, codes, cameras.label(np.array(YAWS[3:4]), 0.0))
    assert np.array_equal(block[:32, 96:128], view.image)
    assert np.array_equal(block[32:64, 96:128], PORTRAIT.colours[view.mask])
    assert (block[64:, :, 0] == block[64:, :, 1]).all()
    assert not np.array_equal(block[:32, :32], block[:32, 128:])


def test_the_first_sixteen_are_shown_whatever_their_cameras(tiny_model, portraits, tmp_path):
    seen = []
    out = tmp_path / "deep" / "sheet [1].png"
    save_sheet(portraits, out, device=CPU, progress=lambda done, total, note="": seen.append((done, total)))
    assert seen == [(i, 16) for i in range(1, 17)]
    sheet = read_image(out)
    assert sheet.shape == (4 * 96 + 3 * 4, 4 * 160 + 3 * 4, 3)
    generator, _ = load_generator(tiny_model, CPU)
    block = views_block(generator, load_portrait(portraits[5]).codes)
    assert np.array_equal(sheet[100:196, 164:324], block)


def test_a_jpeg_is_one(portraits, tmp_path):
    save_sheet(portraits[:1], tmp_path / "sheet.JPG", device=CPU)
    with Image.open(tmp_path / "sheet.JPG") as picture:
        assert (picture.format, picture.size) == ("JPEG", (160, 96))


def test_what_cannot_be_a_sheet_is_refused(portraits, tmp_path):
    with pytest.raises(SsganError, match=r"sheet\.gif"):
        save_sheet(portraits, tmp_path / "sheet.gif", device=CPU)
    stranger = tmp_path / "stranger.portrait"
    save_portrait(stranger, replace(load_portrait(portraits[1]), model_sha256="b" * 64))
    with pytest.raises(SsganError, match="different models"):
        save_sheet([portraits[0], stranger], tmp_path / "sheet.png", device=CPU)
    assert not (tmp_path / "sheet.png").exists()
