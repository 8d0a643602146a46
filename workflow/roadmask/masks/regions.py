"""Road masks from the regions between street lines and the centerlines that run inside.

A region is a four-connected piece of ground between street lines. Nearly all road of a city
is one region, and any gap joins it to a block. So first the lines are closed: chords join
their loose ends (`roadmask.masks.gaps`), and each region is road if what its centerlines see
on either side is a street (`roadmask.masks.evidence`). What still leaks is parted at the
throats (`roadmask.masks.rooms`), for which every place along a centerline knows how wide its
own street is (`roadmask.masks.streets`).
"""

from __future__ import annotations

import gc
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import cv2
import numpy as np
import shapely
from affine import Affine
from scipy import ndimage
from shapely.geometry.base import BaseGeometry

from roadmask.burn import burn_lines, sides_of_lines
from roadmask.grid import Grid
from roadmask.masks.circles import (
    BEYOND_METRES,
    BEYOND_SHARE,
    TRUSTED,
    WIDEST_CIRCLE,
    cells_of,
    street_ends,
    turning_circles,
)
from roadmask.masks.connected import Connected
from roadmask.masks.evidence import (
    AROUND,
    OPEN_WIDTH,
    Evidence,
    gather_evidence,
    region_of,
    regions_around,
    regions_at,
    regions_of,
    usual_width,
)
from roadmask.masks.gaps import Chords, close_gaps, data_edges
from roadmask.masks.islands import amid_road, enclosed_by_road, on_free_medians
from roadmask.masks.line_pixels import settle_line_pixels
from roadmask.masks.medians import leave_medians
from roadmask.masks.openings import (
    BESIDE,
    mostly_lines,
    open_pieces,
    sides_of_chords,
    widest_mouths,
)
from roadmask.masks.pieces import REGION_RULES, Findings
from roadmask.masks.rooms import (
    FIRST,
    OPEN_MOUTH,
    THICK_SHARE,
    find_rooms,
    find_throats,
    flood,
    judge,
    passed_through,
)
from roadmask.masks.streets import (
    Frame,
    Stations,
    Walls,
    crossing_squares,
    draw_discs,
    draw_quads,
    draw_strip,
    near_in_group,
    place_stations,
    sight,
)
from roadmask.masks.strips import look_up
from roadmask.style import OTHER, UNKNOWN

ROAD = 1

# Metres: edge of the pixels on which rooms are looked for.
COARSE = 1.0
# Pixels by which lines and axes may be straightened where only their course counts.
STRAIGHTENED = 0.5
# Share of the half width, and of the way to the wall in sight, that is surely street.
SURE_OF_WIDTH, SURE_OF_SIGHT = 0.7, 0.9
# Share of a piece cut off by an upper road that its street must cover.
COVERED = 0.7
# Cells whose pixels are changed at once, which bounds the memory where much is.
CELLS = 2**17
# Label of pixels that wait for a neighbour's.
WAITING = 254
# Pixels within which lines touch. Those of lines that were traced from a raster lie whole pixels
# apart, so that rounding would tell whether lines one pixel apart do.
TOUCH = 0.99
# Others that a region meets where two lines cross at its edge.
MEETING = 3
# Widths of a piece's end from there to where it surely goes on.
DEEP = 1.5
# Where a street's own line keeps this share of its whole width or less, it is no wider there.
NARROWED = 0.4


@dataclass(frozen=True)
class RegionLabels:
    """A label raster and what it was decided from.

    Attributes
    ----------
    labels
        ``(h, w)`` uint8: 0 other, 1 road, 255 not known.
    counts
        Regions, road regions, chords, regions without a centerline that are road or not known
        for where they open, rooms cut off at a throat, rooms not known.
    findings
        All it was decided from; None where no lines or no centerlines are.
    usual_width
        Metres from line to line across the usual street, whatever the ceiling; NaN if unknown.
    """

    labels: np.ndarray
    counts: dict[str, int]
    findings: Findings | None = None
    usual_width: float = math.nan


