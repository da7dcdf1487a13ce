"""The benchmark of the representation: its fit approaches the truth, its figures tell faults, and its command runs."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import judging, representation
from benchmarks.sheet_fit import Sheets, Variant, fit_sheets
from benchmarks.sheet_start import HeadViews, first_backdrop, first_maps, render_views
from ssgan_core import cameras
from ssgan_core.heads.sampler import sample_identity
from ssgan_core.model.geometry import depth_bounds, dome
from ssgan_core.parts import PORTRAIT
from ssgan_core.pictures import read_image

SIZE = 24
NOSE = PORTRAIT.foreground_index("nose")
SMALL = Variant(texels=24)


@pytest.fixture(scope="module")
def views() -> HeadViews:
    """Six views of a head from left to right."""
    return render_views(sample_identity(0, 0), np.linspace(-0.5, 0.5, 6), np.zeros(6), SIZE)


@pytest.fixture(scope="module")
def fitted(views: HeadViews) -> Sheets:
    return fit_sheets(views, SMALL, steps=40, rays=SIZE**2)


def test_truth_judged_by_itself_is_perfect(views: HeadViews):
    class Truth:
        def views(self, labels: np.ndarray) -> tuple[HeadViews, np.ndarray]:
            return views, (views.masks == 0).astype(np.float32)

    facts, seen = judging.judge(Truth().views, SMALL.window, views, views)
    assert seen is views
    assert facts["psnr"] == facts["head_psnr"] > 58
    assert facts["mask_iou"] == 1
    assert facts["depth_error"] == 0
    assert facts["holes"] == 0
    assert facts["beyond"] < 0.02
    assert facts["inliers"] == facts["data_inliers"]
    assert set(facts["parts"]) == {PORTRAIT.names[k] for k in np.unique(views.masks) if k}


def test_faults_show_in_the_figures(views: HeadViews):
    noise = np.random.default_rng(0).normal(0, 25.5, views.images.shape)
    nearer = np.where(views.masks > 0, views.depths - np.float32(0.01), 0)
    masks = np.where(views.masks == NOSE + 1, 1, views.masks).astype(np.uint8)
    worse = HeadViews(views.labels, (views.images + noise).clip(0, 255).astype(np.uint8), masks, nearer)
    through = (views.masks == 0).astype(np.float32)
    through[:, :, : SIZE // 2] = 1

    class Faulty:
        def views(self, labels: np.ndarray) -> tuple[HeadViews, np.ndarray]:
            return worse, through

    facts, _ = judging.judge(Faulty().views, 0.1, views, views)
    assert facts["psnr"] == pytest.approx(20, abs=1)
    assert facts["parts"]["nose"] == 0
    assert facts["parts"]["skin"] < 1 == facts["parts"]["hair"]
    assert facts["depth_error"] == pytest.approx(0.01, rel=1e-3)
    assert facts["holes"] == pytest.approx(
        (views.masks[:, :, : SIZE // 2] > 0).sum() / (views.masks > 0).sum()
    )


def test_a_fit_looks_like_its_views(views: HeadViews, fitted: Sheets):
    before, _ = judging.judge(Sheets(views, SMALL).views, SMALL.window, views, views)
    after, _ = judging.judge(fitted.views, SMALL.window, views, views)
    assert after["psnr"] > before["psnr"] + 3
    assert after["mask_iou"] > before["mask_iou"] + 0.1
    assert after["depth_error"] < 0.02


def test_a_fit_is_repeated_exactly(views: HeadViews):
    one, other = (fit_sheets(views, SMALL, steps=2, rays=64, seed=3) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_bounded_sheets_keep_the_bounds_of_the_parts(views: HeadViews):
    sheets = Sheets(views, SMALL)
    with torch.no_grad():
        sheets.depth.normal_(std=50)
        depth = sheets.sheet_depth()
    nose, skin = PORTRAIT.foreground[NOSE], PORTRAIT.foreground[0]
    above = depth[NOSE] - depth[0] - nose.depth_start
    assert float(above.abs().max()) == pytest.approx(nose.depth_bound, rel=1e-3)
    assert float((depth[0] - sheets.dome).abs().max()) == pytest.approx(skin.depth_bound, rel=1e-3)
    low, high = depth_bounds(PORTRAIT)
    assert low <= float(depth.min())
    assert float(depth.max()) <= high


def test_free_sheets_start_where_bounded_ones_may_not(views: HeadViews):
    higher = replace(views, depths=views.depths - np.float32(0.25) * (views.masks > 0))
    bounded, free = (
        Sheets(higher, replace(SMALL, bounded=kind)).sheet_depth()[NOSE].max() for kind in (True, False)
    )
    assert free > bounded + 0.05


def test_sheets_start_at_the_points_that_are_seen():
    """A view of a plane of skin: the first depth is the plane's, smoothed, where it was seen."""
    labels = cameras.label(np.zeros(1), np.zeros(1)).astype(np.float32)
    depth = np.full((1, 64, 64), 2.6, np.float32)
    image = np.full((1, 64, 64, 3), (51, 102, 204), np.uint8)
    plane = HeadViews(labels, image, np.ones((1, 64, 64), np.uint8), depth)
    height, colour = first_maps(plane, PORTRAIT, 32)
    assert height[0, 8:24, 8:24].numpy() == pytest.approx(0.1, abs=0.005)
    assert colour[0, :, 16, 16].numpy() == pytest.approx([0.2, 0.4, 0.8], abs=1e-3)
    unseen = height[NOSE, 16, 16] - dome(torch.tensor(0.0), torch.tensor(0.0))
    assert float(unseen) == pytest.approx(PORTRAIT.foreground[NOSE].depth_start, abs=0.01)
    assert (first_backdrop(plane) == 0.5).all()


def test_a_window_belongs_to_the_variant():
    schema = Variant(window=0.5).schema
    assert schema.names == PORTRAIT.names
    assert (np.abs(schema.windows) == np.float32(0.5)).all()


def test_the_command_prints_every_combination(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "sheet.jpg"
    arguments = (
        "--heads 1 --steps 20 --size 16 --rays 256 --views 6 --judged 3 --texels 16 --depth bounded free"
    )
    monkeypatch.setattr("sys.argv", ["representation", *arguments.split(), "--out", str(out)])
    representation.main()
    facts = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [row["bounded"] for row in facts["results"]] == [True, False]
    for row, mean in zip(facts["results"], facts["means"], strict=True):
        assert row["psnr"] > 15
        assert row["who"] == "long-wavy hair"
        assert all(mean[name] == row[name] for name in ("psnr", "mask_iou", "depth_error", "inliers"))
    assert read_image(out).shape == (2 * 16, 2 * 3 * 16, 3)
