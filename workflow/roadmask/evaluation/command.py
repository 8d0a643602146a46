"""The command of stage `evaluation`."""

from __future__ import annotations

import argparse
import csv
import io
import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import rasterio
from rasterio.io import DatasetReader

from roadmask import __version__
from roadmask.dataset.split_file import blocks_on
from roadmask.errors import InputError
from roadmask.evaluation.comparison import SceneCounts, SceneFiles, compare_scene, compare_window
from roadmask.evaluation.metrics import TOLERANCE, Counts, scores
from roadmask.files import sha256, write_json, write_text
from roadmask.grid import Grid, TileGrid
from roadmask.polygon_windows import PolygonWindows
from roadmask.raster import environment
from roadmask.vectors_io import VectorSource, add_source_arguments, read_layer, source_from

log = logging.getLogger("roadmask.evaluation")

DECIMALS = 6


@dataclass(frozen=True)
class Task:
    """What is the same for all scenes.

    Attributes
    ----------
    names
        The classes in the order of their indices, ``other`` first.
    road
        The class that the reference holds.
    split
        ``dataset/split.gpkg``.
    tile_size, tile_overlap
        How scenes are cut into tiles, in pixels.
    reference, area
        Polygon layers, or None.
    """

    names: tuple[str, ...]
    road: int
    split: Path
    tile_size: int
    tile_overlap: int
    reference: VectorSource | None
    area: VectorSource | None


@dataclass
class Results:
    """What was found, over all scenes and for each."""

    total: SceneCounts
    scenes: dict[str, SceneCounts] = field(default_factory=dict)
    tiles: list[dict[str, Any]] = field(default_factory=list)
    predictions: dict[str, dict[str, str]] = field(default_factory=dict)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``python -m roadmask evaluation``."""
    parser.add_argument("--predictions", type=Path, nargs="*", default=[], help="class rasters")
    parser.add_argument("--masks", type=Path, nargs="+", required=True, help="label rasters")
    parser.add_argument("--dataset", type=Path, required=True, help="dataset.json")
    parser.add_argument("--split", type=Path, required=True, help="split.gpkg")
    parser.add_argument("--model", type=Path, help="the .keras file that predicted")
    parser.add_argument("--output", type=Path, required=True, help="metrics.json")
    add_source_arguments(parser, "reference")
    add_source_arguments(parser, "area")


def run(arguments: argparse.Namespace) -> None:
    """Score all scenes."""
    task = _task(arguments)
    predictions = {path.stem: path for path in arguments.predictions}
    masks = {path.stem: path for path in arguments.masks}
    unlabelled = sorted(predictions.keys() - masks.keys())
    if unlabelled:
        log.info("%d predictions have no mask and are left out", len(unlabelled))
    results = Results(SceneCounts(Counts.zero(len(task.names))))
    with environment():
        for name in sorted(masks):
            _evaluate_scene(name, masks[name], predictions.get(name), task, results)
    if not results.total.labels.confusion.sum():
        log.warning(
            "no pixel of the test ground has both a known label and a prediction: "
            "the figures are null; see split.test and split.block"
        )
    metrics = _metrics(results, task, _made_by(results, arguments.model))
    write_text(arguments.output.with_name("tiles.csv"), _table(results.tiles, task))
    write_json(arguments.output, metrics)
    _report(metrics)


def _task(arguments: argparse.Namespace) -> Task:
    try:
        dataset = json.loads(arguments.dataset.read_text(encoding="utf-8"))
        names = ("other", *(name for name in dataset["classes"] if name != "other"))
        size, overlap = int(dataset["tile_size"]), int(dataset["tile_overlap"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            arguments.dataset, f"it does not describe a data set ({error!r})", "Make stage dataset"
        ) from error
    return Task(
        names=names,
        # A reference is one layer of polygons: of the class road, or of the first.
        road=names.index("road") if "road" in names else 1,
        split=arguments.split,
        tile_size=size,
        tile_overlap=overlap,
        reference=source_from(arguments, "reference"),
        area=source_from(arguments, "area"),
    )


def _evaluate_scene(
    name: str, mask: Path, prediction: Path | None, task: Task, results: Results
) -> None:
    """Count one scene and its tiles."""
    with _opened(name, mask, prediction, task) as files:
        counts = compare_scene(files, len(task.names), task.road)
        results.total = results.total + counts
        results.scenes[name] = counts
        if files.prediction is None:
            return
        results.predictions[str(prediction)] = files.prediction.tags()
        results.tiles.extend(_tile_rows(name, files, task))
    log.info("%s: %d pixels of test ground", name, counts.labels.confusion.sum())


@contextmanager
def _opened(name: str, mask: Path, prediction: Path | None, task: Task) -> Iterator[SceneFiles]:
    """Open a scene's rasters and read its polygons."""
    with ExitStack() as stack:
        label = stack.enter_context(_open(mask))
        grid = Grid.from_dataset(label)
        predicted = None
        if prediction is not None:
            predicted = stack.enter_context(_open(prediction))
            if Grid.from_dataset(predicted) != grid:
                raise InputError(
                    prediction,
                    f"its pixel grid is not that of {mask}",
                    "Make stages masks and predictions again",
                )
        yield SceneFiles(
            mask=label,
            prediction=predicted,
            reference=_polygons(task.reference, grid, "labels.reference"),
            test=PolygonWindows(grid, blocks_on(task.split, name, grid, "test")),
            area=_polygons(task.area, grid, "area"),
        )


def _open(path: Path) -> DatasetReader:
    try:
        return rasterio.open(path)
    except rasterio.errors.RasterioIOError as error:
        raise InputError(path, f"it can't be read ({error})", "Make its stage again") from error


