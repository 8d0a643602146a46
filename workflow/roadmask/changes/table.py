"""Places as the tables that people open: a GeoPackage, a CSV, and counts."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from shapely.geometry.base import BaseGeometry

from roadmask.changes.finding import Kind
from roadmask.changes.places import Limits, Place
from roadmask.files import replacing

KINDS: Final[tuple[Kind, ...]] = ("demolished", "paper", "new")
HAS: Final = {"demolished": "map", "paper": "map", "new": "picture"}
LAYER: Final = "changes"
DECIMALS: Final = 3
TEXTS: Final = ("kind", "has_road", "unit", "source_fids", "sheets", "flight", "pieces")


def places_table(
    places: Sequence[Place], pieces: Mapping[str, Path | None], crs: CRS | None
) -> gpd.GeoDataFrame:
    """Put places into a table, numbered from the most certain one.

    Parameters
    ----------
    places
        Most certain first.
    pieces
        The evidence of each scene's label, as far as there is such.
    crs
        What the places' ground is given in; None where nothing was compared.
    """
    metres, unit = _unit(crs)
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
        "flight": [place.flight for place in places],
        "pieces": [_pieces(place, pieces, crs) for place in places],
    }
    frame = gpd.GeoDataFrame(columns, geometry=[_multi(place.ground) for place in places], crs=crs)
    for name in TEXTS:
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


def _pieces(place: Place, files: Mapping[str, Path | None], crs: CRS | None) -> str:
    """Name the piece of each sheet's label that shares most ground with a place."""
    found = []
    for scene in place.scenes:
        path = files[scene]
        if path is None:
            continue
        info = pyogrio.read_info(path, layer="pieces")
        own = CRS.from_user_input(info["crs"])
        there = None if own == crs else Transformer.from_crs(crs, own, always_xy=True)
        ground = moved(place.ground, there)
        near = pyogrio.read_dataframe(path, layer="pieces", columns=["piece"], bbox=ground.bounds)
        shared = near.geometry.intersection(ground).area.to_numpy()
        if len(shared) and shared.max() > 0:
            found.append(f"{scene}:{near['piece'].iloc[int(shared.argmax())]}")
    return ",".join(found)


def moved(ground: BaseGeometry, there: Transformer | None) -> BaseGeometry:
    """Take ground to another CRS; None leaves it where it is."""
    if there is None:
        return ground
    way: Callable[..., tuple[NDArray[np.float64], ...]] = there.transform

    def carried(xy: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.column_stack(way(xy[:, 0], xy[:, 1]))

    return shapely.make_valid(shapely.transform(ground, carried))


def write_layer(path: Path, table: gpd.GeoDataFrame) -> None:
    """Write the table with its ground as a GeoPackage."""
    with replacing(path) as temporary, warnings.catch_warnings():
        # Where nothing is compared there is no CRS either.
        warnings.filterwarnings("ignore", message="'crs' was not provided")
        pyogrio.write_dataframe(
            table, temporary, layer=LAYER, driver="GPKG", geometry_type="MultiPolygon"
        )


def write_csv(path: Path, table: gpd.GeoDataFrame) -> None:
    """Write the table without its ground, but with a point in it."""
    rows = pd.DataFrame(table.drop(columns="geometry"))
    points = shapely.get_coordinates(shapely.point_on_surface(table.geometry.to_numpy()))
    rows["x"], rows["y"] = np.round(points.reshape(-1, 2), DECIMALS).T
    with replacing(path) as temporary:
        rows.to_csv(temporary, index=False, quoting=csv.QUOTE_MINIMAL, lineterminator="\n")


def counts(table: gpd.GeoDataFrame) -> dict[str, dict[str, float]]:
    """Return how many places there are of each kind, and how much ground."""
    kinds: dict[str, dict[str, float]] = {}
    for kind in KINDS:
        chosen = table[table["kind"] == kind]
        kinds[kind] = {
            "places": len(chosen),
            "length_m": round(float(chosen["length_m"].sum()), 1),
            "area_m2": round(float(chosen["area_m2"].sum()), 1),
        }
    return kinds


def limits_of(limits: Limits) -> dict[str, float]:
    """Return what counted as a change, by names that carry the unit."""
    return {
        "min_length_m": round(limits.min_length, 4),
        "min_width_m": round(limits.min_width, 4),
        "min_confidence": limits.min_confidence,
    }