@contextmanager
def uncollected() -> Iterator[None]:
    """Keep Python from looking for reference cycles meanwhile.

    It looks after every few hundred new objects. Here a hundred thousand geometries are made,
    none of them in a cycle: of the fill, the looks were a tenth.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@uncollected()
def label_regions(
    grid: Grid,
    barrier: np.ndarray,
    street_lines: Sequence[BaseGeometry] | np.ndarray,
    centerlines: Sequence[BaseGeometry] | np.ndarray,
    max_road_width: float,
    given_width: np.ndarray | None = None,
) -> RegionLabels:
    """Label the ground between street lines.

    Parameters
    ----------
    grid
        The raster's grid, halo included.
    barrier
        ``(h, w)`` uint8, not 0 where a street line runs; closed to four-connected filling.
    street_lines, centerlines
        Lines in the grid's CRS.
    max_road_width
        Metres: no road is wider. Only a ceiling: widths are measured.
    given_width
        ``(centerlines,)`` paved width in metres by attribute, NaN where unknown. Used only
        where none can be measured.

    Returns
    -------
    RegionLabels
        All of it not known where the grid holds centerlines but no street line; all of it
        other where it holds no centerline.
    """
    frame = Frame(grid.pixel_metres)
    axes = to_frame(centerlines, grid, frame)
    stations = place_stations(axes)
    if len(stations) == 0:
        return RegionLabels(np.full(grid.shape, OTHER, np.uint8), _counts())
    lines = to_frame(street_lines, grid, frame)
    if len(lines) == 0:
        return RegionLabels(np.full(grid.shape, UNKNOWN, np.uint8), _counts())
    touch = TOUCH * min(frame.pixel)
    edges = data_edges(
        lines, axes, (grid.width * frame.pixel[0], grid.height * frame.pixel[1]), touch
    )
    chords = close_gaps(np.concatenate([lines, edges]), touch)
    chords = Chords(
        np.concatenate([chords.lines, edges]),
        np.concatenate([chords.lost, np.zeros(len(edges), bool)]),
    )
    in_frame = Grid(grid.width, grid.height, Affine.scale(*frame.pixel), None)
    closed = burn_lines(chords.lines, in_frame)
    closed |= barrier
    free = closed == 0
    ground = Connected.of(free)
    count = ground.count
    regions = ground.paint(np.arange(count, dtype=np.int32))
    terrain = Terrain.of(ground, regions, frame)
    areas, thickness = terrain.measures(count)

    walls = Walls.from_lines(np.concatenate([lines, chords.lines]))
    crossings, last = walls.level_crossings()
    levels, crossings = count_levels(crossings, last, walls, len(chords), regions, count, frame)
    seen = sight(stations, walls, max_road_width)
    region = region_of(stations, regions, frame)
    sides = sides_of_chords(chords, regions, frame)
    unmapped = np.zeros(count, bool)
    unmapped[sides[len(sides) - len(edges) :, 1]] = True
    islands = enclosed_by_road(
        stations,
        seen,
        walls,
        region,
        terrain.regions,
        frame,
        levels > 0,
        unmapped,
        areas,
        max_road_width,
    )
    free_medians = on_free_medians(stations, seen, walls, axes, islands[region], max_road_width)
    without_axis = np.bincount(region, minlength=count) == 0
    stations, seen = leave_medians(
        stations,
        seen,
        walls,
        min(frame.pixel),
        max_road_width,
        free_medians,
        lambda places: without_axis[regions_of(places, regions, frame)],
    )
    mouths = widest_mouths(chords, sides, axes, count)
    evidence = gather_evidence(
        stations,
        seen,
        walls,
        regions,
        areas,
        mouths,
        frame,
        max_road_width,
        given_width,
        crossings,
        levels,
        islands,
    )
    below = below_levels(stations, evidence, terrain)
    ending = street_ends(
        stations,
        evidence,
        regions,
        frame,
        (terrain.regions, terrain.frame),
        areas,
        ~islands & (evidence.at_level | (mouths > 0)) & (thickness <= WIDEST_CIRCLE),
    )
    road = evidence.road | below | ending
    opened, half_open = open_pieces(
        chords,
        sides,
        road,
        areas,
        thickness,
        THICK_SHARE * evidence.usual / 2,
    )
    passing = run_on_past_levels(half_open, road, terrain, regions, thickness, frame)
    opened, half_open = opened | passing, half_open & ~passing
    verdict = np.where(road | opened, ROAD, np.where(half_open, UNKNOWN, OTHER))
    labels = ground.paint(verdict.astype(np.uint8))
    cut, doubtful = _part_leaks(labels, free.view(np.uint8), stations, evidence, terrain)
    half_open &= ~_relabel_medians(labels, half_open, OTHER, ground, terrain)
    between = opened & ~road & mostly_lines(chords, sides, areas, thickness)
    _relabel_medians(labels, between, UNKNOWN, ground, terrain)
    sides_of_pixels = [sides_of_lines(street_lines, grid), sides_of_lines(chords.lines, in_frame)]
    settle_line_pixels(labels, closed, sides_of_pixels)
    rules = np.select(
        [evidence.network, evidence.road | ending, below, opened, half_open, evidence.used],
        REGION_RULES[:-1],
        REGION_RULES[-1],
    )
    findings = Findings(
        frame,
        labels,
        barrier,
        closed,
        regions,
        rules,
        stations,
        evidence,
        chords,
        sides_of_pixels,
        terrain.factor,
    )
    return RegionLabels(
        labels,
        _counts(
            regions=count - 1,
            road=int(evidence.road.sum()),
            chords=len(chords),
            opened=int((opened & ~road).sum()),
            half_open=int(half_open.sum()),
            cut=cut,
            unknown=doubtful,
        ),
        findings,
        usual_width(evidence),
    )


def to_frame(
    geometries: Sequence[BaseGeometry] | np.ndarray, grid: Grid, frame: Frame
) -> np.ndarray:
    """Bring geometries from the grid's CRS into its metric frame, straightened a little.

    Lines that were traced from rasters have a step at every pixel.
    """
    step = STRAIGHTENED * min(
        math.hypot(grid.transform.a, grid.transform.d),
        math.hypot(grid.transform.b, grid.transform.e),
    )
    straight = shapely.simplify(np.asarray(geometries, dtype=object), step, preserve_topology=False)
    inverse = ~grid.transform
    matrix = np.array([[inverse.a, inverse.b], [inverse.d, inverse.e]])
    shift = np.array([inverse.c, inverse.f])
    return np.asarray(
        shapely.transform(
            straight,
            lambda xy: (xy @ matrix.T + shift) * frame.pixel,
        )
    )


def _part_leaks(
    labels: np.ndarray, free: np.ndarray, stations: Stations, evidence: Evidence, terrain: Terrain
) -> tuple[int, int]:
    """Take from the road, in place, what lies behind throats; return how many rooms, and doubts."""
    if not evidence.source.any():
        return 0, 0
    coarse, depth, factor = terrain.frame, terrain.depth, terrain.factor
    # Only where centerlines say what is street: the rest was judged by what surrounds it.
    road = look_up(evidence.road, terrain.regions)
    street, reach = draw_streets(stations, evidence, depth, coarse)
    rooms = find_rooms(
        road & (reach == 0),
        road,
        depth,
        coarse.pixel,
        stations.xy[evidence.source],
        # A path in a block that leaks sees the block's edges: no street makes such a room.
        np.minimum(evidence.half[evidence.source].mean(axis=1), OPEN_WIDTH * evidence.wide / 2),
    )
    if len(rooms) == FIRST:
        return 0, 0
    basins = flood(depth, street, rooms, road)
    joined, doubtful = judge(rooms, find_throats(basins, depth))
    passed = passed_through(rooms, basins, depth, joined, doubtful)
    joined, doubtful = joined | passed, doubtful & ~passed
    value = np.where(joined, ROAD, np.where(doubtful, UNKNOWN, OTHER)).astype(np.uint8)
    value[0] = ROAD
    verdicts = look_up(value, basins)
    verdicts.reshape(-1)[rooms.stray] = WAITING
    _refine(labels, free, verdicts, road, factor)
    return int((~joined[FIRST:] & ~doubtful[FIRST:]).sum()), int(doubtful.sum())


def _relabel_medians(
    labels: np.ndarray, opened: np.ndarray, value: int, ground: Connected, terrain: Terrain
) -> np.ndarray:
    """Give a value, in place, to pieces open to road that lie amid road; tell which they are.

    Road that is open at one end leads into a block: what is amid road is a median. If it is open
    at both, it may as well be a carriageway between others.
    """
    if not opened.any():
        return opened
    road = labels[:: terrain.factor, :: terrain.factor] == ROAD
    medians = amid_road(opened, road, terrain.regions)
    labels.reshape(-1)[ground.pixels_of(medians)] = value
    return medians


@dataclass(frozen=True)
class Terrain:
    """The ground on coarse pixels, for what needs no precision.

    Attributes
    ----------
    factor
        Fine pixels to a coarse one's edge.
    frame
        Of the coarse pixels.
    regions
        ``(h, w)`` int32: the region of coarse pixels that lie wholly in one, else 0.
    depth
        ``(h, w)`` float32 metres to the nearest line.
    """

    factor: int
    frame: Frame
    regions: np.ndarray
    depth: np.ndarray

    @classmethod
    def of(cls, ground: Connected, regions: np.ndarray, frame: Frame) -> Terrain:
        """Look at the ground off lines, and at its regions' numbers, ``(h, w)`` int32."""
        factor = max(1, round(COARSE / min(frame.pixel)))
        coarse = Frame((frame.pixel[0] * factor, frame.pixel[1] * factor))
        # All pixels of a free cell touch, so one tells the region of all.
        sampled = regions[::factor, ::factor].copy()
        row, column = np.divmod(ground.around(), ground.shape[1])
        with_line = row // factor * sampled.shape[1] + column // factor
        sampled.reshape(-1)[with_line] = 0
        free = np.ones(sampled.shape, np.uint8)
        free.reshape(-1)[with_line] = 0
        return cls(factor, coarse, sampled, distance_to_lines(free, coarse))

    def measures(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Return about how large regions are, and how thick.

        Returns
        -------
        area, thickness
            ``(count,)`` square metres, and metres from the innermost place to the nearest line,
            0 where the region is thin.
        """
        numbers, depth = self.regions.reshape(-1), self.depth.reshape(-1)
        # By runs of one region along the rows: a tenth as many as there are pixels.
        starts = np.flatnonzero(np.concatenate([[True], numbers[1:] != numbers[:-1]]))
        region = numbers[starts]
        lengths = np.diff(starts, append=numbers.size)
        cells = np.bincount(region, weights=lengths, minlength=count)
        thickness = np.zeros(count, np.float32)
        np.maximum.at(thickness, region, np.maximum.reduceat(depth, starts))
        thickness[0] = 0
        return cells * (self.frame.pixel[0] * self.frame.pixel[1]), thickness


def count_levels(
    places: np.ndarray,
    segment: np.ndarray,
    walls: Walls,
    chords: int,
    regions: np.ndarray,
    count: int,
    frame: Frame,
) -> tuple[np.ndarray, np.ndarray]:
    """Count on each region's outline the places where lines of two levels cross.

    Chords reach a little past the lines they meet. That is no crossing of levels, unless a line
    that breaks off just there is meant to go on: then the chord is very short.

    Parameters
    ----------
    places, segment
        ``(n, 2)`` metres and ``(n,)`` int64, as `Walls.level_crossings` returns them.
    walls
        The lines, with as many `chords` at the end.
    chords
        Number of chords.
    regions, count, frame
        ``(h, w)`` int32 region numbers, how many, and their frame.

    Returns
    -------
    levels, crossings
        ``(regions,)`` int64; ``(m, 2)`` metres, the places that count.
    """
    ends = np.stack([walls.starts[segment], walls.ends[segment]])
    touch = max(frame.pixel)
    level = (np.linalg.norm(ends - places, axis=2) > touch).all(axis=0)
    level |= np.linalg.norm(ends[1] - ends[0], axis=1) <= 2 * touch
    level |= segment < len(walls.starts) - chords
    return regions_at(places[level], regions, count, frame), places[level]


def below_levels(stations: Stations, evidence: Evidence, terrain: Terrain) -> np.ndarray:
    """Tell which regions are what an upper road's edges cut off from a lower street.

    Parameters
    ----------
    stations, evidence
        The stations and what is known of them.
    terrain
        The ground.

    Returns
    -------
    numpy.ndarray
        ``(regions,)`` bool: regions at a crossing of levels that lie within their street's
        whole width, or the circle in which it ends.
    """
    found = np.zeros(len(evidence.road), bool)
    if not evidence.at_level.any():
        return found
    small = terrain.regions
    within = np.zeros(small.shape, np.uint8)
    # The street's own stations in such a region are no witnesses: its others are.
    share = np.bincount(stations.part, weights=evidence.source) / np.bincount(stations.part)
    trusted = (share >= TRUSTED)[stations.part]
    chosen = look_up(evidence.at_level, small)
    # A ramp is as wide as its highway only where they are one.
    narrow = np.maximum(evidence.seen, evidence.half) < NARROWED * evidence.cover
    own = evidence.steady & narrow
    reach = np.where(own, evidence.seen, evidence.cover)
    draw_strip(within, terrain.frame, stations, reach, trusted, chosen)
    circle = turning_circles(stations, terrain.depth, terrain.frame)
    ends_there = evidence.at_level[small[cells_of(stations, terrain.frame, small.shape)]]
    draw_discs(within, terrain.frame, stations, circle, trusted & ends_there)
    here = np.flatnonzero(chosen)
    region = small.reshape(-1)[here]
    ground = np.bincount(region, minlength=len(found))
    covered = np.bincount(region[within.reshape(-1)[here] > 0], minlength=len(found))
    found[(ground > 0) & (covered >= COVERED * ground)] = True
    return found


def run_on_past_levels(
    half_open: np.ndarray,
    road: np.ndarray,
    terrain: Terrain,
    regions: np.ndarray,
    thickness: np.ndarray,
    frame: Frame,
) -> np.ndarray:
    """Tell which pieces open at one end run on at the other one, over or under a line there.

    Both of their edges run on past that line, and road lies between them.

    Parameters
    ----------
    half_open, road
        ``(regions,)`` bool each: open to road at one end; road so far.
    terrain
        The ground.
    regions
        ``(h, w)`` int32 region numbers, 0 on lines.
    thickness
        ``(regions,)`` metres from the innermost place to the nearest line.
    frame
        The raster's frame.

    Returns
    -------
    numpy.ndarray
        ``(regions,)`` bool.
    """
    found = np.zeros(len(road), bool)
    for number in np.flatnonzero(half_open).tolist():
        here = _corners(number, terrain, regions, frame)
        one, two = np.triu_indices(len(here), 1)
        width = np.linalg.norm(here[two] - here[one], axis=1)
        full = (width >= 2 * OPEN_MOUTH * thickness[number]) & (width <= 4 * thickness[number])
        ends = np.stack([here[one[full]], here[two[full]]], axis=1)
        span = ends[:, 1] - ends[:, 0]
        across = np.stack([-span[:, 1], span[:, 0]], axis=1)
        beside = BESIDE * max(frame.pixel) / np.maximum(width[full], BESIDE)[:, np.newaxis]
        onto = np.zeros(len(ends), bool)
        for side in (1, -1):
            # Along its side, a piece is no deeper than wide.
            near, deep, beyond = (
                regions_of(ends.mean(axis=1) + side * step * across, regions, frame)
                for step in (beside, DEEP, -beside)
            )
            onto |= (near == number) & (deep == number) & road[beyond]
        along = np.linspace(0, 1, 9)[1:-1, np.newaxis, np.newaxis]
        places = ends[:, 0] + along * span
        on_line = (regions_around(places.reshape(-1, 2), regions, frame, 1) == 0).any(axis=1)
        found[number] = (onto & on_line.reshape(places.shape[:2]).all(axis=0)).any()
    return found


def _corners(number: int, terrain: Terrain, regions: np.ndarray, frame: Frame) -> np.ndarray:
    """Return ``(n, 2)`` metres of where a region meets three others, as where two lines cross.

    Lines that were traced from a raster have a node there, and cross nothing.
    """
    rows, columns = np.divmod(
        np.flatnonzero(terrain.regions.reshape(-1) == number), terrain.regions.shape[1]
    )
    margin = 2 * AROUND + terrain.factor
    top, left = (max(int(at.min()) * terrain.factor - margin, 0) for at in (rows, columns))
    bottom, right = ((int(at.max()) + 1) * terrain.factor + margin for at in (rows, columns))
    window = regions[top:bottom, left:right]
    square = np.ones((2 * AROUND + 1,) * 2, np.uint8)
    near = cv2.dilate((window == number).view(np.uint8), square)
    # Every other pixel of the lines around it: what meets is looked for farther than that.
    outline = (near & (window == 0).view(np.uint8))[::2, ::2]
    places = np.stack(np.nonzero(outline)[::-1], axis=1) * 2 + (left, top)
    met = np.sort(regions_around((places + 0.5) * frame.pixel, regions, frame), axis=1)
    others = ((met[:, 1:] != met[:, :-1]) & (met[:, 1:] > 0)).sum(axis=1) - 1 + (met[:, 0] > 0)
    outline[outline > 0] = others >= MEETING
    centres = cv2.connectedComponentsWithStats(outline)[3][1:]
    return np.asarray((2 * centres + np.array([left, top]) + 0.5) * np.asarray(frame.pixel))


def _refine(
    labels: np.ndarray, free: np.ndarray, value: np.ndarray, decided: np.ndarray, factor: int
) -> None:
    """Bring the verdict on coarse cells to the pixels of the road, in place.

    Parameters
    ----------
    labels
        ``(h, w)`` uint8.
    free
        ``(h, w)`` uint8, 0 on lines.
    value
        Coarse uint8: the verdict, or that the cell waits for its neighbours'.
    decided
        Coarse bool: cells that lie wholly in a road region. The others hold a line, and their
        pixels fall to the neighbour from which they can be reached.
    factor
        Pixels to a cell's edge.
    """
    changed = decided & (value != ROAD)
    if not changed.any():
        return
    # Cells with a line beside a room.
    rim = cv2.dilate(changed.view(np.uint8), np.ones((5, 5), np.uint8)).view(bool) & ~decided
    stray = changed & (value == WAITING)
    rim |= stray
    changed &= ~stray
    height, width = labels.shape
    flat, off_lines = labels.reshape(-1), free.reshape(-1)
    # Only these pixels are looked at, a few in a hundred of all.
    waiting = _pixels_of_cells(np.flatnonzero(rim), rim.shape[1], factor, width, height).reshape(-1)
    waiting = waiting[(flat[waiting] == ROAD) & (off_lines[waiting] > 0)]
    cells = np.flatnonzero(changed)
    for batch in np.split(cells, range(CELLS, len(cells), CELLS)):
        pixels = _pixels_of_cells(batch, changed.shape[1], factor, width, height)
        verdict = np.broadcast_to(value.reshape(-1)[batch, np.newaxis], pixels.shape)
        was_road = flat[pixels] == ROAD
        flat[pixels[was_road]] = verdict[was_road]
    flat[waiting] = WAITING
    while len(waiting):
        row, column = np.divmod(waiting, width)
        found = np.zeros(len(waiting), bool)
        taken = np.zeros(len(waiting), np.uint8)
        for down, right in ((-1, 0), (1, 0), (0, -1), (0, 1)):
            r, c = row + down, column + right
            usable = (r >= 0) & (r < height) & (c >= 0) & (c < width) & ~found
            source = np.where(usable, r * width + c, 0)
            usable &= (off_lines[source] > 0) & (flat[source] != WAITING)
            taken[usable], found[usable] = flat[source[usable]], True
        if not found.any():
            break
        flat[waiting[found]] = taken[found]
        waiting = waiting[~found]
    flat[waiting] = ROAD


def _pixels_of_cells(
    cells: np.ndarray, columns: int, factor: int, width: int, height: int
) -> np.ndarray:
    """Return ``(cells, factor**2)`` flat indices of the pixels in coarse cells.

    Parameters
    ----------
    cells
        ``(n,)`` flat indices.
    columns
        Of the raster of cells.
    factor
        Pixels to a cell's edge.
    width, height
        Of the raster of pixels. Cells may reach beyond it: its last row or column stands for
        what they would hold there.
    """
    row, column = np.divmod(cells, columns)
    steps = np.arange(factor)
    down = np.minimum(row[:, np.newaxis] * factor + steps, height - 1) * width
    right = np.minimum(column[:, np.newaxis] * factor + steps, width - 1)
    return np.asarray(
        (down[:, :, np.newaxis] + right[:, np.newaxis, :]).reshape(len(cells), factor**2)
    )


def distance_to_lines(free: np.ndarray, frame: Frame) -> np.ndarray:
    """Return metres from each pixel to the nearest line's pixel.

    Parameters
    ----------
    free
        ``(h, w)`` uint8, 0 on lines.
    frame
        The grid's frame.

    Returns
    -------
    numpy.ndarray
        ``(h, w)`` float32, within 2 %.
    """
    across, down = frame.pixel
    if abs(across / down - 1) < 0.005:
        pixels = cv2.distanceTransform(free, cv2.DIST_L2, cv2.DIST_MASK_5)
        pixels *= np.float32(across)
        return np.asarray(pixels)
    return np.asarray(
        ndimage.distance_transform_edt(free, sampling=(down, across)), dtype=np.float32
    )


def draw_streets(
    stations: Stations, evidence: Evidence, depth: np.ndarray, frame: Frame
) -> tuple[np.ndarray, np.ndarray]:
    """Draw what is surely street, and what street may reach.

    Parameters
    ----------
    stations, evidence
        The stations and what is known of them.
    depth, frame
        ``(h, w)`` float32 metres to the nearest line, and its frame.

    Returns
    -------
    street, reach
        ``(h, w)`` bool and uint8. Where a centerline has no wall in sight for longer than
        any crossing, nothing is sure.
    """
    half = evidence.half
    most = BEYOND_SHARE * half + BEYOND_METRES
    reach = np.zeros(depth.shape, np.uint8)
    draw_strip(reach, frame, stations, most, evidence.source)
    circle = turning_circles(stations, depth, frame)
    draw_discs(reach, frame, stations, np.maximum(most.min(axis=1), circle), evidence.source)
    walled = np.any(evidence.steady & (evidence.seen <= most), axis=1, keepdims=True)[:, 0]
    near_wall = near_in_group(walled, stations.part)
    street = np.zeros(depth.shape, np.uint8)
    squares = crossing_squares(stations, evidence.half, evidence.source)
    draw_quads(street, frame, squares)
    draw_quads(reach, frame, squares)
    sure = np.minimum(SURE_OF_WIDTH * half, SURE_OF_SIGHT * evidence.seen)
    draw_strip(street, frame, stations, sure, near_wall & evidence.source)
    return street > 0, reach


def _counts(
    regions: int = 0,
    road: int = 0,
    chords: int = 0,
    opened: int = 0,
    half_open: int = 0,
    cut: int = 0,
    unknown: int = 0,
) -> dict[str, int]:
    return {
        "regions": regions,
        "road_regions": road,
        "gaps_closed": chords,
        "regions_open_at_both_ends": opened,
        "regions_open_at_one_end": half_open,
        "rooms_cut_off": cut,
        "rooms_not_known": unknown,
    }
