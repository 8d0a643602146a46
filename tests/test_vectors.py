"""Road polygons and the centerline network."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import geopandas as gpd
import networkx as nx
import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from rasterio.crs import CRS
from rasterio.features import rasterize
from shapely.ops import substring

from roadmask import __version__
from roadmask.__main__ import main
from roadmask.demo import layout
from roadmask.demo.files import on_the_map
from roadmask.demo.pavement import pave
from roadmask.demo.streets import plan_network
from roadmask.demo.vectors import centerlines
from roadmask.grid import Grid
from roadmask.mosaic import crs_label
from roadmask.provenance import made_from
from roadmask.raster import write_cog
from roadmask.vectors.levels import find_passes, part_levels
from roadmask.vectors.network import (
    Least,
    Network,
    Street,
    build_network,
    crossing_lines,
    cut_at_crossings,
)
from roadmask.vectors.outlines import (
    blur_reach,
    is_narrow,
    join_arcs,
    to_polygons,
    trace_block,
    without_overlap,
)
from roadmask.vectors.path_length import control_points, path_length_similarity
from roadmask.vectors.pixel_graph import link_pixels, trace_strands
from roadmask.vectors.score import on_one_level
from roadmask.vectors.sheets import Group, Raster, Sheet
from roadmask.vectors.skeleton import Skeleton, thin_block
from roadmask.vectors.writing import road_frame

OPTIONS = (
    "--vectors.tolerance=1.5 px",
    "--vectors.smallest=10 ft",
    "--vectors.min_width=8 ft",
    "--vectors.min_length=50 ft",
    "--vectors.island=20 ft",
)
FEET = CRS.from_epsg(2263)


def polygons_of(
    classes: np.ndarray, value: int = 1, tolerance: float = 1.5, least: float = 0, size: int = 64
) -> list[shapely.Polygon]:
    """Trace a whole raster, in blocks of `size`."""
    reach = blur_reach(tolerance)
    height, width = classes.shape
    blocks = []
    for y in range(-size, height + 1, size):
        for x in range(-size, width + 1, size):
            window = np.full((size + 1 + 2 * reach,) * 2, 255, np.uint8)
            for row in range(len(window)):
                source = y - reach + row
                if 0 <= source < height:
                    columns = np.arange(x - reach, x - reach + len(window))
                    inside = (columns >= 0) & (columns < width)
                    window[row, inside] = classes[source, columns[inside]]
            blocks.append(trace_block(window, reach, x, y, value, tolerance, least))
    return to_polygons(join_arcs(blocks, least)[0])


def drawn(shapes: list[shapely.Geometry], size: tuple[int, int]) -> np.ndarray:
    if not shapes:
        return np.zeros(size, np.uint8)
    return np.asarray(rasterize(shapes, out_shape=size, dtype="uint8"))


def iou(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / (one | other).sum())


def network_of(road: np.ndarray, pixel: float = 0.5) -> Network:
    """Build the network of a raster of work pixels, in one block."""
    halo = 40
    classes = np.pad(road.astype(np.uint8), halo, constant_values=255)
    metres = (pixel, pixel)
    skeleton = thin_block(classes, None, 1, halo, (0, 0), metres, 9.0, 36.0)
    least = Least(2.4, 15, np.zeros(len(skeleton), bool))
    return build_network(Skeleton.joined([skeleton]), metres, max(road.shape), 0.3, least)


def street(points: list[tuple[float, float]], width: float) -> shapely.Polygon:
    return shapely.LineString(points).buffer(width / 2, cap_style="flat")


# --- polygons -------------------------------------------------------------------------------


def test_a_square_keeps_its_edges_and_hardly_its_corners() -> None:
    classes = np.zeros((60, 60), np.uint8)
    classes[20:40, 10:50] = 1
    [polygon] = polygons_of(classes)
    assert polygon.bounds == pytest.approx((10, 20, 50, 40), abs=0.1)
    assert polygon.area == pytest.approx(800, rel=0.01)
    assert shapely.hausdorff_distance(polygon, shapely.box(10, 20, 50, 40), 0.1) < 1.5


def test_holes_stay_and_islands_in_them_too() -> None:
    classes = np.zeros((80, 80), np.uint8)
    classes[5:75, 5:75] = 1
    classes[20:60, 20:60] = 0
    classes[30:50, 30:50] = 1
    outer, inner = polygons_of(classes)
    assert len(outer.interiors) == 1 and not inner.interiors
    assert outer.area == pytest.approx(70 * 70 - 40 * 40, rel=0.01)
    assert inner.area == pytest.approx(400, rel=0.01)


def test_slivers_go_and_small_holes_close() -> None:
    classes = np.zeros((60, 60), np.uint8)
    classes[10:50, 10:50] = 1
    classes[20:24, 20:24] = 0
    classes[2:5, 2:30] = 1
    [polygon] = polygons_of(classes, least=100)
    assert not polygon.interiors
    assert polygon.area == pytest.approx(1600, rel=0.01)


def test_a_road_ends_at_the_edge_of_what_is_known() -> None:
    classes = np.zeros((60, 60), np.uint8)
    classes[20:40] = 1
    classes[:, 45:] = 255
    [polygon] = polygons_of(classes)
    assert polygon.bounds == pytest.approx((0, 20, 45, 40), abs=0.55)


@settings(max_examples=40, deadline=None)
@given(
    cells=arrays.arrays(np.uint8, (12, 12), elements=st.sampled_from([0, 0, 1, 1, 255])),
    size=st.sampled_from([16, 23, 40]),
    tolerance=st.sampled_from([0.5, 1.5, 3.0]),
)
def test_blocks_leave_no_trace_in_what_is_valid_and_apart(
    cells: np.ndarray, size: int, tolerance: float
) -> None:
    classes = np.kron(cells, np.ones((6, 6), np.uint8))
    found = polygons_of(classes, tolerance=tolerance, size=size)
    assert all(polygon.is_valid for polygon in found)
    assert shapely.union_all(found).area == pytest.approx(sum(each.area for each in found))
    whole = polygons_of(classes, tolerance=tolerance, size=200)
    # Cutting leaves as many pieces, and no more than the tolerance lies between the outlines.
    assert len(found) == len(whole)
    apart = shapely.symmetric_difference(shapely.union_all(found), shapely.union_all(whole))
    assert apart.buffer(-tolerance).is_empty
    # No corner lies farther from the pixels' outline than told.
    outline = shapely.union_all(
        [shapely.box(x, y, x + 1, y + 1) for y, x in zip(*np.nonzero(classes == 1), strict=True)]
    ).boundary
    corners = shapely.points(shapely.get_coordinates(shapely.union_all(found)))
    assert (shapely.distance(corners, outline) <= tolerance + 1e-9).all()


def test_ragged_outlines_come_back_as_the_raster() -> None:
    rng = np.random.default_rng(1)
    shapes = [street([(0, 30), (400, 330)], 60), street([(200, 0), (180, 400)], 40)]
    road = drawn(shapes, (400, 400))
    # Single pixels come and go at the edges, as in a prediction.
    edge = np.zeros_like(road, bool)
    edge[1:-1, 1:-1] = road[1:-1, :-2] != road[1:-1, 2:]
    ragged = np.where(edge & (rng.random(road.shape) < 0.3), 1 - road, road).astype(np.uint8)
    assert iou(drawn(polygons_of(ragged, least=16), road.shape) > 0, ragged > 0) > 0.98


def test_classes_lie_side_by_side() -> None:
    classes = np.zeros((60, 90), np.uint8)
    classes[20:40] = 1
    classes[20:40, 40:70] = 2
    by_class = without_overlap([polygons_of(classes, value) for value in (1, 2)], 4)
    assert [len(polygons) for polygons in by_class] == [2, 1]
    every = [polygon for polygons in by_class for polygon in polygons]
    assert shapely.union_all(every).area == pytest.approx(sum(each.area for each in every))
    assert sum(each.area for each in every) == pytest.approx(20 * 90, rel=0.01)


# --- network --------------------------------------------------------------------------------


@pytest.mark.parametrize("turn", [0, 10, 30])
def test_two_streets_make_one_crossing_where_their_axes_meet(turn: float) -> None:
    across = shapely.affinity.rotate(street([(-100, 150), (400, 150)], 24), turn, (150, 150))
    road = drawn([street([(150, -100), (150, 400)], 30), across], (300, 300))
    network = network_of(road)
    assert sorted(network.degrees) == [1, 1, 1, 1, 4]
    [centre] = network.nodes[network.degrees == 4]
    assert np.hypot(*(centre - 75)) < 1.0
    for each in network.streets:
        # Straight: as long as the way from end to end.
        line = shapely.LineString(each.line)
        ends = shapely.LineString([line.coords[0], line.coords[-1]])
        assert line.length < 1.01 * ends.length
        assert shapely.hausdorff_distance(line, ends) < 2.0


def test_widths() -> None:
    shapes = [street([(-10, 50), (150, 50)], 20), street([(150, 50), (310, 50)], 32)]
    [edge] = network_of(drawn(shapes, (100, 300))).streets
    assert edge.least_width == pytest.approx(10, abs=0.8)
    assert edge.mean_width == pytest.approx(13, abs=0.8)


def test_corners_make_no_spurs_and_a_square_end_is_reached() -> None:
    road = drawn(
        [street([(40, 60), (250, 60)], 30), street([(250, 45), (250, 400)], 30)], (300, 300)
    )
    network = network_of(road)
    assert sorted(network.degrees) == [1, 1]
    line = shapely.LineString(network.streets[0].line)
    assert line.distance(shapely.Point(20, 30)) < 1.5
    assert line.distance(shapely.Point(125, 150)) < 1.0


def test_a_dead_end_that_is_a_street_stays_and_a_bulge_goes() -> None:
    shapes = [
        street([(-10, 150), (310, 150)], 30),
        street([(100, 150), (100, 60)], 16),
        shapely.Point(220, 135).buffer(12),
    ]
    network = network_of(drawn(shapes, (300, 300)))
    assert sorted(network.degrees) == [1, 1, 1, 3]
    assert min(shapely.Point(50, 30).distance(shapely.Point(*node)) for node in network.nodes) < 1.5


def test_a_roundabout_is_a_ring_and_a_car_is_none() -> None:
    disc = shapely.Point(150, 150).buffer(60) - shapely.Point(150, 150).buffer(30)
    shapes = [street([(-10, 150), (100, 150)], 24), street([(200, 150), (310, 150)], 24), disc]
    road = drawn(shapes, (300, 300))
    road[148:154, 30:38] = 0
    network = network_of(road)
    assert sorted(network.degrees) == [1, 1, 3, 3]
    assert len(network.streets) == 4


def test_carriageways_stay_apart() -> None:
    shapes = [
        street([(130, -10), (130, 310)], 22),
        street([(170, -10), (170, 310)], 22),
        street([(-10, 150), (310, 150)], 20),
    ]
    network = network_of(drawn(shapes, (300, 300)))
    assert sorted(network.degrees) == [1] * 6 + [4, 4]


def test_a_slit_makes_no_ladder() -> None:
    road = drawn([street([(-10, 40), (310, 240)], 60)], (300, 300))
    # Dashes that are each large enough for an island.
    middle = shapely.LineString([(30, 200 / 3), (270, 680 / 3)])
    dashes = [substring(middle, at, at + 80) for at in (0, 90, 180)]
    slits = drawn([dash.buffer(1.5, cap_style="flat") for dash in dashes], (300, 300))
    network = network_of(road & ~slits & 1)
    assert sorted(network.degrees) == [1, 1]


def test_a_ring_without_a_crossing_has_one_node() -> None:
    ring = shapely.Point(150, 150).buffer(100) - shapely.Point(150, 150).buffer(76)
    network = network_of(drawn([ring], (300, 300)))
    assert network.degrees.tolist() == [2]
    assert shapely.LineString(network.streets[0].line).length == pytest.approx(np.pi * 88, rel=0.02)


@pytest.mark.parametrize("visible", [6, 10, 14])
def test_a_street_that_the_border_cuts_lengthways_stays(visible: int) -> None:
    """Half a street of 12 m runs along the lower border; another comes down to it, and leaves."""
    shapes = [street([(-10, 300), (610, 300)], 2 * visible), street([(200, -10), (200, 310)], 24)]
    network = network_of(drawn(shapes, (300, 600)))
    lines = [shapely.LineString(each.line) for each in network.streets]
    middle = 150 - visible / 4
    for x in (20, 60, 150, 250):
        assert min(line.distance(shapely.Point(x, middle)) for line in lines) < 1
    assert sorted(network.degrees) in ([1, 1, 1, 3], [1, 1, 1, 1, 4])


def test_a_short_street_to_the_border_stays() -> None:
    """The crossing's middle is closer to the border than the crossing is wide."""
    shapes = [street([(-10, 268), (610, 268)], 40), street([(300, -10), (300, 310)], 24)]
    network = network_of(drawn(shapes, (300, 600)))
    assert sorted(network.degrees) == [1, 1, 1, 1, 4]
    assert network.nodes[:, 1].max() == pytest.approx(150, abs=0.3)


