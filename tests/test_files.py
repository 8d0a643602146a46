"""Files that appear whole or not at all, and rasters that have the same bytes every time."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.crs import CRS

from roadmask.files import replacing, replacing_folder, scratch_file, sha256, write_json
from roadmask.grid import Grid
from roadmask.raster import cog_writer, read_window, write_cog

GRID = Grid(700, 600, Affine(0.5, 0, 987_500, 0, -0.5, 212_500), CRS.from_epsg(2263))


def test_a_file_is_replaced_only_by_success(tmp_path):
    path = tmp_path / "made" / "x.tif"
    with replacing(path) as temporary:
        assert temporary.parent == path.parent
        assert temporary.suffix == ".tif"
        temporary.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_text("half")
        temporary.with_name(temporary.name + ".aux.xml").write_text("side")
        raise RuntimeError
    assert path.read_text() == "new"
    assert [p.name for p in path.parent.iterdir()] == ["x.tif"]


def test_a_block_that_writes_nothing_is_a_fault(tmp_path):
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "x"):
        pass


def test_a_folder_is_swapped_whole(tmp_path):
    folder = tmp_path / "tiles"
    for names in (["a", "b"], ["b", "c"]):
        with replacing_folder(folder) as temporary:
            for name in names:
                (temporary / name).write_text(name)
    assert sorted(p.name for p in folder.iterdir()) == ["b", "c"]
    with pytest.raises(RuntimeError), replacing_folder(folder):
        raise RuntimeError
    assert sorted(p.name for p in folder.iterdir()) == ["b", "c"]
    assert [p.name for p in tmp_path.iterdir()] == ["tiles"]


def test_what_a_killed_run_left_is_in_nobodys_way(tmp_path):
    (tmp_path / ".tiles.part").mkdir()
    (tmp_path / ".tiles.part" / "old").write_text("")
    with replacing_folder(tmp_path / "tiles") as temporary:
        assert list(temporary.iterdir()) == []
    assert list((tmp_path / "tiles").iterdir()) == []


def test_scratch_is_gone_afterwards(tmp_path):
    with scratch_file(tmp_path / "x.tif") as scratch:
        scratch.write_text("")
    assert list(tmp_path.iterdir()) == []


def test_json_and_its_digest(tmp_path):
    write_json(tmp_path / "a.json", {"b": 1})
    assert (tmp_path / "a.json").read_text() == '{\n  "b": 1\n}\n'
    # The example of FIPS 180-4.
    (tmp_path / "abc").write_text("abc")
    assert sha256(tmp_path / "abc").startswith("ba7816bf8f01cfea")


def test_a_cog_keeps_all_it_is_given(tmp_path):
    values = (np.indices(GRID.shape).sum(axis=0) % 3).astype(np.uint8)
    colours = {0: (0, 0, 0, 255), 1: (250, 100, 20, 255)}
    for name in ("a", "b"):
        write_cog(
            tmp_path / f"{name}.tif", GRID, values, nodata=2, colormap=colours,
            descriptions=["label"], tags={"ROADMASK_SCENE": "x"},
        )  # fmt: skip
    assert sha256(tmp_path / "a.tif") == sha256(tmp_path / "b.tif")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.tif", "b.tif"]
    with rasterio.open(tmp_path / "a.tif") as cog:
        np.testing.assert_array_equal(cog.read(1), values)
        assert Grid.from_dataset(cog).same_grid(GRID)
        assert cog.nodata == 2
        assert cog.colormap(1)[1] == colours[1]
        assert cog.descriptions == ("label",)
        assert cog.tags()["ROADMASK_SCENE"] == "x"
        assert cog.overviews(1) == [2]
        assert cog.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_no_band_of_ours_is_taken_for_alpha(tmp_path, count):
    write_cog(tmp_path / "x.tif", GRID, np.ones((count, *GRID.shape), np.uint8))
    with rasterio.open(tmp_path / "x.tif") as cog:
        assert rasterio.enums.ColorInterp.alpha not in cog.colorinterp


def test_a_cog_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError), cog_writer(tmp_path / "x.tif", GRID):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_windows_may_stick_out(tmp_path):
    values = np.arange(GRID.width * GRID.height, dtype=np.uint32).reshape(GRID.shape)
    write_cog(tmp_path / "x.tif", GRID, values)
    with rasterio.open(tmp_path / "x.tif") as dataset:
        window = read_window(dataset, -2, -1, 5, 4, fill=7)
        assert window.shape == (1, 4, 5)
        np.testing.assert_array_equal(window[0, 1:, 2:], values[:3, :3])
        assert (window[0, 0] == 7).all()
        assert (window[0, :, :2] == 7).all()
        assert (read_window(dataset, 5000, 0, 3, 3, fill=7) == 7).all()
