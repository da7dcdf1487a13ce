"""Interpolation moves nothing but the named codes, on a straight line whose ends are exact: bit for bit."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ssgan_core import cameras
from ssgan_core.editing.interpolation import interpolate, interpolate_to_folder
from ssgan_core.editing.transfer import transfer
from ssgan_core.errors import SsganError
from ssgan_core.model.codes import Codes
from ssgan_core.parts import PORTRAIT
from ssgan_core.pictures import read_image
from ssgan_core.portrait import Portrait, load_portrait, save_portrait
from ssgan_core.synthesis import View, codes_from_seed, load_generator, path_to_model, views_sheet

CPU = torch.device("cpu")
COUNT = len(PORTRAIT.foreground)
HAIR, SKIN = PORTRAIT.foreground_index("hair"), PORTRAIT.foreground_index("skin")


def portrait_of(seed, model="a" * 64, names=PORTRAIT.names):
    """Codes that differ from part to part, as after edits."""
    noise = torch.Generator().manual_seed(seed)
    shapes = ((1, 8), (1, COUNT, 8), (1, COUNT + 1, 8))
    codes = Codes(*(torch.randn(shape, generator=noise) for shape in shapes))
    return Portrait(codes, cameras.label(0.1 * seed, 0.0), model, names)


FIRST, SECOND = portrait_of(0), portrait_of(1)


def same_codes(a, b):
    return (
        torch.equal(a.codes.base, b.codes.base)
        and torch.equal(a.codes.shape, b.codes.shape)
        and torch.equal(a.codes.texture, b.codes.texture)
    )


chosen_parts = st.lists(st.integers(0, COUNT - 1), unique=True)


@settings(max_examples=30, deadline=None)
@given(chosen_parts, st.booleans(), st.booleans())
def test_ends_are_the_first_portrait_and_the_transfer(parts, shape, texture):
    assert same_codes(interpolate(FIRST, SECOND, 0.0, parts, shape=shape, texture=texture), FIRST)
    end = interpolate(FIRST, SECOND, 1.0, parts, shape=shape, texture=texture)
    assert same_codes(end, transfer(FIRST, SECOND, parts, shape=shape, texture=texture))


@settings(max_examples=30, deadline=None)
@given(chosen_parts, st.floats(0, 1), st.booleans(), st.booleans())
def test_only_the_named_codes_move_and_on_a_straight_line(parts, amount, shape, texture):
    between = interpolate(FIRST, SECOND, amount, parts, shape=shape, texture=texture)
    assert np.array_equal(between.label, FIRST.label)
    assert torch.equal(between.codes.base, FIRST.codes.base)
    assert torch.equal(between.codes.texture[:, 0], FIRST.codes.texture[:, 0])
    for part in range(COUNT):
        for name, moves, index in (("shape", shape, part), ("texture", texture, part + 1)):
            old, other, new = (getattr(p.codes, name)[:, index] for p in (FIRST, SECOND, between))
            if moves and part in parts:
                torch.testing.assert_close(new, (1 - amount) * old + amount * other)
            else:
                assert torch.equal(new, old)


def test_without_parts_everything_moves():
    assert same_codes(interpolate(FIRST, SECOND, 0.0, None), FIRST)
    assert same_codes(interpolate(FIRST, SECOND, 1.0, None), SECOND)
    middle = interpolate(FIRST, SECOND, 0.5, None).codes
    torch.testing.assert_close(middle.base, (FIRST.codes.base + SECOND.codes.base) / 2)
    torch.testing.assert_close(middle.texture, (FIRST.codes.texture + SECOND.codes.texture) / 2)
    assert np.array_equal(interpolate(FIRST, SECOND, 1.0, None).label, FIRST.label)


@pytest.mark.parametrize("parts", [[HAIR], None])
def test_portraits_that_do_not_fit_are_refused(parts):
    with pytest.raises(SsganError, match=r"models \(a{12}… and b{12}…\)"):
        interpolate(FIRST, portrait_of(1, model="b" * 64), 0.5, parts)
    with pytest.raises(SsganError, match="different parts: earrings, moustache"):
        interpolate(FIRST, portrait_of(1, names=(*PORTRAIT.names[:-1], "moustache")), 0.5, parts)


@pytest.fixture
def files(tiny_model, tmp_path):
    """Two portrait files of the tiny model, seen by different cameras."""
    generator, loaded = load_generator(tiny_model, CPU)
    paths = []
    for seed in (0, 3):
        path = tmp_path / "in [1]" / f"{seed}.portrait"
        own = Portrait(
            codes_from_seed(generator, seed),
            cameras.label(0.1 * seed, 0.0),
            loaded.sha256,
            PORTRAIT.names,
            path_to_model(path.parent, tiny_model),
        )
        save_portrait(path, own)
        paths.append(path)
    return paths


def test_steps_and_sheet_on_disk(files, tmp_path):
    """Six steps are two batches."""
    seen = []
    saved = interpolate_to_folder(
        *files,
        ["skin", "hair"],
        tmp_path / "deep" / "out",
        steps=6,
        model=None,
        device=CPU,
        progress=lambda done, total, note="": seen.append((done, total)),
    )
    assert seen == [(i, 6) for i in range(1, 7)]
    assert saved.parts == ["skin", "hair"]
    assert [row["amount"] for row in saved.steps] == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])
    first, second = map(load_portrait, files)
    steps = [load_portrait(row["portrait"]) for row in saved.steps]
    assert same_codes(steps[0], first)
    assert same_codes(steps[-1], transfer(first, second, [SKIN, HAIR]))
    assert all(np.array_equal(step.label, first.label) for step in steps)
    assert all(step.model_path and step.model_path != first.model_path for step in steps)
    sheet = read_image(saved.sheet)
    assert sheet.shape == (3 * 32, 6 * 32, 3)
    assert np.array_equal(sheet[:32, 32:64], read_image(saved.steps[1]["image"]))
    names = {path.name for path in (tmp_path / "deep" / "out").iterdir()}
    ends = (".png", "_mask.png", "_depth.png", ".portrait")
    assert names == {"sheet.png", *(f"step{i:02d}{end}" for i in range(6) for end in ends)}
    assert saved.change.inside > 0


def test_a_part_that_does_not_exist_writes_nothing(files, tmp_path):
    with pytest.raises(SsganError, match="no part 'hare'") as caught:
        interpolate_to_folder(*files, ["hare"], tmp_path / "out", steps=2, model=None, device=CPU)
    assert "hair" in caught.value.hint
    assert not (tmp_path / "out").exists()


def test_a_portrait_of_another_model_writes_nothing(files, tmp_path):
    stranger = load_portrait(files[1])
    save_portrait(files[1], replace(stranger, model_sha256="b" * 64))
    with pytest.raises(SsganError, match="different models"):
        interpolate_to_folder(*files, None, tmp_path / "out", steps=2, model=None, device=CPU)
    assert not (tmp_path / "out").exists()


def test_sheet_has_images_above_masks_above_depth():
    steps = [
        View(np.full((2, 2, 3), i, np.uint8), np.full((2, 2), i, np.uint8), np.full((2, 2), 2.7, np.float32))
        for i in range(3)
    ]
    sheet = views_sheet(steps, PORTRAIT)
    assert sheet.shape == (6, 6, 3)
    assert sheet[0, 4].tolist() == [2, 2, 2]
    assert sheet[2, 4].tolist() == list(PORTRAIT.colours[2])
    assert len(set(sheet[4, 4].tolist())) == 1
