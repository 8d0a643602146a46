"""Other ground that looks like road: where roads go on, beside them, in streets none leads to.

Two faults leave no wide patch that goes on from a labelled road. Outlines drawn too far inside
leave a strip of road along them, narrower than a lane, which shows only where its looks are
averaged along the outline, over ground equally far from it (as snakes do that fit an outline to
regions: Chan & Vese 2001). And a street left out whole touches no road of the label: what tells
it from a lot or a roof is that it is long for its width.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from roadmask.style import UNKNOWN

Odds = NDArray[np.float32]
Label = NDArray[np.uint8]
Ground = NDArray[np.bool_]

# Logarithms of odds: other ground that looks surely like road begins a street, and goes on as
# far as more speaks for road than against.
SURELY_ROAD, MAYBE_ROAD = 1.0, 0.0
# Metres: the narrowest lane, and parts of it that trees and shade keep apart.
LANE, APART = 3.6, 3.6
# Metres beside road in which a street must begin, and the square metres that it must have
# there: more than a driveway.
MOUTH_METRES, MOUTH_AREA = 2.4, 10.0
# Metres from an outline within which it may have to be moved, and along it over which the looks
# of the ground are averaged.
REACH, ALONG = 6.0, 5.0
# Mean logarithm of odds from which a strip along an outline counts as road.
LEAST_ODDS = 0.5
# Directions that an outline may face; the two sides of a street are told apart.
FACINGS = 4
# A street that touches no other road: its length in widths, and its width in metres, at least.
LONG, LEAST_WIDTH = 4.0, 4.5
# Wider than the sheet's widest streets by this factor, road is no street.
THICK = 1.3


def continued(odds: Odds, label: Label, metres: float) -> Ground:
    """Find other ground that looks like road and touches road over more than a driveway.

    Lots look like road as well, but a kerb and a pavement part them from it.

    Parameters
    ----------
    odds
        ``(rows, columns)``, how much like road the cells look, as logarithms of odds.
    label
        Their label, 255 where it is not known.
    metres
        Edge of a cell.

    Returns
    -------
    numpy.ndarray
        ``(rows, columns)`` bool.
    """
    lane = disc(LANE / 2, metres)
    surely, maybe = (
        cv2.morphologyEx(((odds > least) & (label == 0)).astype(np.uint8), cv2.MORPH_OPEN, lane)
        for least in (SURELY_ROAD, MAYBE_ROAD)
    )
    grown = maybe & cv2.dilate(surely, disc(LANE, metres))
    linked = cv2.dilate(grown, disc(APART / 2, metres))
    _, pieces = cv2.connectedComponents(linked, connectivity=4, ltype=cv2.CV_32S)
    road = ((label > 0) & (label != UNKNOWN)).astype(np.uint8)
    beside = (cv2.dilate(road, disc(MOUTH_METRES, metres)) > 0) & (surely > 0)
    touched = np.bincount(pieces[beside], minlength=int(pieces.max()) + 1) * metres**2
    joined = touched >= MOUTH_AREA
    return np.asarray(joined[pieces] & (grown > 0))


def along_outlines(odds: Odds, label: Label, metres: float) -> Ground:
    """Find other ground that goes on from road, looks like it, and follows its outline.

    Parameters
    ----------
    odds, label, metres
        As in `continued`.

    Returns
    -------
    numpy.ndarray
        ``(rows, columns)`` bool.
    """
    road, other = (label > 0) & (label != UNKNOWN), label == 0
    if not (road.any() and other.any()):
        return np.zeros(label.shape, bool)
    away = cv2.distanceTransform((~road).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
    facing = _facing(away, road)
    means = np.zeros_like(odds)
    for band in range(math.ceil(REACH / metres)):
        ring = other & (np.ceil(away) == band + 1)
        for side in range(FACINGS):
            _average(odds, ring & (facing == side), ALONG / metres, means)
    strip = (means > LEAST_ODDS) & other & (away * metres <= REACH)
    _, pieces = cv2.connectedComponents(strip.astype(np.uint8), connectivity=4, ltype=cv2.CV_32S)
    joined = np.zeros(int(pieces.max()) + 1, bool)
    joined[pieces[strip & (cv2.dilate(road.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0)]] = (
        True
    )
    return np.asarray(joined[pieces] & strip)


def _facing(away: Odds, road: Ground) -> NDArray[np.int64]:
    """Return in which of some directions the nearest outline faces."""
    inside = cv2.distanceTransform(road.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
    smooth = cv2.GaussianBlur(away - inside, (0, 0), 2)
    right, down = (cv2.Sobel(smooth, cv2.CV_32F, x, 1 - x) for x in (1, 0))
    turn = (np.arctan2(down, right) + math.pi) / (2 * math.pi)
    return np.asarray(np.floor(FACINGS * turn).astype(np.int64) % FACINGS)


def _average(odds: Odds, places: Ground, reach: float, means: Odds) -> None:
    """Write at places the mean over those of them that lie near."""
    if not places.any():
        return
    weight = places.astype(np.float32)
    total = cv2.GaussianBlur(odds * weight, (0, 0), reach)[places]
    means[places] = total / np.maximum(cv2.GaussianBlur(weight, (0, 0), reach)[places], 1e-6)


def lone_streets(odds: Odds, label: Label, metres: float, widest: float) -> Ground:
    """Find other ground that looks surely like road and has the shape of a street.

    Parameters
    ----------
    odds, label, metres
        As in `continued`.
    widest
        Metres: the width of the sheet's widest streets; 0 where it has none.

    Returns
    -------
    numpy.ndarray
        ``(rows, columns)`` bool.
    """
    surely = ((odds > SURELY_ROAD) & (label == 0)).astype(np.uint8)
    surely = np.asarray(
        cv2.morphologyEx(surely, cv2.MORPH_OPEN, disc(LEAST_WIDTH / 2.5, metres)), np.uint8
    )
    count, pieces, sums, _ = cv2.connectedComponentsWithStats(surely, connectivity=4)
    # Past the sheet's edge a street goes on.
    padded = np.pad(surely, 1, mode="edge")
    depth = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_5)[1:-1, 1:-1]
    deepest = np.zeros(count)
    np.maximum.at(deepest, pieces.ravel(), depth.ravel())
    width, area = 2 * deepest * metres, sums[:, cv2.CC_STAT_AREA] * metres**2
    street = (area > LONG * width**2) & (width > LEAST_WIDTH) & (width < THICK * widest)
    street[0] = False
    return np.asarray(street[pieces])


def disc(radius: float, metres: float) -> Label:
    """Return a disc of cells."""
    reach = max(1, round(radius / metres))
    size = (2 * reach + 1, 2 * reach + 1)
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, size), np.uint8)
