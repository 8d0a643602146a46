"""Roads that pass over one another, which a picture does not tell and the map does.

Where two of the map's lines cross and neither ends, one is on a bridge: the network's streets
go on there without a node. A map whose lines are not split at crossings tells nothing of this.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyogrio
import shapely

from roadmask.vectors.network import Network, Street
from roadmask.vectors.sheets import Group

log = logging.getLogger(__name__)

# Metres from a line's end within which it ends at a crossing.
AT_END = 1.0
# Metres along a line on either side of a crossing from which its direction is taken.
AROUND = 15.0
# Ends of lines that make a junction, and of streets at a crossing of two.
MEETING, CROSSING = 3, 4
# Widths of road from a crossing on the map within which the network has it.
REACH = 1.0
# Cosine of the angle between a street and the map's line from which it may be another.
LEAST_COSINE = 0.8


@dataclass(frozen=True)
class Pass:
    """Where one line of the map passes over another.

    Attributes
    ----------
    place
        Metres of the network's frame.
    directions
        ``(2, 2)`` unit vectors along either.
    """

    place: np.ndarray
    directions: np.ndarray


def map_lines(group: Group, lines: Mapping[str, Path]) -> list[shapely.LineString]:
    """Return the map's centerlines around the sheets, each once, in metres.

    Parameters
    ----------
    group
        The sheets.
    lines
        By scene, a GeoPackage with the layer `centerlines`; not every sheet has one.
    """
    by_fid: dict[int, shapely.Geometry] = {}
    for sheet in group.sheets:
        if sheet.raster.scene in lines:
            table = pyogrio.read_dataframe(lines[sheet.raster.scene], layer="centerlines")
            by_fid |= dict(zip(table["source_fid"].tolist(), table.geometry, strict=True))
    return [
        part
        for fid in sorted(by_fid)
        for part in shapely.get_parts(shapely.transform(by_fid[fid], group.to_metres))
        if part.length
    ]


def find_passes(lines: Sequence[shapely.LineString]) -> list[Pass]:
    """Find where lines of the map cross and neither ends.

    Parameters
    ----------
    lines
        In metres.

    Returns
    -------
    list of Pass
        None where there are more of them than junctions: these lines are not split at crossings.
    """
    shapes = np.array(lines, dtype=object)
    one, other = shapely.STRtree(shapes).query(shapes, predicate="intersects")
    one, other = one[one < other], other[one < other]
    found = []
    for first, second in zip(shapes[one], shapes[other], strict=True):
        for place in shapely.get_parts(shapely.intersection(first, second)):
            ends = shapely.union(shapely.boundary(first), shapely.boundary(second))
            if place.geom_type == "Point" and place.distance(ends) > AT_END:
                directions = np.array([_direction(line, place) for line in (first, second)])
                found.append(Pass(shapely.get_coordinates(place)[0], directions))
    corners = [line.coords[at] for line in lines for at in (0, -1)]
    _, meeting = np.unique(np.round(corners, 1).reshape(-1, 2), axis=0, return_counts=True)
    junctions = int((meeting >= MEETING).sum())
    if len(found) > junctions:
        log.info(
            "the map's lines cross %d times and meet %d times: they tell no levels",
            len(found),
            junctions,
        )
        return []
    return found


def _direction(line: shapely.LineString, place: shapely.Point) -> np.ndarray:
    along = line.project(place)
    start, end = (
        shapely.get_coordinates(line.interpolate(min(max(at, 0.0), line.length)))[0]
        for at in (along - AROUND, along + AROUND)
    )
    return np.asarray((end - start) / np.hypot(*(end - start)))


def part_levels(network: Network, passes: Sequence[Pass]) -> Network:
    """Let streets go on without a node where the map has a bridge.

    Parameters
    ----------
    network
        On one level.
    passes
        As by `find_passes`, in the same frame.

    Returns
    -------
    Network
        In its counts also ``passes_on_map`` and how many of them were found.
    """
    streets = dict(enumerate(network.streets))
    at: dict[int, list[int]] = defaultdict(list)
    for number, street in streets.items():
        at[street.start].append(number)
        at[street.end].append(number)
    crossings = np.nonzero(network.degrees == CROSSING)[0]
    gone: set[int] = set()
    for each in passes if len(crossings) else []:
        gaps = np.hypot(*(network.nodes[crossings] - each.place).T)
        node = int(crossings[np.argmin(gaps)])
        if gaps.min() > REACH * network.widths[node] or node in gone:
            continue
        pairs = _pairs(at[node], streets, node, network.widths[node], each.directions)
        if pairs is None:
            continue
        for one, other in pairs:
            joined = _joined(streets.pop(one), streets.pop(other), node)
            streets[one] = joined
            at[joined.end] = [one if number == other else number for number in at[joined.end]]
        gone.add(node)
    counts = network.counts | {"passes_on_map": len(passes), "passes": len(gone)}
    return _without_nodes(network, list(streets.values()), gone, counts)


def _pairs(
    numbers: Sequence[int],
    streets: Mapping[int, Street],
    node: int,
    width: float,
    directions: np.ndarray,
) -> list[tuple[int, int]] | None:
    """Return which streets at a node go on in which; None where that is not clear."""
    if len(set(numbers)) != CROSSING:
        return None
    # For either line, the streets that lead forth and back along it.
    places: dict[tuple[int, bool], int] = {}
    for number in numbers:
        street = streets[number]
        line = shapely.LineString(street.line if street.start == node else street.line[::-1])
        away = shapely.get_coordinates(line.interpolate(min(1.5 * width, line.length)))[0]
        heading = away - shapely.get_coordinates(line)[0]
        cosines = directions @ heading / max(float(np.hypot(*heading)), 1e-9)
        which = int(np.argmax(np.abs(cosines)))
        key = (which, bool(cosines[which] > 0))
        if abs(cosines[which]) < LEAST_COSINE or key in places:
            return None
        places[key] = number
    return [(places[which, False], places[which, True]) for which in (0, 1)]


def _joined(one: Street, other: Street, node: int) -> Street:
    """Make one street of two that meet at a node."""
    before, start = (one.line, one.start) if one.end == node else (one.line[::-1], one.end)
    after, end = (other.line, other.end) if other.start == node else (other.line[::-1], other.start)
    lengths = [shapely.LineString(street.line).length for street in (one, other)]
    chances = [street.mean_probability for street in (one, other)]
    known = [chance is not None for chance in chances]
    return Street(
        start=start,
        end=end,
        line=np.concatenate([before, after[1:]]),
        mean_width=float(np.average([one.mean_width, other.mean_width], weights=lengths)),
        least_width=min(one.least_width, other.least_width),
        mean_probability=float(
            np.average(np.array(chances)[known].astype(float), weights=np.array(lengths)[known])
        )
        if any(known)
        else None,
    )


def _without_nodes(
    network: Network, streets: Sequence[Street], gone: set[int], counts: dict[str, int]
) -> Network:
    kept = np.array([node not in gone for node in range(len(network.nodes))], bool)
    index = np.cumsum(kept) - 1
    renamed = [
        Street(
            int(index[street.start]),
            int(index[street.end]),
            street.line,
            street.mean_width,
            street.least_width,
            street.mean_probability,
        )
        for street in streets
    ]
    return Network(
        network.nodes[kept],
        network.degrees[kept],
        network.widths[kept],
        renamed,
        counts,
        network.patch_metres,
    )
