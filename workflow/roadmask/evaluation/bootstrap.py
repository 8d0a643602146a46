"""Sums over blocks of ground, and what they might have been on other ground of the kind.

Pixels beside one another are wrong together, so an interval from single pixels would be far
too narrow: what is drawn anew is whole blocks. Each block counts 0, 1, 2 … times in a draw, as
a Poisson number with mean 1 says. That is the bootstrap for data that pass by once (Hanley and
MacGibbon 2006, "Creating non-parametric bootstrap samples using Poisson frequencies"): only the
sums of each draw are kept, whatever the number of blocks. Where these are few, such intervals
hold the truth a little more often than those of the classic bootstrap
(``benchmarks/interval_coverage.py``). A block's numbers follow from its
name, so they depend neither on the order of the scenes nor on other blocks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Generic, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

DRAWS = 1000
LEVEL = 0.95
# With fewer blocks, draws repeat one another; with fewer than e^-3 = 5 % of them undefined,
# a figure may be said to have an interval.
FEWEST_BLOCKS = 3
MOST_UNDEFINED = 0.05
# Blocks whose sums wait for one matrix product.
PENDING = 256


@dataclass(frozen=True)
class Sums:
    """Base of dataclasses whose fields are arrays that add up over ground.

    All fields share their first axes, the ground: none for one piece of it, one axis for
    several blocks or draws.
    """

    def __add__(self, other: Self) -> Self:
        mine, theirs = vars(self), vars(other)
        return type(self)(**{name: mine[name] + theirs[name] for name in _names(self)})

    def __getitem__(self, index: int) -> Self:
        """Return one piece of the ground."""
        mine = vars(self)
        return type(self)(**{name: mine[name][index] for name in _names(self)})

    def over_all(self) -> Self:
        """Return the sums over the first axis."""
        mine = vars(self)
        return type(self)(**{name: mine[name].sum(axis=0) for name in _names(self)})

    def drawn(self, weights: NDArray[np.float64]) -> Self:
        """Return the sums of several draws.

        Parameters
        ----------
        weights
            ``(draws, ground)``: how often each piece of ground counts. Whole numbers, so
            the sums are exact in any order up to 2^53.
        """
        mine = vars(self)
        return type(self)(**{name: _weighted(weights, mine[name]) for name in _names(self)})


S = TypeVar("S", bound=Sums)


def _names(sums: Sums) -> list[str]:
    return [field.name for field in fields(sums)]


def _weighted(weights: NDArray[np.float64], values: NDArray[np.int64]) -> NDArray[np.float64]:
    flat = values.reshape(len(values), -1).astype(np.float64)
    result: NDArray[np.float64] = (weights @ flat).reshape(len(weights), *values.shape[1:])
    return result


def stacked(sums: Sequence[S]) -> S:
    """Join pieces of ground along a new first axis."""
    return type(sums[0])(
        **{name: np.stack([vars(part)[name] for part in sums]) for name in _names(sums[0])}
    )


def times_drawn(block: str, draws: int = DRAWS) -> NDArray[np.float64]:
    """Return how often a block counts: once in truth, then in each draw.

    Parameters
    ----------
    block
        Its name, from which alone the numbers follow.
    draws
        How many.

    Returns
    -------
    ndarray
        float64 of ``(1 + draws,)``, whole numbers.
    """
    seed = int.from_bytes(hashlib.sha256(block.encode()).digest()[:16])
    random = np.random.Generator(np.random.Philox(seed))
    return np.concatenate([[1.0], random.poisson(1.0, draws)])


class Bootstrap(Generic[S]):
    """Adds up blocks, once as they are and once for each draw.

    Parameters
    ----------
    zero
        The sums of no ground.
    draws
        How many.
    """

    def __init__(self, zero: S, draws: int = DRAWS) -> None:
        self._draws = draws
        self._total = stacked([zero]).drawn(np.zeros((1 + draws, 1)))
        self._pending: dict[str, S] = {}
        self.blocks: set[str] = set()

    def add(self, names: Sequence[str], sums: S) -> None:
        """Add blocks, or parts of them.

        Parameters
        ----------
        names
            Of the blocks.
        sums
            Theirs, along the first axis.
        """
        for index, name in enumerate(names):
            held = self._pending.get(name)
            self._pending[name] = sums[index] if held is None else held + sums[index]
            self.blocks.add(name)
        if len(self._pending) >= PENDING:
            self._add_pending()

    def total(self) -> S:
        """Return the sums, with an axis in front: first of all ground, then of each draw."""
        self._add_pending()
        return self._total

    def _add_pending(self) -> None:
        if not self._pending:
            return
        weights = np.stack([times_drawn(name, self._draws) for name in self._pending], axis=1)
        self._total = self._total + stacked(list(self._pending.values())).drawn(weights)
        self._pending = {}


def interval(values: NDArray[np.float64], blocks: int) -> list[float] | None:
    """Return the limits between which a figure lies in 95 of 100 draws.

    Parameters
    ----------
    values
        float64 of ``(1 + draws,)``: the figure, then as it is in each draw, NaN where it has
        no meaning.
    blocks
        How many blocks were drawn from.

    Returns
    -------
    list of float or None
        Low and high; None for a figure that is NaN, that too few blocks stand behind, or that
        more than `MOST_UNDEFINED` of the draws can't tell.
    """
    drawn = values[1:]
    known = drawn[~np.isnan(drawn)]
    if blocks < FEWEST_BLOCKS or np.isnan(values[0]) or len(known) == 0:
        return None
    if len(known) < (1 - MOST_UNDEFINED) * len(drawn):
        return None
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(known, [tail, 1 - tail])
    return [float(low), float(high)]
