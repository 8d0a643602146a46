"""The demo city from the air: everything painted in its order, then lit and photographed."""

from __future__ import annotations

import itertools
import math

import numpy as np
import numpy.typing as npt
import shapely
from shapely import Point, Polygon

from roadmask.demo.blocks import Blocks
from roadmask.demo.canvas import BORDER, HEIGHT_UNIT, ROLLED, Canvas
from roadmask.demo.colours import CONCRETE, Colour, asphalt
from roadmask.demo.pavement import Pavement
from roadmask.demo.shapes import Vector, cut, frame_at, left_of
from roadmask.demo.streets import RAMP_CUT, Network, Road, sheets_ground
from roadmask.demo.traffic import (
    crossing_zone,
    draw_car,
    drive_cars,
    hatch_wide_places,
    mark_crossings,
    mark_stretch,
    on_canvas,
    park_cars,
    stretches,
    wear_roads,
)
from roadmask.demo.trees import Trees
from roadmask.demo.vectors import VIADUCT_HEIGHT, open_outline

WATER: Colour = (52, 70, 74, 24)
CURB: Colour = (188, 184, 176, 182)
DECK_EDGE: Colour = (196, 192, 182, 186)
PLANKS: Colour = (150, 140, 122, 146)


def render(
    network: Network, pavement: Pavement, cleared: list[Polygon], seed: int
) -> npt.NDArray[np.uint8]:
    """Photograph the city.

    Parameters
    ----------
    network : Network
        Its axes.
    pavement : Pavement
        Its roadbeds and blocks.
    cleared : list of shapely.Polygon
        Ground in the blocks where a street was taken away: grown over or in rubble, by turns.
    seed : int
        Decides everything that the map does not.

    Returns
    -------
    numpy.ndarray of uint8, shape (4, rows, columns)
        Red, green, blue and near infrared of the ground of all sheets.
    """
    rng = np.random.default_rng([seed, 4])
    # In the northern hemisphere shadows fall to the north of west and east.
    canvas = Canvas(
        sun=math.radians(rng.uniform(50, 130)), elevation=math.radians(rng.uniform(54, 61))
    )
    canvas.pixels[:] = CONCRETE
    trees = Trees(canvas, rng)
    blocks = Blocks(canvas, rng, trees)
    view = sheets_ground().buffer(BORDER, join_style="mitre")

    _water(canvas, rng, network)
    low_roads = on_canvas(network, "low")
    deck = asphalt(rng)
    high_roads = on_canvas(network, "high")
    _surface(canvas, rng, low_roads, pavement, view)
    _ramp_feet(canvas, high_roads, deck)
    for block in pavement.blocks:
        if block.intersects(view):
            blocks.paint(
                block,
                park=any(block.contains(point) for point in network.parks),
                close=any(block.contains(point) for point in network.cul_de_sacs),
                waterside=block.distance(network.water) < 5,
            )
    for number, ground in enumerate(cleared):
        _clear(canvas, ground)
        if number % 2 == 0:
            blocks.grounds.lawn(ground)
        else:
            blocks.grounds.building_site(ground)
    blocks.grounds.verge(pavement.corridor.difference(shapely.union(pavement.low, network.water)))
    for strip in (*pavement.medians, *pavement.islands):
        if strip.intersects(view):
            blocks.grounds.island(strip)
    _street_trees(trees, rng, low_roads, pavement, view)
    _low_traffic(canvas, rng, low_roads, pavement)
    trees.draw()
    low_mask = canvas.mask(shapely.union(pavement.low, pavement.alleys))
    slabs = canvas.mask(shapely.unary_union(blocks.sidewalks)) & (canvas.heights == 0)
    _viaduct(canvas, rng, high_roads, pavement, deck)
    high_mask = canvas.mask(pavement.high)
    # Street paint is hidden by the deck above it; the deck's own was put on after it.
    painted = low_mask | high_mask | (canvas.paint > 0)
    return canvas.finish(rng, painted, slabs, network.turn)


def _water(canvas: Canvas, rng: np.random.Generator, network: Network) -> None:
    """Fill the water, wall it in, build the pier and put boats beside it."""
    canvas.fill_geometry(network.water, WATER, rough=55)
    canvas.stroke(
        shapely.get_coordinates(network.water.exterior), (206, 202, 194, 196), 1.5, closed=True
    )
    canvas.fill_geometry(network.pier, PLANKS, height=6, rough=90)
    shed = network.pier.buffer(-8)
    if not shed.is_empty:
        canvas.fill_geometry(shed, (186, 188, 190, 180), height=26, rough=40)
    for line in network.ferries:
        for place in (70.0, 190.0):
            if place < line.length:
                middle, along = frame_at(line, place)
                _boat(canvas, middle, along, rng.uniform(50, 80))


def _boat(canvas: Canvas, middle: Vector, along: Vector, length: float) -> None:
    side = left_of(along)
    stern, bow = middle - along * length / 2, middle + along * length / 2
    wake = [stern, stern - along * length * 2 + side * 16, stern - along * length * 2 - side * 16]
    canvas.fill(wake, (84, 104, 106, 40), rough=150)
    half = length * 0.14
    hull = [
        stern - half * side,
        stern + half * side,
        bow - along * 12 + half * side,
        bow,
        bow - along * 12 - half * side,
    ]
    canvas.fill(hull, (226, 228, 228, 214), height=10)
    cabin = [
        middle + a * along * length * 0.25 + b * side * half * 0.7
        for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))
    ]
    canvas.fill(cabin, (232, 140, 50, 200), height=18)


def _clear(canvas: Canvas, ground: Polygon) -> None:
    """Take away what was built and painted on a piece of ground."""
    gone = canvas.mask(ground)
    canvas.heights[gone] = 0
    canvas.paint[gone] = 0
    canvas.wear[gone] = 128


