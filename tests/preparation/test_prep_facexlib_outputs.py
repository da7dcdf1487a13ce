"""What facexlib's parsers and Hopenet are shown and what becomes of their outputs; the networks are doubles."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ssgan_core import cameras
from ssgan_core.errors import SsganError
from ssgan_core.parts import LABEL_ORDERS, PORTRAIT
from ssgan_core.preparation.facexlib_nets import hopenet, parsers
from ssgan_core.preparation.facexlib_nets.hopenet import HeadPose, Hopenet
from ssgan_core.preparation.facexlib_nets.parsers import FacexlibParser


def one_hot_logits(labels: np.ndarray) -> torch.Tensor:
    return (
        20 * torch.nn.functional.one_hot(torch.from_numpy(labels).long(), 19).permute(2, 0, 1)[None].float()
    )


@pytest.mark.parametrize(("name", "order"), [("parsenet", "celebamask-hq"), ("bisenet", "bisenet")])
def test_every_label_becomes_its_part(name, order):
    labels = np.arange(512 * 512).reshape(512, 512) // (512 * 26)
    labels = np.minimum(labels, 18)
    ids = FacexlibParser(name, network=lambda x: (one_hot_logits(labels),))(np.zeros((512, 512, 3), np.uint8))
    assert ids.dtype == np.uint8
    assert ids.shape == (512, 512)
    for label, source in enumerate(LABEL_ORDERS[order]):
        (part,) = set(ids[labels == label])
        assert source in PORTRAIT.parts[part].merges


def test_the_orders_differ_where_it_matters():
    labels = np.full((512, 512), 13)  # hair in one order, the lower lip in the other
    crop = np.zeros((64, 64, 3), np.uint8)
    names = {
        name: PORTRAIT.names[FacexlibParser(name, network=lambda x: (one_hot_logits(labels),))(crop)[0, 0]]
        for name in parsers.FILES
    }
    assert names == {"parsenet": "hair", "bisenet": "mouth"}


def test_labels_of_one_part_count_together():
    """Left and right eye with 0.3 each beat skin with 0.4."""
    order = LABEL_ORDERS["celebamask-hq"]
    logits = torch.full((1, 19, 512, 512), -20.0)
    for source, share in (("l_eye", 0.3), ("r_eye", 0.3), ("skin", 0.4)):
        logits[:, order.index(source)] = float(np.log(share))
    ids = FacexlibParser("parsenet", network=lambda x: (logits,))(np.zeros((32, 32, 3), np.uint8))
    assert (ids == PORTRAIT.names.index("eyes")).all()


@pytest.mark.parametrize("size", [33, 128, 512, 700])
def test_ids_have_the_crops_size_and_place(size):
    labels = np.zeros((512, 512), np.int64)
    labels[128:384, 64:256] = 1
    ids = FacexlibParser("bisenet", network=lambda x: (one_hot_logits(labels), None, None))(
        np.zeros((size, size, 3), np.uint8)
    )
    assert ids.shape == (size, size)
    rows, columns = np.nonzero(ids == 1)
    edges = np.array([rows.min(), rows.max() + 1, columns.min(), columns.max() + 1]) / size
    assert np.abs(edges - [0.25, 0.75, 0.125, 0.5]).max() <= 0.5 / size + 1e-9


@pytest.mark.parametrize(
    ("name", "red"), [("parsenet", (1.0, -1.0, -1.0)), ("bisenet", (2.2489, -2.0357, -1.8044))]
)
def test_pictures_are_normalised_as_each_network_learnt(name, red):
    seen = []

    def network(x):
        seen.append(x)
        return (torch.zeros(1, 19, 512, 512),)

    crop = np.zeros((40, 40, 3), np.uint8)
    crop[..., 0] = 255
    FacexlibParser(name, network=network)(crop)
    assert seen[0].shape == (1, 3, 512, 512)
    assert seen[0][0, :, 100, 100].tolist() == pytest.approx(red, abs=1e-3)


def face_turned(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """Where Hopenet's published drawing puts the head's axes: columns are x, y (down), nose; rows right, down."""
    p, y, r = np.deg2rad([pitch, -yaw, roll])
    return np.array(
        [
            [np.cos(y) * np.cos(r), -np.cos(y) * np.sin(r), np.sin(y)],
            [
                np.cos(p) * np.sin(r) + np.cos(r) * np.sin(p) * np.sin(y),
                np.cos(p) * np.cos(r) - np.sin(p) * np.sin(y) * np.sin(r),
                -np.cos(y) * np.sin(p),
            ],
        ]
    )


@pytest.mark.parametrize(
    "angles", [(0, 0, 0), (30, 0, 0), (0, 20, 0), (0, 0, 15), (-40, 25, -10), (50, -30, 35)]
)
def test_the_camera_sees_the_head_as_hopenet_does(angles):
    """Our camera, turned by the roll, projects the head's axes onto the same directions of the image."""
    pose = hopenet.converted(*angles)
    turn = cameras.label(np.deg2rad(pose.yaw), np.deg2rad(pose.pitch)).reshape(-1)[:16].reshape(4, 4)
    position = turn[:3, 3]
    back = position / np.linalg.norm(position)  # Hopenet's camera looks at the head's centre
    right = np.cross([0, 1, 0], back)
    right /= np.linalg.norm(right)
    down = np.cross(right, back)
    axes = np.array([[1.0, 0, 0], [0, -1, 0], [0, 0, 1]]).T  # the subject's left, down, nose in the world
    seen = np.stack([right, down]) @ axes
    cos, sin = np.cos(np.deg2rad(pose.roll)), np.sin(np.deg2rad(pose.roll))
    tilted = np.array([[cos, -sin], [sin, cos]]) @ seen  # clockwise, as y is down
    assert np.abs(tilted - face_turned(*angles)).max() < 1e-5


