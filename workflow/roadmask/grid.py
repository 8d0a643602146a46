"""Pixel grids on the ground, and the tiles they are cut into."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

from affine import Affine
from pyproj import Geod, Transformer
from rasterio.coords import BoundingBox
from rasterio.crs import CRS

# Two origins count as whole pixels apart up to this share of a pixel: what float64
# coordinates of a few million feet leave after a division.
PIXEL_TOLERANCE = 1e-3


class HasGrid(Protocol):
    """What a grid is read from: an open rasterio dataset."""

    width: int
    height: int
    transform: Affine
    crs: CRS | None


@dataclass(frozen=True)
class Grid:
    """A raster's pixels and where they lie.

    Attributes
    ----------
    width, height
        Size in pixels.
    transform
        From (column, row) to CRS coordinates of pixel corners; the identity in pixel mode.
    crs
        None in pixel mode.
    """

    width: int
    height: int
    transform: Affine
    crs: CRS | None

    @classmethod
    def from_dataset(cls, dataset: HasGrid) -> Grid:
        """Take the grid of an open rasterio dataset."""
        return cls(dataset.width, dataset.height, dataset.transform, dataset.crs)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns, as NumPy has them."""
        return self.height, self.width

    @property
    def bounds(self) -> BoundingBox:
        """Left, bottom, right and top in CRS units, whatever the transform's turn."""
        corners = [
            self.transform @ (column, row) for column in (0, self.width) for row in (0, self.height)
        ]
        xs, ys = zip(*corners, strict=True)
        return BoundingBox(min(xs), min(ys), max(xs), max(ys))

    def window(self, x: int, y: int, width: int, height: int) -> Grid:
        """Return the grid of a window whose upper left pixel is column `x`, row `y`.

        The window may stick out of this grid; `x` and `y` may be negative.
        """
        return replace(
            self,
            width=width,
            height=height,
            transform=self.transform @ Affine.translation(x, y),
        )

    def widened(self, pixels: int) -> Grid:
        """Return the grid with `pixels` more on each side."""
        return self.window(-pixels, -pixels, self.width + 2 * pixels, self.height + 2 * pixels)

    def offset_of(self, other: Grid) -> tuple[int, int]:
        """Return the column and row in this grid of the upper left pixel of `other`.

        Raises
        ------
        ValueError
            If the two don't share one pixel lattice: other CRS, other pixel, or an
            offset that is no whole number of pixels.
        """
        if self.crs != other.crs:
            raise ValueError(f"CRS {other.crs} instead of {self.crs}")
        relative = ~self.transform @ other.transform
        extent = max(other.width, other.height, 1)
        drift = (
            max(abs(relative.a - 1), abs(relative.b), abs(relative.d), abs(relative.e - 1)) * extent
        )
        x, y = round(relative.c), round(relative.f)
        apart = max(abs(relative.c - x), abs(relative.f - y))
        if drift > PIXEL_TOLERANCE or apart > PIXEL_TOLERANCE:
            raise ValueError(
                f"pixels of another size or turn ({tuple(other.transform)[:6]} instead of "
                f"{tuple(self.transform)[:6]})"
                if drift > PIXEL_TOLERANCE
                else f"an offset of {relative.c:.4f}, {relative.f:.4f} pixels"
            )
        return x, y

    def same_grid(self, other: Grid) -> bool:
        """Tell whether both have the same pixels, to the bit of the transform."""
        return self == other

    @cached_property
    def pixel_metres(self) -> tuple[float, float]:
        """Ground size of the centre pixel in metres, along its columns and its rows.

        Measured on the ellipsoid, so it is right in feet, in degrees and in projections
        whose scale is not 1. In pixel mode a pixel counts as one metre.
        """
        if self.crs is None:
            return 1.0, 1.0
        column, row = self.width / 2, self.height / 2
        # A single pixel is too short to measure on an ellipsoid; a span is not.
        half = max(1.0, min(self.width, self.height) / 2, 50.0)
        to_degrees = Transformer.from_crs(self.crs.to_wkt(), "EPSG:4326", always_xy=True)
        geod = Geod(ellps="WGS84")

        def span(steps: tuple[float, float]) -> float:
            ends = [
                self.transform @ (column + sign * steps[0], row + sign * steps[1])
                for sign in (-1, 1)
            ]
            (lon0, lat0), (lon1, lat1) = (to_degrees.transform(*end) for end in ends)
            return float(geod.inv(lon0, lat0, lon1, lat1)[2]) / (2 * half)

        return span((half, 0.0)), span((0.0, half))

    @property
    def ground_sample_distance(self) -> float:
        """The side in metres of a square with the ground area of the centre pixel."""
        return math.sqrt(self.pixel_metres[0] * self.pixel_metres[1])


@dataclass(frozen=True)
class Tile:
    """One tile of a scene.

    Attributes
    ----------
    name
        ``{scene}_r{row:03d}_c{column:03d}``.
    row, column
        Its place in the grid of tiles, from the upper left, from 0.
    x, y
        The scene's pixel at its upper left corner.
    size
        Its edge in pixels; it may stick out of the scene at the right and the bottom.
    """

    name: str
    row: int
    column: int
    x: int
    y: int
    size: int


@dataclass(frozen=True)
class TileGrid:
    """Square tiles that cover every pixel of a scene.

    Attributes
    ----------
    scene
        Its name, with which the tiles' names begin.
    grid
        The scene's grid.
    size
        Edge of a tile in pixels.
    overlap
        Pixels that neighbours share.
    """

    scene: str
    grid: Grid
    size: int
    overlap: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.overlap < self.size:
            raise ValueError(f"overlap {self.overlap} must be at least 0 and below {self.size}")

    @property
    def step(self) -> int:
        """Pixels from one tile's origin to the next one's."""
        return self.size - self.overlap

    @property
    def columns(self) -> int:
        """Tiles in a row."""
        return self._count(self.grid.width)

    @property
    def rows(self) -> int:
        """Tiles in a column."""
        return self._count(self.grid.height)

    def _count(self, pixels: int) -> int:
        return max(1, math.ceil((pixels - self.overlap) / self.step))

    def __len__(self) -> int:
        return self.rows * self.columns

    def __iter__(self) -> Iterator[Tile]:
        for row in range(self.rows):
            for column in range(self.columns):
                yield Tile(
                    name=f"{self.scene}_r{row:03d}_c{column:03d}",
                    row=row,
                    column=column,
                    x=column * self.step,
                    y=row * self.step,
                    size=self.size,
                )
