"""How much like road the ground of a sheet looks, by the sheet's own labels.

Most labels of a sheet are right, so a classifier learns from them what road looks like here,
whatever they say of one place: each part of the sheet is judged by what the other parts
taught (cross-fitting). Where it contradicts a label over a whole stretch, one of both is
wrong ("confident learning": Northcutt et al. 2021).
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

from roadmask.style import UNKNOWN

Values = NDArray[np.float32]

# Metres of a cell: smaller than a car, larger than the grain of asphalt.
CELL_METRES = 0.6
# Cells of a sheet at most, so that memory and time don't grow with its pixels.
MOST_CELLS = 4_000_000
# Cells around a place of which it takes colour and grain.
SPREADS = (1.5, 3.0, 6.0, 12.0)
# The same for how much like road the ground around looks.
SHAPE_SPREADS = (2.0, 4.0, 8.0, 16.0)
# Cells of the lines along which it is looked at, and in how many directions.
LINES_THROUGH = ((15, 8), (31, 8), (61, 12))
# Cells around a place in which it is asked how wide what looks like road is.
DEPTH_REACHES = (3, 6, 9, 13)
# No likeness counts as surer than this.
LEAST_LIKENESS = 0.02
# Parts of the sheet, and the edge of the squares they are made of, in cells.
FOLDS = 4
FOLD_CELLS = 72
# Half of the other ground that is learned from lies so near to road: pavements and verges, in
# which labels that are off get lost.
NEAR_ROAD_CELLS = 13
# Cells of each kind that a part learns from, and below which it learns nothing.
MOST_EXAMPLES, LEAST_EXAMPLES = 4000, 200
SEED = 1


def cell_pixels(height: int, width: int, pixel_metres: float) -> int:
    """Return how many pixels a cell's edge has."""
    wanted = max(1, round(CELL_METRES / pixel_metres)) if pixel_metres > 0 else 1
    return max(wanted, int(np.ceil(np.sqrt(height * width / MOST_CELLS))))


def cell_values(picture: NDArray[np.uint8], pixels: int) -> Values:
    """Reduce a picture to cells.

    Parameters
    ----------
    picture
        ``(height, width, bands)``; both sides are multiples of `pixels`.
    pixels
        Edge of a cell.

    Returns
    -------
    numpy.ndarray
        ``(height / pixels, width / pixels, bands + 2)``: each band's mean, then deviation
        and mean gradient of their sum, all in grey values.
    """
    size = picture.shape[1] // pixels, picture.shape[0] // pixels
    values = picture.astype(np.float32)
    bright = values.mean(axis=2)
    steep = np.abs(cv2.Sobel(bright, cv2.CV_32F, 1, 0)) + np.abs(
        cv2.Sobel(bright, cv2.CV_32F, 0, 1)
    )

    def reduced(array: Values) -> Values:
        return np.asarray(cv2.resize(array, size, interpolation=cv2.INTER_AREA))

    bands = [reduced(np.ascontiguousarray(values[..., band])) for band in range(values.shape[2])]
    spread = reduced(bright * bright) - reduced(bright) ** 2
    return np.stack([*bands, np.sqrt(np.maximum(spread, 0)), reduced(steep)], axis=-1)


def features(cells: Values) -> Values:
    """Describe each cell by what is there and around it.

    Parameters
    ----------
    cells
        ``(rows, columns, values)`` as `cell_values` returns them.

    Returns
    -------
    numpy.ndarray
        ``(rows, columns, features)``.
    """
    maps = np.moveaxis(cells, -1, 0)
    bright = cells[..., :-2].mean(axis=-1)
    # Brightness and hue apart: shade changes the first alone.
    hues = [band / (bright + 1) for band in maps[:-2]]
    base = [bright, *hues, *maps[-2:]]
    found = list(base)
    for spread in SPREADS:
        around = [cv2.GaussianBlur(value, (0, 0), spread) for value in base]
        square = cv2.GaussianBlur(bright * bright, (0, 0), spread)
        found += [*around, np.sqrt(np.maximum(square - around[0] ** 2, 0))]
    return np.stack(found, axis=-1)


def log_odds(likeness: Values) -> Values:
    """Return logarithms of odds, none of them surer than `LEAST_LIKENESS`."""
    bounded = np.clip(likeness, LEAST_LIKENESS, 1 - LEAST_LIKENESS)
    return np.asarray(np.log(bounded / (1 - bounded)))


