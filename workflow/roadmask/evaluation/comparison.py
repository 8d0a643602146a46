"""Comparing the rasters of one scene, window by window."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rasterio.io import DatasetReader

from roadmask.dataset.split_file import BlockGround
from roadmask.errors import InputError
from roadmask.evaluation.metrics import (
    RELAXED,
    Counts,
    MaskCounts,
    count,
    count_mask,
)
from roadmask.evaluation.nearness import Tolerance
from roadmask.grid import Grid
from roadmask.polygon_windows import PolygonWindows
from roadmask.probability import CERTAIN
from roadmask.raster import read_window
from roadmask.style import UNKNOWN

# Small windows, because only what of them is test ground is looked at closely.
WINDOW = 512
TEST = "test"

Ground = NDArray[np.int32]
Bytes = NDArray[np.uint8]


class BlockWindows:
    """The blocks on a scene, window by window.

    Parameters
    ----------
    scene
        Its name.
    grid
        Its pixels.
    blocks
        Those that touch it.
    area
        The ground that counts at all; None for all of it.
    """

    def __init__(
        self, scene: str, grid: Grid, blocks: Sequence[BlockGround], area: PolygonWindows | None
    ) -> None:
        # Pixels that no block holds stand together as the last one, of no split.
        self.names = [*(block.name for block in blocks), f"rest of {scene}"]
        self.splits = [*(block.split for block in blocks), ""]
        self._windows = PolygonWindows(grid, [block.polygon for block in blocks])
        self._area = area

    def read(self, x: int, y: int, width: int, height: int) -> Ground:
        """Return the index of each pixel's block, -1 outside the area.

        The window must lie inside the scene.
        """
        found: Ground = self._windows.read_indices(x, y, width, height).astype(np.int32)
        found[found < 0] = len(self.names) - 1
        if self._area is not None:
            found[~self._area.read(x, y, width, height)] = -1
        return found

    def of_split(self, ground: Ground, split: str) -> Ground:
        """Return the same, -1 too where the block is of another split."""
        # The last place is that of -1.
        wanted = np.array([*(held == split for held in self.splits), False])
        return np.where(wanted[ground], ground, np.int32(-1))


@dataclass(frozen=True)
class SceneFiles:
    """What is compared of one scene, all on one grid.

    Attributes
    ----------
    mask
        Its label raster.
    blocks
        Its ground.
    prediction
        Its class raster, or None where nothing was predicted.
    probability
        Its probability raster: one band, or one for each class with ``other`` first.
    reference
        Where an independent source has road, or None.
    """

    mask: DatasetReader
    blocks: BlockWindows
    prediction: DatasetReader | None = None
    probability: DatasetReader | None = None
    reference: PolygonWindows | None = None


@dataclass(frozen=True)
class Task:
    """What is the same for all windows.

    Attributes
    ----------
    names
        The classes in the order of their indices, ``other`` first.
    road
        The class that the reference holds.
    tolerances
        What near means.
    """

    names: tuple[str, ...]
    road: int
    tolerances: tuple[Tolerance, ...] = (RELAXED,)

    @property
    def rim(self) -> int:
        """How many pixels around a window bear on what is counted in it."""
        # One more, because an edge shows only beside what lies beyond it.
        return max(tolerance.reach for tolerance in self.tolerances) + 1


@dataclass(frozen=True)
class WindowCounts:
    """What was counted on some blocks, which all axes in front stand for.

    Attributes
    ----------
    blocks
        Their names.
    masks
        Mask against reference, on all ground.
    labels
        Prediction against mask, on the test ground.
    reference
        Prediction against reference, on the test ground, with the two classes other and
        road. True road without a prediction is a miss; other ground without one is left out.
    """

    blocks: list[str]
    masks: MaskCounts
    labels: Counts | None = None
    reference: Counts | None = None


def compare_scene(files: SceneFiles, task: Task) -> Iterator[WindowCounts]:
    """Compare all of a scene, in memory bounded by a window.

    Parameters
    ----------
    files
        The scene's rasters and polygons.
    task
        What is asked.

    Yields
    ------
    WindowCounts
        One or two for each window: of all its ground, then of its test ground. They add up to
        the whole scene.

    Raises
    ------
    InputError
        If a raster holds what it can't.
    """
    for x, y, width, height in windows(files.mask.width, files.mask.height, WINDOW):
        ground = files.blocks.read(x, y, width, height)
        mask = read_classes(files.mask, x, y, width, height, classes=len(task.names))
        truth = None if files.reference is None else files.reference.read(x, y, width, height)
        compact, blocks = _compacted(ground, files.blocks.names)
        yield WindowCounts(
            blocks,
            count_mask(mask, truth, compact, pieces=len(blocks), value=task.road),
        )
        test = files.blocks.of_split(ground, TEST)
        rows, columns = (np.flatnonzero((test >= 0).any(axis=axis)) for axis in (1, 0))
        if files.prediction is None or not len(rows):
            continue
        part = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
        yield _compare_closely(
            files, files.prediction, task, x + int(columns[0]), y + int(rows[0]), test[part]
        )


def windows(width: int, height: int, size: int) -> Iterator[tuple[int, int, int, int]]:
    """Cut a raster into windows of column, row, width and height."""
    for y in range(0, height, size):
        for x in range(0, width, size):
            yield x, y, min(size, width - x), min(size, height - y)


def read_classes(
    dataset: DatasetReader, x: int, y: int, width: int, height: int, *, classes: int
) -> Bytes:
    """Read a window of a class raster, 255 beyond it.

    Raises
    ------
    InputError
        If it holds a class that there is not.
    """
    values: Bytes = read_window(dataset, x, y, width, height, bands=[1], fill=UNKNOWN)[0]
    most = int(np.max(values, where=values != UNKNOWN, initial=0))
    if most >= classes:
        raise InputError(
            dataset.name,
            f"it holds the value {most}, and the data set has {classes} classes from 0 on",
            "Remove it and run again",
        )
    return values


def _compacted(ground: Ground, names: Sequence[str]) -> tuple[Ground, list[str]]:
    """Count the blocks of a window from 0, and return their names."""
    # NumPy's unique takes six times as long.
    held = np.flatnonzero(np.bincount(ground.ravel() + 1)[1:]).tolist()
    numbers = np.full(len(names) + 1, -1, np.int32)  # the last is the place of -1
    numbers[held] = np.arange(len(held))
    return numbers[ground], [names[index] for index in held]


def _compare_closely(
    files: SceneFiles, prediction: DatasetReader, task: Task, x: int, y: int, ground: Ground
) -> WindowCounts:
    """Compare the prediction with mask and reference, on a window of test ground."""
    rim = task.rim
    place = (x - rim, y - rim, ground.shape[1] + 2 * rim, ground.shape[0] + 2 * rim)
    compact, blocks = _compacted(ground, files.blocks.names)
    compact = np.pad(compact, rim, constant_values=-1)
    mask = read_classes(files.mask, *place, classes=len(task.names))
    predicted = read_classes(prediction, *place, classes=len(task.names))
    probability = None
    if files.probability is not None:
        probability = both_sides(read_window(files.probability, *place, fill=UNKNOWN))
    try:
        labels = count(
            mask,
            predicted,
            compact,
            pieces=len(blocks),
            classes=len(task.names),
            tolerances=task.tolerances,
            probability=probability,
        )
        reference = None
        if files.reference is not None:
            truth = files.reference.read(*place)
            # Only where it is counted: beyond the scene a road goes on and is no miss.
            missed = truth & (predicted == UNKNOWN) & (compact >= 0)
            is_road = np.where(predicted == UNKNOWN, UNKNOWN, predicted == task.road)
            is_road[missed] = 0
            reference = count(
                truth.astype(np.uint8),
                is_road.astype(np.uint8),
                compact,
                pieces=len(blocks),
                classes=2,
                tolerances=task.tolerances,
                probability=(
                    None
                    if probability is None
                    else both_sides(np.where(missed, np.uint8(0), probability[[task.road]]))
                ),
            )
    except ValueError as error:
        raise InputError(
            prediction.name,
            f"it and its probability raster don't belong together ({error})",
            "Remove it and run again",
        ) from error
    return WindowCounts(blocks, MaskCounts.zero(len(blocks)), labels, reference)


def both_sides(probability: Bytes) -> Bytes:
    """Put the probability of ``other`` before that of a single class.

    Parameters
    ----------
    probability
        ``(outputs, rows, columns)`` in 254ths, 255 where there is none.
    """
    if len(probability) > 1:
        return probability
    # 255 stays 255 in both.
    other = np.where(probability == UNKNOWN, UNKNOWN, CERTAIN - np.minimum(probability, CERTAIN))
    return np.concatenate([other.astype(np.uint8), probability])
