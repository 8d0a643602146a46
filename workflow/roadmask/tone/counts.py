"""How bright a scene is, as exact counts of what the network sees.

The counts are whole numbers of all pixels, so those of several scenes add up to the same
whatever their order and however a sheet was cut.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rasterio.io import DatasetReader
from rasterio.windows import Window

from roadmask.errors import InputError
from roadmask.files import write_text
from roadmask.grid import Grid
from roadmask.imagery import Scale, read_network_input
from roadmask.polygon_windows import PolygonWindows
from roadmask.vectors_io import VectorSource, read_layer

LEVELS = 256
# A multiple of the blocks of scenes, so that none is decoded twice.
WINDOW = 2048


@dataclass(frozen=True)
class Tone:
    """How often each level occurs in each band.

    Attributes
    ----------
    counts
        int64 ``(bands, 256)``; every band has as many pixels.
    """

    counts: np.ndarray

    @classmethod
    def nothing(cls, bands: int) -> Tone:
        """Return that of no pixel."""
        return cls(np.zeros((bands, LEVELS), dtype=np.int64))

    @classmethod
    def of(cls, picture: np.ndarray, valid: np.ndarray) -> Tone:
        """Count the levels of a picture.

        Parameters
        ----------
        picture
            uint8 ``(height, width, bands)``.
        valid
            bool ``(height, width)``: the pixels that count.
        """
        pixels = picture[valid]
        bands = [np.bincount(pixels[:, band], minlength=LEVELS) for band in range(pixels.shape[1])]
        return cls(np.array(bands, dtype=np.int64))

    def __add__(self, other: Tone) -> Tone:
        return Tone(self.counts + other.counts)

    @property
    def pixels(self) -> int:
        """How many pixels were counted."""
        return int(self.counts[0].sum())

    @property
    def is_flat(self) -> bool:
        """Whether all pixels are alike: no picture of any ground."""
        return bool(((self.counts > 0).sum(axis=1) == 1).all())

    def moments(self) -> tuple[tuple[float, float], ...]:
        """Return mean and standard deviation of each band, in levels.

        All is added up in whole numbers. Without any pixel, both are 0.
        """
        return tuple(_moments([int(count) for count in band]) for band in self.counts)

    @classmethod
    def read(cls, path: Path) -> Tone:
        """Read what `write` wrote.

        Raises
        ------
        InputError
            If it is missing or damaged.
        """
        remedy = "Remove it and run again"
        try:
            counts = np.array(json.loads(path.read_text(encoding="utf-8"))["counts"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(path, f"it can't be read ({error!r})", remedy) from error
        if counts.ndim != 2 or counts.shape[1] != LEVELS or counts.dtype.kind != "i":
            raise InputError(path, f"it holds no counts of {LEVELS} levels a band", remedy)
        return cls(counts.astype(np.int64))

    def __str__(self) -> str:
        bands = ", ".join(f"{mean:.1f} ± {deviation:.1f}" for mean, deviation in self.moments())
        return f"{self.pixels} pixels, bands {bands}"

    def write(self, path: Path) -> None:
        """Write the counts as JSON, a line a band."""
        lines = ",\n".join(json.dumps([int(count) for count in band]) for band in self.counts)
        write_text(path, f'{{"counts": [\n{lines}\n]}}\n')


def _moments(counts: Sequence[int]) -> tuple[float, float]:
    pixels = sum(counts)
    if not pixels:
        return 0.0, 0.0
    total = sum(level * count for level, count in enumerate(counts))
    squares = sum(level**2 * count for level, count in enumerate(counts))
    return total / pixels, math.sqrt(pixels * squares - total**2) / pixels


def joined(paths: Sequence[Path]) -> Tone:
    """Add up the tones of several scenes.

    Raises
    ------
    InputError
        If one can't be read, or they have different numbers of bands.
    """
    total = Tone.read(paths[0])
    for path in paths[1:]:
        tone = Tone.read(path)
        if len(tone.counts) != len(total.counts):
            raise InputError(
                path,
                f"it counts {len(tone.counts)} bands, and {paths[0]} {len(total.counts)}",
                "Remove both and run again",
            )
        total += tone
    return total


def tone_of(
    scene: DatasetReader, bands: Sequence[int], scale: Scale | None, area: VectorSource | None
) -> Tone:
    """Count the levels of an open scene, as the network sees them.

    Parameters
    ----------
    scene
        An open scene that passed `check_imagery`.
    bands, scale
        As in `roadmask.imagery.read_network_input`. Pixels without a picture do not count.
    area
        Polygons; pixels with their centre outside do not count either. None for all ground.
    """
    grid = Grid.from_dataset(scene)
    inside = None
    if area is not None:
        layer = read_layer(area, grid, grid.crs, key="area", kind="polygons", must_reach=False)
        inside = PolygonWindows(grid, list(layer.frame.geometry))
    tone = Tone.nothing(len(bands))
    for window in _windows(grid):
        picture, valid = read_network_input(scene, Window(*window), bands, scale)
        if inside is not None:
            valid &= inside.read(*window)
        tone += Tone.of(picture, valid)
    return tone


def _windows(grid: Grid) -> Iterator[tuple[int, int, int, int]]:
    """Yield column, row, width and height of windows that cover a grid."""
    for y, x in itertools.product(range(0, grid.height, WINDOW), range(0, grid.width, WINDOW)):
        yield x, y, min(WINDOW, grid.width - x), min(WINDOW, grid.height - y)
