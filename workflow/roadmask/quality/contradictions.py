"""Where the looks of the ground contradict a label."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from roadmask.quality.columns import BY_CHANCE, LEAST_ROAD
from roadmask.quality.sheet import Label
from roadmask.style import UNKNOWN

Values = NDArray[np.float32]
Ground = NDArray[np.bool_]

# Ground looks surely like road from here on, and surely like other ground from as near to 0.
SURELY = 0.9
# Metres to either side of an outline within which looks, known by cells, tell nothing.
BLURRED = 0.9


def contradicted(label: Label, like: Values) -> tuple[Ground, Ground]:
    """Find where a label surely contradicts the looks.

    Parameters
    ----------
    label
        ``(height, width)`` uint8.
    like
        ``(height, width)``, how much like road the ground looks, 0 to 1; NaN where that is
        not known.

    Returns
    -------
    tuple of numpy.ndarray
        Both ``(height, width)`` bool: road that looks surely like other ground, and other
        ground that looks surely like road.
    """
    road = (label > 0) & (label != UNKNOWN)
    return road & (like < 1 - SURELY), (label == 0) & (like > SURELY)


def looks_loss(label: Label, like: Values, margin: int, metres: float) -> float:
    """Return how far a tile's label is from what looks like road.

    Parameters
    ----------
    label
        ``(size + 2 * margin, size + 2 * margin)`` uint8: the tile and what surrounds it.
    like
        The same shape, how much like road the ground looks, 0 to 1; NaN where that is not
        known.
    margin
        Pixels around the tile.
    metres
        Ground size of a pixel.

    Returns
    -------
    float
        1 less the intersection over union of the road by label and by looks, where what is
        next to an outline counts as right and `BY_CHANCE` of the tile besides: 0 to 1.
    """
    road, other = (label > 0) & (label != UNKNOWN), label == 0
    reach = max(1, round(BLURRED / metres))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    inner = np.s_[margin : len(label) - margin, margin : len(label) - margin]
    blurred = cv2.dilate(road.astype(np.uint8), disc) & cv2.dilate(other.astype(np.uint8), disc)
    seen = np.where(road | other, like > 0.5, False) | (road & np.isnan(like))
    wrong = int(np.count_nonzero(((seen != road) & (blurred == 0))[inner]))
    either = int(np.count_nonzero((seen | road)[inner]))
    size = road[inner].size
    return float(wrong / (max(either, LEAST_ROAD * size) + BY_CHANCE * size))
