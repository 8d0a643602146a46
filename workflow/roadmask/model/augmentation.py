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


def random_light(sample: tf.Tensor, strength: float, seed: tf.Tensor) -> tf.Tensor:
    """Change a picture's exposure, tone curve and white balance; its label stays.

    Parameters
    ----------
    sample
        uint8 ``(rows, columns, bands)``, the label its last band. 0 stays 0, which is what
        a pixel without picture holds.
    strength
        Largest change of the exposure as a natural logarithm: 0.4 darkens to 0.67 and
        brightens to 1.5 of it. The exponent of the tone curve changes by half as much, each
        band against the others by a fifth.
    seed
        int ``(2,)``.
    """
    picture, label = sample[..., :-1], sample[..., -1:]
    bands = picture.shape[-1]
    draws = tf.random.stateless_uniform([bands + 2], seed, -strength, strength)
    gain = tf.exp(draws[0] + draws[2:] / 5)
    exponent = tf.exp(draws[1] / 2)
    changed = 255 * gain * tf.pow(tf.cast(picture, tf.float32) / 255, exponent)
    rounded = tf.cast(tf.round(tf.clip_by_value(changed, 0, 255)), sample.dtype)
    return tf.concat([rounded, label], axis=-1)
