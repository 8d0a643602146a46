"""The networks: their sizes, what they can learn, and how far they look."""

from __future__ import annotations

import functools
import json
import os

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import tensorflow as tf

from roadmask.errors import SettingError
from roadmask.model.losses import MaskedLoss
from roadmask.model.network_settings import (
    ARCHITECTURES,
    BACKBONES,
    IMAGENET,
    OUTPUT_STRIDES,
    NetworkSettings,
)
from roadmask.model.networks import NETWORKS, build_network
from roadmask.model.networks.dilation import as_encoder, lasting_names
from roadmask.model.networks.encoders import ENCODERS, encode, scaled_picture
from roadmask.model.networks.layers import LOGITS, training_twin
from roadmask.model.networks.reach import receptive_reach

DEEPLABS = [("deeplabv3plus", backbone) for backbone in BACKBONES]
# The large ones take tens of seconds to build.
SLOW = ("xception", "resnet50v2", "inceptionresnetv2_unet")
VARIANTS = [
    pytest.param(
        NetworkSettings(name, backbone, weights=None),
        id=backbone or name,
        marks=[pytest.mark.slow] if {name, backbone} & set(SLOW) else [],
    )
    for name, backbone in [*((name, None) for name in ARCHITECTURES), *DEEPLABS]
    if (name, backbone) != ("deeplabv3plus", None)
]


def weights_of(model):
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


class TestSizes:
    def test_unet_has_the_published_number_of_parameters(self):
        model = build_network(NetworkSettings("unet"), (256, 256, 3), 1)
        assert model.count_params() == 1_946_993
        assert weights_of(model) == 1_944_049
        assert model.output_shape == (None, 256, 256, 1)

    def test_unet_wide_has_the_published_number_of_parameters(self):
        model = build_network(NetworkSettings("unet_wide"), (256, 256, 3), 1)
        assert model.count_params() == 7_858_433

    @pytest.mark.slow
    def test_inceptionresnetv2_unet_has_the_published_number_of_parameters(self):
        model = build_network(NetworkSettings("inceptionresnetv2_unet"), (512, 512, 3), 5)
        assert model.count_params() == 36_793_414
        assert model.output_shape == (None, 512, 512, 6)
        shapes = {
            name: model.get_layer(name).output.shape[1:3]
            for name in ("activation_no0", "activation_no3", "activation_no74", "activation_no161")
        }
        assert [*shapes.values()] == [(255, 255), (126, 126), (61, 61), (30, 30)]

    @pytest.mark.parametrize(
        ("name", "parameters"), [("efficientnetlite0_unet", 3_658_049), ("lite_unet", 928_929)]
    )
    def test_the_light_ones_are_light(self, name, parameters):
        model = build_network(NetworkSettings(name), (None, None, 3), 1)
        assert model.count_params() == parameters

    @pytest.mark.parametrize(
        ("backbone", "whole"),
        [
            pytest.param("xception", 20_861_480, marks=pytest.mark.slow),
            ("mobilenetv2", 2_257_984),
            pytest.param("resnet50v2", 23_564_800, marks=pytest.mark.slow),
        ],
    )
    @pytest.mark.parametrize("output_stride", OUTPUT_STRIDES)
    def test_deeplab_has_the_whole_of_its_backbone(self, backbone, whole, output_stride):
        chosen = NetworkSettings("deeplabv3plus", backbone, output_stride)
        model = build_network(chosen, (None, None, 3), 1)
        encoder = {layer.name for layer in encode(backbone, (None, None, 3), output_stride).layers}
        here = sum(layer.count_params() for layer in model.layers if layer.name in encoder)
        # What keras.applications says of it without its classifier.
        assert here == whole
        rates = [
            layer.dilation_rate[0]
            for layer in model.layers
            if layer.name.startswith("pyramid") and layer.name.endswith("depthwise_conv")
        ]
        assert rates == [
            6 * 16 // output_stride,
            12 * 16 // output_stride,
            18 * 16 // output_stride,
        ]
        features = model.get_layer("pyramid_joined").output.shape
        assert features[-1] == 4 * 256
        assert model.get_layer("pyramid_mean_projection").kernel.shape == (1, 1, 256, 256)


@functools.cache
def plain(chosen):
    """A network for three bands and one class; built once, since some take long."""
    return build_network(chosen, (None, None, 3), 1)


