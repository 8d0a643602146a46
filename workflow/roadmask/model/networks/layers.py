"""Parts that networks share, and the form of a network that trains faster."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from roadmask.model.card import outputs_of

# Rows, columns and bands; None where a size is left open.
InputShape = tuple[int | None, int | None, int]

SCORES = "scores"
LOGITS = "logits"
PROBABILITY = "probability"
# Keras' own 0.99 needs hundreds of steps until the moving statistics follow; short runs
# then validate and predict with those of an earlier network.
NORMALIZATION_MOMENTUM = 0.9


def normalize(tensor: Any, name: str, epsilon: float = 1e-3) -> Any:  # noqa: ANN401 (symbolic)
    """Add a batch normalization."""
    return keras.layers.BatchNormalization(
        momentum=NORMALIZATION_MOMENTUM, epsilon=epsilon, name=name
    )(tensor)


def convolve(tensor: Any, channels: int, kernel: int, name: str, dilation: int = 1) -> Any:  # noqa: ANN401
    """Add a convolution without bias, a batch normalization and a ReLU."""
    tensor = keras.layers.Conv2D(
        channels,
        kernel,
        padding="same",
        dilation_rate=dilation,
        use_bias=False,
        kernel_initializer="he_normal",
        name=f"{name}_conv",
    )(tensor)
    return keras.layers.ReLU(name=f"{name}_relu")(normalize(tensor, f"{name}_bn"))


def add_head(features: Any, classes: int, enlarged: int = 1) -> Any:  # noqa: ANN401 (symbolic)
    """Add the last layers: one sigmoid for one class, else a softmax over other and classes.

    Parameters
    ----------
    features
        ``(batch, rows, columns, channels)``.
    classes
        How many classes there are besides other.
    enlarged
        How many pixels of the picture a feature spans; the logits are interpolated between.
    """
    outputs = outputs_of(classes)
    if enlarged == 1:
        logits = keras.layers.Conv2D(outputs, 1, name=LOGITS)(features)
    else:
        scores = keras.layers.Conv2D(outputs, 1, name=SCORES)(features)
        logits = keras.layers.UpSampling2D(enlarged, interpolation="bilinear", name=LOGITS)(scores)
    activation = "sigmoid" if outputs == 1 else "softmax"
    # In 32 bits also where the rest of the network is not.
    return keras.layers.Activation(activation, dtype="float32", name=PROBABILITY)(logits)


class FusedBatchNormalization(keras.layers.BatchNormalization):  # type: ignore[misc]
    """Batch normalization by TensorFlow's one fused operation while training.

    Keras makes it of many small ones, which takes a sixth of a U-Net's training time. The
    moving variance is the unbiased one, which differs by one part in the number of pixels.
    """

    def call(
        self,
        inputs: tf.Tensor,
        training: bool | None = None,
        mask: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Normalize; with ``training``, by the batch's own mean and variance."""
        if not (training and self.trainable):
            return super().call(inputs, training=False, mask=mask)
        channels = inputs.shape[-1]
        normalized, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            inputs,
            # In 32 bits whatever the inputs are.
            tf.convert_to_tensor(self.gamma.value) if self.scale else tf.ones(channels),
            tf.convert_to_tensor(self.beta.value) if self.center else tf.zeros(channels),
            epsilon=self.epsilon,
            is_training=True,
        )
        for moving, value in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + value * (1.0 - self.momentum))
        return normalized


class OpenUpSampling2D(keras.layers.UpSampling2D):  # type: ignore[misc]
    """Enlargement of pictures whose size a graph leaves open.

    Keras' own (3.15) asks in Python whether the size is above 0 where it interpolates, which a
    graph can't answer, and repeats pixels in a way that hides the channels from TFLite.
    """

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Enlarge ``(batch, rows, columns, channels)``."""
        size = tf.shape(inputs)[1:3] * tf.constant(self.size)
        return tf.image.resize(inputs, size, self.interpolation)


def with_open_sides(model: keras.Model) -> keras.Model:
    """Return a network like `model`, with its weights, as a graph for pictures of any size.

    Parameters
    ----------
    model
        A network as `roadmask.model.networks` builds it.
    """

    def replace(layer: keras.layers.Layer) -> keras.layers.Layer:
        if type(layer) is keras.layers.UpSampling2D:
            return OpenUpSampling2D.from_config(layer.get_config())
        return type(layer).from_config(layer.get_config())

    clone = keras.models.clone_model(model, clone_function=replace)
    clone.set_weights(model.get_weights())
    return clone


def judged_part(model: keras.Model) -> keras.Model:
    """Return the part of `model` that gives logits; it shares the weights."""
    return keras.Model(model.input, model.get_layer(LOGITS).output, name=f"{model.name}_logits")


def training_twin(model: keras.Model, precision: str = "float32") -> keras.Model:
    """Return a network like `model` that trains faster and gives logits.

    Its weights have the same order and shapes, so that `get_weights` of one fits
    `set_weights` of the other. They start with the same values.

    Parameters
    ----------
    model
        A network as `roadmask.model.networks` builds it.
    precision
        ``float32``, or ``bfloat16``: then only the weights, the statistics of the batch
        normalizations and the loss have 32 bits.
    """

    def replace(layer: keras.layers.Layer) -> keras.layers.Layer:
        config = layer.get_config()
        if precision != "float32" and layer.name not in (SCORES, LOGITS):
            config["dtype"] = f"mixed_{precision}"
        if type(layer) is keras.layers.BatchNormalization:
            return FusedBatchNormalization.from_config(config)
        return type(layer).from_config(config)

    clone = keras.models.clone_model(model, clone_function=replace)
    twin = keras.Model(clone.input, clone.get_layer(LOGITS).output, name=f"{model.name}_twin")
    twin.set_weights(model.get_weights())
    return twin
