"""The three libraries carry a PROJ each; on New York's systems they say the same."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import permutations

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from affine import Affine
from pyproj import Transformer
from rasterio.warp import transform as rasterio_transform
from shapely import LineString, Point

# Over the five boroughs, as longitude and latitude on NAD83.
LONGITUDES, LATITUDES = (
    grid.ravel()
    for grid in np.meshgrid(np.linspace(-74.25, -73.70, 5), np.linspace(40.5, 40.92, 5))
)
SYSTEMS = {"EPSG:2263": 1200 / 3937, "EPSG:6539": 1200 / 3937, "EPSG:32118": 1.0}
MILLIMETRE = 0.001


def with_pyproj(source, target, x, y):
    return np.array(Transformer.from_crs(source, target, always_xy=True).transform(x, y))


def with_rasterio(source, target, x, y):
    return np.array(rasterio_transform(source, target, x, y))


def with_pyogrio(folder, source, target, x, y):
    """Let the GDAL inside pyogrio project, by a virtual layer."""
    points = gpd.GeoDataFrame(geometry=[Point(*p) for p in zip(x, y, strict=True)], crs=source)
    points.to_file(folder / "points.gpkg", engine="pyogrio")
    (folder / "warped.vrt").write_text(
        "<OGRVRTDataSource><OGRVRTWarpedLayer>"
        '<OGRVRTLayer name="points">'
        '<SrcDataSource relativeToVRT="1">points.gpkg</SrcDataSource></OGRVRTLayer>'
        f"<TargetSRS>{target}</TargetSRS></OGRVRTWarpedLayer></OGRVRTDataSource>"
    )
    frame = pyogrio.read_dataframe(folder / "warped.vrt")
    return shapely.get_coordinates(frame.geometry).T


@pytest.mark.parametrize(
    ("source", "target"),
    [("EPSG:4269", system) for system in SYSTEMS] + list(permutations(SYSTEMS, 2)),
)
def test_libraries_agree_to_a_millimetre(tmp_path, source, target):
    x, y = LONGITUDES, LATITUDES
    if source != "EPSG:4269":
        x, y = with_pyproj("EPSG:4269", source, x, y)
    by_pyproj = with_pyproj(source, target, x, y) * SYSTEMS[target]
    by_rasterio = with_rasterio(source, target, x, y) * SYSTEMS[target]
    by_pyogrio = with_pyogrio(tmp_path, source, target, x, y) * SYSTEMS[target]
    assert np.isfinite(by_pyproj).all()
    assert np.abs(by_rasterio - by_pyproj).max() < MILLIMETRE
    assert np.abs(by_pyogrio - by_pyproj).max() < MILLIMETRE


def test_feet_are_survey_feet():
    metres = with_pyproj("EPSG:4269", "EPSG:32118", LONGITUDES, LATITUDES)
    feet = with_pyproj("EPSG:4269", "EPSG:2263", LONGITUDES, LATITUDES)
    # 2 parts in a million, 0.6 m at the false easting, would show.
    assert np.abs(feet * 1200 / 3937 - metres).max() < MILLIMETRE


def test_the_origin_lies_where_the_definition_puts_it():
    # 40 degrees 10 minutes north on the central meridian; an axis swap would show.
    x, y = with_pyproj("EPSG:4269", "EPSG:2263", -74.0, 40 + 1 / 6)
    assert (x, y) == pytest.approx((984_250, 0), abs=1e-4)


def test_jobs_shut_out_another_installations_proj_and_gdal(tmp_path, repository):
    """The same bytes with rubbish in the variables that point to PROJ's and GDAL's data."""
    transform = Affine(0.5, 0, 985_000, 0, -0.5, 212_000)
    with rasterio.open(
        tmp_path / "sheet.tif",
        "w",
        driver="GTiff",
        width=100,
        height=100,
        count=1,
        dtype="uint8",
        crs="EPSG:2263",
        transform=transform,
    ):
        pass
    line = [LineString([(985_000, 211_990), (985_050, 211_960)])]
    gpd.GeoDataFrame({"W": [30]}, geometry=line, crs=2263).to_crs(4326).to_file(
        tmp_path / "roads.gpkg", engine="pyogrio"
    )
    rubbish = tmp_path / "rubbish"
    rubbish.mkdir()
    for name in ("proj.db", "gdalvrt.xsd", "gcs.csv", "tms_NZTM2000.json"):
        (rubbish / name).write_text("rubbish")
    variables = dict.fromkeys(("PROJ_DATA", "PROJ_LIB", "GDAL_DATA"), str(rubbish))

    def run(name, extra):
        command = [
            *(sys.executable, "-m", "roadmask", "lines", str(tmp_path / "sheet.tif")),
            *(f"--output={tmp_path / name}.tif", f"--vectors={tmp_path / name}.gpkg"),
            *("--lines.halo=10 ft", f"--centerlines.path={tmp_path / 'roads.gpkg'}"),
        ]
        environment = os.environ | {"PYTHONPATH": str(repository / "workflow")} | extra
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    clean, rubbished = run("clean", {}), run("rubbished", variables)
    assert clean.returncode == 0, clean.stderr
    assert rubbished.returncode == 0, rubbished.stderr
    assert rubbished.stderr == clean.stderr
    for ending in ("tif", "gpkg", "json"):
        first, second = (tmp_path / f"{name}.{ending}" for name in ("clean", "rubbished"))
        assert first.read_bytes() == second.read_bytes()
