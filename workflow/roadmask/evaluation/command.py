"""The command of stage `evaluation`."""

from __future__ import annotations

import argparse
import csv
import json
import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import rasterio
from rasterio.io import DatasetReader

from roadmask import __version__
from roadmask.dataset.split_file import SplitFile
from roadmask.distance import Distance, parse_distance
from roadmask.errors import InputError
from roadmask.evaluation.bootstrap import Bootstrap, stacked
from roadmask.evaluation.comparison import BlockWindows, SceneFiles, Task, compare_scene
from roadmask.evaluation.metrics import RELAXED, Counts, MaskCounts, method, scores
from roadmask.evaluation.nearness import Tolerance
from roadmask.evaluation.probabilities import curve
from roadmask.evaluation.tile_table import rounded, start_table, tile_rows
from roadmask.files import replacing, write_json
from roadmask.grid import Grid
from roadmask.model.card import outputs_of
from roadmask.model.joint import joint_sha256
from roadmask.polygon_windows import PolygonWindows
from roadmask.raster import environment
from roadmask.vectors_io import VectorSource, add_source_arguments, read_layer, source_from

log = logging.getLogger("roadmask.evaluation")

DECIMALS = 6
TOLERANCE_KEY = "evaluation.tolerance"
BINARY = ("other", "road")


@dataclass(frozen=True)
class Setup:
    """What is the same for all scenes.

    Attributes
    ----------
    names
        The classes in the order of their indices, ``other`` first.
    road
        The class that the reference holds.
    split
        The blocks.
    tolerance
        The second one, on the ground.
    tile_size, tile_overlap
        How scenes are cut into tiles, in pixels.
    reference, area
        Polygon layers, or None.
    """

    names: tuple[str, ...]
    road: int
    split: SplitFile
    tolerance: Distance
    tile_size: int
    tile_overlap: int
    reference: VectorSource | None
    area: VectorSource | None


@dataclass(frozen=True)
class Inputs:
    """The files of one scene."""

    name: str
    mask: Path
    prediction: Path | None
    probability: Path | None


