"""Finding ground on which map and picture disagree, sheet by sheet.

What only the map has and what only the picture has are looked for in the same way. Ground of
one kind is closed over what is narrower than a road (a crown, a car, a shadow across it), and
then opened by the least width: strips along a curb that is a few pixels off, crowns that reach
over it and the narrow parts of a blot vanish, while a street stays. What is left is measured
along and across; whether it is a street is judged once it is joined across sheets.

A new street often fades: the network knows its mouth at the road that it knows, and is less and
less sure further in. So a new street that begins at a road is followed to where the picture shows
half of what even odds need; its surface is judged by the part above them.

Streets that only the centerlines hold are on no raster: they are walked along, and looked at
across, one feature after the other.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal

import cv2
import geopandas as gpd
import numpy as np
import numpy.typing as npt
import rasterio.features
import shapely
from affine import Affine
from scipy import ndimage
from shapely import LineString
from shapely.geometry.base import BaseGeometry
from shapely.ops import substring

from roadmask.changes.sheet import EVEN_ODDS, Sheet

Kind = Literal["demolished", "paper", "new"]
Mask = npt.NDArray[np.bool_]
Values = npt.NDArray[np.float64]

WIDEST_HALF: Final = 25.0
"""Metres around a place in which the map's road is measured across."""
STATION: Final = 1.0
"""Metres between the places where a centerline is looked at."""
INNER: Final = 0.8
"""Share of a street's width that is looked at for its surface: the curbs are left out."""
NO_ROAD_NEAR: Final = 0.3
"""Share of road across twice the width up to which a centerline has none: more, and it is
the centerline of a road that lies a little beside it."""
FADED: Final = EVEN_ODDS / 2
"""How much of a road the picture shows at least where a new street is followed to."""
WIDENED: Final = 1.5
"""How much wider a street may be where it is followed to; more is a yard around it."""
SHARED: Final = 0.5
"""Share of the part above even odds that lies in the street it is followed to."""
USUAL_WIDTH: Final = 9.0
"""Metres of a street whose width nobody gives: two lanes and parked cars."""


@dataclass(frozen=True)
class Candidate:
    """Ground on which map and picture may disagree.

    Attributes
    ----------
    kind
        ``demolished``, ``paper`` or ``new``.
    scene
        The sheet that it was found on.
    ground
        Polygon in the sheet's CRS.
    area, width
        Square metres and metres; the width is that of a strip with as much ground as near its
        outline.
    shown
        How much of a road the picture shows there, 0 to 1.
    around
        The same of the ground beside it that is no road on the map.
    evenness
        `width` as a share of the greatest width: 1 for a strip, less for a blot.
    across
        `width` as a share of the map's road there: 1 where all of the carriageway is gone.
    contact
        Share of its outline along which the map's road begins.
    doubt
        Share of it for which the label is not known.
    features
        Metres of each centerline inside, by its ``source_fid``.
    flight
        The pictures that it is seen on, by name: what two flights show is not joined.
    """

    kind: Kind
    scene: str
    ground: BaseGeometry
    area: float
    width: float
    shown: float
    around: float = 0.0
    evenness: float = 1.0
    across: float = 1.0
    contact: float = 0.0
    doubt: float = 0.0
    features: dict[int, float] = field(default_factory=dict)
    flight: str = ""


def find_ground(
    sheet: Sheet, least_width: float, lines: gpd.GeoDataFrame | None
) -> Iterator[Candidate]:
    """Find what is road on the map alone, and what is road in the picture alone.

    Parameters
    ----------
    sheet
        The sheet.
    least_width
        Metres of the narrowest road that counts.
    lines
        The map's centerlines with ``source_fid``, in the sheet's CRS, or None.

    Yields
    ------
    Candidate
        ``demolished`` and ``new``.
    """
    # Nothing beyond the ground that is known counts.
    gone, free = sheet.known & sheet.on_map, sheet.known & ~sheet.on_map
    yield from _blots("demolished", sheet, gone, ~sheet.in_picture, least_width, lines)
    sure = list(_blots("new", sheet, free, sheet.in_picture, least_width, lines))
    faded = list(_blots("new", sheet, free, sheet.shown >= FADED, least_width, lines))
    yield from _followed(sure, faded)


def _blots(
    kind: Kind,
    sheet: Sheet,
    ground: Mask,
    differs: Mask,
    least_width: float,
    lines: gpd.GeoDataFrame | None,
) -> Iterator[Candidate]:
    """Measure the ground of one kind on which map and picture differ, blot by blot."""
    brush = _brush(sheet, least_width / 2)
    closed = _morph(ground & differs, cv2.MORPH_CLOSE, brush) & ground
    opened = _morph(closed, cv2.MORPH_OPEN, brush)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(
        opened.astype(np.uint8), connectivity=4
    )
    least = least_width**2 / math.prod(sheet.metres)
    for number in range(1, count):
        left, top, width, height, pixels = (int(value) for value in stats[number])
        if pixels < least:
            continue
        inside = slice(top, top + height), slice(left, left + width)
        yield _measured(kind, sheet, labels, number, inside, least_width, lines)


