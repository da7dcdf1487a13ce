"""Pictures of every mode come in as uint8 RGB, broken ones as an SsganError; what is written reads back."""

import io
import zlib

import numpy as np
import pytest
from PIL import Image

from ssgan_core.errors import SsganError
from ssgan_core.parts import PORTRAIT
from ssgan_core.pictures import (
    colour_depth,
    colour_mask,
    encode_jpeg,
    encode_png,
    load_depth16,
    read_draft,
    read_ids,
    read_image,
    read_reduced,
    reading,
    save_depth16,
    save_mask,
    save_png,
    tile,
    to_uint8,
)

# Smooth, so that lossy formats stay near it; not square, and no two corners alike, so that turns show.
ROWS, COLUMNS = np.mgrid[0:24, 0:40]
COLOURS = np.stack([COLUMNS * 6, ROWS * 10, 255 - COLUMNS * 3], axis=-1).astype(np.uint8)


def encoded(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("kind", "tolerance"),
    [("PNG", 0), ("BMP", 0), ("TIFF", 0), ("PPM", 0), ("JPEG", 12), ("WEBP", 16)],
)
def test_formats(kind, tolerance):
    found = read_image(encoded(Image.fromarray(COLOURS), kind))
    assert found.dtype == np.uint8
    assert np.abs(found.astype(int) - COLOURS).max() <= tolerance


def test_a_picture_from_a_path_with_brackets_and_unicode(tmp_path):
    path = tmp_path / "[ä 好]" / "phöto [1].png"
    save_png(path, COLOURS)
    np.testing.assert_array_equal(read_image(path), COLOURS)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation(orientation):
    upright = Image.fromarray(COLOURS)
    # What the camera stores so that the viewer, following the tag, sees `upright`.
    undo = {
        1: None, 2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_270,
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = upright if undo is None else upright.transpose(undo)
    found = read_image(encoded(stored, "PNG", exif=exif))
    np.testing.assert_array_equal(found, COLOURS)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 7])