@dataclass
class Results:
    """What was found, over all scenes and for each."""

    labels: Bootstrap[Counts]
    reference: Bootstrap[Counts]
    masks: Bootstrap[MaskCounts]
    scenes: dict[str, dict[str, Any]] = field(default_factory=dict)
    predictions: dict[str, dict[str, str]] = field(default_factory=dict)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``python -m roadmask evaluation``."""
    parser.add_argument("--predictions", type=Path, nargs="*", default=[], help="class rasters")
    parser.add_argument(
        "--probabilities", type=Path, nargs="*", default=[], help="probability rasters"
    )
    parser.add_argument("--masks", type=Path, nargs="+", required=True, help="label rasters")
    parser.add_argument("--dataset", type=Path, required=True, help="dataset.json")
    parser.add_argument("--split", type=Path, required=True, help="split.gpkg")
    parser.add_argument(
        "--model",
        dest="models",
        type=Path,
        nargs="*",
        default=[],
        help="the .keras files that predicted",
    )
    parser.add_argument(
        "--output",
        type=Path,
        required=True,
        help="metrics.json; tiles.csv and precision_recall.csv are written beside it",
    )
    parser.add_argument(
        f"--{TOLERANCE_KEY}", dest="tolerance", required=True, help="a distance on the ground"
    )
    add_source_arguments(parser, "reference")
    add_source_arguments(parser, "area")


def run(arguments: argparse.Namespace) -> None:
    """Score all scenes."""
    setup = _setup(arguments)
    scenes = _inputs(arguments)
    with environment(), replacing(arguments.output.with_name("tiles.csv")) as table:
        tolerances = 2 if _has_second_tolerance(scenes, setup.tolerance) else 1
        results = Results(
            labels=Bootstrap(Counts.zero(len(setup.names), tolerances)),
            reference=Bootstrap(Counts.zero(2, tolerances)),
            masks=Bootstrap(MaskCounts.zero()),
        )
        with table.open("w", encoding="utf-8", newline="") as file:
            writer = start_table(file, setup.names)
            for scene in scenes:
                _evaluate_scene(scene, setup, results, writer)
    made = _made_by(results, arguments.models)
    if not results.labels.total().confusion.any():
        log.warning(
            "no pixel of the test ground has both a known label and a prediction: "
            "the figures are null; see split.test and split.block"
        )
    _write_curves(arguments.output.with_name("precision_recall.csv"), results, setup)
    metrics = _metrics(results, setup, made)
    write_json(arguments.output, metrics)
    _report(metrics)


def _setup(arguments: argparse.Namespace) -> Setup:
    try:
        dataset = json.loads(arguments.dataset.read_text(encoding="utf-8"))
        names = ("other", *(name for name in dataset["classes"] if name != "other"))
        size, overlap = int(dataset["tile_size"]), int(dataset["tile_overlap"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            arguments.dataset,
            f"it does not describe a data set ({error!r})",
            "Remove it and run again",
        ) from error
    return Setup(
        names=names,
        # A reference is one layer of polygons: of the class road, or of the first.
        road=names.index("road") if "road" in names else 1,
        split=SplitFile(arguments.split),
        tolerance=parse_distance(arguments.tolerance, TOLERANCE_KEY),
        tile_size=size,
        tile_overlap=overlap,
        reference=source_from(arguments, "reference"),
        area=source_from(arguments, "area"),
    )


def _inputs(arguments: argparse.Namespace) -> list[Inputs]:
    """Bring the files of each scene together, in the order of their names."""
    masks, predictions, probabilities = (
        {path.stem: path for path in paths}
        for paths in (arguments.masks, arguments.predictions, arguments.probabilities)
    )
    unlabelled = sorted(predictions.keys() - masks.keys())
    if unlabelled:
        log.info("%d predictions have no mask and are left out", len(unlabelled))
    missing = sorted((predictions.keys() & masks.keys()) - probabilities.keys())
    if probabilities and missing:
        raise InputError(
            predictions[missing[0]], "its probability raster is not given", "Give all, or none"
        )
    return [
        Inputs(name, masks[name], predictions.get(name), probabilities.get(name))
        for name in sorted(masks)
    ]


def _has_second_tolerance(scenes: Sequence[Inputs], tolerance: Distance) -> bool:
    """Tell whether the ground has a size; scenes either all lie somewhere, or none does."""
    with _open(scenes[0].mask) as dataset:
        return tolerance.unit == "px" or dataset.crs is not None


def _evaluate_scene(
    scene: Inputs, setup: Setup, results: Results, table: csv.DictWriter[str]
) -> None:
    """Count one scene and its tiles."""
    with _opened(scene, setup) as files:
        task = _task(files, setup)
        tolerances = len(task.tolerances)
        labels, reference = Counts.zero(len(setup.names), tolerances), Counts.zero(2, tolerances)
        masks, blocks = MaskCounts.zero(), set[str]()
        for found in compare_scene(files, task):
            results.masks.add(found.blocks, found.masks)
            masks, blocks = masks + found.masks.over_all(), blocks | set(found.blocks)
            if found.labels is not None:
                results.labels.add(found.blocks, found.labels)
                labels = labels + found.labels.over_all()
            if found.reference is not None:
                results.reference.add(found.blocks, found.reference)
                reference = reference + found.reference.over_all()
        results.scenes[scene.name] = _scene_figures(labels, reference, masks, len(blocks), setup)
        if files.prediction is not None:
            results.predictions[str(scene.prediction)] = files.prediction.tags()
            for row in tile_rows(
                scene.name, files, files.prediction, task, setup.tile_size, setup.tile_overlap
            ):
                table.writerow(rounded(row, DECIMALS))
    log.info("%s: %d pixels of test ground", scene.name, labels.confusion.sum())


def _task(files: SceneFiles, setup: Setup) -> Task:
    grid = Grid.from_dataset(files.mask)
    tolerances: tuple[Tolerance, ...] = (RELAXED,)
    if setup.tolerance.unit == "px" or grid.crs is not None:
        tolerances = (RELAXED, Tolerance.on(setup.tolerance, grid, TOLERANCE_KEY))
    return Task(setup.names, setup.road, tolerances)


@contextmanager
def _opened(scene: Inputs, setup: Setup) -> Iterator[SceneFiles]:
    """Open a scene's rasters and read its polygons."""
    with ExitStack() as stack:
        mask = stack.enter_context(_open(scene.mask))
        grid = Grid.from_dataset(mask)
        others = []
        for path in (scene.prediction, scene.probability):
            others.append(None if path is None else stack.enter_context(_open(path)))
            if others[-1] is not None and Grid.from_dataset(others[-1]) != grid:
                raise InputError(
                    str(path),
                    f"its pixel grid is not that of {scene.mask}",
                    "Remove both and run again",
                )
        prediction, probability = others
        outputs = outputs_of(len(setup.names) - 1)
        if probability is not None and probability.count != outputs:
            raise InputError(
                str(scene.probability),
                f"it has {probability.count} bands, and the classes of the data set ask for "
                f"{outputs}",
                "Remove it and run again",
            )
        yield SceneFiles(
            mask=mask,
            blocks=BlockWindows(
                scene.name,
                grid,
                setup.split.on(scene.name, grid),
                _polygons(setup.area, grid, "area"),
            ),
            prediction=prediction,
            probability=probability,
            reference=_polygons(setup.reference, grid, "labels.reference"),
        )


