"""Labels from polygons of the classes themselves."""

from __future__ import annotations

import geopandas as gpd
import numpy as np
from rasterio.features import rasterize

from roadmask.grid import Grid


def polygon_labels(polygons: gpd.GeoDataFrame, grid: Grid) -> np.ndarray:
    """Label the pixels whose centre lies in a polygon as class 1.

    Parameters
    ----------
    polygons
        Polygons in the grid's CRS.
    grid
        The label's grid.

    Returns
    -------
    numpy.ndarray
        ``(height, width)`` uint8: 1 in a polygon, else 0.
    """
    labels = np.zeros(grid.shape, dtype=np.uint8)
    burn_polygons(labels, polygons.geometry.to_numpy(), grid, 1)
    return labels


def burn_polygons(labels: np.ndarray, polygons: np.ndarray, grid: Grid, value: int) -> None:
    """Write `value` into the pixels whose centre lies in a polygon, in place.

    Parameters
    ----------
    labels
        ``(height, width)`` uint8.
    polygons
        Array of polygons in the grid's CRS.
    grid
        The label's grid.
    value
        What to write.
    """
    if len(polygons):
        rasterize(polygons, out=labels, transform=grid.transform, default_value=value)
