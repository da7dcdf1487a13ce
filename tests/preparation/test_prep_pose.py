"""The camera: recovered from projections of the canonical mesh, whatever the photo around it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssgan_core import cameras
from ssgan_core.errors import SsganError
from ssgan_core.files import read_json
from ssgan_core.preparation import pose
from ssgan_core.preparation.mesh import canonical_mesh, five_points

DEGREE = np.deg2rad(1)
MESH = canonical_mesh()


def photographed(
    yaw: float, pitch: float, scale: float, turn: float, shift: tuple[float, float]
) -> np.ndarray:
    """The canonical face as a label's camera sees it, somewhere in a photo [468, 2]."""
    seen = pose.project(MESH.points, cameras.label(yaw, pitch)) - 0.5
    cos, sin = np.cos(turn), np.sin(turn)
    return scale * seen @ np.array([[cos, sin], [-sin, cos]]) + shift


def test_the_canonical_mesh_is_symmetric_and_faces_the_camera():
    assert np.array_equal(MESH.mirror[MESH.mirror], np.arange(468))
    assert np.allclose(MESH.points[MESH.mirror] * [-1, 1, 1], MESH.points, atol=2e-6)
    right_eye, left_eye, nose, right_mouth, _ = five_points(MESH.points)
    assert right_eye[0] < 0 < left_eye[0]
    assert right_eye[1] > nose[1] > right_mouth[1]
    assert nose[2] > right_eye[2] > 0.1


def test_the_frontal_camera_sees_the_face_where_eg3d_crops_have_it():
    five = 512 * pose.project(five_points(MESH.points), cameras.label(0, 0))
    published = [[184, 200], [325, 200], [254, 282], [254, 338]]
    found = [five[0], five[1], five[2], five[3:].mean(axis=0)]
    assert np.abs(np.array(found) - published).max() < 8


@settings(deadline=None, max_examples=60)
@given(
    yaw=st.floats(-60, 60),
    pitch=st.floats(-35, 35),
    scale=st.floats(60, 3000),
    turn=st.floats(-3, 3),
    shift=st.tuples(st.floats(-500, 500), st.floats(-500, 500)),
)
def test_known_cameras_and_crops_are_recovered(yaw, pitch, scale, turn, shift):
    points = photographed(yaw * DEGREE, pitch * DEGREE, scale, turn, shift)
    view = pose.solve(points)
    assert abs(view.yaw / DEGREE - yaw) < 0.1
    assert abs(view.pitch / DEGREE - pitch) < 0.1
    assert view.crop.side == pytest.approx(scale, rel=2e-3)
    assert np.allclose(view.crop.centre, shift, atol=2e-3 * scale)
    assert abs(np.angle(np.exp(1j * (view.crop.angle - turn)))) < 0.1 * DEGREE
    assert view.error < 1e-3


def test_a_mirrored_photo_gets_the_mirrored_camera():
    rng = np.random.default_rng(0)
    points = photographed(0.4, -0.2, 300, 0.1, (250, 260)) + rng.normal(0, 1.5, (468, 2))
    mirrored = (points * [-1, 1] + [512, 0])[MESH.mirror]
    view, twin = pose.solve(points), pose.solve(mirrored)
    assert np.allclose(cameras.mirror_label(view.label), twin.label, atol=1e-4)
    assert twin.crop.centre[0] == pytest.approx(512 - view.crop.centre[0], abs=0.01)


def test_an_open_mouth_does_not_move_the_camera():
    points = photographed(0.2, 0.1, 300, 0, (256, 256))
    below = np.setdiff1d(np.arange(468), MESH.rigid)
    assert 100 < len(below) < 250
    opened = points.copy()
    opened[below, 1] += 4  # more would move the mouth corners, of which only the first window knows
    view, other = pose.solve(points), pose.solve(opened)
    assert abs(view.pitch - other.pitch) < 0.2 * DEGREE


def test_the_label_is_the_crop_camera_and_has_no_roll():
    view = pose.solve(photographed(0.3, 0.2, 200, 0.7, (90, 120)))
    assert np.allclose(view.label, cameras.label(view.yaw, view.pitch))
    assert np.linalg.norm(view.label.reshape(-1)[[3, 7, 11]]) == pytest.approx(2.7, abs=1e-5)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"yaw": 80 * DEGREE}, "turned too far: yaw 80"),
        ({"pitch": -60 * DEGREE}, "turned too far"),
        ({"raw_radius": 4.0}, "raw radius 4.00"),
        ({"error": 0.05}, "fit no face"),
        ({"error": float("nan")}, "fit no face"),
    ],
)
def test_implausible_cameras_are_refused(change, reason):
    view = pose.solve(photographed(0, 0, 300, 0, (0, 0)))
    pose.check(view)
    with pytest.raises(SsganError, match=reason):
        pose.check(pose.View(**{**vars(view), **change}))


def test_points_that_are_no_face_are_an_error_or_fail_the_gate():
    for points in (np.zeros((468, 2)), np.random.default_rng(1).uniform(0, 512, (468, 2))):
        with pytest.raises(SsganError):
            pose.check(pose.solve(points))


def test_the_correction_belongs_to_the_mesh_and_is_the_same_for_mirror_images():
    assert read_json(pose.CORRECTION_FILE)["mesh"] == MESH.sha256
    correction = pose.face_mesh_correction()
    rng = np.random.default_rng(0)
    for _ in range(20):
        points = MESH.points[:, :2] + 0.5 + 0.01 * rng.standard_normal((468, 2))
        mirrored = points[MESH.mirror] * [-1, 1] + [1, 0]
        yaw, pitch = correction.of(points)
        assert correction.of(mirrored) == pytest.approx([-yaw, pitch], abs=2e-4)
        assert abs(yaw) + abs(pitch) > 1e-4


def test_the_correction_is_linear_and_bounded():
    rigid = MESH.rigid
    mean, slopes = np.full((len(rigid), 2), 0.5), np.zeros((2, len(rigid), 2))
    slopes[0, 7, 0], slopes[1, 9, 1] = 2.0, -30.0
    correction = pose.Correction(mean, slopes, np.array([0.01, 0.02]))
    points = np.full((468, 2), 0.5)
    points[rigid[7], 0] += 0.02
    points[rigid[9], 1] -= 0.001
    assert correction.of(points) == pytest.approx([0.05, 0.05])
    points[rigid[9], 1] += 1
    assert correction.of(points) == pytest.approx([0.05, np.deg2rad(-10)])


def test_a_corrected_camera_is_the_solved_one_plus_the_correction_and_its_crop_follows():
    points = photographed(0.2, 0.25, 300, 0.1, (40, 70))
    plain, view = pose.solve(points), pose.solve(points, pose.face_mesh_correction())
    added = pose.face_mesh_correction().of(plain.crop.to_crop(points))
    assert [view.yaw - plain.yaw, view.pitch - plain.pitch] == pytest.approx(added)
    assert np.abs(added).max() > 0.2 * DEGREE
    seen = pose.project(MESH.points[MESH.rigid], cameras.label(view.yaw, view.pitch))
    placed = view.crop.to_crop(points[MESH.rigid])
    assert np.abs((placed - seen).mean(axis=0)).max() < 1e-6
    assert view.error == plain.error
