"""Labels that a new flight is compared with: the map may end on a picture or before it."""

from __future__ import annotations

import json

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
import rasterio
from affine import Affine
from shapely import LineString, box

from roadmask.__main__ import main
from roadmask.grid import Grid
from roadmask.lines import MAPPED, read_vectors
from roadmask.vectors_io import VectorSource, mapped_ground

LEFT, TOP = 1_000_000.0, 200_100.0
# The map goes as far as this from the left, in feet, on sheets of 100 ft.
END = 60.0
# Metres per US survey foot.
FOOT = 1200 / 3937


def write_sheet(folder, name, left=LEFT):
    path = folder / f"{name}.tif"
    transform = Affine(0.5, 0, left, 0, -0.5, TOP)
    with rasterio.open(
        path, "w", driver="GTiff", width=200, height=200, count=1, dtype="uint8",
        crs="EPSG:2263", transform=transform,
    ) as dataset:  # fmt: skip
        dataset.write(np.ones((1, 200, 200), np.uint8))
        return Grid.from_dataset(dataset)


@pytest.fixture(params=["EPSG:2263", "EPSG:4326"])
def city(request, tmp_path):
    """A street of 40 ft from far in the west to the map's end, in the sheet's CRS or another."""
    lines = {
        "centers": [LineString([(LEFT - 500, TOP - 50), (LEFT + END, TOP - 50)])],
        # Reaches farther to the east than the centerlines, and over the sheet's height.
        "edges": [
            *(LineString([(LEFT - 500, y), (LEFT + END, y)]) for y in (TOP - 30, TOP - 70)),
            LineString([(LEFT - 400, TOP + 300), (LEFT - 400, TOP - 400)]),
            LineString([(LEFT + END, TOP - 30), (LEFT + END, TOP - 70)]),
        ],
        "beds": [box(LEFT - 500, TOP - 70, LEFT + END, TOP - 30)],
    }
    lines["centers"].append(LineString([(LEFT - 450, TOP + 300), (LEFT - 450, TOP - 400)]))
    lines["beds"].append(box(LEFT - 420, TOP - 400, LEFT - 400, TOP + 300))
    for name, shapes in lines.items():
        frame = gpd.GeoDataFrame(geometry=shapes, crs=2263).to_crs(request.param)
        frame.to_file(tmp_path / f"{name}.gpkg", engine="pyogrio")
    for name, left in (("near", LEFT), ("far", LEFT + 1000)):
        write_sheet(tmp_path, name, left)
    return tmp_path


def draw(folder, name, *options):
    return main([
        "lines", f"{folder / name}.tif", f"--output={folder}/lines/{name}.tif",
        f"--vectors={folder}/lines/{name}.gpkg", "--lines.halo=20 ft",
        f"--street_lines.path={folder}/edges.gpkg", f"--centerlines.path={folder}/centers.gpkg",
        "--centerlines.width=40 ft", *options,
    ])  # fmt: skip


def label(folder, name, method, *options):
    sources = {
        "polygons": [f"--labels.polygons.path={folder}/beds.gpkg"],
        "raster": [f"--labels.raster={folder}/ready.tif", "--labels.raster.resample=nearest"],
    }.get(method)
    if sources is None:
        sources = [f"--{key}={folder}/lines/{name}.{x}" for key, x in LINES_FILES.items()]
    return main([
        "masks", f"{folder / name}.tif", f"--output={folder}/masks/{name}.tif",
        f"--labels.method={method}", '--classes={"road": 1}', *sources, *options,
    ])  # fmt: skip


LINES_FILES = {"lines": "tif", "vectors": "gpkg"}


def mask_of(folder, name):
    with rasterio.open(folder / "masks" / f"{name}.tif") as dataset:
        return dataset.read(1)


def test_the_mapped_ground_ends_where_one_of_the_layers_does(city):
    grid = write_sheet(city, "again")
    sources = [(VectorSource(str(city / f"{x}.gpkg")), x) for x in ("centers", "edges")]
    ground = mapped_ground(sources, grid, grid.crs)
    on_sheet = ground & box(*grid.bounds)
    # The extent of a layer in degrees is a little skew here.
    assert on_sheet.area == pytest.approx(END * 100, rel=0.01)
    assert on_sheet.bounds[2] == pytest.approx(LEFT + END, abs=0.6)
    far = write_sheet(city, "farther", LEFT + 5000)
    assert mapped_ground(sources, far, far.crs).is_empty


@pytest.mark.parametrize("method", ["regions", "buffer", "polygons"])
def test_ground_beyond_the_map_is_not_known_where_a_label_serves_comparison_alone(city, method):
    purpose = "--for-comparison"
    assert draw(city, "near", purpose) == 0
    assert label(city, "near", method, purpose) == 0
    labels = mask_of(city, "near")
    end = round(END / 0.5)
    assert (labels[:, end + 2 :] == 255).all()
    assert (labels[:, : end - 2] != 255).all()
    assert (labels[70:130, : end - 2] == 1).all()
    assert (labels[:50, : end - 2] == 0).all()


def test_a_label_that_is_trained_on_stays_as_it_is(city):
    assert draw(city, "near") == 0
    assert label(city, "near", "buffer") == 0
    assert set(np.unique(mask_of(city, "near"))) == {0, 1}
    layers = {str(name) for name, _ in pyogrio.list_layers(city / "lines" / "near.gpkg")}
    assert layers == {"street_lines", "centerlines"}


@pytest.mark.parametrize("method", ["regions", "buffer", "polygons"])
def test_a_picture_beyond_the_map_is_not_known_and_ends_no_run(city, method):
    assert draw(city, "far") == 1
    purpose = "--for-comparison"
    assert draw(city, "far", purpose) == 0
    assert read_vectors(city / "lines" / "far.gpkg", MAPPED).empty
    assert label(city, "far", method, purpose) == 0
    assert (mask_of(city, "far") == 255).all()
    if method == "polygons":
        assert label(city, "far", method) == 1


def test_a_ready_mask_beyond_the_picture_makes_an_unknown_label(tmp_path):
    for name, left in (("near", LEFT), ("far", LEFT + 1000), ("ready", LEFT + 40)):
        write_sheet(tmp_path, name, left)
    assert label(tmp_path, "far", "raster") == 1
    assert label(tmp_path, "far", "raster", "--for-comparison") == 0
    assert (mask_of(tmp_path, "far") == 255).all()
    assert label(tmp_path, "near", "raster", "--for-comparison", "--labels.threshold=0") == 0
    labels = mask_of(tmp_path, "near")
    assert (labels[:, :78] == 255).all()
    assert (labels[:, 82:] == 1).all()
    counts = json.loads((tmp_path / "masks" / "far.json").read_text())
    assert counts["single_value"] == "not known"
