"""The search for faces at all scales. A double plays the network: it sees bright squares."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest

from ssgan_core.preparation import detection
from ssgan_core.preparation.blazeface import INPUT, FaceBox, anchors
from ssgan_core.preparation.detection import FaceDetector, distinct


class BrightSquares:
    """Sees every bright square that lies wholly in a picture and is neither too small nor too large for it."""

    def __init__(self, smallest: int = 14, largest: int = INPUT, logit: float = 3.0) -> None:
        self.smallest, self.largest, self.logit = smallest, largest, logit
        self.looks = 0

    def run(self, pixels: np.ndarray, output: str) -> np.ndarray:
        height, width = pixels.shape[:2]
        cells = (height // 8) * (width // 8)
        logits = np.full(2 * cells + 6 * (height // 16) * (width // 16), -9.0)
        values = np.zeros((len(logits), 16))
        self.looks += (height, width) == (INPUT, INPUT)
        _, _, boxes, _ = cv2.connectedComponentsWithStats((pixels[..., 0] > 0).astype(np.uint8))
        for x, y, w, h, _ in boxes[1:]:
            whole = x > 0 and y > 0 and x + w < width and y + h < height
            if whole and self.smallest <= w <= self.largest and abs(w - h) <= 2:
                centre = np.array([x + w / 2, y + h / 2])
                column, row = (centre // 8).astype(int)
                index = 2 * (row * (width // 8) + column)
                logits[index] = self.logit
                offset = centre - (np.array([column, row]) + 0.5) * 8
                values[index] = [*offset, w, h, *np.tile(offset, 6)]
        return logits if output == "classificators" else values


def photo_with(size: tuple[int, int], *squares: tuple[int, int, int]) -> np.ndarray:
    """A black photo of width, height with bright squares x, y, side."""
    photo = np.zeros((size[1], size[0], 3), np.uint8)
    for x, y, side in squares:
        photo[y : y + side, x : x + side] = 255
    return photo


def boxes_of(faces: list[FaceBox]) -> np.ndarray:
    return np.array([face.box for face in faces]).reshape(-1, 4)


@pytest.mark.parametrize(
    ("size", "square", "level"),
    [
        ((400, 400), (100, 120, 200), 0),
        ((300, 300), (20, 20, 260), 0),
        ((800, 600), (500, 40, 60), 2),  # too small in the whole photo
        ((1600, 500), (1400, 300, 70), 3),
    ],
)
def test_boxes_come_back_in_photo_pixels(size, square, level):
    levels = list(FaceDetector(network=BrightSquares()).search(photo_with(size, square)))
    assert [index for index, found in enumerate(levels) if found] == [level]
    (found,) = levels[level]
    x, y, side = square
    assert np.abs(found.box - [x, y, x + side, y + side]).max() < 6
    assert np.abs(found.keypoints - [x + side / 2, y + side / 2]).max() < 6


def test_a_face_that_fills_the_photo_is_found_by_the_wider_level():
    photo = np.full((300, 300, 3), 255, np.uint8)
    levels = list(FaceDetector(network=BrightSquares()).search(photo))
    assert not levels[0]
    assert np.abs(levels[1][0].box - [0, 0, 300, 300]).max() < 6


def test_all_faces_are_found_once_and_the_largest_comes_first():
    squares = [(900, 100, 500), (100, 200, 240), (300, 700, 110), (700, 800, 60), (100, 1000, 42)]
    squares += [(1200, 800, 60), (1262, 800, 60)]  # neighbours
    found = FaceDetector(network=BrightSquares()).search_all(photo_with((1600, 1200), *squares))
    expected = [[x, y, x + side, y + side] for x, y, side in squares]
    assert len(found) == len(expected)
    assert [face.area for face in found] == sorted((face.area for face in found), reverse=True)
    for box in expected:
        assert np.abs(boxes_of(found) - box).max(axis=1).min() < 0.08 * (box[2] - box[0]) + 2


def test_no_place_hides_a_face():
    detector = FaceDetector(network=BrightSquares())
    rng = np.random.default_rng(0)
    for side in (44, 70, 130):
        for x, y in rng.integers(0, [1500 - side, 1100 - side], (12, 2)):
            found = detector.search_all(photo_with((1500, 1100), (x, y, side)))
            assert len(found) == 1, (x, y, side)
            assert np.abs(found[0].box - [x, y, x + side, y + side]).max() < 0.08 * side + 2


def test_smaller_faces_are_found_on_demand():
    photo = photo_with((900, 700), (400, 300, 30))
    detector = FaceDetector(network=BrightSquares())
    assert not detector.search_all(photo)
    assert len(detector.search_all(photo, smallest=25)) == 1


@pytest.mark.parametrize(
    "ghost",
    [
        BrightSquares(largest=40),  # surely seen, but gone at the scale that suits its size
        BrightSquares(largest=40, logit=0.5),  # at a scale that suits it, but doubtful
    ],
)
def test_what_is_seen_at_one_scale_only_is_no_face(ghost):
    share = 0.15 if ghost.logit > 1 else 0.25
    photo = photo_with((600, 600), (200, 200, round(600 * share)))
    detector = FaceDetector(network=ghost)
    assert detector._net.faces(cv2.resize(photo, (INPUT, INPUT), interpolation=cv2.INTER_AREA))
    assert not detector.search_all(photo)
    assert FaceDetector(network=BrightSquares(logit=ghost.logit)).search_all(photo)


def test_looks_are_bounded_where_everything_resembles_a_face(monkeypatch: pytest.MonkeyPatch):
    class Everywhere(BrightSquares):
        def run(self, pixels: np.ndarray, output: str) -> np.ndarray:
            found = super().run(pixels, output)
            return np.full_like(found, -9.0 if pixels.shape[:2] == (INPUT, INPUT) else 3.0)

    noise = np.random.default_rng(0).integers(0, 256, (900, 1200, 3)).astype(np.uint8)
    monkeypatch.setattr(detection, "_MOST_LOOKS", 7)
    network = Everywhere()
    sides = list(FaceDetector(network=network).search(noise))
    assert network.looks == 2 + 7 * (len(sides) - 2)  # the first two levels are one tile each


def test_what_is_known_is_not_searched_again():
    photo = photo_with((1600, 1200), (400, 300, 600))
    network = BrightSquares()
    assert len(FaceDetector(network=network).search_all(photo)) == 1
    assert network.looks == 2 * 2  # scores and boxes, in the whole photo and in the wider level


def test_tiny_photos_are_searched_without_complaint():
    detector = FaceDetector(network=BrightSquares())
    for shape in ((1, 1, 3), (1, 900, 3), (700, 2, 3)):
        assert not detector.search_all(np.zeros(shape, np.uint8))


def face(x0: float, y0: float, x1: float, y1: float, score: float) -> FaceBox:
    return FaceBox(np.array([x0, y0, x1, y1], float), np.zeros((6, 2)), score)


def test_the_better_scored_of_two_boxes_stays():
    good, poor = face(0, 0, 10, 10, 0.9), face(1, 1, 14, 14, 0.6)
    inside, beside = face(2, 2, 5, 5, 0.8), face(20, 0, 30, 10, 0.5)
    for order in itertools.permutations([good, poor, inside, beside]):
        assert distinct(list(order)) == [good, beside]
    assert distinct([]) == []


def test_the_double_agrees_with_the_networks_anchors():
    tile = photo_with((INPUT, INPUT), (40, 60, 20))
    pixels = tile.astype(np.float32) / 127.5 - 1
    index = int(np.argmax(BrightSquares().run(pixels, "classificators")))
    assert np.abs(anchors()[index] * INPUT - [50, 70]).max() <= 4
