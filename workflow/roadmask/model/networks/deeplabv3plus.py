"""DeepLabv3+ (Chen et al. 2018, https://arxiv.org/abs/1802.02611) on several encoders."""

from __future__ import annotations

from typing import Any

import keras

from roadmask.model.networks.encoders import ENCODERS, encode
from roadmask.model.networks.layers import InputShape, add_head, convolve, normalize

CHANNELS = 256
# Of the features from 1/4 of the picture's size.
FINE_CHANNELS = 48
# Of the pyramid at output stride 16; twice as far apart at 8, where features lie twice as close.
RATES = (6, 12, 18)
RATES_AT = 16
FINE_STRIDE = 4
DROPOUT = 0.1


def deeplabv3plus(
    shape: InputShape, classes: int, backbone: str = "xception", output_stride: int = 16
) -> keras.Model:
    """Build the network.

    Parameters
    ----------
    shape
        Rows, columns (multiples of the output stride, or None) and bands of the input,
        values 0 to 255.
    classes
        How many classes there are besides other.
    backbone
        The encoder.
    output_stride
        How many pixels of the picture lie between two of the encoder's features, 16 or 8.

    Returns
    -------
    keras.Model
        Its output has one probability for one class, else one for other and each class.
    """
    encoder = encode(backbone, shape, output_stride)
    fine_name, deep_name = ENCODERS[backbone].features
    fine = encoder.get_layer(fine_name).output
    pyramid = _pyramid(encoder.get_layer(deep_name).output, RATES_AT // output_stride)
    enlarged = keras.layers.UpSampling2D(
        output_stride // FINE_STRIDE, interpolation="bilinear", name="pyramid_up"
    )(pyramid)
    narrowed = convolve(fine, FINE_CHANNELS, 1, "decoder_fine")
    tensor = keras.layers.Concatenate(name="decoder_joined")([enlarged, narrowed])
    for number in (1, 2):
        tensor = _separable(tensor, 1, f"decoder{number}")
    return keras.Model(encoder.input, add_head(tensor, classes, FINE_STRIDE), name="deeplabv3plus")


def _pyramid(tensor: Any, spread: int) -> Any:  # noqa: ANN401 (symbolic)
    """Add atrous spatial pyramid pooling: the features, their surroundings and their mean.

    The projection of the joined branches is taken apart into one of those that have places
    and one of the picture's mean, and added: the same sum, and no mean has to be spread out
    to a size that is known only when a picture comes.
    """
    branches = [convolve(tensor, CHANNELS, 1, "pyramid0")]
    branches += [_separable(tensor, rate * spread, f"pyramid{rate}") for rate in RATES]
    joined = keras.layers.Concatenate(name="pyramid_joined")(branches)
    mean = keras.layers.GlobalAveragePooling2D(keepdims=True, name="pyramid_mean")(tensor)
    mean = convolve(mean, CHANNELS, 1, "pyramid_mean")
    placed, unplaced = (
        keras.layers.Conv2D(
            CHANNELS, 1, use_bias=False, kernel_initializer="he_normal", name=f"pyramid_{name}"
        )(part)
        for name, part in (("projection", joined), ("mean_projection", mean))
    )
    total = keras.layers.Add(name="pyramid_sum")([placed, unplaced])
    total = keras.layers.ReLU(name="pyramid_relu")(normalize(total, "pyramid_bn"))
    return keras.layers.Dropout(DROPOUT, name="pyramid_dropout")(total)


def _separable(tensor: Any, dilation: int, name: str) -> Any:  # noqa: ANN401 (symbolic)
    """Add a 3 x 3 convolution of each channel, and one of 1 x 1 over them."""
    tensor = keras.layers.DepthwiseConv2D(
        3,
        padding="same",
        dilation_rate=dilation,
        use_bias=False,
        depthwise_initializer="he_normal",
        name=f"{name}_depthwise_conv",
    )(tensor)
    tensor = normalize(tensor, f"{name}_depthwise_bn")
    tensor = keras.layers.ReLU(name=f"{name}_depthwise_relu")(tensor)
    return convolve(tensor, CHANNELS, 1, name)
