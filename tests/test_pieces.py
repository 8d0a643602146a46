"""The record of pieces and throats: complete, true to the label, the same in every byte."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from drawn_cities import WIDEST, draw_city, rasterized
from rasterio.features import rasterize
from shapely import LineString, box

from roadmask.burn import burn_lines
from roadmask.grid import Grid
from roadmask.lines import write_vectors
from roadmask.masks.pieces import RULES, describe, whole_sheet, write_pieces
from roadmask.masks.regions import label_regions
from roadmask.raster import write_cog

VALUES = {"other": 0, "road": 1, "unknown": 255}


@pytest.fixture(scope="module")
def described():
    """A drawn city with gaps: its raster, its sheet's grid, labels, pieces and throats."""
    city = rasterized(draw_city(305, 0.5))
    result = label_regions(
        city.grid, city.barrier, city.lines, city.centerlines, 2 * WIDEST * 0.3048
    )
    size = city.scored[0]
    length = size.stop - size.start
    sheet = city.grid.window(size.start, size.start, length, length)
    number = np.arange(len(city.centerlines))
    width = np.where(number % 3 == 0, np.nan, 10.0)
    labels = result.labels[city.scored]
    pieces, throats = describe(result.findings, city.grid, sheet, 1000 + number, width, labels)
    return city, sheet, labels, pieces, throats


def test_pieces_cover_the_sheet_once(described):
    _, sheet, _, pieces, _ = described
    assert pieces.is_valid.all()
    assert pieces.area.sum() == pytest.approx(sheet.width * sheet.height)
    assert shapely.union_all(pieces.geometry).area == pytest.approx(pieces.area.sum())
    metres = sheet.pixel_metres[0] * sheet.pixel_metres[1]
    np.testing.assert_allclose(pieces["area_m2"], pieces.area * metres, rtol=1e-6)
    # Nothing was cut out here but the road that is one piece with a line's other side.
    assert (pieces["mask_m2"] <= pieces["area_m2"]).all()
    assert pieces["mask_m2"].sum() == pytest.approx(pieces["area_m2"].sum(), rel=1e-3)
    assert pieces["piece"].tolist() == list(range(1, len(pieces) + 1))


def test_pieces_say_what_the_label_says(described):
    _, sheet, labels, pieces, _ = described
    burnt = rasterize(
        (
            (shape, VALUES[verdict])
            for shape, verdict in zip(pieces.geometry, pieces["verdict"], strict=True)
        ),
        sheet.shape,
        transform=sheet.transform,
        fill=7,
        dtype="uint8",
    )
    assert (burnt == labels).mean() > 0.9999


def test_the_axis_is_as_long_as_the_centerlines_inside(described):
    city, sheet, _, pieces, _ = described
    metres = sheet.pixel_metres[0]
    lines = shapely.union_all(np.asarray(city.centerlines))
    inside = shapely.length(shapely.intersection(lines, pieces.geometry.to_numpy())) * metres
    # A station is of one piece, and stands for up to 3 m; a crossing is entered by four lines.
    np.testing.assert_allclose(pieces["axis_m"], inside, atol=6)
    of_crossings = pieces["kind"] == "intersection"
    assert pieces["axis_m"][of_crossings].sum() == pytest.approx(
        inside[of_crossings].sum(), rel=0.1
    )
    assert pieces["axis_m"].sum() == pytest.approx(inside.sum(), rel=0.01)


def test_evidence_is_in_range_and_fits_the_city(described):
    _, _, _, pieces, _ = described
    for share in ("closed_share", "throat_share", "seen_share"):
        assert pieces[share].dropna().between(0, 1).all()
    assert (pieces["closed_share"] + pieces["throat_share"] <= 1 + 1e-9).all()
    assert set(pieces["rule"]) <= set(RULES)
    assert set(pieces["kind"]) <= {"region", "street", "intersection", "room"}
    streets = pieces[pieces["kind"] == "street"]
    assert streets["source_fid"].notna().all()
    other = (pieces["kind"] != "street") & (pieces["rule"] != "closed_street")
    assert pieces.loc[other, "source_fid"].isna().all()
    long = streets[streets["axis_m"] > 60]
    assert len(long) > 10
    # No street of the city is narrower than 18 ft or wider than the widest, its median aside.
    assert long["width_m"].between(4.5, 1.1 * WIDEST * 0.3048).mean() > 0.95
    assert (long["verdict"] == "road").all()
    blocks = pieces[(pieces["verdict"] == "other") & (pieces["area_m2"] > 2000)]
    assert (blocks["width_m"].isna() | (blocks["width_m"] > 15)).all()
    assert blocks["throat_share"].max() > 0
    given = pieces["given_width_m"].dropna()
    assert len(given)
    assert (given == 10.0).all()


