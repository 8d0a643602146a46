"""What speaks for and against a centerline: not every one has a road on the ground.

Paper streets, tunnels, ferries and paths are told by what they see on either side. A street
has lines that run along it, no farther apart than streets are elsewhere; a paper street in
a block sees the block's far edges, a ferry sees nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from roadmask.masks.streets import (
    SPACING,
    WINDOW,
    Frame,
    Stations,
    Walls,
    along_walls,
    group_medians,
    half_widths,
    near_in_group,
    runs,
)
from roadmask.masks.stretches import (
    EVEN,
    far_too_wide,
    keeps_distance,
    keeps_width,
    stretches,
)

# Share of the street's width that a region must offer its centerline to be that street.
FITTING_WIDTH = 0.5
# Share of a region's centerline that must find it fitting.
FITTING_LENGTH = 0.5
# Streets of the network are as wide as this or narrower along these shares of its length.
MIDDLE_SHARE, USUAL_SHARE, WIDE_SHARE = 0.5, 0.8, 0.95
# Wide streets are this many times as wide as the usual one, at most: paths and paper streets
# in blocks that are open to the network see their far edges.
WIDE_LIMIT = 2.0
# What lines enclose is a street up to this many times the usual width if it keeps its own, else
# up to this many times that of the street in the middle,
ENCLOSED_WIDTH = 1.15
# and its area up to this many times what its centerline sees in passing.
ENCLOSED_AREA = 2.0
# Shares of its length between which a street keeps its width.
EVEN_SHARES = (0.15, 0.85)
# What differs by more than this share of it over the middle of its length is a wedge between
# streets, if at least so many stations tell.
MIDDLE_SHARES, WEDGE, TELLING = (0.3, 0.7), 0.5, 8
# The mouth of a street is no narrower than this share of it.
MOUTH_SHARE = 0.6
# What is open to the network may be this many times as wide as its wide streets.
OPEN_WIDTH = 1.5
# Share of the width that a centerline keeps from the nearer wall.
AT_EDGE = 0.15
# Share of the centerline's length that must see lines along it.
SEEN_LENGTH, SEEN_IN_NETWORK = 0.4, 0.2
# Share of it that must see them on both sides at once, in what is no network.
SEEN_ON_BOTH = 0.25
# A region of any area is street where lines are seen on both sides over this share of its
# centerlines, if these are as many metres long: what only crosses a median is shorter.
LEAKY_LENGTH, LEAKING = 0.6, WINDOW
# Pixels around a crossing of lines that tell which regions meet there.
AROUND = 3
# A region with this share of all length of centerlines is the network,
NETWORK_SHARE = 0.2
# and so is one in which this many of them see each other's streets: a part of it that the
# edges of an upper road cut off.
NETWORK_LINES = 2


@dataclass(frozen=True)
class Evidence:
    """What is known of stations and regions.

    Attributes
    ----------
    seen
        ``(stations, 2)`` metres to the first line left and right, inf where none is in reach.
    steady
        ``(stations, 2)`` bool: that line runs along the street.
    half
        ``(stations, 2)`` metres of carriageway left and right.
    source
        ``(stations,)`` bool: a street runs here.
    road
        ``(regions,)`` bool.
    network
        ``(regions,)`` bool: road that connects several streets.
    used
        ``(regions,)`` bool: a centerline runs here.
    usual, wide
        Metres: how wide the usual street is here, and the wide ones.
    crossings
        ``(n, 2)`` metres: where lines of two levels cross.
    at_level
        ``(regions,)`` bool: two levels' lines cross on its outline.
    cover
        ``(stations, 2)`` metres of carriageway left and right that the whole street has, 0
        where that is wider than streets are here.
    """

    seen: np.ndarray
    steady: np.ndarray
    half: np.ndarray
    source: np.ndarray
    road: np.ndarray
    network: np.ndarray
    used: np.ndarray
    usual: float
    wide: float
    crossings: np.ndarray
    at_level: np.ndarray
    cover: np.ndarray


def gather_evidence(
    stations: Stations,
    seen: np.ndarray,
    walls: Walls,
    regions: np.ndarray,
    areas: np.ndarray,
    mouths: np.ndarray,
    frame: Frame,
    max_road_width: float,
    given_width: np.ndarray | None,
    crossings: np.ndarray,
    levels: np.ndarray,
    islands: np.ndarray,
) -> Evidence:
    """Judge stations and regions by what the stations see on either side.

    Parameters
    ----------
    stations, seen
        The stations, and ``(n, 2)`` metres as `sight` returns them.
    walls
        Street lines, closed.
    regions
        ``(h, w)`` int32 region numbers, 0 on lines.
    areas
        ``(regions,)`` square metres.
    mouths
        ``(regions,)`` metres of the widest chord through which a centerline runs.
    frame
        The raster's frame.
    max_road_width
        Metres.
    given_width
        ``(centerlines,)`` metres by attribute, NaN where unknown.
    crossings
        ``(n, 2)`` metres: where lines of two levels cross.
    levels
        ``(regions,)`` int64: how many such crossings lie on each outline.
    islands
        ``(regions,)`` bool: never road, though centerlines run there.
    """
    count = len(areas)
    pixel = min(frame.pixel)
    steady = along_walls(stations, seen, pixel)
    region = region_of(stations, regions, frame)
    length = np.bincount(region, minlength=count).astype(float)
    length[0] = 0.0
    network = (length >= NETWORK_SHARE * length.sum()) & ~islands
    width = np.where(steady.all(axis=1), seen.sum(axis=1), np.nan)
    middle, usual, wide = street_widths(width, network[region], max_road_width)
    many = _many_streets(region, stations.part, width, wide, count)
    network |= many & ~islands
    # However high the ceiling: what is wider is the far edge of a block that leaks.
    widest_seen = min(max_road_width, WIDE_LIMIT * wide)
    half, cover = half_widths(stations, seen, pixel, widest_seen, given_width)
    own_width = keeps_width(stations.part, width, cover.sum(axis=1))
    # Where that is plausible: what keeps its width may be wider than most.
    cover[cover.sum(axis=1) > np.where(own_width, OPEN_WIDTH, ENCLOSED_WIDTH) * wide] = 0
    at_level = levels > 0
    even, wedge = even_regions(region, width, count)
    expected, over = expected_widths(
        region, stations.part, width, network, mouths, levels, even, (middle, usual, wide)
    )
    # A centerline runs down the middle of its street: along one edge of what is wide it runs
    # beside it.
    at_edge = seen.min(axis=1) < AT_EDGE * seen.sum(axis=1)
    limit = ENCLOSED_WIDTH * np.where(
        at_edge & ~network[region], np.minimum(expected[region], middle), expected[region]
    )

    stretch, enclosed = stretches(stations, walls)
    around = np.bincount(stretch)
    beside = np.where(steady & (seen <= 0.75 * limit[:, np.newaxis]), seen, np.nan)
    widest = ENCLOSED_WIDTH * np.where(over[region], expected[region], wide)
    refused = enclosed & (
        far_too_wide(stretch, width, OPEN_WIDTH * wide)
        | _no_street(stretch, seen, width, beside, widest, network[region] & ~own_width)
    )
    plausible = np.isfinite(beside).any(axis=1)
    plausible &= (seen.sum(axis=1) <= limit) | network[region]
    good = ~refused & (np.minimum(seen, half).sum(axis=1) >= FITTING_WIDTH * half.sum(axis=1))

    def share(of: np.ndarray) -> np.ndarray:
        inside = np.bincount(region, weights=of, minlength=count)
        return np.asarray(inside / np.maximum(length, 1))

    own = np.where(np.isfinite(seen), seen, 0).sum(axis=1)
    passed = (
        np.bincount(region, weights=np.minimum(own, expected[region]), minlength=count) * SPACING
    )
    slender = areas <= ENCLOSED_AREA * passed
    # A street that leaks into a block is known by what it sees, whatever the area.
    slender |= (share(width <= limit) >= LEAKY_LENGTH) & (length * SPACING >= LEAKING)
    # Street lines may end within the sheet, as at a county's border: of a network, only what has
    # a line in reach tells.
    in_reach = np.bincount(region, weights=np.isfinite(seen).any(axis=1), minlength=count)
    seen_beside = np.bincount(region, weights=plausible, minlength=count) / np.maximum(in_reach, 1)
    seen_enough = np.where(network, seen_beside >= SEEN_IN_NETWORK, share(plausible) >= SEEN_LENGTH)
    # What narrows towards a corner is a block on whose edge a street's line runs: over some
    # length, a street has lines along both of its sides.
    on_both = share(np.all(steady, axis=1)) >= SEEN_ON_BOTH
    seen_enough &= network | on_both | (length * SPACING < WINDOW)
    road = (length > 0) & (share(good) >= FITTING_LENGTH) & seen_enough & ~islands
    road &= network | (slender & ~wedge)
    near = near_in_group(plausible, stretch)
    # One wall beside it in passing makes no street of what leads through a block: most of
    # that sees farther than any street is wide.
    few = np.bincount(stretch, weights=plausible) < SEEN_IN_NETWORK * around
    far = np.bincount(stretch, weights=seen.sum(axis=1) > OPEN_WIDTH * wide) > 0.5 * around
    near &= ~(few & far)[stretch]
    short = around[stretch] * SPACING < WINDOW / 2
    near |= short & near_in_group(plausible, stations.part)
    source = near & ~refused & (road[region] | (region == 0))
    return Evidence(
        seen,
        steady,
        half,
        source,
        road,
        network & road,
        length > 0,
        usual,
        wide,
        crossings,
        at_level & ~road & ~islands,
        cover,
    )


def _no_street(
    stretch: np.ndarray,
    seen: np.ndarray,
    width: np.ndarray,
    beside: np.ndarray,
    widest: np.ndarray,
    crossing: np.ndarray,
) -> np.ndarray:
    """Tell which stations lie on a stretch that is no street if a line ends it.

    Either it hardly ever sees a street's two sides, and most of it sees more than one. Or it
    crosses a block from line to line, so that it comes nearer to one of them all the way.

    Parameters
    ----------
    stretch
        ``(n,)`` numbers from 0.
    seen, width, beside
        ``(n, 2)``, ``(n,)`` and ``(n, 2)`` metres: to the lines on either side, from one to the
        other, and to those that a street may have there, NaN where there is none.
    widest
        ``(n,)`` metres that no street exceeds.
    crossing
        ``(n,)`` bool: in the network, on a line string that does not keep its width.
    """
    around = np.bincount(stretch)
    sides = np.bincount(stretch, weights=width <= widest) / around
    more = np.bincount(stretch, weights=seen.sum(axis=1) > widest) / around
    long = around * SPACING >= WINDOW
    beyond = long & (sides < SEEN_ON_BOTH) & (more > 0.5)
    across = long[stretch] & crossing & ~keeps_distance(stretch, beside)
    return np.asarray(beyond[stretch] | across)


def expected_widths(
    region: np.ndarray,
    part: np.ndarray,
    width: np.ndarray,
    network: np.ndarray,
    mouths: np.ndarray,
    levels: np.ndarray,
    even: np.ndarray,
    widths: tuple[float, float, float],
) -> tuple[np.ndarray, np.ndarray]:
    """Return how wide a street may be in each region, and which are a highway over blocks.

    Parameters
    ----------
    region, part, width
        ``(n,)`` region and line string of each station, and metres from line to line or NaN.
    network, mouths, levels, even
        ``(regions,)`` as `gather_evidence` has them.
    widths
        As `street_widths` returns them.
    """
    count = len(network)
    middle, usual, wide = widths
    # What is open to a street may be as wide as its mouth tells.
    least = np.where(even, usual, middle)
    expected = np.where(network, wide, np.clip(mouths / MOUTH_SHARE, least, wide))
    # A highway over blocks is wider than the streets, and as wide before and behind: a path in
    # what it leaves of a block is not.
    own = group_medians(region, width, count)
    over = (levels > 1) & even & (own <= OPEN_WIDTH * wide)
    elsewhere = group_medians(part[~over[region]], width[~over[region]], int(part.max()) + 1)
    with np.errstate(invalid="ignore"):
        goes_on = np.abs(elsewhere[part] - own[region]) <= EVEN * own[region]
    among = np.maximum(np.bincount(region, minlength=count), 1)
    over &= np.bincount(region, weights=goes_on, minlength=count) >= 0.5 * among
    return np.where(over, np.fmax(expected, own), expected), over


def region_of(stations: Stations, regions: np.ndarray, frame: Frame) -> np.ndarray:
    """Return the number of the region that each station lies in, 0 on lines and outside."""
    return regions_of(stations.xy, regions, frame)


def regions_of(places: np.ndarray, regions: np.ndarray, frame: Frame) -> np.ndarray:
    """Return the numbers of the regions that ``(n, 2)`` places lie in, 0 on lines and outside."""
    column, row = np.floor(frame.to_pixels(places)).astype(np.int64).T
    inside = (row >= 0) & (row < regions.shape[0]) & (column >= 0) & (column < regions.shape[1])
    found = np.zeros(len(places), np.int64)
    found[inside] = regions[row[inside], column[inside]]
    return found


def _many_streets(
    region: np.ndarray, part: np.ndarray, width: np.ndarray, wide: float, count: int
) -> np.ndarray:
    """Tell in which regions several centerlines run along streets for most of their length.

    One of these streets may be wider than the wide ones are here, if it keeps its width.
    """
    keys, inverse = np.unique(region * (int(part.max()) + 1) + part, return_inverse=True)
    among = np.bincount(inverse)
    owner = keys // (int(part.max()) + 1)
    street = np.bincount(inverse, weights=width <= ENCLOSED_WIDTH * wide) >= 0.5 * among
    middle = group_medians(inverse, width, len(keys))
    with np.errstate(invalid="ignore"):
        alike = np.abs(width - middle[inverse]) <= EVEN / 2 * middle[inverse]
        wider = (middle <= OPEN_WIDTH * wide) & ~street & (among * SPACING >= WINDOW)
    wider &= np.bincount(inverse, weights=alike) >= 0.5 * among
    many = np.bincount(owner[street], minlength=count)
    many += (many > 0) & (np.bincount(owner[wider], minlength=count) > 0)
    return np.asarray(many >= NETWORK_LINES) & (np.arange(count) > 0)


def street_widths(
    width: np.ndarray, in_network: np.ndarray, max_road_width: float
) -> tuple[float, float, float]:
    """Return how wide the middle, the usual and the wide streets are.

    Parameters
    ----------
    width
        ``(n,)`` metres along the streets, NaN where unknown.
    in_network
        ``(n,)`` bool: where the network of streets is, which is asked first.
    max_road_width
        Metres: the answer where nothing is known.
    """
    for usable in (in_network, np.ones(len(width), bool)):
        known = width[usable & (width <= max_road_width)]
        if len(known):
            shares = (MIDDLE_SHARE, USUAL_SHARE)
            middle, usual = map(float, np.quantile(known, shares, method="lower"))
            # Under a higher ceiling more blocks are seen across, which are no wider streets.
            known = known[known <= OPEN_WIDTH * WIDE_LIMIT * usual]
            wide = float(np.quantile(known, WIDE_SHARE, method="lower"))
            return middle, usual, min(wide, WIDE_LIMIT * usual)
    return max_road_width, max_road_width, max_road_width


def usual_width(evidence: Evidence) -> float:
    """Return how many metres wide most streets are at most, measured up to twice the ceiling.

    NaN where no line is seen along both sides of a street. The measure is the middle one: paths
    that see a block's edges are fewer than streets.
    """
    both = evidence.steady.all(axis=1)
    widths = evidence.seen[both].sum(axis=1)
    return float(np.median(widths)) if len(widths) else np.nan


def even_regions(
    region: np.ndarray, width: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Tell in which regions centerlines find about the same width all along, and where none.

    Parameters
    ----------
    region
        ``(n,)`` region of each station.
    width
        ``(n,)`` metres, NaN where unknown.
    count
        Regions.

    Returns
    -------
    even, wedge
        ``(count,)`` bool each: the same width along most of the length; another one everywhere.
    """
    even, wedge = np.zeros((2, count), bool)
    known = np.flatnonzero(np.isfinite(width))
    known = known[np.argsort(region[known], kind="stable")]
    shares = (EVEN_SHARES[0], MIDDLE_SHARES[0], 0.5, MIDDLE_SHARES[1], EVEN_SHARES[1])
    for run in runs(region[known]):
        low, lower, middle, higher, high = np.quantile(width[known[run]], shares)
        number = region[known[run.start]]
        even[number] = high - low <= EVEN * middle
        wedge[number] = run.stop - run.start >= TELLING and higher - lower > WEDGE * middle
    return even, wedge


