"""Masks from regions where lines are broken, crossed, or seen from what is no street."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from shapely import LineString, Point, Polygon, box
from test_masks import City, burn_ground, iou, label, metric_grid, without

from roadmask.masks.evidence import street_widths
from roadmask.masks.gaps import close_gaps


@pytest.fixture(scope="module")
def city() -> City:
    return City()


def chord_lengths(lines: list[LineString]) -> list[float]:
    return sorted(round(float(chord.length), 1) for chord in close_gaps(lines, 0.1).lines)


@pytest.mark.parametrize("widest", [1.2 * 22, 4 * 22])
def test_what_streets_cut_out_of_a_wider_highway_at_a_flat_angle_is_road(city, widest):
    # No piece of it shows its width for long, the whole of it does.
    middle = LineString([(-60, 40), (380, 180)])
    highway = middle.buffer(11, cap_style="flat")
    edges = [middle.offset_curve(side) for side in (-11, 11)]
    axes = [middle.offset_curve(side) for side in (-5, 5)]
    labels = label(city.grid, [*city.lines, *edges], [*city.centerlines, *axes], widest)
    assert iou(labels, city.truth(roads=[highway])) > 0.99


@pytest.mark.parametrize("widest", [36, 160])
def test_however_high_the_ceiling_an_open_turning_circle_reaches_no_farther_wall(widest):
    grid = metric_grid(400, 300)
    axes = [LineString([(x, -90), (x, 390)]) for x in (40, 200, 360)]
    axes += [LineString([(-90, y), (490, y)]) for y in (40, 200)]
    lane = LineString([(200, 110), (255, 110)]).buffer(5, cap_style="flat")
    streets = [axis.buffer(6) for axis in axes]
    ground = shapely.union_all([lane, Point(268, 110).buffer(15), *streets])
    lines = without([ground.exterior, *ground.interiors], Point(258, 122).buffer(15))
    labels = label(grid, lines, [*axes, LineString([(200, 110), (268, 110)])], widest)
    assert iou(labels, burn_ground(grid, [ground])) > 0.99


def test_blocks_seen_across_make_no_street_wide_however_high_the_ceiling():
    width = np.repeat([9.0, 12.0, 16.0, 70.0], [50, 30, 10, 10])
    everywhere = np.ones(len(width), bool)
    assert street_widths(width, everywhere, 40) == street_widths(width, everywhere, 100)
    assert street_widths(width, everywhere, 100) == (9, 12, 16)


def test_a_tunnel_that_nears_a_line_all_the_way_makes_no_road_of_an_open_block():
    grid = metric_grid(300, 160)
    slope = 65 / 300
    wedge = Polygon([(15, 8), (294, 8), (294, 25 + 294 * slope), (15, 25 + 15 * slope)])
    above = Polygon([(15, 41 + 15 * slope), (294, 41 + 294 * slope), (294, 260), (15, 260)])
    blocks = [wedge, above, box(15, -150, 294, -8), box(-200, -150, -15, 260)]
    blocks.append(box(306, -150, 500, 260))
    open_side = LineString([(200, 25 + 200 * slope), (255, 25 + 255 * slope)]).buffer(4)
    lines = without([block.exterior for block in blocks], open_side)
    axes = [LineString([(-300, 0), (600, 0)]), LineString([(0, 33), (300, 33 + 300 * slope)])]
    axes += [LineString([(x, -200), (x, 300)]) for x in (0, 300)]
    # For a long way it is within a wide street's half width of the line below.
    tunnel = LineString([(-10, 12), (310, 40)])
    labels = label(grid, lines, [*axes, tunnel], 60)
    assert iou(labels, 1 - burn_ground(grid, blocks)) > 0.985


def test_what_crosses_a_median_at_a_flat_angle_leaves_it_one():
    # The median parts the sheet: no one road is all around it.
    grid = metric_grid(300, 100)
    edges = [LineString([(-50, y), (350, y)]) for y in (20, 30, 33, 62)]
    axes = [LineString([(-50, y), (350, y)]) for y in (25, 48)]
    path = LineString([(50, 48), (250, 20)])
    truth = burn_ground(grid, [box(-50, 20, 350, 30), box(-50, 33, 350, 62)])
    assert iou(label(grid, edges, [*axes, path]), truth) > 0.995


def test_of_a_median_open_at_both_ends_nothing_is_known():
    grid = metric_grid(300, 100)
    edges = [LineString([(-50, y), (350, y)]) for y in (20, 60)]
    median = box(100, 35, 200, 45)
    open_ends = [LineString([(x, 34), (x, 46)]).buffer(0.1) for x in (100, 200)]
    sides = without(without([median.exterior], open_ends[0]), open_ends[1])
    axes = [LineString([(-50, y), (350, y)]) for y in (27.5, 52.5)]
    labels = label(grid, [*edges, *sides], axes)
    truth = burn_ground(grid, [box(-50, 20, 350, 60).difference(median)])
    assert iou(labels, truth) > 0.995
    assert (labels[110:130, 210:390] == 255).all()


def test_ends_that_are_joined_themselves_lie_between_no_others():
    highway = [LineString([(0, 0), (40, 0)]), LineString([(57, 0), (100, 0)])]
    ramp = [LineString([(20, 24), (44, 6)]), LineString([(50, 1.5), (80, -21)])]
    assert chord_lengths(highway) == [17.0]
    assert chord_lengths([*highway, *ramp]) == [7.5, 17.0]
    # One of them alone may be the side of a street's mouth.
    assert 17.0 not in chord_lengths([*highway, ramp[0]])


def test_a_gap_under_an_upper_road_is_closed_where_a_corner_begins_beyond():
    side = LineString([(0, 0), (40, 0)])
    corner = LineString([(57, 0), (60, 1), (63, 3), (65, 6)])
    upper = LineString([(46, -60), (50, 60)])
    assert 17.0 in chord_lengths([side, corner])
    assert 17.0 in chord_lengths([side, corner, upper])


def test_the_longer_gap_of_an_outline_is_closed_once_the_other_one_is():
    rest = LineString([(18, 10), (0, 10), (0, 0), (40, 0), (40, 3)])
    corner = LineString([(40, 6), (40, 10), (38, 10), (37.9, 9)])
    assert chord_lengths([rest, corner]) == [3.0, 19.9]
