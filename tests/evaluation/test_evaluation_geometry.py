"""Relief, reprojection and camera accuracy, on scenes whose answer is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssgan_core import cameras
from ssgan_core.evaluation.camera_accuracy import angle_bias, camera_accuracy, slope
from ssgan_core.evaluation.geometry import project, unproject
from ssgan_core.evaluation.relief import relief
from ssgan_core.evaluation.reprojection import Reprojection, reproject

SIZE = 64
ANGLES = st.floats(-0.5, 0.5)


def sphere(label, radius=0.2, colour=lambda point: 0.5 + 2 * point):
    """Image, z_cam and world points of a coloured ball about the origin, by intersecting rays."""
    ones = unproject(np.ones((SIZE, SIZE)), label)
    pose, _ = cameras.split_label(label)
    origin = pose[:3, 3]
    rays = ones - origin  # z_cam 1
    a, b, c = (rays**2).sum(-1), (rays * origin).sum(-1), (origin**2).sum() - radius**2
    root = b**2 - a * c
    depth = np.where(root > 0, (-b - np.sqrt(np.maximum(root, 0))) / a, 0)
    points = origin + depth[..., None] * rays
    image = np.where((depth > 0)[..., None], np.clip(colour(points), 0, 1), 0)
    return np.round(255 * image).astype(np.uint8), depth.astype(np.float32), points


def plane(label, z=0.0):
    """z_cam and world points of the plane of a world z."""
    pose, _ = cameras.split_label(label)
    rays = unproject(np.ones((SIZE, SIZE)), label) - pose[:3, 3]
    depth = (z - pose[2, 3]) / rays[..., 2]
    return depth.astype(np.float32), pose[:3, 3] + depth[..., None] * rays


# ----------------------------------------------------------------------------------------- geometry


def test_unproject_by_hand():
    depth = np.full((2, 2), 2.7)
    points = unproject(depth, cameras.label(0.0, 0.0))
    half = 0.25 / cameras.FOCAL * 2.7
    assert np.allclose(points[0, 0], [-half, half, 0], atol=1e-6)  # row 0 is up, column 0 left
    assert np.allclose(points[1, 1], [half, -half, 0], atol=1e-6)
    place, z = project(np.array([0.0, 0.0, 0.2]), cameras.label(0.4, -0.2))
    assert np.allclose(place, 0.5, atol=1e-6)  # the optical axis passes through it
    assert z == pytest.approx(np.linalg.norm(cameras.cam2world(0.4, -0.2)[:3, 3] - [0, 0, 0.2]), rel=1e-6)


@given(ANGLES, ANGLES, st.floats(2.0, 3.4))
@settings(max_examples=30, deadline=None, derandomize=True)
def test_project_undoes_unproject(yaw, pitch, z):
    label = cameras.label(yaw, pitch)
    place, found = project(unproject(np.full((5, 7), z), label), label)
    x, y = np.meshgrid((np.arange(7) + 0.5) / 7, (np.arange(5) + 0.5) / 5)
    assert np.allclose(place, np.stack([x, y], -1), atol=1e-5)
    assert np.allclose(found, z, atol=1e-5)


# ------------------------------------------------------------------------------------------- relief


def test_relief_of_a_plane_is_nothing_and_of_a_ramp_what_it_rises():
    label = cameras.label(0.3, 0.15)
    mask = np.ones((SIZE, SIZE), np.uint8)
    assert relief(plane(label)[0], mask, label, [1]) == pytest.approx(0, abs=1e-5)
    ramp = np.repeat(np.linspace(2.4, 2.9, 101)[None], 101, axis=0)  # 5th to 95th percentile: 0.45
    frontal = cameras.label(0.0, 0.0)
    assert relief(ramp, np.ones((101, 101), np.uint8), frontal, [1]) == pytest.approx(0.45, abs=1e-6)


def test_relief_looks_at_its_parts_alone_and_wants_enough_of_them():
    depth = np.full((100, 100), 2.6)
    mask = np.zeros((100, 100), np.uint8)
    mask[:50, :50], mask[50:, :50] = 1, 5
    depth[50:] = 2.5
    label = cameras.label(0.0, 0.0)
    assert relief(depth, mask, label, [1]) == pytest.approx(0, abs=1e-6)
    assert relief(depth, mask, label, [1, 5]) == pytest.approx(0.1, abs=1e-6)
    depth[:50, :50] = 0
    assert np.isnan(relief(depth, mask, label, [1]))
    few = np.zeros((100, 100), np.uint8)
    few[0, :29] = 1
    assert np.isnan(relief(np.full((100, 100), 2.6), few, label, [1]))
    few[0, :30] = 1
    assert relief(np.full((100, 100), 2.6), few, label, [1]) == 0


# ------------------------------------------------------------------------------------- reprojection


@given(st.floats(-0.25, 0.25), st.floats(-0.2, 0.2))
@settings(max_examples=10, deadline=None, derandomize=True)
def test_views_of_a_solid_agree(yaw, pitch):
    labels = [cameras.label(yaw - 0.15, pitch), cameras.label(yaw + 0.15, pitch)]
    (image, depth, _), (other, other_depth, _) = map(sphere, labels)
    found = reproject(image, depth, labels[0], other, other_depth, labels[1])
    facts = found.facts()
    assert found.landed > 1000
    assert facts["contradicted"] < 0.03  # the rim, where a pixel spans much depth
    assert facts["covisible"] > 0.8
    assert facts["inliers"] > 0.98
    assert facts["colour_error"] < 0.02
    assert facts["depth_error"] < 0.006


def test_hidden_points_are_not_blamed_and_wrong_depth_is():
    labels = [cameras.label(-0.15, 0.0), cameras.label(0.15, 0.0)]
    (image, depth, _), (other, other_depth, _) = map(sphere, labels)
    behind = np.where(depth > 0, depth + 0.3, 0)  # lies behind what the other view sees
    hidden = reproject(image, behind, labels[0], other, other_depth, labels[1])
    assert hidden.covisible == 0
    assert hidden.contradicted == 0
    assert hidden.landed > 0
    before = np.where(depth > 0, depth - 0.3, 0)  # lies before it, so that the other view looks through it
    assert reproject(image, before, labels[0], other, other_depth, labels[1]).facts()["contradicted"] == 1


def test_a_picture_that_does_not_turn_has_no_inliers():
    """A billboard: the same picture from everywhere, with the depth of a ball."""
    labels = [cameras.label(-0.15, 0.0), cameras.label(0.15, 0.0)]
    strips = lambda point: np.repeat(0.5 + 0.5 * np.sign(np.sin(60 * point[..., :1])), 3, axis=-1)  # noqa: E731
    image, depth, _ = sphere(labels[0], colour=strips)
    right, other_depth, _ = sphere(labels[1], colour=strips)
    honest = reproject(image, depth, labels[0], right, other_depth, labels[1]).facts()
    billboard = reproject(image, depth, labels[0], image, other_depth, labels[1]).facts()
    assert honest["inliers"] > 0.8
    assert billboard["inliers"] < 0.7
    assert billboard["colour_error"] > 2 * honest["colour_error"]


def test_a_shift_by_hand():
    """Straight ahead twice: every pixel is its own counterpart; colours differ by 30 of 255 on one half."""
    label = cameras.label(0.0, 0.0)
    depth = np.full((8, 8), 2.6)
    image = np.full((8, 8, 3), 100, np.uint8)
    other = image.copy()
    other[:4] += 30
    found = reproject(image, depth, label, other, depth, label)
    assert (found.pixels, found.landed, found.covisible, found.contradicted) == (64, 64, 64, 0)
    assert found.inliers == 32  # 30 / 255 > 0.1
    assert found.colour / 64 == pytest.approx(15 / 255)
    assert (found + found).inliers == 64
    assert Reprojection().facts()["inliers"] is None


# -------------------------------------------------------------------------------------------- angles


def test_camera_accuracy_by_hand():
    asked = np.array([[-0.2, 0.0], [0.0, 0.1], [0.2, 0.0], [0.1, 0.1]])
    found = np.array([[-0.1, 0.1], [0.1, 0.2], [0.3, 0.1], [np.nan, np.nan]])
    assert np.allclose(angle_bias(asked, found), 0.1)
    plain, freed = (camera_accuracy(asked, found, bias) for bias in (np.zeros(2), np.full(2, 0.1)))
    assert plain["detected"] == freed["detected"] == 0.75
    assert plain["yaw_error"] == pytest.approx(0.1)
    assert freed["yaw_error"] == pytest.approx(0, abs=1e-12)
    assert freed["yaw_error_p95"] == pytest.approx(0, abs=1e-12)
    assert freed["yaw_slope"] == pytest.approx(1)
    nobody = camera_accuracy(asked, np.full((4, 2), np.nan), np.zeros(2))
    assert nobody["detected"] == 0
    assert nobody["yaw_error"] is None
    assert nobody["yaw_slope"] is None
    assert np.array_equal(angle_bias(asked, np.full((4, 2), np.nan)), [0, 0])


@given(st.integers(0, 2**31), st.floats(-2, 2), st.floats(-1, 1))
@settings(max_examples=25, deadline=None, derandomize=True)
def test_slope_recovers_lines_and_a_billboard_has_none(seed, steepness, offset):
    asked = np.random.default_rng(seed).uniform(-0.4, 0.4, 50)
    assert slope(asked, steepness * asked + offset) == pytest.approx(steepness, abs=1e-9)
    assert slope(asked, np.full(50, 0.07)) == pytest.approx(0, abs=1e-9)
    assert slope(np.zeros(50), asked) is None
    assert slope(asked[:2], asked[:2]) is None
