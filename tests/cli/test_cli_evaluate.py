"""`ssgan evaluate` on a tiny model and a tiny data set: what it writes, that it repeats, and what it refuses."""

import base64
import io
import json
import shutil
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from ssgan_core import cameras
from ssgan_core.checkpoints import load_model
from ssgan_core.dataset.options import write_options
from ssgan_core.dataset.writer import DatasetWriter
from ssgan_core.errors import SsganError
from ssgan_core.evaluation import camera_accuracy
from ssgan_core.evaluation.summary import number, summary_rows
from ssgan_core.parts import PORTRAIT, PartSchema

SIZE = 64
OPTIONS = ("--samples", 8, "--seed", 3)


def write_portraits(folder, people, schema=PORTRAIT, size=SIZE, yaws=(-0.15, 0.15)):
    """Two views of coloured block heads: a flat face with a nose before it, hair above, cloth below."""
    rng = np.random.default_rng(0)
    with DatasetWriter(folder, schema, size) as writer:
        for someone in range(people):
            colours = rng.integers(40, 255, (len(schema.parts), 3))
            colours[7] = 120 + rng.integers(-9, 10, 3)  # hair hardly differs, so that weak edits of it count
            mask = np.zeros((64, 64), np.uint8)
            mask[8:20, 14:50], mask[20:48, 16:48], mask[54:, 8:56] = 7, 1, 9
            mask[30:40, 28:36], mask[24:28, 20:44] = 5, 2
            mask %= len(schema.parts)
            depth = np.where(mask > 0, 2.55 + 0.002 * someone, 0)
            depth[mask == 5] -= 0.05
            mask = mask[:: 64 // size, :: 64 // size]
            depth = depth[:: 64 // size, :: 64 // size]
            for view, yaw in enumerate(yaws):
                image = np.clip(colours[mask] + rng.normal(0, 9, (size, size, 3)), 0, 255)
                label = cameras.label(yaw, 0.01 * someone - 0.1)
                meta = {"seed": 0, "identity": someone, "view": view}
                writer.add(f"{someone:04d}_{view}", image.astype(np.uint8), mask, label, meta, depth)
        writer.finish()
    return folder


@pytest.fixture(scope="module")
def portraits(tmp_path_factory):
    return write_portraits(tmp_path_factory.mktemp("data") / "blöcke [64] of", 10)


@pytest.fixture(autouse=True, scope="module")
def faces():
    """Faces whose yaw is where the picture is brightest: an estimator without networks. Every fifth has none."""

    def estimate(image):
        weights = image.mean((0, 2)) ** 2
        middle = (weights * np.linspace(-0.5, 0.5, len(weights))).sum() / weights.sum()
        return np.array([middle, 0.05]) if image[0, 0, 0] % 5 else None

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(camera_accuracy, "face_estimator", lambda: estimate)
        patch.delenv("TORCH_HOME", raising=False)
        yield


@pytest.fixture(scope="module")
def evaluated(tiny_model_64, portraits, tmp_path_factory):
    """One run as a user sees it: the folder, and what was printed."""
    from typer.testing import CliRunner

    from ssgan_cli.app import app

    out = tmp_path_factory.mktemp("out") / "results [1]"
    arguments = ["evaluate", tiny_model_64.parent, portraits, *OPTIONS, "--out", out]
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exit_code == 0, result.output
    return out, result


@pytest.fixture(scope="module")
def figures(evaluated):
    return json.loads((evaluated[0] / "evaluation.json").read_text())


def test_it_prints_tables_notes_and_paths(evaluated):
    out, result = evaluated
    for word in (
        "FPD",
        "coverage",
        "edit locality",
        "reprojection inliers",
        "relief",
        "slope of yaw",
        "earrings",
    ):
        assert word in result.stdout
    for name in ("evaluation.json", "report.html", "samples.jpg"):
        assert str(out / name) in result.stdout
    assert {path.name for path in out.iterdir()} == {"evaluation.json", "report.html", "samples.jpg"}
    assert "do not compare" in result.stderr
    assert "--inception" in result.stderr
    assert "evaluation:" in result.stderr  # progress


def test_larger_pictures_have_a_figure_that_compares_with_smaller_ones(figures):
    assert figures["appearance_small"] is None
    names = [row.name for row in summary_rows(figures)]
    small = {**figures["appearance"], "side": 128, "fpd": {**figures["appearance"]["fpd"], "model": 12.5}}
    rows = summary_rows({**figures, "appearance_small": small})
    assert [row.name for row in rows if row.name not in names] == ["FPD at 128 pixels"]
    (row,) = (row for row in rows if row.name == "FPD at 128 pixels")
    assert (row.model, row.data) == ("12.5", number(small["fpd"]["floor"]))
    assert "128 x 128" in row.reading


def test_the_figures_are_complete_and_in_range(figures, tiny_model_64):
    assert figures["settings"] == {
        "samples": 8, "psi": 0.7, "seed": 3, "yaw": pytest.approx(0.4, abs=1e-4), "pitch": pytest.approx(0.2, abs=1e-4),
        "portraits": 8, "device": "cpu",
    }  # fmt: skip
    assert len(figures["model"]["sha256"]) == len(figures["data"]["pictures_sha256"]) == 64
    assert (figures["data"]["entries"], figures["data"]["people_in_range"]) == (20, 10)
    assert figures["data"]["trained_on"] is None
    looks = figures["appearance"]
    for key in ("fpd", "coverage", "sliced_wasserstein"):
        assert set(looks[key]) == {"model", "floor", "blurred", "one_person"}
    assert 0 <= looks["fpd"]["floor"] < looks["fpd"]["model"]
    assert looks["sliced_wasserstein"]["floor"] < looks["sliced_wasserstein"]["blurred"]
    assert len(looks["sliced_wasserstein_levels"]["model"]) == 3
    assert set(figures["masks"]["parts"]) == set(PORTRAIT.names)
    parts = figures["edits"]["parts"]
    assert set(parts) == set(PORTRAIT.names[1:])
    assert parts["hair"]["data_change"] > 0.02
    assert parts["hat"]["data_change"] is None
    assert parts["hat"]["qualifying"] == 0
    assert parts["hair"]["qualifying"] > 0
    assert 0 < parts["hair"]["locality"] <= 1
    assert parts["skin"]["covered"] == 4
    assert parts["skin"]["qualifying"] == 0  # this model's codes do far too little
    for row in parts.values():
        assert row["tried"] == 4
        assert row["locality"] is None or 0 <= row["locality"] <= 1
    turns = figures["reprojection"]
    assert turns["data_pairs"] > 0
    assert turns["data_apart"] == pytest.approx(0.3, abs=0.01)
    assert turns["model"]["covisible"] > 0.2
    # The data's faces are flat, but for a nose.
    assert figures["relief"]["data"]["median"] == pytest.approx(0.05, abs=0.03)
    assert 0 < figures["cameras"]["data"]["detected"] <= 1
    assert figures["variety"]["masks"]["data"] < figures["variety"]["images"]["data"]
    assert figures["neighbours"]["pixels"]["ratio"] > 0
    assert figures["inception"]["skipped"].startswith("FID, KID")


class Page(HTMLParser):
    """Collects what a page refers to, and checks that its elements are closed."""

    VOID = ("meta", "img")

    def __init__(self, text):
        super().__init__()
        self.open, self.sources, self.tags, self.text = [], [], set(), ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.sources += [value for key, value in attrs if key in ("src", "href", "srcset", "data", "action")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_the_page_needs_nothing_else(evaluated, portraits, figures):
    text = (evaluated[0] / "report.html").read_text()
    page = Page(text)
    assert not page.open
    assert not page.tags & {"script", "link", "iframe", "object"}
    assert "url(" not in text
    assert "@import" not in text
    assert str(portraits) in page.text
    for word in ("FPD", "Part by part", "Nearest portraits", figures["model"]["sha256"][:16]):
        assert word in page.text
    assert len(page.sources) == 8 * 8 + 12 * 6 + 8 * 3
    for source in page.sources:
        assert source.startswith("data:image/jpeg;base64,")
        with Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))) as picture:
            assert picture.size == (SIZE, SIZE)


