"""Stage `tiles`: full cover, what the network sees, and the manifest."""

from __future__ import annotations

import json
from dataclasses import replace

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.crs import CRS
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.windows import Window

from roadmask.__main__ import main
from roadmask.errors import InputError, SettingError
from roadmask.files import sha256
from roadmask.grid import Grid, Tile
from roadmask.imagery import (
    check_imagery,
    parse_bands,
    parse_scale,
    read_network_input,
    scale_to_uint8,
)
from roadmask.raster import environment, write_cog
from roadmask.tiles import cut_scene, inside_area, write_tile
from roadmask.tilesets import TileManifest, tile_path, tiles_folder

NYC = CRS.from_epsg(2263)
NORTH_UP = Affine(0.5, 0, 987500, 0, -0.5, 205000)
pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


def picture(bands, height, width, dtype="uint8"):
    return (
        np.random.default_rng(1).integers(1, 200, (bands, height, width), endpoint=True)
    ).astype(dtype)


def make_scene(folder, array, *, crs=NYC, transform=NORTH_UP, nodata=None, name="sheet"):
    path = folder / f"{name}.tif"
    grid = Grid(array.shape[2], array.shape[1], transform, crs)
    write_cog(path, grid, array, nodata=nodata)
    return path


def cut(path, output, *, size=32, overlap=0, bands=(1, 2, 3), scale=None, area=None):
    with environment(), rasterio.open(path) as scene:
        return cut_scene(
            scene,
            path.stem,
            output,
            size=size,
            overlap=overlap,
            bands=bands,
            scale=scale,
            area=area,
        )


def read_tile(path):
    with rasterio.open(path) as dataset:
        return dataset.read(), dataset.dataset_mask() != 0, Grid.from_dataset(dataset)


