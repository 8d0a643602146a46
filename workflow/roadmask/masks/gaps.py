"""Gaps in street lines, found by the loose ends that point at each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import shapely
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree
from shapely.geometry.base import BaseGeometry

# Metres: wider openings are streets, yards or the end of the data, not lost pieces of line.
WIDEST = 10.0
# Cosine of the angle by which an end may point past the other one.
AIM = 0.8
# Joined lines this many times as long as the gap between their ends are an outline left open.
OUTLINE_SHARE = 4.0
# Metres of line from which an end takes its direction.
AIM_REACH = 3.0


def bridge_gaps(
    lines: Sequence[BaseGeometry] | np.ndarray,
    centerlines: Sequence[BaseGeometry] | np.ndarray,
    touch: float,
) -> np.ndarray:
    """Join loose ends of street lines that face each other across a short gap.

    The two sides of an open dead end don't face each other, and through the mouth of a
    street runs its centerline: neither is joined.

    Parameters
    ----------
    lines
        Street lines in a metric frame.
    centerlines
        Centerlines in the same frame.
    touch
        Metres within which lines count as touching.

    Returns
    -------
    numpy.ndarray
        ``(n,)`` straight lines across the gaps.
    """
    ends, outward, chain, extent = loose_ends(lines, touch)
    if len(ends) < 2:
        return np.empty(0, dtype=object)
    pairs = cKDTree(ends).query_pairs(WIDEST, output_type="ndarray")
    span = ends[pairs[:, 1]] - ends[pairs[:, 0]]
    length = np.linalg.norm(span, axis=1)
    heading = span / np.maximum(length, np.finfo(float).tiny)[:, np.newaxis]
    aim = np.minimum(
        (outward[pairs[:, 0]] * heading).sum(axis=1),
        -(outward[pairs[:, 1]] * heading).sum(axis=1),
    )
    # The ends of one outline belong together, wherever on it the gap lies.
    outline = (chain[pairs[:, 0]] == chain[pairs[:, 1]]) & (
        extent[pairs[:, 0]] >= OUTLINE_SHARE * length
    )
    aim = np.where(outline, 1.0, aim)
    facing = aim >= AIM
    pairs, length, aim = pairs[facing], length[facing], aim[facing]
    bridges = np.asarray(
        shapely.linestrings(np.stack([ends[pairs[:, 0]], ends[pairs[:, 1]]], axis=1))
    )
    crossed = np.zeros(len(pairs), bool)
    crossed[_crossing(bridges, centerlines)] = True
    # The best aimed of the short ones first; no end is joined twice.
    taken = np.zeros(len(ends), bool)
    chosen = []
    for index in np.lexsort((pairs[:, 1], pairs[:, 0], length / aim)):
        one, two = pairs[index]
        if not (crossed[index] or taken[one] or taken[two]):
            taken[[one, two]] = True
            chosen.append(index)
    return np.asarray(bridges[chosen])


def loose_ends(
    lines: Sequence[BaseGeometry] | np.ndarray, touch: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Find ends of lines that touch no other line.

    Parameters
    ----------
    lines
        Lines in a metric frame.
    touch
        Metres within which lines count as touching.

    Returns
    -------
    ends, outward, chain, extent
        ``(n, 2)`` metres; ``(n, 2)`` unit vectors in which the lines end; ``(n,)`` number
        of the chain of touching lines an end belongs to, and that chain's length in metres.
    """
    parts = shapely.get_parts(np.asarray(lines, dtype=object))
    parts = parts[(shapely.length(parts) > 0) & ~shapely.is_closed(parts)]
    count = len(parts)
    points = np.concatenate([shapely.get_point(parts, 0), shapely.get_point(parts, -1)])
    owner = np.tile(np.arange(count), 2)
    point, part = shapely.STRtree(parts).query(points, "dwithin", distance=touch)
    meets = owner[point] != part
    touched = np.zeros(len(points), bool)
    touched[point[meets]] = True
    links = coo_array(
        (np.ones(meets.sum()), (owner[point[meets]], part[meets])), shape=(count, count)
    )
    chain = connected_components(links, directed=False)[1]
    length = shapely.length(parts)
    extent = np.bincount(chain, weights=length, minlength=1)
    inner = np.concatenate(
        [
            shapely.line_interpolate_point(parts, np.minimum(AIM_REACH, length)),
            shapely.line_interpolate_point(parts, np.maximum(length - AIM_REACH, 0)),
        ]
    )
    ends = shapely.get_coordinates(points)
    outward = ends - shapely.get_coordinates(inner)
    size = np.linalg.norm(outward, axis=1)
    loose = ~touched & (size > 0)
    chain_of_end = chain[owner[loose]]
    return ends[loose], outward[loose] / size[loose, np.newaxis], chain_of_end, extent[chain_of_end]


def _crossing(bridges: np.ndarray, lines: Sequence[BaseGeometry] | np.ndarray) -> np.ndarray:
    """Return the indices of the bridges that any of the lines crosses."""
    tree = shapely.STRtree(np.asarray(lines, dtype=object))
    return np.unique(tree.query(bridges, "intersects")[0])
