"""The benchmarks of the portraits: that they run, and that they report what is wrong."""

import dataclasses
import importlib
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from benchmarks import cameras as camera_benchmark
from benchmarks import portrait_variety as variety
from ssgan_core import cameras
from ssgan_core.dataset.reader import PortraitDataset
from ssgan_core.errors import SsganError
from ssgan_core.heads.compose import build_scene
from ssgan_core.heads.render import SyntheticView, render_portrait
from ssgan_core.heads.sampler import sample_identity
from ssgan_core.parts import PORTRAIT
from ssgan_core.preparation import pose, weights
from ssgan_core.preparation.mesh import canonical_mesh
from tools import part_table

SIZE = 48


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., dict]:
    """Runs a command and gives what it prints last, read from JSON."""

    def run(module: ModuleType, *arguments: str) -> dict:
        monkeypatch.setattr("sys.argv", [module.__name__, *arguments])
        module.main()
        return json.loads(capsys.readouterr().out.splitlines()[-1])

    return run


def view(yaw: float) -> SyntheticView:
    return render_portrait(sample_identity(0, 0), cameras.label(yaw, 0.1), SIZE)


@pytest.fixture(scope="module")
def geometry() -> ModuleType:
    pytest.importorskip("embreex", reason="embreex, which casts rays, has no wheel for this machine")
    return importlib.import_module("benchmarks.portrait_geometry")


class TestGeometry:
    @staticmethod
    def depth_facts(geometry, seen: SyntheticView) -> dict:
        errors = geometry.DepthErrors()
        errors.add(seen, build_scene(sample_identity(0, 0)), 0.15, 0.1)
        return errors.facts()

    def test_depth_is_that_of_rays(self, geometry):
        facts = self.depth_facts(geometry, view(0.15))
        assert facts["pixels"]["median"] < 1e-5
        assert facts["samples"]["p99"] < 1e-4
        assert facts["hit_agreement"] > 0.97
        assert facts["picture_shift"] < 0.05

    def test_depth_that_is_off_is_reported(self, geometry):
        straight = view(0.15)
        deeper = dataclasses.replace(straight, depth=straight.depth + np.float32(0.004) * (straight.mask > 0))
        assert self.depth_facts(geometry, deeper)["pixels"]["median"] == pytest.approx(0.004, rel=0.01)

    def test_a_picture_that_is_moved_by_a_pixel_is_reported(self, geometry):
        straight = view(0.15)
        moved = SyntheticView(
            straight.image, np.roll(straight.mask, 1, axis=1), np.roll(straight.depth, 1, axis=1)
        )
        facts = self.depth_facts(geometry, moved)
        assert facts["picture_shift"] > 0.3
        assert facts["hit_agreement"] < self.depth_facts(geometry, straight)["hit_agreement"]

    def test_views_agree_with_each_other_and_not_with_wrong_depth(self, geometry):
        left, right = view(-0.15), view(0.15)
        straight, shifted = geometry.Reprojection(), geometry.Reprojection()
        straight.add(left, (-0.15, 0.1), right, (0.15, 0.1))
        # A head that is 0.1 nearer in both views: its points agree in depth, but lie elsewhere in the pictures.
        nearer = [dataclasses.replace(one, depth=one.depth - np.float32(0.1)) for one in (left, right)]
        shifted.add(nearer[0], (-0.15, 0.1), nearer[1], (0.15, 0.1))
        facts, wrong = straight.facts(), shifted.facts()
        assert facts["without hair"]["covisible"] > 0.6
        assert facts["without hair"]["agrees"] > 0.98
        assert facts["all"]["pixels"] == (left.mask > 0).sum()
        assert wrong["without hair"]["covisible"] < facts["without hair"]["covisible"] - 0.1
        assert wrong["without hair"]["strict"] < facts["without hair"]["strict"] - 0.1

    def test_known_points_appear_where_the_conventions_say(self, geometry, monkeypatch: pytest.MonkeyPatch):
        found = geometry.marker_misses(64)
        assert found["miss_pixels"] < 0.1
        assert found["depth_error"] < 1e-5
        label = cameras.label
        monkeypatch.setattr(cameras, "label", lambda yaw, pitch: label(-yaw, pitch))
        assert geometry.marker_misses(64)["miss_pixels"] > 1

    def test_the_command_prints_its_figures(self, geometry, printed):
        facts = printed(geometry, "--heads", "1", "--size", str(SIZE))
        assert facts["depth"]["pixels"]["median"] <= 1e-3
        assert facts["reprojection"]["all"]["pixels"] > 500
        assert facts["cameras"]["miss_pixels"] < 0.1


