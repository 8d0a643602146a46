"""Write tiles as TFRecord shards, and read them back to be sure.

The features of a record are listed in `roadmask.dataset.reading`.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
import tensorflow as tf

from roadmask.dataset import reading
from roadmask.dataset.split import fraction
from roadmask.errors import InputError
from roadmask.tile_pairs import TilePair

# zlib's own quick level: a third larger than the best, five times as fast.
PNG_LEVEL = 3
# More than what PNG's frame and the other features can take.
OVERHEAD_BYTES = 16 * 1024

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Sample:
    """A tile to be written: its names, picture and label."""

    scene: str
    tile: str
    pair: TilePair


@dataclass(frozen=True)
class Statistics:
    """What some tiles hold, in whole numbers, so that the order of adding is no matter.

    Attributes
    ----------
    pixels
        int64 ``(256,)``: pixels by their label.
    pictured
        Pixels with a picture.
    sums, squares
        By band, sums over the pixels with a picture of the value and of its square.
    """

    pixels: np.ndarray
    pictured: int
    sums: np.ndarray
    squares: np.ndarray

    @classmethod
    def nothing(cls, bands: int) -> Statistics:
        """Return those of no tile."""
        zeros = np.zeros(bands, dtype=np.int64)
        return cls(np.zeros(256, dtype=np.int64), 0, zeros, zeros)

    @classmethod
    def of(cls, pair: TilePair) -> Statistics:
        """Return those of one tile."""
        counts = np.array([_histogram(band[pair.valid]) for band in pair.image])
        values = np.arange(256)
        return cls(
            pixels=_histogram(pair.label),
            pictured=int(np.count_nonzero(pair.valid)),
            sums=counts @ values,
            squares=counts @ values**2,
        )

    def __add__(self, other: Statistics) -> Statistics:
        return Statistics(
            self.pixels + other.pixels,
            self.pictured + other.pictured,
            self.sums + other.sums,
            self.squares + other.squares,
        )

    @property
    def mean(self) -> np.ndarray:
        """Mean of each band, from 0 to 255; 0 where there is no picture."""
        return np.asarray(self.sums / max(self.pictured, 1))

    @property
    def deviation(self) -> np.ndarray:
        """Standard deviation of each band."""
        variance = self.squares / max(self.pictured, 1) - self.mean**2
        return np.asarray(np.sqrt(np.maximum(variance, 0.0)))


@dataclass(frozen=True)
class Encoded:
    """A tile as it goes into a shard.

    Attributes
    ----------
    record
        The serialized example.
    digest
        Of the picture and the label before they were encoded.
    statistics
        What it holds.
    """

    record: bytes
    digest: bytes
    statistics: Statistics


@dataclass(frozen=True)
class Shard:
    """A file that was written and verified."""

    path: Path
    records: int
    bytes: int


def _histogram(values: np.ndarray) -> np.ndarray:
    return np.bincount(values.ravel(), minlength=256).astype(np.int64)


def encode(sample: Sample) -> Encoded:
    """Turn a tile into a record."""
    pair = sample.pair
    bands, height, width = pair.image.shape
    crs = pair.grid.crs
    features = {
        "image/encoded": _bytes(_png(_rgb(pair.image)[..., ::-1])),  # OpenCV's order is BGR
        "image/filename": _bytes(sample.tile),
        "image/format": _bytes("png"),
        "image/height": _whole(height),
        "image/width": _whole(width),
        "image/channels": _whole(reading.RGB),
        "image/segmentation/class/encoded": _bytes(_png(pair.label)),
        "image/segmentation/class/format": _bytes("png"),
        "image/scene": _bytes(sample.scene),
        "image/tile": _bytes(sample.tile),
        "image/crs": _bytes("" if crs is None else crs.to_wkt()),
        # repr gives back the same 64 bits when read
        "image/transform": _bytes(*(repr(float(value)) for value in pair.grid.transform[:6])),
    }
    pixels = np.ascontiguousarray(np.moveaxis(pair.image, 0, -1))
    if bands != reading.RGB:
        features["image/bands/encoded"] = _bytes(pixels.tobytes())
        features["image/bands/count"] = _whole(bands)
    example = tf.train.Example(features=tf.train.Features(feature=features))
    return Encoded(
        record=example.SerializeToString(deterministic=True),
        digest=digest(pixels, pair.label),
        statistics=Statistics.of(pair),
    )


def digest(image: np.ndarray, label: np.ndarray) -> bytes:
    """Return a hash of a picture ``(height, width, bands)`` and a label, shapes included."""
    state = hashlib.blake2b(repr((image.shape, label.shape)).encode(), digest_size=16)
    state.update(np.ascontiguousarray(image).data)
    state.update(np.ascontiguousarray(label).data)
    return state.digest()


def _rgb(image: np.ndarray) -> np.ndarray:
    """Return three bands, last: the first three, or fewer with the last repeated."""
    chosen = [min(band, len(image) - 1) for band in range(reading.RGB)]
    return np.moveaxis(image[chosen], 0, -1)


def _png(pixels: np.ndarray) -> bytes:
    done, encoded = cv2.imencode(
        ".png", np.ascontiguousarray(pixels), [cv2.IMWRITE_PNG_COMPRESSION, PNG_LEVEL]
    )
    if not done:
        raise RuntimeError(f"OpenCV could not encode an array of shape {pixels.shape}")
    return bytes(encoded)


def _bytes(*values: str | bytes) -> tf.train.Feature:
    encoded = [value.encode() if isinstance(value, str) else value for value in values]
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=encoded))


def _whole(value: int) -> tf.train.Feature:
    return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))


def shuffled(tiles: Iterable[str], seed: int) -> list[str]:
    """Return tiles in an order that is mixed, and the same every time."""
    return sorted(tiles, key=lambda tile: (fraction("order", seed, tile), tile))


def shard_sizes(tiles: int, size: int, bands: int, limit: int) -> list[int]:
    """Say how many records go into each shard.

    Parameters
    ----------
    tiles
        How many there are.
    size
        Edge of a tile in pixels.
    bands
        How many bands it has.
    limit
        Bytes that no shard exceeds (but for a single record that does), however badly the
        tiles compress.

    Returns
    -------
    list of int
        One for each shard, equal but for one; empty where there is no tile.
    """
    raw = size * size * (reading.RGB + 1 + (bands if bands != reading.RGB else 0))
    # What zlib and PNG add to noise stays under 1 %.
    most = max(1, limit // (raw + raw // 100 + OVERHEAD_BYTES))
    shards = math.ceil(tiles / most)
    return [tiles // shards + (shard < tiles % shards) for shard in range(shards)]


def write_shards(
    folder: Path,
    split: str,
    tiles: Sequence[str],
    sizes: Sequence[int],
    load: Callable[[str], Sample],
    *,
    bands: int,
    threads: int,
) -> tuple[list[Shard], Statistics]:
    """Write the shards of one split, and verify each.

    Parameters
    ----------
    folder
        Where the shards go.
    split
        Its name, with which their names begin.
    tiles
        Names of its tiles, in the order of the records.
    sizes
        How many of them go into each shard.
    load
        Reads a tile; called from several threads.
    bands
        How many bands the tiles have.
    threads
        How many tiles are read and encoded at once. The bytes do not depend on it.

    Raises
    ------
    InputError
        If a shard does not read back as what was written.
    """
    total = Statistics.nothing(bands)
    shards = []
    with ThreadPoolExecutor(threads) as pool:
        encoded = _in_order(pool, lambda tile: encode(load(tile)), tiles, ahead=4 * threads)
        for index, size in enumerate(sizes):
            path = folder / f"{split}-{index:05d}-of-{len(sizes):05d}.tfrecord"
            digests = []
            with tf.io.TFRecordWriter(str(path)) as writer:
                for item in itertools.islice(encoded, size):
                    writer.write(item.record)
                    digests.append(item.digest)
                    total += item.statistics
            verify(path, digests, bands=bands, threads=threads)
            shards.append(Shard(path, size, path.stat().st_size))
    return shards, total


def _in_order(
    pool: ThreadPoolExecutor, function: Callable[[Item], Result], items: Iterable[Item], ahead: int
) -> Iterator[Result]:
    """Map in threads, in order, never more than `ahead` results waiting."""
    waiting: deque[Future[Result]] = deque()
    for item in items:
        waiting.append(pool.submit(function, item))
        if len(waiting) >= ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def verify(path: Path, digests: Sequence[bytes], *, bands: int, threads: int) -> None:
    """Read a shard with TensorFlow's decoders and compare it with what was put in.

    Parameters
    ----------
    path
        The shard.
    digests
        Those of its tiles, in order, as by `digest`.
    bands, threads
        As for `reading.records`.

    Raises
    ------
    InputError
        If a checksum, the count, a shape or a pixel is wrong.
    """
    remedy = "Check the disk (space, health) and run again"
    count = 0
    try:
        for image, label in reading.records([path], bands, threads=threads).as_numpy_iterator():
            if count < len(digests) and digest(image, label) != digests[count]:
                raise InputError(path, f"record {count} does not hold the tile put there", remedy)
            count += 1
    except tf.errors.OpError as error:
        raise InputError(path, f"record {count} is broken ({error.message})", remedy) from error
    if count != len(digests):
        raise InputError(path, f"it holds {count} records instead of {len(digests)}", remedy)
