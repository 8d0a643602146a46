"""From a data set's folder to a ``.keras`` file."""

from __future__ import annotations

import json
import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np
import tensorflow as tf
from affine import Affine
from rasterio.crs import CRS

from roadmask import __version__
from roadmask.dataset.reading import parse_place
from roadmask.errors import InputError
from roadmask.files import replacing, sha256, write_json, write_text
from roadmask.grid import Grid
from roadmask.model.card import Card, embed_card, outputs_of, read_card
from roadmask.model.card_text import card_text
from roadmask.model.devices import chosen_strategy, from_chief, is_chief
from roadmask.model.losses import MaskedLoss
from roadmask.model.network_settings import NetworkSettings
from roadmask.model.networks import build_network
from roadmask.model.networks.reach import receptive_reach
from roadmask.model.pictures import augmentation_sheet, write_png
from roadmask.model.pipeline import Split, TrainingStream, validation_batches
from roadmask.model.pretrained import start_from
from roadmask.model.settings import TrainingSettings
from roadmask.model.state import StateFolder
from roadmask.model.training import Result, train
from roadmask.style import Rgb

log = logging.getLogger(__name__)

# Of probabilities, between the network in memory and the one read back.
SAME_PROBABILITY = 1e-5


@dataclass(frozen=True)
class Dataset:
    """What ``dataset.json`` says.

    Attributes
    ----------
    bands, scale
        As in `roadmask.model.card.Card`.
    classes
        By index, ``other`` first.
    colours
        Red, green and blue of each but ``other``.
    splits
        By name.
    pixels
        By split, the pixels of each class, ``other`` first.
    class_weights
        Of ``other`` and each class, which make them count alike.
    band_mean, band_deviation
        Of each band over all ground of the training imagery; None in data sets that do not
        say.
    sha256
        Of the file, which holds the checksums of all shards.
    """

    bands: tuple[int, ...]
    scale: tuple[tuple[float, float], ...] | None
    classes: tuple[str, ...]
    colours: tuple[Rgb, ...]
    splits: dict[str, Split]
    pixels: dict[str, tuple[int, ...]]
    class_weights: tuple[float, ...]
    band_mean: tuple[float, ...] | None
    band_deviation: tuple[float, ...] | None
    sha256: str

    @classmethod
    def read(cls, path: Path) -> Dataset:
        """Read the file and look whether the shards are there.

        Raises
        ------
        InputError
            If it can't be read, a shard is missing or a split is empty.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            bands, scale = tuple(content["bands"]), content["scale"]
            splits = {
                name: _read_split(path.parent, content, content["splits"][name])
                for name in ("train", "val")
            }
            classes = tuple(content["classes"])
            colours = tuple((red, green, blue) for red, green, blue in content["colours"])
            pixels = {
                name: tuple(content["splits"][name]["pixels"][each] for each in classes)
                for name in splits
            }
            weights = tuple(float(content["class_weights"][name]) for name in classes)
            tone = content.get("tone")
            mean, deviation = (
                None if tone is None else tuple(map(float, tone[name]))
                for name in ("mean", "deviation")
            )
        except FileNotFoundError as error:
            raise InputError(path, "there is no such file", "Make stage dataset first") from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                path, f"it can't be read ({error!r})", "Remove it and run again"
            ) from error
        for name, split in splits.items():
            for shard in split.paths:
                if not shard.is_file():
                    raise InputError(
                        shard, "there is no such file", "Run again, which makes it anew"
                    )
            if split.tiles == 0:
                raise InputError(
                    path,
                    f"split {name} has no tile",
                    "Give it a larger share under split, or more imagery",
                )
        return cls(
            bands=bands,
            scale=None if scale is None else tuple((low, high) for low, high in scale),
            classes=classes,
            colours=colours,
            splits=splits,
            pixels=pixels,
            class_weights=weights,
            band_mean=mean,
            band_deviation=deviation,
            sha256=sha256(path),
        )

    def require_lessons(self, path: Path) -> None:
        """Refuse to train where there is nothing to learn, and warn of what is missing.

        Raises
        ------
        InputError
            If the training split has no pixel of any class but other, or no other.
        """
        remedy = "Look at selection/ and dataset/split.gpkg, and give split.block another size"
        for name, counts in self.pixels.items():
            if not sum(counts):
                raise InputError(path, f"no label in split {name} is known", remedy)
        other, *classes = self.pixels["train"]
        if not sum(classes):
            raise InputError(
                path, f"split train has no pixel of {' or '.join(self.classes[1:])}", remedy
            )
        if not other and len(classes) == 1:
            raise InputError(path, f"all of split train is {self.classes[1]}", remedy)
        for name, counts in self.pixels.items():
            for class_name, count in zip(self.classes, counts, strict=True):
                if not count:
                    log.warning(
                        "split %s has no pixel of class %s: %s",
                        name,
                        class_name,
                        "the network can't learn it"
                        if name == "train"
                        else "epochs and threshold are judged without it",
                    )

    def pixel_metres(self) -> float | None:
        """Return the side of a pixel on the ground in the first record; None in pixel mode."""
        split = self.splits["train"]
        record = next(iter(tf.data.TFRecordDataset([str(split.paths[0])])))
        place = parse_place(record)
        wkt = place["crs"].numpy().decode()
        if not wkt:
            return None
        transform = Affine(*(float(value) for value in place["transform"].numpy()))
        grid = Grid(split.size, split.size, transform, CRS.from_wkt(wkt))
        return float(f"{grid.ground_sample_distance:.6g}")


def _read_split(folder: Path, content: dict[str, Any], split: dict[str, Any]) -> Split:
    return Split(
        paths=tuple(folder / shard["name"] for shard in split["shards"]),
        tiles=sum(shard["records"] for shard in split["shards"]),
        size=content["tile_size"],
        bands=len(content["bands"]),
    )


def start_tensorflow(threads: int, seed: int) -> None:
    """Set what TensorFlow takes only before its first operation.

    On one machine and with one number of threads, the same seed then gives the same
    network, bit for bit. Other processors and other numbers of threads add in another order.

    Parameters
    ----------
    threads
        How many threads it may use; it ignores ``OMP_NUM_THREADS``.
    seed
        Of the weights.
    """
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(min(2, threads))
    except RuntimeError:
        log.debug("TensorFlow has started already, so it keeps its threads")
    keras.utils.set_random_seed(seed)


def make_model(
    dataset_path: Path,
    output: Path,
    network: NetworkSettings,
    settings: TrainingSettings,
    threads: int,
) -> None:
    """Train a network on a data set and write ``model.keras`` and what belongs beside it.

    Parameters
    ----------
    dataset_path
        ``dataset.json``.
    output
        The ``.keras`` file. Beside it: ``model.json`` (the card), ``card.md`` (the same for
        people), ``history.csv``, ``augmentation.png`` (samples), ``tensorboard/``, and, until
        the training has ended, the state to go on from.
    network
        Which, and what it starts from.
    settings
        Of the training.
    threads
        How many threads the input may use.

    Raises
    ------
    InputError
        If the data set or the weights to start from can't be used.
    SettingError
        If published weights can't be had or the training fails.
    """
    strategy = chosen_strategy(settings)
    dataset = Dataset.read(dataset_path)
    dataset.require_lessons(dataset_path)
    size = dataset.splits["train"].size
    network.require_side(
        "training.crop" if settings.crop < size else "tiles.size", min(settings.crop, size)
    )
    classes = dataset.classes[1:]
    output.parent.mkdir(parents=True, exist_ok=True)
    model = build_network(network, (None, None, len(dataset.bands)), len(classes))
    pretrained = start_from(model, network)
    stream = TrainingStream(dataset.splits["train"], settings, network.stride, threads)
    batch_pixels = settings.batch_size * stream.crop**2
    validation = validation_batches(dataset.splits["val"], batch_pixels, network.stride, threads)
    versions = {
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
        "opencv": cv2.__version__,
    }
    state_folder = StateFolder(
        output.parent,
        {
            **network.by_key(),
            **settings.by_key(),
            "pretrained": None if pretrained is None else pretrained.sha256,
            "dataset": dataset.sha256,
            "versions": versions,
        },
    )
    log.info(
        "%s: %s parameters; %d tiles to train on, %d to validate; steps an epoch: %d",
        network.architecture,
        f"{model.count_params():,}",
        dataset.splits["train"].tiles,
        dataset.splits["val"].tiles,
        stream.steps_per_epoch,
    )
    loss = MaskedLoss.of(settings, dataset.class_weights)
    if is_chief(strategy):
        sheet = augmentation_sheet(stream, dataset.classes)
        write_png(output.parent / "augmentation.png", sheet)
    result = train(
        model, stream, validation, loss, dataset.classes, output.parent, state_folder, strategy
    )
    if not is_chief(strategy):
        log.info("trained; the first machine writes the model")
        # Nobody leaves before it has: it would take that for a failure.
        from_chief(strategy, [0.0])
        return
    best = result.best
    card = Card(
        architecture=network.architecture,
        bands=dataset.bands,
        scale=dataset.scale,
        classes=classes,
        outputs=outputs_of(len(classes)),
        threshold=None if math.isnan(best.threshold) else best.threshold,
        input_stride=network.stride,
        pixel_metres=dataset.pixel_metres(),
        settings={**network.by_key(), **settings.by_key()},
        dataset_sha256=dataset.sha256,
        figures={
            name: None if math.isnan(value) else value
            for name, value in best.values().items()
            if name.startswith("val_") or name == "epoch"
        },
        versions={"roadmask": __version__, **versions},
        colours=dataset.colours,
        reach=receptive_reach(model),
        pretrained=None if pretrained is None else pretrained.origin(),
        band_mean=dataset.band_mean,
        band_deviation=dataset.band_deviation,
    )
    save_model(output, model, result, card)
    write_json(output.with_suffix(".json"), card.as_json())
    facts = json.loads(dataset_path.read_text(encoding="utf-8"))
    write_text(output.parent / "card.md", card_text(card, facts, result.rows, sha256(output)))
    state_folder.remove()
    from_chief(strategy, [0.0])
    log.info(
        "best epoch %d: validation mean IoU %.4f%s",
        best.epoch,
        best.val_mean_iou,
        "" if card.threshold is None else f" at threshold {card.threshold:.3f}",
    )


def save_model(path: Path, model: keras.Model, result: Result, card: Card) -> None:
    """Write the best weights with their card, and read the file back.

    Parameters
    ----------
    path
        The ``.keras`` file.
    model
        The network as it is saved, with any weights.
    result
        Of the training.
    card
        What goes into the file.

    Raises
    ------
    RuntimeError
        If what was written gives other answers.
    """
    model.set_weights(result.weights)
    rng = np.random.default_rng(0)
    # All strides divide it, and no network needs more.
    side = 64
    picture = rng.integers(0, 256, (1, side, side, len(card.bands)), dtype=np.uint8)
    expected = model(picture, training=False).numpy()
    with replacing(path) as temporary:
        model.save(temporary)
        embed_card(temporary, card)
        loaded = keras.models.load_model(temporary, compile=False)
        found = loaded(picture, training=False).numpy()
        if read_card(temporary) != card or not np.allclose(found, expected, atol=SAME_PROBABILITY):
            raise RuntimeError(f"{path} does not read back as it was written")
