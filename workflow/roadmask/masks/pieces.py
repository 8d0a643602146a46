"""A record of every piece of ground: what it was taken for, by which rule, on what evidence.

A piece is a region that lines and chords enclose, or, inside the connected road, the part
that belongs to one centerline or one intersection, or the ground behind a throat. The layer
`pieces` covers the sheet once. Its columns:

- ``piece`` int32, from 1; ``verdict`` road, other or unknown; ``rule`` which decided (below);
- ``kind`` region, street, intersection or room; ``source_fid`` of a street's centerline, and of
  the only one that runs in a closed street;
- ``area_m2``; ``mask_m2`` of it as the mask has it, that is without what ``labels.islands``
  and ``area`` cut out afterwards;
- ``axis_m`` length of centerlines inside; ``width_m`` median distance from line to line across
  them; ``given_width_m`` by attribute; ``seen_share`` of the axis along which a line runs on
  both sides, in view;
- ``closed_share``, ``throat_share`` of the outline that lies on street lines and on throats
  (the rest is open to other pieces of the same road, or the sheet's edge);
- ``levels`` 2 where lines of two levels cross on its outline, else 1.

Rules: ``street``, ``intersection`` (of connected road); ``closed_street`` (enclosed, and its
centerline sees a street); ``below_level`` (an upper road's edges cut it off a street);
``open_both_ends`` (no centerline, open to road at full width at both ends, or at one if it runs
on past a line at the other or is no deeper than that is wide; not known if road is all around,
as around a median) and ``open_one_end`` (not known); ``no_centerline``; ``no_street_seen``
(what its centerlines see is no street, or it is an island in one); ``behind_throat``;
``doubtful_mouth`` (not known); ``no_lines`` (not known).

The layer `throats` has every place where a line is missing: ``throat``, ``kind`` (``gap`` a
lost piece of a line, ``end`` the open end of a street or a line, both closed by a chord;
``cut`` and ``doubt`` ground parted from road there), ``width_m`` and ``piece`` behind it.

All lengths are metres on the ground, pixels where the scene lies nowhere.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import rasterio.features
import shapely
from affine import Affine
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from roadmask.files import replacing
from roadmask.grid import Grid
from roadmask.masks.evidence import Evidence, region_of, regions_at
from roadmask.masks.gaps import Chords
from roadmask.masks.line_pixels import Sides, settle_line_pixels
from roadmask.masks.streets import SNAP, Frame, Stations, group_medians
from roadmask.masks.strips import look_up, strips
from roadmask.style import OTHER, UNKNOWN

ROAD = 1
# This many centerlines that meet make an intersection.
MEETING = 3
# Pixels across which the sides of one throat follow each other.
TOGETHER = 3.0
# Rows whose outlines are measured at once.
STRIP = 256
# What decides on a region, by falling precedence, and on what is no region.
REGION_RULES = (
    "street",
    "closed_street",
    "below_level",
    "open_both_ends",
    "open_one_end",
    "no_street_seen",
    "no_centerline",
)
RULES = (*REGION_RULES, "intersection", "behind_throat", "doubtful_mouth", "no_lines")
VERDICTS = {OTHER: "other", ROAD: "road", UNKNOWN: "unknown"}


@dataclass(frozen=True)
class Findings:
    """What was found on a sheet with its halo.

    Attributes
    ----------
    frame
        The rasters' frame.
    labels
        ``(h, w)`` uint8.
    barrier, closed
        ``(h, w)`` uint8, not 0 on street lines, and on these and chords.
    regions
        ``(h, w)`` int32 region numbers, 0 where `closed`.
    rules
        ``(regions,)`` names of the rules that decided.
    stations, evidence
        Stations along centerlines and what is known of them.
    chords
        Lines across openings.
    sides
        Of which side the pixels of lines and chords are.
    factor
        Pixels to the edge of those on which streets are told apart.
    """

    frame: Frame
    labels: np.ndarray
    barrier: np.ndarray
    closed: np.ndarray
    regions: np.ndarray
    rules: np.ndarray
    stations: Stations
    evidence: Evidence
    chords: Chords
    sides: list[Sides]
    factor: int


@dataclass(frozen=True)
class PieceMap:
    """Which piece each pixel belongs to.

    Attributes
    ----------
    numbers
        ``(h, w)`` int32, from 1.
    region, street
        ``(pieces + 1,)`` int64: the region a piece lies in (its first pixel's), and the
        centerline of a street, -1 for none, -2 for intersections.
    room
        ``(pieces + 1,)`` bool: ground parted from the road of its region.
    """

    numbers: np.ndarray
    region: np.ndarray
    street: np.ndarray
    room: np.ndarray


def whole_sheet(
    grid: Grid, value: int, rule: str, mask: np.ndarray
) -> tuple[gpd.GeoDataFrame, gpd.GeoDataFrame]:
    """Describe a sheet of which all is one piece: nothing to tell it by was given.

    Parameters
    ----------
    grid
        The sheet's.
    value, rule
        What it was taken for, and why.
    mask
        ``(h, w)`` uint8: the label as it is written.
    """
    pixel_area = grid.ground_sample_distance**2
    record = {
        "piece": np.array([1], np.int32),
        "verdict": [VERDICTS[value]],
        "rule": [rule],
        "kind": ["region"],
        "source_fid": _nullable([-1]),
        "area_m2": [grid.width * grid.height * pixel_area],
        "mask_m2": [np.count_nonzero(mask == value) * pixel_area],
        **{name: [0.0] for name in ("axis_m", "closed_share", "throat_share")},
        **{name: [np.nan] for name in ("width_m", "given_width_m", "seen_share")},
        "levels": np.array([1], np.int32),
    }
    outline = shapely.multipolygons([shapely.box(0, 0, grid.width, grid.height)])
    pieces = gpd.GeoDataFrame(record, geometry=_place([outline], grid), crs=grid.crs)
    return pieces, _throat_frame([], [], [], [], grid)


def describe(
    found: Findings,
    wide: Grid,
    grid: Grid,
    source_fid: np.ndarray,
    given_width: np.ndarray,
    mask: np.ndarray,
) -> tuple[gpd.GeoDataFrame, gpd.GeoDataFrame]:
    """Describe the pieces of a sheet and its throats.

    Parameters
    ----------
    found
        What was found.
    wide, grid
        The grid of the findings, halo included, and the sheet's own.
    source_fid, given_width
        ``(centerlines,)`` number of the feature, and metres of width by attribute or NaN.
    mask
        ``(h, w)`` uint8: the sheet's label as it is written.

    Returns
    -------
    pieces, throats
        As the module says. Pieces are cut to the sheet, and what is told of them is of that
        part; throats of the halo are kept.
    """
    x, y = wide.offset_of(grid)
    window = (slice(y, y + grid.height), slice(x, x + grid.width))
    mapped = map_pieces(found)
    cuts = _cuts(mapped, found)
    local, original = _renumber(mapped.numbers[window])
    count = len(original)

    stations = found.stations
    column, row = np.floor(found.frame.to_pixels(stations.xy)).astype(np.int64).T - [[x], [y]]
    inside = (row >= 0) & (row < grid.height) & (column >= 0) & (column < grid.width)
    owner = local[row[inside], column[inside]]
    steady = found.evidence.steady[inside].all(axis=1)
    width = np.where(steady, found.evidence.seen[inside].sum(axis=1), np.nan)
    source = stations.source[inside]

    pixel_area = found.frame.pixel[0] * found.frame.pixel[1]
    labels = found.labels[window]
    verdict = np.zeros(count, np.uint8)
    area, kept = np.zeros(count, np.int64), np.zeros(count, np.int64)
    for rows in strips(local):
        # Of a piece's pixels, the last one's label stands.
        verdict[local[rows]] = labels[rows]
    for rows in strips(local):
        numbers = local[rows]
        area += np.bincount(numbers.reshape(-1), minlength=count)
        kept += np.bincount(numbers[mask[rows] == verdict[numbers]], minlength=count)
    outline = _outlines(local, found.barrier[window], found.closed[window], count)
    at_level = (
        regions_at(found.evidence.crossings, mapped.numbers, len(mapped.region), found.frame) > 0
    )
    stations_in = np.bincount(owner, minlength=count)
    street, room = mapped.street[original], mapped.room[original]
    rules = found.rules[mapped.region[original]].astype(object)
    rules[street >= 0] = "street"
    rules[street == -2] = "intersection"
    rules[room] = np.where(verdict[room] == UNKNOWN, "doubtful_mouth", "behind_throat")
    kinds = np.where(
        room,
        "room",
        np.where(street >= 0, "street", np.where(street == -2, "intersection", "region")),
    )
    only = _only_lines(stations, found)[mapped.region[original]]
    line_of = np.where(rules == "closed_street", only, street)
    total = np.maximum(outline.sum(axis=0), 1)
    seen = np.bincount(owner, weights=steady, minlength=count)
    records = {
        "piece": np.arange(count, dtype=np.int32),
        "verdict": [VERDICTS[int(value)] for value in verdict],
        "rule": rules,
        "kind": kinds,
        "source_fid": _nullable(np.where(line_of >= 0, source_fid[np.maximum(line_of, 0)], -1)),
        "area_m2": area * pixel_area,
        "mask_m2": kept * pixel_area,
        "axis_m": np.bincount(owner, weights=stations.lengths()[inside], minlength=count),
        "width_m": group_medians(owner, width, count),
        "given_width_m": group_medians(owner, given_width[source], count),
        "seen_share": np.where(stations_in > 0, seen / np.maximum(stations_in, 1), np.nan),
        "closed_share": outline[0] / total,
        "throat_share": outline[1] / total,
        "levels": np.where(at_level[original], 2, 1).astype(np.int32),
    }
    geometry = _place(_polygons(local, count), grid)
    pieces = gpd.GeoDataFrame(
        {name: values[1:] for name, values in records.items()}, geometry=geometry, crs=grid.crs
    )
    renumbered = np.full(len(mapped.region), -1, np.int64)
    renumbered[original] = np.arange(count)
    lines = [shapely.get_coordinates(line) for line in found.chords.lines]
    kinds_of = ["gap" if lost else "end" for lost in found.chords.lost]
    behind = [-1] * len(lines)
    for piece, value, ends in cuts:
        lines.append(ends)
        kinds_of.append("doubt" if value == UNKNOWN else "cut")
        behind.append(int(renumbered[piece]))
    widths = [float(np.linalg.norm(np.diff(line, axis=0), axis=1).sum()) for line in lines]
    placed = [found.frame.to_pixels(line) - [x, y] for line in lines]
    return pieces, _throat_frame(placed, kinds_of, widths, behind, grid)


def _only_lines(stations: Stations, found: Findings) -> np.ndarray:
    """Return the centerline that alone runs in each region, -1 where none or several do."""
    region = region_of(stations, found.regions, found.frame)
    least = np.full(len(found.rules), np.iinfo(np.int64).max)
    most = np.full(len(found.rules), -1, np.int64)
    np.minimum.at(least, region, stations.source)
    np.maximum.at(most, region, stations.source)
    return np.where(least == most, most, -1)


def map_pieces(found: Findings) -> PieceMap:
    """Give every piece of a sheet a number.

    Returns
    -------
    PieceMap
        Every pixel in one piece; a line's pixels go with the ground on their side.
    """
    count = len(found.rules)
    road = np.isin(found.rules, ["street", "closed_street"])
    # Ground taken from the road of its region, each connected part a room.
    parted = look_up(road, found.regions) & (found.labels != ROAD) & (found.closed == 0)
    rooms, room_of = cv2.connectedComponents(
        parted.view(np.uint8), connectivity=4, ltype=cv2.CV_32S
    )
    first_street = count + rooms - 1
    # The rasters of numbers are the largest of all: one after the other.
    key = found.regions.copy()
    np.add(room_of, count - 1, out=key, where=parted)
    del room_of
    streets, nodes = _streets(found)
    connected = look_up(found.rules == "street", found.regions) & ~parted
    np.add(streets, first_street, out=key, where=connected)
    del streets, connected, parted
    region = np.zeros(first_street + nodes.offset + nodes.count, np.int64)
    for rows in reversed(strips(key)):
        # From the last pixel to the first, whose region stands.
        keys, regions = (a[rows].reshape(-1)[::-1].copy() for a in (key, found.regions))
        region[keys] = regions
    settle_line_pixels(key, found.closed, found.sides)
    numbers, original = _renumber(key)
    street = np.full(len(original), -1, np.int64)
    is_street = original >= first_street
    index = original - first_street
    street[is_street] = np.where(index[is_street] < nodes.offset, index[is_street], -2)
    return PieceMap(
        numbers, region[original], street, (original >= count) & (original < first_street)
    )


@dataclass(frozen=True)
class _Nodes:
    """Intersections are numbered behind the centerlines."""

    offset: int
    count: int


def _streets(found: Findings) -> tuple[np.ndarray, _Nodes]:
    """Return for each pixel the nearest centerline's number, or the intersection it is in."""
    stations, factor = found.stations, found.factor
    height, width = found.labels.shape
    shape = -(-height // factor), -(-width // factor)
    coarse = Frame((found.frame.pixel[0] * factor, found.frame.pixel[1] * factor))
    drawn = np.zeros(shape, np.int32)
    for part in stations.parts():
        use = found.evidence.source[part]
        line = np.round(coarse.to_pixels(stations.xy[part]) - 0.5).astype(np.int32)
        for run in np.split(np.arange(len(line)), np.flatnonzero(~use)):
            kept = run[use[run]]
            if len(kept):
                colour = int(stations.source[part.start]) + 1
                cv2.polylines(drawn, [line[kept].reshape(-1, 1, 2)], False, colour)
    _, nearest = cv2.distanceTransformWithLabels(
        (drawn == 0).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    source_of = np.zeros(int(nearest.max()) + 1, np.int32)
    source_of[nearest[drawn > 0]] = drawn[drawn > 0]
    owner = source_of[nearest]
    offset = int(stations.source.max()) + 2
    places, radii = _intersections(found)
    for number, (place, radius) in enumerate(zip(places, radii, strict=True)):
        centre = np.round(coarse.to_pixels(place) - 0.5).astype(int)
        axes = np.maximum(np.round(radius / np.asarray(coarse.pixel)).astype(int), 1)
        cv2.ellipse(
            owner,
            (int(centre[0]), int(centre[1])),
            (int(axes[0]), int(axes[1])),
            0,
            0,
            360,
            offset + number,
            cv2.FILLED,
        )
    fine = cv2.resize(owner, None, fx=factor, fy=factor, interpolation=cv2.INTER_NEAREST)
    # Centerlines count from 0; where none is drawn at all, the first stands for all.
    numbers = np.asarray(fine)[:height, :width]
    numbers -= 1
    np.maximum(numbers, 0, out=numbers)
    return numbers, _Nodes(offset - 1, len(places))


def _intersections(found: Findings) -> tuple[np.ndarray, np.ndarray]:
    """Return where several centerlines meet, and half of the widest one's width there."""
    stations = found.stations
    parts = stations.parts()
    ends = np.array([k for part in parts for k in (part.start, part.stop - 1)], np.int64)
    ends = ends[found.evidence.source[ends]]
    if len(ends) == 0:
        return np.zeros((0, 2)), np.zeros(0)
    xy = stations.xy[ends]
    pairs = cKDTree(xy).query_pairs(SNAP, output_type="ndarray")
    links = coo_array((np.ones(len(pairs)), tuple(pairs.T)), shape=(len(ends), len(ends)))
    count, group = connected_components(links, directed=False)
    members = np.bincount(group, minlength=count)
    middle = np.stack(
        [np.bincount(group, weights=xy[:, axis], minlength=count) / members for axis in (0, 1)],
        axis=1,
    )
    radius = np.zeros(count)
    np.maximum.at(radius, group, found.evidence.half[ends].max(axis=1))
    chosen = members >= MEETING
    return middle[chosen], radius[chosen]


def _cuts(mapped: PieceMap, found: Findings) -> list[tuple[int, int, np.ndarray]]:
    """Return for each throat the room behind it, its label, and ``(2, 2)`` metres of its ends."""
    room = look_up(mapped.room, mapped.numbers)
    if not room.any():
        return []
    found_at = []
    for after, before, middle in (
        (np.s_[:, 1:], np.s_[:, :-1], (1.0, 0.5)),
        (np.s_[1:], np.s_[:-1], (0.5, 1.0)),
    ):
        side = room[after] != room[before]
        side &= (found.closed[after] == 0) & (found.closed[before] == 0)
        at = np.nonzero(side)
        inside = room[after][at]
        number = np.where(inside, mapped.numbers[after][at], mapped.numbers[before][at])
        label = np.where(inside, found.labels[after][at], found.labels[before][at])
        # The middle of the side between both pixels.
        found_at.append(np.stack([at[1] + middle[0], at[0] + middle[1], number, label], axis=1))
    sides = np.concatenate(found_at)
    if len(sides) == 0:
        return []
    pairs = cKDTree(sides[:, :2]).query_pairs(TOGETHER, output_type="ndarray")
    same = sides[pairs[:, 0], 2] == sides[pairs[:, 1], 2]
    links = coo_array((np.ones(same.sum()), tuple(pairs[same].T)), shape=(len(sides), len(sides)))
    count, group = connected_components(links, directed=False)
    throats = []
    for throat in range(count):
        points = sides[group == throat]
        xy = points[:, :2] * found.frame.pixel
        centred = xy - xy.mean(axis=0)
        along = centred @ np.linalg.svd(centred, full_matrices=False)[2][0]
        ends = np.stack([xy[along.argmin()], xy[along.argmax()]])
        if np.ptp(along) > 0:
            throats.append((int(points[0, 2]), int(points[0, 3]), ends))
    return throats


def _renumber(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Count from 1 what occurs; return the new numbers, and the old one of each."""
    occurs = np.zeros(int(numbers.max()) + 1, bool)
    for rows in strips(numbers):
        occurs[numbers[rows]] = True
    occurs[0] = False
    new = (np.cumsum(occurs) * occurs).astype(np.int32)
    return look_up(new, numbers), np.concatenate([[0], np.flatnonzero(occurs)])


def _outlines(
    numbers: np.ndarray, barrier: np.ndarray, closed: np.ndarray, count: int
) -> np.ndarray:
    """Return ``(3, pieces)``: pixel sides on lines, on throats, and open to others or the edge."""
    sums = np.zeros((3, count))
    height = len(numbers)
    for top in range(0, height, STRIP):
        rows = slice(top, min(top + STRIP + 1, height))
        strip, lines, shut = numbers[rows], barrier[rows] > 0, closed[rows] > 0
        inner = slice(0, min(STRIP, height - top))
        for after, before in (
            ((inner, slice(1, None)), (inner, slice(None, -1))),
            ((slice(1, None), slice(None)), (slice(None, -1), slice(None))),
        ):
            border = np.nonzero(strip[after] != strip[before])
            line = lines[after][border] | lines[before][border]
            chord = ~line & (shut[after][border] | shut[before][border])
            way = np.where(line, 0, np.where(chord, 1, 2))
            for side in (after, before):
                np.add.at(sums, (way, strip[side][border]), 1)
    for edge in (numbers[0], numbers[-1], numbers[:, 0], numbers[:, -1]):
        sums[2] += np.bincount(edge, minlength=count)
    return sums


def _polygons(numbers: np.ndarray, count: int) -> list[shapely.MultiPolygon]:
    """Return the pieces' outlines in pixels, numbered from 1."""
    parts: list[list[shapely.Polygon]] = [[] for _ in range(count)]
    for shape, number in rasterio.features.shapes(numbers, connectivity=4):
        rings = shape["coordinates"]
        parts[int(number)].append(shapely.Polygon(rings[0], rings[1:]))
    return [shapely.MultiPolygon(polygons) for polygons in parts[1:]]


def _nullable(numbers: np.ndarray | list[int]) -> pd.api.extensions.ExtensionArray:
    """Return numbers as pandas' integers, -1 as missing."""
    values = np.asarray(numbers, np.int64)
    return pd.arrays.IntegerArray(values, values < 0)


def _place(geometries: Sequence[shapely.Geometry], grid: Grid) -> np.ndarray:
    """Bring geometries from pixels to the grid's CRS."""
    affine: Affine = grid.transform
    matrix = np.array([[affine.a, affine.b], [affine.d, affine.e]])
    return np.asarray(
        shapely.transform(
            np.array(geometries, dtype=object), lambda xy: xy @ matrix.T + [affine.c, affine.f]
        )
    )


def _throat_frame(
    lines: list[np.ndarray], kinds: list[str], widths: list[float], behind: list[int], grid: Grid
) -> gpd.GeoDataFrame:
    geometry = _place([shapely.LineString(line) for line in lines], grid)
    return gpd.GeoDataFrame(
        {
            "throat": np.arange(1, len(lines) + 1, dtype=np.int32),
            "kind": np.array(kinds, dtype=object),
            "width_m": np.array(widths, dtype=float),
            "piece": _nullable(behind),
        },
        geometry=geometry,
        crs=grid.crs,
    )


def write_pieces(path: Path, pieces: gpd.GeoDataFrame, throats: gpd.GeoDataFrame) -> None:
    """Write both layers to a GeoPackage whose bytes depend on them alone.

    Parameters
    ----------
    path
        The file, which appears whole or not at all.
    pieces, throats
        As `describe` returns them.
    """
    with replacing(path) as temporary, warnings.catch_warnings():
        # Pictures that lie nowhere on the ground have no CRS.
        warnings.filterwarnings("ignore", message="'crs' was not provided")
        for name, frame, kind in (
            ("pieces", pieces, "MultiPolygon"),
            ("throats", throats, "LineString"),
        ):
            pyogrio.write_dataframe(
                frame, temporary, layer=name, driver="GPKG", geometry_type=kind, append=False
            )
