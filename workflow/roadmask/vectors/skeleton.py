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
# Metres of a middle line beyond the pictures from which it is a street's that runs along their
# border: one that leaves them comes to its end there after `BEYOND`, in two forks perhaps.
LENGTHWAYS = 20.0
# Pixels, itself among them, around one in the middle of a line.
STRAND = 3
# Metres from what is not known within which that is told.
BEYOND_REACH = 50.0
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
    # The middle of a pixel that is known by half is no farther out than the last known one.
    is_road, unknown = 2 * road >= np.maximum(known, 1), 2 * known < factor**2
    area = pixel_metres[0] * pixel_metres[1]
    side = float(np.sqrt(area))
    slit = round(SLIT / side / 2)

    def clean(mask: np.ndarray) -> np.ndarray:
        return _cleaned(mask, int(least / area), int(island / area), slit)

    if unknown.any():
        is_road &= ~unknown
        beyond = grow(is_road, unknown, round(BEYOND / side))
        is_road = clean(beyond)
        middle = skeletonize(is_road)
        along = _nearest_to_strands(middle & unknown, beyond & unknown, LENGTHWAYS / side)
        if along.any():
            is_road = clean(beyond & ~along)
            middle = skeletonize(is_road)
        middle &= ~unknown
    else:
        is_road = clean(is_road)
        middle = skeletonize(is_road)
    distances = ndimage.distance_transform_edt(is_road, sampling=pixel_metres[::-1])
    is_own = np.zeros_like(middle)
    is_own[halo:-halo, halo:-halo] = True
    rows, columns = np.nonzero(middle & is_own)
    centres = rows * factor + factor // 2, columns * factor + factor // 2
    chance = np.full(len(rows), UNKNOWN, np.uint8)
    if probability is not None:
        chance = probability[centres]
    return Skeleton(
        x=columns + (origin[0] - halo),
        y=rows + (origin[1] - halo),
        # The edge runs half a pixel before the first centre outside.
        half_width=(distances[rows, columns] - side / 2).astype(np.float32),
        probability=chance,
        inside=_to_border(classes, factor, side, rows, columns),
    )


def _nearest_to_strands(middle: np.ndarray, ground: np.ndarray, least: float) -> np.ndarray:
    """Return the pixels that are nearest to long parts of middle lines.

    Parameters
    ----------
    middle
        ``(h, w)`` bool: middle lines, which end where they meet.
    ground
        ``(h, w)`` bool: which pixels are asked for.
    least
        Pixels from which a line is long.
    """
    if not middle.any():
        return np.zeros_like(ground)
    around = ndimage.convolve(middle.astype(np.uint8), np.ones((3, 3), np.uint8), mode="constant")
    strands, count = ndimage.label(middle & (around <= STRAND), np.ones((3, 3)))
    is_long = np.bincount(strands.ravel(), minlength=count + 1) >= least
    is_long[0] = False
    if not is_long.any():
        return np.zeros_like(ground)
    nearest = ndimage.distance_transform_edt(
        strands == 0, return_distances=False, return_indices=True
    )
    chosen: np.ndarray = is_long[strands[tuple(nearest)]] & ground
    return chosen


def _to_border(
    classes: np.ndarray, factor: int, side: float, rows: np.ndarray, columns: np.ndarray
) -> np.ndarray:
    """Return how many metres the middles of work pixels are from what is not known."""
    is_known = classes != UNKNOWN
    if is_known.all():
        return np.full(len(rows), np.inf, np.float32)
    gaps = cv2.distanceTransform(is_known.view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    low, high = (factor - 1) // 2, factor // 2
    pixels = (
        gaps[rows * factor + low, columns * factor + low]
        + gaps[rows * factor + high, columns * factor + high]
    ) / 2
    metres: np.ndarray = (np.maximum(pixels - 0.5, 0) * (side / factor)).astype(np.float32)
    metres[metres > BEYOND_REACH] = np.inf
    return metres


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
