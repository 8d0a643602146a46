"""Stage `model`: the network, what it learns by, and what it leaves behind."""

from __future__ import annotations

import csv
import json
import math
import os
import random
import subprocess
import sys
import time
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import confusion_matrix, jaccard_score

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import tensorflow as tf
from model_makers import SIZE, UNKNOWN, make_dataset, train_split
from PIL import Image

from roadmask.__main__ import main
from roadmask.dataset.reading import parse_example
from roadmask.errors import InputError, SettingError
from roadmask.files import sha256
from roadmask.model import training
from roadmask.model.card import Card, embed_card, read_card
from roadmask.model.card_text import card_text
from roadmask.model.history import Epoch, best_row, is_over, learning_rate
from roadmask.model.losses import MaskedLoss
from roadmask.model.making import make_model
from roadmask.model.metrics import (
    confusions_of,
    iou_of,
    judge_confusion,
    judge_histogram,
    mean_iou_of,
)
from roadmask.model.network_settings import NetworkSettings
from roadmask.model.networks import build_network
from roadmask.model.networks.layers import training_twin
from roadmask.model.networks.unet import unet
from roadmask.model.pipeline import Split, TrainingStream, validation_batches
from roadmask.model.settings import LOSSES, TrainingSettings, no_augmentation
from roadmask.model.validation import Validator
from roadmask.probability import CERTAIN


def row(epoch, mean=0.5, val_loss=1.0):
    return Epoch(epoch, 1.0, val_loss, mean, 0.001, 0.5, 1.0, {"other": mean, "road": mean})


class TestTwin:
    def test_the_twin_is_the_same_network_by_faster_means(self):
        rng = np.random.default_rng(0)
        model = unet((None, None, 3), 1)
        model.set_weights([rng.uniform(0.01, 0.2, w.shape) for w in model.get_weights()])
        twin = training_twin(model)
        # Without dropout, whose random numbers would differ.
        for network in (model, twin):
            for layer in network.layers:
                if isinstance(layer, keras.layers.Dropout):
                    layer.rate = 0.0
        picture = rng.integers(0, 256, (4, 32, 32, 3)).astype(np.float32)
        for training_mode in (True, False):
            logits = twin(picture, training=training_mode).numpy()
            expected = model(picture, training=training_mode).numpy()
            np.testing.assert_allclose(1 / (1 + np.exp(-logits)), expected, atol=2e-4)
        for found, expected in zip(twin.get_weights(), model.get_weights(), strict=True):
            # The moving variances differ by the factor n / (n - 1), at the bridge 16 / 15.
            np.testing.assert_allclose(found, expected, rtol=0.08, atol=1e-4)


