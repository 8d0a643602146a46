"""Holding each tile's label against an independent answer."""

from __future__ import annotations

import argparse
import json
import logging
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from shapely.geometry.base import BaseGeometry

from roadmask.classes import ClassTable
from roadmask.grid import Grid
from roadmask.polygon_windows import PolygonWindows
from roadmask.quality.columns import read_table, write_table
from roadmask.raster import environment, read_window
from roadmask.selection import COLUMNS
from roadmask.style import UNKNOWN
from roadmask.tilesets import TileManifest
from roadmask.vectors_io import VectorSource, add_source_arguments, read_layer, source_from

log = logging.getLogger(__name__)

SCORE = "reference_iou"
SCORED_COLUMNS = (*COLUMNS, SCORE)
# A tile whose label is worse is called bad.
GOOD = 0.9
# Classes of the histogram between 0 and 1, and how many of the worst tiles are named.
BINS = 20
MOST_WORST = 12
# The share of all tiles, by doubt, among which the bad ones should be.
DOUBTFUL = 0.1


def tile_iou(label: np.ndarray, truth: np.ndarray, road: int) -> float:
    """Return the intersection over union of a label's road with the answer's.

    Parameters
    ----------
    label
        uint8 of any shape. What is not known counts as no road: on true road it is missed.
    truth
        bool of the same shape.
    road
        The class that the answer holds.

    Returns
    -------
    float
        NaN where neither has any road.
    """
    found = label == road
    union = int(np.count_nonzero(found | truth))
    return int(np.count_nonzero(found & truth)) / union if union else math.nan


def tile_ious(
    mask: rasterio.io.DatasetReader,
    manifest: TileManifest,
    reference: PolygonWindows,
    area: PolygonWindows | None,
    road: int,
) -> dict[str, float]:
    """Return every tile's IoU with the reference, by its name.

    Parameters
    ----------
    mask
        The scene's label.
    manifest
        Of its tiles.
    reference
        The answer.
    area
        The ground that counts, or None for all.
    road
        The class that the answer holds.
    """
    found = {}
    for tile in manifest.tiles:
        place = (
            tile.x,
            tile.y,
            min(tile.size, manifest.grid.width - tile.x),
            min(tile.size, manifest.grid.height - tile.y),
        )
        label = read_window(mask, *place, bands=[1], fill=UNKNOWN)[0]
        truth = reference.read(*place)
        if area is not None:
            truth &= area.read(*place)
        found[tile.name] = tile_iou(label, truth, road)
    return found


def distribution(rows: Iterable[Mapping[str, str]]) -> dict[str, Any] | None:
    """Sum up how the tiles' labels agree with the reference.

    Parameters
    ----------
    rows
        Lines of the tables of all scenes, with `SCORE` and ``doubt``.

    Returns
    -------
    dict or None
        ``tiles`` with a score; ``histogram``, their number in `BINS` equal classes from 0 to
        1; ``bad``, those under `GOOD`; ``bad_among_doubtful``, those of them in the highest
        tenth of all tiles by doubt; ``worst``, with name, IoU and doubt. None where no tile
        has a score.
    """
    every = list(rows)
    scored = [
        (row["tile"], float(row[SCORE]), float(row["doubt"])) for row in every if row.get(SCORE)
    ]
    if not scored:
        return None
    counts, _ = np.histogram([iou for _, iou, _ in scored], BINS, (0, 1))
    bad = {tile for tile, iou, _ in scored if iou < GOOD}
    ordered = sorted(every, key=lambda row: (-float(row["doubt"]), row["tile"]))
    doubtful = {row["tile"] for row in ordered[: math.ceil(DOUBTFUL * len(every))]}
    worst = sorted(scored, key=lambda item: (item[1], item[0]))[:MOST_WORST]
    return {
        "tiles": len(scored),
        "histogram": [int(count) for count in counts],
        "bad": len(bad),
        "bad_among_doubtful": len(bad & doubtful),
        "worst": [{"tile": tile, "iou": iou, "doubt": doubt} for tile, iou, doubt in worst],
    }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``score``."""
    parser.add_argument("verdicts", type=Path, help="table of the judged tiles, CSV")
    parser.add_argument("--mask", type=Path, required=True, help="the scene's label")
    parser.add_argument("--manifest", type=Path, required=True, help="of the scene's tiles")
    parser.add_argument("--output", type=Path, required=True, help="the table, CSV")
    parser.add_argument("--classes", type=json.loads, required=True, help="as JSON")
    for key in ("reference", "area"):
        add_source_arguments(parser, key)


def run(arguments: argparse.Namespace) -> None:
    """Add the scores to the table of one scene; empty ones where there is no reference."""
    rows = read_table(arguments.verdicts, COLUMNS)
    reference = source_from(arguments, "reference")
    scores: dict[str, float] = {}
    if reference is not None:
        manifest = TileManifest.read(arguments.manifest)
        names = ClassTable.parse(arguments.classes).names
        # A reference is one layer of polygons: of the class road, or of the first.
        road = names.index("road") + 1 if "road" in names else 1
        area = source_from(arguments, "area")
        with environment(), rasterio.open(arguments.mask) as mask:
            answer = _read(reference, manifest.grid, "labels.reference")
            if answer:
                scores = tile_ious(
                    mask,
                    manifest,
                    PolygonWindows(manifest.grid, answer),
                    None
                    if area is None
                    else PolygonWindows(manifest.grid, _read(area, manifest.grid, "area")),
                    road,
                )
            else:
                # No road at all can't be told from ground that the answer leaves out.
                log.warning(
                    "labels.reference: %s has no polygon on %s: its tiles get no score",
                    reference.path,
                    manifest.scene,
                )
    scored = [{**row, SCORE: scores.get(row["tile"], math.nan)} for row in rows]
    write_table(arguments.output, SCORED_COLUMNS, scored)


def _read(source: VectorSource, grid: Grid, key: str) -> list[BaseGeometry]:
    layer = read_layer(source, grid, grid.crs, key=key, kind="polygons", must_reach=False)
    return list(layer.frame.geometry)
