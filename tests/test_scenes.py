"""Stage `scenes`: every readable picture becomes an equal COG, the rest is refused in words."""

from __future__ import annotations

import ctypes.util
import importlib.metadata
import logging
import os
import shutil
import struct
import subprocess
import sys
import zipfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image as PillowImage
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.enums import ColorInterp
from rasterio.rpc import RPC
from rasterio.windows import Window

from roadmask.__main__ import main
from roadmask.binary import open_bytes
from roadmask.errors import InputError, SettingError
from roadmask.files import sha256
from roadmask.scenes import boxes as boxes_module
from roadmask.scenes import convert as convert_module
from roadmask.scenes.boxes import END_OF_CODESTREAM, START_OF_TILE_PART, inspect
from roadmask.scenes.convert import convert, fits, windows_of
from roadmask.scenes.georeference import Candidate, contradictions, parse_crs, pixels_apart

NYC = CRS.from_epsg(2263)
NORTH_UP = Affine(0.5, 0, 987500, 0, -0.5, 205000)
pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


def picture(bands=4, height=90, width=130, dtype="uint8", seed=0):
    kind = np.dtype(dtype)
    generator = np.random.default_rng(seed)
    if kind.kind == "f":
        return generator.normal(100, 50, (bands, height, width)).astype(dtype)
    top = min(np.iinfo(kind).max, 4000)
    return generator.integers(0, top, (bands, height, width), endpoint=True).astype(dtype)


def write_tiff(path, array, *, colours=None, colormap=None, mask=None, gcps=None, **profile):
    settings_ = {"crs": NYC, "transform": NORTH_UP, "alpha": "NO"} | profile
    count, height, width = array.shape
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(
            path,
            "w",
            driver="GTiff",
            count=count,
            height=height,
            width=width,
            dtype=array.dtype,
            **settings_,
        ) as dataset,
    ):
        if colours:
            dataset.colorinterp = colours
        if colormap:
            dataset.write_colormap(1, colormap)
        if gcps:
            dataset.gcps = gcps
        dataset.write(array)
        if mask is not None:
            dataset.write_mask(mask)
    return path


def write_jp2(path, array, *, block=32, **profile):
    """A lossless JP2 with several tiles, made by GDAL."""
    options = {"GMLJP2": "NO"} | {k: profile.pop(k) for k in ("GeoJP2", "GMLJP2") if k in profile}
    tiff = write_tiff(path.with_name("source_of_jp2.tif"), array, **profile)
    rasterio.shutil.copy(
        tiff,
        path,
        driver="JP2OpenJPEG",
        QUALITY=100,
        REVERSIBLE="YES",
        BLOCKXSIZE=block,
        BLOCKYSIZE=block,
        **options,
    )
    tiff.unlink()
    return path


def read(path):
    with rasterio.open(path) as dataset:
        return dataset.read()


def refused(source, tmp_path, **options):
    """The message with which a source is refused; nothing may be left behind."""
    output = tmp_path / "refused" / "scene.tif"
    with pytest.raises((InputError, SettingError)) as caught:
        convert(str(source), output, **options)
    assert not output.parent.exists() or not list(output.parent.iterdir())
    return str(caught.value)


# --- the table of real files -------------------------------------------------------------

