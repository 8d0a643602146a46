"""Whether the doubt finds bad labels, on a city with faults planted in its map."""

from __future__ import annotations

import sys

import pandas as pd
import pytest
import rasterio
from conftest import REPOSITORY

from roadmask.demo import layout
from roadmask.distance import Distance
from roadmask.grid import Grid
from roadmask.quality.evidence import Sheet, correlate_blocks
from roadmask.quality.offset import estimate
from roadmask.raster import write_cog
from roadmask.shift import Shift
from roadmask.tilesets import TileManifest

sys.path.insert(0, str(REPOSITORY / "benchmarks"))
import planted_faults


def test_the_tenth_is_counted_as_the_benchmark_says():
    table = pd.DataFrame(
        {
            "tile": [f"t{number:02d}" for number in range(30)],
            "doubt": [number / 30 for number in range(30)],
            "reference_iou": [0.5, *[0.99] * 26, 0.2, float("nan"), 0.89],
        }
    )
    assert planted_faults.found(table) == (2, 3, 3)


@pytest.mark.slow
def test_the_tenth_that_is_doubted_most_holds_the_bad_labels(tmp_path):
    folder = tmp_path / "city"
    planted_faults.build(folder, 23, 0.1)
    caught = possible = 0
    for plan in ("curbs", "shifted", "roadbeds"):
        out = folder / plan
        planted_faults.label(folder, out, planted_faults.spoil(folder, out, plan, 23))
        found, bad, count = planted_faults.found(planted_faults.measure(folder, out))
        caught, possible = caught + found, possible + min(bad, count)
    assert possible >= 15
    assert caught >= 0.7 * possible


@pytest.mark.slow
@pytest.mark.parametrize("shift", [(15, -9), (-12, 4), (6, 14), (0, 0)])
def test_a_planted_shift_is_found_on_the_demo_city(built_city, tmp_path, shift):
    """Labels moved by whole pixels lie off by just that; their own error is far below 1."""
    for scene in layout.SCENES:
        with rasterio.open(built_city / f"{scene}_label.tif") as dataset:
            label, grid = dataset.read(1), Grid.from_dataset(dataset)
        moved = Shift(Distance(shift[0], "px"), Distance(shift[1], "px")).move_raster(label, grid)
        manifest = TileManifest.read(built_city / "tiles" / f"{scene}.json")
        write_cog(tmp_path / "mask.tif", grid, moved, nodata=255)
        with (
            rasterio.open(built_city / "scenes" / f"{scene}.tif") as picture,
            rasterio.open(tmp_path / "mask.tif") as mask,
        ):
            found = estimate(correlate_blocks(Sheet(manifest, picture, mask, None)).all)
        assert found.is_clear
        assert found.right == pytest.approx(-shift[0], abs=1)
        assert found.up == pytest.approx(-shift[1], abs=1)
        assert found.sigma < 0.5


@pytest.fixture(scope="module")
def built_city(tmp_path_factory):
    folder = tmp_path_factory.mktemp("city")
    planted_faults.build(folder, 23, 0.1)
    for scene in layout.SCENES:
        planted_faults.call(
            *("masks", folder / "scenes" / f"{scene}.tif", "--labels.method=polygons"),
            *("--output", folder / f"{scene}_label.tif", '--classes={"road": 1}'),
            *("--labels.polygons.path", folder / "demo" / "truth.gpkg"),
            "--labels.polygons.layer=roads",
        )
    return folder
