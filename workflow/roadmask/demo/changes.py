"""Where the demo city's map and its picture disagree, on purpose.

Three kinds are planted: paper streets, which only the map's centerlines hold; demolished
streets, which the whole map still holds and the picture no longer shows; and new streets, which
only the picture shows. They are short lanes from a street into a block (a paper street crosses
it), a block each, spread over the sheets, away from everything else that is planted to be hard.
Together the demolished and the new ones stay under a hundredth of the road, so that the label
made from the map remains a label of the picture.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
import shapely
from shapely import LineString, Polygon
from shapely.geometry.base import BaseGeometry

from roadmask.demo.pavement import SIDEWALK, Pavement
from roadmask.demo.shapes import cut, frame_at, left_of
from roadmask.demo.streets import Network, Road, sheets_ground

ChangeKind = Literal["demolished", "new", "paper"]

# Alternating, so that each kind is spread over the city.
PLAN: Final[tuple[ChangeKind, ...]] = (
    "demolished",
    "new",
    "paper",
    "new",
    "demolished",
    "paper",
    "paper",
)
NARROWEST, WIDEST = 20.0, 22.0
"""Paved width of a planted street, in feet."""
SHORTEST, LONGEST = 84.0, 96.0
"""Length of a demolished or new street from the curb, in feet."""
STEP = 20.0
"""Between the places that are tried along a street, in feet."""
FROM_CORNER = 60.0
"""Least distance of a planted street's side from other roads, in feet."""
FROM_END = 45.0
"""Least distance of a lane's closed end from other roads, in feet."""
HARD_KINDS = ("diagonal", "shore", "highway", "ramp")
FROM_HARD = 100.0
"""Least distance from a diagonal, a divided road and whatever else is hard, in feet."""
FROM_SHEETS_EDGE = 30.0
LONGEST_CROSSING = 330.0
"""How far a paper street may reach from axis to axis, in feet."""


@dataclass(frozen=True)
class Changes:
    """The streets on which map and picture disagree.

    Attributes
    ----------
    demolished : tuple of Road
        In the map, and not in the picture.
    new : tuple of Road
        In the picture, and not in the map.
    paper : tuple of Road
        Among the map's centerlines alone.
    """

    demolished: tuple[Road, ...]
    new: tuple[Road, ...]
    paper: tuple[Road, ...]

    def pictured(self, network: Network) -> Network:
        """Return what the picture shows."""
        return replace(network, roads=network.roads + self.new)

    def paved_on_map(self, network: Network) -> Network:
        """Return what the map has pavement edges of."""
        return replace(network, roads=network.roads + self.demolished)

    def drawn_on_map(self, network: Network) -> Network:
        """Return what the map has centerlines of."""
        return replace(network, roads=network.roads + self.demolished + self.paper)


@dataclass(frozen=True)
class _Place:
    """Where a street could be planted: both ways of using it, and the block it lies in."""

    block: int
    lane: LineString
    crossing: LineString | None

    @property
    def middle(self) -> tuple[float, float]:
        return float(self.lane.centroid.x), float(self.lane.centroid.y)


def plan_changes(network: Network, pavement: Pavement, seed: int) -> Changes:
    """Choose where map and picture are to disagree.

    Parameters
    ----------
    network, pavement : Network, Pavement
        The city, map and picture still agreeing.
    seed : int
        Which places.

    Returns
    -------
    Changes
        As many streets as `PLAN` names, fewer where a city has no room for them.
    """
    rng = np.random.default_rng([seed, 5])
    places = _places(network, pavement, rng)
    found: dict[ChangeKind, list[Road]] = {"demolished": [], "new": [], "paper": []}
    taken: list[_Place] = []
    for kind in PLAN:
        place = _farthest(places, taken, crossing=kind == "paper")
        if place is None:
            continue
        taken.append(place)
        width = round(float(rng.uniform(NARROWEST, WIDEST)))
        number = len(found[kind]) + 1
        line = place.crossing if kind == "paper" and place.crossing is not None else place.lane
        found[kind].append(Road(f"{kind.upper()} LN {number}", "street", line, width, one_way=True))
    return Changes(tuple(found["demolished"]), tuple(found["new"]), tuple(found["paper"]))


