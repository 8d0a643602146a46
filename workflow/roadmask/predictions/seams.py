"""The measure of the seams: how much more the probability jumps where windows meet.

From one pixel to the next the probability changes with the picture. Where one window stops
counting and another begins, it changes besides by what the two disagree. So the mean jump
across such places is held against the mean jump everywhere else; without seams their ratio
is 1, up to what the picture happens to show there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from roadmask.predictions.lattice import Span

# Pixels on both sides of a border that count neither as border nor as elsewhere.
GUARD = 2


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


class SeamMeter:
    """Adds up the jumps of a scene's probabilities, on the borders of its windows and off them.

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
        self._across = _kinds(columns, width)
        self._down = _kinds(rows, height)
        self._above: tuple[np.ndarray, np.ndarray] | None = None
        self.border, self.elsewhere = Jumps(), Jumps()

    def add(self, first: int, values: np.ndarray, valid: np.ndarray) -> None:
        """Add the next rows.

        Parameters
        ----------
        first
            The scene's row of the first of them.
        values
            Probabilities, float32 of ``(rows, width, outputs)``.
        valid
            Where there is a picture, bool of ``(rows, width)``.
        """
        jumps = np.abs(np.diff(values, axis=1)).mean(axis=2)
        both = valid[:, 1:] & valid[:, :-1]
        self._count(
            np.where(both, jumps, 0).sum(axis=0, dtype=np.float64), both.sum(axis=0), self._across
        )
        if self._above is not None:
            values = np.concatenate([self._above[0], values])
            valid = np.concatenate([self._above[1], valid])
            first -= 1
        jumps = np.abs(np.diff(values, axis=0)).mean(axis=2)
        both = valid[1:] & valid[:-1]
        kinds = tuple(kind[first : first + len(jumps)] for kind in self._down)
        self._count(
            np.where(both, jumps, 0).sum(axis=1, dtype=np.float64),
            both.sum(axis=1),
            (kinds[0], kinds[1]),
        )
        self._above = values[-1:].copy(), valid[-1:].copy()

    def _count(
        self, sums: np.ndarray, pairs: np.ndarray, kinds: tuple[np.ndarray, np.ndarray]
    ) -> None:
        for jumps, chosen in zip((self.border, self.elsewhere), kinds, strict=True):
            jumps.total += float(sums[chosen].sum())
            jumps.pairs += int(pairs[chosen].sum())

    def as_json(self) -> dict[str, float | int | None]:
        """Return the means, the pairs of pixels behind them, and their ratio."""
        border, elsewhere = self.border.mean, self.elsewhere.mean
        return {
            "border_jump": border,
            "border_pairs": self.border.pairs,
            "other_jump": elsewhere,
            "other_pairs": self.elsewhere.pairs,
            "ratio": border / elsewhere if border is not None and elsewhere else None,
        }


def _kinds(spans: Sequence[Span], size: int) -> tuple[np.ndarray, np.ndarray]:
    """Tell which pairs of neighbouring pixels lie across a border, and which far from any.

    A border is where a window's weight begins and ends, and the middle between the two.

    Returns
    -------
    (numpy.ndarray, numpy.ndarray)
        bool of ``(size - 1,)``; pair ``i`` is that of the pixels ``i`` and ``i + 1``.
    """
    borders = {
        place
        for before, after in pairwise(spans)
        for place in (after.first, after.first + after.ramp_before // 2, before.stop)
    }
    across = np.zeros(max(size - 1, 0), dtype=bool)
    near = across.copy()
    for place in borders:
        pair = place - 1
        if 0 <= pair < len(across):
            across[pair] = True
        near[max(pair - GUARD, 0) : max(pair + GUARD + 1, 0)] = True
    return across, ~near
