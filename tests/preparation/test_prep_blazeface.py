"""BlazeFace around the network: anchors, decoding, merging, scores of larger pictures."""

from __future__ import annotations

import numpy as np
import pytest

from ssgan_core.preparation.blazeface import (
    BlazeFace,
    FaceBox,
    anchors,
    decode,
    merge,
    overlap,
    overlap_of_smaller,
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


def test_overlaps_by_hand():
    box, others = np.array([0.0, 0, 4, 4]), np.array([[2.0, 0, 6, 4], [1, 1, 2, 2], [9, 9, 10, 10]])
    assert overlap(box, others) == pytest.approx([8 / 24, 1 / 16, 0])
    assert overlap_of_smaller(box, others) == pytest.approx([0.5, 1, 0])


def test_a_face_moves_with_its_picture():
    moved = face(10, 20, 30, 60, 0.7).moved(2, np.array([5.0, -5.0]))
    assert np.allclose(moved.box, [25, 35, 65, 115])
    assert np.allclose(moved.keypoints, [[25, 15]] * 6)
    assert (moved.score, moved.side) == (0.7, 80)
    assert np.allclose(moved.centre, [45, 75])


class Numbered:
    """Gives one anchor a high logit."""

    def __init__(self, anchor: int) -> None:
        self.anchor = anchor

    def run(self, pixels: np.ndarray, output: str) -> np.ndarray:
        height, width = pixels.shape[:2]
        logits = np.full((1, height * width // 64 * 2 + height * width // 256 * 6, 1), -5.0)
        logits[0, self.anchor] = 2.0
        return logits


@pytest.mark.parametrize(
    ("anchor", "place"),
    [
        (0, (4, 4)),
        (2 * (3 * 40 + 7) + 1, (60, 28)),  # 320 pixels are 40 cells: row 3, column 7
        (2 * 40 * 18 + 6 * (2 * 20 + 5) + 4, (88, 40)),  # the coarse grid: row 2, column 5
    ],
)
def test_scores_of_a_larger_picture_lie_where_its_anchors_are(anchor, place):
    places, scores = BlazeFace(network=Numbered(anchor)).scores(np.zeros((144, 320, 3), np.uint8))
    assert places.shape == (40 * 18 + 20 * 9, 2)
    assert tuple(places[scores.argmax()]) == place
    assert scores.max() == pytest.approx(1 / (1 + np.exp(-2)))
    assert np.sort(scores)[-2] < 0.01
