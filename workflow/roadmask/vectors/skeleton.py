"""Middle lines of the road as pixels, block by block.

The class raster is brought to pixels of about half a metre, which is fine enough for an axis,
cleaned of specks and of holes that are no islands, and thinned (Zhang and Suen 1984, *A fast
parallel algorithm for thinning digital patterns*). What a pixel becomes is decided by what
lies around it, so with a halo wider than the widest road the blocks agree at their borders.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy import ndimage
from skimage.morphology import remove_small_holes, remove_small_objects, skeletonize

from roadmask.style import UNKNOWN
from roadmask.vectors.outlines import grow

# Metres: the pixels on which axes are looked for, where the pictures' are smaller.
WORK_PIXEL = 0.5
# Metres around a block in which the thinning of its pixels is decided.
HALO = 80.0
# Metres by which roads are thought to go on beyond the pictures, so that they reach the edge.
BEYOND = 8.0
# Metres: what is narrower between two pieces of road (a barrier, a line of cars) parts no lanes.
# Left to chance, such a slit would break up, and the lanes on either side be tied like a ladder.
SLIT = 2.0
# Work pixels from what is not known within which that is told.
BEYOND_REACH = 100
# Work pixels: standard deviation of the blur that takes teeth off the road's edges.
BLUR = 1.5


@dataclass(frozen=True)
class Skeleton:
    """Pixels of middle lines.

    Attributes
    ----------
    x, y
        ``(n,)`` int64 columns and rows of the lattice of work pixels.
    half_width
        ``(n,)`` float32 metres from the middle to the road's edge.
    probability
        ``(n,)`` uint8 0 to 254; 255 where there is none.
    inside
        ``(n,)`` float32 metres to where nothing is known any more; infinite in mid-picture.
    """

    x: np.ndarray
    y: np.ndarray
    half_width: np.ndarray
    probability: np.ndarray
    inside: np.ndarray

    def __len__(self) -> int:
        return len(self.x)

    @staticmethod
    def joined(parts: list[Skeleton]) -> Skeleton:
        """Put blocks together, sorted by row and column."""
        columns = [
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("x", "y", "half_width", "probability", "inside")
        ]
        order = np.lexsort((columns[0], columns[1]))
        return Skeleton(*(column[order] for column in columns))


def work_factor(pixel: float) -> int:
    """Return how many pixels of `pixel` metres make the edge of a work pixel."""
    return max(1, round(WORK_PIXEL / pixel))


def thin_block(
    classes: np.ndarray,
    probability: np.ndarray | None,
    factor: int,
    halo: int,
    origin: tuple[int, int],
    pixel_metres: tuple[float, float],
    least: float,
    island: float,
) -> Skeleton:
    """Find the middle lines in a block.

    Parameters
    ----------
    classes
        ``(h, w)`` uint8 block with its halo; edges are multiples of `factor`.
    probability
        ``(h, w)`` uint8 of 0 to 254, or None.
    factor
        Pixels to the edge of a work pixel.
    halo
        Work pixels around the block.
    origin
        Column and row, in work pixels, of the block's upper left one.
    pixel_metres
        Ground size of a work pixel along columns and rows.
    least, island
        Square metres: road less than this is none, and a hole less than this is no island.
    """
    known = _cells(classes != UNKNOWN, factor)
    road = _cells((classes != UNKNOWN) & (classes > 0), factor)
    is_road, unknown = 2 * road >= np.maximum(known, 1), known == 0
    area = pixel_metres[0] * pixel_metres[1]
    to_unknown = np.full(unknown.shape, np.inf, np.float32)
    if unknown.any():
        to_unknown = cv2.distanceTransform((~unknown).view(np.uint8), cv2.DIST_L2, 5)
        to_unknown[to_unknown > BEYOND_REACH] = np.inf
        is_road = grow(is_road & ~unknown, unknown, round(BEYOND / np.sqrt(area)))
    slit = round(SLIT / np.sqrt(area) / 2)
    is_road = _cleaned(is_road, int(least / area), int(island / area), slit)
    distances = ndimage.distance_transform_edt(is_road, sampling=pixel_metres[::-1])
    middle = skeletonize(is_road) & ~unknown
    is_own = np.zeros_like(middle)
    is_own[halo:-halo, halo:-halo] = True
    rows, columns = np.nonzero(middle & is_own)
    chance = np.full(len(rows), UNKNOWN, np.uint8)
    if probability is not None:
        chance = probability[rows * factor + factor // 2, columns * factor + factor // 2]
    return Skeleton(
        x=columns + (origin[0] - halo),
        y=rows + (origin[1] - halo),
        # The edge runs half a pixel before the first centre outside.
        half_width=(distances[rows, columns] - np.sqrt(area) / 2).astype(np.float32),
        probability=chance,
        inside=(to_unknown[rows, columns] - 0.5) * np.float32(np.sqrt(area)),
    )


def _cells(mask: np.ndarray, factor: int) -> np.ndarray:
    """Count the pixels of a mask in each work pixel."""
    height, width = mask.shape
    cells = mask.reshape(height // factor, factor, width // factor, factor)
    counts: np.ndarray = cells.sum(axis=(1, 3), dtype=np.int32)
    return counts


def _cleaned(mask: np.ndarray, least: int, island: int, slit: int) -> np.ndarray:
    """Take specks, slits and small holes out of a mask, and the teeth off its edges."""
    mask = remove_small_objects(mask, max_size=least)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * slit + 1, 2 * slit + 1))
    mask = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_CLOSE, disc) > 0
    mask = remove_small_holes(mask, max_size=island)
    blurred = cv2.GaussianBlur(
        mask.astype(np.uint8) * 255, (0, 0), BLUR, borderType=cv2.BORDER_REPLICATE
    )
    smooth: np.ndarray = blurred > 127
    return smooth
