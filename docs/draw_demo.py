"""Draw ``docs/demo.jpg``: picture, mask and prediction of one place of the demo city.

Usage, after ``make run``: ``PYTHONPATH=workflow .venv/bin/python docs/draw_demo.py``
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from rasterio.windows import Window

from roadmask.report.pictures import Bands, class_picture, read_classes, read_part, shrunk

REPOSITORY = Path(__file__).resolve().parent.parent
RESULTS = REPOSITORY / "results"
# Its lower right quarter is a test block.
SCENE, WINDOW = "demo_3", Window(1024, 512, 1024, 1024)
SIDE, GAP = 400, 8


def main() -> None:
    """Write the picture."""
    picture = read_part(RESULTS / "scenes" / f"{SCENE}.tif", Bands((1, 2, 3), None), WINDOW)
    panels = [picture]
    for stage in ("masks", "predictions"):
        classes = read_classes(RESULTS / stage / f"{SCENE}.tif", WINDOW)
        panels.append(class_picture(classes, picture))
    gap = np.full((SIDE, GAP, 3), 255, np.uint8)
    first, *others = [shrunk(panel, SIDE, smooth=True) for panel in panels]
    row = np.hstack([first, *(part for panel in others for part in (gap, panel))])
    Image.fromarray(row).save(REPOSITORY / "docs" / "demo.jpg", quality=85, optimize=True)


if __name__ == "__main__":
    main()
