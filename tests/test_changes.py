"""Where map and picture disagree: drawn maps and predictions whose differences are known."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import pytest
import rasterio
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.features import rasterize
from shapely import LineString, Point, box
from shapely.geometry.base import BaseGeometry

from roadmask.__main__ import main
from roadmask.changes.finding import Candidate
from roadmask.changes.places import Limits, confidence, find_places
from roadmask.changes.sheet import read_sheet
from roadmask.errors import InputError
from roadmask.files import sha256

FOOT = 1200 / 3937
PIXEL = 0.5
WEST, NORTH = 987136.0, 210432.0
SIZE = 500.0
NONE = shapely.Polygon()

# A street along the sheet and one across it, in feet from the upper left corner of the first.
ALONG = box(-200, -270, 1400, -230)
ACROSS = box(230, -700, 270, 200)
STREETS = shapely.union(ALONG, ACROSS)
# A lane from the street up into the block.
LANE = box(380, -232, 400, -120)
LANE_AXIS = LineString([(390, -250), (390, -120)])


def moved(ground: BaseGeometry, right: float, up: float) -> BaseGeometry:
    return shapely.transform(ground, lambda xy: xy + np.array([right, up]))


def burnt(ground: BaseGeometry, transform: Affine) -> np.ndarray:
    """Return the pixels of one sheet that lie in ground given from the corner."""
    size = round(SIZE / PIXEL)
    if ground.is_empty:
        return np.zeros((size, size), bool)
    placed = moved(ground, WEST, NORTH)
    drawn = rasterize([placed], out_shape=(size, size), transform=transform)
    return np.asarray(drawn, dtype=bool)


@dataclass
class City:
    """What the map has and what the picture shows, in feet from the upper left corner."""

    folder: Path
    on_map: BaseGeometry = STREETS
    shown: BaseGeometry = STREETS
    lines: dict[int, LineString] = field(
        default_factory=lambda: {
            1: LineString([(-200, -250), (1400, -250)]),
            2: LineString([(250, -700), (250, 200)]),
        }
    )
    sheets: tuple[float, ...] = (0.0,)
    flights: tuple[str, ...] = ()
    sure: float = 0.95
    faint: BaseGeometry = NONE
    unknown: BaseGeometry = NONE

    def write(self) -> list[str]:
        """Write masks, probabilities and lines; return the command's arguments."""
        options: dict[str, list[str]] = {"--masks": [], "--probabilities": [], "--vectors": []}
        size = round(SIZE / PIXEL)
        for number, left in enumerate(self.sheets, start=1):
            name = f"sheet_{number}"
            transform = Affine(PIXEL, 0, WEST + left, 0, -PIXEL, NORTH)
            label = burnt(self.on_map, transform).astype(np.uint8)
            label[burnt(self.unknown, transform)] = 255
            chance = np.where(burnt(self.shown, transform), self.sure, 1 - self.sure)
            chance[burnt(self.faint, transform)] = 0.35
            noise = np.random.default_rng(number).normal(0, 0.03, chance.shape)
            steps = np.clip(np.round(254 * (chance + noise)), 0, 254).astype(np.uint8)
            for key, folder, values in (
                ("--masks", "masks", label),
                ("--probabilities", "probability", steps),
            ):
                path = self.folder / folder / f"{name}.tif"
                path.parent.mkdir(parents=True, exist_ok=True)
                with rasterio.open(
                    path, "w", driver="GTiff", width=size, height=size, count=1, dtype="uint8",
                    crs="EPSG:2263", transform=transform, nodata=255,
                ) as target:  # fmt: skip
                    target.write(values, 1)
                options[key].append(str(path))
            options["--vectors"].append(str(self.write_lines(name)))
        # The class raster lends its tag alone.
        options["--predictions"] = options["--probabilities"]
        files = [part for key, paths in options.items() for part in (key, *paths)]
        return files + [part for name in self.flights for part in ("--flight", name, "1")]

    def write_lines(self, name: str) -> Path:
        path = self.folder / f"{name}.gpkg"
        axes = [moved(line, WEST, NORTH) for line in self.lines.values()]
        frame = gpd.GeoDataFrame(
            {"source_fid": list(self.lines), "width_m": np.full(len(axes), np.nan)},
            geometry=axes,
            crs="EPSG:2263",
        )
        pyogrio.write_dataframe(frame, path, layer="centerlines", driver="GPKG")
        return path

    def changes(self, *options: str) -> gpd.GeoDataFrame:
        """Run the stage and read its layer."""
        output = self.folder / "changes" / "changes.gpkg"
        assert main(["changes", *self.write(), *LIMITS, *options, "--output", str(output)]) == 0
        return gpd.read_file(output, layer="changes")


