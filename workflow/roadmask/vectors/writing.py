"""Vectors as GeoPackages whose bytes depend on the vectors alone."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyogrio
import shapely
from pyproj import Geod, Transformer

from roadmask.files import replacing
from roadmask.vectors.network import Network
from roadmask.vectors.outlines import LeftOut, without_overlap
from roadmask.vectors.sheets import Group

GEOMETRIES = {"roads": "Polygon", "edges": "LineString", "nodes": "Point"}
KINDS = {1: "end", 2: "ring"}


@dataclass(frozen=True)
class Layers:
    """What a file holds.

    Attributes
    ----------
    roads
        ``road`` int32, ``class``, ``area_m2``. In pixel mode all columns that are named by
        metres here count pixels and are named so: ``area_px``, ``length_px``.
    edges
        ``edge``, ``from_node``, ``to_node`` int32; ``length_m``, ``length`` in the CRS's unit,
        ``mean_width_m``, ``least_width_m``, ``mean_probability`` (NaN where there is none).
    nodes
        ``node`` int32; ``kind`` end, crossing, or ring (where a road without a crossing closes);
        ``degree`` int32, ``width_m``.
    repaired
        How many polygons GEOS had to mend.
    left_out
        What is too small or too narrow for a polygon.
    """

    roads: gpd.GeoDataFrame
    edges: gpd.GeoDataFrame
    nodes: gpd.GeoDataFrame
    repaired: int
    left_out: LeftOut


def road_frame(
    group: Group,
    names: Sequence[str],
    by_class: Sequence[Sequence[shapely.Polygon]],
    least: float,
) -> tuple[gpd.GeoDataFrame, int]:
    """Return the layer `roads`, and how many polygons had to be mended.

    Parameters
    ----------
    group
        The lattice that the polygons are counted on.
    names
        Of the classes.
    by_class
        Polygons of each, in the lattice's pixels.
    least
        Square pixels: what of a polygon is less where another class covers the rest is left out.
    """
    square_pixel = abs(group.transform.determinant)
    placed, repaired = [], 0
    for polygons in by_class:
        parts: list[shapely.Polygon] = []
        for polygon in polygons:
            shape = shapely.transform(polygon, group.to_crs)
            if shape.is_valid:
                parts.append(shape)
                continue
            repaired += 1
            mended = shapely.get_parts(shapely.make_valid(shape))
            parts += [part for part in mended if part.geom_type == "Polygon"]
        placed.append(parts)
    if len(placed) > 1:
        placed = without_overlap(placed, least * square_pixel)
    # Outer rings turn the way that the Simple Features standard has them.
    shapes = [shapely.orient_polygons(part) for parts in placed for part in parts]
    classes = [name for name, parts in zip(names, placed, strict=True) for _ in parts]
    square_metres = group.pixel_metres[0] * group.pixel_metres[1] / square_pixel
    areas = [round(shape.area * square_metres, 2) for shape in shapes]
    frame = gpd.GeoDataFrame(
        {
            "road": np.arange(1, len(shapes) + 1, dtype=np.int32),
            "class": np.array(classes, dtype=object),
            group.area_in: np.array(areas, float),
        },
        geometry=gpd.GeoSeries(shapes, crs=group.crs),
        crs=group.crs,
    )
    return frame, repaired


def network_frames(group: Group, network: Network) -> tuple[gpd.GeoDataFrame, gpd.GeoDataFrame]:
    """Return the layers `edges` and `nodes`.

    Parameters
    ----------
    group
        The lattice, from whose origin the network is counted in metres.
    network
        The network.
    """

    def place(metres: np.ndarray) -> np.ndarray:
        return group.to_crs(metres / group.pixel_metres)

    lines = [shapely.LineString(place(street.line)) for street in network.streets]
    lengths = ground_lengths(group, lines)
    streets, unit = network.streets, group.unit
    in_crs = (
        {} if group.crs is None else {"length": np.round(shapely.length(lines), group.decimals)}
    )
    chances = [
        np.nan if street.mean_probability is None else round(street.mean_probability, 4)
        for street in streets
    ]
    edges = gpd.GeoDataFrame(
        {
            "edge": np.arange(1, len(streets) + 1, dtype=np.int32),
            "from_node": np.array([street.start + 1 for street in streets], np.int32),
            "to_node": np.array([street.end + 1 for street in streets], np.int32),
            f"length_{unit}": np.round(lengths, 3),
            **in_crs,
            f"mean_width_{unit}": np.round(
                np.array([street.mean_width for street in streets], float), 2
            ),
            f"least_width_{unit}": np.round(
                np.array([street.least_width for street in streets], float), 2
            ),
            "mean_probability": np.array(chances, float),
        },
        geometry=gpd.GeoSeries(lines, crs=group.crs),
        crs=group.crs,
    )
    kinds = [KINDS.get(int(degree), "crossing") for degree in network.degrees]
    nodes = gpd.GeoDataFrame(
        {
            "node": np.arange(1, len(network.nodes) + 1, dtype=np.int32),
            "kind": np.array(kinds, dtype=object),
            "degree": network.degrees.astype(np.int32),
            f"width_{unit}": np.round(network.widths, 2),
        },
        geometry=gpd.GeoSeries([shapely.Point(*xy) for xy in place(network.nodes)], crs=group.crs),
        crs=group.crs,
    )
    return edges, nodes


def ground_lengths(group: Group, lines: Sequence[shapely.LineString]) -> np.ndarray:
    """Return lengths in metres, measured on the ellipsoid; pixels where there is no CRS."""
    if group.crs is None:
        return np.asarray(shapely.length(list(lines)), float)
    to_degrees = Transformer.from_crs(group.crs.to_wkt(), "EPSG:4326", always_xy=True)
    geod = Geod(ellps="WGS84")
    lengths = []
    for line in lines:
        longitudes, latitudes = to_degrees.transform(*shapely.get_coordinates(line).T)
        lengths.append(geod.line_length(longitudes, latitudes))
    return np.array(lengths, float)


def write_layers(path: Path, layers: Layers, metadata: Mapping[str, str]) -> None:
    """Write a GeoPackage.

    Parameters
    ----------
    path
        The file, which appears whole or not at all.
    layers
        What it holds.
    metadata
        Of the whole file.
    """
    with replacing(path) as temporary, warnings.catch_warnings():
        # Pictures that lie nowhere on the ground have no CRS.
        warnings.filterwarnings("ignore", message="'crs' was not provided")
        for name, kind in GEOMETRIES.items():
            pyogrio.write_dataframe(
                getattr(layers, name),
                temporary,
                layer=name,
                driver="GPKG",
                geometry_type=kind,
                append=False,
                dataset_metadata=dict(metadata),
            )
