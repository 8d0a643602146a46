"""Changes of light in training: the picture alone, by the seed alone, 0 stays 0."""

from __future__ import annotations

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from roadmask.model.augmentation import random_light  # noqa: E402


def sample(bands: int = 3) -> np.ndarray:
    values = np.random.default_rng(1).integers(0, 256, (40, 30, bands + 1))
    values[:5, :, :-1] = 0
    values[..., -1] = np.where(values[..., -1] > 200, 255, values[..., -1] % 2)
    return values.astype(np.uint8)


@pytest.mark.parametrize("bands", [1, 3, 8])
def test_light_changes_the_picture_and_never_the_label(bands):
    before = sample(bands)
    after = random_light(tf.constant(before), 0.4, tf.constant([1, 2])).numpy()
    assert after.dtype == np.uint8
    np.testing.assert_array_equal(after[..., -1], before[..., -1])
    assert (after[..., :-1] != before[..., :-1]).mean() > 0.5
    assert (after[:5, :, :-1] == 0).all()


def test_light_depends_on_the_seed_alone():
    before = tf.constant(sample())
    one, again, other = (
        random_light(before, 0.4, tf.constant(seed)).numpy() for seed in ([1, 2], [1, 2], [1, 3])
    )
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()


def test_light_keeps_the_order_of_tones_and_its_limits():
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[:, None, None], 2, axis=2)
    gains = []
    for number in range(40):
        tone = random_light(tf.constant(ramp), 0.4, tf.constant([7, number])).numpy()[:, 0, 0]
        assert (np.diff(tone.astype(int)) >= 0).all()
        gains.append(tone[128] / 128)
    # Exposure, tone curve and white balance at their ends together.
    assert np.exp(-0.4 - 0.08) * 2 ** -(np.exp(0.2) - 1) * 0.99 < min(gains) < 0.85
    assert 1.2 < max(gains) <= 255 / 128


def test_no_light_is_no_change():
    before = sample()
    after = random_light(tf.constant(before), 0.0, tf.constant([1, 2])).numpy()
    np.testing.assert_array_equal(after, before)
