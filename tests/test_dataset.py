"""Stage `dataset`: which ground goes where, and what the records hold."""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from pyproj import Geod
from rasterio.crs import CRS
from tile_makers import CORNER, FEET, grid_at, make_scene, striped, textured

from roadmask.__main__ import main
from roadmask.dataset.command import class_weights
from roadmask.dataset.lattice import (
    GROUP,
    Block,
    Ground,
    Lattice,
    crs_key,
    lattice_for,
    tile_grid,
)
from roadmask.dataset.split import (
    SPLITS,
    Candidate,
    Plan,
    Shares,
    deal_group,
    plan_ground,
    plan_pictures,
    require_filled,
    split_of,
    split_pictures,
)
from roadmask.dataset.split_file import blocks_on
from roadmask.distance import Distance, parse_distance
from roadmask.errors import InputError, SettingError
from roadmask.files import sha256
from roadmask.grid import Grid, TileGrid
from roadmask.tone.counts import Tone
from roadmask.tone.flight import Flight

SHARES = Shares(0.7, 0.15, 0.15)
DEGREES = CRS.from_epsg(4326)
BLOCK = parse_distance("256 ft")


def lattice(block: str = "256 ft", crs: CRS = FEET) -> Lattice:
    return lattice_for(crs, parse_distance(block), [])


def candidates_of(scene: str, grid: Grid, size: int, overlap: int = 0) -> list[Candidate]:
    return [
        Candidate(
            scene,
            tile.name,
            crs_key(grid.crs),
            Ground.of(tile_grid(grid, tile.x, tile.y, tile.size)),
        )
        for tile in TileGrid(scene, grid, size, overlap)
    ]


def plan_of(
    scenes: dict[str, Grid], size: int, block: Distance = BLOCK, shares=SHARES, seed=1, overlap=0
) -> tuple[Plan, list[Candidate]]:
    candidates = [
        candidate
        for name, grid in scenes.items()
        for candidate in candidates_of(name, grid, size, overlap)
    ]
    grounds: dict[str, list[Ground]] = {}
    lattices = {}
    for grid in scenes.values():
        key = crs_key(grid.crs)
        grounds.setdefault(key, []).append(Ground.of(grid))
        lattices[key] = lattice_for(grid.crs, block, [grid])
    return plan_ground(grounds, candidates, lattices, shares, seed), candidates


def ground_by_split(plan: Plan, candidates: list[Candidate], crs: CRS | None = None):
    """The union of each split's tiles, brought into one CRS by GeoPandas."""
    unions = {}
    for split in SPLITS:
        held = [c for c in candidates if plan.tiles[c.tile].split == split]
        parts = [
            gpd.GeoSeries([c.ground.outline for c in held if c.key == key], crs=key).to_crs(
                crs or key
            )
            for key in {c.key for c in held}
        ]
        unions[split] = shapely.unary_union([shape for part in parts for shape in part])
    return unions


class TestDeal:
    @given(st.integers(-(10**6), 10**6), st.integers(-(10**6), 10**6), st.integers(0, 99))
    def test_every_group_fills_all_three(self, row, column, seed):
        counts = Counter(deal_group(row, column, SHARES, seed))
        assert sum(counts.values()) == 16
        assert counts["train"] in (11, 12)
        assert counts["val"] in (2, 3)
        assert counts["test"] in (2, 3)

    def test_shares_are_right_on_average(self):
        groups = [deal_group(row, column, SHARES, 1) for row in range(40) for column in range(40)]
        counts = Counter(itertools.chain.from_iterable(groups))
        for split in SPLITS:
            assert counts[split] / 25600 == pytest.approx(SHARES.of(split), abs=0.002)

    def test_each_place_in_the_group_gets_each_split(self):
        groups = np.array([deal_group(row, 0, SHARES, 1) for row in range(400)])
        for split in SPLITS:
            by_cell = (groups == split).mean(axis=0)
            assert np.abs(by_cell - SHARES.of(split)).max() < 0.08

    @given(st.integers(0, 100), st.integers(0, 100))
    def test_a_small_share_gets_one_block_and_none_gets_none(self, row, column):
        counts = Counter(deal_group(row, column, Shares(0.98, 0.02, 0.0), 1))
        assert counts == {"train": 15, "val": 1}

    def test_seed_and_group_matter(self):
        assert deal_group(0, 0, SHARES, 1) != deal_group(0, 0, SHARES, 2)
        assert deal_group(0, 0, SHARES, 1) != deal_group(0, 1, SHARES, 1)

    def test_known_answer(self):
        """The split of data sets out there must not change with a release."""
        second_letters = "".join(split[1] for split in deal_group(241, 964, SHARES, 1))
        assert second_letters == "rrarrrrerrerrarr"

    def test_shares_are_checked(self):
        with pytest.raises(SettingError, match="add up to 1"):
            Shares(0.7, 0.15, 0.2)
        with pytest.raises(SettingError, match="nothing to train on"):
            Shares(0, 0.5, 0.5)


