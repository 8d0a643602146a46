"""Command `vectors`: road polygons and a centerline network over all sheets.

Written are GeoPackages with the layers `roads`, `edges` and `nodes`, one for each CRS and pixel
size (one for each picture where these lie nowhere), and a list of them with counts.
"""

from __future__ import annotations

import argparse
import logging
import math
import multiprocessing
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import partial
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from roadmask.distance import Distance, parse_distance
from roadmask.errors import InputError
from roadmask.files import remove_with_side_files, write_json
from roadmask.processes import end_with_parent
from roadmask.provenance import made_from
from roadmask.raster import environment
from roadmask.style import UNKNOWN
from roadmask.vectors import outlines, writing
from roadmask.vectors.levels import find_passes, map_lines, part_levels
from roadmask.vectors.network import Least, Network, build_network
from roadmask.vectors.outlines import Arcs
from roadmask.vectors.sheets import (
    Block,
    Group,
    Raster,
    Sheet,
    class_names,
    group_sheets,
    read_classes,
    read_probability,
)
from roadmask.vectors.skeleton import HALO, Skeleton, thin_block, work_factor

log = logging.getLogger(__name__)

# The file in which vectors are scored, beside their list.
SCORE = "network.json"
# Pixels: about the edge of a block, in which memory is bounded; with work pixels of their own
# size the halo alone is as many, and the arrays are larger.
BLOCK, FINE_BLOCK = 4096, 2048


@dataclass(frozen=True)
class Settings:
    """What polygons and lines are to be like.

    Attributes
    ----------
    tolerance
        How far outlines and lines may be moved to be smooth.
    smallest
        Edge of a square: polygons and holes of less area are left out.
    min_width
        Polygons of less mean width, and lines of road that is nowhere as wide, are left out.
    min_length
        Lines of road that has no connection and is shorter are left out.
    island
        Edge of a square: holes of less area don't part a road into two lines.
    """

    tolerance: Distance
    smallest: Distance
    min_width: Distance
    min_length: Distance
    island: Distance

    def as_texts(self) -> dict[str, str]:
        """Return the settings by their keys."""
        return {f"vectors.{name}": str(getattr(self, name)) for name in SETTINGS}


SETTINGS = tuple(field.name for field in fields(Settings))


@dataclass(frozen=True)
class Traced:
    """What was found in a block: outlines by class, and middle lines."""

    arcs: dict[int, Arcs]
    skeleton: Skeleton


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``python -m roadmask vectors``."""
    parser.add_argument("rasters", type=Path, nargs="+", help="class rasters of all scenes")
    parser.add_argument(
        "--probability", type=Path, action="append", default=[], help="one a scene, or none"
    )
    parser.add_argument(
        "--output",
        type=Path,
        required=True,
        help="the list of what was written; the GeoPackages lie beside it",
    )
    parser.add_argument(
        "--lines-folder",
        type=Path,
        help="folder of GeoPackages with the map's centerlines, which tell levels",
    )
    parser.add_argument(
        "--lines-scenes", default="", help="the scenes that have one, with / between them"
    )
    add_settings(parser)
    parser.add_argument("--threads", type=int, default=1, help="processes")


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that become `Settings`."""
    for name in SETTINGS:
        parser.add_argument(f"--vectors.{name}", dest=name, required=True)


def settings_of(arguments: argparse.Namespace) -> Settings:
    """Read what `add_settings` added."""
    return Settings(
        *(parse_distance(getattr(arguments, name), f"vectors.{name}") for name in SETTINGS)
    )


def run(arguments: argparse.Namespace) -> None:
    """Write the vectors of some rasters."""
    with environment():
        rasters = pair(arguments.rasters, arguments.probability)
        lines = lines_of(arguments.lines_folder, arguments.lines_scenes)
        settings = settings_of(arguments)
        write_vectors(rasters, arguments.output, settings, arguments.threads, lines)


def lines_of(folder: Path | None, scenes: str) -> dict[str, Path]:
    """Return by scene the GeoPackage of the map's lines."""
    names = scenes.split("/") if scenes else []
    return {} if folder is None else {name: folder / f"{name}.gpkg" for name in names}


def pair(rasters: Sequence[Path], probabilities: Sequence[Path]) -> list[Raster]:
    """Put the class rasters and probabilities of one scene together."""
    by_scene = {path.stem: path for path in probabilities}
    return [Raster(path.stem, path, by_scene.get(path.stem)) for path in rasters]


