"""Street lines and centerlines of a sheet, as a raster and as vectors."""

from __future__ import annotations

import argparse
import json
import logging
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import rasterio
import shapely
from shapely.geometry.base import BaseGeometry

from roadmask import __version__
from roadmask.burn import burn_lines
from roadmask.distance import Distance, parse_distance
from roadmask.errors import SettingError
from roadmask.files import replacing, write_json
from roadmask.grid import Grid
from roadmask.raster import write_cog
from roadmask.shift import parse_shift
from roadmask.vectors_io import (
    LayerRead,
    VectorSource,
    add_source_arguments,
    mapped_ground,
    read_layer,
    source_from,
)

log = logging.getLogger("roadmask.lines")

STREET_LINES = "street_lines"
CENTERLINES = "centerlines"
MAPPED = "mapped"
"""The ground that the map covers, where lines serve to be compared with alone."""
# How many of the values that are no number are shown.
EXAMPLES = 5
FOOT = Distance(1.0, "ft")
# Between these lies the paved width of any road: from a footway for one to the widest
# motorways. What lies outside is a code such as 9999, or another unit.
NARROWEST_METRES = 0.5
WIDEST_METRES = 150.0
# Most streets are wider: one lane and a kerb on either side.
USUAL_METRES = 3.0


@dataclass(frozen=True)
class WidthSettings:
    """Where the paved width of a centerline comes from.

    Attributes
    ----------
    field
        A field of the centerlines, or None.
    unit
        What a value of 1 in that field means: ``1 ft``, or ``12 ft`` for a count of lanes.
    default
        The width where there is no field or no usable value, or None for unknown.
    """

    field: str | None = None
    unit: Distance = FOOT
    default: Distance | None = None


@dataclass
class WidthCounts:
    """Where the widths came from.

    Attributes
    ----------
    from_field, from_default, unknown
        Centerlines by the source of their width.
    unreadable, implausible
        Those whose value is no number, or no road's width; they count as one of the other
        two besides. Null and 0 mean that the width is not known, and are neither.
    unreadable_values, implausible_values
        Some of these values.
    narrow
        Widths from the field that most streets exceed.
    """

    from_field: int = 0
    from_default: int = 0
    unknown: int = 0
    unreadable: int = 0
    unreadable_values: tuple[str, ...] = ()
    implausible: int = 0
    implausible_values: tuple[str, ...] = ()
    narrow: int = 0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the stage's options to `parser`."""
    parser.add_argument("scene", type=Path, help="the sheet's raster")
    parser.add_argument("--output", type=Path, required=True, help="the raster to write")
    parser.add_argument("--vectors", type=Path, required=True, help="the GeoPackage to write")
    parser.add_argument("--lines.halo", dest="halo", required=True, help='such as "200 ft"')
    parser.add_argument("--labels.shift", dest="shift", help='such as "3 ft,-2 ft"')
    parser.add_argument(
        "--for-comparison",
        action="store_true",
        help=f"the map may end on the sheet or before it; its ground is the layer {MAPPED}",
    )
    add_source_arguments(parser, STREET_LINES)
    add_source_arguments(parser, CENTERLINES, required=True)
    parser.add_argument("--centerlines.width_field", dest="width_field")
    parser.add_argument("--centerlines.width_unit", dest="width_unit", default="1 ft")
    parser.add_argument("--centerlines.width", dest="width")


