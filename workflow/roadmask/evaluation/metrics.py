"""Counting where a prediction and a truth agree, and what follows from the counts.

Counts add up, over windows, blocks and scenes; scores are made from their sums, never from
averages of scores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from roadmask.evaluation.bootstrap import DRAWS, FEWEST_BLOCKS, LEVEL, Sums, interval
from roadmask.evaluation.nearness import Tolerance, edges, near
from roadmask.evaluation.probabilities import (
    Floats,
    average_precision,
    brier,
    calibration_error,
    ratio,
    reliability,
)
from roadmask.probability import CERTAIN
from roadmask.style import UNKNOWN

# How far off a pixel may lie for the relaxed scores: the custom since Mnih's thesis (2013).
RELAXED = Tolerance(3.0)
# With fewer blocks an interval is too narrow: they hardly differ as ground elsewhere does.
FEW_BLOCKS = 10

Integers = NDArray[np.int64]
Classes = NDArray[np.uint8]


@dataclass(frozen=True)
class Counts(Sums):
    """Pixels of a prediction and a truth.

    Attributes
    ----------
    confusion
        ``(…, classes, classes)``: rows are the truth, columns the prediction.
    predicted_near, truth_near
        ``(…, tolerances, classes)``: pixels predicted as a class that lie near one that is it
        in truth, and pixels of a class near one predicted so.
    predicted_edge, truth_edge
        ``(…, classes)``: pixels on the edge of a class.
    predicted_edge_near, truth_edge_near
        ``(…, tolerances, classes)``: those of them that lie near the other's edge.
    probability
        ``(…, classes, 2, 255)``: pixels that are not of a class, and that are, by the
        probability of it in 254ths; zeros where probabilities are not known.
    """

    confusion: NDArray[Any]
    predicted_near: NDArray[Any]
    truth_near: NDArray[Any]
    predicted_edge: NDArray[Any]
    truth_edge: NDArray[Any]
    predicted_edge_near: NDArray[Any]
    truth_edge_near: NDArray[Any]
    probability: NDArray[Any]

    @classmethod
    def zero(cls, classes: int, tolerances: int, *ground: int) -> Counts:
        """Return the counts of no pixel, on several pieces of ground if their number is given."""
        return cls(
            confusion=np.zeros((*ground, classes, classes), np.int64),
            predicted_near=np.zeros((*ground, tolerances, classes), np.int64),
            truth_near=np.zeros((*ground, tolerances, classes), np.int64),
            predicted_edge=np.zeros((*ground, classes), np.int64),
            truth_edge=np.zeros((*ground, classes), np.int64),
            predicted_edge_near=np.zeros((*ground, tolerances, classes), np.int64),
            truth_edge_near=np.zeros((*ground, tolerances, classes), np.int64),
            probability=np.zeros((*ground, classes, 2, CERTAIN + 1), np.int64),
        )

    @property
    def truth(self) -> NDArray[Any]:
        """Pixels of each class in truth, ``(…, classes)``."""
        total: NDArray[Any] = self.confusion.sum(axis=-1)
        return total

    @property
    def predicted(self) -> NDArray[Any]:
        """Pixels predicted as each class, ``(…, classes)``."""
        total: NDArray[Any] = self.confusion.sum(axis=-2)
        return total

    @property
    def hits(self) -> NDArray[Any]:
        """Pixels of each class predicted as such, ``(…, classes)``."""
        return np.diagonal(self.confusion, axis1=-2, axis2=-1)


def count(
    truth: Classes,
    predicted: Classes,
    ground: NDArray[np.int32],
    *,
    pieces: int,
    classes: int,
    tolerances: Sequence[Tolerance] = (RELAXED,),
    probability: Classes | None = None,
) -> Counts:
    """Compare a prediction with a truth, on each piece of ground.

    Parameters
    ----------
    truth, predicted
        ``(rows, columns)``: indices below `classes`, 255 not known.
    ground
        ``(rows, columns)``: the piece that a pixel is counted for, -1 for none. Pixels where
        truth or prediction is 255 are left out. Those not counted still show what lies near: a
        window that is counted without a rim as wide as the farthest tolerance, and one pixel
        more, gives what the whole picture gives there.
    pieces
        How many pieces there are.
    classes
        How many, class 0 included.
    tolerances
        What near means.
    probability
        ``(classes, rows, columns)`` in 254ths, where it is known.

    Raises
    ------
    ValueError
        If a pixel that counts has no probability.
    """
    ground = np.where((truth != UNKNOWN) & (predicted != UNKNOWN), ground, -1)
    counted = ground >= 0
    where = ground[counted].astype(np.int64)
    is_truth, is_predicted = truth[counted], predicted[counted]
    result = Counts.zero(classes, len(tolerances), pieces)
    pairs = (where * classes + is_truth) * classes + is_predicted
    result.confusion[:] = _counted(pairs, result.confusion.shape)
    for index in range(classes):
        _count_nearness(result, index, truth, predicted, ground, tolerances)
        if probability is not None:
            levels = probability[index][counted]
            if (levels > CERTAIN).any():
                raise ValueError("pixels with a class and no probability")
            codes = (where * 2 + (is_truth == index)) * (CERTAIN + 1) + levels
            result.probability[:, index] = _counted(codes, result.probability[:, index].shape)
    return result


def _counted(codes: Integers, shape: tuple[int, ...]) -> Integers:
    """Return how often each index into an array of some shape occurs."""
    return np.bincount(codes, minlength=int(np.prod(shape))).reshape(shape)


class _Counter:
    """Counts pixels on each piece of ground."""

    def __init__(self, ground: NDArray[np.int32], pieces: int) -> None:
        self._places = ground.ravel().astype(np.int64) + 1
        self._pieces = pieces

    def count(self, pixels: NDArray[np.bool_]) -> Integers:
        """Return how many pixels of a set each piece holds."""
        # Those of no piece, and those not of the set, are counted in front.
        return np.bincount(self._places * pixels.ravel(), minlength=self._pieces + 1)[1:]


def _count_nearness(
    result: Counts,
    index: int,
    truth: Classes,
    predicted: Classes,
    ground: NDArray[np.int32],
    tolerances: Sequence[Tolerance],
) -> None:
    """Fill in what lies near, and on the edge, of one class."""
    in_truth, in_prediction = truth == index, predicted == index
    truth_edge = edges(in_truth, truth != UNKNOWN)
    predicted_edge = edges(in_prediction, predicted != UNKNOWN)
    number = _Counter(ground, len(result.confusion)).count

    result.truth_edge[:, index] = number(truth_edge)
    result.predicted_edge[:, index] = number(predicted_edge)
    for mine, others, into in (
        (in_prediction, in_truth, result.predicted_near),
        (in_truth, in_prediction, result.truth_near),
        (predicted_edge, truth_edge, result.predicted_edge_near),
        (truth_edge, predicted_edge, result.truth_edge_near),
    ):
        if not mine.any():
            continue
        for place, close in enumerate(near(others, tolerances)):
            into[:, place, index] = number(mine & close)


# --- from counts to figures ----------------------------------------------------------------

# Of each class; `figures_of` has what they are.
FIGURES = (
    "iou",
    "dice",
    "precision",
    "recall",
    "relaxed_f1",
    "relaxed_f1_ground",
    "boundary_f1",
    "boundary_f1_ground",
    "average_precision",
    "brier",
    "ece",
)
OF_GROUND_DISTANCE = ("relaxed_f1_ground", "boundary_f1_ground")
OF_PROBABILITY = ("average_precision", "brier", "ece")


def figures_of(counts: Counts) -> dict[str, Floats]:
    """Return every figure of every class.

    Parameters
    ----------
    counts
        With any axes in front.

    Returns
    -------
    dict of ndarray
        Float64 of ``(…, classes)``; NaN where the truth does not hold the class, and where the
        figure was not counted: the ``…_ground`` without a second tolerance, boundary F1 where
        the class ends nowhere, the last three without probabilities. A class that the truth
        holds and nobody predicts has precision 0.
    """
    present = counts.truth > 0
    hits, truth, predicted = counts.hits, counts.truth, counts.predicted
    found = {
        "iou": ratio(hits, truth + predicted - hits),
        "dice": ratio(2 * hits, truth + predicted),
        "precision": np.nan_to_num(ratio(hits, predicted)),
        "recall": ratio(hits, truth),
    }
    for place, suffix in enumerate(("", "_ground")):
        if place >= counts.truth_near.shape[-2]:
            found |= dict.fromkeys(OF_GROUND_DISTANCE, np.full(truth.shape, np.nan))
            continue
        found[f"relaxed_f1{suffix}"] = _f1(
            counts.predicted_near[..., place, :], predicted, counts.truth_near[..., place, :], truth
        )
        found[f"boundary_f1{suffix}"] = _f1(
            counts.predicted_edge_near[..., place, :],
            counts.predicted_edge,
            counts.truth_edge_near[..., place, :],
            counts.truth_edge,
        )
    found["average_precision"] = average_precision(counts.probability)
    found["brier"] = brier(counts.probability)
    found["ece"] = calibration_error(counts.probability)
    return {name: np.where(present, found[name], np.nan) for name in FIGURES}


def _f1(right: Floats, predicted: Floats, found: Floats, truth: Floats) -> Floats:
    """Return the harmonic mean of precision and recall; NaN where there is no truth."""
    precision = np.nan_to_num(ratio(right, predicted))
    recall = ratio(found, truth)
    both = precision + recall
    product = 2 * precision * recall
    return np.where(both > 0, ratio(product, both), both)


def scores(
    counts: Counts, names: Sequence[str], blocks: int = 0, *, outputs: int | None = None
) -> dict[str, Any]:
    """Turn counts into the figures of ``metrics.json``.

    Parameters
    ----------
    counts
        With one axis in front: all the ground that counts, then that of each draw, if any.
    names
        The classes in the order of their indices, ``other`` first.
    blocks
        How many blocks were drawn from.
    outputs
        Of the network, where its probabilities were counted.

    Returns
    -------
    dict
        ``iou`` of each class, ``mean_iou`` over the classes that the truth holds (``other``
        included), and the rest of `FIGURES` of the one class, or, with more, their mean over
        the classes other than ``other`` that the truth holds; ``classes`` has them of each
        class. ``confusion`` in pixels and, by row, in shares. ``reliability`` of each output.
        ``intervals`` has, under the same keys, low and high limit of each figure, or null.
        A class that the truth does not hold has null everywhere; ``notes`` say why.
    """
    found = figures_of(counts)
    single = {
        name: {key: values[:, index] for key, values in found.items()}
        for index, name in enumerate(names)
    }
    wanted = list(names[1:])
    whole: dict[str, Any] = {
        "iou": {name: single[name]["iou"] for name in names},
        "mean_iou": _mean([single[name]["iou"] for name in names]),
    }
    for key in FIGURES[1:]:
        whole[key] = _mean([single[name][key] for name in wanted])
    pixels = counts.confusion.sum(axis=(-2, -1))
    whole["pixel_accuracy"] = ratio(counts.hits.sum(axis=-1), pixels)
    whole["confusion_shares"] = [
        [
            ratio(counts.confusion[:, row, column], counts.truth[:, row])
            for column in range(len(names))
        ]
        for row in range(len(names))
    ]
    whole["classes"] = single
    shown = names[1:] if outputs == 1 else names
    whole["reliability"] = {
        name: reliability(counts.probability[:, names.index(name)]) if outputs else []
        for name in shown
    }
    result: dict[str, Any] = _points(whole)
    result["pixels"] = int(pixels[0])
    result["confusion"] = counts.confusion[0].astype(np.int64).tolist()
    result["blocks"] = blocks
    result["intervals"] = _intervals(whole, blocks)
    result["notes"] = notes(counts, names, blocks)
    if blocks >= FEWEST_BLOCKS:
        result["notes"] += _notes_on_intervals(result)
    return result


def _mean(values: Sequence[Floats]) -> Floats:
    """Return the mean of the figures that have a meaning on all the ground, in each draw too."""
    known = [each for each in values if not np.isnan(each[0])]
    return np.mean(known, axis=0) if known else np.full_like(values[0], np.nan)


def _points(values: Any) -> Any:  # noqa: ANN401 (as deep as JSON is)
    """Take the figures of all the ground from arrays that hold the draws behind them."""
    if isinstance(values, Mapping):
        return {key: _points(value) for key, value in values.items()}
    if isinstance(values, list):
        return [_points(value) for value in values]
    if isinstance(values, np.ndarray):
        return _points(values[0])
    return None if isinstance(values, float) and np.isnan(values) else values


def _intervals(values: Any, blocks: int) -> Any:  # noqa: ANN401 (as deep as JSON is)
    """Take the limits of figures from arrays of draws; numbers that nobody drew are dropped."""
    if isinstance(values, Mapping):
        return {
            key: _intervals(value, blocks)
            for key, value in values.items()
            if isinstance(value, Mapping | list | np.ndarray)
        }
    if isinstance(values, list):
        return [_intervals(value, blocks) for value in values]
    return interval(values, blocks)


def notes(counts: Counts, names: Sequence[str], blocks: int) -> list[str]:
    """Return why figures are null, and what to know of others, a sentence each."""
    truth, predicted, edge = counts.truth[0], counts.predicted[0], counts.truth_edge[0]
    if not truth.any():
        return ["No pixel of the test ground has both a truth and a prediction: all is null"]
    found = []
    for index, name in enumerate(names):
        if not truth[index]:
            found.append(
                f"No pixel of the truth is {name}: its figures are null"
                + (
                    f" ({int(predicted[index])} pixels are predicted so)"
                    if predicted[index]
                    else ""
                )
            )
        elif not predicted[index]:
            found.append(f"No pixel is predicted as {name}: its precision counts as 0")
        if truth[index] and not edge[index]:
            found.append(f"{name} ends nowhere in the truth: its boundary F1 is null")
    if not counts.probability.any():
        found.append("There are no probabilities: what is made from them is null")
    if counts.truth_near.shape[-2] == 1:
        found.append("Pictures lie nowhere: figures with a tolerance on the ground are null")
    if blocks < FEWEST_BLOCKS:
        found.append(f"An interval needs {FEWEST_BLOCKS} blocks of ground; here it is null")
    elif blocks < FEW_BLOCKS:
        found.append(f"Only {blocks} blocks of ground: the intervals are too narrow")
    return found


def _notes_on_intervals(result: Mapping[str, Any]) -> list[str]:
    """Return which figures of a class have a value and no interval."""
    found = []
    for name, limits in result["intervals"]["classes"].items():
        figures = result["classes"][name]
        without = [key for key in figures if figures[key] is not None and limits[key] is None]
        if without:
            found.append(f"Too few blocks tell the intervals of {name}: {', '.join(without)}")
    return found


def method() -> dict[str, Any]:
    """Return how intervals were made."""
    return {"level": LEVEL, "draws": DRAWS, "unit": "block", "weights": "Poisson"}


# --- masks ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class MaskCounts(Sums):
    """Pixels of a mask and a truth, on all ground.

    Attributes
    ----------
    both, either
        ``(…)``: pixels that are road in both, and in either of them.
    unknown
        Pixels that the mask does not know.
    pixels
        All of them.
    """

    both: NDArray[Any]
    either: NDArray[Any]
    unknown: NDArray[Any]
    pixels: NDArray[Any]

    @classmethod
    def zero(cls, *ground: int) -> MaskCounts:
        """Return the counts of no pixel."""
        return cls(*(np.zeros(ground, np.int64) for _ in range(4)))

    def scores(self, blocks: int = 0, *, with_truth: bool) -> dict[str, Any]:
        """Return the IoU, null where there is no truth or no road, and the unknown share.

        With one axis in front, as `scores` has it.
        """
        iou = ratio(self.both, self.either)
        found = {
            "iou": iou if with_truth else np.full_like(iou, np.nan),
            "unknown_share": ratio(self.unknown, self.pixels),
        }
        result: dict[str, Any] = _points(found)
        return result | {
            "pixels": int(self.pixels[0]),
            "blocks": blocks,
            "intervals": _intervals(found, blocks),
        }


def count_mask(
    mask: Classes,
    truth: NDArray[np.bool_] | None,
    ground: NDArray[np.int32],
    *,
    pieces: int,
    value: int,
) -> MaskCounts:
    """Compare a mask with a truth, where 255 on true road counts as a miss.

    Parameters
    ----------
    mask
        ``(rows, columns)``: class indices, 255 not known.
    truth
        ``(rows, columns)``, or None where there is none.
    ground
        ``(rows, columns)``: the piece of ground that a pixel is counted for, -1 for none.
    pieces
        How many pieces there are.
    value
        The class of the truth.
    """
    number = _Counter(ground, pieces).count
    road = mask == value
    true_road = np.zeros_like(road) if truth is None else truth
    return MaskCounts(
        both=number(road & true_road),
        either=number(road | true_road),
        unknown=number(mask == UNKNOWN),
        pixels=number(np.ones_like(road)),
    )
