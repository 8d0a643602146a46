"""Command `cut`: rasters of lines and labels fall into the same tiles as the picture."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.crs import CRS

from roadmask.__main__ import main
from roadmask.cut import cut_raster
from roadmask.errors import InputError
from roadmask.grid import Grid, TileGrid
from roadmask.raster import write_cog
from roadmask.style import colour_table, legend, write_paletted_qml
from roadmask.tilesets import TileManifest, tile_path, tiles_folder

NYC = CRS.from_epsg(2263)
SCENE = Grid(70, 50, Affine(0.5, 0, 987500, 0, -0.5, 205000), NYC)
pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


def manifest_of(grid, size=32, overlap=0):
    return TileManifest(
        "sheet", grid, size, overlap, (1, 2, 3), None, tuple(TileGrid("sheet", grid, size, overlap))
    )


def numbers(grid, bands=1, seed=0):
    shape = (bands, grid.height, grid.width)
    return np.random.default_rng(seed).integers(0, 3, shape).astype("uint8")


def cut(raster, manifest, output):
    with rasterio.open(raster) as dataset:
        cut_raster(dataset, manifest, output)
    return output


def read_tile(output, tile):
    with rasterio.open(tile_path(output, tile)) as dataset:
        return dataset.read(), Grid.from_dataset(dataset), dataset.nodata


@settings(max_examples=20, deadline=None)
@given(
    width=st.integers(1, 80),
    height=st.integers(1, 80),
    size=st.integers(8, 40),
    overlap=st.integers(0, 7),
    halo=st.integers(0, 20),
)
def test_each_tile_holds_its_own_ground(width, height, size, overlap, halo, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cut")
    scene = Grid(width, height, SCENE.transform, NYC)
    wide = scene.widened(halo)
    array = numbers(wide, 2)
    write_cog(folder / "lines.tif", wide, array)
    manifest = manifest_of(scene, size, overlap)
    output = cut(folder / "lines.tif", manifest, folder / "tiles.json")
    # An array large enough that no tile sticks out of it.
    ground = np.pad(array, ((0, 0), (0, 3 * size), (0, 3 * size)))
    for tile in manifest.tiles:
        pixels, grid, _ = read_tile(output, tile)
        x, y = tile.x + halo, tile.y + halo
        np.testing.assert_array_equal(pixels, ground[:, y : y + size, x : x + size])
        assert scene.offset_of(grid) == (tile.x, tile.y)


def test_masks_are_unknown_past_the_edge_and_keep_their_colours(tmp_path):
    array = numbers(SCENE)
    write_cog(
        tmp_path / "mask.tif", SCENE, array, nodata=255, colormap=colour_table(["road", "rail"])
    )
    manifest = manifest_of(SCENE)
    output = cut(tmp_path / "mask.tif", manifest, tmp_path / "tiles.json")
    last = manifest.tiles[-1]
    pixels, _, nodata = read_tile(output, last)
    assert nodata == 255
    assert (pixels[:, 18:] == 255).all()
    assert (pixels[:, :, 6:] == 255).all()
    np.testing.assert_array_equal(pixels[:, :18, :6], array[:, 32:, 64:])
    with rasterio.open(tile_path(output, last)) as tile:
        assert tile.colormap(1)[1][:3] == (240, 110, 30)
        assert tile.colormap(1)[255][:3] == (150, 150, 150)


def test_the_manifest_is_the_same_as_that_of_the_picture(tmp_path):
    write_cog(tmp_path / "a.tif", SCENE, numbers(SCENE))
    manifest = manifest_of(SCENE)
    assert TileManifest.read(cut(tmp_path / "a.tif", manifest, tmp_path / "t.json")) == manifest


def test_old_tiles_go(tmp_path):
    write_cog(tmp_path / "a.tif", SCENE, numbers(SCENE))
    output = tmp_path / "t.json"
    cut(tmp_path / "a.tif", manifest_of(SCENE, 16), output)
    cut(tmp_path / "a.tif", manifest_of(SCENE, 32), output)
    assert len(list(tiles_folder(output).iterdir())) == 6


@pytest.mark.parametrize(
    ("grid", "words"),
    [
        (SCENE.window(1, 0, 70, 50), "does not hold all"),
        (SCENE.window(0, 0, 69, 50), "does not hold all"),
        (SCENE.window(-5, -5, 70, 50), "does not hold all"),
        (Grid(70, 50, SCENE.transform, CRS.from_epsg(6539)), "CRS"),
        (
            Grid(70, 50, Affine(0.5, 0, 987500.2, 0, -0.5, 205000), NYC),
            "an offset of",
        ),
        (Grid(35, 25, Affine(1, 0, 987500, 0, -1, 205000), NYC), "another size"),
    ],
)
def test_a_raster_of_another_place_is_refused(grid, words, tmp_path):
    write_cog(tmp_path / "a.tif", grid, numbers(grid))
    with pytest.raises(InputError, match=words):
        cut(tmp_path / "a.tif", manifest_of(SCENE), tmp_path / "t.json")
    assert not (tmp_path / "t").exists()


def test_pixel_mode(tmp_path):
    grid = Grid(40, 40, Affine.identity(), None)
    array = numbers(grid)
    write_cog(tmp_path / "a.tif", grid, array)
    manifest = manifest_of(grid)
    output = cut(tmp_path / "a.tif", manifest, tmp_path / "t.json")
    np.testing.assert_array_equal(read_tile(output, manifest.tiles[0])[0], array[:, :32, :32])


def test_the_command(tmp_path):
    write_cog(tmp_path / "a.tif", SCENE, numbers(SCENE))
    manifest_of(SCENE).write(tmp_path / "image.json")
    arguments = ["cut", str(tmp_path / "a.tif"), "--manifest", str(tmp_path / "image.json")]
    assert main([*arguments, "--output", str(tmp_path / "masks" / "t.json")]) == 0
    assert len(list((tmp_path / "masks" / "t").glob("*.tif"))) == 6
    assert main([*arguments[:3], str(tmp_path / "a.tif"), "--output", str(tmp_path / "x.json")])


def test_the_style_shows_road_and_hides_other(tmp_path):
    import xml.etree.ElementTree as ET

    write_paletted_qml(tmp_path / "a.qml", legend(["road", 'a "quoted" & odd <name>']))
    entries = {
        entry.get("value"): (entry.get("label"), entry.get("color"), entry.get("alpha"))
        for entry in ET.parse(tmp_path / "a.qml").iter("paletteEntry")
    }
    assert entries["0"] == ("other", "#000000", "0")
    assert entries["1"] == ("road", "#f06e1e", "255")
    assert entries["2"][0] == 'a "quoted" & odd <name>'
    assert entries["255"][0] == "not known"


@pytest.mark.parametrize("count", [1, 10, 11, 60, 254])
def test_no_two_classes_share_a_colour(count):
    table = colour_table([f"class {i}" for i in range(count)])
    assert len(set(table.values())) == count + 2
    first = colour_table(["class 0"])
    assert table[1] == first[1] == (240, 110, 30, 255)


def test_the_sources_own_colours_come_first():
    table = colour_table(["a", "b", "c"], [(1, 2, 3), None])
    assert table[1] == (1, 2, 3, 255)
    assert [table[2], table[3]] == [colour_table(["a", "b", "c"])[i] for i in (2, 3)]
