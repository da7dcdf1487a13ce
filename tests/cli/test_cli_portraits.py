"""generate, edit transfer and video on a tiny model: what they write, and what they refuse."""

import json
import os
import pickle
import shutil

import numpy as np
import pytest
from PIL import Image

from ssgan_core import cameras
from ssgan_core.parts import PORTRAIT
from ssgan_core.pictures import load_depth16
from ssgan_core.portrait import load_portrait


@pytest.fixture(scope="module")
def portraits(tiny_model, tmp_path_factory):
    """Four portraits in a folder whose name has a space, brackets and an umlaut."""
    from typer.testing import CliRunner

    from ssgan_cli.app import app

    out = tmp_path_factory.mktemp("out") / "porträts [1] of"
    arguments = ["generate", str(tiny_model.parent), "--seeds", "0-2,3", "--out", str(out), "--psi", "1"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    return out, result


def test_generate_writes_four_files_a_seed(portraits):
    out, result = portraits
    names = {path.name for path in out.iterdir()}
    wanted = {
        f"seed000{i}{end}" for i in range(4) for end in (".png", "_mask.png", "_depth.png", ".portrait")
    }
    assert names == wanted | {"contact.png"}
    for name in names:
        assert str(out / name) in result.stdout
    with Image.open(out / "seed0001_mask.png") as mask:
        assert mask.mode == "P"
        ids = np.asarray(mask)
        assert np.asarray(mask.getpalette()[:39]).reshape(13, 3).tolist() == PORTRAIT.colours.tolist()
    assert ids.max() < 13
    assert len(np.unique(ids)) > 3
    depth = load_depth16(out / "seed0001_depth.png")
    assert ((depth > 0) == (depth > 2.1)).all()
    assert (depth > 0).mean() > 0.1
    with Image.open(out / "contact.png") as contact:
        assert contact.size == (6 * 32, 2 * 32)


def test_portraits_repeat_whatever_the_other_seeds(ssgan, tiny_model, portraits, tmp_path):
    assert ssgan("generate", tiny_model, "--seeds", "2", "--out", tmp_path, "--psi", 1).exit_code == 0
    here, there = (
        load_portrait(tmp_path / "seed0002.portrait"),
        load_portrait(portraits[0] / "seed0002.portrait"),
    )
    assert here.codes.base.equal(there.codes.base)
    assert here.codes.shape.equal(there.codes.shape)
    assert here.codes.texture.equal(there.codes.texture)
    first, second = (np.asarray(Image.open(d / "seed0002.png"), int) for d in (tmp_path, portraits[0]))
    assert np.abs(first - second).max() <= 1


def test_generate_as_json(ssgan, tiny_model, tmp_path):
    result = ssgan("generate", tiny_model, "--seeds", "1", "--out", tmp_path, "--json")
    told = json.loads(result.stdout)
    assert told["portraits"][0]["seed"] == 1
    assert (tmp_path / "seed0001.png").samefile(told["portraits"][0]["image"])
    assert "wrote" in result.stderr


def test_camera_by_angles_and_by_file_agree(ssgan, tiny_model, tmp_path):
    label = [float(x) for x in cameras.label(np.radians(20), np.radians(-5))]
    files = {"list": label, "label": {"label": label}, "dataset": {"labels": [["00000/a.png", label]]}}
    ssgan("generate", tiny_model, "--seeds", 0, "--yaw", 20, "--pitch", -5, "--out", tmp_path / "angles")
    wanted = (tmp_path / "angles" / "seed0000.png").read_bytes()
    for name, content in files.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
        out = tmp_path / name
        made = ssgan(
            "generate", tiny_model, "--seeds", 0, "--camera", tmp_path / f"{name}.json", "--out", out
        )
        assert made.exit_code == 0, made.output
        assert (out / "seed0000.png").read_bytes() == wanted


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ("{", "not valid JSON"),
        ("[1, 2]", "25 numbers"),
        ("{}", "25 numbers"),
        ('{"labels": [["a", [1]], ["b", [1]]]}', "2 cameras"),
        ('{"labels": [[]]}', "camera label"),
        ("[" + ",".join("0" * 25) + "]", "rigid"),
        ('{"label": "' + "x" * 25 + '"}', "camera label"),
    ],
)
def test_bad_camera_files(ssgan, tiny_model, tmp_path, content, word):
    (tmp_path / "c.json").write_text(content)
    result = ssgan("generate", tiny_model, "--camera", tmp_path / "c.json", "--out", tmp_path)
    assert result.exit_code == 1
    assert word in result.stderr