class TestLattice:
    def test_feet_are_whole_survey_feet_from_the_origin(self):
        assert lattice() == Lattice(256.0, 256.0)
        assert lattice().bounds(Block(772, 3856))[:2] == CORNER
        assert lattice("78 m", CRS.from_epsg(32618)) == Lattice(78.0, 78.0)
        assert lattice("256 ft", CRS.from_epsg(32618)).width == pytest.approx(78.0288)

    @given(st.floats(-179, 179), st.floats(-60, 60), st.floats(20, 3000))
    def test_degrees_make_squares_on_the_ground(self, lon, lat, edge):
        blocks = lattice_for(DEGREES, Distance(edge, "m"), [])
        row = int(np.floor(lat / blocks.height))
        block = Block(row, int(np.floor(lon / blocks.width_in(row))))
        left, bottom, right, top = blocks.bounds(block)
        assert left <= lon + 1e-9
        assert lon - 1e-9 <= right
        assert bottom <= lat <= top
        geod = Geod(ellps="WGS84")
        middle = (bottom + top) / 2
        assert geod.inv(left, bottom, left, top)[2] == pytest.approx(edge, rel=0.01)
        assert geod.inv(left, middle, right, middle)[2] == pytest.approx(edge, rel=0.03)

    @given(st.integers(-3000, 3000), st.floats(20, 3000))
    def test_groups_keep_one_width_in_degrees(self, group, edge):
        blocks = lattice_for(DEGREES, Distance(edge, "m"), [])
        rows = range(group * GROUP, (group + 1) * GROUP)
        assert len({blocks.width_in(row) for row in rows}) == 1

    def test_pixels_need_one_size_of_pixel(self):
        grids = [grid_at(*CORNER, 10, 10), grid_at(0, 0, 10, 10)]
        assert lattice_for(FEET, parse_distance("512 px"), grids) == Lattice(256.0, 256.0)
        grids.append(grid_at(0, 0, 10, 10, pixel=1.0))
        with pytest.raises(SettingError, match=r'split\.block: "512 px" is another distance'):
            lattice_for(FEET, parse_distance("512 px"), grids)

    def test_no_size(self):
        with pytest.raises(SettingError, match=r"split\.block"):
            lattice("0 ft")

    def test_a_shared_border_is_no_touch(self):
        ground = Ground.of(grid_at(CORNER[0], CORNER[1] + 256, 512, 512))
        assert list(lattice().touched_by(ground)) == [Block(772, 3856)]

    def test_a_pixel_beyond_the_border_is(self):
        ground = Ground.of(grid_at(CORNER[0] - 0.5, CORNER[1] + 256, 512, 512))
        assert list(lattice().touched_by(ground)) == [Block(772, 3855), Block(772, 3856)]

    @given(st.floats(0, 360), st.integers(1, 700), st.integers(1, 700))
    def test_touched_blocks_are_those_that_share_area(self, angle, width, height):
        transform = Affine.translation(*CORNER) * Affine.rotation(angle) * Affine.scale(0.5, -0.5)
        ground = Ground.of(Grid(width, height, transform, FEET))
        touched = set(lattice().touched_by(ground))
        for row, column in itertools.product(range(770, 776), range(3853, 3860)):
            block = Block(row, column)
            area = lattice().polygon(block).intersection(ground.outline).area
            if area > 2.0:  # square feet, along a margin of 0.0005 ft
                assert block in touched
            if area == 0:
                assert block not in touched
        assert touched


origins = st.tuples(
    st.integers(0, 40).map(lambda step: CORNER[0] + step * 64),
    st.integers(0, 40).map(lambda step: CORNER[1] + step * 64),
)
sheets = st.builds(
    lambda origin, nudge, width, height: grid_at(
        origin[0] + nudge, origin[1] - nudge, width, height
    ),
    origins,
    st.sampled_from([0.0, 0.0, 0.25, 7.5, 33.0]),
    st.integers(300, 1500),
    st.integers(300, 1500),
)


