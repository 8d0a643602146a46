"""The trained network as a plain function from bytes to probabilities.

Imports TensorFlow, which takes seconds: import this module only once the input is checked.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf

from roadmask.errors import InputError, SettingError
from roadmask.predictions.streaming import Network

# Rounding may leave a sigmoid or softmax a hair outside [0, 1].
SLACK = 1e-3


def set_threads(threads: int) -> None:
    """Let TensorFlow use this many threads; it ignores OMP_NUM_THREADS.

    Has no effect where TensorFlow has started already in this process.
    """
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError:
        return


def load_network(path: Path, window: int, bands: int, outputs: int, batch: int) -> Network:
    """Load a model and fix the shape of its input, which makes it faster.

    Parameters
    ----------
    path
        A ``.keras`` file.
    window
        Pixels of the input along one axis.
    bands
        Bands of the input.
    outputs
        Probabilities a pixel that it must give.
    batch
        Windows that it gets at once.

    Raises
    ------
    InputError
        If the file holds no such network.
    SettingError
        If the network was made for one size of window, and this is another.
    """
    tf.keras.utils.disable_interactive_logging()
    try:
        model = tf.keras.models.load_model(path, compile=False)
    except Exception as error:
        # Keras raises anything from KeyError to zipfile's errors on a damaged file.
        raise InputError(
            path,
            f"Keras can't load it ({type(error).__name__}: {str(error).splitlines()[0][:200]})",
            "Name a .keras file that stage model of this version wrote, "
            "or remove prediction.model to train one",
        ) from error
    _check_shapes(path, model, window, bands)
    signature = tf.TensorSpec((batch, window, window, bands), tf.uint8)

    def forward(pixels: tf.Tensor) -> tf.Tensor:
        return tf.cast(model(tf.cast(pixels, tf.float32), training=False), tf.float32)

    answer = tf.function(forward, input_signature=[signature], autograph=False)
    shape = tuple(answer.get_concrete_function().output_shapes)
    if shape != (batch, window, window, outputs):
        raise InputError(
            path,
            f"the network turns windows of {window} x {window} pixels into an answer of shape "
            f"{shape[1:]} instead of {(window, window, outputs)}",
            "Name a network that gives one probability a pixel and class",
        )

    def network(pixels: np.ndarray) -> np.ndarray:
        probabilities: np.ndarray = answer(tf.constant(pixels)).numpy()
        lowest, highest = float(probabilities.min()), float(probabilities.max())
        # A comparison with NaN is false, so this finds it too.
        if not (lowest >= -SLACK and highest <= 1 + SLACK):
            raise InputError(
                path,
                f"the network answers values from {lowest:g} to {highest:g}, "
                "which are no probabilities",
                "Train it again with a lower training.learning_rate, "
                "or name a network that ends in a sigmoid or softmax",
            )
        return probabilities

    return network


def _check_shapes(path: Path, model: tf.keras.Model, window: int, bands: int) -> None:
    """Refuse a model whose input can't be what the card and the settings say."""
    shape = tuple(model.input_shape) if isinstance(model.input_shape, tuple) else ()
    if len(shape) != 4 or shape[3] not in (None, bands):
        raise InputError(
            path,
            f"the network's input has shape {model.input_shape}, "
            f"but its card speaks of pictures with {bands} bands",
            "Name a .keras file as stage model wrote it",
        )
    for size in shape[1:3]:
        if size not in (None, window):
            raise SettingError(
                "prediction.window",
                f"the network {path} was made for windows of {size} pixels, not {window}",
                f"Write {size}",
            )
