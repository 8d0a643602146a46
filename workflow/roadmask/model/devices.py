"""What the network is trained on: one device or several, on one machine or several."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from roadmask.errors import SettingError
from roadmask.model.settings import TrainingSettings

log = logging.getLogger(__name__)

# Where Linux lists what its processors can do, and the instructions that count in bfloat16.
CPU_FLAGS = Path("/proc/cpuinfo")
BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16"}
# From this generation of Nvidia's GPUs on bfloat16 is as fast as float16.
BFLOAT16_CAPABILITY = (8, 0)
CLUSTER = "TF_CONFIG"


def chosen_strategy(settings: TrainingSettings) -> tf.distribute.Strategy:
    """Return how batches are shared among devices.

    Several machines have to be asked for before TensorFlow does anything else.

    Raises
    ------
    SettingError
        If several machines are asked for and none are named, or a batch can't be shared
        evenly.
    """
    strategy = _strategy(settings)
    replicas = strategy.num_replicas_in_sync
    if settings.batch_size % replicas:
        raise SettingError(
            "training.batch_size",
            f"{settings.batch_size} crops can't be shared evenly by {replicas} devices",
            f"Write a multiple of {replicas}, or training.strategy: single",
        )
    if replicas > 1:
        log.info("each batch is shared by %d devices", replicas)
    return strategy


def _strategy(settings: TrainingSettings) -> tf.distribute.Strategy:
    if settings.strategy == "multi_worker":
        if not _names_machines(os.environ.get(CLUSTER, "")):
            raise SettingError(
                "training.strategy",
                f"multi_worker needs the machines' addresses, and {CLUSTER} names none",
                f"Set {CLUSTER} on each machine, as the README shows",
            )
        return tf.distribute.MultiWorkerMirroredStrategy()
    gpus = tf.config.list_logical_devices("GPU")
    if settings.strategy == "mirrored" or (settings.strategy == "auto" and len(gpus) > 1):
        devices = gpus or tf.config.list_logical_devices("CPU")
        return tf.distribute.MirroredStrategy([device.name for device in devices])
    return tf.distribute.get_strategy()


def _names_machines(text: str) -> bool:
    try:
        content = json.loads(text)
    except ValueError:
        return False
    return isinstance(content, dict) and bool(content.get("cluster"))


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Tell whether this machine is the one that writes the files."""
    cluster = strategy.cluster_resolver
    if cluster is None or not cluster.task_type:
        return True
    first = "chief" if "chief" in cluster.cluster_spec().jobs else "worker"
    return bool(cluster.task_type == first and cluster.task_id == 0)


def from_chief(strategy: tf.distribute.Strategy, numbers: Sequence[float]) -> list[float]:
    """Return the first machine's numbers on all machines, so that all decide alike by them."""
    cluster = strategy.cluster_resolver
    if cluster is None or not cluster.task_type:
        return list(numbers)
    own = np.asarray(numbers, np.float64) * (1.0 if is_chief(strategy) else 0.0)
    replicas = len(strategy.extended.worker_devices)

    @tf.function  # type: ignore[untyped-decorator]
    def add() -> tf.Tensor:
        return strategy.run(
            lambda: tf.distribute.get_replica_context().all_reduce(
                tf.distribute.ReduceOp.SUM, tf.constant(own / replicas)
            )
        )

    return [float(value) for value in strategy.experimental_local_results(add())[0].numpy()]


def chosen_precision(settings: TrainingSettings, model: keras.Model) -> str:
    """Return the precision to train in: the one set, or the one this machine is fast in."""
    return fast_precision(model) if settings.precision == "auto" else settings.precision


def fast_precision(model: keras.Model) -> str:
    """Return the precision that this machine trains a network fast in.

    Processors gain nothing from bfloat16 where a network filters each channel apart, as
    EfficientNet-Lite0 does: TensorFlow's gradients of depthwise convolutions have no fast code
    for it. Measured for a crop of 256 pixels: 0.144 s of processor in float32, 0.156 s in bfloat16.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
        capabilities = [each.get("compute_capability", (0, 0)) for each in details]
        return "bfloat16" if min(capabilities) >= BFLOAT16_CAPABILITY else "float32"
    if any(isinstance(layer, keras.layers.DepthwiseConv2D) for layer in model.layers):
        return "float32"
    flags = CPU_FLAGS.read_text(encoding="utf-8").split() if CPU_FLAGS.exists() else []
    return "bfloat16" if BFLOAT16_FLAGS.intersection(flags) else "float32"