class TestGround:
    @settings(max_examples=40, deadline=None)
    @given(st.lists(sheets, min_size=1, max_size=4), st.sampled_from([0, 32]), st.integers(0, 9))
    def test_no_ground_is_in_two_splits(self, grids, overlap, seed):
        scenes = {f"s{index}": grid for index, grid in enumerate(grids)}
        plan, candidates = plan_of(scenes, 256, seed=seed, overlap=overlap)
        unions = ground_by_split(plan, candidates)
        for one, other in itertools.combinations(SPLITS, 2):
            assert unions[one].intersection(unions[other]).area < 1e-3
        for split in SPLITS:
            ground = shapely.unary_union(
                [
                    lattice().polygon(b)
                    for b, held in plan.blocks["EPSG:2263"].items()
                    if held == split
                ]
            )
            assert unions[split].difference(ground.buffer(1e-3)).area < 1e-3

    @settings(max_examples=40, deadline=None)
    @given(st.lists(sheets, min_size=2, max_size=4), st.integers(0, 9))
    def test_more_sheets_move_nothing(self, grids, seed):
        scenes = {f"s{index}": grid for index, grid in enumerate(grids)}
        few, _ = plan_of({"s0": grids[0]}, 256, seed=seed)
        many, _ = plan_of(scenes, 256, seed=seed)
        assert few.blocks["EPSG:2263"].items() <= many.blocks["EPSG:2263"].items()
        assert few.tiles.items() <= many.tiles.items()

    @settings(max_examples=40, deadline=None)
    @given(st.lists(sheets, min_size=1, max_size=3), st.sampled_from([0, 32]))
    def test_every_tile_is_accounted_for(self, grids, overlap):
        scenes = {f"s{index}": grid for index, grid in enumerate(grids)}
        plan, candidates = plan_of(scenes, 256, overlap=overlap)
        assert list(plan.tiles) == [candidate.tile for candidate in candidates]
        for placement in plan.tiles.values():
            assert bool(placement.split) != bool(placement.reason)

    @settings(max_examples=25, deadline=None)
    @given(st.lists(sheets, min_size=1, max_size=3))
    def test_blocks_cover_all_scenes(self, grids):
        scenes = {f"s{index}": grid for index, grid in enumerate(grids)}
        plan, _ = plan_of(scenes, 256)
        held = shapely.unary_union([lattice().polygon(b) for b in plan.blocks["EPSG:2263"]])
        for grid in grids:
            assert shapely.box(*grid.bounds).difference(held).area < 1

    @given(st.integers(-500, 500), st.integers(-500, 500), st.integers(0, 20))
    @settings(max_examples=20, deadline=None)
    def test_ground_of_a_whole_group_fills_all_three(self, row, column, seed):
        left, top = column * 1024.0, (row + 1) * 1024.0
        plan, _ = plan_of({"s": grid_at(left, top, 2048, 2048)}, 512, seed=seed)
        assert min(plan.counts().values()) >= 2
        assert sum(plan.counts().values()) == 16

    def test_a_tile_between_two_splits_is_left_out_with_that_reason(self):
        plan, candidates = plan_of({"s": grid_at(CORNER[0] + 64, CORNER[1], 4096, 4096)}, 512)
        left_out = [c for c in candidates if not plan.tiles[c.tile].split]
        assert left_out
        for candidate in left_out:
            splits = {split_of(b, SHARES, 1) for b in lattice().touched_by(candidate.ground)}
            names = " and ".join(split for split in SPLITS if split in splits)
            assert len(splits) > 1
            assert plan.tiles[candidate.tile].reason == f"it touches blocks of {names}"

    def test_a_tile_counts_as_far_as_its_scene_reaches(self):
        # The tile is 128 ft wide, its scene ends at the block's border after 64 ft.
        grid = grid_at(CORNER[0] + 192, CORNER[1] + 256, 128, 512)
        plan, _ = plan_of({"s": grid}, 256)
        assert {placement.reason for placement in plan.tiles.values()} == {""}
        assert set(plan.blocks["EPSG:2263"]) == {Block(772, 3856)}

    def test_degrees(self):
        grid = grid_at(-115.3, 36.2, 3000, 3000, pixel=2.7e-6, crs=DEGREES)
        plan, candidates = plan_of({"s": grid}, 128, parse_distance("78 m"))
        unions = ground_by_split(plan, candidates)
        assert all(union.area for union in unions.values())
        for one, other in itertools.combinations(SPLITS, 2):
            assert unions[one].intersection(unions[other]).area < 1e-15

    def test_sheets_in_two_crs_share_no_ground_between_splits(self):
        metres = CRS.from_epsg(32618)
        feet = grid_at(*CORNER, 3000, 3000)
        from pyproj import Transformer

        x, y = Transformer.from_crs("EPSG:2263", metres.to_wkt(), always_xy=True).transform(*CORNER)
        other = grid_at(x + 80, y - 80, 1500, 1500, pixel=0.3, crs=metres)
        plan, candidates = plan_of({"a": feet, "b": other}, 128)
        unions = ground_by_split(plan, candidates, FEET)
        assert all(union.area for union in unions.values())
        for one, other_split in itertools.combinations(SPLITS, 2):
            assert unions[one].intersection(unions[other_split]).area < 1e-3
        # Nor does training touch what is test ground by the other sheet's blocks.
        for key in plan.blocks:
            blocks = lattice_for(CRS.from_string(key), BLOCK, [])
            test = [blocks.polygon(b) for b, held in plan.blocks[key].items() if held == "test"]
            ground = gpd.GeoSeries(test, crs=key).segmentize(5).to_crs(FEET).union_all()
            assert ground.intersection(unions["train"]).area < 1
        assert any("in another CRS" in p.reason for p in plan.tiles.values())


class TestFilled:
    @settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
    @given(st.sampled_from(["1 mi", "2000 ft", "700 m", "9000 px"]), st.integers(0, 20))
    def test_the_size_named_works(self, text, seed):
        block = parse_distance(text)
        scenes = {"s": grid_at(*CORNER, 2048, 2048)}

        def replan(size):
            return plan_of(scenes, 128, size, seed=seed)[0]

        plan = replan(block)
        if min(plan.counts().values()):
            require_filled(plan, SHARES, block, replan)
            return
        with pytest.raises(SettingError) as caught:
            require_filled(plan, SHARES, block, replan)
        named = re.search(r'"([^"]+)" works and gives (\d+) tiles for train', str(caught.value))
        assert named
        counts = replan(parse_distance(named.group(1))).counts()
        assert min(counts.values()) > 0
        assert counts["train"] == int(named.group(2))

    def test_no_size_works(self):
        scenes = {"s": grid_at(*CORNER, 100, 100)}
        with pytest.raises(SettingError, match="no other size of block") as caught:
            require_filled(
                plan_of(scenes, 128)[0], SHARES, BLOCK, lambda size: plan_of(scenes, 128, size)[0]
            )
        assert "1 tiles, 0 of them left out" in str(caught.value)

    def test_a_split_without_a_share_may_be_empty(self):
        shares = Shares(0.8, 0.2, 0.0)
        plan, _ = plan_of({"s": grid_at(*CORNER, 2048, 2048)}, 128, shares=shares)
        require_filled(plan, shares, BLOCK, None)
        assert plan.counts()["test"] == 0


