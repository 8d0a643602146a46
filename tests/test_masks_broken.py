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
    # That is at a corner, where no end aims well, and is closed after all straight ones.
    rest = LineString([(18, 10), (0, 10), (0, 0), (37, 0)])
    corner = LineString([(40, 3), (40, 10), (38, 10), (37.9, 9)])
    assert chord_lengths([rest, corner]) == [4.2, 19.9]


def test_a_wide_gap_in_a_turning_circle_is_closed_where_both_ends_turn_alike():
    arc = [(12 * np.cos(at), 12 * np.sin(at)) for at in np.radians(np.arange(-70, 51, 2))]
    right = LineString([(4, -60), *arc])
    left = LineString([(-x, y) for x, y in right.coords])
    assert 15.4 in chord_lengths([right, left])


def test_a_gap_that_begins_where_its_line_crosses_another_is_closed():
    side, rest = LineString([(0, 0), (40, 0)]), LineString([(57, 0), (100, 0)])
    upper = LineString([(57, -60), (57, 60)])
    assert 17.0 in chord_lengths([side, upper, rest])
    # At a corner the line has not broken off: it goes on beside the gap.
    corner = LineString([(57, 0), (57, 60)])
    assert 17.0 not in chord_lengths([side, corner, rest])


def test_a_corner_as_large_as_a_mouth_is_closed_if_one_end_aims_straight_at_it():
    """Where whole lines are missing, ends that are left meet by chance across a street."""
    up = LineString([(0, 0), (0, 58)])
    assert chord_lengths([up, LineString([(100, 74), (1, 74)])]) == [16.0]
    # Neither aims straight at the other's end; the other turns away.
    assert chord_lengths([up, LineString([(100, 72), (6, 72)])]) == []
    assert chord_lengths([up, LineString([(100, 74), (-1, 74)])]) == []
    # A small corner may be rounded.
    assert chord_lengths([up, LineString([(100, 68), (6, 68)])]) == [11.7]


def test_a_line_goes_on_from_past_its_own_corner():
    bent = LineString([(0, 0), (0, 60), (1.1, 60)])
    assert chord_lengths([bent, LineString([(100, 60), (16.1, 60)])]) == [15.0]


@pytest.mark.parametrize("widest", [40, 80])
def test_what_lies_between_a_ramp_and_its_highway_is_no_road_though_a_street_passes_below(widest):
    grid = metric_grid(400, 260)
    streets = [LineString([(x, -90), (x, 350)]) for x in (60, 330)]
    streets.append(LineString([(-90, 210), (490, 210)]))
    # For most of its way the ramp runs within the highway and sees all of it.
    ramp = LineString([(60, 114), (85, 99), (140, 74), (165, 69.5), (315, 68)])
    upper = LineString([(-90, 60), (490, 60)]).buffer(12, cap_style="flat")
    lane = ramp.buffer(3, cap_style="flat")
    lower = shapely.union_all([axis.buffer(6, cap_style="flat") for axis in streets])
    lower = lower.union(lane.difference(upper)).buffer(2).buffer(-2)
    merging = upper.intersection(lane.buffer(0.3))
    edges = [upper.boundary.difference(lane), lower.boundary.difference(merging)]
    lines = [line for edge in edges for line in shapely.get_parts(shapely.line_merge(edge))]
    axes = [*streets, ramp, *(LineString([(-90, y), (490, y)]) for y in (54, 66))]
    assert iou(label(grid, lines, axes, widest), burn_ground(grid, [upper, lower])) > 0.998


@pytest.fixture(scope="module")
def dead_end() -> tuple[Polygon, list[LineString]]:
    """Four streets and a lane that ends in a circle; and their centerlines."""
    axes = [LineString([(x, -90), (x, 310)]) for x in (40, 260)]
    axes += [LineString([(-90, y), (390, y)]) for y in (30, 190)]
    lane = LineString([(40, 110), (80, 110)])
    parts = [lane.buffer(4.5, cap_style="flat"), Point(80, 110).buffer(14)]
    ground = shapely.union_all([*parts, *(axis.buffer(6) for axis in axes)])
    return ground.buffer(4).buffer(-4), [*axes, lane]


@pytest.mark.parametrize("widest", [24, 48])
def test_a_turning_circle_whose_neck_lost_both_sides_stays_on_its_street(dead_end, widest):
    grid = metric_grid(300, 220)
    ground, axes = dead_end
    lines = without([ground.exterior, *ground.interiors], box(50, 100, 62, 120))
    assert iou(label(grid, lines, axes, widest), burn_ground(grid, [ground])) > 0.995


@pytest.mark.parametrize("widest", [24, 48])
def test_the_circle_that_an_upper_road_cuts_off_is_road(dead_end, widest):
    grid = metric_grid(300, 220)
    ground, axes = dead_end
    upper = LineString([(68, -90), (68, 310)])
    edges = [upper.offset_curve(side) for side in (-6, 6)]
    lines = [ground.exterior, *ground.interiors, *edges]
    truth = burn_ground(grid, [ground, upper.buffer(6)])
    assert iou(label(grid, lines, [*axes, upper], widest), truth) > 0.999


@pytest.mark.parametrize("widest", [30, 60])
def test_the_only_wide_street_is_one_where_a_narrow_one_joins_it(widest):
    grid = metric_grid(400, 300)
    axes = [LineString([(x, -90), (x, 390)]) for x in (40, 110, 180)]
    axes += [LineString([(-90, y), (210, y)]) for y in (40, 120, 200, 280)]
    near = shapely.union_all([axis.buffer(5) for axis in axes]).buffer(3).buffer(-3)
    sides = [LineString([(330, -200), (330, 500)]).buffer(7)]
    sides += [LineString([(330, 150), (600, 150)]).buffer(4)]
    far = shapely.union_all(sides).buffer(3).buffer(-3)
    axes += [LineString([(330, -100), (330, 400)]), LineString([(330, 150), (500, 150)])]
    lines = [far.exterior, near.exterior, *near.interiors]
    assert iou(label(grid, lines, axes, widest), burn_ground(grid, [near, far])) > 0.995
