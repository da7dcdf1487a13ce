"""Conditions on columns: what meets them, and every mistake is named."""

import pytest

from ssgan_core.conditions import parse_conditions
from ssgan_core.errors import SsganError

META = {
    "occlusion": 0.25, "source": "synthetic", "views": 3, "sharp": True, "nothing": None,
    "crop": {"padding": 0.1, "deep": {"er": 1}},
}  # fmt: skip


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({}, True),
        ({"occlusion": {"max": 0.25}}, True),
        ({"occlusion": {"max": 0.2499}}, False),
        ({"occlusion": {"min": 0.25}}, True),
        ({"occlusion": {"min": 0.26}}, False),
        ({"occlusion": {"min": 0, "max": 1}}, True),
        ({"views": 3}, True),
        ({"views": 3.0}, True),
        ({"views": 4}, False),
        ({"views": {"min": 3, "max": 3}}, True),
        ({"views": "3"}, False),
        ({"sharp": True}, True),
        ({"sharp": False}, False),
        ({"sharp": 1}, False),
        ({"views": True}, False),
        ({"sharp": {"max": 5}}, False),
        ({"source": "synthetic"}, True),
        ({"source": "photo"}, False),
        ({"source": {"max": 5}}, False),
        ({"source": None}, False),
        ({"nothing": None}, True),
        ({"missing": None}, True),
        ({"missing": {"max": 5}}, False),
        ({"missing": 0}, False),
        ({"nothing": {"max": 5}}, False),
        ({"crop.padding": {"max": 0.1}}, True),
        ({"crop.padding": {"max": 0.05}}, False),
        ({"crop.deep.er": 1}, True),
        ({"source.padding": None}, True),
        ({"views": 3, "occlusion": {"max": 0.1}}, False),
    ],
)
def test_conditions_are_met_or_not(where, expected):
    assert all(condition.is_met(META) for condition in parse_conditions(where, "where")) is expected


def test_columns_are_known_even_if_they_hold_nothing():
    names = ("occlusion", "nothing", "crop.deep", "crop.deep.er", "missing", "crop.missing", "source.deep")
    known = {name: parse_conditions({name: None}, "where")[0].is_known(META) for name in names}
    assert [name for name, is_known in known.items() if is_known] == [
        "occlusion", "nothing", "crop.deep", "crop.deep.er",
    ]  # fmt: skip


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 10**400])
def test_impossible_numbers_of_an_entry_meet_nothing(value):
    (condition,) = parse_conditions({"a": {"max": 5}}, "where")
    assert not condition.is_met({"a": value})


@pytest.mark.parametrize(
    ("where", "message"),
    [
        (None, "data.where is not a mapping"),
        ([], "data.where is not a mapping"),
        ({3: None}, "3 names no column"),
        ({"": None}, "'' names no column"),
        ({"a..b": None}, "'a..b' names no column"),
        ({"a": []}, r"data.where.a must be a value, or \{min: ..., max: ...\}"),
        ({"a": {}}, "data.where.a must be a value"),
        ({"a": {"maximum": 3}}, "data.where.a: there is no condition 'maximum'"),
        ({"a": {"max": 3, "b": 2}}, "data.where.a: there is no condition 'b'"),
        ({"a": {"max": "3"}}, "data.where.a.max must be a finite number, got '3'"),
        ({"a": {"max": True}}, "data.where.a.max must be a finite number"),
        ({"a": {"max": float("inf")}}, "data.where.a.max must be a finite number"),
        ({"a": {"min": 10**400}}, "data.where.a.min must be a finite number"),
        ({"a": float("nan")}, "data.where.a must be a value"),
        ({"a": {"min": 3, "max": 2}}, "data.where.a: nothing lies between min 3 and max 2"),
    ],
)
def test_mistakes_are_named(where, message):
    with pytest.raises(SsganError, match=message):
        parse_conditions(where, "data.where")