names = st.lists(st.text("abcdefgh", min_size=1, max_size=4), min_size=3, max_size=60, unique=True)


class TestPictures:
    @given(names, st.integers(0, 20))
    def test_all_three_filled(self, pictures, seed):
        splits = split_pictures(pictures, SHARES, seed)
        assert set(splits.values()) == set(SPLITS)
        assert set(splits) == set(pictures)

    @given(names, st.integers(0, 20))
    def test_order_is_no_matter(self, pictures, seed):
        assert split_pictures(pictures, SHARES, seed) == split_pictures(
            reversed(pictures), SHARES, seed
        )

    def test_more_pictures_move_none_once_each_split_has_its_own(self):
        pictures = [f"p{index}" for index in range(300)]
        few, many = (split_pictures(pictures[:n], SHARES, 1) for n in (60, 300))
        assert few.items() <= many.items()
        counts = Counter(many.values())
        assert counts["train"] / 300 == pytest.approx(0.7, abs=0.06)
        assert counts["test"] / 300 == pytest.approx(0.15, abs=0.05)

    def test_an_unusable_picture_fills_no_split(self):
        grid = Grid(64, 64, Affine.identity(), None)
        candidates = [
            Candidate(f"p{index}", f"p{index}_t", "pixel", Ground.of(grid), dropped=dropped)
            for index, dropped in enumerate(["", "blank", "", "blank", "", "blank"])
        ]
        for seed in range(20):
            plan = plan_pictures([c.scene for c in candidates], candidates, SHARES, seed)
            assert set(plan.counts().values()) == {1}

    def test_too_few(self):
        grid = Grid(64, 64, Affine.identity(), None)
        candidates = [Candidate(f"p{i}", f"t{i}", "pixel", Ground.of(grid)) for i in range(2)]
        plan = plan_pictures(["p0", "p1"], candidates, SHARES, 1)
        with pytest.raises(SettingError, match=r"2 pictures leave .* without any tile"):
            require_filled(plan, SHARES, BLOCK, None)


def test_class_weights_are_those_of_scikit_learn():
    from sklearn.utils.class_weight import compute_class_weight

    y = np.repeat([0, 1, 2], [700, 250, 50])
    expected = compute_class_weight("balanced", classes=np.unique(y), y=y)
    found = class_weights({"other": 700, "road": 250, "water": 50, "tree": 0})
    assert list(found.values()) == pytest.approx([*expected, 0], abs=1e-6)


def table_row(tile, verdict="keep", scope="all", reason=""):
    return {
        "tile": tile.name,
        "row": tile.row,
        "col": tile.column,
        "road_share": 0.2,
        **dict.fromkeys(("nodata_share", "unknown_share", "saturated_share", "blank_share"), 0),
        "verdict": verdict,
        "scope": scope,
        "reason": reason,
    }


def write_selection(path: Path, scene, special=()) -> Path:
    path.parent.mkdir(exist_ok=True)
    manifest = scene.manifest
    tiles = TileGrid(manifest.scene, manifest.grid, manifest.size, manifest.overlap)
    rows = [table_row(tile, *dict(special).get(tile.name, ())) for tile in tiles]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return path


def dataset(scenes, tables, output: Path, *more: str, block="32 ft", classes=None) -> int:
    return main(
        [
            *("dataset", "--tiles", *map(str, (scene.tiles for scene in scenes))),
            *("--masks", *map(str, (scene.masks for scene in scenes))),
            *("--selection", *map(str, tables), "--output", str(output)),
            *("--split.train=0.7", "--split.val=0.15", "--split.test=0.15"),
            *(f"--split.block={block}", "--split.seed=1"),
            *("--classes", json.dumps(classes or {"road": 1}), *more),
        ]
    )


def tiles_table(output: Path) -> dict[str, dict[str, str]]:
    with (output.parent / "tiles.csv").open(newline="") as file:
        return {row["tile"]: row for row in csv.DictReader(file)}


def examples(output: Path, split: str):
    import tensorflow as tf

    described = json.loads(output.read_text())["splits"][split]
    for shard in described["shards"]:
        for record in tf.data.TFRecordDataset(str(output.parent / shard["name"])):
            example = tf.train.Example.FromString(record.numpy())
            yield record, example.features.feature


@pytest.fixture(scope="module")
def city(tmp_path_factory):
    """Two sheets of 256 x 256 pixels, tiles of 32: blocks of 64 pixels."""
    root = tmp_path_factory.mktemp("city")
    scenes = [
        make_scene(root, name, grid_at(CORNER[0] + shift, CORNER[1], 250, 256))
        for name, shift in (("a", 0), ("b", 128))
    ]
    tables = [
        write_selection(root / "selection" / f"{scene.manifest.scene}.csv", scene)
        for scene in scenes
    ]
    output = root / "dataset" / "dataset.json"
    assert dataset(scenes, tables, output, "--threads=2", "--shard-bytes=600000") == 0
    return scenes, tables, output


