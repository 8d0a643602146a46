"""Stage tone: exact counts, flights, and pictures brought to the tone that was trained on."""

from __future__ import annotations

import json
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
from affine import Affine
from cards import plain_card
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from rasterio.crs import CRS
from shapely import box

from roadmask.__main__ import main
from roadmask.errors import InputError
from roadmask.grid import Grid
from roadmask.model.card import Card
from roadmask.predictions.tone import MOST_GAIN, gain_of, is_alike, match_of, matches_of
from roadmask.raster import write_cog
from roadmask.tone.counts import Tone, joined
from roadmask.tone.flight import Flight

GRID = Grid(90, 70, Affine(0.5, 0, 987_500, 0, -0.5, 212_500), CRS.from_epsg(2263))
PICTURES = arrays.arrays(np.uint8, (6, 5, 2))
TRAINED = ((100.0, 40.0), (110.0, 30.0), (90.0, 20.0))


def card(mean=(100.0, 110.0, 90.0), deviation=(40.0, 30.0, 20.0)) -> Card:
    return plain_card(band_mean=mean, band_deviation=deviation)


def measure(scene: Path, output: Path, *extra: str) -> Tone:
    assert main(["tone", str(scene), "--output", str(output), *extra]) == 0
    return Tone.read(output)


def test_other_values_than_those_learned_are_told_of_the_network_and_not_of_its_training(
    tmp_path, capsys
):
    scene = tmp_path / "deep.tif"
    write_cog(scene, GRID, np.full((3, *GRID.shape), 900, np.uint16))
    output = tmp_path / "deep.json"
    for extra, words in (
        ((), "imagery.scale: "),
        (("--new",), "it holds uint16, and the network was trained on bytes. Convert it first"),
    ):
        assert main(["tone", str(scene), "--output", str(output), *extra]) == 1
        assert words in capsys.readouterr().err
    assert not output.exists()


# --- counts ------------------------------------------------------------------------------


@given(PICTURES, arrays.arrays(bool, (6, 5)))
def test_moments_are_those_of_the_pixels_that_count(picture, valid):
    moments = Tone.of(picture, valid).moments()
    pixels = picture[valid].astype(float)
    expected = np.stack([pixels.mean(0), pixels.std(0)], 1) if len(pixels) else np.zeros((2, 2))
    assert np.allclose(moments, expected)


@given(PICTURES, st.integers(0, 6))
def test_a_picture_cut_in_two_counts_as_the_whole(picture, row):
    valid = np.ones(picture.shape[:2], bool)
    parts = [Tone.of(picture[part], valid[part]) for part in (slice(row), slice(row, None))]
    whole = Tone.of(picture, valid)
    assert np.array_equal((parts[0] + parts[1]).counts, whole.counts)
    assert (parts[1] + parts[0]).moments() == whole.moments()


def test_moments_of_a_billion_pixels_are_exact():
    counts = np.zeros((1, 256), np.int64)
    counts[0, 254], counts[0, 255] = 3_000_000_000, 1_000_000_000
    [(mean, deviation)] = Tone(counts).moments()
    assert mean == 254.25
    assert deviation == pytest.approx(np.sqrt(3 / 16), rel=1e-12)


