"""Stage `tiles`: image tiles that cover a whole scene, and their manifest.

Each pixel of the scene is in at least one tile. What sticks out at the right and the
bottom is 0, and a mask inside the file says where there is a picture.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely
from numpy.typing import NDArray
from rasterio.features import geometry_mask
from rasterio.io import DatasetReader
from rasterio.windows import Window
from shapely.geometry.base import BaseGeometry

from roadmask import __version__, imagery
from roadmask.errors import SettingError
from roadmask.files import replacing_folder
from roadmask.grid import Grid, TileGrid
from roadmask.imagery import Scale, check_imagery, read_network_input
from roadmask.raster import environment
from roadmask.tilesets import TileManifest, tiles_folder
from roadmask.vectors_io import add_source_arguments, read_layer, source_from

log = logging.getLogger(__name__)

# A block of a TIFF has edges of a multiple of this.
BLOCK_MULTIPLE = 16
LARGEST_BLOCK = 512


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``python -m roadmask tiles``."""
    parser.add_argument("scene", type=Path, help="the scene's COG")
    parser.add_argument("--output", type=Path, required=True, help="the manifest to write")
    parser.add_argument("--tiles.size", dest="size", type=int, required=True, help="pixels")
    parser.add_argument("--tiles.overlap", dest="overlap", type=int, default=0, help="pixels")
    imagery.add_arguments(parser)
    add_source_arguments(parser, "area")


def run(arguments: argparse.Namespace) -> None:
    """Cut one scene."""
    bands, scale = imagery.chosen(arguments)
    with environment(), rasterio.open(arguments.scene) as scene:
        check_imagery(scene, bands, scale)
        grid = Grid.from_dataset(scene)
        source = source_from(arguments, "area")
        area = None
        if source is not None:
            layer = read_layer(
                source, grid, grid.crs, key="area", kind="polygons", must_reach=False
            )
            area = shapely.union_all(layer.frame.geometry.to_numpy())
        manifest = cut_scene(
            scene,
            arguments.scene.stem,
            arguments.output,
            size=arguments.size,
            overlap=arguments.overlap,
            bands=bands,
            scale=scale,
            area=area,
        )
    log.info(
        "%s: %d tiles of %d x %d pixels%s",
        manifest.scene,
        len(manifest.tiles),
        manifest.size,
        manifest.size,
        f", {len(manifest.outside_area)} more lie outside area" if area is not None else "",
    )


def cut_scene(
    scene: DatasetReader,
    name: str,
    output: Path,
    *,
    size: int,
    overlap: int,
    bands: Sequence[int],
    scale: Scale | None,
    area: BaseGeometry | None,
) -> TileManifest:
    """Cut an open scene into tiles and write them and their manifest.

    Parameters
    ----------
    scene
        An open scene that passed `check_imagery`.
    name
        With which the tiles' names begin.
    output
        The manifest; the tiles come into the folder of its name without ``.json``, which
        is swapped in whole, so that no tile of an earlier run stays.
    size, overlap
        Pixels.
    bands
        1-based numbers of the bands to keep.
    scale
        Limits of each band, or None.
    area
        Ground to keep, in the scene's CRS; None for all. Outside it a tile's mask is 0;
        tiles wholly outside are not cut.

    Returns
    -------
    TileManifest
        What was written.

    Raises
    ------
    SettingError
        If size and overlap don't fit together.
    """
    if size < 1:
        raise SettingError("tiles.size", f"{size} is no size", "Write pixels, such as 256")
    if not 0 <= overlap < size:
        raise SettingError(
            "tiles.overlap",
            f"{overlap} is not between 0 and tiles.size ({size})",
            "Write fewer pixels than a tile has",
        )
    tile_grid = TileGrid(name, Grid.from_dataset(scene), size, overlap)
    descriptions = [scene.descriptions[band - 1] for band in bands]
    tags = provenance(scene, name) | {
        "ROADMASK_SETTINGS": json.dumps(
            {
                "tiles.size": size,
                "tiles.overlap": overlap,
                "imagery.bands": list(bands),
                "imagery.scale": scale,
            }
        )
    }
    if area is not None:
        shapely.prepare(area)  # it is compared with each tile
    kept, outside = [], []
    # The old manifest goes first: it must never describe another folder than it stands for.
    output.unlink(missing_ok=True)
    with replacing_folder(tiles_folder(output)) as folder:
        for tile in tile_grid:
            tile_pixels = tile_grid.grid.window(tile.x, tile.y, size, size)
            in_area = inside_area(area, tile_pixels)
            if in_area is not None and not in_area.any():
                outside.append(tile.name)
                continue
            picture, valid = read_network_input(
                scene, Window(tile.x, tile.y, size, size), bands, scale
            )
            write_tile(
                folder / f"{tile.name}.tif",
                np.moveaxis(picture, -1, 0),
                tile_pixels,
                valid=valid if in_area is None else valid & in_area,
                descriptions=descriptions,
                tags=tags,
            )
            kept.append(tile)
    manifest = TileManifest(
        scene=name,
        grid=tile_grid.grid,
        size=size,
        overlap=overlap,
        bands=tuple(bands),
        scale=scale,
        tiles=tuple(kept),
        outside_area=tuple(outside),
    )
    manifest.write(output)
    return manifest