class TestRecords:
    def test_deeplabs_keys_and_pixels(self, city):
        scenes, _, output = city
        by_name = {scene.manifest.scene: scene for scene in scenes}
        rows = tiles_table(output)
        seen = []
        for split in SPLITS:
            for _, features in examples(output, split):
                text = {
                    key: feature.bytes_list.value[0].decode()
                    for key, feature in features.items()
                    if feature.bytes_list.value and not key.endswith("encoded")
                }
                name = text["image/filename"]
                seen.append(name)
                assert rows[name]["split"] == split
                assert text["image/tile"] == name
                assert text["image/format"] == text["image/segmentation/class/format"] == "png"
                for key, value in (("height", 32), ("width", 32), ("channels", 3)):
                    assert features[f"image/{key}"].int64_list.value[:] == [value]
                scene = by_name[text["image/scene"]]
                tile = next(tile for tile in scene.manifest.tiles if tile.name == name)
                window = np.s_[tile.y : tile.y + 32, tile.x : tile.x + 32]
                image = Image.open(io.BytesIO(features["image/encoded"].bytes_list.value[0]))
                label = Image.open(
                    io.BytesIO(features["image/segmentation/class/encoded"].bytes_list.value[0])
                )
                assert (image.mode, image.format) == ("RGB", "PNG")
                assert (label.mode, label.format) == ("L", "PNG")
                expected = np.full((32, 32), 255, np.uint8)
                part = scene.label[window]
                expected[: part.shape[0], : part.shape[1]] = part
                assert np.array_equal(np.asarray(label), expected)
                picture = np.moveaxis(scene.image[(slice(None), *window)], 0, -1)
                found = np.asarray(image)[: part.shape[0], : part.shape[1]]
                assert np.array_equal(found, picture)
                assert CRS.from_wkt(text["image/crs"]) == FEET
                transform = [float(v) for v in features["image/transform"].bytes_list.value]
                place = scene.manifest.grid.window(tile.x, tile.y, 32, 32).transform
                assert transform == list(place)[:6]
                assert "image/bands/encoded" not in features
        assert sorted(seen) == sorted(name for name, row in rows.items() if row["split"])
        assert len(seen) > 40

    def test_every_tile_is_in_the_table_and_in_the_geopackage(self, city):
        scenes, _, output = city
        rows = tiles_table(output)
        assert list(rows) == [tile.name for scene in scenes for tile in scene.manifest.tiles]
        assert all(bool(row["split"]) != bool(row["reason"]) for row in rows.values())
        layer = pyogrio.read_dataframe(output.parent / "split.gpkg", layer="tiles")
        assert list(layer["tile"]) == list(rows)
        assert list(layer["split"]) == [row["split"] for row in rows.values()]
        assert layer.crs == "EPSG:2263"
        # Tiles are drawn as far as their scene reaches.
        assert layer.geometry[7].bounds[2] == CORNER[0] + 125

    def test_geopackage_gives_back_the_test_ground(self, city):
        scenes, _, output = city
        path = output.parent / "split.gpkg"
        blocks = pyogrio.read_dataframe(path, layer="blocks")
        assert set(blocks["split"]) == set(SPLITS)
        tiles = pyogrio.read_dataframe(path, layer="tiles")
        for scene in scenes:
            grid = scene.manifest.grid
            found = {split: blocks_on(path, scene.manifest.scene, grid, split) for split in SPLITS}
            area = sum(
                polygon.intersection(shapely.box(*grid.bounds)).area
                for polygons in found.values()
                for polygon in polygons
            )
            assert area == pytest.approx(shapely.box(*grid.bounds).area)
            for split, polygons in found.items():
                held = tiles[(tiles["split"] == split) & (tiles["scene"] == scene.manifest.scene)]
                assert held.union_all().difference(shapely.unary_union(polygons)).area < 1e-6

    def test_geopackage_has_a_style_for_each_layer(self, city):
        _, _, output = city
        path = output.parent / "split.gpkg"
        assert {name for name, _ in pyogrio.list_layers(path)} == {
            "blocks",
            "tiles",
            "layer_styles",
        }
        styles = pyogrio.read_dataframe(path, layer="layer_styles").set_index("f_table_name")
        for layer in ("blocks", "tiles"):
            renderer = ElementTree.fromstring(styles.loc[layer, "styleQML"]).find("renderer-v2")
            values = {item.get("value") for item in renderer.iter("category")}
            assert values == {*SPLITS, ""}
            assert renderer.get("attr") in pyogrio.read_info(path, layer=layer)["fields"]
            assert styles.loc[layer, "useAsDefault"]
            geometry = pyogrio.read_info(path, layer=layer)["geometry_name"]
            assert styles.loc[layer, "f_geometry_column"] == geometry

    def test_dataset_json_counts_what_the_records_hold(self, city):
        _, _, output = city
        described = json.loads(output.read_text())
        values = []
        for split in SPLITS:
            labels = Counter()
            count = 0
            for _, features in examples(output, split):
                count += 1
                label = Image.open(
                    io.BytesIO(features["image/segmentation/class/encoded"].bytes_list.value[0])
                )
                labels.update(np.asarray(label).ravel().tolist())
                if split == "train":
                    image = Image.open(io.BytesIO(features["image/encoded"].bytes_list.value[0]))
                    pixels = np.asarray(image).reshape(-1, 3)
                    values.append(pixels[pixels.any(axis=1)])  # 0 only past the edge
            told = described["splits"][split]
            assert told["tiles"] == count == sum(shard["records"] for shard in told["shards"])
            assert told["pixels"] == {"other": labels[0], "road": labels[1], "unknown": labels[255]}
            for shard in told["shards"]:
                path = output.parent / shard["name"]
                assert shard["sha256"] == sha256(path)
                assert shard["bytes"] == path.stat().st_size <= 600_000
        assert len(described["splits"]["train"]["shards"]) > 1
        train = np.concatenate(values)
        assert described["channels"]["mean"] == pytest.approx(train.mean(axis=0), abs=1e-5)
        assert described["channels"]["deviation"] == pytest.approx(train.std(axis=0), abs=1e-5)
        assert described["classes"] == ["other", "road"]
        assert described["bands"] == [1, 2, 3]
        assert described["pixel_metres"] == pytest.approx(0.1524, rel=1e-3)
        assert described["warnings"] == []

    def test_the_tone_is_that_of_a_flight_of_all_scenes(self, city, tmp_path):
        scenes, tables, output = city
        tones = []
        for scene in scenes:
            picture = np.moveaxis(scene.image, 0, -1)
            path = tmp_path / f"{scene.manifest.scene}.json"
            Tone.of(picture, np.ones(picture.shape[:2], bool)).write(path)
            tones.append(str(path))
        again = tmp_path / "dataset" / "dataset.json"
        assert dataset(scenes, tables, again, "--tones", *tones) == 0
        assert main(["flight", *reversed(tones), "--output", str(tmp_path / "flight.json")]) == 0

        told = json.loads(again.read_text())["tone"]
        flight = Flight.read(tmp_path / "flight.json")
        # To the last bit: what was trained on is alike itself.
        assert tuple(zip(told["mean"], told["deviation"], strict=True)) == flight.moments
        pixels = np.concatenate([scene.image.reshape(3, -1) for scene in scenes], axis=1)
        assert told["mean"] == pytest.approx(pixels.mean(axis=1))
        assert json.loads(output.read_text())["tone"] is None

    def test_reading_gives_pictures_and_labels_of_known_shape(self, city):
        from roadmask.dataset import reading

        _, _, output = city
        paths = sorted(output.parent.glob("train-*"))
        records = reading.records(paths, bands=3, size=32, threads=2)
        image, label = records.element_spec
        assert (image.shape, label.shape) == ((32, 32, 3), (32, 32))
        pairs = list(records.as_numpy_iterator())
        assert len(pairs) == json.loads(output.read_text())["splits"]["train"]["tiles"]
        assert {array.dtype.name for pair in pairs for array in pair} == {"uint8"}
        record, features = next(examples(output, "train"))
        place = reading.parse_place(record)
        assert place["tile"].numpy() == features["image/tile"].bytes_list.value[0]
        assert place["transform"].numpy()[0] == 0.5

    def test_same_bytes_whatever_the_threads(self, city):
        scenes, tables, output = city
        again = output.parent.parent / "again" / "dataset.json"
        assert dataset(scenes, tables, again, "--threads=5", "--shard-bytes=600000") == 0
        names = sorted(path.name for path in output.parent.iterdir())
        assert names == sorted(path.name for path in again.parent.iterdir())
        for name in names:
            assert (output.parent / name).read_bytes() == (again.parent / name).read_bytes(), name

    def test_shards_of_an_earlier_run_go_and_other_files_stay(self, city, tmp_path):
        scenes, tables, _ = city
        output = tmp_path / "dataset.json"
        stale = tmp_path / "train-00007-of-00099.tfrecord"
        mine = tmp_path / "notes.txt"
        for path in (stale, mine, output):
            path.write_text("x")
        assert dataset(scenes, tables, output) == 0
        assert not stale.exists()
        assert mine.exists()
        shards = {
            shard["name"]
            for split in json.loads(output.read_text())["splits"].values()
            for shard in split["shards"]
        }
        assert shards == {path.name for path in tmp_path.glob("*.tfrecord")}

    def test_a_failed_run_leaves_what_was_there(self, city, tmp_path, capsys):
        scenes, tables, _ = city
        output = tmp_path / "dataset.json"
        assert dataset(scenes, tables, output) == 0
        before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
        assert dataset(scenes, tables, output, block="1 mi") == 1
        assert re.search(r'error: split\.block: .* ".*ft|mi" works', capsys.readouterr().err)
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


