"""The U-Net of 1,946,993 parameters that SegmentRoads and skeyenet use."""

from __future__ import annotations

from typing import Any

import keras

from roadmask.model.networks.layers import add_head, normalize

# Channels and dropout of the encoder's levels, the finest first; the decoder mirrors them.
LEVELS = ((16, 0.1), (32, 0.1), (64, 0.2), (128, 0.2))
BRIDGE = (256, 0.3)


def unet(shape: tuple[int | None, int | None, int], classes: int) -> keras.Model:
    """Build the network.

    Parameters
    ----------
    shape
        Rows, columns (multiples of 16, or None) and bands of the input, values 0 to 255.
    classes
        How many classes there are besides other.

    Returns
    -------
    keras.Model
        Its output has one probability for one class, else one for other and each class.
    """
    inputs = keras.Input(shape, name="picture")
    tensor = keras.layers.Rescaling(1 / 255)(inputs)
    skips = []
    for channels, rate in LEVELS:
        tensor = _convolve_twice(tensor, channels, rate)
        skips.append(tensor)
        tensor = keras.layers.MaxPooling2D()(tensor)
    tensor = _convolve_twice(tensor, *BRIDGE)
    for (channels, rate), skip in zip(reversed(LEVELS), reversed(skips), strict=True):
        tensor = keras.layers.Conv2DTranspose(channels, 2, strides=2)(tensor)
        tensor = keras.layers.Concatenate()([tensor, skip])
        tensor = _convolve_twice(tensor, channels, rate)
    return keras.Model(inputs, add_head(tensor, classes), name="unet")


def _convolve_twice(tensor: Any, channels: int, rate: float) -> Any:  # noqa: ANN401 (symbolic)
    tensor = normalize(_convolve(tensor, channels))
    tensor = keras.layers.Dropout(rate)(tensor)
    return normalize(_convolve(tensor, channels))


def _convolve(tensor: Any, channels: int) -> Any:  # noqa: ANN401 (symbolic)
    return keras.layers.Conv2D(
        channels, 3, padding="same", activation="elu", kernel_initializer="he_normal"
    )(tensor)
