"""Command `join-pieces`: the pieces of all sheets in one GeoPackage.

Of 2,000 sheets nobody opens 2,000 files, and QGIS finds what is in view by one index. Besides,
the sheets' own files, which labels are judged by, then stay untouched by whoever looks.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Mapping
from pathlib import Path

import pyogrio
from rasterio.crs import CRS

from roadmask.errors import InputError
from roadmask.files import replacing
from roadmask.mosaic import crs_label

log = logging.getLogger("roadmask.pieces")

ENDING = "_pieces"
LAYERS = ("pieces", "throats")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``python -m roadmask join-pieces``."""
    parser.add_argument("files", type=Path, nargs="+", help="masks/{scene}_pieces.gpkg")
    parser.add_argument("--output", type=Path, required=True, help="the GeoPackage")


def run(arguments: argparse.Namespace) -> None:
    """Join the pieces of some sheets."""
    scenes = {path.stem.removesuffix(ENDING): path for path in arguments.files}
    count = join_pieces(scenes, arguments.output)
    log.info("%s: %d pieces of %d scenes", arguments.output, count, len(scenes))


def join_pieces(files: Mapping[str, Path], output: Path) -> int:
    """Write the pieces and throats of all sheets, each with its ``scene``.

    Parameters
    ----------
    files
        By scene, its GeoPackage as `roadmask.masks.pieces` writes it. One is read at a time.
    output
        Layers ``pieces`` and ``throats``; where sheets differ in CRS, one of each for every
        CRS, with that in its name (``pieces_epsg2263``). Its bytes depend on the files alone.

    Returns
    -------
    int
        How many pieces there are.

    Raises
    ------
    InputError
        If a file can't be read.
    """
    labels = {scene: _crs_label(files[scene]) for scene in sorted(files)}
    is_single = len(set(labels.values())) == 1
    count = 0
    with replacing(output) as temporary:
        for layer in LAYERS:
            written: set[str] = set()
            for scene, label in labels.items():
                frame = pyogrio.read_dataframe(files[scene], layer=layer)
                frame.insert(0, "scene", scene)
                name = layer if is_single else f"{layer}_{label}"
                pyogrio.write_dataframe(
                    frame,
                    temporary,
                    layer=name,
                    driver="GPKG",
                    geometry_type="MultiPolygon" if layer == "pieces" else "LineString",
                    append=name in written,
                )
                written.add(name)
                count += len(frame) if layer == "pieces" else 0
    return count


def _crs_label(path: Path) -> str:
    try:
        crs = pyogrio.read_info(path, layer=LAYERS[0])["crs"]
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError) as error:
        raise InputError(path, f"it can't be read ({error})", "Remove it and run again") from error
    return crs_label(CRS.from_user_input(crs))
