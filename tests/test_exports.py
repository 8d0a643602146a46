"""A network in other formats, and pictures of its layers."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import tensorflow as tf
from model_makers import SIZE, make_dataset

from roadmask.__main__ import main
from roadmask.errors import SettingError
from roadmask.files import sha256
from roadmask.model import exports
from roadmask.model.activations import channel_sheet, write_activations
from roadmask.model.card import Card, embed_card
from roadmask.model.network_settings import BACKBONES, NetworkSettings
from roadmask.model.networks import build_network

LAYERS = ("logits", "max_pooling2d")


def make_card(bands, classes):
    outputs = 1 if len(classes) == 1 else len(classes) + 1
    return Card(
        architecture="unet",
        bands=bands,
        scale=None,
        classes=classes,
        outputs=outputs,
        threshold=0.5 if outputs == 1 else None,
        input_stride=16,
        pixel_metres=None,
        settings={},
        dataset_sha256="0" * 64,
        figures={},
        versions={},
        colours=((240, 110, 30),) * len(classes),
    )


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A folder with a network, never trained, and all that can be made of it here."""
    folder = tmp_path_factory.mktemp("exported")
    dataset = make_dataset(folder / "dataset", tiles=1, bands=4, size=40)
    keras.utils.set_random_seed(3)
    model = build_network(NetworkSettings("unet"), (None, None, 4), 1)
    (folder / "model").mkdir()
    path = folder / "model" / "model.keras"
    model.save(path)
    embed_card(path, make_card((1, 2, 3, 4), ("road",)))
    (folder / "model" / "model.onnx").write_text("left by an earlier run")
    arguments = ["exports", str(path), "--dataset", str(dataset)]
    arguments += ["--output", str(folder / "model" / "exports.json"), "--threads", "2"]
    arguments += ["--model.export=savedmodel,tflite", f"--model.activations={','.join(LAYERS)}"]
    assert main(arguments) == 0
    return folder / "model"


@pytest.fixture(scope="module")
def pictures():
    return np.random.default_rng(4).integers(0, 256, (2, 32, 48, 4), dtype=np.uint8)


@pytest.fixture(scope="module")
def expected(exported, pictures):
    model = keras.models.load_model(exported / "model.keras", compile=False)
    return model(pictures, training=False).numpy()


