"""Labels from polygons of the classes themselves."""

from __future__ import annotations

from collections import Counter

import geopandas as gpd
import numpy as np
from rasterio.features import rasterize

from roadmask.classes import ClassTable, field_value, shown
from roadmask.errors import SettingError
from roadmask.grid import Grid
from roadmask.style import UNKNOWN

# How many of the values that belong to no class are shown.
EXAMPLES = 8


def polygon_labels(
    polygons: gpd.GeoDataFrame, grid: Grid, classes: ClassTable, field: str | None = None
) -> np.ndarray:
    """Label the pixels whose centre lies in a polygon as the polygon's class.

    Where polygons of several classes overlap, the class that the config lists later lies on
    top, whatever the order of the features; ``other`` and ``ignore`` take part in that order
    where they are listed.

    Parameters
    ----------
    polygons
        Polygons in the grid's CRS, with a column `field`.
    grid
        The label's grid.
    classes
        What the values of `field` mean.
    field
        The attribute that tells a polygon's class; None where all are of the only class.

    Returns
    -------
    numpy.ndarray
        ``(height, width)`` uint8: 0 outside of all polygons, else the class; 255 in polygons
        whose value is under ``ignore``.

    Raises
    ------
    SettingError
        If there are several classes and no field, or a polygon's value belongs to none.
    """
    labels = np.zeros(grid.shape, dtype=np.uint8)
    shapes = polygons.geometry.to_numpy()
    if field is None:
        if len(classes.names) > 1:
            raise SettingError(
                "labels.polygons.field",
                f"is not set, so nothing tells which polygon is {' or '.join(classes.names)}",
                "Name the field, and in classes the values that it has for each of them",
            )
        burn_polygons(labels, shapes, grid, 1)
        return labels
    values = np.array([field_value(value) for value in polygons[field]], dtype=object)
    _check_values(values, classes, field)
    for value, label in classes.in_order(UNKNOWN):
        burn_polygons(labels, shapes[values == value], grid, label)
    return labels


def _check_values(values: np.ndarray, classes: ClassTable, field: str) -> None:
    known = {value for value, _ in classes.in_order(UNKNOWN)}
    strange = Counter(value for value in values if value not in known)
    if not strange:
        return
    named = sorted(
        (-count, "null" if value is None else shown(value)) for value, count in strange.items()
    )
    listed = ", ".join(f"{name} ({-count} polygons)" for count, name in named[:EXAMPLES])
    more = f" and {len(named) - EXAMPLES} more" if len(named) > EXAMPLES else ""
    raise SettingError(
        "classes",
        f"the field {field} of labels.polygons holds values of no class: {listed}{more}",
        "Add them to classes, under other or ignore if they are no class of their own, or leave "
        f'them out with labels.polygons.where, such as "{field} IS NOT NULL"',
    )


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