NO_PLACE = r"nothing says where it lies.*world file.*imagery\.georeference: pixel"
LOCAL_CRS = r"local one that lies nowhere on the earth.*imagery\.crs"
TURNED = r"turned by a quarter.*gdalwarp"
# What each file gets with default settings: the georeference used, or why it is refused.
REAL_FILES = {
    "gdal/3_13bit_and_1bit.jp2": ("refused", LOCAL_CRS),
    "gdal/513x513.jp2": ("GeoJP2", "EPSG:26711"),
    "gdal/IMG_md_ple_R1C1.jp2": ("refused", LOCAL_CRS),
    "gdal/IMG_md_pneo_R1C1.jp2": ("refused", LOCAL_CRS),
    "gdal/byte.jp2": ("GeoJP2", "EPSG:26711"),
    "gdal/byte_2gcps.jp2": ("refused", r"2 ground control points and no transform"),
    "gdal/byte_gmljp2_with_nul_car.jp2": ("GMLJP2", "EPSG:26711"),
    "gdal/byte_image_origin_not_zero.jp2": ("refused", NO_PLACE),
    "gdal/byte_lossless_openjp2_golden.jp2": ("GeoJP2", "EPSG:26711"),
    "gdal/byte_nogeoref.jp2": ("refused", LOCAL_CRS),
    "gdal/byte_one_poc.j2k": ("refused", NO_PLACE),
    "gdal/byte_point.jp2": ("GeoJP2", "EPSG:32611"),
    "gdal/byte_tile_2048.jp2": ("GeoJP2", "EPSG:26711"),
    "gdal/byte_tlm_plt.jp2": ("GeoJP2", "EPSG:26711"),
    "gdal/byte_with_xmp.jp2": ("GeoJP2", "EPSG:26711"),
    "gdal/byte_without_geotransform.jp2": ("refused", r"no coordinate reference.*imagery\.crs"),
    "gdal/dimensions_above_31bit.jp2": ("refused", r"claims 4294967295 x 4294967295"),
    "gdal/erdas_foo.jp2": ("GeoJP2", "EPSG:3067"),
    "gdal/fake_sent2_preview.jp2": ("GeoJP2", "EPSG:32631"),
    "gdal/float32_ieee754_split_reversible.jp2": ("refused", r"1, 8, 23 bits.*cut them to 8"),
    "gdal/gmljp2_dtedsm_epsg_4326_axes.jp2": ("GMLJP2", "EPSG:4326"),
    "gdal/gmljp2_dtedsm_epsg_4326_axes_alt_offsetVector.jp2": ("refused", TURNED),
    "gdal/gmljp2_epsg3035_easting_northing.jp2": ("GMLJP2", "EPSG:3035"),
    "gdal/gtsmall_10_uint16.jp2": ("GeoJP2", "EPSG:4326"),
    "gdal/gtsmall_11_int16.jp2": ("GeoJP2", "EPSG:4326"),
    "gdal/inconsitant_geojp2_gmljp2.jp2": ("refused", LOCAL_CRS),
    "gdal/int16.jp2": ("GeoJP2", "EPSG:26711"),
    "gdal/int16_lossless.jp2": ("GeoJP2", "EPSG:26711"),
    "gdal/ll.jp2": ("refused", TURNED),
    "gdal/rgb16_ecwsdk.jp2": ("refused", r"can't be decoded"),
    "gdal/rgbwcmyk01_YeGeo_kakadu.jp2": ("GeoJP2", "EPSG:26918"),
    "gdal/single_block_32769_16385.jp2": ("GeoJP2", "EPSG:26711"),
    "gdal/small_200ppcm.jp2": ("GeoJP2", "EPSG:26918"),
    "gdal/small_world_truncated.jp2": ("refused", r"truncated.*tile 0 reaches to byte 62,325"),
    "gdal/stefan_full_rgba.jp2": ("refused", NO_PLACE),
    "gdal/stefan_full_rgba_alpha_1bit.jp2": ("refused", NO_PLACE),
    "gdal/tile_size_16.jp2": ("GeoJP2", "EPSG:26711"),
    "gdal/truncated.jp2": ("refused", r"no codestream"),
    "gdal/uint32_2x2_lossless_nbits_20.j2k": ("refused", NO_PLACE),
    "sentinel2/B04_20m.jp2": ("GeoTIFF tags", "EPSG:32619"),
    "sentinel2/TCI_10m.jp2": ("GeoJP2", "EPSG:32619"),
    "sentinel2/img-8bit.jp2": ("GMLJP2", "EPSG:32609"),
}
SLOW_FILES = {"gdal/single_block_32769_16385.jp2"}
# Those refused above for their place alone, and what they get with imagery.crs.
WITH_CRS = {
    "gdal/3_13bit_and_1bit.jp2": ("GeoJP2, CRS from imagery.crs", "13, 13, 13, 1 bits"),
    "gdal/IMG_md_ple_R1C1.jp2": ("GeoJP2, CRS from imagery.crs", "13, 13, 13, 1 bits"),
    "gdal/IMG_md_pneo_R1C1.jp2": ("GeoJP2, CRS from imagery.crs", "13, 13, 13, 1 bits"),
    "gdal/byte_nogeoref.jp2": (".aux.xml, CRS from imagery.crs", ".aux.xml and world file"),
    "gdal/byte_without_geotransform.jp2": ("world file, CRS from imagery.crs", ""),
    "gdal/inconsitant_geojp2_gmljp2.jp2": (
        ".aux.xml, CRS from imagery.crs",
        "GeoJP2 and GMLJP2 contradict each other: they put the picture 13.4 pixels apart, "
        "and the CRS is EPSG:26711 by one and EPSG:26712 by the other",
    ),
}
WITH_PIXELS = {
    "gdal/byte_2gcps.jp2": "",
    "gdal/byte_image_origin_not_zero.jp2": "",
    "gdal/byte_one_poc.j2k": "",
    "gdal/ll.jp2": "",
    "gdal/gmljp2_dtedsm_epsg_4326_axes_alt_offsetVector.jp2": "",
    "gdal/stefan_full_rgba.jp2": "",
    "gdal/stefan_full_rgba_alpha_1bit.jp2": "8, 8, 8, 1 bits",
    "gdal/uint32_2x2_lossless_nbits_20.j2k": "",
}


