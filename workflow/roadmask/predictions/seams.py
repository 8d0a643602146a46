"""The measure of the seams: how much more the probability jumps where windows meet.

From one pixel to the next the probability changes with the picture, and where two windows meet
it changes besides by what the two disagree. Held against the mean jump of other places that
would tell little: on a city whose streets run along the pixels it is a tenth more or less from
one column to the next. So the jump across a border is held against that which each of the two
windows, asked alone, has at the same place. Without seams the ratio of their means is 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from roadmask.predictions.lattice import Span


@dataclass
class Jumps:
    """Jumps of the probability between neighbouring pixels.

    Attributes
    ----------
    total
        Their sum; of several probabilities a pixel, that of each pixel's mean.
    pairs
        How many there are.
    """

    total: float = 0.0
    pairs: int = 0

    @property
    def mean(self) -> float | None:
        """The mean jump, a probability; None where there are none."""
        return self.total / self.pairs if self.pairs else None

    def add(self, before: np.ndarray, after: np.ndarray, counts: np.ndarray) -> None:
        """Add those from some pixels to others, ``(pixels, outputs)``, where `counts` is True."""
        jumps = np.abs(after - before).mean(axis=1)[counts]
        self.total += float(jumps.sum(dtype=np.float64))
        self.pairs += len(jumps)


class SeamMeter:
    """Adds up a scene's jumps of the probability across the borders of its windows.

    A border is where two windows weigh the same.

    Parameters
    ----------
    columns, rows
        The scene's windows along both axes.
    width, height
        The scene's pixels.
    """

    def __init__(
        self, columns: Sequence[Span], rows: Sequence[Span], width: int, height: int
    ) -> None:
        self._columns, self._rows = _borders(columns, width), _borders(rows, height)
        self._width, self._height = width, height
        self._above: tuple[np.ndarray, np.ndarray] | None = None
        self.border, self.inner = Jumps(), Jumps()

    def add_window(
        self, row: Span, column: Span, answers: np.ndarray, first: int, valid: np.ndarray
    ) -> None:
        """Add the jumps that a window has of its own at the borders that it shares.

        Parameters
        ----------
        row, column
            Where it lies.
        answers
            Its probabilities, float32 of ``(window, window, outputs)``.
        first, valid
            The scene's row from which on `valid` tells where there is a picture; bool of
            ``(rows, width)``.
        """
        down, across = _core(row, self._height), _core(column, self._width)
        rows = slice(down.start - first, down.stop - first)
        for place in self._columns & {across.start, across.stop}:
            # A window that ends at its border has no pixel beyond it: then the last two it has.
            index = min(max(place - column.start, 1), answers.shape[1] - 1)
            part = answers[down.start - row.start : down.stop - row.start]
            both = valid[rows, place - 1] & valid[rows, place]
            self.inner.add(part[:, index - 1], part[:, index], both)
        for place in self._rows & {down.start, down.stop}:
            index = min(max(place - row.start, 1), answers.shape[0] - 1)
            part = answers[:, across.start - column.start : across.stop - column.start]
            held = valid[max(place - 1 - first, 0) : place - first + 1, across]
            self.inner.add(part[index - 1], part[index], np.all(held, axis=0))

    def add_rows(self, first: int, values: np.ndarray, valid: np.ndarray) -> None:
        """Add the next rows of the blended probabilities.

        Parameters
        ----------
        first
            The scene's row of the first of them.
        values
            Probabilities, float32 of ``(rows, width, outputs)``.
        valid
            Where there is a picture, bool of ``(rows, width)``.
        """
        for place in self._columns:
            both = valid[:, place - 1] & valid[:, place]
            self.border.add(values[:, place - 1], values[:, place], both)
        for place in self._rows:
            line = place - first
            if line == 0 and self._above is not None:
                self.border.add(self._above[0], values[0], self._above[1] & valid[0])
            elif 0 < line < len(values):
                self.border.add(values[line - 1], values[line], valid[line - 1] & valid[line])
        self._above = values[-1].copy(), valid[-1].copy()

    def as_json(self) -> dict[str, float | int | None]:
        """Return the means, the pairs of pixels behind them, and their ratio."""
        border, inner = self.border.mean, self.inner.mean
        return {
            "border_jump": border,
            "border_pairs": self.border.pairs,
            "inner_jump": inner,
            "inner_pairs": self.inner.pairs,
            "ratio": border / inner if border is not None and inner else None,
        }


def _borders(spans: Sequence[Span], size: int) -> frozenset[int]:
    """Return the pixels of a scene before which one window ends and another begins."""
    places = (after.first + after.ramp_before // 2 for _, after in pairwise(spans))
    return frozenset(place for place in places if 0 < place < size)


def _core(span: Span, size: int) -> slice:
    """Return the pixels of a scene in which no window weighs more."""
    first = span.first + span.ramp_before // 2
    stop = span.stop - span.ramp_after // 2
    return slice(min(max(first, 0), size), min(max(stop, 0), size))
