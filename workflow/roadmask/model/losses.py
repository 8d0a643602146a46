"""Losses that leave unknown pixels out.

A loss is made in two steps: sums over pixels, and a formula over the sums. A training step
takes the sums of its batch, validation those of the whole split: so ``val_loss`` is the
loss of the split and no average of batches.

With one class, ``other`` has no share in the Dice term. With more it has, like every class.
"""

from __future__ import annotations

import keras
import tensorflow as tf

UNKNOWN = 255
# In pixels. It makes the Dice of nothing predicted and nothing labelled a 1.
SMOOTH = 1.0


def known_pixels(labels: tf.Tensor) -> tf.Tensor:
    """Return float32 like `labels`: 1 where the label is known."""
    return tf.cast(tf.not_equal(labels, UNKNOWN), tf.float32)


def pixel_sums(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Sum over pixels what the losses need.

    Parameters
    ----------
    labels
        uint8 ``(batch, rows, columns, 1)``: index of the class, 255 not known.
    logits
        float ``(batch, rows, columns, outputs)``.

    Returns
    -------
    tf.Tensor
        float32 ``(outputs + 1, 3)``. Of each output: the probability on pixels of its
        class, the probability on all pixels, the pixels of its class. In the last row: the
        cross-entropy, the known pixels, and nothing.
    """
    logits = tf.cast(logits, tf.float32)
    known = known_pixels(labels)
    outputs = logits.shape[-1]
    if outputs == 1:
        truth = tf.cast(tf.equal(labels, 1), tf.float32)
        entropy = tf.nn.sigmoid_cross_entropy_with_logits(labels=truth, logits=logits)
        probability = tf.sigmoid(logits)
    else:
        # Where the label is not known any class will do, as its share is 0.
        index = tf.where(tf.equal(labels, UNKNOWN), tf.zeros_like(labels), labels)[..., 0]
        truth = tf.one_hot(tf.cast(index, tf.int32), outputs) * known
        entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(
            labels=tf.cast(index, tf.int32), logits=logits
        )[..., None]
        probability = tf.nn.softmax(logits)
    probability *= known
    axes = (0, 1, 2)
    by_output = tf.stack(
        [
            tf.reduce_sum(probability * truth, axes),
            tf.reduce_sum(probability, axes),
            tf.reduce_sum(truth, axes),
        ],
        axis=1,
    )
    last = tf.stack([tf.reduce_sum(entropy * known), tf.reduce_sum(known), tf.constant(0.0)])
    return tf.concat([by_output, last[None]], axis=0)


def dice(sums: tf.Tensor) -> tf.Tensor:
    """Return 1 less the soft Dice coefficient, the mean over the outputs."""
    hit, predicted, labelled = tf.unstack(sums[:-1], axis=1)
    coefficient = (2.0 * hit + SMOOTH) / (predicted + labelled + SMOOTH)
    return 1.0 - tf.reduce_mean(coefficient)


def crossentropy(sums: tf.Tensor) -> tf.Tensor:
    """Return the mean cross-entropy of the known pixels; 0 where there are none."""
    return sums[-1, 0] / tf.maximum(sums[-1, 1], 1.0)


def dice_crossentropy(sums: tf.Tensor) -> tf.Tensor:
    """Return the sum of `dice` and `crossentropy`."""
    return dice(sums) + crossentropy(sums)


FORMULAS = {
    "dice_crossentropy": dice_crossentropy,
    "dice": dice,
    "crossentropy": crossentropy,
}


class MaskedLoss(keras.losses.Loss):  # type: ignore[misc]
    """A formula over the sums of a batch, as Keras wants it.

    Parameters
    ----------
    name
        A key of `FORMULAS`.
    """

    def __init__(self, name: str) -> None:
        # Keras takes the mean over what `call` gives, which is one number.
        super().__init__(name=name, reduction="sum_over_batch_size")
        self.formula = FORMULAS[name]

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """Return the loss of labels and logits, a scalar."""
        return self.formula(pixel_sums(y_true, y_pred))
