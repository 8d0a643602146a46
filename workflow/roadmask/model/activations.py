"""Pictures of what the layers of a network see in a tile."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from roadmask.errors import SettingError
from roadmask.files import replacing_folder
from roadmask.model.pictures import arranged, as_rgb, write_png

Array = NDArray[np.uint8]

MOST_CHANNELS = 64
# What lies outside of these shares of a channel's values is shown as black or white.
DARKEST, BRIGHTEST = 1, 99
SMALLEST_SIDE = 64


def write_activations(
    model: keras.Model, layers: Sequence[str], picture: Array, folder: Path
) -> None:
    """Write a picture of each layer's channels, and of the tile, into a folder of their own.

    Parameters
    ----------
    model
        The network.
    layers
        Names of its layers.
    picture
        uint8 ``(rows, columns, bands)``, sides that the network takes.
    folder
        What it holds is removed.

    Raises
    ------
    SettingError
        If there is no such layer, or its output is no picture.
    """
    known = [layer.name for layer in model.layers if len(_shape(layer)) == 4]
    for name in layers:
        if name not in known:
            raise SettingError(
                "model.activations",
                f"{name!r} is no layer of {model.name} with a picture as its output",
                f"Write some of {', '.join(known)}",
            )
    seen = keras.Model(model.input, [model.get_layer(name).output for name in layers])
    outputs = seen(picture[None], training=False)
    with replacing_folder(folder) as temporary:
        temporary.mkdir(exist_ok=True)
        write_png(temporary / "tile.png", as_rgb(picture))
        for name, output in zip(layers, outputs, strict=True):
            file = re.sub(r"\W", "_", name)
            write_png(temporary / f"{file}.png", channel_sheet(output.numpy()[0]))


def _shape(layer: keras.layers.Layer) -> tuple[int | None, ...]:
    return tuple(getattr(layer.output, "shape", ()))


def channel_sheet(activation: NDArray[np.float32]) -> Array:
    """Return the channels of a layer beside each other, grey, each in its own range.

    Parameters
    ----------
    activation
        ``(rows, columns, channels)``; of more than 64 channels every so manieth is shown.
    """
    step = math.ceil(activation.shape[2] / MOST_CHANNELS)
    shown = activation[..., ::step].astype(np.float64)
    low, high = np.percentile(shown, (DARKEST, BRIGHTEST), axis=(0, 1))
    # A channel that is the same everywhere becomes black.
    span = np.where(high > low, high - low, np.inf)
    grey = np.rint(np.clip((shown - low) / span, 0, 1) * 255).astype(np.uint8)
    enlarged = math.ceil(SMALLEST_SIDE / min(grey.shape[:2]))
    grey = grey.repeat(enlarged, axis=0).repeat(enlarged, axis=1)
    channels = [as_rgb(grey[..., index : index + 1]) for index in range(grey.shape[2])]
    across = math.ceil(math.sqrt(len(channels)))
    blank = np.full_like(channels[0], 255)
    channels += [blank] * (-len(channels) % across)
    return arranged([channels[first : first + across] for first in range(0, len(channels), across)])
