"""Read a scene's lines, polygons or ready mask, label the scene, and write it for QGIS."""

from __future__ import annotations

import argparse
import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import geopandas as gpd
import numpy as np
import rasterio
import shapely
from shapely import Polygon
from shapely.geometry.base import BaseGeometry

from roadmask import __version__
from roadmask.classes import ClassTable
from roadmask.distance import parse_distance
from roadmask.errors import InputError, OutOfReachError, SettingError
from roadmask.files import write_json
from roadmask.grid import Grid
from roadmask.lines import MAPPED, read_vectors
from roadmask.masks.buffer import buffer_labels
from roadmask.masks.pieces import Findings, describe, whole_sheet, write_pieces
from roadmask.masks.polygons import burn_polygons, polygon_labels
from roadmask.masks.raster import raster_labels
from roadmask.masks.regions import label_regions
from roadmask.raster import environment, read_window, write_cog
from roadmask.shift import Shift, parse_shift
from roadmask.style import (
    OTHER,
    UNKNOWN,
    colour_table,
    legend,
    write_category_names,
    write_paletted_qml,
)
from roadmask.tiles import inside_area
from roadmask.vectors_io import add_source_arguments, mapped_ground, read_layer, source_from

log = logging.getLogger("roadmask.masks")

# Share of the ceiling on widths above which the middle street's width says that it is too low.
NEAR_CEILING = 0.8

Source = TypeVar("Source", Path, str)

METHODS = ("regions", "buffer", "polygons", "raster")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument("scene", type=Path, help="the scene as GeoTIFF")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--pieces", type=Path, help="GeoPackage for the evidence, method regions")
    parser.add_argument("--lines", type=Path, help="the scene's lines as raster")
    parser.add_argument("--vectors", type=Path, help="the scene's lines as GeoPackage")
    parser.add_argument("--labels.method", dest="method", choices=METHODS, required=True)
    parser.add_argument("--classes", type=json.loads, required=True, help="as JSON")
    parser.add_argument("--labels.max_road_width", dest="max_road_width", default="150 ft")
    # No Path, which would make /vsizip//x.zip and /vsicurl/https://x something else.
    parser.add_argument("--labels.raster", dest="raster")
    parser.add_argument("--labels.threshold", dest="threshold", type=float, default=127.0)
    parser.add_argument("--labels.raster.resample", dest="resample", choices=("nearest",))
    parser.add_argument("--labels.raster.tolerance", dest="tolerance", type=int, default=0)
    parser.add_argument("--labels.ends", dest="ends", choices=("flat", "round"), default="flat")
    parser.add_argument("--labels.polygons.field", dest="polygons_field")
    parser.add_argument("--labels.shift", dest="shift", help='such as "3 ft,-2 ft"')
    for key in ("labels.polygons", "labels.islands", "area"):
        add_source_arguments(parser, key)
    parser.add_argument(
        "--for-comparison",
        action="store_true",
        help="the map may end on the scene or before it: what lies beyond is not known",
    )


def run(arguments: argparse.Namespace) -> None:
    """Label one scene.

    Raises
    ------
    InputError
        If a file can't be read or lies on another grid.
    SettingError
        If the method lacks what it labels from.
    """
    classes = ClassTable.parse(arguments.classes)
    with environment():
        with rasterio.open(arguments.scene) as dataset:
            grid = Grid.from_dataset(dataset)
        shift = parse_shift(arguments.shift)
        labels, counts, evidence = _label(arguments, grid, classes, shift)
        labels = labels.copy()
        if arguments.for_comparison:
            beyond = _beyond_map(arguments, grid, counts)
            if beyond is not None:
                labels[beyond] = UNKNOWN
        islands = _polygons(arguments, "labels.islands", grid, shift)
        if islands is not None:
            burn_polygons(labels, islands, grid, OTHER)
        area = _polygons(arguments, "area", grid)
        if area is not None:
            inside = inside_area(shapely.union_all(area), grid)
            if inside is not None:
                labels[~inside] = UNKNOWN
        if evidence is not None and arguments.pieces is not None:
            write_pieces(arguments.pieces, *evidence.describe(grid, labels))
        # Half of the job's memory, which writing needs as well.
        del evidence
        write_cog(
            arguments.output,
            grid,
            labels,
            nodata=UNKNOWN,
            colormap=colour_table(classes.names, classes.colours),
            descriptions=["label"],
            tags={
                "ROADMASK_VERSION": __version__,
                "ROADMASK_SCENE": arguments.scene.stem,
                "ROADMASK_CLASSES": json.dumps(classes.all_names, ensure_ascii=False),
                "ROADMASK_SETTINGS": json.dumps(_settings(arguments), sort_keys=True),
            },
        )
    write_paletted_qml(arguments.output.with_suffix(".qml"), legend(classes.names, classes.colours))
    write_category_names(arguments.output, classes.names)
    summary = {
        "scene": arguments.scene.stem,
        "method": arguments.method,
        "shares": _shares(labels, classes),
        "single_value": _single_value(labels, classes),
        **counts,
    }
    if summary["single_value"] is not None:
        log.warning(
            "%s: its label is one value all over: %s",
            arguments.scene.stem,
            summary["single_value"],
        )
    write_json(arguments.output.with_suffix(".json"), summary)
    shares = ", ".join(f"{name} {share:.2%}" for name, share in summary["shares"].items())
    log.info("%s: %s", arguments.scene.stem, shares)