def check_equal(source, output):
    with rasterio.open(source) as before, rasterio.open(output) as after:
        assert before.dtypes == after.dtypes
        assert before.shape == after.shape
        for window in windows_of(before):
            np.testing.assert_array_equal(before.read(window=window), after.read(window=window))


@pytest.mark.real_data
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow) if name in SLOW_FILES else name
        for name in REAL_FILES
    ],
)
def test_each_real_file_goes_its_way(name, real_data, tmp_path):
    source = real_data / "jp2" / name
    outcome, detail = REAL_FILES[name]
    output = tmp_path / "scene.tif"
    if outcome == "refused":
        with pytest.raises(InputError, match=f"(?s){detail}") as caught:
            convert(str(source), output)
        assert str(caught.value).startswith(str(source))
        assert not output.exists()
    else:
        conversion = convert(str(source), output)
        assert (str(conversion.georeference), conversion.grid.crs) == (
            outcome,
            CRS.from_user_input(detail),
        )
        assert conversion.warnings == ()
        check_equal(source, output)


@pytest.mark.real_data
def test_the_table_names_every_real_file(real_data):
    folder = real_data / "jp2"
    found = {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.suffix in (".jp2", ".j2k")
    }
    assert found == set(REAL_FILES)


@pytest.mark.real_data
@pytest.mark.parametrize("name", WITH_CRS)
def test_real_files_that_need_a_crs(name, real_data, tmp_path, caplog):
    source = real_data / "jp2" / name
    georeference, warning = WITH_CRS[name]
    output = tmp_path / "scene.tif"
    conversion = convert(str(source), output, crs=NYC)
    assert str(conversion.georeference) == georeference
    warnings_ = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert any(warning in text for text in warnings_) if warning else not warnings_
    check_equal(source, output)


@pytest.mark.real_data
@pytest.mark.parametrize("name", WITH_PIXELS)
def test_real_files_that_lie_nowhere(name, real_data, tmp_path):
    source = real_data / "jp2" / name
    output = tmp_path / "scene.tif"
    conversion = convert(str(source), output, pixel_mode=True)
    assert any(WITH_PIXELS[name] in text for text in (*conversion.warnings, ""))
    with rasterio.open(output) as scene:
        assert scene.transform.is_identity
        assert scene.crs is None
    check_equal(source, output)


@pytest.mark.real_data
def test_real_files_are_refused_alike_inside_a_zip(real_data, tmp_path):
    archive = tmp_path / "files.zip"
    names = ["dimensions_above_31bit", "small_world_truncated", "truncated", "byte"]
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for name in names:
            file.write(real_data / "jp2" / "gdal" / f"{name}.jp2", f"{name}.jp2")
    expected = [r"claims 4294967295", r"truncated or damaged", r"no codestream"]
    for name, pattern in zip(names, expected, strict=False):
        with pytest.raises(InputError, match=pattern):
            convert(f"/vsizip/{archive}/{name}.jp2", tmp_path / "x.tif")
    convert(f"/vsizip/{archive}/byte.jp2", tmp_path / "byte.tif")
    check_equal(real_data / "jp2" / "gdal" / "byte.jp2", tmp_path / "byte.tif")


# --- what is kept ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dtype", "nodata"),
    [
        ("uint8", None),
        ("uint8", 0),
        ("int8", -128),
        ("uint16", 65535),
        ("int16", -9999),
        ("uint32", None),
        ("int32", -1),
        ("float32", -3.4028234663852886e38),
        ("float64", float("nan")),
    ],
)
def test_pixels_type_nodata_and_place_stay(dtype, nodata, tmp_path):
    array = picture(dtype=dtype)
    if nodata is not None:
        array[:, :10, :10] = nodata
    source = write_tiff(tmp_path / "source.tif", array, nodata=nodata)
    convert(str(source), tmp_path / "scene.tif")
    with rasterio.open(tmp_path / "scene.tif") as scene:
        np.testing.assert_array_equal(scene.read(), array)
        assert str(scene.nodata) == str(None if nodata is None else float(nodata))
        assert scene.transform == NORTH_UP
        assert scene.crs == NYC
        assert set(scene.dtypes) == {dtype}


def test_the_scene_is_a_tiled_cog_with_overviews_and_tags(tmp_path):
    source = write_jp2(tmp_path / "sheet.jp2", picture(height=1100, width=1300), block=512)
    convert(str(source), tmp_path / "scene.tif")
    with rasterio.open(tmp_path / "scene.tif") as scene:
        assert scene.block_shapes == [(512, 512)] * 4
        assert scene.overviews(1) == [2, 4]
        assert scene.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert scene.tags()["ROADMASK_SOURCE"] == "sheet.jp2"
        assert scene.tags()["ROADMASK_GEOREFERENCE"] == "GeoJP2"
        assert str(tmp_path) not in str(scene.tags())
    assert not list(tmp_path.glob(".*"))


