"""What the pieces that a label was decided by say of each tile."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyogrio
import shapely

from roadmask.errors import InputError
from roadmask.grid import Grid, Tile
from roadmask.polygon_windows import PolygonWindows
from roadmask.quality.columns import LEAST_ROAD, PieceSums

# Rules of `regions` that decided by a hair.
CLOSE_CALLS = frozenset(
    {"open_both_ends", "open_one_end", "below_level", "doubtful_mouth", "no_lines"}
)
CUTS = frozenset({"cut", "doubt"})
ENDS = frozenset({"end"})


@dataclass(frozen=True)
class Pieces:
    """The pieces and throats of a sheet.

    Attributes
    ----------
    table
        The pieces.
    windows
        Where they lie.
    throats, throat_tree
        The throats, and an index of them.
    """

    table: gpd.GeoDataFrame
    windows: PolygonWindows
    throats: gpd.GeoDataFrame
    throat_tree: shapely.STRtree

    @classmethod
    def read(cls, path: Path, grid: Grid) -> Pieces:
        """Read the file that stage masks writes.

        Raises
        ------
        InputError
            If it can't be read.
        """
        try:
            table = pyogrio.read_dataframe(path, layer="pieces")
            throats = pyogrio.read_dataframe(path, layer="throats")
        except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError) as error:
            raise InputError(
                path, f"it can't be read ({error})", "Remove it and run again"
            ) from error
        return cls(
            table,
            PolygonWindows(grid, list(table.geometry)),
            throats,
            shapely.STRtree(throats.geometry.to_numpy()),
        )

    def sums(self, grid: Grid, tile: Tile) -> PieceSums:
        """Sum up what lies in a tile.

        Parameters
        ----------
        grid
            The scene's.
        tile
            One of its tiles.
        """
        index = self.windows.read_indices(tile.x, tile.y, tile.size, tile.size)
        numbers, pixels = np.unique(index[index >= 0], return_counts=True)
        here = self.table.iloc[numbers]
        verdict = here["verdict"].to_numpy()
        area = {name: float(pixels[verdict == name].sum()) for name in ("road", "other", "unknown")}
        whole = max(1.0, float(pixels.sum()))
        close = np.isin(here["rule"].to_numpy(), list(CLOSE_CALLS))
        width, given = (here[name].to_numpy(float) for name in ("width_m", "given_width_m"))
        with np.errstate(invalid="ignore", divide="ignore"):
            agreement = np.minimum(width, given) / np.maximum(width, given)
        is_road = verdict == "road"
        distance, cut, end = self._throats(grid, tile)
        return PieceSums(
            pieces=float(len(numbers)),
            road_pieces_share=area["road"] / whole,
            other_pieces_share=area["other"] / whole,
            unknown_pieces_share=area["unknown"] / whole,
            doubtful_share=float(pixels[close].sum()) / max(area["road"], LEAST_ROAD * whole),
            width_agreement=_mean(agreement[is_road], pixels[is_road]),
            seen_share=_mean(here["seen_share"].to_numpy(float)[is_road], pixels[is_road]),
            throat_m=distance,
            cut_width_m=cut,
            end_width_m=end,
        )

    def _throats(self, grid: Grid, tile: Tile) -> tuple[float, float, float]:
        """Measure the throats in and near a tile.

        Returns
        -------
        tuple of float
            Metres to the nearest throat, NaN without any; and the widths of those in the tile
            at which ground was cut off, and at which a road was ended by a straight chord.
        """
        if len(self.throats) == 0:
            return math.nan, 0.0, 0.0
        box = shapely.box(*grid.window(tile.x, tile.y, tile.size, tile.size).bounds)
        nearest = int(self.throat_tree.nearest(box))
        unit = grid.ground_sample_distance / math.sqrt(abs(grid.transform.determinant))
        distance = float(shapely.distance(box, self.throats.geometry.iloc[nearest])) * unit
        inside = self.throats.iloc[self.throat_tree.query(box, predicate="intersects")]
        cut, end = (float(inside["width_m"][inside["kind"].isin(of)].sum()) for of in (CUTS, ENDS))
        return distance, cut, end


def _mean(values: np.ndarray, weights: np.ndarray) -> float:
    known = np.isfinite(values)
    total = float(weights[known].sum())
    return float((values[known] * weights[known]).sum()) / total if total else math.nan
