"""Pictures of scenes and tiles, their masks and predictions, as data inside the page."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rasterio.enums import Resampling
from rasterio.windows import Window

from roadmask.imagery import Scale, scale_to_uint8
from roadmask.probability import CERTAIN
from roadmask.raster import read_window
from roadmask.report.reading import opened
from roadmask.style import UNKNOWN, UNKNOWN_COLOUR, Rgb

Array = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Colour = tuple[int, int, int]

JPEG_QUALITY = 82
# Against any roof, tree and street, and apart for eyes that don't tell red from green.
FALSE_ALARM: Colour = (226, 32, 150)
MISSED: Colour = (0, 150, 255)
LABEL_OUTLINE: Colour = (0, 235, 255)


@dataclass(frozen=True)
class Picture:
    """A picture in the page.

    Attributes
    ----------
    uri
        Its data.
    width, height
        In pixels.
    alt
        What it shows, in words.
    """

    uri: str
    width: int
    height: int
    alt: str


@dataclass(frozen=True)
class Bands:
    """What the network sees of a scene.

    Attributes
    ----------
    numbers
        1-based numbers of the bands.
    scale
        Limits of each band that became 0 and 255, or None.
    """

    numbers: tuple[int, ...]
    scale: Scale | None

    @property
    def shown(self) -> Bands:
        """The first three, or the first alone where there are fewer."""
        count = 3 if len(self.numbers) >= 3 else 1
        return Bands(self.numbers[:count], None if self.scale is None else self.scale[:count])


def as_jpeg(picture: Array, alt: str) -> Picture:
    """Store a picture of ``(rows, columns, 3)`` as JPEG."""
    return _stored(Image.fromarray(picture), alt, "jpeg", quality=JPEG_QUALITY, optimize=True)


def as_png(picture: Array, alt: str) -> Picture:
    """Store a picture of few colours, ``(rows, columns, 3)``, as PNG."""
    return _stored(Image.fromarray(picture).quantize(256), alt, "png", optimize=True)


def _stored(image: Image.Image, alt: str, kind: str, **options: int | bool) -> Picture:
    data = io.BytesIO()
    image.save(data, format=kind, **options)
    text = base64.b64encode(data.getvalue()).decode("ascii")
    return Picture(f"data:image/{kind};base64,{text}", image.width, image.height, alt)


def read_reduced(path: Path, bands: Bands, most: int) -> Array:
    """Read a whole scene, no side longer than `most` pixels, as ``(rows, columns, 3)``."""
    shown = bands.shown
    with opened(path) as dataset:
        height, width = reduced_shape(dataset.height, dataset.width, most)
        values = dataset.read(
            list(shown.numbers),
            out_shape=(len(shown.numbers), height, width),
            resampling=Resampling.average,
        )
    return _as_rgb(values, shown)


def read_part(path: Path, bands: Bands, window: Window) -> Array:
    """Read a window of a scene, which may stick out, as ``(rows, columns, 3)``."""
    shown = bands.shown
    with opened(path) as dataset:
        values = read_window(dataset, *_whole(window), bands=shown.numbers)
    return _as_rgb(values, shown)


def _as_rgb(values: NDArray[np.generic], bands: Bands) -> Array:
    bytes_ = scale_to_uint8(values, bands.scale)
    return np.ascontiguousarray(np.moveaxis(np.broadcast_to(bytes_, (3, *bytes_.shape[1:])), 0, -1))


def read_classes_reduced(path: Path, shape: tuple[int, int]) -> Array:
    """Read a whole class raster at another size."""
    with opened(path) as dataset:
        values: Array = dataset.read(1, out_shape=shape, resampling=Resampling.nearest)
    return values


def read_classes(path: Path, window: Window, band: int = 1) -> Array:
    """Read a window of a class raster, 255 beyond it."""
    with opened(path) as dataset:
        values: Array = read_window(dataset, *_whole(window), bands=[band], fill=UNKNOWN)[0]
    return values


def _whole(window: Window) -> tuple[int, int, int, int]:
    return int(window.col_off), int(window.row_off), int(window.width), int(window.height)


def reduced_shape(height: int, width: int, most: int) -> tuple[int, int]:
    """Return rows and columns of the same proportions, no side longer than `most`."""
    factor = max(1.0, max(height, width) / most)
    return max(1, round(height / factor)), max(1, round(width / factor))


def class_picture(classes: Array, background: Array, colours: Sequence[Rgb]) -> Array:
    """Colour a class raster; class 0 shows the background, dimmed and grey.

    Parameters
    ----------
    classes
        ``(rows, columns)``.
    background
        ``(rows, columns, 3)``.
    colours
        Of the classes from 1 on.
    """
    picture = (grey(background) * 0.45).astype(np.uint8)
    for value, colour in _colours(classes, colours):
        picture[classes == value] = colour
    return picture


def _colours(classes: Array, colours: Sequence[Rgb]) -> list[tuple[int, Colour]]:
    """List the values other than 0 in a raster, with their colours."""
    values = [int(value) for value in np.unique(classes) if value]
    grey_one = UNKNOWN_COLOUR[:3]
    return [(value, grey_one if value == UNKNOWN else colours[value - 1]) for value in values]


def overview(
    background: Array, predicted: Array, label: Array | None, colours: Sequence[Rgb]
) -> Array:
    """Lay a prediction over a picture, translucent, and the label's outline over both."""
    picture = background.copy()
    for value, colour in _colours(predicted, colours):
        _blend(picture, predicted == value, colour, 0.5)
    if label is not None:
        _blend(picture, outline(label), LABEL_OUTLINE, 1.0)
    return picture


