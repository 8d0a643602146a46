"""Faults that somebody plants who has never seen those of `planted_faults.py`.

Lines drawn on the wrong edge, twice, across streets or with few points, lots taken for road,
centerlines moved or of paths, a corner that the map leaves out; and tiles of ready masks that
are mirrored, turned, swapped, shifted, blank, full, too wide or too narrow.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray
from shapely import LineString, Point, Polygon, box
from shapely.affinity import rotate, scale, translate

if TYPE_CHECKING:
    from planted_faults import Map

# Feet of a tile's edge: 256 pixels of half a foot.
TILE = 128.0
# Least share of road in a tile that is spoiled.
ENOUGH_ROAD = 0.05
# Feet from a sheet's corner to where its map begins, either way.
CORNER = 260.0


# --- maps ----------------------------------------------------------------------------------


def line_at_walk(city: Map) -> None:
    """Draw a block's line on the back of its pavement, 7 to 14 ft from the road."""
    at = city.choose(city.edges, city.edges.geometry.length.to_numpy() > 100)
    line, off = city.edges.geometry.iloc[at], city.rng.uniform(7, 14)
    roads = city.roads.union_all()
    sides = [line.offset_curve(side * off) for side in (-1, 1)]
    city.edges = city.edges.drop(city.edges.index[at]).reset_index(drop=True)
    draw(city, min(sides, key=lambda side: roads.intersection(side.buffer(1)).area))


def line_twice(city: Map) -> None:
    """Draw a street line a second time, 3 to 9 ft beside it."""
    at = city.choose(city.edges, city.edges.geometry.length.to_numpy() > 60)
    off = city.rng.choice([-1, 1]) * city.rng.uniform(3, 9)
    draw(city, city.edges.geometry.iloc[at].offset_curve(off))


def line_across(city: Map) -> None:
    """Draw a line of 90 ft straight across a street."""
    spot, aside = middle_of_street(city)
    draw(city, LineString([spot - 45 * aside, spot + 45 * aside]))


def line_coarse(city: Map) -> None:
    """Draw a street line with few points, up to 10 ft off."""
    at = city.choose(city.edges, city.edges.geometry.length.to_numpy() > 150)
    coarse = city.edges.geometry.iloc[at].simplify(10)
    city.edges = city.edges.drop(city.edges.index[at]).reset_index(drop=True)
    draw(city, coarse)


def lot_opened(city: Map) -> None:
    """Draw the edge of a parking lot beside a street as one with the street's."""
    spot, _ = middle_of_street(city)
    roads = city.roads.union_all()
    low, high = city.rng.uniform(50, 90, (2, 2))
    around = box(*(spot - low), *(spot + high)).difference(roads)
    lot = max(shapely.get_parts(around), key=shapely.area)
    city.edges = without(city.edges, lot.buffer(0.5))
    draw(city, lot.boundary.difference(roads.buffer(1)))


def axis_moved(city: Map) -> None:
    """Move a centerline by 10 to 60 ft."""
    at = city.choose(city.axes, city.real_axes())
    angle, far = city.rng.uniform(0, 2 * math.pi), city.rng.uniform(10, 60)
    moved = city.axes.geometry.to_numpy().copy()
    moved[at] = translate(moved[at], far * math.cos(angle), far * math.sin(angle))
    city.axes = city.axes.set_geometry(moved)


def axis_of_no_road(city: Map) -> None:
    """Write of a path, tunnel, ferry or paper street that it is a built street."""
    unreal = ~city.real_axes()
    if unreal.any():
        at = city.axes.index[city.choose(city.axes, unreal)]
        city.axes.loc[at, ["STATUS", "RW_TYPE"]] = ["2", "1"]


def corner_gone(city: Map) -> None:
    """Leave all lines of a corner of the sheets out of the map."""
    west, south, east, north = city.ground
    corner = Point(city.rng.choice([west, east]), city.rng.choice([south, north]))
    missing = corner.buffer(CORNER, cap_style="square")
    city.edges, city.axes = without(city.edges, missing), without(city.axes, missing)


