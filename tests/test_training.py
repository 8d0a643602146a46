"""Training on several devices, in other arithmetic, after a kill, and on poor data."""

from __future__ import annotations

import csv
import json
import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import tensorflow as tf
from model_makers import UNKNOWN, make_dataset

from roadmask.errors import InputError, SettingError
from roadmask.model import devices
from roadmask.model.losses import MaskedLoss
from roadmask.model.making import Dataset
from roadmask.model.network_settings import NetworkSettings
from roadmask.model.networks import build_network
from roadmask.model.networks.layers import training_twin
from roadmask.model.settings import TrainingSettings
from roadmask.model.training import Run, make_optimizer

QUICK = TrainingSettings(
    epochs=3, batch_size=4, crop=32, learning_rate=0.01, precision="float32", seed=7
)
TIMEOUT = 600


def command(dataset, output, settings):
    keys = [f"--{key}={str(value).lower()}" for key, value in settings.by_key().items()]
    return ["model", str(dataset), "--output", str(output), "--threads", "2", *keys]


def start(repository, arguments, prelude="", **variables):
    """Start the program in a process of its own, after some lines of Python."""
    code = f"import sys\n{prelude}\nfrom roadmask.__main__ import main\nsys.exit(main())"
    environment = {**os.environ, "PYTHONPATH": str(repository / "workflow"), **variables}
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stderr=subprocess.PIPE, text=True, env=environment
    )


