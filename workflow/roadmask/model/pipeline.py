"""From records to batches.

The training samples form one endless stream, numbered from 0. What a sample is, the tile,
the crop and the changes, follows from the seed and its number alone: a stream that starts
at number n gives what one from 0 would give there.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tensorflow as tf

from roadmask.dataset.reading import parse_example, records
from roadmask.errors import InputError
from roadmask.model.augmentation import random_crop, random_light, random_symmetry
from roadmask.model.losses import UNKNOWN
from roadmask.model.settings import TrainingSettings

# Splits up to this size are kept decoded in memory, larger ones read again in each pass.
CACHE_BYTES = 2**30
# Of a split that is read again: so many serialized records are mixed at a time.
SHUFFLE_BUFFER = 512
SHARDS_AT_ONCE = 4
# What draws from the seed, so that no two get the same numbers.
ORDER, CROP, SYMMETRY, LIGHT = range(4)


@dataclass(frozen=True)
class Split:
    """The tiles of a split.

    Attributes
    ----------
    paths
        The shards.
    tiles
        How many tiles they hold.
    size
        Edge of a tile in pixels.
    bands
        Bands of a picture.
    """

    paths: tuple[Path, ...]
    tiles: int
    size: int
    bands: int

    @property
    def fits_in_memory(self) -> bool:
        """Whether the decoded tiles take no more than `CACHE_BYTES`."""
        return self.tiles * self.size**2 * (self.bands + 1) <= CACHE_BYTES

    def samples(self, threads: int) -> tf.data.Dataset:
        """Read all tiles once, in their order, each ``(rows, columns, bands + 1)`` uint8."""
        read = records(self.paths, self.bands, self.size, threads=threads)
        return read.map(_join)

    def load(self, threads: int) -> tf.Tensor:
        """Read all tiles into memory: uint8 ``(tiles, rows, columns, bands + 1)``.

        Raises
        ------
        InputError
            If there are not as many as there should be, or a record is damaged.
        """
        try:
            read = list(self.samples(threads))
        except (tf.errors.DataLossError, tf.errors.InvalidArgumentError) as error:
            raise InputError(
                self.paths[0].parent,
                f"a record is damaged ({str(error).splitlines()[0][:200]})",
                "Make stage dataset again",
            ) from error
        if len(read) != self.tiles:
            raise InputError(
                self.paths[0].parent,
                f"{len(read)} tiles in the shards, but {self.tiles} in dataset.json",
                "Make stage dataset again",
            )
        return tf.stack(read)


def _join(image: tf.Tensor, label: tf.Tensor) -> tf.Tensor:
    return tf.concat([image, label[..., None]], axis=-1)


def _part(sample: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    return sample[..., :-1], sample[..., -1:]


def padded(sample: tf.Tensor, edge: int) -> tf.Tensor:
    """Widen a sample to the right and below to `edge`, with nothing known there.

    Parameters
    ----------
    sample
        uint8 ``(rows, columns, bands + 1)``.
    edge
        At least as large as both sides.
    """
    missing = [[0, edge - tf.shape(sample)[0]], [0, edge - tf.shape(sample)[1]]]
    image = tf.pad(sample[..., :-1], [*missing, [0, 0]])
    label = tf.pad(sample[..., -1:], [*missing, [0, 0]], constant_values=UNKNOWN)
    return tf.concat([image, label], axis=-1)


def rounded_up(pixels: int, stride: int) -> int:
    """Return the smallest multiple of `stride` that is not less than `pixels`."""
    return -(-pixels // stride) * stride


@dataclass(frozen=True)
class TrainingStream:
    """The training samples in batches.

    Attributes
    ----------
    split
        The training split.
    settings
        Of the training.
    stride
        Both sides of a crop are a multiple of it.
    threads
        How many samples are made at once.
    """

    split: Split
    settings: TrainingSettings
    stride: int
    threads: int

    @property
    def crop(self) -> int:
        """Edge of a crop, before it is padded to a multiple of the stride."""
        return min(self.settings.crop, self.split.size)

    @property
    def crops_per_tile(self) -> int:
        """How many crops of a tile are as large as the tile."""
        return max(1, round((self.split.size / self.crop) ** 2))

    @property
    def samples_per_pass(self) -> int:
        """Samples until each tile has had its turn."""
        return self.split.tiles * self.crops_per_tile

    @property
    def steps_per_epoch(self) -> int:
        """Batches of about one pass. None is cut short: the next pass begins in mid-batch."""
        return max(1, round(self.samples_per_pass / self.settings.batch_size))

    def batches(self, first_step: int) -> tf.data.Dataset:
        """Return the endless stream from a step on.

        Parameters
        ----------
        first_step
            Counted from 0 over the whole training.

        Returns
        -------
        tf.data.Dataset
            Of pictures uint8 ``(batch, rows, columns, bands)`` and labels uint8
            ``(batch, rows, columns, 1)``.
        """
        first = first_step * self.settings.batch_size
        make = self._from_memory if self.split.fits_in_memory else self._from_shards
        dataset = (
            make(first).batch(self.settings.batch_size, drop_remainder=True).map(_part).prefetch(2)
        )
        return dataset.with_options(_options(self.threads))

    def _seed(self, purpose: int, number: tf.Tensor) -> tf.Tensor:
        first = tf.constant(self.settings.seed * 3 + purpose, tf.int64)
        return tf.stack([first, tf.cast(number, tf.int64)])

    def _from_memory(self, first: int) -> tf.data.Dataset:
        tiles = self.split.load(self.threads)

        def order(number: tf.Tensor) -> tf.data.Dataset:
            indices = tf.range(self.samples_per_pass) % self.split.tiles
            seed = self._seed(ORDER, number)
            shuffled = tf.random.experimental.stateless_shuffle(indices, seed)
            return tf.data.Dataset.from_tensor_slices(shuffled)

        start, skipped = divmod(first, self.samples_per_pass)
        indices = tf.data.Dataset.counter(start).flat_map(order).skip(skipped)
        return indices.enumerate(first).map(
            lambda number, index: self._change(tiles[index], number),
            num_parallel_calls=self.threads,
            deterministic=True,
        )

    def _from_shards(self, first: int) -> tf.data.Dataset:
        paths = tf.constant([str(path) for path in self.split.paths])

        def one_pass(number: tf.Tensor) -> tf.data.Dataset:
            seed = self._seed(ORDER, number)
            shuffled = tf.random.experimental.stateless_shuffle(paths, seed)
            return (
                tf.data.Dataset.from_tensor_slices(shuffled)
                .interleave(
                    tf.data.TFRecordDataset,
                    cycle_length=SHARDS_AT_ONCE,
                    num_parallel_calls=SHARDS_AT_ONCE,
                    deterministic=True,
                )
                .flat_map(
                    lambda record: tf.data.Dataset.from_tensors(record).repeat(self.crops_per_tile)
                )
                .shuffle(SHUFFLE_BUFFER, seed=number + seed[0], reshuffle_each_iteration=False)
            )

        def read(number: tf.Tensor, record: tf.Tensor) -> tf.Tensor:
            sample = _join(*parse_example(record, self.split.bands, self.split.size))
            return self._change(sample, number)

        start, skipped = divmod(first, self.samples_per_pass)
        serialized = tf.data.Dataset.counter(start).flat_map(one_pass).skip(skipped)
        return serialized.enumerate(first).map(
            read, num_parallel_calls=self.threads, deterministic=True
        )

    def _change(self, sample: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
        """Make a training sample of a tile, by the number of the sample."""
        if self.crop < self.split.size:
            sample = random_crop(sample, self.crop, self._seed(CROP, number))
        edge = rounded_up(self.crop, self.stride)
        if edge > self.crop:
            sample = padded(sample, edge)
        if self.settings.flips:
            sample = random_symmetry(sample, self._seed(SYMMETRY, number))
        if self.settings.light > 0:
            sample = random_light(sample, self.settings.light, self._seed(LIGHT, number))
        return tf.ensure_shape(sample, [edge, edge, self.split.bands + 1])


def validation_batches(
    split: Split, batch_pixels: int, stride: int, threads: int
) -> tf.data.Dataset:
    """Return all tiles of a split once, whole, in batches of about `batch_pixels` pixels."""
    edge = rounded_up(split.size, stride)
    samples = (
        tf.data.Dataset.from_tensor_slices(split.load(threads))
        if split.fits_in_memory
        else split.samples(threads)
    )
    batch = max(1, batch_pixels // edge**2)
    batches = samples.map(lambda sample: padded(sample, edge)).batch(batch).map(_part).prefetch(1)
    return batches.with_options(_options(threads))


def _options(threads: int) -> tf.data.Options:
    options = tf.data.Options()
    options.threading.private_threadpool_size = threads
    # All parallelism is set here by hand; and the tuner's thread, which sleeps up to a
    # minute between its looks, would keep the training from ending meanwhile.
    options.autotune.enabled = False
    return options