def middle_of_street(city: Map) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Choose a place on a centerline, and return it and the direction across the street."""
    long = city.axes.geometry.length.to_numpy() > 120
    axis = city.axes.geometry.iloc[city.choose(city.axes, city.real_axes() & long)]
    along = city.rng.uniform(0.3, 0.7) * axis.length
    spot, ahead = shapely.get_coordinates(shapely.line_interpolate_point(axis, (along, along + 1)))
    right, up = (ahead - spot) / np.hypot(*(ahead - spot))
    return spot, np.array([-up, right])


def draw(city: Map, lines: shapely.Geometry) -> None:
    """Add street lines."""
    merged = shapely.line_merge(lines)
    row = city.edges.iloc[[0]].set_geometry([merged])
    city.edges = only_lines(pd.concat([city.edges, row], ignore_index=True))


def without(lines: gpd.GeoDataFrame, ground: shapely.Geometry) -> gpd.GeoDataFrame:
    """Return what of lines lies outside some ground."""
    return only_lines(lines.set_geometry(lines.geometry.difference(ground)))


def only_lines(frame: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Return the parts of features that are lines."""
    parts = frame[~frame.geometry.is_empty].explode(ignore_index=True)
    return parts[parts.geom_type == "LineString"].reset_index(drop=True)


# --- tiles of ready masks --------------------------------------------------------------------


def tile_mirrored(city: Map) -> None:
    """Mirror a tile."""
    x, y = city.rng.permutation([-1, 1])
    respoil(city, lambda road, tile: scale(road, x, y, origin=tile.centroid))


def tile_turned(city: Map) -> None:
    """Turn a tile by a quarter."""
    respoil(city, lambda road, tile: rotate(road, 90, origin=tile.centroid))


def tile_shifted(city: Map) -> None:
    """Shift a tile by 4 to 9 ft."""
    angle, far = city.rng.uniform(0, 2 * math.pi), city.rng.uniform(4, 9)
    right, up = far * math.cos(angle), far * math.sin(angle)
    respoil(city, lambda road, _: translate(road, right, up))


def tile_blank(city: Map) -> None:
    """Make a tile no road."""
    respoil(city, shapely.difference)


def tile_full(city: Map) -> None:
    """Make a tile road."""
    respoil(city, shapely.union)


def tile_wide(city: Map) -> None:
    """Make the road of a tile 1.5 to 3 ft too wide on every side."""
    by = city.rng.uniform(1.5, 3)
    respoil(city, lambda road, _: road.buffer(by))


def tile_narrow(city: Map) -> None:
    """Make the road of a tile 1.5 to 3 ft too narrow on every side."""
    by = city.rng.uniform(1.5, 3)
    respoil(city, lambda road, tile: road.buffer(-by).union(road.difference(tile.buffer(-by))))


def tiles_swapped(city: Map) -> None:
    """Swap two tiles."""
    road = city.roads.union_all()
    one, other = choose_tiles(city, 2)
    to = np.subtract(other.centroid.coords[0], one.centroid.coords[0])
    there, here = translate(road.intersection(one), *to), translate(road.intersection(other), *-to)
    refill(city, one, here)
    refill(city, other, there)


def respoil(city: Map, change: Callable[[Polygon, Polygon], shapely.Geometry]) -> None:
    """Change the road of a tile, given that and the tile."""
    (tile,) = choose_tiles(city, 1)
    refill(city, tile, change(city.roads.union_all().intersection(tile), tile))


def choose_tiles(city: Map, count: int) -> list[Polygon]:
    """Choose tiles with some road in them."""
    west, south, east, north = city.ground
    columns, rows = (
        np.arange(west, east - TILE + 1, TILE),
        np.arange(north, south + TILE - 1, -TILE),
    )
    tiles = np.array([box(x, y - TILE, x + TILE, y) for x, y in itertools.product(columns, rows)])
    road = shapely.area(shapely.intersection(tiles, city.roads.union_all()))
    usable = np.flatnonzero(road > ENOUGH_ROAD * TILE**2)
    return list(tiles[city.rng.choice(usable, count, replace=False)])


def refill(city: Map, tile: Polygon, road: shapely.Geometry) -> None:
    """Give a tile other road."""
    drawn = city.roads.union_all().difference(tile).union(road.intersection(tile))
    city.roads = city.roads.iloc[[0]].set_geometry([drawn]).explode(ignore_index=True)
