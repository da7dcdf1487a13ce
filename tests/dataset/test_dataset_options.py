"""options.json, which entries are chosen, and how rare views are repeated."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssgan_core import cameras
from ssgan_core.config import DataOptions, config_from_json, load_config
from ssgan_core.dataset.options import read_options, write_options
from ssgan_core.dataset.packing import pack
from ssgan_core.dataset.reader import PortraitDataset
from ssgan_core.dataset.selection import part_copies, select, yaw_copies
from ssgan_core.dataset.writer import DatasetWriter
from ssgan_core.errors import SsganError
from ssgan_core.parts import PORTRAIT
from ssgan_core.training.data import StoredPortraits

BLANK = np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.uint8)


def make(folder, metas, depth=()):
    """A data set whose entries have these meta, and depth if they are named."""
    with DatasetWriter(folder, PORTRAIT, 8) as writer:
        for number, (name, meta) in enumerate(metas.items()):
            z_cam = np.full((8, 8), 2.5, np.float32) if name in depth else None
            writer.add(name, BLANK[0] + number, BLANK[1], cameras.label(0.01 * number, 0), meta, z_cam)
    return PortraitDataset.open(folder)


def test_entries_with_rare_parts_are_repeated_up_to_a_limit(tmp_path):
    """Of 16 entries all show skin, four glasses, one of these a hat, and one earrings."""
    ids = {name: index for index, name in enumerate(PORTRAIT.names)}
    with DatasetWriter(tmp_path, PORTRAIT, 8) as writer:
        for index in range(16):
            mask = np.full((8, 8), ids["skin"], np.uint8)
            mask[0] = ids["background"]
            if index < 4:
                mask[1, 1] = ids["glasses"]
            if index == 3:
                mask[2, 2] = ids["hat"]
            if index == 9:
                mask[3, 3] = ids["earrings"]
            writer.add(f"{index:02d}", BLANK[0], mask, cameras.label(0, 0), {})
    data = PortraitDataset.open(tmp_path)
    expected = [2, 2, 2, 4, 1, 1, 1, 1, 1, 4, 1, 1, 1, 1, 1, 1]
    assert part_copies(data, 64).tolist() == expected
    assert part_copies(data, 3).tolist() == np.minimum(expected, 3).tolist()
    assert part_copies(data, 1).tolist() == [1] * 16
    source = StoredPortraits(data, DataOptions(balance_parts=3, balance_yaw=2))
    assert np.bincount(source.shown).tolist() == np.minimum(expected, 3).tolist()


def test_entries_that_show_one_of_some_parts(tmp_path):
    ids = {name: index for index, name in enumerate(PORTRAIT.names)}
    with DatasetWriter(tmp_path, PORTRAIT, 8) as writer:
        for name, part, blur in (("a", "hat", 1), ("b", "skin", 1), ("c", "glasses", 1), ("d", "hat", 5)):
            mask = np.full((8, 8), ids["skin"], np.uint8)
            mask[1, 1] = ids[part]
            writer.add(name, BLANK[0], mask, cameras.label(0, 0), {"blur": blur})
    data = PortraitDataset.open(tmp_path)
    assert select(data, DataOptions(showing="hat, glasses")).names == ("a", "c", "d")
    assert select(data, DataOptions(showing="hat", where={"blur": {"max": 2}})).names == ("a",)
    assert select(data, DataOptions(showing="")) is data
    with pytest.raises(SsganError, match=r"no entry of .* shows earrings"):
        select(data, DataOptions(showing="earrings"))
    with pytest.raises(SsganError, match="there is no part 'hats'") as caught:
        select(data, DataOptions(showing="hats"))
    assert caught.value.hint == "did you mean 'hat'?"


# ----------------------------------------------------------------------------------------- options.json


def test_options_are_written_and_read_from_folder_and_zip(tmp_path):
    make(tmp_path / "ds", {"a": {}})
    assert read_options(tmp_path / "ds") == {}
    where = {"occlusion": {"max": 0.3}, "duplicate_of": None}
    path = write_options(tmp_path / "ds", mirror=False, balance_yaw=4, skip_duplicates=True, where=where)
    assert path == tmp_path / "ds" / "options.json"
    expected = {"mirror": False, "balance_yaw": 4, "skip_duplicates": True, "where": where}
    assert read_options(tmp_path / "ds") == expected
    pack(tmp_path / "ds", tmp_path / "ds.zip")
    assert read_options(tmp_path / "ds.zip") == expected
    write_options(tmp_path / "ds", balance_yaw=2)
    assert json.loads(path.read_text()) == {"balance_yaw": 2}
    with DatasetWriter(tmp_path / "ds", PORTRAIT, 8):  # a data set with options can be added to
        pass
    assert read_options(tmp_path / "ds") == {"balance_yaw": 2}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", r"options\.json is not valid JSON"),
        ("[]", r"options\.json: 'recipe' is not a mapping"),
        ('{"mirrored": true}', "there is no setting 'mirrored' .*did you mean 'mirror'"),
        ('{"workers": 3}', "there is no setting 'workers'"),
        ('{"mirror": 1}', "'mirror' must be true or false, got 1"),
        ('{"mirror": null}', "'mirror' must be true or false"),
        ('{"balance_yaw": 2.5}', "'balance_yaw' must be a whole number"),
        ('{"balance_parts": 65}', "balance_parts must lie between 1 and 64, got 65"),
        ('{"balance_yaw": 0}', "balance_yaw must lie between 1 and 64, got 0"),
        ('{"where": [1]}', "'where' must be a mapping"),
        ('{"where": {"a": {"maximum": 1}}}', "there is no condition 'maximum'"),
        ('{"where": {"a": {"max": NaN}}}', "finite number"),
    ],
)
def test_malformed_options_are_named(tmp_path, content, message):
    make(tmp_path, {"a": {}})
    (tmp_path / "options.json").write_text(content)
    with pytest.raises(SsganError, match=message) as caught:
        read_options(tmp_path)
    assert "options.json" in caught.value.message


def test_impossible_options_are_not_written(tmp_path):
    with pytest.raises(SsganError, match="between 1 and 64"):
        write_options(tmp_path, balance_yaw=100)
    assert list(tmp_path.iterdir()) == []


def test_huge_options_are_not_parsed(tmp_path):
    make(tmp_path, {"a": {}})
    (tmp_path / "options.json").write_text(" " * (1 << 20) + "{}")
    with pytest.raises(SsganError, match="larger than"):
        read_options(tmp_path)


def test_a_recipe_has_the_last_word(tmp_path):
    options = {"mirror": False, "balance_yaw": 4, "where": {"blur": {"max": 1}}}
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("data: {balance_yaw: 2}")
    data = load_config(str(recipe), ["data.where={sharp: true}"], options).data
    assert (data.mirror, data.balance_yaw, data.where) == (False, 2, {"sharp": True})
    assert load_config(str(recipe), ["data.where.crop=null"], options).data.where == {"crop": None}
    recipe.write_text("seed: 3")
    data = load_config(str(recipe), None, options).data
    assert (data.mirror, data.balance_yaw, data.where) == (False, 4, {"blur": {"max": 1}})
    assert load_config(str(recipe)).data.mirror
    recipe.write_text("data: []")
    with pytest.raises(SsganError, match="'data' is not a mapping"):
        load_config(str(recipe), None, options)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"where": None}, "'data.where' must be a mapping"),
        ({"where": {"a": {"maks": 1}}}, r"data\.where\.a: there is no condition 'maks'"),
        ({"balance_yaw": 65}, "between 1 and 64"),
        ({"skip_duplicate": True}, "did you mean 'data.skip_duplicates'"),
    ],
)
def test_mistakes_in_a_recipe_are_named(data, message):
    with pytest.raises(SsganError, match=message):
        config_from_json({"data": data}, "test")


# -------------------------------------------------------------------------------------------- selection


def test_conditions_choose_entries(tmp_path):
    metas = {"a": {"blur": 1, "n": 0}, "b": {"blur": 3, "n": 1}, "c": {"n": 2}, "d": {"blur": 2, "n": 3}}
    data = make(tmp_path, metas, depth=("a", "d"))
    assert not data.has_depth
    assert select(data, DataOptions()) is data
    chosen = select(data, DataOptions(where={"blur": {"max": 2}}))
    assert chosen.names == ("a", "d")
    assert len(chosen) == 2
    assert chosen.has_depth
    np.testing.assert_array_equal(chosen.labels, data.labels[[0, 3]])
    assert (chosen.image(1) == 3).all()
    assert chosen.meta(1) == metas["d"]
    assert chosen.depth(1) is not None
    assert (data.names, data.labels.shape) == (tuple("abcd"), (4, 25))
    assert select(data, DataOptions(where={"blur": None})).names == ("c",)
    assert select(data, DataOptions(where={"blur": {"max": 2}, "n": 0})).names == ("a",)


def test_columns_that_no_entry_has_are_mistakes(tmp_path):
    data = make(tmp_path, {"a": {"blur": 1, "source": None}, "b": {}})
    assert select(data, DataOptions(where={"source": None})).names == ("a", "b")
    with pytest.raises(SsganError, match=r"no entry of .* has the column 'blurr'") as caught:
        select(data, DataOptions(where={"blurr": {"max": 1}}))
    assert caught.value.hint == "did you mean 'blur'?"
    with pytest.raises(SsganError) as caught:
        select(data, DataOptions(where={"yaw": None}))
    assert caught.value.hint == "columns are blur, source"
    with pytest.raises(SsganError, match=r"no entry of .* meets data\.where"):
        select(data, DataOptions(where={"blur": {"min": 2}}))


def test_of_duplicates_the_first_that_meets_the_conditions_is_used(tmp_path):
    metas = {
        "a": {"duplicate_of": None, "blur": 9},
        "b": {"duplicate_of": "a", "blur": 1},
        "c": {"duplicate_of": None, "blur": 1},
        "d": {"duplicate_of": "a", "blur": 2},
        "e": {"duplicate_of": "gone", "blur": 1},
        "f": {},
    }
    data = make(tmp_path, metas)
    assert select(data, DataOptions(skip_duplicates=True)).names == ("a", "c", "e", "f")
    sharp = DataOptions(skip_duplicates=True, where={"blur": {"max": 5}})
    assert select(data, sharp).names == ("b", "c", "e")
    assert select(data, DataOptions(where={"duplicate_of": None})).names == ("a", "c", "f")


def test_duplicates_are_not_skipped_unsearched(tmp_path):
    with pytest.raises(SsganError, match="never searched for duplicates"):
        select(make(tmp_path / "1", {"a": {}}), DataOptions(skip_duplicates=True))
    with pytest.raises(SsganError, match="duplicate_of of a is not the name"):
        select(make(tmp_path / "2", {"a": {"duplicate_of": 3}}), DataOptions(skip_duplicates=True))


# --------------------------------------------------------------------------------------------- balancing

DEGREES = st.lists(st.floats(-88, 88), min_size=1, max_size=60)


@given(DEGREES, st.integers(1, 9))
@settings(max_examples=60, deadline=None)
def test_shows_of_every_bin_reach_the_fullest_or_the_cap(degrees, most):
    labels = cameras.label(np.deg2rad(degrees), 0.1)
    copies = yaw_copies(labels, most)
    bins = np.abs(cameras.angles(labels)[0]) // np.deg2rad(5.0)
    counts = {place: (bins == place).sum() for place in bins}
    assert copies.min() >= 1
    for place, count in counts.items():
        shares = copies[bins == place]
        assert shares.sum() == min(max(counts.values()), most * count)
        assert shares.max() - shares.min() <= 1
    np.testing.assert_array_equal(yaw_copies(cameras.mirror_label(labels), most), copies)


def test_rare_views_are_repeated_and_the_histogram_becomes_flat():
    yaw = np.random.default_rng(0).normal(0, 0.25, 4000)
    labels = cameras.label(yaw, 0)
    assert (yaw_copies(labels, 1) == 1).all()
    copies = yaw_copies(labels, 64)
    before, _ = np.histogram(np.abs(yaw), np.deg2rad(np.arange(0, 45, 5)))
    after, _ = np.histogram(np.abs(yaw), np.deg2rad(np.arange(0, 45, 5)), weights=copies)
    assert before.max() > 5 * before[6]
    np.testing.assert_array_equal(after[:7], before.max())
    assert yaw_copies(labels, 4).max() == 4


def test_extra_shows_are_spread_over_a_bin():
    labels = cameras.label(np.deg2rad([2.0] * 15 + [12.0] * 10), 0)
    assert yaw_copies(labels, 9)[15:].tolist() == [1, 2] * 5
