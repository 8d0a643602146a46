"""Regions that open to others through chords: their mouths, and what these tell of them."""

from __future__ import annotations

import numpy as np
import shapely
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from roadmask.masks.gaps import Chords
from roadmask.masks.rooms import OPEN_MOUTH
from roadmask.masks.streets import NARROWEST, Frame

# Share of its outline that chords are, at most, of what lines enclose.
OPEN_SHARE = 0.5
# Pixels from a chord to the ground beside it.
BESIDE = 3.0


def sides_of_chords(chords: Chords, regions: np.ndarray, frame: Frame) -> np.ndarray:
    """Return ``(chords, 2)`` numbers of the regions on both sides of each chord's middle, or 0."""
    ends = shapely.get_coordinates(chords.lines).reshape(-1, 2, 2)
    span = ends[:, 1] - ends[:, 0]
    across = np.stack([-span[:, 1], span[:, 0]], axis=1)
    across /= np.maximum(np.linalg.norm(across, axis=1, keepdims=True), np.finfo(float).tiny)
    step = BESIDE * max(frame.pixel) * across
    places = np.stack([ends.mean(axis=1) - step, ends.mean(axis=1) + step], axis=1)
    column, row = np.floor(frame.to_pixels(places)).astype(np.int64).transpose(2, 0, 1)
    rows = np.clip(row, 0, regions.shape[0] - 1)
    columns = np.clip(column, 0, regions.shape[1] - 1)
    return np.asarray(regions[rows, columns])


def widest_mouths(chords: Chords, sides: np.ndarray, axes: np.ndarray, count: int) -> np.ndarray:
    """Return ``(regions,)`` metres of each one's widest chord through which a centerline runs."""
    widest = np.zeros(count)
    if len(chords) == 0:
        return widest
    crossed = np.unique(shapely.STRtree(chords.lines).query(axes, predicate="intersects")[1])
    length = shapely.length(chords.lines[crossed])
    for side in (0, 1):
        np.maximum.at(widest, sides[crossed, side], length)
    return widest


def mostly_lines(
    chords: Chords, sides: np.ndarray, areas: np.ndarray, thickness: np.ndarray
) -> np.ndarray:
    """Tell which regions have lines around them, and not chords as the middle of a crossing has.

    Parameters
    ----------
    chords, sides
        The chords, and the regions beside each.
    areas, thickness
        ``(regions,)`` square metres, and metres from the innermost place to the nearest line.
    """
    length = np.bincount(
        sides.T.reshape(-1), np.tile(shapely.length(chords.lines), 2), minlength=len(areas)
    )
    # That of a rectangle.
    outline = areas / np.maximum(thickness, NARROWEST / 4) + 4 * thickness
    return np.asarray(length <= OPEN_SHARE * outline)


def open_pieces(
    chords: Chords,
    sides: np.ndarray,
    road: np.ndarray,
    areas: np.ndarray,
    thickness: np.ndarray,
    thickest: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Tell which other pieces are road by opening to road at their full width.

    At both ends; or at one, if they are no deeper than that is wide, as where a lane ends.

    Parameters
    ----------
    chords, sides
        The chords, and the regions beside each.
    road
        ``(regions,)`` bool: what is road so far.
    areas, thickness
        ``(regions,)`` square metres, and metres from the innermost place to the nearest line.
    thickest
        Metres of thickness that no street here exceeds.

    Returns
    -------
    opened, half_open
        ``(regions,)`` bool each: road; open at one end, of which nothing tells whether it is.
    """
    count = len(road)
    candidate = ~road & (thickness <= thickest)
    mouth = shapely.length(chords.lines) / 2
    usable = ~chords.lost & (sides > 0).all(axis=1) & (sides[:, 0] != sides[:, 1])
    inner = usable & candidate[sides].all(axis=1)
    inner &= mouth >= OPEN_MOUTH * thickness[sides].max(axis=1)
    links = coo_array((np.ones(inner.sum()), tuple(sides[inner].T)), shape=(count, count))
    group = connected_components(links, directed=False)[1]
    doors = np.zeros(count, np.int64)
    widest = np.zeros(count)
    for near, far in ((0, 1), (1, 0)):
        door = usable & road[sides[:, near]] & candidate[sides[:, far]]
        door &= mouth >= OPEN_MOUTH * thickness[sides[:, far]]
        np.add.at(doors, group[sides[door, far]], 1)
        np.maximum.at(widest, sides[door, far], 2 * mouth[door])
    # What is narrower than a carriageway is a median whose outline is open.
    candidate &= thickness >= NARROWEST / 2
    opened = candidate & ((doors[group] >= 2) | (areas < widest**2))
    return opened, candidate & (doors[group] == 1) & ~opened
