"""Moving labels over the pictures, where the map lies a little off."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import geopandas as gpd
import numpy as np
from affine import Affine

from roadmask.distance import Distance, parse_distance
from roadmask.errors import SettingError
from roadmask.grid import Grid
from roadmask.style import UNKNOWN

KEY = "labels.shift"
EXAMPLE = 'Write two distances, to the right and up, such as ["3 ft", "-2 ft"]'
# A raster that is moved by a fraction of a pixel would have to be resampled.
WHOLE_PIXEL = 0.05


@dataclass(frozen=True)
class Shift:
    """How far labels are moved, in the directions of a picture's rows and columns.

    Attributes
    ----------
    right, up
        Along the rows and against the columns: east and north where north is up. Their
        values may be negative.
    """

    right: Distance
    up: Distance

    def in_pixels(self, grid: Grid) -> tuple[float, float]:
        """Return columns to the right and rows down."""
        across, down = grid.pixel_metres
        return self.right.pixels(across), -self.up.pixels(down)

    def in_crs(self, grid: Grid) -> tuple[float, float]:
        """Return the move along the axes of the grid's CRS, in its unit."""
        columns, rows = self.in_pixels(grid)
        matrix = grid.transform
        return matrix.a * columns + matrix.b * rows, matrix.d * columns + matrix.e * rows

    def origin(self, grid: Grid) -> Grid:
        """Return where the ground of `grid` lies in a map that is still to be moved."""
        x, y = self.in_crs(grid)
        return replace(grid, transform=Affine.translation(-x, -y) @ grid.transform)

    def move(self, frame: gpd.GeoDataFrame, grid: Grid) -> gpd.GeoDataFrame:
        """Return features of the grid's CRS at their new place."""
        return frame.set_geometry(frame.geometry.translate(*self.in_crs(grid)))

    def move_raster(self, labels: np.ndarray, grid: Grid) -> np.ndarray:
        """Move labels by whole pixels; what comes in from outside is not known.

        Parameters
        ----------
        labels
            ``(height, width)`` uint8 on `grid`.
        grid
            Its pixels.

        Raises
        ------
        SettingError
            If the move is no whole number of pixels.
        """
        exact = self.in_pixels(grid)
        columns, rows = (round(part) for part in exact)
        if max(abs(exact[0] - columns), abs(exact[1] - rows)) > WHOLE_PIXEL:
            raise SettingError(
                KEY,
                f"{self} is {exact[0]:.2f} pixels to the right and {-exact[1]:.2f} up, and ready "
                "masks move by whole pixels only",
                f'Write ["{columns} px", "{-rows} px"], or correct the masks themselves',
            )
        height, width = labels.shape
        moved = np.full_like(labels, UNKNOWN)
        if abs(columns) < width and abs(rows) < height:
            moved[
                max(rows, 0) : height + min(rows, 0), max(columns, 0) : width + min(columns, 0)
            ] = labels[
                max(-rows, 0) : height - max(rows, 0), max(-columns, 0) : width - max(columns, 0)
            ]
        return moved

    def __str__(self) -> str:
        return f'["{self.right}", "{self.up}"]'


def parse_shift(text: str | None) -> Shift | None:
    """Read two distances with a comma between, such as ``3 ft,-2 ft``.

    Parameters
    ----------
    text
        The setting, or None.

    Raises
    ------
    SettingError
        If it is something else.
    """
    if text is None:
        return None
    parts = text.split(",")
    if len(parts) != 2:
        raise SettingError(KEY, f"{text!r} is no pair of distances", EXAMPLE)
    right, up = (_signed(part) for part in parts)
    return Shift(right, up)


def _signed(text: str) -> Distance:
    match = re.fullmatch(r"\s*([-+]?)\s*(?![-+])(.*)", text)
    sign, bare = match.groups() if match else ("", text)
    distance = parse_distance(bare, KEY)
    return Distance(-distance.value if sign == "-" else distance.value, distance.unit)
