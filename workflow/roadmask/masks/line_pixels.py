"""Whose ground the pixels of a street line are."""

from __future__ import annotations

import cv2
import numpy as np
import shapely

from roadmask.masks.streets import Frame, Walls

# Pixels from a line's pixel to ground of its side: the first step that leaves the line wins.
PROBES = (1.0, 1.5, 2.0)
# A centre closer to the line than this share of a pixel lies on it, on neither side.
ON_LINE = 0.05


def settle_line_pixels(
    labels: np.ndarray, barrier: np.ndarray, walls: Walls, frame: Frame
) -> np.ndarray:
    """Give each pixel of a line to the side of the line on which its centre lies.

    So a road keeps the area of its polygon: the line's pixels are neither a rim around it
    nor its gain. A pixel on no side, or wedged between lines, takes the nearest ground.

    Parameters
    ----------
    labels
        ``(h, w)`` uint8, right wherever `barrier` is 0.
    barrier
        ``(h, w)`` uint8, not 0 on pixels of lines.
    walls
        The lines, in the frame.
    frame
        The metric frame of the grid.

    Returns
    -------
    numpy.ndarray
        ``(h, w)`` uint8.
    """
    rows, columns = np.nonzero(barrier)
    if len(rows) == 0:
        return labels
    centres = (np.stack([columns, rows], axis=1) + 0.5) * frame.pixel
    nearest = walls.tree.nearest(shapely.points(centres))
    start = walls.starts[nearest]
    span = walls.ends[nearest] - start
    length = np.maximum((span**2).sum(axis=1), np.finfo(float).tiny)
    share = np.clip(((centres - start) * span).sum(axis=1) / length, 0, 1)
    away = centres - start - share[:, np.newaxis] * span
    distance = np.linalg.norm(away, axis=1)
    off_line = distance > ON_LINE * min(frame.pixel)
    heading = away / np.where(off_line, distance, 1)[:, np.newaxis]

    settled = labels.copy()
    waiting = np.ones(len(rows), bool)
    for step in PROBES:
        probe = frame.to_pixels(centres + heading * step * np.asarray(frame.pixel))
        column, row = np.floor(probe).astype(np.int64).T
        usable = waiting & off_line & (row >= 0) & (row < labels.shape[0])
        usable &= (column >= 0) & (column < labels.shape[1])
        usable[usable] = barrier[row[usable], column[usable]] == 0
        settled[rows[usable], columns[usable]] = labels[row[usable], column[usable]]
        waiting &= ~usable
    settled[rows[waiting], columns[waiting]] = _nearest_ground(labels, barrier)[
        rows[waiting], columns[waiting]
    ]
    return settled


def _nearest_ground(labels: np.ndarray, barrier: np.ndarray) -> np.ndarray:
    """Return for each pixel the label of the nearest pixel off the lines."""
    blocked = (barrier != 0).astype(np.uint8)
    if blocked.all():
        return labels
    _, owner = cv2.distanceTransformWithLabels(
        blocked, cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    label_of = np.zeros(owner.max() + 1, labels.dtype)
    ground = blocked == 0
    label_of[owner[ground]] = labels[ground]
    return np.asarray(label_of[owner])
