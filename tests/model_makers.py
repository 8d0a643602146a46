"""Small data sets as stage `dataset` writes them, for the tests of what trains on them."""

from __future__ import annotations

import json

import numpy as np
import tensorflow as tf
from affine import Affine
from rasterio.crs import CRS

from roadmask.dataset.command import class_weights
from roadmask.dataset.records import Sample, encode
from roadmask.files import sha256
from roadmask.grid import Grid
from roadmask.model.pipeline import Split
from roadmask.tile_pairs import TilePair

UNKNOWN = 255
SIZE = 32


def make_pair(rng, bands=3, classes=1, size=SIZE):
    """A picture whose label shows in its first band, with a corner that is not known."""
    label = rng.integers(0, classes + 1, (size // 8, size // 8), dtype=np.uint8)
    label = label.repeat(8, axis=0).repeat(8, axis=1)
    image = rng.integers(0, 60, (bands, size, size), dtype=np.uint8)
    image[0] += (label * (180 // classes)).astype(np.uint8)
    label[:4, :4] = UNKNOWN
    transform = Affine(0.5, 0, 980_000, 0, -0.5, 200_000)
    grid = Grid(size, size, transform, CRS.from_epsg(2263))
    return TilePair(image, np.ones(label.shape, bool), label, grid)


def make_dataset(folder, tiles=8, bands=3, classes=1, size=SIZE):
    """Write shards and what `model` reads of dataset.json, as stage `dataset` does."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(5)
    names = ["other", "road", "track", "path"][: classes + 1]
    splits = {}
    for split, count in (("train", tiles), ("val", 4)):
        path = folder / f"{split}-00000-of-00001.tfrecord"
        with tf.io.TFRecordWriter(str(path)) as writer:
            held = np.zeros(256, int)
            for number in range(count):
                pair = make_pair(rng, bands, classes, size)
                held += np.bincount(pair.label.ravel(), minlength=256)
                writer.write(encode(Sample("s", f"s_{number}", pair)).record)
        splits[split] = {
            "tiles": count,
            "pixels": {
                **{name: int(held[index]) for index, name in enumerate(names)},
                "unknown": int(held[UNKNOWN]),
            },
            "shards": [{"name": path.name, "records": count, "sha256": sha256(path)}],
        }
    content = {
        "bands": list(range(1, bands + 1)),
        "scale": None,
        "tile_size": size,
        "classes": names,
        "colours": [[10 * index, 20, 30] for index in range(1, len(names))],
        "class_weights": class_weights({name: splits["train"]["pixels"][name] for name in names}),
        "tone": {"mean": [30.0] * bands, "deviation": [20.0] * bands},
        "splits": splits,
    }
    path = folder / "dataset.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def train_split(dataset_path):
    content = json.loads(dataset_path.read_text(encoding="utf-8"))
    (shard,) = content["splits"]["train"]["shards"]
    return Split(
        (dataset_path.parent / shard["name"],),
        shard["records"],
        content["tile_size"],
        len(content["bands"]),
    )
