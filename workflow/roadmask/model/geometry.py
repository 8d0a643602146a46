"""Changes of place: the same for a picture and its label.

All that is not a whole number of pixels goes into one map from the sample to its tile, so
that a picture is interpolated once, and a sample that is turned shows more of the tile rather
than empty corners.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from roadmask.style import UNKNOWN

if TYPE_CHECKING:
    from roadmask.model.augmentation import Draws

Array = NDArray[np.uint8]

# OpenCV's borders have four values, so it is given no more bands at a time.
BANDS_AT_ONCE = 4
GRID_CELLS = 5
# Between two nodes of the random field of the elastic distortion.
ELASTIC_NODE_PIXELS = 24
# Pixels of a tile to one of the sample, from which on the tile is smoothed first.
SMOOTHED_FROM = 1.25


def cut(picture: Array, label: Array, crop: int, draws: Draws) -> tuple[Array, Array]:
    """Cut a square out of a tile, turned, scaled and bent as drawn.

    Parameters
    ----------
    picture, label
        uint8 ``(rows, columns, bands)`` and ``(rows, columns)``, both square.
    crop
        Edge of the square.
    draws
        The sample's random numbers.
    """
    free = label.shape[0] - crop
    corner = np.array([free // 2, free // 2])
    if free and draws.happens("crop"):
        share = np.array([draws.share("crop", 0), draws.share("crop", 1)])
        corner = (share * (free + 1)).astype(np.int64)
    bent = [name for name in ("grid_distortion", "elastic") if draws.happens(name)]
    if not bent and not draws.happens("rotation") and not draws.happens("scale"):
        row, column = corner
        window = np.s_[row : row + crop, column : column + crop]
        return picture[window], label[window]
    matrix = affine(crop, corner, draws)
    size = (crop, crop)
    if not bent:
        flags = cv2.WARP_INVERSE_MAP

        def sample(image: Array, interpolation: int, border: int) -> Array:
            warped: Array = cv2.warpAffine(
                image, matrix, size, None, interpolation | flags, border, (UNKNOWN,) * 4
            )
            return warped
    else:
        x, y = bent_map(matrix, crop, bent, draws)

        def sample(image: Array, interpolation: int, border: int) -> Array:
            bent_image: Array = cv2.remap(image, x, y, interpolation, None, border, (UNKNOWN,) * 4)
            return bent_image

    shrunk = np.hypot(*matrix[:, 0])
    if shrunk > SMOOTHED_FROM:
        # Else pixels between those that are looked at would vanish.
        deviation = shrunk / 2
        picture = by_bands(lambda part: cv2.GaussianBlur(part, (0, 0), deviation), picture)
    # Mirrored beyond the tile: black there would be an edge that no picture has.
    return (
        by_bands(lambda part: sample(part, cv2.INTER_LINEAR, cv2.BORDER_REFLECT_101), picture),
        sample(label, cv2.INTER_NEAREST, cv2.BORDER_CONSTANT),
    )


def affine(crop: int, corner: NDArray[np.int64], draws: Draws) -> NDArray[np.float64]:
    """Return the map from a sample's columns and rows to its tile's, float64 ``(2, 3)``.

    Parameters
    ----------
    crop
        Edge of the sample; its middle stays where it is.
    corner
        Row and column of the tile where the sample begins, were it not turned.
    draws
        The sample's random numbers.
    """
    angle, factor = 0.0, 1.0
    if draws.happens("rotation"):
        angle = np.deg2rad(draws.either_way("rotation"))
    if draws.happens("scale"):
        factor = draws.limit("scale") ** (2 * draws.share("scale") - 1)
    cosine, sine = np.cos(angle) / factor, np.sin(angle) / factor
    middle = (crop - 1) / 2
    turn = np.array([[cosine, -sine], [sine, cosine]])
    shift = corner[::-1] + middle - turn @ np.array([middle, middle])
    return np.hstack([turn, shift[:, None]])


def bent_map(
    matrix: NDArray[np.float64], crop: int, bent: list[str], draws: Draws
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return, for each pixel of a sample, the column and row of the tile it shows."""
    pixels = np.arange(crop, dtype=np.float64)
    x, y = np.broadcast_to(pixels, (crop, crop)), np.broadcast_to(pixels[:, None], (crop, crop))
    if "grid_distortion" in bent:
        rng = draws.generator("grid_distortion")
        nodes = np.linspace(0, crop - 1, GRID_CELLS + 1)
        reach = draws.limit("grid_distortion") * (nodes[1] - nodes[0])
        # The outermost lines stay; the lines between never pass one another.
        moves = np.zeros((2, GRID_CELLS + 1))
        moves[:, 1:-1] = rng.uniform(-reach, reach, (2, GRID_CELLS - 1))
        x = np.broadcast_to(np.interp(pixels, nodes, nodes + moves[0]), (crop, crop))
        y = np.broadcast_to(np.interp(pixels, nodes, nodes + moves[1])[:, None], (crop, crop))
    if "elastic" in bent:
        rng = draws.generator("elastic")
        count = max(3, crop // ELASTIC_NODE_PIXELS + 2)
        reach = draws.limit("elastic")
        coarse = rng.uniform(-reach, reach, (count, count, 2)).astype(np.float32)
        field = cv2.resize(coarse, (crop, crop), interpolation=cv2.INTER_LINEAR)
        x, y = x + field[..., 0], y + field[..., 1]
    (a, b, c), (d, e, f) = matrix
    return (a * x + b * y + c).astype(np.float32), (d * x + e * y + f).astype(np.float32)


def turned(picture: Array, label: Array, draws: Draws) -> tuple[Array, Array]:
    """Mirror a square and turn it by quarter turns, as drawn."""
    turns = 0
    if draws.happens("quarter_turns"):
        turns = 1 + int(draws.share("quarter_turns") * 3)
    mirrored, upside_down = draws.happens("flip_horizontal"), draws.happens("flip_vertical")

    def turn(image: Array) -> Array:
        if mirrored:
            image = image[:, ::-1]
        if upside_down:
            image = image[::-1]
        return np.ascontiguousarray(np.rot90(image, turns))

    return turn(picture), turn(label)


def by_bands(function: Callable[[Array], Array], picture: Array) -> Array:
    """Apply one of OpenCV's functions to a picture of any number of bands."""
    bands = picture.shape[2]
    parts = [
        function(np.ascontiguousarray(picture[..., first : first + BANDS_AT_ONCE]))
        for first in range(0, bands, BANDS_AT_ONCE)
    ]
    # OpenCV drops the last axis of a single band.
    whole = [part if part.ndim == 3 else part[..., None] for part in parts]
    return whole[0] if len(whole) == 1 else np.concatenate(whole, axis=2)
