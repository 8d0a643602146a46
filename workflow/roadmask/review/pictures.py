"""A tile's picture and the outline of its label, as they stand in the page."""

from __future__ import annotations

import base64
import io

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from roadmask.style import UNKNOWN

JPEG_QUALITY = 78
# Pixels: no tile is shown larger, so that the page's size is bounded.
MOST_SIDE = 512
# Pixels by which an outline may be straightened.
STRAIGHT = 0.7


def as_jpeg(image: NDArray[np.uint8]) -> str:
    """Return a picture as a data URI.

    Parameters
    ----------
    image
        ``(bands, height, width)``: the first three bands are shown, or the first alone.
    """
    shown = image[:3] if len(image) >= 3 else np.repeat(image[:1], 3, axis=0)
    picture = Image.fromarray(np.ascontiguousarray(np.moveaxis(shown, 0, -1)))
    if max(picture.size) > MOST_SIDE:
        picture.thumbnail((MOST_SIDE, MOST_SIDE), Image.Resampling.LANCZOS)
    data = io.BytesIO()
    picture.save(data, format="jpeg", quality=JPEG_QUALITY, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(data.getvalue()).decode('ascii')}"


def outline(inside: NDArray[np.bool_]) -> str:
    """Return the outline of some pixels as an SVG path, in pixels from the upper left corner.

    Parameters
    ----------
    inside
        ``(height, width)``. Where they go on past the tile's edge is no outline.
    """
    contours, _ = cv2.findContours(inside.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    last = np.array(inside.shape[::-1]) - 1
    return "".join(
        _path(cv2.approxPolyDP(ring, STRAIGHT, closed=True)[:, 0], last) for ring in contours
    )


def _path(ring: NDArray[np.int32], last: NDArray[np.int64]) -> str:
    """Draw a closed ring, but for the stretches along the tile's edge."""
    parts, pen_is_down = [], False
    for start, end in zip(ring, np.roll(ring, -1, axis=0), strict=True):
        at_edge = bool((((start == 0) & (end == 0)) | ((start == last) & (end == last))).any())
        if at_edge:
            pen_is_down = False
            continue
        if not pen_is_down:
            parts.append(f"M{start[0] + 0.5:g} {start[1] + 0.5:g}")
        parts.append(f"L{end[0] + 0.5:g} {end[1] + 0.5:g}")
        pen_is_down = True
    return "".join(parts)


def label_paths(label: NDArray[np.uint8]) -> dict[str, str]:
    """Return the outlines of a label: of every class one, and of what is not known.

    Parameters
    ----------
    label
        ``(height, width)``: 0 other, classes, 255 not known.
    """
    classes = [int(value) for value in np.unique(label) if value not in (0, UNKNOWN)]
    return {
        "road": "".join(outline(label == value) for value in classes),
        "unknown": outline(label == UNKNOWN),
    }
