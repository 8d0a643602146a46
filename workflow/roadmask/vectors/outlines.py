"""Road polygons from class rasters, block by block, joined without a trace of the blocks.

A class's pixels are blurred in whole numbers, and the outline is the contour at one half
(marching squares between the centres of pixels), which is then straightened. Blurred values
are the same in whichever block a pixel lies, so an outline that leaves a block goes on in the
next one at the very same point. Straightened outlines neither cross nor touch (GEOS's
simplifier that keeps the topology), and none leaves its block: what is joined is valid.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
import shapely
from skimage.measure import find_contours

from roadmask.style import UNKNOWN

# Of 255; no blurred value is equal to it.
LEVEL = 127.5
# Of the tolerance: what blurring and straightening may each take. Blurring moves the corner of
# a square by 0.77 of its standard deviation; nothing else that stays is moved as far.
BLUR_SHARE, STRAIGHT_SHARE = 0.4, 0.4
# Sine of the angle from which two straight pieces make a corner.
LEAST_TURN = 0.2
# Standard deviations to where a blur's weights end.
KERNEL_REACH = 3
# Contours' corners lie on this fraction of a pixel, so that blocks agree to the last bit.
STEPS = 256


def blur_reach(tolerance: float) -> int:
    """Return how many pixels around a block its outlines depend on."""
    # As far as the blur sees, and as far again to what unknown pixels are filled with.
    return 2 * int(np.ceil(KERNEL_REACH * BLUR_SHARE * tolerance)) + 2


@dataclass
class Arcs:
    """Outlines of one class in one block, with the class on their left as pictures are seen.

    Attributes
    ----------
    rings
        Closed, ``(n, 2)`` columns and rows of the lattice, the first point repeated.
    parts
        Open, from border to border of the block.
    small
        Signed areas of rings that were left out.
    """

    rings: list[np.ndarray] = field(default_factory=list)
    parts: list[np.ndarray] = field(default_factory=list)
    small: list[float] = field(default_factory=list)


@dataclass
class LeftOut:
    """Road and holes that are too small or too narrow to be drawn.

    Attributes
    ----------
    polygons, holes
        How many.
    polygon_area, hole_area
        Square pixels.
    """

    polygons: int = 0
    polygon_area: float = 0.0
    holes: int = 0
    hole_area: float = 0.0

    def add(self, signed_area: float) -> None:
        """Count an outline, as `signed_area` measures it."""
        if signed_area > 0:
            self.polygons += 1
            self.polygon_area += signed_area
        else:
            self.holes += 1
            self.hole_area -= signed_area


def trace_block(
    classes: np.ndarray, reach: int, x: int, y: int, value: int, tolerance: float, least: float
) -> Arcs:
    """Trace one class in a block.

    Parameters
    ----------
    classes
        ``(size + 1 + 2 * reach, size + 1 + 2 * reach)`` uint8: the block, one pixel more on
        its right and below, and `reach` pixels around these.
    reach
        As by `blur_reach`.
    x, y
        The lattice's column and row of the block's upper left pixel.
    value
        The class.
    tolerance
        Pixels by which an outline may leave the edges of pixels.
    least
        Square pixels: smaller rings are left out.
    """
    # Contours are looked for in what holds anything at all.
    blurred = blur_class(classes, value, BLUR_SHARE * tolerance)
    inner = blurred[reach:-reach, reach:-reach]
    if not ((inner > LEVEL).any() and (inner < LEVEL).any()):
        return Arcs()
    found = find_contours(inner.astype(np.float64), LEVEL, fully_connected="low")
    arcs = Arcs()
    for contour in found:
        points = np.round(contour[:, ::-1] * STEPS) / STEPS + (x + 0.5, y + 0.5)
        if (points[0] != points[-1]).any():
            arcs.parts.append(points)
        elif abs(signed_area(points)) >= least:
            arcs.rings.append(points)
        else:
            arcs.small.append(signed_area(points))
    height, width = inner.shape
    frame = (x + 0.5, y + 0.5, x + width - 0.5, y + height - 0.5)
    return straighten(arcs, STRAIGHT_SHARE * tolerance, frame)


def blur_class(classes: np.ndarray, value: int, sigma: float) -> np.ndarray:
    """Return how much of a pixel's surroundings is of a class, 0 to 255.

    Where nothing is known, the class goes on as it was as far as a blur looks, and one pixel
    beyond what is known it is mirrored: its outline runs along the edge of the last known pixel.

    Parameters
    ----------
    classes
        ``(h, w)`` uint8, 255 not known.
    value
        The class.
    sigma
        Standard deviation in pixels.

    Returns
    -------
    numpy.ndarray
        ``(h, w)`` uint8; in whole numbers throughout, so a pixel's value depends on what is
        around it alone.
    """
    unknown = classes == UNKNOWN
    some_unknown = unknown.any()
    radius = int(np.ceil(KERNEL_REACH * sigma))
    filled = grow(classes, unknown, radius) if some_unknown else classes
    size = 2 * radius + 1
    blurred: np.ndarray = cv2.GaussianBlur(
        np.where(filled == value, np.uint8(255), np.uint8(0)),
        (size, size),
        sigma,
        borderType=cv2.BORDER_REPLICATE,
    )
    if some_unknown:
        blurred[unknown] = 0
        mirrored = grow(blurred, unknown, 1)[unknown]
        blurred[unknown] = np.minimum(mirrored, 255 - mirrored)
    return blurred


def grow(values: np.ndarray, empty: np.ndarray, steps: int) -> np.ndarray:
    """Let empty pixels take the value of a neighbour, as often as told.

    Parameters
    ----------
    values
        ``(h, w)``.
    empty
        ``(h, w)`` bool: which of these are none.
    steps
        How many pixels far.

    Returns
    -------
    numpy.ndarray
        A copy; pixels farther out keep what they had.
    """
    grown, empty = values.copy(), empty.copy()
    height, width = empty.shape
    for _ in range(steps):
        before, was_empty = grown.copy(), empty.copy()
        # The first that has a value gives it, in the same order everywhere.
        for down, right in ((0, -1), (0, 1), (-1, 0), (1, 0)):
            rows = slice(max(-down, 0), height - max(down, 0))
            columns = slice(max(-right, 0), width - max(right, 0))
            from_rows = slice(max(down, 0), height - max(-down, 0))
            from_columns = slice(max(right, 0), width - max(-right, 0))
            taken = empty[rows, columns] & ~was_empty[from_rows, from_columns]
            grown[rows, columns][taken] = before[from_rows, from_columns][taken]
            empty[rows, columns][taken] = False
    return grown


def signed_area(ring: np.ndarray) -> float:
    """Return a closed ring's area, above 0 where it turns from columns to rows."""
    x, y = (ring - ring[0]).T
    return float(x[:-1] @ y[1:] - x[1:] @ y[:-1]) / 2


