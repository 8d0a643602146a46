"""Command `mosaic`: one virtual raster (VRT) over the rasters of all scenes.

rasterio can't build a VRT, and its text is small: it is written here, with relative
paths, the colour table and the nodata value, and with the same bytes every time.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import math
import os
import re
import shutil
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

import pyproj
import rasterio
from affine import Affine
from rasterio.crs import CRS
from rasterio.enums import ColorInterp

from roadmask.errors import InputError
from roadmask.files import replacing, write_json, write_text
from roadmask.grid import PIXEL_TOLERANCE, Grid
from roadmask.raster import environment
from roadmask.style import category_names

log = logging.getLogger(__name__)

GDAL_TYPES = {
    "uint8": "Byte",
    "int8": "Int8",
    "uint16": "UInt16",
    "int16": "Int16",
    "uint32": "UInt32",
    "int32": "Int32",
    "float32": "Float32",
    "float64": "Float64",
}
COLOUR_NAMES = {
    ColorInterp.gray: "Gray",
    ColorInterp.palette: "Palette",
    ColorInterp.red: "Red",
    ColorInterp.green: "Green",
    ColorInterp.blue: "Blue",
    ColorInterp.alpha: "Alpha",
}
# Percent: how surely PROJ must know a CRS by its numbers, which are then compared.
LIKE_EPSG = 20
# Pixel sizes that agree to this many digits are the same.
PIXEL_DIGITS = 9


@dataclass(frozen=True)
class Source:
    """One raster of a mosaic.

    Attributes
    ----------
    path
        Its file.
    grid
        Its pixels.
    dtype, nodata
        Of all its bands.
    colours, descriptions
        By band.
    colormap
        Value to red, green, blue, alpha, where band 1 has one.
    block
        Height and width of its blocks.
    classes
        The names of the values from 0 on, where it is a raster of classes.
    """

    path: Path
    grid: Grid
    dtype: str
    nodata: float | None
    colours: tuple[ColorInterp, ...]
    descriptions: tuple[str | None, ...]
    colormap: tuple[tuple[int, ...], ...] | None
    block: tuple[int, int]
    classes: tuple[str, ...]

    @property
    def pixel(self) -> tuple[float, float]:
        """Width and height of a pixel in CRS units."""
        return _rounded(self.grid.transform.a), _rounded(-self.grid.transform.e)

    @property
    def layout(self) -> tuple[object, ...]:
        """What all rasters of one mosaic share."""
        return self.dtype, str(self.nodata), self.colours, self.colormap, self.classes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``python -m roadmask mosaic``."""
    parser.add_argument("rasters", type=Path, nargs="+", help="of all scenes")
    parser.add_argument(
        "--output",
        type=Path,
        required=True,
        help="the VRT; mosaics/NAME.json beside it lists what was written",
    )
    parser.add_argument(
        "--apart",
        action="store_true",
        help="give rasters that differ in type, bands, nodata or colours VRTs of their own",
    )


def run(arguments: argparse.Namespace) -> None:
    """Write the mosaics of some rasters."""
    with environment():
        write_mosaics(arguments.rasters, arguments.output, apart=arguments.apart)


def write_mosaics(rasters: Sequence[Path], output: Path, *, apart: bool = False) -> list[Path]:
    """Write one VRT for each CRS and pixel size, and a list of them.

    Parameters
    ----------
    rasters
        Files on disk. Rasters without a CRS lie nowhere and are left out.
    output
        The VRT where one is enough. Where CRS or pixel size differ, each VRT has both in
        its name (``masks_epsg2263_0.5.vrt``) and there is none of this name. What an
        earlier run wrote under such names and is no longer true is removed.
    apart
        Whether rasters may differ in type, bands, nodata or colours. Then those that do get
        VRTs of their own, with type and bands in their names too (``…_0.5-uint8x4.vrt``).

    Returns
    -------
    list of pathlib.Path
        The VRTs, as also listed in ``mosaics/{stem}.json`` beside `output`. A QGIS style
        beside the first raster is copied to each.

    Raises
    ------
    InputError
        If rasters of one CRS and pixel size differ in type, bands, nodata or colours, and
        are not to be kept apart.
    """
    sources = [read_source(path) for path in sorted(rasters)]
    groups: dict[tuple[str, float, float, str], list[Source]] = defaultdict(list)
    kinds = _kinds(sources) if apart else dict.fromkeys(sources, "")
    for source in sources:
        if source.grid.crs is not None:
            groups[crs_label(source.grid.crs), *source.pixel, kinds[source]].append(source)
    listed = []
    for label, group in sorted(groups.items()):
        path = output if len(groups) == 1 else _named(output, label)
        write_text(path, vrt_text(group, path.parent))
        style = group[0].path.with_suffix(".qml")
        has_style = style.exists()
        if has_style:
            with replacing(path.with_suffix(".qml")) as copy:
                shutil.copyfile(style, copy)
        listed.append(
            {
                "vrt": path.name,
                "style": path.with_suffix(".qml").name if has_style else None,
                "crs": label[0],
                "pixel": [label[1], label[2]],
                "rasters": [source.path.name for source in group],
            }
        )
    written = [output.with_name(str(entry["vrt"])) for entry in listed]
    _remove_stale(output, written)
    nowhere = [source.path.name for source in sources if source.grid.crs is None]
    write_json(
        output.parent / "mosaics" / f"{output.stem}.json",
        {"mosaics": listed, "without_crs": nowhere},
    )
    log.info(
        "%s", ", ".join(path.name for path in written) or f"{output.stem}: no raster has a CRS"
    )
    return written


