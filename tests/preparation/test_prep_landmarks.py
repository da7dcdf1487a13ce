"""FaceMesh around the network: regions, maps, and the mirror average. A double plays the network."""

from __future__ import annotations

import numpy as np
import pytest

from ssgan_core.preparation.blazeface import FaceBox
from ssgan_core.preparation.landmarks import INPUT, FaceMesh, Region, region_of_box, region_of_points
from ssgan_core.preparation.mesh import canonical_mesh

MIRROR = canonical_mesh().mirror


def test_the_region_of_a_box_lies_along_the_eyes():
    keypoints = np.zeros((6, 2))
    keypoints[:2] = [[10, 10], [20, 20]]
    region = region_of_box(FaceBox(np.array([0.0, 0, 40, 20]), keypoints, 1.0))
    assert region.angle == pytest.approx(np.pi / 4)
    assert region.side == pytest.approx(60)
    assert np.allclose(region.centre, [20, 10])


def test_the_region_of_points_turns_with_them():
    points = canonical_mesh().points[:, :2] * [1000, -1000]
    plain = region_of_points(points)
    cos, sin = np.cos(0.5), np.sin(0.5)
    turned = region_of_points(points @ np.array([[cos, sin], [-sin, cos]]))
    assert plain.angle == pytest.approx(0, abs=1e-6)
    assert turned.angle == pytest.approx(0.5)
    assert turned.side == pytest.approx(plain.side)


class CentreOfLight:
    """All points at the mean position of red light, except that odd looks err by one pixel to the left."""

    def __init__(self, is_face: float = 5.0) -> None:
        self.is_face = is_face

    def run(self, pixels: np.ndarray, output: str) -> np.ndarray:
        if output == "conv2d_31":
            return np.array([self.is_face])
        weights = pixels[..., 0] / pixels[..., 0].sum()
        grid = np.arange(INPUT) + 0.5
        x, y = (weights.sum(0) * grid).sum(), (weights.sum(1) * grid).sum()
        return np.tile([x - 1, y, 7.0], 468)


def photo_with_spot(x: int, y: int) -> np.ndarray:
    photo = np.zeros((300, 400, 3), np.uint8)
    photo[y - 5 : y + 5, x - 5 : x + 5] = 255
    return photo


@pytest.mark.parametrize(
    "region", [Region(np.array([200.0, 150.0]), 192.0, 0.0), Region(np.array([210.0, 140.0]), 250.0, 0.9)]
)
def test_looks_come_back_in_photo_pixels_and_mirrored_ones_too(region):
    network = FaceMesh(MIRROR, network=CentreOfLight())
    scale = region.side / INPUT
    bias = scale * np.array([np.cos(region.angle), np.sin(region.angle)])
    plain = network.look(photo_with_spot(220, 160), region)
    twin = network.look(photo_with_spot(220, 160), region, mirrored=True)
    assert np.allclose(plain[:, :2], [220, 160] - bias, atol=0.3)
    assert np.allclose(twin[:, :2], np.add(bias, [220, 160]), atol=0.3)  # so the average of both has no bias
    assert np.allclose(plain[:, 2], 7 * scale)


def test_mirrored_looks_exchange_left_and_right():
    class Numbered:
        def run(self, pixels: np.ndarray, output: str) -> np.ndarray:
            points = np.zeros((468, 3))
            points[:, 2] = np.arange(468)
            return points

    region = Region(np.array([10.0, 10.0]), float(INPUT), 0.0)
    points = FaceMesh(MIRROR, network=Numbered()).look(np.zeros((20, 20, 3), np.uint8), region, mirrored=True)
    assert np.array_equal(points[:, 2], MIRROR)


def test_what_is_no_face_has_no_points():
    keypoints = np.array([[180.0, 140.0], [220.0, 140.0]] + [[200.0, 150.0]] * 4)
    box = FaceBox(np.array([150.0, 100, 250, 200]), keypoints, 1.0)
    assert FaceMesh(MIRROR, network=CentreOfLight(-5.0)).points(photo_with_spot(200, 150), box) is None
