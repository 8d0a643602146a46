"""U-Nets whose encoder is a classifier."""

from __future__ import annotations

from collections.abc import Sequence
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

# Of EfficientNet-Lite0: the last layers at 1/32 to 1/2 of the picture's size, the coarsest
# first, and the decoder's channels at all but the first.
LITE_FEATURES = ("block15", "block10", "block4", "block2", "block0")
LITE_CHANNELS = (96, 64, 48, 32)
LITE_DROPOUT = 0.1
LITE_FINEST = 2


def inceptionresnetv2_unet(shape: InputShape, classes: int) -> keras.Model:
    """Build the U-Net on InceptionResNetV2: 36,793,414 parameters for 3 bands and 6 outputs.

    Parameters
    ----------
    shape
        Rows, columns (multiples of 16 from 48 on, or None) and bands of the input, values
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
    """Build a U-Net of 3,658,049 parameters on the whole of EfficientNet-Lite0.

    Its logits lie at half the picture's size and are interpolated between: where layers have
    as many pixels as the picture, they take most of the time and change little.

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
    return _lite_unet(shape, classes, LITE_FEATURES, LITE_CHANNELS, "efficientnetlite0_unet")


def lite_unet(shape: InputShape, classes: int) -> keras.Model:
    """Build a U-Net of 928,929 parameters on eleven of EfficientNet-Lite0's sixteen blocks.

    Those after them have most of the weights, take the picture to 1/32, and cost time. Rows
    and columns are multiples of 16; else it is as `efficientnetlite0_unet`.
    """
    return _lite_unet(shape, classes, LITE_FEATURES[1:], LITE_CHANNELS[1:], "lite_unet")


def _lite_unet(
    shape: InputShape,
    classes: int,
    features: Sequence[str],
    channels: Sequence[int],
    name: str,
) -> keras.Model:
    encoder = encode("efficientnetlite0", shape)
    tensor = encoder.get_layer(features[0]).output
    for count, feature in zip(channels, features[1:], strict=True):
        part = f"decoder{count}"
        tensor = keras.layers.UpSampling2D(name=f"{part}_up")(tensor)
        skip = encoder.get_layer(feature).output
        tensor = keras.layers.Concatenate(name=f"{part}_joined")([tensor, skip])
        for number in (1, 2):
            tensor = convolve(tensor, count, 3, f"{part}_{number}")
    tensor = keras.layers.SpatialDropout2D(LITE_DROPOUT, name="dropout")(tensor)
    return keras.Model(encoder.input, add_head(tensor, classes, LITE_FINEST), name=name)
