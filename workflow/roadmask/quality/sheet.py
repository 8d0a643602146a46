"""A sheet whose labels are judged: its picture, its label and the map they were made from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from rasterio.io import DatasetReader
from rasterio.windows import Window

from roadmask.grid import Grid
from roadmask.imagery import read_network_input
from roadmask.raster import read_window
from roadmask.style import UNKNOWN
from roadmask.tilesets import TileManifest

Label = NDArray[np.uint8]


@dataclass(frozen=True)
class MapLines:
    """The map on a sheet, in the scene's pixels.

    Attributes
    ----------
    street_lines, centerlines
        Lines.
    given_width
        ``(centerlines,)`` paved width by attribute, in pixels; NaN where unknown.
    raster
        The lines' raster, band 1 street lines.
    """

    street_lines: NDArray[np.object_]
    centerlines: NDArray[np.object_]
    given_width: NDArray[np.float64]
    raster: DatasetReader


@dataclass(frozen=True)
class Sheet:
    """All that is known of one sheet.

    Attributes
    ----------
    manifest
        Of its tiles.
    scene, mask
        The picture and the label, on one grid.
    lines
        The map; None where labels are not made from lines.
    """

    manifest: TileManifest
    scene: DatasetReader
    mask: DatasetReader
    lines: MapLines | None

    @property
    def grid(self) -> Grid:
        """The scene's pixels."""
        return self.manifest.grid

    @cached_property
    def metres(self) -> float:
        """Ground size of a pixel."""
        return self.grid.ground_sample_distance

    def picture(
        self, x: int, y: int, width: int, height: int
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Return what the network sees of a window, and where there is a picture."""
        return read_network_input(
            self.scene, Window(x, y, width, height), self.manifest.bands, self.manifest.scale
        )

    def label(self, x: int, y: int, width: int, height: int) -> Label:
        """Return the label of a window, not known beyond the scene."""
        found: Label = read_window(self.mask, x, y, width, height, bands=[1], fill=UNKNOWN)[0]
        return found
