"""The records of the data set as TensorFlow reads them.

A record is a ``tf.train.Example``, one a tile, with these features, each one value unless
said otherwise. The first nine are DeepLab's.

=================================== ===== ==================================================
``image/encoded``                   bytes PNG, RGB, 8 bits: the first three bands (one band
                                          stands for all three; where there are two, the
                                          second stands for the third too)
``image/filename``                  bytes the tile's name
``image/format``                    bytes ``png``
``image/height`` ``image/width``    int64 pixels
``image/channels``                  int64 3
``image/segmentation/class/encoded`` bytes PNG, 8-bit greyscale: indices of classes, 255 where
                                          there is no picture or the label is not known
``image/segmentation/class/format`` bytes ``png``
``image/bands/encoded``             bytes only where the bands are not exactly three: all of
                                          them, uint8, rows by columns by bands (C order)
``image/bands/count``               int64 only with the former: how many
``image/scene`` ``image/tile``      bytes their names
``image/crs``                       bytes WKT, empty in pixel mode
``image/transform``                 6 x   a, b, c, d, e, f of the tile's affine transform, each
                                    bytes as decimal text: the format's own floats have 32
                                          bits, too few for a place in feet
=================================== ===== ==================================================
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import tensorflow as tf

RGB = 3


def feature_spec(bands: int) -> dict[str, tf.io.FixedLenFeature]:
    """Return what to parse of a record to get its picture and label.

    Parameters
    ----------
    bands
        How many bands the data set has: the length of ``bands`` in ``dataset.json``.
    """
    spec = {
        "image/height": tf.io.FixedLenFeature([], tf.int64),
        "image/width": tf.io.FixedLenFeature([], tf.int64),
        "image/segmentation/class/encoded": tf.io.FixedLenFeature([], tf.string),
    }
    picture = "image/encoded" if bands == RGB else "image/bands/encoded"
    return spec | {picture: tf.io.FixedLenFeature([], tf.string)}


def place_spec() -> dict[str, tf.io.FixedLenFeature]:
    """Return what to parse of a record to get its place on the ground."""
    return {
        "image/scene": tf.io.FixedLenFeature([], tf.string),
        "image/tile": tf.io.FixedLenFeature([], tf.string),
        "image/crs": tf.io.FixedLenFeature([], tf.string),
        "image/transform": tf.io.FixedLenFeature([6], tf.string),
    }


def parse_example(
    serialized: tf.Tensor, bands: int, size: int | None = None
) -> tuple[tf.Tensor, tf.Tensor]:
    """Turn one record into a picture and its label.

    Parameters
    ----------
    serialized
        A scalar string: the record.
    bands
        How many bands the data set has.
    size
        Edge of its tiles, which makes the shapes known to the graph; unknown by default.

    Returns
    -------
    image
        uint8 ``(height, width, bands)``.
    label
        uint8 ``(height, width)``: index of the class, 255 not known.
    """
    example = tf.io.parse_single_example(serialized, feature_spec(bands))
    height, width = example["image/height"], example["image/width"]
    if bands == RGB:
        image = tf.io.decode_png(example["image/encoded"], channels=RGB)
    else:
        image = tf.reshape(
            tf.io.decode_raw(example["image/bands/encoded"], tf.uint8), [height, width, bands]
        )
    label = tf.io.decode_png(example["image/segmentation/class/encoded"], channels=1)[..., 0]
    image = tf.ensure_shape(image, [size, size, bands])
    return image, tf.ensure_shape(label, [size, size])


def parse_place(serialized: tf.Tensor) -> dict[str, tf.Tensor]:
    """Return ``scene``, ``tile``, ``crs`` (string scalars) and ``transform`` (float64, 6)."""
    example = tf.io.parse_single_example(serialized, place_spec())
    place = {name.removeprefix("image/"): value for name, value in example.items()}
    place["transform"] = tf.strings.to_number(place["transform"], tf.float64)
    return place


def records(
    paths: Sequence[str | Path],
    bands: int,
    size: int | None = None,
    *,
    threads: int = 1,
    deterministic: bool = True,
) -> tf.data.Dataset:
    """Read pictures and labels from shards, several at a time.

    Parameters
    ----------
    paths
        The shards, whose order is the order of the records when `deterministic`.
    bands, size
        As for `parse_example`.
    threads
        How many records are decoded at once.
    deterministic
        Whether the order must be the same every time.

    Returns
    -------
    tf.data.Dataset
        Of ``(image, label)``, neither shuffled, batched nor repeated. A broken record
        raises ``tf.errors.DataLossError`` while it is read: the format's checksums are
        verified.
    """
    serialized = tf.data.TFRecordDataset([str(path) for path in paths])
    dataset = serialized.map(
        lambda record: parse_example(record, bands, size),
        num_parallel_calls=threads,
        deterministic=deterministic,
    )
    options = tf.data.Options()
    options.threading.private_threadpool_size = threads
    return dataset.with_options(options)
