"""How much wider or narrower than its label a tile's road is to be expected.

Some faults move the outlines of a road on both sides at once: maps drawn to the back of the
walk, polygons inside the gutters, masks grown by a filter. Every distance by which all
outlines may lie farther out or in is an explanation of what is seen; how likely each is tell
the looks of the ground between, after Bayes' rule, as `roadmask.quality.misplaced` does it for
offsets.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from roadmask.quality.columns import LEAST_ROAD
from roadmask.quality.sheet import Label
from roadmask.style import UNKNOWN

# Metres from an outline within which it may belong, and from one place looked at to the next.
REACH, STEP = 7.2, 0.6
# What a square metre of ground that looks like its label weighs as logarithm of a likelihood.
LOOKS_WEIGHT = 0.06
# Logarithm of odds beyond which looks are not believed, so that no roof outweighs a street.
MOST_ODDS = 2.0
# Metres: the mean distance of outlines as they are.
USUAL = 0.6


def swollen(label: Label, like: NDArray[np.float32], margin: int, metres: float) -> float:
    """Return what a tile's road must be expected to gain and lose where all outlines move.

    Parameters
    ----------
    label
        ``(size + 2 * margin, size + 2 * margin)`` uint8: the tile and what surrounds it.
    like
        The same shape, how much like road the ground looks, 0 to 1; NaN where that is not
        known.
    margin
        Pixels around the tile.
    metres
        Ground size of a pixel.

    Returns
    -------
    float
        Share of the road and of what it would gain, 0 to 1.
    """
    road, other = (label > 0) & (label != UNKNOWN), label == 0
    if not (road.any() and other.any()):
        return 0.0
    steps = round(REACH / STEP)
    rings = _rings(road, other, metres)
    sure = 1 / (1 + np.exp(-MOST_ODDS))
    bounded = np.clip(np.nan_to_num(like, nan=0.5), 1 - sure, sure)
    # From the farthest ring inside to the farthest outside; what lies in none comes last.
    near = (np.abs(rings) <= steps) & (road | other)
    number = np.where(near, rings + steps, 2 * steps + 1).astype(np.int64)
    odds = np.log(bounded / (1 - bounded))
    seen = np.bincount(number.ravel(), odds.ravel(), 2 * steps + 2)[:-1]
    inner = np.s_[margin : len(label) - margin, margin : len(label) - margin]
    area = np.bincount(number[inner].ravel(), minlength=2 * steps + 2)[:-1].astype(np.float64)
    distances = np.arange(-steps, steps + 1) * STEP
    # Up to a constant: what the looks say of road that ends with each ring.
    says = 2 * LOOKS_WEIGHT * metres**2 * np.cumsum(seen) - np.abs(distances) / USUAL
    chances = np.exp(says - says.max())
    chances /= chances.sum()
    mine = max(float(np.count_nonzero(road[inner])), LEAST_ROAD * road[inner].size)
    reached = np.cumsum(area)
    changed = np.abs(reached - reached[steps])
    return float((chances * changed / (mine + np.maximum(reached - reached[steps], 0))).sum())


def _rings(road: NDArray[np.bool_], other: NDArray[np.bool_], metres: float) -> NDArray[np.float32]:
    """Return the numbers of rings along outlines: 0 and less in road, 1 and more beyond it."""
    within, beyond = (
        cv2.distanceTransform((~ground).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
        for ground in (other, road)
    )
    # Half a pixel lies between an outline and the middles of the pixels along it.
    away = np.where(road, 0.5 - within, beyond - 0.5) * metres
    return np.asarray(np.ceil(away / STEP))