def run(arguments: argparse.Namespace) -> None:
    """Read the lines on a sheet and its halo, and write them as raster, vectors and counts."""
    with rasterio.open(arguments.scene) as dataset:
        scene = Grid.from_dataset(dataset)
    grid = scene.widened(halo_pixels(parse_distance(arguments.halo, "lines.halo"), scene))
    settings = WidthSettings(
        arguments.width_field,
        ground_distance(arguments.width_unit, "centerlines.width_unit"),
        ground_distance(arguments.width, "centerlines.width") if arguments.width else None,
    )
    sources = {key: source_from(arguments, key) for key in (STREET_LINES, CENTERLINES)}
    columns = {CENTERLINES: (settings.field,) if settings.field else ()}
    shift = parse_shift(arguments.shift)
    ground = grid if shift is None else shift.origin(grid)
    layers = {
        key: read_layer(
            source,
            ground,
            grid.crs,
            key=key,
            # Street lines may come as polygons of pavement; an outline is no centerline.
            kind="lines" if key == CENTERLINES else "outlines",
            columns=columns.get(key, ()),
            must_reach=not arguments.for_comparison,
            columns_key=f"{key}.width_field",
        )
        for key, source in sources.items()
        if source is not None
    }
    if shift is not None:
        for layer in layers.values():
            layer.frame = shift.move(layer.frame, grid)
    centerlines, widths = with_widths(layers[CENTERLINES].frame, settings)
    log_widths(widths, settings)
    layers[CENTERLINES].frame = centerlines
    empty = centerlines.iloc[:0][["source_fid", "geometry"]]
    streets = layers[STREET_LINES].frame if STREET_LINES in layers else empty
    bands = np.stack([burn_lines(frame.geometry, grid) for frame in (streets, centerlines)])
    counts = {key: summary(sources[key], layer) for key, layer in layers.items()}
    counts[CENTERLINES]["widths"] = asdict(widths)
    write_cog(
        arguments.output,
        grid,
        bands,
        descriptions=(STREET_LINES, CENTERLINES),
        tags={
            "ROADMASK_VERSION": __version__,
            "ROADMASK_SOURCE": ", ".join(str(x["file"]) for x in counts.values()),
            "ROADMASK_SETTINGS": json.dumps(
                {"lines.halo": arguments.halo}
                | ({} if shift is None else {"labels.shift": arguments.shift})
            ),
        },
    )
    drawn = {STREET_LINES: streets, CENTERLINES: centerlines}
    if arguments.for_comparison:
        drawn[MAPPED] = mapped(drawn, sources, grid)
    write_vectors(arguments.vectors, drawn)
    write_json(arguments.output.with_suffix(".json"), counts)


def mapped(
    drawn: Mapping[str, gpd.GeoDataFrame], sources: Mapping[str, VectorSource | None], grid: Grid
) -> gpd.GeoDataFrame:
    """Return the ground that the map covers: none where one of its layers draws no line.

    Parameters
    ----------
    drawn
        The lines that were read, by layer.
    sources
        Where they were read from; None where a layer is not given.
    grid
        The sheet with its halo.
    """
    given = [(source, key) for key, source in sources.items() if source is not None]
    ground: BaseGeometry = shapely.Polygon()
    if grid.crs is not None and all(len(drawn[key]) for _, key in given):
        ground = mapped_ground(given, grid, grid.crs)
    parts = shapely.get_parts(ground)
    parts = parts[shapely.area(parts) > 0]
    return gpd.GeoDataFrame(geometry=parts, crs=drawn[CENTERLINES].crs)


def halo_pixels(halo: Distance, grid: Grid) -> int:
    """Return the halo in whole pixels, rounded up, in the direction where pixels are small."""
    # A hair off, so that 200 ft of half-foot pixels are 400 and not 401.
    return max(0, math.ceil(halo.pixels(min(grid.pixel_metres)) - 1e-3))


def ground_distance(text: str, key: str) -> Distance:
    """Read a distance that must not be in pixels.

    Raises
    ------
    SettingError
        If it is.
    """
    distance = parse_distance(text, key)
    if distance.unit == "px":
        raise SettingError(
            key,
            f"{text!r} is in pixels, but a road is as wide in every picture",
            'Write a ground distance, such as "30 ft"',
        )
    return distance


def with_widths(
    centerlines: gpd.GeoDataFrame, settings: WidthSettings
) -> tuple[gpd.GeoDataFrame, WidthCounts]:
    """Give every centerline its paved width.

    Zero and missing values mean that the width is unknown, as in NYC's data; negative ones
    and those that no road has do so too, and are counted besides.

    Parameters
    ----------
    centerlines
        With the column ``settings.field``, where that is set, of numbers or texts.
    settings
        Where the width comes from.

    Returns
    -------
    geopandas.GeoDataFrame
        Columns ``source_fid``, ``width_m`` (float64 metres, NaN where unknown), geometry.
    WidthCounts
        How many came from where.

    Raises
    ------
    SettingError
        If the field holds words or numbers, and none of them is a road's width.
    """
    counts = WidthCounts()
    metres = np.full(len(centerlines), np.nan)
    if settings.field is not None:
        values, unreadable = numbers(centerlines[settings.field])
        metres = values * settings.unit.metres
        plausible = (metres >= NARROWEST_METRES) & (metres <= WIDEST_METRES)
        strange = values[~plausible & ~np.isnan(values) & (values != 0)]
        counts.implausible = len(strange)
        counts.implausible_values = tuple(f"{x:g}" for x in np.unique(strange)[:EXAMPLES])
        metres = np.where(plausible, metres, np.nan)
        counts.unreadable = len(unreadable)
        counts.unreadable_values = tuple(sorted(set(unreadable))[:EXAMPLES])
        # A word or two may stand among numbers, but this is a field of something else.
        if len(unreadable) + len(strange) >= EXAMPLES and not plausible.any():
            shown = (*map(repr, counts.unreadable_values), *counts.implausible_values)
            raise SettingError(
                "centerlines.width_field",
                f"{settings.field} holds no width of a road on this sheet, but "
                f"{', '.join(shown[:EXAMPLES])}",
                "Name a field of widths or of lanes; centerlines.width_unit says what one of its "
                "units is",
            )
    known = np.isfinite(metres)
    counts.from_field = int(known.sum())
    counts.narrow = int((metres < USUAL_METRES).sum())
    missing = int((~known).sum())
    if settings.default is not None:
        metres = np.where(known, metres, settings.default.metres)
        counts.from_default = missing
    else:
        counts.unknown = missing
    frame = centerlines[["source_fid", "geometry"]].copy()
    frame.insert(1, "width_m", metres)
    return frame, counts