def straighten(arcs: Arcs, tolerance: float, frame: tuple[float, float, float, float]) -> Arcs:
    """Leave out corners, without moving ends or making outlines cross.

    Parameters
    ----------
    arcs
        All outlines of a class in a block.
    tolerance
        Pixels.
    frame
        Least column and row and greatest ones, which nothing leaves.
    """
    lines = [*arcs.rings, *arcs.parts]
    if not lines:
        return arcs
    whole = shapely.MultiLineString(lines)
    simple = [
        shapely.get_coordinates(line)
        for line in shapely.get_parts(shapely.simplify(whole, tolerance, preserve_topology=True))
    ]
    count = len(arcs.rings)
    chosen = [
        line if number >= count or len(line) > 3 else lines[number]
        for number, line in enumerate(simple)
    ]
    refitted = [
        refit(line, kept, tolerance, frame) for line, kept in zip(lines, chosen, strict=True)
    ]
    for number in _crossing(refitted):
        refitted[number] = chosen[number]
    if _crossing(refitted):
        refitted = chosen
    return Arcs(refitted[:count], refitted[count:], arcs.small)


def _crossing(lines: Sequence[np.ndarray]) -> list[int]:
    """Return which lines touch themselves or one another."""
    shapes = np.array([shapely.LineString(line) for line in lines], dtype=object)
    found = set(np.nonzero(~shapely.is_simple(shapes))[0].tolist())
    one, other = shapely.STRtree(shapes).query(shapes, predicate="intersects")
    return sorted(found | set(one[one != other].tolist()))


