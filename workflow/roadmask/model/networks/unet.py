"""The plain U-Nets of the reference systems."""

from __future__ import annotations

from typing import Any

import keras

from roadmask.model.networks.layers import InputShape, add_head, normalize

# Channels and dropout of the encoder's levels, the finest first; the decoder mirrors them.
LEVELS = ((16, 0.1), (32, 0.1), (64, 0.2), (128, 0.2))
BRIDGE = (256, 0.3)
# Channels of the wide one, the bridge last.
WIDE = (32, 64, 128, 256, 512)


def unet(shape: InputShape, classes: int) -> keras.Model:
    """Build the U-Net of 1,946,993 parameters that SegmentRoads and skeyenet use.

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
    for number, (channels, rate) in enumerate(LEVELS, start=1):
        tensor = _convolve_twice(tensor, channels, rate, f"encoder{number}")
        skips.append(tensor)
        tensor = keras.layers.MaxPooling2D()(tensor)
    tensor = _convolve_twice(tensor, *BRIDGE, "bridge")
    for number in range(len(LEVELS), 0, -1):
        channels, rate = LEVELS[number - 1]
        name = f"decoder{number}"
        tensor = keras.layers.Conv2DTranspose(channels, 2, strides=2, name=f"{name}_up")(tensor)
        tensor = keras.layers.Concatenate()([tensor, skips[number - 1]])
        tensor = _convolve_twice(tensor, channels, rate, name)
    return keras.Model(inputs, add_head(tensor, classes), name="unet")


def _convolve_twice(tensor: Any, channels: int, rate: float, name: str) -> Any:  # noqa: ANN401
    for number in (1, 2):
        if number == 2:
            tensor = keras.layers.Dropout(rate)(tensor)
        tensor = keras.layers.Conv2D(
            channels,
            3,
            padding="same",
            activation="elu",
            kernel_initializer="he_normal",
            name=f"{name}_conv{number}",
        )(tensor)
        tensor = normalize(tensor, f"{name}_bn{number}")
    return tensor


def unet_wide(shape: InputShape, classes: int) -> keras.Model:
    """Build the U-Net of 7,858,433 parameters that the fifth reference system uses.

    It is twice as wide, has no dropout, normalizes before the ELU, and goes up by repeating
    pixels. Parameters and return value are those of `unet`.
    """
    inputs = keras.Input(shape, name="picture")
    tensor = keras.layers.Rescaling(1 / 255)(inputs)
    skips = []
    for number, channels in enumerate(WIDE[:-1], start=1):
        tensor = _normalized_twice(tensor, channels, f"encoder{number}")
        skips.append(tensor)
        tensor = keras.layers.MaxPooling2D()(tensor)
    tensor = _normalized_twice(tensor, WIDE[-1], "bridge")
    for number in range(len(skips), 0, -1):
        tensor = keras.layers.UpSampling2D()(tensor)
        tensor = keras.layers.Concatenate()([tensor, skips[number - 1]])
        tensor = _normalized_twice(tensor, WIDE[number - 1], f"decoder{number}")
    return keras.Model(inputs, add_head(tensor, classes), name="unet_wide")


def _normalized_twice(tensor: Any, channels: int, name: str) -> Any:  # noqa: ANN401 (symbolic)
    for number in (1, 2):
        tensor = keras.layers.Conv2D(
            channels,
            3,
            padding="same",
            kernel_initializer="he_uniform",
            name=f"{name}_conv{number}",
        )(tensor)
        tensor = keras.layers.ELU()(normalize(tensor, f"{name}_bn{number}"))
    return tensor
