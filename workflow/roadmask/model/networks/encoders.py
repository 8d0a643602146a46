"""Classifiers that networks begin with, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import keras

from roadmask.model.networks.dilation import as_encoder
from roadmask.model.networks.efficientnetlite0 import efficientnet_lite0
from roadmask.model.networks.layers import InputShape

# What all of them were trained on: 0 to 255 as -1 to 1. EfficientNet-Lite0's own (x - 127) / 128
# differs by half a level.
RANGE_SCALE, RANGE_OFFSET = 1 / 127.5, -1.0
CLASSIFIER_STRIDE = 32


@dataclass(frozen=True)
class Encoder:
    """A classifier without its last layers.

    Attributes
    ----------
    build
        From a symbolic picture to a model.
    features
        The layer whose output has the most meaning at 1/4 of the picture's size, before the
        next halving, and the last layer.
    is_padded
        As in `as_encoder`.
    """

    build: Callable[[Any], keras.Model]
    features: tuple[str, str]
    is_padded: bool = False


def _application(function: Callable[..., keras.Model]) -> Callable[[Any], keras.Model]:
    def build(picture: Any) -> keras.Model:  # noqa: ANN401 (symbolic)
        return function(include_top=False, weights=None, input_tensor=picture)

    return build


ENCODERS: Mapping[str, Encoder] = {
    "xception": Encoder(
        _application(keras.applications.Xception),
        ("block3_sepconv2_bn", "block14_sepconv2_act"),
        is_padded=True,
    ),
    "mobilenetv2": Encoder(
        _application(keras.applications.MobileNetV2), ("block_3_expand_relu", "out_relu")
    ),
    "resnet50v2": Encoder(
        _application(keras.applications.ResNet50V2), ("conv2_block3_preact_relu", "post_relu")
    ),
    "efficientnetlite0": Encoder(efficientnet_lite0, ("block3_expand_relu", "block15")),
    "inceptionresnetv2": Encoder(
        _application(keras.applications.InceptionResNetV2), ("activation_no3", "conv_7b_ac")
    ),
}


def encode(name: str, shape: InputShape, output_stride: int = CLASSIFIER_STRIDE) -> keras.Model:
    """Build an encoder with its input and the scaling to its range.

    Parameters
    ----------
    name
        A key of `ENCODERS`.
    shape
        Of the input, values 0 to 255.
    output_stride
        As in `as_encoder`.

    Returns
    -------
    keras.Model
        Flat: its layers are those of the classifier, by their names.
    """
    encoder = ENCODERS[name]
    return as_encoder(
        encoder.build(scaled_picture(shape)), output_stride, is_padded=encoder.is_padded
    )


def scaled_picture(shape: InputShape) -> Any:  # noqa: ANN401 (symbolic)
    """Return a new input, brought from 0 to 255 to the range of classifiers."""
    inputs = keras.Input(shape, name="picture")
    return keras.layers.Rescaling(RANGE_SCALE, RANGE_OFFSET, name="scaled")(inputs)