def test_a_sheet_cut_in_four_gives_the_flight_of_the_whole(tmp_path):
    picture = np.random.default_rng(3).integers(0, 256, (3, 70, 90), dtype=np.uint8)
    picture[:, 10:30, 40:60] = 0
    scenes = {"whole": (0, 0, 90, 70)}
    scenes |= {
        "a": (0, 0, 37, 41),
        "b": (37, 0, 53, 41),
        "c": (0, 41, 37, 29),
        "d": (37, 41, 53, 29),
    }
    for name, (x, y, width, height) in scenes.items():
        part = picture[:, y : y + height, x : x + width]
        write_cog(tmp_path / f"{name}.tif", GRID.window(x, y, width, height), part, nodata=0)
        measure(tmp_path / f"{name}.tif", tmp_path / "tone" / f"{name}.json")
    for flight, names in (("one", ["whole"]), ("four", ["d", "a", "c", "b"])):
        tones = [str(tmp_path / "tone" / f"{name}.json") for name in names]
        assert main(["flight", *tones, "--output", str(tmp_path / f"{flight}.json")]) == 0
    one, four = (Flight.read(tmp_path / f"{name}.json") for name in ("one", "four"))
    assert one.moments == four.moments
    # Pixels that are 0 in all bands are nodata.
    has_picture = (picture != 0).any(0)
    assert one.pixels == four.pixels == has_picture.sum()
    assert four.scenes == ("a", "b", "c", "d")
    assert one.moments[1][0] == pytest.approx(picture[1][has_picture].mean())


def test_nodata_and_ground_outside_the_area_do_not_count(tmp_path):
    picture = np.full((3, 70, 90), 50, np.uint8)
    picture[:, :, 45:] = 200
    picture[:, :10] = 0
    write_cog(tmp_path / "s.tif", GRID, picture, nodata=0)
    left = box(GRID.bounds[0], GRID.bounds[1], GRID.bounds[0] + 20 * 0.5, GRID.bounds[3])
    gpd.GeoDataFrame(geometry=[left], crs=GRID.crs).to_file(tmp_path / "area.gpkg")
    whole = measure(tmp_path / "s.tif", tmp_path / "t.json")
    inside = measure(
        tmp_path / "s.tif", tmp_path / "t.json", f"--area.path={tmp_path / 'area.gpkg'}"
    )
    assert whole.pixels == 60 * 90
    assert whole.moments() == ((125.0, 75.0),) * 3
    assert inside.pixels == 60 * 20
    assert inside.moments() == ((50.0, 0.0),) * 3


@pytest.mark.parametrize(
    ("values", "nodata", "is_flat"),
    [((255, 255, 255), None, True), ((9, 8, 7), None, True), ((0, 0, 0), 0, False)],
)
def test_a_sheet_of_one_colour_is_told(tmp_path, capsys, values, nodata, is_flat):
    picture = np.stack([np.full(GRID.shape, value, np.uint8) for value in values])
    write_cog(tmp_path / "s.tif", GRID, picture, nodata=nodata)
    assert measure(tmp_path / "s.tif", tmp_path / "t.json").is_flat is is_flat
    assert ("warning: s is one flat colour all over" in capsys.readouterr().err) is is_flat
    picture[1, 30, 40] ^= 1  # any pixel of any band
    write_cog(tmp_path / "s.tif", GRID, picture, nodata=None)
    assert not measure(tmp_path / "s.tif", tmp_path / "t.json").is_flat
    assert "one flat colour" not in capsys.readouterr().err


def test_bands_and_scale_are_those_that_the_network_sees(tmp_path):
    picture = np.stack([np.full((70, 90), value, np.uint16) for value in (100, 1500, 3000)])
    write_cog(tmp_path / "s.tif", GRID, picture)
    tone = measure(
        *(tmp_path / "s.tif", tmp_path / "t.json", "--imagery.bands=3,1", "--imagery.scale=0,3000")
    )
    assert [mean for mean, _ in tone.moments()] == [255, round(100 * 255 / 3000)]


def test_the_same_scene_gives_the_same_bytes(tmp_path):
    write_cog(tmp_path / "s.tif", GRID, np.full((3, 70, 90), 7, np.uint8))
    for name in ("a", "b"):
        measure(tmp_path / "s.tif", tmp_path / f"{name}.json")
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


@pytest.mark.parametrize("text", ["", "{}", '{"counts": [[1, 2]]}', '{"counts": 3}'])
def test_damaged_counts_are_named(tmp_path, text):
    path = tmp_path / "t.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match="Remove it and run again"):
        Tone.read(path)


