"""Command `mosaic`: one layer over all scenes."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import numpy as np
import pytest
import rasterio
import rasterio.merge
import rasterio.shutil
from affine import Affine
from rasterio.crs import CRS
from rasterio.enums import ColorInterp

from roadmask.__main__ import main
from roadmask.errors import InputError
from roadmask.files import sha256
from roadmask.grid import Grid
from roadmask.mosaic import crs_label, write_mosaics
from roadmask.raster import write_cog
from roadmask.style import colour_table, legend, write_paletted_qml

NYC = CRS.from_epsg(2263)
FIRST = Grid(60, 40, Affine(0.5, 0, 987500, 0, -0.5, 205000), NYC)
pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


def make(folder, name, grid, *, seed=0, colormap=True, dtype="uint8", bands=1, nodata=255):
    array = np.random.default_rng(seed).integers(0, 2, (bands, *grid.shape)).astype(dtype)
    array[:, :5, :5] = 255
    path = folder / "masks" / f"{name}.tif"
    write_cog(
        path,
        grid,
        array,
        nodata=nodata,
        colormap=colour_table(["road"]) if colormap else None,
        descriptions=[f"band {i}" for i in range(bands)],
    )
    write_paletted_qml(path.with_suffix(".qml"), legend(["road"]))
    return path


def city(folder):
    """Three sheets: two side by side, one apart that overlaps the first a little."""
    return [
        make(folder, "b", FIRST.window(60, 0, 60, 40), seed=1),
        make(folder, "a", FIRST, seed=2),
        make(folder, "c", FIRST.window(-20, 30, 60, 40), seed=3),
    ]


def listed(folder, name="masks"):
    return json.loads((folder / "mosaics" / f"{name}.json").read_text())


def test_the_mosaic_is_what_merging_gives(tmp_path):
    rasters = city(tmp_path)
    assert write_mosaics(rasters, tmp_path / "masks.vrt") == [tmp_path / "masks.vrt"]
    # rasterio.merge is another piece of code; where sheets overlap both let the later win.
    expected, transform = rasterio.merge.merge(sorted(rasters), method="last")
    with rasterio.open(tmp_path / "masks.vrt") as mosaic:
        np.testing.assert_array_equal(mosaic.read(), expected)
        assert mosaic.transform == transform
        assert mosaic.crs == NYC
        assert mosaic.nodata == 255
        assert mosaic.colorinterp == (ColorInterp.palette,)
        assert mosaic.colormap(1)[1][:3] == (240, 110, 30)
    assert [entry["vrt"] for entry in listed(tmp_path)["mosaics"]] == ["masks.vrt"]


def test_the_mosaic_names_the_classes(tmp_path):
    rasters = city(tmp_path)
    for path in rasters:
        with rasterio.open(path, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as dataset:
            dataset.update_tags(ROADMASK_CLASSES='["other", "road & rail"]')
    write_mosaics(rasters, tmp_path / "masks.vrt")
    with rasterio.open(tmp_path / "masks.vrt") as mosaic:  # GDAL reads the names and hands them on
        rasterio.shutil.copy(mosaic, tmp_path / "copy.tif", driver="GTiff")
    text = (tmp_path / "copy.tif.aux.xml").read_text()
    assert re.findall("<Category>(.*)</Category>", text) == ["other", "road &amp; rail"]
    with rasterio.open(rasters[0], "r+", IGNORE_COG_LAYOUT_BREAK="YES") as dataset:
        dataset.update_tags(ROADMASK_CLASSES='["other", "water"]')
    with pytest.raises(InputError, match="it differs from"):
        write_mosaics(rasters, tmp_path / "masks.vrt")


def test_the_folder_can_be_moved(tmp_path):
    write_mosaics(city(tmp_path / "before"), tmp_path / "before" / "masks.vrt")
    assert str(tmp_path) not in (tmp_path / "before" / "masks.vrt").read_text()
    (tmp_path / "before").rename(tmp_path / "after")
    with rasterio.open(tmp_path / "after" / "masks.vrt") as mosaic:
        assert (mosaic.read() == 1).any()


def test_the_order_of_the_arguments_changes_nothing(tmp_path):
    rasters = city(tmp_path)
    write_mosaics(rasters, tmp_path / "masks.vrt")
    first = sha256(tmp_path / "masks.vrt")
    write_mosaics(rasters[::-1], tmp_path / "masks.vrt")
    assert sha256(tmp_path / "masks.vrt") == first


def test_other_crs_and_pixel_size_get_mosaics_of_their_own(tmp_path):
    rasters = city(tmp_path)
    write_mosaics(rasters, tmp_path / "masks.vrt")
    (tmp_path / "masks_of_mine.vrt").write_text("somebody else's")
    metres = Grid(30, 30, Affine(0.15, 0, 300000, 0, -0.15, 65000), CRS.from_epsg(32118))
    coarse = Grid(30, 30, Affine(1, 0, 987500, 0, -1, 205000), NYC)
    degrees = Grid(9, 9, Affine(1e-5, 0, -74, 0, -2e-5, 40.7), CRS.from_epsg(4326))
    more = [make(tmp_path, "m", metres), make(tmp_path, "n", coarse), make(tmp_path, "o", degrees)]
    names = [
        "masks_epsg2263_0.5.vrt",
        "masks_epsg2263_1.vrt",
        "masks_epsg32118_0.15.vrt",
        "masks_epsg4326_1e-05x2e-05.vrt",
    ]
    assert [path.name for path in write_mosaics(rasters + more, tmp_path / "masks.vrt")] == names
    # The single one of the first run is no longer true.
    assert sorted(path.name for path in tmp_path.glob("*.vrt")) == [*names, "masks_of_mine.vrt"]
    with rasterio.open(tmp_path / names[3]) as mosaic:
        assert mosaic.crs == degrees.crs
        assert mosaic.transform == degrees.transform
    write_mosaics(rasters, tmp_path / "masks.vrt")
    assert sorted(path.name for path in tmp_path.glob("*.vrt")) == [
        "masks.vrt",
        "masks_of_mine.vrt",
    ]


def test_pixel_mode_has_no_mosaic(tmp_path):
    grid = Grid(20, 20, Affine.identity(), None)
    assert write_mosaics([make(tmp_path, "a", grid)], tmp_path / "masks.vrt") == []
    assert not (tmp_path / "masks.vrt").exists()
    assert listed(tmp_path) == {"mosaics": [], "without_crs": ["a.tif"]}


def test_the_style_goes_along(tmp_path):
    write_mosaics(city(tmp_path), tmp_path / "masks.vrt")
    assert (tmp_path / "masks.qml").read_text() == (tmp_path / "masks" / "a.qml").read_text()


def test_several_bands_without_colours(tmp_path):
    rasters = [
        make(tmp_path, name, grid, seed=seed, colormap=False, bands=2, dtype="uint16", nodata=None)
        for seed, (name, grid) in enumerate([("a", FIRST), ("b", FIRST.window(60, 0, 60, 40))])
    ]
    write_mosaics(rasters, tmp_path / "x.vrt")
    with rasterio.open(tmp_path / "x.vrt") as mosaic:
        assert mosaic.descriptions == ("band 0", "band 1")
        assert mosaic.dtypes == ("uint16", "uint16")
        assert mosaic.nodata is None
        np.testing.assert_array_equal(mosaic.read(), rasterio.merge.merge(rasters)[0])


def test_rasters_that_differ_can_be_kept_apart(tmp_path):
    folder = tmp_path / "masks"
    plain = [make(tmp_path, name, FIRST, colormap=False, nodata=None) for name in "ab"]
    deep = make(tmp_path, "c", FIRST, colormap=False, dtype="uint16", bands=2, nodata=None)
    marked = make(tmp_path, "d", FIRST, colormap=False, nodata=7)
    written = write_mosaics([*plain, deep, marked], tmp_path / "scenes.vrt", apart=True)
    assert {path.name: len(rasterio.open(path).files) - 1 for path in written} == {
        "scenes_epsg2263_0.5-uint16x2.vrt": 1,
        "scenes_epsg2263_0.5-uint8x1.vrt": 2,
        "scenes_epsg2263_0.5-uint8x1-2.vrt": 1,
    }
    with rasterio.open(tmp_path / "scenes_epsg2263_0.5-uint8x1-2.vrt") as mosaic:
        assert mosaic.nodata == 7
    # Where all are alike again, the others are gone.
    (folder / "c.tif").unlink()
    write_mosaics(plain, tmp_path / "scenes.vrt", apart=True)
    assert [path.name for path in tmp_path.glob("*.vrt")] == ["scenes.vrt"]


def test_ground_without_a_sheet_is_masked(tmp_path):
    sheets = [FIRST, FIRST.window(60, 20, 60, 40)]
    rasters = [
        make(tmp_path, name, grid, colormap=False, bands=3, nodata=None)
        for name, grid in zip("ab", sheets, strict=True)
    ]
    write_mosaics(rasters, tmp_path / "scenes.vrt")
    covered = np.zeros((60, 120), bool)
    covered[:40, :60] = covered[20:, 60:] = True
    with rasterio.open(tmp_path / "scenes.vrt") as mosaic:
        np.testing.assert_array_equal(mosaic.dataset_mask() == 255, covered)
        np.testing.assert_array_equal(mosaic.read(), rasterio.merge.merge(rasters)[0])
    gone = make(tmp_path, "a", FIRST, colormap=False, bands=3, nodata=0)
    write_mosaics([gone], tmp_path / "scenes.vrt")
    assert "MaskBand" not in (tmp_path / "scenes.vrt").read_text()


def test_rasters_that_do_not_go_together(tmp_path):
    rasters = [*city(tmp_path), make(tmp_path, "z", FIRST, dtype="uint16", colormap=False)]
    with pytest.raises(InputError, match=r"z\.tif: it differs from"):
        write_mosaics(rasters, tmp_path / "masks.vrt")


def test_a_crs_without_a_number_has_a_name_of_its_own():
    assert crs_label(NYC) == "epsg2263"
    own = CRS.from_proj4("+proj=tmerc +lat_0=40.123 +lon_0=-73.9 +datum=WGS84 +units=m")
    assert crs_label(own).startswith("crs")
    assert len(crs_label(own)) == 11


def test_gdalbuildvrt_agrees(tmp_path):
    program = shutil.which("gdalbuildvrt")
    if program is None:
        pytest.skip("no gdalbuildvrt on this machine (Debian: gdal-bin)")
    rasters = sorted(city(tmp_path))
    write_mosaics(rasters, tmp_path / "ours.vrt")
    subprocess.run([program, "-q", str(tmp_path / "theirs.vrt"), *map(str, rasters)], check=True)
    with (
        rasterio.open(tmp_path / "ours.vrt") as ours,
        rasterio.open(tmp_path / "theirs.vrt") as theirs,
    ):
        np.testing.assert_array_equal(ours.read(), theirs.read())
        assert ours.profile == theirs.profile
        assert ours.colormap(1) == theirs.colormap(1)


def test_the_command(tmp_path):
    rasters = [str(path) for path in city(tmp_path)]
    assert main(["mosaic", *rasters, "--output", str(tmp_path / "masks.vrt")]) == 0
    assert (tmp_path / "mosaics" / "masks.json").exists()
