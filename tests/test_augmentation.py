"""Random changes in training: picture and label together, by seed and number alone."""

from __future__ import annotations

from dataclasses import fields, replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roadmask.errors import SettingError
from roadmask.model import geometry, light
from roadmask.model.augmentation import Augmenter
from roadmask.model.settings import LIMITS, AugmentationSettings, no_augmentation

UNKNOWN = 255
PLAIN = no_augmentation()
CHANGES = tuple(PLAIN.probabilities())
OF_PLACE = CHANGES[: CHANGES.index("quarter_turns") + 1]
OF_LIGHT = [name for name in CHANGES if name not in OF_PLACE]
BANDS = 3


def tile(bands=BANDS, size=64, seed=1):
    """A picture of smooth fields with a corner of no picture, and a label of blocks."""
    rng = np.random.default_rng(seed)
    picture = np.stack(
        [
            cv2.resize(rng.integers(20, 236, (8, 8)).astype(np.uint8), (size, size))
            for _ in range(bands)
        ],
        axis=2,
    )
    picture[:6, :9] = 0
    label = rng.choice(np.array([0, 1, 2, UNKNOWN], np.uint8), (8, 8))
    label = label.repeat(size // 8, axis=0).repeat(size // 8, axis=1)
    label[:6, :9] = UNKNOWN
    return picture, label


def make(changes, number=0, crop=48, seed=5, bands=BANDS):
    """Make a sample with only these changes, each surely."""
    chosen = replace(PLAIN, **changes)
    return Augmenter(chosen, seed, crop).make(*tile(bands), number)


def surely(*names, **limits):
    return dict.fromkeys(names, 1.0) | {f"{name}_limit": value for name, value in limits.items()}


class TestSettings:
    def test_every_limit_has_its_change_and_its_range(self):
        names = {each.name for each in fields(AugmentationSettings)}
        limits = {name.removesuffix("_limit") for name in names if name.endswith("_limit")}
        assert limits == set(LIMITS)
        assert limits < set(CHANGES)

    @pytest.mark.parametrize("name", CHANGES)
    def test_what_is_no_probability_is_refused(self, name):
        for value in (-0.1, 1.1):
            with pytest.raises(SettingError, match=rf"training\.augmentation\.{name}: "):
                AugmentationSettings(**{name: value})

    @pytest.mark.parametrize("name", sorted(LIMITS))
    def test_limits_out_of_range_are_refused(self, name):
        low, high = LIMITS[name]
        for value in (low - 0.1, high + 0.1):
            with pytest.raises(SettingError, match=rf"training\.augmentation\.{name}_limit"):
                AugmentationSettings(**{f"{name}_limit": value})


class TestAll:
    def test_without_a_change_the_sample_is_the_middle_of_the_tile(self):
        picture, label = make({})
        whole, labels = tile()
        np.testing.assert_array_equal(picture, whole[8:56, 8:56])
        np.testing.assert_array_equal(label, labels[8:56, 8:56])

    @pytest.mark.parametrize("bands", [1, 2, 3, 4, 5, 8])
    @pytest.mark.parametrize("name", CHANGES)
    def test_each_change_works_for_any_number_of_bands(self, name, bands):
        picture, label = make(surely(name), bands=bands, number=3)
        assert picture.shape == (48, 48, bands)
        assert label.shape == (48, 48)
        assert picture.dtype == label.dtype == np.uint8
        assert picture.flags.c_contiguous or name == "crop"

    @pytest.mark.parametrize("name", CHANGES)
    def test_each_change_changes_and_is_the_same_for_the_same_number(self, name):
        plain = make({})
        found = [make(surely(name), number=number) for number in range(4)]
        again = [make(surely(name), number=number) for number in reversed(range(4))][::-1]
        for (picture, label), (picture_again, label_again) in zip(found, again, strict=True):
            np.testing.assert_array_equal(picture, picture_again)
            np.testing.assert_array_equal(label, label_again)
        assert any((picture != plain[0]).any() for picture, _ in found)

    def test_one_change_more_leaves_the_others_as_they_are(self):
        some = dict.fromkeys(("rotation", "flip_vertical", "haze", "noise"), 1.0)
        for number in range(5):
            picture, label = make(some, number)
            covered, covered_label = make(some | {"cut_out": 1.0}, number)
            np.testing.assert_array_equal(label, covered_label)
            assert (picture == covered).mean() > 0.8
            turned, _ = make(some | {"quarter_turns": 1.0}, number)
            assert abs(turned.mean() - picture.mean()) < 0.2

    @settings(max_examples=30, deadline=None)
    @given(number=st.integers(0, 2**40), share=st.sampled_from([0.2, 0.5, 1.0]))
    def test_labels_hold_no_value_that_the_tile_has_not(self, number, share):
        _, label = make(dict.fromkeys(CHANGES, share), number)
        assert set(np.unique(label)) <= {0, 1, 2, UNKNOWN}

    def test_changes_happen_as_often_as_they_should(self):
        changed = sum((make({"brightness": 0.3}, n)[0] != make({})[0]).any() for n in range(400))
        assert 85 < changed < 155

    def test_other_seeds_give_other_samples(self):
        one, other = (make(dict.fromkeys(CHANGES, 0.5), 1, seed=seed)[0] for seed in (1, 2))
        assert (one != other).any()


class TestPlace:
    def test_all_eight_symmetries_occur(self):
        grid = np.arange(16, dtype=np.uint8).reshape(4, 4)
        chosen = replace(PLAIN, flip_horizontal=0.5, flip_vertical=0.5, quarter_turns=0.75)
        augmenter = Augmenter(chosen, 1, 4)
        found = []
        for number in range(80):
            picture, label = augmenter.make(grid[..., None], grid, number)
            assert np.array_equal(picture[..., 0], label)
            found.append(label.tobytes())
        expected = {
            np.rot90(each, turns).tobytes() for each in (grid, grid[::-1]) for turns in range(4)
        }
        assert set(found) == expected

    def test_crops_lie_everywhere_inside(self):
        grid = np.arange(16, dtype=np.uint8).reshape(4, 4)
        augmenter = Augmenter(replace(PLAIN, crop=1.0), 2, 3)
        corners = {int(augmenter.make(grid[..., None], grid, n)[1][0, 0]) for n in range(60)}
        assert corners == {0, 1, 4, 5}

    @pytest.mark.parametrize(
        "names",
        [("rotation",), ("scale",), ("rotation", "scale"), ("grid_distortion",), ("elastic",)],
    )
    def test_picture_and_label_are_moved_alike(self, names):
        """A picture that shows its label keeps showing it, but for the border of the two."""
        _, label = tile(size=96)
        label = np.where(label == 1, 1, 0).astype(np.uint8)
        picture = np.repeat(label[..., None] * 200 + 20, 3, axis=2).astype(np.uint8)
        augmenter = Augmenter(replace(PLAIN, **surely(*names, elastic=3.0)), 3, 64)
        for number in range(8):
            moved, moved_label = augmenter.make(picture, label, number)
            known = moved_label != UNKNOWN
            agrees = (moved[..., 0] > 120) == (moved_label == 1)
            # Pixels that were interpolated across the border, one at most on either side.
            near = np.isin(moved[..., 0], (20, 220))
            assert agrees[known & near].all()
            assert near[known].mean() > 0.75

    def test_a_quarter_turn_by_rotation_is_that_by_turning(self):
        picture, label = tile()
        matrix_of = geometry.affine

        def quarter(crop, corner, draws):
            middle = (crop - 1) / 2
            return np.array([[0.0, -1.0, 2 * middle + corner[1]], [1.0, 0.0, corner[0]]])

        try:
            geometry.affine = quarter
            turned, turned_label = Augmenter(replace(PLAIN, rotation=1.0), 1, 64).make(
                picture, label, 0
            )
        finally:
            geometry.affine = matrix_of
        np.testing.assert_array_equal(turned, np.rot90(picture))
        np.testing.assert_array_equal(turned_label, np.rot90(label))

    def test_the_middle_stays_and_the_scale_is_what_it_says(self):
        class Draws:
            def happens(self, name):
                return name == "scale"

            def limit(self, name):
                return {"scale": 2.0}[name]

            def share(self, name):
                return {"scale": 1.0}[name]

        matrix = geometry.affine(5, np.array([10, 20]), Draws())
        np.testing.assert_allclose(matrix @ [2, 2, 1], [22, 12])
        # Twice as large: a sample's pixel is half a pixel of the tile.
        np.testing.assert_allclose(matrix[:, :2], np.eye(2) / 2)

    def test_beyond_the_tile_nothing_is_known(self):
        picture, label = np.full((32, 32, 5), 99, np.uint8), np.ones((32, 32), np.uint8)
        for name in ("rotation", "elastic"):
            augmenter = Augmenter(replace(PLAIN, **surely(name, elastic=20.0)), 1, 32)
            samples = [augmenter.make(picture, label, number) for number in range(10)]
            unknown = [(moved_label == UNKNOWN).mean() for _, moved_label in samples]
            assert 0 < max(unknown) < 0.8
            for moved, moved_label in samples:
                assert (moved == 99).all()
                assert set(np.unique(moved_label)) <= {1, UNKNOWN}

    def test_turned_crops_of_larger_tiles_know_all(self):
        label = np.ones((128, 128), np.uint8)
        augmenter = Augmenter(replace(PLAIN, rotation=1.0), 1, 64)
        for number in range(10):
            assert (augmenter.make(label[..., None], label, number)[1] == 1).all()


class TestLight:
    @pytest.mark.parametrize("name", OF_LIGHT)
    def test_the_label_stays_and_no_picture_stays_no_picture(self, name):
        _, plain_label = make({}, crop=64)
        for number in range(5):
            picture, label = make(surely(name), number, crop=64)
            np.testing.assert_array_equal(label, plain_label)
            assert not picture[:6, :9].any()

    def test_a_black_shadow_with_a_label_is_a_picture(self):
        black, label = np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.uint8)
        label[:, 4:] = UNKNOWN
        augmenter = Augmenter(replace(PLAIN, **surely("haze")), 1, 8)
        made = np.stack([augmenter.make(black, label, number)[0] for number in range(5)])
        assert made[:, :, :4].max() > 40
        assert not made[:, :, 4:].any()

    @pytest.mark.parametrize("name", ["gamma", "exposure", "white_balance", "contrast", "haze"])
    def test_the_order_of_tones_stays(self, name):
        ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 256, axis=0)
        augmenter = Augmenter(replace(PLAIN, **surely(name)), 7, 256)
        for number in range(10):
            tones = augmenter.make(ramp, ramp[..., 0], number)[0][0, 1:, 0]
            assert (np.diff(tones.astype(int)) >= 0).all()

    @pytest.mark.parametrize(
        ("name", "limit", "low", "high"),
        [
            ("exposure", 0.4, 100 * np.exp(-0.4), 100 * np.exp(0.4)),
            ("brightness", 0.1, 100 - 25.5, 100 + 25.5),
            ("gamma", 0.3, 255 * (100 / 255) ** np.exp(0.3), 255 * (100 / 255) ** np.exp(-0.3)),
            ("white_balance", 0.2, 100 * np.exp(-0.2), 100 * np.exp(0.2)),
            ("band_shift", 0.1, 100 - 25.5, 100 + 25.5),
        ],
    )
    def test_the_limits_are_reached_and_kept(self, name, limit, low, high):
        flat = np.full((4, 4, 2), 100, np.uint8)
        augmenter = Augmenter(replace(PLAIN, **surely(name, **{name: limit})), 7, 4)
        found = np.array([augmenter.make(flat, flat[..., 0], n)[0][0, 0] for n in range(200)])
        assert low - 0.5 <= found.min() < low + 0.1 * (100 - low) + 1
        assert high + 0.5 >= found.max() > high - 0.1 * (high - 100) - 1
        is_by_band = name in ("white_balance", "band_shift")
        assert (found[:, 0] != found[:, 1]).any() == is_by_band

    def test_contrast_turns_about_the_mean(self):
        picture = np.full((8, 8, 1), 80, np.uint8)
        picture[:4] = 120
        augmenter = Augmenter(replace(PLAIN, **surely("contrast", contrast=0.5)), 2, 8)
        for number in range(20):
            made = augmenter.make(picture, picture[..., 0], number)[0].astype(int)
            assert abs(made.mean() - 100) <= 1

    def test_hue_keeps_grey_and_the_sum_and_goes_around(self):
        for angle in np.linspace(-3, 3, 7):
            matrix = light.hue_matrix(angle)
            np.testing.assert_allclose(matrix @ [1, 1, 1], [1, 1, 1])
            np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-12)
        np.testing.assert_allclose(
            light.hue_matrix(2 * np.pi / 3) @ [1, 0, 0], [0, 1, 0], atol=1e-12
        )

    def test_hue_and_saturation_leave_other_than_three_bands_alone(self):
        for bands in (1, 2, 4, 8):
            plain = make({}, bands=bands)[0]
            np.testing.assert_array_equal(make(surely("hue", "saturation"), bands=bands)[0], plain)

    def test_greyscale_gives_all_bands_their_mean(self):
        picture = make(surely("greyscale"), bands=5)[0]
        assert (picture == picture[..., :1]).all()
        plain = make({}, bands=5)[0]
        assert np.abs(picture[..., 0] - plain.mean(axis=2)).max() <= 0.5

    def test_sharpness_and_blur_change_edges_in_opposite_ways(self):
        step = np.full((32, 32, 1), 60, np.uint8)
        step[:, 16:] = 180
        steepness = {}
        for name in ("blur", "sharpness", "resolution"):
            augmenter = Augmenter(replace(PLAIN, **surely(name)), 4, 32)
            made = augmenter.make(step, step[..., 0], 1)[0].astype(int)
            steepness[name] = np.diff(made[16, :, 0]).max()
            assert abs(made[:, :4].mean() - 60) < 1
        assert steepness["blur"] < 120
        assert steepness["resolution"] <= 120
        assert steepness["sharpness"] > 120

    def test_noise_is_as_strong_as_drawn_and_without_bias(self):
        flat = np.full((128, 128, 3), 128, np.uint8)
        augmenter = Augmenter(replace(PLAIN, **surely("noise", noise=10.0)), 4, 128)
        deviations = []
        for number in range(12):
            made = augmenter.make(flat, flat[..., 0], number)[0].astype(float)
            assert abs(made.mean() - 128) < 0.2
            deviations.append(made.std())
        assert max(deviations) < 10.3
        assert max(deviations) > 7

    def test_bands_are_permuted_and_all_stay(self):
        plain = make({}, bands=4)[0]
        orders = set()
        for number in range(40):
            picture = make(surely("band_permutation"), number, bands=4)[0]
            order = tuple(
                int(np.flatnonzero((plain == picture[..., [band]]).all(axis=(0, 1)))[0])
                for band in range(4)
            )
            assert sorted(order) == [0, 1, 2, 3]
            orders.add(order)
        assert len(orders) > 10

    def test_light_is_uneven_and_smooth(self):
        flat = np.full((64, 64, 2), 120, np.uint8)
        augmenter = Augmenter(replace(PLAIN, **surely("illumination")), 4, 64)
        spans = []
        for number in range(10):
            made = augmenter.make(flat, flat[..., 0], number)[0].astype(int)
            spans.append(np.ptp(made))
            assert np.abs(np.diff(made, axis=0)).max() < 20
            assert (made[..., 0] == made[..., 1]).all()
        assert max(spans) > 20

    @pytest.mark.parametrize("bands", [1, 3, 5])
    def test_compression_loses_little_and_keeps_the_bands_apart(self, bands):
        picture, label = tile(bands)
        augmenter = Augmenter(replace(PLAIN, **surely("compression")), 4, 64)
        for number in range(5):
            made = augmenter.make(picture, label, number)[0].astype(int)
            assert 0 < np.abs(made - picture)[8:, 12:].mean() < 12

    def test_one_band_drops_out_and_never_the_only_one(self):
        dropped = set()
        for number in range(30):
            picture = make(surely("band_dropout"), number, bands=4)[0]
            (band,) = np.flatnonzero(~picture.any(axis=(0, 1)))
            dropped.add(int(band))
        assert dropped == {0, 1, 2, 3}
        assert make(surely("band_dropout"), bands=1)[0].any()

    def test_a_hole_is_no_larger_than_its_limit_and_the_label_stays(self):
        picture, label = np.full((50, 50, 2), 7, np.uint8), np.ones((50, 50), np.uint8)
        picture[:25] = 207
        augmenter = Augmenter(replace(PLAIN, **surely("cut_out", cut_out=0.4)), 3, 50)
        sides = []
        for number in range(40):
            made, made_label = augmenter.make(picture, label, number)
            rows, columns = np.nonzero(made[..., 0] == 107)
            assert (made_label == 1).all()
            sides += [np.ptp(rows) + 1, np.ptp(columns) + 1]
        assert 15 < max(sides) <= 20