LIMITS = [
    "--changes.min_length=50 ft",
    "--changes.min_width=10 ft",
    "--changes.min_confidence=0.5",
]


def shared(place: BaseGeometry, ground: BaseGeometry) -> float:
    """Return the IoU of a place with ground given from the corner."""
    placed = moved(ground, WEST, NORTH)
    return float(place.intersection(placed).area / place.union(placed).area)


# What is there is found


def test_a_demolished_street_is_found_with_its_length_feature_and_sheet(tmp_path):
    city = City(tmp_path, on_map=shapely.union(STREETS, LANE))
    city.lines[7] = LANE_AXIS
    [place] = city.changes().itertuples()
    assert (place.kind, place.has_road, place.sheets) == ("demolished", "map", "sheet_1")
    assert place.source_fid == 7
    assert place.confidence > 0.85
    assert place.length == pytest.approx(110, abs=8)
    assert place.unit == "US survey foot"
    assert place.length_m == pytest.approx(place.length * FOOT, rel=1e-4)
    assert place.area == pytest.approx(20 * 110, rel=0.06)
    assert place.area_m2 == pytest.approx(place.area * FOOT**2, rel=1e-4)
    assert place.width_m == pytest.approx(20 * FOOT, rel=0.1)
    assert shared(place.geometry, box(380, -230, 400, -120)) > 0.9


def test_a_new_street_is_found_and_has_no_feature(tmp_path):
    city = City(tmp_path, shown=shapely.union(STREETS, LANE))
    [place] = city.changes().itertuples()
    assert (place.kind, place.has_road) == ("new", "picture")
    assert pd.isna(place.source_fid)
    assert place.confidence > 0.8
    assert place.length == pytest.approx(110, abs=8)
    assert shared(place.geometry, box(380, -230, 400, -120)) > 0.9


def test_a_paper_street_is_found_by_its_centerline(tmp_path):
    city = City(tmp_path)
    city.lines[9] = LineString([(390, -250), (390, -40)])
    [place] = city.changes().itertuples()
    assert (place.kind, place.source_fid) == ("paper", 9)
    assert place.confidence > 0.85
    assert place.length == pytest.approx(190, abs=25)


def test_the_most_certain_place_comes_first_and_the_table_has_the_same_rows(tmp_path):
    faint = box(100, -332, 120, -268)
    city = City(
        tmp_path, on_map=shapely.union(STREETS, LANE), shown=shapely.union(STREETS, faint), sure=0.8
    )
    places = city.changes()
    assert list(places["kind"]) == ["demolished", "new"]
    assert list(places["place"]) == [1, 2]
    assert places["confidence"].is_monotonic_decreasing
    table = pd.read_csv(tmp_path / "changes" / "changes.csv")
    assert list(table["place"]) == [1, 2]
    for row, place in zip(table.itertuples(), places.itertuples(), strict=True):
        assert row.confidence == place.confidence
        assert place.geometry.contains(Point(row.x, row.y))
    summary = json.loads((tmp_path / "changes" / "summary.json").read_text())
    assert summary["not_compared"] == {}
    assert summary["compared_shares"] == {"sheet_1": 1.0}
    assert summary["kinds"]["new"]["places"] == 1
    assert summary["kinds"]["paper"]["places"] == 0
    assert summary["kinds"]["demolished"]["length_m"] == pytest.approx(
        places["length_m"][0], abs=0.1
    )