def _surface(
    canvas: Canvas, rng: np.random.Generator, roads: list[Road], pavement: Pavement, view: Polygon
) -> None:
    """Pave the streets, each with an asphalt of its own, and line them with curbs."""
    rest = asphalt(rng)
    low = canvas.mask(pavement.low)
    alleys = canvas.mask(pavement.alleys)
    # Curbs first: the asphalt covers the half that would lie on the road.
    for curb in open_outline(pavement.low, pavement):
        canvas.stroke(shapely.get_coordinates(curb), CURB, 1.5)
    before = canvas.pixels.copy()
    tones = canvas.pixels
    tones[low] = rest
    for road in roads:
        if road.kind == "alley":
            continue
        # A street is not resurfaced as a whole.
        lengths = np.cumsum([0.0, *rng.uniform(500, 1500, size=10)])
        for start, end in itertools.pairwise(lengths):
            if start >= road.line.length:
                break
            tone = asphalt(rng)
            piece = cut(road.line, start, min(end, road.line.length))
            if piece.intersects(view.buffer(60)):
                strip = piece.buffer(road.width / 2 + 1, cap_style="flat")
                canvas.fill_geometry(strip, tone, rough=ROLLED)
    tones[alleys] = asphalt(rng)
    keep = ~(low | alleys)
    tones[keep] = before[keep]
    canvas.rough[low | alleys] = ROLLED
    canvas.rough[keep & (canvas.rough == ROLLED)] = 64


def _low_traffic(
    canvas: Canvas, rng: np.random.Generator, roads: list[Road], pavement: Pavement
) -> None:
    """Paint the streets and put cars on them."""
    main = [road for road in roads if road.kind not in ("alley", "cul-de-sac")]
    parts = stretches(main, 17.0)
    before = canvas.paint.copy()
    wear_roads(canvas, rng, stretches(main, 0.0))
    for part in parts:
        mark_stretch(canvas, rng, part)
    mark_crossings(canvas, rng, main)
    hatch_wide_places(canvas, pavement.low)
    outside = ~canvas.mask(pavement.low)
    canvas.paint[outside] = before[outside]
    ground = shapely.union(pavement.high, crossing_zone(roads))
    keep_off = shapely.union(ground, shapely.unary_union([*pavement.medians, *pavement.islands]))
    park_cars(canvas, rng, parts, keep_off)
    drive_cars(canvas, rng, parts)
    for road in roads:
        if road.kind == "cul-de-sac":
            end = np.array(road.line.coords[-1])
            for angle in rng.uniform(0, 2 * math.pi, size=3):
                out = np.array([math.cos(angle), math.sin(angle)])
                draw_car(canvas, rng, end + 30 * out, np.array([-out[1], out[0]]))


def _street_trees(
    trees: Trees, rng: np.random.Generator, roads: list[Road], pavement: Pavement, view: Polygon
) -> None:
    """Plant trees along the curbs; their crowns reach over the road."""
    free = pavement.roads.buffer(2.5)
    covered = shapely.union(pavement.high.buffer(12), free)
    shapely.prepare(covered)
    for road in roads:
        if road.kind in ("alley", "cul-de-sac"):
            continue
        density = rng.uniform(0.15, 0.8)
        for side in (-1, 1):
            for place in np.arange(15.0, road.line.length, 27.0):
                if rng.random() > density:
                    continue
                middle, along = frame_at(road.line, float(place + rng.uniform(-5, 5)))
                normal = left_of(along)
                spot = Point(middle + side * (road.width / 2 + 4.5) * normal)
                if view.contains(spot) and not covered.contains(spot):
                    trees.plant(spot.x, spot.y, 5, 9)


def _ramp_feet(canvas: Canvas, roads: list[Road], tone: Colour) -> None:
    """Pave the ground's part of the ramps like the deck."""
    for road in roads:
        if road.kind == "ramp":
            foot = cut(road.line, 22.0, RAMP_CUT + 1.0)
            canvas.fill_geometry(foot.buffer(road.width / 2, cap_style="flat"), tone)


def _viaduct(
    canvas: Canvas, rng: np.random.Generator, roads: list[Road], pavement: Pavement, tone: Colour
) -> None:
    """Lay the highway's deck over all that is below, and its traffic."""
    deck = canvas.mask(pavement.high)
    canvas.paint[deck] = 0
    canvas.wear[deck] = 128
    for parapet in open_outline(pavement.high, pavement):
        canvas.stroke(shapely.get_coordinates(parapet), DECK_EDGE, 2.0)
    canvas.pixels[deck] = tone
    canvas.rough[deck] = ROLLED
    canvas.heights[deck] = round(VIADUCT_HEIGHT / HEIGHT_UNIT)
    # Ramps come down to the ground where their upper part ends.
    for road in roads:
        if road.kind != "ramp":
            continue
        merge = road.line.length - 60
        for start in np.arange(RAMP_CUT, merge, 3.0):
            piece = cut(road.line, float(start), float(start) + 4.0)
            strip = piece.buffer(road.width / 2 + 1, cap_style="flat")
            height = VIADUCT_HEIGHT * float(start - RAMP_CUT) / (merge - RAMP_CUT)
            canvas.fill_geometry(strip.intersection(pavement.high), None, height=height)
    parts = [part for part in stretches(roads, 0.0) if part.road.kind == "highway"]
    wear_roads(canvas, rng, parts)
    below = canvas.paint.copy()
    for part in stretches(roads, 4.0):
        mark_stretch(canvas, rng, part)
    canvas.paint[~deck] = below[~deck]
    drive_cars(canvas, rng, parts, VIADUCT_HEIGHT)