def test_the_same_source_gives_the_same_bytes(tmp_path):
    source = write_jp2(tmp_path / "sheet.jp2", picture(height=600, width=700), block=256)
    for name in ("one.tif", "two.tif"):
        convert(str(source), tmp_path / name)
    assert sha256(tmp_path / "one.tif") == sha256(tmp_path / "two.tif")


def test_nothing_is_written_beside_the_source(tmp_path):
    folder = tmp_path / "read_only"
    folder.mkdir()
    source = write_jp2(folder / "sheet.jp2", picture())
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    convert(str(source), tmp_path / "scene.tif")
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before


RGB = [ColorInterp.red, ColorInterp.green, ColorInterp.blue]


def test_near_infrared_is_never_alpha(tmp_path):
    marked = write_tiff(tmp_path / "marked.tif", picture(), colours=[*RGB, ColorInterp.alpha])
    plain = write_tiff(tmp_path / "plain.tif", picture(), colours=[*RGB, ColorInterp.undefined])
    sheet = write_jp2(tmp_path / "sheet.jp2", picture(), colours=[*RGB, ColorInterp.undefined])
    for source, warned in ((marked, True), (plain, False), (sheet, False)):
        conversion = convert(str(source), tmp_path / "scene.tif")
        assert any("near infrared" in text for text in conversion.warnings) == warned
        with rasterio.open(tmp_path / "scene.tif") as scene:
            assert scene.colorinterp == (*RGB, ColorInterp.undefined)


@pytest.mark.parametrize("colours", [RGB, [ColorInterp.gray]])
def test_alpha_that_is_one_stays(colours, tmp_path):
    array = picture(bands=len(colours) + 1)
    array[-1] = 255
    array[-1, :40] = 0
    array[-1, 40] = 128  # a feathered edge
    source = write_tiff(tmp_path / "a.tif", array, colours=[*colours, ColorInterp.alpha])
    convert(str(source), tmp_path / "scene.tif")
    with rasterio.open(tmp_path / "scene.tif") as scene:
        assert scene.colorinterp == (*colours, ColorInterp.alpha)
        np.testing.assert_array_equal(scene.read(), array)


def test_a_mask_inside_the_source_stays(tmp_path):
    mask = np.ones((90, 130), dtype=bool)
    mask[20:30] = False
    source = write_tiff(tmp_path / "masked.tif", picture(3), mask=mask)
    convert(str(source), tmp_path / "scene.tif")
    with rasterio.open(tmp_path / "scene.tif") as scene:
        np.testing.assert_array_equal(scene.dataset_mask() != 0, mask)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["masked.tif", "scene.tif"]


def test_a_palette_stays(tmp_path):
    colours = {value: (value, 255 - value, 7, 255) for value in range(256)}
    source = write_tiff(tmp_path / "palette.tif", picture(1), colormap=colours)
    convert(str(source), tmp_path / "scene.tif")
    with rasterio.open(tmp_path / "scene.tif") as scene:
        assert scene.colormap(1) == colours
        assert scene.colorinterp == (ColorInterp.palette,)
        np.testing.assert_array_equal(scene.read(), picture(1))


def test_the_first_page_of_a_tiff_with_several(tmp_path):
    pages = PillowImage.fromarray(picture(1)[0])
    more = PillowImage.fromarray(picture(1, seed=5)[0])
    pages.save(tmp_path / "pages.tif", save_all=True, append_images=[more])
    conversion = convert(str(tmp_path / "pages.tif"), tmp_path / "scene.tif", pixel_mode=True)
    assert conversion.warnings == ("it holds 2 pictures, of which the first is taken",)
    np.testing.assert_array_equal(read(tmp_path / "scene.tif"), picture(1))


def test_one_bit_becomes_a_byte_with_the_same_values(tmp_path):
    array = picture(1) % 2
    source = write_tiff(tmp_path / "mask.tif", array, nbits=1)
    conversion = convert(str(source), tmp_path / "scene.tif")
    assert "values of 1 bit become uint8, unchanged" in conversion.warnings
    np.testing.assert_array_equal(read(tmp_path / "scene.tif"), array)


def test_band_names_and_scales_stay(tmp_path):
    source = write_tiff(tmp_path / "named.tif", picture(2, dtype="int16"))
    with rasterio.open(source, "r+") as dataset:
        dataset.descriptions = ("height", "slope")
        dataset.scales, dataset.offsets = (0.1, 0.5), (10, 0)
    convert(str(source), tmp_path / "scene.tif")
    with rasterio.open(tmp_path / "scene.tif") as scene:
        assert scene.descriptions == ("height", "slope")
        assert scene.scales == (0.1, 0.5)
        assert scene.offsets == (10, 0)


