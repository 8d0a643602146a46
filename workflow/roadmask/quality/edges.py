"""Where a picture and a label have edges, and in which direction these run.

An edge has no sign here: asphalt is darker than one pavement and brighter than the next. A
direction that is the same forwards and backwards is kept as a vector of twice its angle, so
that vectors of edges side by side add up, and those across each other cancel.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from roadmask.style import UNKNOWN

Array = NDArray[Any]
Field = NDArray[np.float32]

# Pixels: the smallest detail that counts, well above the noise of one pixel.
SMOOTHING = 1.5
# Pixels that the smoothing and the gradient reach: so near to ground without picture or label,
# nothing tells of an edge.
NEAR = 7
TINY = 1e-6


def picture_edges(picture: Array, valid: Array) -> Field:
    """Return the directions of a picture's edges.

    Parameters
    ----------
    picture
        ``(height, width, bands)`` uint8.
    valid
        ``(height, width)`` bool: where there is a picture.

    Returns
    -------
    numpy.ndarray
        ``(2, height, width)`` float32: cosine and sine of twice the angle, as long as the
        edge is strong beside the picture's middling one: from 0 to 1, so that a few bright
        roofs don't outweigh all curbs. 0 near ground without picture.
    """
    xx, yy, xy = (np.zeros(valid.shape, np.float32) for _ in range(3))
    for band in np.moveaxis(picture, -1, 0):
        across, down = _gradient(band.astype(np.float32))
        xx += across * across
        yy += down * down
        xy += across * down
    strength = np.sqrt(xx + yy)
    seen = _away_from(~np.asarray(valid, bool))
    middling = float(np.median(strength[seen])) if seen.any() else 0.0
    weight = np.where(seen, strength / (strength + middling + TINY), 0)
    return _doubled(xx - yy, 2 * xy, weight)


def outline_edges(label: Array) -> Field:
    """Return the directions of a label's outlines.

    Parameters
    ----------
    label
        ``(height, width)`` uint8: 0 other, 1 and more classes, 255 not known.

    Returns
    -------
    numpy.ndarray
        ``(2, height, width)`` float32, as `picture_edges`; 0 off the outlines, and where a
        label borders on ground that is not known.
    """
    across, down = _gradient((label > 0).astype(np.float32))
    weight = np.where(_away_from(label == UNKNOWN), np.hypot(across, down), 0)
    return _doubled(across * across - down * down, 2 * across * down, weight)


def length(field: Field) -> NDArray[np.float32]:
    """Return the strength of the edges of a field."""
    return np.asarray(np.hypot(field[0], field[1]))


def _gradient(values: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    smooth = cv2.GaussianBlur(values, (0, 0), SMOOTHING)
    # 1/8: the weights of Sobel's kernel.
    return (
        cv2.Sobel(smooth, cv2.CV_32F, 1, 0, scale=1 / 8),
        cv2.Sobel(smooth, cv2.CV_32F, 0, 1, scale=1 / 8),
    )


def _doubled(cosine: Array, sine: Array, weight: Array) -> Field:
    size = np.hypot(cosine, sine) + TINY
    return np.stack([cosine / size * weight, sine / size * weight]).astype(np.float32)


def _away_from(pixels: Array) -> NDArray[np.bool_]:
    kernel = np.ones((2 * NEAR + 1, 2 * NEAR + 1), np.uint8)
    return np.asarray(cv2.dilate(pixels.astype(np.uint8), kernel) == 0)
