import dataclasses
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numba import njit

from ssgan_core import cameras
from ssgan_core.heads import fields, jit, render
from ssgan_core.heads.jit import entry
from ssgan_core.heads.render import render_portrait
from ssgan_core.heads.sampler import EARRINGS, GLASSES, HAIR_STYLES, HATS, Identity, sample_identity
from ssgan_core.heads.sculpt import sculpt
from ssgan_core.heads.synth import view_label
from ssgan_core.parts import PORTRAIT

CHOICES = {"glasses": GLASSES, "hat": HATS, "earrings": EARRINGS}


def rays(label: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Origin [3] and directions [size, size, 3] with z_cam = 1, made afresh from the convention."""
    pose, matrix = cameras.split_label(label)
    centres = (np.arange(size) + 0.5) / size
    u, v = np.meshgrid((centres - matrix[0, 2]) / matrix[0, 0], (centres - matrix[1, 2]) / matrix[1, 1])
    return pose[:3, 3], np.stack([u, v, np.ones_like(u)], axis=-1) @ pose[:3, :3].T


@entry
def first_crossings(numbers, maps, blobs, origin, directions, step):
    """Depth at which small equal steps first find themselves inside something [N]; 0 where they never do."""
    found = np.zeros(len(directions))
    for n in range(len(directions)):
        t = 2.0
        while t < 3.5:
            x = origin[0] + t * directions[n, 0]
            y = origin[1] + t * directions[n, 1]
            z = origin[2] + t * directions[n, 2]
            if fields.scene(numbers, maps, blobs, x, y, z)[0] < 0.0:
                found[n] = t
                break
            t += step
    return found


def dressed(**changes: float) -> Identity:
    return dataclasses.replace(sample_identity(0, 3), **changes)


def test_part_ids_are_those_of_the_schema():
    ids = {name: getattr(fields, name.upper()) for name in PORTRAIT.names[1:]}
    assert ids == {name: index for index, name in enumerate(PORTRAIT.names) if index}


def test_a_view_has_the_promised_types_and_depth_exactly_where_there_is_foreground():
    view = render_portrait(sample_identity(0, 0), cameras.label(0.1, 0.0), 48)
    assert view.image.shape == (48, 48, 3)
    assert view.image.dtype == np.uint8
    assert view.mask.dtype == np.uint8
    assert view.depth.dtype == np.float32
    assert ((view.mask > 0) == (view.depth > 0)).all()
    assert view.image.std() > 20


@pytest.mark.parametrize("index", [3, 6, 30])
def test_no_ray_slips_through_the_chin(index: int):
    """A pixel of background with foreground above, below, left and right would be a hole."""
    mask = render_portrait(sample_identity(0, index), view_label(0, index, 0), 160).mask > 0
    around = mask[:-2, 1:-1] & mask[2:, 1:-1] & mask[1:-1, :-2] & mask[1:-1, 2:]
    assert not (around & ~mask[1:-1, 1:-1]).any()


def test_the_same_view_twice_is_the_same():
    label = cameras.label(-0.2, 0.1)
    first, second = (render_portrait(sample_identity(0, 2), label, 32) for _ in range(2))
    assert (first.image == second.image).all()
    assert (first.mask == second.mask).all()
    assert (first.depth == second.depth).all()


def test_all_parts_occur_and_depths_stay_in_range():
    seen: set[int] = set()
    poses = cameras.PoseDistribution().sample(np.random.default_rng(0), 64)
    for index in range(64):
        view = render_portrait(sample_identity(0, index), poses[index], 24)
        seen |= set(np.unique(view.mask).tolist())
        depth = view.depth[view.mask > 0]
        assert depth.min() >= 2.0
        assert depth.max() <= 3.4
        assert 0.25 < (view.mask > 0).mean() < 0.98
    assert seen == set(range(len(PORTRAIT.parts)))


def test_features_lie_where_an_ffhq_crop_has_them():
    """EG3D's crop has the eyes near (184, 200) and (325, 200) of 512, the mouth near (254, 338)."""
    centres = {"eyes": [], "mouth": []}
    for index in range(6):
        one = dataclasses.replace(sample_identity(0, index), glasses=0, hat=0)
        mask = render_portrait(one, cameras.label(0.0, 0.0), 64).mask
        for name in centres:
            rows, columns = np.nonzero(mask == PORTRAIT.names.index(name))
            left = columns < 32
            centres[name].append([rows.mean(), columns[left].mean(), columns[~left].mean()])
    eyes = np.mean(centres["eyes"], axis=0) * 8
    mouth = np.mean(centres["mouth"], axis=0) * 8
    assert eyes == pytest.approx([200, 184, 325], abs=10)
    assert mouth[0] == pytest.approx(338, abs=12)


def test_a_camera_at_positive_x_sees_the_ear_at_positive_x():
    one = dressed(hair_style=0, glasses=0, hat=0)
    for yaw, nearer in ((0.5, 1), (-0.5, -1)):
        view = render_portrait(one, cameras.label(yaw, 0.0), 48)
        ears = np.nonzero(view.mask == fields.EARS)[1]
        assert np.sign(ears.mean() - 24) == nearer


@pytest.mark.parametrize("style", ["short", "wavy", "curly"])
def test_depth_equals_a_brute_force_march(style: str):
    one = dressed(hair_style=HAIR_STYLES.index(style), glasses=2, earrings=3)
    label = cameras.label(0.35, -0.1)
    view = render_portrait(one, label, 24)
    made = sculpt(one)
    origin, directions = rays(label, 24)
    found = first_crossings(made.numbers, made.maps, made.blobs, origin, directions.reshape(-1, 3), 2e-4)
    found = found.reshape(24, 24)
    error = np.abs(found - view.depth)
    assert np.median(error[view.mask > 0]) < 2e-4
    assert (error <= 1e-3).mean() >= 0.995  # along silhouettes rays graze, and equal steps jump over slivers
    assert ((found > 0) != (view.depth > 0)).sum() <= 1


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
    covisible = (np.abs(second.depth[rows, columns] - depth) < 0.006) & (names != fields.HAIR)
    # a point falls beside pixel centres: it agrees if one of the pixels around shows its label
    around = np.stack([second.mask[rows + dy, columns + dx] for dy in (-1, 0, 1) for dx in (-1, 0, 1)])
    agrees = (around == names).any(axis=0)
    assert covisible.sum() > 0.4 * size * size * 0.5
    assert agrees[covisible].mean() >= 0.99
    exact = second.mask[rows, columns] == names
    assert exact[covisible].mean() >= 0.95


def test_texture_parameters_leave_geometry_alone():
    label = cameras.label(0.2, 0.0)
    plain = render_portrait(dressed(), label, 32)
    painted = render_portrait(
        dressed(hair_r=0.9, skin_r=0.2, light_yaw=1.0, cloth_g=0.9, back_b=0.9), label, 32
    )
    assert (plain.mask == painted.mask).all()
    assert (plain.depth == painted.depth).all()
    assert (plain.image != painted.image).any()


@pytest.mark.parametrize("field", CHOICES)
def test_each_accessory_shows(field: str):
    for choice in range(1, len(CHOICES[field])):
        one = dressed(**({"hair_style": 0, "glasses": 0, "hat": 0, "earrings": 0} | {field: choice}))
        mask = render_portrait(one, cameras.label(0, 0), 64).mask
        assert (mask == PORTRAIT.names.index(field)).sum() >= 4, choice


def test_numba_keeps_the_stamp_that_marks_stale_kernels():
    """`jit.entry` replaces a private attribute; an update of numba without it must not pass silently."""
    plain: Any = njit(cache=True)(rays)
    assert hasattr(plain._cache._cache_file, "_source_stamp")
    assert render._trace._cache._cache_file._source_stamp == jit._FINGERPRINT


def test_every_module_with_kernels_is_part_of_the_fingerprint():
    folder = Path(jit.__file__).parent
    has_kernels = re.compile(r"^@(kernel|entry)", re.MULTILINE)
    with_kernels = {path.stem for path in folder.glob("*.py") if has_kernels.search(path.read_text())}
    assert with_kernels | {"jit"} == set(jit._SOURCES)