def read_source(path: Path) -> Source:
    """Read what a mosaic needs to know of a raster."""
    with rasterio.open(path) as dataset:
        palette = dataset.colorinterp[0] == ColorInterp.palette
        return Source(
            path=path,
            grid=Grid.from_dataset(dataset),
            dtype=dataset.dtypes[0],
            nodata=dataset.nodata,
            colours=tuple(dataset.colorinterp),
            descriptions=tuple(dataset.descriptions),
            colormap=tuple(colour for _, colour in sorted(dataset.colormap(1).items()))
            if palette
            else None,
            block=dataset.block_shapes[0],
            classes=tuple(json.loads(dataset.tags().get("ROADMASK_CLASSES", "[]"))),
        )


def crs_label(crs: CRS) -> str:
    """Return a short name of a CRS that can be part of a file's name.

    One CRS can be written in several ways (ESRI:102718 is EPSG:2263) and has one name.
    """
    epsg = crs.to_epsg()
    if epsg is None:
        epsg = pyproj.CRS.from_wkt(crs.to_wkt()).to_epsg(min_confidence=LIKE_EPSG)
        if epsg is not None and CRS.from_epsg(epsg) != crs:
            epsg = None
    if epsg is not None:
        return f"epsg{epsg}"
    return f"crs{hashlib.sha256(crs.to_wkt().encode()).hexdigest()[:8]}"


def _rounded(value: float) -> float:
    return float(f"{value:.{PIXEL_DIGITS}g}")


def _kinds(sources: Sequence[Source]) -> dict[Source, str]:
    """Return a short name of each raster's layout; empty where all have one."""
    layouts = list(dict.fromkeys(source.layout for source in sources))
    plain = {source.layout: f"{source.dtype}x{len(source.colours)}" for source in sources}
    if len(layouts) == 1:
        return dict.fromkeys(sources, "")
    names = {}
    for layout in layouts:
        # Nodata and colours are no part of a name: what differs in these alone is numbered.
        alike = [other for other in layouts if plain[other] == plain[layout]]
        number = alike.index(layout) + 1
        names[layout] = plain[layout] if number == 1 else f"{plain[layout]}-{number}"
    return {source: names[source.layout] for source in sources}


def _named(output: Path, label: tuple[str, float, float, str]) -> Path:
    crs, width, height, kind = label
    pixel = f"{width:g}" if width == height else f"{width:g}x{height:g}"
    parts = f"{pixel}-{kind}" if kind else pixel
    return output.with_name(f"{output.stem}_{crs}_{parts}{output.suffix}")


def _remove_stale(output: Path, written: Sequence[Path]) -> None:
    pattern = re.compile(rf"{re.escape(output.stem)}(_(epsg\d+|crs[0-9a-f]{{8}})_[^_]+)?")
    kept = {path.stem for path in written}
    for suffix in (output.suffix, ".qml"):
        for path in output.parent.glob(f"{output.stem}*{suffix}"):
            if pattern.fullmatch(path.stem) and path.stem not in kept:
                path.unlink()


