"""How much like road the ground of a sheet looks, by the sheet's own labels.

Most labels of a sheet are right, so a classifier learns from them what road looks like here,
whatever they say of one place: each part of the sheet is judged by what the other parts
taught (cross-fitting). Where it contradicts a label over a whole stretch, one of both is
wrong ("confident learning": Northcutt et al. 2021).
"""

from __future__ import annotations

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
# Parts of the sheet, and the edge of the squares they are made of, in cells.
FOLDS = 4
FOLD_CELLS = 72
# Half of the other ground that is learned from lies so near to road: pavements and verges, in
# which labels that are off get lost.
NEAR_ROAD_CELLS = 13
# Cells of each kind that a part learns from, and below which it learns nothing.
MOST_EXAMPLES, LEAST_EXAMPLES = 3000, 200
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
    rows, columns = np.indices(label.shape) // FOLD_CELLS
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
