"""Edit locality and mask agreement, worked out by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssgan_core.evaluation.locality import (
    EditEffect,
    data_change,
    edit_effect,
    part_locality,
    qualifies,
    round_up,
    widen,
)
from ssgan_core.evaluation.mask_agreement import mask_agreement
from ssgan_core.parsing.agreement import Agreement

SIZE = 100  # regions are widened by 3 pixels
PART = 4


def head():
    """A grey picture with a square of the part, 10 x 10."""
    image, mask = np.full((SIZE, SIZE, 3), 100, np.uint8), np.zeros((SIZE, SIZE), np.uint8)
    mask[40:50, 40:50] = PART
    return image, mask


def effect(cover=0.1, change=0.2, locality=0.9, mask_leakage=0.1, elsewhere=0.01):
    return EditEffect(cover, change, locality, mask_leakage, elsewhere)


def test_a_change_within_the_part_is_local():
    image, mask = head()
    edited = image.copy()
    edited[40:50, 40:50] += 51  # 0.2
    found = edit_effect(image, mask, edited, mask, PART)
    assert found.cover == 0.01
    assert found.locality == 1
    assert found.change == pytest.approx(0.2)
    edited[45:50, 40:50] -= 51  # now half of the part
    assert edit_effect(image, mask, edited, mask, PART).change == pytest.approx(0.2 * np.sqrt(0.5))
    assert np.isnan(found.mask_leakage)
    assert found.elsewhere == 0


def test_a_change_elsewhere_counts_by_its_energy():
    image, mask = head()
    edited, moved = image.copy(), mask.copy()
    edited[40:50, 40:50] += 50
    edited[0:5, 0:20] += 100  # as many pixels, twice the change, four times the energy
    assert edit_effect(image, mask, edited, mask, PART).locality == pytest.approx(0.2)
    moved[40:50, 50:55] = PART  # 50 pixels of growth belong to the edit, 25 elsewhere do not
    moved[0:5, 0:5] = 7
    found = edit_effect(image, mask, edited, moved, PART)
    assert found.cover == pytest.approx(0.015)
    assert found.mask_leakage == pytest.approx(25 / 75)
    assert found.elsewhere == pytest.approx(25 / (SIZE**2 - 16 * 21))


def test_the_region_is_widened_by_three_percent():
    image, mask = head()
    for reach, local in ((3, 1.0), (4, 0.0)):
        edited = image.copy()
        edited[45, 49 + reach] += 90
        assert edit_effect(image, mask, edited, mask, PART).locality == local
    assert round_up(0.03 * 100) == 3
    assert round_up(0.03 * 64) == 2
    grown = widen(np.eye(7, dtype=bool) & (np.arange(7) == 3), 2)
    assert grown[1:6, 1:6].all()
    assert grown.sum() == 25


def test_nothing_and_no_part():
    image, mask = head()
    same = edit_effect(image, mask, image, mask, PART)
    assert np.isnan(same.locality)
    assert same.change == 0
    absent = edit_effect(image, mask, image + 1, mask, PART + 1)
    assert (absent.cover, absent.change, absent.locality) == (0, 0, 0)


def test_which_edits_count():
    assert qualifies(effect(cover=0.003, change=0.05), 0.2)
    assert not qualifies(effect(cover=0.0029, change=0.05), 0.2)
    assert not qualifies(effect(change=0.049), 0.2)
    assert not qualifies(effect(), None)
    assert not qualifies(effect(change=0), 0.0)
    assert data_change([effect(change=0.1), effect(change=0.3), effect(change=9, cover=0.001)]) == 0.2
    assert data_change([effect(cover=0)]) is None


def test_a_code_that_does_nothing_fails():
    image, mask = head()
    other = image + 60
    data = [edit_effect(image, mask, other, mask, PART)] * 3
    barely = image.copy()
    barely[45, 45] += 1
    facts = part_locality([edit_effect(image, mask, barely, mask, PART)] * 5, data)
    assert (facts["tried"], facts["covered"], facts["qualifying"]) == (5, 5, 0)
    assert facts["locality"] is None
    assert facts["strength"] < 0.01
    # The ruler: a whole head replaced is as local as the region is large.
    assert facts["locality_of_everything"] == pytest.approx(16**2 / SIZE**2)


def test_part_locality_averages_what_counts():
    edits = [
        effect(change=0.4, locality=0.8, mask_leakage=np.nan),
        effect(change=0.2, locality=0.6, mask_leakage=0.3),
        effect(change=0.01, locality=0.0),
        effect(cover=0.0),
    ]
    facts = part_locality(edits, [effect(change=0.4, locality=0.5)])
    assert (facts["tried"], facts["covered"], facts["qualifying"]) == (4, 3, 2)
    assert facts["locality"] == pytest.approx(0.7)
    assert facts["mask_leakage"] == pytest.approx(0.3)
    assert facts["change"] == pytest.approx(0.2)
    assert facts["strength"] == pytest.approx(0.5)
    assert facts["locality_of_everything"] == 0.5
    nothing = part_locality([], [])
    assert nothing["tried"] == 0
    assert nothing["change"] is nothing["strength"] is nothing["locality"] is None


@given(st.integers(0, 2**31))
@settings(max_examples=25, deadline=None, derandomize=True)
def test_effects_stay_in_their_ranges(seed):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (2, 20, 20, 3)).astype(np.uint8)
    masks = rng.integers(0, 3, (2, 20, 20)).astype(np.uint8)
    for part in range(4):
        found = edit_effect(images[0], masks[0], images[1], masks[1], part)
        assert 0 <= found.cover <= 1
        assert 0 <= found.change <= 1
        assert 0 <= found.locality <= 1
        assert 0 <= found.elsewhere <= 1
        back = edit_effect(images[1], masks[1], images[0], masks[0], part)
        assert back == found  # an edit and its undoing have the same effect


def test_mask_agreement_by_hand():
    model, data = Agreement(3), Agreement(3)
    truth = np.array([[0, 0], [1, 1]], np.uint8)
    model.add(truth, np.array([[0, 0], [1, 0]], np.uint8))  # background 2/3, part one 1/2
    data.add(truth, truth)
    data.add(np.array([[2, 2], [2, 2]], np.uint8), np.array([[2, 2], [2, 0]], np.uint8))
    facts = mask_agreement(model, data, ("background", "skin", "hat"))
    assert facts["parts"]["skin"] == {"model": 0.5, "data": 1.0, "model_shown": 1, "data_shown": 1}
    assert facts["parts"]["hat"] == {"model": None, "data": 0.75, "model_shown": 0, "data_shown": 1}
    assert facts["parts_compared"] == 3
    assert facts["model"] == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)  # without hats a model does not do better
    assert facts["data"] == pytest.approx((1 + 1 + 0.75) / 3)
