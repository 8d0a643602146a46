"""The project's rasters: mosaics over all sheets, each with the look that suits it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np
import rasterio
from rasterio.coords import BoundingBox
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.io import DatasetReader

from roadmask.errors import InputError
from roadmask.probability import CERTAIN
from roadmask.project import styles
from roadmask.project.document import Layer, relative

# Pictures other than bytes are stretched between these percentiles of a small copy, in pixels.
PERCENTILES = (2, 98)
SMALL_COPY = 1024
RGB = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)

# From an open mosaic: for each layer that shows it, what is added to the name, and the style.
Looks = Callable[[DatasetReader], Iterable[tuple[str, Element]]]


@dataclass(frozen=True)
class Mosaic:
    """One raster over all sheets of a CRS and pixel size.

    Attributes
    ----------
    path
        The VRT.
    crs, pixel
        As its manifest names them.
    sheets
        How many it joins.
    """

    path: Path
    crs: str
    pixel: tuple[float, float]
    sheets: int


def read_mosaics(manifest: Path) -> list[Mosaic]:
    """Read which mosaics a manifest lists.

    Parameters
    ----------
    manifest
        ``mosaics/{name}.json`` in the results folder.
    """
    try:
        content = json.loads(manifest.read_text(encoding="utf-8"))
        return [
            Mosaic(
                manifest.parent.parent / entry["vrt"],
                entry["crs"],
                (entry["pixel"][0], entry["pixel"][1]),
                len(entry["rasters"]),
            )
            for entry in content["mosaics"]
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            manifest, f"it can't be read ({error!r})", "Remove it and run again"
        ) from error


def raster_layers(
    manifest: Path | None,
    folder: Path,
    name: str,
    looks: Looks,
    *,
    is_shown: bool = False,
) -> list[Layer]:
    """Describe the mosaics of one kind of raster.

    Parameters
    ----------
    manifest
        What lists them; None where the run made none.
    folder
        Where the project will stand.
    name
        Of the layer; where there are several mosaics, CRS and pixel size are added.
    looks
        Gives names and styles of the layers that show a mosaic.
    is_shown
        Whether they are seen when the project opens.
    """
    mosaics = [] if manifest is None else read_mosaics(manifest)
    layers = []
    for mosaic in mosaics:
        with opened(mosaic.path) as dataset:
            for suffix, style in looks(dataset):
                full = f"{name} {suffix}".strip()
                layers.append(
                    Layer(
                        name=full if len(mosaics) == 1 else f"{full} ({_place(mosaic)})",
                        source=relative(mosaic.path, folder),
                        provider="gdal",
                        crs=dataset.crs,
                        bounds=BoundingBox(*dataset.bounds),
                        style=(style,),
                        is_shown=is_shown,
                    )
                )
    return layers


def opened(path: Path) -> DatasetReader:
    """Open a mosaic.

    Raises
    ------
    InputError
        If it can't be read.
    """
    try:
        return rasterio.open(path)
    except rasterio.errors.RasterioIOError as error:
        raise InputError(path, f"it can't be read ({error})", "Remove it and run again") from error


def _place(mosaic: Mosaic) -> str:
    """Return what tells a mosaic from the others, as its file's name has it."""
    return mosaic.path.stem.partition("_")[2].replace("_", " ") or mosaic.crs


def picture_styles(dataset: DatasetReader) -> Iterable[tuple[str, Element]]:
    """Give the look of a picture: its red, green and blue, else its first three bands or one."""
    colours = list(dataset.colorinterp)
    if all(colour in colours for colour in RGB):
        bands = [colours.index(colour) + 1 for colour in RGB]
    else:
        bands = [1, 2, 3] if dataset.count >= len(RGB) else [1]
    alpha: int | None = None
    if ColorInterp.alpha in colours:
        alpha = colours.index(ColorInterp.alpha) + 1
    elif MaskFlags.per_dataset in dataset.mask_flag_enums[0]:
        # QGIS counts the raster's mask as one band more.
        alpha = len(colours) + 1
    limits = None if dataset.dtypes[0] == "uint8" else _limits(dataset, bands)
    yield "", styles.picture(bands, limits, alpha)


def _limits(dataset: DatasetReader, bands: Sequence[int]) -> list[tuple[float, float]]:
    """Return what a picture is stretched between, from a copy small enough for memory."""
    scale = min(1.0, SMALL_COPY / max(dataset.width, dataset.height))
    shape = (max(1, round(dataset.height * scale)), max(1, round(dataset.width * scale)))
    limits = []
    for band in bands:
        values = dataset.read(band, out_shape=shape, masked=True).compressed()
        values = values[np.isfinite(values)]
        low, high = np.percentile(values, PERCENTILES) if values.size else (0.0, 1.0)
        limits.append((float(low), float(high) if high > low else float(low) + 1))
    return limits


def class_styles(dataset: DatasetReader) -> Iterable[tuple[str, Element]]:
    """Give the look of a class raster: that of the style beside it."""
    yield "", styles.classes(Path(dataset.name).with_suffix(".qml"))


def likeness_styles(_dataset: DatasetReader) -> Iterable[tuple[str, Element]]:
    """Give the look of how much like road the ground looks, which no class has a part in."""
    yield "", styles.probability(1, CERTAIN)


def probability_styles(dataset: DatasetReader) -> Iterable[tuple[str, Element]]:
    """Give the looks of probabilities: a layer for each class."""
    for band, name in enumerate(dataset.descriptions, start=1):
        yield f"of {name}" if name else f"{band}", styles.probability(band, CERTAIN)
