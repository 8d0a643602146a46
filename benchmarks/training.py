"""How fast training is against what the processor could do.

    PYTHONPATH=workflow python benchmarks/training.py [--threads 2] [--strong]

prints two ratios for the U-Net, each the median over rounds in which all take their turn, so that
whatever else the machine does meets them alike:

- the input alone, augmentation on, against the images per second that the network trains on
  (to be 5 at least);
- training steps per second in steady state against a bare `model.fit` of the same network, in
  the same arithmetic, on crops that lie in memory ready made (to be 0.95 at least).

Bare is not made slower than it can be: it has the fused normalizations of training, and neither
the moving average of the weights nor the schedule of the rate. What a turn begins with (what was
made ahead while others had theirs, the start of `fit`) is not timed.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator
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
# Steps at the beginning of a turn that are not timed: more than batches are made ahead.
UNTIMED = 10
# How long a turn is about, and its steps.
TURN_SECONDS = 2.5
FEWEST_STEPS, MOST_STEPS = 10, 400
FEWEST_ROUNDS = 4


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


class Stopwatch(keras.callbacks.Callback):  # type: ignore[misc]
    """Notes when each step of `fit` has ended."""

    def on_train_begin(self, logs: object = None) -> None:  # noqa: ARG002
        """Begin anew."""
        self.ends: list[float] = []

    def on_train_batch_end(self, batch: int, logs: object = None) -> None:  # noqa: ARG002
        """Note the time."""
        self.ends.append(time.perf_counter())


class Contest:
    """The three that take turns; each does some steps and returns when each of them ended.

    Parameters
    ----------
    settings
        Of the training.
    split
        The tiles.
    threads
        Of the input.
    most
        How many steps a turn has at most.
    """

    def __init__(self, settings: TrainingSettings, split: Split, threads: int, most: int) -> None:
        network = NetworkSettings("unet")
        stream = TrainingStream(split, settings, network.stride, threads)
        model = build_network(network, (None, None, 3), 1)
        loss = MaskedLoss(settings.loss)
        self.batch_size = settings.batch_size
        self.precision = chosen_precision(settings, model)
        self._run = Run(
            training_twin(model, self.precision),
            loss,
            settings,
            most,
            tf.distribute.get_strategy(),
            None,
        )
        self._bare = training_twin(model, self.precision)
        self._bare.compile(keras.optimizers.Adam(0.001), loss, jit_compile=False)
        ready = [(x.numpy(), y.numpy()) for x, y in stream.batches(0).take(most)]
        self._pictures, self._labels = (np.concatenate(part) for part in zip(*ready, strict=True))
        self._batches, self._alone = iter(stream.batches(0)), iter(stream.batches(0))

    def bare(self, steps: int) -> list[float]:
        """Let Keras train on what is in memory."""
        watch = Stopwatch()
        images = steps * self.batch_size
        self._bare.fit(
            self._pictures[:images],
            self._labels[:images],
            batch_size=self.batch_size,
            verbose=0,
            callbacks=[watch],
        )
        return watch.ends

    def training(self, steps: int) -> list[float]:
        """Train as stage `model` does: read, change and batch on the way."""
        ends: list[float] = []

        def noted() -> Iterator[object]:
            for batch in self._batches:
                yield batch
                # Asked for the next one: the step has ended.
                ends.append(time.perf_counter())

        self._run.steps_per_epoch = steps
        self._run.epoch(noted())
        return [*ends, time.perf_counter()]

    def input(self, steps: int) -> list[float]:
        """Make batches and do nothing with them."""
        ends = []
        for _ in range(steps):
            next(self._alone)
            ends.append(time.perf_counter())
        return ends


def seconds_a_step(turn: Callable[[int], list[float]], steps: int) -> float:
    """Return the mean time of the steps of a turn, of which the first are not timed."""
    ends = turn(UNTIMED + steps)
    return (ends[-1] - ends[UNTIMED - 1]) / steps


def measure(settings: TrainingSettings, split: Split, threads: int, minutes: float) -> None:
    """Let all take their turns for a time and print what came out."""
    contest = Contest(settings, split, threads, UNTIMED + MOST_STEPS)
    turns = {"bare": contest.bare, "training": contest.training, "input": contest.input}
    steps = {}
    for name, turn in turns.items():
        seconds_a_step(turn, FEWEST_STEPS)
        guess = TURN_SECONDS / seconds_a_step(turn, FEWEST_STEPS)
        steps[name] = int(np.clip(guess, FEWEST_STEPS, MOST_STEPS))
    found: dict[str, list[float]] = {name: [] for name in turns}
    order, end = list(turns), time.monotonic() + 60 * minutes
    while len(found["bare"]) < FEWEST_ROUNDS or time.monotonic() < end:
        for name in order:
            found[name].append(seconds_a_step(turns[name], steps[name]))
        # Whoever came first comes last in the next round.
        order.reverse()
    seconds = {name: np.array(values) for name, values in found.items()}
    print(
        f"arithmetic {contest.precision}, {threads} threads, crops of {settings.crop}, "
        f"{settings.batch_size} a step, {len(found['bare'])} rounds"
    )
    for name, what in (
        ("input", "input alone"),
        ("bare", "bare model.fit"),
        ("training", "training"),
    ):
        rate = 1 / np.median(seconds[name])
        print(f"{what:15} {rate * settings.batch_size:8.1f} images/s {rate:8.2f} steps/s")
    for name, least in (("input", 5), ("training", 0.95)):
        ratios = seconds["bare"] / seconds[name]
        low, middle, high = np.percentile(ratios, (25, 50, 75))
        print(
            f"{name:8} / bare model.fit {middle:7.3f} ({least:g} or more; "
            f"half of the rounds between {low:.3f} and {high:.3f})"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=2.5, help="that turns are taken")
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
        measure(settings, split, arguments.threads, arguments.minutes)


if __name__ == "__main__":
    main()
