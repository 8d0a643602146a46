"""The network for the looks: how it is built, taught and written."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import keras
import numpy as np
import onnx
import tensorflow as tf
import tf2onnx
from numpy.typing import NDArray

from roadmask.files import replacing
from roadmask.looks.learning import CROP, SEED, Lesson
from roadmask.looks.seeing import CELLS, PROBABILITY, TAUGHT
from roadmask.model.devices import fast_precision
from roadmask.model.exports import OPSET
from roadmask.model.making import start_tensorflow
from roadmask.model.networks.layers import (
    LOGITS,
    convolve,
    normalize,
    training_twin,
    with_open_sides,
)
from roadmask.style import UNKNOWN

log = logging.getLogger(__name__)

Values = NDArray[np.float32]

# Channels of each level; every level halves the picture. More of them help less than more steps.
CHANNELS = (16, 32, 32, 32)
# Crops a step, steps, and the rate at the first of them.
BATCH, STEPS, RATE = 12, 800, 4e-3
# Grey values; what hardly differs is not blown up.
LEAST_DEVIATION = 1e-3
# How much brighter, darker and other in colour crops are made, in deviations of the values.
CONTRAST, SHADE, HUE = (0.8, 1.25), 0.25, 0.1


def build(mean: Values, deviation: Values, road: float) -> keras.Model:
    """Return an untaught U-Net (Ronneberger et al. 2015) from cells to probabilities of road.

    It works on pairs of cells in both directions, which takes a third of the time.

    Parameters
    ----------
    mean, deviation
        ``(values,)`` of what cells hold.
    road
        Share of them that are road, which the network says of everything to begin with (Lin et
        al. 2017, "Focal loss"). From an even chance on, where road is rare, it first learns to
        know other ground, and of road that it is none: then nothing is road with more than 0.5.
    """
    picture = keras.Input((None, None, len(mean)), name=CELLS)
    scale = 1 / np.maximum(deviation, LEAST_DEVIATION)
    features = keras.layers.Rescaling(scale.tolist(), (-mean * scale).tolist())(picture)
    features = keras.layers.Conv2D(CHANNELS[0], 2, strides=2, use_bias=False, name="pairs")(
        features
    )
    features = keras.layers.ReLU()(normalize(features, "pairs_bn"))
    kept = []
    for level, channels in enumerate(CHANNELS):
        if level:
            features = keras.layers.MaxPool2D()(features)
        features = _twice(features, channels, f"down{level}")
        kept.append(features)
    for level in reversed(range(len(CHANNELS) - 1)):
        features = keras.layers.UpSampling2D(interpolation="bilinear")(features)
        features = keras.layers.Concatenate()([features, kept[level]])
        features = _twice(features, CHANNELS[max(level - 1, 0)], f"up{level}")
    odds = keras.layers.Conv2DTranspose(
        1,
        2,
        strides=2,
        bias_initializer=keras.initializers.Constant(math.log(road / (1 - road))),
        name=LOGITS,
    )(features)
    likeness = keras.layers.Activation("sigmoid", dtype="float32", name=PROBABILITY)(odds)
    return keras.Model(picture, likeness, name="looks")


def _twice(features: keras.KerasTensor, channels: int, name: str) -> keras.KerasTensor:
    for turn in (1, 2):
        features = convolve(features, channels, 3, f"{name}_{turn}")
    return features


def learn(lessons: Sequence[Lesson], values: int) -> keras.Model:
    """Teach a network.

    Parameters
    ----------
    lessons
        The ground to learn from; without any, the network stays untaught.
    values
        How many numbers a cell holds.
    """
    start_tensorflow(1, SEED)
    if not lessons:
        return build(np.zeros(values, np.float32), np.ones(values, np.float32), 0.5)
    known = np.concatenate([lesson.values[lesson.label != UNKNOWN] for lesson in lessons])
    deviation = known.std(axis=0)
    labels = np.concatenate([lesson.label[lesson.label != UNKNOWN] for lesson in lessons])
    model = build(known.mean(axis=0), deviation, float(np.mean(labels > 0)))
    precision = fast_precision(model)
    log.info("%d cells to learn from, arithmetic: %s", len(known), precision)
    del known, labels
    twin = training_twin(model, precision)
    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(RATE, STEPS))
    optimizer.build(twin.trainable_variables)

    @tf.function(  # type: ignore[untyped-decorator]
        input_signature=[
            tf.TensorSpec((BATCH, CROP, CROP, values), tf.float32),
            tf.TensorSpec((BATCH, CROP, CROP), tf.uint8),
        ]
    )
    def step(pictures: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        weights = tf.cast(labels != UNKNOWN, tf.float32)
        with tf.GradientTape() as tape:
            odds = twin(pictures, training=True)[..., 0]
            each = tf.nn.sigmoid_cross_entropy_with_logits(
                tf.cast(labels > 0, tf.float32), tf.cast(odds, tf.float32)
            )
            loss = tf.reduce_sum(each * weights) / tf.maximum(tf.reduce_sum(weights), 1.0)
        gradients = tape.gradient(loss, twin.trainable_variables)
        optimizer.apply(gradients, twin.trainable_variables)
        return loss

    losses = [float(step(*batch)) for batch in batches(lessons, deviation)]
    log.info("loss %.3f at first, %.3f at last", np.mean(losses[:20]), np.mean(losses[-20:]))
    model.set_weights(twin.get_weights())
    return model


def batches(
    lessons: Sequence[Lesson], deviation: Values
) -> Iterator[tuple[Values, NDArray[np.uint8]]]:
    """Give random crops, turned, mirrored, and of another light.

    Parameters
    ----------
    lessons
        The ground.
    deviation
        ``(values,)`` of what cells hold.

    Yields
    ------
    pictures : numpy.ndarray
        ``(batch, crop, crop, values)`` float32.
    labels : numpy.ndarray
        ``(batch, crop, crop)`` uint8.
    """
    rng = np.random.default_rng(SEED)
    known = np.array([lesson.known for lesson in lessons], float)
    for _ in range(STEPS):
        crops = [
            _crop(lessons[rng.choice(len(lessons), p=known / known.sum())], deviation, rng)
            for _ in range(BATCH)
        ]
        pictures, labels = zip(*crops, strict=True)
        yield np.stack(pictures), np.stack(labels)


def _crop(
    lesson: Lesson, deviation: Values, rng: np.random.Generator
) -> tuple[Values, NDArray[np.uint8]]:
    top, left = (int(rng.integers(side - CROP + 1)) for side in lesson.label.shape)
    here = np.s_[top : top + CROP, left : left + CROP]
    quarters, is_mirrored = int(rng.integers(4)), bool(rng.integers(2))
    picture, label = np.rot90(lesson.values[here], quarters), np.rot90(lesson.label[here], quarters)
    if is_mirrored:
        picture, label = picture[:, ::-1], label[:, ::-1]
    middle = picture.mean(axis=(0, 1))
    light = rng.normal(0, SHADE) + rng.normal(0, HUE, len(deviation))
    changed = (picture - middle) * rng.uniform(*CONTRAST) + middle + light * deviation
    return changed.astype(np.float32), label


def write(path: Path, model: keras.Model, *, is_taught: bool) -> None:
    """Write a network as ONNX.

    Parameters
    ----------
    path
        The file.
    model
        As `build` returns it.
    is_taught
        Whether it learned anything.
    """
    served = with_open_sides(model)
    specification = [tf.TensorSpec((None, *model.input_shape[1:]), tf.float32, name=CELLS)]
    converted, _ = tf2onnx.convert.from_function(
        tf.function(lambda cells: {PROBABILITY: served(cells, training=False)}),
        input_signature=specification,
        opset=OPSET,
    )
    onnx.helper.set_model_props(converted, {TAUGHT: json.dumps(is_taught)})
    with replacing(path) as temporary:
        onnx.save(converted, temporary)
