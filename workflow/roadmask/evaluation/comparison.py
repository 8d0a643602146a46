"""Comparing the rasters of one scene, window by window."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from rasterio.io import DatasetReader

from roadmask.evaluation.metrics import TOLERANCE, Counts, MaskCounts, count, count_mask
from roadmask.polygon_windows import PolygonWindows
from roadmask.raster import read_window

UNKNOWN = 255
WINDOW = 1024


@dataclass(frozen=True)
class SceneFiles:
    """What is compared of one scene, all on one grid.

    Attributes
    ----------
    mask
        Its label raster.
    prediction
        Its class raster, or None where nothing was predicted.
    reference
        Where an independent source has road, or None.
    test
        The test ground, or None for nothing.
    area
        The ground that counts at all; None for all of it.
    """

    mask: DatasetReader
    prediction: DatasetReader | None = None
    reference: PolygonWindows | None = None
    test: PolygonWindows | None = None
    area: PolygonWindows | None = None


@dataclass
class SceneCounts:
    """What was counted on some ground.

    Attributes
    ----------
    labels
        Prediction against mask, on the test ground.
    reference
        Prediction against reference, on the test ground, with the two classes other and
        road.
    masks
        Mask against reference, on all ground.
    """

    labels: Counts
    reference: Counts = field(default_factory=lambda: Counts.zero(2))
    masks: MaskCounts = field(default_factory=MaskCounts)

    def __add__(self, other: SceneCounts) -> SceneCounts:
        return SceneCounts(
            self.labels + other.labels, self.reference + other.reference, self.masks + other.masks
        )


def compare_scene(files: SceneFiles, classes: int, road: int) -> SceneCounts:
    """Compare all of a scene, in memory bounded by a window.

    Parameters
    ----------
    files
        The scene's rasters and polygons.
    classes
        How many, class 0 included.
    road
        The class that the reference holds.
    """
    total = SceneCounts(Counts.zero(classes))
    for window in windows(files.mask.width, files.mask.height, WINDOW):
        total = total + compare_window(files, *window, classes=classes, road=road)
    return total


def windows(width: int, height: int, size: int) -> Iterator[tuple[int, int, int, int]]:
    """Cut a raster into windows of column, row, width and height."""
    for y in range(0, height, size):
        for x in range(0, width, size):
            yield x, y, min(size, width - x), min(size, height - y)


def compare_window(
    files: SceneFiles, x: int, y: int, width: int, height: int, *, classes: int, road: int
) -> SceneCounts:
    """Compare one window, so that the windows of a scene add up to the whole scene.

    Parameters
    ----------
    files
        The scene's rasters and polygons.
    x, y, width, height
        The window in pixels.
    classes, road
        As in `compare_scene`.
    """
    # The relaxed scores look this far beyond the window.
    left, top = x - TOLERANCE, y - TOLERANCE
    place = (left, top, width + 2 * TOLERANCE, height + 2 * TOLERANCE)
    counted = _core(files, *place)
    mask = read_window(files.mask, *place, bands=[1], fill=UNKNOWN)[0]
    truth = None if files.reference is None else files.reference.read(*place)
    result = SceneCounts(Counts.zero(classes), masks=count_mask(mask, truth, counted, road))
    if files.prediction is None or files.test is None:
        return result
    counted = counted & files.test.read(*place)
    if not counted.any():
        return result
    predicted = read_window(files.prediction, *place, bands=[1], fill=UNKNOWN)[0]
    result.labels = count(mask, predicted, counted, classes)
    if truth is not None:
        is_road = np.where(predicted == UNKNOWN, UNKNOWN, predicted == road).astype(np.uint8)
        result.reference = count(truth.astype(np.uint8), is_road, counted, 2)
    return result


def _core(files: SceneFiles, x: int, y: int, width: int, height: int) -> np.ndarray:
    """Return the pixels of a window that count: without its rim, inside scene and area."""
    core = np.zeros((height, width), dtype=bool)
    core[TOLERANCE : height - TOLERANCE, TOLERANCE : width - TOLERANCE] = True
    core[: max(-y, 0)] = False
    core[max(files.mask.height - y, 0) :] = False
    core[:, : max(-x, 0)] = False
    core[:, max(files.mask.width - x, 0) :] = False
    if files.area is not None:
        core &= files.area.read(x, y, width, height)
    return core
