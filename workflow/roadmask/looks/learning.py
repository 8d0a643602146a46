"""Teach a network from a city's own labels how road looks there.

Most labels are right, so a network that they teach tells what road looks like here, whatever
they say of one place. The ground is parted into a checkerboard; one network learns from each
half and judges the other (cross-fitting, as in "confident learning": Northcutt et al. 2021).
A network sees the shape of streets as well: it finds one that the labels leave out although
nothing else has its tone.
"""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.io import DatasetReader

from roadmask import imagery
from roadmask.errors import InputError
from roadmask.grid import Grid
from roadmask.imagery import Scale, check_imagery
from roadmask.looks import cells
from roadmask.looks.cells import HALVES, Part, Values, cell_grid, cell_pixels, half_of, read_cells
from roadmask.raster import environment, read_window
from roadmask.style import UNKNOWN

log = logging.getLogger(__name__)

# Edge of the rectangles that are read at a time, and how many cells of a city are learned from.
READ_CELLS, MOST_CELLS = 512, 12_000_000
# Cells of road and of other ground without which nothing is learned.
LEAST_CELLS = 200
# Edge of a crop in cells.
CROP = 96
SEED = 1


@dataclass(frozen=True)
class Lesson:
    """Ground that is learned from.

    Attributes
    ----------
    values
        ``(rows, columns, values)`` float32 as `read_cells` returns them; both sides have
        `CROP` cells at least.
    label
        ``(rows, columns)`` uint8 at the cells' middles, 255 where there is nothing to learn.
    """

    values: Values
    label: NDArray[np.uint8]

    @property
    def known(self) -> int:
        """How many cells can be learned from."""
        return int(np.count_nonzero(self.label != UNKNOWN))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``learn-looks``."""
    parser.add_argument("scenes", type=Path, nargs="+", help="sheets to learn from")
    parser.add_argument("--masks", type=Path, nargs="+", required=True, help="their labels")
    parser.add_argument("--half", choices=HALVES, required=True, help="the ground to learn from")
    parser.add_argument("--output", type=Path, required=True, help="the network, ONNX")
    imagery.add_arguments(parser)


def run(arguments: argparse.Namespace) -> None:
    """Teach one network."""
    # On one thread, and never on a GPU: the same bytes whatever else the machine has.
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    bands, scale = imagery.chosen(arguments)
    with environment():
        lessons = read_lessons(
            arguments.scenes, arguments.masks, bands, scale, HALVES.index(arguments.half)
        )
    from roadmask.looks.network import learn, write  # noqa: PLC0415 (imports TensorFlow)

    enough = can_learn(lessons)
    if not enough:
        log.warning(
            "the labels have too little of road or of other ground to learn from how they look"
        )
    write(arguments.output, learn(lessons if enough else [], len(bands) + 1), is_taught=enough)


def can_learn(lessons: Sequence[Lesson]) -> bool:
    """Tell whether there is enough of road and of other ground."""
    other = sum(int(np.count_nonzero(lesson.label == 0)) for lesson in lessons)
    road = sum(lesson.known for lesson in lessons) - other
    return min(road, other) >= LEAST_CELLS


def read_lessons(
    scenes: Sequence[Path],
    masks: Sequence[Path],
    bands: Sequence[int],
    scale: Scale | None,
    half: int,
) -> list[Lesson]:
    """Read one half of the ground of some sheets, or a random part of it where it is too much.

    Parameters
    ----------
    scenes, masks
        The sheets and their labels, in one order.
    bands, scale
        1-based numbers of the bands, and their limits or None.
    half
        Number in `HALVES`.

    Raises
    ------
    InputError
        If a label does not fit its scene.
    """
    with ExitStack() as stack:
        sheets = [
            (stack.enter_context(rasterio.open(scene)), stack.enter_context(rasterio.open(mask)))
            for scene, mask in zip(scenes, masks, strict=True)
        ]
        places = []
        for number, (scene, mask) in enumerate(sheets):
            check_imagery(scene, bands, scale)
            if scene.shape != mask.shape:
                raise InputError(
                    mask.name,
                    f"{mask.width} x {mask.height} pixels, and {scene.name} has "
                    f"{scene.width} x {scene.height}",
                    "Remove both and run again",
                )
            grid = cell_grid(Grid.from_dataset(scene))
            places += [(number, part) for part in cells.parts(grid, READ_CELLS)]
        lessons = []
        for number, part in _sampled(places):
            lesson = _read(*sheets[number], part, bands, scale, half)
            if lesson.known:
                lessons.append(lesson)
    return lessons


def _sampled(places: list[tuple[int, Part]]) -> list[tuple[int, Part]]:
    """Choose at random as many places as may be learned from, all where they are few."""
    order = np.random.default_rng(SEED).permutation(len(places))
    total = np.cumsum([places[index][1].size for index in order])
    return [places[index] for index in sorted(order[total <= max(MOST_CELLS, total[0])])]


def _read(
    scene: DatasetReader,
    mask: DatasetReader,
    part: Part,
    bands: Sequence[int],
    scale: Scale | None,
    half: int,
) -> Lesson:
    grid = Grid.from_dataset(scene)
    values, seen = read_cells(scene, part, bands, scale)
    pixels = cell_pixels(grid.ground_sample_distance)
    window = [count * pixels for count in (part.column, part.row, part.columns, part.rows)]
    middle = pixels // 2
    label = read_window(mask, *window, bands=[1], fill=UNKNOWN)[0][middle::pixels, middle::pixels]
    own = half_of(cell_grid(grid).window(part.column, part.row, part.columns, part.rows)) == half
    missing = [(0, max(0, CROP - side)) for side in label.shape]
    return Lesson(
        np.pad(values, [*missing, (0, 0)], mode="edge"),
        np.pad(np.where(seen & own, label, UNKNOWN), missing, constant_values=UNKNOWN),
    )
