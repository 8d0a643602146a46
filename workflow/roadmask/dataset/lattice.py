"""Square blocks of ground on a lattice that starts at the CRS's origin.

In a projected CRS a block's edge is the block size in the CRS's own units, as the map has
it (a projection's scale is not taken out). An edge within 10 millionths of a whole number
of units is that number: 256 ft are 256 US survey feet, so tiles of that size stay aligned
with the blocks over a whole state.

In a geographic CRS the edge along a meridian is the block size over 111,195 m a degree, on
every latitude. Along a parallel it is that edge divided by the cosine of the latitude in
the middle of a band of about one degree (a whole number of groups of blocks), so that a
block is a square on the ground within 3 % up to latitude 60, and no block depends on the
sheets.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import shapely
from pyproj import Transformer
from rasterio.crs import CRS

from roadmask.distance import Distance
from roadmask.errors import SettingError
from roadmask.grid import PIXEL_TOLERANCE, Grid

# Blocks along the edge of a group, inside which they are dealt out.
GROUP = 4
WHOLE_UNIT_TOLERANCE = 1e-5
METRES_PER_DEGREE = math.pi * 6_371_008.8 / 180
STEEPEST_LATITUDE = 89.0
# Into how many pieces a block's edge is divided before it is reprojected.
POINTS_ON_EDGE = 8
# The key of scenes that lie nowhere on the ground.
PIXEL_KEY = "pixel"


@dataclass(frozen=True)
class Ground:
    """The ground of a tile or a scene.

    Attributes
    ----------
    outline
        Its outline in CRS units.
    inner
        The same, smaller by a thousandth of a pixel on every side: what the last digits
        of coordinates say does not count as touching.
    upright
        Whether its sides run along the axes.
    """

    outline: shapely.Polygon
    inner: shapely.Polygon
    upright: bool

    @classmethod
    def of(cls, grid: Grid) -> Ground:
        """Take the ground of a grid."""
        return cls(
            outline=_outline(grid, 0.0),
            inner=_outline(grid, PIXEL_TOLERANCE),
            upright=bool(grid.transform.is_rectilinear),
        )


def _outline(grid: Grid, margin: float) -> shapely.Polygon:
    left, top = margin, margin
    right, bottom = grid.width - margin, grid.height - margin
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    return shapely.Polygon([grid.transform @ corner for corner in corners])


def tile_grid(scene: Grid, x: int, y: int, size: int) -> Grid:
    """Return the part of a tile that lies inside its scene."""
    return scene.window(x, y, min(size, scene.width - x), min(size, scene.height - y))


@dataclass(frozen=True, order=True)
class Block:
    """A square of ground, by its place in the lattice; rows count northwards."""

    row: int
    column: int


@dataclass(frozen=True)
class Lattice:
    """Where the blocks lie, in units of a CRS.

    Attributes
    ----------
    width, height
        Edges of a block. In a geographic CRS `width` holds at the equator.
    band_rows
        In a geographic CRS, rows of blocks between changes of their width; else 0.
    """

    width: float
    height: float
    band_rows: int = 0

    def width_in(self, row: int) -> float:
        """Return the width of the blocks in a row."""
        if not self.band_rows:
            return self.width
        middle = (row // self.band_rows + 0.5) * self.band_rows * self.height
        return self.width / math.cos(math.radians(min(abs(middle), STEEPEST_LATITUDE)))

    def bounds(self, block: Block) -> tuple[float, float, float, float]:
        """Return left, bottom, right and top of a block."""
        width = self.width_in(block.row)
        return (
            block.column * width,
            block.row * self.height,
            (block.column + 1) * width,
            (block.row + 1) * self.height,
        )

    def polygon(self, block: Block) -> shapely.Polygon:
        """Return the block's outline."""
        return shapely.box(*self.bounds(block))

    def touched_by(self, ground: Ground) -> Iterator[Block]:
        """Yield the blocks that share area with `ground`, row by row."""
        left, bottom, right, top = ground.inner.bounds
        for row in range(math.floor(bottom / self.height), math.floor(top / self.height) + 1):
            width = self.width_in(row)
            for column in range(math.floor(left / width), math.floor(right / width) + 1):
                block = Block(row, column)
                if ground.upright or ground.inner.intersects(self.polygon(block)):
                    yield block


def crs_key(crs: CRS | None) -> str:
    """Return a name that scenes of one CRS share: its EPSG code where it has one, or WKT."""
    if crs is None:
        return PIXEL_KEY
    code = crs.to_epsg()
    return f"EPSG:{code}" if code else str(crs.to_wkt())


@lru_cache
def _transformer(source: str, target: str) -> Transformer:
    return Transformer.from_crs(source, target, always_xy=True)


def reprojected(outline: shapely.Polygon, source: str, target: str) -> shapely.Polygon:
    """Bring an outline into another CRS, its edges bent as they are there.

    Parameters
    ----------
    outline
        Without holes.
    source, target
        CRSs, as by `crs_key`. Where they are one, the outline is returned as it is.
    """
    if source == target:
        return outline
    dense = outline.segmentize(outline.length / 4 / POINTS_ON_EDGE)
    points = _transformer(source, target).transform(*shapely.get_coordinates(dense).T)
    return shapely.Polygon(np.column_stack(points))


def lattice_for(crs: CRS, block: Distance, grids: Sequence[Grid]) -> Lattice:
    """Return the lattice of a CRS; see the module's text for the rules.

    Parameters
    ----------
    crs
        Projected or geographic.
    block
        ``split.block``.
    grids
        The scenes in that CRS. They matter only where the block is given in pixels.

    Raises
    ------
    SettingError
        If the block is nothing, or is given in pixels and the scenes' pixels differ.
    """
    if block.value <= 0:
        raise SettingError("split.block", f'"{block}" is no size', 'Write such as "256 ft"')
    if block.unit == "px":
        return _lattice_of_pixels(block.value, grids)
    if crs.is_geographic:
        edge = block.metres / METRES_PER_DEGREE
        groups = max(1, round(1 / (GROUP * edge)))
        return Lattice(edge, edge, band_rows=groups * GROUP)
    edge = block.metres / crs.linear_units_factor[1]
    whole = round(edge)
    if whole and abs(edge - whole) <= WHOLE_UNIT_TOLERANCE * edge:
        edge = float(whole)
    return Lattice(edge, edge)


def _lattice_of_pixels(pixels: float, grids: Sequence[Grid]) -> Lattice:
    sizes = np.array(
        [
            (math.hypot(grid.transform.a, grid.transform.d),
             math.hypot(grid.transform.b, grid.transform.e))
            for grid in grids
        ]
    )  # fmt: skip
    if np.ptp(sizes, axis=0).max() > WHOLE_UNIT_TOLERANCE * sizes.min():
        raise SettingError(
            "split.block",
            f'"{pixels:g} px" is another distance in each scene, as their pixels differ in size',
            'Write a ground distance, such as "256 ft"',
        )
    # To nine digits, so that a scene that differs in the last ones can't move the blocks.
    width, height = (float(f"{value:.9g}") for value in np.median(sizes, axis=0))
    return Lattice(pixels * width, pixels * height)
