import dataclasses
from functools import partial
from typing import Any

import numpy as np
import pytest
from numba import njit

from ssgan_core import cameras
from ssgan_core.heads import jit, render, shading
from ssgan_core.heads.compose import Scene, build_scene
from ssgan_core.heads.render import Drawn, camera_samples, draw, palette, render_portrait, view_geometry
from ssgan_core.heads.sampler import EARRINGS, GLASSES, HAIR_STYLES, HATS, Identity, sample_identity
from ssgan_core.heads.scene import Material
from ssgan_core.heads.shading import Samples
from ssgan_core.heads.synth import view_label
from ssgan_core.parts import PORTRAIT

PART = {name: index for index, name in enumerate(PORTRAIT.names)}
CHOICES = {"glasses": GLASSES, "hat": HATS, "earrings": EARRINGS}


def rays(label: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Origin [3] and directions [size, size, 3] with z_cam = 1, made afresh from the convention."""
    pose, matrix = cameras.split_label(label)
    centres = (np.arange(size) + 0.5) / size
    u, v = np.meshgrid((centres - matrix[0, 2]) / matrix[0, 0], (centres - matrix[1, 2]) / matrix[1, 1])
    return pose[:3, 3], np.stack([u, v, np.ones_like(u)], axis=-1) @ pose[:3, :3].T


def first_hits(
    points: np.ndarray, triangles: np.ndarray, closed: int, origin: np.ndarray, directions: np.ndarray
) -> np.ndarray:
    """Depth at which rays [N, 3] first meet a triangle (Moeller and Trumbore 1997); 0 where they never do.

    The first `closed` triangles have a front only.
    """
    corners = points.astype(np.float64)[triangles]
    a, u, v = corners[:, 0], corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    away = origin - a
    across = np.cross(away, u)
    ahead = (v * across).sum(axis=1)
    result = np.zeros(len(directions))
    for n, direction in enumerate(directions):
        p = np.cross(direction, v)
        facing = (u * p).sum(axis=1)
        facing[np.abs(facing) < 1e-14] = np.inf
        s, t, depth = (away * p).sum(axis=1) / facing, across @ direction / facing, ahead / facing
        hit = (s >= 0) & (t >= 0) & (s + t <= 1) & (depth > 0)
        hit[:closed] &= facing[:closed] > 0
        result[n] = depth[hit].min() if hit.any() else 0
    return result


def dressed(**changes: float) -> Identity:
    return dataclasses.replace(sample_identity(0, 3), **changes)


def bare(**changes: float) -> Identity:
    """Nothing on the head."""
    return dressed(**({"hair_style": 0, "beard": 0, "glasses": 0, "hat": 0, "earrings": 0} | changes))


def seen(identity: Identity, label: np.ndarray, size: int) -> tuple[Scene, Drawn]:
    scene = build_scene(identity)
    return scene, draw(scene, camera_samples(label, size))


def test_a_view_has_the_promised_types_and_depth_exactly_where_there_is_foreground():
    view = render_portrait(sample_identity(0, 0), cameras.label(0.1, 0.0), 48)
    assert view.image.shape == (48, 48, 3)
    assert view.image.dtype == np.uint8
    assert view.image.flags.c_contiguous
    assert view.mask.shape == view.depth.shape == (48, 48)
    assert view.mask.dtype == np.uint8
    assert view.depth.dtype == np.float32
    assert ((view.mask > 0) == (view.depth > 0)).all()
    assert view.image.std() > 20


@pytest.mark.parametrize("index", [3, 6, 30])
def test_no_ray_slips_through_the_skin(index: int):
    """A sample of background with skin above, below, left and right would be a hole."""
    one = dataclasses.replace(sample_identity(0, index), hair_style=0, hat=0)
    _, drawn = seen(one, view_label(0, index, 0), 96)
    skin = (drawn.shown >= 0) & (drawn.geometry.materials[drawn.shown] == Material.SKIN)
    around = skin[:-2, 1:-1] & skin[2:, 1:-1] & skin[1:-1, :-2] & skin[1:-1, 2:]
    assert not (around & (drawn.shown[1:-1, 1:-1] < 0)).any()


def test_skin_that_no_light_reaches_is_dark_and_finite():
    """At a sample where all three corners of a triangle are without light, rounding left less than none: its root was
    no number, and the data set ended there."""
    identity = sample_identity(99, 840)
    light = palette(identity, build_scene(identity))
    one = np.ones((3, 1), np.float32)
    samples = Samples(
        position=0 * one,
        view=one / 3**0.5,
        normal=-one / 3**0.5,
        chart=np.array([[-0.204], [6.37], [0.874]], np.float32),
        ambient=-1.4e-9 * one,
        extra=np.zeros((6, 1), np.float32),
        lamp=np.zeros(1, np.float32),
    )
    dark = shading.skin(np, samples, light)
    assert np.isfinite(dark).all()
    none = shading.skin(np, dataclasses.replace(samples, ambient=0 * one), light)
    assert np.abs(dark - none).max() < 1e-7


def test_the_same_view_twice_is_the_same():
    label = cameras.label(-0.2, 0.1)
    views = []
    for _ in range(2):
        build_scene.cache_clear()
        views.append(render_portrait(sample_identity(0, 2), label, 32))
    assert (views[0].image == views[1].image).all()
    assert (views[0].mask == views[1].mask).all()
    assert (views[0].depth == views[1].depth).all()


def test_all_parts_occur_and_depths_stay_in_range():
    found: set[int] = set()
    poses = cameras.PoseDistribution().sample(np.random.default_rng(0), 12)
    people = [sample_identity(0, index) for index in range(200)]
    chosen = people[:6]
    for field in CHOICES:
        chosen += [person for person in people if getattr(person, field) and person not in chosen][:2]
    for person, pose in zip(chosen, poses, strict=True):
        view = render_portrait(person, pose, 64)
        found |= set(np.unique(view.mask).tolist())
        depth = view.depth[view.mask > 0]
        assert depth.min() >= 2.0
        assert depth.max() <= 3.4
        assert 0.25 < (view.mask > 0).mean() < 0.98
    assert found == set(range(len(PORTRAIT.parts)))


def test_features_lie_where_an_ffhq_crop_has_them():
    """EG3D's crop has the eyes near (184, 200) and (325, 200) of 512, the mouth near (254, 338)."""
    centres: dict[str, list[list[float]]] = {"eyes": [], "mouth": []}
    for index in range(6):
        one = dataclasses.replace(sample_identity(0, index), glasses=0, hat=0, hair_style=0)
        mask = render_portrait(one, cameras.label(0.0, 0.0), 64).mask
        for name, places in centres.items():
            rows, columns = np.nonzero(mask == PART[name])
            left = columns < 32
            places.append([rows.mean(), columns[left].mean(), columns[~left].mean()])
    eyes = np.mean(centres["eyes"], axis=0) * 8
    mouth = np.mean(centres["mouth"], axis=0) * 8
    assert eyes == pytest.approx([200, 184, 325], abs=10)
    assert mouth[0] == pytest.approx(338, abs=12)


def test_a_camera_at_positive_x_sees_the_ear_at_positive_x():
    for yaw, nearer in ((0.5, 1), (-0.5, -1)):
        view = render_portrait(bare(), cameras.label(yaw, 0.0), 48)
        ears = np.nonzero(view.mask == PART["ears"])[1]
        assert len(ears) > 8
        assert np.sign(ears.mean() - 24) == nearer


def test_clear_lenses_count_as_glasses_and_hide_nothing():
    """With the lenses' triangles gone, the same picture shows eyes where the mask named glasses."""
    one, label = bare(glasses=GLASSES.index("round")), cameras.label(0.2, 0.05)
    view = render_portrait(one, label, 64)
    scene = build_scene(one)
    empty = dataclasses.replace(scene, clear=scene.clear[:0])
    projection = camera_samples(label, 64)
    drawn = draw(empty, projection)
    look_up = partial(render.gather, empty, projection)
    colours, parts = render.paint(
        np, empty, render.palette(one, empty), drawn, render._backdrop(one), look_up, render.CHUNK
    )
    image, mask, depth = render.resolve(np, colours, parts, drawn.depth(np))
    assert np.array_equal(view.image, image)
    lens = (view.mask == PART["glasses"]) & (mask != PART["glasses"])
    assert (mask[lens] == PART["eyes"]).sum() > 10
    assert lens.mean() > 0.02
    before_something = lens & (depth > 0)  # its outer edge may stand before the background
    nearer = depth[before_something] - view.depth[before_something]
    assert nearer.min() > 0
    assert 0.01 < np.median(nearer) < 0.1
    others = (view.mask != PART["glasses"]) & (mask != PART["glasses"])
    assert np.array_equal(view.depth[others], depth[others])


@pytest.mark.parametrize("style", ["short", "long-wavy", "curly"])
def test_depth_equals_brute_force_intersection(style: str):
    one = dressed(hair_style=HAIR_STYLES.index(style), glasses=2, earrings=3)
    label = cameras.label(0.35, -0.1)
    size = 24
    scene, drawn = seen(one, label, size)
    geometry = view_geometry(np, scene, camera_samples(label, size))
    origin, directions = rays(label, size)
    chosen = np.random.default_rng(0).permutation(size * size)[:200]
    triangles = np.concatenate([geometry.triangles, scene.clear])
    found = first_hits(
        geometry.points, triangles, len(scene.culled), origin, directions.reshape(-1, 3)[chosen]
    )
    depth = drawn.depth(np)[1::3, 1::3].ravel()[chosen]  # the middle sample of a pixel
    assert ((found > 0) == (depth > 0)).mean() >= 0.99
    both = (found > 0) & (depth > 0)
    error = np.abs(found - depth)[both]
    assert np.median(error) < 1e-5
    assert (error <= 1e-3).mean() >= 0.99  # grazing rays, and what is finer than float32
    view = render_portrait(one, label, size)
    assert np.median(np.abs(view.depth.ravel()[chosen] - found)[both]) <= 1e-3


@pytest.mark.parametrize("index", [1, 12])
def test_two_views_agree_on_what_both_see(index: int):
    """Unproject one view, reproject into another 0.3 rad away; where depths agree, so must labels."""
    size = 96
    one = dataclasses.replace(sample_identity(0, index), glasses=0, earrings=0)
    labels = [cameras.label(-0.15, 0.05), cameras.label(0.15, 0.0)]
    first, second = (render_portrait(one, label, size) for label in labels)
    origin, directions = rays(labels[0], size)
    points = (origin + first.depth[..., None] * directions)[first.mask > 0]
    names = first.mask[first.mask > 0]
    pose, matrix = cameras.split_label(labels[1])
    local = (points - pose[:3, 3]) @ pose[:3, :3]
    image = local / local[:, 2:] @ matrix.T
    columns, rows = (np.floor(image[:, axis] * size).astype(int) for axis in (0, 1))
    inside = (columns >= 1) & (columns < size - 1) & (rows >= 1) & (rows < size - 1)
    columns, rows, names, depth = columns[inside], rows[inside], names[inside], local[inside, 2]
    covisible = (np.abs(second.depth[rows, columns] - depth) < 0.006) & (names != PART["hair"])
    # a point falls beside pixel centres: it agrees if one of the pixels around shows its label
    around = np.stack([second.mask[rows + dy, columns + dx] for dy in (-1, 0, 1) for dx in (-1, 0, 1)])
    agrees = (around == names).any(axis=0)
    assert covisible.sum() > 0.2 * size * size
    assert agrees[covisible].mean() >= 0.99
    exact = second.mask[rows, columns] == names
    assert exact[covisible].mean() >= 0.95


def test_texture_parameters_leave_geometry_alone():
    label = cameras.label(0.2, 0.0)
    plain = render_portrait(dressed(), label, 32)
    changes = {
        "hair_r": 0.9, "skin_r": 0.2, "light_yaw": 1.0, "cloth_g": 0.9, "back_b": 0.9, "exposure": 0.3,
        "freckles": 1.0, "skin_pattern": 0.1, "rim_light": 0.8,
    }  # fmt: skip
    painted = render_portrait(dressed(**changes), label, 32)
    assert (plain.mask == painted.mask).all()
    assert (plain.depth == painted.depth).all()
    assert (plain.image != painted.image).any()


@pytest.mark.parametrize("field", CHOICES)
def test_each_accessory_shows(field: str):
    for choice in range(1, len(CHOICES[field])):
        mask = render_portrait(bare(**{field: choice}), cameras.label(0.4, 0), 160).mask
        assert (mask == PART[field]).sum() >= 4, choice


def test_every_sample_gets_the_attributes_of_its_triangle():
    """Interpolated charts are those of the neutral template: between the three corners', and they vary smoothly."""
    label = cameras.label(0.1, 0.0)
    scene, drawn = seen(bare(), label, 24)
    projection = camera_samples(label, 24)
    chosen = np.nonzero(drawn.shown.ravel() >= 0)[0]
    samples = render.gather(scene, projection, drawn, chosen)
    corners = drawn.geometry.triangles[drawn.shown.ravel()[chosen]]
    surface = len(scene.points)
    rows = np.where(corners < surface, corners, surface + (corners - surface) // 2)
    charts = scene.attributes[rows, 3:6]
    found = samples.chart.T
    assert (found >= charts.min(axis=1) - 1e-3).all()
    assert (found <= charts.max(axis=1) + 1e-3).all()
    # positions lie on the rays, at the depth that was drawn
    origin, directions = rays(label, 72)
    expected = origin + drawn.depth(np).ravel()[chosen, None] * directions.reshape(-1, 3)[chosen]
    assert np.abs(samples.position.T - expected).max() < 2e-5
    assert np.linalg.norm(samples.normal, axis=0) == pytest.approx(1, abs=1e-4)
    towards = origin - expected
    assert (samples.view.T * towards).sum(axis=1) == pytest.approx(np.linalg.norm(towards, axis=1), rel=1e-5)
    assert samples.lamp.min() >= 0
    assert samples.lamp.max() <= 1
    assert 0.1 < samples.lamp.mean() < 1


def test_open_surfaces_are_lit_from_the_side_that_is_seen():
    scene, drawn = seen(dressed(), cameras.label(0.0, 0.2), 48)
    projection = camera_samples(cameras.label(0.0, 0.2), 48)
    cloth = (drawn.shown >= 0) & (drawn.geometry.materials[drawn.shown] == Material.CLOTH)
    samples = render.gather(scene, projection, drawn, np.nonzero(cloth.ravel())[0])
    assert (samples.normal * samples.view).sum(axis=0).min() >= -1e-6


def skin_at(chart: list[float], **extra: float) -> str:
    names = ("scalp", "beard", "lips", "eyelids", "ears", "cavity")
    column = np.array(chart, np.float32)[:, None]
    others = np.array([[extra.get(name, 0.0)] for name in names], np.float32)
    samples = Samples(column, column, column, column, column, others, np.zeros(1, np.float32))
    brow = np.array([[0.1, 7.45, 0.03], [0.3, 7.47, 0.04], [0.5, 7.43, 0.02]])
    return PORTRAIT.names[int(render.skin_part(np, samples, brow)[0])]


def test_skin_is_divided_by_where_it_lies():
    assert skin_at([0.0, 7.0, 1.6]) == "nose"
    assert skin_at([0.4, 7.0, 1.3]) == "skin"
    assert skin_at([0.15, 6.9, 1.4]) == "nose"
    assert skin_at([0.15, 7.1, 1.4]) == "skin"
    assert skin_at([0.0, 7.3, 1.4]) == "nose"
    # It ends with the nostrils, and widens evenly from the eyes down to the wings: y 7.04, half width .143.
    assert skin_at([0.0, 6.80, 1.5]) == "skin"
    assert skin_at([0.14, 7.04, 1.4]) == "nose"
    assert skin_at([0.146, 7.04, 1.4]) == "skin"
    assert skin_at([0.135, 6.84, 1.4]) == "nose"  # half width .1415
    assert skin_at([0.145, 6.84, 1.4]) == "skin"
    # The inner corner of an eye lies behind the lids' edges.
    assert skin_at([-0.197, 7.271, 1.36]) == "eyes"
    assert skin_at([-0.197, 7.271, 1.39]) == "skin"
    # The margin of the lower lip is hardly red.
    assert skin_at([0.0, 6.5, 1.5], lips=0.7) == "skin"
    assert skin_at([0.0, 6.68, 1.5], lips=0.7) == "mouth"
    assert skin_at([0.0, 6.68, 1.5], lips=0.5) == "skin"
    assert skin_at([0.2, 7.49, 1.4]) == "brows"  # the middle of the first span: y 7.46, half height .035
    assert skin_at([-0.2, 7.43, 1.4]) == "brows"
    assert skin_at([0.2, 7.50, 1.4]) == "skin"
    assert skin_at([0.4, 7.47, 1.4]) == "brows"  # y 7.45, half height .03
    assert skin_at([0.52, 7.43, 1.4]) == "skin"
    assert skin_at([0.2, 7.46, 1.4], scalp=1.0) == "hair"
    assert skin_at([0.0, 5.9, 0.8]) == "neck"
    assert skin_at([0.0, 8.4, 0.3], scalp=1.0) == "hair"
    assert skin_at([0.8, 7.2, 0.3], ears=1.0) == "ears"
    assert skin_at([0.0, 6.65, 1.5], lips=1.0) == "mouth"
    assert skin_at([0.0, 6.65, 1.3], cavity=1.0) == "mouth"


def test_pixels_show_what_most_of_their_samples_show():
    parts = np.zeros((6, 6), np.uint8)
    parts[0:3, 0:3] = [[1, 1, 1], [1, 2, 2], [2, 2, 3]]  # four of 1, four of 2 with the middle
    parts[0:3, 3:6] = [[5, 5, 5], [5, 4, 4], [3, 3, 3]]  # four of 5
    parts[3:6, 0:3] = [[7, 7, 7], [7, 1, 6], [6, 6, 6]]  # a tie between 6 and 7
    depth = np.arange(36, dtype=np.float32).reshape(6, 6) + 1
    colours = np.broadcast_to(np.float32([0.2, 0.4, 0.6])[:, None, None], (3, 6, 6))
    image, mask, straight = render.resolve(np, colours, parts, depth)
    assert mask.tolist() == [[2, 5], [6, 0]]
    assert image[0, 0].tolist() == [51, 102, 153]
    assert straight[0, 0] == depth[1, 1]  # the middle shows it
    assert straight[0, 1] == pytest.approx(depth[[0, 0, 0, 1], [3, 4, 5, 3]].mean())


def test_pixels_of_skin_alone_shade_five_samples():
    skin = np.zeros((9, 9), bool)
    skin[:6, :6] = True
    skin[1, 1] = False
    copied = render._copied(np, skin)
    assert copied.sum() == 3 * 4
    assert copied[3:6, 3:6].tolist() == [[False, True, False], [True, False, True], [False, True, False]]
    for to, source in render._COPIES:
        assert copied[3 + to[0], 3 + to[1]]
        assert not copied[3 + source[0], 3 + source[1]]


def test_numba_keeps_the_stamp_that_marks_stale_kernels():
    """`jit.entry` replaces a private attribute; an update of numba without it must not pass silently."""
    plain: Any = njit(cache=True)(rays)
    assert hasattr(plain._cache._cache_file, "_source_stamp")
    assert render._gathered._cache._cache_file._source_stamp == jit._FINGERPRINT


def test_every_module_with_kernels_is_part_of_the_fingerprint():
    names = {path.stem for path in jit._sources()}
    assert {"jit", "template", "bust", "raster", "lighting", "render", "strand_growth"} <= names
    assert "device" not in names