@pytest.mark.parametrize(("length", "is_street"), [(40, False), (52, True), (70, True)])
def test_a_lone_piece_counts_from_end_to_end(length: int, is_street: bool) -> None:
    """A street 12 m wide; 20 m are less than twice that, 26 m are not."""
    road = drawn([shapely.box(100, 100, 100 + length, 124)], (300, 300))
    network = network_of(road)
    assert bool(network.streets) is is_street
    assert network.counts["patches"] == (not is_street)
    assert (network.patch_metres > 0) is not is_street


@pytest.mark.parametrize(("width", "length", "is_street"), [(7, 24, False), (7, 60, True)])
def test_a_shadow_is_no_street(width: int, length: int, is_street: bool) -> None:
    """3.5 m wide: a lane; 12 m of it lie on a roof, 30 m do not."""
    network = network_of(drawn([shapely.box(100, 100, 100 + length, 100 + width)], (300, 300)))
    assert bool(network.streets) is is_street


def test_a_strip_narrower_than_a_lane_is_no_street() -> None:
    network = network_of(drawn([shapely.box(100, 100, 220, 104)], (300, 300)))
    assert not network.streets
    assert network.counts["patches"] == 1


def test_a_dead_end_is_as_long_as_the_road() -> None:
    """Its end is cut askew; its middle line forks there into two corners."""
    stub = shapely.Polygon([(288, 150), (288, 60), (312, 48), (312, 150)])
    network = network_of(drawn([street([(-10, 150), (610, 150)], 24), stub], (300, 600)))
    [end] = [node for node in network.nodes if node[1] < 60]
    assert end == pytest.approx((150, 27), abs=2.5)