def test_counts_of_other_bands_are_not_added(tmp_path):
    for name, bands in (("a", 3), ("b", 4)):
        Tone.nothing(bands).write(tmp_path / f"{name}.json")
    with pytest.raises(InputError, match="counts 4 bands"):
        joined([tmp_path / "a.json", tmp_path / "b.json"])


# --- matching ----------------------------------------------------------------------------


@given(
    st.floats(30, 200), st.floats(20, 60), st.floats(60, 190), st.floats(20, 60), st.integers(0, 99)
)
def test_the_matched_picture_has_the_moments_trained_on(mean, deviation, wanted, spread, seed):
    values = np.random.default_rng(seed).normal(mean, deviation / 3, (40, 50, 1))
    picture = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    valid = np.ones((40, 50), bool)
    match = match_of(Tone.of(picture, valid).moments(), [(wanted, spread / 3)])
    [(found, found_deviation)] = Tone.of(match.applied(picture, valid), valid).moments()
    assert found == pytest.approx(wanted, abs=1.5)
    assert found_deviation == pytest.approx(spread / 3, abs=1.5)


def test_gain_and_offset_of_a_camera_are_undone():
    levels = np.arange(256)
    match = match_of([(2 * 40 + 20, 2 * 10)], [(40, 10)])
    assert np.array_equal(match.table[0], np.clip(np.rint((levels - 20) / 2), 0, 255))
    assert match.description == "100.0 ± 20.0 to 40.0 ± 10.0"


def test_the_tone_trained_on_is_the_identity():
    assert np.array_equal(match_of(TRAINED, TRAINED).table, [np.arange(256)] * 3)


def test_what_is_no_picture_stays():
    match = match_of([(10, 5)], [(100, 5)])
    picture = np.array([[[10], [0]]], np.uint8)
    assert match.applied(picture, np.array([[True, False]])).ravel().tolist() == [100, 0]


def test_a_flat_picture_is_moved_and_not_blown_up():
    assert gain_of(0, 40) == gain_of(40, 0) == 1
    assert gain_of(0.5, 40) == MOST_GAIN
    assert gain_of(400, 40) == 1 / MOST_GAIN
    table = match_of([(200, 0.5)], [(100, 40)]).table[0]
    assert (table[199], table[200], table[201]) == (96, 100, 104)


def test_flights_alike_within_the_tolerance_stay():
    near = tuple((mean + 0.09 * spread, spread * 1.09) for mean, spread in TRAINED)
    assert is_alike(near, TRAINED)
    assert not is_alike((*near[:2], (TRAINED[2][0] + 2.1, 20.0)), TRAINED)
    assert not is_alike((*near[:2], (90.0, 17.9)), TRAINED)


def flight(moments, pixels=9, scenes=("a", "b")) -> Flight:
    return Flight("flight_0", scenes, pixels, tuple(moments))


def test_only_flights_that_differ_are_changed(caplog):
    other = flight([(180, 20), (180, 20), (180, 20)], scenes=("c",))
    empty = flight([(0, 0)] * 3, pixels=0, scenes=("d",))
    matches = matches_of([flight(TRAINED), other, empty], card(), Path("m.keras"))
    assert set(matches) == {"c"}
    assert np.array_equal(matches["c"].table, match_of(other.moments, TRAINED).table)


def test_a_card_without_moments_is_warned_of_and_changes_nothing(caplog):
    assert matches_of([flight(TRAINED)], card(None, None), Path("old.keras")) == {}
    assert "old.keras does not say how bright" in caplog.text
    assert matches_of([], card(None, None), Path("old.keras")) == {}


def test_a_flight_of_other_bands_is_refused():
    with pytest.raises(InputError, match="measured on 2 bands"):
        matches_of([flight(TRAINED[:2])], card(), Path("m.keras"))


def test_a_damaged_flight_is_named(tmp_path):
    (tmp_path / "f.json").write_text(json.dumps({"scenes": ["a"]}), encoding="utf-8")
    with pytest.raises(InputError, match="Remove it and run again"):
        Flight.read(tmp_path / "f.json")
