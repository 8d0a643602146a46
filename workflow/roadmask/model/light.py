"""Changes of light, colour and sharpness: of a picture alone.

What stands between a network and the pictures of another year or another camera is mostly
this: another exposure, tone curve and white balance, haze, another sharpness, another sensor's
noise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from roadmask.model.geometry import by_bands
from roadmask.style import UNKNOWN

if TYPE_CHECKING:
    from roadmask.model.augmentation import Draws

Array = NDArray[np.uint8]
Floats = NDArray[np.float64]

RGB = 3
# Share of red, green and blue in brightness, after Rec. 601.
LUMA = np.array([0.299, 0.587, 0.114])
# What haze hides things behind, in levels of each band.
VEIL = (200.0, 255.0)
CLAHE_CELLS = (4, 4)
SHARPENED_PIXELS = 1.5
# Of the field of uneven light, along each side.
MOST_NODES = 5
# How often noise has no colour.
GREY_NOISE = 0.5
LEVELS = np.arange(256.0)
OF_VALUES = (
    "gamma",
    "exposure",
    "white_balance",
    "contrast",
    "brightness",
    "band_shift",
    "haze",
)


def relit(picture: Array, label: Array, draws: Draws) -> Array:
    """Change a picture as drawn.

    Parameters
    ----------
    picture
        uint8 ``(rows, columns, bands)``.
    label
        uint8 ``(rows, columns)``. Pixels that are 0 in all bands and whose label is not known
        stay so: they are where there is no picture. Those with a label are a deep shadow.
    draws
        The sample's random numbers.
    """
    before = picture
    picture = with_values(picture, draws)
    picture = with_colour(picture, draws)
    picture = with_detail(picture, draws)
    if draws.happens("band_dropout") and picture.shape[2] > 1:
        picture = picture.copy()
        picture[..., int(draws.share("band_dropout") * picture.shape[2])] = 0
    if draws.happens("cut_out"):
        picture = with_hole(picture, draws)
    unknown = label == UNKNOWN
    if picture is not before and unknown.any():
        picture[unknown & ~before.any(axis=2)] = 0
    return picture


def with_values(picture: Array, draws: Draws) -> Array:
    """Apply all changes that map each value of a band to another, as one table."""
    if not any(draws.happens(name) for name in OF_VALUES):
        return picture
    bands = range(picture.shape[2])
    table = np.repeat(LEVELS[:, None], len(bands), axis=1)
    if draws.happens("gamma"):
        table = 255 * (table / 255) ** np.exp(draws.either_way("gamma"))
    if draws.happens("exposure"):
        table *= np.exp(draws.either_way("exposure"))
    if draws.happens("white_balance"):
        table *= np.exp([draws.either_way("white_balance", band) for band in bands])
    if draws.happens("contrast"):
        mean = np.mean([value_mean(picture, table, band) for band in bands])
        table = mean + (table - mean) * np.exp(draws.either_way("contrast"))
    if draws.happens("brightness"):
        table += 255 * draws.either_way("brightness")
    if draws.happens("band_shift"):
        table += [255 * draws.either_way("band_shift", band) for band in bands]
    if draws.happens("haze"):
        low, high = VEIL
        veil = low + (high - low) * np.array([draws.share("haze", 1 + band) for band in bands])
        share = draws.strength("haze")
        table = table * (1 - share) + veil * share
    return looked_up(picture, to_bytes(table))


def value_mean(picture: Array, table: Floats, band: int) -> float:
    """Return the mean of a band once its values are looked up."""
    counts = np.bincount(picture[..., band].ravel(), minlength=256)
    return float(counts @ table[:, band] / counts.sum())


def looked_up(picture: Array, table: Array) -> Array:
    """Replace each value by what the table, uint8 ``(256, bands)``, has for its band."""
    found: Array = cv2.LUT(picture, table[None]).reshape(picture.shape)
    return found


def to_bytes(values: Floats | NDArray[np.float32]) -> Array:
    """Round to whole levels and clip them."""
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def with_colour(picture: Array, draws: Draws) -> Array:
    """Turn hues, change saturation, or take all colour away."""
    if picture.shape[2] == RGB:
        matrix = np.eye(RGB)
        if draws.happens("hue"):
            matrix = hue_matrix(np.deg2rad(draws.either_way("hue"))) @ matrix
        if draws.happens("saturation"):
            grey = np.tile(LUMA, (RGB, 1))
            factor = np.exp(draws.either_way("saturation"))
            matrix = (grey + factor * (np.eye(RGB) - grey)) @ matrix
        if draws.happens("hue") or draws.happens("saturation"):
            picture = cv2.transform(picture, matrix)
    if draws.happens("greyscale") and picture.shape[2] > 1:
        grey = to_bytes(picture.mean(axis=2, keepdims=True, dtype=np.float32))
        picture = np.repeat(grey, picture.shape[2], axis=2)
    if draws.happens("band_permutation"):
        order = draws.generator("band_permutation").permutation(picture.shape[2])
        picture = np.ascontiguousarray(picture[..., order])
    if draws.happens("illumination"):
        picture = unevenly_lit(picture, draws)
    return picture


def unevenly_lit(picture: Array, draws: Draws) -> Array:
    """Multiply a picture by a smooth random field about 1."""
    rng = draws.generator("illumination")
    nodes = int(rng.integers(2, MOST_NODES + 1))
    coarse = np.clip(rng.standard_normal((nodes, nodes), np.float32), -2, 2)
    size = (picture.shape[1], picture.shape[0])
    field = cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC)
    gain = np.maximum(1 + np.float32(draws.strength("illumination")) * field, 0)
    return to_bytes(picture * gain[..., None])


def hue_matrix(angle: float) -> Floats:
    """Return the rotation of colours about the grey axis (Haeberli, Matrix Operations, 1993)."""
    axis = 1 / np.sqrt(3)
    across = np.array([[0, -axis, axis], [axis, 0, -axis], [-axis, axis, 0]])
    along = np.full((RGB, RGB), axis**2)
    turn: Floats = (
        np.cos(angle) * np.eye(RGB) + np.sin(angle) * across + (1 - np.cos(angle)) * along
    )
    return turn


def with_detail(picture: Array, draws: Draws) -> Array:
    """Equalize locally, coarsen, blur, sharpen, add noise and compress."""
    if draws.happens("clahe"):
        picture = equalized(picture, 1 + draws.share("clahe") * (draws.limit("clahe") - 1))
    if draws.happens("resolution"):
        factor = 1 + draws.share("resolution") * (draws.limit("resolution") - 1)
        picture = coarsened(picture, factor)
    if draws.happens("blur") and draws.strength("blur") > 0:
        deviation = draws.strength("blur")
        picture = by_bands(lambda part: cv2.GaussianBlur(part, (0, 0), deviation), picture)
    if draws.happens("sharpness"):
        amount = draws.strength("sharpness")

        def sharpened(part: Array) -> Array:
            blurred = cv2.GaussianBlur(part, (0, 0), SHARPENED_PIXELS)
            result: Array = cv2.addWeighted(part, 1 + amount, blurred, -amount, 0)
            return result

        picture = by_bands(sharpened, picture)
    if draws.happens("noise"):
        is_grey = draws.share("noise", 1) < GREY_NOISE
        shape = (*picture.shape[:2], 1) if is_grey else picture.shape
        grain = draws.generator("noise").standard_normal(shape, np.float32)
        grain *= draws.strength("noise")
        picture = to_bytes(picture + grain)
    if draws.happens("compression"):
        picture = compressed(picture, 100 - round(draws.strength("compression")))
    return picture


def compressed(picture: Array, quality: int) -> Array:
    """Write a picture as JPEG and read it again: three bands as colours, others one by one."""

    def again(part: Array) -> Array:
        _, content = cv2.imencode(".jpg", part, [cv2.IMWRITE_JPEG_QUALITY, quality])
        return np.asarray(cv2.imdecode(content, cv2.IMREAD_UNCHANGED), np.uint8)

    if picture.shape[2] == RGB:
        # OpenCV takes the bands for blue, green, red, which weigh otherwise.
        return np.ascontiguousarray(again(picture[..., ::-1])[..., ::-1])
    bands = [np.ascontiguousarray(picture[..., band]) for band in range(picture.shape[2])]
    return np.stack([again(band) for band in bands], axis=2)


def equalized(picture: Array, clip: float) -> Array:
    """Equalize locally (Zuiderveld, Graphics Gems IV, 1994): brightness, or each band."""
    clahe = cv2.createCLAHE(clip, CLAHE_CELLS)
    if picture.shape[2] == RGB:
        lab = cv2.cvtColor(picture, cv2.COLOR_RGB2LAB)
        lab[..., 0] = clahe.apply(np.ascontiguousarray(lab[..., 0]))
        coloured: Array = cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)
        return coloured
    bands = [np.ascontiguousarray(picture[..., band]) for band in range(picture.shape[2])]
    return np.stack([clahe.apply(band) for band in bands], axis=2)


def coarsened(picture: Array, factor: float) -> Array:
    """Show a picture as pixels larger by a factor would, on its own pixels."""
    rows, columns = picture.shape[:2]
    small = (max(1, round(columns / factor)), max(1, round(rows / factor)))

    def resized(part: Array) -> Array:
        seen = cv2.resize(part, small, interpolation=cv2.INTER_AREA)
        result: Array = cv2.resize(seen, (columns, rows), interpolation=cv2.INTER_LINEAR)
        return result

    return by_bands(resized, picture)


def with_hole(picture: Array, draws: Draws) -> Array:
    """Cover a rectangle with the picture's mean colour."""
    rows, columns = picture.shape[:2]
    limit = draws.limit("cut_out")
    height = max(1, round(rows * limit * draws.share("cut_out", 0)))
    width = max(1, round(columns * limit * draws.share("cut_out", 1)))
    row = int(draws.share("cut_out", 2) * (rows - height + 1))
    column = int(draws.share("cut_out", 3) * (columns - width + 1))
    covered = picture.copy()
    mean = np.array([picture[..., band].mean() for band in range(picture.shape[2])])
    covered[row : row + height, column : column + width] = to_bytes(mean)
    return covered