def test_no_road_no_network() -> None:
    network = network_of(np.zeros((100, 100), np.uint8))
    assert not network.streets and not len(network.nodes)


def test_lines_of_two_blocks_that_miss_each_other_are_tied() -> None:
    x = np.arange(20)
    y = np.where(x < 10, 5, 8)
    order = np.lexsort((x, y))
    wide = Skeleton(
        x[order],
        y[order],
        np.full(20, 2.0, np.float32),
        np.full(20, 255, np.uint8),
        np.full(20, np.inf, np.float32),
    )
    links = link_pixels(wide, 10)
    assert len(links) == 19
    [strand] = trace_strands(20, links)
    assert len(strand.pixels) == 20
    # Too far for a road as narrow, and no border of blocks there at all.
    narrow = replace(wide, half_width=np.full(20, 0.5, np.float32))
    assert len(link_pixels(narrow, 10)) == 18
    assert len(link_pixels(wide, 50)) == 18


def test_lines_that_cross_away_from_their_ends_are_found() -> None:
    cross = np.array([[0, 0], [10, 10.0]]), np.array([[0, 10], [10, 0.0]])
    beside = np.array([[10, 0], [20, 0.0]])
    ring = np.array([[20, 0], [30, 0], [30, 10], [20, 0.0]])
    assert crossing_lines([*cross, beside, ring]) == [0, 1]
    assert crossing_lines([cross[0], beside, ring]) == []
    # One that ends upon another's middle needs a node too.
    assert crossing_lines([cross[0], np.array([[5, 5], [9, 0.0]])]) == [0, 1]


def test_nodes_are_set_where_lines_still_cross() -> None:
    def line(start: int, end: int, points: list[tuple[float, float]]) -> Street:
        return Street(start, end, np.array(points, float), 8.0, 6.0, None)

    places = np.array([[0, 0], [10, 10], [0, 10], [10, 0], [5, 20], [2, 2]], float)
    streets = [
        line(0, 1, [(0, 0), (10, 10)]),
        line(2, 3, [(0, 10), (10, 0)]),
        # Ends upon the first.
        line(4, 5, [(5, 20), (2, 15), (2, 2)]),
    ]
    cut, nodes, widths = cut_at_crossings(streets, places, np.full(6, 9.0))
    assert nodes[6:].tolist() == [[5, 5], [2, 8]]
    assert widths[6:].tolist() == [8, 8]
    assert [(each.start, each.end) for each in cut] == [
        *[(0, 5), (5, 6), (6, 1)],
        *[(2, 7), (7, 6), (6, 3)],
        *[(4, 7), (7, 5)],
    ]
    assert crossing_lines([each.line for each in cut]) == []
    lengths = [shapely.LineString(each.line).length for each in cut]
    assert sum(lengths[:3]) == pytest.approx(200**0.5)
    knot = [line(0, 1, [(0, 0), (10, 0), (10, 5), (5, 5), (5, -5)])]
    cut, nodes, _ = cut_at_crossings(knot, np.array([[0, 0], [5, -5.0]]), np.full(2, 9.0))
    assert nodes[2:].tolist() == [[5, 0]]
    assert [(each.start, each.end) for each in cut] == [(0, 2), (2, 2), (2, 1)]


def test_a_polygon_that_rounding_broke_is_mended() -> None:
    group = Group(
        "x", Affine.scale(1, -1), FEET, (Sheet(Raster("x", Path("x"), None), 0, 0, 9, 9),)
    )
    bow = shapely.Polygon([(0, 0), (4, 4), (4, 0), (0, 4)])
    frame, mended = road_frame(group, ["road"], [[bow, shapely.box(5, 5, 8, 8)]], 1)
    assert mended == 1
    assert frame.is_valid.all() and len(frame) == 3
    assert frame.area.sum() == pytest.approx(8 + 9)