def test_the_setting_of_nodata_counts_only_where_the_file_has_none(tmp_path):
    own = write_tiff(tmp_path / "own.tif", picture(3), nodata=7)
    none = write_tiff(tmp_path / "none.tif", picture(3))
    for source, expected in ((own, 7), (none, 9)):
        convert(str(source), tmp_path / "scene.tif", nodata=9)
        with rasterio.open(tmp_path / "scene.tif") as scene:
            assert scene.nodata == expected
    assert "imagery.nodata: -1 is no value" in refused(none, tmp_path, nodata=-1)


@pytest.mark.parametrize(
    ("value", "dtype", "expected"),
    [
        (255, "uint8", True),
        (256, "uint8", False),
        (0.5, "int16", False),
        (-9999, "int16", True),
        (float("nan"), "uint8", False),
        (float("nan"), "float32", True),
    ],
)
def test_which_values_a_type_holds(value, dtype, expected):
    assert fits(value, dtype) is expected


def test_a_change_on_the_way_is_noticed(tmp_path, monkeypatch):
    array = picture(3)
    array[1, 6, 5] = 76
    source = write_tiff(tmp_path / "source.tif", array)
    writer = convert_module.cog_writer

    @contextmanager
    def careless_writer(*arguments, **options):
        with writer(*arguments, **options) as dataset:
            yield dataset
            dataset.write(np.full((1, 1), 77, "uint8"), 2, window=Window(5, 6, 1, 1))

    monkeypatch.setattr(convert_module, "cog_writer", careless_writer)
    assert "other pixels in 1 windows" in refused(source, tmp_path)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    width=st.integers(1, 200),
    height=st.integers(1, 200),
    block=st.sampled_from([16, 64, 256]),
    budget=st.sampled_from([1, 5000, 10**6]),
)
def test_windows_cover_each_pixel_once(width, height, block, budget, tmp_path_factory, monkeypatch):
    monkeypatch.setattr(convert_module, "WINDOW_BYTES", budget)
    path = tmp_path_factory.mktemp("windows") / "x.tif"
    write_tiff(path, picture(1, height, width), tiled=True, blockxsize=block, blockysize=block)
    seen = np.zeros((height, width), dtype=int)
    with rasterio.open(path) as dataset:
        for window in windows_of(dataset):
            seen[window.toslices()] += 1
            assert window.col_off % block == window.row_off % block == 0
    assert (seen == 1).all()


# --- other places and formats ------------------------------------------------------------


def test_a_zip_of_jp2_sheets_with_their_world_files(tmp_path):
    array = picture()
    sheet = write_jp2(tmp_path / "sheet.jp2", array, GeoJP2="NO", crs=None)
    archive = tmp_path / "sheets.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.write(sheet, "in/sheet.jp2")
        file.writestr("in/sheet.j2w", "0.5\n0\n0\n-0.5\n987500.25\n204999.75\n")
    conversion = convert(f"/vsizip/{archive}/in/sheet.jp2", tmp_path / "scene.tif", crs=NYC)
    assert str(conversion.georeference) == "world file, CRS from imagery.crs"
    assert conversion.grid.transform == NORTH_UP
    np.testing.assert_array_equal(read(tmp_path / "scene.tif"), array)


def test_a_png_in_pixel_mode(tmp_path):
    array = picture(3)
    with rasterio.open(
        tmp_path / "a.png", "w", driver="PNG", count=3, height=90, width=130, dtype="uint8"
    ) as dataset:
        dataset.write(array)
    assert "imagery.georeference: pixel" in refused(tmp_path / "a.png", tmp_path)
    convert(str(tmp_path / "a.png"), tmp_path / "scene.tif", pixel_mode=True)
    with rasterio.open(tmp_path / "scene.tif") as scene:
        np.testing.assert_array_equal(scene.read(), array)
        assert scene.transform.is_identity
        assert scene.crs is None


def test_a_png_with_a_world_file(tmp_path):
    with rasterio.open(
        tmp_path / "a.png", "w", driver="PNG", count=3, height=90, width=130, dtype="uint8"
    ) as dataset:
        dataset.write(picture(3))
    (tmp_path / "a.wld").write_text("0.5\n0\n0\n-0.5\n987500.25\n204999.75\n")
    conversion = convert(str(tmp_path / "a.png"), tmp_path / "scene.tif", crs=NYC)
    assert conversion.grid.transform == NORTH_UP


def test_pixel_mode_ignores_a_georeference(tmp_path):
    source = write_tiff(tmp_path / "source.tif", picture(3))
    conversion = convert(str(source), tmp_path / "scene.tif", pixel_mode=True)
    assert conversion.grid.crs is None
    assert conversion.grid.transform.is_identity


