"""The command of stage `predictions`: which files, which settings, what is written."""

from __future__ import annotations

import argparse
import json
import logging
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import rasterio
from rasterio.io import DatasetReader
from rasterio.windows import Window as RasterWindow

from roadmask import __version__
from roadmask.errors import InputError, RoadmaskError, SettingError
from roadmask.files import sha256
from roadmask.grid import Grid
from roadmask.imagery import Scale, check_imagery, check_network_bands, read_network_input
from roadmask.model.card import Card, read_card
from roadmask.polygon_windows import PolygonWindows
from roadmask.predictions.blending import NODATA, classes_of, probability_bytes
from roadmask.predictions.lattice import Lattice, Span
from roadmask.predictions.picture import Picture, Sheet, neighbours_of
from roadmask.predictions.streaming import (
    Window,
    blend_windows,
    in_thread,
    predict_windows,
    read_windows,
)
from roadmask.predictions.tone import Match, matches_of
from roadmask.raster import cog_writer, environment
from roadmask.style import (
    Rgb,
    colour_table,
    legend,
    write_category_names,
    write_paletted_qml,
)
from roadmask.tone.flight import Flight
from roadmask.vectors_io import VectorSource, add_source_arguments, read_layer, source_from

log = logging.getLogger("roadmask.predictions")

# Windows that the network gets at once: more is hardly faster on CPUs, and needs memory.
BATCH = 4
# A picture whose pixels differ by more than this from those trained on gets a warning.
PIXEL_SIZE_SLACK = 0.05
SECONDS_BETWEEN_MESSAGES = 30.0


@dataclass(frozen=True)
class Scene:
    """A scene to predict, and where its windows lie.

    Attributes
    ----------
    path
        Its COG.
    grid
        Its pixels.
    source
        What its COG was made from, as its tags say.
    neighbours
        Other scenes within reach, with the column and row of their upper left pixel.
    columns, rows
        The windows along both axes.
    """

    path: Path
    grid: Grid
    source: str
    neighbours: tuple[tuple[Path, tuple[int, int]], ...]
    columns: list[Span]
    rows: list[Span]

    @property
    def name(self) -> str:
        """The scene's name."""
        return self.path.stem


@dataclass(frozen=True)
class Settings:
    """What is the same for all scenes of a job.

    Attributes
    ----------
    names
        The bands of the probability raster, in order.
    classes, colours
        The classes that count from 1, in order, and their red, green and blue.
    bands, scale
        What the network sees, as in the model's card.
    window
        Pixels that the network sees, along one axis.
    threshold
        From which probability a pixel is the class; None where the most probable wins.
    area
        The ground that counts.
    tones
        By scene, how its picture is brought to the tone that the network was trained on;
        others stay as they are.
    tags
        What stands in every raster besides its source and its neighbours.
    """

    names: tuple[str, ...]
    classes: tuple[str, ...]
    colours: tuple[Rgb, ...]
    bands: tuple[int, ...]
    scale: Scale | None
    window: int
    threshold: float | None
    area: VectorSource | None
    tones: dict[str, Match]
    tags: dict[str, str]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``python -m roadmask predictions``."""
    parser.add_argument("scenes", type=Path, nargs="+", help="scenes' COGs")
    parser.add_argument("--model", type=Path, required=True, help="the .keras file")
    parser.add_argument("--output-folder", type=Path, required=True)
    parser.add_argument(
        "--prediction.window", dest="window", type=int, required=True, help="pixels"
    )
    parser.add_argument(
        "--prediction.overlap",
        dest="overlap",
        type=int,
        required=True,
        help="pixels of halo on each side",
    )
    parser.add_argument(
        "--prediction.threshold",
        dest="threshold",
        type=float,
        help="by default the one chosen on validation, from the model's card",
    )
    parser.add_argument(
        "--neighbours",
        type=Path,
        nargs="*",
        default=[],
        help="scenes that may lie beside these; only those within the halo are read",
    )
    parser.add_argument(
        "--flights",
        type=Path,
        nargs="*",
        default=[],
        help="of the scenes to bring to the tone that the network was trained on, JSON",
    )
    add_source_arguments(parser, "area")
    parser.add_argument("--threads", type=int, default=1)


def run(arguments: argparse.Namespace) -> None:
    """Predict all scenes with one start of TensorFlow."""
    card = read_card(arguments.model)
    lattice = Lattice.of(arguments.window, arguments.overlap, card.input_stride)
    settings = _settings(arguments, card, lattice.window)
    with environment():
        scenes = _scenes(arguments.scenes, arguments.neighbours, arguments.model, card, lattice)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # TensorFlow takes seconds to import: all that can be refused was refused before.
    from roadmask.predictions.network import load_network, set_threads  # noqa: PLC0415

    set_threads(arguments.threads)
    started = time.monotonic()
    network = load_network(
        arguments.model, settings.window, len(settings.bands), len(settings.names), BATCH
    )
    log.info("%s loaded in %.1f s", arguments.model.name, time.monotonic() - started)
    with (
        in_thread(_read(scenes, settings), 2 * BATCH) as windows,
        in_thread(predict_windows(windows, network, BATCH), BATCH) as answers,
    ):
        for index, answered in groupby(answers, key=lambda pair: pair[0]):
            _write(
                scenes[index], (window for _, window in answered), settings, arguments.output_folder
            )


def _settings(arguments: argparse.Namespace, card: Card, window: int) -> Settings:
    """Put together what the command line and the model's card say."""
    classes = tuple(card.classes)
    names = classes if card.outputs == 1 else ("other", *classes)
    threshold = card.threshold if arguments.threshold is None else float(arguments.threshold)
    if card.outputs > 1 and arguments.threshold is not None:
        log.warning(
            "prediction.threshold is not used: of %d classes the most probable wins", len(names)
        )
        threshold = None
    if threshold is not None and not 0 < threshold <= 1:
        raise SettingError(
            "prediction.threshold",
            f"{threshold:g} is no probability above 0",
            "Write a number above 0 and up to 1, or null for the model's own",
        )
    area = source_from(arguments, "area")
    written = {
        "prediction.window": arguments.window,
        "prediction.overlap": arguments.overlap,
        "prediction.threshold": threshold,
        "area": None if area is None else [area.name, area.layer, area.where],
    }
    return Settings(
        names=names,
        classes=classes,
        colours=card.colours,
        bands=tuple(card.bands),
        scale=card.scale,
        window=window,
        threshold=threshold,
        area=area,
        tones=matches_of([Flight.read(path) for path in arguments.flights], card, arguments.model),
        tags={
            "ROADMASK_VERSION": __version__,
            "ROADMASK_CLASSES": json.dumps(["other", *classes], ensure_ascii=False),
            "ROADMASK_MODEL": arguments.model.name,
            "ROADMASK_MODEL_SHA256": sha256(arguments.model),
            "ROADMASK_SETTINGS": json.dumps(written),
        },
    )


