"""Networks by name.

A network is a function of an input shape and a number of classes. Its last two layers are
those of `roadmask.model.networks.layers.add_head`, named `LOGITS` and ``probability``:
training takes its loss from the former, and what is saved gives the latter.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import keras

from roadmask.errors import SettingError
from roadmask.model.networks.unet import unet

# Rows, columns and bands; None where a size is left open.
InputShape = tuple[int | None, int | None, int]


@dataclass(frozen=True)
class Architecture:
    """A network that can be built.

    Attributes
    ----------
    build
        From an input shape and the number of classes besides other to a model that turns
        pictures with values from 0 to 255 into probabilities, pixel for pixel.
    stride
        Both sides of an input must be multiples of it.
    """

    build: Callable[[InputShape, int], keras.Model]
    stride: int


NETWORKS = {
    "unet": Architecture(unet, stride=16),
}


def find_architecture(name: str) -> Architecture:
    """Return the architecture of this name.

    Raises
    ------
    SettingError
        If there is none.
    """
    if name not in NETWORKS:
        raise SettingError(
            "model.architecture",
            f"{name!r} is no network known here",
            f"Write one of {', '.join(sorted(NETWORKS))}",
        )
    return NETWORKS[name]