def _label(
    arguments: argparse.Namespace, grid: Grid, classes: ClassTable, shift: Shift | None
) -> tuple[np.ndarray, dict[str, int], _Evidence | None]:
    """Return the labels on the scene's grid, what there is to count, and what decided.

    The lines that `regions` and `buffer` take were moved when they were read.
    """
    if arguments.method == "regions":
        return _from_regions(arguments, grid)
    if arguments.method == "buffer":
        vectors = _required(arguments.vectors, "--vectors", arguments.method)
        centerlines = read_vectors(vectors, "centerlines")
        widest = parse_distance(arguments.max_road_width, "labels.max_road_width")
        metres = widest.on_ground(grid.ground_sample_distance)
        labels = buffer_labels(centerlines, grid, metres, arguments.ends)
        unknown = int(centerlines["width_m"].isna().sum())
        counts = {"centerlines": len(centerlines), "centerlines_without_width": unknown}
        return labels, counts, None
    if arguments.method == "polygons":
        source = source_from(arguments, "labels.polygons")
        if source is None:
            raise SettingError(
                "labels.polygons.path", "labels.method: polygons needs it", "Name the polygon layer"
            )
        field = arguments.polygons_field
        ground = grid if shift is None else shift.origin(grid)
        layer = read_layer(
            source,
            ground,
            grid.crs,
            key="labels.polygons",
            kind="polygons",
            columns=() if field is None else (field,),
            columns_key="labels.polygons.field",
            must_reach=not arguments.for_comparison,
        )
        frame = layer.frame if shift is None else shift.move(layer.frame, grid)
        return polygon_labels(frame, grid, classes, field), {"polygons": len(frame)}, None
    try:
        raster = raster_labels(
            _required(arguments.raster, "labels.raster", arguments.method),
            grid,
            classes,
            arguments.threshold,
            resample=arguments.resample,
            tolerance=arguments.tolerance,
        )
    except OutOfReachError as error:
        if not arguments.for_comparison:
            raise
        log.warning("%s", error)
        return np.full(grid.shape, UNKNOWN, dtype=np.uint8), {}, None
    labels = raster.labels if shift is None else shift.move_raster(raster.labels, grid)
    return labels, raster.counts, None


def _beyond_map(
    arguments: argparse.Namespace, grid: Grid, counts: dict[str, int]
) -> np.ndarray | None:
    """Tell which pixels the map says nothing of; None where there are none.

    A ready mask says so itself.
    """
    if arguments.method == "raster":
        return None
    if arguments.method != "polygons":
        vectors = _required(arguments.vectors, "--vectors", arguments.method)
        ground: BaseGeometry = shapely.union_all(read_vectors(vectors, MAPPED).geometry.to_numpy())
    else:
        key = "labels.polygons"
        source = source_from(arguments, key)
        ground = Polygon()
        if source is not None and grid.crs is not None and counts["polygons"] > 0:
            ground = mapped_ground([(source, key)], grid, grid.crs)
    inside = inside_area(ground, grid)
    return None if inside is None else ~inside


