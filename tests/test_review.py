"""The page for reviewing: what it holds, and how a real browser lets a person use it."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from browser import browser
from hypothesis import given, settings
from hypothesis.extra.numpy import arrays
from PIL import Image
from test_selection import select
from tile_makers import grid_at, make_scene, striped

from roadmask.__main__ import main
from roadmask.quality.columns import write_table
from roadmask.review.command import in_words, is_aside, most_doubtful
from roadmask.review.pictures import MOST_SIDE, as_jpeg, label_paths, outline
from roadmask.selection import read_review


@pytest.fixture
def reviewed(tmp_path):
    """A scene of 12 tiles with its table and its page; one verdict was given before."""
    label = striped(128, 96)
    label[40:60, 40:60] = 255
    scene = make_scene(tmp_path, "s", grid_at(987000, 200000, 96, 128), label=label)
    table = tmp_path / "selection" / "s.csv"
    assert select(scene, table) == 0
    review = tmp_path / "earlier.csv"
    review.write_text("tile,verdict\ns_r003_c002,keep\nelsewhere_r000_c000,drop\n")
    page = tmp_path / "selection" / "review.html"
    assert write_page(scene, table, page, f"--selection.review={review}") == 0
    return page


def write_page(scene, table: Path, page: Path, *more: str, most: int = 10) -> int:
    return main(
        [
            *("review", str(table), "--tiles", str(scene.tiles), "--masks", str(scene.masks)),
            *("--output", str(page), f"--selection.review_tiles={most}", *more),
        ]
    )


def data_of(page: Path) -> dict:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page.read_text())
    assert found
    return json.loads(found[1])


def test_the_doubtful_come_first_and_no_more_than_asked(reviewed):
    data = data_of(reviewed)
    with (reviewed.parent / "s.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    expected = sorted(rows, key=lambda row: (is_aside(row), -float(row["doubt"]), row["tile"]))
    assert [tile["tile"] for tile in data["tiles"]] == [row["tile"] for row in expected[:10]]
    assert data["earlier"] == {"s_r003_c002": "keep", "elsewhere_r000_c000": "drop"}


@pytest.mark.parametrize(
    ("doubt", "verdict", "reason", "aside"),
    [
        ("0.9", "keep", "", False),
        ("0.9", "drop", "road_share 0 < selection.min_road_share 0.01", True),
        ("0.9", "drop", "drop by selection.review", False),
        ("0.9", "keep", "keep by selection.review", False),
        ("0.01", "keep", "", True),
    ],
)
def test_what_needs_no_person_stands_aside(doubt, verdict, reason, aside):
    """What a person has judged stays where it was, so that it can be judged anew."""
    assert is_aside({"doubt": doubt, "verdict": verdict, "reason": reason}) == aside


def test_the_worst_is_in_front_of_what_stands_aside():
    whole = {"nodata_share": "0", "unknown_share": "0", "reason": "", "verdict": "keep"}
    tiles = {
        "a": ("0.02", "keep"),
        "b": ("0.3", "keep"),
        "c": ("0.9", "drop"),
        "d": ("0.6", "keep"),
    }
    rows = [
        whole | {"tile": tile, "doubt": doubt, "verdict": verdict}
        for tile, (doubt, verdict) in tiles.items()
    ]
    assert [row["tile"] for row in most_doubtful(rows, 3)] == ["d", "b", "c"]


def test_a_persons_verdict_is_no_rules():
    assert in_words("drop", "drop by selection.review") == "drop by selection.review"
    assert in_words("drop", "no picture at all") == "by rule: drop: no picture at all"
    assert in_words("keep", "") == "by rule: keep"


def test_it_needs_nothing_from_outside(reviewed):
    text = reviewed.read_text()
    assert not re.search(r'(src|href)="(?!data:)', text)
    assert "default-src 'none'" in text


def test_tiles_without_picture_or_label_are_not_shown(tmp_path):
    label = np.zeros((64, 40), np.uint8)
    label[:32, :32] = 255
    scene = make_scene(
        tmp_path, "s", grid_at(987000, 200000, 40, 64), label=label, outside=["s_r001_c001"]
    )
    table = tmp_path / "selection" / "s.csv"
    select(scene, table)
    page = tmp_path / "review.html"
    assert write_page(scene, table, page) == 0
    assert {tile["tile"] for tile in data_of(page)["tiles"]} == {"s_r000_c001", "s_r001_c000"}


def test_text_from_data_can_not_end_the_script(tmp_path):
    from roadmask.review.command import render

    text = render([{"tile": "</script><b>", "aside": False}], {}, 1)
    assert "</script><b>" not in text
    assert '"\\u003c/script>\\u003cb>"' in text


class TestPictures:
    def test_large_tiles_are_reduced(self):
        picture = np.random.default_rng(1).integers(0, 255, (3, 1200, 1200), dtype=np.uint8)
        uri = as_jpeg(picture)
        with Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))) as shown:
            assert shown.size == (MOST_SIDE, MOST_SIDE)
        assert len(uri) < 500_000

    def test_two_bands_are_shown_as_grey(self):
        uri = as_jpeg(np.full((2, 8, 8), 90, np.uint8))
        with Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))) as shown:
            assert shown.getpixel((4, 4)) == (90, 90, 90)

    def test_a_square_has_its_outline(self):
        inside = np.zeros((20, 20), bool)
        inside[5:10, 4:12] = True
        corners = {tuple(map(float, xy.split())) for xy in re.split("[ML]", outline(inside)) if xy}
        assert corners == {(4.5, 5.5), (11.5, 5.5), (11.5, 9.5), (4.5, 9.5)}

    def test_the_tiles_own_edge_is_no_outline(self):
        assert outline(np.ones((16, 16), bool)) == ""
        half = np.zeros((16, 16), bool)
        half[:, :8] = True
        places = [tuple(map(float, xy.split())) for xy in re.split("[ML]", outline(half)) if xy]
        assert {x for x, _ in places} == {7.5}

    def test_what_is_not_known_is_drawn_apart(self):
        label = np.zeros((20, 20), np.uint8)
        label[2:6, 2:6] = 1
        label[10:14, 2:6] = 2
        label[10:14, 12:16] = 255
        paths = label_paths(label)
        assert paths["road"].count("M") == 2
        assert paths["unknown"].count("M") == 1

    @given(arrays(bool, (12, 12)))
    @settings(max_examples=50, deadline=None)
    def test_outlines_stay_on_the_pixels(self, inside):
        for place in filter(None, re.split("[ML]", outline(inside))):
            x, y = (int(float(part) - 0.5) for part in place.split())
            # A hole is outlined by the pixels around it.
            assert inside[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2].any()


class TestInTheBrowser:
    @pytest.mark.parametrize("doubtful", [2, 0])
    def test_what_stands_aside_is_folded_until_it_is_shown(self, tmp_path, doubtful):
        scene = make_scene(tmp_path, "s", grid_at(987000, 200000, 96, 128), label=striped(128, 96))
        table = tmp_path / "selection" / "s.csv"
        assert select(scene, table) == 0
        with table.open(newline="") as file:
            rows = list(csv.DictReader(file))
        for number, row in enumerate(rows):
            row |= {"verdict": "keep", "doubt": "0.5" if number < doubtful else "0.01"}
        write_table(table, list(rows[0]), rows)
        assert write_page(scene, table, tmp_path / "review.html", most=6) == 0
        is_open = "document.getElementById('aside').open"
        with browser(tmp_path) as page:
            page.open(tmp_path / "review.html")
            assert page.value("document.querySelectorAll('#list li').length") == doubtful
            assert page.value("document.querySelectorAll('#rest li').length") == 6 - doubtful
            assert ("No tile waits" in page.value("document.body.innerText")) == (doubtful == 0)
            # Without any doubtful tile the first of the others is shown at once.
            assert page.value(is_open) is (doubtful == 0)
            for _ in range(doubtful):
                page.press("ArrowRight")
            assert page.value(is_open) is True
            assert page.errors == []

    def test_from_a_key_to_the_csv_that_selection_reads(self, reviewed, tmp_path):
        tiles = [tile["tile"] for tile in data_of(reviewed)["tiles"]]
        with browser(tmp_path) as page:
            page.open(reviewed)
            shown = "document.getElementById('name').textContent"
            assert page.value(shown).startswith(tiles[0])
            # However high the window is, one line; all else is for the picture.
            assert page.value("document.querySelector('header').offsetHeight") < 70
            page.wait("document.getElementById('picture').naturalWidth === 32")
            assert page.value("document.getElementById('road').getAttribute('d')").startswith("M")
            page.press("d")  # and on to the next
            assert page.value(shown).startswith(tiles[1])
            page.press("ArrowRight")
            page.press("k")
            page.press("ArrowLeft")
            page.press("ArrowLeft")
            assert page.value(shown).startswith(tiles[1])
            page.press("k")
            page.press("ArrowLeft")
            page.press("u")  # not so sure after all
            page.press("o")
            assert page.value("getComputedStyle(document.getElementById('drawing')).display") == (
                "none"
            )
            assert "not saved yet" in page.value("document.getElementById('state').textContent")
            page.click("#save")
            saved = page.downloaded("review.csv")
            assert "not saved" not in page.value("document.getElementById('state').textContent")
            assert page.errors == []
        earlier = {"s_r003_c002": "keep", "elsewhere_r000_c000": "drop"}
        assert read_review(saved) == {tiles[0]: "drop", tiles[2]: "keep"} | earlier

    def test_a_key_held_down_judges_one_tile_and_caps_lock_hinders_none(self, reviewed, tmp_path):
        tiles = [tile["tile"] for tile in data_of(reviewed)["tiles"]]
        with browser(tmp_path) as page:
            page.open(reviewed)
            press = "document.dispatchEvent(new KeyboardEvent('keydown', {key: 'D', repeat: %s}))"
            for is_repeated in ("false", "true", "true"):
                page.value(press % is_repeated)
            assert page.value("document.getElementById('name').textContent").startswith(tiles[1])
            page.value("document.dispatchEvent(new KeyboardEvent('keydown', {key: 'Shift'}))")
            assert page.errors == []
            page.click("#save")
            saved = page.downloaded("review.csv")
        assert read_review(saved)[tiles[0]] == "drop"
        assert tiles[1] not in read_review(saved)

    def test_earlier_verdicts_are_shown(self, reviewed, tmp_path):
        tiles = [tile["tile"] for tile in data_of(reviewed)["tiles"]]
        with browser(tmp_path) as page:
            page.open(reviewed)
            marks = page.value(
                "[...document.querySelectorAll('nav li')].map((li) => li.lastChild.textContent)"
            )
        assert marks == ["keep" if tile == "s_r003_c002" else "" for tile in tiles]
