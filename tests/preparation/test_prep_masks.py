"""Import of existing masks: layouts, merging, sizes, orientation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ssgan_core.errors import SsganError
from ssgan_core.parts import BISENET, CELEBAMASK_HQ, PORTRAIT
from ssgan_core.preparation.masks import LAYOUTS, MaskSource


def part(name: str) -> int:
    return PORTRAIT.names.index(name)


def read(
    source: MaskSource, relative: str, width: int, height: int, photo: Path = Path("unused")
) -> np.ndarray:
    return source.read(photo, Path(relative), width, height)


@pytest.mark.parametrize(("layout", "order"), [("celebamask-hq", CELEBAMASK_HQ), ("bisenet", BISENET)])
@pytest.mark.parametrize("mode", ["L", "P"])
def test_label_maps_in_both_orders(tmp_path, layout, order, mode):
    labels = Image.fromarray(np.arange(19, dtype=np.uint8)[None])
    if mode == "P":
        labels.putpalette([255 - value for value in range(256) for _ in range(3)])
    (tmp_path / "sub").mkdir()
    labels.save(tmp_path / "sub" / "a.png")
    ids = read(MaskSource.open(tmp_path, layout, PORTRAIT), "sub/a.JPG", 19, 1)
    named = {name: PORTRAIT.names[value] for name, value in zip(order, ids[0], strict=True)}
    expected = {"hair": "hair", "l_eye": "eyes", "u_lip": "mouth", "necklace": "neck", "cloth": "cloth"}
    assert {name: named[name] for name in expected} == expected


def test_a_label_outside_the_order_is_named(tmp_path):
    Image.fromarray(np.array([[0, 19]], np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(SsganError, match="label 19, but celebamask-hq ends at 18"):
        read(MaskSource.open(tmp_path, "celebamask-hq", PORTRAIT), "a.jpg", 2, 1)


def save_part(folder: Path, name: str, inside: np.ndarray, mode: str = "L") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray((inside * 255).astype(np.uint8)).convert(mode).save(folder / name)


def test_the_original_one_png_a_part_layout(tmp_path):
    everywhere, left = np.ones((4, 4)), np.zeros((4, 4))
    left[:, :2] = 1
    save_part(tmp_path / "0", "00007_skin.png", everywhere, "RGB")
    save_part(tmp_path / "0", "00007_hair.png", left)
    save_part(tmp_path / "3", "00007_l_brow.png", np.eye(4))
    save_part(tmp_path / "3", "odd_name_ear_r.png", everywhere)
    source = MaskSource.open(tmp_path, "celebamask-hq-parts", PORTRAIT)
    for photo in ("7.jpg", "00007.jpg"):  # the release calls its photos 7.jpg
        ids = read(source, photo, 8, 8)
        assert (ids[:, :2] == part("hair")).all()  # hair comes after skin and brows, and covers them
        assert ids[2, 2] == part("brows")
        assert ids[2, 3] == part("skin")
    assert (read(source, "odd_name.png", 4, 4) == part("earrings")).all()
    with pytest.raises(SsganError, match="no mask files 8_"):
        read(source, "8.jpg", 4, 4)


def test_parts_of_different_sizes_are_refused(tmp_path):
    save_part(tmp_path, "a_skin.png", np.ones((4, 4)))
    save_part(tmp_path, "a_nose.png", np.ones((2, 2)))
    with pytest.raises(SsganError, match=r"a_nose\.png has another size"):
        read(MaskSource.open(tmp_path, "celebamask-hq-parts", PORTRAIT), "a.jpg", 4, 4)


def test_layouts_are_never_guessed(tmp_path):
    save_part(tmp_path, "a.png", np.zeros((2, 2)))
    with pytest.raises(SsganError, match="unknown mask layout") as caught:
        MaskSource.open(tmp_path, "auto", PORTRAIT)
    assert all(layout in caught.value.hint for layout in LAYOUTS)
    with pytest.raises(SsganError, match="holds no files like 00000_hair"):
        MaskSource.open(tmp_path, "celebamask-hq-parts", PORTRAIT)
    with pytest.raises(SsganError, match="does not exist"):
        MaskSource.open(tmp_path / "missing", "bisenet", PORTRAIT)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "there is no mask"),
        (b"", "its mask"),
        (b"no picture", "its mask"),
        ("colour", "its mask is no label map"),
    ],
)
def test_unusable_masks_give_a_reason(tmp_path, content, reason):
    if content == "colour":
        Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    elif content is not None:
        (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(SsganError, match=reason):
        read(MaskSource.open(tmp_path, "celebamask-hq", PORTRAIT), "a.jpg", 4, 4)


def test_sizes_may_differ_at_the_same_proportions_only(tmp_path):
    Image.new("L", (6, 4), 1).save(tmp_path / "a.png")
    source = MaskSource.open(tmp_path, "celebamask-hq", PORTRAIT)
    assert read(source, "a.jpg", 12, 8).shape == (4, 6)
    Image.new("RGB", (13, 8)).save(tmp_path / "photo.jpg")
    with pytest.raises(SsganError, match="6 x 4 pixels, which does not fit a photo of 13 x 8"):
        read(source, "a.jpg", 13, 8, tmp_path / "photo.jpg")


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_a_mask_stored_like_a_rotated_photo_is_rotated_with_it(tmp_path, orientation):
    rng = np.random.default_rng(orientation)
    stored = rng.integers(0, 19, (4, 6)).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(stored * 10).save(tmp_path / "photo.png", exif=exif)
    from ssgan_core.pictures import read_image

    displayed = read_image(tmp_path / "photo.png")[..., 0] // 10
    assert displayed.shape == (6, 4)
    source = MaskSource.open(tmp_path, "celebamask-hq", PORTRAIT)
    table = PORTRAIT.lookup("celebamask-hq")
    for mask in (stored, displayed):  # stored like the photo, or as it is seen
        Image.fromarray(mask).save(tmp_path / "a.png")
        ids = read(source, "a.jpg", 4, 6, tmp_path / "photo.png")
        assert np.array_equal(ids, table[displayed])