def test_content_counts_not_the_name(tmp_path):
    tiff = write_tiff(tmp_path / "tiff.jp2", picture(3))
    jp2 = write_jp2(tmp_path / "jp2.jp2", picture(3)).rename(tmp_path / "jp2.tif")
    for source, georeference in ((tiff, "GeoTIFF tags"), (jp2, "GeoJP2")):
        conversion = convert(str(source), tmp_path / "scene.tif")
        assert str(conversion.georeference) == georeference


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "the file is empty"),
        (b"msid\x01\x00\x04\x00 more", "MrSID"),
        (b"\xff\xd8\xff no picture at all", "GDAL can't open it"),
        (None, "can't be opened (No such file or directory)"),
    ],
)
def test_other_files_are_refused(content, words, tmp_path):
    path = tmp_path / "other.tif"
    if content is not None:
        path.write_bytes(content)
    assert words in refused(path, tmp_path)


def test_missing_members_of_a_zip_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("x.txt", "x")
    assert "can't be opened" in refused(f"/vsizip/{tmp_path}/a.zip/none.jp2", tmp_path)


def test_kinds_that_cannot_be_kept_are_refused(tmp_path):
    array = picture(1, dtype="float32").astype("complex64")
    assert "complex numbers" in refused(write_tiff(tmp_path / "c.tif", array), tmp_path)


# --- georeference ------------------------------------------------------------------------


def test_no_transform_names_world_file_and_pixel_mode(tmp_path):
    source = write_jp2(tmp_path / "a.jp2", picture(3), crs=None, transform=None)
    message = refused(source, tmp_path)
    assert ".j2w" in message
    assert "imagery.georeference: pixel" in message


def test_no_crs_and_engineering_crs_name_the_setting(tmp_path):
    engineering = CRS.from_wkt('LOCAL_CS["site grid",UNIT["metre",1]]')
    for name, crs in (("none", None), ("site", engineering)):
        source = write_tiff(tmp_path / f"{name}.tif", picture(3), crs=crs)
        assert "imagery.crs" in refused(source, tmp_path)
        conversion = convert(str(source), tmp_path / "scene.tif", crs=NYC)
        assert conversion.grid.crs == NYC
        assert str(conversion.georeference) == "GeoTIFF tags, CRS from imagery.crs"


def test_the_files_own_crs_wins_over_the_setting(tmp_path, caplog):
    source = write_tiff(tmp_path / "a.tif", picture(3))
    conversion = convert(str(source), tmp_path / "scene.tif", crs=CRS.from_epsg(6539))
    assert conversion.grid.crs == NYC
    assert "not imagery.crs (EPSG:6539)" in caplog.text


def test_contradicting_sources_are_named(tmp_path, caplog):
    source = write_tiff(tmp_path / "a.tif", picture(3), tfw="YES")
    convert(str(source), tmp_path / "scene.tif")
    assert "contradict each other" not in caplog.text
    (tmp_path / "a.tfw").write_text("0.5\n0\n0\n-0.5\n987600.25\n204999.75\n")
    conversion = convert(str(source), tmp_path / "scene.tif")
    assert "GeoTIFF tags and world file contradict each other" in caplog.text
    assert "200 pixels apart" in caplog.text
    assert conversion.grid.transform == NORTH_UP
    assert str(conversion.georeference) == "GeoTIFF tags"


def test_a_sidecar_wins_over_a_box(tmp_path, caplog):
    source = write_jp2(tmp_path / "a.jp2", picture(3))
    (tmp_path / "a.jp2.aux.xml").write_text(
        "<PAMDataset><GeoTransform>987500, 0.5, 0, 205010, 0, -0.5</GeoTransform></PAMDataset>"
    )
    conversion = convert(str(source), tmp_path / "scene.tif")
    assert conversion.grid.transform.f == 205010
    assert str(conversion.georeference) == ".aux.xml, CRS from GeoJP2"
    assert ".aux.xml and GeoJP2 contradict each other" in caplog.text


def test_ground_control_points_alone_are_refused(tmp_path):
    points = [GroundControlPoint(row, col, col, -row) for row in (0, 90) for col in (0, 130)]
    source = write_tiff(
        tmp_path / "a.tif", picture(3), transform=None, crs=None, gcps=(points, NYC)
    )
    message = refused(source, tmp_path)
    assert "4 ground control points" in message
    assert "gdalwarp" in message


def test_rational_polynomials_alone_are_refused(tmp_path):
    source = write_tiff(tmp_path / "a.tif", picture(3), transform=None, crs=None)
    ones = [1.0] + [0.0] * 19
    with rasterio.open(source, "r+") as dataset:
        dataset.rpcs = RPC(10, 5, 40.7, 0.1, ones, ones, 45, 50, -74, 0.1, ones, ones, 65, 70)
    message = refused(source, tmp_path)
    assert "RPC" in message
    assert "gdalwarp -rpc" in message