def _open(path: Path) -> DatasetReader:
    try:
        return rasterio.open(path)
    except rasterio.errors.RasterioIOError as error:
        raise InputError(path, f"it can't be read ({error})", "Remove it and run again") from error


def _polygons(source: VectorSource | None, grid: Grid, key: str) -> PolygonWindows | None:
    if source is None:
        return None
    layer = read_layer(source, grid, grid.crs, key=key, kind="polygons", must_reach=False)
    return PolygonWindows(grid, list(layer.frame.geometry))


def _scene_figures(
    labels: Counts, reference: Counts, masks: MaskCounts, blocks: int, setup: Setup
) -> dict[str, Any]:
    """Return what is said of a single scene."""
    found = {"labels": _summary(labels, setup.names)}
    if setup.reference is not None:
        found["reference"] = _summary(reference, BINARY)
    found["masks"] = _masks(masks, blocks, setup)
    return found


def _made_by(results: Results, models: Sequence[Path]) -> dict[str, Any]:
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
                path, "its tags don't say how it was predicted", "Remove it and run again"
            ) from error
        if first is None:
            first, made = path, this
        elif this != made:
            raise InputError(
                path,
                f"it was predicted with another model or threshold than {first}",
                "Remove it and run again",
            )
    if models and first is not None and joint_sha256(models) != made["model_sha256"]:
        names = " and ".join(map(str, models))
        raise InputError(first, f"it was not predicted by {names}", "Remove it and run again")
    return made


def _metrics(results: Results, setup: Setup, made: dict[str, Any]) -> dict[str, Any]:
    """Return the content of ``metrics.json``."""
    outputs = outputs_of(len(setup.names) - 1)
    threshold = {"threshold": made["threshold"]}
    labels, reference = results.labels, results.reference
    masks = results.masks
    mask_figures = masks.total().scores(len(masks.blocks), with_truth=setup.reference is not None)
    metrics: dict[str, Any] = {
        "version": __version__,
        "model_sha256": made["model_sha256"],
        "relaxed_pixels": int(RELAXED.pixels),
        "tolerance": str(setup.tolerance),
        "bootstrap": method(),
        "labels": scores(labels.total(), setup.names, len(labels.blocks), outputs=outputs)
        | threshold,
    }
    if setup.reference is not None:
        metrics["reference"] = (
            scores(reference.total(), BINARY, len(reference.blocks), outputs=1) | threshold
        )
    metrics["masks"] = mask_figures
    metrics["masks"]["scenes"] = {
        name: found.pop("masks") for name, found in results.scenes.items()
    }
    metrics["scenes"] = results.scenes
    return {key: _rounded(value) for key, value in metrics.items()}


def _write_curves(path: Path, results: Results, setup: Setup) -> None:
    """Write precision and recall of each threshold; cells are empty where there is none."""
    columns = ["against", "class", "threshold", "precision", "recall", "iou"]
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        for against, total, names in (
            ("labels", results.labels.total(), setup.names),
            ("reference", results.reference.total(), BINARY),
        ):
            for name, histogram in zip(names[1:], total.probability[0][1:], strict=True):
                # Without a pixel of the class no threshold has a recall.
                for point in curve(histogram) if histogram[1].any() else []:
                    shown = {
                        key: None if math.isnan(value) else value for key, value in point.items()
                    }
                    writer.writerow(rounded({"against": against, "class": name} | shown, DECIMALS))


def _masks(counts: MaskCounts, blocks: int, setup: Setup) -> dict[str, Any]:
    found = stacked([counts]).scores(blocks, with_truth=setup.reference is not None)
    return {key: found[key] for key in ("iou", "unknown_share", "pixels")}


def _summary(counts: Counts, names: Sequence[str]) -> dict[str, Any]:
    found = scores(stacked([counts]), names)
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