def write_vectors(
    rasters: Sequence[Raster],
    output: Path,
    settings: Settings,
    threads: int,
    lines: Mapping[str, Path],
) -> list[Path]:
    """Write a GeoPackage for each group of sheets, and a list of them.

    Parameters
    ----------
    rasters
        Of all scenes.
    output
        The list. Beside it stands ``roads.gpkg``, or where CRS or pixel size differ one for
        each with that in its name, and in pixel mode one for each picture. What an earlier
        run wrote and is no longer true is removed.
    settings
        What they are to be like.
    threads
        Processes.
    lines
        By scene, GeoPackages of the map's centerlines; none for scenes without a map.

    Returns
    -------
    list of pathlib.Path
        The GeoPackages.
    """
    # The score of other vectors: it is made anew where these are scored.
    output.with_name(SCORE).unlink(missing_ok=True)
    groups = group_sheets(rasters)
    is_one = len(groups) == 1 and groups[0].crs is not None
    paths = [
        output.with_name("roads.gpkg" if is_one else f"roads_{group.label}.gpkg")
        for group in groups
    ]
    write = partial(write_group, settings=settings, lines=lines)
    with workers(threads) as pool:
        if pool and all(group.crs is None for group in groups):
            # Many pictures, each smaller than a block.
            described = pool.map(write, groups, paths)
        else:
            described = map(partial(write, pool=pool), groups, paths)
        listed = []
        for entry in described:
            listed.append(entry)
            log.info(
                "%s: %d polygons, %d edges, %d nodes",
                *(entry[name] for name in ("file", "polygons", "edges")),
                sum(entry["nodes"].values()),
            )
    for path in sorted(output.parent.glob("roads*.gpkg")):
        if path not in paths:
            remove_with_side_files(path)
    write_json(output, {"files": listed})
    return paths


def write_group(
    group: Group,
    path: Path,
    settings: Settings,
    lines: Mapping[str, Path],
    pool: ProcessPoolExecutor | None = None,
) -> dict[str, Any]:
    """Write the GeoPackage of a group of sheets and return what is listed of it."""
    layers, network = make_layers(group, settings, lines, pool)
    metadata = made_from([sheet.raster.path for sheet in group.sheets], settings.as_texts())
    writing.write_layers(path, layers, metadata)
    return _described(path.name, group, layers, network)


@contextmanager
def workers(threads: int) -> Iterator[ProcessPoolExecutor | None]:
    """Give processes; None where one is enough."""
    if threads == 1:
        yield None
        return
    # Forked copies of a process in which GDAL has run are not safe.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(threads, mp_context=context, initializer=end_with_parent) as pool:
        yield pool


def make_layers(
    group: Group,
    settings: Settings,
    lines: Mapping[str, Path],
    pool: ProcessPoolExecutor | None = None,
) -> tuple[writing.Layers, Network]:
    """Make the layers of a group of sheets.

    Parameters
    ----------
    group
        The sheets.
    settings
        What they are to be like.
    lines
        By scene, GeoPackages of the map's centerlines.
    pool
        Processes among which blocks are shared out.
    """
    names = _common_names(group)
    factor = work_factor(group.pixel)
    size = factor * round((FINE_BLOCK if factor == 1 else BLOCK) / factor)
    halo = factor * int(np.ceil(HALO / group.pixel / factor))
    tolerance = settings.tolerance.pixels(group.pixel)
    least = settings.smallest.pixels(group.pixel) ** 2
    task = partial(
        trace, pixel_metres=group.pixel_metres, settings=settings, halo=halo, factor=factor
    )
    blocks = group.blocks(size, max(halo, outlines.blur_reach(tolerance) + 1), factor)
    traced = list(pool.map(task, blocks) if pool else map(task, blocks))
    values = sorted({value for each in traced for value in each.arcs})
    names += [f"class {value}" for value in range(len(names) + 1, max(values, default=0) + 1)]
    by_class: list[list[shapely.Polygon]] = []
    narrow: list[shapely.Polygon] = []
    left_out = outlines.LeftOut()
    width = settings.min_width.pixels(group.pixel)
    for value in values:
        arcs = [each.arcs[value] for each in traced if value in each.arcs]
        rings, small = outlines.join_arcs(arcs, least)
        polygons = outlines.to_polygons(rings)
        is_narrow = [outlines.is_narrow(polygon, width) for polygon in polygons]
        by_class.append(list(compress(polygons, np.logical_not(is_narrow))))
        narrow += compress(polygons, is_narrow)
        for area in small:
            left_out.add(area)
    for polygon in narrow:
        left_out.add(polygon.area)
    used = [names[value - 1] for value in values]
    roads, repaired = writing.road_frame(group, used, by_class, least)
    metres = factor * group.pixel_metres[0], factor * group.pixel_metres[1]
    skeleton = Skeleton.joined([each.skeleton for each in traced])
    network = build_network(
        skeleton,
        metres,
        size // factor,
        settings.tolerance.on_ground(group.pixel),
        Least(
            settings.min_width.on_ground(group.pixel),
            settings.min_length.on_ground(group.pixel),
            _lies_on(narrow, skeleton, factor),
        ),
    )
    network = part_levels(network, find_passes(map_lines(group, lines)))
    edges, nodes = writing.network_frames(group, network)
    return writing.Layers(roads, edges, nodes, repaired, left_out), network