def provenance(raster: DatasetReader, scene: str) -> dict[str, str]:
    """Return the tags that tiles have from the raster they are cut from."""
    tags = {key: value for key, value in raster.tags().items() if key.startswith("ROADMASK_")}
    return tags | {"ROADMASK_SCENE": scene, "ROADMASK_VERSION": __version__}


def inside_area(area: BaseGeometry | None, grid: Grid) -> NDArray[np.bool_] | None:
    """Tell which pixels of a grid have their centre in an area.

    Parameters
    ----------
    area
        Polygons in the grid's CRS, or None for all ground.
    grid
        The pixels.

    Returns
    -------
    numpy.ndarray or None
        ``(height, width)`` bool; None where all are inside.
    """
    if area is None:
        return None
    box = shapely.box(*grid.bounds)
    if area.contains(box):
        return None
    # Only the part at hand is burned: an area may have many thousands of corners.
    part = shapely.intersection(area, box)
    # Where it only touches the grid, the rest is a line, which would be burned as well.
    polygons = [x for x in shapely.get_parts(shapely.get_parts(part)) if x.geom_type == "Polygon"]
    if not polygons:
        return np.zeros(grid.shape, dtype=np.bool_)
    inside: NDArray[np.bool_] = geometry_mask(
        polygons, out_shape=grid.shape, transform=grid.transform, invert=True
    )
    return inside


def write_tile(
    path: Path,
    array: NDArray[np.generic],
    grid: Grid,
    *,
    valid: NDArray[np.bool_] | None = None,
    nodata: float | None = None,
    colormap: Mapping[int, tuple[int, ...]] | None = None,
    descriptions: Sequence[str | None] = (),
    tags: Mapping[str, str] | None = None,
) -> None:
    """Write one tile as a small GeoTIFF.

    Parameters
    ----------
    path
        The file, in a folder that is swapped in whole.
    array
        ``(bands, height, width)``.
    grid
        Its pixels.
    valid
        ``(height, width)`` bool: becomes a mask inside the file where it is not all true.
    nodata, colormap, descriptions, tags
        As rasterio has them.
    """
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "width": grid.width,
        "height": grid.height,
        "count": len(array),
        "dtype": str(array.dtype),
        "crs": grid.crs,
        "transform": grid.transform,
        "nodata": nodata,
        "compress": "deflate",
        "predictor": 3 if array.dtype.kind == "f" else 2,
        # Near infrared is no alpha, which GDAL would take a second or fourth band for.
        "alpha": "NO",
        "photometric": "RGB" if len(array) == 3 and array.dtype == np.uint8 else "MINISBLACK",
    }
    if colormap is not None:
        del profile["photometric"]
    if grid.width % BLOCK_MULTIPLE == 0 and grid.height % BLOCK_MULTIPLE == 0:
        profile |= {
            "tiled": True,
            "blockxsize": min(grid.width, LARGEST_BLOCK),
            "blockysize": min(grid.height, LARGEST_BLOCK),
        }
    with rasterio.open(path, "w", **profile) as dataset:
        if colormap is not None:
            dataset.write_colormap(1, dict(colormap))
        for band, description in enumerate(descriptions, start=1):
            if description:
                dataset.set_band_description(band, description)
        dataset.update_tags(**(tags or {}))
        dataset.write(array)
        if valid is not None and not valid.all():
            dataset.write_mask(valid)