class TestLosses:
    labels = np.array([[[1, 0, UNKNOWN], [1, UNKNOWN, 0]]], np.uint8)[..., None]

    def test_binary_values_by_hand(self):
        logits = np.array([[[2.0, -1.0, 50.0], [0.0, -50.0, 1.0]]], np.float32)[..., None]
        p = 1 / (1 + np.exp(-np.array([2.0, -1.0, 0.0, 1.0])))
        truth = np.array([1, 0, 1, 0])
        entropy = -np.mean(truth * np.log(p) + (1 - truth) * np.log(1 - p))
        dice = 1 - (2 * (p * truth).sum() + 1) / (p.sum() + truth.sum() + 1)
        found = {name: float(MaskedLoss(name)(self.labels, logits)) for name in LOSSES}
        assert found["crossentropy"] == pytest.approx(entropy, rel=1e-5)
        assert found["dice"] == pytest.approx(dice, rel=1e-5)
        assert found["dice_crossentropy"] == pytest.approx(dice + entropy, rel=1e-5)

    def test_several_classes_by_hand(self):
        labels = np.array([[[0, 2, UNKNOWN]]], np.uint8)[..., None]
        logits = np.array([[[[1, 0, 0], [0, 0, 3], [9, 9, 9]]]], np.float32)
        p = np.exp(logits[0, 0, :2])
        p /= p.sum(axis=1, keepdims=True)
        truth = np.array([[1, 0, 0], [0, 0, 1]])
        entropy = -np.mean(np.log(p[[0, 1], [0, 2]]))
        dice = 1 - np.mean(
            (2 * (p * truth).sum(axis=0) + 1) / (p.sum(axis=0) + truth.sum(axis=0) + 1)
        )
        assert float(MaskedLoss("dice_crossentropy")(labels, logits)) == pytest.approx(
            dice + entropy, rel=1e-5
        )

    @pytest.mark.parametrize("name", LOSSES)
    @pytest.mark.parametrize("outputs", [1, 3])
    def test_unknown_pixels_have_no_gradient_and_known_ones_have(self, name, outputs):
        rng = np.random.default_rng(1)
        labels = rng.choice([0, 1, UNKNOWN], (2, 8, 8, 1)).astype(np.uint8)
        logits = tf.constant(rng.normal(size=(2, 8, 8, outputs)), tf.float32)
        with tf.GradientTape() as tape:
            tape.watch(logits)
            value = MaskedLoss(name)(labels, logits)
        gradient = np.abs(tape.gradient(value, logits).numpy()).max(axis=-1, keepdims=True)
        assert np.all(gradient[labels == UNKNOWN] == 0)
        assert np.all(gradient[labels != UNKNOWN] > 0)

    @pytest.mark.parametrize("name", LOSSES)
    @pytest.mark.parametrize("outputs", [1, 3])
    def test_a_batch_of_unknown_pixels_only_teaches_nothing(self, name, outputs):
        labels = np.full((1, 4, 4, 1), UNKNOWN, np.uint8)
        logits = tf.fill((1, 4, 4, outputs), 80.0)
        with tf.GradientTape() as tape:
            tape.watch(logits)
            value = MaskedLoss(name)(labels, logits)
        assert float(value) == 0
        assert np.all(tape.gradient(value, logits).numpy() == 0)

    @pytest.mark.parametrize("name", LOSSES)
    def test_sums_of_parts_give_the_loss_of_the_whole(self, name):
        rng = np.random.default_rng(2)
        labels = rng.choice([0, 1, UNKNOWN], (4, 8, 8, 1)).astype(np.uint8)
        logits = rng.normal(size=(4, 8, 8, 1)).astype(np.float32)
        loss = MaskedLoss(name, weights=(0.5, 3.0))
        parts = loss.sums(labels[:1], logits[:1]) + loss.sums(labels[1:], logits[1:])
        assert float(loss.of_sums(parts)) == pytest.approx(float(loss(labels, logits)), rel=1e-5)

    def test_focal_and_tversky_by_hand(self):
        logits = np.array([[[2.0, -1.0, 50.0], [0.0, -50.0, 1.0]]], np.float32)[..., None]
        p = 1 / (1 + np.exp(-np.array([2.0, -1.0, 0.0, 1.0])))
        truth = np.array([1, 0, 1, 0])
        right = np.where(truth == 1, p, 1 - p)
        focal = np.mean((1 - right) ** 1.5 * -np.log(right))
        found = float(MaskedLoss("focal", focal_gamma=1.5)(self.labels, logits))
        assert found == pytest.approx(focal, rel=1e-5)
        hit, missed, false = (p * truth).sum(), ((1 - p) * truth).sum(), (p * (1 - truth)).sum()
        tversky = 1 - (hit + 0.5) / (hit + 0.8 * missed + 0.2 * false + 0.5)
        found = float(MaskedLoss("tversky", tversky_misses=0.8)(self.labels, logits))
        assert found == pytest.approx(tversky, rel=1e-5)

    def test_focal_without_focus_is_the_crossentropy_and_even_tversky_is_dice(self):
        rng = np.random.default_rng(3)
        labels = rng.choice([0, 1, 2, UNKNOWN], (2, 8, 8, 1)).astype(np.uint8)
        logits = rng.normal(size=(2, 8, 8, 3)).astype(np.float32)
        for weights in (None, (0.2, 1.0, 4.0)):
            for one, other in (
                (
                    MaskedLoss("focal", weights, focal_gamma=0.0),
                    MaskedLoss("crossentropy", weights),
                ),
                (MaskedLoss("tversky", weights, tversky_misses=0.5), MaskedLoss("dice", weights)),
            ):
                assert float(one(labels, logits)) == pytest.approx(
                    float(other(labels, logits)), rel=1e-5
                )

    def test_class_weights_by_hand(self):
        labels = np.array([[[0, 2, 1, UNKNOWN]]], np.uint8)[..., None]
        logits = np.array([[[[1, 0, 0], [0, 0, 3], [0, 2, 0], [9, 9, 9]]]], np.float32)
        p = np.exp(logits[0, 0, :3])
        p /= p.sum(axis=1, keepdims=True)
        weights = np.array([0.5, 2.0, 4.0])
        right = p[[0, 1, 2], [0, 2, 1]]
        entropy = (-np.log(right) * weights[[0, 2, 1]]).sum() / weights.sum()
        found = float(MaskedLoss("crossentropy", weights)(labels, logits))
        assert found == pytest.approx(entropy, rel=1e-5)
        truth = np.array([[1, 0, 0], [0, 0, 1], [0, 1, 0]])
        dice = (2 * (p * truth).sum(axis=0) + 1) / (p.sum(axis=0) + truth.sum(axis=0) + 1)
        found = float(MaskedLoss("dice", weights)(labels, logits))
        assert found == pytest.approx(1 - (dice * weights).sum() / weights.sum(), rel=1e-5)

    def test_weights_of_the_data_set_count_only_where_they_are_asked_for(self):
        labels = np.array([[[0, 1, 1, 1]]], np.uint8)[..., None]
        logits = np.array([[[1.0, 1.0, 1.0, 1.0]]], np.float32)[..., None]
        values = [
            float(MaskedLoss.of(TrainingSettings(class_weights=name), (2.0, 0.7))(labels, logits))
            for name in ("none", "balanced")
        ]
        assert values[1] > values[0]