@settings(max_examples=25, deadline=None)
@given(
    width=st.integers(1, 90),
    height=st.integers(1, 90),
    size=st.integers(8, 48),
    overlap=st.integers(0, 7),
)
def test_tiles_put_together_give_the_scene(width, height, size, overlap, tmp_path_factory):
    overlap = min(overlap, size // 2)
    folder = tmp_path_factory.mktemp("cover")
    array = picture(3, height, width)
    manifest = cut(make_scene(folder, array), folder / "tiles.json", size=size, overlap=overlap)
    together = np.zeros_like(array)
    count = np.zeros((height, width), dtype=int)
    for tile in manifest.tiles:
        pixels, mask, grid = read_tile(tile_path(folder / "tiles.json", tile))
        assert pixels.shape == (3, size, size)
        assert manifest.grid.offset_of(grid) == (tile.x, tile.y)
        rows, columns = min(size, height - tile.y), min(size, width - tile.x)
        place = np.s_[tile.y : tile.y + rows, tile.x : tile.x + columns]
        assert mask[:rows, :columns].all()
        assert not mask[rows:].any()
        assert not mask[:, columns:].any()
        assert not pixels[:, ~mask].any()
        together[:, place[0], place[1]] = pixels[:, :rows, :columns]
        count[place] += 1
    np.testing.assert_array_equal(together, array)
    assert (count >= 1).all()
    if overlap == 0:
        assert (count == 1).all()


def test_neighbours_share_the_overlap(tmp_path):
    manifest = cut(
        make_scene(tmp_path, picture(3, 64, 100)), tmp_path / "t.json", size=32, overlap=8
    )
    first, second = manifest.tiles[:2]
    assert second.x - first.x == 24
    left, right = (read_tile(tile_path(tmp_path / "t.json", t))[0] for t in (first, second))
    np.testing.assert_array_equal(left[:, :, -8:], right[:, :, :8])


def test_the_names_count_from_the_upper_left(tmp_path):
    manifest = cut(make_scene(tmp_path, picture(3, 40, 70)), tmp_path / "t.json")
    assert [tile.name for tile in manifest.tiles] == [
        f"sheet_r00{row}_c00{column}" for row in range(2) for column in range(3)
    ]
    assert sorted(path.stem for path in tiles_folder(tmp_path / "t.json").iterdir()) == [
        tile.name for tile in manifest.tiles
    ]


def test_chosen_bands_in_their_order_and_near_infrared_is_no_alpha(tmp_path):
    array = picture(4, 32, 32)
    scene = make_scene(tmp_path, array)
    cut(scene, tmp_path / "t.json", bands=(4, 1, 2, 3))
    with rasterio.open(tmp_path / "t" / "sheet_r000_c000.tif") as tile:
        np.testing.assert_array_equal(tile.read(), array[[3, 0, 1, 2]])
        assert ColorInterp.alpha not in tile.colorinterp
        assert tile.mask_flag_enums[0] == [MaskFlags.all_valid]


def test_nodata_alpha_and_mask_become_the_tiles_mask(tmp_path):
    array = picture(3, 32, 32)
    array[:, 5:9, 5:9] = 0
    array[0, 20, 20] = 0  # nodata in one band alone is a dark pixel
    expected = np.ones((32, 32), dtype=bool)
    expected[5:9, 5:9] = False
    by_nodata = make_scene(tmp_path, array, nodata=0, name="nodata")

    four = np.concatenate([array, np.where(expected, 255, 0).astype("uint8")[np.newaxis]])
    by_alpha = tmp_path / "alpha.tif"
    profile = {"driver": "GTiff", "width": 32, "height": 32, "dtype": "uint8", "crs": NYC}
    with rasterio.open(
        by_alpha, "w", count=4, transform=NORTH_UP, photometric="RGB", alpha="YES", **profile
    ) as dataset:
        dataset.write(four)

    by_mask = tmp_path / "mask.tif"
    with (
        environment(),
        rasterio.open(by_mask, "w", count=3, transform=NORTH_UP, **profile) as dataset,
    ):
        dataset.write(array)
        dataset.write_mask(expected)

    for path in (by_nodata, by_alpha, by_mask):
        manifest = cut(path, tmp_path / "t.json")
        pixels, mask, _ = read_tile(tile_path(tmp_path / "t.json", manifest.tiles[0]))
        np.testing.assert_array_equal(mask, expected, err_msg=path.name)
        np.testing.assert_array_equal(pixels, np.where(expected, array, 0), err_msg=path.name)


def test_not_a_number_is_no_picture(tmp_path):
    array = picture(2, 32, 32, "float32")
    array[1, 3, 4] = np.nan
    scene = make_scene(tmp_path, array)
    cut(scene, tmp_path / "t.json", bands=(1, 2), scale=((0, 255), (0, 255)))
    pixels, mask, _ = read_tile(tmp_path / "t" / "sheet_r000_c000.tif")
    assert not mask[3, 4]
    assert mask.sum() == 32 * 32 - 1
    assert not pixels[:, 3, 4].any()


# --- area --------------------------------------------------------------------------------


def test_ground_outside_the_area_is_masked_and_tiles_outside_are_listed(tmp_path):
    array = picture(3, 64, 96)
    scene = make_scene(tmp_path, array)
    grid = Grid(96, 64, NORTH_UP, NYC)
    area = shapely.box(*grid.window(10, 0, 40, 32).bounds)
    manifest = cut(scene, tmp_path / "t.json", area=area)
    assert [tile.name for tile in manifest.tiles] == ["sheet_r000_c000", "sheet_r000_c001"]
    assert manifest.outside_area == (
        "sheet_r000_c002",
        "sheet_r001_c000",
        "sheet_r001_c001",
        "sheet_r001_c002",
    )
    first, second = (read_tile(tile_path(tmp_path / "t.json", t)) for t in manifest.tiles)
    assert not first[1][:, :10].any()
    assert first[1][:, 10:].all()
    assert second[1][:, :18].all()
    assert not second[1][:, 18:].any()
    # The picture itself stays, as context.
    np.testing.assert_array_equal(first[0], array[:, :32, :32])


def test_inside_area_counts_pixel_centres():
    grid = Grid(4, 2, Affine(1, 0, 0, 0, -1, 2), NYC)
    assert inside_area(None, grid) is None
    assert inside_area(shapely.box(-1, -1, 9, 9), grid) is None
    assert not inside_area(shapely.box(10, 10, 11, 11), grid).any()
    # Neither a border nor a corner in common makes a pixel part of the area.
    touching = shapely.union_all([shapely.box(4, 0, 9, 9), shapely.box(-3, -3, 0, 0)])
    assert not inside_area(touching, grid).any()
    half = inside_area(shapely.box(0, 0, 1.6, 2), grid)
    np.testing.assert_array_equal(half, [[True, True, False, False]] * 2)


def test_area_from_a_file_through_the_command(tmp_path):
    scene = make_scene(tmp_path, picture(3, 64, 64))
    box = shapely.box(*Grid(64, 64, NORTH_UP, NYC).window(0, 0, 32, 64).bounds)
    frame = gpd.GeoDataFrame({"kept": [1, 0]}, geometry=[box, box.buffer(500)], crs="EPSG:2263")
    frame.to_crs("EPSG:4326").to_file(tmp_path / "area.gpkg")
    arguments = ["tiles", str(scene), "--output", str(tmp_path / "t.json"), "--tiles.size=32"]
    arguments += ["--imagery.bands=1,2,3", f"--area.path={tmp_path / 'area.gpkg'}"]
    assert main([*arguments, "--area.where=kept = 1"]) == 0
    manifest = TileManifest.read(tmp_path / "t.json")
    assert [tile.column for tile in manifest.tiles] == [0, 0]
    assert len(manifest.outside_area) == 2


# --- the manifest ------------------------------------------------------------------------


def test_the_manifest_holds_what_it_was_given(tmp_path):
    manifest = TileManifest(
        scene="a",
        grid=Grid(10, 20, Affine(0.1, 0, 1 / 3, 0, -0.1, 2e6 / 7), NYC),
        size=16,
        overlap=2,
        bands=(1, 4),
        scale=((0.0, 0.1), (3.0, 4.0)),
        tiles=(Tile("a_r000_c000", 0, 0, 0, 0, 16),),
        outside_area=("a_r001_c000",),
    )
    nowhere = replace(manifest, grid=Grid(5, 5, Affine.identity(), None), scale=None)
    for original in (manifest, nowhere):
        original.write(tmp_path / "a.json")
        assert TileManifest.read(tmp_path / "a.json") == original


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"scene": 1, "size": null}'])
def test_what_is_no_manifest(text, tmp_path):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(InputError, match="no manifest of tiles"):
        TileManifest.read(tmp_path / "a.json")


