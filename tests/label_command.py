"""The command `masks` as the rules call it, on scenes that tests make."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import rasterio

from roadmask.grid import Grid
from roadmask.masks import add_arguments, run


def write_raster(path: Path, bands: np.ndarray, grid: Grid, **options: object) -> Path:
    """Write ``(bands, height, width)`` or ``(height, width)`` as PNG, JPEG or GeoTIFF."""
    bands = np.asarray(bands)
    bands = bands[np.newaxis] if bands.ndim == 2 else bands
    driver = {".png": "PNG", ".jpg": "JPEG"}.get(path.suffix, "GTiff")
    colormap = options.pop("colormap", None)
    place = {} if grid.crs is None else {"crs": grid.crs, "transform": grid.transform}
    with rasterio.open(
        path,
        "w",
        driver=driver,
        width=bands.shape[2],
        height=bands.shape[1],
        count=len(bands),
        dtype=bands.dtype,
        **(place | options),
    ) as dataset:
        if colormap:
            dataset.write_colormap(1, colormap)
        dataset.write(bands)
    return path


def make_masks(
    folder: Path, grid: Grid, *arguments: str, classes: object = None, scene: str = "a"
) -> np.ndarray:
    """Label a scene of this grid and return its mask; its files lie in `folder`."""
    picture = np.random.default_rng(1).integers(1, 255, (3, *grid.shape), dtype=np.uint8)
    source = write_raster(folder / f"{scene}.tif", picture, grid)
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    output = folder / "masks" / f"{scene}.tif"
    chosen = json.dumps({"road": 1} if classes is None else classes)
    run(
        parser.parse_args(
            [str(source), f"--output={output}", f"--classes={chosen}", *map(str, arguments)]
        )
    )
    with rasterio.open(output) as dataset:
        assert Grid.from_dataset(dataset) == grid
        return dataset.read(1)


def counts(folder: Path, scene: str = "a") -> dict[str, object]:
    """Return what the command says of the mask it made."""
    return json.loads((folder / "masks" / f"{scene}.json").read_text())