def test_a_closed_street_names_the_centerline_that_alone_runs_in_it():
    rows = range(20, 400, 40)
    grid = Grid(400, 400, rasterio.Affine(1, 0, 0, 0, -1, 400), rasterio.CRS.from_epsg(32118))
    streets = [box(40, y - 5, 360, y + 5) for y in rows]
    centerlines = [LineString([(40, y), (360, y)]) for y in rows]
    # A path goes across the first street, and stands first in the file.
    centerlines.insert(0, LineString([(200, 0), (200, 35)]))
    edges = [street.exterior for street in streets]
    result = label_regions(grid, burn_lines(edges, grid), edges, centerlines, 30.0)
    number = np.arange(len(centerlines))
    pieces, _ = describe(
        result.findings, grid, grid, 1000 + number, np.full(len(number), np.nan), result.labels
    )
    closed = pieces[pieces["rule"] == "closed_street"]
    # From south to north.
    closed = closed.iloc[np.argsort(closed.centroid.y)]
    assert closed["source_fid"].isna().tolist() == [True] + 9 * [False]
    assert closed["source_fid"].tolist()[1:] == list(range(1002, 1011))


def test_every_gap_has_its_throat(described):
    _, sheet, _, _, throats = described
    drawn = draw_city(305, 0.5)
    west, south = sheet.bounds[0], sheet.bounds[1]
    wide = [(point, width) for point, width in drawn.gaps if 4 < width < 24]
    places = shapely.points([[p.x + west, p.y + south] for p, _ in wide])
    inside = shapely.within(places, box(*sheet.bounds))
    tree = shapely.STRtree(throats.geometry.to_numpy())
    _, distance = tree.query_nearest(places[inside], return_distance=True, all_matches=False)
    assert inside.sum() > 10
    assert (distance < 12).mean() > 0.95
    assert set(throats["kind"]) <= {"gap", "end", "cut", "doubt"}
    np.testing.assert_allclose(throats["width_m"], throats.length * 0.3048, rtol=1e-3)


def test_the_same_findings_give_the_same_bytes(described, tmp_path, monkeypatch):
    monkeypatch.setenv("OGR_CURRENT_DATE", "2000-01-01T00:00:00.000Z")
    *_, pieces, throats = described
    for name in ("a", "b"):
        write_pieces(tmp_path / f"{name}.gpkg", pieces, throats)
    assert (tmp_path / "a.gpkg").read_bytes() == (tmp_path / "b.gpkg").read_bytes()
    assert pyogrio.list_layers(tmp_path / "a.gpkg")[:, 0].tolist() == ["pieces", "throats"]
    read = gpd.read_file(tmp_path / "a.gpkg", layer="pieces")
    assert read.crs == pieces.crs
    assert set(read.geom_type) == {"MultiPolygon"}
    assert read["area_m2"].tolist() == pieces["area_m2"].tolist()


def test_ground_behind_a_throat_is_a_room_with_its_throat():
    # A gap wider than any that is closed: the block behind it is parted from the street.
    grid = Grid(600, 400, rasterio.Affine(0.5, 0, 0, 0, -0.5, 200), rasterio.CRS.from_epsg(32118))
    lines = [LineString([(-50, 100), (138, 100)]), LineString([(162, 100), (350, 100)])]
    lines += [LineString([(-50, 112), (350, 112)])]
    centerline = LineString([(-50, 106), (350, 106)])
    result = label_regions(grid, burn_lines(lines, grid), lines, [centerline], 30.0)
    pieces, throats = describe(
        result.findings, grid, grid, np.array([7]), np.array([12.0]), result.labels
    )
    room = pieces[pieces["kind"] == "room"]
    assert room["rule"].tolist() == ["behind_throat"]
    assert room["throat_share"].iloc[0] >= 0
    cut = throats[throats["kind"] == "cut"]
    assert cut["piece"].tolist() == room["piece"].tolist()
    assert cut["width_m"].iloc[0] == pytest.approx(24, abs=3)
    assert cut.geometry.iloc[0].hausdorff_distance(LineString([(138, 100), (162, 100)])) < 4
    street = pieces[pieces["kind"] == "street"]
    assert street["width_m"].iloc[0] == pytest.approx(12, abs=0.5)
    assert street["source_fid"].tolist() == [7]


