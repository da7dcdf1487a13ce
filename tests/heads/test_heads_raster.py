import math

import numpy as np
import pytest

from ssgan_core import cameras
from ssgan_core.heads import raster
from ssgan_core.heads.render import Drawn, Geometry

# Corners are sample coordinates and nearness; row 0 is at the top, so counter-clockwise in the world is
# counter-clockwise on the picture: (0, 0), (0, 8), (8, 0) turns its front to the viewer.
FRONT = np.array([[0, 1, 2]], np.int32)


def drawn(
    corners: list[list[float]],
    triangles: np.ndarray | list[list[int]] = FRONT,
    size: int = 8,
    cull: bool = False,
    first: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    nearness, shown = raster.empty_buffers(size)
    screen = np.array(corners, np.float32)
    raster.rasterise(screen, np.array(triangles, np.int32), first, cull, nearness, shown)
    return nearness, shown


def test_a_triangle_covers_the_centres_inside_it():
    _, shown = drawn([[0, 0, 1], [0, 4, 1], [4, 0, 1]])
    rows, columns = np.nonzero(shown == 0)
    assert sorted(zip(rows.tolist(), columns.tolist(), strict=True)) == [
        (row, column) for row in range(8) for column in range(8) if row + 0.5 + column + 0.5 <= 4
    ]
    assert (shown[shown != 0] == -1).all()


def test_nothing_is_covered_between_centres():
    _, shown = drawn([[2.6, 2.6, 1], [2.6, 3.4, 1], [3.4, 2.6, 1]])
    assert (shown == -1).all()


def test_triangles_of_no_area_are_not_drawn():
    _, shown = drawn([[0, 0, 1], [4, 4, 1], [8, 8, 1]])
    assert (shown == -1).all()


@pytest.mark.parametrize("seed", range(5))
def test_a_square_of_triangles_has_no_gaps_and_no_overhang(seed: int):
    """A jittered grid over 40 x 40 samples: every inner sample is covered, and by the triangle it lies in."""
    rng = np.random.default_rng(seed)
    n, size = 9, 40
    ys, xs = np.mgrid[0:n, 0:n].astype(float)
    inner = (xs > 0) & (xs < n - 1) & (ys > 0) & (ys < n - 1)
    xs += np.where(inner, rng.uniform(-0.35, 0.35, xs.shape), 0)
    ys += np.where(inner, rng.uniform(-0.35, 0.35, ys.shape), 0)
    points = np.stack([xs.ravel(), ys.ravel(), 0 * xs.ravel()], axis=1) * size / (n - 1)
    points[:, 2] = 1
    at = np.arange(n * n).reshape(n, n)
    a, b, c, d = at[:-1, :-1].ravel(), at[:-1, 1:].ravel(), at[1:, 1:].ravel(), at[1:, :-1].ravel()
    triangles = np.concatenate([np.stack([a, d, c], 1), np.stack([a, c, b], 1)])
    _, shown = drawn(points.tolist(), triangles, size=size, cull=True)
    assert (shown >= 0).all()
    centres = np.stack(np.meshgrid(np.arange(size) + 0.5, np.arange(size) + 0.5), axis=-1)
    corners = points[triangles[shown], :2]
    for k in range(3):
        edge = corners[:, :, (k + 1) % 3] - corners[:, :, k]
        out = centres - corners[:, :, k]
        assert (edge[..., 0] * out[..., 1] - edge[..., 1] * out[..., 0]).max() <= 1e-3


def test_the_nearest_triangle_shows_in_whatever_order():
    near, far = [[0, 0, 0.5], [0, 16, 0.5], [16, 0, 0.5]], [[0, 0, 0.4], [0, 32, 0.4], [32, 0, 0.4]]
    for order, expected in (([[0, 1, 2], [3, 4, 5]], 0), ([[3, 4, 5], [0, 1, 2]], 1)):
        nearness, shown = drawn(near + far, order)
        assert shown[0, 0] == expected
        assert nearness[0, 0] == np.float32(0.5)


def test_crossing_triangles_meet_in_a_line():
    # nearness of the first falls from left to right, of the second it rises; both are 0.5 at column 4
    first, second = (
        [[-8, -8, 2.0], [-8, 24, 2.0], [24, -8, -2.0]],
        [[-8, -8, -1.0], [-8, 24, -1.0], [24, -8, 3.0]],
    )
    _, shown = drawn(first + second, [[0, 1, 2], [3, 4, 5]])
    assert (shown[:, :4] == 0).all()
    assert (shown[:, 4:] == 1).all()


def test_of_equally_near_triangles_the_first_shows():
    corners = [[0, 0, 1], [0, 16, 1], [16, 0, 1]]
    _, shown = drawn(corners, [[0, 1, 2], [0, 1, 2]], first=5)
    assert shown[0, 0] == 5


def test_backs_are_culled_only_if_wished():
    back = [[0, 2, 1]]
    corners = [[0, 0, 1], [0, 8, 1], [8, 0, 1]]
    assert (drawn(corners, back, cull=True)[1] == -1).all()
    assert (drawn(corners, back, cull=False)[1] == drawn(corners, cull=True)[1]).all()


@pytest.mark.parametrize("shift", [(-6, 0), (6, 0), (0, -6), (0, 6), (-20, 0), (0, 20)])
def test_what_sticks_out_of_the_picture_is_cut_off(shift: tuple[int, int]):
    corners = np.array([[1.0, 1, 1], [1, 8, 1], [8, 1, 1]])
    corners[:, :2] += shift
    _, shown = drawn(corners.tolist())
    corners[:, :2] += 20
    _, whole = drawn(corners.tolist(), size=48)
    assert (shown == whole[20:28, 20:28]).all()


def test_hidden_triangles_are_skipped_and_others_are_not():
    """Blocks are compared at once after 16,384 triangles: what shows must not change."""
    rng = np.random.default_rng(0)
    count, size = 40_000, 64
    middle = np.concatenate([rng.uniform(0, size, (count, 2)), rng.uniform(1, 2, (count, 1))], axis=1)
    points = (middle[:, None] + rng.normal(0, 1, (count, 3, 3)) * [4, 4, 0.05]).reshape(-1, 3)
    nearness, shown = drawn(points.tolist(), np.arange(3 * count).reshape(-1, 3), size=size)
    pieces = raster.empty_buffers(size)
    screen = points.astype(np.float32)
    for start in range(0, count, 1000):  # never more than one piece: blocks stay empty within it at first
        numbers = np.arange(3 * start, 3 * (start + 1000), dtype=np.int32).reshape(-1, 3)
        fresh = raster.empty_buffers(size)
        raster.rasterise(screen, numbers, start, False, *fresh)
        nearer = fresh[0] > pieces[0]
        pieces[0][nearer], pieces[1][nearer] = fresh[0][nearer], fresh[1][nearer]
    assert (shown == pieces[1]).all()
    assert (nearness == pieces[0]).all()


def test_a_pinhole_projects_as_cameras_say():
    label = cameras.label(0.3, -0.1)
    pose, matrix = cameras.split_label(label)
    projection = raster.pinhole(pose, matrix, 100)
    points = np.array([[0.1, 0.05, 0.12], [-0.2, 0.1, 0.0]], np.float32)
    local = (points - pose[:3, 3]) @ pose[:3, :3]
    image = local @ matrix.T
    screen = projection.project(np, points)
    assert screen[:, :2] == pytest.approx(image[:, :2] / image[:, 2:] * 100, abs=1e-3)
    assert 1 / screen[:, 2] == pytest.approx(local[:, 2], abs=1e-5)
    centre = projection.project(np, np.array([cameras.TARGET], np.float32))
    assert centre[0, :2] == pytest.approx([50, 50], abs=1e-3)


def test_parallel_rays_keep_sizes_and_come_from_the_lamp():
    direction = np.array([0.6, 0.8, 0.0])
    projection = raster.parallel(direction, np.zeros(3), 0.5, 200)
    points = np.array([[0, 0, 0], direction * 0.1, [0, 0, 0.1]], np.float32)
    screen = projection.project(np, points)
    assert screen[0] == pytest.approx([100, 100, 0], abs=1e-4)
    assert screen[1] == pytest.approx([100, 100, 0.1], abs=1e-4)  # nearer to the lamp, at the same place
    assert np.linalg.norm(screen[2, :2] - screen[0, :2]) == pytest.approx(0.1 * 200, abs=1e-3)
    # seen from where the light comes from, counter-clockwise triangles turn their front
    side = np.cross(direction, [0, 0, 1])
    corners = projection.project(np, np.array([np.zeros(3), [0, 0, 0.3], side * -0.3], np.float32))
    facing = np.cross([0, 0, 0.3], side * -0.3) @ direction
    (ux, uy), (vx, vy) = corners[1:, :2] - corners[0, :2]
    area = ux * vy - uy * vx
    assert math.copysign(1, area) == -math.copysign(1, facing)


def test_depth_is_correct_for_perspective():
    """A slanted plane: in the middle of its picture it is nearer than in the middle of its depths."""
    projection = raster.pinhole(np.eye(4), np.array([[1.0, 0, 0.5], [0, 1.0, 0.5], [0, 0, 1]]), 64)
    points = np.array([[-0.5, -0.5, 1], [-0.5, 0.5, 1], [1.5, 1.5, 3], [1.5, -1.5, 3]], np.float32)
    triangles = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    screen = projection.project(np, points)
    nearness, shown = raster.empty_buffers(64)
    raster.rasterise(screen, triangles, 0, False, nearness, shown)
    assert (shown >= 0).all()
    depth = Drawn(shown, nearness, screen, Geometry(points, triangles, np.zeros(2, np.uint8))).depth(np)
    # the plane x = z - 1.5; rays have x = z t
    t = (np.arange(64) + 0.5) / 64 - 0.5
    assert depth[32] == pytest.approx(1.5 / (1 - t), rel=1e-4)
