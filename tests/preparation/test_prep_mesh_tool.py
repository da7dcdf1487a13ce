"""What tools/canonical_mesh.py makes the canonical face from: landmarks unprojected through exact depth."""

from __future__ import annotations

import numpy as np
import pytest

from ssgan_core import cameras
from ssgan_core.preparation.mesh import canonical_mesh
from ssgan_core.preparation.pose import project
from tools.canonical_mesh import mirror_index, reflected, unprojected

SIZE, RADIUS = 128, 0.2
LABEL = cameras.label(0.3, -0.2)
POSE, MATRIX = cameras.split_label(LABEL)


def ball() -> np.ndarray:
    """Depth z_cam [S, S] of a ball about the world's origin, NaN beside it."""
    y, x = np.mgrid[0:SIZE, 0:SIZE] + 0.5
    rays = np.stack([x / SIZE, y / SIZE, np.ones_like(x)], axis=-1) @ np.linalg.inv(MATRIX).T
    centre = -POSE[:3, :3].T @ POSE[:3, 3]
    a, b, c = (rays**2).sum(-1), rays @ centre, centre @ centre - RADIUS**2
    inside = b**2 - a * c
    return np.where(inside > 0, (b - np.sqrt(np.maximum(inside, 0))) / a, np.nan)


@pytest.fixture
def points() -> np.ndarray:
    """World positions on the side of the ball that the camera sees [50, 3]."""
    towards = POSE[:3, 3] / np.linalg.norm(POSE[:3, 3])
    away = np.random.default_rng(0).normal(size=(50, 3)) * 0.35
    directions = towards + away - (away @ towards)[:, None] * towards
    return RADIUS * directions / np.linalg.norm(directions, axis=1, keepdims=True)


def test_points_are_found_where_they_lie(points):
    seen = SIZE * project(points, LABEL)
    found = unprojected(seen, ball(), LABEL)
    known = np.isfinite(found[:, 0])
    assert known.mean() > 0.9
    assert np.abs(found[known] - points[known]).max() < 2e-3


def test_points_beside_a_surface_or_on_its_outline_are_not_seen(points):
    depth = ball()
    seen = SIZE * project(points, LABEL)
    assert np.isnan(unprojected(np.array([[2.0, 3.0], [-50.0, 40.0], [900.0, 64.0]]), depth, LABEL)).all()
    depth[:, : SIZE // 2] += 0.5  # something behind, left of the middle
    on_outline = np.abs(seen[:, 0] - SIZE / 2) < 0.5
    found = unprojected(np.concatenate([seen, [[SIZE / 2, SIZE / 2]]]), depth, LABEL)
    assert np.isnan(found[-1]).all()
    assert np.isnan(found[:-1][on_outline]).all()
    assert np.isfinite(found[:-1][~on_outline]).mean() > 0.9


def test_points_pair_with_their_mirror_images():
    mesh = canonical_mesh()
    uneven = mesh.points + np.random.default_rng(1).normal(0, 1e-4, mesh.points.shape)
    assert np.array_equal(mirror_index(uneven), mesh.mirror)
    assert np.array_equal(reflected(reflected(uneven)), uneven)
    with pytest.raises(SystemExit, match="do not pair up"):
        mirror_index(np.random.default_rng(2).normal(size=(468, 3)))