def test_reduced_pictures_are_means_and_keep_their_orientation(kind, orientation):
    rows, columns = np.mgrid[0:240, 0:400]
    large = np.stack([columns // 2, rows, 255 - columns // 2], axis=-1).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    found, size = read_reduced(encoded(Image.fromarray(large), kind, exif=exif), 400 * 240 // 16, 1 << 20)
    whole = read_image(encoded(Image.fromarray(large), kind, exif=exif))
    assert size == (whole.shape[1], whole.shape[0])
    assert found.shape == (whole.shape[0] // 4, whole.shape[1] // 4, 3)
    means = whole.reshape(found.shape[0], 4, found.shape[1], 4, 3).mean((1, 3))
    assert np.abs(found - means).max() < (12 if kind == "JPEG" else 1)


def test_drafts_of_large_jpegs():
    exif = Image.Exif()
    exif[0x0112] = 6
    rows, columns = np.mgrid[0:240, 0:400]
    large = Image.fromarray(np.stack([columns // 2, rows, 255 - columns // 2], axis=-1).astype(np.uint8))
    content = encoded(large, "JPEG", exif=exif, quality=95)
    whole = read_image(content)
    pixels, size = read_draft(content, 400 * 240 // 16, 1 << 20)
    assert size == (240, 400)
    assert pixels.shape == (100, 60, 3)
    assert np.abs(pixels - whole.reshape(100, 4, 60, 4, 3).mean((1, 3))).max() < 6
    assert read_draft(content, 400 * 240 // 15, 1 << 20)[0].shape == (200, 120, 3)
    assert read_draft(content, 400 * 240 // 3, 1 << 20) is None
    assert read_draft(content, 1, 1 << 20)[0].shape == (50, 30, 3)
    assert read_draft(encoded(large), 1000, 1 << 20) is None
    with pytest.raises(SsganError, match="more than 100 in all"):
        read_draft(content, 10, 100)


def test_large_pictures_are_read_in_strips_alike(monkeypatch):
    pixels = np.random.default_rng(0).integers(0, 256, (37, 23, 4), dtype=np.uint8)
    content = encoded(Image.fromarray(pixels))
    whole, reduced = read_image(content), read_reduced(content, 100, 1000)[0]
    monkeypatch.setattr(reading, "_STRIP_PIXELS", 60)
    np.testing.assert_array_equal(read_image(content), whole)
    np.testing.assert_array_equal(read_reduced(content, 100, 1000)[0], reduced)
    assert reduced.shape == (13, 8, 3)  # a third, rounded up


def test_limits_beyond_the_decoders_own_raise_no_warning():
    large = encoded(Image.new("1", (10_000, 9_500)))
    with pytest.raises(SsganError, match="10000 x 9500 pixels"):
        read_image(large)
    pixels, size = read_reduced(large, 1 << 20, 1 << 27)
    assert size == (10_000, 9_500)
    assert pixels.shape == (950, 1000, 3)


def test_a_webp_may_have_a_third_of_the_pixels():
    content = encoded(Image.fromarray(COLOURS), "WEBP")
    assert read_image(content, max_pixels=3 * COLOURS[..., 0].size).shape == COLOURS.shape
    with pytest.raises(SsganError, match="40 x 24 pixels"):
        read_image(content, max_pixels=3 * COLOURS[..., 0].size - 3)


def test_grey_modes():
    grey = COLOURS[..., 0]
    for image in (Image.fromarray(grey), Image.fromarray(COLOURS).getchannel(0).convert("LA")):
        found = read_image(encoded(image))
        np.testing.assert_array_equal(found, np.repeat(grey[..., None], 3, axis=2))
    black_white = read_image(encoded(Image.fromarray(grey > 100)))
    assert set(np.unique(black_white)) == {0, 255}


def test_sixteen_bits_are_scaled_and_not_clipped():
    grey = COLOURS[..., 0].astype(np.uint16)
    for kind in ("PNG", "TIFF"):
        found = read_image(encoded(Image.fromarray(grey * 257), kind))
        np.testing.assert_array_equal(found[..., 0], grey)
        np.testing.assert_array_equal(found[..., 2], grey)


def test_sixteen_bits_are_rounded():
    steps = np.array([[0, 128, 129, 385, 386, 65535 - 129, 65535 - 128, 65535]], np.uint16)
    np.testing.assert_array_equal(read_image(encode_png(steps))[0, :, 0], [0, 0, 1, 1, 2, 254, 255, 255])


def test_transparency_is_composited_on_white():
    pixels = np.zeros((1, 3, 4), np.uint8)
    pixels[0, :, 3] = [0, 51, 255]  # black: invisible, one fifth, solid
    np.testing.assert_array_equal(read_image(encoded(Image.fromarray(pixels)))[0, :, 0], [255, 204, 0])
    grey = np.zeros((1, 2, 2), np.uint8)
    grey[0, 1, 1] = 255
    np.testing.assert_array_equal(read_image(encoded(Image.fromarray(grey)))[0, :, 1], [255, 0])


def test_palettes_with_and_without_transparency():
    image = Image.fromarray(COLOURS).quantize(64)
    np.testing.assert_array_equal(read_image(encoded(image)), np.array(image.convert("RGB")))
    seen = read_image(encoded(image, transparency=7))
    hidden = np.array(image) == 7
    assert hidden.any()
    assert (seen[hidden] == 255).all()
    np.testing.assert_array_equal(seen[~hidden], np.array(image.convert("RGB"))[~hidden])


def test_cmyk_jpeg():
    red = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    found = read_image(encoded(red, "JPEG", quality=95)).reshape(-1, 3)
    assert np.abs(found.astype(int) - [255, 0, 0]).max() < 12


def test_the_first_frame_of_an_animation():
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    found = read_image(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    np.testing.assert_array_equal(found[0, 0], [255, 0, 0])


def test_floating_point_pixels_are_refused():
    with pytest.raises(SsganError, match="floating-point"):
        read_image(encoded(Image.fromarray(COLOURS[..., 0].astype(np.float32)), "TIFF"))


def test_what_is_no_picture(tmp_path):
    (tmp_path / "x.jpg").write_text("not a picture")
    (tmp_path / "empty.png").touch()
    for name in ("x.jpg", "empty.png"):
        with pytest.raises(SsganError, match=f"{name} is not a picture"):
            read_image(tmp_path / name)
    with pytest.raises(SsganError, match=r"missing\.png: No such file"):
        read_image(tmp_path / "missing.png")
    with pytest.raises(SsganError, match="cannot read"):
        read_image(tmp_path)
    with pytest.raises(SsganError, match="the third"):
        read_image(b"\x89PNG\r\n\x1a\n", name="the third")


def test_programs_are_not_started():
    # Pillow would hand PostScript to Ghostscript.
    with pytest.raises(SsganError, match="not a picture"):
        read_image(encoded(Image.fromarray(COLOURS), "EPS"))


def test_odd_metadata_is_neither_an_error_nor_told(caplog: pytest.LogCaptureFixture):
    exif = Image.Exif()
    exif[0x0110] = "a camera with a long name"
    content = bytearray(encoded(Image.fromarray(COLOURS), "JPEG", exif=exif))
    place = content.index(b"MM\0*", 0, 64)
    content[place + 14 : place + 18] = b"\x7f\x7f\x7f\x7f"  # the name seems to be longer than the file
    with (
        pytest.warns(UserWarning, match="Corrupt EXIF|Tag data"),
        Image.open(io.BytesIO(bytes(content))) as image,
    ):
        image.getexif()
    assert read_image(bytes(content)).shape == (24, 40, 3)  # warnings are errors in these tests
    assert caplog.records == []


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_truncated_files(kind):
    content = encoded(Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)), kind)
    for share in (0.05, 0.3, 0.6, 0.95):
        with pytest.raises(SsganError):
            read_image(content[: int(share * len(content))])


def test_broken_files_never_escape_as_other_errors():
    rng = np.random.default_rng(0)
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.fromarray(COLOURS)
    contents = [encoded(image, kind, exif=exif) for kind in ("PNG", "JPEG", "WEBP")]
    contents += [encoded(image, "GIF"), encoded(image, "BMP"), encoded(image.quantize(16))]
    outcomes = {"read": 0, "refused": 0}
    for content in contents * 60:
        broken = bytearray(content)
        for place in rng.integers(0, len(broken), 3):
            broken[place] ^= 1 << int(rng.integers(0, 8))
        for read in (read_image, read_ids, load_depth16):
            try:
                assert read(bytes(broken), 10_000).ndim in (2, 3)
                outcomes["read"] += 1
            except SsganError:
                outcomes["refused"] += 1
    assert min(outcomes.values()) > 30


def _claiming(width, height):
    """A PNG whose header claims a size."""
    content = bytearray(encode_png(COLOURS))
    content[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    return bytes(content)


@pytest.mark.parametrize("side", [9_700, 20_000, 1 << 20])
def test_decompression_bombs_are_refused_by_their_header(side):
    with pytest.raises(SsganError, match=r"pixels|too large|exceeds"):
        read_image(_claiming(side, side))


def test_the_pixel_limit():
    assert read_image(encode_png(COLOURS), max_pixels=960).shape == (24, 40, 3)
    with pytest.raises(SsganError, match="40 x 24 pixels, more than 959") as caught:
        read_image(encode_png(COLOURS), max_pixels=959, name="big")
    assert "smaller" in caught.value.hint


# ------------------------------------------------------------------------------------------ writing


def test_masks_are_indexed_png_in_the_schemas_colours(tmp_path):
    ids = np.arange(13, dtype=np.uint8).reshape(1, 13).repeat(5, axis=0)
    save_mask(tmp_path / "m.png", ids, PORTRAIT)
    np.testing.assert_array_equal(read_ids(tmp_path / "m.png"), ids)
    with Image.open(tmp_path / "m.png") as image:
        assert image.mode == "P"
        np.testing.assert_array_equal(np.array(image.convert("RGB")), colour_mask(ids, PORTRAIT))
    for wrong in (ids + 1, ids.astype(np.int64), ids[0]):
        with pytest.raises(ValueError, match="ids below 13"):
            save_mask(tmp_path / "m.png", wrong, PORTRAIT)


def test_ids_are_read_from_grey_and_refused_from_colours():
    ids = np.arange(19, dtype=np.uint8)[None].repeat(3, axis=0)
    np.testing.assert_array_equal(read_ids(encode_png(ids)), ids)
    with pytest.raises(SsganError, match="no label map: its pixels are RGB"):
        read_ids(encode_png(COLOURS))


def test_depth_survives_to_half_a_step(tmp_path):
    rng = np.random.default_rng(0)
    depth = rng.uniform(2.0, 3.4, (20, 30)).astype(np.float32)
    depth[3:6] = 0
    save_depth16(tmp_path / "d.png", depth)
    found = load_depth16(tmp_path / "d.png")
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found == 0, depth == 0)
    assert np.abs(found - depth).max() < 1.4 / 65535 / 2 + 1e-6


def test_depth_values_on_disk(tmp_path):
    save_depth16(tmp_path / "d.png", np.array([[0.0, 1.0, 2.0, 2.7, 3.4, 9.0]]))
    with Image.open(tmp_path / "d.png") as image:
        np.testing.assert_array_equal(np.array(image), [[0, 1, 1, 32768, 65535, 65535]])
    with pytest.raises(SsganError, match="no depth: its pixels are RGB"):
        load_depth16(encode_png(COLOURS))


def test_png_takes_bytes_and_words_only():
    with pytest.raises(ValueError, match="float32"):
        encode_png(COLOURS.astype(np.float32))


# ----------------------------------------------------------------------------------------- colouring


def test_to_uint8():
    values = np.array([-1.0, 0.0, 1.0, 3.0, -3.0], np.float32).reshape(1, 5, 1).repeat(3, axis=2)
    expected = np.array([0, 128, 255, 255, 0], np.uint8).reshape(1, 5, 1).repeat(3, axis=2)
    np.testing.assert_array_equal(to_uint8(values), expected)
    np.testing.assert_array_equal(to_uint8(values.transpose(2, 0, 1)), expected)
    np.testing.assert_array_equal(to_uint8(COLOURS / np.float32(127.5) - 1), COLOURS)
    with pytest.raises(ValueError, match=r"got \[2, 2\]"):
        to_uint8(np.zeros((2, 2)))


def test_near_is_bright_and_nothing_black():
    grey = colour_depth(np.array([[0.0, 2.3, 2.5, 2.7, 3.3]]))
    assert grey.shape == (1, 5, 3)
    assert grey.dtype == np.uint8
    row = grey[0, :, 0].astype(int)
    assert row[0] == 0
    assert row[1] == 255
    assert (np.diff(row[1:]) < 0).all()
    assert row[-1] == 38  # 0.15 of 255: the farthest surface still stands out from the background
    faded = colour_depth(np.array([[2.3, 2.3]]), np.array([[0.5, 0.0]]))
    np.testing.assert_array_equal(faded[0, :, 0], [128, 0])


def test_tile():
    pictures = [np.full((2, 3, 3), value, np.uint8) for value in (10, 20, 30)]
    sheet = tile(pictures, columns=2, gap=1)
    assert sheet.shape == (5, 7, 3)
    np.testing.assert_array_equal(sheet[0, :, 0], [10, 10, 10, 255, 20, 20, 20])
    np.testing.assert_array_equal(sheet[3, :, 0], [30, 30, 30, 255, 255, 255, 255])
    assert (sheet[2] == 255).all()
    assert tile(pictures, columns=5).shape == (2, 9, 3)


def test_jpeg_for_looking_at():
    content = encode_jpeg(COLOURS)
    with Image.open(io.BytesIO(content)) as image:
        assert image.format == "JPEG"
    assert np.abs(read_image(content).astype(int) - COLOURS).max() <= 12
