"""The command that predicts: which files, which settings, what is written.

It writes probabilities; `roadmask.predictions.classes` makes class rasters of them.
"""

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
from roadmask.files import write_json
from roadmask.grid import Grid
from roadmask.imagery import (
    Scale,
    check_imagery,
    check_network_bands,
    check_network_values,
    in_colour_order,
    parse_bands,
    read_network_input,
)
from roadmask.model.card import Card
from roadmask.model.joint import PIXEL_SIZE_SLACK, joint_name, joint_sha256, read_joint_card
from roadmask.polygon_windows import PolygonWindows
from roadmask.predictions.blending import NODATA, SCALE_TAG, probability_bytes
from roadmask.predictions.lattice import Lattice, Span, felt_reach
from roadmask.predictions.picture import Picture, Sheet, neighbours_of
from roadmask.predictions.resampling import interpolated, network_grid, open_on, scene_of
from roadmask.predictions.seams import SeamMeter
from roadmask.predictions.streaming import (
    SYMMETRIES,
    Inside,
    Window,
    averaged,
    blend_windows,
    in_thread,
    predict_windows,
    read_windows,
)
from roadmask.predictions.tone import Match, matches_of
from roadmask.raster import cog_writer, environment
from roadmask.tone.flight import Flight
from roadmask.vectors_io import VectorSource, add_source_arguments, read_layer, source_from

log = logging.getLogger("roadmask.predictions")

# The most windows that the network gets at once, and the most pixels of them: more is hardly
# faster on CPUs, and needs memory.
BATCH = 4
BATCH_PIXELS = BATCH * 512**2
SECONDS_BETWEEN_MESSAGES = 30.0
PREDICTION_BANDS = "prediction.bands"


@dataclass(frozen=True)
class Neighbour:
    """A scene beside another.

    Attributes
    ----------
    path
        Its COG.
    grid, seen
        Its pixels, and those in which the network sees it.
    place
        Column and row of its upper left pixel among those that the network sees.
    """

    path: Path
    grid: Grid
    seen: Grid
    place: tuple[int, int]


