"""The split as a GeoPackage: layer `blocks` and layer `tiles`, with a style for QGIS.

Layer ``blocks``: ``split``; ``crs`` whose lattice it is of; ``row`` and ``col`` in it;
``left``, ``bottom``, ``right``, ``top`` in that CRS. It holds every block that touches a
scene. Layer ``tiles``: ``scene``, ``tile``, ``split`` (empty where left out), ``reason``.
Both are in the CRS of the first scene by name; blocks and tiles of other CRSs are brought
into it, but a block's four numbers stay exact.

In pixel mode there is no CRS; a block is a picture, named by ``scene``, and all lie over
one another at the origin.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import geopandas as gpd
import pandas as pd
import pyogrio
import shapely
from rasterio.crs import CRS

from roadmask.dataset.lattice import PIXEL_KEY, Ground, Lattice, reprojected
from roadmask.dataset.split import SPLITS, Candidate, Plan
from roadmask.errors import InputError
from roadmask.files import replacing
from roadmask.grid import Grid

COLOURS = {"train": "60,130,220", "val": "240,200,40", "test": "220,50,50", "": "130,130,130"}


def write_split(
    path: Path,
    plan: Plan,
    candidates: Sequence[Candidate],
    lattices: Mapping[str, Lattice],
    pictures: Mapping[str, Ground],
    first_key: str,
) -> None:
    """Write the GeoPackage.

    Parameters
    ----------
    path
        The file.
    plan
        The split.
    candidates
        All tiles, in the order of the layer.
    lattices
        By CRS, its lattice; empty in pixel mode.
    pictures
        By scene, its ground; used in pixel mode.
    first_key
        The CRS of both layers, as by `crs_key`.
    """
    blocks = _pictures(plan, pictures) if plan.pictures else _blocks(plan, lattices, first_key)
    tiles = pd.DataFrame(
        {
            "scene": [candidate.scene for candidate in candidates],
            "tile": [candidate.tile for candidate in candidates],
            "split": [plan.tiles[candidate.tile].split for candidate in candidates],
            "reason": [plan.tiles[candidate.tile].reason for candidate in candidates],
        }
    )
    outlines = [
        reprojected(candidate.ground.outline, candidate.key, first_key) for candidate in candidates
    ]
    crs = None if first_key == PIXEL_KEY else first_key
    layers = {
        "blocks": blocks.set_crs(crs) if crs else blocks,
        "tiles": gpd.GeoDataFrame(tiles, geometry=outlines, crs=crs),
    }
    with replacing(path) as temporary, warnings.catch_warnings():
        # In pixel mode there is none to give.
        warnings.filterwarnings("ignore", message="'crs' was not provided")
        for name, layer in layers.items():
            pyogrio.write_dataframe(
                layer,
                temporary,
                layer=name,
                driver="GPKG",
                geometry_type="Polygon",
                append=name != "blocks",
            )
        pyogrio.write_dataframe(_styles(), temporary, layer="layer_styles", append=True)


def _blocks(plan: Plan, lattices: Mapping[str, Lattice], first_key: str) -> gpd.GeoDataFrame:
    rows: list[dict[str, Any]] = []
    for key, blocks in plan.blocks.items():
        lattice = lattices[key]
        for block, split in blocks.items():
            left, bottom, right, top = lattice.bounds(block)
            rows.append(
                {"split": split, "crs": key, "row": block.row, "col": block.column}
                | {"left": left, "bottom": bottom, "right": right, "top": top}
                | {"geometry": reprojected(lattice.polygon(block), key, first_key)}
            )
    return gpd.GeoDataFrame(rows, geometry="geometry")


def _pictures(plan: Plan, pictures: Mapping[str, Ground]) -> gpd.GeoDataFrame:
    rows = [
        {"split": split, "scene": scene, "geometry": pictures[scene].outline}
        for scene, split in sorted(plan.pictures.items())
    ]
    return gpd.GeoDataFrame(rows, geometry="geometry")


@dataclass(frozen=True)
class BlockGround:
    """A block as far as a scene goes.

    Attributes
    ----------
    name
        The same for one block on all scenes that it touches.
    split
        ``train``, ``val`` or ``test``.
    polygon
        In the scene's CRS, unclipped, exact.
    """

    name: str
    split: str
    polygon: shapely.Polygon


class SplitFile:
    """The blocks of ``dataset/split.gpkg``, read once for all scenes.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    InputError
        If it can't be read.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._table = pyogrio.read_dataframe(path, layer="blocks", read_geometry=False)
        except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError) as error:
            raise InputError(
                path, f"it can't be read ({error})", "Remove it and run again"
            ) from error

    def on(self, scene: str, grid: Grid) -> list[BlockGround]:
        """Return the blocks that touch a scene. No two share area.

        Parameters
        ----------
        scene
            The scene's name, which finds its block in pixel mode.
        grid
            The scene's pixels. They are of a block when their centre lies inside.
        """
        table, ground = self._table, Ground.of(grid)
        if "scene" in table.columns:
            held = table[table["scene"] == scene]
            return [BlockGround(scene, str(split), ground.outline) for split in held["split"]]
        left, bottom, right, top = ground.inner.bounds
        held = table[
            table["crs"].isin(self._keys_of(grid.crs))
            & (table["left"] < right)
            & (table["right"] > left)
            & (table["bottom"] < top)
            & (table["top"] > bottom)
        ]
        blocks = [
            BlockGround(f"{key} {corners[0]!r} {corners[1]!r}", str(split), shapely.box(*corners))
            for key, split, *corners in held[
                ["crs", "split", "left", "bottom", "right", "top"]
            ].itertuples(index=False)
        ]
        # A turned scene has bounds wider than itself.
        return [block for block in blocks if block.polygon.intersects(ground.inner)]

    def _keys_of(self, crs: CRS | None) -> list[str]:
        return [key for key in self._table["crs"].unique() if CRS.from_string(key) == crs]


