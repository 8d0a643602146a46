"""Centerlines that run along a median stand for the carriageways on both sides of it.

Many maps draw a divided road as one line, which then lies between the median's edges, or on
the line that is the median or close beside it. From there it sees no street, or one carriageway
only, and it would make the median road.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from roadmask.masks.evidence import AT_EDGE, ENCLOSED_WIDTH, street_widths
from roadmask.masks.streets import (
    NARROWEST,
    Stations,
    Walls,
    along_walls,
    runs,
    share_around,
    sight,
    windowed_medians,
)
from roadmask.masks.stretches import EVEN

# Metres from a centerline to a line that it runs on.
ON_LINE = 1.5
# Share of the stations around that have the median's line on either side of them.
ON_EITHER_SIDE = 0.2
# Share of one carriageway's width that the other one's has where a centerline keeps to one side
# of the line between them: a street's own is no wider than this beside a strip at its edge.
TWIN = 0.5
# Share of a run's stations that see carriageways on both sides.
FLANKED = 0.6
# Stations of the shortest run that is no corner, and as many off a median as end one.
SHORTEST, BRIDGED = 5, 4
# Stations along which something may hide one of two carriageways.
HIDDEN = 16


def leave_medians(
    stations: Stations,
    seen: np.ndarray,
    walls: Walls,
    pixel: float,
    reach: float,
    free_medians: tuple[np.ndarray, np.ndarray],
    without_axis: Callable[[np.ndarray], np.ndarray],
) -> tuple[Stations, np.ndarray]:
    """Put stations on medians into the carriageways beside.

    A median is narrower than any carriageway or an island in one, and has one on either side
    that is no wider than streets are here. An alley between houses has none.

    Parameters
    ----------
    stations, seen, walls
        The stations, ``(n, 2)`` metres as `sight` returns them, and the lines, closed.
    pixel
        Metres by which lines may be stepped because they came from a raster.
    reach
        Metres: no road is wider.
    free_medians
        As `roadmask.masks.islands.on_free_medians` returns them.
    without_axis
        Tells of ``(n, 2)`` places in metres which lie in regions without a centerline.

    Returns
    -------
    stations, seen
        Each run on a median replaced by two, along the middles of the carriageways; and
        what all of them see, ``(n, 2)`` metres, as `sight` returns it.
    """
    free, far = free_medians
    beside, weaving = _on_medians(stations, seen)
    on_median = weaving | free
    chosen = np.flatnonzero(beside | free)
    if len(chosen) == 0:
        return stations, seen
    inner, outer = _lanes(stations.taken(chosen), seen[chosen], walls, reach)
    twins = _between_twins(stations.taken(chosen), seen[chosen], inner, outer, without_axis)
    # What crosses one of them, as the edges of a lower street, hides it for a while.
    on_median[chosen[_bridged(twins, stations.part[chosen], HIDDEN)]] = True
    inner[free[chosen]], outer[free[chosen]] = seen[free], far[free]
    is_median = on_median[chosen]
    chosen, inner, outer = chosen[is_median], inner[is_median], outer[is_median]
    if len(chosen) == 0:
        return stations, seen
    candidates = stations.taken(chosen)
    width = np.where(along_walls(stations, seen, pixel).all(axis=1), seen.sum(axis=1), np.nan)
    usual = street_widths(width, ~on_median, reach)[1]
    # A run ends where the next station is of another line string, or on no median.
    run = np.cumsum(np.diff(chosen, prepend=-2) != 1) * (stations.part[-1] + 1) + candidates.part
    stretches = runs(run)
    lane = outer - inner
    around = windowed_medians(np.where(np.isfinite(lane), lane, np.nan), stretches)
    flanked = (lane >= NARROWEST) & (lane <= ENCLOSED_WIDTH * usual)
    flanked &= np.abs(lane - around) <= EVEN / 2 * around
    flanked = (flanked & along_walls(candidates, outer, pixel)).all(axis=1)
    kept = np.zeros(len(chosen), bool)
    for stretch in stretches:
        long = stretch.stop - stretch.start >= SHORTEST
        kept[stretch] = long and flanked[stretch].mean() >= FLANKED
    middle = windowed_medians(
        np.where(flanked[:, np.newaxis], (inner + outer) / 2, np.nan), stretches
    )
    kept &= np.isfinite(middle).all(axis=1)
    return _replace(stations, seen, chosen[kept], middle[kept], walls, reach)


def _lanes(
    stations: Stations, seen: np.ndarray, walls: Walls, reach: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return ``(n, 2)`` metres to the near and the far edges of the carriageways beside."""
    inner = np.where(seen < NARROWEST, seen, 0.0)
    return inner, sight(stations, walls, reach, beyond=NARROWEST)


