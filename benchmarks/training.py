"""How fast training is against what the processor could do.

    PYTHONPATH=workflow python benchmarks/training.py [--threads 2] [--strong]

prints two ratios, each from rounds that take turns in one run, best round against best round:

- the input alone, augmentation on, against the images per second that the network trains on
  (to be 5 at least);
- training steps per second in steady state against a bare `model.fit` of the same network, in
  the same arithmetic, on crops that lie in memory ready made (to be 0.95 at least).
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from affine import Affine

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import tensorflow as tf

from roadmask.dataset.records import Sample, encode
from roadmask.grid import Grid
from roadmask.model.devices import chosen_precision
from roadmask.model.losses import MaskedLoss
from roadmask.model.making import start_tensorflow
from roadmask.model.network_settings import NetworkSettings
from roadmask.model.networks import build_network
from roadmask.model.networks.layers import training_twin
from roadmask.model.pipeline import Split, TrainingStream
from roadmask.model.settings import AugmentationSettings, TrainingSettings
from roadmask.model.training import Run
from roadmask.tile_pairs import TilePair

SIZE = 256


def write_tiles(path: Path, count: int) -> Split:
    """Write tiles of smooth noise, as hard to compress as aerial pictures."""
    rng = np.random.default_rng(1)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for number in range(count):
            picture = rng.integers(0, 256, (3, SIZE, SIZE), dtype=np.uint8) // 4 + 90
            label = rng.integers(0, 2, (SIZE // 16, SIZE // 16), dtype=np.uint8)
            label = label.repeat(16, axis=0).repeat(16, axis=1)
            grid = Grid(SIZE, SIZE, Affine.identity(), None)
            pair = TilePair(picture.astype(np.uint8), np.ones(label.shape, bool), label, grid)
            writer.write(encode(Sample("s", f"s_{number}", pair)).record)
    return Split((path,), count, SIZE, 3)


def steps_a_second(train: Callable[[int], None], steps: int) -> float:
    started = time.perf_counter()
    train(steps)
    return steps / (time.perf_counter() - started)


def measure(
    settings: TrainingSettings, split: Split, threads: int, steps: int, rounds: int
) -> None:
    network = NetworkSettings("unet")
    stream = TrainingStream(split, settings, network.stride, threads)
    model = build_network(network, (None, None, 3), 1)
    precision = chosen_precision(settings, model)
    run = Run(
        training_twin(model, precision),
        MaskedLoss(settings.loss),
        settings,
        steps,
        tf.distribute.get_strategy(),
        None,
    )
    batches = iter(stream.batches(0))

    bare = training_twin(model, precision)
    bare.compile(
        optimizer=keras.optimizers.Adam(0.001), loss=MaskedLoss(settings.loss), jit_compile=False
    )
    ready = [(x.numpy(), y.numpy()) for x, y in stream.batches(0).take(steps)]
    pictures, labels = (np.concatenate(part) for part in zip(*ready, strict=True))

    alone = iter(stream.batches(0))

    def feed(count: int) -> None:
        for _ in range(count):
            next(alone)

    def fit(count: int) -> None:
        bare.fit(
            pictures[: count * settings.batch_size],
            labels[: count * settings.batch_size],
            batch_size=settings.batch_size,
            verbose=0,
        )

    def train(count: int) -> None:
        run.steps_per_epoch = count
        run.epoch(batches)

    for warm_up in (fit, train, feed):
        warm_up(3)
    best: dict[str, float] = {"input": 0.0, "bare": 0.0, "training": 0.0}
    for _ in range(rounds):
        for name, function, count in (
            ("bare", fit, steps),
            ("training", train, steps),
            ("input", feed, 8 * steps),
        ):
            best[name] = max(best[name], steps_a_second(function, count))
    images = {name: rate * settings.batch_size for name, rate in best.items()}
    print(
        f"arithmetic {precision}, {threads} threads, "
        f"crops of {settings.crop}, {settings.batch_size} a step"
    )
    print(f"input alone           {images['input']:8.1f} images/s")
    print(f"bare model.fit        {images['bare']:8.1f} images/s  {best['bare']:6.2f} steps/s")
    print(
        f"training              {images['training']:8.1f} images/s  {best['training']:6.2f} steps/s"
    )
    print(f"input / bare model.fit     {best['input'] / best['bare']:8.1f} (5 or more)")
    print(f"training / bare model.fit  {best['training'] / best['bare']:8.3f} (0.95 or more)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument(
        "--strong", action="store_true", help="every change happens to each third crop"
    )
    arguments = parser.parse_args()
    start_tensorflow(arguments.threads, 1)
    settings = TrainingSettings()
    if arguments.strong:
        names = AugmentationSettings().probabilities()
        settings = replace(
            settings, augmentation=AugmentationSettings(**dict.fromkeys(names, 1 / 3))
        )
    with tempfile.TemporaryDirectory() as folder:
        split = write_tiles(Path(folder) / "tiles.tfrecord", 32)
        measure(settings, split, arguments.threads, arguments.steps, arguments.rounds)


if __name__ == "__main__":
    main()