def history(folder):
    with (folder / "history.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def assert_same_history(one, other, tolerance=1e-4):
    assert len(one) == len(other)
    for here, there in zip(one, other, strict=True):
        for column in set(here) - {"seconds"}:
            assert float(here[column]) == pytest.approx(float(there[column]), rel=tolerance)


TWO_DEVICES = """
import tensorflow as tf
[cpu] = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
"""


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return make_dataset(tmp_path_factory.mktemp("training") / "dataset", tiles=8)


@pytest.fixture(scope="module")
def mirrored(dataset, tmp_path_factory, repository):
    """The folder of a model that two logical devices trained."""
    folder = tmp_path_factory.mktemp("mirrored")
    settings = replace(QUICK, strategy="mirrored")
    arguments = command(dataset, folder / "model.keras", settings)
    with start(repository, arguments, TWO_DEVICES) as process:
        _, log = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0, log
    assert "each batch is shared by 2 devices" in log
    return folder


class TestDevices:
    def test_two_devices_learn_together(self, mirrored):
        rows = history(mirrored)
        assert len(rows) == 3
        assert float(rows[-1]["loss"]) < 0.5 * float(rows[0]["loss"])
        model = keras.models.load_model(mirrored / "model.keras", compile=False)
        assert model(np.zeros((1, 32, 32, 3)), training=False).shape == (1, 32, 32, 1)

    @pytest.mark.slow
    def test_two_machines_do_as_two_devices_of_one(self, mirrored, dataset, tmp_path, repository):
        settings = replace(QUICK, strategy="multi_worker")
        arguments = command(dataset, tmp_path / "model.keras", settings)
        ports = free_ports(2)
        cluster = {"worker": [f"127.0.0.1:{port}" for port in ports]}
        workers = [
            start(
                repository,
                arguments,
                TF_CONFIG=json.dumps(
                    {"cluster": cluster, "task": {"type": "worker", "index": index}}
                ),
            )
            for index in range(2)
        ]
        logs = [worker.communicate(timeout=TIMEOUT)[1] for worker in workers]
        assert [worker.returncode for worker in workers] == [0, 0], logs
        assert "the first machine writes the model" in logs[1]
        assert_same_history(history(tmp_path), history(mirrored))

    @pytest.mark.parametrize("text", ["", "{'cluster':", '{"cluster": {}}', "[]"])
    def test_several_machines_need_their_addresses(self, monkeypatch, text):
        monkeypatch.setenv("TF_CONFIG", text)
        with pytest.raises(SettingError, match=r"training\.strategy.*TF_CONFIG"):
            devices.chosen_strategy(replace(QUICK, strategy="multi_worker"))

    def test_a_batch_that_can_not_be_shared_is_refused(self, monkeypatch):
        fake = SimpleNamespace(num_replicas_in_sync=3)
        monkeypatch.setattr(devices, "_strategy", lambda _: fake)
        with pytest.raises(SettingError, match=r"training\.batch_size: 4 crops .* 3 devices"):
            devices.chosen_strategy(QUICK)

    def test_alone_a_machine_is_the_first_and_decides_itself(self):
        strategy = devices.chosen_strategy(replace(QUICK, strategy="single"))
        assert devices.is_chief(strategy)
        assert devices.from_chief(strategy, [1.5, 2.0]) == [1.5, 2.0]


def free_ports(count):
    import socket

    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def small_network():
    inputs = keras.Input((None, None, 3))
    tensor = keras.layers.Rescaling(1 / 255)(inputs)
    tensor = keras.layers.Conv2D(4, 3, padding="same")(tensor)
    tensor = keras.layers.BatchNormalization()(tensor)
    logits = keras.layers.Conv2D(1, 1, name="logits")(tensor)
    return keras.Model(inputs, keras.layers.Activation("sigmoid", dtype="float32")(logits))


class TestPrecision:
    @pytest.fixture
    def flags(self, tmp_path, monkeypatch):
        path = tmp_path / "cpuinfo"
        path.write_text("flags : fpu avx512_bf16 amx_bf16", encoding="utf-8")
        monkeypatch.setattr(devices, "CPU_FLAGS", path)
        monkeypatch.setattr(tf.config, "list_physical_devices", lambda _: [])
        return path

    def test_auto_is_bfloat16_where_processor_and_network_gain_by_it(self, flags):
        model = small_network()
        assert devices.chosen_precision(TrainingSettings(), model) == "bfloat16"
        flags.write_text("flags : fpu avx2", encoding="utf-8")
        assert devices.chosen_precision(TrainingSettings(), model) == "float32"

    @pytest.mark.usefixtures("flags")
    @pytest.mark.parametrize("architecture", ["lite_unet", "efficientnetlite0_unet"])
    def test_lite_networks_gain_nothing_and_a_setting_wins(self, architecture):
        model = build_network(NetworkSettings(architecture), (None, None, 3), 1)
        assert devices.chosen_precision(TrainingSettings(), model) == "float32"
        set_by_user = TrainingSettings(precision="bfloat16")
        assert devices.chosen_precision(set_by_user, model) == "bfloat16"


class TestStep:
    @pytest.mark.parametrize(
        "changes",
        [
            {"precision": "float16"},
            {"precision": "bfloat16"},
            {"xla": True},
            {"loss": "focal", "class_weights": "balanced", "weight_decay": 0.01, "clip_norm": 1.0},
            {"loss": "tversky", "average": 0.0},
        ],
    )
    def test_every_way_of_training_learns(self, changes):
        settings = replace(QUICK, schedule="constant", **changes)
        twin = training_twin(small_network(), settings.precision)
        loss = MaskedLoss.of(settings, (0.6, 3.0))
        run = Run(twin, loss, settings, 40, tf.distribute.get_strategy(), None)
        rng = np.random.default_rng(1)
        labels = rng.integers(0, 2, (4, 16, 16, 1)).astype(np.uint8)
        pictures = np.repeat(labels * 200, 3, axis=3)
        labels[:, :2] = UNKNOWN
        batch = (tf.constant(pictures), tf.constant(labels))
        values = [float(run.step(batch, number)) for number in range(40)]
        assert all(map(math.isfinite, values))
        assert np.mean(values[-5:]) < 0.6 * values[0]

    def test_a_batch_without_a_known_label_changes_nothing_but_statistics(self):
        settings = replace(QUICK, schedule="constant")
        twin = training_twin(small_network())
        run = Run(twin, MaskedLoss(), settings, 5, tf.distribute.get_strategy(), None)
        before = [weight.numpy() for weight in twin.trainable_weights]
        pictures = tf.constant(np.random.default_rng(1).integers(0, 256, (4, 16, 16, 3), np.uint8))
        labels = tf.fill((4, 16, 16, 1), np.uint8(UNKNOWN))
        assert float(run.step((pictures, labels), 0)) == 0
        for weight, old in zip(twin.trainable_weights, before, strict=True):
            np.testing.assert_array_equal(weight.numpy(), old)

    def test_only_kernels_decay(self):
        network = small_network()
        network.set_weights([np.ones_like(weight) for weight in network.get_weights()])
        optimizer = make_optimizer(network, replace(QUICK, weight_decay=0.1, clip_norm=2.0))
        assert optimizer.global_clipnorm == 2.0
        nothing = [tf.zeros(weight.shape) for weight in network.trainable_variables]
        optimizer.apply_gradients(zip(nothing, network.trainable_variables, strict=True))
        for weight in network.trainable_variables:
            expected = 1 - 0.1 * QUICK.learning_rate if weight.name == "kernel" else 1
            np.testing.assert_allclose(weight.numpy(), expected, rtol=1e-6)

    def test_the_average_follows_the_weights(self):
        settings = replace(QUICK, schedule="constant", average=0.5)
        twin = training_twin(small_network())
        run = Run(twin, MaskedLoss(), settings, 5, tf.distribute.get_strategy(), None)
        expected = twin.get_weights()
        rng = np.random.default_rng(2)
        batch = (
            tf.constant(rng.integers(0, 256, (4, 16, 16, 3), np.uint8)),
            tf.constant(rng.integers(0, 2, (4, 16, 16, 1), np.uint8)),
        )
        for number in range(4):
            run.step(batch, number)
            kept = min(0.5, (number + 1) / (number + 10))
            expected = [
                kept * old + (1 - kept) * new
                for old, new in zip(expected, twin.get_weights(), strict=True)
            ]
        for found, value in zip(run.average.get(), expected, strict=True):
            np.testing.assert_allclose(found, value, rtol=1e-5, atol=1e-6)


class TestPoorData:
    def changed(self, dataset, tmp_path, split, **pixels):
        content = json.loads(dataset.read_text(encoding="utf-8"))
        content["splits"][split]["pixels"] |= pixels
        path = tmp_path / "dataset.json"
        path.write_text(json.dumps(content), encoding="utf-8")
        for shards in (each["shards"] for each in content["splits"].values()):
            for shard in shards:
                (tmp_path / shard["name"]).symlink_to(dataset.parent / shard["name"])
        return path

    def check(self, path):
        Dataset.read(path).require_lessons(path)

    def test_what_has_all_it_needs_passes(self, dataset, caplog):
        self.check(dataset)
        assert not caplog.text

    def test_no_road_to_learn_from_is_refused(self, dataset, tmp_path):
        path = self.changed(dataset, tmp_path, "train", road=0)
        with pytest.raises(InputError, match="split train has no pixel of road"):
            self.check(path)

    def test_nothing_but_road_is_refused(self, dataset, tmp_path):
        path = self.changed(dataset, tmp_path, "train", other=0)
        with pytest.raises(InputError, match="all of split train is road"):
            self.check(path)

    @pytest.mark.parametrize("split", ["train", "val"])
    def test_no_known_label_is_refused(self, dataset, tmp_path, split):
        path = self.changed(dataset, tmp_path, split, other=0, road=0)
        with pytest.raises(InputError, match=f"no label in split {split} is known"):
            self.check(path)

    def test_a_validation_without_road_is_warned_of(self, dataset, tmp_path, caplog):
        self.check(self.changed(dataset, tmp_path, "val", road=0))
        assert "split val has no pixel of class road" in caplog.text
        assert "warning: " not in caplog.text  # which the terminal's formatter adds

    def test_one_empty_class_of_several_is_warned_of(self, tmp_path, caplog):
        several = make_dataset(tmp_path / "several", classes=3)
        folder = tmp_path / "changed"
        folder.mkdir()
        path = self.changed(several, folder, "train", track=0)
        self.check(path)
        assert "split train has no pixel of class track: the network can't learn it" in caplog.text


@pytest.mark.slow
def test_killed_in_mid_epoch_training_ends_as_if_it_had_not_been(tmp_path, repository):
    dataset = make_dataset(tmp_path / "dataset", tiles=320)
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    with start(repository, command(dataset, whole / "model.keras", QUICK)) as process:
        _, log = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0, log
    seconds = float(history(whole)[1]["seconds"])

    arguments = command(dataset, cut / "model.keras", QUICK)
    with start(repository, arguments) as process:
        for line in process.stderr:
            if line.startswith("epoch 1/3  loss"):
                # An epoch has eighty steps: this is in their midst.
                time.sleep(seconds / 3)
                process.send_signal(signal.SIGKILL)
                break
    assert process.wait() == -signal.SIGKILL
    assert len(history(cut)) == 1
    assert not (cut / "model.keras").exists()
    with start(repository, arguments) as process:
        _, log = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0, log
    assert "going on after epoch 1" in log
    assert_same_history(history(cut), history(whole), tolerance=1e-3)
