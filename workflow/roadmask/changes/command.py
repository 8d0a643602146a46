"""The command of stage `changes`."""

from __future__ import annotations

import argparse
import csv
import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import rasterio
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from shapely.geometry.base import BaseGeometry

from roadmask.changes.finding import Candidate, Kind, find_ground, find_paper_streets
from roadmask.changes.places import Limits, Place, find_places
from roadmask.changes.sheet import read_sheet
from roadmask.distance import parse_distance
from roadmask.errors import SettingError
from roadmask.files import replacing, write_json
from roadmask.grid import Grid
from roadmask.raster import environment

log = logging.getLogger("roadmask.changes")

LENGTH_KEY, WIDTH_KEY = "changes.min_length", "changes.min_width"
CONFIDENCE_KEY = "changes.min_confidence"
KINDS: tuple[Kind, ...] = ("demolished", "paper", "new")
HAS = {"demolished": "map", "paper": "map", "new": "picture"}
LAYER = "changes"
DECIMALS = 3
NOTHING_TO_COMPARE = {
    "pixel": "the pictures lie nowhere on the ground, so streets have no length there",
    "map": "there is no map: a ready model was applied to pictures without labels",
}


@dataclass(frozen=True)
class SceneFiles:
    """The files of one scene."""

    name: str
    mask: Path
    probability: Path
    vectors: Path | None
    pieces: Path | None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``python -m roadmask changes``."""
    parser.add_argument("--masks", type=Path, nargs="*", default=[], help="label rasters")
    parser.add_argument(
        "--probabilities", type=Path, nargs="*", default=[], help="probability rasters, as many"
    )
    parser.add_argument(
        "--vectors", type=Path, nargs="*", default=[], help="lines/*.gpkg, as many or none"
    )
    parser.add_argument(
        "--pieces", type=Path, nargs="*", default=[], help="masks/*_pieces.gpkg, as many or none"
    )
    parser.add_argument(
        "--output",
        type=Path,
        required=True,
        help="changes.gpkg; changes.csv and summary.json are written beside it",
    )
    parser.add_argument(f"--{LENGTH_KEY}", dest="min_length", required=True, help="a distance")
    parser.add_argument(f"--{WIDTH_KEY}", dest="min_width", required=True, help="a distance")
    parser.add_argument(
        f"--{CONFIDENCE_KEY}", dest="min_confidence", type=float, required=True, help="0 to 1"
    )


def run(arguments: argparse.Namespace) -> None:
    """Compare map and picture on all scenes that have both."""
    limits = Limits(
        _metres(arguments.min_length, LENGTH_KEY),
        _metres(arguments.min_width, WIDTH_KEY),
        arguments.min_confidence,
    )
    scenes = _scenes(arguments)
    with environment():
        crs, reason = _common_crs(scenes)
        places: list[Place] = []
        if reason:
            log.warning("nothing to compare: %s; an empty layer is written", reason)
        elif crs is not None:
            places = _compared(scenes, crs, limits)
        frame = _frame(places, scenes, crs)
    _write(arguments.output, frame)
    _write_table(arguments.output.with_suffix(".csv"), frame)
    write_json(arguments.output.with_name("summary.json"), _summary(frame, scenes, limits, reason))
    for kind in KINDS:
        chosen = frame[frame["kind"] == kind]
        log.info("%s: %d places, %.0f m", kind, len(chosen), chosen["length_m"].sum())


def _metres(text: str, key: str) -> float:
    """Read a distance on the ground.

    Raises
    ------
    SettingError
        If it is none, or given in pixels.
    """
    distance = parse_distance(text, key)
    if distance.unit == "px":
        raise SettingError(key, f"{text!r} is no distance on the ground", 'Write "50 ft" or "15 m"')
    return distance.metres


def _scenes(arguments: argparse.Namespace) -> list[SceneFiles]:
    """Put the scenes' files together."""
    count = len(arguments.masks)

    def as_many(paths: list[Path]) -> Sequence[Path | None]:
        return paths or [None] * count

    return [
        SceneFiles(mask.stem, mask, *others)
        for mask, *others in zip(
            arguments.masks,
            arguments.probabilities,
            as_many(arguments.vectors),
            as_many(arguments.pieces),
            strict=True,
        )
    ]


def _common_crs(scenes: Sequence[SceneFiles]) -> tuple[CRS | None, str]:
    """Return the CRS of the first scene, which places are given in, or why there is none."""
    if not scenes:
        return None, NOTHING_TO_COMPARE["map"]
    with rasterio.open(scenes[0].mask) as mask:
        if mask.crs is None:
            return None, NOTHING_TO_COMPARE["pixel"]
        return CRS.from_wkt(mask.crs.to_wkt()), ""


def _compared(scenes: Sequence[SceneFiles], crs: CRS, limits: Limits) -> list[Place]:
    """Find the places on all scenes."""
    found: list[Candidate] = []
    tolerance = 0.0
    for scene in scenes:
        sheet = read_sheet(scene.name, scene.mask, scene.probability, limits.min_width)
        lines = None
        if scene.vectors is not None:
            lines = pyogrio.read_dataframe(scene.vectors, layer="centerlines")
        here = list(find_ground(sheet, limits.min_width, lines))
        if lines is not None and len(lines):
            here += find_paper_streets(sheet, limits.min_width, lines)
        there = _mover(sheet.grid, crs)
        moved = [replace(part, ground=_moved(part.ground, there)) for part in here]
        found += moved
        corners = shapely.box(*sheet.grid.bounds)
        scale = (_moved(corners, there).area / corners.area) ** 0.5
        step = abs(sheet.grid.transform.determinant) ** 0.5
        tolerance = max(tolerance, 2 * scale * step)
        log.debug("%s: %d candidates", scene.name, len(here))
    return find_places(found, tolerance, limits)


