"""Which scenes teach how road looks: few, and seldom others."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planning.teaching import MOST, chosen

NAMES = st.sets(st.text(min_size=1, max_size=8), min_size=1, max_size=40)


def test_a_small_city_is_learned_whole_in_the_order_of_names() -> None:
    assert chosen(["c", "a", "b"]) == ["a", "b", "c"]
    assert chosen([]) == []
    assert len(chosen([f"sheet_{number}" for number in range(100)])) == MOST == 16


def test_the_choice_is_the_same_in_every_version() -> None:
    # `printf NAME | sha256sum` begins with 8e, f4, be, 4f, 6b, 76, dc, 2d and f1.
    names = ["alpha", "beta", "gamma", "delta", "east", "west", "north", "south", "center"]
    assert chosen(names, most=3) == ["delta", "east", "south"]


@given(names=NAMES, new=st.text(min_size=1, max_size=8), most=st.integers(1, 10))
def test_a_new_scene_takes_the_place_of_one_at_most(names: set[str], new: str, most: int) -> None:
    before, after = set(chosen(names, most)), set(chosen({*names, new}, most))
    assert after <= {*before, new}
    assert len(after) == min(most, len({*names, new}))
    assert len(before - after) <= 1


@given(names=NAMES, order=st.randoms())
def test_the_order_in_which_scenes_are_named_does_not_matter(
    names: set[str], order: Random
) -> None:
    shuffled = sorted(names)
    order.shuffle(shuffled)
    assert chosen(shuffled, 5) == chosen(names, 5)


@pytest.mark.parametrize("pattern", ["sheet_{:06d}", "{}_2022", "n{0:03d}e{0:03d}"])
def test_in_a_large_city_a_new_sheet_seldom_changes_the_choice(pattern: str) -> None:
    names = [pattern.format(number) for number in range(500)]
    choices = [chosen(names[:count]) for count in range(400, 501)]
    # Of 100 new sheets 3.6 are expected to be chosen.
    assert sum(one != other for one, other in pairwise(choices)) <= 9
