"""Polygons as pixels, window by window."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import shapely
from rasterio.features import rasterize
from shapely.geometry.base import BaseGeometry

from roadmask.grid import Grid


class PolygonWindows:
    """Polygons on a grid, burned for one window at a time.

    A pixel belongs to a polygon that its centre lies in.

    Parameters
    ----------
    grid
        The grid that windows are counted on.
    polygons
        In the grid's CRS. Where they overlap, the last one counts.
    """

    def __init__(self, grid: Grid, polygons: Sequence[BaseGeometry]) -> None:
        self._grid = grid
        self._polygons = np.array(polygons, dtype=object)
        self._tree = shapely.STRtree(self._polygons)

    def read(self, x: int, y: int, width: int, height: int) -> np.ndarray:
        """Return which pixels of a window lie in any polygon.

        Parameters
        ----------
        x, y, width, height
            The window in the grid's pixels; it may stick out.

        Returns
        -------
        numpy.ndarray
            bool of ``(height, width)``.
        """
        return self.read_indices(x, y, width, height) >= 0

    def read_indices(self, x: int, y: int, width: int, height: int) -> np.ndarray:
        """Return the index of each pixel's polygon, -1 where there is none.

        Returns
        -------
        numpy.ndarray
            int32 of ``(height, width)``.
        """
        window = self._grid.window(x, y, width, height)
        box = shapely.box(*window.bounds)
        found = sorted(int(index) for index in self._tree.query(box, predicate="intersects"))
        if not found:
            return np.full((height, width), -1, dtype=np.int32)
        burned: np.ndarray = rasterize(
            # Indices count from 1 in the file that GDAL burns, where 0 is the ground.
            [(self._polygons[index], index + 1) for index in found],
            out_shape=(height, width),
            transform=window.transform,
            fill=0,
            dtype="int32",
        )
        return burned - 1
