"""Sheets put together on one lattice of pixels, and read as if they were one raster.

Work goes by blocks of that lattice, which is anchored at the CRS's origin: where one sheet
ends and the next begins makes no difference to what is found.
"""

from __future__ import annotations

import json
import logging
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from rasterio.crs import CRS
from rasterio.io import DatasetReader

from roadmask.grid import PIXEL_TOLERANCE, Grid
from roadmask.mosaic import PIXEL_DIGITS, crs_label
from roadmask.predictions.lattice import ROUNDING
from roadmask.probability import CERTAIN
from roadmask.raster import read_window
from roadmask.style import UNKNOWN

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Raster:
    """A sheet's classes and, where there are any, its probabilities.

    Attributes
    ----------
    scene
        Its name.
    path
        Its class raster: 0 other, 1 and more the classes, 255 not known.
    probability
        Its probability raster, 0 to 254, one band a class.
    """

    scene: str
    path: Path
    probability: Path | None


@dataclass(frozen=True)
class Sheet:
    """A raster and the pixels of the lattice that it holds.

    Attributes
    ----------
    raster
        Its files.
    x, y
        The lattice's column and row of its upper left pixel.
    width, height
        Pixels.
    """

    raster: Raster
    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True)
class Block:
    """A part of the lattice: its upper left pixel and its edges."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True)
class Group:
    """Sheets that share one lattice of pixels.

    Attributes
    ----------
    label
        What tells it from other groups, as part of a file's name.
    transform
        From the lattice's columns and rows to the CRS.
    crs
        None in pixel mode.
    sheets
        In the order of their names.
    """

    label: str
    transform: Affine
    crs: CRS | None
    sheets: tuple[Sheet, ...]

    @cached_property
    def pixel_metres(self) -> tuple[float, float]:
        """Ground size of a pixel along columns and rows, at the centre of all sheets."""
        left, top, right, bottom = self.extent
        grid = Grid(
            right - left, bottom - top, self.transform @ Affine.translation(left, top), self.crs
        )
        across, along = (float(f"{size:.{PIXEL_DIGITS}g}") for size in grid.pixel_metres)
        return across, along

    @property
    def pixel(self) -> float:
        """The side in metres of a square with the ground area of a pixel."""
        return math.sqrt(self.pixel_metres[0] * self.pixel_metres[1])

    @cached_property
    def extent(self) -> tuple[int, int, int, int]:
        """First column and row, and those after the last."""
        return (
            min(sheet.x for sheet in self.sheets),
            min(sheet.y for sheet in self.sheets),
            max(sheet.x + sheet.width for sheet in self.sheets),
            max(sheet.y + sheet.height for sheet in self.sheets),
        )

    def blocks(self, size: int, halo: int, unit: int) -> list[tuple[Block, list[Sheet]]]:
        """Return the blocks that hold sheets, each with the sheets within a halo of it.

        Parameters
        ----------
        size
            A block's edge in pixels; blocks end where the sheets do.
        halo
            Pixels around it.
        unit
            Pixels of which a block's place and edges are whole multiples, as `size` is.
        """
        # An outline at a sheet's very edge runs half a pixel into the next block.
        left, top = ((first - 1) // unit * unit for first in self.extent[:2])
        right, bottom = (-(-(last + 1) // unit) * unit for last in self.extent[2:])
        found: dict[tuple[int, int], list[Sheet]] = defaultdict(list)
        filled: set[tuple[int, int]] = set()
        for sheet in self.sheets:
            filled.update(_squares(sheet, size, 1))
            for place in _squares(sheet, size, halo):
                found[place].append(sheet)
        blocks = []
        for row, column in sorted(filled):
            x, y = max(column * size, left), max(row * size, top)
            width = min((column + 1) * size, right) - x
            height = min((row + 1) * size, bottom) - y
            blocks.append((Block(x, y, width, height), found[row, column]))
        return blocks

    def to_crs(self, points: np.ndarray) -> np.ndarray:
        """Bring ``(n, 2)`` columns and rows to the CRS, as decimal numbers without a long tail.

        Sheets that were cut from one another have origins that differ by rounding alone,
        which must not show.
        """
        affine = self.transform
        xs = affine.a * points[:, 0] + affine.b * points[:, 1] + affine.c
        ys = affine.d * points[:, 0] + affine.e * points[:, 1] + affine.f
        return np.round(np.column_stack([xs, ys]), self.decimals)

    def to_metres(self, points: np.ndarray) -> np.ndarray:
        """Bring ``(n, 2)`` places in the CRS to metres right and down of the lattice's origin."""
        columns, rows = ~self.transform @ (points[:, 0], points[:, 1])
        return np.column_stack([columns, rows]) * self.pixel_metres

    @property
    def unit(self) -> str:
        """Short name of what lengths on the ground are counted in."""
        return "px" if self.crs is None else "m"

    @property
    def area_in(self) -> str:
        """Name of a column of areas on the ground."""
        return "area_px" if self.crs is None else "area_m2"

    @property
    def decimals(self) -> int:
        """Decimals of a coordinate: below a thousandth of a pixel."""
        edge = min(np.hypot(self.transform.a, self.transform.d), np.hypot(*self.transform[1:5:3]))
        return int(np.ceil(-np.log10(edge))) + 3


