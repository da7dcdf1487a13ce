"""RetinaFace's surroundings, with a network that sees red patches: levels, anchors, boxes, keypoints."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ssgan_core.preparation.detection import FaceBox
from ssgan_core.preparation.facexlib_nets import retinaface
from ssgan_core.preparation.facexlib_nets.retinaface import RetinaFaceDetector
from ssgan_core.preparation.landmarks import region_of_box


class Planted:
    """A RetinaFace that sees a face in a patch of pure red: box and points are the patch's own."""

    FIVE = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]])

    def __init__(self, scale: float = 1.0):
        self.scale = scale
        self.seen: list[tuple[int, int]] = []

    def __call__(self, bgr: torch.Tensor):
        height, width = bgr.shape[-2:]
        self.seen.append((width, height))
        picture = bgr[0].numpy() + np.array([104, 117, 123])[:, None, None]
        rows, columns = np.nonzero((picture[2] > 200) & (picture[0] < 50) & (picture[1] < 50))
        grid = retinaface.anchors(width, height)
        boxes, points = np.zeros((len(grid), 4), np.float32), np.zeros((len(grid), 10), np.float32)
        scores = np.zeros((len(grid), 2), np.float32)
        if len(rows):
            low = np.array([columns.min(), rows.min()], float)
            high = np.array([columns.max() + 1, rows.max() + 1], float)
            middle, size = (low + high) / 2, high - low
            near = np.argsort(np.abs(grid[:, :2] - middle).sum(1) + np.abs(grid[:, 2] - size.max()))[:3]
            for i, score in zip(near, (0.99, 0.9, 0.85), strict=True):
                boxes[i, :2] = (middle - grid[i, :2]) / grid[i, 2] / 0.1
                boxes[i, 2:] = np.log(size / grid[i, 2]) / 0.2
                five = low + self.FIVE * size
                points[i] = ((five - grid[i, :2]) / grid[i, 2] / 0.1).reshape(-1)
                scores[i, 1] = score * self.scale
        return tuple(torch.from_numpy(output)[None] for output in (boxes, scores, points))


def photo_with_patch(width: int, height: int, box: tuple[int, int, int, int]) -> np.ndarray:
    photo = np.full((height, width, 3), 90, np.uint8)
    photo[box[1] : box[3], box[0] : box[2]] = (255, 0, 0)
    return photo


@pytest.mark.parametrize(
    ("size", "box"),
    [
        ((500, 400), (100, 80, 220, 240)),
        ((2000, 1500), (400, 300, 1000, 1100)),
        ((90, 3000), (20, 40, 80, 120)),
    ],
)
def test_boxes_and_points_come_back_in_the_photos_pixels(size, box):
    network = Planted()
    (faces, *_) = RetinaFaceDetector(network=network).search(photo_with_patch(*size, box))
    (face,) = faces  # the overlapping candidates are one
    assert isinstance(face, FaceBox)
    pixel = max(size) / 640 if max(size) > 640 else 0.01
    assert np.abs(face.box - box).max() < 1.2 * pixel
    low, extent = np.array(box[:2]), np.array(box[2:]) - box[:2]
    expected = low + Planted.FIVE * extent
    assert np.abs(face.keypoints[:3] - expected[:3]).max() < 1.2 * pixel
    assert np.abs(face.keypoints[3] - expected[3:].mean(0)).max() < 1.2 * pixel
    assert np.isnan(face.keypoints[4:]).all()
    assert face.score == pytest.approx(0.99)


def test_a_colour_is_seen_as_bgr():
    blue = photo_with_patch(300, 300, (50, 50, 150, 150))[..., ::-1]
    assert list(RetinaFaceDetector(network=Planted()).search(np.ascontiguousarray(blue))) == [[]]


def test_levels_bound_the_input_and_never_enlarge():
    network = Planted()
    levels = list(RetinaFaceDetector(network=network).search(np.zeros((3000, 4000, 3), np.uint8)))
    assert levels == [[], []]
    assert network.seen == [(640, 480), (1280, 960)]
    assert retinaface.level_sides(900, 1000) == [640, 1000]
    assert retinaface.level_sides(640, 30) == [640]
    assert retinaface.level_sides(1, 1) == [1]
    assert list(RetinaFaceDetector(network=network).search(np.zeros((1, 4000, 3), np.uint8))) == [[], []]


def test_faces_are_sorted_by_size_and_weak_ones_left_out():
    photo = photo_with_patch(400, 400, (20, 20, 60, 60))
    photo[200:380, 200:380] = (255, 0, 0)

    class Two:
        def __call__(self, bgr):
            first = Planted()(
                bgr[:, :, :100, :100]
                .clone()
                .new_tensor(
                    np.pad(bgr[0, :, :100, :100].numpy(), ((0, 0), (0, 300), (0, 300)), constant_values=-100)
                )[None]
            )
            second_picture = bgr.clone()
            second_picture[:, :, :100, :100] = -100
            second = Planted()(second_picture)
            strong = first[1][..., 1:] > second[1][..., 1:]
            return tuple(torch.where(strong, a, b) for a, b in zip(first, second, strict=True))

    (faces,) = RetinaFaceDetector(network=Two()).search(photo)
    assert [round(face.area) for face in faces] == [180 * 180, 40 * 40]
    assert list(RetinaFaceDetector(network=Planted(0.8)).search(photo)) == [[]]


def test_values_that_are_no_numbers_are_no_faces():
    grid = retinaface.anchors(64, 64)
    boxes, points = np.zeros((len(grid), 4)), np.zeros((len(grid), 10))
    boxes[0, 0], points[1, 3], boxes[2, 2] = np.nan, np.inf, 1e30
    found = list(retinaface.decode(boxes, np.ones(len(grid)), points, grid))
    assert len(found) == len(grid) - 2
    assert all(np.isfinite(box).all() and np.isfinite(five).all() for box, five, _ in found)
    scores = np.full(len(grid), np.nan)
    assert list(retinaface.decode(boxes, scores, points, grid)) == []


def test_the_region_for_facemesh_follows_the_eyes():
    """The eye on the image's left is the subject's right one, so an upright face gives an upright region."""
    five = np.array([[10.0, 20], [30, 20], [20, 30], [12, 40], [28, 40]])
    upright = region_of_box(FaceBox(np.array([0.0, 0, 40, 50]), retinaface.six_points(five), 1.0))
    assert upright.angle == pytest.approx(0)
    tilted = np.array([[10.0, 10], [30, 30], [10, 30], [0, 30], [12, 42]])
    assert region_of_box(
        FaceBox(np.array([0.0, 0, 40, 50]), retinaface.six_points(tilted), 1.0)
    ).angle == pytest.approx(np.pi / 4)
