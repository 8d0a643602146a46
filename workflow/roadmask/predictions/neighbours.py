"""Command `neighbours`: which sheets lie so near that a window at a sheet's border sees them.

Where sheets lie is known only once they are scenes. So this is written between the stages
`scenes` and `predictions`, and each sheet then waits for, and is made again after, its own
neighbours and no others.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Mapping
from pathlib import Path

import rasterio
import shapely
from rasterio.crs import CRS

from roadmask.errors import InputError
from roadmask.files import write_json
from roadmask.grid import Grid
from roadmask.predictions.picture import neighbours_of
from roadmask.predictions.resampling import MOST_TIMES
from roadmask.raster import environment

log = logging.getLogger(__name__)

# A window grows to a multiple of the network's stride, of which this is one for all networks.
STRIDE = 64


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``python -m roadmask neighbours``."""
    parser.add_argument("scenes", type=Path, nargs="+", help="COGs of all scenes")
    parser.add_argument("--output", type=Path, required=True, help="the JSON file")
    parser.add_argument(
        "--prediction.window", dest="window", type=int, required=True, help="pixels"
    )
    parser.add_argument(
        "--prediction.resample",
        dest="resample",
        type="true".__eq__,
        default=False,
        help="true: the network's pixels may be others than the sheets'",
    )


def run(arguments: argparse.Namespace) -> None:
    """Write which scenes lie beside which."""
    reach = -(-arguments.window // STRIDE) * STRIDE
    if arguments.resample:
        # How large the network's pixels are is known to the network alone.
        reach *= MOST_TIMES
    with environment():
        grids = {path.stem: _grid(path) for path in arguments.scenes}
    found = sheets_beside(grids, reach, on_one_lattice=not arguments.resample)
    write_json(arguments.output, {"reach": reach, "neighbours": found})
    log.info(
        "%d of %d sheets have others within %d pixels",
        sum(map(bool, found.values())),
        len(found),
        reach,
    )


def sheets_beside(
    grids: Mapping[str, Grid], reach: int, *, on_one_lattice: bool = True
) -> dict[str, list[str]]:
    """Find the sheets that each sheet's windows can see.

    Parameters
    ----------
    grids
        The sheets by name.
    reach
        How far windows look beyond a sheet, in pixels.
    on_one_lattice
        Whether only sheets that share their pixels' lattice can continue one another.

    Returns
    -------
    dict of str to list of str
        For every sheet, in order of names, the names of those of its CRS that lie within
        reach; see `roadmask.predictions.picture.neighbours_of`.
    """
    found: dict[str, list[str]] = {name: [] for name in sorted(grids)}
    # One CRS can be written in several ways, so it is asked whether two are equal.
    of_crs: list[tuple[CRS, list[str]]] = []
    for name in found:
        crs = grids[name].crs
        if crs is None:
            continue
        alike = next((names for other, names in of_crs if other == crs), None)
        if alike is None:
            of_crs.append((crs, [name]))
        else:
            alike.append(name)
    for _, names in of_crs:
        # Of thousands of sheets, few lie near one another: the tree spares all pairs.
        tree = shapely.STRtree([shapely.box(*grids[name].bounds) for name in names])
        for name in names:
            near = tree.query(shapely.box(*grids[name].widened(reach).bounds))
            others = sorted(names[index] for index in near if names[index] != name)
            if on_one_lattice:
                beside = neighbours_of(grids[name], [grids[other] for other in others], reach)
                others = [others[index] for index, _ in beside]
            found[name] = others
    return found


def _grid(path: Path) -> Grid:
    try:
        with rasterio.open(path) as dataset:
            return Grid.from_dataset(dataset)
    except rasterio.errors.RasterioIOError as error:
        raise InputError(path, f"it can't be read ({error})", "Remove it and run again") from error