# --- levels ---------------------------------------------------------------------------------

CROSS = [street([(150, -100), (150, 400)], 30), street([(-100, 150), (400, 150)], 24)]
ACROSS, ALONG = (
    shapely.LineString([(-50, 75), (200, 75)]),
    shapely.LineString([(75, -50), (75, 200)]),
)
# Streets that meet, so that the map is seen to be split at crossings.
FORK = [shapely.LineString([(500, 500), end]) for end in [(600, 500), (500, 600), (400, 400)]]


def test_lines_that_cross_and_do_not_end_pass_over_one_another() -> None:
    [found] = find_passes([ACROSS, ALONG, *FORK])
    assert found.place.tolist() == [75, 75]
    assert np.abs(found.directions).tolist() == [[1, 0], [0, 1]]
    # One that ends there meets the other, and so do all four halves.
    to_middle = shapely.LineString([(75, -50), (75, 75)])
    assert find_passes([ACROSS, to_middle, *FORK]) == []
    assert find_passes(on_one_level([ACROSS, ALONG, *FORK])) == []
    # A map of lines that are never split.
    assert find_passes([ACROSS, ALONG]) == []
    assert find_passes([]) == []


def test_streets_go_on_without_a_node_where_the_map_has_a_bridge() -> None:
    network = network_of(drawn(CROSS, (300, 300)))
    passes = find_passes([ACROSS, ALONG, *FORK])
    parted = part_levels(network, passes)
    assert parted.degrees.tolist() == [1, 1, 1, 1]
    assert (parted.counts["passes_on_map"], parted.counts["passes"]) == (1, 1)
    lengths, widths = [], []
    for each in parted.streets:
        # Straight on, from node to node.
        assert each.line[[0, -1]] == pytest.approx(parted.nodes[[each.start, each.end]])
        ends = shapely.LineString(each.line[[0, -1]])
        assert shapely.hausdorff_distance(shapely.LineString(each.line), ends) < 2
        lengths.append(ends.length)
        widths.append(each.mean_width)
    assert lengths == pytest.approx([150, 150], abs=1)
    assert sorted(widths) == pytest.approx([12, 15], abs=0.8)


def test_where_map_and_network_do_not_agree_the_crossing_stays() -> None:
    network = network_of(drawn(CROSS, (300, 300)))
    elsewhere = [shapely.affinity.translate(line, 40, 40) for line in (ACROSS, ALONG)]
    askew = [shapely.affinity.rotate(line, 45, (75, 75)) for line in (ACROSS, ALONG)]
    for lines in (elsewhere, askew):
        kept = part_levels(network, find_passes([*lines, *FORK]))
        assert (kept.counts["passes_on_map"], kept.counts["passes"]) == (1, 0)
        assert sorted(kept.degrees) == [1, 1, 1, 1, 4]
        assert len(kept.streets) == 4
    nothing = network_of(np.zeros((100, 100), np.uint8))
    assert not part_levels(nothing, find_passes([ACROSS, ALONG, *FORK])).streets


# --- path lengths ---------------------------------------------------------------------------

SQUARE = [
    shapely.LineString([(0, 0), (100, 0)]),
    shapely.LineString([(100, 0), (100, 100)]),
    shapely.LineString([(100, 100), (0, 100)]),
    shapely.LineString([(0, 100), (0, 0)]),
]


def test_a_network_is_like_itself() -> None:
    found = path_length_similarity(SQUARE, SQUARE, 4)
    assert (found.apls, found.truth_to_proposal, found.proposal_to_truth) == (1, 1, 1)


def test_a_missing_side_makes_some_ways_longer() -> None:
    found = path_length_similarity(SQUARE, SQUARE[:3], 4, spacing=100)
    # Six pairs of corners; one is three times as far, and all points are found.
    assert found.truth_to_proposal == pytest.approx(5 / 6)
    # From the corners of what is left, that pair goes straight in the truth: 2/3 off.
    assert found.proposal_to_truth == pytest.approx(1 - (2 / 3) / 6)
    one, other = found.truth_to_proposal, found.proposal_to_truth
    assert found.apls == pytest.approx(2 * one * other / (one + other))


def test_what_is_too_far_or_broken_is_missing() -> None:
    moved = [shapely.affinity.translate(line, 10, 10) for line in SQUARE]
    assert path_length_similarity(SQUARE, moved, 4, spacing=100).apls == 0
    assert path_length_similarity(SQUARE, [], 4).apls == 0
    line = [shapely.LineString([(0, 0), (100, 0)])]
    broken = [shapely.LineString([(0, 0), (40, 0)]), shapely.LineString([(60, 0), (100, 0)])]
    assert path_length_similarity(line, broken, 4, spacing=100).truth_to_proposal == 0


def with_networkx(
    first: list[shapely.LineString], second: list[shapely.LineString], snap: float, spacing: float
) -> float:
    """Compare the paths of one network with those of another, as the paper has it.

    Nothing is shared with `path_length_similarity` but the points.
    """
    points = [shapely.Point(*xy) for xy in control_points(first, spacing)]

    def graph(lines: list[shapely.LineString]) -> nx.Graph:
        found = nx.MultiGraph()
        for line in lines:
            on_line = [
                (line.project(point), number)
                for number, point in enumerate(points)
                if min(lines, key=point.distance) is line and point.distance(line) <= snap
            ]
            ends = [tuple(np.round(line.coords[at], 3)) for at in (0, -1)]
            stops = [(0.0, ends[0]), *sorted(on_line), (line.length, ends[1])]
            for (start, one), (end, other) in pairwise(stops):
                found.add_edge(one, other, length=end - start)
        return found

    one, other = graph(first), graph(second)
    differences = []
    for source in range(len(points)):
        true = nx.single_source_dijkstra_path_length(one, source, weight="length")
        lengths = (
            nx.single_source_dijkstra_path_length(other, source, weight="length")
            if source in other
            else {}
        )
        for target, length in true.items():
            if target in range(len(points)) and length > 0:
                found = lengths.get(target, np.inf)
                differences.append(min(1.0, abs(found - length) / length))
    return 1 - float(np.mean(differences))


