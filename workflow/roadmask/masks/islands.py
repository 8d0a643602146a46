"""Islands and blocks in the network on which a centerline runs, and which are no road for it.

Many maps lead the axes of a roundabout to its middle, draw a divided road as one line along
its median, and hold paper streets across blocks. All these are enclosed by lines around which
one and the same road runs. Only a street beside no street is closed off by lines.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from roadmask.masks.evidence import ENCLOSED_AREA, ENCLOSED_WIDTH, street_widths
from roadmask.masks.streets import (
    NARROWEST,
    SPACING,
    Frame,
    Stations,
    Walls,
    along_walls,
    runs,
)
from roadmask.masks.strips import look_up

# Share of the ground just outside that must be the road around it.
SURROUNDED = 0.95
# What holds this share of all length of centerlines is the network.
MOST = 0.5
# Pixels from a region to the ground beyond the line around it.
ACROSS = 3
# Share of the sights from its centerlines that must cross a lane beyond its edge.
LANES = 0.5
# Metres from a line at which the ground beyond it is looked at.
PAST = 0.5


def enclosed_by_road(
    stations: Stations,
    seen: np.ndarray,
    walls: Walls,
    region: np.ndarray,
    coarse: np.ndarray,
    frame: Frame,
    at_level: np.ndarray,
    unmapped: np.ndarray,
    areas: np.ndarray,
    reach: float,
) -> np.ndarray:
    """Tell which regions with centerlines are islands or blocks that one road surrounds.

    Parameters
    ----------
    stations, seen
        The stations, and ``(n, 2)`` metres as `sight` returns them.
    walls
        Street lines, closed.
    region
        ``(n,)`` number of the region that each station lies in, 0 for none.
    coarse
        ``(h, w)`` int32 region numbers on coarser pixels.
    frame
        Of the regions.
    at_level
        ``(regions,)`` bool: where levels cross, which is no island's edge.
    unmapped
        ``(regions,)`` bool: ground beyond the map's edge, of which nothing is known.
    areas
        ``(regions,)`` square metres.
    reach
        Metres: no road is wider.

    Returns
    -------
    numpy.ndarray
        ``(regions,)`` bool.
    """
    count = len(at_level)
    found = np.zeros(count, bool)
    length = np.bincount(region, minlength=count)
    length[0] = 0
    for number, around in rims((length > 0) & (length <= MOST * length.sum()) & ~at_level, coarse):
        rim = coarse[around]
        rim = rim[~unmapped[rim]]
        beside = np.bincount(rim, minlength=1)
        road = int(beside.argmax())
        found[number] = length[road] > 0 and beside[road] >= SURROUNDED * len(rim)
    if not found.any():
        return found
    width = np.where(along_walls(stations, seen, min(frame.pixel)).all(axis=1), seen.sum(1), np.nan)
    wide = street_widths(width, ~found[region], reach)[2]
    inside = np.flatnonzero(found[region])
    lanes = beyond(stations.taken(inside), seen[inside], walls, reach)
    passed = ((lanes >= NARROWEST / 2) & (lanes <= ENCLOSED_WIDTH * wide)).mean(axis=1)
    share = np.bincount(region[inside], weights=passed, minlength=count) / np.maximum(length, 1)
    # An axis runs along its street, and not across the short way.
    own = np.where(np.isfinite(seen[inside]), seen[inside], 0).sum(axis=1)
    along = np.bincount(region[inside], weights=own, minlength=count) * SPACING
    return np.asarray(found & ((share >= LANES) | (areas > ENCLOSED_AREA * along)))


def rims(
    chosen: np.ndarray, coarse: np.ndarray
) -> Iterator[tuple[int, tuple[np.ndarray, np.ndarray]]]:
    """Yield each region that is not too small, and rows and columns of the ground around it.

    Parameters
    ----------
    chosen
        ``(regions,)`` bool: which are asked for.
    coarse
        ``(h, w)`` int32 region numbers, 0 on lines.
    """
    # Few pixels are of these; to find where every region lies takes twice as long.
    pixels = np.flatnonzero(look_up(chosen, coarse))
    numbers = coarse.reshape(-1)[pixels]
    order = np.argsort(numbers, kind="stable")
    pixels, numbers = pixels[order], numbers[order]
    square = np.ones((2 * ACROSS + 1,) * 2, np.uint8)
    for run in runs(numbers):
        number = int(numbers[run.start])
        rows, columns = np.divmod(pixels[run], coarse.shape[1])
        top, left = (max(int(at.min()) - ACROSS, 0) for at in (rows, columns))
        bottom, right = (int(at.max()) + 1 + ACROSS for at in (rows, columns))
        here = coarse[top:bottom, left:right]
        grown = cv2.dilate((here == number).view(np.uint8), square) > 0
        down, across = np.nonzero(grown & (here != number) & (here > 0))
        yield number, (down + top, across + left)


def amid_road(candidates: np.ndarray, road: np.ndarray, coarse: np.ndarray) -> np.ndarray:
    """Tell which regions have road nearly all around them.

    Parameters
    ----------
    candidates
        ``(regions,)`` bool: which are asked for.
    road
        ``(h, w)`` bool: which pixels are road.
    coarse
        ``(h, w)`` int32 region numbers, 0 on lines.
    """
    found = np.zeros(len(candidates), bool)
    for number, around in rims(candidates, coarse):
        found[number] = road[around].sum() >= SURROUNDED * len(around[0])
    return found


def beyond(stations: Stations, seen: np.ndarray, walls: Walls, reach: float) -> np.ndarray:
    """Return ``(n, 2)`` metres from the walls that stations see to the next ones behind."""
    lanes = np.full(seen.shape, np.inf)
    for side, sign in enumerate((1.0, -1.0)):
        met = np.flatnonzero(np.isfinite(seen[:, side]))
        heading = sign * stations.normal[met]
        origin = stations.xy[met] + (seen[met, side] + PAST)[:, np.newaxis] * heading
        lanes[met, side] = PAST + walls.first_hit(origin, heading, reach)
    return lanes


def on_free_medians(
    stations: Stations,
    seen: np.ndarray,
    walls: Walls,
    axes: np.ndarray,
    islands: np.ndarray,
    reach: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Tell which stations lie on islands beside lanes that have no centerline of their own.

    Parameters
    ----------
    stations, seen, walls, reach
        As for `enclosed_by_road`.
    axes
        Centerlines in the frame.
    islands
        ``(n,)`` bool: the stations on islands.

    Returns
    -------
    free, far
        ``(n,)`` bool; ``(n, 2)`` metres to the far edges of these lanes, NaN elsewhere.
    """
    far = np.full(seen.shape, np.nan)
    chosen = np.flatnonzero(islands & np.isfinite(seen).all(axis=1))
    if len(chosen) == 0:
        return np.zeros(len(stations), bool), far
    on_them = stations.taken(chosen)
    far[chosen] = seen[chosen] + beyond(on_them, seen[chosen], walls, reach)
    centres = Walls.from_lines(axes)
    alone = np.isfinite(far[chosen]).all(axis=1)
    for side, sign in enumerate((1.0, -1.0)):
        known = np.flatnonzero(alone)
        heading = sign * on_them.normal[known]
        ends = [
            on_them.xy[known] + along[chosen[known], side, np.newaxis] * heading
            for along in (seen, far)
        ]
        alone[known] &= ~centres.crossed(*ends)
    free = np.zeros(len(stations), bool)
    free[chosen[alone]] = True
    return free, far