def _scenes(
    paths: Sequence[Path], others: Sequence[Path], model: Path, card: Card, lattice: Lattice
) -> list[Scene]:
    """Check all scenes before anything slow begins, and lay out their windows."""
    duplicates = {path.stem for path in paths if [x.stem for x in paths].count(path.stem) > 1}
    if duplicates:
        raise InputError(
            next(path for path in paths if path.stem in duplicates),
            "two scenes have this name, so one prediction would replace the other",
            "Rename one of the two",
        )
    candidates = sorted(set(others), key=lambda path: path.name)
    grids = []
    for path in candidates:
        with _open(path) as dataset:
            grids.append(Grid.from_dataset(dataset))
    # The window beyond the last pixel with a weight looks no farther than this.
    reach = lattice.window
    scenes = []
    for path in paths:
        with _open(path) as dataset:
            check_network_bands(dataset, card.bands, model)
            check_imagery(dataset, card.bands, card.scale)
            grid = Grid.from_dataset(dataset)
            source = dataset.tags().get("ROADMASK_SOURCE", path.name)
        _compare_pixels(path, grid, model, card)
        beside = neighbours_of(grid, grids, reach)
        columns, rows = lattice.spans(grid)
        scenes.append(
            Scene(
                path=path,
                grid=grid,
                source=source,
                neighbours=tuple((candidates[index], place) for index, place in beside),
                columns=columns,
                rows=rows,
            )
        )
    return scenes


def _open(path: Path) -> DatasetReader:
    try:
        return rasterio.open(path)
    except rasterio.errors.RasterioIOError as error:
        raise InputError(path, f"it can't be read ({error})", "Remove it and run again") from error


def _compare_pixels(path: Path, grid: Grid, model: Path, card: Card) -> None:
    """Warn where a network sees ground of another size in a pixel than it was trained on."""
    if grid.crs is None or not card.pixel_metres:
        return
    ratio = grid.ground_sample_distance / card.pixel_metres
    if abs(ratio - 1) > PIXEL_SIZE_SLACK:
        log.warning(
            "%s: its pixels measure %.3g m, those that %s was trained on %.3g m; "
            "expect poor predictions, or resample the imagery first",
            path,
            grid.ground_sample_distance,
            model.name,
            card.pixel_metres,
        )


