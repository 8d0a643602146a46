"""Random changes of picture and label together.

Each takes a seed of its own for each sample, so the same sample number gets the same change
in whatever order, on however many threads, and after a training was killed and goes on.
On the way picture and label are one tensor, the label its last band.
"""

from __future__ import annotations

import tensorflow as tf


def random_crop(sample: tf.Tensor, crop: int, seed: tf.Tensor) -> tf.Tensor:
    """Cut a square out at a random place.

    Parameters
    ----------
    sample
        ``(rows, columns, bands)``, at least `crop` along both axes.
    crop
        Edge of the square.
    seed
        int ``(2,)``.
    """
    rows, columns = tf.shape(sample)[0], tf.shape(sample)[1]
    free = tf.stack([rows - crop + 1, columns - crop + 1])
    share = tf.random.stateless_uniform([2], seed)
    # The share is below 1, but its product with a large number may be rounded up to it.
    place = tf.minimum(tf.cast(share * tf.cast(free, tf.float32), tf.int32), free - 1)
    return tf.slice(sample, [place[0], place[1], 0], [crop, crop, -1])


def random_symmetry(sample: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Mirror and turn a square in one of the eight ways, all equally likely."""
    way = tf.random.stateless_uniform([], seed, maxval=8, dtype=tf.int32)
    mirrored = tf.cond(way >= 4, lambda: sample[:, ::-1], lambda: sample)
    return tf.image.rot90(mirrored, way % 4)
