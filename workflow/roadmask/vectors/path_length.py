"""How well one road network stands for another: the average path length similarity (APLS).

After Van Etten, Lindenbaum and Bacastow (2018), *SpaceNet: A Remote Sensing Dataset and
Challenge Series*, arXiv:1807.01232, section 4.2. Points are set along the edges of one
network, each is snapped to the other, and the shortest paths between all pairs are compared::

    S = 1 - mean(min(1, |L(a, b) - L(a', b')| / L(a, b)))

A path that the other network lacks counts as a difference of 1. Both directions are taken, and
APLS is their harmonic mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from scipy.sparse import coo_array
from scipy.sparse.csgraph import dijkstra

# Metres between the points set along edges, as in the paper.
SPACING = 50.0
# Sources from which paths are measured; in a city these stand for all.
MOST_SOURCES = 500


@dataclass(frozen=True)
class Similarity:
    """The score of a proposal against a truth.

    Attributes
    ----------
    apls
        Harmonic mean of the two below.
    truth_to_proposal
        Of paths in the truth: falls with roads that are missing.
    proposal_to_truth
        Of paths in the proposal: falls with roads that are not there.
    paths
        How many were compared.
    """

    apls: float
    truth_to_proposal: float
    proposal_to_truth: float
    paths: int


def path_length_similarity(
    truth: Sequence[shapely.LineString],
    proposal: Sequence[shapely.LineString],
    snap: float,
    spacing: float = SPACING,
) -> Similarity:
    """Compare two networks.

    Parameters
    ----------
    truth, proposal
        Edges, which meet at their ends alone. In metres.
    snap
        Metres within which a point must find the other network.
    spacing
        Metres between points along edges.

    Returns
    -------
    Similarity
        All of it 0 where a network is empty.
    """
    if not truth or not proposal:
        return Similarity(0.0, 0.0, 0.0, 0)
    forth, paths = _one_way(truth, proposal, snap, spacing)
    back, more = _one_way(proposal, truth, snap, spacing)
    both = forth + back
    return Similarity(2 * forth * back / both if both else 0.0, forth, back, paths + more)


def _one_way(
    first: Sequence[shapely.LineString],
    second: Sequence[shapely.LineString],
    snap: float,
    spacing: float,
) -> tuple[float, int]:
    points = control_points(first, spacing)
    in_first, own = graph_with_points(first, points, snap)
    in_second, other = graph_with_points(second, points, snap)
    sources = np.unique(np.linspace(0, len(points) - 1, min(len(points), MOST_SOURCES)).astype(int))
    total, count = 0.0, 0
    for source in sources.tolist():
        true = dijkstra(in_first, directed=False, indices=own[source])[own]
        compared = np.isfinite(true) & (true > 0)
        if other[source] < 0:
            found = np.full(len(points), np.inf)
        else:
            lengths = dijkstra(in_second, directed=False, indices=other[source])
            found = np.where(other >= 0, lengths[other], np.inf)
        difference = np.abs(found[compared] - true[compared]) / true[compared]
        total += float(np.minimum(1.0, difference).sum())
        count += int(compared.sum())
    return (1 - total / count if count else 0.0), count


def control_points(lines: Sequence[shapely.LineString], spacing: float) -> np.ndarray:
    """Return the ends of edges, and points evenly along them.

    Returns
    -------
    numpy.ndarray
        ``(n, 2)``, each once.
    """
    places = []
    for line in lines:
        pieces = max(1, round(line.length / spacing))
        places.append(
            shapely.get_coordinates(
                shapely.line_interpolate_point(line, np.linspace(0, 1, pieces + 1), normalized=True)
            )
        )
    return np.unique(np.round(np.concatenate(places), 3), axis=0)


def graph_with_points(
    lines: Sequence[shapely.LineString], points: np.ndarray, snap: float
) -> tuple[coo_array, np.ndarray]:
    """Set points into a network where they are nearest to it.

    Parameters
    ----------
    lines
        Its edges.
    points
        ``(n, 2)``.
    snap
        How far at most.

    Returns
    -------
    graph : scipy.sparse.coo_array
        Lengths between nodes, the points among them.
    nodes : numpy.ndarray
        ``(n,)`` each point's node, -1 where the network is too far.
    """
    shapes = np.array(lines, dtype=object)
    tree = shapely.STRtree(shapes)
    (which, edge) = tree.query_nearest(shapely.points(points), max_distance=snap, all_matches=False)
    along = shapely.line_locate_point(shapes[edge], shapely.points(points[which]))
    ends: dict[tuple[float, float], int] = {}

    def node(place: np.ndarray) -> int:
        return ends.setdefault((round(float(place[0]), 3), round(float(place[1]), 3)), len(ends))

    borders = [(node(np.array(line.coords[0])), node(np.array(line.coords[-1]))) for line in lines]
    nodes = np.full(len(points), -1)
    nodes[which] = len(ends) + np.arange(len(which))
    starts, stops, lengths = [], [], []
    order = np.lexsort((along, edge))
    first = np.searchsorted(edge[order], np.arange(len(lines) + 1))
    for number, line in enumerate(lines):
        inner = order[first[number] : first[number + 1]]
        chain = [borders[number][0], *(len(ends) + inner).tolist(), borders[number][1]]
        at = np.concatenate([[0.0], along[inner], [line.length]])
        starts += chain[:-1]
        stops += chain[1:]
        lengths += np.diff(at).tolist()
    count = len(ends) + len(which)
    return _shortest(np.array(starts), np.array(stops), np.array(lengths), count), nodes


def _shortest(starts: np.ndarray, stops: np.ndarray, lengths: np.ndarray, count: int) -> coo_array:
    """Return the graph, of several edges between two nodes with the shortest."""
    # A sparse graph has no edges of length 0, and adds up what stands twice.
    lengths = np.maximum(lengths, 1e-9)
    low, high = np.minimum(starts, stops), np.maximum(starts, stops)
    order = np.lexsort((lengths, high, low))
    low, high, lengths = low[order], high[order], lengths[order]
    new = np.ones(len(low), bool)
    new[1:] = (np.diff(low) != 0) | (np.diff(high) != 0)
    return coo_array((lengths[new], (low[new], high[new])), shape=(count, count)).tocsr()
