"""Figures from counts over a whole split, never from averages of batches.

Counts are confusion matrices (rows: labels, columns: predictions) and, for one class,
histograms of its probability, from which the matrix of any threshold follows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from roadmask.probability import CERTAIN


@dataclass(frozen=True)
class Figures:
    """How well predictions agree with labels.

    Attributes
    ----------
    iou
        Of other and each class; NaN where neither labels nor predictions have it, and with
        several classes where labels don't.
    mean_iou
        Mean over those that are not NaN; NaN where all are.
    threshold
        For one class, the probability from which on it wins; else None.
    confusion
        int64, rows by label, columns by prediction.
    """

    iou: tuple[float, ...]
    mean_iou: float
    threshold: float | None
    confusion: NDArray[np.int64]


def iou_of(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the IoU of each class.

    Parameters
    ----------
    confusion
        int64 ``(…, classes, classes)``.

    Returns
    -------
    ndarray
        float64 ``(…, classes)``; NaN where a class is neither labelled nor predicted.
    """
    hit = np.diagonal(confusion, axis1=-2, axis2=-1).astype(np.float64)
    union = confusion.sum(axis=-1) + confusion.sum(axis=-2) - hit
    iou: NDArray[np.float64] = np.full(hit.shape, np.nan)
    np.divide(hit, union, out=iou, where=union > 0)
    return iou


def mean_iou_of(iou: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean along the last axis, without NaN; NaN where nothing is left."""
    known = ~np.isnan(iou)
    count = known.sum(axis=-1)
    total = np.where(known, iou, 0.0).sum(axis=-1)
    mean: NDArray[np.float64] = np.full(total.shape, np.nan)
    np.divide(total, count, out=mean, where=count > 0)
    return mean


def confusions_of(histogram: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the confusion matrix of each threshold.

    Parameters
    ----------
    histogram
        int64 ``(2, 255)``: pixels by label (other, class) and by the probability of the
        class in 254ths.

    Returns
    -------
    ndarray
        int64 ``(254, 2, 2)``: with the class predicted from 1, 2, … 254 on.
    """
    below = np.cumsum(histogram, axis=1)[:, :-1].T
    above = histogram.sum(axis=1) - below
    return np.stack([below, above], axis=-1)


def judge_histogram(histogram: NDArray[np.int64]) -> Figures:
    """Choose the threshold with the largest mean IoU and return the figures it gives.

    Of equally good thresholds it is the one nearest to a half. Where there is nothing to
    choose by, it is a half.
    """
    confusions = confusions_of(histogram)
    scores = np.nan_to_num(mean_iou_of(iou_of(confusions)), nan=-1.0)
    thresholds = np.arange(1, CERTAIN + 1)
    best = np.flatnonzero(scores == scores.max())
    index = int(best[np.argmin(np.abs(thresholds[best] - CERTAIN / 2))])
    confusion = confusions[index]
    return _figures(confusion, iou_of(confusion), float(thresholds[index] / CERTAIN))


def judge_confusion(confusion: NDArray[np.int64]) -> Figures:
    """Return the figures where the most probable class was predicted.

    A class without labels has none, as in stage `evaluation`: labels of several classes may
    leave no ground as other, and one stray pixel of it would halve or double the mean.
    """
    iou = iou_of(confusion)
    iou[confusion.sum(axis=-1) == 0] = np.nan
    return _figures(confusion, iou, None)


def _figures(
    confusion: NDArray[np.int64], iou: NDArray[np.float64], threshold: float | None
) -> Figures:
    return Figures(
        iou=tuple(float(value) for value in iou),
        mean_iou=float(mean_iou_of(iou)),
        threshold=threshold,
        confusion=confusion,
    )
