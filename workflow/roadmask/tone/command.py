"""Stage `tone`: the levels of one scene, as a network sees them."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import rasterio

from roadmask import imagery
from roadmask.imagery import (
    check_imagery,
    check_network_bands,
    check_network_values,
    parse_bands,
)
from roadmask.model.card import read_card
from roadmask.raster import environment
from roadmask.tone.counts import tone_of
from roadmask.vectors_io import add_source_arguments, source_from

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``python -m roadmask tone``."""
    parser.add_argument("scene", type=Path, help="the scene's COG")
    parser.add_argument("--output", type=Path, required=True, help="the counts, JSON")
    parser.add_argument("--model", type=Path, help="a .keras file, whose bands and scale count")
    imagery.add_arguments(parser)
    parser.add_argument(
        "--prediction.bands", dest="stand_ins", help="the bands that stand for those, such as 3,2,1"
    )
    parser.add_argument(
        "--new",
        dest="is_new",
        action="store_true",
        help="no network is trained on the scene, so its values must be those that one learned",
    )
    add_source_arguments(parser, "area")


def run(arguments: argparse.Namespace) -> None:
    """Count the levels of one scene."""
    with environment(), rasterio.open(arguments.scene) as scene:
        if arguments.model is None:
            bands, scale = imagery.chosen(arguments)
        else:
            card = read_card(arguments.model)
            bands, scale = card.bands, card.scale
        if arguments.stand_ins is not None:
            bands = parse_bands(arguments.stand_ins, "prediction.bands", repeated=True)
        if arguments.model is not None:
            check_network_bands(
                scene, bands, arguments.model.name, are_stand_ins=arguments.stand_ins is not None
            )
        if arguments.is_new and max(bands) <= scene.count:
            check_network_values(scene, bands, scale, _name(arguments.model))
        check_imagery(scene, bands, scale)
        tone = tone_of(scene, bands, scale, source_from(arguments, "area"))
    tone.write(arguments.output)
    log.info("%s: %s", arguments.scene.stem, tone)
    if tone.is_flat:
        log.warning(
            "%s is one flat colour all over: its source holds no picture. Get that again, or leave "
            "it out",
            arguments.scene.stem,
        )


def _name(model: Path | None) -> str:
    return "the network" if model is None else f"the network {model.name}"