def _between_twins(
    stations: Stations,
    seen: np.ndarray,
    inner: np.ndarray,
    outer: np.ndarray,
    without_axis: Callable[[np.ndarray], np.ndarray],
) -> np.ndarray:
    """Tell which stations lie at the very edge of a carriageway, with its like beyond.

    A street's own centerline runs about its middle. The other carriageway has none, or this one
    would not stand for it.
    """
    lane = outer - inner
    found = seen.min(axis=1) < AT_EDGE * seen.sum(axis=1)
    found &= np.isfinite(lane).all(axis=1)
    found &= lane.min(axis=1) >= TWIN * lane.max(axis=1)
    known = np.flatnonzero(found)
    side = seen[known].argmin(axis=1)
    heading = np.where(side == 0, 1.0, -1.0)[:, np.newaxis] * stations.normal[known]
    middle = (inner[known, side] + outer[known, side]) / 2
    found[known] = without_axis(stations.xy[known] + middle[:, np.newaxis] * heading)
    return np.asarray(found)


def _on_medians(stations: Stations, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Tell which stations lie between a median's edges, or on or beside the line that it is.

    Returns
    -------
    beside, weaving
        ``(n,)`` bool: all of them; those that change its sides.
    """
    between = seen.sum(axis=1) < NARROWEST
    left, right = ((seen < ON_LINE) | between[:, np.newaxis]).T
    found = _bridged(left | right, stations.part, BRIDGED)
    run = np.cumsum(np.diff(stations.part * 2 + found, prepend=-1) != 0)
    # An axis that keeps to one side of a line is mostly that of a street, if a narrow one.
    weaving = found.copy()
    for side in (left, right):
        weaving &= share_around(side, run) >= ON_EITHER_SIDE
    return found, weaving


def _bridged(found: np.ndarray, group: np.ndarray, longest: int) -> np.ndarray:
    """Close gaps of fewer than `longest` stations between those found in one group."""
    index = np.arange(len(found))
    before = np.maximum.accumulate(np.where(found, index, -longest))
    after = np.minimum.accumulate(np.where(found, index, 2 * len(found) + longest)[::-1])[::-1]
    close = after - before <= longest
    first, last = np.where(close, before, index), np.where(close, after, index)
    return np.asarray(close & (group[first] == group[last]))


def _replace(
    stations: Stations,
    seen: np.ndarray,
    chosen: np.ndarray,
    middle: np.ndarray,
    walls: Walls,
    reach: float,
) -> tuple[Stations, np.ndarray]:
    """Put the chosen stations `middle` metres to the left, and once more to the right."""
    if len(chosen) == 0:
        return stations, seen
    aside = np.full((len(stations), 2), np.nan)
    aside[chosen] = middle
    left = np.isfinite(aside[:, 0])
    pieces: list[tuple[slice, int]] = []
    for run in runs(stations.part * 2 + left):
        pieces += [(run, 1), (run, -1)] if left[run.start] else [(run, 0)]
    taken = np.concatenate([np.arange(run.start, run.stop) for run, _ in pieces])
    length = [run.stop - run.start for run, _ in pieces]
    sign = np.repeat([side for _, side in pieces], length)
    moved = np.flatnonzero(sign)
    step = np.zeros(len(taken))
    step[moved] = sign[moved] * aside[taken[moved], np.where(sign[moved] > 0, 0, 1)]
    apart = Stations(
        np.repeat(np.arange(len(pieces)), length),
        stations.source[taken],
        stations.xy[taken] + step[:, np.newaxis] * stations.normal[taken],
        stations.normal[taken],
    )
    seen = seen[taken]
    seen[moved] = sight(apart.taken(moved), walls, reach)
    return apart, seen
