"""Command `score-vectors`: the networks of masks and predictions against the map's centerlines."""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyogrio
import shapely

from roadmask.errors import InputError
from roadmask.files import write_json
from roadmask.raster import environment
from roadmask.vectors.command import (
    Settings,
    add_settings,
    make_layers,
    pair,
    settings_of,
    workers,
)
from roadmask.vectors.levels import map_lines
from roadmask.vectors.path_length import SPACING, path_length_similarity
from roadmask.vectors.sheets import Group, group_sheets
from roadmask.vectors.writing import Layers

log = logging.getLogger(__name__)

# Metres. The paper has 4 m between lines drawn on pictures; a map's are some feet off besides.
SNAP = 6.0
# Share of a centerline that must lie on road for it to be a street that there is.
ON_ROAD = 0.5
DECIMALS = 4


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``python -m roadmask score-vectors``."""
    parser.add_argument("--masks", type=Path, action="append", required=True, help="one a scene")
    parser.add_argument("--lines", type=Path, action="append", required=True, help="GeoPackages")
    parser.add_argument("--vectors", type=Path, required=True, help="what stage vectors listed")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1, help="processes")
    add_settings(parser)


def run(arguments: argparse.Namespace) -> None:
    """Score the networks of some scenes."""
    lines = {path.stem: path for path in arguments.lines}
    with environment(), workers(arguments.threads) as pool:
        groups = group_sheets(pair(arguments.masks, []))
        settings = settings_of(arguments)
        entries = [score(group, lines, arguments.vectors, settings, pool) for group in groups]
    write_json(arguments.output, {"snap_m": SNAP, "spacing_m": SPACING, "groups": entries})
    for entry in entries:
        log.info(
            "%s: APLS %.3f of the masks' network, %.3f of the predictions'",
            entry["group"],
            entry["masks"]["apls"],
            entry["predictions"]["apls"],
        )


def score(
    group: Group,
    lines: Mapping[str, Path],
    vectors: Path,
    settings: Settings,
    pool: ProcessPoolExecutor | None = None,
) -> dict[str, Any]:
    """Score the networks of masks and predictions.

    Parameters
    ----------
    group
        The masks of sheets.
    lines
        By scene, the GeoPackage with the layer `centerlines`.
    vectors
        The list of what was made from predictions on the same sheets, and perhaps more.
    settings
        How vectors are made.
    pool
        Processes among which blocks are shared out.

    Returns
    -------
    dict
        What is written of the group.

    Raises
    ------
    InputError
        If the list has no vectors of these sheets.
    """
    labels, _ = make_layers(group, settings, lines, pool)
    ground = _ground(group)
    streets = reference_lines(group, lines, labels, ground)
    listed = {
        entry["group"]: entry["file"]
        for entry in json.loads(vectors.read_text(encoding="utf-8"))["files"]
    }
    if group.label not in listed:
        raise InputError(
            vectors, f"it lists no vectors of {group.label}", "Remove it and run again"
        )
    predicted = pyogrio.read_dataframe(vectors.parent / listed[group.label], layer="edges")
    return {
        "group": group.label,
        "centerlines": len(streets),
        "centerlines_m": round(float(shapely.length(streets).sum()), 1),
        "masks": _compared(streets, _placed(labels.edges.geometry, group, ground)),
        "predictions": _compared(streets, _placed(predicted.geometry, group, ground)),
    }


def _ground(group: Group) -> shapely.Geometry:
    """Return the ground of the sheets, in metres."""
    boxes = [
        shapely.box(sheet.x, sheet.y, sheet.x + sheet.width, sheet.y + sheet.height)
        for sheet in group.sheets
    ]
    return shapely.transform(shapely.union_all(boxes), lambda points: points * group.pixel_metres)


def _placed(
    edges: Iterable[shapely.Geometry], group: Group, ground: shapely.Geometry
) -> list[shapely.LineString]:
    """Return what lies of edges on the ground, in metres."""
    return _clipped((shapely.transform(edge, group.to_metres) for edge in edges), ground)


def _clipped(
    lines: Iterable[shapely.Geometry], ground: shapely.Geometry
) -> list[shapely.LineString]:
    """Return what lies of lines on the ground."""
    parts = (shapely.intersection(line, ground) for line in lines)
    return [
        part
        for each in parts
        for part in shapely.get_parts(each)
        if part.geom_type == "LineString" and part.length
    ]


def _compared(
    streets: Sequence[shapely.LineString], edges: Sequence[shapely.LineString]
) -> dict[str, Any]:
    similarity = asdict(path_length_similarity(on_one_level(streets), on_one_level(edges), SNAP))
    with_levels = path_length_similarity(streets, edges, SNAP)
    figures = similarity | {"apls_with_levels": with_levels.apls}
    return {
        name: round(value, DECIMALS) if isinstance(value, float) else value
        for name, value in figures.items()
    }


def on_one_level(lines: Sequence[shapely.LineString]) -> list[shapely.LineString]:
    """Let lines meet where they cross, as they do in a picture, which tells no levels."""
    return list(shapely.get_parts(shapely.node(shapely.multilinestrings(list(lines)))))


def reference_lines(
    group: Group, lines: Mapping[str, Path], labels: Layers, ground: shapely.Geometry
) -> list[shapely.LineString]:
    """Return the centerlines on the sheets that lie on road, in metres.

    What a map has besides (streets on paper, ferries, tunnels, paths) no picture shows.

    Parameters
    ----------
    group
        The sheets.
    lines
        By scene, its GeoPackage.
    labels
        Vectors of the masks, whose polygons are the road.
    ground
        Of the sheets, in metres.
    """
    road = [shapely.transform(polygon, group.to_metres) for polygon in labels.roads.geometry]
    tree = shapely.STRtree(road)
    streets: list[shapely.LineString] = []
    for each in map_lines(group, lines):
        parts = _clipped([each], ground)
        line = shapely.MultiLineString(parts)
        near = [road[number] for number in sorted(tree.query(line))]
        covered = sum(shapely.length(shapely.intersection(line, polygon)) for polygon in near)
        if parts and covered >= ON_ROAD * line.length:
            streets += parts
    return streets
