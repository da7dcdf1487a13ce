"""The real networks on a real face, where their files are in the cache.

The picture is cut from NASA's portrait of Eileen Collins, which is in the public domain.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from ssgan_core.errors import SsganError
from ssgan_core.pictures import read_image
from ssgan_core.preparation import pose, weights
from ssgan_core.preparation.alignment import cut_photo
from ssgan_core.preparation.blazeface import BlazeFace, overlap
from ssgan_core.preparation.detection import FaceDetector
from ssgan_core.preparation.faces import FaceFinder
from ssgan_core.preparation.landmarks import FaceMesh
from ssgan_core.preparation.mesh import canonical_mesh
from ssgan_core.preparation.pyramid import resized

pytestmark = pytest.mark.skipif(
    not all(row.ok for row in weights.list_weights()), reason="the networks are not here: run `ssgan weights`"
)
DEGREE = np.deg2rad(1)
EYES = ((114, 102), (157, 104))  # measured by eye
FACE = np.array([83, 73, 185, 175])  # the detector's box, brows to chin


@pytest.fixture(scope="module")
def finder() -> FaceFinder:
    return FaceFinder()


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return read_image(Path(__file__).with_name("pictures") / "collins.jpg")


def solved(finder: FaceFinder, photo: np.ndarray) -> pose.View:
    face = finder(photo)
    return pose.solve(face.points, face.correction)


def test_a_face_is_found_where_it_is(finder, photo):
    face = finder(photo)
    assert face.others == 0
    right_eye, left_eye = face.points[[33, 133], :2].mean(axis=0), face.points[[263, 362], :2].mean(axis=0)
    assert np.abs(right_eye - EYES[0]).max() < 5
    assert np.abs(left_eye - EYES[1]).max() < 5


def test_mirroring_the_photo_mirrors_the_camera(finder, photo):
    view = solved(finder, photo)
    twin = solved(finder, np.ascontiguousarray(photo[:, ::-1]))
    assert abs(view.yaw + twin.yaw) < 1 * DEGREE
    assert abs(view.pitch - twin.pitch) < 1 * DEGREE


def test_turning_and_shrinking_the_photo_leaves_the_camera(finder, photo):
    view = solved(finder, photo)
    pose.check(view)
    turned = np.ascontiguousarray(np.rot90(photo))
    small = cut_photo(photo, pose.Crop((128.0, 128.0), 256.0, 0.0), 128)
    for other in (solved(finder, turned), solved(finder, small)):
        assert abs(view.yaw - other.yaw) < 2.5 * DEGREE
        assert abs(view.pitch - other.pitch) < 2.5 * DEGREE


def test_a_small_face_in_a_large_photo_is_found_in_tiles(finder, photo):
    large = np.full((1100, 1500, 3), 120, np.uint8)
    large[700:956, 1100:1356] = photo
    face = finder(large)
    assert np.abs(face.points[[33, 133], :2].mean(axis=0) - EYES[0] - [1100, 700]).max() < 5


def test_all_faces_of_a_photo_are_found_at_all_scales(photo):
    large = np.full((1500, 2000, 3), 120, np.uint8)
    large[::3] = 100
    boxes = []
    for x, y, side in ((100, 100, 1000), (1200, 200, 256), (1500, 1000, 110), (1300, 1250, 90)):
        face = resized(photo, side / 256) if side < 256 else cv2.resize(photo, (side, side))
        large[y : y + side, x : x + side] = face
        boxes.append(np.array([x, y, x, y]) + FACE * side / 256)
    mesh = FaceMesh(canonical_mesh().mirror)
    found = FaceDetector().search_all(large)
    assert len(found) < 8  # few of them doubtful, and those FaceMesh refuses
    found = [face for face in found if mesh.points(large, face) is not None]
    assert len(found) == len(boxes)
    for box, face in zip(boxes, found, strict=True):  # both from large to small
        assert overlap(box, face.box[None])[0] > 0.7


def test_a_larger_picture_is_scored_as_its_parts_are(photo):
    network = BlazeFace()
    large = np.full((384, 512, 3), 120, np.uint8)
    large[128:256, 256:384] = resized(photo, 0.5)
    places, scores = network.scores(large)
    assert np.abs(places[scores.argmax()] - [256, 128] - FACE.reshape(2, 2).mean(axis=0) / 2).max() < 16
    assert scores.max() > 0.8
    assert network.scores(np.full_like(large, 120))[1].max() < 0.5


def test_noise_has_no_face(finder):
    noise = np.random.default_rng(0).integers(0, 256, (300, 300, 3)).astype(np.uint8)
    with pytest.raises(SsganError, match="no face"):
        finder(noise)


def test_a_cut_off_face_is_refused(finder, photo):
    with pytest.raises(SsganError, match=r"cuts the face off|no face"):
        finder(np.ascontiguousarray(photo[:, 130:]))
