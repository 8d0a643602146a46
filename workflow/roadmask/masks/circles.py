"""Circles in which streets end: wider than the street, and told by where its centerline ends."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from roadmask.masks.evidence import Evidence, region_of, regions_around
from roadmask.masks.streets import SNAP, Frame, Stations

# How far beyond its half width a street may reach.
BEYOND_SHARE, BEYOND_METRES = 1.15, 1.5
# Metres: radius of the widest turning circle.
WIDEST_CIRCLE = 18.0
# Share of a centerline that must be known as a street's for the rest of it to count.
TRUSTED = 0.5


def turning_circles(stations: Stations, depth: np.ndarray, frame: Frame) -> np.ndarray:
    """Return ``(n,)`` metres around each station that belong to it if its street ends there.

    A turning circle is wider than its street: all that is as far from lines belongs to it.
    """
    here = np.minimum(depth[cells_of(stations, frame, depth.shape)], WIDEST_CIRCLE)
    return np.asarray(BEYOND_SHARE * here + BEYOND_METRES)


def cells_of(
    stations: Stations, frame: Frame, shape: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows and columns of the pixels that stations lie in or are nearest to."""
    column, row = np.floor(frame.to_pixels(stations.xy)).astype(np.int64).T
    return np.clip(row, 0, shape[0] - 1), np.clip(column, 0, shape[1] - 1)


def street_ends(
    stations: Stations,
    evidence: Evidence,
    regions: np.ndarray,
    frame: Frame,
    coarse: tuple[np.ndarray, Frame],
    areas: np.ndarray,
    possible: np.ndarray,
) -> np.ndarray:
    """Tell which regions are the circles in which streets end.

    They are wider than any street, and an upper road or a chord across the street's mouth may cut
    them off. A block behind a street's end reaches farther from it. The street outside is known.

    Parameters
    ----------
    stations, evidence
        The stations and what is known of them.
    regions, frame
        ``(h, w)`` int32 region numbers, 0 on lines, and their frame.
    coarse
        ``(h, w)`` int32 region numbers on coarser pixels, and their frame.
    areas
        ``(regions,)`` square metres, counted on these.
    possible
        ``(regions,)`` bool: which are no thicker than a circle, and cut off from a street.
    """
    found = np.zeros(len(possible), bool)
    ends = np.array([k for part in stations.parts() for k in (part.start, part.stop - 1)], int)
    near = cKDTree(stations.xy[ends]).query_pairs(SNAP, output_type="ndarray")
    ends = np.delete(ends, np.unique(near))
    around = regions_around(stations.xy[ends], regions, frame)
    which = np.nonzero((possible & ~evidence.road)[around])
    pairs = np.unique(np.stack([ends[which[0]], around[which]], axis=1), axis=0)
    region = region_of(stations, regions, frame)
    reach = BEYOND_SHARE * WIDEST_CIRCLE + BEYOND_METRES
    for end, number in pairs.tolist():
        outside = (stations.part == stations.part[end]) & (region != number)
        # Where an upper road's edge runs over it, the end may lie on either side.
        reaches = region[end] == number or evidence.at_level[number]
        if not reaches or not outside.any() or evidence.source[outside].mean() < TRUSTED:
            continue
        inside = _within(stations.xy[end], reach, number, *coarse)
        # Both were counted on the same pixels.
        found[number] |= 0 < inside >= 0.999 * areas[number]
    return found


def _within(
    place: np.ndarray, reach: float, number: int, regions: np.ndarray, frame: Frame
) -> float:
    """Return how many square metres of a region lie within some metres of a place."""
    middle, radius = frame.to_pixels(place), reach / np.asarray(frame.pixel)
    left, top = np.maximum(np.floor(middle - radius), 0).astype(int)
    right, bottom = np.maximum(np.ceil(middle + radius), 0).astype(int)
    rows, columns = np.nonzero(regions[top:bottom, left:right] == number)
    away = (np.stack([columns + left, rows + top], axis=1) + 0.5) * frame.pixel - place
    near = np.linalg.norm(away, axis=1) <= reach
    return float(near.sum() * frame.pixel[0] * frame.pixel[1])
