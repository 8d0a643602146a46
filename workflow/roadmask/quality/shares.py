"""How much of a tile is road, nodata, not known, saturated or blank."""

from __future__ import annotations

import math

import cv2
import numpy as np

from roadmask.quality.columns import Shares
from roadmask.style import UNKNOWN

BRIGHTEST = 255
CELL = 16
DECIMALS = 6
# Pixels beside nodata that tell nothing of a picture's sharpness, and the least that do.
LAPLACIAN_REACH = 5
LEAST_SHARP = 400
# Pixels: the grain that any picture has, and the details that a sharp one has besides.
FINEST, FINE, COARSE = 0.7, 1.5, 5.0


# What stands for a tile that was never cut, as it lies outside `area`.
NOTHING = Shares(0.0, 1.0, 0.0, 0.0, 0.0)


def measure(image: np.ndarray, valid: np.ndarray, label: np.ndarray) -> Shares:
    """Count what a tile holds.

    Parameters
    ----------
    image
        uint8 ``(bands, height, width)``.
    valid
        bool ``(height, width)``: where there is a picture.
    label
        uint8 ``(height, width)``: index of the class, 255 not known.
    """
    pictured = int(np.count_nonzero(valid))
    known = valid & (label != UNKNOWN)
    saturated = ((image == 0) | (image == BRIGHTEST)).any(axis=0)
    return Shares(
        road_share=_share(known & (label > 0), int(np.count_nonzero(known))),
        nodata_share=_share(~valid, valid.size),
        unknown_share=_share(valid & ~known, pictured),
        saturated_share=_share(saturated & valid, pictured),
        blank_share=_share(_blank(image, valid), pictured),
    )


def _share(pixels: np.ndarray, whole: int) -> float:
    return round(int(np.count_nonzero(pixels)) / whole, DECIMALS) if whole else 0.0


def _blank(image: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Return the pixels with a picture in cells where that is one flat colour."""
    height, width = valid.shape
    rows, columns = np.arange(0, height, CELL), np.arange(0, width, CELL)

    def per_cell(function: np.ufunc, values: np.ndarray) -> np.ndarray:
        down = function.reduceat(values, rows, axis=1)
        return np.asarray(function.reduceat(down, columns, axis=2))

    low = per_cell(np.minimum, np.where(valid, image, BRIGHTEST))
    high = per_cell(np.maximum, np.where(valid, image, 0))
    flat = (high <= low).all(axis=0)
    return np.asarray(np.repeat(np.repeat(flat, CELL, 0), CELL, 1)[:height, :width] & valid)


def sharpness(image: np.ndarray, valid: np.ndarray) -> float:
    """Tell how sharp a tile's picture is, whatever its light.

    The variance of the Laplacian (Pech-Pacheco et al. 2000) beside the picture's own
    variance at the scale of a few pixels, in powers of ten: a change of brightness or
    contrast leaves it as it is, blurring lowers it.

    Parameters
    ----------
    image
        uint8 ``(bands, height, width)``.
    valid
        bool ``(height, width)``: where there is a picture.

    Returns
    -------
    float
        NaN where the picture is flat or there is too little of it.
    """
    bright = np.where(valid, image.mean(axis=0, dtype=np.float32), 0).astype(np.float32)
    around = np.ones((2 * LAPLACIAN_REACH + 1,) * 2, np.uint8)
    inside = cv2.erode(valid.astype(np.uint8), around, borderValue=0) > 0
    if np.count_nonzero(inside) < LEAST_SHARP:
        return math.nan
    fine = cv2.Laplacian(_smooth(bright, valid, FINEST), cv2.CV_32F)[inside]
    coarse = (_smooth(bright, valid, FINE) - _smooth(bright, valid, COARSE))[inside]
    detail, contrast = float(fine.var()), float(coarse.var())
    if detail <= 0 or contrast <= 0:
        return math.nan
    return round(math.log10(detail / contrast), DECIMALS)


def _smooth(values: np.ndarray, valid: np.ndarray, sigma: float) -> np.ndarray:
    """Blur a picture as if there were no ground without one."""
    weight = cv2.GaussianBlur(valid.astype(np.float32), (0, 0), sigma)
    return np.asarray(cv2.GaussianBlur(values, (0, 0), sigma) / np.maximum(weight, 1e-6))
