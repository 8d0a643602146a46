"""Networks by name.

A network is a function of an input shape and a number of classes. Its last layers are those of
`roadmask.model.networks.layers.add_head`, two of them named `LOGITS` and `PROBABILITY`:
training takes its loss from the former, and what is saved gives the latter.
"""

from __future__ import annotations

from collections.abc import Callable

import keras

from roadmask.model.network_settings import NetworkSettings
from roadmask.model.networks.classifier_unets import (
    efficientnetlite0_unet,
    inceptionresnetv2_unet,
    lite_unet,
)
from roadmask.model.networks.deeplabv3plus import deeplabv3plus
from roadmask.model.networks.layers import InputShape
from roadmask.model.networks.unet import unet, unet_wide

NETWORKS: dict[str, Callable[..., keras.Model]] = {
    "unet": unet,
    "unet_wide": unet_wide,
    "deeplabv3plus": deeplabv3plus,
    "inceptionresnetv2_unet": inceptionresnetv2_unet,
    "efficientnetlite0_unet": efficientnetlite0_unet,
    "lite_unet": lite_unet,
}


def build_network(settings: NetworkSettings, shape: InputShape, classes: int) -> keras.Model:
    """Build a network with random weights.

    Parameters
    ----------
    settings
        Which.
    shape
        Rows and columns (multiples of its stride, or None) and bands of the input.
    classes
        How many classes there are besides other.

    Returns
    -------
    keras.Model
        From pictures with values from 0 to 255 to probabilities, pixel for pixel.
    """
    if settings.depth is None:
        return NETWORKS[settings.architecture](shape, classes)
    return NETWORKS[settings.architecture](shape, classes, settings.encoder, settings.depth)
