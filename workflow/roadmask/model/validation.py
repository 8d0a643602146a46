"""The figures of a network on a whole split."""

from __future__ import annotations

from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from roadmask.model.losses import MaskedLoss
from roadmask.model.metrics import Figures, judge_confusion, judge_histogram
from roadmask.probability import CERTAIN
from roadmask.style import UNKNOWN


@dataclass(frozen=True)
class Verdict:
    """What validation found.

    Attributes
    ----------
    loss
        Of the split as a whole.
    figures
        From its full confusion matrix.
    """

    loss: float
    figures: Figures


class Validator:
    """Judges a network, again and again, on the same batches.

    Parameters
    ----------
    network
        From pictures to logits.
    batches
        Of pictures and labels, as `roadmask.model.pipeline` gives them.
    loss
        What is taken of the split as a whole.
    """

    def __init__(self, network: keras.Model, batches: tf.data.Dataset, loss: MaskedLoss) -> None:
        self.network = network
        self.batches = batches
        self.loss = loss
        self.outputs = int(network.output_shape[-1])
        # One trace serves batches of every size, the last and shorter one included.
        self._count = tf.function(self._count_batch, reduce_retracing=True)

    def judge(self) -> Verdict:
        """Run the network over all batches."""
        sums, counts = 0.0, 0
        for images, labels in self.batches:
            batch_sums, batch_counts = self._count(images, labels)
            sums = sums + batch_sums.numpy().astype(np.float64)
            counts = counts + batch_counts.numpy().astype(np.int64)
        loss = float(self.loss.of_sums(tf.constant(sums, tf.float32)))
        if self.outputs == 1:
            return Verdict(loss, judge_histogram(np.reshape(counts, (2, CERTAIN + 1))))
        return Verdict(loss, judge_confusion(np.reshape(counts, (self.outputs, self.outputs))))

    def _count_batch(self, images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the loss's sums and how often each pair of label and answer occurs."""
        logits = self.network(images, training=False)
        if self.outputs == 1:
            steps = tf.round(tf.sigmoid(logits) * CERTAIN)
            answers, kinds, pairs = steps[..., 0], CERTAIN + 1, 2 * (CERTAIN + 1)
        else:
            answers, kinds, pairs = tf.argmax(logits, axis=-1), self.outputs, self.outputs**2
        label = tf.cast(labels[..., 0], tf.int32)
        pair = label * kinds + tf.cast(answers, tf.int32)
        # Pixels whose label is not known are counted apart, behind the others.
        pair = tf.where(label == UNKNOWN, pairs, pair)
        counts = tf.math.bincount(tf.reshape(pair, [-1]), minlength=pairs + 1, maxlength=pairs + 1)
        return self.loss.sums(labels, logits), counts[:pairs]