class TestMetrics:
    def test_iou_by_hand(self):
        figures = judge_confusion(np.array([[6, 1, 0], [2, 3, 0], [0, 0, 0]]))
        assert figures.iou[:2] == (6 / 9, 3 / 6)
        assert math.isnan(figures.iou[2])
        assert figures.mean_iou == pytest.approx((6 / 9 + 3 / 6) / 2)

    def test_a_class_without_labels_has_no_figure_whatever_is_predicted(self):
        stray = judge_confusion(np.array([[0, 0, 0], [2, 6, 1], [0, 2, 3]]))
        assert math.isnan(stray.iou[0])
        assert stray.mean_iou == pytest.approx((6 / 11 + 3 / 6) / 2)

    @settings(deadline=None)
    @given(
        truth=arrays(np.uint8, 60, elements=st.integers(0, 3)),
        answer=arrays(np.uint8, 60, elements=st.integers(0, 3)),
    )
    def test_iou_is_that_of_scikit_learn(self, truth, answer):
        confusion = confusion_matrix(truth, answer, labels=range(4))
        found = iou_of(confusion)
        expected = jaccard_score(truth, answer, labels=range(4), average=None, zero_division=0)
        present = np.isin(np.arange(4), np.concatenate([truth, answer]))
        assert np.array_equal(np.isnan(found), ~present)
        np.testing.assert_allclose(found[present], expected[present])

    @settings(max_examples=20, deadline=None)
    @given(
        truth=arrays(np.uint8, 40, elements=st.integers(0, 1)),
        steps=arrays(np.uint8, 40, elements=st.sampled_from([0, 1, 60, 127, 128, 200, CERTAIN])),
    )
    def test_each_threshold_has_the_confusion_that_comparing_gives(self, truth, steps):
        histogram = np.zeros((2, CERTAIN + 1), np.int64)
        np.add.at(histogram, (truth, steps), 1)
        confusions = confusions_of(histogram)
        for threshold in (1, 90, CERTAIN):
            expected = confusion_matrix(truth, steps >= threshold, labels=[0, 1])
            assert np.array_equal(confusions[threshold - 1], expected)
        chosen = judge_histogram(histogram)
        answer = steps >= round(chosen.threshold * CERTAIN)
        assert np.array_equal(chosen.confusion, confusion_matrix(truth, answer, labels=[0, 1]))
        # No threshold does better; those between two probabilities that occur are alike.
        for threshold in {1, *np.maximum(steps, 1).tolist(), CERTAIN}:
            other = iou_of(confusion_matrix(truth, steps >= threshold, labels=[0, 1]))
            assert mean_iou_of(other) <= chosen.mean_iou + 1e-9

    def test_with_nothing_known_the_threshold_is_a_half(self):
        figures = judge_histogram(np.zeros((2, CERTAIN + 1), np.int64))
        assert figures.threshold == 0.5
        assert math.isnan(figures.mean_iou)

    @pytest.mark.parametrize("outputs", [1, 4])
    def test_a_split_is_counted_whole_and_without_unknown_pixels(self, outputs):
        rng = np.random.default_rng(3)
        logits = rng.normal(size=(5, 8, 8, outputs)).astype(np.float32)
        labels = rng.integers(0, max(2, outputs), (5, 8, 8, 1)).astype(np.uint8)
        labels[rng.random(labels.shape) < 0.2] = UNKNOWN
        inputs = keras.Input((8, 8, outputs))
        network = keras.Model(inputs, keras.layers.Identity()(inputs))
        batches = tf.data.Dataset.from_tensor_slices((logits, labels)).batch(2)
        verdict = Validator(network, batches, MaskedLoss()).judge()
        known = labels[..., 0] != UNKNOWN
        if outputs == 1:
            steps = np.rint(CERTAIN / (1 + np.exp(-logits[..., 0])))
            answer = steps >= round(verdict.figures.threshold * CERTAIN)
        else:
            answer = logits.argmax(axis=-1)
        expected = confusion_matrix(labels[..., 0][known], answer[known])
        assert np.array_equal(verdict.figures.confusion, expected)
        whole = float(MaskedLoss("dice_crossentropy")(labels, logits))
        assert verdict.loss == pytest.approx(whole, rel=1e-5)