def regions_at(places: np.ndarray, regions: np.ndarray, count: int, frame: Frame) -> np.ndarray:
    """Return ``(regions,)`` int64: around how many of the places each region lies.

    Parameters
    ----------
    places
        ``(n, 2)`` metres in the frame.
    regions
        ``(h, w)`` int32 region numbers.
    count
        Regions, the lines counted as one.
    frame
        The raster's frame.
    """
    around = np.sort(regions_around(places, regions, frame), axis=1)
    first = np.diff(around, axis=1, prepend=-1) != 0
    found = np.bincount(around[first], minlength=count)
    found[0] = 0
    return np.asarray(found)


def regions_around(
    places: np.ndarray, regions: np.ndarray, frame: Frame, reach: int = AROUND
) -> np.ndarray:
    """Return ``(n, k)`` numbers of the regions within some pixels of ``(n, 2)`` places."""
    steps = np.arange(-reach, reach + 1)
    down, right = (axis.ravel() for axis in np.meshgrid(steps, steps))
    column, row = np.floor(frame.to_pixels(places)).astype(np.int64).T
    rows = np.clip(row[:, np.newaxis] + down, 0, regions.shape[0] - 1)
    columns = np.clip(column[:, np.newaxis] + right, 0, regions.shape[1] - 1)
    return np.asarray(regions[rows, columns])
