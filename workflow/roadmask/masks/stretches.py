"""Stretches of centerlines between the lines they cross, and what they keep along their way."""

from __future__ import annotations

import numpy as np

from roadmask.masks.streets import Stations, Walls, group_medians

# A street keeps its width: it differs by less than this share of its median.
EVEN = 0.25
# What is as wide as the whole along this share of its length keeps its width, whatever crosses it.
ALIKE = 0.5
# Share of a stretch along which a wall on one side keeps its distance.
HELD = 0.5


def stretches(stations: Stations, walls: Walls) -> tuple[np.ndarray, np.ndarray]:
    """Part the centerlines where they cross a line.

    Parameters
    ----------
    stations, walls
        The stations and the lines, closed.

    Returns
    -------
    stretch, enclosed
        ``(n,)`` int64 numbers from 0 in the stations' order; ``(n,)`` bool: the stretch ends
        at a line.
    """
    cut = stations.part[1:] != stations.part[:-1]
    # From one line string to the next it is far, and many walls lie between.
    within = np.flatnonzero(~cut)
    met = within[walls.crossed(stations.xy[within], stations.xy[within + 1])]
    cut[met] = True
    stretch = np.concatenate([[0], np.cumsum(cut)])
    closed = np.zeros(int(stretch[-1]) + 1, bool)
    closed[stretch[met]] = closed[stretch[met + 1]] = True
    return stretch, closed[stretch]


def far_too_wide(stretch: np.ndarray, width: np.ndarray, widest: float) -> np.ndarray:
    """Tell which stations lie on a stretch that is mostly wider than `widest`.

    Parameters
    ----------
    stretch
        ``(n,)`` numbers from 0.
    width
        ``(n,)`` metres, NaN where unknown.
    widest
        Metres.
    """
    known = np.isfinite(width)
    count = int(stretch[-1]) + 1
    wide = np.bincount(stretch[known], weights=width[known] > widest, minlength=count)
    of = np.bincount(stretch[known], minlength=count)
    return np.asarray((wide > 0.5 * of)[stretch])


def keeps_width(part: np.ndarray, width: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Tell which stations lie on a line string that is as wide as the whole for most of it.

    Parameters
    ----------
    part, width, whole
        ``(n,)`` line string of each station, metres from line to line or NaN, and across the
        whole line string.
    """
    known = np.isfinite(width)
    with np.errstate(invalid="ignore"):
        alike = known & (np.abs(width - whole) <= EVEN / 2 * whole)
    share = np.bincount(part, weights=alike) / np.maximum(np.bincount(part, weights=known), 1)
    return np.asarray((share >= ALIKE)[part])


def keeps_distance(stretch: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Tell which stations lie on a stretch along which a wall on either side keeps its distance.

    Parameters
    ----------
    stretch
        ``(n,)`` numbers from 0.
    seen
        ``(n, 2)`` metres to walls that run along the street, NaN for others.
    """
    count = int(stretch[-1]) + 1
    among = np.bincount(stretch)
    kept = np.zeros(count, bool)
    for side in seen.T:
        middle = group_medians(stretch, side, count)[stretch]
        with np.errstate(invalid="ignore"):
            alike = np.abs(side - middle) <= EVEN * middle
        kept |= np.bincount(stretch, weights=alike) >= HELD * among
    return np.asarray(kept[stretch])
