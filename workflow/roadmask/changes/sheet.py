"""A sheet as it is compared: what the map has and what the picture shows, side by side.

Everything that counts as a change is several metres wide, so both are averaged to pixels of a
sixth of the least width first. That also averages out what a pixel alone says: noise, the
outline's few pixels, the paint on the road.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import rasterio
from affine import Affine
from rasterio.windows import Window

from roadmask.errors import InputError
from roadmask.grid import Grid
from roadmask.probability import CERTAIN
from roadmask.style import UNKNOWN

Floats = npt.NDArray[np.float32]

PIXELS_ACROSS: Final = 6
"""Pixels across the narrowest road that counts."""
STRIP: Final = 128
"""Rows of averaged pixels that are read at once."""
EVEN_ODDS: Final = 0.5
ROAD_NAME: Final = "road"
OTHER_NAME: Final = "other"


@dataclass(frozen=True)
class Sheet:
    """What map and picture say of a sheet's ground.

    Attributes
    ----------
    name
        The scene's.
    grid
        Averaged pixels, on the sheet's CRS.
    metres
        Ground size of such a pixel along columns and rows.
    road
        ``(rows, columns)`` share of road on the map, 0 to 1; NaN where the label is not known.
    shown
        ``(rows, columns)`` how much of a road the picture shows, 0 to 1: the probability, bent
        so that the threshold of the prediction becomes 0.5; NaN where there is no picture.
    """

    name: str
    grid: Grid
    metres: tuple[float, float]
    road: Floats
    shown: Floats

    @property
    def pixel(self) -> float:
        """Edge in metres of a square as large as a pixel."""
        return math.sqrt(self.metres[0] * self.metres[1])

    @property
    def on_map(self) -> npt.NDArray[np.bool_]:
        """Where the map has road."""
        return np.asarray(self.road >= EVEN_ODDS)

    @property
    def in_picture(self) -> npt.NDArray[np.bool_]:
        """Where the picture shows road."""
        return np.asarray(self.shown >= EVEN_ODDS)

    @property
    def known(self) -> npt.NDArray[np.bool_]:
        """Where both say something."""
        return np.asarray(np.isfinite(self.road) & np.isfinite(self.shown))

    @property
    def compared_share(self) -> float:
        """Share of the picture's ground of which the map says something."""
        pictured = np.isfinite(self.shown)
        return float(self.known.sum() / max(int(pictured.sum()), 1))

    @property
    def obstacle(self) -> str | None:
        """Why nothing can be compared; None where something can."""
        if self.known.any():
            return None
        if not np.isfinite(self.shown).any():
            return "there is no picture of its ground, or none inside the area"
        if not np.isfinite(self.road).any():
            return "the map, or the area, does not reach its ground"
        return "what the map knows of its ground and what is pictured lie apart"

    @property
    def to_metres(self) -> Affine:
        """From the CRS to metres from the upper left corner, y downwards."""
        affine: Affine = Affine.scale(*self.metres) @ ~self.grid.transform
        return affine


def read_sheet(
    name: str, mask: Path, probability: Path, prediction: Path, least_width: float
) -> Sheet:
    """Read a sheet's label and prediction, strip by strip, and average them.

    Of several classes that both have, `road` alone is compared; where there is none of that name,
    all that is not `other` counts.

    Parameters
    ----------
    name
        The scene's.
    mask
        Label raster: 0 other, 1 and more road, 255 not known.
    probability
        Probability raster of the same grid: a band a class in 254ths, 255 without a picture.
    prediction
        Class raster, which knows the threshold that made it.
    least_width
        Metres of the narrowest road that counts.

    Raises
    ------
    InputError
        If the two have not the same grid.
    """
    with rasterio.open(mask) as labels, rasterio.open(probability) as predicted:
        grid = Grid.from_dataset(labels)
        if not grid.same_grid(Grid.from_dataset(predicted)):
            raise InputError(
                probability, f"its grid is not that of {mask}", "Predict on the labelled scenes"
            )
        factor = max(1, math.floor(least_width / PIXELS_ACROSS / max(grid.pixel_metres)))
        shape = math.ceil(grid.height / factor), math.ceil(grid.width / factor)
        road = np.empty(shape, np.float32)
        shown = np.empty(shape, np.float32)
        names = json.loads(labels.tags().get("ROADMASK_CLASSES", "[]"))
        values, bands = _road(names, predicted.descriptions)
        level = _threshold(prediction)
        for top, window in _strips(grid, factor):
            rows = slice(top, top + math.ceil(window.height / factor))
            label = labels.read(1, window=window)
            is_road = label != 0 if values is None else np.isin(label, values)
            road[rows] = _averaged(is_road.astype(np.float32), label != UNKNOWN, factor)
            steps = predicted.read(bands, window=window)
            chance = steps.astype(np.float32).sum(axis=0) / CERTAIN
            shown[rows] = _averaged(chance, (steps != UNKNOWN).all(axis=0), factor)
    low = shown / (2 * level)
    high = 0.5 + (shown - level) / (2 * (1 - level))
    averaged = replace(
        grid,
        width=shape[1],
        height=shape[0],
        transform=grid.transform @ Affine.scale(factor),
    )
    across, down = grid.pixel_metres
    return Sheet(
        name,
        averaged,
        (across * factor, down * factor),
        road,
        np.clip(np.where(shown < level, low, high), 0, 1).astype(np.float32),
    )


def _road(
    labelled: Sequence[str], predicted: Sequence[str | None]
) -> tuple[list[int] | None, list[int]]:
    """Return the label's values and the prediction's bands that are road.

    Parameters
    ----------
    labelled
        Names of the label's values 0, 1 and on, as far as known.
    predicted
        Names of the bands.

    Returns
    -------
    list of int or None
        None for all values above 0.
    list of int
        From 1 on.
    """
    bands = [number for number, band in enumerate(predicted, start=1) if band != OTHER_NAME]
    if ROAD_NAME in labelled and ROAD_NAME in predicted:
        return [labelled.index(ROAD_NAME)], [predicted.index(ROAD_NAME) + 1]
    return None, bands


def _threshold(prediction: Path) -> float:
    """Return the threshold that the prediction's road was told apart by."""
    with rasterio.open(prediction) as classes:
        settings = json.loads(classes.tags().get("ROADMASK_SETTINGS", "{}"))
    value = settings.get("prediction.threshold")
    return EVEN_ODDS if value is None else float(value)


def _strips(grid: Grid, factor: int) -> Iterator[tuple[int, Window]]:
    """Yield windows of whole averaged rows, and the first such row."""
    for top in range(0, math.ceil(grid.height / factor), STRIP):
        row = top * factor
        yield top, Window(0, row, grid.width, min(STRIP * factor, grid.height - row))


def _averaged(values: Floats, known: npt.NDArray[np.bool_], factor: int) -> Floats:
    """Average blocks of `factor` by `factor` pixels; NaN where half of them are not known."""
    rows, columns = (math.ceil(size / factor) for size in values.shape)
    padding = [
        (0, count * factor - size)
        for count, size in zip((rows, columns), values.shape, strict=True)
    ]
    shape = rows, factor, columns, factor
    inside = np.pad(known, padding).reshape(shape).sum(axis=(1, 3))
    total = np.pad(np.where(known, values, 0), padding).reshape(shape).sum(axis=(1, 3))
    full = np.pad(np.ones(values.shape, bool), padding).reshape(shape).sum(axis=(1, 3))
    mean = np.full((rows, columns), np.nan, np.float32)
    np.divide(total, inside, out=mean, where=2 * inside > full)
    return mean
