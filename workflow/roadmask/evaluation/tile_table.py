"""The table of tiles: where the prediction is good, and where it is not."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from rasterio.io import DatasetReader

from roadmask.evaluation.comparison import SceneFiles, Task, read_classes
from roadmask.evaluation.probabilities import ratio
from roadmask.grid import Grid, TileGrid
from roadmask.style import UNKNOWN


@dataclass(frozen=True)
class Strip:
    """A row of tiles of one scene, as wide as the scene.

    Attributes
    ----------
    mask, predicted
        ``(rows, columns)``: class indices, 255 not known.
    ground
        ``(rows, columns)``: index of the block, -1 outside the area.
    road
        ``(rows, columns)``: where the reference has road, or None.
    """

    mask: NDArray[np.uint8]
    predicted: NDArray[np.uint8]
    ground: NDArray[np.int32]
    road: NDArray[np.bool_] | None


def columns_of(names: Sequence[str]) -> list[str]:
    """Return the table's columns for some classes, ``other`` first."""
    columns = ["scene", "tile", "split", "row", "col", "pixels", "unknown_share", "error_share"]
    columns += ["mean_iou", *(f"iou_{name}" for name in names), "reference_iou"]
    for name in names:
        columns += [f"{what}_{name}" for what in ("missed_share", "false_share")]
    for name in names:
        columns += [f"{what}_{name}" for what in ("truth", "predicted", "hits")]
    return columns


def start_table(file: IO[str], names: Sequence[str]) -> csv.DictWriter[str]:
    """Write the head of the table; the writer leaves cells empty where there is no figure."""
    writer = csv.DictWriter(file, columns_of(names), lineterminator="\n")
    writer.writeheader()
    return writer


def tile_rows(
    scene: str, files: SceneFiles, prediction: DatasetReader, task: Task, size: int, overlap: int
) -> Iterator[dict[str, Any]]:
    """Score each tile whose ground is of one split.

    Parameters
    ----------
    scene
        Its name.
    files
        Its rasters and polygons.
    prediction
        The class raster among them.
    task
        What is asked.
    size, overlap
        How the scene is cut into tiles, in pixels.

    Yields
    ------
    dict
        By `columns_of`: shares are of the pixels with a label and a prediction,
        ``unknown_share`` of all those inside scene and area.
    """
    grid = Grid.from_dataset(files.mask)
    strip, row = None, -1
    for tile in TileGrid(scene, grid, size, overlap):
        if strip is None or tile.row != row:
            row = tile.row
            height = min(tile.size, grid.height - tile.y)
            strip = _read_strip(files, prediction, tile.y, height, len(task.names))
        part = np.s_[:, tile.x : tile.x + tile.size]
        split = _split_of(strip.ground[part], files.blocks.splits)
        if split:
            place: dict[str, Any] = {"scene": scene, "tile": tile.name, "split": split}
            place |= {"row": tile.row, "col": tile.column}
            yield place | _scored(strip, part, task)


def _read_strip(
    files: SceneFiles, prediction: DatasetReader, y: int, height: int, classes: int
) -> Strip:
    place = (0, y, files.mask.width, height)
    return Strip(
        mask=read_classes(files.mask, *place, classes=classes),
        predicted=read_classes(prediction, *place, classes=classes),
        ground=files.blocks.read(*place),
        road=None if files.reference is None else files.reference.read(*place),
    )


def _split_of(ground: NDArray[np.int32], splits: Sequence[str]) -> str:
    """Return the split of all blocks on a tile; empty where there are several or none."""
    held = {splits[index] for index in np.flatnonzero(np.bincount(ground.ravel() + 1)[1:]).tolist()}
    return held.pop() if len(held) == 1 else ""


def _scored(strip: Strip, part: tuple[slice, slice], task: Task) -> dict[str, Any]:
    inside = strip.ground[part] >= 0
    truth, predicted = strip.mask[part], strip.predicted[part]
    known = inside & (truth != UNKNOWN) & (predicted != UNKNOWN)
    confusion = confusion_of(truth[known], predicted[known], len(task.names))
    pixels = int(confusion.sum())
    iou = iou_of_classes_in_truth(confusion)
    present = ~np.isnan(iou)
    hits, labelled, found = np.diagonal(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    row: dict[str, Any] = {
        "pixels": pixels,
        "unknown_share": _share(int(inside.sum()) - pixels, int(inside.sum())),
        "error_share": _share(pixels - int(hits.sum()), pixels),
        "mean_iou": float(iou[present].mean()) if present.any() else None,
        "reference_iou": None,
    }
    for index, name in enumerate(task.names):
        row[f"iou_{name}"] = None if np.isnan(iou[index]) else float(iou[index])
        row[f"missed_share_{name}"] = _share(int(labelled[index] - hits[index]), pixels)
        row[f"false_share_{name}"] = _share(int(found[index] - hits[index]), pixels)
        row[f"truth_{name}"] = int(labelled[index])
        row[f"predicted_{name}"] = int(found[index])
        row[f"hits_{name}"] = int(hits[index])
    if strip.road is not None:
        # True road without a prediction is a miss.
        known = inside & ((predicted != UNKNOWN) | strip.road[part])
        road = iou_of_classes_in_truth(
            confusion_of(strip.road[part][known], predicted[known] == task.road, 2)
        )[1]
        row["reference_iou"] = None if np.isnan(road) else float(road)
    return row


def confusion_of(truth: NDArray[Any], predicted: NDArray[Any], classes: int) -> NDArray[np.int64]:
    """Count pairs: rows are the truth, columns the prediction."""
    pairs = truth.astype(np.int64) * classes + predicted
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def iou_of_classes_in_truth(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the IoU of each class, NaN where the truth does not hold it."""
    hits, truth = np.diagonal(confusion), confusion.sum(axis=1)
    found = ratio(hits, truth + confusion.sum(axis=0) - hits)
    return np.where(truth > 0, found, np.nan)


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def rounded(values: Mapping[str, Any], decimals: int) -> dict[str, Any]:
    """Round a row, so that the last bits of a quotient don't change a file."""
    return {
        key: round(value, decimals) if isinstance(value, float) else value
        for key, value in values.items()
    }
