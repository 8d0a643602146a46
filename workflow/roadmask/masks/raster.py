"""Labels from masks that exist already: binary, indexed or colour-coded."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import rasterio
from pyproj import CRS
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.io import DatasetReader

from roadmask.classes import ClassTable, Value
from roadmask.errors import InputError, SettingError
from roadmask.grid import Grid
from roadmask.style import UNKNOWN

log = logging.getLogger("roadmask.masks")

# Corners of two grids may lie apart by this share of a pixel and still be one grid.
GRID_TOLERANCE = 0.01
# How many of the values that belong to no class are shown.
EXAMPLES = 8


def raster_labels(path: Path, grid: Grid, classes: ClassTable, threshold: float) -> np.ndarray:
    """Read a label raster of a scene.

    With a single class that has one number as its value, values above `threshold` are that
    class. A single class with a colour or several values is what has one of them, the rest
    is ``other``. With more classes every value must belong to one of them; ``other`` takes
    0 or black where nothing else does and it is not listed itself.

    Parameters
    ----------
    path
        The label raster.
    grid
        The scene's grid, which the label must have. A label that lies nowhere on the
        ground must have the scene's size.
    classes
        What its values mean.
    threshold
        For a single class.

    Returns
    -------
    numpy.ndarray
        ``(height, width)`` uint8: 0 other, 1 and on the classes, 255 where the label has no
        data, is transparent, or holds a value to be ignored.

    Raises
    ------
    InputError
        If the file is missing or unreadable, lies on another grid, is of another kind than
        `classes` says, or holds values of no class.
    SettingError
        If the threshold leaves out the class that the label holds.
    """
    try:
        dataset = rasterio.open(path)
    except rasterio.errors.RasterioIOError as error:
        problem = "no such file" if "No such file" in str(error) else f"unreadable ({error})"
        raise InputError(
            path, problem, "labels.raster must give the path of a mask for every {scene}"
        ) from error
    with dataset:
        _check_grid(path, dataset, grid)
        known = _known(path, dataset, classes)
        if classes.in_colours:
            labels = _from_colours(path, _colours(path, dataset), known, classes)
        else:
            labels = _from_values(path, _single_band(path, dataset), known, classes, threshold)
    labels[~known] = UNKNOWN
    return labels


def _check_grid(path: Path, dataset: DatasetReader, grid: Grid) -> None:
    """Refuse a label on another grid; one without any georeference must have the size."""
    remedy = "Give a label on the scene's own pixels; it is not cropped or moved to fit"
    if (dataset.width, dataset.height) != (grid.width, grid.height):
        raise InputError(
            path,
            f"it has {dataset.width} x {dataset.height} pixels, the scene {grid.width} x "
            f"{grid.height}",
            remedy,
        )
    if grid.crs is None:
        return
    if dataset.crs is None and dataset.transform.is_identity:
        log.warning("%s: it lies nowhere on the ground; taken to lie on the scene's pixels", path)
        return
    if dataset.crs is not None and not _same_crs(dataset, grid):
        raise InputError(path, f"its CRS is {dataset.crs}, the scene's {grid.crs}", remedy)
    relative = ~grid.transform @ dataset.transform
    corners = [(x, y) for x in (0, grid.width) for y in (0, grid.height)]
    moved = max(
        abs(a - b) for corner in corners for a, b in zip(relative @ corner, corner, strict=True)
    )
    if moved > GRID_TOLERANCE:
        raise InputError(
            path,
            f"its pixels lie up to {moved:.2f} pixels from the scene's (transform "
            f"{tuple(dataset.transform)[:6]} instead of {tuple(grid.transform)[:6]})",
            remedy,
        )


def _same_crs(dataset: DatasetReader, grid: Grid) -> bool:
    if grid.crs is None or dataset.crs == grid.crs:
        return True
    first, second = (CRS.from_wkt(x.to_wkt()) for x in (dataset.crs, grid.crs))
    return bool(first.equals(second, ignore_axis_order=True))


def _known(path: Path, dataset: DatasetReader, classes: ClassTable) -> np.ndarray:
    """Return where the label has data, by nodata, mask or alpha."""
    flags = {flag for band in dataset.mask_flag_enums for flag in band}
    listed = {value for values in (*classes.values, classes.ignored) for value in values}
    # Many tools declare 0 as nodata in a mask whose 0 means ground without road.
    if flags == {MaskFlags.all_valid} or (flags == {MaskFlags.nodata} and dataset.nodata in listed):
        return np.ones((dataset.height, dataset.width), dtype=bool)
    known = np.asarray(dataset.dataset_mask() > 0)
    if dataset.nodata == 0 and not known.all():
        log.warning(
            "%s: it declares 0 as nodata, so %d pixels count as not known; where 0 means "
            "ground of no class, write other: 0 in classes",
            path,
            (~known).sum(),
        )
    return known


def _data_bands(dataset: DatasetReader) -> list[int]:
    return [
        band
        for band, meaning in zip(dataset.indexes, dataset.colorinterp, strict=True)
        if meaning != ColorInterp.alpha
    ]


def _single_band(path: Path, dataset: DatasetReader) -> np.ndarray:
    """Return the values ``(height, width)`` of a label in numbers."""
    bands = dataset.read(_data_bands(dataset))
    if len(bands) > 1 and (bands[1:] != bands[0]).any():
        raise InputError(
            path,
            f"it is a picture of {len(bands)} bands, but classes has single numbers",
            "Write the colours in classes, such as road: [255, 255, 255]",
        )
    return np.asarray(bands[0])


def _colours(path: Path, dataset: DatasetReader) -> np.ndarray:
    """Return the colours ``(3, height, width)`` uint8 of a colour-coded label."""
    bands = _data_bands(dataset)
    if len(bands) == 1 and dataset.colorinterp[0] == ColorInterp.palette:
        palette = np.zeros((256, 3), dtype=np.uint8)
        for value, colour in dataset.colormap(1).items():
            palette[value] = colour[:3]
        return np.moveaxis(palette[dataset.read(1)], -1, 0)
    if len(bands) != 3 or dataset.dtypes[0] != "uint8":
        raise InputError(
            path,
            f"it has {len(bands)} band(s) of {dataset.dtypes[0]}, but classes has colours",
            "Write the numbers in classes; three numbers for one class are written "
            "[[1], [2], [3]], since [1, 2, 3] is a colour",
        )
    return np.asarray(dataset.read(bands))


def _from_colours(
    path: Path, colours: np.ndarray, known: np.ndarray, classes: ClassTable
) -> np.ndarray:
    """Label colours by equality; each is taken as one number of 24 bits."""
    red, green, blue = colours.astype(np.uint32)
    codes = red << 16 | green << 8 | blue

    def code(value: Value) -> float:
        if not isinstance(value, tuple):
            raise TypeError(f"{value} is no colour")
        return float(value[0] << 16 | value[1] << 8 | value[2])

    def shown(number: float) -> str:
        return str([int(number) >> 16, int(number) >> 8 & 255, int(number) & 255])

    meanings = [(code(value), label) for value, label in _meanings(classes, (0, 0, 0))]
    return _by_equality(path, codes, known, meanings, classes, shown)


def _from_values(
    path: Path, values: np.ndarray, known: np.ndarray, classes: ClassTable, threshold: float
) -> np.ndarray:
    """Label numbers, by threshold for a single class with a single value, else by equality."""
    meanings = [
        (value, label) for value, label in _meanings(classes, 0.0) if not isinstance(value, tuple)
    ]
    if values.dtype.kind == "f":
        known &= ~np.isnan(values)
    if not classes.by_threshold:
        return _by_equality(path, values, known, meanings, classes, lambda x: f"{x:g}")
    labels = (values > threshold).astype(np.uint8)
    for value in classes.ignored:
        labels[values == value] = UNKNOWN
    _check_threshold(path, values[known & (labels != UNKNOWN)], classes, threshold)
    return labels


def _meanings(classes: ClassTable, other: Value) -> list[tuple[Value, int]]:
    """Return pairs of a value and its label; `other` where class 0 has no value listed."""
    meanings = [(value, label) for label, values in enumerate(classes.values) for value in values]
    meanings += [(value, UNKNOWN) for value in classes.ignored]
    if not classes.values[0] and other not in (value for value, _ in meanings):
        meanings.append((other, 0))
    return meanings


def _by_equality(
    path: Path,
    values: np.ndarray,
    known: np.ndarray,
    meanings: list[tuple[float, int]],
    classes: ClassTable,
    shown: Callable[[float], str],
) -> np.ndarray:
    labels = np.zeros(values.shape, dtype=np.uint8)
    unlisted = known.copy()
    for value, label in meanings:
        here = values == value
        labels[here] = label
        unlisted &= ~here
    if len(classes.names) > 1 and unlisted.any():
        found, counts = np.unique(values[unlisted], return_counts=True)
        commonest = np.argsort(-counts, kind="stable")[:EXAMPLES]
        listed = ", ".join(f"{shown(found[i])} ({counts[i]} pixels)" for i in commonest)
        more = f" and {len(found) - EXAMPLES} more" if len(found) > EXAMPLES else ""
        raise InputError(
            path,
            f"it holds values that belong to no class: {listed}{more}",
            "Add them to classes, under other or ignore if they are no class of their own; many "
            "values beside those meant come from JPEG or from resampling with interpolation",
        )
    return labels


def _check_threshold(path: Path, values: np.ndarray, classes: ClassTable, threshold: float) -> None:
    """Refuse a threshold above an index mask, such as 127 for a mask of 0 and 1."""
    if values.size == 0 or values.max() > threshold:
        return
    road = classes.values[1][0]
    others = {0.0, *classes.values[0]}
    held = set(np.unique(values).tolist())
    if road in held and held <= others | {road}:
        raise SettingError(
            "labels.threshold",
            f"{path} holds {', '.join(f'{x:g}' for x in sorted(held))} alone, none above "
            f"{threshold:g}, so no pixel would be {classes.names[0]}",
            "Write a threshold between the two, such as 0",
        )
