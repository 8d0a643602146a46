"""Classifiers turned into encoders of another output stride.

A classifier halves its picture five times. Where a halving is left out, all that follows
looks at every second pixel instead (convolution *à trous*, Holschneider et al. 1989; as in
DeepLab, https://arxiv.org/abs/1606.00915): each pixel that the halving would have kept gets
the very features that it had, and those between get theirs too. So weights stay valid.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import keras

from roadmask.model.networks.layers import NORMALIZATION_MOMENTUM

# Keras numbers what has no name of its own through a whole process.
AUTOMATIC = re.compile(
    r"(?P<kind>conv2d|convolution2d|batch_normalization|batchnormalization|activation|"
    r"add|concatenate|max_pooling2d|average_pooling2d|custom_scale_layer)(?:_(?P<number>\d+))?"
)
# A layer that Keras keeps to itself: its first input, and its second times a number.
SCALED_SUM = "CustomScaleLayer"
# What Keras 1 called them, in whose time some published weights were saved.
OLD_KINDS = {"convolution2d": "conv2d", "batchnormalization": "batch_normalization"}


def lasting_names(names: list[str]) -> dict[str, str]:
    """Return names that are the same in every process.

    Parameters
    ----------
    names
        Of a model's layers.

    Returns
    -------
    dict
        The name of each: its own, or for one that Keras numbered its kind and its rank among
        the model's layers of that kind, from 0, such as ``conv2d_no12``.
    """
    numbered: dict[str, list[tuple[int, str]]] = {}
    for name in names:
        match = AUTOMATIC.fullmatch(name)
        if match:
            kind = OLD_KINDS.get(match["kind"], match["kind"])
            numbered.setdefault(kind, []).append((int(match["number"] or 0), name))
    lasting = {name: name for name in names}
    for kind, members in numbered.items():
        for rank, (_, name) in enumerate(sorted(members)):
            lasting[name] = f"{kind}_no{rank}"
    return lasting


def as_encoder(model: keras.Model, output_stride: int, *, is_padded: bool = False) -> keras.Model:
    """Return a network like `model` with another output stride, lasting names and new weights.

    Parameters
    ----------
    model
        A functional model of plain layers, each called once.
    output_stride
        How many input pixels lie between two of its last features. Halvings beyond it are
        left out. A pool that comes after one spans the same ground as before, but looks at
        the pixels between too, since Keras has no dilated pool.
    is_padded
        Whether convolutions that pad nothing are to pad as much as keeps the size.
    """
    names = lasting_names([layer.name for layer in model.layers])
    plans = _plans(model, output_stride)
    paddings: dict[str, tuple[int, int]] = {}
    scales: dict[str, float] = {}

    def replace(layer: keras.layers.Layer) -> keras.layers.Layer:
        config = layer.get_config()
        config["name"] = names[layer.name]
        plan = plans[layer.name]
        if isinstance(layer, keras.layers.BatchNormalization):
            config["momentum"] = NORMALIZATION_MOMENTUM
        if is_padded and config.get("padding") == "valid":
            config["padding"] = "same"
        if plan.stride != _stride_of(layer):
            config["strides"] = (plan.stride, plan.stride)
            if plan.kernel > 1 and config["padding"] == "same":
                paddings[config["name"]] = plan.padding((plan.kernel - 2) // 2)
                config["padding"] = "valid"
        if plan.kernel > 1 and plan.dilation > 1:
            if "pool_size" in config:
                size = (plan.kernel - 1) * plan.dilation + 1
                config["pool_size"] = (size, size)
            else:
                config["dilation_rate"] = (plan.dilation, plan.dilation)
        if isinstance(layer, keras.layers.ZeroPadding2D):
            (follower,) = (each for each in model.layers if layer in _sources(each))
            if plans[follower.name].is_changed:
                before = config["padding"][0][0]
                config["padding"] = (plans[follower.name].padding(before),) * 2
        if type(layer).__name__ == SCALED_SUM:
            scales[config["name"]] = config["scale"]
            return keras.layers.Add(name=config["name"])
        return type(layer).from_config(config)

    def call(layer: keras.layers.Layer, *tensors: Any, **arguments: Any) -> Any:  # noqa: ANN401
        if layer.name in paddings:
            pads = keras.layers.ZeroPadding2D((paddings[layer.name],) * 2, name=f"{layer.name}_pad")
            tensors = (pads(*tensors),)
        if layer.name in scales:
            [[first, second]] = tensors
            scaled = keras.layers.Rescaling(scales[layer.name], name=f"{layer.name}_scaled")
            tensors = ([first, scaled(second)],)
        return layer(*tensors, **arguments)

    return keras.models.clone_model(model, clone_function=replace, call_function=call)


@dataclass(frozen=True)
class _Plan:
    """What becomes of a layer.

    Attributes
    ----------
    kernel
        Its edge.
    stride
        The one it gets.
    dilation
        The one it gets.
    is_changed
        Whether one of the two is another than before.
    """

    kernel: int
    stride: int
    dilation: int
    is_changed: bool

    def padding(self, before: int) -> tuple[int, int]:
        """Return what is padded on both sides where `before` was padded on the first one."""
        return before * self.dilation, (self.kernel - 1 - before) * self.dilation


def _plans(model: keras.Model, output_stride: int) -> dict[str, _Plan]:
    """Decide on every layer, in their order."""
    # How many pixels lie between two features: in the encoder, and in the classifier.
    here: dict[str, int] = {}
    there: dict[str, int] = {}
    plans = {}
    for layer in model.layers:
        sources = [source.name for source in _sources(layer)]
        spacing = max((here[name] for name in sources), default=1)
        original = max((there[name] for name in sources), default=1)
        stride = _stride_of(layer)
        kept = stride if spacing * stride <= output_stride else 1
        dilation = original // spacing
        plans[layer.name] = _Plan(_kernel_of(layer), kept, dilation, kept != stride or dilation > 1)
        here[layer.name], there[layer.name] = spacing * kept, original * stride
    return plans


def _sources(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """Return the layers whose outputs `layer` takes."""
    if isinstance(layer, keras.layers.InputLayer):
        return []
    inputs = layer.input if isinstance(layer.input, list) else [layer.input]
    return [tensor._keras_history.operation for tensor in inputs]


def _stride_of(layer: keras.layers.Layer) -> int:
    strides = getattr(layer, "strides", 1)
    return int(strides if isinstance(strides, int) else strides[0])


def _kernel_of(layer: keras.layers.Layer) -> int:
    size = getattr(layer, "kernel_size", getattr(layer, "pool_size", 1))
    return int(size if isinstance(size, int) else size[0])
