"""Ground that looks like road beside the label's roads, or far from them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from roadmask.quality.unmapped import along_outlines, lone_streets
from roadmask.style import UNKNOWN

METRES = 0.6


def street(top: int, bottom: int) -> np.ndarray:
    """A label with one street across."""
    label = np.zeros((80, 120), np.uint8)
    label[top:bottom] = 1
    return label


def looks(road: np.ndarray, noise: float = 0.0) -> np.ndarray:
    """Logarithms of odds where the truth is known."""
    odds = np.where(road > 0, 1.5, -1.5)
    return (odds + np.random.default_rng(1).normal(0, noise, odds.shape)).astype(np.float32)


class TestAlongOutlines:
    def test_a_strip_that_an_outline_leaves_out_is_found_and_nothing_else(self):
        found = along_outlines(looks(street(30, 54)), street(30, 50), METRES)
        assert np.array_equal(found, street(50, 54) > 0)

    def test_noise_averages_out_along_the_outline(self):
        found = along_outlines(looks(street(30, 54), noise=3), street(30, 50), METRES)
        strip = street(50, 54) > 0
        assert found[strip].mean() > 0.85
        assert found[~strip].mean() < 0.01

    def test_the_two_sides_of_a_street_are_told_apart(self):
        # The street lies three cells lower than its label.
        found = along_outlines(looks(street(33, 53)), street(30, 50), METRES)
        assert np.array_equal(found, street(50, 53) > 0)

    def test_a_right_outline_and_far_ground_say_nothing(self):
        seen = street(30, 50)
        seen[65:70] = 1
        assert not along_outlines(looks(seen), street(30, 50), METRES).any()

    @pytest.mark.parametrize("value", [0, 1, UNKNOWN])
    def test_a_label_without_outlines_has_none_to_move(self, value):
        label = np.full((20, 30), value, np.uint8)
        assert not along_outlines(looks(np.ones((20, 30))), label, METRES).any()

    @given(
        arrays(np.float32, (24, 24), elements=st.floats(-4, 4, width=32)),
        arrays(np.uint8, (24, 24), elements=st.sampled_from([0, 1, UNKNOWN])),
    )
    def test_only_other_ground_is_found(self, odds, label):
        assert not along_outlines(odds, label, METRES)[label != 0].any()
        assert not lone_streets(odds, label, METRES, 20)[label != 0].any()


class TestLoneStreets:
    def test_a_street_is_found_and_a_lot_is_not(self):
        seen = np.zeros((120, 160), np.uint8)
        seen[10:24, 20:110] = 1
        lot = np.zeros_like(seen)
        lot[60:100, 20:70] = 1
        found = lone_streets(looks(seen | lot), np.zeros_like(seen), METRES, 12)
        assert found[seen > 0].mean() > 0.95
        assert not found[lot > 0].any()

    def test_no_street_is_wider_than_the_widest_or_narrower_than_a_lane(self):
        seen = street(30, 50)
        assert lone_streets(looks(seen), street(0, 0), METRES, 12).any()
        assert not lone_streets(looks(seen), street(0, 0), METRES, 8).any()
        assert not lone_streets(looks(seen), street(0, 0), METRES, 0).any()
        assert not lone_streets(looks(street(30, 36)), street(0, 0), METRES, 12).any()

    def test_what_is_labelled_is_not_missing(self):
        seen = street(30, 50)
        assert not lone_streets(looks(seen), seen, METRES, 12).any()
