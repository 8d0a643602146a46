"""From records to batches.

The training samples form one endless stream, numbered from 0. What a sample is, the tile,
the crop and the changes, follows from the seed and its number alone: a stream that starts
at number n gives what one from 0 would give there. Without an order asked for, shards that are
read again in each pass give their tiles as they come, still each once a pass: the batches
themselves never overtake one another.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from roadmask.dataset.reading import parse_example, records
from roadmask.errors import InputError
from roadmask.model.augmentation import Augmenter
from roadmask.model.settings import TrainingSettings
from roadmask.style import UNKNOWN

Array = NDArray[np.uint8]

# Splits up to this size are kept decoded in memory, larger ones read again in each pass.
CACHE_BYTES = 2**30
# Of a split that is read again: so many decoded tiles are mixed at a time, or what fits.
SHUFFLE_TILES = 512
SHUFFLE_BYTES = 2**28
SHARDS_AT_ONCE = 4


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
        """Read all tiles once, in their order, as pictures and labels."""
        return records(self.paths, self.bands, self.size, threads=threads)

    def load(self, threads: int) -> tuple[Array, Array]:
        """Read all tiles into memory.

        Returns
        -------
        pictures
            uint8 ``(tiles, rows, columns, bands)``.
        labels
            uint8 ``(tiles, rows, columns)``.

        Raises
        ------
        InputError
            If there are not as many as there should be, or a record is damaged.
        """
        pictures = np.empty((self.tiles, self.size, self.size, self.bands), np.uint8)
        labels = np.empty((self.tiles, self.size, self.size), np.uint8)
        count = 0
        try:
            for picture, label in self.samples(threads):
                if count < self.tiles:
                    pictures[count], labels[count] = picture.numpy(), label.numpy()
                count += 1
        except (tf.errors.DataLossError, tf.errors.InvalidArgumentError) as error:
            raise InputError(
                self.paths[0].parent,
                f"a record is damaged ({str(error).splitlines()[0][:200]})",
                "Remove this folder and run again",
            ) from error
        if count != self.tiles:
            raise InputError(
                self.paths[0].parent,
                f"{count} tiles in the shards, but {self.tiles} in dataset.json",
                "Remove this folder and run again",
            )
        return pictures, labels

    def most_varied(self, count: int, among: int = 64) -> list[tuple[Array, Array]]:
        """Return tiles to look at: of the first, those where classes share the ground best."""

        def evenness(sample: tuple[Array, Array]) -> int:
            counts = np.bincount(sample[1].ravel(), minlength=UNKNOWN + 1)[:UNKNOWN]
            return int(np.sort(counts)[-2])

        samples = [
            (picture.numpy(), label.numpy()) for picture, label in self.samples(1).take(among)
        ]
        return sorted(samples, key=evenness, reverse=True)[:count]


def padded(picture: tf.Tensor, label: tf.Tensor, edge: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Widen a sample to the right and below to `edge`, with nothing known there.

    Parameters
    ----------
    picture, label
        uint8 ``(rows, columns, bands)`` and ``(rows, columns)``.
    edge
        At least as large as both sides.
    """
    missing = [[0, edge - tf.shape(label)[0]], [0, edge - tf.shape(label)[1]]]
    wider = tf.pad(picture, [*missing, [0, 0]])
    return wider, tf.pad(label, missing, constant_values=UNKNOWN)[..., None]


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
        How many batches are made at once.
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

    def batches(self, first_step: int, part: int = 0, parts: int = 1) -> tf.data.Dataset:
        """Return the endless stream from a step on.

        Parameters
        ----------
        first_step
            Counted from 0 over the whole training.
        part, parts
            Of each batch only this part of so many equal ones, for one of several machines.

        Returns
        -------
        tf.data.Dataset
            Of pictures uint8 ``(batch, rows, columns, bands)`` and labels uint8
            ``(batch, rows, columns, 1)``.
        """
        size = self.settings.batch_size // parts
        make = self._from_memory if self.split.fits_in_memory else self._from_shards
        dataset = make(first_step, part * size, size).prefetch(2)
        return dataset.with_options(_options(self.threads, self.settings.deterministic))

    def _from_memory(self, first_step: int, offset: int, size: int) -> tf.data.Dataset:
        pictures, labels = self.split.load(self.threads)
        per_pass = self.samples_per_pass

        @functools.lru_cache(maxsize=2)
        def order(number: int) -> NDArray[np.int64]:
            rng = np.random.default_rng((self.settings.seed, number))
            return rng.permutation(np.arange(per_pass) % self.split.tiles)

        def tiles(step: int) -> tuple[list[Array], list[Array]]:
            first = step * self.settings.batch_size + offset
            found = [
                order(each // per_pass)[each % per_pass] for each in range(first, first + size)
            ]
            return [pictures[tile] for tile in found], [labels[tile] for tile in found]

        change = self._changer(offset)
        return tf.data.Dataset.counter(first_step).map(
            lambda step: self._shaped(
                tf.numpy_function(
                    lambda step: change(step, *tiles(int(step))), [step], [tf.uint8, tf.uint8]
                ),
                size,
            ),
            num_parallel_calls=self.threads,
            deterministic=True,
        )

    def _from_shards(self, first_step: int, offset: int, size: int) -> tf.data.Dataset:
        paths = [str(path) for path in self.split.paths]
        # Machines that share batches have to read the same ones.
        ordered = self.settings.deterministic or size < self.settings.batch_size
        tile_bytes = self.split.size**2 * (self.split.bands + 1)
        # The crops of a tile share its memory, so the mixed tiles count once each.
        mixed = self.crops_per_tile * max(1, min(SHUFFLE_TILES, SHUFFLE_BYTES // tile_bytes))

        def one_pass(number: tf.Tensor) -> tf.data.Dataset:
            # The stream's order hangs on its own seed alone, and shuffling by a seed that is a
            # tensor fails where the global one happens to be 0.
            tf.random.set_seed(1)
            seed = tf.stack([tf.constant(self.settings.seed, tf.int64), number])
            shuffled = tf.random.experimental.stateless_shuffle(tf.constant(paths), seed)
            return (
                tf.data.Dataset.from_tensor_slices(shuffled)
                .interleave(
                    tf.data.TFRecordDataset,
                    cycle_length=SHARDS_AT_ONCE,
                    num_parallel_calls=SHARDS_AT_ONCE,
                    deterministic=ordered,
                )
                .map(
                    lambda record: parse_example(record, self.split.bands, self.split.size),
                    num_parallel_calls=self.threads,
                    deterministic=ordered,
                )
                .flat_map(
                    lambda *tile: tf.data.Dataset.from_tensors(tile).repeat(self.crops_per_tile)
                )
                .shuffle(mixed, seed=number + self.settings.seed, reshuffle_each_iteration=False)
            )

        change = self._changer(offset)
        first = first_step * self.settings.batch_size
        start, skipped = divmod(first, self.samples_per_pass)
        batches = (
            tf.data.Dataset.counter(start)
            .flat_map(one_pass)
            .skip(skipped)
            .batch(self.settings.batch_size, drop_remainder=True)
            .map(lambda *batch: tuple(each[offset : offset + size] for each in batch))
        )
        return batches.enumerate(first_step).map(
            lambda step, batch: self._shaped(
                tf.numpy_function(change, [step, *batch], [tf.uint8, tf.uint8]), size
            ),
            num_parallel_calls=self.threads,
            deterministic=True,
        )

    def _changer(self, offset: int) -> Callable[..., tuple[Array, Array]]:
        """Return what makes the samples of a step from their tiles."""
        augmenter = Augmenter(self.settings.augmentation, self.settings.seed, self.crop)

        def change(
            step: int, pictures: Sequence[Array], labels: Sequence[Array]
        ) -> tuple[Array, Array]:
            first = int(step) * self.settings.batch_size + offset
            made = [
                augmenter.make(picture, label, first + index)
                for index, (picture, label) in enumerate(zip(pictures, labels, strict=True))
            ]
            return np.stack([each for each, _ in made]), np.stack([each for _, each in made])

        return change

    def _shaped(self, batch: tuple[tf.Tensor, tf.Tensor], size: int) -> tuple[tf.Tensor, tf.Tensor]:
        """Tell TensorFlow the shapes, and pad to a multiple of the stride."""
        pictures = tf.ensure_shape(batch[0], [size, self.crop, self.crop, self.split.bands])
        labels = tf.ensure_shape(batch[1], [size, self.crop, self.crop])[..., None]
        missing = rounded_up(self.crop, self.stride) - self.crop
        if not missing:
            return pictures, labels
        widths = [[0, 0], [0, missing], [0, missing], [0, 0]]
        return tf.pad(pictures, widths), tf.pad(labels, widths, constant_values=UNKNOWN)


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
    batches = (
        samples.map(lambda picture, label: padded(picture, label, edge)).batch(batch).prefetch(1)
    )
    return batches.with_options(_options(threads, deterministic=True))


def _options(threads: int, deterministic: bool) -> tf.data.Options:
    options = tf.data.Options()
    options.threading.private_threadpool_size = threads
    options.deterministic = deterministic
    # All parallelism is set here by hand; and the tuner's thread, which sleeps up to a
    # minute between its looks, would keep the training from ending meanwhile.
    options.autotune.enabled = False
    # Each worker makes its own part of every batch.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return options