class TestFormats:
    def test_the_list_says_what_was_written_and_how_near_it_is(self, exported):
        content = json.loads((exported / "exports.json").read_text(encoding="utf-8"))
        assert content["model_sha256"] == sha256(exported / "model.keras")
        assert list(content["formats"]) == ["savedmodel", "tflite"]
        for each in content["formats"].values():
            assert (exported / each["path"]).exists()
            assert each["tiles"] == 4
            assert each["largest_difference"] < 1e-4

    def test_what_is_not_asked_for_is_removed(self, exported):
        assert not (exported / "model.onnx").exists()

    def test_the_savedmodel_serves_bytes(self, exported, pictures, expected):
        serve = tf.saved_model.load(str(exported / "saved_model")).signatures["serving_default"]
        ((name, specification),) = serve.structured_input_signature[1].items()
        assert (name, specification.dtype) == ("image", tf.uint8)
        assert specification.shape.as_list() == [None, None, None, 4]
        answer = serve(image=tf.constant(pictures))
        np.testing.assert_allclose(answer["probability"].numpy(), expected, atol=1e-5)

    def test_tflite_takes_bytes_of_any_size(self, exported, pictures, expected):
        interpreter = tf.lite.Interpreter(str(exported / "model.tflite"))
        (given,), (gives,) = interpreter.get_input_details(), interpreter.get_output_details()
        assert given["dtype"] == np.uint8
        interpreter.resize_tensor_input(given["index"], pictures.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(given["index"], pictures)
        interpreter.invoke()
        np.testing.assert_allclose(interpreter.get_tensor(gives["index"]), expected, atol=1e-5)

    def test_onnx_takes_bytes_and_knows_its_card(self, exported, pictures, expected, tmp_path):
        pytest.importorskip("tf2onnx")
        onnxruntime = pytest.importorskip("onnxruntime")
        model = keras.models.load_model(exported / "model.keras", compile=False)
        card = make_card((1, 2, 3, 4), ("road",))
        tiles = [(pictures[0], np.zeros((32, 48), np.uint8))]
        done = exports.write_formats(model, card, ("onnx",), tiles, tmp_path)
        assert done["onnx"]["largest_difference"] < 1e-4
        session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"))
        (answer,) = session.run(["probability"], {"image": pictures})
        np.testing.assert_allclose(answer, expected, atol=1e-5)
        properties = session.get_modelmeta().custom_metadata_map
        assert Card.from_json(json.loads(properties["roadmask"])) == card

    @pytest.mark.parametrize(
        ("architecture", "backbone"),
        [
            ("lite_unet", None),
            *(
                pytest.param(*names, marks=pytest.mark.slow)
                for names in (
                    ("efficientnetlite0_unet", None),
                    ("inceptionresnetv2_unet", None),
                    *(("deeplabv3plus", backbone) for backbone in BACKBONES),
                )
            ),
        ],
    )
    def test_every_network_can_be_written_in_every_format(self, architecture, backbone, tmp_path):
        # All but the plain U-Nets enlarge their features, whose size a graph leaves open.
        chosen = NetworkSettings(architecture, backbone, weights=None)
        model = build_network(chosen, (None, None, 3), 1)
        rng = np.random.default_rng(5)
        for layer in model.layers:
            if layer.name in ("logits", "scores"):
                # Else all is near a half, and hides how answers differ.
                layer.set_weights([rng.normal(0, 1, w.shape) for w in layer.get_weights()])
        card = replace(make_card((1, 2, 3), ("road",)), input_stride=chosen.stride)
        tiles = [(rng.integers(0, 256, (96, 64, 3), dtype=np.uint8), np.zeros((96, 64)))]
        done = exports.write_formats(model, card, tuple(exports.NAMES), tiles, tmp_path)
        assert set(done) == set(exports.NAMES)
        assert all(each["largest_difference"] < 1e-4 for each in done.values())

    def test_onnx_without_its_library_is_named(self, monkeypatch, tmp_path):
        monkeypatch.setitem(sys.modules, "onnx", None)
        with pytest.raises(SettingError, match=r"model\.export: onnx needs onnx"):
            exports.write_onnx(None, make_card((1,), ("road",)), tmp_path / "model.onnx")

    def test_what_tflite_has_no_operation_for_is_named_in_a_line(self, tmp_path):
        inputs = keras.Input((None, None, 1))
        model = keras.Model(inputs, keras.ops.erfinv(inputs), name="strange")
        with pytest.raises(SettingError, match=r"export: tflite can't hold strange \(") as caught:
            exports.write_tflite(model, make_card((1,), ("road",)), tmp_path / "model.tflite")
        assert "ERFINV" in str(caught.value).upper()
        assert len(str(caught.value)) < 400
        assert not (tmp_path / "model.tflite").exists()

    def test_an_unknown_format_is_refused(self, tmp_path):
        with pytest.raises(SettingError, match=r"model\.export: 'pickle' is no format"):
            exports.write_formats(None, make_card((1,), ("road",)), ("pickle",), [], tmp_path)

    def test_what_answers_otherwise_is_refused_and_removed(self, monkeypatch, tmp_path):
        def write(model, card, path):
            path.write_text("wrong")
            return lambda pictures: np.full((len(pictures), 16, 16, 1), 0.9, np.float32)

        monkeypatch.setitem(exports.WRITERS, "tflite", write)
        tiles = [(np.zeros((16, 16, 3), np.uint8), np.zeros((16, 16), np.uint8))]

        inputs = keras.Input((None, None, 3))
        half = keras.layers.Conv2D(1, 1, kernel_initializer="zeros", activation="sigmoid")
        model = keras.Model(inputs, half(inputs))
        with pytest.raises(RuntimeError, match=r"differ by 0\.4 from Keras'"):
            exports.write_formats(
                model, make_card((1, 2, 3), ("road",)), ("tflite",), tiles, tmp_path
            )
        assert not list(tmp_path.iterdir())

    def test_several_classes_serve_one_probability_each(self, tmp_path):
        model = build_network(NetworkSettings("unet"), (None, None, 1), 3)
        card = make_card((1,), ("road", "water", "roof"))
        tiles = [(np.full((40, 40, 1), 9, np.uint8), np.zeros((40, 40), np.uint8))]
        done = exports.write_formats(model, card, ("savedmodel",), tiles, tmp_path)
        assert done["savedmodel"]["largest_difference"] < 1e-5


class TestActivations:
    def test_each_layer_asked_for_has_its_picture_beside_the_tile(self, exported):
        folder = exported / "activations"
        assert {path.stem for path in folder.iterdir()} == {"tile", *LAYERS}
        with Image.open(folder / "tile.png") as image:
            assert image.size == (SIZE, SIZE)
        with Image.open(folder / "max_pooling2d.png") as image:
            # Sixteen channels, four across, of 16 pixels drawn as 64, with gaps.
            assert image.size == (4 * 68 - 4, 4 * 68 - 4)

    def test_an_unknown_layer_is_refused_with_those_that_exist(self, tmp_path):
        model = build_network(NetworkSettings("unet"), (None, None, 3), 1)
        picture = np.zeros((16, 16, 3), np.uint8)
        with pytest.raises(SettingError, match=r"model\.activations: 'conv9'.*logits"):
            write_activations(model, ["conv9"], picture, tmp_path / "activations")

    def test_each_channel_is_drawn_in_its_own_range(self):
        activation = np.zeros((64, 64, 3), np.float32)
        activation[:32, :, 0] = 1000
        activation[:, :32, 1] = 0.001
        sheet = channel_sheet(activation)[..., 0]
        assert sheet.shape == (2 * 68 - 4, 2 * 68 - 4)
        assert (sheet[:32, :64] == 255).all()
        assert (sheet[32:64, :64] == 0).all()
        assert (sheet[:64, 68:100] == 255).all()
        assert (sheet[:64, 100:] == 0).all()
        assert (sheet[68:, :64] == 0).all()

    def test_of_many_channels_some_are_drawn(self):
        activation = np.random.default_rng(1).normal(size=(64, 64, 320)).astype(np.float32)
        assert channel_sheet(activation).shape[0] == 8 * 68 - 4