def _read(scenes: Sequence[Scene], settings: Settings) -> Iterator[tuple[int, Window]]:
    """Read the windows of all scenes, each with its scene's index."""

    def read_input(
        dataset: DatasetReader, x: int, y: int, width: int, height: int
    ) -> tuple[np.ndarray, np.ndarray]:
        picture, valid = read_network_input(
            dataset, RasterWindow(x, y, width, height), settings.bands, settings.scale
        )
        match = settings.tones.get(Path(dataset.name).stem)
        return (picture if match is None else match.applied(picture, valid)), valid

    for index, scene in enumerate(scenes):
        with ExitStack() as stack:
            stack.enter_context(environment())
            sheets = [Sheet(stack.enter_context(rasterio.open(scene.path)), 0, 0)]
            for path, (x, y) in scene.neighbours:
                neighbour = stack.enter_context(rasterio.open(path))
                if _fits(neighbour, scene, settings):
                    sheets.append(Sheet(neighbour, x, y))
            picture = Picture(scene.grid, sheets, read_input, len(settings.bands))
            ground = _ground(scene, settings.area)
            inside = None
            if ground is not None:

                def inside(
                    first: int,
                    rows: int,
                    ground: PolygonWindows = ground,
                    width: int = scene.grid.width,
                ) -> np.ndarray:
                    return ground.read(0, first, width, rows)

            for window in read_windows(
                picture,
                scene.columns,
                scene.rows,
                settings.window,
                scene.grid.width,
                scene.grid.height,
                inside,
            ):
                yield index, window


def _fits(neighbour: DatasetReader, scene: Scene, settings: Settings) -> bool:
    """Tell whether a neighbour has what the network sees; say so where it has not."""
    try:
        if max(settings.bands) > neighbour.count:
            raise InputError(neighbour.name, f"it has {neighbour.count} bands")
        check_imagery(neighbour, settings.bands, settings.scale)
    except RoadmaskError as error:
        log.warning("%s: its neighbour can't be used beyond its border: %s", scene.path, error)
        return False
    return True


def _ground(scene: Scene, area: VectorSource | None) -> PolygonWindows | None:
    """Read the polygons of `area` on a scene."""
    if area is None:
        return None
    layer = read_layer(
        area, scene.grid, scene.grid.crs, key="area", kind="polygons", must_reach=False
    )
    return PolygonWindows(scene.grid, list(layer.frame.geometry))


def _write(scene: Scene, windows: Iterable[Window], settings: Settings, folder: Path) -> None:
    """Blend the answers for one scene and write its rasters."""
    grid = scene.grid
    started = reported = time.monotonic()
    tags = settings.tags | {
        "ROADMASK_SOURCE": scene.source,
        "ROADMASK_NEIGHBOURS": ",".join(sorted(path.stem for path, _ in scene.neighbours)),
    }
    if scene.name in settings.tones:
        tags["ROADMASK_TONE"] = settings.tones[scene.name].description
    with ExitStack() as stack:
        classes = stack.enter_context(
            cog_writer(
                folder / f"{scene.name}.tif",
                grid,
                nodata=NODATA,
                colormap=colour_table(settings.classes, settings.colours),
                descriptions=["class"],
                tags=tags,
                overview_resampling="mode",
            )
        )
        probabilities = stack.enter_context(
            cog_writer(
                folder / "probability" / f"{scene.name}.tif",
                grid,
                count=len(settings.names),
                nodata=NODATA,
                descriptions=settings.names,
                tags=tags | {"ROADMASK_SCALE": "probability = value / 254; 255: no picture"},
                overview_resampling="average",
            )
        )
        for first, values, valid in blend_windows(
            windows, scene.rows, grid.width, grid.height, len(settings.names)
        ):
            if not len(values):
                continue
            place = RasterWindow(0, first, grid.width, len(values))
            values_bytes = probability_bytes(values, valid)
            probabilities.write(values_bytes, window=place)
            classes.write(classes_of(values_bytes, settings.threshold), 1, window=place)
            if time.monotonic() - reported > SECONDS_BETWEEN_MESSAGES:
                reported = time.monotonic()
                log.info("%s: %d of %d rows", scene.name, first + len(values), grid.height)
    write_category_names(folder / f"{scene.name}.tif", settings.classes)
    write_paletted_qml(folder / f"{scene.name}.qml", legend(settings.classes, settings.colours))
    seconds = time.monotonic() - started
    log.info("%s: %d x %d pixels in %.1f s", scene.name, grid.width, grid.height, seconds)
