"""Pictures of what training sees and of what it has learnt, for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from PIL import Image

from roadmask.files import replacing
from roadmask.model.augmentation import Augmenter
from roadmask.model.pipeline import TrainingStream
from roadmask.model.settings import no_augmentation
from roadmask.style import OTHER, UNKNOWN, legend

Array = NDArray[np.uint8]

RGB = 3
# Of a class's colour over the picture.
OPACITY = 0.5
GAP = 4
PAPER = 255
# TensorBoard keeps a picture of every epoch.
EXAMPLES = 3
EXAMPLE_SIDE = 256
# A sheet of augmentation: so many tiles, each as it is and changed so many times.
SHEET_TILES = 4
SHEET_CHANGES = 6


def as_rgb(picture: Array) -> Array:
    """Return three bands to look at: the first three, or thrice the first of fewer.

    Parameters
    ----------
    picture
        uint8 ``(rows, columns, bands)``.
    """
    if picture.shape[-1] >= RGB:
        return picture[..., :RGB]
    return np.repeat(picture[..., :1], RGB, axis=-1)


def overlaid(picture: Array, label: Array, classes: Sequence[str]) -> Array:
    """Return a picture with its label's colours over it.

    Parameters
    ----------
    picture
        uint8 ``(rows, columns, bands)``.
    label
        uint8 ``(rows, columns)``: index of the class, 255 not known.
    classes
        Names of the classes, ``other`` first.
    """
    shown = as_rgb(picture).astype(np.float32)
    for value, _, colour in legend(classes[1:]):
        if value != OTHER:
            here = label == value
            shown[here] = (1 - OPACITY) * shown[here] + OPACITY * np.array(colour[:RGB])
    return np.rint(shown).astype(np.uint8)


def arranged(rows: Sequence[Sequence[Array]]) -> Array:
    """Put pictures of one size beside and below each other, with gaps.

    Parameters
    ----------
    rows
        As many uint8 ``(rows, columns, 3)`` in each.
    """
    height, width = rows[0][0].shape[:2]
    sheet = np.full(
        (len(rows) * (height + GAP) - GAP, len(rows[0]) * (width + GAP) - GAP, RGB), PAPER, np.uint8
    )
    for row, pictures in enumerate(rows):
        for column, picture in enumerate(pictures):
            top, left = row * (height + GAP), column * (width + GAP)
            sheet[top : top + height, left : left + width] = picture
    return sheet


def write_png(path: Path, picture: Array) -> None:
    """Write a picture."""
    with replacing(path) as temporary:
        Image.fromarray(picture).save(temporary, optimize=True)


def augmentation_sheet(stream: TrainingStream, classes: Sequence[str]) -> Array:
    """Return samples of the augmentation, as training gets them.

    The first column has tiles as they are, the others what becomes of them; below each
    picture is its label.

    Parameters
    ----------
    stream
        The training samples.
    classes
        Names of the classes, ``other`` first.
    """
    plain = Augmenter(no_augmentation(), stream.settings.seed, stream.crop)
    augmenter = Augmenter(stream.settings.augmentation, stream.settings.seed, stream.crop)
    rows: list[list[Array]] = []
    for number, (picture, label) in enumerate(stream.split.most_varied(SHEET_TILES)):
        first = number * SHEET_CHANGES
        samples = [
            plain.make(picture, label, first),
            *(augmenter.make(picture, label, first + change) for change in range(SHEET_CHANGES)),
        ]
        rows.append([as_rgb(sample) for sample, _ in samples])
        rows.append([overlaid(*sample, classes) for sample in samples])
    return arranged(rows)


@dataclass(frozen=True)
class Examples:
    """Tiles of the validation split that TensorBoard shows after each epoch.

    Attributes
    ----------
    pictures, labels
        uint8 ``(tiles, rows, columns, bands)`` and ``(tiles, rows, columns)``.
    classes
        Names of the classes, ``other`` first.
    """

    pictures: Array
    labels: Array
    classes: tuple[str, ...]

    @classmethod
    def of(cls, batches: tf.data.Dataset, classes: Sequence[str]) -> Examples:
        """Take the first tiles of a split's batches."""
        pictures, labels = next(iter(batches.unbatch().batch(EXAMPLES)))
        window = np.s_[:, :EXAMPLE_SIDE, :EXAMPLE_SIDE]
        return cls(pictures.numpy()[window], labels.numpy()[window][..., 0], tuple(classes))

    def sheet(self, network: keras.Model, threshold: float) -> Array:
        """Return a row for each tile: picture, label, prediction.

        Parameters
        ----------
        network
            From pictures to logits.
        threshold
            Of the only class; not used where there are several.
        """
        logits = network(self.pictures, training=False).numpy()
        if logits.shape[-1] == 1:
            answers = 1 / (1 + np.exp(-logits[..., 0])) >= threshold
        else:
            answers = logits.argmax(axis=-1)
        answers = np.where(self.labels == UNKNOWN, UNKNOWN, answers).astype(np.uint8)
        return arranged(
            [
                [
                    as_rgb(tile),
                    overlaid(tile, label, self.classes),
                    overlaid(tile, answer, self.classes),
                ]
                for tile, label, answer in zip(self.pictures, self.labels, answers, strict=True)
            ]
        )
