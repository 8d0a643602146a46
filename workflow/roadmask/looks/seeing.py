"""Write how much like road each cell of a sheet looks, each half told by the other's network."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnxruntime
import rasterio
from numpy.typing import NDArray
from rasterio.io import DatasetReader
from rasterio.windows import Window

from roadmask import imagery
from roadmask.errors import InputError
from roadmask.grid import Grid
from roadmask.imagery import Scale, check_imagery
from roadmask.looks import cells
from roadmask.looks.cells import (
    HALVES,
    UNSEEN,
    Part,
    Values,
    cell_grid,
    half_of,
    read_cells,
)
from roadmask.probability import CERTAIN
from roadmask.raster import cog_writer, environment

# Of the network, and the property that tells whether it learned anything.
CELLS, PROBABILITY, TAUGHT = "cells", "probability", "roadmask_taught"
# Cells of a window's edge, and around it those that bear on the ones in it. Both are multiples
# of what the network takes at a time.
WINDOW, AROUND, STRIDE = 512, 96, 16
# A probability that is nearer to 0 or 1 counts as this one: no single look outvotes the others.
LEAST = 1 / 256

Network = Callable[[Values], Values]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``see-looks``."""
    parser.add_argument("scene", type=Path, help="the scene as GeoTIFF")
    parser.add_argument(
        "--networks", type=Path, nargs=2, required=True, help=f"that learned from {HALVES}"
    )
    parser.add_argument("--output", type=Path, required=True, help="the raster to write")
    imagery.add_arguments(parser)


def run(arguments: argparse.Namespace) -> None:
    """Judge one scene."""
    bands, scale = imagery.chosen(arguments)
    with environment(), rasterio.open(arguments.scene) as scene:
        check_imagery(scene, bands, scale)
        networks = [load(path, len(bands) + 1) for path in arguments.networks]
        grid = cell_grid(Grid.from_dataset(scene))
        with cog_writer(
            arguments.output,
            grid,
            nodata=UNSEEN,
            descriptions=["like road"],
            overview_resampling="average",
        ) as written:
            for part in cells.parts(grid, WINDOW):
                window = Window(part.column, part.row, part.columns, part.rows)
                seen = see(scene, grid, part, bands, scale, networks)
                written.write(seen, 1, window=window)


def load(path: Path, values: int) -> Network | None:
    """Load a network; None where it learned nothing.

    Parameters
    ----------
    path
        As ``learn-looks`` writes it.
    values
        How many numbers a cell holds.

    Raises
    ------
    InputError
        If it can't be read or takes other cells.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    # Errors alone: it warns of attributes that tf2onnx still writes.
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:
        # Its exceptions have no common base but this.
        raise InputError(path, f"it can't be read ({error})", "Remove it and run again") from error
    (given,) = session.get_inputs()
    if given.shape[-1] != values:
        raise InputError(
            path,
            f"it takes {given.shape[-1]} values a cell, not {values}",
            "Remove it and run again",
        )
    if not json.loads(session.get_modelmeta().custom_metadata_map[TAUGHT]):
        return None

    def network(array: Values) -> Values:
        answer: Values = session.run(None, {given.name: array[np.newaxis]})[0][0, ..., 0]
        return answer

    return network


def see(
    scene: DatasetReader,
    grid: Grid,
    part: Part,
    bands: Sequence[int],
    scale: Scale | None,
    networks: Sequence[Network | None],
) -> NDArray[np.uint8]:
    """Judge some cells.

    Parameters
    ----------
    scene
        The picture.
    grid
        Its cells.
    part
        Which of them.
    bands, scale
        1-based numbers of the bands, and their limits or None.
    networks
        Those that learned from each of `HALVES`.

    Returns
    -------
    numpy.ndarray
        ``(rows, columns)`` uint8: probability by `CERTAIN`, `UNSEEN` without picture or where
        nothing could be learned.
    """
    first, second = networks
    if first is None or second is None:
        return np.full((part.rows, part.columns), UNSEEN, np.uint8)
    # From multiples of the stride on: the network then sees the same wherever a window begins.
    top, left = (max(0, start - AROUND) // STRIDE * STRIDE for start in (part.row, part.column))
    bottom = min(grid.height, part.row + part.rows + AROUND)
    right = min(grid.width, part.column + part.columns + AROUND)
    values, seen = read_cells(scene, Part(top, left, bottom - top, right - left), bands, scale)
    own = np.s_[
        part.row - top : part.row - top + part.rows,
        part.column - left : part.column - left + part.columns,
    ]
    fitting = [(0, -side % STRIDE) for side in seen.shape]
    padded = np.pad(values, [*fitting, (0, 0)], mode="edge")
    # The half that one network learned from is judged by the other.
    half = half_of(grid.window(part.column, part.row, part.columns, part.rows))
    likeness = np.where(
        half == 0, from_all_sides(second, padded)[own], from_all_sides(first, padded)[own]
    )
    return np.where(seen[own], np.rint(likeness * CERTAIN), UNSEEN).astype(np.uint8)


def from_all_sides(network: Network, values: Values) -> Values:
    """Judge cells turned by each quarter, and return what the mean of the odds says.

    What a network says of a place by chance differs by how the place is turned; what it knows
    does not (test-time augmentation).

    Parameters
    ----------
    network
        The network.
    values
        ``(rows, columns, values)``; both sides are multiples of `STRIDE`.

    Returns
    -------
    numpy.ndarray
        ``(rows, columns)`` probabilities.
    """
    odds = np.zeros(values.shape[:2], np.float32)
    for quarters in range(4):
        turned = network(np.ascontiguousarray(np.rot90(values, quarters)))
        likeness = np.rot90(turned, -quarters).clip(LEAST, 1 - LEAST)
        odds += np.log(likeness / (1 - likeness))
    return np.asarray(1 / (1 + np.exp(-odds / 4)), np.float32)
