"""BlazeFace around the network: anchors, decoding, merging, tiles. A double plays the network."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssgan_core.preparation.detection import (
    INPUT,
    FaceBox,
    FaceDetector,
    anchors,
    decode,
    merge,
    tile_corners,
    tile_sides,
)


def test_anchors_are_two_grids():
    centres = anchors()
    assert centres.shape == (896, 2)
    assert np.allclose(centres[0], [1 / 32, 1 / 32])
    assert np.allclose(centres[[1, 2, 32]], [[1 / 32, 1 / 32], [3 / 32, 1 / 32], [1 / 32, 3 / 32]])
    assert np.allclose(centres[512], [1 / 16, 1 / 16])
    assert np.allclose(centres[-1], [15 / 16, 15 / 16])


def test_decode_by_hand():
    values = np.zeros((1, 16), np.float32)
    values[0, :6] = [12.8, -12.8, 64, 32, 6.4, 0]
    boxes, keypoints = decode(values, np.array([[0.5, 0.5]]))
    assert np.allclose(boxes, [[0.35, 0.275, 0.85, 0.525]])
    assert np.allclose(keypoints[0, 0], [0.55, 0.5])
    assert np.allclose(keypoints[0, 1:], 0.5)


def face(x0: float, y0: float, x1: float, y1: float, score: float) -> FaceBox:
    return FaceBox(np.array([x0, y0, x1, y1], float), np.full((6, 2), x0, float), score)


def test_overlapping_faces_merge_by_score_and_others_stay():
    merged = merge([face(0, 0, 10, 10, 0.6), face(2, 0, 12, 10, 0.9), face(50, 50, 60, 60, 0.7)])
    assert [round(found.score, 2) for found in merged] == [0.9, 0.7]
    assert np.allclose(merged[0].box, [1.2, 0, 11.2, 10])  # (0.6 * 0 + 0.9 * 2) / 1.5
    assert np.allclose(merged[0].keypoints, 1.2)
    assert merge([]) == []


@settings(deadline=None)
@given(width=st.integers(1, 3000), height=st.integers(1, 3000))
def test_tiles_cover_every_level(width, height):
    sides = tile_sides(width, height)
    assert sides[0] == max(width, height)
    assert sides[2:] == sorted(sides[2:], reverse=True)
    for side in sides:
        scaled = (max(round(width * INPUT / side), 1), max(round(height * INPUT / side), 1))
        if scaled[0] * scaled[1] > 2_000_000:
            continue
        covered = [np.zeros(length, bool) for length in scaled]
        for corner in tile_corners(*scaled):
            for axis in (0, 1):
                covered[axis][max(corner[axis], 0) : corner[axis] + INPUT] = True
        assert all(axis.all() for axis in covered)


def test_neighbouring_tiles_overlap_by_half():
    assert [x for x, _ in tile_corners(300, 128)] == [0, 64, 128, 172]
    assert tile_corners(128, 64) == [(0, -32)]


class BrightSpot:
    """Finds one square of bright pixels if it is at least 14 pixels wide and wholly inside the tile."""

    def run(self, pixels: np.ndarray, output: str) -> np.ndarray:
        rows, columns = np.nonzero(pixels[..., 0] > 0)
        logits, values = np.full(896, -9.0), np.zeros((896, 16))
        if len(rows):
            x0, y0, x1, y1 = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
            if x1 - x0 >= 14 and x0 > 0 and x1 < INPUT and y0 > 0 and y1 < INPUT:
                centre = np.array([x0 + x1, y0 + y1]) / 2
                nearest = int(np.argmin(np.linalg.norm(anchors() * INPUT - centre, axis=1)))
                logits[nearest] = 3.0
                offset = centre - anchors()[nearest] * INPUT
                values[nearest] = [*offset, x1 - x0, y1 - y0, *np.tile(offset, 6)]
        return logits if output == "classificators" else values


@pytest.mark.parametrize(
    ("size", "box", "level"),
    [
        ((400, 400), (100, 120, 300, 320), 0),
        (
            (800, 600),
            (500, 40, 560, 100),
            3,
        ),  # too small in the whole photo and in tiles of 600: tiles of 300
        ((1600, 500), (1400, 300, 1480, 380), 2),
    ],
)
def test_boxes_come_back_in_photo_pixels(size, box, level):
    photo = np.zeros((size[1], size[0], 3), np.uint8)
    photo[box[1] : box[3], box[0] : box[2]] = 255
    detector = FaceDetector(network=BrightSpot())
    levels = list(detector.search(photo))
    assert [bool(found) for found in levels[: level + 1]] == [False] * level + [True]
    found = levels[level][0]
    assert np.abs(found.box - box).max() < 6
    assert np.abs(found.keypoints - [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2]).max() < 6


def test_a_face_that_fills_the_photo_is_found_by_the_wider_level():
    photo = np.full((300, 300, 3), 255, np.uint8)
    levels = list(FaceDetector(network=BrightSpot()).search(photo))
    assert not levels[0]
    assert np.abs(levels[1][0].box - [0, 0, 300, 300]).max() < 6


def test_tiny_photos_are_searched_without_complaint():
    detector = FaceDetector(network=BrightSpot())
    for shape in ((1, 1, 3), (1, 900, 3), (700, 2, 3)):
        assert not any(detector.search(np.zeros(shape, np.uint8)))
