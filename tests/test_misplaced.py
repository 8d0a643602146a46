"""How likely a label lies off, on drawn streets whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roadmask.quality.edges import outline_edges, picture_edges
from roadmask.quality.misplaced import (
    looks_scores,
    misplaced,
    offset_chances,
    overlaps,
    sheet_loss,
)
from roadmask.quality.offset import LAGS, REACH, Correlation, Offset, correlate

SIZE = 128
WIDE = SIZE + 2 * REACH
INNER = np.s_[REACH:-REACH, REACH:-REACH]
METRES = 0.15


def street(left: int, width: int) -> np.ndarray:
    """A street from north to south."""
    label = np.zeros((WIDE, WIDE), np.uint8)
    label[:, REACH + left : REACH + left + width] = 1
    return label


def seen(truth: np.ndarray, label: np.ndarray) -> tuple[Correlation, np.ndarray]:
    """Lay a label over the picture of a truth."""
    noise = np.random.default_rng(2).normal(0, 8, truth.shape)
    picture = (150 - 60.0 * truth + noise).clip(0, 255).astype(np.uint8)[..., None]
    outlines = outline_edges(label)[(slice(None), *INNER)]
    edges = correlate(picture_edges(picture, np.ones(truth.shape, bool)), outlines)
    like = np.where(truth > 0, 0.9, 0.1).astype(np.float32)
    return edges, looks_scores(like, label[INNER])


class TestOverlaps:
    def test_across_a_street_it_is_lost_and_along_it_is_not(self):
        both, either = overlaps(street(50, 30))
        assert (both[REACH, REACH], either[REACH, REACH]) == (30 * SIZE, 30 * SIZE)
        assert (both[REACH + 20, REACH], either[REACH + 20, REACH]) == (30 * SIZE, 30 * SIZE)
        for side in (-10, 10):
            assert both[REACH, REACH + side] == 20 * SIZE
            assert either[REACH, REACH + side] == 40 * SIZE

    def test_what_comes_in_from_beyond_counts(self):
        label = street(SIZE, 20)  # just right of the tile
        both, either = overlaps(label)
        assert either[REACH, REACH] == 0
        assert both.max() == 0
        assert either[REACH, REACH - 10] == 10 * SIZE
        assert either[REACH, REACH + 10] == 0

    @given(st.integers(-REACH, REACH), st.integers(-REACH, REACH), st.integers(0, 99))
    @settings(max_examples=25, deadline=None)
    def test_as_counted_pixel_by_pixel(self, right, down, seed):
        label = (np.random.default_rng(seed).random((WIDE, WIDE)) < 0.4).astype(np.uint8)
        here = label[INNER] > 0
        came_from = label[REACH - down : REACH - down + SIZE, REACH - right : REACH - right + SIZE]
        both, either = overlaps(label)
        at = REACH + down, REACH + right
        assert both[at] == np.count_nonzero(here & (came_from > 0))
        assert either[at] == np.count_nonzero(here | (came_from > 0))

    def test_what_is_not_known_is_no_road(self):
        label = street(50, 30)
        label[:, REACH + 60 :] = 255
        assert overlaps(label)[0][REACH, REACH] == 10 * SIZE


class TestLooks:
    def test_they_fit_best_where_the_truth_is(self):
        _, scores = seen(street(57, 30), street(50, 30))
        assert scores.shape == (LAGS, LAGS)
        assert scores[REACH].argmax() == REACH + 7

    def test_ground_without_a_picture_or_a_label_says_nothing(self):
        like = np.full((WIDE, WIDE), np.nan, np.float32)
        assert not looks_scores(like, street(50, 30)[INNER]).any()
        unknown = np.full((SIZE, SIZE), 255, np.uint8)
        assert not looks_scores(np.full((WIDE, WIDE), 0.9, np.float32), unknown).any()


class TestMisplaced:
    @pytest.mark.parametrize("off", [-16, -10, 10, 16])
    def test_a_label_beside_its_street(self, off):
        label = street(50, 40)
        found = misplaced(*seen(street(50 + off, 40), label), label, METRES)
        assert found.chance > 0.95
        assert found.offset == pytest.approx(abs(off), abs=1.5)

    def test_a_label_where_it_belongs(self):
        label = street(50, 40)
        found = misplaced(*seen(label, label), label, METRES)
        assert found.chance < 0.02
        assert found.offset < 1.5

    def test_the_same_error_matters_more_to_a_narrow_street(self):
        wide, narrow = (
            misplaced(*seen(street(53, width), street(50, width)), street(50, width), METRES)
            for width in (70, 12)
        )
        assert narrow.chance > 0.9
        assert wide.chance < 0.5

    def test_without_evidence_maps_are_believed(self):
        nothing = Correlation(np.zeros((LAGS, LAGS), np.float32), 0.0)
        chances = offset_chances(nothing, np.zeros((LAGS, LAGS), np.float32), METRES)
        assert chances.sum() == pytest.approx(1)
        assert np.unravel_index(chances.argmax(), chances.shape) == (REACH, REACH)

    def test_no_road_anywhere_can_not_lie_off(self):
        label = np.zeros((WIDE, WIDE), np.uint8)
        nothing = Correlation(np.zeros((LAGS, LAGS), np.float32), 0.0)
        assert misplaced(nothing, np.zeros((LAGS, LAGS), np.float32), label, METRES).chance == 0


class TestSheetLoss:
    def test_across_a_street_it_is_lost_and_along_it_is_not(self):
        label = street(50, 30)
        assert sheet_loss(Offset(10, 0, 0.2, 0.2, True, 99), label) == pytest.approx(0.5)
        assert sheet_loss(Offset(-10, 0, 0.2, 0.2, True, 99), label) == pytest.approx(0.5)
        assert sheet_loss(Offset(0, 10, 0.2, 0.2, True, 99), label) == 0

    @given(st.integers(-REACH, REACH), st.integers(-REACH, REACH), st.integers(0, 99))
    @settings(max_examples=25, deadline=None)
    def test_as_all_offsets_are_laid_over(self, right, up, seed):
        label = (np.random.default_rng(seed).random((WIDE, WIDE)) < 0.4).astype(np.uint8)
        both, either = overlaps(label)
        at = REACH - up, REACH + right
        offset = Offset(right, up, 0.01, 0.01, True, 99)
        assert sheet_loss(offset, label) == pytest.approx(1 - both[at] / either[at])

    def test_only_a_sure_offset_counts(self):
        label = street(50, 30)
        for offset in (
            None,
            Offset(10, 0, 0.2, 0.2, False, 99),
            Offset(2, 0, 0.8, 0.1, True, 99),
            Offset(0.3, 0, 0.05, 0.05, True, 99),
            Offset(10, 0, 0.2, 0.2, True, 12),
        ):
            assert sheet_loss(offset, label) == 0

    def test_no_road_anywhere_loses_none(self):
        offset = Offset(10, 0, 0.2, 0.2, True, 99)
        assert sheet_loss(offset, np.zeros((WIDE, WIDE), np.uint8)) == 0
