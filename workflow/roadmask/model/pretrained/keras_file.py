"""Keras' files of weights, by the names of their layers. Nothing in them is run."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import IO, Any

import h5py
import numpy as np
from numpy.typing import NDArray

from roadmask.errors import InputError

# The member of a .keras file that holds the weights.
MEMBER = "model.weights.h5"
REMEDY = "Name an .h5, .weights.h5 or .keras file that Keras saved"
Layers = dict[str, list[NDArray[Any]]]


def read_layers(path: str | Path) -> Layers:
    """Read the weights of all layers.

    Parameters
    ----------
    path
        A ``.keras`` file, a ``.weights.h5`` file of Keras 3, or an ``.h5`` file of any Keras.

    Returns
    -------
    dict
        Each layer's arrays in the order of `get_weights`, by the layer's name.

    Raises
    ------
    InputError
        If the file can't be read, or does not say which layers its weights belong to.
    """
    path = Path(path)
    try:
        if path.suffix == ".keras":
            with zipfile.ZipFile(path) as archive, archive.open(MEMBER) as member:
                return _read(member)
        with path.open("rb") as file:
            return _read(file)
    except FileNotFoundError as error:
        raise InputError(path, "there is no such file", REMEDY) from error
    except (OSError, KeyError, ValueError, TypeError, zipfile.BadZipFile) as error:
        raise InputError(path, f"it can't be read as Keras' weights ({error})", REMEDY) from error


def _read(file: IO[bytes]) -> Layers:
    with h5py.File(file, "r") as content:
        root = content.get("model_weights", content)
        names = _texts(root.attrs, "layer_names")
        layers = _by_list(root, names) if names else _by_name(content)
    if not layers:
        raise ValueError("it does not say which layers its weights belong to")
    return layers


def _by_list(root: h5py.Group, names: list[str]) -> Layers:
    """Read the form of Keras 1 and 2: a group a layer, and lists of names."""
    return {
        name: [_array(root[name], member) for member in _texts(root[name].attrs, "weight_names")]
        for name in names
    }


def _by_name(content: h5py.File) -> Layers:
    """Read the form of Keras 3: groups ``vars`` that carry their layer's name."""
    layers: Layers = {}

    def visit(path: str, group: object) -> None:
        if not isinstance(group, h5py.Group) or PurePosixPath(path).name != "vars":
            return
        if "name" in group.attrs and len(group):
            numbers = sorted(group, key=int)
            layers[str(group.attrs["name"])] = [_array(group, number) for number in numbers]

    content.visititems(visit)
    return layers


def _array(group: h5py.Group, name: str) -> NDArray[Any]:
    dataset = group[name]
    # Numbers may be said to lie in other files of this machine.
    if not isinstance(dataset, h5py.Dataset) or dataset.external or dataset.file != group.file:
        raise ValueError(f"{name} does not lie in the file itself")
    return np.asarray(dataset)


def _texts(attributes: Mapping[str, Any], name: str) -> list[str]:
    """Read a list of text, which Keras cuts in pieces ``name0``, ``name1`` where it is long."""
    pieces = [key for key in attributes if re.fullmatch(rf"{name}\d*", key)]
    pieces.sort(key=lambda key: int(key.removeprefix(name) or 0))
    texts = [text for piece in pieces for text in attributes[piece]]
    return [text.decode() if isinstance(text, bytes) else str(text) for text in texts]
