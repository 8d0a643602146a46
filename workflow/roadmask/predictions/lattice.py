"""Where the network's windows lie: on one lattice for all sheets of a CRS and pixel size.

Along each axis a window has three parts::

    |<-- margin -->|<---------- core: one step ---------->|<-- margin -->|
            |<ramp>|<ramp>|                        |<ramp>|<ramp>|

The cores of all windows lie edge to edge and cover the plane. Two neighbours are blended
over a ramp on both sides of the border between their cores; what lies farther out is seen
by the network, as context, and thrown away. So every pixel that counts is at least
``margin - ramp`` pixels from its window's edge.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from roadmask.errors import SettingError
from roadmask.grid import Grid

# Sheets' origins are told apart by whole pixels up to rounding in float64, so the point at
# which a fraction of a pixel rounds to the next one must be a fraction that no one uses.
ROUNDING = 1 / math.pi

# How much of its reach a network makes use of: of the U-Net's 107 pixels, the outermost tenth
# moved no probability by 1/254 when what lies there was changed.
FELT = 0.9
# Of a window's edge: the longest halo taken to spare a network all of its windows' edges (half
# the window is then left, and the network sees four times the sheet), and the one taken where
# that is too little.
MOST_HALO = 1 / 4
USUAL_HALO = 1 / 8
# What two windows agree on needs no long blending.
SHORT_RAMP = 8


@dataclass(frozen=True)
class Span:
    """One window along one axis, in the scene's pixels.

    Attributes
    ----------
    start
        First pixel that the network sees; it may lie outside the scene.
    first, stop
        The pixels, half open, for which this window has a weight above 0; they may stick
        out of the scene.
    ramp_before, ramp_after
        Pixels over which the weight rises after `first` and falls before `stop`, 0 where
        no window follows on that side.
    """

    start: int
    first: int
    stop: int
    ramp_before: int
    ramp_after: int

    @property
    def weights(self) -> np.ndarray:
        """Weights of the pixels ``[first, stop)``, float32 in (0, 1].

        Those of all windows of an axis add up to 1 at each pixel of the scene.
        """
        weights = np.ones(self.stop - self.first, dtype=np.float32)
        if self.ramp_before:
            weights[: self.ramp_before] = _rise(self.ramp_before)
        if self.ramp_after:
            weights[len(weights) - self.ramp_after :] = _rise(self.ramp_after)[::-1]
        return weights


def _rise(length: int) -> np.ndarray:
    """Return weights at the centres of `length` pixels on a line from 0 to 1."""
    return (np.arange(length, dtype=np.float32) + np.float32(0.5)) / np.float32(length)


@dataclass(frozen=True)
class Lattice:
    """Windows of one size, a fixed step apart.

    Attributes
    ----------
    window
        Pixels that the network sees, along one axis.
    step
        Pixels from one window to the next, a multiple of the network's stride, so that
        each pixel falls on the same phase of its pooling in whichever window it lies.
    margin
        Pixels of context before the core.
    ramp
        Half of the pixels over which neighbours are blended.
    """

    window: int
    step: int
    margin: int
    ramp: int

    @classmethod
    def of(cls, window: int, overlap: int | None, stride: int, reach: int | None = None) -> Lattice:
        """Lay out windows with at least `overlap` pixels of context on each side.

        Parameters
        ----------
        window
            Pixels that the network is to see, at least one. It grows to the next multiple of
            `stride`: more of the picture is seen, nothing is resized.
        overlap
            The least margin, in pixels. It grows where the step must be made a multiple
            of the stride. With None it is as far as the network feels, if that is no more
            than `MOST_HALO` of the window: then no pixel that counts feels its window's edge.
            Else it is `USUAL_HALO` of the window.
        stride
            What the network's input must be a multiple of.
        reach
            How far from a pixel the network's layers look; None where that is the whole window.

        Raises
        ------
        SettingError
            If the window has no core left.
        """
        window = -(-window // stride) * stride
        felt = felt_reach(reach)
        if overlap is None:
            fits = felt is not None and felt <= window * MOST_HALO
            overlap = felt if felt is not None and fits else int(window * USUAL_HALO)
        step = (window - 2 * overlap) // stride * stride
        if overlap < 0 or step < stride:
            raise SettingError(
                "prediction.overlap",
                f"a halo of {overlap} pixels on each side leaves nothing of a window of {window}",
                f"Write {max(0, (window - stride) // 2)} or less, or a larger prediction.window",
            )
        margin = (window - step) // 2
        ramp = min(overlap, step) // 2
        if felt is not None and felt <= margin:
            # Farther out than this, windows' edges would be felt again.
            ramp = min(ramp, max(SHORT_RAMP, margin - felt))
        return cls(window, step, margin, ramp)

    @property
    def cost(self) -> float:
        """Pixels that the network sees for each pixel of a large sheet."""
        return (self.window / self.step) ** 2

    def anchored(self, origin: int, size: int) -> list[Span]:
        """Return all windows that have a weight on a scene.

        Parameters
        ----------
        origin
            The scene's first pixel on the lattice's axis, see `lattice_origin`.
        size
            The scene's pixels along the axis.
        """
        first = math.floor((origin - self.ramp) / self.step)
        last = math.ceil((origin + size + self.ramp) / self.step)
        return [
            Span(
                start=core - self.margin,
                first=core - self.ramp,
                stop=core + self.step + self.ramp,
                ramp_before=2 * self.ramp,
                ramp_after=2 * self.ramp,
            )
            for core in (index * self.step - origin for index in range(first, last))
        ]

    def fitted(self, size: int) -> list[Span]:
        """Return the fewest windows that cover a picture that shares no lattice with others.

        At the picture's edges there is nothing more to see, so no margin is kept there: a
        picture no larger than the window is one window.
        """
        count = max(1, math.ceil((size - 2 * self.margin) / self.step))
        # What the windows see is centred on the picture.
        start = -((count * self.step + 2 * self.margin - size) // 2)
        spans = []
        for index in range(count):
            window = start + index * self.step
            core = window + self.margin
            begins, ends = index == 0, index == count - 1
            spans.append(
                Span(
                    start=window,
                    first=min(0, core) if begins else core - self.ramp,
                    stop=max(size, core + self.step) if ends else core + self.step + self.ramp,
                    ramp_before=0 if begins else 2 * self.ramp,
                    ramp_after=0 if ends else 2 * self.ramp,
                )
            )
        return spans

    def spans(self, grid: Grid) -> tuple[list[Span], list[Span]]:
        """Return the windows along the columns and along the rows of a scene."""
        if grid.crs is None:
            return self.fitted(grid.width), self.fitted(grid.height)
        column, row = lattice_origin(grid)
        return self.anchored(column, grid.width), self.anchored(row, grid.height)


def felt_reach(reach: int | None) -> int | None:
    """Return how far from a pixel the picture moves its probability; None for the whole window.

    Parameters
    ----------
    reach
        How far the network's layers look.
    """
    return None if reach is None else int(reach * FELT)


def lattice_origin(grid: Grid) -> tuple[int, int]:
    """Return the column and row of a scene's upper left pixel, counted from the CRS origin.

    Of two sheets whose origins are a whole number of pixels apart, these are exactly that
    number apart. Sheets that are a fraction of a pixel apart get the nearest lattice.
    """
    column, row = ~grid.transform @ (0.0, 0.0)
    return math.floor(ROUNDING - column), math.floor(ROUNDING - row)
