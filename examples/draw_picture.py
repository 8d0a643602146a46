"""Draw a stand-in for aerial imagery over street maps that have none.

The picture only lets the chain run on real lines: asphalt within reach of the centerlines,
roofs and gardens elsewhere. It proves nothing about networks.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2
import geopandas as gpd
import numpy as np
import rasterio
from affine import Affine
from rasterio.features import rasterize

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "workflow"))

from roadmask.files import replacing

ASPHALT = (92, 94, 98, 70)
GROUNDS = np.array(
    [
        (178, 170, 160, 150),
        (120, 112, 106, 110),
        (205, 203, 198, 190),
        (88, 112, 70, 170),
        (140, 98, 84, 120),
    ],
    np.float32,
)
PATCH = 48


def draw(roads: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Paint a picture from a road mask.

    Parameters
    ----------
    roads
        ``(h, w)`` uint8, 1 on road.
    generator
        Where chance comes from.

    Returns
    -------
    numpy.ndarray
        ``(4, h, w)`` uint8: red, green, blue, near infrared.
    """
    height, width = roads.shape
    patches = generator.integers(0, len(GROUNDS), (height // PATCH + 1, width // PATCH + 1))
    kind = np.repeat(np.repeat(patches, PATCH, 0), PATCH, 1)[:height, :width]
    coarse = generator.normal(0, 1, (height // 8 + 1, width // 8 + 1)).astype(np.float32)
    cloud = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    bands = []
    for band in range(4):
        ground = GROUNDS[:, band][kind] + 9 * cloud
        value = np.where(roads > 0, ASPHALT[band] + 4 * cloud, ground)
        noise = generator.normal(0, 5, roads.shape)
        bands.append(np.clip(cv2.GaussianBlur(value, (0, 0), 0.7) + noise, 0, 255))
    return np.stack(bands).astype(np.uint8)


def main() -> None:
    """Draw the picture that the arguments ask for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("centerlines", type=Path, help="a layer of lines in a projected CRS")
    parser.add_argument("output", type=Path, help="the picture: .jp2 or .tif")
    parser.add_argument("--bounds", type=float, nargs=4, help="left bottom right top; default: all")
    parser.add_argument("--margin", type=float, default=0, help="in CRS units, around all")
    parser.add_argument("--pixel", type=float, default=0.5, help="in CRS units")
    parser.add_argument("--width", type=float, required=True, help="of the asphalt, in CRS units")
    arguments = parser.parse_args()
    lines = gpd.read_file(arguments.centerlines)
    left, bottom, right, top = arguments.bounds or (
        lines.total_bounds + arguments.margin * np.array([-1, -1, 1, 1])
    )
    pixel = arguments.pixel
    left, top = np.floor(left / pixel) * pixel, np.ceil(top / pixel) * pixel
    shape = int(np.ceil((top - bottom) / pixel)), int(np.ceil((right - left) / pixel))
    transform = Affine(pixel, 0, left, 0, -pixel, top)
    roads = rasterize(lines.buffer(arguments.width / 2), shape, transform=transform, dtype="uint8")
    picture = draw(roads, np.random.default_rng(1))
    with replacing(arguments.output) as temporary:
        driver = {".jp2": "JP2OpenJPEG", ".tif": "GTiff"}[arguments.output.suffix]
        options = {"QUALITY": "30", "REVERSIBLE": "NO"} if driver == "JP2OpenJPEG" else {}
        with rasterio.open(
            temporary,
            "w",
            driver=driver,
            width=shape[1],
            height=shape[0],
            count=4,
            dtype="uint8",
            crs=lines.crs,
            transform=transform,
            **options,
        ) as dataset:
            dataset.write(picture)
    print(f"{arguments.output}: {shape[1]} x {shape[0]} pixels")


if __name__ == "__main__":
    main()