def shapes(likeness: Values) -> Values:
    """Describe each cell by the shape of what looks like road there and around it.

    A classifier of its own answers (auto-context: Tu & Bai 2010) learns how wide and how long
    streets are, so that lots and roofs of the same colours look less like road.

    Parameters
    ----------
    likeness
        ``(rows, columns)`` from 0 to 1.

    Returns
    -------
    numpy.ndarray
        ``(rows, columns, features)``: the likeness; logarithms of its odds, as means around
        and as the highest and lowest mean along lines through the cell; how deep the cell
        lies in ground that looks like road, and the greatest depth around.
    """
    odds = log_odds(likeness)
    found = [likeness, *(cv2.GaussianBlur(odds, (0, 0), spread) for spread in SHAPE_SPREADS)]
    for length, directions in LINES_THROUGH:
        highest, lowest = np.full_like(odds, -np.inf), np.full_like(odds, np.inf)
        for direction in range(directions):
            along = cv2.filter2D(odds, -1, _line_kernel(length, math.pi * direction / directions))
            np.maximum(highest, along, out=highest)
            np.minimum(lowest, along, out=lowest)
        found += [highest, lowest]
    depth = cv2.distanceTransform((likeness > 0.5).astype(np.uint8), cv2.DIST_L2, 3)
    found.append(depth)
    for reach in DEPTH_REACHES:
        around = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
        found.append(cv2.dilate(depth, around))
    return np.stack(found, axis=-1)


def _line_kernel(length: int, angle: float) -> Values:
    """Return weights that take the mean along a line through the middle."""
    kernel, middle = np.zeros((length, length), np.float32), length // 2
    across, down = round(math.cos(angle) * middle), round(math.sin(angle) * middle)
    ends = (middle - across, middle - down), (middle + across, middle + down)
    cv2.line(kernel, *ends, 1.0)
    return np.asarray(kernel / kernel.sum())


def road_likeness(cells: Values, label: NDArray[np.uint8]) -> NDArray[np.float32] | None:
    """Tell how much like road each cell looks.

    Parameters
    ----------
    cells
        ``(rows, columns, values)`` as `cell_values` returns them.
    label
        ``(rows, columns)`` uint8 at the cells' middles; 255 where there is nothing to learn.

    Returns
    -------
    numpy.ndarray or None
        ``(rows, columns)`` from 0 to 1; None where the sheet has too little of road or of
        other ground to learn from.
    """
    described = features(cells)
    first = _cross_fitted(described, label, 0)
    if first is None:
        return None
    nearest = described[..., : 2 * (cells.shape[-1] + 1)].copy()
    del described
    # Other squares than before: what one part was taught shows in the next less.
    return _cross_fitted(np.concatenate([shapes(first), nearest], axis=-1), label, FOLD_CELLS // 2)


def _cross_fitted(described: Values, label: NDArray[np.uint8], origin: int) -> Values | None:
    """Judge each part of a sheet by a classifier that learned from the others."""
    rows, columns = (np.indices(label.shape) + origin) // FOLD_CELLS
    fold = (rows % 2) * 2 + columns % 2
    likeness = np.full(label.shape, np.nan, np.float32)
    for part in range(FOLDS):
        here = fold == part
        if not here.any():
            continue
        examples = _examples(label, ~here, part)
        if examples is None:
            return None
        classifier = HistGradientBoostingClassifier(
            max_iter=40,
            max_leaf_nodes=15,
            learning_rate=0.15,
            early_stopping=False,
            random_state=SEED,
        )
        # Threads that wait for each other in a busy loop cost more than they bring.
        with threadpool_limits(1):
            classifier.fit(
                described.reshape(-1, described.shape[-1])[examples], label.ravel()[examples] > 0
            )
            likeness[here] = classifier.predict_proba(described[here])[:, 1]
    return likeness


def _examples(
    label: NDArray[np.uint8], usable: NDArray[np.bool_], part: int
) -> NDArray[np.int64] | None:
    """Choose as many cells of road as of other ground, and half of that beside road."""
    rng = np.random.default_rng([SEED, part])
    is_road, is_other = (label > 0) & (label != UNKNOWN), label == 0
    size = 2 * NEAR_ROAD_CELLS + 1
    near = cv2.dilate(is_road.astype(np.uint8), np.ones((size, size), np.uint8)) > 0
    road, beside, rest = (
        np.flatnonzero(usable & kind) for kind in (is_road, is_other & near, is_other & ~near)
    )
    count = min(MOST_EXAMPLES, len(road), len(beside) + len(rest))
    if count < LEAST_EXAMPLES:
        return None
    few = min(len(beside), max(count // 2, count - len(rest)))
    numbers = ((road, count), (beside, few), (rest, count - few))
    chosen = [rng.choice(cells, number, replace=False) for cells, number in numbers]
    return np.sort(np.concatenate(chosen))
