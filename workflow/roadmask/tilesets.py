"""The manifest of a scene's tiles, by which later stages find and place them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from affine import Affine
from rasterio.crs import CRS

from roadmask.errors import InputError
from roadmask.files import write_json
from roadmask.grid import Grid, Tile
from roadmask.imagery import Scale


@dataclass(frozen=True)
class TileManifest:
    """Which tiles a scene was cut into, and how.

    Attributes
    ----------
    scene
        The scene's name.
    grid
        The scene's pixels.
    size, overlap
        Edge of a tile and what neighbours share, in pixels.
    bands
        1-based numbers of the source bands that the image tiles hold.
    scale
        Limits of each band that became 0 and 255; None where bytes were taken as they are.
    tiles
        The tiles, row by row.
    outside_area
        Names of the tiles that were not cut, since they lie outside ``area``.
    """

    scene: str
    grid: Grid
    size: int
    overlap: int
    bands: tuple[int, ...]
    scale: Scale | None
    tiles: tuple[Tile, ...]
    outside_area: tuple[str, ...] = ()

    def write(self, path: str | Path) -> None:
        """Write the manifest as JSON, whole or not at all."""
        crs = self.grid.crs
        write_json(
            path,
            {
                "scene": self.scene,
                "width": self.grid.width,
                "height": self.grid.height,
                "crs": None if crs is None else crs.to_wkt(),
                "transform": list(self.grid.transform)[:6],
                "size": self.size,
                "overlap": self.overlap,
                "bands": list(self.bands),
                "scale": None if self.scale is None else [list(pair) for pair in self.scale],
                "tiles": [
                    {
                        "tile": tile.name,
                        "row": tile.row,
                        "col": tile.column,
                        "x": tile.x,
                        "y": tile.y,
                    }
                    for tile in self.tiles
                ],
                "outside_area": list(self.outside_area),
            },
        )

    @classmethod
    def read(cls, path: str | Path) -> TileManifest:
        """Read a manifest.

        Raises
        ------
        InputError
            If the file is none.
        """
        try:
            return cls._from_json(json.loads(Path(path).read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                path, f"it is no manifest of tiles ({error!r})", "Remove it and run again"
            ) from error

    @classmethod
    def _from_json(cls, content: dict[str, Any]) -> TileManifest:
        crs = content["crs"]
        size = content["size"]
        return cls(
            scene=content["scene"],
            grid=Grid(
                content["width"],
                content["height"],
                Affine(*content["transform"]),
                None if crs is None else CRS.from_wkt(crs),
            ),
            size=size,
            overlap=content["overlap"],
            bands=tuple(content["bands"]),
            scale=content["scale"] and tuple((low, high) for low, high in content["scale"]),
            tiles=tuple(
                Tile(tile["tile"], tile["row"], tile["col"], tile["x"], tile["y"], size)
                for tile in content["tiles"]
            ),
            outside_area=tuple(content["outside_area"]),
        )


def tiles_folder(manifest: str | Path) -> Path:
    """Return the folder that holds the tiles of a manifest: its name without ``.json``."""
    return Path(manifest).with_suffix("")


def tile_path(manifest: str | Path, tile: Tile) -> Path:
    """Return the file of one tile of a manifest."""
    return tiles_folder(manifest) / f"{tile.name}.tif"
