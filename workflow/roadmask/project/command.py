"""The command of stage `project`."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from roadmask.project.contents import Made, describe
from roadmask.project.document import write_project
from roadmask.raster import environment

log = logging.getLogger("roadmask.project")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``python -m roadmask project``."""
    parser.add_argument("--output", type=Path, required=True, help="the .qgz file")
    parser.add_argument(
        "--pictures", type=Path, required=True, help="mosaics/scenes.json, which lists the VRTs"
    )
    for name, what in (
        ("masks", "mosaics/masks.json"),
        ("looks", "mosaics/looks.json"),
        ("predictions", "mosaics/predictions.json"),
        ("probability", "mosaics/probability.json"),
        ("pieces", "pieces.gpkg"),
        ("split", "dataset/split.gpkg"),
        ("vectors", "vectors/roads.gpkg, or the list of several"),
        ("changes", "changes/changes.gpkg, or the list of several"),
    ):
        parser.add_argument(f"--{name}", type=Path, help=f"{what}, where the run made it")


def run(arguments: argparse.Namespace) -> None:
    """Write the project."""
    made = Made(
        pictures=arguments.pictures,
        masks=arguments.masks,
        looks=arguments.looks,
        predictions=arguments.predictions,
        probability=arguments.probability,
        pieces=arguments.pieces,
        split=arguments.split,
        vectors=arguments.vectors,
        changes=arguments.changes,
    )
    with environment():
        project = describe(made, arguments.output.parent)
    write_project(arguments.output, project)
    log.info("%s: %d layers", arguments.output, len(project.layers))