def blocks_on(path: Path, scene: str, grid: Grid, split: str) -> list[shapely.Polygon]:
    """Return the ground of one split as far as it touches a scene; see `SplitFile.on`."""
    return [block.polygon for block in SplitFile(path).on(scene, grid) if block.split == split]


def _styles() -> pd.DataFrame:
    """Return QGIS's own table of styles, by which it draws the layers at once."""
    return pd.DataFrame(
        [
            {
                "f_table_catalog": "",
                "f_table_schema": "",
                "f_table_name": name,
                "f_geometry_column": "geom",
                "styleName": name,
                "styleQML": _qml(filled),
                "styleSLD": "",
                "useAsDefault": True,
                "description": "by split",
                "owner": "",
                "ui": "",
                "update_time": "2000-01-01T00:00:00.000Z",
            }
            for name, filled in (("blocks", True), ("tiles", False))
        ]
    )


def _qml(filled: bool) -> str:
    """Return a QGIS style that colours polygons by their split."""
    categories, symbols = [], []
    for index, split in enumerate((*SPLITS, "")):
        label = split or "left out"
        categories.append(
            f'<category symbol="{index}" value={quoteattr(split)} label={quoteattr(label)} '
            'render="true"/>'
        )
        options = {
            "color": f"{COLOURS[split]},70",
            "outline_color": f"{COLOURS[split]},255",
            "outline_width": "0.6" if filled else "0.2",
            "outline_style": "solid",
            "style": "solid" if filled else "no",
        }
        properties = "".join(
            f'<Option type="QString" name="{name}" value="{value}"/>'
            for name, value in options.items()
        )
        symbols.append(
            f'<symbol type="fill" name="{index}" alpha="1"><layer class="SimpleFill" enabled="1" '
            f'locked="0" pass="0"><Option type="Map">{properties}</Option></layer></symbol>'
        )
    return (
        '<!DOCTYPE qgis PUBLIC "http://mrcc.com/qgis.dtd" "SYSTEM">\n<qgis version="3.22">'
        '<renderer-v2 type="categorizedSymbol" attr="split">'
        f"<categories>{''.join(categories)}</categories><symbols>{''.join(symbols)}</symbols>"
        "</renderer-v2></qgis>\n"
    )