def _farthest(places: list[_Place], taken: list[_Place], *, crossing: bool) -> _Place | None:
    """Return the place farthest from those taken, in a block of its own; the first, at first."""
    used = {place.block for place in taken}
    usable = [
        place
        for place in places
        if place.block not in used and (place.crossing is not None or not crossing)
    ]
    if not usable or not taken:
        return usable[0] if usable else None
    here = np.array([place.middle for place in usable])
    there = np.array([place.middle for place in taken])
    apart = np.linalg.norm(here[:, None] - there[None], axis=2).min(axis=1)
    return usable[int(np.argmax(apart))]


def _places(network: Network, pavement: Pavement, rng: np.random.Generator) -> list[_Place]:
    """Find where a short street can leave a street, in a random order."""
    hard = shapely.unary_union(
        [
            *(road.line for road in network.roads if road.median > 0 or road.kind in HARD_KINDS),
            *(shapely.Point(road.line.coords[0]) for road in network.roads if road.open_start),
            *(shapely.Point(road.line.coords[-1]) for road in network.roads if road.open_end),
            pavement.corridor,
            network.water,
        ]
    )
    # These fill their blocks.
    whole = shapely.unary_union(
        [
            *(road.line for road in network.roads if road.kind in ("alley", "cul-de-sac")),
            *network.parks,
            *network.paper_streets,
        ]
    )
    inside = sheets_ground().buffer(-FROM_SHEETS_EDGE)
    quiet = [
        (number, block)
        for number, block in enumerate(pavement.blocks)
        if block.distance(whole) > 1.0
    ]
    found = []
    for road in network.roads:
        if road.kind != "street":
            continue
        others = shapely.unary_union([other.line for other in network.roads if other is not road])
        for at in np.arange(STEP, road.line.length, STEP):
            for side in (-1.0, 1.0):
                length = float(rng.uniform(SHORTEST, LONGEST))
                place = _place(road, float(at), side, length, quiet, pavement, others, hard)
                if place is None or not inside.contains(place.lane):
                    continue
                if place.crossing is not None and not inside.contains(place.crossing):
                    place = replace(place, crossing=None)
                found.append(place)
    return [found[k] for k in rng.permutation(len(found))]


def _place(
    road: Road,
    at: float,
    side: float,
    length: float,
    blocks: list[tuple[int, Polygon]],
    pavement: Pavement,
    others: BaseGeometry,
    hard: BaseGeometry,
) -> _Place | None:
    """Try one place: `at` along a road, to one side of it."""
    foot, along = frame_at(road.line, at)
    across = side * left_of(along)
    lane = LineString([foot, foot + (road.width / 2 + length) * across])
    number, block = next(
        ((k, block) for k, block in blocks if block.intersects(lane)), (-1, Polygon())
    )
    strip = lane.buffer(WIDEST / 2, cap_style="flat")
    # Off the mouth, nothing but the block: neither a corner nor another road is near.
    beyond = cut(lane, road.width / 2 + 1, lane.length)
    free = block.buffer(SIDEWALK)
    if block.is_empty or not free.contains(beyond.buffer(WIDEST / 2 + SIDEWALK, cap_style="flat")):
        return None
    if (
        strip.distance(others) < FROM_CORNER
        or shapely.Point(lane.coords[-1]).distance(pavement.roads) < FROM_END
    ):
        return None
    if strip.distance(hard) < FROM_HARD:
        return None
    return _Place(number, lane, _crossing(foot, across, others))


def _crossing(foot: np.ndarray, across: np.ndarray, others: BaseGeometry) -> LineString | None:
    """Lead a street on through the block, to the axis of the road behind it."""
    ray = LineString([foot, foot + LONGEST_CROSSING * across])
    met = ray.intersection(others)
    hits = [] if met.is_empty else [ray.project(point) for point in shapely.get_parts(met)]
    return cut(ray, 0, min(hits)) if hits else None


def cleared(changes: Changes, pavement: Pavement) -> list[Polygon]:
    """Return the ground of the demolished streets behind the sidewalk, in their order.

    Parameters
    ----------
    changes : Changes
        What is planted.
    pavement : Pavement
        Of the picture.

    Returns
    -------
    list of shapely.Polygon
        In feet from the lower left corner of the sheets' ground.
    """
    walks = pavement.roads.buffer(SIDEWALK)
    grounds = []
    for road in changes.demolished:
        ground = road.line.buffer(road.width / 2 + 4, cap_style="square").difference(walks)
        grounds.append(max(shapely.get_parts(ground), key=lambda part: float(part.area)))
    return grounds
