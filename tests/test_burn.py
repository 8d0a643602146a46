"""Lines on a grid are barriers, wherever their vertices lie."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import example, given
from hypothesis import strategies as st
from rasterio.features import rasterize
from scipy import ndimage
from shapely import LineString, MultiLineString, Point, Polygon

from roadmask.burn import burn_lines
from roadmask.grid import Grid

GRID = Grid(40, 30, Affine.identity(), None)
EIGHT = np.ones((3, 3))

# Fractions that fall on pixel borders and centres, besides any others.
inside = st.one_of(
    st.integers(1, 28).map(float),
    st.integers(2, 57).map(lambda n: n / 2),
    st.floats(1, 29, allow_nan=False),
)
anywhere = st.one_of(inside, st.floats(-1e7, 1e7, allow_nan=False))
points = st.tuples(inside, inside)


def reachable(barrier):
    """Flood from outside over four neighbours."""
    free = np.pad(barrier == 0, 1, constant_values=True)
    labels, _ = ndimage.label(free)
    return (labels == labels[0, 0])[1:-1, 1:-1]


@given(st.lists(points, min_size=3, max_size=9))
@example([(5.0, 5.0), (15.0, 15.0), (5.0, 25.0)])
@example([(4.5, 2.5), (10.5, 8.5), (4.5, 14.5)])
def test_no_fill_enters_a_ring(ring):
    polygon = Polygon(ring)
    barrier = burn_lines([LineString(polygon.exterior.coords)], GRID)
    shape = polygon.buffer(0)
    rows, columns = np.nonzero(reachable(barrier))
    centres = shapely.points(columns + 0.5, rows + 0.5)
    # What is well inside the ring, where that is a simple one, must not be reached.
    if polygon.is_valid:
        assert not shapely.contains_properly(shape.buffer(-1.0), centres).any()


@given(st.lists(points, min_size=2, max_size=9))
def test_a_line_is_one_chain_of_touched_pixels(vertices):
    line = LineString(vertices)
    burned = burn_lines([line], GRID)
    assert burned.any()
    assert ndimage.label(burned, EIGHT)[1] == 1
    rows, columns = np.nonzero(burned)
    pixels = shapely.box(columns, rows, columns + 1, rows + 1)
    assert shapely.distance(pixels, line).max() <= 2e-3  # what coordinates are rounded by


@given(points, points, points, st.floats(0, 1))
def test_a_line_that_ends_on_another_touches_it(start, end, far, share):
    foot = np.add(start, share * np.subtract(end, start))
    burned = burn_lines([LineString([start, end]), LineString([far, foot])], GRID)
    assert ndimage.label(burned, EIGHT)[1] == 1


@given(points, points)
def test_direction_does_not_matter(start, end):
    there = burn_lines([LineString([start, end])], GRID)
    assert (there == burn_lines([LineString([end, start])], GRID)).all()


@given(
    st.lists(st.tuples(anywhere, anywhere), min_size=2, max_size=6),
    st.integers(0, 20),
    st.integers(0, 15),
)
def test_the_grids_end_does_not_matter(vertices, x, y):
    line = LineString(vertices)
    whole = burn_lines([line], GRID)
    window = GRID.window(x, y, 20, 15)
    assert (burn_lines([line], window) == whole[y : y + 15, x : x + 20]).all()


@pytest.mark.parametrize("far", [1e6, 1e9, 1e12, 1e16])
def test_lines_that_reach_far_out_are_kept(far):
    burned = burn_lines([LineString([(0.5, 10.2), (far, 10.2)])], GRID)
    assert burned[10].all()
    assert burned.sum() == GRID.width


@pytest.mark.parametrize(
    "vertices",
    [
        [(3.2, 4.7), (3.2, 4.7)],
        [(3.2, 4.7), (3.3, 4.71)],
        [(3.01, 4.02), (3.99, 4.98), (3.5, 4.1)],
    ],
)
def test_what_is_smaller_than_a_pixel_marks_one(vertices):
    burned = burn_lines([LineString(vertices)], GRID)
    assert np.argwhere(burned).tolist() == [[4, 3]]


def test_known_pixels():
    burned = burn_lines([LineString([(0.5, 0.5), (3.5, 0.5), (3.5, 2.5)])], GRID.window(0, 0, 5, 4))
    assert burned.tolist() == [[1, 1, 1, 1, 0], [0, 0, 0, 1, 0], [0, 0, 0, 1, 0], [0] * 5]


def test_multiple_lines_and_features_without_any():
    lines = MultiLineString([[(0.5, 0.5), (2.5, 0.5)], [(0.5, 3.5), (2.5, 3.5)]])
    burned = burn_lines([lines], GRID)
    assert np.flatnonzero(burned.any(axis=1)).tolist() == [0, 3]
    assert not burned[:, 3:].any()
    assert not burn_lines([], GRID).any()


def test_agrees_with_gdal_to_a_pixel():
    rng = np.random.default_rng(1)
    lines = [LineString(rng.uniform(2, 28, (6, 2))) for _ in range(20)]
    for line in lines:
        ours = burn_lines([line], GRID).astype(bool)
        gdals = rasterize([line], out_shape=GRID.shape, dtype="uint8").astype(bool)
        assert not (ours & ~ndimage.binary_dilation(gdals, EIGHT)).any()
        assert not (gdals & ~ndimage.binary_dilation(ours, EIGHT)).any()


def test_turned_grids_in_feet():
    transform = Affine.translation(985_000, 211_000) @ Affine.rotation(30) @ Affine.scale(0.5, -0.5)
    grid = Grid(40, 30, transform, None)
    corner = [transform @ (x, y) for x, y in [(2.5, 2.5), (20.5, 2.5), (20.5, 20.5), (2.5, 2.5)]]
    burned = burn_lines([LineString(corner)], grid)
    upright = burn_lines([LineString([(2.5, 2.5), (20.5, 2.5), (20.5, 20.5), (2.5, 2.5)])], GRID)
    assert (burned == upright).mean() > 0.99
    assert not reachable(burned)[5, 18]


def test_a_closed_diagonal_ring_keeps_its_inside():
    # The notes' case: four neighbours stay in, eight leak.
    ring = Point(20, 15).buffer(12, quad_segs=1).exterior
    burned = burn_lines([LineString(ring.coords)], GRID)
    assert not reachable(burned)[15, 20]
    labels, _ = ndimage.label(np.pad(burned == 0, 1, constant_values=True), EIGHT)
    assert labels[0, 0] == labels[16, 21]
