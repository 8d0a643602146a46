"""Pictures with pixels of another size: shown to the network in its own, and back again.

The network's pixels lie on one lattice for all sheets of a CRS and pixel size, as its windows
do. What it answers is interpolated back to the sheet's pixels, row by row, so that nothing is
held but what a strip needs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from rasterio.enums import Resampling
from rasterio.io import DatasetReader
from rasterio.vrt import WarpedVRT

from roadmask.errors import InputError
from roadmask.grid import Grid

# Farther apart, a network sees nothing of what it knows, whatever is done to the picture.
MOST_TIMES = 8
# Sheets of one survey differ in their seventh digit, and must get one lattice.
DIGITS = 2


def network_grid(grid: Grid, pixel_metres: float, path: Path) -> Grid:
    """Return the pixels in which the network sees a sheet.

    Parameters
    ----------
    grid
        The sheet's own, with a CRS.
    pixel_metres
        Side of a pixel that the network was trained on.
    path
        The sheet, for messages.

    Returns
    -------
    Grid
        Pixels of that size, up to a hundredth of the sheet's own, on a lattice through the
        CRS's origin: those whose centres lie on the sheet.

    Raises
    ------
    InputError
        If the sizes are too far apart.
    """
    times = pixel_metres / grid.ground_sample_distance
    if not 1 / MOST_TIMES <= times <= MOST_TIMES:
        raise InputError(
            path,
            f"its pixels measure {grid.ground_sample_distance:.3g} m, and those that the "
            f"network was trained on {pixel_metres:.3g} m, which is more than {MOST_TIMES} "
            "times apart",
            "Predict with a network that was trained on such imagery",
        )
    times = round(times, DIGITS)
    own = grid.transform
    lattice = Affine(own.a * times, own.b * times, 0.0, own.d * times, own.e * times, 0.0)
    column, row = ~lattice @ (own.c, own.f)
    first_column, columns = _centres(column, grid.width / times)
    first_row, rows = _centres(row, grid.height / times)
    return replace(
        grid,
        width=columns,
        height=rows,
        transform=lattice @ Affine.translation(first_column, first_row),
    )


def _centres(start: float, length: float) -> tuple[int, int]:
    """Return the first whole pixel with its centre in an interval, and how many: 1 or more."""
    first = math.ceil(start - 0.5)
    return first, max(1, math.ceil(start + length - 0.5) - first)


def open_on(path: Path, own: Grid, seen: Grid, stack: ExitStack) -> DatasetReader:
    """Open a sheet in the pixels in which the network sees it.

    Parameters
    ----------
    path
        The sheet.
    own, seen
        Its own pixels, and the network's; the same where nothing is resampled.
    stack
        What closes it.
    """
    dataset = stack.enter_context(rasterio.open(path))
    if own == seen:
        return dataset
    is_finer = abs(own.transform.determinant) < abs(seen.transform.determinant)
    return stack.enter_context(
        WarpedVRT(
            dataset,
            crs=seen.crs,
            transform=seen.transform,
            width=seen.width,
            height=seen.height,
            # The mean of what a pixel covers; where it covers less than one, what lies between.
            resampling=Resampling.average if is_finer else Resampling.cubic,
        )
    )


def scene_of(dataset: DatasetReader) -> str:
    """Return the name of the scene that `open_on` opened."""
    return Path((dataset.src_dataset if isinstance(dataset, WarpedVRT) else dataset).name).stem


@dataclass(frozen=True)
class _Axis:
    """Where pixels of one grid lie among those of another, along one axis.

    Attributes
    ----------
    before
        The other's pixel before each place, int of ``(samples, pixels)``.
    share
        How far the place lies on the way to the pixel after it, float32 of the same shape.
    """

    before: np.ndarray
    share: np.ndarray

    @classmethod
    def of(cls, count: int, origin: float, times: float, size: int) -> _Axis:
        """Place `count` pixels, of `times` a pixel of the other's `size`, from `origin` on."""
        samples = max(1, math.ceil(times))
        inner = (np.arange(samples) + 0.5) / samples
        places = origin + (np.arange(count) + inner[:, np.newaxis]) * times - 0.5
        places = np.clip(places, 0, size - 1)
        before = np.minimum(places.astype(np.int64), max(size - 2, 0))
        return cls(before, (places - before).astype(np.float32))

    def interpolate(self, values: np.ndarray, axis: int, first: int, which: slice) -> np.ndarray:
        """Return the values at some of the pixels.

        Parameters
        ----------
        values
            Of the other grid's pixels from `first` on along `axis`.
        axis
            0 or 1.
        first
            The other grid's pixel with which `values` begin.
        which
            The pixels.
        """
        shape = [1, 1, 1]
        shape[axis] = -1
        total: np.ndarray | None = None
        last = values.shape[axis] - 1
        for before, share in zip(self.before[:, which] - first, self.share[:, which], strict=True):
            low = values.take(before, axis)
            high = values.take(np.minimum(before + 1, last), axis)
            part = low + (high - low) * share.reshape(shape)
            total = part if total is None else total + part
        if total is None:
            raise ValueError("an axis needs a sample")
        mean: np.ndarray = total / np.float32(len(self.before))
        return mean


def interpolated(
    rows: Iterable[tuple[int, np.ndarray]], seen: Grid, own: Grid
) -> Iterator[tuple[int, np.ndarray]]:
    """Bring probabilities from the network's pixels to the sheet's.

    Between the centres of the network's pixels they are interpolated linearly, beyond the
    outermost ones held; a sheet's pixel that covers several gets their mean.

    Parameters
    ----------
    rows
        From the top down, without a gap: the first row, and float32 of
        ``(rows, width, outputs)``.
    seen, own
        The network's pixels and the sheet's.

    Yields
    ------
    (int, numpy.ndarray)
        The same for the sheet.
    """
    placed = ~seen.transform @ own.transform
    across = _Axis.of(own.width, placed.c, placed.a, seen.width)
    down = _Axis.of(own.height, placed.f, placed.e, seen.height)
    # The network's row after the last that a sheet's row needs.
    needed = np.minimum(down.before.max(axis=0) + 2, seen.height)
    held: np.ndarray | None = None
    top, done = 0, 0
    for first, values in rows:
        held = values if held is None else np.concatenate([held, values])
        stop = int(np.searchsorted(needed, first + len(values), side="right"))
        if stop == done:
            continue
        part = down.interpolate(held, 0, top, slice(done, stop))
        yield done, across.interpolate(part, 1, 0, slice(None))
        done = stop
        if done < own.height:
            keep = int(down.before[:, done].min())
            held, top = held[keep - top :], keep
