"""Random changes of picture and label together.

What happens to a sample follows from the seed and its number alone: the same number gets the
same change in whatever order, on however many threads, and after a training was killed and
goes on. Each change draws from numbers of its own, so that one more of them leaves the others
as they are.

OpenCV does the pixels' work: it is ten times as fast as the same in TensorFlow's operations,
and the processor is the network's.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from roadmask.model.geometry import cut, turned
from roadmask.model.light import relit
from roadmask.model.settings import AugmentationSettings

Array = NDArray[np.uint8]

# Of each change: whether it happens, and what it is; white balance takes one for each band.
DRAWS = 10


@dataclass(frozen=True)
class Draws:
    """The random numbers of one sample.

    Attributes
    ----------
    settings
        Of the augmentation.
    key
        The seed and the sample's number.
    rows
        By change, `DRAWS` numbers from 0 to 1.
    """

    settings: AugmentationSettings
    key: tuple[int, int]
    rows: dict[str, NDArray[np.float64]]

    @classmethod
    def of_sample(cls, settings: AugmentationSettings, seed: int, number: int) -> Draws:
        """Draw the numbers of a sample."""
        names = settings.probabilities()
        table = np.random.default_rng((seed, number)).random((len(names), DRAWS))
        return cls(settings, (seed, number), dict(zip(names, table, strict=True)))

    def happens(self, name: str) -> bool:
        """Tell whether a change happens to this sample."""
        return bool(self.rows[name][0] < getattr(self.settings, name))

    def limit(self, name: str) -> float:
        """Return how strong a change is at most."""
        return float(getattr(self.settings, f"{name}_limit"))

    def share(self, name: str, index: int = 0) -> float:
        """Return a number from 0 to 1."""
        return float(self.rows[name][1 + index])

    def strength(self, name: str) -> float:
        """Return a number from 0 to the limit of a change."""
        return self.share(name) * self.limit(name)

    def either_way(self, name: str, index: int = 0) -> float:
        """Return a number from minus the limit of a change to the limit."""
        return (2 * self.share(name, index) - 1) * self.limit(name)

    def generator(self, name: str) -> np.random.Generator:
        """Return more random numbers for a change that takes many."""
        return np.random.default_rng((*self.key, 1 + list(self.rows).index(name)))


class Augmenter:
    """Makes training samples of tiles.

    Parameters
    ----------
    settings
        Of the augmentation.
    seed
        Another one gives other changes.
    crop
        Edge of the samples, at most that of the tiles.
    """

    def __init__(self, settings: AugmentationSettings, seed: int, crop: int) -> None:
        self.settings = settings
        self.seed = seed
        self.crop = crop
        # Samples are made on several threads already.
        cv2.setNumThreads(1)

    def make(self, picture: Array, label: Array, number: int) -> tuple[Array, Array]:
        """Make a sample.

        Parameters
        ----------
        picture
            uint8 ``(rows, columns, bands)``, of a square tile. 0 in all bands stays so where
            the label is not known: there is no picture.
        label
            uint8 ``(rows, columns)``: index of the class, 255 not known.
        number
            Of the sample.

        Returns
        -------
        picture
            uint8 ``(crop, crop, bands)``; mirrored where it reaches beyond the tile.
        label
            uint8 ``(crop, crop)``, its values those of nearest neighbours; 255 beyond the tile.
        """
        draws = Draws.of_sample(self.settings, self.seed, number)
        picture, label = turned(*cut(picture, label, self.crop, draws), draws)
        return relit(picture, label, draws), label
