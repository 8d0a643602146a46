"""How long the evaluation of one 5000 x 5000 sheet takes.

The sheet is made up: streets every 250 pixels, a prediction with a frayed outline and false
spots, probabilities, a reference, blocks of 256 ft dealt out as 70, 15 and 15 %, so that all
windows hold some test ground. A second time all ground is test ground, the worst case.

    python benchmarks/evaluate_sheet.py
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

import cv2
import geopandas
import numpy as np
import numpy.typing as npt
import pyogrio
from affine import Affine
from rasterio.crs import CRS
from shapely import box

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow"))

from roadmask.__main__ import main as roadmask
from roadmask.dataset.lattice import crs_key
from roadmask.grid import Grid
from roadmask.raster import write_cog

SIDE, STREET, WIDTH, BLOCK = 5000, 250, 60, 256.0
CORNER = (1_000_000.0, 200_000.0)
TAGS = {
    "ROADMASK_SETTINGS": json.dumps({"prediction.threshold": 0.5}),
    "ROADMASK_MODEL_SHA256": "0" * 64,
}


def make_sheet(folder: Path) -> None:
    random = np.random.default_rng(1)
    crs = CRS.from_epsg(2263)
    grid = Grid(SIDE, SIDE, Affine(0.5, 0, CORNER[0], 0, -0.5, CORNER[1] + SIDE / 2), crs)
    along = np.arange(SIDE) % STREET < WIDTH
    mask = (along[:, np.newaxis] | along).astype(np.uint8)
    noise = cv2.GaussianBlur(random.normal(0, 1, (SIDE, SIDE)).astype(np.float32), (0, 0), 8)
    soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 4) + 6 * noise
    probability = np.clip(np.round(254 * soft), 0, 254).astype(np.uint8)
    predicted = (probability >= 127).astype(np.uint8)
    write_cog(folder / "masks" / "sheet.tif", grid, mask, nodata=255)
    write_cog(folder / "predictions" / "sheet.tif", grid, predicted, nodata=255, tags=TAGS)
    write_cog(folder / "probability" / "sheet.tif", grid, probability, nodata=255)
    left, bottom, right, top = grid.bounds
    streets = [
        shape
        for start in np.arange(0, SIDE / 2, STREET / 2)
        for shape in (
            box(left + start, bottom, left + start + WIDTH / 2, top),
            box(left, top - start - WIDTH / 2, right, top - start),
        )
    ]
    frame = geopandas.GeoDataFrame(geometry=streets, crs=2263)
    pyogrio.write_dataframe(frame, folder / "truth.gpkg", layer="roads")
    content = {"classes": ["other", "road"], "tile_size": 256, "tile_overlap": 0}
    (folder / "dataset.json").write_text(json.dumps(content))


def write_split(path: Path, shares: tuple[float, float, float]) -> None:
    random = np.random.default_rng(2)
    first = [np.floor(corner / BLOCK) * BLOCK for corner in CORNER]
    corners: npt.NDArray[np.float64] = np.array(
        [
            (first[0] + column * BLOCK, first[1] + row * BLOCK)
            for row in range(int(SIDE / 2 / BLOCK) + 2)
            for column in range(int(SIDE / 2 / BLOCK) + 2)
        ]
    )
    frame = geopandas.GeoDataFrame(
        {
            "split": random.choice(["train", "val", "test"], len(corners), p=shares),
            "crs": crs_key(CRS.from_epsg(2263)),
            "left": corners[:, 0],
            "bottom": corners[:, 1],
            "right": corners[:, 0] + BLOCK,
            "top": corners[:, 1] + BLOCK,
        },
        geometry=[box(x, y, x + BLOCK, y + BLOCK) for x, y in corners],
        crs=2263,
    )
    pyogrio.write_dataframe(frame, path, layer="blocks")


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_sheet(folder)
        for shares in ((0.7, 0.15, 0.15), (0.0, 0.0, 1.0)):
            write_split(folder / "split.gpkg", shares)
            started = time.perf_counter(), time.process_time()
            code = roadmask(
                [
                    "evaluation",
                    *("--predictions", str(folder / "predictions" / "sheet.tif")),
                    *("--probabilities", str(folder / "probability" / "sheet.tif")),
                    *("--masks", str(folder / "masks" / "sheet.tif")),
                    *("--dataset", str(folder / "dataset.json")),
                    *("--split", str(folder / "split.gpkg")),
                    *("--reference.path", str(folder / "truth.gpkg")),
                    *("--evaluation.tolerance", "5 ft"),
                    *("--output", str(folder / "evaluation" / "metrics.json")),
                ]
            )
            if code:
                sys.exit(code)
            clock, processor = time.perf_counter() - started[0], time.process_time() - started[1]
            print(
                f"{SIDE} x {SIDE} pixels, {shares[2]:.0%} test ground: "
                f"{clock:.1f} s, of which {processor:.1f} s on the processor"
            )


if __name__ == "__main__":
    main()
