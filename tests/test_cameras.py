"""The camera conventions, as stated in the module's docstring."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssgan_core import cameras
from ssgan_core.errors import SsganError

yaws = st.floats(-1.5, 1.5)
pitches = st.floats(-1.2, 1.2)
plain = settings(derandomize=True, database=None, deadline=None, max_examples=80)


def test_the_frontal_camera_exactly():
    expected = [[1, 0, 0, 0], [0, -1, 0, 0], [0, 0, -1, 2.7], [0, 0, 0, 1]]
    np.testing.assert_array_equal(cameras.cam2world(0.0, 0.0), expected)
    row = cameras.label(0.0, 0.0)
    assert row.shape == (25,)
    assert row.dtype == np.float32
    np.testing.assert_array_equal(row[:16].reshape(4, 4), np.float32(expected))
    np.testing.assert_array_equal(row[16:], np.float32([4.2647, 0, 0.5, 0, 4.2647, 0.5, 0, 0, 1]))


def test_the_frontal_camera_sees_317_thousandths():
    half_frame = 0.5 * cameras.RADIUS / cameras.FOCAL
    assert half_frame == pytest.approx(0.317, abs=5e-4)


@plain
@given(yaw=yaws, pitch=pitches)
def test_position_axis_and_roll(yaw, pitch):
    pose = cameras.cam2world(yaw, pitch)
    rotation, position = pose[:3, :3], pose[:3, 3]
    expected = 2.7 * np.array([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)])
    np.testing.assert_allclose(position, expected, atol=1e-12)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(1)
    right, down, forward = rotation.T
    np.testing.assert_allclose(np.cross(forward, np.array([0, 0, 0.2]) - position), 0, atol=1e-12)
    assert forward @ (np.array([0, 0, 0.2]) - position) > 0
    assert right[1] == pytest.approx(0, abs=1e-12)
    assert down[1] < 0


@plain
@given(yaw=yaws, pitch=pitches)
def test_angles_round_trip(yaw, pitch):
    found = cameras.angles(cameras.label(yaw, pitch))
    np.testing.assert_allclose(found, (yaw, pitch), atol=2e-6)


def test_angles_and_labels_of_batches():
    yaw, pitch = np.meshgrid(np.linspace(-1, 1, 5), np.linspace(-0.5, 0.5, 3))
    labels = cameras.label(yaw, pitch)
    assert labels.shape == (3, 5, 25)
    np.testing.assert_allclose(cameras.angles(labels), (yaw, pitch), atol=2e-6)
    np.testing.assert_array_equal(labels[1, 2], cameras.label(yaw[1, 2], pitch[1, 2]))
    assert cameras.label(np.zeros(4), 0.1).shape == (4, 25)


@plain
@given(yaw=yaws, pitch=pitches, centre=st.floats(0.3, 0.7), skew=st.floats(-0.1, 0.1))
def test_mirroring_twice_changes_nothing(yaw, pitch, centre, skew):
    row = cameras.label(yaw, pitch)
    row[17], row[18] = skew, centre
    np.testing.assert_allclose(cameras.mirror_label(cameras.mirror_label(row)), row, atol=1e-7)


@plain
@given(yaw=yaws, pitch=pitches)
def test_mirroring_negates_yaw(yaw, pitch):
    np.testing.assert_allclose(
        cameras.mirror_label(cameras.label(yaw, pitch)), cameras.label(-yaw, pitch), atol=1e-6
    )


@plain
@given(yaw=yaws, pitch=pitches, point=st.tuples(*[st.floats(-0.3, 0.3)] * 3), centre=st.floats(0.4, 0.6))
def test_a_mirrored_point_lands_on_the_mirrored_pixel(yaw, pitch, point, centre):
    row = cameras.label(yaw, pitch)
    row[18] = centre
    here = _project(row, np.array(point))
    there = _project(cameras.mirror_label(row), np.array(point) * [-1, 1, 1])
    np.testing.assert_allclose(there, [1 - here[0], here[1]], atol=1e-5)


def _project(label, point):
    pose, matrix = cameras.split_label(label)
    pixel = matrix @ (np.linalg.inv(pose) @ np.append(point, 1))[:3]
    return pixel[:2] / pixel[2]


def test_pictures_are_upright_and_not_mirrored():
    front = cameras.label(0, 0)
    assert _project(front, np.array([0.1, 0, 0]))[0] > 0.5  # world +x is on the right
    assert _project(front, np.array([0, 0.1, 0]))[1] < 0.5  # world +y is above
    np.testing.assert_allclose(
        _project(cameras.label(0.4, -0.3), np.array([0, 0, 0.2])), [0.5, 0.5], atol=1e-6
    )


@plain
@given(yaw=yaws, pitch=pitches)
def test_every_label_of_ours_is_valid(yaw, pitch):
    row = cameras.label(yaw, pitch)
    np.testing.assert_array_equal(cameras.check_label(row.tolist(), "x"), row)


def _with(index, value):
    row = cameras.label(0.1, 0.1).astype(np.float64)
    row[index] = value
    return row.tolist()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (None, "25 numbers"),
        ([], "25 numbers"),
        ([0.0] * 24, "25 numbers"),
        ([[0.0] * 25], "25 numbers"),
        ("camera", "not a list of numbers"),
        (["a"] * 25, "not a list of numbers"),
        ([[1], [1, 2]], "not a list of numbers"),
        ({"yaw": 0}, "not a list of numbers"),
        ([10**400] * 25, "not a list of numbers"),
        ([None] * 25, "finite"),
        (_with(3, float("nan")), "finite"),
        (_with(3, float("inf")), "finite"),
        (_with(3, 1e300), "absurdly large"),
        ([0.0] * 25, "no rigid"),
        (_with(0, 2.0), "no rigid"),
        (_with(slice(0, 12, 4), [-v for v in _with(0, 1)[0:12:4]]), "no rigid"),  # left-handed
        (_with(12, 0.5), "no rigid"),
        (_with(16, 0.0), "focal"),
        (_with(20, -4.0), "focal"),
        (_with([3, 7, 11], [0.0, 0.0, 0.1]), "inside the head"),
    ],
)
def test_what_is_no_camera(values, message):
    with pytest.raises(SsganError, match=r"^here: .*" + message) as caught:
        cameras.check_label(values, "here")
    assert caught.value.message.startswith("here: ")


def test_sampled_poses_follow_their_distribution():
    poses = cameras.PoseDistribution(0.1, 0.3, -0.05, 0.15)
    labels = poses.sample(np.random.default_rng(0), 20_000)
    assert labels.shape == (20_000, 25)
    yaw, pitch = cameras.angles(labels)
    assert yaw.mean() == pytest.approx(0.1, abs=0.01)
    assert pitch.mean() == pytest.approx(-0.05, abs=0.005)
    assert yaw.std() == pytest.approx(0.3, rel=0.06)  # clipping takes 4 %
    assert pitch.std() == pytest.approx(0.15, rel=0.06)
    assert np.abs(yaw - 0.1).max() <= 0.6 + 1e-5
    assert np.abs(pitch + 0.05).max() <= 0.3 + 1e-5
    np.testing.assert_array_equal(labels[:5], poses.sample(np.random.default_rng(0), 20_000)[:5])


def test_orbit_is_a_closed_ellipse():
    labels = cameras.orbit(8, yaw_range=0.5, pitch_range=0.2, pitch_mean=0.05)
    yaw, pitch = cameras.angles(labels)
    np.testing.assert_allclose((yaw[0], pitch[0]), (0, 0.25), atol=1e-6)
    np.testing.assert_allclose((yaw[2], pitch[2]), (0.5, 0.05), atol=1e-6)
    np.testing.assert_allclose(yaw, -yaw[(-np.arange(8)) % 8], atol=1e-6)
    np.testing.assert_allclose((yaw / 0.5) ** 2 + ((pitch - 0.05) / 0.2) ** 2, 1, atol=1e-5)