def vrt_text(sources: Sequence[Source], folder: Path) -> str:
    """Return the text of a VRT over rasters of one CRS and pixel size.

    Parameters
    ----------
    sources
        Where they overlap, later ones lie on top; their nodata pixels hide nothing. Where
        they have neither nodata nor alpha, the VRT gets a mask: ground that no sheet covers
        is not black.
    folder
        Where the VRT will stand; its paths are relative to it.

    Raises
    ------
    InputError
        If the rasters differ in type, bands, nodata or colours.
    """
    first = sources[0]
    for source in sources[1:]:
        if source.layout != first.layout:
            raise InputError(
                source.path,
                f"it differs from {first.path} in type, bands, nodata or colours, so one layer "
                "can't hold both",
                "Make both anew with the same settings",
            )
    pixel_x, pixel_y = first.grid.transform.a, first.grid.transform.e
    bounds = [source.grid.bounds for source in sources]
    left, top = min(box.left for box in bounds), max(box.top for box in bounds)
    transform = Affine(pixel_x, 0, left, 0, pixel_y, top)
    places = [_place(transform, source.grid) for source in sources]
    ends = [
        (x + source.grid.width, y + source.grid.height)
        for (x, y), source in zip(places, sources, strict=True)
    ]
    width, height = (math.ceil(max(side)) for side in zip(*ends, strict=True))
    crs = first.grid.crs
    lines = [
        f'<VRTDataset rasterXSize="{width}" rasterYSize="{height}">',
        f"  <SRS>{escape(crs.to_wkt() if crs else '')}</SRS>",
        f"  <GeoTransform>{', '.join(repr(float(n)) for n in transform.to_gdal())}</GeoTransform>",
    ]
    for band in range(1, len(first.colours) + 1):
        lines += _band_lines(band, sources, places, folder)
    if first.nodata is None and ColorInterp.alpha not in first.colours:
        lines += ["  <MaskBand>", '    <VRTRasterBand dataType="Byte">']
        lines += _source_lines("mask,1", "SimpleSource", "Byte", sources, places, folder)
        lines += ["    </VRTRasterBand>", "  </MaskBand>"]
    return "\n".join([*lines, "</VRTDataset>", ""])


def _place(transform: Affine, grid: Grid) -> tuple[float, float]:
    """Return the column and row of a raster's upper left corner, whole where it nearly is."""
    column, row = ~transform @ (grid.transform.c, grid.transform.f)
    return _whole(column), _whole(row)


def _whole(value: float) -> float:
    return round(value) if abs(value - round(value)) < PIXEL_TOLERANCE else value


def _band_lines(
    band: int,
    sources: Sequence[Source],
    places: Sequence[tuple[float, float]],
    folder: Path,
) -> list[str]:
    first = sources[0]
    gdal_type = GDAL_TYPES[first.dtype]
    lines = [f'  <VRTRasterBand dataType="{gdal_type}" band="{band}">']
    description = first.descriptions[band - 1]
    if description:
        lines.append(f"    <Description>{escape(description)}</Description>")
    if first.nodata is not None:
        lines.append(f"    <NoDataValue>{first.nodata:.17g}</NoDataValue>")
    colour = COLOUR_NAMES.get(first.colours[band - 1])
    if colour:
        lines.append(f"    <ColorInterp>{colour}</ColorInterp>")
    if first.colormap is not None and band == 1:
        lines.append("    <ColorTable>")
        lines += [
            '      <Entry c1="{}" c2="{}" c3="{}" c4="{}"/>'.format(*entry)
            for entry in first.colormap
        ]
        lines.append("    </ColorTable>")
    if first.classes and band == 1:
        lines += [f"    {line}" for line in category_names(first.classes[1:])]
    kind = "SimpleSource" if first.nodata is None else "ComplexSource"
    lines += _source_lines(str(band), kind, gdal_type, sources, places, folder)
    lines.append("  </VRTRasterBand>")
    return lines


def _source_lines(
    band: str,
    kind: str,
    gdal_type: str,
    sources: Sequence[Source],
    places: Sequence[tuple[float, float]],
    folder: Path,
) -> list[str]:
    """Return what a band of a VRT takes its pixels from: a band of each source, or its mask."""
    lines = []
    for source, (x, y) in zip(sources, places, strict=True):
        width, height = source.grid.width, source.grid.height
        relative = Path(os.path.relpath(source.path, folder)).as_posix()
        lines += [
            f"    <{kind}>",
            f'      <SourceFilename relativeToVRT="1">{escape(relative)}</SourceFilename>',
            f"      <SourceBand>{band}</SourceBand>",
            f'      <SourceProperties RasterXSize="{width}" RasterYSize="{height}" '
            f'DataType="{gdal_type}" BlockXSize="{source.block[1]}" '
            f'BlockYSize="{source.block[0]}"/>',
            f'      <SrcRect xOff="0" yOff="0" xSize="{width}" ySize="{height}"/>',
            f'      <DstRect xOff="{x!r}" yOff="{y!r}" xSize="{width}" ySize="{height}"/>',
        ]
        if kind == "ComplexSource":
            lines.append(f"      <NODATA>{source.nodata:.17g}</NODATA>")
        lines.append(f"    </{kind}>")
    return lines