class TestSelectionInTheDataset:
    def test_road_share_binds_training_alone(self, city, tmp_path):
        scenes, _, output = city
        rows = tiles_table(output)
        chosen = {
            split: [name for name, row in rows.items() if row["split"] == split][:2]
            for split in SPLITS
        }
        special = {}
        for soft, hard in chosen.values():
            special[soft] = ("drop", "train", "road_share 0 < selection.min_road_share 0.01")
            special[hard] = ("drop", "all", "unknown_share 1 > selection.max_unknown_share 0.2")
        tables = [
            write_selection(tmp_path / "selection" / f"{s.manifest.scene}.csv", s, special.items())
            for s in scenes
        ]
        assert dataset(scenes, tables, tmp_path / "dataset.json") == 0
        found = tiles_table(tmp_path / "dataset.json")
        for split, (soft, hard) in chosen.items():
            assert found[hard]["split"] == ""
            assert found[hard]["reason"].startswith("unknown_share 1 >")
            assert found[soft]["split"] == ("" if split == "train" else split)
        soft = found[chosen["train"][0]]
        assert soft["reason"] == ("road_share 0 < selection.min_road_share 0.01 (in training only)")
        assert json.loads((tmp_path / "dataset.json").read_text())["left_out"]["selection"] == 4

    def test_labels_without_any_class_are_what_is_wrong_and_not_the_split(
        self, city, tmp_path, capsys
    ):
        """As a colour mistyped in classes leaves them: nearly all tiles are dropped for it."""
        scenes, tables, _ = city
        emptied = [tmp_path / table.name for table in tables]
        for table, path in zip(tables, emptied, strict=True):
            rows = list(csv.DictReader(table.open(newline="")))
            with path.open("w", newline="") as file:
                writer = csv.DictWriter(file, rows[0])
                writer.writeheader()
                writer.writerows(
                    {**row, "road_share": 0, "verdict": "drop", "scope": "train"} for row in rows
                )
        assert dataset(scenes, emptied, tmp_path / "dataset" / "dataset.json") == 1
        assert "no tile of any scene has a label of road" in capsys.readouterr().err

    def test_tables_of_other_tiles_are_refused(self, city, tmp_path, capsys):
        scenes, tables, _ = city
        other = tmp_path / "b.csv"
        other.write_text("".join(tables[1].read_text().splitlines(keepends=True)[:-1]))
        assert dataset(scenes, [tables[0], other], tmp_path / "d" / "dataset.json") == 1
        assert f"{other}: its tiles are not those of" in capsys.readouterr().err
        assert dataset(scenes, tables[:1], tmp_path / "d" / "dataset.json") == 1
        assert "no --selection is given for this scene" in capsys.readouterr().err


