"""Draw ``docs/demo.jpg``: picture, mask and prediction of one place of the demo city.

Usage, after ``make run``: ``PYTHONPATH=workflow .venv/bin/python docs/draw_demo.py [RESULTS]``
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import rasterio
import shapely
from PIL import Image
from rasterio.windows import Window

from roadmask.dataset.split_file import blocks_on
from roadmask.grid import Grid
from roadmask.report.pictures import Bands, class_picture, read_classes, read_part, shrunk
from roadmask.style import class_colours

REPOSITORY = Path(__file__).resolve().parent.parent
SCENE, WINDOW = "demo_3", Window(1024, 512, 1024, 1024)
# What the README says of the picture: here training never was.
TEST_QUARTER = (1536, 1024, 512, 512)
SIDE, GAP = 400, 8


def main() -> None:
    """Write the picture."""
    results = Path(sys.argv[1]) if len(sys.argv) > 1 else REPOSITORY / "results"
    check_split(results)
    picture = read_part(results / "scenes" / f"{SCENE}.tif", Bands((1, 2, 3), None), WINDOW)
    panels = [picture]
    for stage in ("masks", "predictions"):
        classes = read_classes(results / stage / f"{SCENE}.tif", WINDOW)
        panels.append(class_picture(classes, picture, class_colours(1)))
    gap = np.full((SIDE, GAP, 3), 255, np.uint8)
    first, *others = [shrunk(panel, SIDE, smooth=True) for panel in panels]
    row = np.hstack([first, *(part for panel in others for part in (gap, panel))])
    Image.fromarray(row).save(REPOSITORY / "docs" / "demo.jpg", quality=85, optimize=True)


def check_split(results: Path) -> None:
    """Refuse to draw a picture of which the README's words are not true."""
    with rasterio.open(results / "scenes" / f"{SCENE}.tif") as dataset:
        grid = Grid.from_dataset(dataset)
    test = shapely.union_all(blocks_on(results / "dataset" / "split.gpkg", SCENE, grid, "test"))
    if not test.covers(shapely.box(*grid.window(*TEST_QUARTER).bounds)):
        sys.exit(f"pixels {TEST_QUARTER} of {SCENE} are no test ground: choose another place")


if __name__ == "__main__":
    main()
