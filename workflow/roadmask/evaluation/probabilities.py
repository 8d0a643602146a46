"""Figures from how often each probability was given to pixels of a class and to others.

Probability rasters hold 254ths, so 255 counts for each of the two tell all that the pixels
would: each figure here is exact for the rasters, without a second look at them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from roadmask.probability import CERTAIN

BINS = 10

Floats = NDArray[np.float64]
LEVELS: Floats = np.arange(CERTAIN + 1) / CERTAIN
# The bin of each level: the upper limit belongs to a bin, and to the first one the lower too.
BIN_OF_LEVEL = np.maximum(np.ceil(np.arange(CERTAIN + 1) * BINS / CERTAIN).astype(int) - 1, 0)


def ratio(part: NDArray[Any], whole: NDArray[Any]) -> Floats:
    """Return a quotient, NaN where it divides by 0."""
    part, whole = np.broadcast_arrays(part, whole)
    result = np.full(part.shape, np.nan)
    np.divide(part, whole, out=result, where=whole > 0)
    return result


def brier(histogram: Floats) -> Floats:
    """Return the mean square of probability less truth, which is 0 or 1 (Brier 1950).

    Parameters
    ----------
    histogram
        ``(…, 2, 255)``: pixels that are not the class, and that are, by the probability of it
        in 254ths.
    """
    squares = histogram[..., 0, :] @ LEVELS**2 + histogram[..., 1, :] @ (1 - LEVELS) ** 2
    return ratio(squares, histogram.sum(axis=(-2, -1)))


def calibration_error(histogram: Floats) -> Floats:
    """Return the expected calibration error over `BINS` bins of equal width.

    The mean over the pixels of how far their bin's share of the class lies from its mean
    probability (Naeini et al. 2015; of one class against the rest, Nixon et al. 2019).

    Parameters
    ----------
    histogram
        As in `brier`.
    """
    _, probability, observed = binned(histogram)
    return ratio(np.abs(probability - observed).sum(axis=-1), histogram.sum(axis=(-2, -1)))


def binned(histogram: Floats) -> tuple[Floats, Floats, Floats]:
    """Return, for each bin, its pixels, the sum of their probabilities, and those of the class.

    Parameters
    ----------
    histogram
        As in `brier`.

    Returns
    -------
    tuple of ndarray
        Three of ``(…, bins)``.
    """
    member = (np.arange(BINS) == BIN_OF_LEVEL[:, np.newaxis]).astype(np.float64)
    both = histogram.sum(axis=-2)
    return both @ member, (both * LEVELS) @ member, histogram[..., 1, :] @ member


def above(histogram: Floats) -> tuple[Floats, Floats]:
    """Return how many pixels, right and wrong, each threshold takes for the class.

    Returns
    -------
    tuple of ndarray
        Two of ``(…, 255)``, for the thresholds 0, 1 … 254 in 254ths.
    """
    taken = np.cumsum(histogram[..., ::-1], axis=-1)[..., ::-1]
    return taken[..., 1, :], taken[..., 0, :]


def average_precision(histogram: Floats) -> Floats:
    """Return the mean of the precision over the recall, without interpolation.

    Each threshold's precision counts by the recall that it adds, as scikit-learn has it.

    Parameters
    ----------
    histogram
        As in `brier`.

    Returns
    -------
    ndarray
        ``(…)``; NaN where no pixel is of the class.
    """
    right, wrong = above(histogram)
    precision = np.nan_to_num(ratio(right, right + wrong))
    return ratio((histogram[..., 1, :] * precision).sum(axis=-1), right[..., 0])


def reliability(histogram: Floats) -> list[dict[str, Any]]:
    """Return the table of calibration: what was said, and what came true.

    Parameters
    ----------
    histogram
        ``(1 + draws, 2, 255)``, as in `brier`.

    Returns
    -------
    list of dict
        For each bin ``from``, ``to``, ``pixels``, ``mean_probability`` and the ``observed``
        share of the class: as a float64 of ``(1 + draws,)``, with NaN where it has no pixel.
    """
    pixels, probability, observed = binned(histogram)
    mean, share = ratio(probability, pixels), ratio(observed, pixels)
    return [
        {
            "from": index / BINS,
            "to": (index + 1) / BINS,
            "pixels": int(pixels[0, index]),
            "mean_probability": mean[0, index],
            "observed": share[:, index],
        }
        for index in range(BINS)
    ]


def curve(histogram: Floats) -> list[dict[str, float]]:
    """Return precision, recall and IoU of the thresholds 0, 1 … 254 in 254ths.

    Parameters
    ----------
    histogram
        ``(2, 255)``, as in `brier`.

    Returns
    -------
    list of dict
        ``threshold``, ``precision``, ``recall``, ``iou``; NaN where there is nothing to
        divide by.
    """
    right, wrong = above(histogram)
    columns = {
        "threshold": LEVELS,
        "precision": ratio(right, right + wrong),
        "recall": ratio(right, right[:1]),
        "iou": ratio(right, right[:1] + wrong),
    }
    return [
        {name: float(values[level]) for name, values in columns.items()}
        for level in range(CERTAIN + 1)
    ]
