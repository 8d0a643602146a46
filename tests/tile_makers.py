"""Small scenes, cut and labelled, for the tests of what comes after the tiles."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from rasterio.crs import CRS

from roadmask.grid import Grid, TileGrid
from roadmask.raster import write_cog
from roadmask.tilesets import TileManifest, tile_path

FEET = CRS.from_epsg(2263)
# A corner of the lattice of blocks of 256 ft.
CORNER = (256.0 * 3856, 256.0 * 772)


@dataclass(frozen=True)
class MadeScene:
    """Where a scene's manifests lie, and the arrays that its tiles were cut from."""

    scene: Path
    mask: Path
    tiles: Path
    masks: Path
    looks: Path
    image: np.ndarray
    label: np.ndarray
    manifest: TileManifest


def grid_at(
    x: float, y: float, width: int, height: int, pixel: float = 0.5, crs: CRS | None = FEET
) -> Grid:
    """A grid with north up, its upper left corner at (x, y)."""
    return Grid(width, height, Affine(pixel, 0, x, 0, -pixel, y), crs)


def textured(bands: int, height: int, width: int) -> np.ndarray:
    """A picture that is neither flat nor saturated, and the same every time."""
    return np.random.default_rng(7).integers(30, 220, (bands, height, width), dtype=np.uint8)


def striped(height: int, width: int) -> np.ndarray:
    """A label with a road of 8 pixels in every 32, and a corner that is not known."""
    label = np.zeros((height, width), np.uint8)
    label[:, np.arange(width) % 32 < 8] = 1
    label[:3, :3] = 255
    return label


def write_looks(path: Path, grid: Grid, road: np.ndarray) -> None:
    """Write what networks say of a scene in cells of 2 pixels where they see all its road."""
    cells = np.pad(road, [(0, side % 2) for side in road.shape])[::2, ::2]
    likeness = np.where(cells, 250, 4).astype(np.uint8)
    rows, columns = cells.shape
    doubled = Grid(columns, rows, grid.transform @ Affine.scale(2), grid.crs)
    write_cog(path, doubled, likeness[np.newaxis], nodata=255)


def make_scene(
    root: Path,
    scene: str,
    grid: Grid,
    *,
    size: int = 32,
    bands: int = 3,
    overlap: int = 0,
    label: np.ndarray | None = None,
    image: np.ndarray | None = None,
    outside: Collection[str] = (),
    road: np.ndarray | None = None,
) -> MadeScene:
    """Write a scene's image tiles and label tiles, as the stages tiles and cut do.

    Its looks are those of `road`; where that is not given, of its label's.
    """
    image = textured(bands, *grid.shape) if image is None else image
    label = striped(*grid.shape) if label is None else label
    tiles = TileGrid(scene, grid, size, overlap)
    manifest = TileManifest(
        scene=scene,
        grid=grid,
        size=size,
        overlap=overlap,
        bands=tuple(range(1, bands + 1)),
        scale=None,
        tiles=tuple(tile for tile in tiles if tile.name not in outside),
        outside_area=tuple(tile.name for tile in tiles if tile.name in outside),
    )
    paths = root / "tiles" / f"{scene}.json", root / "masks" / "tiles" / f"{scene}.json"
    for path, array, fill in ((paths[0], image, 0), (paths[1], label[np.newaxis], 255)):
        manifest.write(path)
        path.with_suffix("").mkdir()
        reach = size + max(grid.shape)
        padded = np.pad(array, ((0, 0), (0, reach), (0, reach)), constant_values=fill)
        inside = np.pad(np.full(grid.shape, 255, np.uint8), (0, reach))
        for tile in manifest.tiles:
            window = np.s_[tile.y : tile.y + size, tile.x : tile.x + size]
            with (
                rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
                rasterio.open(
                    tile_path(path, tile),
                    "w",
                    driver="GTiff",
                    width=size,
                    height=size,
                    count=len(array),
                    dtype="uint8",
                    crs=grid.crs,
                    transform=grid.window(tile.x, tile.y, size, size).transform,
                    nodata=None if path == paths[0] else 255,
                ) as dataset,
            ):
                dataset.write(padded[:, *window])
                if path == paths[0]:
                    dataset.write_mask(inside[window])
    whole = root / "scenes" / f"{scene}.tif", root / "masks" / f"{scene}.tif"
    write_cog(whole[0], grid, image)
    write_cog(whole[1], grid, label, nodata=255)
    looks = root / "looks" / f"{scene}.tif"
    write_looks(looks, grid, (label == 1) if road is None else road)
    return MadeScene(*whole, *paths, looks, image, label, manifest)