def test_networkx_finds_the_same_similarity() -> None:
    rng = np.random.default_rng(3)
    places = {
        (i, j): (100 * i + rng.uniform(-20, 20), 100 * j + rng.uniform(-20, 20))
        for i in range(4)
        for j in range(4)
    }
    pairs = [
        (place, (place[0] + right, place[1] + down))
        for place in places
        for right, down in ((1, 0), (0, 1))
        if (place[0] + right, place[1] + down) in places
    ]
    truth = [shapely.LineString([places[a], places[b]]) for a, b in pairs]
    moved = {
        place: (x + rng.uniform(-5, 5), y + rng.uniform(-5, 5)) for place, (x, y) in places.items()
    }
    proposal = [shapely.LineString([moved[a], moved[b]]) for a, b in pairs[3:]]
    found = path_length_similarity(truth, proposal, 4, 30)
    assert 0.2 < found.truth_to_proposal < 0.95
    assert found.truth_to_proposal == pytest.approx(with_networkx(truth, proposal, 4, 30), abs=1e-6)
    assert found.proposal_to_truth == pytest.approx(with_networkx(proposal, truth, 4, 30), abs=1e-6)


# --- the command ----------------------------------------------------------------------------


def write_classes(
    folder: Path,
    name: str,
    classes: np.ndarray,
    transform: Affine,
    crs: CRS | None = FEET,
    names: tuple[str, ...] = ("road",),
) -> Path:
    grid = Grid(classes.shape[1], classes.shape[0], transform, crs)
    path = folder / "predictions" / f"{name}.tif"
    tags = {"ROADMASK_CLASSES": json.dumps(["other", *names])}
    write_cog(path, grid, classes, nodata=255, tags=tags)
    probability = np.where(classes == 1, np.uint8(200), np.uint8(20))
    write_cog(folder / "probability" / f"{name}.tif", grid, probability, nodata=255)
    return path


def draw(folder: Path, *more: str) -> Path:
    names = sorted(path.stem for path in (folder / "predictions").glob("*.tif"))
    output = folder / "vectors" / "vectors.json"
    arguments = [
        "vectors",
        f"--scenes={'/'.join(names)}",
        f"{folder}/predictions/{{scene}}.tif",
        f"--probability={folder}/probability/{{scene}}.tif",
        f"--output={output}",
        *OPTIONS,
        *more,
    ]
    assert main(arguments) == 0
    return output


@pytest.fixture(scope="module")
def city() -> tuple[np.ndarray, Affine, list[shapely.LineString]]:
    """The demo city's true road as a raster, where it lies, and its centerlines."""
    network = plan_network(1)
    pavement = pave(network)
    transform = Affine(layout.PIXEL, 0, layout.WEST, 0, -layout.PIXEL, layout.SOUTH + layout.HEIGHT)
    size = round(layout.HEIGHT / layout.PIXEL), round(layout.WIDTH / layout.PIXEL)
    road = rasterize(
        [on_the_map(part) for part in pavement.roads.geoms],
        out_shape=size,
        transform=transform,
        dtype="uint8",
    )
    lines = [
        on_the_map(feature.geometry)
        for feature in centerlines(network, 1)
        if feature.fields["STATUS"] == "2"
        and feature.fields["RW_TYPE"] not in ("4", "5", "6", "7", "12", "14")
    ]
    return road, transform, lines


def cut(
    folder: Path, road: np.ndarray, transform: Affine, rows: list[int], columns: list[int]
) -> None:
    height, width = road.shape
    for top, bottom in zip([0, *rows], [*rows, height], strict=True):
        for left, right in zip([0, *columns], [*columns, width], strict=True):
            write_classes(
                folder,
                f"s{top}_{left}",
                road[top:bottom, left:right],
                transform @ Affine.translation(left, top),
            )


