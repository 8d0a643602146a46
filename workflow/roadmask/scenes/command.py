"""Command line of stage `scenes`."""

from __future__ import annotations

import argparse
from pathlib import Path

from roadmask.scenes.convert import convert
from roadmask.scenes.georeference import parse_crs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``python -m roadmask scenes``."""
    parser.add_argument("source", help="JPEG 2000, GeoTIFF or PNG, or one of GDAL's /vsi paths")
    parser.add_argument("--output", type=Path, required=True, help="the COG to write")
    parser.add_argument(
        "--imagery.georeference",
        dest="georeference",
        choices=("required", "pixel"),
        default="required",
        help="pixel: for pictures that lie nowhere on the ground",
    )
    parser.add_argument("--imagery.crs", dest="crs", help="used where the source carries none")
    parser.add_argument(
        "--imagery.nodata", dest="nodata", type=float, help="used where the source carries none"
    )


def run(arguments: argparse.Namespace) -> None:
    """Convert one source to a scene."""
    convert(
        arguments.source,
        arguments.output,
        pixel_mode=arguments.georeference == "pixel",
        crs=parse_crs(arguments.crs) if arguments.crs else None,
        nodata=arguments.nodata,
    )