def refit(
    points: np.ndarray,
    kept: np.ndarray,
    tolerance: float,
    frame: tuple[float, float, float, float],
) -> np.ndarray:
    """Lay straight pieces through the points that they stand for, and not only from one to another.

    Leaving out points cuts what bends one way always on the same side: squares would become
    smaller and holes too. Each piece becomes the line of least squares through its points, and
    pieces meet where these lines do.

    Parameters
    ----------
    points
        ``(n, 2)`` an outline; closed where its ends are the same.
    kept
        ``(m, 2)`` those of its points that straightening left.
    tolerance
        Pixels by which a corner may be moved.
    frame
        Least column and row and greatest ones, which no corner leaves.

    Returns
    -------
    numpy.ndarray
        ``(m, 2)``; the ends of an open outline stay.
    """
    is_closed = bool((points[0] == points[-1]).all())
    if len(kept) < 3:
        return kept
    at = _places(points, kept)
    origin = points[0]
    middle, direction = _fitted(points - origin, at)
    before = np.arange(len(at) - 1) if is_closed else np.arange(1, len(at) - 1)
    first, second = (before - 1) % (len(at) - 1), before
    old = kept[before] - origin
    across = [np.column_stack([-direction[k][:, 1], direction[k][:, 0]]) for k in (first, second)]
    gaps = [
        ((middle[k] - old) * a).sum(axis=1) for k, a in zip((first, second), across, strict=True)
    ]
    determinant = across[0][:, 0] * across[1][:, 1] - across[0][:, 1] * across[1][:, 0]
    is_corner = np.abs(determinant) > LEAST_TURN
    divisor = np.where(is_corner, determinant, 1.0)
    met = np.column_stack(
        [
            (gaps[0] * across[1][:, 1] - gaps[1] * across[0][:, 1]) / divisor,
            (gaps[1] * across[0][:, 0] - gaps[0] * across[1][:, 0]) / divisor,
        ]
    )
    # Lines that hardly turn meet anywhere: the corner goes to the middle between them.
    between = (gaps[0][:, None] * across[0] + gaps[1][:, None] * across[1]) / 2
    move = np.where(is_corner[:, None], met, between)
    new = np.round((old + move + origin - 0.5) * STEPS) / STEPS + 0.5
    left, top, right, bottom = frame
    is_good = (
        (np.hypot(*move.T) <= tolerance)
        & (new[:, 0] > left)
        & (new[:, 0] < right)
        & (new[:, 1] > top)
        & (new[:, 1] < bottom)
    )
    moved = kept.copy()
    moved[before[is_good]] = new[is_good]
    if is_closed:
        moved[-1] = moved[0]
    return moved


