"""How long the fill takes, against SciPy's labelling of the same raster in the same run.

On 5000 x 5000 pixels of the real lines of Manhattan:

    python benchmarks/region_fill.py ../shared/data/nyc_manhattan

The plain rule, which that labelling stands for, floods more than half of this ground.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from pathlib import Path

import cv2
import geopandas
from affine import Affine
from rasterio.crs import CRS
from scipy import ndimage

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow"))

from roadmask.burn import burn_lines
from roadmask.distance import parse_distance
from roadmask.grid import Grid
from roadmask.masks.regions import label_regions


def main() -> None:
    """Print both times, their ratio and the peak of memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    cv2.setNumThreads(1)
    grid = Grid(5000, 5000, Affine(0.5, 0, 302000, 0, -0.5, 55500), CRS.from_epsg(32118))
    lines = geopandas.read_file(folder / "street_lines.shp").geometry.to_numpy()
    axes = geopandas.read_file(folder / "centerlines.shp").geometry.to_numpy()
    barrier = burn_lines(lines, grid)
    # Processor time: it is one core's, and no neighbour on the machine slows it.
    start = time.process_time()
    _, regions = ndimage.label(barrier == 0)
    plain = time.process_time() - start
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    start = time.process_time()
    result = label_regions(grid, barrier, lines, axes, parse_distance("150 ft").metres)
    ours = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"scipy.ndimage.label {plain:.2f} s ({regions} regions), label_regions {ours:.2f} s")
    print(f"ratio {ours / plain:.1f}, peak of the process {peak:.2f} GiB ({before:.2f} before)")
    print(result.counts)
    print(f"road {(result.labels == 1).mean():.4f}, not known {(result.labels == 255).mean():.4f}")


if __name__ == "__main__":
    main()
