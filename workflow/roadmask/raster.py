"""Reading windows of rasters, and writing rasters that have the same bytes every time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
from rasterio.enums import ColorInterp
from rasterio.io import DatasetReader, DatasetWriter
from rasterio.windows import Window

from roadmask.files import replacing, scratch_file
from roadmask.grid import Grid

BLOCK = 512
Colour = tuple[int, int, int, int]

# Bounds GDAL's block cache for a process; its default is 5 % of the machine for each job.
CACHE_BYTES = 128 * 2**20


def environment() -> rasterio.Env:
    """Return the GDAL settings under which stages read and write."""
    return rasterio.Env(
        GDAL_CACHEMAX=CACHE_BYTES,
        GDAL_TIFF_INTERNAL_MASK=True,
        GDAL_NUM_THREADS=1,
    )


def tiff_options(dtype: str) -> dict[str, Any]:
    """Return creation options of a tiled, compressed GeoTIFF of `dtype`."""
    predictor = 3 if np.dtype(dtype).kind == "f" else 2
    return {
        "driver": "GTiff",
        "tiled": True,
        "blockxsize": BLOCK,
        "blockysize": BLOCK,
        "compress": "deflate",
        "predictor": predictor,
        "bigtiff": "if_safer",
    }


def read_window(
    dataset: DatasetReader,
    x: int,
    y: int,
    width: int,
    height: int,
    *,
    bands: Sequence[int] | None = None,
    fill: float = 0,
) -> np.ndarray:
    """Read a window that may stick out of the raster.

    Parameters
    ----------
    dataset
        Open raster.
    x, y, width, height
        The window in pixels; `x` and `y` may be negative.
    bands
        1-based band numbers; all by default.
    fill
        The value where the raster has no pixel.

    Returns
    -------
    numpy.ndarray
        ``(bands, height, width)`` of the raster's type.
    """
    indexes = list(bands or dataset.indexes)
    out = np.full((len(indexes), height, width), fill, dtype=dataset.dtypes[indexes[0] - 1])
    left, top = max(x, 0), max(y, 0)
    right, bottom = min(x + width, dataset.width), min(y + height, dataset.height)
    if left < right and top < bottom:
        inside = Window(left, top, right - left, bottom - top)
        out[:, top - y : bottom - y, left - x : right - x] = dataset.read(indexes, window=inside)
    return out


@contextmanager
def cog_writer(
    path: str | Path,
    grid: Grid,
    *,
    count: int = 1,
    dtype: str = "uint8",
    nodata: float | None = None,
    colormap: Mapping[int, Colour] | None = None,
    descriptions: Sequence[str] = (),
    tags: Mapping[str, str] | None = None,
    overview_resampling: str = "nearest",
) -> Iterator[DatasetWriter]:
    """Open a raster to be written window by window; it becomes a COG on success.

    The windows go to a temporary tiled GeoTIFF, which the COG driver then copies, so
    memory is bounded by GDAL's cache whatever the raster's size.

    Parameters
    ----------
    path
        The final file, which appears whole or not at all.
    grid
        Its pixels.
    count, dtype, nodata
        Bands, their type, and the value that means no data.
    colormap
        Value to red, green, blue, alpha, for a single band of uint8.
    descriptions
        Names of the bands.
    tags
        Metadata of the file.
    overview_resampling
        How overviews are made: ``nearest`` or ``mode`` for classes, ``average`` for
        quantities.

    Yields
    ------
    rasterio.io.DatasetWriter
        To be written with ``write(array, window=...)``.
    """
    with environment(), replacing(path) as final, scratch_file(path) as scratch:
        profile = tiff_options(dtype) | {
            "width": grid.width,
            "height": grid.height,
            "count": count,
            "dtype": dtype,
            "crs": grid.crs,
            "transform": grid.transform,
            "nodata": nodata,
        }
        if count in (2, 4):  # GDAL would take the last band for alpha
            profile["alpha"] = "NO"
        with rasterio.open(scratch, "w", **profile) as dataset:
            if colormap is not None:
                dataset.write_colormap(1, dict(colormap))
                dataset.colorinterp = [ColorInterp.palette]
            for band, description in enumerate(descriptions, start=1):
                dataset.set_band_description(band, description)
            dataset.update_tags(**(tags or {}))
            yield dataset
        rasterio.shutil.copy(
            scratch,
            final,
            driver="COG",
            compress="DEFLATE",
            predictor="YES",
            blocksize=BLOCK,
            overview_resampling=overview_resampling,
            bigtiff="IF_SAFER",
            num_threads=1,
        )


def write_cog(
    path: str | Path,
    grid: Grid,
    array: np.ndarray,
    *,
    nodata: float | None = None,
    colormap: Mapping[int, Colour] | None = None,
    descriptions: Sequence[str] = (),
    tags: Mapping[str, str] | None = None,
    overview_resampling: str = "nearest",
) -> None:
    """Write an array of ``(height, width)`` or ``(bands, height, width)`` as a COG.

    The other parameters are those of `cog_writer`.
    """
    bands = array[np.newaxis] if array.ndim == 2 else array
    with cog_writer(
        path,
        grid,
        count=len(bands),
        dtype=str(bands.dtype),
        nodata=nodata,
        colormap=colormap,
        descriptions=descriptions,
        tags=tags,
        overview_resampling=overview_resampling,
    ) as dataset:
        dataset.write(bands)
