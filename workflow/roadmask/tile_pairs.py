"""Image tiles with their label tiles."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from rasterio.errors import RasterioIOError

from roadmask.errors import InputError
from roadmask.grid import Grid, Tile
from roadmask.style import UNKNOWN
from roadmask.tilesets import TileManifest, tile_path


@dataclass(frozen=True)
class TilePair:
    """A tile's picture and its label.

    Attributes
    ----------
    image
        uint8 ``(bands, height, width)``.
    valid
        bool ``(height, width)``: where there is a picture.
    label
        uint8 ``(height, width)``: index of the class; 255 not known, and wherever there is
        no picture.
    grid
        Its pixels on the ground.
    """

    image: np.ndarray
    valid: np.ndarray
    label: np.ndarray
    grid: Grid


@dataclass(frozen=True)
class PairedTiles:
    """The image tiles and the label tiles of one scene.

    Attributes
    ----------
    images, labels
        Their manifests.
    images_path, labels_path
        Where these lie.
    """

    images: TileManifest
    labels: TileManifest
    images_path: Path
    labels_path: Path

    @classmethod
    def open(cls, images_path: Path, labels_path: Path) -> PairedTiles:
        """Read both manifests.

        Raises
        ------
        InputError
            If they were not cut from one scene in one way.
        """
        images, labels = TileManifest.read(images_path), TileManifest.read(labels_path)
        for name in ("scene", "size", "overlap", "tiles"):
            if getattr(images, name) != getattr(labels, name):
                raise InputError(
                    labels_path,
                    f"{name} is not the same as in {images_path}",
                    "Remove both and run again",
                )
        return cls(images, labels, images_path, labels_path)

    def read(self, tile: Tile) -> TilePair:
        """Read one tile's picture and label.

        Raises
        ------
        InputError
            If a file can't be read, or does not lie where the manifest says.
        """
        image, valid = self._read(tile_path(self.images_path, tile), tile)
        label, _ = self._read(tile_path(self.labels_path, tile), tile)
        return TilePair(
            image=image,
            valid=valid,
            label=np.where(valid, label[0], np.uint8(UNKNOWN)),
            grid=self._grid(tile),
        )

    def _grid(self, tile: Tile) -> Grid:
        return self.images.grid.window(tile.x, tile.y, tile.size, tile.size)

    def _read(self, path: Path, tile: Tile) -> tuple[np.ndarray, np.ndarray]:
        """Return all bands, and where the file's own mask lets them be seen."""
        try:
            with rasterio.open(path) as dataset:
                found, expected = Grid.from_dataset(dataset), self._grid(tile)
                array, seen = dataset.read(), dataset.dataset_mask() > 0
        except RasterioIOError as error:
            raise InputError(
                path, f"it can't be read ({error})", "Remove it and run again"
            ) from error
        if array.dtype != np.uint8:
            raise InputError(path, f"it holds {array.dtype} instead of uint8")
        if found.shape != expected.shape or not _same_place(found, expected):
            raise InputError(
                path,
                f"its pixels lie at {tuple(found.transform)[:6]}, {found.width} x {found.height}, "
                f"instead of {tuple(expected.transform)[:6]}, {expected.width} x {expected.height}",
                "Remove it and run again",
            )
        return array, seen


def _same_place(one: Grid, other: Grid) -> bool:
    # A GeoTIFF may name the same CRS in other words, so only the pixels are compared.
    relative = ~other.transform @ one.transform
    return bool(relative.almost_equals(relative.identity(), precision=1e-3))
