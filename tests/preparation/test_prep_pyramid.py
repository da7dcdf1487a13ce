"""Levels and blocks of a photo."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssgan_core.preparation.pyramid import blocks, level_sides, levels, resized, window


@given(width=st.integers(1, 20_000), height=st.integers(1, 20_000), finest=st.floats(50, 1000))
def test_levels_go_from_the_whole_photo_to_the_finest(width, height, finest):
    whole, wider, *finer = level_sides(width, height, finest)
    assert whole == max(width, height)
    assert wider == 1.5 * whole
    assert len(finer) == 0 if whole <= finest else finer[-1] == pytest.approx(finest)
    for coarse, fine in itertools.pairwise([whole, *finer]):
        assert 1 <= coarse / fine <= 2.4 + 1e-9


def test_levels_have_the_scales_that_they_say():
    photo = np.zeros((300, 400, 3), np.uint8)
    photo[150:, 200:] = 255
    for side, level in zip((400, 600, 200), levels(photo, [400, 600, 200], 128), strict=True):
        assert level.scale == 128 / side
        assert level.pixels.shape == (round(300 * level.scale), round(400 * level.scale), 3)
        bright = (level.pixels[..., 0] > 127).mean()
        assert bright == pytest.approx(0.25, abs=0.02)


@settings(deadline=None, max_examples=60)
@given(width=st.integers(1, 1500), height=st.integers(1, 900))
def test_blocks_show_every_pixel_and_share_what_lies_between_them(width, height):
    level = np.zeros((height, width, 3), np.uint8)
    level[::2] = 90  # nothing of it is flat
    level[0, 0] = 90
    shown = np.zeros((height, width), int)
    for pixels, x, y in blocks(level, 128, 48, 16):
        rows, columns = pixels.shape[:2]
        assert rows % 16 == 0
        assert columns % 16 == 0
        assert min(rows, columns) >= 128
        assert max(rows, columns) <= 384
        assert np.array_equal(pixels, window(level, x, y, columns, rows))
        shown[max(y, 0) : max(y, 0) + rows + min(y, 0), max(x, 0) : max(x, 0) + columns + min(x, 0)] += 1
    if height > 8:  # one row alone is flat
        assert shown.min() >= 1
    # A face of 48 pixels is whole in one block: along each axis neighbours share that much.
    for axis, length in ((0, height), (1, width)):
        spans = sorted({(at[axis], part.shape[1 - axis]) for part, *at in blocks(level, 128, 48, 16)})
        for (start, size), (following, _) in itertools.pairwise(spans):
            assert start + size - following >= 48 or length <= 384


def test_flat_blocks_are_left_out_and_faint_detail_is_not():
    level = np.full((600, 900, 3), 200, np.uint8)
    assert list(blocks(level, 128, 48, 16)) == []
    level[:, :] += np.linspace(0, 50, 900).astype(np.uint8)[None, :, None]  # a studio's backdrop
    assert list(blocks(level, 128, 48, 16)) == []
    level[500:520, 800:820] = 150
    ((pixels, x, y),) = blocks(level, 128, 48, 16)
    assert x <= 780
    assert y <= 480
    assert y + len(pixels) >= 540


def test_windows_reach_beyond_the_edge_into_black():
    picture = np.random.default_rng(0).integers(1, 256, (20, 30, 3)).astype(np.uint8)
    assert np.array_equal(window(picture, 5, 6, 7, 8), picture[6:14, 5:12])
    part = window(picture, -2, 15, 10, 10)
    assert np.array_equal(part[:5, 2:], picture[15:, :8])
    assert part[5:].max() == 0
    assert part[:, :2].max() == 0
    assert window(picture, 100, -50, 4, 4).max() == 0


@pytest.mark.parametrize("scale", [0.45, 0.13, 0.02, 1.7])
def test_pictures_are_scaled_in_place_without_aliasing(scale):
    y, x = np.mgrid[:701, :901]
    disc = np.where((x - 600) ** 2 + (y - 250) ** 2 < 150**2, 250, 20)
    noisy = np.clip(disc + np.where((x + y) % 2, 5, -5), 0, 255).astype(np.uint8)
    small = resized(np.repeat(noisy[..., None], 3, axis=2), scale)
    assert small.shape == (round(701 * scale), round(901 * scale), 3)
    weights = (small[..., 0] > 135).astype(float)
    rows, columns = np.mgrid[: small.shape[0], : small.shape[1]]
    assert (columns * weights).sum() / weights.sum() == pytest.approx(600 * scale, abs=1)
    assert (rows * weights).sum() / weights.sum() == pytest.approx(250 * scale, abs=1)
    if scale <= 0.5:
        assert abs(float(small[: max(small.shape[0] // 20, 1)].mean()) - 20) < 2


def test_the_photo_itself_is_returned_at_its_own_scale():
    picture = np.zeros((20, 30, 3), np.uint8)
    assert resized(picture, 1.0) is picture