class TestOtherData:
    def run(self, tmp_path, scenes, **more):
        tables = [
            write_selection(tmp_path / "selection" / f"{scene.manifest.scene}.csv", scene)
            for scene in scenes
        ]
        output = tmp_path / "dataset" / "dataset.json"
        assert dataset(scenes, tables, output, **more) == 0
        return output

    @pytest.mark.parametrize("bands", [1, 2, 4])
    def test_bands_that_are_not_three(self, tmp_path, bands):
        from roadmask.dataset import reading

        scene = make_scene(tmp_path, "s", grid_at(*CORNER, 256, 256), bands=bands)
        output = self.run(tmp_path, [scene])
        records = reading.records(sorted(output.parent.glob("val-*")), bands, size=32)
        images = [image for image, _ in records.as_numpy_iterator()]
        for (_, features), image in zip(examples(output, "val"), images, strict=True):
            name = features["image/tile"].bytes_list.value[0].decode()
            tile = next(tile for tile in scene.manifest.tiles if tile.name == name)
            expected = scene.image[:, tile.y : tile.y + 32, tile.x : tile.x + 32]
            assert np.array_equal(np.moveaxis(image, -1, 0), expected)
            assert features["image/bands/count"].int64_list.value[:] == [bands]
            shown = Image.open(io.BytesIO(features["image/encoded"].bytes_list.value[0]))
            for index, band in enumerate(shown.split()):
                assert np.array_equal(np.asarray(band), expected[min(index, bands - 1)])
        assert len(json.loads(output.read_text())["channels"]["mean"]) == bands

    def test_pictures_that_lie_nowhere(self, tmp_path):
        scenes = [
            make_scene(tmp_path, f"p{index}", Grid(60, 40 + index, Affine.identity(), None))
            for index in range(5)
        ]
        output = self.run(tmp_path, scenes)
        rows = tiles_table(output)
        splits = {}
        for row in rows.values():
            assert splits.setdefault(row["scene"], row["split"]) == row["split"]
        assert set(splits.values()) == set(SPLITS)
        path = output.parent / "split.gpkg"
        assert pyogrio.read_info(path, layer="blocks")["crs"] is None
        for scene in scenes:
            name, grid = scene.manifest.scene, scene.manifest.grid
            assert blocks_on(path, name, grid, splits[name])[0].area == 60 * grid.height
            for other in set(SPLITS) - {splits[name]}:
                assert blocks_on(path, name, grid, other) == []
        _, features = next(examples(output, "train"))
        assert features["image/crs"].bytes_list.value[0] == b""
        assert json.loads(output.read_text())["pixel_metres"] is None

    def test_crs_without_a_code_is_found_again_in_other_words(self, tmp_path):
        own = CRS.from_string(
            "+proj=tmerc +lat_0=40.1 +lon_0=-74 +k=0.9999 +x_0=300000 +datum=NAD83 +units=us-ft"
        )
        assert own.to_epsg() is None
        scene = make_scene(tmp_path, "s", grid_at(*CORNER, 256, 256, crs=own))
        output = self.run(tmp_path, [scene])
        with rasterio.open(scene.tiles.with_suffix("") / "s_r000_c000.tif") as dataset:
            read_back = dataset.crs
        for crs in (own, read_back):
            grid = grid_at(*CORNER, 256, 256, crs=crs)
            held = {s: blocks_on(output.parent / "split.gpkg", "s", grid, s) for s in SPLITS}
            assert all(held.values())
        elsewhere = grid_at(*CORNER, 256, 256)
        assert blocks_on(output.parent / "split.gpkg", "s", elsewhere, "test") == []

    def test_several_classes_and_one_that_nobody_has(self, tmp_path, capsys):
        label = striped(256, 256)
        label[np.arange(256) % 16 == 0] = 2
        scene = make_scene(tmp_path, "s", grid_at(*CORNER, 256, 256), label=label)
        classes = {"road": 1, "other": 0, "water": 2, "tree": 3, "ignore": 9}
        output = self.run(tmp_path, [scene], classes=classes)
        described = json.loads(output.read_text())
        assert described["classes"] == ["other", "road", "water", "tree"]
        assert described["class_weights"]["tree"] == 0
        assert "train has no pixel of class tree in its" in described["warnings"][0]
        assert "warning: train has no pixel of class tree" in capsys.readouterr().err

    def test_masks_with_more_classes_than_named_are_refused(self, tmp_path, capsys):
        label = striped(256, 256) * np.uint8(2)
        label[:3, :3] = 255
        scene = make_scene(tmp_path, "s", grid_at(*CORNER, 256, 256), label=label)
        table = write_selection(tmp_path / "s.csv", scene)
        assert dataset([scene], [table], tmp_path / "d" / "dataset.json") == 1
        assert "classes: the masks hold 2, but the classes are 0 other, 1 road" in (
            capsys.readouterr().err
        )
        assert list((tmp_path / "d").iterdir()) == []

    def test_two_crs_in_one_geopackage(self, tmp_path):
        metres = CRS.from_epsg(32618)
        scenes = [
            make_scene(tmp_path, "a", grid_at(*CORNER, 256, 256)),
            make_scene(tmp_path, "b", grid_at(586000, 4511000, 512, 512, pixel=0.1524, crs=metres)),
        ]
        output = self.run(tmp_path, scenes)
        path = output.parent / "split.gpkg"
        blocks = pyogrio.read_dataframe(path, layer="blocks")
        assert set(blocks["crs"]) == {"EPSG:2263", "EPSG:32618"}
        assert blocks.crs == "EPSG:2263"
        grid = scenes[1].manifest.grid
        found = [p for split in SPLITS for p in blocks_on(path, "b", grid, split)]
        assert shapely.box(*grid.bounds).difference(shapely.unary_union(found)).area < 1
        own = blocks[blocks["crs"] == "EPSG:32618"]
        drawn = own.to_crs(32618).geometry.area
        assert drawn.to_numpy() == pytest.approx(np.full(len(own), 9.7536**2), rel=1e-4)