@dataclass(frozen=True)
class Scene:
    """A scene to predict, and where its windows lie.

    Attributes
    ----------
    path
        Its COG.
    grid
        Its pixels.
    seen
        The pixels in which the network sees it, which are its own where nothing is resampled.
    source
        What its COG was made from, as its tags say.
    neighbours
        Other scenes within reach, as the network sees them.
    columns, rows
        The windows along both axes, in the network's pixels.
    """

    path: Path
    grid: Grid
    seen: Grid
    source: str
    neighbours: tuple[Neighbour, ...]
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
    bands, scale
        What the network sees.
    has_stand_ins
        Whether other bands stand for those that the model's card names.
    lattice
        Where windows lie.
    area
        The ground that counts.
    tones
        By scene, how its picture is brought to the tone that the network was trained on;
        others stay as they are.
    tags
        What stands in every raster besides its source and its neighbours.
    """

    names: tuple[str, ...]
    bands: tuple[int, ...]
    scale: Scale | None
    has_stand_ins: bool
    lattice: Lattice
    area: VectorSource | None
    tones: dict[str, Match]
    tags: dict[str, str]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``python -m roadmask predictions``."""
    parser.add_argument("scenes", type=Path, nargs="+", help="scenes' COGs")
    parser.add_argument(
        "--model",
        dest="models",
        type=Path,
        nargs="+",
        required=True,
        help="the .keras file; of several, the mean of their probabilities counts",
    )
    parser.add_argument("--output-folder", type=Path, required=True)
    parser.add_argument(
        "--prediction.window", dest="window", type=int, required=True, help="pixels"
    )
    parser.add_argument(
        "--prediction.overlap",
        dest="overlap",
        type=int,
        help="pixels of halo on each side; by default as far as the network looks",
    )
    parser.add_argument(
        "--prediction.augmentation",
        dest="augmentation",
        choices=tuple(SYMMETRIES),
        default="none",
        help="the mean over the picture mirrored (flips), and turned too (turns), counts",
    )
    parser.add_argument(
        "--prediction.bands",
        dest="bands",
        help="the bands that stand for those of the model's card, in its order",
    )
    parser.add_argument(
        "--prediction.resample",
        dest="resample",
        type="true".__eq__,
        default=False,
        help="true: show imagery with other pixels to the network in those that it knows",
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
    card = read_joint_card(arguments.models)
    lattice = Lattice.of(arguments.window, arguments.overlap, card.input_stride, card.reach)
    settings = _settings(arguments, card, lattice)
    symmetries = SYMMETRIES[arguments.augmentation]
    _tell_cost(lattice, card, len(symmetries) * len(arguments.models))
    with environment():
        told = " and ".join(map(str, arguments.models))
        scenes = _scenes(arguments, told, card, settings)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # TensorFlow takes seconds to import: all that can be refused was refused before.
    from roadmask.predictions.network import load_network, set_threads  # noqa: PLC0415

    set_threads(arguments.threads)
    started = time.monotonic()
    batch = max(1, min(BATCH, BATCH_PIXELS // lattice.window**2))
    networks = [
        load_network(path, lattice.window, len(settings.bands), len(settings.names), batch)
        for path in arguments.models
    ]
    network = averaged(networks, symmetries)
    log.info("%s loaded in %.1f s", joint_name(arguments.models), time.monotonic() - started)
    with (
        in_thread(_read(scenes, settings), 2 * batch) as windows,
        in_thread(predict_windows(windows, network, batch), batch) as answers,
    ):
        for index, answered in groupby(answers, key=lambda pair: pair[0]):
            _write(
                scenes[index], (window for _, window in answered), settings, arguments.output_folder
            )


def _tell_cost(lattice: Lattice, card: Card, answers: int) -> None:
    """Say what the halo costs and what it leaves, and what averaging costs."""
    felt = felt_reach(card.reach)
    is_spared = felt is not None and felt <= lattice.margin
    looks = "over the whole window" if card.reach is None else f"{card.reach} pixels far"
    log.info(
        "windows of %d pixels with a halo of %d; the network looks %s%s; "
        "it sees %.2f times the pixels of a large sheet%s",
        lattice.window,
        lattice.margin,
        looks,
        ", so no window's edge is felt" if is_spared else ", so a window's edge may be felt",
        lattice.cost,
        "" if answers == 1 else f", {answers} times each",
    )


def _settings(arguments: argparse.Namespace, card: Card, lattice: Lattice) -> Settings:
    """Put together what the command line and the model's card say."""
    classes = tuple(card.classes)
    names = classes if card.outputs == 1 else ("other", *classes)
    bands = tuple(card.bands)
    if arguments.bands is not None:
        bands = parse_bands(arguments.bands, PREDICTION_BANDS, repeated=True)
        if len(bands) != len(card.bands):
            raise SettingError(
                PREDICTION_BANDS,
                f"{len(bands)} bands, and the network sees {len(card.bands)}",
                "Name the band that stands for each of the network's bands, in its order: "
                f"{', '.join(map(str, card.bands))} of the imagery that it was trained on",
            )
    area = source_from(arguments, "area")
    written = {
        "prediction.window": arguments.window,
        "prediction.overlap": lattice.margin if arguments.overlap is None else arguments.overlap,
        "prediction.augmentation": arguments.augmentation,
        "prediction.bands": list(bands),
        "prediction.resample": arguments.resample,
        "prediction.tone": "match" if arguments.flights else "none",
        "area": None if area is None else [area.name, area.layer, area.where],
    }
    return Settings(
        names=names,
        bands=bands,
        scale=card.scale,
        has_stand_ins=arguments.bands is not None,
        lattice=lattice,
        area=area,
        tones=matches_of(
            [Flight.read(path) for path in arguments.flights], card, joint_name(arguments.models)
        ),
        tags={
            "ROADMASK_VERSION": __version__,
            "ROADMASK_CLASSES": json.dumps(["other", *classes], ensure_ascii=False),
            "ROADMASK_MODEL": joint_name(arguments.models),
            "ROADMASK_MODEL_SHA256": joint_sha256(arguments.models),
            "ROADMASK_SETTINGS": json.dumps(written),
        },
    )


def _scenes(
    arguments: argparse.Namespace, model: str, card: Card, settings: Settings
) -> list[Scene]:
    """Check all scenes before anything slow begins, and lay out their windows."""
    paths: Sequence[Path] = arguments.scenes
    duplicates = {path.stem for path in paths if [x.stem for x in paths].count(path.stem) > 1}
    if duplicates:
        raise InputError(
            next(path for path in paths if path.stem in duplicates),
            "two scenes have this name, so one prediction would replace the other",
            "Rename one of the two",
        )
    candidates = sorted(set(arguments.neighbours), key=lambda path: path.name)
    grids, seen_grids = [], []
    for path in candidates:
        with _open(path) as dataset:
            grids.append(Grid.from_dataset(dataset))
        seen_grids.append(_seen(path, grids[-1], card, resample=arguments.resample))
    scenes = []
    for path in paths:
        with _open(path) as dataset:
            _check_bands(dataset, path, model, settings)
            grid = Grid.from_dataset(dataset)
            source = dataset.tags().get("ROADMASK_SOURCE", path.name)
        seen = _seen(path, grid, card, resample=arguments.resample)
        _compare_pixels(path, seen, model, card)
        # The window beyond the last pixel with a weight looks no farther than this.
        beside = neighbours_of(seen, seen_grids, settings.lattice.window)
        columns, rows = settings.lattice.spans(seen)
        scenes.append(
            Scene(
                path=path,
                grid=grid,
                seen=seen,
                source=source,
                neighbours=tuple(
                    Neighbour(candidates[index], grids[index], seen_grids[index], place)
                    for index, place in beside
                ),
                columns=columns,
                rows=rows,
            )
        )
    return scenes


def _seen(path: Path, grid: Grid, card: Card, *, resample: bool) -> Grid:
    """Return the pixels in which the network sees a scene."""
    if not resample:
        return grid
    if grid.crs is None or not card.pixel_metres:
        what = "it lies nowhere on the ground" if grid.crs is None else "the network's is not known"
        raise InputError(
            path,
            f"prediction.resample needs the size of a pixel, and {what}",
            "Write prediction.resample: false",
        )
    is_near = abs(grid.ground_sample_distance / card.pixel_metres - 1) <= PIXEL_SIZE_SLACK
    return grid if is_near else network_grid(grid, card.pixel_metres, path)


def _open(path: Path) -> DatasetReader:
    try:
        return rasterio.open(path)
    except rasterio.errors.RasterioIOError as error:
        raise InputError(path, f"it can't be read ({error})", "Remove it and run again") from error


def _check_bands(dataset: DatasetReader, path: Path, model: str, settings: Settings) -> None:
    """Refuse a scene without the bands that the network sees."""
    check_network_bands(dataset, settings.bands, model, are_stand_ins=settings.has_stand_ins)
    check_network_values(dataset, settings.bands, settings.scale, f"the network {model}")
    check_imagery(dataset, settings.bands, settings.scale)
    in_order = in_colour_order(dataset, settings.bands)
    if in_order != list(settings.bands):
        log.warning(
            "%s: its bands %s are not red, green and blue in this order, as the file says; unless "
            "%s was trained on such, write prediction.bands: %s",
            path,
            ", ".join(map(str, settings.bands[:3])),
            model,
            in_order,
        )


def _compare_pixels(path: Path, grid: Grid, model: str, card: Card) -> None:
    """Warn where a network sees ground of another size in a pixel than it was trained on."""
    if grid.crs is None or not card.pixel_metres:
        return
    ratio = grid.ground_sample_distance / card.pixel_metres
    if abs(ratio - 1) > PIXEL_SIZE_SLACK:
        log.warning(
            "%s: its pixels measure %.3g m, those that %s was trained on %.3g m; "
            "expect poor predictions, or write prediction.resample: true",
            path,
            grid.ground_sample_distance,
            model,
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
        match = settings.tones.get(scene_of(dataset))
        return (picture if match is None else match.applied(picture, valid)), valid

    for index, scene in enumerate(scenes):
        with ExitStack() as stack:
            stack.enter_context(environment())
            sheets = [Sheet(open_on(scene.path, scene.grid, scene.seen, stack), 0, 0)]
            for other in scene.neighbours:
                neighbour = open_on(other.path, other.grid, other.seen, stack)
                if _fits(neighbour, scene, settings):
                    sheets.append(Sheet(neighbour, *other.place))
            picture = Picture(scene.seen, sheets, read_input, len(settings.bands))
            for window in read_windows(
                picture,
                scene.columns,
                scene.rows,
                settings.lattice.window,
                scene.seen.width,
                scene.seen.height,
                _inside(scene.seen, settings.area),
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


def _names_beside(scene: Scene) -> list[str]:
    return sorted(other.path.stem for other in scene.neighbours)


def _record(scene: Scene, lattice: Lattice, seams: SeamMeter) -> dict[str, object]:
    """Return how a scene was cut into windows, and how much that shows."""
    return {
        "scene": scene.name,
        "neighbours": _names_beside(scene),
        "pixel_metres": scene.seen.ground_sample_distance,
        "window": lattice.window,
        "halo": lattice.margin,
        "step": lattice.step,
        "windows": len(scene.columns) * len(scene.rows),
        "seam": seams.as_json(),
    }


def _inside(grid: Grid, area: VectorSource | None) -> Inside | None:
    """Return what tells where rows of a grid lie inside `area`."""
    if area is None:
        return None
    layer = read_layer(area, grid, grid.crs, key="area", kind="polygons", must_reach=False)
    ground = PolygonWindows(grid, list(layer.frame.geometry))
    return lambda first, rows: ground.read(0, first, grid.width, rows)


def _rows(
    scene: Scene, windows: Iterable[Window], settings: Settings, seams: SeamMeter
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Blend the answers for one scene, on its own pixels, and measure the seams.

    Yields
    ------
    (int, numpy.ndarray, numpy.ndarray)
        As `roadmask.predictions.streaming.blend_windows`.
    """
    seen = scene.seen
    blended = blend_windows(
        windows, scene.rows, seen.width, seen.height, len(settings.names), seams
    )
    blended = (strip for strip in blended if len(strip[1]))
    if seen == scene.grid:
        yield from blended
        return
    inside = _inside(scene.grid, settings.area)
    with rasterio.open(scene.path) as dataset:
        for first, values in interpolated(
            ((first, values) for first, values, _ in blended), seen, scene.grid
        ):
            place = RasterWindow(0, first, scene.grid.width, len(values))
            _, valid = read_network_input(dataset, place, settings.bands, settings.scale)
            yield first, values, valid if inside is None else valid & inside(first, len(values))


def _write(scene: Scene, windows: Iterable[Window], settings: Settings, folder: Path) -> None:
    """Blend the answers for one scene and write its rasters."""
    grid = scene.grid
    started = reported = time.monotonic()
    tone = settings.tones.get(scene.name)
    tags = settings.tags | {
        "ROADMASK_SOURCE": scene.source,
        "ROADMASK_NEIGHBOURS": ",".join(_names_beside(scene)),
        "ROADMASK_TONE": "as it is" if tone is None else tone.description,
        SCALE_TAG: "probability = value / 254; 255: no picture",
    }
    seams = SeamMeter(scene.columns, scene.rows, scene.seen.width, scene.seen.height)
    with cog_writer(
        folder / "probability" / f"{scene.name}.tif",
        grid,
        count=len(settings.names),
        nodata=NODATA,
        descriptions=settings.names,
        tags=tags,
        overview_resampling="average",
    ) as probabilities:
        for first, values, valid in _rows(scene, windows, settings, seams):
            place = RasterWindow(0, first, grid.width, len(values))
            probabilities.write(probability_bytes(values, valid), window=place)
            if time.monotonic() - reported > SECONDS_BETWEEN_MESSAGES:
                reported = time.monotonic()
                log.info("%s: %d of %d rows", scene.name, first + len(values), grid.height)
    write_json(folder / f"{scene.name}.json", _record(scene, settings.lattice, seams))
    seconds = time.monotonic() - started
    log.info("%s: %d x %d pixels in %.1f s", scene.name, grid.width, grid.height, seconds)