def _squares(sheet: Sheet, size: int, halo: int) -> Iterable[tuple[int, int]]:
    for row in range((sheet.y - halo) // size, (sheet.y + sheet.height + halo - 1) // size + 1):
        columns = range((sheet.x - halo) // size, (sheet.x + sheet.width + halo - 1) // size + 1)
        for column in columns:
            yield row, column


def group_sheets(rasters: Sequence[Raster]) -> list[Group]:
    """Put rasters of one CRS, pixel size and turn together.

    Parameters
    ----------
    rasters
        Of any CRS. Those without one lie nowhere, and each is a group of its own.

    Returns
    -------
    list of Group
        In the order of their labels. A sheet whose pixels lie between those of its group's
        first sheet is moved by less than a pixel, which is logged.
    """
    opened = []
    for raster in sorted(rasters, key=lambda each: each.scene):
        with rasterio.open(raster.path) as dataset:
            opened.append((raster, Grid.from_dataset(dataset)))
    members: dict[str, list[tuple[Raster, Grid]]] = defaultdict(list)
    for raster, grid in opened:
        members[_label(raster, grid)].append((raster, grid))
    return [_group(label, members[label]) for label in sorted(members)]


def _label(raster: Raster, grid: Grid) -> str:
    if grid.crs is None:
        return raster.scene
    a, b, _, d, e, _ = (float(f"{value:.{PIXEL_DIGITS}g}") for value in grid.transform[:6])
    pixel = f"{a:g}" if a == -e else f"{a:g}x{-e:g}"
    turn = f"_turned{b:g}x{d:g}" if b or d else ""
    return f"{crs_label(grid.crs)}_{pixel}{turn}"


def _group(label: str, members: Sequence[tuple[Raster, Grid]]) -> Group:
    first = members[0][1]
    linear = Affine(
        first.transform.a, first.transform.b, 0, first.transform.d, first.transform.e, 0
    )
    column, row = ~linear @ (first.transform.c, first.transform.f)
    start = (
        (math.floor(column + ROUNDING), math.floor(row + ROUNDING))
        if first.crs is not None
        else (0, 0)
    )
    # The lattice's origin: whole pixels from the first sheet's, nearest to the CRS's.
    transform = first.transform @ Affine.translation(-start[0], -start[1])
    sheets = []
    for raster, grid in members:
        x, y = ~transform @ (grid.transform.c, grid.transform.f)
        moved = max(abs(x - round(x)), abs(y - round(y)))
        if moved > PIXEL_TOLERANCE:
            log.warning(
                "%s: its pixels lie between those of %s; its vectors are moved by %.2f pixels",
                raster.scene,
                members[0][0].scene,
                moved,
            )
        sheets.append(Sheet(raster, round(x), round(y), grid.width, grid.height))
    return Group(label, transform, first.crs, tuple(sheets))


def class_names(path: Path) -> list[str]:
    """Return the names of a class raster's values from 1 on."""
    with rasterio.open(path) as dataset:
        return list(json.loads(dataset.tags().get("ROADMASK_CLASSES", "[]")))[1:]


def read_classes(sheets: Sequence[Sheet], x: int, y: int, width: int, height: int) -> np.ndarray:
    """Read a window of the lattice.

    Parameters
    ----------
    sheets
        Those that may touch it; where they overlap, the last one that knows counts.
    x, y, width, height
        In the lattice's pixels.

    Returns
    -------
    numpy.ndarray
        ``(height, width)`` uint8, 255 where no sheet knows.
    """
    out = np.full((height, width), UNKNOWN, np.uint8)
    for sheet in sheets:
        if _touches(sheet, x, y, width, height):
            with rasterio.open(sheet.raster.path) as dataset:
                part, at = _part(dataset, sheet, x, y, width, height, [1], UNKNOWN)
            known = part[0] != UNKNOWN
            out[at][known] = part[0][known]
    return out


def read_probability(
    sheets: Sequence[Sheet], x: int, y: int, width: int, height: int
) -> np.ndarray | None:
    """Read the probability that a pixel is of any class.

    Returns
    -------
    numpy.ndarray or None
        ``(height, width)`` uint8 of 0 to 254, 255 where no sheet knows; None where no sheet
        has probabilities.
    """
    if not any(sheet.raster.probability for sheet in sheets):
        return None
    out = np.full((height, width), UNKNOWN, np.uint8)
    for sheet in sheets:
        path = sheet.raster.probability
        if path is not None and _touches(sheet, x, y, width, height):
            with rasterio.open(path) as dataset:
                part, at = _part(dataset, sheet, x, y, width, height, dataset.indexes, UNKNOWN)
            known = part[0] != UNKNOWN
            total = np.minimum(part.astype(np.uint16).sum(axis=0), CERTAIN)
            out[at][known] = total[known]
    return out


def _touches(sheet: Sheet, x: int, y: int, width: int, height: int) -> bool:
    return (
        sheet.x < x + width
        and x < sheet.x + sheet.width
        and sheet.y < y + height
        and y < sheet.y + sheet.height
    )


def _part(
    dataset: DatasetReader,
    sheet: Sheet,
    x: int,
    y: int,
    width: int,
    height: int,
    bands: Sequence[int],
    fill: int,
) -> tuple[np.ndarray, tuple[slice, slice]]:
    """Return what a sheet holds of a window, and where it lies in it."""
    left, top = max(x, sheet.x), max(y, sheet.y)
    right, bottom = min(x + width, sheet.x + sheet.width), min(y + height, sheet.y + sheet.height)
    part = read_window(
        dataset,
        left - sheet.x,
        top - sheet.y,
        right - left,
        bottom - top,
        bands=bands,
        fill=fill,
    )
    return part, (slice(top - y, bottom - y), slice(left - x, right - x))