def test_old_tiles_go_and_the_bytes_are_the_same_every_time(tmp_path):
    scene = make_scene(tmp_path, picture(3, 70, 70))
    cut(scene, tmp_path / "t.json", size=16)
    cut(scene, tmp_path / "t.json", size=32)
    first = {path.name: sha256(path) for path in (tmp_path / "t").iterdir()}
    assert len(first) == 9
    manifest = sha256(tmp_path / "t.json")
    cut(scene, tmp_path / "t.json", size=32)
    assert {path.name: sha256(path) for path in (tmp_path / "t").iterdir()} == first
    assert sha256(tmp_path / "t.json") == manifest
    assert not list(tmp_path.rglob(".*"))


def test_a_scene_in_pixel_mode(tmp_path):
    scene = make_scene(tmp_path, picture(3, 40, 40), crs=None, transform=Affine.identity())
    manifest = cut(scene, tmp_path / "t.json")
    assert json.loads((tmp_path / "t.json").read_text())["crs"] is None
    with rasterio.open(tile_path(tmp_path / "t.json", manifest.tiles[3])) as tile:
        assert tile.transform == Affine.translation(32, 32)
        assert tile.crs is None


def test_tiles_say_what_they_were_made_from(tmp_path):
    grid = Grid(32, 32, NORTH_UP, NYC)
    tags = {"ROADMASK_SOURCE": "sheet.jp2", "ROADMASK_GEOREFERENCE": "GeoJP2"}
    write_cog(tmp_path / "sheet.tif", grid, picture(3, 32, 32), tags=tags)
    cut(tmp_path / "sheet.tif", tmp_path / "t.json")
    with rasterio.open(tmp_path / "t" / "sheet_r000_c000.tif") as tile:
        found = tile.tags()
    assert tags.items() <= found.items()
    assert found["ROADMASK_SCENE"] == "sheet"
    assert json.loads(found["ROADMASK_SETTINGS"])["imagery.bands"] == [1, 2, 3]


def test_size_and_overlap_that_do_not_fit(tmp_path):
    scene = make_scene(tmp_path, picture(3, 40, 40))
    with pytest.raises(SettingError, match=r"^tiles\.size"):
        cut(scene, tmp_path / "t.json", size=0)
    with pytest.raises(SettingError, match=r"^tiles\.overlap"):
        cut(scene, tmp_path / "t.json", size=16, overlap=16)


# --- bands and scaling -------------------------------------------------------------------


def test_scaling_is_linear_rounded_and_clipped():
    values = np.array([[[-5, 0, 1, 50, 99, 100, 9999]]], dtype="int16")
    np.testing.assert_array_equal(
        scale_to_uint8(values, [(0, 100)]), [[[0, 0, 3, 128, 252, 255, 255]]]
    )
    assert scale_to_uint8(values, [(0, 100)]).dtype == np.uint8


def test_each_band_has_its_limits_and_bytes_stay():
    values = np.full((2, 1, 1), 10, dtype="uint16")
    assert scale_to_uint8(values, [(0, 10), (0, 20)]).ravel().tolist() == [255, 128]
    bytes_ = np.arange(256, dtype="uint8").reshape(1, 16, 16)
    np.testing.assert_array_equal(scale_to_uint8(bytes_, None), bytes_)
    with pytest.raises(ValueError, match="needs a scale"):
        scale_to_uint8(values, None)


