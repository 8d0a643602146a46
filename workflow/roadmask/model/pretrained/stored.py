"""Weights as they lie in a file, and how they get into a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from roadmask.errors import InputError
from roadmask.model.networks.dilation import lasting_names
from roadmask.model.networks.layers import LOGITS, SCORES

Arrays = Sequence[NDArray[Any]]
# Of the first layers that see the picture's bands, the axis of its kernel that they lie on.
BAND_AXIS = 2
# How many layers a message names.
NAMED = 3


@dataclass(frozen=True)
class Stored:
    """Weights by layer.

    Attributes
    ----------
    source
        The file or package, as messages name it.
    sha256
        Of the file.
    licence
        Under which the weights were published, as far as it is known.
    layers
        Each layer's arrays in the order of Keras' `get_weights`, by the layer's name.
    """

    source: str
    sha256: str
    licence: str
    layers: Mapping[str, Arrays]

    def origin(self) -> dict[str, str]:
        """Return where the weights are from, for a model's card."""
        return {"source": self.source, "sha256": self.sha256, "licence": self.licence}


def put_in(stored: Stored, model: keras.Model, needed: Sequence[str]) -> list[str]:
    """Give a network's layers the weights stored under their names.

    Parameters
    ----------
    stored
        What is there. Layers that the network lacks are passed over.
    model
        The network. Its weights change only if all fit.
    needed
        Names of the layers that must be there. Of the others those must fit that are there,
        the last ones, which depend on the number of classes, excepted: these stay as they are
        where they don't fit.

    Returns
    -------
    list of str
        The layers that were given weights.

    Raises
    ------
    InputError
        If layers are missing, or have weights of another shape. Names them.
    """
    names = lasting_names(list(stored.layers))
    found = {names[name]: arrays for name, arrays in stored.layers.items() if arrays}
    targets = {layer.name: layer for layer in model.layers if layer.weights}
    missing = [name for name in needed if name not in found]
    if missing:
        raise InputError(
            stored.source,
            f"it lacks {len(missing)} of the {len(needed)} layers of {model.name} that it should "
            f"have: {_shortened(missing)}. It has {_shortened(list(found)) or 'none'}",
            "Name weights that were saved from this very encoder or network",
        )
    fitting: dict[str, Arrays] = {}
    problems = []
    bands = int(model.input_shape[-1])
    for name, layer in targets.items():
        if name not in found:
            continue
        wanted = [tuple(weight.shape) for weight in layer.weights]
        arrays = _for_bands(found[name], wanted, bands)
        shapes = [array.shape for array in arrays]
        if shapes == wanted:
            fitting[name] = arrays
        elif name not in (LOGITS, SCORES):
            problems.append(f"{name} {_shapes(shapes)} instead of {_shapes(wanted)}")
    if problems:
        raise InputError(
            stored.source,
            f"{len(problems)} layers have weights of other shapes than {model.name}: "
            f"{_shortened(problems)}",
            "Name weights that were saved from this very encoder or network",
        )
    for name, arrays in fitting.items():
        targets[name].set_weights(list(arrays))
    return list(fitting)


def _for_bands(arrays: Arrays, wanted: Sequence[tuple[int, ...]], bands: int) -> Arrays:
    """Fit the kernel of a first layer to the picture's bands, where that is all it lacks."""
    shapes = [array.shape for array in arrays]
    if len(shapes) != len(wanted) or not shapes or len(shapes[0]) != 4:
        return arrays
    if shapes[1:] != list(wanted[1:]) or wanted[0][BAND_AXIS] != bands:
        return arrays
    kernel, *others = arrays
    if kernel.shape == wanted[0] or kernel.shape[BAND_AXIS] != 3:
        return arrays
    extended = for_bands(kernel, bands)
    return [extended, *others] if extended.shape == wanted[0] else arrays


def for_bands(kernel: NDArray[Any], bands: int) -> NDArray[Any]:
    """Make a kernel over red, green and blue one over another number of bands.

    With more bands than three the first three keep their filters and each other band gets
    the mean of them; with fewer, every band gets the mean. All are scaled by three over the
    number of bands, so that a grey picture, the same in every band, gives the same answer.

    Parameters
    ----------
    kernel
        ``(rows, columns, 3, channels)``.
    bands
        How many there are to be.

    Returns
    -------
    ndarray
        ``(rows, columns, bands, channels)``, of the kernel's type.
    """
    if bands == 3:
        return kernel
    mean = kernel.mean(axis=BAND_AXIS, keepdims=True)
    kept = kernel if bands > 3 else kernel[:, :, :0]
    others = np.repeat(mean, bands - kept.shape[BAND_AXIS], axis=BAND_AXIS)
    joined = np.concatenate([kept, others], axis=BAND_AXIS) * (3 / bands)
    return joined.astype(kernel.dtype)


def _shortened(names: Sequence[str]) -> str:
    rest = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {rest} more" if rest > 0 else "")


def _shapes(shapes: Sequence[tuple[int, ...]]) -> str:
    return " + ".join(" x ".join(map(str, shape)) for shape in shapes)
