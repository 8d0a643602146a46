"""How far pixels lie from a class, and where a class ends."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from roadmask.distance import Distance
from roadmask.errors import SettingError
from roadmask.grid import Grid

Mask = NDArray[np.bool_]

# A distance within a fiftieth of a pixel of the tolerance is at it: 5 ft are 9.9999 or 10.0004
# pixels of 0.5 ft, as the projection's scale has it, and must mean the same on all sheets.
SLACK = 0.02
# Sides of a pixel that differ by less count as equal.
SQUARE = 1e-3
# Windows are read with a rim as wide as the tolerance.
MOST_PIXELS = 256.0
# Up to here a disc around every pixel is drawn faster than all distances are measured.
MOST_DRAWN = 15.0


@dataclass(frozen=True)
class Tolerance:
    """How far off a pixel may lie.

    Attributes
    ----------
    pixels
        In pixels of mean side, centre to centre, in a straight line.
    sides
        Height and width of a pixel over their geometric mean.
    """

    pixels: float
    sides: tuple[float, float] = (1.0, 1.0)

    @classmethod
    def on(cls, distance: Distance, grid: Grid, key: str) -> Tolerance:
        """Measure a distance in a grid's pixels.

        Parameters
        ----------
        distance
            On the ground, or in pixels.
        grid
            With a CRS, unless the distance is in pixels.
        key
            The config key it comes from.

        Raises
        ------
        SettingError
            If it is more than `MOST_PIXELS` there.
        """
        across, down = grid.pixel_metres
        mean = math.sqrt(across * down)
        square = distance.unit == "px" or abs(across / down - 1) < SQUARE
        found = cls(distance.pixels(mean), (1.0, 1.0) if square else (down / mean, across / mean))
        if found.reach > MOST_PIXELS:
            raise SettingError(
                key,
                f"{distance} are {found.reach} pixels of {mean:.3g} m",
                f"Write a distance of at most {MOST_PIXELS:g} pixels",
            )
        return found

    @property
    def is_square(self) -> bool:
        """Whether a pixel is as wide as it is high."""
        return self.sides == (1.0, 1.0)

    @property
    def reach(self) -> int:
        """The farthest row or column that is within it."""
        return math.ceil((self.pixels + SLACK) / min(self.sides))


def near(pixels: Mask, tolerances: Sequence[Tolerance]) -> list[Mask]:
    """Return where a pixel of a set lies within each tolerance.

    Parameters
    ----------
    pixels
        ``(rows, columns)``: the set.
    tolerances
        How far.
    """
    if not pixels.any():
        return [np.zeros_like(pixels) for _ in tolerances]
    return [
        _within(pixels, each)
        if each.pixels > MOST_DRAWN and each.is_square
        else _grown(pixels, each)
        for each in tolerances
    ]


def _grown(pixels: Mask, tolerance: Tolerance) -> Mask:
    """Draw what lies within a tolerance around each pixel of a set."""
    offsets = np.arange(-tolerance.reach, tolerance.reach + 1)
    down, across = (offsets * side for side in tolerance.sides)
    disc = np.hypot(down[:, np.newaxis], across) <= tolerance.pixels + SLACK
    grown: Mask = _dilated(pixels, disc.astype(np.uint8)).astype(bool)
    return grown


def _within(pixels: Mask, tolerance: Tolerance) -> Mask:
    """Measure each pixel's distance to a set that is not empty."""
    distances = cv2.distanceTransform(
        (~pixels).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE
    )
    close: Mask = distances <= tolerance.pixels + SLACK
    return close


def _dilated(pixels: Mask, around: NDArray[np.uint8]) -> NDArray[np.uint8]:
    grown: NDArray[np.uint8] = cv2.dilate(
        pixels.astype(np.uint8), around, borderType=cv2.BORDER_CONSTANT, borderValue=0
    )
    return grown


def edges(pixels: Mask, known: Mask) -> Mask:
    """Return the pixels of a class that touch, side by side, one known to be of no such class.

    Where a class meets ground that is not known, or the end of the raster, nobody can say that
    it ends there.

    Parameters
    ----------
    pixels
        ``(rows, columns)``: the class.
    known
        ``(rows, columns)``: where there is an answer at all.
    """
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    edge: Mask = pixels & _dilated(known & ~pixels, cross).astype(bool)
    return edge