def _lies_on(polygons: Sequence[shapely.Polygon], skeleton: Skeleton, factor: int) -> np.ndarray:
    """Tell which pixels of middle lines lie on polygons of the lattice."""
    middles = shapely.points(factor * (np.column_stack([skeleton.x, skeleton.y]) + 0.5))
    tree = shapely.STRtree(np.asarray(middles, dtype=object))
    inside = np.zeros(len(skeleton), bool)
    inside[tree.query(np.array(polygons, dtype=object), predicate="contains")[1]] = True
    return inside


def _common_names(group: Group) -> list[str]:
    """Return the names of the classes, which all sheets of a group share."""
    first = group.sheets[0].raster
    names = class_names(first.path)
    for sheet in group.sheets[1:]:
        if class_names(sheet.raster.path) != names:
            raise InputError(
                sheet.raster.path,
                f"its classes are not those of {first.path}",
                "Make both anew with the same settings",
            )
    return names


def trace(
    item: tuple[Block, list[Sheet]],
    pixel_metres: tuple[float, float],
    settings: Settings,
    halo: int,
    factor: int,
) -> Traced:
    """Find outlines and middle lines in a block; see `trace_block` and `thin_block`."""
    block, sheets = item
    across, along = pixel_metres
    pixel = math.sqrt(across * along)
    tolerance = settings.tolerance.pixels(pixel)
    reach = outlines.blur_reach(tolerance)
    around = max(halo, factor * int(np.ceil((reach + 1) / factor)))
    window = (
        block.x - around,
        block.y - around,
        block.width + 2 * around,
        block.height + 2 * around,
    )
    with environment():
        classes = read_classes(sheets, *window)
        probability = read_probability(sheets, *window)
    near = classes[
        around - reach : around + block.height + 1 + reach,
        around - reach : around + block.width + 1 + reach,
    ]
    values = [int(value) for value in np.unique(classes) if 0 < value < UNKNOWN]
    least = settings.smallest.pixels(pixel) ** 2
    arcs = {
        value: outlines.trace_block(near, reach, block.x, block.y, value, tolerance, least)
        for value in values
    }
    skeleton = thin_block(
        classes,
        probability,
        factor,
        around // factor,
        (block.x // factor, block.y // factor),
        (factor * across, factor * along),
        settings.smallest.on_ground(pixel) ** 2,
        settings.island.on_ground(pixel) ** 2,
    )
    return Traced(arcs, skeleton)


def _described(name: str, group: Group, layers: writing.Layers, network: Network) -> dict[str, Any]:
    kinds = layers.nodes["kind"].value_counts()
    area, length = group.area_in, f"length_{group.unit}"
    square = math.prod(group.pixel_metres)
    left_out = layers.left_out
    return {
        "file": name,
        "group": group.label,
        "scenes": [sheet.raster.scene for sheet in group.sheets],
        "pixel_metres": list(group.pixel_metres),
        "polygons": len(layers.roads),
        "holes": int(shapely.get_num_interior_rings(layers.roads.geometry.to_numpy()).sum()),
        area: round(float(layers.roads[area].sum()), 1),
        "mended_polygons": layers.repaired,
        "edges": len(layers.edges),
        length: round(float(layers.edges[length].sum()), 1),
        "nodes": {kind: int(kinds.get(kind, 0)) for kind in ("crossing", "end", "ring")},
        **network.counts,
        "left_out": {
            "polygons": left_out.polygons,
            f"polygons_{area}": round(square * left_out.polygon_area, 1),
            "holes": left_out.holes,
            f"holes_{area}": round(square * left_out.hole_area, 1),
            "lone_lines": network.counts["patches"],
            f"lone_lines_{length}": round(network.patch_metres, 1),
        },
    }