def numbers(values: pd.Series) -> tuple[np.ndarray, list[str]]:
    """Return numbers, NaN where there is none, and the values that should be but are not.

    Texts that are blank count as missing. Infinity is no number.
    """
    texts = values.astype("string").str.strip()
    parsed = pd.to_numeric(texts.where(texts != ""), errors="coerce").to_numpy(
        dtype=float, na_value=np.nan
    )
    parsed = np.where(np.isfinite(parsed), parsed, np.nan)
    given = (texts.notna() & (texts != "") & (texts.str.lower() != "nan")).to_numpy(dtype=bool)
    return parsed, [str(x) for x in texts[given & np.isnan(parsed)]]


def log_widths(counts: WidthCounts, settings: WidthSettings) -> None:
    """Say where the widths came from and which values of the field are no number."""
    log.info(
        "%s: %d widths from %s, %d from centerlines.width, %d unknown",
        CENTERLINES,
        counts.from_field,
        settings.field or "no field",
        counts.from_default,
        counts.unknown,
    )
    if counts.unreadable:
        log.warning(
            "centerlines.width_field: %d values of %s are no number, such as %s; they count as "
            "missing",
            counts.unreadable,
            settings.field,
            ", ".join(counts.unreadable_values),
        )
    if counts.implausible:
        log.warning(
            "centerlines.width_field: %d values of %s, such as %s, are no width of a road in units "
            'of centerlines.width_unit, "%s"; they count as missing. Of a field that counts lanes '
            'the unit is "12 ft"',
            counts.implausible,
            settings.field,
            ", ".join(counts.implausible_values),
            settings.unit,
        )
    if 2 * counts.narrow > counts.from_field:
        log.warning(
            "centerlines.width_field: %d of %d widths from %s are below %g m in units of "
            'centerlines.width_unit, "%s". Where the field counts lanes, write width_unit: '
            '"12 ft", where it holds metres, "1 m"',
            counts.narrow,
            counts.from_field,
            settings.field,
            USUAL_METRES,
            settings.unit,
        )


def summary(source: VectorSource | None, layer: LayerRead) -> dict[str, Any]:
    """Return what is worth knowing of a layer, without anything that depends on the machine."""
    if source is None:
        return {}
    return {
        "file": source.name,
        "layer": source.layer,
        "where": source.where,
        "changed": layer.date,
        "features": layer.counts.as_dict(),
    }


def write_vectors(path: Path, layers: dict[str, gpd.GeoDataFrame]) -> None:
    """Write layers to a GeoPackage whose bytes depend on them alone.

    Parameters
    ----------
    path
        The file, which appears whole or not at all.
    layers
        Layers by name, of lines or, ``mapped``, of polygons; empty ones are written too.
    """
    with replacing(path) as temporary:
        for name, frame in layers.items():
            pyogrio.write_dataframe(
                frame,
                temporary,
                layer=name,
                driver="GPKG",
                geometry_type="MultiPolygon" if name == MAPPED else "MultiLineString",
                promote_to_multi=True,
                append=False,
            )


def read_vectors(path: Path, layer: str) -> gpd.GeoDataFrame:
    """Read one of the layers that `write_vectors` wrote."""
    return pyogrio.read_dataframe(path, layer=layer)
