"""Measure what is known of the quality of each tile's label, and where the label lies."""

from __future__ import annotations

import argparse
import logging
import math
import statistics
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.io import DatasetReader

from roadmask.distance import METRES_PER_UNIT
from roadmask.errors import InputError
from roadmask.files import write_json
from roadmask.grid import Grid, Tile, TileGrid
from roadmask.lines import CENTERLINES, STREET_LINES, read_vectors
from roadmask.quality.blocks import Blocks, correlate_blocks
from roadmask.quality.columns import (
    LEAST_ROAD,
    MEASURES,
    SHARPNESS,
    WAS_CUT,
    Evidence,
    PieceSums,
    Shares,
    write_table,
)
from roadmask.quality.doubt import Doubt, doubt
from roadmask.quality.evidence import in_pixels, read_streets, street_width, weigh
from roadmask.quality.likeness import Likeness, correlate_looks, read_likeness
from roadmask.quality.offset import Offset
from roadmask.quality.pieces import Pieces
from roadmask.quality.shares import NOTHING, measure, sharpness
from roadmask.quality.sheet import MapLines, Sheet
from roadmask.raster import environment
from roadmask.tile_pairs import PairedTiles

log = logging.getLogger(__name__)

# Outlines that are right lie on edges of the picture at least as well as this.
GOOD_AGREEMENT = 0.3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``measure``."""
    parser.add_argument("scene", type=Path, help="the scene as GeoTIFF")
    parser.add_argument("--mask", type=Path, required=True, help="its label")
    parser.add_argument("--tiles", type=Path, required=True, help="manifest of the image tiles")
    parser.add_argument("--masks", type=Path, required=True, help="manifest of the label tiles")
    parser.add_argument("--looks", type=Path, required=True, help="how like road it looks")
    parser.add_argument("--lines", type=Path, help="the scene's lines as raster")
    parser.add_argument("--vectors", type=Path, help="the scene's lines as GeoPackage")
    parser.add_argument("--pieces", type=Path, help="what the label was decided by, GeoPackage")
    parser.add_argument("--output", type=Path, required=True, help="the table, CSV")
    parser.add_argument("--offset", type=Path, required=True, help="where the label lies, JSON")


def run(arguments: argparse.Namespace) -> None:
    """Measure one scene."""
    pairs = PairedTiles.open(arguments.tiles, arguments.masks)
    with environment(), ExitStack() as stack:
        sheet = Sheet(
            pairs.images,
            stack.enter_context(_open(arguments.scene)),
            stack.enter_context(_open(arguments.mask)),
            _map_lines(arguments, pairs.images.grid, stack),
        )
        _check_grids(sheet, arguments)
        widest = street_width(sheet)
        likeness = read_likeness(sheet, stack.enter_context(_open(arguments.looks)), widest)
        blocks = correlate_blocks(sheet)
        pieces = None if arguments.pieces is None else Pieces.read(arguments.pieces, sheet.grid)
        rows = list(_rows(sheet, pairs, Ground(widest, likeness, blocks), pieces))
    write_table(arguments.output, (*MEASURES, WAS_CUT), rows)
    write_json(arguments.offset, offset_record(blocks.offset, sheet.grid))
    log.info("%s: %s", pairs.images.scene, offset_text(blocks.offset, sheet.grid))


def _open(path: Path) -> DatasetReader:
    try:
        return rasterio.open(path)
    except rasterio.errors.RasterioIOError as error:
        raise InputError(path, f"it can't be read ({error})", "Remove it and run again") from error


def _check_grids(sheet: Sheet, arguments: argparse.Namespace) -> None:
    for path, dataset in ((arguments.scene, sheet.scene), (arguments.mask, sheet.mask)):
        if (dataset.height, dataset.width) != sheet.grid.shape:
            raise InputError(
                path,
                f"{dataset.width} x {dataset.height} pixels, where the tiles were cut from "
                f"{sheet.grid.width} x {sheet.grid.height}",
                "Remove both and run again",
            )


def _map_lines(arguments: argparse.Namespace, grid: Grid, stack: ExitStack) -> MapLines | None:
    if arguments.vectors is None or arguments.lines is None:
        return None
    centerlines = read_vectors(arguments.vectors, CENTERLINES)
    street_lines = read_vectors(arguments.vectors, STREET_LINES)
    return MapLines(
        in_pixels(street_lines.geometry.to_numpy(), grid),
        in_pixels(centerlines.geometry.to_numpy(), grid),
        centerlines["width_m"].to_numpy(float) / grid.ground_sample_distance,
        stack.enter_context(_open(arguments.lines)),
    )


@dataclass(frozen=True)
class Measured:
    """What was measured of a tile.

    Attributes
    ----------
    tile
        The tile.
    shares, sharp, evidence, sums
        What its columns hold.
    was_cut
        Whether it lies inside `area`.
    """

    tile: Tile
    shares: Shares
    sharp: float
    evidence: Evidence
    sums: PieceSums
    was_cut: bool

    def doubt(self) -> Doubt:
        """Weigh all of it."""
        return doubt(self.shares, self.evidence, self.sums)


@dataclass(frozen=True)
class Ground:
    """What was found all over a sheet.

    Attributes
    ----------
    widest
        Pixels: the width of its widest streets.
    likeness
        How much like road it looks.
    blocks
        How its label lies on the picture's edges.
    """

    widest: float
    likeness: Likeness
    blocks: Blocks


def _rows(
    sheet: Sheet,
    pairs: PairedTiles,
    ground: Ground,
    pieces: Pieces | None,
) -> Iterator[Mapping[str, object]]:
    """Measure every tile, those outside `area` included."""
    tiles = list(with_usual_edges(list(_measured(sheet, pairs, ground, pieces))))
    for measured in with_neighbours(tiles):
        found = measured.doubt()
        yield {
            "tile": measured.tile.name,
            "row": measured.tile.row,
            "col": measured.tile.column,
            **asdict(measured.shares),
            SHARPNESS: measured.sharp,
            **asdict(measured.evidence),
            **asdict(measured.sums),
            "doubt": found.number,
            "doubt_reason": found.reason,
            WAS_CUT: int(measured.was_cut),
        }


def with_usual_edges(tiles: list[Measured]) -> Iterator[Measured]:
    """Add by how much worse the picture bears out each tile's outlines than is usual on the sheet.

    How well it does where labels are right depends on the picture: trees and parked cars hide
    kerbs. Where most labels are off, what is usual says nothing of edges, and good outlines'
    least counts.
    """
    with_road = [each.evidence for each in tiles if each.shares.road_share >= LEAST_ROAD]
    usual = max(_median(each.edge_agreement for each in with_road), GOOD_AGREEMENT)
    usually_blind = max(_median(each.blind_share for each in with_road), 0.0)
    for each in tiles:
        beside_usual = replace(
            each.evidence,
            edge_shortfall=usual - each.evidence.edge_agreement,
            blind_excess=each.evidence.blind_share - usually_blind,
        )
        yield replace(each, evidence=beside_usual)


def _median(values: Iterable[float]) -> float:
    """Return the median of what could be measured, minus infinity where nothing could."""
    found = [value for value in values if not math.isnan(value)]
    return statistics.median(found) if found else -math.inf


def with_neighbours(tiles: list[Measured]) -> Iterator[Measured]:
    """Add to what was measured of each tile how doubtful those beside it are by themselves."""
    alone = {(each.tile.row, each.tile.column): each.doubt().number for each in tiles}
    for each in tiles:
        row, column = each.tile.row, each.tile.column
        beside = ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1))
        highest = max((alone[place] for place in beside if place in alone), default=math.nan)
        yield replace(each, evidence=replace(each.evidence, doubt_beside=highest))


def _measured(
    sheet: Sheet,
    pairs: PairedTiles,
    ground: Ground,
    pieces: Pieces | None,
) -> Iterator[Measured]:
    images, streets = pairs.images, read_streets(sheet)
    looks = correlate_looks(sheet, ground.blocks, ground.likeness)
    cut = {tile.name: tile for tile in images.tiles}
    for tile in TileGrid(images.scene, images.grid, images.size, images.overlap):
        shares, evidence, sums, sharp = NOTHING, Evidence(), PieceSums(), math.nan
        if tile.name in cut:
            pair = pairs.read(cut[tile.name])
            shares = measure(pair.image, pair.valid, pair.label)
            sharp = sharpness(pair.image, pair.valid)
            evidence = weigh(
                sheet, tile, ground.blocks, looks, ground.likeness, streets, ground.widest
            )
            sums = PieceSums() if pieces is None else pieces.sums(sheet.grid, tile)
        yield Measured(tile, shares, sharp, evidence, sums, tile.name in cut)


# --- the sheet's offset --------------------------------------------------------------------


def offset_record(offset: Offset | None, grid: Grid) -> dict[str, Any]:
    """Return what is written of a sheet's offset.

    Parameters
    ----------
    offset
        Where the picture lies, seen from the label; None where nothing can be told.
    grid
        The sheet's pixels.

    Returns
    -------
    dict
        ``pixels``: the offset as found; ``metres`` and ``sigma_metres``: its size and
        standard error on the ground; ``shift``: the `labels.shift` that would bring the label
        there; ``pixel_metres``. Nulls where no offset stands out.
    """
    pixel = {"pixel_metres": round(grid.ground_sample_distance, 6)}
    if offset is None or not offset.is_clear:
        found = {"pixels": None if offset is None else offset.as_dict()}
        return pixel | found | dict.fromkeys(("metres", "sigma_metres", "shift"))
    across, down = grid.pixel_metres
    ground = offset.right * across, offset.up * down
    return pixel | {
        "pixels": offset.as_dict(),
        "metres": round(float(np.hypot(*ground)), 3),
        "sigma_metres": round(
            float(np.hypot(offset.sigma_right * across, offset.sigma_up * down)), 3
        ),
        "shift": [_distance_text(part, grid) for part in ground],
    }


def _distance_text(metres: float, grid: Grid) -> str:
    """Write a distance in feet where the sheet's CRS counts in feet, else metres or pixels."""
    if grid.crs is None:
        unit, value = "px", round(metres, 1)
    elif "foot" in str(grid.crs.linear_units).lower():
        unit, value = "ft", round(metres / METRES_PER_UNIT["ft"], 1)
    else:
        unit, value = "m", round(metres, 2)
    return f"{value + 0.0:g} {unit}"  # no minus before a zero


def offset_text(offset: Offset | None, grid: Grid) -> str:
    """Say in words where the label lies."""
    record = offset_record(offset, grid)
    if record["shift"] is None:
        return "no offset between label and picture stands out"
    right, up = record["shift"]
    side, height = ("left" if right[0] == "-" else "right"), ("below" if up[0] == "-" else "above")
    return (
        f"the picture lies {right.lstrip('-')} to the {side} of the label and {up.lstrip('-')} "
        f"{height} it, give or take {_distance_text(record['sigma_metres'], grid)}"
    )