def error_picture(
    background: Array,
    label: Array,
    predicted: Array,
    road: int | None,
    colours: Sequence[Rgb],
) -> Array:
    """Show where prediction and label differ, over a grey picture.

    Parameters
    ----------
    background
        ``(rows, columns, 3)``.
    label, predicted
        ``(rows, columns)``: classes, 255 not known.
    road
        The only class, or None where there are several: then every wrong pixel is a false
        alarm of the class predicted there.
    colours
        Of the classes from 1 on.
    """
    picture = (grey(background) * 0.7).astype(np.uint8)
    known = (label != UNKNOWN) & (predicted != UNKNOWN)
    _blend(picture, ~known, UNKNOWN_COLOUR[:3], 0.8)
    for value, colour in _colours(predicted, colours):
        if value != UNKNOWN:
            _blend(picture, known & (predicted == value) & (label == value), colour, 0.35)
    wrong = known & (predicted != label)
    missed = wrong & (predicted == 0) if road is None else wrong & (label == road)
    for pixels, colour in ((missed, MISSED), (wrong & ~missed, FALSE_ALARM)):
        _blend(picture, pixels, colour, 0.6)
        _blend(picture, outline(pixels.astype(np.uint8)), colour, 1.0)
    return picture


def probability_picture(probability: Array) -> Array:
    """Show a probability of 0 to 254 from black to white, and 255, no picture, in grey blue."""
    values = probability.astype(np.uint16) * 255 // CERTAIN
    picture = np.repeat(values.astype(np.uint8)[..., np.newaxis], 3, axis=2)
    picture[probability == UNKNOWN] = (70, 80, 100)
    return picture


def outline(classes: Array) -> Mask:
    """Return the outermost pixels of every class but 0 and 255."""
    border = np.zeros(classes.shape, dtype=np.bool_)
    kernel = np.ones((3, 3), np.uint8)
    for value in np.unique(classes):
        if value in (0, UNKNOWN):
            continue
        inside = (classes == value).astype(np.uint8)
        # The picture's own edge is no outline.
        eroded = cv2.erode(inside, kernel, borderType=cv2.BORDER_REPLICATE)
        border |= (inside > 0) & (eroded == 0)
    return border


def grey(picture: Array) -> NDArray[np.float32]:
    """Return a picture without colour, ``(rows, columns, 3)``."""
    brightness = picture.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    return np.repeat(brightness[..., np.newaxis], 3, axis=2)


def _blend(picture: Array, pixels: Mask, colour: Sequence[int], share: float) -> None:
    """Mix a colour into some pixels, in place."""
    mixed = picture[pixels] * (1 - share) + np.asarray(colour, np.float32) * share
    picture[pixels] = mixed.round().astype(np.uint8)


def shrunk(picture: Array, most: int, *, smooth: bool) -> Array:
    """Reduce a picture so that no side is longer than `most` pixels."""
    rows, columns = reduced_shape(picture.shape[0], picture.shape[1], most)
    if (rows, columns) == picture.shape[:2]:
        return picture
    how = cv2.INTER_AREA if smooth else cv2.INTER_NEAREST
    return np.asarray(cv2.resize(picture, (columns, rows), interpolation=how), dtype=np.uint8)