class TestShards:
    def test_sizes(self):
        from roadmask.dataset.records import shard_sizes

        assert shard_sizes(0, 256, 3, 64 * 2**20) == []
        assert shard_sizes(1, 256, 3, 1) == [1]
        assert shard_sizes(7, 256, 3, 1) == [1] * 7
        sizes = shard_sizes(1000, 256, 3, 64 * 2**20)
        assert sum(sizes) == 1000
        assert max(sizes) - min(sizes) <= 1

    @pytest.mark.parametrize("bands", [1, 3, 5])
    def test_noise_keeps_to_the_limit(self, bands):
        from roadmask.dataset.records import Sample, encode, shard_sizes
        from roadmask.tile_pairs import TilePair

        rng = np.random.default_rng(0)
        image = rng.integers(0, 256, (bands, 128, 128), dtype=np.uint8)
        label = rng.integers(0, 256, (128, 128), dtype=np.uint8)
        pair = TilePair(image, np.ones((128, 128), bool), label, grid_at(0, 0, 128, 128))
        size = len(encode(Sample("s", "t", pair)).record) + 16
        assert shard_sizes(10, 128, bands, 3 * size)[0] <= 3

    def test_damage_is_found(self, city, tmp_path):
        from roadmask.dataset import reading
        from roadmask.dataset.records import digest, verify

        _, _, output = city
        whole = sorted(output.parent.glob("train-*"))[0]
        digests = [digest(*pair) for pair in reading.records([whole], 3).as_numpy_iterator()]
        verify(whole, digests, bands=3, threads=1)
        content = bytearray(whole.read_bytes())
        copy = tmp_path / "train-00000-of-00001.tfrecord"
        content[len(content) // 2] ^= 1
        copy.write_bytes(content)
        with pytest.raises(InputError, match="is broken"):
            verify(copy, digests, bands=3, threads=1)
        copy.write_bytes(whole.read_bytes()[:-5])
        with pytest.raises(InputError, match=f"record {len(digests) - 1} is broken"):
            verify(copy, digests, bands=3, threads=1)
        with pytest.raises(InputError, match=f"it holds {len(digests)} records instead of"):
            verify(whole, [*digests, b""], bands=3, threads=1)
        with pytest.raises(InputError, match="record 0 does not hold the tile"):
            verify(whole, digests[1:], bands=3, threads=1)


def test_tile_with_its_own_mask_is_read_with_it(tmp_path):
    """What lies outside `area` inside a tile becomes 255 in the label."""
    from roadmask.tile_pairs import PairedTiles

    scene = make_scene(tmp_path, "s", grid_at(*CORNER, 32, 32), image=textured(4, 32, 32), bands=4)
    path = scene.tiles.with_suffix("") / "s_r000_c000.tif"
    mask = np.full((32, 32), 255, np.uint8)
    mask[10:] = 0
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as file:
        file.write_mask(mask)
    pair = PairedTiles.open(scene.tiles, scene.masks).read(scene.manifest.tiles[0])
    assert np.array_equal(pair.valid, mask > 0)
    assert (pair.label[10:] == 255).all()
    assert np.array_equal(pair.label[:10], scene.label[:10])
