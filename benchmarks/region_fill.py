"""How long the fill takes, against SciPy's labelling of the same raster in the same run.

On 5000 x 5000 pixels of the real lines of Manhattan:

    python benchmarks/region_fill.py ../shared/data/nyc_manhattan

Both run once to warm up, then in turns on one core; the medians are compared. The plain rule,
which that labelling stands for, floods more than half of this ground.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable
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


def seconds(work: Callable[[], object]) -> float:
    """Return the processor's time for some work, which no neighbour on the machine lengthens."""
    start = time.process_time()
    work()
    return time.process_time() - start


def peak() -> float:
    """Return the most memory that this process has held so far, in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> None:
    """Print both times, their ratio and the peak of memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--runs", type=int, default=9)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    grid = Grid(5000, 5000, Affine(0.5, 0, 302000, 0, -0.5, 55500), CRS.from_epsg(32118))
    lines = geopandas.read_file(arguments.folder / "street_lines.shp").geometry.to_numpy()
    axes = geopandas.read_file(arguments.folder / "centerlines.shp").geometry.to_numpy()
    barrier = burn_lines(lines, grid)
    ground = barrier == 0
    widest = parse_distance("150 ft").metres

    before = peak()
    result = label_regions(grid, barrier, lines, axes, widest)
    print(f"peak of the process {peak():.2f} GiB ({before:.2f} before the fill)")
    print(result.counts)
    print(f"road {(result.labels == 1).mean():.4f}, not known {(result.labels == 255).mean():.4f}")
    del result

    ndimage.label(ground)
    plain, ours = [], []
    for _ in range(arguments.runs):
        plain.append(seconds(lambda: ndimage.label(ground)))
        ours.append(seconds(lambda: label_regions(grid, barrier, lines, axes, widest)))
    ratios = [fill / label for fill, label in zip(ours, plain, strict=True)]
    for name, times in (("scipy.ndimage.label", plain), ("label_regions", ours)):
        print(f"{name} {statistics.median(times):.3f} s ({min(times):.3f} to {max(times):.3f})")
    ratio = statistics.median(ours) / statistics.median(plain)
    print(f"ratio of the medians {ratio:.1f} (in turn {min(ratios):.1f} to {max(ratios):.1f})")


if __name__ == "__main__":
    main()