class TestHistory:
    def test_best_is_the_first_with_the_largest_mean_iou(self):
        assert best_row([row(1, 0.4), row(2, 0.6), row(3, 0.6), row(4, 0.5)]).epoch == 2

    def test_without_a_mean_iou_the_loss_decides(self):
        rows = [row(1, math.nan, 2.0), row(2, math.nan, 1.0), row(3, math.nan, 3.0)]
        assert best_row(rows).epoch == 2

    def test_patience_ends_training(self):
        chosen = TrainingSettings(epochs=50, patience=3)
        rows = [row(1, 0.4), row(2, 0.6), row(3), row(4)]
        assert not is_over(rows, chosen)
        assert is_over([*rows, row(5)], chosen)
        assert is_over(rows, replace(chosen, epochs=4))

    def test_cosine_rises_then_falls(self):
        chosen = TrainingSettings(epochs=10, learning_rate=0.01)
        rates = [learning_rate(chosen, [], step, 10) for step in range(100)]
        assert rates[0] == pytest.approx(0.002)
        assert max(rates) == rates[5] == pytest.approx(0.01)
        assert rates[5:] == sorted(rates[5:], reverse=True)
        assert rates[-1] == pytest.approx(0.0001, rel=0.05)

    def test_plateau_divides_the_rate_each_time_the_loss_stops_falling(self):
        chosen = TrainingSettings(
            schedule="plateau", learning_rate=0.01, plateau_patience=2, plateau_divisor=10
        )
        losses = [3.0, 2.0, 2.5, 2.5, 1.0, 1.0, 1.5, 1.5]
        rows = [row(number + 1, val_loss=loss) for number, loss in enumerate(losses)]
        rates = [learning_rate(chosen, rows[:count], 0, 10) for count in range(len(rows) + 1)]
        np.testing.assert_allclose(
            rates, [0.01, 0.01, 0.01, 0.01, 0.001, 0.001, 0.001, 0.0001, 0.0001]
        )

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("epochs", 0),
            ("crop", 100),
            ("learning_rate", 0.0),
            ("loss", "l2"),
            ("schedule", "steps"),
            ("plateau_divisor", 1.0),
            ("average", 1.0),
            ("precision", "float64"),
            ("strategy", "both"),
            ("class_weights", "some"),
            ("warm_up", 1.0),
            ("weight_decay", -0.1),
            ("clip_norm", -1.0),
            ("focal_gamma", -1.0),
            ("tversky_misses", 1.0),
            ("seed", -1),
        ],
    )
    def test_impossible_settings_are_refused_by_their_key(self, name, value):
        with pytest.raises(SettingError, match=rf"training\.{name}"):
            TrainingSettings(**{name: value})


def parsed_in_random_time(record, bands, size):
    picture, label = parse_example(record, bands, size)

    def late(values):
        time.sleep(0.03 * random.random())
        return values

    return tf.ensure_shape(tf.numpy_function(late, [picture], tf.uint8), picture.shape), label


