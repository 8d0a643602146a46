"""What a network starts from instead of random numbers."""

from __future__ import annotations

import logging
from pathlib import Path

import keras

from roadmask.files import sha256
from roadmask.model.network_settings import IMAGENET, TORCH_SUFFIXES, NetworkSettings
from roadmask.model.networks.encoders import encode
from roadmask.model.networks.layers import LOGITS, SCORES
from roadmask.model.pretrained.keras_file import read_layers
from roadmask.model.pretrained.published import imagenet_weights, lite0_weights
from roadmask.model.pretrained.stored import Stored, put_in

log = logging.getLogger(__name__)


def start_from(model: keras.Model, settings: NetworkSettings) -> Stored | None:
    """Give a new network the weights that its settings name.

    Parameters
    ----------
    model
        As `build_network` made it from the settings.
    settings
        What to start from.

    Returns
    -------
    Stored or None
        Where they are from; None where the network keeps its random ones.

    Raises
    ------
    InputError
        If a file can't be read or does not fit; names the layers that don't.
    SettingError
        If published weights can't be had.
    """
    if settings.start is None:
        return None
    stored = _read(settings)
    own = [layer.name for layer in model.layers if layer.weights]
    needed = [name for name in own if name not in (LOGITS, SCORES)]
    if settings.encoder is not None:
        # Flat encoders keep their layers' names in a network, so these tell them apart.
        bands = int(model.input_shape[-1])
        encoder = encode(settings.encoder, (None, None, bands))
        names = {layer.name for layer in encoder.layers}
        of_encoder = [name for name in needed if name in names]
        is_whole = settings.start != IMAGENET and any(
            name in stored.layers for name in needed if name not in names
        )
        needed = needed if is_whole else of_encoder
    given = put_in(stored, model, needed)
    log.info("%d of %d layers start from %s", len(given), len(own), stored.source)
    return stored


def _read(settings: NetworkSettings) -> Stored:
    start = str(settings.start)
    if start == IMAGENET:
        return imagenet_weights(str(settings.encoder))
    path = Path(start)
    if path.suffix in TORCH_SUFFIXES:
        return lite0_weights(path)
    return Stored(start, sha256(path) if path.is_file() else "", "not known", read_layers(path))
