"""The demo city: geometry that holds for any seed, files that are the same for the same seed."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.features import rasterize
from scipy import ndimage
from shapely import LineString

from roadmask.demo import add_arguments, layout, run
from roadmask.demo.canvas import HEIGHT_UNIT, Canvas
from roadmask.demo.changes import cleared, plan_changes
from roadmask.demo.city import planted_changes
from roadmask.demo.pavement import Pavement, pave
from roadmask.demo.streets import Network, plan_network, sheets_ground, whole_ground
from roadmask.demo.vectors import break_lines, centerlines, pavement_edges, split_at_corners
from roadmask.errors import SettingError
from roadmask.files import sha256

NOT_ROADS = ("4", "5", "6", "7", "12", "14")


def city(seed: int) -> tuple[Network, Pavement]:
    network = plan_network(seed)
    return network, pave(network)


@pytest.fixture(scope="module")
def first() -> tuple[Network, Pavement]:
    return city(1)


def make(folder: Path, seed: int, broken_lines: float) -> None:
    """Run the command in a process of its own, as the workflow does."""
    subprocess.run(
        [
            sys.executable,
            "-m",
            "roadmask",
            "demo",
            f"--output={folder}",
            f"--demo.seed={seed}",
            f"--demo.broken_lines={broken_lines}",
        ],
        check=True,
        capture_output=True,
        cwd=Path(__file__).parents[1] / "workflow",
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    make(folder, seed=1, broken_lines=0.2)
    return folder


# Geometry


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 1000))
def test_any_seed_gives_sound_ground(seed):
    network, pavement = city(seed)
    sheets = sheets_ground()
    assert pavement.roads.is_valid
    assert 0.2 < pavement.roads.intersection(sheets).area / sheets.area < 0.4
    for block in pavement.blocks:
        assert block.is_valid
        assert block.intersection(pavement.low).area < 1.0
        assert block.intersection(network.water).area < 1.0
    for strip in (*pavement.medians, *pavement.islands):
        assert strip.intersection(pavement.low).area < 1.0
    # Every special case is there to be met.
    assert pavement.medians
    assert pavement.islands
    assert pavement.low.intersection(pavement.high).area > 1000
    assert sum(road.kind == "ramp" for road in network.roads) == 2
    assert sum(road.open_start or road.open_end for road in network.roads) >= 1
    assert network.paper_streets[0].distance(pavement.roads) < 60


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 1000))
def test_lines_lie_on_roadbed_outlines_and_leave_nothing_but_open_ends(seed):
    network, pavement = city(seed)
    lines = shapely.unary_union(
        [shapely.force_2d(edge.geometry) for edge in pavement_edges(network, pavement)]
    )
    outlines = shapely.unary_union(
        [pavement.low.boundary, pavement.high.boundary, pavement.alleys.boundary]
    )
    assert lines.difference(outlines.buffer(0.02)).length < 0.1
    missing = pavement.roads.boundary.difference(lines.buffer(0.02))
    ends = [cap.buffer(1.5, cap_style="square") for cap in pavement.caps]
    explained = shapely.unary_union([*ends, whole_ground().boundary.buffer(1.0)])
    assert missing.difference(explained).length < 0.5


@pytest.mark.parametrize("seed", [1, 2])
def test_filling_unbroken_lines_gives_the_truth(seed):
    network, pavement = city(seed)
    pixel, margin = 1.0, 300.0
    shape = (
        round((layout.HEIGHT + 2 * margin) / pixel),
        round((layout.WIDTH + 2 * margin) / pixel),
    )
    transform = Affine(pixel, 0, -margin, 0, -pixel, layout.HEIGHT + margin)

    def burn(geometries):
        return rasterize(list(geometries), out_shape=shape, transform=transform).astype(bool)

    walls = burn(
        [shapely.force_2d(edge.geometry) for edge in pavement_edges(network, pavement)]
        + list(pavement.caps)
    )
    used = [
        line.geometry
        for line in centerlines(network, seed)
        if line.fields["STATUS"] == "2" and line.fields["RW_TYPE"] not in NOT_ROADS
    ]
    regions, count = ndimage.label(~walls)
    inside = np.bincount(regions[burn(used) & ~walls], minlength=count + 1)
    road = (inside >= 4)[regions] & ~walls
    truth = burn([pavement.roads])
    edge = round(margin / pixel)
    seen = np.zeros(shape, bool)
    seen[edge:-edge, edge:-edge] = True
    seen &= ~walls
    assert (road & truth & seen).sum() / ((road | truth) & seen).sum() > 0.995


def test_other_seeds_give_other_cities(first):
    other = city(2)[1]
    both = first[1].roads.intersection(other.roads).area
    assert both / first[1].roads.union(other.roads).area < 0.5


# Where map and picture disagree


@pytest.mark.parametrize("seed", [1, 2, 7, 11])
def test_map_and_picture_disagree_on_the_planted_streets_alone_and_on_little_ground(seed):
    network, agreed = city(seed)
    changes = plan_changes(network, agreed, seed)
    assert changes == plan_changes(network, agreed, seed)
    assert len(changes.demolished) == len(changes.new) == 2
    assert len(changes.paper) == 3
    shown = pave(changes.pictured(network), agreed)
    mapped = pave(changes.paved_on_map(network), agreed)
    sheets = sheets_ground()
    disagreed = shapely.symmetric_difference(shown.roads, mapped.roads)
    assert disagreed.area < 0.01 * shown.roads.intersection(sheets).area
    planted = {kind: [] for kind in ("demolished", "new", "paper")}
    for feature in planted_changes(changes, shown, mapped):
        planted[feature.fields["kind"]].append(feature.geometry)
        assert sheets.contains(feature.geometry)
    said = shapely.unary_union([*planted["demolished"], *planted["new"]])
    assert disagreed.difference(said).area < 10
    for ground in planted["new"]:
        assert ground.difference(shown.roads).area < 1
        assert ground.intersection(mapped.roads).area < 1
    for ground in planted["demolished"]:
        assert ground.difference(mapped.roads).area < 1
        assert ground.intersection(shown.roads).area < 1
    for ground in planted["paper"]:
        assert ground.intersection(shown.roads.union(mapped.roads)).area < 1
        assert ground.area > 2000
    # What was taken away leaves the sidewalk and the road beside it alone.
    for ground, street in zip(cleared(changes, shown), changes.demolished, strict=True):
        assert ground.distance(shown.roads) > 11
        assert ground.intersects(street.line)


def test_planted_changes_lie_in_the_map_that_is_wrong(made):
    changes = geopandas.read_file(made / "planted.gpkg", layer="changes")
    axes = geopandas.read_file(made / "centerlines.shp", where=layout.CENTERLINES.where)
    edges = shapely.force_2d(geopandas.read_file(made / "street_lines.shp").union_all())
    truth = geopandas.read_file(made / "truth.gpkg", layer="roads").union_all()
    assert changes["kind"].value_counts().to_dict() == {"demolished": 2, "new": 2, "paper": 3}
    for change in changes.itertuples():
        named = axes[axes["ST_NAME"] == change.name]
        inner = change.geometry.buffer(-2)
        assert truth.intersection(inner).area == pytest.approx(
            inner.area if change.kind == "new" else 0, abs=1
        )
        assert not edges.intersects(inner)
        # An unbroken edge along both sides of a demolished street, and none of the others'.
        along = edges.intersection(change.geometry.boundary.buffer(0.1)).length
        assert (along > 150) == (change.kind == "demolished")
        if change.kind == "new":
            assert not axes.intersects(inner).any()
        else:
            assert named.intersection(change.geometry).length.sum() > 0.9 * change.length_ft - 4


def test_the_picture_shows_new_streets_and_no_demolished_ones(made):
    changes = geopandas.read_file(made / "planted.gpkg", layer="changes")
    grounds = {kind: list(group.geometry) for kind, group in changes.groupby("kind")}

    def greenness(ground):
        values = []
        for sheet in layout.SHEETS:
            with rasterio.open(made / "imagery" / f"{sheet.name}.jp2") as picture:
                inside = rasterize(
                    [ground.buffer(-4)], out_shape=picture.shape, transform=picture.transform
                ).astype(bool)
                bands = picture.read().astype(float)
                values.append((bands[3] - bands[0])[inside])
        return float(np.median(np.concatenate(values)))

    # Asphalt is as bright in the near infrared as in red; lawn is brighter.
    assert all(abs(greenness(ground)) < 8 for ground in grounds["new"])
    assert greenness(grounds["demolished"][0]) > 30


# The map


def test_the_share_of_broken_lines_is_met_and_gaps_are_where_they_are_said_to_be(first):
    edges = pavement_edges(*first)
    broken, gaps = break_lines(edges, 0.5, seed=1)
    assert len(broken) == len(edges)
    assert abs(len(gaps) / len(edges) - 0.5) < 0.03
    for gap in gaps:
        assert 2.0 <= gap.width <= 25.0
    before = shapely.unary_union([shapely.force_2d(edge.geometry) for edge in edges])
    after = shapely.unary_union([shapely.force_2d(edge.geometry) for edge in broken])
    lost = before.difference(after.buffer(1e-3))
    assert lost.length == pytest.approx(sum(gap.width for gap in gaps), rel=0.01)


def test_no_broken_lines_when_none_are_asked_for(first):
    edges = pavement_edges(*first)
    assert break_lines(edges, 0.0, seed=1) == (edges, [])


def test_more_gaps_keep_the_gaps_of_fewer(first):
    edges = pavement_edges(*first)
    few = {gap.line.wkt for gap in break_lines(edges, 0.1, seed=1)[1]}
    many = {gap.line.wkt for gap in break_lines(edges, 0.5, seed=1)[1]}
    assert few < many


def test_lines_are_split_at_corners():
    square = LineString([(0, 0), (100, 0), (100, 50), (0, 50), (0, 0)])
    pieces = split_at_corners(square)
    assert [round(piece.length) for piece in pieces] == [100, 50, 100, 50]


def test_a_gentle_curve_is_not_split():
    along = np.linspace(0, 400, 60)
    assert len(split_at_corners(LineString(np.column_stack([along, 20 * np.sin(along / 90)])))) == 1


def test_centerlines_are_a_little_off_and_carry_the_citys_codes(first):
    network = first[0]
    lines = centerlines(network, seed=1)
    assert {"1", "2", "4", "6", "9", "10", "14"} == {line.fields["RW_TYPE"] for line in lines}
    assert {line.fields["STATUS"] for line in lines} == {"2", "3"}
    identifiers = [line.fields["PHYSICALID"] for line in lines]
    assert len(set(identifiers)) == len(lines)
    axes = shapely.unary_union([road.line for road in network.roads if road.median == 0])
    off = [
        line.geometry.interpolate(0.5, normalized=True).distance(axes)
        for line in lines
        if line.fields["RW_TYPE"] == "2"
    ]
    assert 0 < max(off) <= 3.5
    assert all(len(name) <= 10 for name in lines[0].fields)


# The picture


def test_a_shadow_is_as_long_as_the_sun_is_low():
    canvas = Canvas(sun=np.pi / 2, elevation=np.arctan(2.0))
    canvas.heights[1000:1010, 1000:1100] = round(40 / HEIGHT_UNIT)
    shadow = canvas.shadows()
    # 40 ft of height over a slope of 2 are 20 ft, 40 pixels, to the north.
    column = np.flatnonzero(shadow[:, 1050] > 127)
    assert column.max() in range(997, 1001)
    assert column.min() == pytest.approx(1000 - 40, abs=4)


def test_sheets_have_the_grid_that_layout_promises(made):
    for sheet in layout.SHEETS:
        with rasterio.open(made / "imagery" / f"{sheet.name}.jp2") as picture:
            assert picture.driver == "JP2OpenJPEG"
            assert picture.count == 4
            assert picture.dtypes == ("uint8",) * 4
            assert picture.crs.to_epsg() == layout.EPSG
            assert picture.res == (0.5, 0.5)
            assert picture.bounds.left == layout.WEST + sheet.west
            assert picture.bounds.bottom == layout.SOUTH + sheet.south
            assert picture.bounds.left % 256 == 0
            assert picture.bounds.top % 256 == 0
            assert (picture.width, picture.height) == (2 * sheet.width, 2 * sheet.height)


def test_the_ground_covers_two_whole_groups_of_blocks():
    assert layout.WEST % 1024 == 0
    assert layout.SOUTH % 1024 == 0
    assert (layout.WIDTH // 1024) * (layout.HEIGHT // 1024) >= 2


def test_streets_go_on_across_sheet_borders(made):
    with (
        rasterio.open(made / "imagery" / "demo_1.jp2") as left,
        rasterio.open(made / "imagery" / "demo_2.jp2") as right,
    ):
        last = left.read(window=((0, left.height), (left.width - 4, left.width))).astype(float)
        next_one = right.read(window=((0, right.height), (0, 4))).astype(float)
    across = np.abs(last.mean(axis=2) - next_one.mean(axis=2)).mean()
    elsewhere = np.abs(last.mean(axis=2)[:, 40:] - last.mean(axis=2)[:, :-40]).mean()
    assert across < elsewhere / 2


def test_vegetation_is_bright_in_the_near_infrared_and_water_dark(made):
    greens, waters = [], []
    for sheet in layout.SHEETS:
        with rasterio.open(made / "imagery" / f"{sheet.name}.jp2") as picture:
            red, green, blue, near = picture.read(out_shape=(4, 384, 512)).astype(float)
        greens.append((near - red)[(green > red + 8) & (green > blue + 15)])
        waters.append(near[(blue > red + 12) & (blue < 90)])
    assert np.concatenate(greens).mean() > 30
    assert np.concatenate(waters).mean() < 60


def test_files_hold_what_layout_says(made):
    lines = geopandas.read_file(
        made / "street_lines.shp", where=layout.STREET_LINES.where, engine="pyogrio"
    )
    assert len(lines) == len(geopandas.read_file(made / "street_lines.shp"))
    assert lines.has_z.all()
    assert lines.crs.to_epsg() == layout.EPSG
    everything = geopandas.read_file(made / "centerlines.shp")
    kept = geopandas.read_file(made / "centerlines.shp", where=layout.CENTERLINES.where)
    gone = everything[~everything["PHYSICALID"].isin(kept["PHYSICALID"])]
    assert set(gone["ST_NAME"]) == {"PAPER ST", "RIVER TUNNEL", "FERRY ROUTE", "PARK PATH"}
    assert kept[layout.CENTERLINES.width_field].max() > 30
    roads = geopandas.read_file(made / "truth.gpkg", layer=layout.TRUTH.layer)
    assert roads.geom_type.eq("Polygon").all()
    assert roads.geometry.is_valid.all()
    # On the State Plane, not on the ground's own corner.
    assert roads.total_bounds[0] == pytest.approx(layout.WEST - layout.MARGIN, abs=1)
    assert {Path(path).name for path in layout.OUTPUTS} == {
        path.name for path in made.rglob("*") if path.is_file()
    }


def test_planted_gaps_lie_in_the_file_of_lines(made):
    gaps = geopandas.read_file(made / "planted.gpkg", layer="gaps")
    lines = geopandas.read_file(made / "street_lines.shp")
    assert len(gaps) == pytest.approx(0.2 * len(lines), abs=3)
    assert (lines.geom_type == "MultiLineString").sum() == len(gaps)
    drawn = shapely.force_2d(lines.geometry.union_all())
    # Another level's edge may cross a gap, but nothing runs along it.
    assert (gaps.geometry.intersection(drawn.buffer(0.01)).length < 0.2).all()


def test_the_same_seed_gives_the_same_bytes(made, tmp_path):
    make(tmp_path / "again", seed=1, broken_lines=0.2)
    for path in made.rglob("*"):
        if path.is_file():
            again = tmp_path / "again" / path.relative_to(made)
            assert sha256(path) == sha256(again), path.name


# The command


@pytest.mark.parametrize(
    ("options", "key"),
    [
        (["--demo.seed=-1", "--demo.broken_lines=0.1"], "demo.seed"),
        (["--demo.seed=1", "--demo.broken_lines=1.5"], "demo.broken_lines"),
    ],
)
def test_impossible_settings_are_refused_by_name(options, key, tmp_path):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    with pytest.raises(SettingError, match=key):
        run(parser.parse_args([f"--output={tmp_path}", *options]))
    assert not list(tmp_path.iterdir())


def test_layout_imports_nothing_heavy():
    code = (
        "import sys; import roadmask.demo.layout; "
        "print([m for m in ('numpy', 'rasterio', 'shapely', 'cv2') if m in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[1] / "workflow",
    )
    assert found.stdout.strip() == "[]"
