"""Part transfer touches nothing but the named part: bit for bit."""

import numpy as np
import pytest
import torch

from ssgan_core import cameras
from ssgan_core.editing.transfer import comparison, measure_change, transfer
from ssgan_core.errors import SsganError
from ssgan_core.parts import PORTRAIT
from ssgan_core.portrait import Portrait
from ssgan_core.synthesis import View, codes_from_seed, load_generator

FRONT = cameras.label(0.0, 0.0)
HAIR = PORTRAIT.foreground_index("hair")


@pytest.fixture(scope="module")
def generator(tiny_model):
    return load_generator(tiny_model, torch.device("cpu"))[0]


@pytest.fixture(scope="module")
def pair(generator):
    return tuple(
        Portrait(codes_from_seed(generator, seed), FRONT, "a" * 64, PORTRAIT.names, "") for seed in (0, 3)
    )


def maps_of(generator, portrait):
    with torch.inference_mode():
        return generator.part_maps(portrait.codes)


@pytest.mark.parametrize("part", range(len(PORTRAIT.foreground)))
def test_other_parts_stay_bit_identical(generator, pair, part):
    before, after = maps_of(generator, pair[0]), maps_of(generator, transfer(*pair, [part]))
    others = [k for k in range(len(PORTRAIT.foreground)) if k != part]
    for name in ("features", "optical_depth", "relative_depth"):
        old, new = getattr(before, name), getattr(after, name)
        assert torch.equal(old[:, others], new[:, others]), name
        assert not torch.equal(old[:, part], new[:, part]), name
    assert torch.equal(before.background, after.background)


def test_texture_leaves_geometry_and_rendered_masks_bit_identical(generator, pair):
    parts = range(len(PORTRAIT.foreground))
    edited = transfer(*pair, parts, shape=False)
    before, after = maps_of(generator, pair[0]), maps_of(generator, edited)
    assert torch.equal(before.depth, after.depth)
    assert torch.equal(before.optical_depth, after.optical_depth)
    labels = torch.from_numpy(cameras.label(0.3, 0.1))[None]
    with torch.inference_mode():
        old, new = generator.render(before, labels), generator.render(after, labels)
    assert torch.equal(old.depth, new.depth)
    assert torch.equal(old.low_mask, new.low_mask)
    assert not torch.equal(old.image, new.image)


def test_shape_leaves_texture_codes(pair):
    edited = transfer(*pair, [HAIR], texture=False)
    assert torch.equal(edited.codes.texture, pair[0].codes.texture)
    assert torch.equal(edited.codes.shape[:, HAIR], pair[1].codes.shape[:, HAIR])
    assert torch.equal(edited.codes.base, pair[0].codes.base)


def test_transfer_there_and_back_is_the_identity(pair):
    there = transfer(*pair, [0, HAIR])
    back = transfer(there, pair[0], [0, HAIR])
    assert torch.equal(back.codes.shape, pair[0].codes.shape)
    assert torch.equal(back.codes.texture, pair[0].codes.texture)


def test_portraits_of_different_models_do_not_mix(pair):
    stranger = Portrait(pair[1].codes, FRONT, "b" * 64, PORTRAIT.names, "")
    with pytest.raises(SsganError, match="different models"):
        transfer(pair[0], stranger, [HAIR])


def test_change_is_measured_inside_and_outside():
    mask = np.zeros((4, 4), np.uint8)
    mask[:2] = HAIR + 1
    before = View(np.zeros((4, 4, 3), np.uint8), mask, np.zeros((4, 4), np.float32))
    image = before.image.copy()
    image[:2] = 40
    image[3, 0] = 16
    change = measure_change(before, View(image, np.zeros_like(mask), before.depth), [HAIR])
    assert change.inside == 40
    assert change.outside == 2
    assert change.visible_outside == 1 / 8


def test_comparison_shows_the_difference():
    old = View(np.full((2, 2, 3), 100, np.uint8), np.zeros((2, 2), np.uint8), np.zeros((2, 2), np.float32))
    image, mask = old.image.copy(), old.mask.copy()
    image[0, 0], mask[0, 0] = 90, HAIR + 1
    sheet = comparison(old, old, View(image, mask, old.depth), PORTRAIT)
    assert sheet.shape == (4, 8, 3)
    assert sheet[0, 6].tolist() == [20, 20, 20]
    assert sheet[2, 6].tolist() == list(PORTRAIT.colours[HAIR + 1])
    assert not sheet[2, 7].any()