def _places(points: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Return the indices of the points that were kept, in the same order."""
    index = {(x, y): number for number, (x, y) in enumerate(points.tolist())}
    at = np.array([index[x, y] for x, y in kept.tolist()])
    if at[0] == len(points) - 1:
        at[0] = 0
    return at


def _fitted(points: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a point and the direction of the line through each piece's points."""
    x, y = points.T
    sums = np.vstack(
        [np.zeros((1, 5)), np.cumsum(np.column_stack([x, y, x * x, x * y, y * y]), axis=0)]
    )
    count = (at[1:] - at[:-1] + 1)[:, None]
    means = (sums[at[1:] + 1] - sums[at[:-1]]) / count
    middle = means[:, :2]
    xx = means[:, 2] - middle[:, 0] ** 2
    xy = means[:, 3] - middle[:, 0] * middle[:, 1]
    yy = means[:, 4] - middle[:, 1] ** 2
    angle = np.arctan2(2 * xy, xx - yy) / 2
    return middle, np.column_stack([np.cos(angle), np.sin(angle)])


def join_arcs(blocks: Iterable[Arcs], least: float) -> tuple[list[np.ndarray], list[float]]:
    """Join the outlines of all blocks to rings.

    Parameters
    ----------
    blocks
        Those of one class.
    least
        Square pixels: smaller rings are left out.

    Returns
    -------
    rings : list of numpy.ndarray
        Closed, ``(n, 2)``.
    small : list of float
        Signed areas of those left out, in the blocks too.

    Raises
    ------
    RuntimeError
        If an outline ends at a border where none goes on.
    """
    rings: list[np.ndarray] = []
    small: list[float] = []
    starts: dict[tuple[float, float], np.ndarray] = {}
    for arcs in blocks:
        rings += arcs.rings
        small += arcs.small
        for part in arcs.parts:
            starts[part[0, 0], part[0, 1]] = part
    while starts:
        first = end = next(iter(starts))
        chain = []
        while end in starts:
            part = starts.pop(end)
            chain.append(part[:-1])
            end = (part[-1, 0], part[-1, 1])
        if end != first:
            raise RuntimeError(f"an outline ends at {end}, where no other begins")
        ring = np.concatenate([*chain, [first]])
        area = signed_area(ring)
        if abs(area) >= least:
            rings.append(ring)
        else:
            small.append(area)
    return rings, small


def is_narrow(polygon: shapely.Polygon, width: float) -> bool:
    """Tell whether a polygon's mean width, twice the area by the outline's length, is less."""
    return bool(2 * polygon.area < width * polygon.length)


def to_polygons(rings: Sequence[np.ndarray]) -> list[shapely.Polygon]:
    """Put rings that don't cross together to polygons with holes.

    Parameters
    ----------
    rings
        Closed; as `trace_block` turns them.

    Returns
    -------
    list of shapely.Polygon
        From left to right, none over another.
    """
    shells = [ring for ring in rings if signed_area(ring) > 0]
    holes = [ring for ring in rings if signed_area(ring) < 0]
    if not shells:
        return []
    outer = np.array([shapely.Polygon(ring) for ring in shells], dtype=object)
    shapely.prepare(outer)
    areas = shapely.area(outer)
    inside: dict[int, list[np.ndarray]] = defaultdict(list)
    if holes:
        corners = shapely.points([ring[0] for ring in holes])
        hole_of, shell_of = shapely.STRtree(outer).query(corners, predicate="within")
        # Of shells within one another the smallest is the hole's own.
        nearest: dict[int, int] = {}
        for hole, shell in zip(hole_of.tolist(), shell_of.tolist(), strict=True):
            if hole not in nearest or areas[shell] < areas[nearest[hole]]:
                nearest[hole] = shell
        for hole, shell in sorted(nearest.items()):
            inside[shell].append(holes[hole])
    polygons = [shapely.Polygon(shell, inside[index]) for index, shell in enumerate(shells)]
    return sorted(polygons, key=lambda polygon: (*polygon.bounds, polygon.area))


def without_overlap(
    by_class: Sequence[list[shapely.Polygon]], least: float
) -> list[list[shapely.Polygon]]:
    """Take from each class what earlier ones cover.

    Straightening moves the border between two classes on either side.

    Parameters
    ----------
    by_class
        Each class's polygons.
    least
        In square units: what is left of a polygon counts from this area on.
    """
    kept: list[list[shapely.Polygon]] = []
    before: list[shapely.Polygon] = []
    for polygons in by_class:
        tree = shapely.STRtree(before)
        mine: list[shapely.Polygon] = []
        for polygon in polygons:
            touching = tree.query(polygon, predicate="intersects")
            rest = (
                shapely.difference(
                    polygon, shapely.union_all([before[i] for i in sorted(touching)])
                )
                if len(touching)
                else polygon
            )
            mine += [
                part
                for part in shapely.get_parts(rest)
                if part.geom_type == "Polygon" and part.area >= least
            ]
        kept.append(mine)
        before += mine
    return kept
