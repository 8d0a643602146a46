"""Whose ground the pixels of a street line are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Sides = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]

# Pixels from a line's pixel to ground of its side: the first step that leaves the line wins.
PROBES = (1, 2)
NEIGHBOURS = ((-1, 0), (1, 0), (0, -1), (0, 1), (-1, -1), (-1, 1), (1, -1), (1, 1))


def settle_line_pixels(
    labels: np.ndarray,
    barrier: np.ndarray,
    sides: Sequence[Sides],
) -> None:
    """Give each pixel of a line to the side of the line on which its centre lies, in place.

    So a road keeps the area of its polygon: the line's pixels are neither a rim around it
    nor its gain. A pixel wedged between lines takes what a neighbour has, the side lies first.

    Parameters
    ----------
    labels
        ``(h, w)``, right wherever `barrier` is 0.
    barrier
        ``(h, w)`` uint8, not 0 on pixels of lines.
    sides
        Rows, columns and the step to the side of the pixels' centres, as
        `roadmask.burn.sides_of_lines` returns them.
    """
    height, width = labels.shape
    flat = labels.reshape(-1)
    # Whose ground each pixel is: 0 not known, 1 of itself, 2 by its side of a line.
    known = (barrier == 0).view(np.uint8).reshape(-1)
    rows, columns, down, right = (np.concatenate(parts) for parts in zip(*sides, strict=True))
    for step in PROBES:
        row, column = rows + step * down, columns + step * right
        usable = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        source = np.where(usable, row * np.int64(width) + column, 0)
        usable &= known[source] == 1
        target = rows[usable] * np.int64(width) + columns[usable]
        flat[target] = flat[source[usable]]
        known[target] = 2
        rows, columns, down, right = (a[~usable] for a in (rows, columns, down, right))
    waiting = np.flatnonzero(known == 0)
    while len(waiting):
        row, column = np.divmod(waiting, width)
        value = np.zeros(len(waiting), flat.dtype)
        found = np.zeros(len(waiting), bool)
        for down_by, right_by in NEIGHBOURS:
            r, c = row + down_by, column + right_by
            usable = (r >= 0) & (r < height) & (c >= 0) & (c < width) & ~found
            source = np.where(usable, r * width + c, 0)
            usable &= known[source] > 0
            value[usable], found[usable] = flat[source[usable]], True
        if not found.any():
            return
        flat[waiting[found]], known[waiting[found]] = value[found], 2
        waiting = waiting[~found]
