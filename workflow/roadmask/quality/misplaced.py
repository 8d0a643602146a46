"""How likely a tile's label lies off by so much that it is bad.

Where a map lies beside the picture, both sides of its streets do so together, and what lies
between them looks like road somewhere else than the label says. Every offset within reach is
an explanation of what is seen; how likely it is tell the edges (`roadmask.quality.offset`)
and the looks of the ground (`roadmask.quality.likeness`) of the tile and around it, after
Bayes' rule. What an offset would cost the label is its overlap with itself, moved by it:
where streets are straight an offset along them costs nothing, where only a sliver of road
is left a small one costs all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from roadmask.quality.offset import LAGS, REACH, Correlation, Offset
from roadmask.style import UNKNOWN

Scores = NDArray[np.float32]
Label = NDArray[np.uint8]

# What a metre of outline along the picture's edges, and a square metre of ground that looks
# like its label, weigh as logarithms of a likelihood; less than if neighbours were
# independent. On spoiled demo cities, any within twice as much find the same tiles.
EDGE_WEIGHT, LOOKS_WEIGHT = 0.5, 0.13
# Metres: the mean offset of maps as they are.
USUAL_OFFSET = 0.5
# Logarithm of odds beyond which looks are not believed, so that no roof outweighs a street.
MOST_ODDS = 2.0
AWAY = np.hypot(*np.mgrid[-REACH : REACH + 1, -REACH : REACH + 1])
# The loss of overlap from which a label begins to be bad, and at which it surely is.
BAD_FROM, BAD_AT = 0.06, 0.12
# Standard errors by which a sheet's offset must differ from none to be believed of its tiles, and
# blocks with outlines that must tell of it: of 60 real pictures with 12 to 14 of these, seven
# seemed to lie 3 to 10 pixels off.
SURE, ENOUGH_BLOCKS = 3.0, 24


@dataclass(frozen=True)
class Misplaced:
    """Where a tile's label may lie.

    Attributes
    ----------
    chance
        That it lies off by so much that it is bad, 0 to 1.
    offset
        Pixels by which it most likely does.
    """

    chance: float
    offset: float


def looks_scores(like: NDArray[np.float32], label: Label) -> Scores:
    """Lay a block's label over what looks like road, at every offset within reach.

    Parameters
    ----------
    like
        ``(height + 2 * REACH, width + 2 * REACH)``, how much like road the block and the
        ground around it look, 0 to 1; NaN without a picture.
    label
        ``(height, width)`` uint8.

    Returns
    -------
    numpy.ndarray
        ``(LAGS, LAGS)`` float32, ordered as those of `Correlation`: the sum over the label
        of the logarithm of the odds that the ground so far away looks as it says.
    """
    sure = 1 / (1 + math.exp(MOST_ODDS))
    bounded = np.clip(np.nan_to_num(like, nan=0.5), sure, 1 - sure)
    odds = np.log(bounded / (1 - bounded))
    signs = np.where(label == UNKNOWN, 0.0, np.where(label > 0, 1.0, -1.0))
    return _laid_over(odds, signs)


def misplaced(edges: Correlation, looks: Scores, label: Label, metres: float) -> Misplaced:
    """Weigh the offsets at which a tile's label may lie.

    Parameters
    ----------
    edges, looks
        Of the tile and around it.
    label
        ``(size + 2 * REACH, size + 2 * REACH)`` uint8: the tile and what surrounds it.
    metres
        Ground size of a pixel.
    """
    chances = offset_chances(edges, looks, metres)
    both, either = overlaps(label)
    lost = np.where(either > 0, 1 - both / np.maximum(either, 1), 0.0)
    badness = np.clip((lost - BAD_FROM) / (BAD_AT - BAD_FROM), 0, 1)
    likeliest = float(AWAY.ravel()[int(chances.argmax())])
    return Misplaced(float((chances * badness).sum()), likeliest)


def sheet_loss(offset: Offset | None, label: Label) -> float:
    """Return what a tile's label loses if it lies off as its whole sheet does.

    Parameters
    ----------
    offset
        Of the sheet; None where nothing can be told.
    label
        ``(size + 2 * REACH, size + 2 * REACH)`` uint8: the tile and what surrounds it.

    Returns
    -------
    float
        1 less the overlap of its road with itself, moved by the offset: 0 to 1. 0 where the
        sheet has no clear offset, none that is more than its error, or too few blocks.
    """
    if offset is None or not offset.is_clear or offset.blocks < ENOUGH_BLOCKS:
        return 0.0
    if offset.size < SURE * offset.sigma:
        return 0.0
    road = (label > 0) & (label != UNKNOWN)
    down, right = -round(offset.up), round(offset.right)
    size = len(road) - 2 * REACH
    here = road[REACH:-REACH, REACH:-REACH]
    moved = road[REACH - down :, REACH - right :][:size, :size]
    either = int(np.count_nonzero(here | moved))
    return 1 - int(np.count_nonzero(here & moved)) / either if either else 0.0


def offset_chances(edges: Correlation, looks: Scores, metres: float) -> NDArray[np.float64]:
    """Return how likely each offset is.

    Parameters
    ----------
    edges, looks
        Of some ground.
    metres
        Ground size of a pixel.

    Returns
    -------
    numpy.ndarray
        ``(LAGS, LAGS)``, their sum 1, ordered as the scores of `Correlation`.
    """
    evidence = EDGE_WEIGHT * metres * edges.scores.astype(np.float64)
    evidence += LOOKS_WEIGHT * metres**2 * looks
    evidence -= AWAY * metres / USUAL_OFFSET
    chances = np.exp(evidence - evidence.max())
    return np.asarray(chances / chances.sum())


def overlaps(label: Label) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lay a label's road over itself, moved by every offset within reach.

    Parameters
    ----------
    label
        ``(size + 2 * REACH, size + 2 * REACH)`` uint8: a tile and what surrounds it.

    Returns
    -------
    tuple of numpy.ndarray
        Both ``(LAGS, LAGS)``, ordered as the scores of `Correlation`: pixels of the tile that
        are road before and after, and before or after.
    """
    road = ((label > 0) & (label != UNKNOWN)).astype(np.float64)
    here = road[REACH:-REACH, REACH:-REACH]
    # What was moved by an offset came from the opposite one.
    both = np.rint(_laid_over(road, here)[::-1, ::-1]).astype(np.float64)
    moved = np.rint(_laid_over(road, np.ones_like(here))[::-1, ::-1])
    return both, here.sum() + moved - both


def _laid_over(there: NDArray[np.floating], here: NDArray[np.floating]) -> NDArray[np.float32]:
    """Sum the products of a field and a larger one around it at every offset within reach."""
    shape = [fft.next_fast_len(side, real=True) for side in there.shape]
    product = fft.rfft2(there, shape, workers=1) * fft.rfft2(here, shape, workers=1).conj()
    return np.ascontiguousarray(fft.irfft2(product, shape, workers=1)[:LAGS, :LAGS], np.float32)
