"""Counting where a prediction and a truth agree, and what follows from the counts.

Counts add up, over windows, tiles and scenes; scores are made from their sums, never from
averages of scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

UNKNOWN = 255
# How far off a pixel may lie for the relaxed scores: the custom since Mnih's thesis (2013).
TOLERANCE = 3


@dataclass(frozen=True)
class Counts:
    """Pixels of a prediction and a truth.

    Attributes
    ----------
    confusion
        int64 of ``(classes, classes)``: rows are the truth, columns the prediction.
    predicted_near
        int64 of ``(classes,)``: pixels predicted as a class within `TOLERANCE` of a pixel
        that is it in truth.
    truth_near
        int64 of ``(classes,)``: pixels of a class within `TOLERANCE` of one predicted so.
    """

    confusion: np.ndarray
    predicted_near: np.ndarray
    truth_near: np.ndarray

    @classmethod
    def zero(cls, classes: int) -> Counts:
        """Return the counts of no pixel."""
        return cls(
            np.zeros((classes, classes), np.int64),
            np.zeros(classes, np.int64),
            np.zeros(classes, np.int64),
        )

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.confusion + other.confusion,
            self.predicted_near + other.predicted_near,
            self.truth_near + other.truth_near,
        )

    @property
    def truth(self) -> np.ndarray:
        """Pixels of each class in truth."""
        total: np.ndarray = self.confusion.sum(axis=1)
        return total

    @property
    def predicted(self) -> np.ndarray:
        """Pixels predicted as each class."""
        total: np.ndarray = self.confusion.sum(axis=0)
        return total

    @property
    def hits(self) -> np.ndarray:
        """Pixels of each class predicted as such."""
        return np.diagonal(self.confusion)


def count(truth: np.ndarray, predicted: np.ndarray, counted: np.ndarray, classes: int) -> Counts:
    """Compare a prediction with a truth on some pixels.

    Parameters
    ----------
    truth, predicted
        uint8 of ``(rows, columns)``: class indices, 255 not known.
    counted
        bool of ``(rows, columns)``: the pixels to count. Those where either is 255 are left
        out. Pixels not counted still show what lies near: a window that is counted
        without its outermost `TOLERANCE` pixels gives what the whole picture gives there.
    classes
        How many, class 0 included.
    """
    counted = counted & (truth != UNKNOWN) & (predicted != UNKNOWN)
    pairs = truth[counted].astype(np.int64) * classes + predicted[counted]
    confusion = np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)
    predicted_near = np.zeros(classes, np.int64)
    truth_near = np.zeros(classes, np.int64)
    for index in range(classes):
        is_truth, is_predicted = truth == index, predicted == index
        predicted_near[index] = np.count_nonzero(is_predicted & counted & near(is_truth))
        truth_near[index] = np.count_nonzero(is_truth & counted & near(is_predicted))
    return Counts(confusion, predicted_near, truth_near)


def near(pixels: np.ndarray, tolerance: int = TOLERANCE) -> np.ndarray:
    """Return where a pixel of the set lies within `tolerance` pixels, centre to centre.

    Parameters
    ----------
    pixels
        bool of ``(rows, columns)``.
    tolerance
        In pixels, straight-line distance.
    """
    offsets = np.arange(-tolerance, tolerance + 1)
    disc = offsets[:, np.newaxis] ** 2 + offsets**2 <= tolerance**2
    grown: np.ndarray = cv2.dilate(
        pixels.astype(np.uint8),
        disc.astype(np.uint8),
        borderType=cv2.BORDER_CONSTANT,
        borderValue=0,
    )
    return grown.astype(bool)


def scores(counts: Counts, names: Sequence[str]) -> dict[str, Any]:
    """Turn counts into the figures of ``metrics.json``.

    Parameters
    ----------
    counts
        Over all the ground that counts.
    names
        The classes in the order of their indices, ``other`` first.

    Returns
    -------
    dict
        ``iou`` of each class, ``mean_iou`` over the classes that the truth holds (``other``
        included), and ``dice``, ``precision``, ``recall``, ``relaxed_f1`` of the one class,
        or, with more, their mean over the classes other than ``other`` that the truth
        holds; ``classes`` has them of each class. A class that the truth does not hold has
        null everywhere, and a sentence in ``notes``. One that the truth holds and nobody
        predicts has precision 0.
    """
    present = counts.truth > 0
    each = {
        name: _class_scores(counts, index) if present[index] else dict.fromkeys(FIGURES)
        for index, name in enumerate(names)
    }
    wanted = list(names[1:])
    result: dict[str, Any] = {
        "iou": {name: figures["iou"] for name, figures in each.items()},
        "mean_iou": _mean([figures["iou"] for figures in each.values()]),
    }
    for figure in FIGURES[1:]:
        result[figure] = _mean([each[name][figure] for name in wanted])
    result["pixel_accuracy"] = _ratio(counts.hits.sum(), counts.confusion.sum())
    result["pixels"] = int(counts.confusion.sum())
    result["confusion"] = counts.confusion.tolist()
    result["classes"] = each
    result["notes"] = [
        f"No pixel of the truth is {name}: its figures are null"
        for index, name in enumerate(names)
        if not present[index]
    ]
    return result


FIGURES = ("iou", "dice", "precision", "recall", "relaxed_f1")


def _class_scores(counts: Counts, index: int) -> dict[str, float | None]:
    """Return the figures of a class that occurs in the truth."""
    hits = int(counts.hits[index])
    truth, predicted = int(counts.truth[index]), int(counts.predicted[index])
    relaxed_precision = _ratio(counts.predicted_near[index], predicted) or 0.0
    relaxed_recall = counts.truth_near[index] / truth
    both = relaxed_precision + relaxed_recall
    return {
        "iou": hits / (truth + predicted - hits),
        "dice": 2 * hits / (truth + predicted),
        "precision": _ratio(hits, predicted) or 0.0,
        "recall": hits / truth,
        "relaxed_f1": float(2 * relaxed_precision * relaxed_recall / both) if both else 0.0,
    }


def _ratio(part: float, whole: float) -> float | None:
    return float(part) / float(whole) if whole else None


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


@dataclass(frozen=True)
class MaskCounts:
    """Pixels of a mask and a truth, on all ground.

    Attributes
    ----------
    both, either
        Pixels that are road in both, and in either of them.
    unknown
        Pixels that the mask does not know.
    pixels
        All of them.
    """

    both: int = 0
    either: int = 0
    unknown: int = 0
    pixels: int = 0

    def __add__(self, other: MaskCounts) -> MaskCounts:
        return MaskCounts(
            self.both + other.both,
            self.either + other.either,
            self.unknown + other.unknown,
            self.pixels + other.pixels,
        )

    def scores(self, *, with_truth: bool) -> dict[str, Any]:
        """Return the IoU, null where there is no truth or no road, and the unknown share."""
        return {
            "iou": _ratio(self.both, self.either) if with_truth else None,
            "unknown_share": _ratio(self.unknown, self.pixels),
            "pixels": self.pixels,
        }


def count_mask(
    mask: np.ndarray, truth: np.ndarray | None, counted: np.ndarray, value: int
) -> MaskCounts:
    """Compare a mask with a truth, where 255 on true road counts as a miss.

    Parameters
    ----------
    mask
        uint8 of ``(rows, columns)``: class indices, 255 not known.
    truth
        bool of ``(rows, columns)``, or None where there is none.
    counted
        bool of ``(rows, columns)``: the pixels to count.
    value
        The class of the truth.
    """
    road = (mask == value) & counted
    true_road = np.zeros_like(road) if truth is None else truth & counted
    return MaskCounts(
        both=int(np.count_nonzero(road & true_road)),
        either=int(np.count_nonzero(road | true_road)),
        unknown=int(np.count_nonzero((mask == UNKNOWN) & counted)),
        pixels=int(np.count_nonzero(counted)),
    )
