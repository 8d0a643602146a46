"""Training speed, size and reach of every network.

Usage: ``python benchmarks/networks.py [--crop 128] [--batch 4] [--threads 2] [--only NAME ...]``.
A step is a batch of crops forwards, backwards and through Adam, in the precision that
``training.precision: auto`` takes here. Wall time needs an idle machine; CPU time does not.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow"))

import keras
import numpy as np
import tensorflow as tf

from roadmask.model.losses import MaskedLoss
from roadmask.model.network_settings import ARCHITECTURES, NetworkSettings
from roadmask.model.networks import build_network
from roadmask.model.networks.layers import training_twin
from roadmask.model.networks.reach import receptive_reach
from roadmask.model.settings import TrainingSettings
from roadmask.model.training import chosen_precision

WARM_UP = 3


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--crop", type=int, default=128)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=10.0, help="for each network")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--only", nargs="*", default=[])
    arguments = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(arguments.threads)
    tf.config.threading.set_inter_op_parallelism_threads(min(2, arguments.threads))
    settings = TrainingSettings(precision=arguments.precision)
    print(
        f"crops of {arguments.crop} pixels, {arguments.batch} a step, {arguments.threads} threads"
    )
    print("| network | parameters | stride | reach | arithmetic | images/s | CPU ms an image |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, network in variants():
        if arguments.only and name not in arguments.only:
            continue
        model = build_network(network, (None, None, 3), 1)
        reach = receptive_reach(model)
        precision = chosen_precision(settings, model)
        wall, cpu = measure(model, precision, arguments)
        print(
            f"| `{name}` | {model.count_params():,} | {network.stride} | "
            f"{'all' if reach is None else reach} | {precision} | "
            f"{1 / wall:.1f} | {1000 * cpu:.0f} |",
            flush=True,
        )


def variants() -> list[tuple[str, NetworkSettings]]:
    """Return every network with every encoder and output stride."""
    found = []
    for name, traits in ARCHITECTURES.items():
        if not traits.output_strides:
            found.append((name, NetworkSettings(name)))
            continue
        for encoder in traits.encoders:
            for stride in traits.output_strides:
                settings = NetworkSettings(name, encoder, stride)
                found.append((f"{name}/{encoder}/{stride}", settings))
    return found


def measure(
    model: keras.Model, precision: str, arguments: argparse.Namespace
) -> tuple[float, float]:
    """Return wall and CPU seconds that training takes an image."""
    twin = training_twin(model, precision)
    optimizer = keras.optimizers.Adam(1e-3)
    loss = MaskedLoss("dice_crossentropy")
    rng = np.random.default_rng(0)
    shape = (arguments.batch, arguments.crop, arguments.crop)
    pictures = tf.constant(rng.integers(0, 256, (*shape, 3), dtype=np.uint8))
    labels = tf.constant(rng.integers(0, 2, (*shape, 1), dtype=np.uint8))
    optimizer.build(twin.trainable_variables)

    @tf.function
    def step() -> None:
        with tf.GradientTape() as tape:
            value = loss(labels, twin(pictures, training=True))
        gradients = tape.gradient(value, twin.trainable_variables)
        optimizer.apply(gradients, twin.trainable_variables)

    for _ in range(WARM_UP):
        step()
    wall, cpu, steps = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - wall < arguments.seconds:
        step()
        steps += 1
    images = steps * arguments.batch
    return (time.perf_counter() - wall) / images, (time.process_time() - cpu) / images


if __name__ == "__main__":
    main()