def test_the_sheet_shows_samples(evaluated):
    with Image.open(evaluated[0] / "samples.jpg") as sheet:
        assert sheet.size == (8 * SIZE + 7 * 2, 8 * SIZE + 7 * 2)
        assert np.asarray(sheet).std() > 10


def test_two_runs_give_the_same_bytes_and_json(ssgan, evaluated, figures, tiny_model_64, portraits, tmp_path):
    result = ssgan("evaluate", tiny_model_64.parent, portraits, *OPTIONS, "--out", tmp_path, "--json")
    assert result.exit_code == 0
    told = json.loads(result.stdout)
    assert [path.rpartition("/")[2] for path in told.pop("files")] == [
        "evaluation.json",
        "report.html",
        "samples.jpg",
    ]
    assert told == figures
    for name in ("evaluation.json", "report.html", "samples.jpg"):
        assert (tmp_path / name).read_bytes() == (evaluated[0] / name).read_bytes()
    assert "FPD" in result.stderr


# ------------------------------------------------------------------------------------------ refusals


def refused(ssgan, *arguments):
    result = ssgan("evaluate", *arguments)
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    return result.stderr


def test_data_with_other_parts_is_refused(ssgan, tiny_model_64, tmp_path):
    schema = PartSchema(PORTRAIT.parts[:10])
    write_portraits(tmp_path / "data", 1, schema)
    out = tmp_path / "out"
    trouble = refused(ssgan, tiny_model_64, tmp_path / "data", "--out", out)
    assert "other parts" in trouble
    assert "only the model has glasses, hat, earrings" in trouble
    assert not list(out.iterdir())