def test_edit_transfers_only_the_named_codes(ssgan, portraits, tmp_path):
    folder = portraits[0]
    a, b = folder / "seed0000.portrait", folder / "seed0003.portrait"
    before = a.read_bytes()
    result = ssgan(
        "edit", "transfer", a, "--from", b, "--parts", "hair, nose", "--out", tmp_path / "e", "--json"
    )
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["parts"] == ["nose", "hair"]
    assert told["change"]["inside"] > 0
    assert a.read_bytes() == before
    names = ["edited.png", "edited.portrait", "edited_depth.png", "edited_mask.png", "sheet.png"]
    assert sorted(path.name for path in (tmp_path / "e").iterdir()) == names
    old, donor, new = load_portrait(a), load_portrait(b), load_portrait(tmp_path / "e" / "edited.portrait")
    chosen = {PORTRAIT.foreground_index("hair"), PORTRAIT.foreground_index("nose")}
    for k in range(12):
        source = donor if k in chosen else old
        assert new.codes.shape[0, k].equal(source.codes.shape[0, k])
        assert new.codes.texture[0, k + 1].equal(source.codes.texture[0, k + 1])
    assert new.codes.base.equal(old.codes.base)


def test_edit_interpolates_only_the_named_codes(ssgan, portraits, tmp_path):
    a, b = (portraits[0] / f"seed000{seed}.portrait" for seed in (0, 3))
    arguments = ["--parts", "hair, skin", "--what", "shape", "--steps", 3, "--out", tmp_path / "i [1]"]
    film = tmp_path / "film.mp4"
    result = ssgan("edit", "interpolate", a, b, *arguments, "--video", film, "--frames", 4, "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["parts"] == ["skin", "hair"]
    assert [row["amount"] for row in told["steps"]] == [0, 0.5, 1]
    assert film.read_bytes()[4:8] == b"ftyp"
    old, donor, *steps = (load_portrait(path) for path in (a, b, *(row["portrait"] for row in told["steps"])))
    hair = PORTRAIT.foreground_index("hair")
    for amount, step in zip((0, 0.5, 1), steps, strict=True):
        assert step.codes.texture.equal(old.codes.texture)
        assert step.codes.base.equal(old.codes.base)
        wanted = old.codes.shape[0, hair].lerp(donor.codes.shape[0, hair], amount)
        assert step.codes.shape[0, hair].equal(wanted)
    for path in (told["sheet"], told["video"], told["steps"][1]["image"]):
        assert f"wrote {path}" in result.stderr
    again = ssgan(
        "edit", "interpolate", told["steps"][2]["portrait"], b, "--steps", 2, "--out", tmp_path / "again"
    )
    assert again.exit_code == 0, again.output
    last = load_portrait(tmp_path / "again" / "step01.portrait")
    assert last.codes.base.equal(donor.codes.base)
    assert last.codes.texture.equal(donor.codes.texture)


@pytest.mark.parametrize(
    ("more", "word"), [(["--parts", "hare"], "no part 'hare'"), (["--video", "a.avi"], "'.avi' video")]
)
def test_impossible_interpolations(ssgan, portraits, tmp_path, more, word):
    a, b = (portraits[0] / f"seed000{seed}.portrait" for seed in (0, 3))
    result = ssgan("edit", "interpolate", a, b, *more, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert word in result.stderr
    assert not (tmp_path / "out").exists()


def test_edited_portraits_can_be_edited_and_filmed(ssgan, portraits, tmp_path):
    a, b = portraits[0] / "seed0000.portrait", portraits[0] / "seed0001.portrait"
    ssgan("edit", "transfer", a, "--from", b, "--parts", "all", "--what", "texture", "--out", tmp_path)
    edited = tmp_path / "edited.portrait"
    again = ssgan("edit", "transfer", edited, "--from", b, "--parts", "hair", "--out", tmp_path / "again")
    assert again.exit_code == 0, again.output
    film = tmp_path / "film [1].mp4"
    made = ssgan("video", edited, "--orbit", "--frames", 4, "--out", film, "--json")
    assert made.exit_code == 0, made.output
    assert json.loads(made.stdout)["width"] == 96
    assert film.read_bytes()[4:8] == b"ftyp"
    first = film.read_bytes()
    ssgan("video", edited, "--orbit", "--frames", 4, "--out", film)
    assert film.read_bytes() == first


def test_unknown_part_suggests_the_closest(ssgan, portraits, tmp_path):
    a = portraits[0] / "seed0000.portrait"
    result = ssgan("edit", "transfer", a, "--from", a, "--parts", "hiar", "--out", tmp_path)
    assert result.exit_code == 1
    assert "did you mean 'hair'?" in result.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("damage", ["flipped", "truncated", "empty", "text"])
def test_damaged_portraits_are_refused(ssgan, portraits, tmp_path, damage):
    content = bytearray((portraits[0] / "seed0000.portrait").read_bytes())
    if damage == "flipped":
        content[-7] ^= 16
    content = {"truncated": content[:-5], "empty": b"", "text": b"hello"}.get(damage, content)
    bad = tmp_path / "bad [x].portrait"
    bad.write_bytes(content)
    result = ssgan("video", bad, "--out", tmp_path / "a.mp4")
    assert result.exit_code == 1
    assert "bad [x].portrait" in result.stderr
    assert not (tmp_path / "a.mp4").exists()


class Canary:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("name", ["model.safetensors", "network.pkl", "model.pt"])
def test_malicious_models_are_never_executed(ssgan, tmp_path, name):
    canary = tmp_path / "canary"
    (tmp_path / name).write_bytes(pickle.dumps({"generator": Canary(str(canary))}))
    result = ssgan("generate", tmp_path / name, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert not canary.exists()


def test_portrait_of_another_model(ssgan, portraits, other_model, tmp_path):
    a = portraits[0] / "seed0000.portrait"
    result = ssgan("video", a, "--model", other_model, "--out", tmp_path / "a.mp4")
    assert result.exit_code == 1
    assert "another model" in result.stderr
    assert "--model" in result.stderr


def test_portrait_that_lost_its_model(ssgan, portraits, tiny_model, tmp_path):
    moved = tmp_path / "moved.portrait"
    shutil.copy(portraits[0] / "seed0000.portrait", moved)
    result = ssgan("video", moved, "--out", tmp_path / "frames")
    assert result.exit_code == 1
    assert "--model" in result.stderr
    found = ssgan("video", moved, "--out", tmp_path / "frames", "--frames", 2, "--model", tiny_model)
    assert found.exit_code == 0, found.output
    assert len(list((tmp_path / "frames").iterdir())) == 2


@pytest.mark.parametrize("size", [31, 8, 5000])
def test_impossible_video_sizes(ssgan, portraits, tmp_path, size):
    result = ssgan("video", portraits[0] / "seed0000.portrait", "--size", size, "--out", tmp_path / "a.mp4")
    assert result.exit_code == 1
    assert "even" in result.stderr


def test_output_that_cannot_be_written(ssgan, portraits, tiny_model, tmp_path):
    wall = tmp_path / "a file"
    wall.write_text("")
    for arguments in (
        ["generate", tiny_model, "--seeds", "0", "--out", wall / "out"],
        ["video", portraits[0] / "seed0000.portrait", "--frames", "1", "--out", wall / "a.mp4"],
    ):
        result = ssgan(*arguments)
        assert result.exit_code == 1
        assert "cannot write" in result.stderr


def test_missing_models_and_empty_runs(ssgan, tmp_path):
    assert "no model" in ssgan("generate", tmp_path / "absent").stderr
    (tmp_path / "run").mkdir()
    empty = ssgan("generate", tmp_path / "run")
    assert empty.exit_code == 1
    assert "no trained model yet" in empty.stderr


def test_compiling_the_renderer_is_announced(ssgan, tiny_model, tmp_path, monkeypatch):
    monkeypatch.setattr("ssgan_core.rendering.kernels.is_built", lambda kind: False)
    arguments = ["generate", tiny_model, "--seeds", "0", "--out", tmp_path]
    assert "compiling the renderer" in ssgan(*arguments).stderr
    assert "compiling" not in ssgan(*arguments, "--backend", "reference").stderr
