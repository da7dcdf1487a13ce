"""Crops: geometry, resampling and what lies beyond the photo."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from prep_doubles import face_points

from ssgan_core.preparation.alignment import Crop, cut_labels, cut_photo, fitted_crop, five_point_crop


def test_the_crop_map_and_its_inverse():
    crop = Crop((40.0, 30.0), 20.0, np.pi / 2)
    # The crop's x axis points down in the photo: its left upper corner is the photo's right upper one.
    assert np.allclose(crop.to_photo(np.array([[0, 0], [0.5, 0.5], [1, 0]])), [[50, 20], [40, 30], [50, 40]])
    points = np.random.default_rng(0).uniform(0, 100, (9, 2))
    assert np.allclose(crop.to_photo(crop.to_crop(points)), points)


def test_a_fitted_crop_is_exact_for_a_similarity():
    crop = Crop((70.0, 30.0), 55.0, -0.4)
    seen = np.random.default_rng(0).uniform(0, 1, (5, 2))
    found = fitted_crop(crop.to_photo(seen), seen)
    assert np.allclose([*found.centre, found.side, found.angle], [*crop.centre, crop.side, crop.angle])


def test_the_five_point_crop_is_near_the_frontal_view():
    crop = five_point_crop(face_points(200, 300))
    assert crop.side == pytest.approx(200, rel=0.08)
    assert crop.angle == pytest.approx(0, abs=1e-6)
    assert crop.centre[0] == pytest.approx(100, abs=0.5)
    # It is centred on the world's origin seen by an affine camera, near the optical axis.
    assert crop.centre[1] == pytest.approx(150, abs=12)


def test_a_crop_of_whole_pixels_is_a_copy():
    photo = np.random.default_rng(0).integers(0, 256, (40, 50, 3)).astype(np.uint8)
    crop = Crop((20.0, 15.0), 16.0, 0.0)
    assert np.array_equal(cut_photo(photo, crop, 16), photo[7:23, 12:28])
    assert np.array_equal(cut_labels(photo[..., 0], crop, 16, 50), photo[7:23, 12:28, 0])


def test_shrinking_does_not_alias():
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::2] = 255
    cut = cut_photo(stripes, Crop((128.0, 128.0), 200.0, 0.0), 32).astype(int)
    assert np.abs(cut - 127.5).max() < 25


def test_a_huge_photo_is_shrunk_in_place():
    photo = np.zeros((1200, 1600, 3), np.uint8)
    photo[:, 800:] = 200
    cut = cut_photo(photo, Crop((800.0, 600.0), 1000.0, 0.0), 16)
    assert cut[:, :7].max() <= 2
    assert cut[:, 9:].min() >= 198


@pytest.mark.parametrize("mask_scale", [1, 0.5, 2])
def test_photo_and_mask_get_the_same_geometry(mask_scale):
    y, x = np.mgrid[:120, :160] + 0.5
    disc = ((x - 90) ** 2 + (y - 50) ** 2 < 30**2).astype(np.uint8)
    photo = np.repeat(disc[..., None] * 255, 3, axis=2)
    rows, columns = int(120 * mask_scale), int(160 * mask_scale)
    y, x = (np.mgrid[:rows, :columns] + 0.5) / mask_scale
    labels = ((x - 90) ** 2 + (y - 50) ** 2 < 30**2).astype(np.uint8)
    crop = Crop((85.0, 55.0), 90.0, 0.6)
    picture, mask = cut_photo(photo, crop, 64), cut_labels(labels, crop, 64, 160)
    assert ((picture[..., 0] > 127) != (mask > 0)).mean() < 0.02


def test_beyond_the_photo_labels_are_reflected_a_little_and_then_background():
    photo = np.full((100, 100, 3), 90, np.uint8)
    photo[80:] = 200
    labels = np.full((100, 100), 3, np.uint8)
    crop = Crop((50.0, 100.0), 100.0, 0.0)  # its lower half lies below the photo
    mask, picture = cut_labels(labels, crop, 100, 100), cut_photo(photo, crop, 100)
    assert (mask[:59] == 3).all()
    assert (mask[61:] == 0).all()
    assert abs(int(picture[51, 50, 0]) - 200) < 6  # reflected
    assert abs(int(picture[99, 50, 0]) - picture[:50].mean()) < 6  # faded to the mean of what the photo shows
    assert np.abs(np.diff(picture[50:, 50, 0].astype(int))).max() < 40  # without an edge


def test_padding_is_the_share_outside():
    assert Crop((50.0, 50.0), 60.0, 0.0).padding(100, 100) == 0
    assert Crop((50.0, 100.0), 60.0, 0.0).padding(100, 100) == pytest.approx(0.5, abs=0.01)


def test_a_crop_wholly_outside_is_still_a_picture():
    photo = np.full((20, 20, 3), 7, np.uint8)
    assert (cut_photo(photo, Crop((500.0, 500.0), 30.0, 0.0), 16) == 7).all()


def test_a_crop_whose_rim_alone_leaves_the_photo_is_as_the_photo():
    photo = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    crop = Crop((20.3, 20.0), 40.0, 0.0)  # beyond the right edge by less than half a pixel
    assert not crop.inside(40, 40)
    cut = cut_photo(photo, crop, 40)
    assert np.array_equal(
        cut, cut_photo(np.pad(photo, ((2, 2), (2, 2), (0, 0)), "reflect"), Crop((22.3, 22.0), 40.0, 0.0), 40)
    )


def test_what_lies_outside_is_softened_and_what_lies_inside_is_not():
    """Every pixel as the whole picture's blur and fade would have it, though only a box of it is blurred."""
    photo = np.random.default_rng(1).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    size, crop = 160, Crop((120.0, 130.0), 160.0, 0.0)
    cut = cut_photo(photo, crop, size)
    whole = cut_photo(np.pad(photo, ((0, 90), (0, 90), (0, 0)), "reflect"), crop, size)  # not softened
    assert np.array_equal(cut[:150, :160], whole[:150, :160])
    blurred = cv2.GaussianBlur(whole, (0, 0), size * 0.06 / 2).astype(float)
    for row in (150, 154, 159):
        ramp = (row + 0.5 - 150) / size / 0.06
        wanted = whole[row] + (blurred[row] - whole[row]) * (ramp * ramp * (3 - 2 * ramp))
        assert np.abs(cut[row] - wanted).max() <= 1