@pytest.mark.parametrize(
    ("angles", "expected"),
    [
        ((30, 0, 0), (30, 0, 0)),
        ((0, 20, 0), (0, -20, 0)),
        ((0, 0, 15), (0, 0, 15)),
        ((-30, -20, 0), (-30, 20, 0)),
    ],
)
def test_signs(angles, expected):
    pose = hopenet.converted(*angles)
    rest = pose.roll if angles[2] == 0 and (angles[0] == 0 or angles[1] == 0) else expected[2]
    assert (pose.yaw, pose.pitch) == pytest.approx(expected[:2], abs=1e-9)
    assert rest == pytest.approx(expected[2], abs=1e-9)


def test_the_window_and_colours_that_hopenet_sees():
    seen = []

    def network(x):
        seen.append(x)
        return torch.tensor([10.0]), torch.tensor([-5.0]), torch.tensor([0.0])

    crop = np.zeros((512, 512, 3), np.uint8)
    crop[51:461, 51:461] = (255, 128, 0)  # the middle, 80 % wide
    pose = Hopenet(network=network)(crop)
    assert (pose.yaw, pose.pitch) == pytest.approx((10, 5))
    (x,) = seen
    assert x.shape == (1, 3, 224, 224)
    corners = x[0, :, [0, 0, -1, -1], [0, -1, 0, -1]].T.numpy()
    assert np.abs(corners - [2.2489, 0.2052, -1.8044]).max() < 1e-3


def test_what_is_no_number_is_no_part():
    logits = torch.zeros(1, 19, 512, 512)
    logits[0, 3, 5, 7] = np.nan
    with pytest.raises(SsganError, match="no numbers"):
        FacexlibParser("parsenet", network=lambda x: (logits,))(np.zeros((64, 64, 3), np.uint8))


def test_what_is_no_number_is_no_pose():
    def network(_):
        return torch.tensor([np.nan]), torch.tensor([0.0]), torch.tensor([0.0])

    with pytest.raises(SsganError, match="no head"):
        Hopenet(network=network)(np.zeros((100, 100, 3), np.uint8))


def test_disagreement_is_the_angle_between_the_cameras():
    degree = np.deg2rad(1)
    assert hopenet.disagreement(HeadPose(10, 0, 0), 25 * degree, 0) == pytest.approx(15)
    assert hopenet.disagreement(HeadPose(0, 10, 40), 0, -10 * degree) == pytest.approx(20)
    assert hopenet.disagreement(HeadPose(5, 5, 5), 5 * degree, 5 * degree) == pytest.approx(0, abs=1e-6)
    hopenet.check(HeadPose(10, 0, 0), -9 * degree, 0)
    with pytest.raises(SsganError, match="differ by 21 degrees"):
        hopenet.check(HeadPose(10, 0, 0), -11 * degree, 0)