def test_a_street_across_sheets_is_one_place(tmp_path):
    lane = box(380, -150, 640, -130)
    stem = box(380, -232, 400, -130)
    paper = LineString([(420, -400), (600, -400)])
    city = City(tmp_path, shown=shapely.union_all([STREETS, stem, lane]), sheets=(0.0, SIZE))
    city.lines[9] = paper
    places = city.changes()
    assert sorted(places["kind"]) == ["new", "paper"]
    assert set(places["sheets"]) == {"sheet_1,sheet_2"}
    new = places[places["kind"] == "new"].iloc[0]
    assert new["length"] == pytest.approx(350, abs=20)
    drawn = places[places["kind"] == "paper"].iloc[0]
    assert drawn["length"] == pytest.approx(180, abs=6)


def test_overlapping_sheets_count_their_ground_once(tmp_path):
    once = City(tmp_path / "once", on_map=shapely.union(STREETS, LANE)).changes()
    twice = City(
        tmp_path / "twice", on_map=shapely.union(STREETS, LANE), sheets=(0.0, 100.0)
    ).changes()
    assert twice["sheets"][0] == "sheet_1,sheet_2"
    # They are averaged to pixels that do not lie alike: by a tenth of the street's width.
    assert twice["area_m2"][0] == pytest.approx(once["area_m2"][0], rel=0.05)
    assert twice["length_m"][0] == pytest.approx(once["length_m"][0], rel=0.05)


def test_a_crown_over_a_new_street_does_not_cut_it_in_two(tmp_path):
    # As far over the curb as a tree beside it reaches.
    crown = Point(375, -180).buffer(10)
    shown = shapely.union(STREETS, LANE).difference(crown)
    [place] = City(tmp_path, shown=shown).changes().itertuples()
    assert place.length == pytest.approx(110, abs=14)


@pytest.mark.parametrize(
    ("mouth", "faint", "length"),
    [
        (box(380, -232, 400, -180), NONE, None),
        (box(380, -232, 400, -180), box(380, -180, 400, -120), 112),
        # Nothing begins at a road; a yard around it is no street.
        (box(380, -200, 400, -150), box(380, -150, 400, -60), None),
        (box(380, -232, 400, -180), box(330, -180, 450, -60), None),
    ],
)
def test_a_new_street_is_followed_where_the_picture_grows_less_sure(tmp_path, mouth, faint, length):
    city = City(tmp_path, shown=shapely.union(STREETS, mouth), faint=faint)
    places = city.changes("--changes.min_length=80 ft")
    assert list(places["length"].round()) == (
        [] if length is None else [pytest.approx(length, abs=10)]
    )
    if length is not None:
        # The mouth's surface, not the mean of all.
        assert places["shown"][0] > 0.9


# What is no street is not listed


CROWNS = shapely.union_all([Point(x, -232).buffer(8) for x in range(10, 500, 18)])
CARS = shapely.union_all([box(x, -262, x + 30, -253) for x in (20, 90, 330)])


@pytest.mark.parametrize(
    ("on_map", "shown"),
    [
        (STREETS, STREETS),
        (STREETS, STREETS.buffer(3)),
        (STREETS, STREETS.buffer(-3)),
        (STREETS, moved(STREETS, 3, -3)),
        (STREETS, STREETS.difference(CROWNS)),
        # Cars and a truck, a shadow over half of the carriageway.
        (STREETS, STREETS.difference(CARS)),
        (STREETS, STREETS.difference(box(290, -250, 420, -228))),
        # A parking lot, connected and not; a strip that widens the street.
        (STREETS, shapely.union(STREETS, box(320, -390, 440, -290))),
        (STREETS, shapely.union(STREETS, box(320, -390, 440, -268))),
        (STREETS, shapely.union(STREETS, box(290, -290, 480, -268))),
        # Too short, and too narrow.
        (STREETS, shapely.union(STREETS, box(380, -232, 400, -192))),
        (STREETS, shapely.union(STREETS, box(380, -232, 387, -80))),
    ],
)  # fmt: skip
def test_what_is_no_street_is_not_listed(tmp_path, on_map, shown):
    assert City(tmp_path, on_map=on_map, shown=shown).changes().empty