class TestVariety:
    def test_the_command_prints_its_figures(self, three_heads: Path, printed):
        facts = printed(variety, str(three_heads))
        assert facts["identities"] == 3
        assert facts["parts"]["skin"]["shown"] == 1
        assert sum(facts["traits"]["hair_style"].values()) == pytest.approx(1)
        assert 0.1 < facts["shape_mm"]["smallest"] <= facts["shape_mm"]["median"] < 20

    def test_twins_are_reported(self):
        people = [sample_identity(0, index) for index in (0, 1, 0)]
        distances = variety.neighbours(variety.head_shapes(people))
        found = variety.closest(distances, people)
        assert found["smallest"] < 0.01
        assert found["alike"] == [0, 0]
        assert distances[0, 1] > 0.5

    def test_shape_ignores_size_place_and_expression(self):
        one = sample_identity(0, 0)
        smiling = dataclasses.replace(one, smile=1.0, jaw_open=0.3, body_yaw=0.3)
        shapes = variety.head_shapes([one, smiling])
        assert variety.neighbours(shapes)[0, 1] < 0.01

    def test_photos_are_refused(self, three_heads: Path, monkeypatch: pytest.MonkeyPatch):
        data = PortraitDataset.open(three_heads)
        monkeypatch.setattr(data, "meta", lambda index: {"source": "photo.jpg"})
        with pytest.raises(SsganError, match="no synthetic portrait"):
            variety.survey(data, None)


class TestPartTable:
    def test_the_command_prints_numbers_to_paste(
        self, three_heads: Path, printed, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(part_table, "shipped_dome", part_table.Dome(0.24, -0.04, 0.22, 0.28))  # too wide
        facts = printed(part_table, str(three_heads))
        assert facts["heads"] == 3
        assert facts["parts"]["nose"]["over_skin"][2] > facts["parts"]["neck"]["over_skin"][2]
        advice = facts["suggestion"]
        assert advice["rms_skin"]["fitted"] < advice["rms_skin"]["shipped"]
        assert list(advice["parts"]) == list(PORTRAIT.names[1:])
        assert advice["parts"]["earrings"] is None

    def test_a_known_dome_and_offset_come_out(self):
        rng = np.random.default_rng(0)
        dome = part_table.Dome(0.3, -0.1, 0.2, 0.25)
        x, y = rng.uniform(-0.15, 0.15, (2, 2000))
        points = np.stack([x, y, dome(x, y)], axis=1)
        fitted = part_table.fitted_dome(points, base=-0.1)
        assert dataclasses.astuple(fitted) == pytest.approx(dataclasses.astuple(dome), abs=0.005)
        parts = np.repeat([PORTRAIT.names.index("skin"), PORTRAIT.names.index("hair")], 1000)
        points[1000:, 2] += 0.07
        above = part_table.over_skin([part_table.Head(points, parts)], dome)
        assert np.median(above[PORTRAIT.names.index("hair")]) == pytest.approx(0.07, abs=0.003)
        start, bound = part_table.part_numbers([part_table.Head(points, parts)], dome)["hair"]
        assert (start, bound) == (0.07, 0.01)


class TestCameras:
    def test_slope_and_bias_of_known_estimates(self):
        true = np.random.default_rng(0).uniform(-0.3, 0.3, (100, 2))
        found = np.zeros((100, 6))
        found[:, 0] = true[:, 0]
        found[:, 1] = 0.6 * true[:, 1] + np.deg2rad(3)
        facts = camera_benchmark.agreement(true, found)
        assert facts["yaw"]["slope"] == pytest.approx(1)
        assert facts["yaw"]["error"] == pytest.approx(0)
        assert facts["pitch"]["slope"] == pytest.approx(0.6)
        assert facts["pitch"]["bias"] == pytest.approx(3, abs=1)

    def test_points_are_lifted_by_depth(self):
        label = cameras.label(0.0, 0.0)
        mesh = canonical_mesh().points
        flat = np.full((64, 64), 2.5, np.float32)
        world = camera_benchmark.lifted(pose.project(mesh, label) * 64, flat)
        assert world[:, 2] == pytest.approx(0.2)  # the camera stands at z = 2.7
        assert pose.project(world, label) == pytest.approx(pose.project(mesh, label))

    def test_the_command_finds_faces(self, three_heads: Path, printed):
        if not all(row.ok for row in weights.list_weights()):
            pytest.skip("the networks are not here: fetch them with 'ssgan weights fetch'")
        facts = printed(camera_benchmark, str(three_heads), "--sizes", "192", "--sweep", "1")
        assert facts["detection"]["192"] > 0.6
        assert facts["slopes"]["yaw"]["solver"] == pytest.approx(1, abs=0.01)
        assert facts["slopes"]["pitch"]["solver"] == pytest.approx(1, abs=0.01)
