"""Command `cut`: a raster of lines or labels, cut into the tiles of its scene."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import rasterio
from rasterio.enums import ColorInterp
from rasterio.io import DatasetReader

from roadmask.errors import InputError
from roadmask.files import replacing_folder
from roadmask.grid import Grid
from roadmask.raster import environment, read_window
from roadmask.tiles import provenance, write_tile
from roadmask.tilesets import TileManifest, tiles_folder

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``python -m roadmask cut``."""
    parser.add_argument("raster", type=Path, help="on the scene's pixels, or wider")
    parser.add_argument("--manifest", type=Path, required=True, help="of the image tiles")
    parser.add_argument("--output", type=Path, required=True, help="the manifest to write")


def run(arguments: argparse.Namespace) -> None:
    """Cut one raster."""
    manifest = TileManifest.read(arguments.manifest)
    with environment(), rasterio.open(arguments.raster) as raster:
        cut_raster(raster, manifest, arguments.output)
    log.info("%s: cut into %d tiles", arguments.raster, len(manifest.tiles))


def cut_raster(raster: DatasetReader, manifest: TileManifest, output: Path) -> None:
    """Cut a raster into the tiles of a manifest, and write that manifest beside them.

    Parameters
    ----------
    raster
        An open raster on the scene's pixel lattice that holds the whole scene; it may be
        wider by whole pixels.
    manifest
        The tiles.
    output
        The manifest to write; the tiles come into the folder of its name without
        ``.json``, which is swapped in whole. Where the raster has no pixel, past the
        scene's edge, they hold its nodata value, or 0 without one.

    Raises
    ------
    InputError
        If the raster lies on other pixels or does not hold the whole scene.
    """
    x_shift, y_shift = offset_in(raster, manifest)
    fill = 0 if raster.nodata is None else raster.nodata
    palette = raster.colorinterp[0] == ColorInterp.palette
    colormap = raster.colormap(1) if palette else None
    tags = provenance(raster, manifest.scene)
    size = manifest.size
    output.unlink(missing_ok=True)
    with replacing_folder(tiles_folder(output)) as folder:
        for tile in manifest.tiles:
            write_tile(
                folder / f"{tile.name}.tif",
                read_window(raster, tile.x + x_shift, tile.y + y_shift, size, size, fill=fill),
                manifest.grid.window(tile.x, tile.y, size, size),
                nodata=raster.nodata,
                colormap=colormap,
                descriptions=raster.descriptions,
                tags=tags,
            )
    manifest.write(output)


def offset_in(raster: DatasetReader, manifest: TileManifest) -> tuple[int, int]:
    """Return the column and row in the raster of the scene's upper left pixel.

    Raises
    ------
    InputError
        If the raster lies on other pixels or does not hold the whole scene. A raster of
        another extent cut by pixel numbers would be wrong without anybody noticing.
    """
    remedy = "Make it anew from this scene"
    grid, scene = Grid.from_dataset(raster), manifest.grid
    try:
        x, y = grid.offset_of(scene)
    except ValueError as error:
        raise InputError(
            raster.name, f"not on the pixels of scene {manifest.scene}: {error}", remedy
        ) from error
    if x < 0 or y < 0 or x + scene.width > grid.width or y + scene.height > grid.height:
        raise InputError(
            raster.name,
            f"it does not hold all of scene {manifest.scene}: {grid.width} x {grid.height} pixels "
            f"where {scene.width} x {scene.height} are needed from column {x}, row {y} on",
            remedy,
        )
    return x, y
