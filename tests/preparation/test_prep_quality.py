"""The measures of faces: what they depend on, what they do not, and the filters on them."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import pytest
from prep_doubles import face_points

from ssgan_core.errors import SsganError
from ssgan_core.parts import PORTRAIT
from ssgan_core.preparation import pose
from ssgan_core.preparation.quality import Filtered, Filters, Look, look, occlusion

SIDE = 1024


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    """Edges in all directions where the face is, softened a little; SIDE pixels, the whole of it the crop."""
    rng = np.random.default_rng(3)
    photo = np.full((SIDE, SIDE, 3), 150, np.uint8)
    for _ in range(250):
        centre = rng.integers(SIDE // 5, 4 * SIDE // 5, 2)
        size = rng.integers(20, 90, 2)
        colour = tuple(int(value) for value in rng.integers(60, 220, 3))
        angle, whole = float(rng.uniform(0, 180)), 360
        cv2.ellipse(photo, tuple(map(int, centre)), tuple(map(int, size)), angle, 0, whole, colour, -1)
    return cv2.GaussianBlur(photo, (0, 0), 2.0)


def looked_at(photo: np.ndarray) -> Look:
    """The look of a face whose crop is the whole photo."""
    points = face_points(photo.shape[1], photo.shape[0])
    return look(photo, pose.solve(points).crop, points)


def blurred(photo: np.ndarray, share: float) -> np.ndarray:
    return cv2.GaussianBlur(photo, (0, 0), share * len(photo))


def test_blur_is_measured_in_sides_of_the_crop(portrait):
    own = 2.0 / SIDE
    assert looked_at(portrait).blur == pytest.approx(own, rel=0.35)
    for added in (0.004, 0.008, 0.016):
        expected = np.hypot(own, added)
        assert looked_at(blurred(portrait, added)).blur == pytest.approx(expected, rel=0.2)


def test_sharpness_falls_with_every_step_of_blur(portrait):
    steps = [looked_at(blurred(portrait, added)).sharpness for added in (0.001, 0.002, 0.004, 0.008, 0.016)]
    assert all(first > 1.15 * second for first, second in pairwise(steps))


@pytest.mark.parametrize("side", [300, 512, 700, 2048])
def test_the_resolution_of_the_photo_changes_little(portrait, side):
    soft = blurred(portrait, 0.005)
    how = cv2.INTER_AREA if side < SIDE else cv2.INTER_CUBIC
    other = cv2.resize(soft, (side, side), interpolation=how)
    assert looked_at(other).sharpness == pytest.approx(looked_at(soft).sharpness, rel=0.12)


def test_contrast_brightness_and_noise_change_little(portrait):
    soft = blurred(portrait, 0.005)
    plain = looked_at(soft)
    dim = looked_at((soft * 0.4 + 10).astype(np.uint8))
    assert dim.sharpness == pytest.approx(plain.sharpness, rel=0.1)
    assert dim.exposure == pytest.approx(0.4 * plain.exposure + 10 / 255, abs=0.01)
    noise = np.random.default_rng(0).normal(0, 4, soft.shape)
    noisy = looked_at(np.clip(soft + noise, 0, 255).astype(np.uint8))
    assert noisy.sharpness == pytest.approx(plain.sharpness, rel=0.15)


def test_a_small_face_is_never_sharper_than_its_pixels(portrait):
    small = cv2.resize(portrait, (64, 64), interpolation=cv2.INTER_AREA)
    assert looked_at(small).sharpness <= 64.5
    enlarged = cv2.resize(small, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    assert looked_at(enlarged).sharpness == pytest.approx(64, rel=0.1)  # what sharpness means


def test_a_flat_picture_is_not_sharp():
    flat = looked_at(np.full((200, 200, 3), 90, np.uint8))
    assert 0 < flat.sharpness < 1
    assert flat.exposure == pytest.approx(90 / 255, abs=1e-3)


def labels(**parts: tuple[slice, slice]) -> np.ndarray:
    """Skin everywhere, other parts where they are named."""
    ids = np.full((256, 256), PORTRAIT.names.index("skin"), np.uint8)
    for name, place in parts.items():
        ids[place] = PORTRAIT.names.index(name)
    return ids


def test_occlusion_is_the_share_of_the_lower_face_that_is_something_else():
    points = face_points(256, 256)[:, :2] / 256
    assert occlusion(labels(), points) == 0
    brows, middle = int(256 * points[105, 1]), int(256 * points[1, 0])
    everything = slice(0, 256)
    assert occlusion(labels(hair=(slice(0, brows - 1), everything)), points) == 0  # a fringe
    assert occlusion(labels(glasses=(slice(brows, brows + 40), everything)), points) == 0
    half = occlusion(labels(cloth=(everything, slice(0, middle))), points)
    assert half == pytest.approx(0.5, abs=0.03)
    assert occlusion(np.zeros((256, 256), np.uint8), points) == 1
    assert occlusion(labels(), points + 2) == 1  # a face outside the picture


def test_the_filters_name_what_they_miss():
    filters = Filters(min_face=50, min_sharpness=60, max_occlusion=0.2, max_yaw=30)
    filters.check_view(50, -30)
    filters.check_look(Look(0.5 / 60, 60.0, 0.5))
    filters.check_occlusion(0.2)
    with pytest.raises(Filtered, match=r"too small \(49.0 pixels, wanted 50\)"):
        filters.check_view(49, 0)
    with pytest.raises(Filtered, match=r"turned away \(yaw -31.0, wanted 30 degrees at most\)"):
        filters.check_view(99, -31)
    with pytest.raises(Filtered, match=r"blurred \(sharpness 20.0, wanted 60\)"):
        filters.check_look(Look(0.025, 20.0, 0.5))
    with pytest.raises(Filtered, match=r"covered \(40.0 %, wanted 20 % at most\)"):
        filters.check_occlusion(0.4)


def test_the_defaults_turn_away_tiny_faces_only():
    Filters().check_view(48, 74)
    Filters().check_look(Look(1.0, 0.5, 0.0))
    Filters().check_occlusion(1.0)
    with pytest.raises(Filtered):
        Filters().check_view(47, 0)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_filters_are_numbers(value):
    with pytest.raises(SsganError, match="max_yaw has to be a number"):
        Filters(max_yaw=value)