def _followed(sure: Sequence[Candidate], faded: Sequence[Candidate]) -> Iterator[Candidate]:
    """Yield new streets, each one that begins at a road as long as the picture lets it be followed.

    Parameters
    ----------
    sure
        What lies above even odds.
    faded
        What lies above the lower level, each around some of `sure` or none.

    Yields
    ------
    Candidate
        All of `sure`. Where what one of these is followed to is longer, but not wider, it has that
        one's ground and shape, and keeps its own surface.
    """
    tree = shapely.STRtree([part.ground for part in faded])
    for part in sure:
        longer = part
        if part.contact > 0:
            around = [
                faded[k]
                for k in tree.query(part.ground)
                if part.ground.intersection(faded[k].ground).area > SHARED * part.ground.area
            ]
            for grown in around:
                is_wider = grown.width > WIDENED * part.width
                if not is_wider and grown.area / grown.width > longer.area / longer.width:
                    longer = replace(grown, shown=part.shown, around=part.around)
        yield longer


def _brush(sheet: Sheet, radius: float) -> npt.NDArray[np.uint8]:
    """Return an ellipse that is a disc of `radius` metres on the ground."""
    sizes = [2 * round(radius / metres) + 1 for metres in sheet.metres]
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, sizes), dtype=np.uint8)


def _morph(ground: Mask, operation: int, brush: npt.NDArray[np.uint8]) -> Mask:
    return np.asarray(cv2.morphologyEx(ground.astype(np.uint8), operation, brush) > 0)


def _measured(
    kind: Kind,
    sheet: Sheet,
    labels: npt.NDArray[np.int32],
    number: int,
    inside: tuple[slice, slice],
    least_width: float,
    lines: gpd.GeoDataFrame | None,
) -> Candidate:
    """Measure one blot, in a window with enough ground around it."""
    margin = [math.ceil(WIDEST_HALF / metres) for metres in reversed(sheet.metres)]
    window = tuple(
        slice(max(part.start - edge, 0), min(part.stop + edge, size))
        for part, edge, size in zip(inside, margin, labels.shape, strict=True)
    )
    blot = labels[window] == number
    on_map = sheet.on_map[window]
    shown = sheet.shown[window]
    depth = _depth(blot, sheet)
    width = _strip_width(depth[blot], sheet.pixel)
    greatest = max(2 * float(depth.max()) - sheet.pixel / 2, sheet.pixel)
    across = 1.0
    if kind == "demolished":
        across = width / _strip_width(_depth(on_map, sheet)[blot], sheet.pixel)
    near = _brush(sheet, least_width)
    ring = (cv2.dilate(blot.astype(np.uint8), near) > 0) & ~blot & ~on_map & np.isfinite(shown)
    outline = blot & ~_morph(blot, cv2.MORPH_ERODE, np.ones((3, 3), np.uint8))
    reached = cv2.dilate(on_map.astype(np.uint8), _brush(sheet, least_width / 3)) > 0
    transform = sheet.grid.transform @ Affine.translation(window[1].start, window[0].start)
    ground = _outlined(blot, transform, sheet)
    return Candidate(
        kind=kind,
        scene=sheet.name,
        ground=ground,
        area=float(blot.sum()) * math.prod(sheet.metres),
        width=width,
        shown=float(np.nanmean(shown[blot])),
        around=float(shown[ring].mean()) if ring.any() else 0.0,
        evenness=min(width / greatest, 1.0),
        across=min(across, 1.0),
        contact=float((outline & reached).sum() / max(int(outline.sum()), 1)),
        features=_features(ground, lines, sheet),
    )


def _depth(ground: Mask, sheet: Sheet) -> Values:
    """Return metres from each pixel to the ground's outline; the sheet's edge is none."""
    if ground.all():
        return np.full(ground.shape, WIDEST_HALF)
    across, down = sheet.metres
    return np.asarray(ndimage.distance_transform_edt(ground, sampling=(down, across)))


def _strip_width(depth: Values, pixel: float) -> float:
    """Return the width of the strip whose ground lies as deep: four times the mean depth.

    The depth of a pixel is measured to the middle of the first one outside.
    """
    return max(4 * float(depth.mean()) - 2 * pixel, pixel)


def _outlined(blot: Mask, transform: Affine, sheet: Sheet) -> BaseGeometry:
    """Return a blot as a polygon in the CRS, its steps smoothed by less than a pixel."""
    parts = rasterio.features.shapes(
        blot.astype(np.uint8), mask=blot, connectivity=4, transform=transform
    )
    ground = shapely.unary_union([shapely.geometry.shape(outline) for outline, _ in parts])
    step = math.sqrt(abs(sheet.grid.transform.determinant))
    return shapely.make_valid(ground.simplify(0.75 * step))


