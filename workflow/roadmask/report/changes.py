"""What the page says of the places where map and picture disagree."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import geopandas as gpd
import numpy as np
import pyogrio
import shapely
from rasterio.windows import Window
from shapely.geometry.base import BaseGeometry

from roadmask.grid import Grid
from roadmask.report.pictures import (
    LABEL_OUTLINE,
    Array,
    Bands,
    Picture,
    as_jpeg,
    read_part,
    shrunk,
)
from roadmask.report.reading import Scene, Sources

# Rows of the table and pictures; the rest are in changes/changes.csv.
MOST_LISTED, MOST_PICTURED = 20, 8
MOST_NAMED = 12
# Of a picture: its edge as a share of the place's longer side, and at least in metres.
AROUND, LEAST_EDGE = 1.4, 45.0
SIDE = 300


@dataclass(frozen=True)
class Change:
    """A place where map and picture disagree.

    Attributes
    ----------
    place, kind, confidence, length, width, sheets, flight, feature
        As the layer `changes` has them, in metres; the feature is empty where there is none.
    picture
        The place, outlined; None where it is not pictured.
    """

    place: int
    kind: str
    confidence: float
    length: float
    width: float
    sheets: str
    flight: str
    feature: str
    picture: Picture | None


@dataclass(frozen=True)
class Changes:
    """All places, and the first of them.

    Attributes
    ----------
    kinds
        Places, metres and square metres of each kind.
    total, compared
        How many places and scenes.
    not_compared
        Why scenes could not be compared, and which these are.
    listed
        The most certain places.
    """

    kinds: dict[str, dict[str, Any]]
    total: int
    compared: int
    not_compared: tuple[tuple[str, str], ...]
    listed: tuple[Change, ...]


def found_changes(sources: Sources, bands: Callable[[Scene], Bands]) -> Changes | None:
    """Return what the page shows of the stage `changes`; None where it did not run.

    Parameters
    ----------
    sources
        What the page is made of.
    bands
        Gives the bands of a scene that are shown.
    """
    path, summary = sources.paths.changes, sources.changes
    if path is None or summary is None:
        return None
    table = pyogrio.read_dataframe(path.with_name("changes.gpkg"), layer="changes")
    return Changes(
        kinds=summary["kinds"],
        total=len(table),
        compared=len(summary["compared_shares"]),
        not_compared=tuple(_not_compared(summary["not_compared"])),
        listed=tuple(_listed(table.head(MOST_LISTED), sources, bands)),
    )


def _not_compared(obstacles: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield each reason with its scenes, the first of them by name."""
    scenes: dict[str, list[str]] = {}
    for name, reason in obstacles.items():
        scenes.setdefault(reason, []).append(name)
    for reason, names in scenes.items():
        hidden = len(names) - MOST_NAMED
        yield reason, ", ".join(names[:MOST_NAMED]) + (f" and {hidden} more" if hidden > 0 else "")


def _listed(
    table: gpd.GeoDataFrame, sources: Sources, bands: Callable[[Scene], Bands]
) -> Iterator[Change]:
    scenes = {scene.name: scene for scene in sources.scenes}
    for number, row in enumerate(table.itertuples()):
        picture = None
        if number < MOST_PICTURED:
            own = gpd.GeoSeries([row.geometry], crs=table.crs)
            grounds = {
                name: own.to_crs(scenes[name].grid.crs).iloc[0] for name in row.sheets.split(",")
            }
            # Of its sheets the one with most of it.
            name = max(grounds, key=lambda name: _share(grounds[name], scenes[name].grid))
            scene, ground = scenes[name], grounds[name]
            alt = f"Place {row.place}, {row.kind}, outlined"
            path = sources.paths.scene(scene.name)
            picture = _pictured(scene, path, ground, bands(scene), alt)
        yield Change(
            place=int(row.place),
            kind=row.kind,
            confidence=float(row.confidence),
            length=float(row.length_m),
            width=float(row.width_m),
            sheets=row.sheets.replace(",", ", "),
            flight=row.flight,
            feature="" if np.isnan(row.source_fid) else str(int(row.source_fid)),
            picture=picture,
        )


def _share(ground: BaseGeometry, grid: Grid) -> float:
    """Return how much of some ground lies on a sheet."""
    return float(ground.intersection(shapely.box(*grid.bounds)).area / ground.area)


def _pictured(scene: Scene, path: Path, ground: BaseGeometry, bands: Bands, alt: str) -> Picture:
    """Show a place with some ground around it and its outline."""
    window = square_around(ground, scene.grid)
    picture = shrunk(read_part(path, bands, window), SIDE, smooth=True)
    outline(picture, ground, scene.grid, window)
    return as_jpeg(picture, alt)


def square_around(ground: BaseGeometry, grid: Grid) -> Window:
    """Return a square window around some ground, moved onto the sheet as far as it has room."""
    corners = _pixels(ground, grid)
    low, high = corners.min(axis=0), corners.max(axis=0)
    edge = max(AROUND * float((high - low).max()), LEAST_EDGE / grid.ground_sample_distance)
    room = np.maximum(np.array([grid.width, grid.height]) - edge, 0)
    left, top = np.clip(np.floor((low + high - edge) / 2), 0, room).astype(int)
    return Window(int(left), int(top), round(edge), round(edge))


def outline(picture: Array, ground: BaseGeometry, grid: Grid, window: Window) -> None:
    """Draw the outline of some ground into the picture of a window, in place."""
    scale = picture.shape[1] / window.width
    for polygon in shapely.get_parts(ground):
        for ring in (polygon.exterior, *polygon.interiors):
            corners = (_pixels(ring, grid) - [window.col_off, window.row_off]) * scale
            cv2.polylines(picture, [np.round(corners).astype(np.int32)], True, LABEL_OUTLINE, 2)


def _pixels(geometry: BaseGeometry, grid: Grid) -> np.ndarray:
    """Return a geometry's vertices as columns and rows."""
    inverse = ~grid.transform
    matrix = np.array([[inverse.a, inverse.b], [inverse.d, inverse.e]])
    placed = shapely.get_coordinates(geometry) @ matrix.T + [inverse.c, inverse.f]
    return np.asarray(placed)
