"""The table of parts: complete for both public label orders, symmetric, and safe to read from a file."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssgan_core.errors import SsganError
from ssgan_core.parts import CELEBAMASK_HQ, CELEBAMASK_HQ_SUFFIXES, LABEL_ORDERS, PORTRAIT, Part, PartSchema

LEFT_RIGHT = PartSchema(
    (
        Part("background", ("background",), (0, 0, 0)),
        Part("skin", ("skin",), (1, 1, 1)),
        Part("l_eye", ("l_eye",), (2, 2, 2), mirror="r_eye"),
        Part("r_eye", ("r_eye",), (3, 3, 3), mirror="l_eye"),
    )
)


def test_the_default_schema_is_the_13_merged_classes():
    assert PORTRAIT.names == (
        "background", "skin", "eyes", "brows", "mouth", "nose", "ears", "hair", "neck", "cloth", "glasses",
        "hat", "earrings",
    )  # fmt: skip
    assert len(PORTRAIT.foreground) == 12
    assert PORTRAIT.windows.shape == (12, 4)
    assert PORTRAIT.windows.dtype == np.float32
    assert PORTRAIT.colours.shape == (13, 3)
    assert len(np.unique(PORTRAIT.colours, axis=0)) == 13


def test_the_two_orders_hold_the_same_19_classes_in_different_places():
    celeba, bisenet = LABEL_ORDERS["celebamask-hq"], LABEL_ORDERS["bisenet"]
    assert len(celeba) == len(bisenet) == 19
    assert set(celeba) == set(bisenet)
    assert celeba != bisenet
    assert set(CELEBAMASK_HQ_SUFFIXES.values()) == set(CELEBAMASK_HQ) - {"background"}


@pytest.mark.parametrize("order", LABEL_ORDERS)
def test_every_source_class_maps_to_one_part(order):
    table = PORTRAIT.lookup(order)
    assert table.shape == (256,)
    assert table.dtype == np.uint8
    for label, source in enumerate(LABEL_ORDERS[order]):
        assert source in PORTRAIT.parts[table[label]].merges
        assert sum(source in part.merges for part in PORTRAIT.parts) == 1
    assert (table[19:] == 255).all()
    assert set(table[:19]) == set(range(13))


def test_lookup_of_known_labels():
    # CelebAMask-HQ: 13 is hair and 17 neck; face-parsing BiSeNet: 17 is hair and 14 neck.
    assert (
        PORTRAIT.lookup("celebamask-hq")[13] == PORTRAIT.lookup("bisenet")[17] == PORTRAIT.names.index("hair")
    )
    assert (
        PORTRAIT.lookup("celebamask-hq")[17] == PORTRAIT.lookup("bisenet")[14] == PORTRAIT.names.index("neck")
    )
    with pytest.raises(SsganError, match="unknown label order 'ffhq'"):
        PORTRAIT.lookup("ffhq")
    with pytest.raises(SsganError, match="no part unites the source class 'l_brow'"):
        LEFT_RIGHT.lookup("bisenet")


def test_parts_by_name():
    assert PORTRAIT.foreground_index("skin") == 0
    assert PORTRAIT.foreground_index("earrings") == 11
    assert PORTRAIT.foreground_indices(["hair", "eyes", "hair"]) == [1, 6]
    assert PORTRAIT.foreground_indices(["all"]) == list(range(12))
    with pytest.raises(SsganError, match="no part 'hairs'") as caught:
        PORTRAIT.foreground_index("hairs")
    assert caught.value.hint == "did you mean 'hair'?"
    with pytest.raises(SsganError) as caught:
        PORTRAIT.foreground_index("background")
    assert "earrings" in caught.value.hint


def test_mirror_is_an_involution():
    np.testing.assert_array_equal(PORTRAIT.mirror_ids, np.arange(13))
    np.testing.assert_array_equal(LEFT_RIGHT.mirror_ids, [0, 1, 3, 2])
    np.testing.assert_array_equal(LEFT_RIGHT.mirror_ids[LEFT_RIGHT.mirror_ids], np.arange(4))


def test_impossible_schemas():
    background, skin, left, right = LEFT_RIGHT.parts
    for parts, message in [
        ((), "starts with 'background'"),
        ((background,), "starts with 'background'"),
        ((skin, background), "starts with 'background'"),
        ((background, skin, skin), "twice"),
        ((background, skin, left), "unknown parts"),
        ((background, skin, left, replace(right, mirror="")), "one way only"),
        ((background, *(replace(skin, name=f"p{i}") for i in range(255))), "at most 255"),
    ]:
        with pytest.raises(SsganError, match=message):
            PartSchema(parts)


def test_json_round_trip_of_the_shipped_schemas():
    for schema in (PORTRAIT, LEFT_RIGHT):
        assert PartSchema.from_json(json.loads(json.dumps(schema.to_json()))) == schema


finite = st.floats(-10, 10, allow_nan=False)


@settings(derandomize=True, database=None, deadline=None, max_examples=60)
@given(
    rows=st.lists(
        st.builds(
            Part,
            name=st.text(min_size=1),
            merges=st.lists(st.text(), max_size=3).map(tuple),
            colour=st.tuples(*[st.integers(0, 255)] * 3),
            depth_start=finite,
            depth_bound=st.floats(0, 10),
            window=st.tuples(finite, finite, st.floats(11, 20), st.floats(11, 20)),
        ),
        min_size=1,
        max_size=8,
        unique_by=lambda part: part.name,
    )
)
def test_json_round_trip_of_any_schema(rows):
    background, skin = PORTRAIT.parts[:2]
    # Hypothesis also draws words that stand in the code.
    others = [row for row in rows if row.name not in (background.name, skin.name)]
    schema = PartSchema((background, *others, skin))
    assert PartSchema.from_json(json.loads(json.dumps(schema.to_json()))) == schema


@pytest.mark.parametrize("rows", [None, 3, "parts", {}, {"name": "x"}, [1, 2], [[]], []])
def test_what_is_no_list_of_objects(rows):
    with pytest.raises(SsganError, match="part schema"):
        PartSchema.from_json(rows)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("name", None, None),
        ("merges", 3, "malformed"),
        ("colour", [1, 2], "impossible colour"),
        ("colour", [1, 2, 256], "impossible colour"),
        ("colour", [1, 2, "red"], "malformed"),
        ("colour", [1, 2, float("inf")], "malformed"),
        ("depth_start", float("nan"), "impossible depth"),
        ("depth_bound", -0.1, "impossible depth"),
        ("depth_bound", 10**400, "malformed"),
        ("window", [0, 0, 1], "impossible window"),
        ("window", [0, 0, 0, 1], "impossible window"),
        ("window", [0, 0, float("nan"), 1], "impossible window"),
        ("window", None, "malformed"),
        ("mirror", "nobody", "unknown parts"),
    ],
)
def test_malformed_rows(key, value, message):
    rows = PORTRAIT.to_json()
    rows[2] = {**rows[2], key: value}
    if message is None:
        del rows[2][key]
        message = "malformed"
    with pytest.raises(SsganError, match=message):
        PartSchema.from_json(rows)