@pytest.mark.parametrize(
    ("transform", "words"),
    [
        (NORTH_UP @ Affine.rotation(5), "rotated or sheared"),
        (NORTH_UP @ Affine.shear(3, 0), "rotated or sheared"),
        (NORTH_UP @ Affine.scale(1, -1), "south up"),
        (NORTH_UP @ Affine.scale(-1, 1), "mirrored"),
        (NORTH_UP @ Affine.rotation(90), "turned by a quarter"),
    ],
)
def test_turned_pictures_are_refused_with_a_way_out(transform, words, tmp_path):
    if words == "turned by a quarter":
        transform = Affine(0, transform.b, transform.c, transform.d, 0, transform.f)
    source = write_tiff(tmp_path / "a.tif", picture(3), transform=transform)
    message = refused(source, tmp_path)
    assert words in message
    assert "gdalwarp" in message


def test_a_crs_setting_that_is_none(tmp_path):
    for text in ("EPSG:99999999", "nonsense", 'LOCAL_CS["x",UNIT["metre",1]]'):
        with pytest.raises(SettingError, match=r"imagery\.crs"):
            parse_crs(text)


def test_contradictions_of_place_and_crs():
    same = [Candidate("a", NORTH_UP, NYC), Candidate("b", NORTH_UP, None)]
    assert contradictions(same, 100, 100) == []
    apart = [*same, Candidate("c", NORTH_UP @ Affine.translation(0, 3), CRS.from_epsg(6539))]
    assert contradictions(apart, 100, 100) == [
        "a and c contradict each other: they put the picture 3 pixels apart, and the CRS is "
        "EPSG:2263 by one and EPSG:6539 by the other",
        "b and c contradict each other: they put the picture 3 pixels apart",
    ]


def test_pixels_apart_sees_a_difference_at_the_far_corner():
    stretched = NORTH_UP @ Affine.scale(1.01, 1)
    assert pixels_apart(NORTH_UP, stretched, 1000, 10) == pytest.approx(10)


# --- damage ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sheet(tmp_path_factory):
    """A JP2 of 15 tiles, its bytes, and where its tile-parts begin."""
    path = write_jp2(tmp_path_factory.mktemp("sheet") / "sheet.jp2", picture())
    content = path.read_bytes()
    starts, position = [], content.index(START_OF_TILE_PART + struct.pack(">HH", 10, 0))
    while content[position : position + 2] == START_OF_TILE_PART:
        starts.append(position)
        position += struct.unpack(">I", content[position + 6 : position + 10])[0]
    assert content[position:] == END_OF_CODESTREAM
    assert len(starts) == 15
    return path, content, starts


@settings(max_examples=40, deadline=None)
@given(share=st.floats(0, 1, exclude_max=True))
def test_wherever_a_sheet_is_cut_off_it_is_refused(share, sheet, tmp_path_factory):
    _, content, _ = sheet
    folder = tmp_path_factory.mktemp("cut")
    path = folder / "cut.jp2"
    path.write_bytes(content[: int(share * len(content))])
    message = refused(path, folder)
    assert any(word in message for word in ("truncated", "the file is empty", "GDAL can't open"))


def test_a_missing_tile_is_noticed(sheet, tmp_path):
    _, content, starts = sheet
    without = content[: starts[4]] + content[starts[5] :]
    length = content.index(b"jp2c") - 4
    without = without[:length] + struct.pack(">I", 0) + without[length + 4 :]
    (tmp_path / "hole.jp2").write_bytes(without)
    assert "of 15 tiles 1 are missing" in refused(tmp_path / "hole.jp2", tmp_path)


def test_a_damaged_tile_part_is_noticed(sheet, tmp_path):
    _, content, starts = sheet
    wrong = bytearray(content)
    wrong[starts[3] + 4 : starts[3] + 6] = struct.pack(">H", 900)  # the tile's number
    (tmp_path / "wrong.jp2").write_bytes(wrong)
    assert f"tile-part at byte {starts[3]:,} makes no sense" in refused(
        tmp_path / "wrong.jp2", tmp_path
    )


def patched_size(content, width, height, tile_width, tile_height):
    """The same file with another size in the codestream's header."""
    size = content.index(b"\xff\x4f\xff\x51") + 8
    return (
        content[:size]
        + struct.pack(">6I", width, height, 0, 0, tile_width, tile_height)
        + content[size + 24 :]
    )


@pytest.mark.parametrize(
    ("size", "words"),
    [
        ((10**9, 10**9, 10**9, 10**9), "which no picture gives"),
        ((2**32 - 1, 10, 1024, 1024), "GDAL reads no side beyond"),
        ((30000, 15000, 15000, 15000), "one of its tiles (15000 x 15000"),
    ],
)
def test_absurd_sizes_are_refused_before_memory_is_spent(size, words, sheet, tmp_path):
    _, content, _ = sheet
    (tmp_path / "absurd.jp2").write_bytes(patched_size(content, *size))
    assert words in refused(tmp_path / "absurd.jp2", tmp_path)


