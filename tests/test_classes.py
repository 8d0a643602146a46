"""The config's classes become names in order and values, or an error by name."""

from __future__ import annotations

import numpy as np
import pytest

from roadmask.classes import ClassTable, field_value
from roadmask.errors import SettingError

DUBAI = {
    "building": [60, 16, 152],
    "land": [132, 41, 246],
    "road": [110, 193, 228],
    "vegetation": [254, 221, 58],
    "water": [226, 169, 41],
    "ignore": [155, 155, 155],
}


def test_default():
    table = ClassTable.parse({"road": 1})
    assert table.names == ("road",)
    assert table.all_names == ("other", "road")
    assert table.values == ((), (1.0,))
    assert (table.outputs, table.by_threshold, table.in_colours) == (1, True, False)


def test_colours_in_their_order():
    table = ClassTable.parse(DUBAI)
    assert table.names == ("building", "land", "road", "vegetation", "water")
    assert table.values[3] == ((110, 193, 228),)
    assert table.ignored == ((155, 155, 155),)
    assert (table.outputs, table.by_threshold, table.in_colours) == (6, False, True)


def test_other_is_zero_wherever_it_stands():
    table = ClassTable.parse({"road": 2, "other": [0, 1], "water": 7})
    assert table.names == ("road", "water")
    assert table.values == ((0.0, 1.0), (2.0,), (7.0,))


@pytest.mark.parametrize(
    ("value", "values"),
    [
        (3, (3.0,)),
        ([3, 4], (3.0, 4.0)),
        ([[3]], (3.0,)),
        ([1, 2, 3], ((1, 2, 3),)),
        ([[1], [2], [3]], (1.0, 2.0, 3.0)),
        ([[1, 2, 3], [4, 5, 6]], ((1, 2, 3), (4, 5, 6))),
        ([5, 5], (5.0,)),
        ([1, 2, 3, 4], (1.0, 2.0, 3.0, 4.0)),
        ("350010", (350010.0,)),
        (["350000", 350000, "R", "007"], (350000.0, "R", "007")),
        ("#3C1098", ((60, 16, 152),)),
        (["#3c1098", [1, 2, 3]], ((60, 16, 152), (1, 2, 3))),
    ],
)
def test_a_value_a_colour_or_several(value, values):
    table = ClassTable.parse({"road": value})
    assert table.values[1] == values
    assert table.by_threshold == (len(values) == 1 and isinstance(values[0], float))


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({}, "classes: there is no class but other"),
        ({"other": 0, "ignore": 3}, "there is no class but other"),
        ({"road": " "}, "classes.road: ' ' is neither a number, a text nor a colour"),
        ({"road": True}, "classes.road: True is neither"),
        ({"road": float("nan")}, "classes.road: nan is neither"),
        ({"road": []}, "classes.road: no value"),
        ({"road": 1, "Unknown": 2}, "a class can't be called 'Unknown'.*under ignore"),
        ({"": 2}, "a class can't be called ''"),
        ({"road": None}, "classes.road: None is neither"),
        ({"road": [0, 0, 300]}, r"classes.road: \[0, 0, 300\] is no colour"),
        ({"road": [[1, 2]]}, r"\[1, 2\] is no colour"),
        ({"road": 1, "water": [1, 2]}, "the value 1 belongs to road and to water"),
        ({"road": [9, 9, 9], "ignore": [9, 9, 9]}, r"\[9, 9, 9\] belongs to road and to ignore"),
        ({"road": 1, "water": [0, 0, 9]}, "some values are colours and some are not"),
        ({f"c{i}": i for i in range(255)}, "255 classes; a mask holds 254 at most"),
    ],
)
def test_refuses(mapping, message):
    with pytest.raises(SettingError, match=message):
        ClassTable.parse(mapping)


@pytest.mark.parametrize(
    ("value", "compared_by"),
    [
        (350010, 350010.0),
        (np.int64(7), 7.0),
        (np.float32(0.5), 0.5),
        ("350010", 350010.0),
        (" 2.0 ", 2.0),
        ("-3", -3.0),
        ("007", "007"),
        ("1e3", "1e3"),
        ("R", "R"),
        (True, "True"),
        (None, None),
        (np.nan, None),
        ("  ", None),
    ],
)
def test_codes_that_arrive_as_text_are_the_numbers_they_show(value, compared_by):
    assert field_value(value) == compared_by
    assert type(field_value(value)) is type(compared_by)


def test_the_order_of_the_config_is_kept():
    table = ClassTable.parse({"water": 5, "other": [0, 9], "ignore": "x", "road": [1, 2]})
    pairs = [(5.0, 1), (0.0, 0), (9.0, 0), ("x", 255), (1.0, 2), (2.0, 2)]
    assert table.in_order(255) == pairs
    assert table.texts == ("x",)


def test_the_sources_colours_are_the_classes_colours():
    assert ClassTable.parse(DUBAI).colours == tuple(map(tuple, list(DUBAI.values())[:5]))
    assert ClassTable.parse({"road": 1, "water": 2}).colours == (None, None)