def _polygons(source: VectorSource | None, grid: Grid, key: str) -> PolygonWindows | None:
    if source is None:
        return None
    layer = read_layer(source, grid, grid.crs, key=key, kind="polygons", must_reach=False)
    return PolygonWindows(grid, list(layer.frame.geometry))


def _tile_rows(name: str, files: SceneFiles, task: Task) -> Iterator[dict[str, Any]]:
    """Score each tile that lies wholly on test ground."""
    grid = Grid.from_dataset(files.mask)
    for tile in TileGrid(name, grid, task.tile_size, task.tile_overlap):
        place = (
            tile.x,
            tile.y,
            min(tile.size, grid.width - tile.x),
            min(tile.size, grid.height - tile.y),
        )
        if files.test is None or not files.test.read(*place).all():
            continue
        counts = compare_window(files, *place, classes=len(task.names), road=task.road)
        found = scores(counts.labels, task.names)
        row = {
            "scene": name,
            "tile": tile.name,
            "row": tile.row,
            "col": tile.column,
            "pixels": found["pixels"],
            "mean_iou": found["mean_iou"],
        }
        row |= {f"iou_{label}": iou for label, iou in found["iou"].items()}
        row["reference_iou"] = scores(counts.reference, ("other", "road"))["iou"]["road"]
        for index, label in enumerate(task.names):
            row[f"truth_{label}"] = int(counts.labels.truth[index])
            row[f"predicted_{label}"] = int(counts.labels.predicted[index])
            row[f"hits_{label}"] = int(counts.labels.hits[index])
        yield row


def _table(rows: Sequence[dict[str, Any]], task: Task) -> str:
    """Return the tiles as CSV, with empty cells where there is no figure."""
    columns = ["scene", "tile", "row", "col", "pixels", "mean_iou"]
    columns += [f"iou_{name}" for name in task.names]
    columns += ["reference_iou"]
    for name in task.names:
        columns += [f"truth_{name}", f"predicted_{name}", f"hits_{name}"]
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows([_rounded(row) for row in rows])
    return text.getvalue()


def _made_by(results: Results, model: Path | None) -> dict[str, Any]:
    """Return what the predictions' tags say of how they were made.

    Raises
    ------
    InputError
        If they were not all made in one way.
    """
    made: dict[str, Any] = {"threshold": None, "model_sha256": None}
    first = None
    for path, tags in results.predictions.items():
        try:
            settings = json.loads(tags["ROADMASK_SETTINGS"])
            this = {
                "threshold": settings["prediction.threshold"],
                "model_sha256": tags["ROADMASK_MODEL_SHA256"],
            }
        except (KeyError, ValueError) as error:
            raise InputError(
                path, "its tags don't say how it was predicted", "Make stage predictions again"
            ) from error
        if first is None:
            first, made = path, this
        elif this != made:
            raise InputError(
                path,
                f"it was predicted with another model or threshold than {first}",
                "Make stage predictions again",
            )
    if model is not None and first is not None and sha256(model) != made["model_sha256"]:
        raise InputError(first, f"it was not predicted by {model}", "Make stage predictions again")
    return made


def _metrics(results: Results, task: Task, made: dict[str, Any]) -> dict[str, Any]:
    """Return the content of ``metrics.json``."""
    binary = ("other", "road")
    with_truth = task.reference is not None
    total = results.total
    masks = total.masks.scores(with_truth=with_truth)
    masks["scenes"] = {
        name: counts.masks.scores(with_truth=with_truth) for name, counts in results.scenes.items()
    }
    metrics: dict[str, Any] = {
        "version": __version__,
        "model_sha256": made["model_sha256"],
        "relaxed_pixels": TOLERANCE,
        "labels": scores(total.labels, task.names) | {"threshold": made["threshold"]},
    }
    if with_truth:
        metrics["reference"] = scores(total.reference, binary) | {"threshold": made["threshold"]}
    metrics["masks"] = masks
    metrics["scenes"] = {
        name: {"labels": _summary(counts.labels, task.names)}
        | ({"reference": _summary(counts.reference, binary)} if with_truth else {})
        for name, counts in results.scenes.items()
    }
    rounded: dict[str, Any] = _rounded(metrics)
    return rounded


def _summary(counts: Counts, names: Sequence[str]) -> dict[str, Any]:
    found = scores(counts, names)
    return {key: found[key] for key in ("iou", "mean_iou", "pixels")}


def _rounded(value: Any) -> Any:  # noqa: ANN401 (JSON is any)
    """Round all figures, so that the last bits of a sum don't change a file."""
    if isinstance(value, float):
        return round(value, DECIMALS)
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return value


def _report(metrics: dict[str, Any]) -> None:
    """Say the headline figures."""
    for against in ("labels", "reference"):
        if against not in metrics:
            continue
        found = metrics[against]
        ious = ", ".join(f"{name} {_text(iou)}" for name, iou in found["iou"].items())
        log.info(
            "against %s: mean IoU %s (%s), relaxed F1 %s, %d pixels",
            against,
            _text(found["mean_iou"]),
            ious,
            _text(found["relaxed_f1"]),
            found["pixels"],
        )
        for note in found["notes"]:
            log.warning("against %s: %s", against, note)
    log.info(
        "masks on all ground: IoU with the reference %s, not known %s",
        _text(metrics["masks"]["iou"]),
        _text(metrics["masks"]["unknown_share"]),
    )


def _text(figure: float | None) -> str:
    return "null" if figure is None else f"{figure:.4f}"