def test_data_without_masks_is_refused(ssgan, tiny_model_64, portraits, tmp_path):
    shutil.copytree(portraits, tmp_path / "data")
    (tmp_path / "data" / "parts.json").unlink()
    assert "no part masks" in refused(ssgan, tiny_model_64, tmp_path / "data", "--out", tmp_path / "out")


def test_too_few_entries_are_refused(ssgan, tiny_model_64, tmp_path):
    write_portraits(tmp_path / "data", 7)
    trouble = refused(ssgan, tiny_model_64, tmp_path / "data", "--out", tmp_path / "out")
    assert "too few portraits to compare with: 14 of 14 entries, of 7 persons" in trouble


def test_what_the_datas_options_leave_out_is_left_out(ssgan, tiny_model_64, portraits, tmp_path):
    shutil.copytree(portraits, tmp_path / "data")
    write_options(tmp_path / "data", where={"identity": {"max": 3}})
    trouble = refused(ssgan, tiny_model_64, tmp_path / "data", "--out", tmp_path / "out")
    assert "too few portraits to compare with: 8 of 8 entries, of 4 persons" in trouble


def test_small_models_small_data_and_missing_files_are_refused(
    ssgan, tiny_model, tiny_model_64, portraits, tmp_path
):
    out = ("--out", tmp_path / "out")
    assert "too small to tell parts apart" in refused(ssgan, tiny_model, portraits, *out)
    write_portraits(tmp_path / "small", 1, size=32)
    assert "does not divide" in refused(ssgan, tiny_model_64, tmp_path / "small", *out)
    assert "there is no model" in refused(ssgan, tmp_path / "none", portraits, *out)
    assert "no data set" in refused(ssgan, tiny_model_64, tmp_path / "none", *out)
    (tmp_path / "file").write_bytes(b"")
    assert "cannot write" in refused(ssgan, tiny_model_64, portraits, "--out", tmp_path / "file")


@pytest.mark.parametrize("option", [("--samples", 1), ("--psi", 9), ("--yaw-range", 0), ("--seed", -1)])
def test_wrong_usage(ssgan, option):
    assert ssgan("evaluate", "model", "data", *option).exit_code == 2


# ------------------------------------------------------------------------------------------- details


def test_missing_networks_are_a_line_not_an_error(figures, monkeypatch):
    from ssgan_core.evaluation import evaluate
    from ssgan_core.evaluation.summary import skipped_lines

    def missing():
        raise SsganError("the network file face.tflite is missing", "run `ssgan weights`")

    monkeypatch.setattr(camera_accuracy, "face_estimator", missing)
    estimate, reason = evaluate._estimator()
    assert estimate is None
    told = {**figures, "cameras": {"skipped": reason}}
    assert (
        "not measured: cameras: the network file face.tflite is missing (run `ssgan weights`)"
        in skipped_lines(told)
    )
    assert len(summary_rows(told)) == len(summary_rows(figures)) - 4


def test_inception_figures_become_rows(figures):
    row = {"fid": 12.3456, "kid_x1000": 1.5, "precision": 0.7, "recall": 0.1}
    told = {**figures, "inception": {"model": row, "floor": row, "weights_sha256": "0" * 64}}
    added = [shown for shown in summary_rows(told) if shown not in summary_rows(figures)]
    assert [shown.name for shown in added] == ["FID", "KID x 1000", "precision", "recall"]
    assert added[0].model == "12.3"


def test_a_model_of_this_very_data_is_noticed(tiny_model_64, portraits, tmp_path):
    from ssgan_core.dataset.reader import PortraitDataset
    from ssgan_core.evaluation.evaluate import _trained_on
    from ssgan_core.training.data import StoredPortraits

    data = StoredPortraits(PortraitDataset.open(portraits))
    model, loaded = tmp_path / tiny_model_64.name, load_model(tiny_model_64)
    assert _trained_on(loaded, model, data) is None
    this, other = data.fingerprint(), {"fingerprint": "other"}
    for rows, known in (([other, this], True), ([other], False), ([], None)):
        shipped = {"shipped": {"stages": [{"data": row} for row in rows]}}
        assert _trained_on(replace(loaded, metadata=shipped), model, data) is known
    assert _trained_on(replace(loaded, metadata={"shipped": {"stages": "odd"}}), model, data) is None
    for row, known in ((this, True), (other, False)):
        (tmp_path / "data.json").write_text(json.dumps(row))
        assert _trained_on(loaded, model, data) is known


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0.0, "0"),
        (0.00012, "0.00012"),
        (0.5, "0.500"),
        (12.34, "12.3"),
        (1234.5, "1234"),
        (-0.25, "-0.250"),
    ],
)
def test_numbers_are_short(value, text):
    assert number(value) == text