def test_a_box_that_glymur_cannot_parse_does_not_stop_a_readable_file(
    sheet, tmp_path, monkeypatch, caplog
):
    path, _, _ = sheet
    reader = boxes_module._read_with_glymur

    def trips_over_boxes(name, readable):
        if readable.endswith(".jp2"):
            raise KeyError("some box")
        return reader(name, readable)

    monkeypatch.setattr(boxes_module, "_read_with_glymur", trips_over_boxes)
    convert(str(path), tmp_path / "scene.tif")
    assert "its boxes can't be parsed (KeyError" in caplog.text
    check_equal(path, tmp_path / "scene.tif")


def test_a_truncated_tiff_is_refused(tmp_path):
    source = write_tiff(tmp_path / "a.tif", picture(3), compress="deflate")
    source.write_bytes(source.read_bytes()[:20_000])
    assert "can't be decoded" in refused(source, tmp_path)


@settings(max_examples=20, deadline=None)
@given(share=st.floats(0, 1, exclude_max=True))
def test_wherever_a_png_is_cut_off_it_is_refused(share, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cut")
    path = folder / "a.png"
    with rasterio.open(path, "w", driver="PNG", count=3, height=90, width=130, dtype="uint8") as to:
        to.write(picture(3))
    content = path.read_bytes()
    # GDAL reads what has lost its checksum alone.
    path.write_bytes(content[: int(share * (len(content) - 8))])
    message = refused(path, folder, pixel_mode=True)
    assert any(word in message for word in ("truncated", "the file is empty", "GDAL can't open"))
    archive = folder / "sheet.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.write(path, "a.png")
    refused(f"/vsizip/{archive}/a.png", folder, pixel_mode=True)


def test_the_boxes_are_read_alike_on_disk_and_in_a_zip(sheet, tmp_path):
    path, _, _ = sheet
    archive = tmp_path / "sheet.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.write(path, "sheet.jp2")
    found = []
    for name in (str(path), f"/vsizip/{archive}/sheet.jp2"):
        with open_bytes(name) as data:
            found.append(inspect(name, data))
    assert found[0] == found[1]
    assert (found[0].width, found[0].height, found[0].tiles) == (130, 90, 15)
    assert found[0].geojp2 == 1
    assert [component.bits for component in found[0].components] == [8] * 4


# --- a second opinion --------------------------------------------------------------------

DECODE = """
import sys, warnings
import numpy as np
warnings.simplefilter("ignore")
import glymur
np.save(sys.argv[2], glymur.Jp2k(sys.argv[1])[:])
"""


def openjpeg_library():
    """The system's OpenJPEG, or the one inside the rasterio wheel."""
    system = ctypes.util.find_library("openjp2")
    if system:
        return system
    inside = [f for f in importlib.metadata.files("rasterio") or [] if "libopenjp2" in f.name]
    return str(inside[0].locate()) if inside else None


def decode_with_glymur(path, folder):
    """Decode with glymur in a process of its own: it reads its settings when imported."""
    library = openjpeg_library()
    if library is None:
        pytest.skip("no OpenJPEG library, neither the system's nor rasterio's")
    (folder / "glymur").mkdir()
    (folder / "glymur" / "glymurrc").write_text(f"[library]\nopenjp2: {library}\n")
    subprocess.run(
        [sys.executable, "-c", DECODE, str(path), str(folder / "pixels.npy")],
        env=os.environ | {"XDG_CONFIG_HOME": str(folder)},
        check=True,
        timeout=60,
    )
    return np.load(folder / "pixels.npy")


def test_glymur_decodes_the_same_pixels(sheet, tmp_path):
    path, _, _ = sheet
    convert(str(path), tmp_path / "scene.tif")
    opinion = decode_with_glymur(path, tmp_path)
    np.testing.assert_array_equal(np.moveaxis(opinion, -1, 0), read(tmp_path / "scene.tif"))
    np.testing.assert_array_equal(read(tmp_path / "scene.tif"), picture())


# --- the command -------------------------------------------------------------------------


def test_the_command(tmp_path, capsys):
    source = write_jp2(tmp_path / "sheet.jp2", picture())
    output = tmp_path / "scenes" / "sheet.tif"
    arguments = ["scenes", str(source), "--output", str(output)]
    assert main([*arguments, "--log", str(tmp_path / "a.log")]) == 0
    assert output.exists()
    shutil.copy(source, tmp_path / "cut.jp2")
    Path(tmp_path / "cut.jp2").write_bytes(source.read_bytes()[:-900])
    assert main(["scenes", str(tmp_path / "cut.jp2"), "--output", str(output)]) == 1
    assert "error: " in capsys.readouterr().err