@dataclass(frozen=True)
class _Evidence:
    """What a label was decided from: the findings on a grid, and the centerlines."""

    findings: Findings | None
    wide: Grid
    centerlines: gpd.GeoDataFrame

    def describe(self, grid: Grid, mask: np.ndarray) -> tuple[gpd.GeoDataFrame, gpd.GeoDataFrame]:
        """Return the pieces and throats of a sheet whose label is written as `mask`."""
        if self.findings is None and len(self.centerlines):
            return whole_sheet(grid, UNKNOWN, "no_lines", mask)
        if self.findings is None:
            return whole_sheet(grid, OTHER, "no_centerline", mask)
        return describe(
            self.findings,
            self.wide,
            grid,
            self.centerlines["source_fid"].to_numpy(dtype=np.int64),
            self.centerlines["width_m"].to_numpy(dtype=float),
            mask,
        )


def _from_regions(
    arguments: argparse.Namespace, grid: Grid
) -> tuple[np.ndarray, dict[str, int], _Evidence]:
    lines = _required(arguments.lines, "--lines", arguments.method)
    vectors = _required(arguments.vectors, "--vectors", arguments.method)
    with rasterio.open(lines) as dataset:
        wide = Grid.from_dataset(dataset)
        try:
            x, y = wide.offset_of(grid)
        except ValueError as error:
            raise InputError(
                lines, f"its grid does not fit the scene's: {error}", "Make it again"
            ) from error
        barrier = read_window(dataset, 0, 0, wide.width, wide.height, bands=[1])[0]
    centerlines = read_vectors(vectors, "centerlines")
    street_lines = read_vectors(vectors, "street_lines")
    widest = parse_distance(arguments.max_road_width, "labels.max_road_width")
    ceiling = widest.on_ground(grid.ground_sample_distance)
    result = label_regions(
        wide,
        barrier,
        street_lines.geometry.to_numpy(),
        centerlines.geometry.to_numpy(),
        ceiling,
        centerlines["width_m"].to_numpy(dtype=float),
    )
    if not len(street_lines) and len(centerlines):
        log.warning(
            "%s: centerlines but no street line: nothing of it is known", arguments.scene.stem
        )
    if result.usual_width > NEAR_CEILING * ceiling:
        log.warning(
            "%s: labels.max_road_width is %s, and every other street here is %.0f %% of that or "
            "wider: wider ones are lost. Give at least the widest road's width",
            arguments.scene.stem,
            arguments.max_road_width,
            100 * result.usual_width / ceiling,
        )
    cut = result.labels[y : y + grid.height, x : x + grid.width]
    return cut, result.counts, _Evidence(result.findings, wide, centerlines)


def _required(path: Source | None, option: str, method: str) -> Source:
    if path is None:
        raise SettingError(option, f"labels.method: {method} needs it", "Name the file")
    return path


def _polygons(
    arguments: argparse.Namespace, key: str, grid: Grid, shift: Shift | None = None
) -> np.ndarray | None:
    """Return the polygons of a layer on the scene, None where no layer is given."""
    source = source_from(arguments, key)
    if source is None:
        return None
    ground = grid if shift is None else shift.origin(grid)
    layer = read_layer(source, ground, grid.crs, key=key, kind="polygons", must_reach=False)
    frame = layer.frame if shift is None else shift.move(layer.frame, grid)
    return np.asarray(frame.geometry.to_numpy())


def _settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the settings that the label was made with."""
    settings = {"labels.method": arguments.method, "classes": arguments.classes}
    if arguments.method in ("regions", "buffer"):
        settings["labels.max_road_width"] = arguments.max_road_width
    if arguments.method == "buffer":
        settings["labels.ends"] = arguments.ends
    if arguments.method == "polygons":
        settings["labels.polygons.field"] = arguments.polygons_field
    if arguments.method == "raster":
        settings["labels.threshold"] = arguments.threshold
        settings["labels.raster.resample"] = arguments.resample
        settings["labels.raster.tolerance"] = arguments.tolerance
    if arguments.shift is not None:
        settings["labels.shift"] = arguments.shift
    return settings


def _single_value(labels: np.ndarray, classes: ClassTable) -> str | None:
    """Return what the whole scene is labelled as, None where it holds several values."""
    first = int(labels.flat[0])
    if (labels != first).any():
        return None
    return "not known" if first == UNKNOWN else classes.all_names[first]


def _shares(labels: np.ndarray, classes: ClassTable) -> dict[str, float]:
    """Return the share of each class and of what is not known, by name."""
    pixels = np.bincount(labels.ravel(), minlength=256)
    names = ["other", *classes.names]
    shares = {name: float(pixels[value] / labels.size) for value, name in enumerate(names)}
    return shares | {"not known": float(pixels[UNKNOWN] / labels.size)}