def test_a_ragged_lot_is_less_certain_than_a_street(tmp_path):
    aisles = [box(320 + 24 * k, -400, 332 + 24 * k, -290) for k in range(5)]
    lot = shapely.union_all([*aisles, box(320, -340, 440, -325)])
    shown = shapely.union_all([STREETS, LANE, lot])
    places = City(tmp_path, shown=shown).changes("--changes.min_confidence=0")
    assert shared(places.geometry[0], box(380, -230, 400, -120)) > 0.9
    assert places["confidence"][1:].max() < 0.4


def test_a_centerline_beside_its_road_is_no_paper_street(tmp_path):
    city = City(tmp_path)
    city.lines = {1: LineString([(0, -226), (500, -226)])}
    assert city.changes().empty


def test_ground_without_a_known_label_or_a_picture_says_nothing(tmp_path):
    unknown = box(300, -229, 480, -60)
    city = City(tmp_path, shown=shapely.union(STREETS, LANE), unknown=unknown)
    assert city.changes().empty


def test_less_is_listed_where_more_is_asked_for(tmp_path):
    city = City(tmp_path, shown=shapely.union(STREETS, LANE))
    assert len(city.changes("--changes.min_length=40 m")) == 0
    assert len(city.changes("--changes.min_width=25 ft")) == 0
    assert len(city.changes("--changes.min_confidence=0.99")) == 0


# Where there is nothing to compare


def summary_of(output: Path) -> dict[str, Any]:
    """Return the summary of a stage that found nothing, and check the empty tables."""
    info = pyogrio.read_info(output, layer="changes")
    assert info["features"] == 0
    assert info["geometry_type"] == "MultiPolygon"
    assert {"kind", "confidence", "length_m", "source_fid", "sheets", "flight"} <= set(
        info["fields"]
    )
    assert len(output.with_suffix(".csv").read_text().splitlines()) == 1
    summary = json.loads(output.with_name("summary.json").read_text())
    assert (summary["flights"], summary["compared_shares"]) == ({}, {})
    return summary


def test_pictures_that_lie_nowhere_are_listed(tmp_path):
    for name in ("mask", "probability"):
        with rasterio.open(
            tmp_path / f"{name}.tif", "w", driver="GTiff", width=64, height=64, count=1,
            dtype="uint8",
        ) as target:  # fmt: skip
            target.write(np.zeros((1, 64, 64), np.uint8))
    files = ["--masks", str(tmp_path / "mask.tif")]
    for option in ("--probabilities", "--predictions"):
        files += [option, str(tmp_path / "probability.tif")]
    output = tmp_path / "changes.gpkg"
    assert main(["changes", *files, *LIMITS, "--output", str(output)]) == 0
    assert "lie nowhere" in summary_of(output)["not_compared"]["mask"]


def test_scenes_without_a_map_are_listed_with_the_reason_given(tmp_path):
    output = tmp_path / "changes.gpkg"
    without = ["--without", "there is no map", "a", "b", "--without", "no mask", "c"]
    assert main(["changes", *without, *LIMITS, "--output", str(output)]) == 0
    assert summary_of(output)["not_compared"] == {
        "a": "there is no map",
        "b": "there is no map",
        "c": "no mask",
    }


