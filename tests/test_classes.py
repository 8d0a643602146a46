"""The config's classes become names in order and values, or an error by name."""

from __future__ import annotations

import pytest

from roadmask.classes import ClassTable
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
        ({"road": "grey"}, "classes.road: 'grey' is neither a number nor a colour"),
        ({"road": True}, "classes.road: True is neither"),
        ({"road": float("nan")}, "classes.road: nan is neither"),
        ({"road": []}, "classes.road: no value"),
        ({"road": None}, "classes.road: None is neither"),
        ({"road": [0, 0, 300]}, r"classes.road: \[0, 0, 300\] is no colour"),
        ({"road": [[1, 2]]}, r"\[1, 2\] is no colour"),
        ({"road": 1, "water": [1, 2]}, "the value 1 belongs to road and to water"),
        ({"road": [9, 9, 9], "ignore": [9, 9, 9]}, r"\[9, 9, 9\] belongs to road and to ignore"),
        ({"road": 1, "water": [0, 0, 9]}, "some values are numbers and some are colours"),
        ({f"c{i}": i for i in range(255)}, "255 classes; a mask holds 254 at most"),
    ],
)
def test_refuses(mapping, message):
    with pytest.raises(SettingError, match=message):
        ClassTable.parse(mapping)