def _features(
    ground: BaseGeometry, lines: gpd.GeoDataFrame | None, sheet: Sheet
) -> dict[int, float]:
    """Return the metres of each centerline that runs in some ground."""
    if lines is None or lines.empty:
        return {}
    crossing = lines[lines.intersects(ground)]
    found: dict[int, float] = {}
    for fid, line in zip(crossing["source_fid"], crossing.geometry, strict=True):
        part = _moved(line.intersection(ground), sheet.to_metres)
        found[int(fid)] = found.get(int(fid), 0.0) + float(part.length)
    return found


def _moved(geometry: BaseGeometry, affine: Affine) -> BaseGeometry:
    """Apply an affine map to a geometry."""
    matrix = np.array([[affine.a, affine.b], [affine.d, affine.e]])
    moved: BaseGeometry = shapely.transform(
        geometry, lambda xy: xy @ matrix.T + [affine.c, affine.f]
    )
    return moved


# Centerlines


def find_paper_streets(
    sheet: Sheet, least_width: float, lines: gpd.GeoDataFrame
) -> Iterator[Candidate]:
    """Walk along the centerlines, and find where neither map nor picture has a road.

    Parameters
    ----------
    sheet
        The sheet.
    least_width
        Metres: shorter breaks are walked over.
    lines
        Centerlines with ``source_fid`` and ``width_m``, in the sheet's CRS.

    Yields
    ------
    Candidate
        Of kind ``paper``, a stretch each.
    """
    known = lines["width_m"].dropna()
    usual = float(known.median()) if len(known) else USUAL_WIDTH
    for fid, width, geometry in zip(
        lines["source_fid"], lines["width_m"], lines.geometry, strict=True
    ):
        wide = max(float(width) if np.isfinite(width) else usual, least_width)
        for part in shapely.get_parts(_moved(geometry, sheet.to_metres)):
            yield from _walk(sheet, int(fid), part, wide, least_width)


def _walk(
    sheet: Sheet, fid: int, line: LineString, width: float, least_width: float
) -> Iterator[Candidate]:
    """Find the stretches of one line, given in metres, that have no road."""
    count = max(2, math.ceil(line.length / STATION) + 1)
    at = np.linspace(0, line.length, count)
    xy = shapely.get_coordinates(shapely.line_interpolate_point(line, at))
    ahead = np.gradient(xy, axis=0)
    ahead /= np.maximum(np.linalg.norm(ahead, axis=1, keepdims=True), 1e-9)
    aside = np.arange(-width, width + sheet.pixel / 2, sheet.pixel)
    normal = np.column_stack([-ahead[:, 1], ahead[:, 0]])
    places = xy[:, np.newaxis] + aside[:, np.newaxis] * normal[:, np.newaxis]
    road, shown = _sampled(sheet.road, sheet, places), _sampled(sheet.shown, sheet, places)
    inner = np.abs(aside) <= INNER * width / 2
    seen = np.isfinite(shown[:, inner]).mean(axis=1) >= 0.5
    surface = _row_means(shown[:, inner])
    labelled = np.isfinite(road)
    beside = np.where(labelled, road, 0).sum(axis=1) / np.maximum(labelled.sum(axis=1), 1)
    missing = seen & (beside < NO_ROAD_NEAR) & (surface < EVEN_ODDS)
    for first, last in _runs(missing, seen, math.ceil(least_width / STATION)):
        if last - first < 2:
            continue
        # A station stands for the half step on both sides of it.
        half = at[1] / 2
        stretch = substring(line, max(at[first] - half, 0), min(at[last] + half, line.length))
        ground = stretch.buffer(width / 2, cap_style="flat")
        yield Candidate(
            kind="paper",
            scene=sheet.name,
            ground=shapely.make_valid(_moved(ground, ~sheet.to_metres)),
            area=float(ground.area),
            width=width,
            shown=float(np.nanmean(surface[first : last + 1])),
            doubt=float(1 - labelled[first : last + 1][:, inner].mean()),
            features={fid: float(stretch.length)},
        )


def _sampled(raster: npt.NDArray[np.float32], sheet: Sheet, places: Values) -> Values:
    """Read a raster at places given in metres; NaN outside."""
    cells = np.floor(places / np.array(sheet.metres)).astype(np.int64)
    column, row = cells[..., 0], cells[..., 1]
    inside = (row >= 0) & (row < raster.shape[0]) & (column >= 0) & (column < raster.shape[1])
    values = np.full(row.shape, np.nan)
    values[inside] = raster[row[inside], column[inside]]
    return values


def _row_means(values: Values) -> Values:
    """Return each row's mean over what is known, NaN where nothing is."""
    known = np.isfinite(values)
    total = np.where(known, values, 0).sum(axis=1)
    means = np.full(len(values), np.nan)
    np.divide(total, known.sum(axis=1), out=means, where=known.any(axis=1))
    return means


def _runs(wanted: Mask, allowed: Mask, bridge: int) -> list[tuple[int, int]]:
    """Return first and last station of each run, breaks of up to `bridge` stations included."""
    found: list[tuple[int, int]] = []
    for station in np.flatnonzero(wanted):
        here = int(station)
        if found and here - found[-1][1] <= bridge and allowed[found[-1][1] : here].all():
            found[-1] = found[-1][0], here
        else:
            found.append((here, here))
    return found