@given(st.lists(st.integers(0, 65535), min_size=1, max_size=50), st.data())
def test_scaling_never_turns_an_order_round(values, data):
    low = data.draw(st.integers(0, 65534))
    high = data.draw(st.integers(low + 1, 65535))
    row = np.array(sorted(values), dtype="uint16").reshape(1, 1, -1)
    assert (np.diff(scale_to_uint8(row, [(low, high)]).astype(int)) >= 0).all()


def test_the_limits_are_the_same_for_all_tiles(tmp_path):
    array = np.tile(np.arange(64, dtype="uint16") * 40, (1, 32, 1))
    cut(make_scene(tmp_path, array), tmp_path / "t.json", bands=(1,), scale=((0, 2550),))
    tiles = [read_tile(tmp_path / "t" / f"sheet_r000_c00{i}.tif")[0] for i in range(2)]
    np.testing.assert_array_equal(np.concatenate(tiles, axis=2), array // 10)


def test_read_network_input_beyond_all_edges(tmp_path):
    array = picture(3, 20, 30)
    with rasterio.open(make_scene(tmp_path, array)) as scene:
        pixels, valid = read_network_input(scene, Window(-4, -6, 50, 40), (1, 2, 3), None)
        away, nothing = read_network_input(scene, Window(90, 90, 8, 8), (1, 2, 3), None)
    expected = np.zeros((40, 50, 3), dtype="uint8")
    expected[6:26, 4:34] = np.moveaxis(array, 0, -1)
    np.testing.assert_array_equal(pixels, expected)
    assert valid.sum() == 600
    assert valid[6:26, 4:34].all()
    assert not away.any()
    assert not nothing.any()


def test_imagery_that_does_not_fit_the_settings(tmp_path):
    with rasterio.open(make_scene(tmp_path, picture(3, 32, 32))) as scene:
        with pytest.raises(SettingError, match=r"^imagery\.bands: band 4 is not in .* has 3"):
            check_imagery(scene, (1, 2, 4), None)
        check_imagery(scene, (3, 1), None)
    wide = np.linspace(100, 3000, 32 * 32, dtype="float32").reshape(1, 32, 32)
    with rasterio.open(make_scene(tmp_path, wide, name="wide")) as scene:
        with pytest.raises(SettingError, match=r"^imagery\.scale.*from 100 to 3000.*\[158, 2942"):
            check_imagery(scene, (1,), None)
        check_imagery(scene, (1,), ((0, 3000),))


def test_alpha_and_palette_are_no_brightness(tmp_path):
    profile = {"driver": "GTiff", "width": 32, "height": 32, "dtype": "uint8"}
    with rasterio.open(
        tmp_path / "a.tif", "w", count=4, photometric="RGB", alpha="YES", **profile
    ) as dataset:
        dataset.write(picture(4, 32, 32))
    with rasterio.open(tmp_path / "p.tif", "w", count=1, **profile) as dataset:
        dataset.write_colormap(1, {0: (1, 2, 3, 255)})
        dataset.write(picture(1, 32, 32))
    for name, band, words in (("a", 4, "is alpha"), ("p", 1, "palette")):
        with (
            rasterio.open(tmp_path / f"{name}.tif") as scene,
            pytest.raises(SettingError, match=rf"imagery\.bands: band {band}.*{words}"),
        ):
            check_imagery(scene, (band,), None)


def test_reading_bands_and_scale_from_text():
    assert parse_bands("4,1,2") == (4, 1, 2)
    assert parse_scale(None, 3) is None
    assert parse_scale("0,3000", 2) == ((0, 3000), (0, 3000))
    assert parse_scale("0,1;-2.5,7", 2) == ((0, 1), (-2.5, 7))
    for text in ("", "a", "0", "1,1", "1,2,3,x"):
        with pytest.raises(SettingError, match=r"^imagery\.bands"):
            parse_bands(text if text != "0" else "0,1")
    for text in ("", "a,b", "5", "3,1", "1,2,3", "0,1;0,2"):
        with pytest.raises(SettingError, match=r"^imagery\.scale"):
            parse_scale(text, 3)


def test_a_tile_of_any_edge_and_type(tmp_path):
    for size, dtype in ((32, "uint8"), (50, "float32"), (600, "uint16")):
        array = picture(2, size, size, dtype)
        write_tile(tmp_path / "x.tif", array, Grid(size, size, NORTH_UP, NYC), nodata=3)
        pixels, _, grid = read_tile(tmp_path / "x.tif")
        np.testing.assert_array_equal(pixels, array)
        assert grid.transform == NORTH_UP
