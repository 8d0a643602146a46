"""Command `classes`: class rasters from probability rasters.

A job of its own, so that another threshold is a matter of seconds and needs no network.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Mapping
from pathlib import Path

import rasterio
from rasterio.windows import Window

from roadmask.errors import InputError, SettingError
from roadmask.grid import Grid
from roadmask.model.card import Card
from roadmask.model.joint import joint_sha256, read_joint_card
from roadmask.predictions.blending import NODATA, SCALE_TAG, classes_of
from roadmask.raster import BLOCK, cog_writer, environment
from roadmask.style import colour_table, legend, write_category_names, write_paletted_qml

log = logging.getLogger("roadmask.predictions")

THRESHOLD = "prediction.threshold"
SETTINGS_TAG = "ROADMASK_SETTINGS"
MODEL_TAG = "ROADMASK_MODEL_SHA256"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``python -m roadmask classes``."""
    parser.add_argument("scenes", type=Path, nargs="+", help="probability rasters")
    parser.add_argument(
        "--model",
        dest="models",
        type=Path,
        nargs="+",
        required=True,
        help="the .keras file or files that they were predicted with",
    )
    parser.add_argument("--output-folder", type=Path, required=True)
    parser.add_argument(
        f"--{THRESHOLD}",
        dest="threshold",
        type=float,
        help="by default the one chosen on validation, from the model's card",
    )


def run(arguments: argparse.Namespace) -> None:
    """Write the class raster of each probability raster, with its style and names."""
    card = read_joint_card(arguments.models)
    threshold = threshold_of(arguments.threshold, card)
    model = joint_sha256(arguments.models)
    with environment():
        for path in arguments.scenes:
            write_classes(path, arguments.output_folder, card, model, threshold)


def threshold_of(given: float | None, card: Card) -> float | None:
    """Return from which probability a pixel is road; None where the most probable class wins.

    Raises
    ------
    SettingError
        If `given` is no probability above 0.
    """
    if card.outputs > 1:
        if given is not None:
            log.warning(
                "%s is not used: of %d classes the most probable wins", THRESHOLD, card.outputs
            )
        return None
    threshold = card.threshold if given is None else given
    if threshold is not None and not 0 < threshold <= 1:
        raise SettingError(
            THRESHOLD,
            f"{threshold:g} is no probability above 0",
            "Write a number above 0 and up to 1, or null for the model's own",
        )
    return threshold


def write_classes(
    path: Path, folder: Path, card: Card, model: str, threshold: float | None
) -> None:
    """Write one class raster, strip by strip, with a ``.qml`` and its classes' names beside it.

    Parameters
    ----------
    path
        The probability raster.
    folder
        Where the class raster goes, under the same name.
    card
        Of the network.
    model
        The network's hash, which the probability raster must carry.
    threshold
        As `threshold_of` gives it.

    Raises
    ------
    InputError
        If the raster can't be read or was made by another network.
    """
    output = folder / path.name
    try:
        with rasterio.open(path) as probability:
            tags = probability.tags()
            if tags.get(MODEL_TAG) != model:
                raise InputError(
                    path,
                    "it was predicted with another model",
                    "Remove it and run again",
                )
            with cog_writer(
                output,
                Grid.from_dataset(probability),
                nodata=NODATA,
                colormap=colour_table(card.classes, card.colours),
                descriptions=["class"],
                tags=_tags(tags, threshold),
                overview_resampling="mode",
            ) as classes:
                for first in range(0, probability.height, BLOCK):
                    rows = min(BLOCK, probability.height - first)
                    strip = Window(0, first, probability.width, rows)
                    values = probability.read(window=strip)
                    classes.write(classes_of(values, threshold), 1, window=strip)
    except rasterio.errors.RasterioIOError as error:
        raise InputError(path, f"it can't be read ({error})", "Remove it and run again") from error
    write_category_names(output, card.classes)
    write_paletted_qml(output.with_suffix(".qml"), legend(card.classes, card.colours))


def _tags(tags: Mapping[str, str], threshold: float | None) -> dict[str, str]:
    """Return what the probability raster says of itself, with the threshold."""
    kept = {
        name: value
        for name, value in tags.items()
        if name.startswith("ROADMASK_") and name != SCALE_TAG
    }
    settings = json.loads(kept[SETTINGS_TAG])
    return kept | {SETTINGS_TAG: json.dumps(settings | {THRESHOLD: threshold})}
