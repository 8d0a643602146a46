"""What is measured of each tile's label: on drawn grounds whose answer is known."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.crs import CRS
from rasterio.io import DatasetReader
from shapely import LineString, box
from tile_makers import make_scene

from roadmask.__main__ import main
from roadmask.errors import InputError
from roadmask.grid import Grid, Tile
from roadmask.lines import write_vectors
from roadmask.quality import alongside, evidence, likeness, offset, unmapped
from roadmask.quality.alongside import LabelWindow
from roadmask.quality.columns import MEASURES, Evidence, PieceSums, Shares, read_table
from roadmask.quality.command import GOOD_AGREEMENT, Measured, with_neighbours, with_usual_edges
from roadmask.quality.doubt import SIGNS, doubt, readings
from roadmask.quality.edges import length, outline_edges, picture_edges
from roadmask.quality.offset import REACH, Correlation, correlate, estimate, peak
from roadmask.quality.pieces import Pieces
from roadmask.quality.reference import distribution, tile_iou
from roadmask.quality.shares import NOTHING, sharpness
from roadmask.raster import write_cog
from roadmask.style import UNKNOWN

SEEN = np.ones((256, 256), bool)
FINE = Shares(0.3, 0.0, 0.0, 0.0, 0.0)


def measured(row: int, column: int, evidence: Evidence) -> Measured:
    """Return a tile with road of which only the evidence is known."""
    tile = Tile(f"{row}{column}", row, column, 32 * column, 32 * row, 32)
    return Measured(tile, FINE, 0.0, evidence, PieceSums(), was_cut=True)


UTM = CRS.from_epsg(32618)


def ground(height: int, width: int, seed: int = 1) -> np.ndarray:
    """A picture of noise, on which streets can be painted."""
    return np.random.default_rng(seed).normal(120, 12, (height, width)).clip(0, 255)


def streets(height: int, width: int, step: int = 150, half: int = 20) -> np.ndarray:
    """Road of a grid of streets, two of them at a slant, so that offsets show everywhere."""
    rows, columns = np.mgrid[:height, :width]
    road = (abs(rows % step - step // 2) < half) | (abs(columns % step - step // 2) < half)
    slant = abs((rows + columns) % (3 * step) - step) < half
    return road | slant


class TestEdges:
    def test_an_edge_has_its_direction_without_a_sign(self):
        picture = np.zeros((40, 40, 1), np.uint8)
        picture[:, 15:25] = 200  # a bright strip has two edges of one direction
        field = picture_edges(picture, np.ones((40, 40), bool))
        for column in (15, 25):
            assert field[0, 20, column] > 0.5
            assert abs(field[1, 20, column]) < 1e-3

    def test_edges_across_each_other_are_opposite(self):
        picture = np.zeros((40, 40, 1), np.uint8)
        picture[20:] = 200
        assert picture_edges(picture, np.ones((40, 40), bool))[0, 20, 20] < -0.5

    def test_light_and_contrast_change_nothing(self):
        picture = ground(64, 64)[..., None]
        picture[:, 30:] += 60
        seen = np.ones((64, 64), bool)
        one = picture_edges((picture / 2).astype(np.float32), seen)
        two = picture_edges((picture / 4 + 90).astype(np.float32), seen)
        np.testing.assert_allclose(one, two, atol=5e-3)

    def test_the_end_of_the_picture_is_no_edge(self):
        picture = np.full((40, 40, 3), 150, np.uint8)
        valid = np.ones((40, 40), bool)
        valid[:, 20:] = False
        picture[~valid] = 0
        assert not picture_edges(picture, valid).any()

    def test_what_is_not_known_has_no_outline(self):
        label = np.zeros((40, 40), np.uint8)
        label[:, 20:] = 255
        assert not outline_edges(label).any()
        label[:, 20:] = 1
        assert length(outline_edges(label))[20, 20] > 0.1


def paired(label: np.ndarray, shift: tuple[int, int], seed: int = 1) -> list[Correlation]:
    """Correlate a label with a picture that lies `shift` (right, down) pixels beside it."""
    height, width = label.shape
    moved = np.roll(label, (shift[1], shift[0]), axis=(0, 1))
    picture = ground(height, width, seed) - 40.0 * moved
    picture = picture.clip(0, 255).astype(np.uint8)[..., None]
    there = picture_edges(picture, np.ones(label.shape, bool))
    here = outline_edges(label.astype(np.uint8))
    return [
        correlate(
            there[:, y - REACH : y + 128 + REACH, x - REACH : x + 128 + REACH],
            here[:, y : y + 128, x : x + 128],
        )
        for y in range(REACH, height - 128 - REACH, 128)
        for x in range(REACH, width - 128 - REACH, 128)
    ]


class TestOffset:
    @pytest.mark.parametrize("shift", [(0, 0), (15, -9), (-12, 15), (3, 1), (-15, -15)])
    def test_planted_offsets_are_found(self, shift):
        found = estimate([paired(streets(512, 512), shift)])
        assert found.is_clear
        assert (found.right, -found.up) == pytest.approx(shift, abs=0.3)
        assert found.sigma < 0.3
        assert found.size == pytest.approx(math.hypot(*shift), abs=0.5)

    def test_noise_alone_has_no_clear_offset(self):
        label = streets(512, 512).astype(np.uint8)
        picture = ground(512, 512, 5).astype(np.uint8)[..., None]
        there = picture_edges(picture, np.ones((512, 512), bool))
        here = outline_edges(label)
        blocks = [
            correlate(
                there[:, y - 32 : y + 160, x - 32 : x + 160], here[:, y : y + 128, x : x + 128]
            )
            for y in range(32, 352, 128)
            for x in range(32, 352, 128)
        ]
        found = estimate([blocks])
        assert not found.is_clear

    def test_nothing_to_go_by_gives_nothing(self):
        empty = Correlation(np.zeros((offset.LAGS, offset.LAGS), np.float32), 0.0)
        assert estimate([[empty] * 20]) is None

    def test_blocks_that_disagree_make_it_uncertain(self):
        half = paired(streets(512, 512), (10, 0))[:4] + paired(streets(512, 512), (-10, 0))[:4]
        found = estimate([half])
        assert found.sigma_right > 5
        assert not found.is_clear

    @pytest.mark.parametrize(("strength", "is_clear"), [(3.5, True), (7.0, False)])
    def test_a_block_that_draws_aside_is_outvoted(self, strength, is_clear):
        """Of the draws, few have the block that sees something else so often that it wins."""

        def peak_at(right: int, down: int, height: float) -> Correlation:
            rows, columns = np.mgrid[: offset.LAGS, : offset.LAGS] - REACH
            scores = height * np.exp(-((rows - down) ** 2 + (columns - right) ** 2) / 8)
            return Correlation(scores.astype(np.float32), 100.0)

        found = estimate([[peak_at(4, -3, 1.0)] * 11 + [peak_at(-20, 9, strength)]])
        assert (found.right, found.up) == pytest.approx((4, 3), abs=0.05)
        assert found.is_clear is is_clear
        assert (found.sigma < 0.5) is is_clear

    def test_the_same_every_time(self):
        blocks = [paired(streets(512, 512), (4, 4))]
        assert estimate(blocks) == estimate(blocks)

    def test_blocks_of_one_street_are_one_witness(self):
        """Every 4 x 4 blocks see one street, and each street lies off by an amount of its own."""
        of_streets = np.random.default_rng(7).normal(0, 1, (4, 4, 2))
        down, right = np.mgrid[-REACH : REACH + 1, -REACH : REACH + 1]

        def block(row: int, column: int) -> Correlation:
            off = of_streets[row // 4, column // 4]
            scores = np.exp(-((right - off[0]) ** 2 + (down - off[1]) ** 2) / 50)
            return Correlation(scores.astype(np.float32), 100.0)

        found = estimate([[block(row, column) for column in range(16)] for row in range(16)])
        true_sigma = of_streets.std(axis=(0, 1)) / 4
        assert found.sigma_right == pytest.approx(math.hypot(true_sigma[0], 0.15), rel=0.25)
        assert found.sigma_up == pytest.approx(math.hypot(true_sigma[1], 0.15), rel=0.25)

    @given(st.floats(-8, 8), st.floats(-8, 8))
    @settings(max_examples=30, deadline=None)
    def test_a_peak_between_pixels(self, right, up):
        rows, columns = np.mgrid[-REACH : REACH + 1, -REACH : REACH + 1]
        scores = -((columns - right) ** 2) - (rows + up) ** 2
        assert peak(scores) == pytest.approx((right, up), abs=1e-6)


class TestLikeness:
    @pytest.mark.parametrize(("gap", "found"), [(0, True), (8, False)])
    def test_a_street_begins_at_a_road_and_a_lot_lies_apart(self, gap, found):
        known = np.zeros((100, 100), np.uint8)
        known[40:54] = 1
        odds = np.full((100, 100), -3.0, np.float32)
        odds[40:54] = odds[54 + gap : 95, 30:42] = 3
        continued = unmapped.continued(odds, known, 0.6)
        assert continued[60 + gap : 90, 33:39].all() == found
        assert not continued[known > 0].any()
        if not found:
            assert not continued.any()

    def test_a_driveway_is_no_street(self):
        known = np.zeros((100, 100), np.uint8)
        known[40:54] = 1
        odds = np.full((100, 100), -3.0, np.float32)
        odds[40:54] = odds[54:90, 30:34] = 3
        assert not unmapped.continued(odds, known, 0.6).any()

    def test_a_street_goes_on_beyond_the_shade_of_a_tree(self):
        known = np.zeros((100, 100), np.uint8)
        known[40:54] = 1
        odds = np.full((100, 100), -3.0, np.float32)
        odds[40:54] = odds[54:95, 30:42] = 3
        odds[70:74, 30:42] = -1
        assert unmapped.continued(odds, known, 0.6)[78:90, 33:39].all()

    @pytest.fixture
    def looks(self, tmp_path) -> Callable[..., DatasetReader]:
        """Write a raster of cells over a scene, and open it."""

        def write(values: np.ndarray, pixels: float, left: float = 0.0) -> DatasetReader:
            rows, columns = values.shape
            cells = self.scene.transform @ Affine.translation(left, 0) @ Affine.scale(pixels)
            path = tmp_path / "looks.tif"
            write_cog(path, Grid(columns, rows, cells, UTM), values[np.newaxis], nodata=255)
            return rasterio.open(path)

        return write

    scene = Grid(10, 6, Affine(0.15, 0, 500000, 0, -0.15, 4500000), UTM)

    def test_cells_are_read_as_they_are(self, looks):
        values = np.array([[0, 127, 254], [255, 254, 0]], np.uint8)
        cells = likeness.read_cells(looks(values, 4), self.scene)
        assert cells.pixels == 4
        np.testing.assert_array_equal(cells.values, [[0, 0.5, 1], [np.nan, 1, 0]])

    def test_of_too_many_cells_several_are_one(self, looks, monkeypatch):
        monkeypatch.setattr(likeness, "MOST_CELLS", 4)
        monkeypatch.setattr(likeness, "STRIP", 8)
        values = np.array([[0, 127, 254], [255, 254, 255], [254, 0, 255]], np.uint8)
        scene = replace(self.scene, height=10)
        cells = likeness.read_cells(looks(values, 4), scene)
        assert cells.pixels == 8
        np.testing.assert_allclose(cells.values, [[0.5, 1], [0.5, np.nan]])

    @pytest.mark.parametrize(("pixels", "left"), [(4.5, 0), (4, 1), (5, 0), (2, 0)])
    def test_cells_of_another_scene_are_refused(self, looks, pixels, left):
        with pytest.raises(InputError, match="are not those of a scene of 10 x 6 pixels"):
            likeness.read_cells(looks(np.zeros((2, 3), np.uint8), pixels, left), self.scene)

    def test_a_sheet_of_which_nothing_could_be_learned_says_nothing(self, tmp_path):
        city = Drawn(tmp_path)
        scene = city.made(city.road.astype(np.uint8))
        write_cog(
            scene.looks,
            replace(
                city.grid, width=192, height=192, transform=city.grid.transform @ Affine.scale(2)
            ),
            np.full((1, 192, 192), 255, np.uint8),
            nodata=255,
        )
        rows = measure(scene, tmp_path / "out")
        assert {row["like_road_share"] for row in rows.values()} == {""}
        assert {row["contrast"] for row in rows.values()} == {""}

    def test_the_label_of_cells_is_that_of_their_middles(self):
        label = np.arange(60, dtype=np.uint8).reshape(6, 10)
        beyond = np.pad(label, ((0, 2), (0, 2)), constant_values=UNKNOWN)
        sheet = SimpleNamespace(label=lambda x, y, w, h: beyond[y : y + h, x : x + w])
        cells = likeness.Cells(np.array([[0, 1, 1], [np.nan, 0, 0]], np.float32), 4)
        expected = [[22, 26, UNKNOWN], [UNKNOWN, UNKNOWN, UNKNOWN]]
        np.testing.assert_array_equal(likeness.label_of_cells(sheet, cells), expected)


class TestAlongside:
    road = np.zeros((100, 200), np.uint8)
    road[40:60] = 1

    def test_places_are_evenly_spaced_and_look_across(self):
        places = alongside.place([LineString([(0, 50), (200, 50)])], 10)
        assert places.xy[:, 0] == pytest.approx([5 + 10 * k for k in range(20)])
        np.testing.assert_allclose(np.abs(places.normal), [[0, 1]] * 20, atol=1e-9)
        assert places.to_end[0] == 5
        assert places.to_end.max() == 95

    def test_a_street_lines_sides(self):
        window = LabelWindow(self.road, 0, 0)
        lines = [LineString([(0, y), (200, y)]) for y in (10, 40, 50)]
        found = [alongside.sides(window, alongside.place([line], 10), 4)[0] for line in lines]
        assert [list(counts) for counts in found] == [[20, 0, 0], [0, 20, 0], [0, 0, 20]]

    def test_sides_that_are_not_known_count_for_nothing(self):
        label = self.road.copy()
        label[:40] = 255
        places = alongside.place([LineString([(0, 40), (200, 40)])], 10)
        counts, unknown = alongside.sides(LabelWindow(label, 0, 0), places, 4)
        assert (counts.sum(), unknown) == (0, 20)

    def test_the_width_is_that_of_the_road(self):
        places = alongside.place([LineString([(0, 50), (200, 50)])], 10)
        found = alongside.widths(LabelWindow(self.road, 0, 0), places, 30)
        np.testing.assert_allclose(found, 20, atol=1)

    def test_width_without_end_without_road_and_without_knowledge(self):
        label = self.road.copy()
        label[:, :50] = 1
        label[:, 100:150] = 0
        label[30:40, 150:] = 255
        places = alongside.place([LineString([(0, 50), (200, 50)])], 10)
        found = alongside.widths(LabelWindow(label, 0, 0), places, 30)
        assert np.isinf(found[:4]).all()
        assert found[5:10] == pytest.approx(np.full(5, 20), abs=1)
        assert (found[10:15] == 0).all()
        assert np.isnan(found[15:]).all()

    def test_a_jump_is_found_where_it_is(self):
        label = self.road.copy()
        label[20:40, 80:120] = 1  # a leak to one side
        places = alongside.place([LineString([(0, 50), (200, 50)])], 10)
        measured = alongside.widths(LabelWindow(label, 0, 0), places, 45)
        between = np.ones(len(places), bool)
        steady = alongside.steadiness(places, measured, 1, between, 45)
        assert steady.own[0] == pytest.approx(20, abs=1)
        assert set(np.flatnonzero(steady.jump)) == {8, 9, 10, 11}

    def test_where_all_belongs_to_crossings_nothing_is_told(self):
        places = alongside.place([LineString([(0, 50), (200, 50)])], 10)
        nowhere = np.zeros(len(places), bool)
        steady = alongside.steadiness(places, np.full(len(places), 20.0), 1, nowhere, 45)
        assert np.isnan(steady.own).all()
        assert not steady.jump.any()

    def test_levels_that_cross_are_left_alone(self):
        lines = [LineString([(0, 50), (200, 50)]), LineString([(100, 0), (100, 100)])]
        away = alongside.away_from_crossings(alongside.place(lines[:1], 10), lines, 25)
        assert np.flatnonzero(~away).tolist() == [8, 9, 10, 11]
        met = [LineString([(0, 50), (100, 50)]), LineString([(100, 0), (100, 50)])]
        assert alongside.away_from_crossings(alongside.place(met, 10), met, 25).all()


class TestSharpness:
    picture = np.stack([ground(128, 128, band) for band in range(3)])

    def blurred(self, sigma: float) -> np.ndarray:
        from scipy.ndimage import gaussian_filter

        return np.stack([gaussian_filter(band, sigma) for band in self.picture])

    def test_blur_lowers_it_and_light_does_not(self):
        seen = np.ones((128, 128), bool)
        sharp = sharpness(self.blurred(1), seen)
        assert sharpness(self.blurred(1) * 0.4 + 60, seen) == pytest.approx(sharp, abs=1e-3)
        assert sharpness(self.blurred(2), seen) < sharp - 0.3

    def test_a_flat_picture_has_none(self):
        flat = np.full((3, 64, 64), 90, np.uint8)
        assert math.isnan(sharpness(flat, np.ones((64, 64), bool)))
        assert math.isnan(sharpness(self.picture, np.zeros((128, 128), bool)))

    def test_the_edge_of_nodata_is_not_sharp(self):
        seen = np.ones((128, 128), bool)
        seen[:, 64:] = False
        picture = np.where(seen, self.blurred(2), 0)
        whole = sharpness(self.blurred(2), np.ones((128, 128), bool))
        assert sharpness(picture, seen) == pytest.approx(whole, abs=0.15)


class TestDoubt:
    def test_nothing_said_little_doubt(self):
        found = doubt(FINE, Evidence(), PieceSums())
        assert found.number < 0.01
        assert found.reason == ""

    @given(st.sampled_from(sorted(SIGNS)), st.floats(0, 50), st.floats(0, 50))
    def test_more_evidence_never_means_less_doubt(self, name, one, two):
        low, high = sorted((one, two))
        assert 0 <= SIGNS[name].points(low) <= SIGNS[name].points(high) <= SIGNS[name].weight

    @given(st.dictionaries(st.sampled_from(sorted(Evidence.__annotations__)), st.floats(-2, 90)))
    def test_it_is_a_number_from_0_to_1_whatever_is_missing(self, values):
        found = doubt(FINE, Evidence(**values), PieceSums())
        assert 0 <= found.number < 1

    def test_every_sign_has_its_value_and_can_be_the_reason(self):
        assert set(readings(FINE, Evidence(), PieceSums())) == set(SIGNS)
        found = doubt(FINE, Evidence(looks_loss=0.9, open_share=0.05), PieceSums())
        assert found.reason == SIGNS["looks"].words

    def test_what_several_kinds_of_evidence_say_is_doubtful(self):
        one = doubt(FINE, Evidence(looks_loss=0.9), PieceSums()).number
        signs = Evidence(looks_loss=0.9, surely_other_share=0.5, edge_shortfall=0.5)
        assert doubt(FINE, signs, PieceSums()).number > max(0.5, one)

    def test_what_can_not_be_seen_is_not_doubted(self):
        nothing = Shares(0.0, 1.0, 0.0, 0.0, 0.0)
        assert doubt(nothing, Evidence(looks_loss=0.9), PieceSums()).number == 0

    def test_a_fault_beside_a_tile_makes_it_doubtful_and_one_across_does_not(self):
        bad = Evidence(looks_loss=1.0, like_road_share=0.9, blind_excess=0.9)
        tiles = [
            measured(row, column, bad if (row, column) == (1, 1) else Evidence())
            for row in range(3)
            for column in range(4)
        ]
        found = {each.tile.name: each.evidence.doubt_beside for each in with_neighbours(tiles)}
        alone, highest = tiles[0].doubt().number, tiles[5].doubt().number
        beside = {name for name, value in found.items() if value == highest}
        assert beside == {"01", "10", "12", "21"}
        assert found["00"] == found["11"] == alone
        only = next(with_neighbours(tiles[:1]))
        assert math.isnan(only.evidence.doubt_beside)

    def test_a_block_that_leaked_is_not_taken_for_the_widest_street(self):
        label = np.zeros((1000, 1000), np.uint8)
        for at in range(90, 1000, 200):
            label[at : at + 20] = label[:, at : at + 20] = 1
        label[300:500, 100:900] = 1
        beyond = np.pad(label, 512, constant_values=UNKNOWN)
        sheet = SimpleNamespace(
            grid=Grid(1000, 1000, Affine.identity(), None),
            label=lambda x, y, width, height: beyond[
                y + 512 : y + 512 + height, x + 512 : x + 512 + width
            ],
        )
        assert evidence.street_width(sheet) == pytest.approx(20, abs=3)

    def test_thin_road_is_a_sliver(self):
        label = np.zeros((40, 40), np.uint8)
        label[10:20, 10:20] = 1
        assert evidence._slivers(label, 4) == pytest.approx(1 - 64 / 144)
        label[11:19, 10:20] = 0
        assert evidence._slivers(label, 4) == 1
        # Road that goes on past the tile's edge is none, whatever little of it is inside.
        label[:] = 0
        label[:5] = 1
        assert evidence._slivers(label, 4) == pytest.approx(1)
        label[:12] = 1
        assert evidence._slivers(label, 4) == pytest.approx(1 - 7 / 9)
        # None of it in the tile.
        label[4:] = 0
        assert evidence._slivers(label, 4) == 0

    def test_outlines_are_held_against_those_of_the_same_sheet(self):
        agreements = [0.9, 0.8, 0.8, 0.5, math.nan]
        tiles = [measured(0, at, Evidence(edge_agreement=a)) for at, a in enumerate(agreements)]
        bare = replace(tiles[0], shares=NOTHING, evidence=Evidence(edge_agreement=-1.0))
        found = [each.evidence.edge_shortfall for each in with_usual_edges([*tiles, *[bare] * 9])]
        assert found[:5] == pytest.approx([-0.1, 0, 0, 0.3, math.nan], nan_ok=True)

    def test_trees_over_every_kerb_of_a_sheet_are_held_against_no_tile(self):
        tiles = [measured(0, at, Evidence(blind_share=b)) for at, b in enumerate([0.2, 0.2, 0.5])]
        bare = replace(tiles[0], shares=NOTHING, evidence=Evidence(blind_share=0.0))
        found = [each.evidence for each in with_usual_edges([*tiles, *[bare] * 9])][:4]
        assert [each.blind_excess for each in found] == pytest.approx([0, 0, 0.3, -0.2])

    def test_where_most_labels_are_off_good_outlines_count(self):
        tiles = [measured(0, at, Evidence(edge_agreement=0.1)) for at in range(5)]
        found = {each.evidence.edge_shortfall for each in with_usual_edges(tiles)}
        assert found == {GOOD_AGREEMENT - 0.1}


class TestPieces:
    grid = Grid(64, 64, Affine(1, 0, 500000, 0, -1, 4500064), UTM)
    tile = Tile("t", 0, 0, 0, 0, 32)

    def write(self, path: Path, throats: list[dict]) -> Path:
        def square(left, top, right, bottom):
            return box(500000 + left, 4500064 - bottom, 500000 + right, 4500064 - top)

        table = gpd.GeoDataFrame(
            {
                "piece": [1, 2, 3],
                "verdict": ["road", "other", "unknown"],
                "rule": ["street", "no_centerline", "doubtful_mouth"],
                "kind": ["street", "region", "room"],
                "width_m": [8.0, np.nan, np.nan],
                "given_width_m": [10.0, np.nan, np.nan],
                "seen_share": [0.75, np.nan, np.nan],
            },
            geometry=[square(0, 0, 64, 8), square(0, 8, 64, 56), square(0, 56, 64, 64)],
            crs=UTM.to_wkt(),
        )
        pyogrio.write_dataframe(table, path, layer="pieces", driver="GPKG")
        frame = gpd.GeoDataFrame(
            {
                "kind": [throat["kind"] for throat in throats],
                "width_m": np.array([throat["width_m"] for throat in throats], float),
            },
            geometry=[throat["line"] for throat in throats],
            crs=UTM.to_wkt(),
        )
        pyogrio.write_dataframe(
            frame, path, layer="throats", driver="GPKG", geometry_type="LineString"
        )
        return path

    def test_sums_of_a_tile(self, tmp_path):
        line = LineString([(500042, 4500040), (500042, 4500050)])
        inside = LineString([(500010, 4500040), (500016, 4500040)])
        throats = [
            {"kind": "gap", "width_m": 10.0, "line": line},
            {"kind": "cut", "width_m": 6.0, "line": inside},
            {"kind": "end", "width_m": 7.0, "line": inside},
        ]
        pieces = Pieces.read(self.write(tmp_path / "p.gpkg", throats), self.grid)
        sums = pieces.sums(self.grid, self.tile)
        assert sums.pieces == 2
        assert (sums.road_pieces_share, sums.other_pieces_share) == (0.25, 0.75)
        assert sums.width_agreement == pytest.approx(0.8)
        assert sums.seen_share == 0.75
        assert (sums.throat_m, sums.cut_width_m, sums.end_width_m) == (0, 6, 7)
        below = pieces.sums(self.grid, Tile("b", 1, 0, 0, 32, 32))
        assert below.unknown_pieces_share == 0.25
        assert below.doubtful_share > 1

    def test_the_nearest_throat_in_metres_on_the_ground(self, tmp_path):
        line = LineString([(500042, 4500040), (500042, 4500050)])
        throats = [{"kind": "gap", "width_m": 10.0, "line": line}]
        sums = Pieces.read(self.write(tmp_path / "p.gpkg", throats), self.grid).sums(
            self.grid, self.tile
        )
        assert sums.throat_m == pytest.approx(10, rel=1e-3)
        assert (sums.cut_width_m, sums.end_width_m) == (0, 0)

    def test_without_throats(self, tmp_path):
        sums = Pieces.read(self.write(tmp_path / "p.gpkg", []), self.grid).sums(
            self.grid, self.tile
        )
        assert math.isnan(sums.throat_m)


class TestReference:
    def test_not_known_on_true_road_is_a_miss(self):
        label = np.array([1, 1, 255, 0, 255], np.uint8)
        truth = np.array([True, False, True, False, False])
        assert tile_iou(label, truth, 1) == pytest.approx(1 / 3)

    def test_nothing_to_find_and_nothing_found_has_no_score(self):
        assert math.isnan(tile_iou(np.zeros(4, np.uint8), np.zeros(4, bool), 1))

    def test_distribution(self):
        rows = [
            {"tile": f"t{k:02d}", "doubt": str(k / 20), "reference_iou": iou}
            for k, iou in enumerate(["0.99"] * 17 + ["", "0.4", "1.000000"])
        ]
        found = distribution(rows)
        assert found["tiles"] == 19
        assert sum(found["histogram"]) == 19
        assert (found["histogram"][8], found["histogram"][19]) == (1, 18)
        assert (found["bad"], found["bad_among_doubtful"]) == (1, 1)
        assert found["worst"][0] == {"tile": "t18", "iou": 0.4, "doubt": 0.9}
        assert distribution([{"tile": "a", "doubt": "0", "reference_iou": ""}]) is None


# --- the command ---------------------------------------------------------------------------


class Drawn:
    """A city of streets on pixels of half a metre, its lines, label and picture."""

    metres = 0.5

    def __init__(self, root: Path, size: int = 384) -> None:
        self.root, self.size = root, size
        self.grid = Grid(self.size, self.size, Affine(0.5, 0, 500000, 0, -0.5, 4500000), UTM)
        self.road = streets(self.size, self.size, 128, 16)
        self.picture = np.stack([ground(self.size, self.size, band) for band in range(3)])
        self.picture -= 45.0 * self.road

    def made(self, label: np.ndarray):
        picture = self.picture.clip(0, 255).astype(np.uint8)
        return make_scene(
            self.root, "s", self.grid, size=128, image=picture, label=label, road=self.road
        )

    def write_lines(self) -> tuple[Path, Path]:
        contour = [
            LineString(shapely.get_coordinates(part.exterior))
            for part in shapely.get_parts(self.polygons())
        ]
        rings = [
            LineString(ring)
            for part in shapely.get_parts(self.polygons())
            for ring in part.interiors
        ]
        axes = []
        for k in range(3):
            at = 128 * k + 64
            axes += [[(0, at), (self.size, at)], [(at, 0), (at, self.size)]]
        on_map = lambda line: shapely.transform(  # noqa: E731
            LineString(line), lambda xy: xy * [0.5, -0.5] + [500000, 4500000]
        )
        vectors, raster = self.root / "lines" / "s.gpkg", self.root / "lines" / "s.tif"
        edges = gpd.GeoDataFrame(geometry=contour + rings, crs=UTM.to_wkt())
        edges["source_fid"] = range(len(edges))
        centers = gpd.GeoDataFrame(
            {"source_fid": range(len(axes)), "width_m": 16.0},
            geometry=[on_map(axis) for axis in axes],
            crs=UTM.to_wkt(),
        )
        write_vectors(vectors, {"street_lines": edges, "centerlines": centers})
        from roadmask.burn import burn_lines

        bands = np.stack([burn_lines(frame.geometry, self.grid) for frame in (edges, centers)])
        write_cog(raster, self.grid, bands)
        return raster, vectors

    def polygons(self):
        from rasterio.features import shapes

        return shapely.union_all(
            [
                shapely.geometry.shape(shape)
                for shape, value in shapes(
                    self.road.astype(np.uint8), transform=self.grid.transform
                )
                if value == 1
            ]
        )


def measure(scene, folder: Path, lines=()) -> dict[str, dict[str, str]]:
    table = folder / "measures.csv"
    given_lines = ("--lines", str(lines[0]), "--vectors", str(lines[1])) if lines else ()
    code = main(
        [
            *("measure", str(scene.scene), "--mask", str(scene.mask)),
            *("--tiles", str(scene.tiles), "--masks", str(scene.masks), *given_lines),
            *("--looks", str(scene.looks)),
            *("--output", str(table), "--offset", str(folder / "offset.json")),
        ]
    )
    assert code == 0
    return {row["tile"]: row for row in read_table(table, MEASURES)}


class TestCommand:
    def test_a_leak_and_a_lost_street_are_doubted_most(self, tmp_path):
        city = Drawn(tmp_path)
        label = city.road.astype(np.uint8)
        label[130:250, 130:250] = 1  # all of the middle tile's blocks
        rows = measure(city.made(label), tmp_path / "out", city.write_lines())
        ordered = sorted(rows, key=lambda name: -float(rows[name]["doubt"]))
        assert ordered[0] == "s_r001_c001"
        assert rows[ordered[0]]["doubt_reason"]
        assert float(rows["s_r001_c001"]["surely_other_share"]) > 0.2
        assert float(rows["s_r001_c001"]["inner_line_share"]) > 0.1

    def test_shares_stay_between_0_and_1_where_there_is_hardly_any_road(self, tmp_path):
        city = Drawn(tmp_path)
        label = city.road.astype(np.uint8)
        label[:, :256] = 0
        label[60:66, 60:66] = 1
        rows = measure(city.made(label), tmp_path / "out", city.write_lines())
        shares = {
            name: float(row[name])
            for row in rows.values()
            for name in row
            if name.endswith("_share") and row[name]
        }
        assert len(shares) > 15
        assert min(shares.values()) >= 0
        assert max(shares.values()) <= 1
        assert float(rows["s_r000_c000"]["off_road_share"]) > 0.5

    def test_a_right_label_is_not_doubted(self, tmp_path):
        city = Drawn(tmp_path)
        rows = measure(city.made(city.road.astype(np.uint8)), tmp_path / "out", city.write_lines())
        assert max(float(row["doubt"]) for row in rows.values()) < 0.35
        assert min(float(row["closed_outline_share"]) for row in rows.values()) > 0.95
        found = json.loads((tmp_path / "out" / "offset.json").read_text())
        assert found["metres"] < 0.2

    def test_classes_that_leave_no_other_ground_have_no_width(self, tmp_path):
        city = Drawn(tmp_path)
        rows = measure(city.made(city.road.astype(np.uint8) + 1), tmp_path / "out")
        assert {float(row["thick_share"]) for row in rows.values()} == {0}

    def test_road_added_where_nothing_bears_it_out(self, tmp_path):
        city = Drawn(tmp_path)
        label = city.road.astype(np.uint8)
        label[150:230, 150:230] = 1
        rows = measure(city.made(label), tmp_path / "out")
        blind = {name: float(row["blind_share"]) for name, row in rows.items()}
        assert max(blind, key=lambda name: blind[name]) == "s_r001_c001"
        assert blind["s_r001_c001"] > 0.1
        assert sorted(blind.values())[-2] < blind["s_r001_c001"] / 3

    def test_without_lines_there_is_less_to_say_but_no_less_order(self, tmp_path):
        city = Drawn(tmp_path)
        label = city.road.astype(np.uint8)
        label[256:, 256:] = np.roll(label, (9, 9), (0, 1))[256:, 256:]
        rows = measure(city.made(label), tmp_path / "out")
        assert all(row["inner_line_share"] == "" for row in rows.values())
        assert max(rows, key=lambda name: float(rows[name]["doubt"])) == "s_r002_c002"

    def test_the_offset_is_what_labels_shift_needs(self, tmp_path, caplog):
        caplog.set_level("INFO")
        city = Drawn(tmp_path)
        label = np.roll(city.road, (-8, 6), (0, 1)).astype(np.uint8)  # 6 right, 8 up
        measure(city.made(label), tmp_path / "out")
        found = json.loads((tmp_path / "out" / "offset.json").read_text())
        right, up = (float(part.removesuffix(" m")) for part in found["shift"])
        assert (right, up) == (pytest.approx(-3, abs=0.3), pytest.approx(-4, abs=0.3))
        assert found["metres"] == pytest.approx(5, abs=0.3)
        [words] = re.findall("the picture lies .* m to the left of .* m below it", caplog.text)
        assert "-" not in words

    def test_the_tiles_of_a_sheet_that_lies_off_are_doubted_as_they_lose_by_it(self, tmp_path):
        city = Drawn(tmp_path, 768)
        label = np.roll(city.road, 6, 1).astype(np.uint8)
        rows = measure(city.made(label), tmp_path / "out")
        for name, row in rows.items():
            top, left = 128 * int(row["row"]), 128 * int(row["col"])
            tile = np.s_[top : top + 128, left : left + 128]
            road, drawn = city.road[tile] > 0, label[tile] > 0
            lost = 1 - (road & drawn).sum() / (road | drawn).sum()
            assert float(row["sheet_loss"]) == pytest.approx(lost, abs=0.03), name
            assert float(row["doubt"]) > 0.1

    def test_same_bytes_again(self, tmp_path):
        city = Drawn(tmp_path)
        scene, lines = city.made(city.road.astype(np.uint8)), city.write_lines()
        for name in ("a", "b"):
            measure(scene, tmp_path / name, lines)
        for file in ("measures.csv", "offset.json"):
            assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()

    def test_a_mask_of_another_size_is_refused(self, tmp_path, capsys):
        city = Drawn(tmp_path)
        scene = city.made(city.road.astype(np.uint8))
        write_cog(scene.mask, city.grid.window(0, 0, 100, 100), np.zeros((100, 100), np.uint8))
        code = main(
            [
                *("measure", str(scene.scene), "--mask", str(scene.mask)),
                *("--tiles", str(scene.tiles), "--masks", str(scene.masks)),
                *("--looks", str(scene.looks)),
                *("--output", str(tmp_path / "m.csv"), "--offset", str(tmp_path / "o.json")),
            ]
        )
        assert code == 1
        assert "100 x 100 pixels, where the tiles were cut from" in capsys.readouterr().err

    @pytest.mark.parametrize("away", [0, 5000])
    def test_scores_against_a_reference(self, tmp_path, away):
        """Where the reference has nothing on the sheet, nothing is scored."""
        from test_selection import LIMITS_GIVEN

        city = Drawn(tmp_path)
        label = city.road.astype(np.uint8)
        label[:128, :128] = 0
        scene = city.made(label)
        measure(scene, tmp_path / "out")
        frame = gpd.GeoDataFrame(geometry=[city.polygons()], crs=UTM.to_wkt()).translate(away)
        frame.to_file(tmp_path / "truth.gpkg", layer="roads")
        verdicts, table = tmp_path / "verdicts.csv", tmp_path / "s.csv"
        measures = str(tmp_path / "out" / "measures.csv")
        assert main(["selection", measures, "--output", str(verdicts), *LIMITS_GIVEN]) == 0
        assert (
            main(
                [
                    *("score", str(verdicts), "--mask", str(scene.mask)),
                    *("--manifest", str(scene.tiles), "--output", str(table)),
                    *("--classes", '{"road": 1}'),
                    *("--reference.path", str(tmp_path / "truth.gpkg")),
                ]
            )
            == 0
        )
        with table.open(newline="") as file:
            scores = {row["tile"]: row["reference_iou"] for row in csv.DictReader(file)}
        if away:
            assert set(scores.values()) == {""}
            return
        assert float(scores["s_r000_c000"]) == 0
        assert all(float(iou) == 1 for tile, iou in scores.items() if tile != "s_r000_c000")


def checked(tmp_path, limit: str, on_shift: str = "warn") -> tuple[int, Path]:
    """Look at a sheet whose labels lie 2 m off."""
    record = {
        "pixel_metres": 0.15,
        "pixels": {},
        "metres": 2.0,
        "sigma_metres": 0.1,
        "shift": ["6.6 ft", "0 ft"],
    }
    (tmp_path / "s.json").write_text(json.dumps(record))
    nothing = record | dict.fromkeys(("metres", "sigma_metres", "shift"))
    (tmp_path / "t.json").write_text(json.dumps(nothing))
    output = tmp_path / "offsets.json"
    code = main(
        [
            *("offsets", str(tmp_path / "s.json"), str(tmp_path / "t.json")),
            *("--output", str(output), f"--labels.max_shift={limit}"),
            f"--labels.on_shift={on_shift}",
        ]
    )
    return code, output


class TestOffsetsOfAllSheets:
    def test_a_sheet_too_far_off_is_warned_of(self, tmp_path, capsys):
        code, output = checked(tmp_path, "3 ft")
        assert code == 0
        assert json.loads(output.read_text())["too_far"] == ["s"]
        printed = capsys.readouterr().err
        assert 's by 2.00 ± 0.10 m (shift: ["6.6 ft", "0 ft"])' in printed
        assert "Add the shift to what labels.shift is now" in printed

    def test_or_is_an_error(self, tmp_path, capsys):
        code, output = checked(tmp_path, "3 ft", "error")
        assert code == 1
        assert not output.exists()
        assert "error: labels.max_shift: labels lie off their pictures" in capsys.readouterr().err

    def test_within_the_limit_nothing_is_said(self, tmp_path, capsys):
        code, output = checked(tmp_path, "7 ft", "error")
        assert code == 0
        assert json.loads(output.read_text())["too_far"] == []
        assert "lie off" not in capsys.readouterr().err

    def test_an_offset_that_may_be_within_is_none(self, tmp_path):
        _, output = checked(tmp_path, "1.85 m")
        assert json.loads(output.read_text())["too_far"] == []

    def test_pixels_are_pixels_of_the_sheet(self, tmp_path):
        assert json.loads(checked(tmp_path, "10 px")[1].read_text())["too_far"] == ["s"]
        assert json.loads(checked(tmp_path, "14 px")[1].read_text())["too_far"] == []