@pytest.fixture(scope="module")
def whole_city(
    city: tuple[np.ndarray, Affine, list[shapely.LineString]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    cut(folder, city[0], city[1], [], [])
    return draw(folder)


def test_however_sheets_are_cut_the_features_are_the_same(
    city: tuple[np.ndarray, Affine, list[shapely.LineString]], whole_city: Path, tmp_path: Path
) -> None:
    cut(tmp_path, city[0], city[1], [1000, 1537], [77, 2048])
    parts = draw(tmp_path, "--threads=2")
    assert len(json.loads(parts.read_text())["files"][0]["scenes"]) == 9
    for layer in ("roads", "edges", "nodes"):
        ours, theirs = (
            pyogrio.read_dataframe(path.with_name("roads.gpkg"), layer=layer)
            for path in (parts, whole_city)
        )
        # To the last bit; the files' metadata names other sheets.
        assert ours.drop(columns="geometry").equals(theirs.drop(columns="geometry"))
        assert (ours.geometry.to_wkb() == theirs.geometry.to_wkb()).all()


def test_polygons_of_the_city_come_back_as_its_raster(
    city: tuple[np.ndarray, Affine, list[shapely.LineString]], whole_city: Path
) -> None:
    road, transform, _ = city
    table = pyogrio.read_dataframe(whole_city.with_name("roads.gpkg"), layer="roads")
    assert table.crs.to_epsg() == 2263
    assert table.is_valid.all()
    assert set(table["class"]) == {"road"}
    back = rasterize(table.geometry, out_shape=road.shape, transform=transform, dtype="uint8")
    assert iou(back > 0, road > 0) > 0.98
    metres = (table.area * (1200 / 3937) ** 2).to_numpy()
    assert table["area_m2"].to_numpy() == pytest.approx(metres, rel=1e-3)


def test_the_network_of_the_city(
    city: tuple[np.ndarray, Affine, list[shapely.LineString]], whole_city: Path
) -> None:
    package = whole_city.with_name("roads.gpkg")
    edges = pyogrio.read_dataframe(package, layer="edges")
    nodes = pyogrio.read_dataframe(package, layer="nodes").set_index("node")
    # Every edge runs from node to node, and edges meet nowhere else.
    for edge in edges.itertuples():
        ends = [shapely.Point(edge.geometry.coords[at]) for at in (0, -1)]
        assert ends == [nodes.geometry[edge.from_node], nodes.geometry[edge.to_node]]
    ends = np.bincount(np.concatenate([edges["from_node"], edges["to_node"]]))[1:]
    assert (ends == nodes["degree"]).all()
    report = json.loads(whole_city.read_text())["files"][0]
    assert report["crossings_without_node"] == 0
    noded = shapely.node(shapely.MultiLineString(list(edges.geometry)))
    assert len(shapely.get_parts(shapely.line_merge(noded))) <= len(edges)
    assert edges["length_m"].to_numpy() == pytest.approx(
        edges["length"].to_numpy() * 1200 / 3937, rel=1e-3
    )
    assert (edges["least_width_m"] <= edges["mean_width_m"] + 0.01).all()
    assert edges["mean_probability"].to_numpy() == pytest.approx(200 / 254, abs=1e-3)
    # The centerlines have been moved by some feet, and tell levels that no picture does.
    table = pyogrio.read_dataframe(package, layer="roads")
    ground = shapely.box(*shapely.total_bounds(table.geometry.to_numpy()))
    to_metres = Affine.scale(1200 / 3937)
    truth = shapely.get_parts(
        shapely.node(
            shapely.union_all(
                [shapely.transform(line, lambda xy: xy * to_metres.a) for line in city[2]]
            )
            & shapely.transform(ground, lambda xy: xy * to_metres.a)
        )
    )
    ours = [shapely.transform(line, lambda xy: xy * to_metres.a) for line in edges.geometry]
    assert path_length_similarity(list(truth), ours, 6).apls >= 0.9


def test_a_second_run_writes_the_same_and_takes_away_what_is_stale(
    whole_city: Path,
) -> None:
    before = whole_city.with_name("roads.gpkg").read_bytes()
    stale = whole_city.with_name("roads_epsg4326_1.gpkg")
    stale.touch()
    beside = stale.with_name("roads_epsg4326_1.gpkg.aux.xml")  # GDAL's, of who read it
    beside.touch()
    draw(whole_city.parents[1])
    assert whole_city.with_name("roads.gpkg").read_bytes() == before
    assert not stale.exists()
    assert not beside.exists()


def test_sheets_of_two_pixel_sizes_and_pictures_without_crs(tmp_path: Path) -> None:
    road = drawn([street([(-10, 100), (410, 100)], 40)], (200, 400))
    write_classes(tmp_path / "a", "fine", road, Affine(0.5, 0, 9e5, 0, -0.5, 2e5))
    write_classes(tmp_path / "a", "coarse", road, Affine(1, 0, 9.5e5, 0, -1, 2e5))
    stale = tmp_path / "a" / "vectors" / "network.json"
    stale.parent.mkdir()
    stale.write_text("{}")
    found = json.loads(draw(tmp_path / "a").read_text())["files"]
    # It scored what is no more.
    assert not stale.exists()
    assert [entry["file"] for entry in found] == [
        "roads_epsg2263_0.5.gpkg",
        "roads_epsg2263_1.gpkg",
    ]
    for name in ("other", "picture"):
        write_classes(tmp_path / "b", name, road, Affine.identity(), None)
    output = draw(tmp_path / "b", "--threads=2")
    _, entry = json.loads(output.read_text())["files"]
    assert entry["file"] == "roads_picture.gpkg"
    assert output.with_name("roads_other.gpkg").is_file()
    table: gpd.GeoDataFrame = pyogrio.read_dataframe(output.with_name(entry["file"]), layer="edges")
    assert table.crs is None
    # What is counted in pixels says so.
    assert table["length_px"].sum() == pytest.approx(400, abs=3)
    assert table["mean_width_px"].tolist() == pytest.approx([40], abs=2)
    for layer, columns in {
        "roads": {"road", "class", "area_px"},
        "edges": {"edge", "from_node", "to_node", "length_px", "mean_width_px", "least_width_px"}
        | {"mean_probability"},
        "nodes": {"node", "kind", "degree", "width_px"},
    }.items():
        info = pyogrio.read_info(output.with_name(entry["file"]), layer=layer)
        assert set(info["fields"]) == columns
    assert entry["area_px"] == pytest.approx(road.sum(), rel=0.01)
    assert entry["length_px"] == pytest.approx(400, abs=3)
    assert not [name for name in [*entry, *entry["left_out"]] if name.endswith(("_m", "_m2"))]
    assert table.total_bounds[[1, 3]] == pytest.approx([100, 100], abs=1.5)


def test_one_crs_in_two_spellings_is_one(tmp_path: Path) -> None:
    road = drawn([street([(-10, 100), (410, 100)], 60)], (200, 400))
    write_classes(tmp_path, "a", road, Affine(0.5, 0, 9e5, 0, -0.5, 2e5))
    spelling = CRS.from_string("ESRI:102718")
    assert spelling.to_epsg() is None and spelling == FEET
    write_classes(tmp_path, "b", road, Affine(0.5, 0, 9e5 + 200, 0, -0.5, 2e5), spelling)
    package = draw(tmp_path).with_name("roads.gpkg")
    assert len(pyogrio.read_dataframe(package, layer="roads")) == 1
    assert len(pyogrio.read_dataframe(package, layer="edges")) == 1
    # Others stay apart, those that EPSG doesn't know too.
    local = CRS.from_proj4("+proj=tmerc +lat_0=40 +lon_0=-74 +k=0.9 +x_0=0 +ellps=GRS80 +units=m")
    labels = [crs_label(crs) for crs in (FEET, spelling, CRS.from_epsg(6539), local)]
    assert labels[:3] == ["epsg2263", "epsg2263", "epsg6539"]
    assert labels[3].startswith("crs")


@pytest.mark.parametrize("shift", [0.0, 0.5, 1.0])
def test_nothing_lies_beyond_the_pictures_and_streets_reach_their_border(
    tmp_path: Path, shift: float
) -> None:
    """Neither the sheets' corner nor their size is a multiple of the pixels for middle lines."""
    shapes = [
        street([(-50, 90), (460, 170)], 40),
        street([(120, -50), (200, 260)], 36),
        street([(-50, 40), (100, -40)], 30),
        street([(330, 250), (398, -50)], 44),
    ]
    road = drawn(shapes, (203, 401))
    write_classes(tmp_path, "a", road, Affine(0.5, 0, 9e5 + shift, 0, -0.5, 2e5 + shift))
    package = draw(tmp_path).with_name("roads.gpkg")
    sheet = shapely.box(9e5 + shift, 2e5 + shift - 101.5, 9e5 + shift + 200.5, 2e5 + shift)
    for layer in ("edges", "nodes"):
        assert sheet.covers(pyogrio.read_dataframe(package, layer=layer).geometry).all(), layer
    nodes = pyogrio.read_dataframe(package, layer="nodes")
    ends = nodes[nodes["kind"] == "end"]
    assert len(ends) == 6
    # In feet, and below a pixel of middle lines.
    assert shapely.distance(ends.geometry.to_numpy(), sheet.boundary).max() < 2


def test_what_is_left_out_is_counted_and_what_it_was_made_from_is_told(tmp_path: Path) -> None:
    road = drawn([street([(-10, 100), (410, 100)], 60)], (200, 400))
    road[10:13, 50:200] = 1  # 1.5 ft wide
    road[30:35, 300:305] = 1  # less than a square of 10 ft
    road[95:105, 100:110] = 0  # a hole as small
    road[145:195, 200:260] = 1  # 30 ft long
    write_classes(tmp_path, "a", road, Affine(0.5, 0, 9e5, 0, -0.5, 2e5))
    output = draw(tmp_path)
    [entry] = json.loads(output.read_text())["files"]
    assert (entry["polygons"], entry["edges"]) == (2, 1)
    left_out = entry["left_out"]
    square_metres = 0.25 * (1200 / 3937) ** 2
    assert (left_out["polygons"], left_out["holes"], left_out["lone_lines"]) == (2, 1, 1)
    assert is_narrow(shapely.box(0, 0, 2.9, 100), 2.9) and not is_narrow(
        shapely.box(0, 0, 3.1, 100), 3.0
    )
    assert left_out["polygons_area_m2"] == pytest.approx(475 * square_metres, rel=0.1)
    assert left_out["holes_area_m2"] == pytest.approx(100 * square_metres, rel=0.1)
    assert 0 < left_out["lone_lines_length_m"] < 30 * 0.3048
    information = pyogrio.read_info(output.with_name("roads.gpkg"), layer="edges")
    metadata = information["dataset_metadata"]
    assert metadata["ROADMASK_VERSION"] == __version__
    assert json.loads(metadata["ROADMASK_SETTINGS"]) == {
        option[2:].split("=")[0]: option.split("=")[1] for option in OPTIONS
    }
    assert json.loads(metadata["ROADMASK_CLASSES"]) == ["other", "road"]


def test_metadata_of_several_rasters(tmp_path: Path) -> None:
    grid = Grid(60, 60, Affine(0.5, 0, 9e5, 0, -0.5, 2e5), FEET)
    paths = [tmp_path / f"{name}.tif" for name in "abc"]
    for path, threshold in zip(paths, ("0.5", "0.4", "0.5"), strict=True):
        tags = {
            "ROADMASK_SOURCE": f"{path.stem}.jp2",
            "ROADMASK_MODEL_SHA256": "12ab",
            "ROADMASK_SETTINGS": threshold,
            "ROADMASK_NEIGHBOURS": "x",
        }
        write_cog(path, grid, np.zeros((60, 60), np.uint8), nodata=255, tags=tags)
    assert made_from(paths, {"vectors.island": "20 ft"}) == {
        "ROADMASK_VERSION": __version__,
        "ROADMASK_SETTINGS": '{"vectors.island": "20 ft"}',
        "ROADMASK_MODEL_SHA256": "12ab",
        "ROADMASK_RASTER_SETTINGS": '["0.4", "0.5"]',
        "ROADMASK_SOURCES": '["a.jp2", "b.jp2", "c.jp2"]',
    }
    assert made_from(paths[:1], {})["ROADMASK_SOURCES"] == '["a.jp2"]'


def test_a_sheet_without_road_has_empty_layers(tmp_path: Path) -> None:
    write_classes(
        tmp_path, "bare", np.zeros((100, 100), np.uint8), Affine(0.5, 0, 9e5, 0, -0.5, 2e5)
    )
    package = draw(tmp_path).with_name("roads.gpkg")
    for layer, kind in pyogrio.list_layers(package):
        assert pyogrio.read_info(package, layer=layer)["features"] == 0, kind
    assert [name for name, _ in pyogrio.list_layers(package)] == ["roads", "edges", "nodes"]


def test_several_classes_have_their_names(tmp_path: Path) -> None:
    classes = drawn([street([(-10, 100), (410, 100)], 60)], (200, 400))
    classes[40:100, 150:250] = 2
    names = ("road", "parking")
    write_classes(tmp_path, "a", classes, Affine(0.5, 0, 9e5, 0, -0.5, 2e5), names=names)
    table = pyogrio.read_dataframe(draw(tmp_path).with_name("roads.gpkg"), layer="roads")
    assert table["class"].tolist() == ["road", "parking"]
    feet = table.area.to_numpy() * 4
    assert feet == pytest.approx([(classes == 1).sum(), (classes == 2).sum()], rel=0.01)
    assert shapely.intersection(*table.geometry).area == pytest.approx(0, abs=1e-6)


def test_sheets_whose_pixels_lie_between_are_joined_with_a_warning(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    road = drawn([street([(-10, 100), (410, 100)], 60)], (200, 400))
    write_classes(tmp_path, "a", road, Affine(0.5, 0, 9e5, 0, -0.5, 2e5))
    write_classes(tmp_path, "b", road, Affine(0.5, 0, 9e5 + 200.15, 0, -0.5, 2e5))
    package = draw(tmp_path).with_name("roads.gpkg")
    assert "b: its pixels lie between those of a" in capfd.readouterr().err
    assert len(pyogrio.read_dataframe(package, layer="roads")) == 1
    assert len(pyogrio.read_dataframe(package, layer="edges")) == 1


def test_classes_that_differ_are_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    road = np.ones((60, 60), np.uint8)
    write_classes(tmp_path, "a", road, Affine(0.5, 0, 9e5, 0, -0.5, 2e5))
    other = write_classes(tmp_path, "b", road, Affine(0.5, 0, 9e5 + 30, 0, -0.5, 2e5))
    with rasterio.open(other, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as dataset:
        dataset.update_tags(ROADMASK_CLASSES='["other", "water"]')
    names = [str(tmp_path / "predictions" / f"{name}.tif") for name in "ab"]
    assert main(["vectors", *names, f"--output={tmp_path}/v.json", *OPTIONS]) == 1
    assert "its classes are not those of" in capfd.readouterr().err


# --- the score ------------------------------------------------------------------------------


def write_lines(folder: Path, scene: str, lines: list[shapely.LineString], crs: CRS | None) -> None:
    path = folder / "lines" / f"{scene}.gpkg"
    path.parent.mkdir(exist_ok=True)
    table = {"source_fid": np.arange(len(lines))}
    pyogrio.write_dataframe(
        gpd.GeoDataFrame(table, geometry=lines, crs=crs), path, layer="centerlines", driver="GPKG"
    )


def score(folder: Path, vectors: Path) -> dict:
    output = folder / "vectors" / "network.json"
    arguments = [
        "score-vectors",
        "--scenes=left/right",
        f"--masks={folder}/masks/{{scene}}.tif",
        f"--lines={folder}/lines/{{scene}}.gpkg",
        f"--vectors={vectors}",
        f"--output={output}",
        *OPTIONS,
    ]
    assert main(arguments) == 0
    [entry] = json.loads(output.read_text())["groups"]
    return entry


def test_the_score_counts_streets_that_there_are(tmp_path: Path) -> None:
    """A cross of streets on two sheets; the map has a street on paper and a ferry besides."""
    start = Affine(1, 0, 9e5, 0, -1, 2e5)
    shapes = [street([(-10, 300), (1210, 300)], 40), street([(600, -10), (600, 610)], 40)]
    road = drawn(shapes, (600, 1200))
    for name, left in (("left", 0), ("right", 500)):
        part = road[:, left : 500 if name == "left" else None]
        path = write_classes(tmp_path, name, part, start @ Affine.translation(left, 0))
        (tmp_path / "masks").mkdir(exist_ok=True)
        (tmp_path / "masks" / path.name).write_bytes(path.read_bytes())
    on_map = [
        shapely.LineString([(9e5 - 50, 2e5 - 302), (9e5 + 600, 2e5 - 302)]),
        shapely.LineString([(9e5 + 600, 2e5 - 302), (9e5 + 1250, 2e5 - 302)]),
        shapely.LineString([(9e5 + 600, 2e5), (9e5 + 600, 2e5 - 302)]),
        shapely.LineString([(9e5 + 600, 2e5 - 302), (9e5 + 600, 2e5 - 600)]),
        # Off the road, and off the sheets.
        shapely.LineString([(9e5 + 100, 2e5 - 302), (9e5 + 400, 2e5)]),
        shapely.LineString([(9e5 - 500, 2e5 - 302), (9e5 - 50, 2e5 - 302)]),
    ]
    for name in ("left", "right"):
        write_lines(tmp_path, name, on_map, FEET)
    entry = score(tmp_path, draw(tmp_path))
    assert entry["centerlines"] == 4
    assert entry["centerlines_m"] == pytest.approx(1800 * 1200 / 3937, rel=0.01)
    for network in ("masks", "predictions"):
        assert entry[network]["apls"] > 0.98
        assert entry[network]["apls_with_levels"] > 0.98

    # The prediction has lost a street, the label has not.
    start_of = {"left": 0, "right": 500}
    lost = drawn(shapes[:1], (600, 1200))
    for name, left in start_of.items():
        part = lost[:, left : 500 if name == "left" else None]
        write_classes(tmp_path, name, part, start @ Affine.translation(left, 0))
    entry = score(tmp_path, draw(tmp_path))
    assert entry["masks"]["apls"] > 0.98
    assert entry["predictions"]["truth_to_proposal"] < 0.7
    assert entry["predictions"]["proposal_to_truth"] > 0.98


def test_the_map_tells_bridges(tmp_path: Path) -> None:
    start = Affine(1, 0, 9e5, 0, -1, 2e5)
    shapes = [street([(-10, 300), (1210, 300)], 40), street([(600, -10), (600, 610)], 40)]
    shapes.append(street([(200, 300), (200, 610)], 30))
    write_classes(tmp_path, "a", drawn(shapes, (600, 1200)), start)

    def line(*points: tuple[float, float]) -> shapely.LineString:
        return shapely.LineString([start @ point for point in points])

    # A street ends upon the one that passes over another.
    on_map = [line((200, 300), (1250, 300)), line((-50, 300), (200, 300))]
    on_map += [line((600, -50), (600, 650)), line((200, 300), (200, 650))]
    write_lines(tmp_path, "a", on_map, FEET)
    told = ("--lines-scenes=a", f"--lines-folder={tmp_path}/lines")
    for more, edges, counts in (((), 6, (0, 0)), (told, 4, (1, 1))):
        output = draw(tmp_path, *more)
        [entry] = json.loads(output.read_text())["files"]
        assert (entry["passes_on_map"], entry["passes"]) == counts
        table = pyogrio.read_dataframe(output.with_name("roads.gpkg"), layer="edges")
        assert len(table) == edges
        nodes = pyogrio.read_dataframe(output.with_name("roads.gpkg"), layer="nodes")
        ends = np.bincount(np.concatenate([table["from_node"], table["to_node"]]))[1:]
        assert (ends == nodes["degree"]).all()


def test_bridges_are_crossings_to_a_picture_and_not_to_the_map() -> None:
    over = [shapely.LineString([(0, 0), (200, 0)]), shapely.LineString([(100, -100), (100, 100)])]
    assert len(on_one_level(over)) == 4
    found = path_length_similarity(over, on_one_level(over), 4)
    assert found.truth_to_proposal == pytest.approx(1)
    # Seen from the picture, the map lacks all ways that turn at the bridge.
    assert found.proposal_to_truth < 0.5
