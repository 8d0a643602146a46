"""Looks that contradict a label."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from roadmask.quality.columns import BY_CHANCE
from roadmask.quality.contradictions import contradicted, looks_loss
from roadmask.style import UNKNOWN

METRES, MARGIN = 0.15, 50


def street(half: int) -> np.ndarray:
    """A street across a tile of 200 x 200 pixels and what surrounds it."""
    label = np.zeros((300, 300), np.uint8)
    label[150 - half : 150 + half] = 1
    return label


def looks(label: np.ndarray) -> np.ndarray:
    return np.where(label == 1, 0.95, 0.05).astype(np.float32)


class TestContradicted:
    def test_only_sure_looks_contradict(self):
        like = np.array([0.05, 0.15, 0.85, 0.95, np.nan], np.float32)
        ground = np.array([1, 0, UNKNOWN], np.uint8)[:, np.newaxis] + np.zeros(5, np.uint8)
        false, lost = contradicted(ground, np.broadcast_to(like, (3, 5)))
        assert false.tolist() == [[True, False, False, False, False], [False] * 5, [False] * 5]
        assert lost.tolist() == [[False] * 5, [False, False, False, True, False], [False] * 5]


class TestLooksLoss:
    def test_it_is_the_overlap_with_what_looks_like_road(self):
        seen = street(50)
        seen[:, 120:160] = 0
        lost = looks_loss(street(50), looks(seen), MARGIN, METRES)
        # Six pixels along both sides of the street count as right. Half of the tile is road.
        measured = 0.5 / (0.5 + BY_CHANCE)
        assert lost == pytest.approx(0.2 * 88 / 100 * measured, abs=0.01)
        both = looks_loss(seen, looks(street(50)), MARGIN, METRES)
        # And as many along both ends of the gap.
        assert both == pytest.approx((0.2 - 2 * 6 / 200) * measured, abs=0.01)

    def test_what_lies_along_outlines_counts_as_right(self):
        assert looks_loss(street(50), looks(street(55)), MARGIN, METRES) == 0
        assert looks_loss(street(50), looks(street(70)), MARGIN, METRES) > 0.1

    def test_what_looks_get_wrong_by_chance_says_little_of_little_road(self):
        """Ten cells are far from a street that is missing, though both outweigh the road."""
        little = np.zeros((300, 300), np.uint8)
        little[MARGIN : MARGIN + 2, MARGIN:-MARGIN] = 1
        specks, missing = little.copy(), little.copy()
        specks[150:160, 150:166] = 1
        missing[120:180] = 1
        by_chance = looks_loss(little, looks(specks), MARGIN, METRES)
        by_street = looks_loss(little, looks(missing), MARGIN, METRES)
        assert by_chance < 0.1
        assert by_street > 0.8

    def test_where_nothing_is_known_nothing_is_wrong(self):
        nothing = np.full((300, 300), np.nan, np.float32)
        assert looks_loss(street(50), nothing, MARGIN, METRES) == 0
        unknown = np.full((300, 300), UNKNOWN, np.uint8)
        assert looks_loss(unknown, looks(street(50)), MARGIN, METRES) == 0

    @given(
        arrays(np.uint8, (24, 24), elements=st.sampled_from([0, 1, UNKNOWN])),
        arrays(np.float32, (24, 24), elements=st.floats(0, 1, width=32)),
    )
    def test_a_loss_is_a_share(self, label, like):
        assert 0 <= looks_loss(label, like, 4, METRES) <= 1