def test_a_sheet_beyond_the_map_is_listed_and_the_others_are_compared(tmp_path, caplog):
    beyond = box(SIZE, -700, 2 * SIZE, 200)
    city = City(tmp_path, shown=shapely.union(STREETS, LANE), unknown=beyond, sheets=(0.0, SIZE))
    assert list(city.changes("--without", "no mask", "sheet_3")["sheets"]) == ["sheet_1"]
    summary = json.loads((tmp_path / "changes" / "summary.json").read_text())
    assert list(summary["compared_shares"]) == ["sheet_1"]
    assert "does not reach" in summary["not_compared"]["sheet_2"]
    assert summary["not_compared"]["sheet_3"] == "no mask"
    assert "not compared: sheet_2: the map" in caplog.text


def test_a_share_of_a_sheet_is_compared_where_the_map_ends_on_it(tmp_path):
    city = City(tmp_path, shown=shapely.union(STREETS, LANE), unknown=box(0, -700, 125, 200))
    assert len(city.changes()) == 1
    summary = json.loads((tmp_path / "changes" / "summary.json").read_text())
    assert summary["compared_shares"]["sheet_1"] == pytest.approx(0.75, abs=0.005)


def test_two_flights_over_one_ground_have_rows_of_their_own(tmp_path):
    """The old flight shows the lane that the map has; on the new one it is gone."""
    city = City(
        tmp_path, on_map=shapely.union(STREETS, LANE), sheets=(0.0, 60.0),
        flights=("training", "new"),
    )  # fmt: skip
    places = city.changes()
    assert list(places["kind"]) == ["demolished", "demolished"]
    assert dict(zip(places["flight"], places["sheets"], strict=True)) == {
        "training": "sheet_1",
        "new": "sheet_2",
    }
    assert places.geometry[0].intersects(places.geometry[1])
    summary = json.loads((tmp_path / "changes" / "summary.json").read_text())
    assert summary["flights"] == {"training": ["sheet_1"], "new": ["sheet_2"]}


@pytest.mark.parametrize("is_named_road", [True, False])
def test_of_several_classes_road_alone_is_compared(tmp_path, is_named_road):
    """A label of building and road against a network of road and building."""
    city = City(tmp_path, on_map=shapely.union(STREETS, LANE))
    city.write()
    mask, probability = (tmp_path / name / "sheet_1.tif" for name in ("masks", "probability"))
    road = "road" if is_named_road else "street"
    with rasterio.open(mask, "r+") as target:
        label = target.read(1)
        target.write(np.where(label == 1, 2, 1).astype(np.uint8), 1)
        target.update_tags(ROADMASK_CLASSES=json.dumps(["other", "building", road]))
    with rasterio.open(probability) as source:
        shown, profile = source.read(1), source.profile
    profile["count"] = 3
    with rasterio.open(probability, "w", **profile) as target:
        # What is no road is building.
        for band, (name, values) in enumerate(
            (("other", 0 * shown), (road, shown), ("building", 254 - shown)), start=1
        ):
            target.write(values, band)
            target.set_band_description(band, name)
    sheet = read_sheet("s", mask, probability, probability, 10 * FOOT)
    is_street = shown[1::3, 1::3] > 127
    seen = sheet.shown[: len(is_street), : is_street.shape[1]] > 0.5
    if is_named_road:
        assert (seen == is_street).mean() > 0.98
    else:
        assert seen.all()
        assert (sheet.road == 1).all()


def test_distances_in_pixels_are_refused_by_name(tmp_path, caplog):
    options = ["--changes.min_length=40 px", *LIMITS[1:], f"--output={tmp_path / 'c.gpkg'}"]
    assert main(["changes", *options]) == 1
    assert not (tmp_path / "c.gpkg").exists()


def test_rasters_of_two_grids_are_refused(tmp_path):
    City(tmp_path, sheets=(0.0, SIZE)).write()
    with pytest.raises(InputError, match="grid is not that of"):
        read_sheet(
            "sheet_1",
            tmp_path / "masks" / "sheet_1.tif",
            tmp_path / "probability" / "sheet_2.tif",
            tmp_path / "probability" / "sheet_2.tif",
            3.0,
        )


