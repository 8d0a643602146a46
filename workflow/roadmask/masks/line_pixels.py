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
    flat, on_line = labels.reshape(-1), barrier.reshape(-1)
    waits = barrier != 0
    waiting = waits.reshape(-1)
    rows, columns, down, right = (np.concatenate(parts) for parts in zip(*sides, strict=True))
    for step in PROBES:
        row, column = rows + step * down, columns + step * right
        usable = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        source = np.where(usable, row * np.int64(width) + column, 0)
        usable &= on_line[source] == 0
        met = np.flatnonzero(usable)
        target = rows[met] * np.int64(width) + columns[met]
        flat[target] = flat[source[met]]
        waiting[target] = False
        missed = np.flatnonzero(~usable)
        rows, columns, down, right = (a[missed] for a in (rows, columns, down, right))
    left = np.flatnonzero(waits)
    while len(left):
        row, column = np.divmod(left, width)
        value = np.zeros(len(left), flat.dtype)
        found = np.zeros(len(left), bool)
        for down_by, right_by in NEIGHBOURS:
            r, c = row + down_by, column + right_by
            usable = (r >= 0) & (r < height) & (c >= 0) & (c < width) & ~found
            source = np.where(usable, r * width + c, 0)
            usable &= ~waiting[source]
            value[usable], found[usable] = flat[source[usable]], True
        if not found.any():
            return
        flat[left[found]], waiting[left[found]] = value[found], False
        left = left[~found]
