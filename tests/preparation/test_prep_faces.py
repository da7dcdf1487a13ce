"""From boxes of several scales to faces, with doubles for both networks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from prep_doubles import face_points

from ssgan_core.errors import SsganError
from ssgan_core.pictures import read_image
from ssgan_core.preparation import faces, weights
from ssgan_core.preparation.detection import FaceBox
from ssgan_core.preparation.faces import FaceFinder, check, face_pixels

PHOTO = np.zeros((400, 600, 3), np.uint8)


def box(x: float, y: float, side: float, score: float = 0.9) -> FaceBox:
    return FaceBox(np.array([x, y, x + side, y + side]), np.zeros((6, 2)), score)


class Levels:
    """Finds what it is given, level by level."""

    def __init__(self, *levels: list[FaceBox]) -> None:
        self.levels = levels

    def search(self, photo: np.ndarray):
        return iter(self.levels)

    def search_all(self, photo: np.ndarray) -> list[FaceBox]:
        return [face for level in self.search(photo) for face in level]


class Mesh:
    """Sees a face that fills every box, but for the boxes of score 0.5."""

    def points(self, photo: np.ndarray, face: FaceBox) -> np.ndarray | None:
        if face.score == 0.5:
            return None
        side = face.box[2] - face.box[0]
        points = face_points(side, side)
        points[:, :2] += face.box[:2]
        return points


@pytest.fixture
def finder(monkeypatch):
    """finder(*levels) with a mesh that sees a face in every box."""
    monkeypatch.setattr(faces, "FaceMesh", lambda *_: Mesh())
    return lambda *levels: FaceFinder(detector=Levels(*levels))


def test_every_face_once_and_the_largest_first(finder):
    small, large, middling = box(0, 0, 60), box(300, 100, 200), box(100, 200, 100)
    again = box(305, 103, 196)  # the large one at a finer scale
    nose = box(380, 180, 50)  # a part of it, taken for a face
    poster = box(500, 0, 90, score=0.5)  # what the mesh does not confirm
    found = finder([], [large, poster], [middling, again], [small, nose]).every(PHOTO)
    assert [tuple(face.box[:2]) for face in found] == [(300, 100), (100, 200), (0, 0)]
    assert {face.others for face in found} == {2}
    sizes = [face_pixels(face.points) for face in found]
    assert sizes == sorted(sizes, reverse=True)


def test_the_largest_face_is_that_of_the_first_level_that_has_one(finder):
    large, small = box(300, 100, 200), box(0, 0, 60)
    assert np.array_equal(finder([], [large, small], [box(9, 9, 300)])(PHOTO).box, large.box)


def test_no_face_is_an_error(finder):
    for search in (finder([], []), finder([box(0, 0, 90, score=0.5)])):
        with pytest.raises(SsganError, match="no face was found"):
            search(PHOTO)
        with pytest.raises(SsganError, match="no face was found"):
            search.every(PHOTO)


def test_of_a_crowd_the_largest_are_taken(finder, monkeypatch):
    monkeypatch.setattr(faces, "MOST_FACES", 3)
    crowd = [box(60 * i, 0, 30 + i) for i in range(8)]
    found = finder(crowd).every(PHOTO)
    assert [face.box[0] for face in found] == [420, 360, 300]


def test_tiny_and_cut_off_faces_are_refused(finder):
    (face,) = finder([box(10, 10, 20)]).every(PHOTO)
    with pytest.raises(SsganError, match="only a few pixels"):
        check(face, 600, 400)
    (face,) = finder([box(480, 10, 200)]).every(PHOTO)
    with pytest.raises(SsganError, match="cuts the face off"):
        check(face, 600, 400)


@pytest.mark.skipif(
    not all(row.ok for row in weights.list_weights()), reason="the networks are not here: run `ssgan weights`"
)
def test_the_real_networks_find_both_faces_of_a_photo():
    portrait = read_image(Path(__file__).with_name("pictures") / "collins.jpg")
    photo = np.full((600, 800, 3), 120, np.uint8)
    photo[100:356, 40:296] = portrait
    photo[300:428, 500:628] = portrait[::2, ::2]
    first, second = FaceFinder().every(photo)
    assert np.abs(first.points[:, :2].mean(axis=0) - [175, 225]).max() < 30
    assert np.abs(second.points[:, :2].mean(axis=0) - [568, 363]).max() < 20
    assert face_pixels(first.points) == pytest.approx(2 * face_pixels(second.points), rel=0.1)
