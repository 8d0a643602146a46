"""EfficientNet-Lite0 without its classifier: the encoder that needs no hub for its weights.

The layers and their padding are those of the TensorFlow original
(https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite, Apache-2.0):
``same`` in TensorFlow's sense, where a convolution of stride 2 on an even number of pixels
pads the end more than the beginning. `torch_names` tells what PyTorch's port calls them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import keras

from roadmask.model.networks.layers import normalize

EPSILON = 1e-3
STEM_CHANNELS = 32


@dataclass(frozen=True)
class Stage:
    """Blocks of one width.

    Attributes
    ----------
    repeats
        How many blocks.
    kernel
        Edge of their depthwise convolution.
    stride
        Of the first block.
    expansion
        How many times wider the depthwise convolution is than the block's input.
    channels
        Of their output.
    """

    repeats: int
    kernel: int
    stride: int
    expansion: int
    channels: int


STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)
BLOCKS = sum(stage.repeats for stage in STAGES)


def efficientnet_lite0(picture: Any, blocks: int = BLOCKS) -> keras.Model:  # noqa: ANN401
    """Build the encoder on a symbolic tensor.

    Parameters
    ----------
    picture
        ``(batch, rows, columns, bands)``, 0 to 255 brought to -1 to 1.
    blocks
        How many of the 16 blocks; the last ones hold most of the weights.

    Returns
    -------
    keras.Model
        From the picture's source to the last block's output, named ``block{n}``; the other
        blocks' outputs are layers named so too, ``stem`` before the first of them.
    """
    tensor = keras.layers.Conv2D(
        STEM_CHANNELS, 3, strides=2, padding="same", use_bias=False, name="stem_conv"
    )(picture)
    tensor = normalize(tensor, "stem_bn", EPSILON)
    tensor = keras.layers.ReLU(6.0, name="stem")(tensor)
    for number, stage, stride in _block_list():
        if number == blocks:
            break
        tensor = _add_block(tensor, stage, stride, f"block{number}")
    return keras.Model(keras.utils.get_source_inputs(picture), tensor, name="efficientnetlite0")


def _block_list() -> Iterator[tuple[int, Stage, int]]:
    """Yield each block's number, its stage and its stride."""
    number = 0
    for stage in STAGES:
        for repeat in range(stage.repeats):
            yield number, stage, stage.stride if repeat == 0 else 1
            number += 1


def _add_block(tensor: Any, stage: Stage, stride: int, name: str) -> Any:  # noqa: ANN401
    """Add an inverted residual: widen, filter each channel, narrow."""
    inputs = tensor
    channels = int(inputs.shape[-1])
    if stage.expansion > 1:
        tensor = keras.layers.Conv2D(
            channels * stage.expansion, 1, use_bias=False, name=f"{name}_expand_conv"
        )(tensor)
        tensor = normalize(tensor, f"{name}_expand_bn", EPSILON)
        tensor = keras.layers.ReLU(6.0, name=f"{name}_expand_relu")(tensor)
    tensor = keras.layers.DepthwiseConv2D(
        stage.kernel,
        strides=stride,
        padding="same",
        use_bias=False,
        name=f"{name}_depthwise_conv",
    )(tensor)
    tensor = normalize(tensor, f"{name}_depthwise_bn", EPSILON)
    tensor = keras.layers.ReLU(6.0, name=f"{name}_depthwise_relu")(tensor)
    tensor = keras.layers.Conv2D(stage.channels, 1, use_bias=False, name=f"{name}_project_conv")(
        tensor
    )
    if stride == 1 and channels == stage.channels:
        tensor = normalize(tensor, f"{name}_project_bn", EPSILON)
        return keras.layers.Add(name=name)([tensor, inputs])
    return normalize(tensor, name, EPSILON)


def torch_names() -> dict[str, str]:
    """Return the PyTorch port's module for each layer that has weights."""
    names = {"stem_conv": "_conv_stem", "stem_bn": "_bn0"}
    channels = STEM_CHANNELS
    for number, stage, stride in _block_list():
        name, module = f"block{number}", f"_blocks.{number}"
        if stage.expansion > 1:
            names[f"{name}_expand_conv"] = f"{module}._expand_conv"
            names[f"{name}_expand_bn"] = f"{module}._bn0"
        names[f"{name}_depthwise_conv"] = f"{module}._depthwise_conv"
        names[f"{name}_depthwise_bn"] = f"{module}._bn1"
        names[f"{name}_project_conv"] = f"{module}._project_conv"
        is_residual = stride == 1 and channels == stage.channels
        names[f"{name}_project_bn" if is_residual else name] = f"{module}._bn2"
        channels = stage.channels
    return names
