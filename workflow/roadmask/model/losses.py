"""Losses that leave unknown pixels out.

A loss is made in two steps: sums over pixels, and a formula over the sums. A training step
takes the sums of its batch, validation those of the whole split: so ``val_loss`` is the
loss of the split and no average of batches.

With one class, ``other`` has no share in the Dice and Tversky terms. With more it has, like
every class.
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from roadmask.errors import SettingError
from roadmask.model.settings import LOSSES, TrainingSettings
from roadmask.style import UNKNOWN

# In pixels. It makes the Dice of nothing predicted and nothing labelled a 1.
SMOOTH = 1.0
# Under a power, so that its slope stays finite where a pixel is right for sure.
LEAST_ERROR = 1e-7


def known_pixels(labels: tf.Tensor) -> tf.Tensor:
    """Return float32 like `labels`: 1 where the label is known."""
    return tf.cast(tf.not_equal(labels, UNKNOWN), tf.float32)


class MaskedLoss:
    """A loss of labels and logits.

    Parameters
    ----------
    name
        One of `LOSSES`: the soft Dice loss (Milletari et al. 2016), the cross-entropy, their
        sum, the focal loss (Lin et al. 2017), the Tversky loss (Salehi et al. 2017).
    weights
        Of ``other`` and each class. In the cross-entropy and the focal loss a pixel counts
        by that of its class; with several outputs the mean over them of the Dice and
        Tversky terms is weighted. None: all the same.
    focal_gamma, tversky_misses
        As in `TrainingSettings`.
    """

    def __init__(
        self,
        name: str = "dice_crossentropy",
        weights: Sequence[float] | None = None,
        focal_gamma: float = 2.0,
        tversky_misses: float = 0.7,
    ) -> None:
        if name not in LOSSES:
            raise SettingError("training.loss", f"{name!r} is no loss", "Write one that exists")
        self.name = name
        self.weights = None if weights is None else tf.constant(weights, tf.float32)
        self.gamma = focal_gamma if name == "focal" else 0.0
        # Dice is the Tversky index of equal weights.
        self.misses = tversky_misses if name == "tversky" else 0.5

    @classmethod
    def of(cls, settings: TrainingSettings, weights: Sequence[float]) -> MaskedLoss:
        """Return the loss of a training, with the class weights of its data set."""
        chosen = weights if settings.class_weights == "balanced" else None
        return cls(settings.loss, chosen, settings.focal_gamma, settings.tversky_misses)

    def __call__(self, labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        """Return the loss, a scalar; the parameters are those of `sums`."""
        return self.of_sums(self.sums(labels, logits))

    def sums(self, labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        """Sum over pixels what the loss needs.

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
            class, the probability on all pixels, the pixels of its class. In the last row:
            the weighted cross-entropy or focal loss, the weights, the known pixels.
        """
        logits = tf.cast(logits, tf.float32)
        known = known_pixels(labels)
        outputs = logits.shape[-1]
        # Where the label is not known any class will do, as its share is 0.
        index = tf.where(tf.equal(labels, UNKNOWN), tf.zeros_like(labels), labels)
        index = tf.cast(index, tf.int32)
        if outputs == 1:
            truth = tf.cast(index, tf.float32)
            error = tf.nn.sigmoid_cross_entropy_with_logits(labels=truth, logits=logits)
            probability = tf.sigmoid(logits)
        else:
            truth = tf.one_hot(index[..., 0], outputs) * known
            error = tf.nn.sparse_softmax_cross_entropy_with_logits(
                labels=index[..., 0], logits=logits
            )[..., None]
            probability = tf.nn.softmax(logits)
        if self.gamma:
            # The probability of the right class is exp(-error).
            error *= tf.maximum(-tf.math.expm1(-error), LEAST_ERROR) ** self.gamma
        weight = known if self.weights is None else known * tf.gather(self.weights, index)
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
        last = tf.stack(
            [tf.reduce_sum(error * weight), tf.reduce_sum(weight), tf.reduce_sum(known)]
        )
        return tf.concat([by_output, last[None]], axis=0)

    def of_sums(self, sums: tf.Tensor) -> tf.Tensor:
        """Return the loss of what `sums` gave, added up over any number of batches."""
        terms = []
        if self.name in ("dice_crossentropy", "dice", "tversky"):
            terms.append(self._overlap(sums))
        if self.name in ("dice_crossentropy", "crossentropy", "focal"):
            # Weights may be small; where there is nothing known both sums are 0.
            terms.append(tf.math.divide_no_nan(sums[-1, 0], sums[-1, 1]))
        return tf.add_n(terms)

    def _overlap(self, sums: tf.Tensor) -> tf.Tensor:
        """Return 1 less the soft Tversky index, the mean over the outputs."""
        hit, predicted, labelled = tf.unstack(sums[:-1], axis=1)
        missed, false = labelled - hit, predicted - hit
        smooth = SMOOTH / 2
        index = (hit + smooth) / (hit + self.misses * missed + (1.0 - self.misses) * false + smooth)
        if self.weights is None or index.shape[0] == 1:
            return 1.0 - tf.reduce_mean(index)
        return 1.0 - tf.reduce_sum(index * self.weights) / tf.reduce_sum(self.weights)