@pytest.mark.parametrize("chosen", VARIANTS)
class TestEach:
    def test_any_bands_classes_and_sizes_give_probabilities(self, chosen):
        for bands, classes, outputs, sides in ((1, 1, 1, (3, 5)), (8, 5, 6, (7, 6))):
            model = build_network(chosen, (None, None, bands), classes)
            rows, columns = (chosen.stride * side for side in sides)
            picture = np.full((1, rows, columns, bands), 200, np.uint8)
            answer = model(picture, training=False).numpy()
            assert answer.shape == (1, rows, columns, outputs)
            assert answer.dtype == np.float32
            assert answer.min() >= 0
            assert answer.max() <= 1
            if outputs > 1:
                np.testing.assert_allclose(answer.sum(axis=-1), 1, atol=1e-5)

    def test_the_twin_answers_alike(self, chosen):
        model = plain(chosen)
        picture = np.random.default_rng(0).integers(0, 256, (1, 96, 96, 3)).astype(np.float32)
        expected = model(picture, training=False).numpy()
        for precision, tolerance in (("float32", 1e-5), ("bfloat16", 0.05)):
            twin = training_twin(model, precision)
            logits = tf.cast(twin(picture, training=False), tf.float32)
            np.testing.assert_allclose(tf.sigmoid(logits), expected, atol=tolerance)
            assert twin.get_layer(LOGITS).compute_dtype == "float32"

    def test_names_are_the_same_in_every_build(self, chosen):
        names = [layer.name for layer in plain(chosen).layers if layer.weights]
        again = build_network(chosen, (None, None, 3), 1)
        assert names == [layer.name for layer in again.layers if layer.weights]
        assert list(lasting_names(names).values()) == names

    def test_every_layer_is_one_of_keras_own(self, chosen):
        config = json.loads(plain(chosen).to_json())
        modules = {layer["module"] for layer in config["config"]["layers"]}
        assert modules == {"keras.layers"}

    def test_a_tiny_set_is_learnt_by_heart(self, chosen):
        keras.utils.set_random_seed(3)
        rng = np.random.default_rng(3)
        side = 64
        labels = rng.integers(0, 2, (4, side // 16, side // 16, 1), np.uint8)
        labels = labels.repeat(16, axis=1).repeat(16, axis=2)
        pictures = rng.integers(0, 80, (4, side, side, 3)).astype(np.uint8) + 100 * labels
        model = plain(chosen)
        twin = training_twin(model)
        for layer in twin.layers:
            if isinstance(layer, keras.layers.Dropout):
                layer.rate = 0.0
        twin.compile(
            keras.optimizers.Adam(2e-3), MaskedLoss("dice_crossentropy"), jit_compile=False
        )
        batches = tf.data.Dataset.from_tensors((pictures, labels)).repeat()
        for _ in range(12):
            twin.fit(batches, steps_per_epoch=15, verbose=0)
            model.set_weights(twin.get_weights())
            agreement = ((model(pictures, training=False).numpy() >= 0.5) == labels).mean()
            if agreement > 0.95:
                break
        assert agreement > 0.95


class TestDilation:
    @pytest.mark.parametrize(
        "name",
        [
            pytest.param("xception", marks=pytest.mark.slow),
            "mobilenetv2",
            pytest.param("resnet50v2", marks=pytest.mark.slow),
            "efficientnetlite0",
        ],
    )
    @pytest.mark.parametrize("output_stride", OUTPUT_STRIDES)
    def test_between_the_features_of_the_classifier_lie_more_of_their_kind(
        self, name, output_stride
    ):
        if (name, output_stride) == ("xception", 8):
            pytest.skip("a pool comes after a halving left out; it takes more pixels in")
        classifier = encode(name, (None, None, 3), 32)
        encoder = encode(name, (None, None, 3), output_stride)
        rng = np.random.default_rng(0)
        classifier.set_weights(
            [
                rng.uniform(0.5, 1.5, w.shape)
                # Scales and variances about 1: what is normalized neither grows nor fades.
                if w.ndim == 1
                else rng.normal(0, 1 / np.sqrt(np.prod(w.shape[:-1])), w.shape)
                for w in classifier.get_weights()
            ]
        )
        encoder.set_weights(classifier.get_weights())
        picture = rng.integers(0, 256, (1, 256, 320, 3)).astype(np.float32)
        expected = classifier(picture, training=False).numpy()
        found = encoder(picture, training=False).numpy()
        step = 32 // output_stride
        assert found.shape[1:3] == (256 // output_stride, 320 // output_stride)
        assert np.abs(expected).max() > 1e-3
        inner = np.s_[:, 3:-3, 3:-3] if name == "xception" else np.s_[:]
        np.testing.assert_allclose(
            found[:, ::step, ::step][inner], expected[inner], rtol=1e-3, atol=1e-4
        )

    def test_pools_after_a_halving_left_out_span_the_same_ground(self):
        inputs = keras.Input((None, None, 1))
        tensor = keras.layers.Conv2D(1, 3, strides=2, padding="same", name="halved")(inputs)
        tensor = keras.layers.MaxPooling2D(3, strides=1, padding="same", name="pool")(tensor)
        model = keras.Model(inputs, tensor)
        encoder = as_encoder(model, 1)
        assert encoder.get_layer("pool").pool_size == (5, 5)
        assert encoder.get_layer("halved").strides == (1, 1)

    def test_layers_that_keras_numbers_get_names_that_last(self):
        names = ["conv2d_7", "block1_conv1", "batch_normalization", "conv2d_12", "convolution2d_3"]
        assert lasting_names(names) == {
            "conv2d_7": "conv2d_no1",
            "block1_conv1": "block1_conv1",
            "batch_normalization": "batch_normalization_no0",
            "conv2d_12": "conv2d_no2",
            "convolution2d_3": "conv2d_no0",
        }

    def test_pixels_without_a_picture_are_black_to_every_encoder(self):
        tensor = scaled_picture((None, None, 2))
        scaled = keras.Model(keras.utils.get_source_inputs(tensor), tensor)
        assert np.array_equal(scaled(np.full((1, 1, 1, 2), 0.0)), np.full((1, 1, 1, 2), -1.0))
        np.testing.assert_allclose(scaled(np.full((1, 1, 1, 2), 255.0)), 1, atol=1e-6)


def lets_everything_through(model):
    """Give a network weights under which no influence is cut off or cancelled."""
    for layer in model.layers:
        arrays = []
        for weight in layer.weights:
            if len(weight.shape) == 4:
                # Each output is a mean, so that nothing grows or fades to nothing.
                is_alone = isinstance(layer, keras.layers.DepthwiseConv2D)
                value = 1 / np.prod(weight.shape[: 2 if is_alone else 3])
            else:
                value = float(weight.name in ("gamma", "moving_variance"))
            arrays.append(np.full(weight.shape, value))
        layer.set_weights(arrays)
    return model


def measured_reach(model, side):
    """Return how far from the pixels in the middle an influence is found."""
    logits = keras.Model(model.input, model.get_layer(LOGITS).output)
    picture = tf.Variable(
        np.random.default_rng(0).uniform(200, 210, (1, side, side, 1)), dtype="float32"
    )
    farthest = 0
    # One pixel of each phase of the pooling.
    for shift in range(16):
        place = side // 2 + shift
        with tf.GradientTape() as tape:
            value = logits(picture, training=False)[0, place, place, 0]
        seen = np.flatnonzero(np.abs(tape.gradient(value, picture).numpy())[0].max(axis=(1, 2)))
        farthest = max(farthest, place - seen.min(), seen.max() - place)
    return farthest


class TestReach:
    def test_of_single_layers_by_hand(self):
        def reach(*layers):
            tensor = inputs = keras.Input((64, 64, 1))
            for layer in layers:
                tensor = layer(tensor)
            return receptive_reach(keras.Model(inputs, tensor))

        layers = keras.layers
        assert reach(layers.ReLU()) == 0
        assert reach(layers.Conv2D(1, 3, padding="same")) == 1
        assert reach(layers.Conv2D(1, 3, padding="same", dilation_rate=6)) == 6
        assert reach(layers.MaxPooling2D(), layers.UpSampling2D()) == 1
        assert reach(layers.MaxPooling2D(4), layers.Conv2DTranspose(1, 4, strides=4)) == 3
        assert reach(layers.MaxPooling2D(), layers.UpSampling2D(interpolation="bilinear")) == 2
        three = layers.Conv2D(1, 3, padding="same")
        assert reach(layers.MaxPooling2D(), three, layers.UpSampling2D()) == 3
        assert reach(layers.ZeroPadding2D(2), layers.Conv2D(1, 5)) == 2
        assert reach(layers.GlobalAveragePooling2D(keepdims=True)) is None

    def test_an_unknown_layer_is_named(self):
        inputs = keras.Input((8, 8, 1))
        with pytest.raises(TypeError, match="GaussianNoise"):
            receptive_reach(keras.Model(inputs, keras.layers.GaussianNoise(1.0)(inputs)))

    @pytest.mark.parametrize(
        ("name", "side"), [("unet", 288), ("unet_wide", 288), ("lite_unet", 512)]
    )
    def test_no_influence_comes_from_farther_and_some_from_there(self, name, side):
        model = build_network(NetworkSettings(name), (None, None, 1), 1)
        reach = receptive_reach(model)
        if name == "lite_unet":
            # ReLU6 has no slope where all weights push one way: it is left out.
            model = keras.models.clone_model(
                model,
                clone_function=lambda layer: (
                    keras.layers.Activation("linear", name=layer.name)
                    if isinstance(layer, keras.layers.ReLU)
                    else type(layer).from_config(layer.get_config())
                ),
            )
        assert side // 2 > reach
        assert measured_reach(lets_everything_through(model), side) == reach

    def test_image_pooling_sees_everything(self):
        chosen = NetworkSettings("deeplabv3plus", "efficientnetlite0")
        assert receptive_reach(build_network(chosen, (None, None, 3), 1)) is None


class TestSettings:
    def test_every_architecture_is_built(self):
        assert set(ARCHITECTURES) == set(NETWORKS)
        for traits in ARCHITECTURES.values():
            assert set(traits.encoders) <= set(ENCODERS)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("vnet",), r"model\.architecture: 'vnet' is no network known here.*unet, unet_wide"),
            (("unet", "xception"), r"model\.backbone: 'xception' has no effect: unet"),
            (("lite_unet", "xception"), r"model\.backbone: 'xception' has no effect: lite_unet"),
            (("deeplabv3plus", "vgg"), r"model\.backbone: 'vgg' is not known.*xception, mobile"),
            (("unet", None, 8), r"model\.output_stride: 8 has no effect: unet"),
            (("deeplabv3plus", None, 4), r"model\.output_stride: 4 is not known.*16, 8"),
            (("unet", None, None, IMAGENET), r"model\.weights: there are no ImageNet weights"),
            (("unet", None, None, "x.pth"), r"model\.weights: 'x\.pth' is no file"),
            (("unet", None, None, "x.tflite"), r"model\.weights: 'x\.tflite' is no file"),
        ],
    )
    def test_what_is_impossible_is_refused_by_its_key(self, arguments, message):
        with pytest.raises(SettingError, match=message):
            NetworkSettings(*arguments)

    def test_pictures_too_small_for_a_network_are_refused_by_their_key(self):
        chosen = NetworkSettings("inceptionresnetv2_unet")
        chosen.require_side("training.crop", 48)
        with pytest.raises(SettingError, match=r"tiles\.size: 47 pixels are too few.*Write 48"):
            chosen.require_side("tiles.size", 47)

    def test_what_is_left_open_is_chosen(self):
        assert NetworkSettings("deeplabv3plus").encoder == "xception"
        assert NetworkSettings("deeplabv3plus").stride == 16
        assert NetworkSettings("deeplabv3plus", output_stride=8).stride == 8
        assert NetworkSettings("efficientnetlite0_unet").stride == 32
        assert NetworkSettings("unet").encoder is None

    def test_64_pixels_are_enough_for_all(self):
        # What a saved network is tried on.
        assert all(
            64 % traits.stride == 0 and traits.least <= 64 for traits in ARCHITECTURES.values()
        )

    def test_auto_downloads_nothing(self):
        from roadmask.model.pretrained.published import DOWNLOADS

        for name in ARCHITECTURES:
            chosen = NetworkSettings(name)
            assert chosen.start in (None, IMAGENET)
            assert chosen.start is None or chosen.encoder not in DOWNLOADS
            assert chosen.file is None
        assert NetworkSettings("unet", weights="x.keras").file == "x.keras"
