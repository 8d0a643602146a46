"""Where the demo city lies and what its files are called.

Planning imports this module before any job runs, so it imports nothing but the standard library.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

EPSG: Final = 2263
"""New York Long Island, NAD83, US survey feet."""

PIXEL: Final = 0.5
"""Edge of a picture's pixel, in feet."""

WIDTH: Final = 2048.0
"""Ground of all sheets from west to east, in feet."""

HEIGHT: Final = 1536.0
"""Ground of all sheets from south to north, in feet."""

MARGIN: Final = 320.0
"""How far the city's lines go on past the sheets on every side, in feet."""

# Both are multiples of 1,024 ft, four blocks of the default split: the sheets cover two whole
# groups of 4 x 4 blocks, and tile borders coincide with block borders.
WEST: Final = 964.0 * 1024.0
"""Easting of the sheets' lower left corner."""
SOUTH: Final = 204.0 * 1024.0
"""Northing of the sheets' lower left corner."""


@dataclass(frozen=True)
class Sheet:
    """One picture of the demo city.

    Attributes
    ----------
    name : str
        File stem, which is the scene's name.
    west, south : float
        Lower left corner in feet from the corner of the whole ground.
    width, height : float
        Extent in feet.
    """

    name: str
    west: float
    south: float
    width: float
    height: float


def _sheets(columns: int, rows: int) -> tuple[Sheet, ...]:
    """Cut the ground into equal sheets, numbered from the upper left."""
    width, height = WIDTH / columns, HEIGHT / rows
    return tuple(
        Sheet(
            name=f"demo_{row * columns + column + 1}",
            west=column * width,
            south=HEIGHT - (row + 1) * height,
            width=width,
            height=height,
        )
        for row in range(rows)
        for column in range(columns)
    )


SHEETS: Final = _sheets(2, 2)
SCENES: Final = tuple(sheet.name for sheet in SHEETS)

FOLDER: Final = "data/demo"
"""Where the stage writes, from the repository's root."""
IMAGERY: Final = tuple(f"{FOLDER}/imagery/{scene}.jp2" for scene in SCENES)


@dataclass(frozen=True)
class Layer:
    """A vector layer of the demo city, in the words of config.yaml."""

    path: str
    layer: str | None = None
    where: str | None = None
    width_field: str | None = None
    width_unit: str = "1 ft"


STREET_LINES: Final = Layer(f"{FOLDER}/street_lines.shp", where="FEAT_CODE IN ('2260', '2270')")
# Alleys (10) have pavement edges of their own (FEAT_CODE 2270) and count as road.
CENTERLINES: Final = Layer(
    f"{FOLDER}/centerlines.shp",
    where="STATUS = '2' AND RW_TYPE NOT IN ('4', '5', '6', '7', '12', '14')",
    width_field="ST_WIDTH",
)
TRUTH: Final = Layer(f"{FOLDER}/truth.gpkg", layer="roads")
PLANTED: Final = f"{FOLDER}/planted.gpkg"

_SHAPEFILE: Final = (".shp", ".shx", ".dbf", ".prj", ".cpg")
OUTPUTS: Final = (
    *IMAGERY,
    *(STREET_LINES.path.removesuffix(".shp") + suffix for suffix in _SHAPEFILE),
    *(CENTERLINES.path.removesuffix(".shp") + suffix for suffix in _SHAPEFILE),
    TRUTH.path,
    PLANTED,
)
"""Every file that the stage writes."""
