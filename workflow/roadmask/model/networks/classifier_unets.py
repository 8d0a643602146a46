"""U-Nets whose encoder is a classifier."""

from __future__ import annotations

from typing import Any

import keras

from roadmask.model.networks.encoders import encode
from roadmask.model.networks.layers import InputShape, add_head, convolve, normalize

# Of InceptionResNetV2's layers without padding: the last at 1/16 of the picture's size, and
# at 1/8 to 1/2. What they lack there of the picture is the same for all multiples of 16; it is
# added where features then lie nearest to the pixels that they describe.
INCEPTION_BRIDGE = ("activation_no161", (1, 1))
INCEPTION_SKIPS = (
    ("activation_no74", (1, 2)),
    ("activation_no3", (1, 1)),
    ("activation_no0", (0, 1)),
    ("scaled", (0, 0)),
)
INCEPTION_CHANNELS = (512, 256, 128, 64)
INCEPTION_DROPOUT = 0.3

# Of EfficientNet-Lite0: the last layers at 1/32 of the picture's size, and at 1/16 to 1/2.
LITE_BRIDGE = "block15"
LITE_SKIPS = ("block10", "block4", "block2", "block0")
LITE_CHANNELS = (256, 128, 64, 32)
LITE_FINEST = 16


def inceptionresnetv2_unet(shape: InputShape, classes: int) -> keras.Model:
    """Build the U-Net on InceptionResNetV2: 36,793,414 parameters for 3 bands and 6 outputs.

    Parameters
    ----------
    shape
        Rows, columns (multiples of 16 from 80 on, or None) and bands of the input, values
        0 to 255.
    classes
        How many classes there are besides other.

    Returns
    -------
    keras.Model
        Its output has one probability for one class, else one for other and each class.
    """
    encoder = encode("inceptionresnetv2", shape)
    tensor = _widened(encoder, *INCEPTION_BRIDGE)
    for channels, (name, missing) in zip(INCEPTION_CHANNELS, INCEPTION_SKIPS, strict=True):
        part = f"decoder{channels}"
        tensor = keras.layers.Conv2DTranspose(channels, 2, strides=2, name=f"{part}_up")(tensor)
        skip = _widened(encoder, name, missing)
        tensor = keras.layers.Concatenate(name=f"{part}_joined")([tensor, skip])
        for number in (1, 2):
            tensor = keras.layers.Conv2D(
                channels,
                3,
                padding="same",
                kernel_initializer="he_normal",
                name=f"{part}_conv{number}",
            )(tensor)
            tensor = normalize(tensor, f"{part}_bn{number}")
            tensor = keras.layers.ReLU(name=f"{part}_relu{number}")(tensor)
    tensor = keras.layers.Dropout(INCEPTION_DROPOUT, name="dropout")(tensor)
    return keras.Model(encoder.input, add_head(tensor, classes), name="inceptionresnetv2_unet")


def _widened(encoder: keras.Model, name: str, missing: tuple[int, int]) -> Any:  # noqa: ANN401
    """Return a layer's output, with `missing` pixels of 0 before and behind."""
    output = encoder.get_layer(name).output
    if not any(missing):
        return output
    return keras.layers.ZeroPadding2D((missing, missing), name=f"{name}_widened")(output)


def efficientnetlite0_unet(shape: InputShape, classes: int) -> keras.Model:
    """Build the U-Net on EfficientNet-Lite0.

    Parameters
    ----------
    shape
        Rows, columns (multiples of 32, or None) and bands of the input, values 0 to 255.
    classes
        How many classes there are besides other.

    Returns
    -------
    keras.Model
        Its output has one probability for one class, else one for other and each class.
    """
    encoder = encode("efficientnetlite0", shape)
    tensor = encoder.get_layer(LITE_BRIDGE).output
    for channels, name in zip(LITE_CHANNELS, LITE_SKIPS, strict=True):
        part = f"decoder{channels}"
        tensor = keras.layers.UpSampling2D(name=f"{part}_up")(tensor)
        skip = encoder.get_layer(name).output
        tensor = keras.layers.Concatenate(name=f"{part}_joined")([tensor, skip])
        for number in (1, 2):
            tensor = convolve(tensor, channels, 3, f"{part}_{number}")
    tensor = keras.layers.UpSampling2D(name=f"decoder{LITE_FINEST}_up")(tensor)
    for number in (1, 2):
        tensor = convolve(tensor, LITE_FINEST, 3, f"decoder{LITE_FINEST}_{number}")
    return keras.Model(encoder.input, add_head(tensor, classes), name="efficientnetlite0_unet")