def test_the_same_input_gives_the_same_bytes(tmp_path):
    sums = []
    for name in ("one", "two"):
        city = City(tmp_path / name, shown=shapely.union(STREETS, LANE))
        city.changes()
        folder = city.folder / "changes"
        sums.append({path.name: sha256(path) for path in sorted(folder.iterdir())})
    assert sums[0] == sums[1]
    assert set(sums[0]) == {"changes.gpkg", "changes.csv", "summary.json"}


# Known answers


def test_a_sheet_is_averaged_and_bent_at_the_threshold(tmp_path):
    City(tmp_path).write()
    mask, probability = (tmp_path / name / "sheet_1.tif" for name in ("masks", "probability"))
    with rasterio.open(probability, "r+") as target:
        target.update_tags(ROADMASK_SETTINGS=json.dumps({"prediction.threshold": 0.8}))
        values = np.full((1000, 1000), round(254 * 0.8), np.uint8)
        values[:200] = round(254 * 0.4)
        values[-200:] = 255
        target.write(values, 1)
    sheet = read_sheet("s", mask, probability, probability, 10 * FOOT)
    # A sixth of 10 ft holds three pixels of half a foot.
    assert sheet.grid.transform.a == 1.5
    assert sheet.road.shape == (334, 334)
    assert sheet.metres[0] == pytest.approx(1.5 * FOOT, rel=1e-3)
    assert sheet.shown[10, 10] == pytest.approx(0.25, abs=0.01)
    assert sheet.shown[150, 10] == pytest.approx(0.5, abs=0.01)
    assert np.isnan(sheet.shown[-10, 10])
    with rasterio.open(mask) as source:
        share = (source.read(1) == 1).mean()
    assert sheet.road.mean() == pytest.approx(share, abs=0.002)


def street(kind: str, **changed: object) -> Candidate:
    ground = box(0, 0, 6, 30)
    measures = {
        "kind": kind, "scene": "a", "ground": ground, "area": 180.0, "width": 6.0,
        "shown": 0.9 if kind == "new" else 0.1, "contact": 0.1 if kind == "new" else 0.0,
    }  # fmt: skip
    return Candidate(**(measures | changed))


@pytest.mark.parametrize("kind", ["demolished", "paper", "new"])
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_confidence_is_a_share_and_better_evidence_takes_none_of_it(kind, data):
    share = st.floats(0, 1)
    names = ("shown", "around", "evenness", "across", "contact", "doubt")
    found = {name: data.draw(share) for name in names}
    length = data.draw(st.floats(1, 200))
    value = confidence(street(kind, **found), length, 15.0)
    assert 0 <= value <= 1
    better = found | {
        "shown": max(found["shown"], 0.9) if kind == "new" else found["shown"] / 2,
        "around": found["around"] / 2,
        "evenness": 1.0,
        "across": 1.0,
        "doubt": 0.0,
    }
    assert confidence(street(kind, **better), 2 * length, 15.0) >= value - 1e-12


def test_parts_are_joined_where_they_touch_and_are_of_one_kind():
    limits = Limits(10.0, 3.0, 0.0)
    parts = [
        street("new"),
        street("new", ground=box(0, 30.5, 6, 60), area=177.0, scene="b"),
        street("demolished", ground=box(0, 60.2, 6, 90), area=179.0),
        street("new", ground=box(100, 0, 106, 30)),
    ]
    places = find_places(parts, 1.0, limits)
    assert sorted((place.kind, place.scenes) for place in places) == [
        ("demolished", ("a",)),
        ("new", ("a",)),
        ("new", ("a", "b")),
    ]
    assert max(place.length for place in places) == pytest.approx(357 / 6)
    assert find_places(parts[::-1], 1.0, limits)[0].ground.equals(places[0].ground)
