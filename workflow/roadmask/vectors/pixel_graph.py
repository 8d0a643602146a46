"""Skeleton pixels as a graph: nodes where lines end or meet, and the pixels between them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from roadmask.vectors.skeleton import Skeleton

# Down and right; diagonal neighbours count where no pixel lies beside both.
STRAIGHT = ((0, 1), (1, 0))
DIAGONAL = ((1, 1), (1, -1))


@dataclass
class Strand:
    """Pixels from one node to another.

    Attributes
    ----------
    start, end
        The nodes, named by one of their pixels.
    pixels
        Indices into the skeleton, the nodes' own at both ends.
    """

    start: int
    end: int
    pixels: np.ndarray


def link_pixels(skeleton: Skeleton, block: int) -> np.ndarray:
    """Return the pairs of pixels that follow one another.

    Parameters
    ----------
    skeleton
        Of all blocks.
    block
        Edge of a block in work pixels. Where two blocks' lines miss each other at their common
        border, each end is tied to the nearest pixel beyond, if that is no farther than the
        road is wide.

    Returns
    -------
    numpy.ndarray
        ``(m, 2)`` int64 indices.
    """
    left, top = skeleton.x.min() - 1, skeleton.y.min() - 1
    width = int(skeleton.x.max() - left + 2)
    keys = (skeleton.y - top) * width + (skeleton.x - left)

    def find(down: int, right: int) -> np.ndarray:
        """Return each pixel's neighbour, -1 for none."""
        wanted = keys + (down * width + right)
        at = np.searchsorted(keys, wanted)
        at[at == len(keys)] = 0
        return np.where(keys[at] == wanted, at, -1)

    pairs = []
    beside = {step: find(*step) for step in ((0, 1), (0, -1), (1, 0))}
    for step in STRAIGHT:
        first = np.nonzero(beside[step] >= 0)[0]
        pairs.append(np.column_stack([first, beside[step][first]]))
    for step in DIAGONAL:
        other = find(*step)
        first = np.nonzero((other >= 0) & (beside[0, step[1]] < 0) & (beside[1, 0] < 0))[0]
        pairs.append(np.column_stack([first, other[first]]))
    links = np.concatenate(pairs)
    return np.concatenate([links, _ties(skeleton, links, block)])


def _ties(skeleton: Skeleton, links: np.ndarray, block: int) -> np.ndarray:
    degrees = np.bincount(links.ravel(), minlength=len(skeleton))
    column, row = skeleton.x % block, skeleton.y % block
    on_border = (column == 0) | (column == block - 1) | (row == 0) | (row == block - 1)
    ends = np.nonzero((degrees <= 1) & on_border)[0]
    if not len(ends):
        return np.empty((0, 2), np.int64)
    own = np.column_stack([skeleton.x // block, skeleton.y // block])
    places = np.column_stack([skeleton.x, skeleton.y])
    near = np.nonzero((column < 2) | (column >= block - 2) | (row < 2) | (row >= block - 2))[0]
    tree = cKDTree(places[near])
    ties = set()
    for end in ends.tolist():
        reach = 2.0 * max(float(skeleton.half_width[end]), 1.0)
        found = near[np.sort(tree.query_ball_point(places[end], reach))]
        beyond = found[(own[found] != own[end]).any(axis=1)]
        if len(beyond):
            gaps = np.hypot(*(places[beyond] - places[end]).T)
            other = int(beyond[np.argmin(gaps)])
            ties.add((min(end, other), max(end, other)))
    known = set(map(tuple, np.sort(links[np.isin(links, ends).any(axis=1)], axis=1).tolist()))
    return np.array(sorted(ties - known), np.int64).reshape(-1, 2)


def trace_strands(count: int, links: np.ndarray) -> list[Strand]:
    """Follow the links from node to node.

    Parameters
    ----------
    count
        Number of pixels.
    links
        As by `link_pixels`.

    Returns
    -------
    list of Strand
        A ring without a node begins and ends at its first pixel.
    """
    both = np.concatenate([links, links[:, ::-1]])
    both = both[np.lexsort((both[:, 1], both[:, 0]))]
    starts = np.searchsorted(both[:, 0], np.arange(count + 1))
    degrees = np.diff(starts)
    neighbours, first = memoryview(both[:, 1].copy().data), memoryview(starts.data)
    is_node = memoryview((degrees != 2).astype(np.uint8).data)
    seen = bytearray(count)
    strands = []

    def walk(start: int, following: int) -> Strand:
        path = [start, following]
        before, here = start, following
        while not is_node[here] and here != start:
            seen[here] = 1
            one, other = neighbours[first[here]], neighbours[first[here] + 1]
            before, here = here, other if one == before else one
            path.append(here)
        return Strand(start, here, np.array(path, np.int64))

    for node in np.nonzero((degrees != 2) & (degrees > 0))[0].tolist():
        for following in neighbours[first[node] : first[node + 1]]:
            if is_node[following]:
                if following > node:
                    strands.append(Strand(node, following, np.array([node, following], np.int64)))
            elif not seen[following]:
                strands.append(walk(node, following))
    for pixel in np.nonzero(degrees == 2)[0].tolist():
        if not seen[pixel]:
            seen[pixel] = 1
            strands.append(walk(pixel, neighbours[first[pixel]]))
    return strands