def test_a_sheet_of_which_nothing_can_be_told_is_one_piece():
    grid = Grid(40, 30, rasterio.Affine(0.5, 0, 0, 0, -0.5, 200), rasterio.CRS.from_epsg(32118))
    pieces, throats = whole_sheet(grid, 255, "no_lines", np.full(grid.shape, 255))
    assert pieces["verdict"].tolist() == ["unknown"]
    assert pieces["area_m2"].iloc[0] == pytest.approx(40 * 30 * 0.25, rel=0.01)
    assert pieces.total_bounds.tolist() == list(grid.bounds)
    assert len(throats) == 0


def run_in(folder: Path, command: list[str]) -> None:
    done = subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(Path(__file__).parent.parent / "workflow"), "PATH": "/usr/bin:/bin"},
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("crs", ["EPSG:2263", None])
@pytest.mark.parametrize("with_lines", [True, False])
def test_the_command_writes_the_record(described, tmp_path, crs, with_lines):
    city, sheet, *_ = described
    where = rasterio.CRS.from_string(crs) if crs else None
    wide = Grid(city.grid.width, city.grid.height, city.grid.transform, where)
    inner = Grid(sheet.width, sheet.height, sheet.transform, where)
    write_cog(tmp_path / "s.tif", inner, np.zeros((1, *inner.shape), np.uint8))
    lines = city.lines if with_lines else city.lines[:0]
    write_cog(
        tmp_path / "l.tif",
        wide,
        np.stack([burn_lines(lines, wide), burn_lines(city.centerlines, wide)]),
    )
    count = len(city.centerlines)
    write_vectors(
        tmp_path / "l.gpkg",
        {
            "street_lines": gpd.GeoDataFrame(
                {"source_fid": range(len(lines))}, geometry=lines, crs=crs
            ),
            "centerlines": gpd.GeoDataFrame(
                {"source_fid": range(count), "width_m": np.full(count, np.nan)},
                geometry=city.centerlines,
                crs=crs,
            ),
        },
    )
    command = [sys.executable, "-m", "roadmask", "masks", "s.tif", "--output", "m.tif"]
    command += ["--labels.method=regions", '--classes={"road": 1}', "--lines=l.tif"]
    command += ["--vectors=l.gpkg", "--pieces=m_pieces.gpkg"]
    command += ["--labels.max_road_width", "150 ft" if crs else "150 px"]
    run_in(tmp_path, command)
    pieces = gpd.read_file(tmp_path / "m_pieces.gpkg", layer="pieces")
    assert (pieces.crs is None) == (crs is None)
    assert pieces.area.sum() == pytest.approx(inner.width * inner.height)
    shares = json.loads((tmp_path / "m.json").read_text())["shares"]
    road = pieces.loc[pieces["verdict"] == "road"].area.sum() / pieces.area.sum()
    assert shares["road"] == pytest.approx(road, abs=1e-4)
    if not with_lines:
        assert pieces["rule"].tolist() == ["no_lines"]
    if crs is None:
        return
    # The record says what was decided, and what islands and area left of it.
    left, bottom, right, top = inner.bounds
    island, area = box(left, bottom, left + 400, top), box(left, bottom, right, bottom + 600)
    for name, shape in (("island", island), ("area", area)):
        gpd.GeoDataFrame(geometry=[shape], crs=crs).to_file(tmp_path / f"{name}.gpkg")
    run_in(tmp_path, [*command, "--labels.islands.path=island.gpkg", "--area.path=area.gpkg"])
    cut = gpd.read_file(tmp_path / "m_pieces.gpkg", layer="pieces")
    assert cut["area_m2"].tolist() == pieces["area_m2"].tolist()
    with rasterio.open(tmp_path / "m.tif") as mask:
        written = (mask.read(1) == 1).sum() * inner.ground_sample_distance**2
    if with_lines:
        assert cut.loc[cut["verdict"] == "road", "mask_m2"].sum() == pytest.approx(
            written, rel=1e-3
        )
        assert 0 < written < 0.7 * pieces.loc[pieces["verdict"] == "road", "mask_m2"].sum()