def _mover(grid: Grid, crs: CRS) -> Transformer | None:
    """Return what takes coordinates of a scene to the common CRS, None where they are in it."""
    assert grid.crs is not None, "scenes lie on the ground, all or none"
    own = CRS.from_wkt(grid.crs.to_wkt())
    return None if own == crs else Transformer.from_crs(own, crs, always_xy=True)


def _moved(ground: BaseGeometry, there: Transformer | None) -> BaseGeometry:
    if there is None:
        return ground

    def carried(xy: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.column_stack(there.transform(xy[:, 0], xy[:, 1]))

    return shapely.make_valid(shapely.transform(ground, carried))


def _frame(
    places: Sequence[Place], scenes: Sequence[SceneFiles], crs: CRS | None
) -> gpd.GeoDataFrame:
    """Put the places into a table, numbered from the most certain one."""
    metres, unit = _unit(crs)
    pieces = {scene.name: scene.pieces for scene in scenes}
    fids = [max(place.features, key=place.features.__getitem__, default=-1) for place in places]
    numbers = np.asarray(fids, np.int64)
    lengths = np.array([place.length for place in places], float)
    areas = np.array([place.area for place in places], float)
    columns: dict[str, Any] = {
        "place": np.arange(1, len(places) + 1, dtype=np.int32),
        "kind": [place.kind for place in places],
        "has_road": [HAS[place.kind] for place in places],
        "confidence": np.round([place.confidence for place in places], DECIMALS),
        "length_m": np.round(lengths, DECIMALS),
        "width_m": np.round([place.width for place in places], DECIMALS),
        "area_m2": np.round(areas, DECIMALS),
        "length": np.round(lengths / metres, DECIMALS),
        "area": np.round(areas / metres**2, DECIMALS),
        "unit": [unit] * len(places),
        "shown": np.round([place.shown for place in places], DECIMALS),
        "around": np.round([place.around for place in places], DECIMALS),
        "source_fid": pd.arrays.IntegerArray(numbers, numbers < 0),
        "source_fids": [",".join(map(str, sorted(place.features))) for place in places],
        "sheets": [",".join(place.scenes) for place in places],
        "pieces": [_pieces(place, pieces, crs) for place in places],
    }
    frame = gpd.GeoDataFrame(columns, geometry=[_multi(place.ground) for place in places], crs=crs)
    for name in ("kind", "has_road", "unit", "source_fids", "sheets", "pieces"):
        frame[name] = frame[name].astype(object)
    return frame


def _unit(crs: CRS | None) -> tuple[float, str]:
    """Return the CRS's unit in metres and its name; not a number where it is an angle."""
    if crs is None or not crs.is_projected:
        return float("nan"), ""
    axis = crs.axis_info[0]
    return axis.unit_conversion_factor, axis.unit_name


def _multi(ground: BaseGeometry) -> shapely.MultiPolygon:
    parts = [part for part in shapely.get_parts(ground) if part.geom_type == "Polygon"]
    return shapely.normalize(shapely.MultiPolygon(parts))


def _pieces(place: Place, files: dict[str, Path | None], crs: CRS | None) -> str:
    """Name the piece of each sheet's label that shares most ground with a place."""
    found = []
    for scene in place.scenes:
        path = files[scene]
        if path is None:
            continue
        info = pyogrio.read_info(path, layer="pieces")
        own = CRS.from_user_input(info["crs"])
        there = None if own == crs else Transformer.from_crs(crs, own, always_xy=True)
        ground = _moved(place.ground, there)
        near = pyogrio.read_dataframe(path, layer="pieces", columns=["piece"], bbox=ground.bounds)
        shared = near.geometry.intersection(ground).area.to_numpy()
        if len(shared) and shared.max() > 0:
            found.append(f"{scene}:{near['piece'].iloc[int(shared.argmax())]}")
    return ",".join(found)


def _write(path: Path, frame: gpd.GeoDataFrame) -> None:
    with replacing(path) as temporary, warnings.catch_warnings():
        # Where nothing is compared there is no CRS either.
        warnings.filterwarnings("ignore", message="'crs' was not provided")
        pyogrio.write_dataframe(
            frame, temporary, layer=LAYER, driver="GPKG", geometry_type="MultiPolygon"
        )


def _write_table(path: Path, frame: gpd.GeoDataFrame) -> None:
    """Write the table without its ground, but with a point in it."""
    table = pd.DataFrame(frame.drop(columns="geometry"))
    points = shapely.get_coordinates(shapely.point_on_surface(frame.geometry.to_numpy()))
    table["x"], table["y"] = np.round(points.reshape(-1, 2), DECIMALS).T
    with replacing(path) as temporary:
        table.to_csv(temporary, index=False, quoting=csv.QUOTE_MINIMAL, lineterminator="\n")


def _summary(
    frame: gpd.GeoDataFrame, scenes: Sequence[SceneFiles], limits: Limits, reason: str
) -> dict[str, Any]:
    """Return the counts of each kind, and what was compared."""
    kinds = {}
    for kind in KINDS:
        chosen = frame[frame["kind"] == kind]
        kinds[kind] = {
            "places": len(chosen),
            "length_m": round(float(chosen["length_m"].sum()), 1),
            "area_m2": round(float(chosen["area_m2"].sum()), 1),
        }
    return {
        "scenes": [] if reason else [scene.name for scene in scenes],
        "not_compared": reason or None,
        "min_length_m": round(limits.min_length, 4),
        "min_width_m": round(limits.min_width, 4),
        "min_confidence": limits.min_confidence,
        "kinds": kinds,
    }
