"""What centerlines and walls are asked for, against Shapely's own slower answers."""

from __future__ import annotations

import gc

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from shapely import LineString

from roadmask.masks.regions import uncollected
from roadmask.masks.streets import (
    Frame,
    Walls,
    draw_strip,
    group_medians,
    place_stations,
    points_along,
)

# On a small lattice, ways touch, overlap and end on walls all the time.
places = st.tuples(st.integers(0, 4), st.integers(0, 4))
ways = st.lists(st.tuples(places, places), min_size=1, max_size=12)
shares = st.lists(st.floats(0, 1), min_size=1, max_size=8)
courses = st.lists(st.tuples(st.floats(0, 1e3), st.floats(0, 1e3)), min_size=2, max_size=9)


@given(ways, st.lists(st.lists(places, min_size=2, max_size=6), min_size=1, max_size=6))
def test_ways_meet_the_walls_that_they_intersect(ways, lines):
    walls = Walls.from_lines(np.array([LineString(line) for line in lines], dtype=object))
    starts, ends = np.array(ways, float).transpose(1, 0, 2)
    met = set(zip(*(numbers.tolist() for numbers in walls.met(starts, ends)), strict=True))
    between = shapely.linestrings(np.stack([starts, ends], axis=1))
    intersects = shapely.intersects(between[:, np.newaxis], walls.tree.geometries)
    assert met == set(zip(*(a.tolist() for a in np.nonzero(intersects)), strict=True))
    assert (walls.crossed(starts, ends) == intersects.any(axis=1)).all()


def test_segments_know_whose_they_are():
    lines = [LineString([(0, 0), (1, 0), (1, 1)]), LineString([(5, 5), (6, 6)])]
    assert Walls.from_lines(np.array(lines, dtype=object)).owner.tolist() == [0, 0, 1]


@given(st.lists(courses, min_size=1, max_size=5), shares)
def test_points_along_lines_are_shapelys_to_the_last_bit(courses, shares):
    lines = np.array([LineString(course) for course in courses], dtype=object)
    lines = lines[shapely.length(lines) > 0]
    counts = np.full(len(lines), len(shares) + 2)
    length = np.repeat(shapely.length(lines), counts)
    along = np.tile([0.0, *shares, 1.0], len(lines)) * length
    found = points_along(lines, counts, np.stack([along, length - along]))
    for points, distances in zip(found, (along, length - along), strict=True):
        theirs = shapely.line_interpolate_point(np.repeat(lines, counts), distances)
        np.testing.assert_array_equal(points, shapely.get_coordinates(theirs))


def test_what_matters_is_drawn_whatever_else_is_left_out():
    rng = np.random.default_rng(5)
    axes = [LineString(rng.uniform(-10, 130, (4, 2))) for _ in range(30)]
    stations = place_stations(np.array(axes, dtype=object))
    reach = rng.uniform(0, 9, (len(stations), 2))
    everywhere = np.ones(len(stations), bool)
    matters = np.zeros((117, 123), bool)
    matters[rng.integers(0, 117, 5), rng.integers(0, 123, 5)] = True
    whole, part = np.zeros(matters.shape, np.uint8), np.zeros(matters.shape, np.uint8)
    draw_strip(whole, Frame((1.0, 1.0)), stations, reach, everywhere)
    draw_strip(part, Frame((1.0, 1.0)), stations, reach, everywhere, matters)
    assert (whole[matters] == part[matters]).all()
    assert whole[matters].any()
    assert 0 < part.sum() < whole.sum()


def test_medians_of_groups_are_the_lower_ones_of_what_is_known():
    group = np.array([0, 2, 0, 0, 0, 2, 2])
    values = np.array([4.0, np.nan, 1.0, 3.0, 2.0, 7.0, np.nan])
    np.testing.assert_array_equal(group_medians(group, values, 4), [2.0, np.nan, 7.0, np.nan])


def test_the_collector_works_again_afterwards():
    with pytest.raises(ValueError, match="inside"), uncollected():
        assert not gc.isenabled()
        raise ValueError("inside")
    assert gc.isenabled()