class TestStream:
    settings = TrainingSettings(batch_size=3, crop=32, seed=4)
    plain = replace(settings, augmentation=no_augmentation())

    def numbered(self, tmp_path, tiles=5, size=SIZE):
        return train_split(make_dataset(tmp_path, tiles=tiles, size=size))

    def take(self, stream, first, count):
        return [
            (images.numpy(), labels.numpy()) for images, labels in stream.batches(first).take(count)
        ]

    @pytest.mark.parametrize("cache", [0, 2**30])
    def test_the_order_hangs_on_no_global_seed(self, tmp_path, monkeypatch, cache):
        monkeypatch.setattr("roadmask.model.pipeline.CACHE_BYTES", cache)
        split = self.numbered(tmp_path)
        orders = []
        for seed in (0, 1, 2):
            keras.utils.set_random_seed(seed)
            taken = self.take(TrainingStream(split, self.plain, 8, threads=2), 0, 4)
            orders.append([images.tobytes() for images, _ in taken])
        assert orders[0] == orders[1] == orders[2]

    @pytest.mark.parametrize("cache", [0, 2**30])
    def test_a_stream_that_starts_later_goes_on_like_the_whole(self, tmp_path, monkeypatch, cache):
        monkeypatch.setattr("roadmask.model.pipeline.CACHE_BYTES", cache)
        split = self.numbered(tmp_path, size=64)
        stream = TrainingStream(split, self.settings, 16, threads=2)
        assert stream.samples_per_pass == 20
        whole = self.take(stream, 0, 12)
        for first in (5, 9):
            later = self.take(TrainingStream(split, self.settings, 16, threads=1), first, 3)
            for (images, labels), (images0, labels0) in zip(later, whole[first:], strict=False):
                assert np.array_equal(images, images0)
                assert np.array_equal(labels, labels0)

    @pytest.mark.parametrize("cache", [0, 2**30])
    def test_each_pass_has_every_tile_once_in_another_order(self, tmp_path, monkeypatch, cache):
        monkeypatch.setattr("roadmask.model.pipeline.CACHE_BYTES", cache)
        split = self.numbered(tmp_path)
        stream = TrainingStream(split, self.plain, 16, threads=2)
        batches = self.take(stream, 0, 5)
        keys = [image.tobytes() for images, _ in batches for image in images]
        passes = [keys[start : start + 5] for start in (0, 5, 10)]
        assert all(len(set(each)) == 5 for each in passes)
        assert set(passes[0]) == set(passes[1]) == set(passes[2])
        assert not passes[0] == passes[1] == passes[2]

    @pytest.mark.parametrize("deterministic", [True, False])
    @pytest.mark.parametrize("cache", [0, 2**30])
    def test_the_parts_of_a_batch_make_it_up(self, tmp_path, monkeypatch, cache, deterministic):
        monkeypatch.setattr("roadmask.model.pipeline.CACHE_BYTES", cache)
        # Where no order is kept, tiles now overtake one another.
        monkeypatch.setattr("roadmask.model.pipeline.parse_example", parsed_in_random_time)
        split = self.numbered(tmp_path)
        chosen = replace(self.settings, batch_size=4)
        whole = self.take(TrainingStream(split, chosen, 16, threads=2), 3, 3)
        # Machines share batches, so theirs have an order in any case.
        stream = TrainingStream(split, replace(chosen, deterministic=deterministic), 16, threads=2)
        parts = [
            [(x.numpy(), y.numpy()) for x, y in stream.batches(3, part, 2).take(3)]
            for part in range(2)
        ]
        for number, (images, labels) in enumerate(whole):
            assert np.array_equal(images, np.concatenate([part[number][0] for part in parts]))
            assert np.array_equal(labels, np.concatenate([part[number][1] for part in parts]))

    @pytest.mark.parametrize("cache", [0, 2**30])
    def test_without_an_order_asked_for_each_pass_still_has_every_tile(
        self, tmp_path, monkeypatch, cache
    ):
        monkeypatch.setattr("roadmask.model.pipeline.CACHE_BYTES", cache)
        split = self.numbered(tmp_path, tiles=6)
        chosen = replace(self.plain, deterministic=False)
        batches = self.take(TrainingStream(split, chosen, 16, threads=2), 0, 2)
        assert len({image.tobytes() for images, _ in batches for image in images}) == 6

    def test_sizes_that_the_network_can_not_take_are_padded_with_unknown(self, tmp_path):
        split = self.numbered(tmp_path, tiles=2, size=40)
        stream = TrainingStream(split, replace(self.plain, crop=64), 16, threads=1)
        ((images, labels),) = self.take(stream, 0, 1)
        assert images.shape == (3, 48, 48, 3)
        assert np.all(labels[:, 40:] == UNKNOWN)
        assert np.all(labels[:, :, 40:] == UNKNOWN)
        assert not np.any(images[:, 40:])
        ((images, labels),) = list(validation_batches(split, 2 * 48**2, 16, 1))
        assert images.shape == (2, 48, 48, 3)
        assert np.all(labels[:, 40:] == UNKNOWN)

    def test_a_shard_that_is_short_is_named(self, tmp_path):
        split = self.numbered(tmp_path)
        with pytest.raises(InputError, match=r"5 tiles in the shards, but 6 in dataset\.json"):
            replace(split, tiles=6).load(1)

    def test_a_damaged_shard_is_named(self, tmp_path):
        split = self.numbered(tmp_path)
        content = bytearray(split.paths[0].read_bytes())
        content[len(content) // 2] ^= 0xFF
        split.paths[0].write_bytes(content)
        with pytest.raises(InputError, match="a record is damaged"):
            split.load(1)


QUICK = TrainingSettings(epochs=3, batch_size=4, crop=32, learning_rate=0.01, seed=7)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A model as the command makes it."""
    folder = tmp_path_factory.mktemp("trained")
    dataset = make_dataset(folder / "dataset")
    output = folder / "model" / "model.keras"
    keys = [f"--{key}={str(value).lower()}" for key, value in QUICK.by_key().items()]
    assert main(["model", str(dataset), "--output", str(output), "--threads", "2", *keys]) == 0
    return output


class TestCommand:
    def test_the_history_has_a_row_an_epoch(self, trained):
        with (trained.parent / "history.csv").open(encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        assert list(rows[0]) == [
            "epoch",
            "loss",
            "val_loss",
            "val_mean_iou",
            "val_iou_other",
            "val_iou_road",
            "threshold",
            "learning_rate",
            "seconds",
        ]
        assert [row["epoch"] for row in rows] == ["1", "2", "3"]
        assert float(rows[-1]["loss"]) < float(rows[0]["loss"])
        for each in rows:
            mean = (float(each["val_iou_other"]) + float(each["val_iou_road"])) / 2
            assert float(each["val_mean_iou"]) == pytest.approx(mean, rel=1e-4)

    def test_the_card_lies_in_the_file_and_beside_it(self, trained):
        card = read_card(trained)
        assert card.bands == (1, 2, 3)
        assert card.classes == ("road",)
        assert card.outputs == 1
        assert 0 < card.threshold <= 1
        assert card.pixel_metres == pytest.approx(0.1524, rel=1e-3)
        assert card.settings["training.epochs"] == 3
        assert card.settings["model.architecture"] == "unet"
        assert card.reach == 107
        assert card.pretrained is None
        assert card.band_mean == (30.0, 30.0, 30.0)
        assert card.band_deviation == (20.0, 20.0, 20.0)
        beside = json.loads(trained.with_suffix(".json").read_text(encoding="utf-8"))
        assert Card.from_json(beside) == card
        dataset = trained.parent.parent / "dataset" / "dataset.json"
        assert card.dataset_sha256 == sha256(dataset)

    def test_plain_keras_loads_the_file_without_this_package(self, trained, tmp_path):
        code = (
            "import sys, keras, numpy\n"
            "model = keras.models.load_model(sys.argv[1])\n"
            "assert not any(name.startswith('roadmask') for name in sys.modules)\n"
            "answer = model.predict(numpy.full((1, 48, 64, 3), 99, 'uint8'), verbose=0)\n"
            "assert answer.shape == (1, 48, 64, 1) and model.count_params() == 1946993\n"
        )
        subprocess.run([sys.executable, "-c", code, str(trained)], check=True, cwd=tmp_path)

    def test_the_weights_are_those_of_the_best_epoch(self, trained):
        model = keras.models.load_model(trained, compile=False)
        dataset = trained.parent.parent / "dataset" / "val-00000-of-00001.tfrecord"
        batches = validation_batches(Split((dataset,), 4, SIZE, 3), 4 * SIZE**2, 16, 1)
        verdict = Validator(training_twin(model), batches, MaskedLoss(QUICK.loss)).judge()
        figures = read_card(trained).figures
        assert verdict.figures.mean_iou == pytest.approx(figures["val_mean_iou"], abs=1e-3)
        assert verdict.loss == pytest.approx(figures["val_loss"], rel=1e-3)

    def test_nothing_of_the_state_is_left(self, trained):
        names = {path.name for path in trained.parent.iterdir()}
        assert names == {
            "model.keras",
            "model.json",
            "card.md",
            "history.csv",
            "augmentation.png",
            "tensorboard",
        }
        assert len(list((trained.parent / "tensorboard").glob("*/events.*"))) == 2

    def test_the_card_for_people_has_hashes_splits_and_settings(self, trained):
        text = (trained.parent / "card.md").read_text(encoding="utf-8")
        dataset = trained.parent.parent / "dataset" / "dataset.json"
        for expected in (sha256(trained), sha256(dataset), "| train | 8 |"):
            assert expected in text
        assert "| `training.learning_rate` | 0.01 |" in text
        assert "rotation_limit" not in text
        assert "| `training.augmentation.exposure_limit` | 0.1 |" in text
        assert "| `model.backbone` | null |" in text
        assert "| started from | random numbers |" in text

    def test_the_card_for_people_names_what_it_started_from_and_the_blocks(self, trained):
        dataset = json.loads((trained.parent.parent / "dataset" / "dataset.json").read_text())
        dataset["split"] = {"train": 0.7, "val": 0.3, "test": 0, "block": "256 ft", "seed": 1}
        start = {"source": "encoder.h5", "sha256": "12ab", "licence": "Apache-2.0"}
        card = replace(read_card(trained), pretrained=start)
        text = card_text(card, dataset, [row(1)], "34cd")
        assert "Training started from `encoder.h5`, whose weights were published under: Apache" in (
            text
        )
        assert "| weights that training started from | 12ab |" in text
        assert "dealt out in blocks of 256 ft that never" in text
        nowhere = replace(card, pixel_metres=None)
        text = card_text(nowhere, dataset, [row(1)], "34cd")
        assert "dealt out in whole pictures that never" in text

    def test_the_sheet_shows_tiles_and_what_becomes_of_them(self, trained):
        with Image.open(trained.parent / "augmentation.png") as image:
            sheet = np.asarray(image)
        # Four tiles, their labels below, six changes each, four pixels between.
        assert sheet.shape == (8 * (SIZE + 4) - 4, 7 * (SIZE + 4) - 4, 3)
        assert len(np.unique(sheet.reshape(-1, 3), axis=0)) > 1000

    def test_tensorboard_has_curves_and_pictures(self, trained):
        (file,) = (trained.parent / "tensorboard" / "validation").iterdir()
        tags = [
            value.tag
            for event in tf.compat.v1.train.summary_iterator(str(file))
            for value in event.summary.value
        ]
        assert tags.count("loss") == tags.count("mean_iou") == 3
        assert sum(tag.startswith("picture, label, prediction") for tag in tags) == 3

    @pytest.mark.parametrize("change", ["member", "content", "zip", "missing"])
    def test_a_file_without_a_card_is_refused(self, tmp_path, change):
        path = tmp_path / "other.keras"
        if change == "zip":
            path.write_bytes(b"nothing")
        elif change != "missing":
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("config.json", "{}")
                if change == "content":
                    archive.writestr("roadmask.json", '{"bands": [1]}')
        with pytest.raises(InputError, match=r"other\.keras"):
            read_card(path)

    def test_a_card_survives_the_file(self, tmp_path):
        card = Card(
            architecture="unet",
            bands=(4, 1),
            scale=((0.0, 3000.0), (1.5, 9.0)),
            classes=("road", "water"),
            outputs=3,
            threshold=None,
            input_stride=16,
            pixel_metres=None,
            settings={"training.seed": 1},
            dataset_sha256="0" * 64,
            figures={"val_loss": 0.1},
            versions={"keras": "3"},
            colours=((240, 110, 30), (60, 130, 220)),
        )
        embed_card(tmp_path / "x.keras", card)
        assert read_card(tmp_path / "x.keras") == card


# Saves the state of epoch 4 over that of epoch 3, killed before its first operation on a file,
# before its second, and so on; prints which epoch's state is there afterwards.
KILLED_WHILE_WRITING = """
import os, shutil, signal, sys
from pathlib import Path
import numpy as np
from roadmask.model.history import Epoch
from roadmask.model.state import State, StateFolder

def state(epoch):
    rows = [Epoch(n, 1.0, 1.0, n / 9, 0.1, 0.5, 1.0, {"road": n / 9}) for n in range(1, epoch + 1)]
    arrays = [np.full(5, epoch)]
    return State(tuple(rows), arrays, arrays, arrays, arrays)

root = Path(sys.argv[1])
survived, moment = False, 0
while not survived:
    parent = root / str(moment)
    folder = StateFolder(parent, {})
    for epoch in (2, 3):
        folder.save(state(epoch), epoch)
    child = os.fork()
    if not child:
        seen = 0
        def count(event, arguments):
            global seen
            if event in ("open", "os.rename", "os.remove") and root.name in str(arguments):
                if seen == moment:
                    os.kill(os.getpid(), signal.SIGKILL)
                seen += 1
        sys.addaudithook(count)
        folder.save(state(4), 4)
        os._exit(0)
    survived = os.waitpid(child, 0)[1] == 0
    found = folder.load()
    epoch = found.rows[-1].epoch
    for group in (found.weights, found.average, found.optimizer, found.best):
        assert (group[0] == epoch).all()
    folder.save(state(5), 5)
    assert {path.name for path in folder.path.iterdir()} == {
        "state.json", "epoch-5.npz", "best-5.npz"
    }
    print(epoch)
    moment += 1
"""


class TestTraining:
    def test_a_tiny_set_is_learnt_by_heart(self, tmp_path):
        dataset = make_dataset(tmp_path / "dataset", tiles=4)
        (tmp_path / "dataset" / "val-00000-of-00001.tfrecord").write_bytes(
            (tmp_path / "dataset" / "train-00000-of-00001.tfrecord").read_bytes()
        )
        chosen = TrainingSettings(epochs=40, batch_size=4, crop=32, learning_rate=0.005)
        make_model(dataset, tmp_path / "model.keras", NetworkSettings("unet"), chosen, threads=2)
        assert read_card(tmp_path / "model.keras").figures["val_mean_iou"] > 0.95

    def test_several_bands_and_classes(self, tmp_path):
        dataset = make_dataset(tmp_path / "dataset", bands=5, classes=3)
        chosen = replace(QUICK, epochs=1)
        earlier = tmp_path / "earlier.weights.h5"
        build_network(NetworkSettings("lite_unet"), (None, None, 3), 1).save_weights(earlier)
        network = NetworkSettings("lite_unet", weights=str(earlier))
        make_model(dataset, tmp_path / "model.keras", network, chosen, threads=2)
        card = read_card(tmp_path / "model.keras")
        assert card.pretrained["sha256"] == sha256(earlier)
        assert card.outputs == 4
        assert card.threshold is None
        assert card.bands == (1, 2, 3, 4, 5)
        model = keras.models.load_model(tmp_path / "model.keras", compile=False)
        assert model.output_shape == (None, None, None, 4)

    def test_a_training_that_was_cut_off_ends_as_if_it_had_not_been(
        self, trained, tmp_path, monkeypatch, caplog
    ):
        dataset = trained.parent.parent / "dataset" / "dataset.json"
        output = tmp_path / "model.keras"

        class CutOffError(BaseException):
            pass

        def cut_off(self, batch, number):
            if len(self.rows) == 1 and number == 1:
                raise CutOffError
            return step(self, batch, number)

        step = training.Run.step

        keras.utils.set_random_seed(QUICK.seed)
        with monkeypatch.context() as patch, pytest.raises(CutOffError):
            patch.setattr(training.Run, "step", cut_off)
            make_model(dataset, output, NetworkSettings("unet"), QUICK, threads=2)
        assert list(tmp_path.glob(".state-*"))
        # Whatever the weights start with now, those of the state replace them.
        keras.utils.set_random_seed(99)
        with caplog.at_level("INFO"):
            make_model(dataset, output, NetworkSettings("unet"), QUICK, threads=2)
        assert "going on after epoch 1" in caplog.text
        assert not list(tmp_path.glob(".state-*"))
        with (
            (tmp_path / "history.csv").open() as found,
            (trained.parent / "history.csv").open() as expected,
        ):
            for here, there in zip(csv.DictReader(found), csv.DictReader(expected), strict=True):
                for column in set(here) - {"seconds"}:
                    assert float(here[column]) == pytest.approx(float(there[column]), rel=1e-3)

    def test_other_settings_do_not_take_up_old_weights(self, tmp_path):
        from roadmask.model.state import State, StateFolder

        state = State((row(1),), [np.zeros(3)], [np.zeros(3)], [np.ones(2)], [np.zeros(3)])
        StateFolder(tmp_path, {"training.learning_rate": 0.1}).save(state, 1)
        assert StateFolder(tmp_path, {"training.learning_rate": 0.2}).load() is None
        found = StateFolder(tmp_path, {"training.learning_rate": 0.1}).load()
        assert found.rows == state.rows
        assert np.array_equal(found.optimizer[0], np.ones(2))

    def test_a_kill_while_the_state_is_written_leaves_a_whole_one(self, tmp_path, repository):
        environment = {**os.environ, "PYTHONPATH": str(repository / "workflow")}
        done = subprocess.run(
            [sys.executable, "-c", KILLED_WHILE_WRITING, str(tmp_path)],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        epochs = [int(line) for line in done.stdout.split()]
        # Opening, renaming and removing are each a moment to be killed at.
        assert len(epochs) > 8
        assert set(epochs) == {3, 4}
        assert epochs == sorted(epochs)

    def test_a_damaged_state_is_not_taken_up(self, tmp_path):
        from roadmask.model.state import State, StateFolder

        folder = StateFolder(tmp_path, {})
        arrays_ = [np.zeros(300)]
        folder.save(State((row(1),), arrays_, arrays_, [np.ones(2)], arrays_), 1)
        file = folder.path / "epoch-1.npz"
        file.write_bytes(file.read_bytes()[:200])
        assert folder.load() is None

    def test_a_loss_that_is_lost_names_the_learning_rate(self):
        with pytest.raises(SettingError, match=r"training\.learning_rate.*nan in epoch 3"):
            training.require_finite(math.nan, "loss", 3)

    @pytest.mark.parametrize("fault", ["missing", "broken", "shard", "empty"])
    def test_a_dataset_that_is_none_is_refused(self, tmp_path, fault):
        path = tmp_path / "dataset" / "dataset.json"
        if fault != "missing":
            make_dataset(path.parent, tiles=1)
        if fault == "broken":
            path.write_text("{}")
        if fault == "shard":
            (path.parent / "val-00000-of-00001.tfrecord").unlink()
        if fault == "empty":
            content = json.loads(path.read_text())
            content["splits"]["val"]["shards"] = []
            path.write_text(json.dumps(content))
        with pytest.raises(InputError):
            make_model(path, tmp_path / "model.keras", NetworkSettings("unet"), QUICK, threads=1)


def test_cards_are_read_without_tensorflow(repository):
    code = (
        "import sys; import roadmask.model.card, roadmask.model.command;"
        "assert 'tensorflow' not in sys.modules and 'keras' not in sys.modules"
    )
    environment = {**os.environ, "PYTHONPATH": str(repository / "workflow")}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
