"""The torch path draws what the CPU's kernels draw; on the CPU here, on a GPU where there is one."""

import dataclasses
import os
import pickle

import numpy as np
import pytest
import torch

from ssgan_core import cameras
from ssgan_core.errors import SsganError
from ssgan_core.heads import raster, scatter
from ssgan_core.heads.compose import build_scene
from ssgan_core.heads.device import DeviceRenderer
from ssgan_core.heads.parcel import Parcel, Stored, load, pack, store
from ssgan_core.heads.render import SyntheticView, camera_samples, draw, render_portrait, view_geometry
from ssgan_core.heads.sampler import HAIR_STYLES, Identity, sample_identity

LABELS = [cameras.label(0.25, -0.05), cameras.label(-0.3, 0.1)]


def person(index: int, style: str) -> Identity:
    """With everything that has a shader of its own."""
    one = sample_identity(0, index)
    return dataclasses.replace(
        one, hair_style=HAIR_STYLES.index(style), hat=0, glasses=4, earrings=2, beard=3, smile=0.9
    )


def agree(view: SyntheticView, other: SyntheticView) -> None:
    difference = np.abs(view.image.astype(int) - other.image).max(axis=-1)
    assert (difference <= 2).mean() >= 0.999
    assert (view.mask == other.mask).mean() >= 0.999
    same = view.mask == other.mask
    # what shows at a pixel's centre may change at silhouettes, without the label
    assert (np.abs(view.depth - other.depth)[same] <= 1e-3).mean() >= 0.995
    for name in ("image", "mask", "depth"):
        mine, theirs = getattr(view, name), getattr(other, name)
        assert mine.dtype == theirs.dtype
        assert mine.shape == theirs.shape
        assert mine.flags.c_contiguous


@pytest.mark.parametrize(
    ("index", "style", "glasses"), [(3, "long-wavy", 4), (5, "braids", 1), (8, "bald", 3)]
)
def test_torch_draws_what_the_kernels_draw(index: int, style: str, glasses: int):
    one = dataclasses.replace(person(index, style), glasses=glasses)
    views = DeviceRenderer("cpu").render(pack(one), LABELS, 64)
    for view, label in zip(views, LABELS, strict=True):
        agree(view, render_portrait(one, label, 64))


def test_a_small_budget_changes_nothing():
    one = person(1, "bob")
    parcel = pack(one)
    whole = DeviceRenderer("cpu").render(parcel, LABELS[:1], 32)[0]
    pieces = DeviceRenderer("cpu", budget=1500).render(parcel, LABELS[:1], 32)[0]
    assert (whole.mask == pieces.mask).all()
    assert np.abs(whole.image.astype(int) - pieces.image).max() <= 1


def rasterised(
    screen: np.ndarray, triangles: np.ndarray, closed: int, size: int, budget: int
) -> tuple[np.ndarray, np.ndarray]:
    nearness, shown = scatter.rasterise(
        torch.from_numpy(screen), torch.from_numpy(triangles), closed, size, budget
    )
    return nearness.numpy(), shown.numpy()


@pytest.mark.parametrize("size", [40, 96])
def test_both_rasterisers_show_the_same_triangles(size: int):
    scene = build_scene(person(3, "curly"))
    projection = camera_samples(LABELS[0], size)
    drawn = draw(scene, projection)
    geometry = view_geometry(np, scene, projection)
    nearness, shown = rasterised(
        drawn.screen, geometry.triangles, len(scene.culled), projection.size, 1 << 20
    )
    assert (shown == drawn.shown).mean() > 0.999
    seen = (shown >= 0) & (drawn.shown >= 0)
    assert np.abs(nearness[seen] - drawn.nearness[seen]).max() < 1e-3
    assert np.isneginf(nearness[shown < 0]).all()


def test_large_triangles_are_drawn_in_pieces():
    rng = np.random.default_rng(0)
    size, count = 50, 30
    screen = np.concatenate([rng.uniform(-60, 110, (3 * count, 2)), rng.uniform(0.3, 0.5, (3 * count, 1))], 1)
    screen = screen.astype(np.float32)
    triangles = np.arange(3 * count, dtype=np.int32).reshape(-1, 3)
    expected = raster.empty_buffers(size)
    raster.rasterise(screen, triangles[:10], 0, True, *expected)
    raster.rasterise(screen, triangles[10:], 10, False, *expected)
    for budget in (60, 1000, 1 << 22):
        nearness, shown = rasterised(screen, triangles, 10, size, budget)
        assert (shown == expected[1]).mean() > 0.999
        assert np.abs(nearness - expected[0])[(shown == expected[1]) & (shown >= 0)].max() < 1e-5


def test_of_equally_near_triangles_the_first_shows_and_backs_are_culled():
    screen = np.array([[0, 0, 1], [0, 8, 1], [8, 0, 1]], np.float32)
    triangles = np.array([[0, 2, 1], [0, 1, 2], [0, 1, 2]], np.int32)
    _, shown = rasterised(screen, triangles, 3, 8, 100)
    assert set(np.unique(shown)) == {-1, 1}
    _, shown = rasterised(screen, triangles, 0, 8, 100)
    assert set(np.unique(shown)) == {-1, 0}


def test_an_empty_picture_is_no_special_case():
    screen = np.array([[0, 0, 1], [0, 0.2, 1], [0.2, 0, 1]], np.float32)
    nearness, shown = rasterised(screen, np.array([[0, 1, 2]], np.int32), 0, 8, 100)
    assert (shown == -1).all()
    assert np.isneginf(nearness).all()


def test_parcels_pass_through_shared_memory():
    parcel = pack(person(3, "short"))
    assert len(pickle.dumps(parcel, protocol=5)) < 20 << 20
    memory = memoryview(bytearray(24 << 20))
    stored = store(parcel, memory)
    assert isinstance(stored, Stored)
    assert len(pickle.dumps(stored)) < 64 << 10
    again = load(stored, memory)
    for spec in dataclasses.fields(Parcel):
        if isinstance(getattr(parcel, spec.name), np.ndarray):
            assert np.array_equal(getattr(again, spec.name), getattr(parcel, spec.name)), spec.name
    assert np.array_equal(again.scene.strand_points, parcel.scene.strand_points)
    assert again.identity == parcel.identity
    assert store(parcel, memory[: 1 << 20]) is parcel  # what does not fit goes the long way


def test_a_gpu_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SsganError, match="CUDA"):
        DeviceRenderer("cuda")


@pytest.mark.gpu
def test_a_gpu_draws_what_the_cpu_draws():
    if not torch.cuda.is_available():
        if os.environ.get("SSGAN_REQUIRE_GPU") == "1":
            pytest.fail("SSGAN_REQUIRE_GPU=1, but there is no usable CUDA GPU")
        pytest.skip("needs a CUDA GPU")
    for index, style in ((3, "long-wavy"), (5, "braids"), (8, "bald")):
        one = person(index, style)
        views = DeviceRenderer("cuda").render(pack(one), LABELS, 128)
        for view, label in zip(views, LABELS, strict=True):
            agree(view, render_portrait(one, label, 128))
