"""Stage report: the page holds the stages' own figures, and nothing from outside."""

from __future__ import annotations

import base64
import csv
import io
import itertools
import json
import os
import re
import subprocess
import sys
import zipfile
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from rasterio.crs import CRS
from shapely import box

from roadmask.__main__ import main
from roadmask.dataset.lattice import crs_key
from roadmask.files import sha256, write_json
from roadmask.grid import Grid, TileGrid
from roadmask.model.card import Card, embed_card
from roadmask.raster import write_cog
from roadmask.report import command, figures, page, pictures
from roadmask.selection_summary import summarize

FEET = CRS.from_epsg(2263)
TILE, HEIGHT, WIDTH = 32, 96, 128
CARD = Card(
    architecture="unet",
    bands=(1, 2, 3),
    scale=None,
    classes=("road",),
    outputs=1,
    threshold=0.5,
    input_stride=16,
    pixel_metres=0.152401,
    settings={"model.architecture": "unet", "training.flips": True},
    dataset_sha256="ab" * 32,
    figures={"epoch": 2, "val_mean_iou": 0.7},
    versions={"roadmask": "0.1.0", "tensorflow": "2.21.0"},
    colours=((240, 110, 30),),
)


class Page(HTMLParser):
    """What a test asks of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.cells: list[list[str]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self.cells.append([])
        if tag in ("td", "th") and self.cells:
            self.cells[-1].append("")
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" in self.open or not data.strip():
            return
        self.words.append(" ".join(data.split()))
        if {"td", "th"} & set(self.open):
            self.cells[-1][-1] += data.strip()

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    def headlines(self) -> dict[str, str]:
        """By name, the figures at the top."""
        at = self.text
        found = re.findall(r"<dt>([^<]*)</dt><dd class=\"value\">([^<]*)</dd>", at)
        return dict(found)

    def rows(self, *start: str) -> list[list[str]]:
        """The rows of tables that begin with these cells."""
        return [row for row in self.cells if tuple(row[: len(start)]) == start]


WINDOWS = {"window": 512, "halo": 96, "step": 320, "pixel_metres": 0.1524}


@dataclass
class City:
    """A results folder, as the stages before leave it."""

    root: Path
    scenes: tuple[str, ...] = ("east", "west")
    crs: CRS | None = FEET
    card: Card = CARD
    reference: bool = True
    extra: list[str] = field(default_factory=list)
    # Those that the network saw, where they are not its card's.
    bands: list[int] | None = None

    @property
    def results(self) -> Path:
        return self.root / "results"

    @property
    def names(self) -> list[str]:
        return ["other", *self.card.classes]

    def grid(self, index: int) -> Grid:
        if self.crs is None:
            return Grid(WIDTH, HEIGHT, Affine.identity(), None)
        return Grid(WIDTH, HEIGHT, Affine(0.5, 0, 1e6 + 64 * index, 0, -0.5, 2e5), self.crs)

    def write(self) -> City:
        random = np.random.default_rng(5)
        model = self.results / "model" / "model.keras"
        model.parent.mkdir(parents=True)
        with zipfile.ZipFile(model, "w") as archive:
            archive.writestr(zipfile.ZipInfo("config.json"), "{}")
        embed_card(model, self.card)
        for index, name in enumerate(self.scenes):
            self.write_scene(name, self.grid(index), random, sha256(model))
        self.write_history()
        self.write_selection()
        self.write_dataset()
        if self.reference and self.crs is not None:
            frame = gpd.GeoDataFrame(
                {"class": ["road"]}, geometry=[box(1e6, 199_970, 1e6 + 128, 199_990)], crs=self.crs
            )
            pyogrio.write_dataframe(frame, self.root / "truth.gpkg", layer="roads")
        return self

    def write_scene(self, name, grid, random, model_sha256):
        results = self.results
        image = random.integers(40, 200, (4, *grid.shape), dtype=np.uint8)
        tags = {"ROADMASK_SOURCE": f"{name}.jp2", "ROADMASK_GEOREFERENCE": "GeoJP2"}
        write_cog(results / "scenes" / f"{name}.tif", grid, image, tags=tags)
        mask = np.zeros(grid.shape, np.uint8)
        mask[20:60] = 1
        mask[:, 90:110] = len(self.card.classes)
        predicted = np.where(random.random(grid.shape) < 0.15, 1 - (mask > 0), mask)
        mask[:4, :4] = 255
        write_cog(results / "masks" / f"{name}.tif", grid, mask, nodata=255)
        shares = {label: float((mask == value).mean()) for value, label in enumerate(self.names)}
        content = {"scene": name, "shares": shares | {"not known": float((mask == 255).mean())}}
        (results / "masks" / f"{name}.json").write_text(json.dumps(content))
        seen = self.bands or list(self.card.bands)
        tags = {
            "ROADMASK_SETTINGS": json.dumps(
                {"prediction.threshold": self.card.threshold, "prediction.bands": seen}
            ),
            "ROADMASK_MODEL_SHA256": model_sha256,
        }
        write_cog(
            results / "predictions" / f"{name}.tif",
            grid,
            predicted.astype(np.uint8),
            nodata=255,
            tags=tags,
        )
        seam = {"border_jump": 0.021, "border_pairs": 300, "inner_jump": 0.02, "inner_pairs": 600}
        record = results / "predictions" / f"{name}.json"
        record.write_text(json.dumps({"scene": name, "seam": seam} | WINDOWS))
        values = range(1, 2) if self.card.outputs == 1 else range(self.card.outputs)
        probability = np.stack([np.where(predicted == value, 200, 30) for value in values])
        path = results / "predictions" / "probability" / f"{name}.tif"
        write_cog(path, grid, probability.astype(np.uint8), nodata=255)

    def write_history(self):
        columns = ["epoch", "loss", "val_loss", "val_mean_iou"]
        columns += [f"val_iou_{name}" for name in self.names] + ["learning_rate"]
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(columns)
        for epoch in (1, 2, 3):
            figures_ = [0.1 * epoch for _ in self.names]
            writer.writerow([epoch, 1.5 / epoch, "", 0.3 * epoch, *figures_, 1e-3 / epoch])
        (self.results / "model" / "history.csv").write_text(text.getvalue())

    def write_selection(self):
        reason = "road_share 0.97 > selection.max_road_share 0.95"
        row = {"verdict": "keep", "scope": "all", "reason": ""}
        dropped = {"verdict": "drop", "scope": "train", "reason": reason}
        shares = {"blank_share": "0.9", "saturated_share": "0", "tile": "t"}
        shares |= {"doubt": "0.8", "doubt_reason": "much of it is not known"}
        summary = summarize({name: [row | shares, dropped | shares] for name in self.scenes})
        path = self.results / "selection" / "summary.json"
        path.parent.mkdir()
        path.write_text(json.dumps(summary))

    def write_dataset(self):
        folder = self.results / "dataset"
        folder.mkdir()
        splits = {
            split: {
                "tiles": number,
                "blocks": number - 1,
                "pixels": dict.fromkeys(self.names, 1000 * number) | {"unknown": 500},
            }
            for split, number in (("train", 9), ("val", 3), ("test", 2))
        }
        content = {
            "bands": list(self.card.bands),
            "scale": None,
            "tile_size": TILE,
            "tile_overlap": 0,
            "classes": self.names,
            "split": {"train": 0.7, "val": 0.15, "test": 0.15, "block": "16 ft", "seed": 1},
            "splits": splits,
            "left_out": {"selection": 4},
            "warnings": ["val has no pixel of class <canal>"],
        }
        (folder / "dataset.json").write_text(json.dumps(content))
        blocks, tiles = [], []
        for index, name in enumerate(self.scenes):
            grid = self.grid(index)
            if self.crs is None:
                corners = (0.0, 0.0, float(WIDTH), float(HEIGHT))
                blocks.append(
                    {
                        "split": "test" if index else "train",
                        "scene": name,
                        "geometry": box(*corners),
                    }
                )
            for tile in TileGrid(name, grid, TILE):
                shape = box(*grid.window(tile.x, tile.y, TILE, TILE).bounds)
                split = "test" if tile.column < 2 else "train"
                tiles.append({"tile": tile.name, "split": split, "geometry": shape})
                if self.crs is not None:
                    corners = dict(
                        zip(("left", "bottom", "right", "top"), shape.bounds, strict=True)
                    )
                    blocks.append(
                        {"split": split, "crs": crs_key(self.crs), "geometry": shape} | corners
                    )
        tiles[5]["split"] = ""
        for layer, rows in (("blocks", blocks), ("tiles", tiles)):
            frame = gpd.GeoDataFrame(rows, geometry="geometry", crs=self.crs)
            pyogrio.write_dataframe(
                frame, folder / "split.gpkg", layer=layer, append=layer == "tiles"
            )

    def evaluation_arguments(self) -> list[str]:
        results = self.results
        reference = self.root / "truth.gpkg"
        return [
            "evaluation",
            *("--predictions", *(str(results / f"predictions/{x}.tif") for x in self.scenes)),
            "--probabilities",
            *(str(results / f"predictions/probability/{x}.tif") for x in self.scenes),
            *("--masks", *(str(results / f"masks/{x}.tif") for x in self.scenes)),
            *("--evaluation.tolerance", "2 ft"),
            *("--dataset", str(results / "dataset/dataset.json")),
            *("--split", str(results / "dataset/split.gpkg")),
            *("--output", str(results / "evaluation/metrics.json")),
            *(("--reference.path", str(reference)) if reference.exists() else ()),
        ]

    def evaluate(self) -> City:
        assert main(self.evaluation_arguments()) == 0
        return self

    def arguments(self, *, trained: bool = True) -> list[str]:
        results = self.results
        given = [
            *("report", "--results", str(results), "--output", str(self.output)),
            *("--predicted", *self.scenes, "--model", str(results / "model/model.keras")),
        ]
        if trained:
            given += ["--labelled", *self.scenes]
            given += ["--history", str(results / "model/history.csv")]
            given += ["--selection", str(results / "selection/summary.json")]
            given += ["--dataset", str(results / "dataset/dataset.json")]
            given += ["--evaluation", str(results / "evaluation/metrics.json")]
        return [*given, *self.extra]

    @property
    def output(self) -> Path:
        return self.results / "report" / "index.html"

    def page(self, *, trained: bool = True) -> Page:
        assert main(self.arguments(trained=trained)) == 0
        return Page(self.output.read_text(encoding="utf-8"))

    def metrics(self) -> dict:
        return json.loads((self.results / "evaluation" / "metrics.json").read_text())


@pytest.fixture
def city(tmp_path: Path) -> City:
    return City(tmp_path).write().evaluate()


def test_the_measure_of_the_seams_is_over_all_scenes_and_weighs_their_borders(city):
    record = city.results / "predictions" / "east.json"
    content = json.loads(record.read_text())
    content["seam"] |= {"border_jump": 0.03, "border_pairs": 100}
    record.write_text(json.dumps(content))
    # (0.03 * 100 + 0.021 * 300) / 400 over 0.02
    assert '<dt>seams</dt><dd class="value">1.16</dd>' in city.page().text


@pytest.mark.parametrize(("jump", "is_told"), [(0.0196, False), (0.0204, False), (0.021, True)])
def test_seams_that_show_are_something_to_look_at(city, jump, is_told):
    for name in city.scenes:
        record = city.results / "predictions" / f"{name}.json"
        content = json.loads(record.read_text())
        content["seam"]["border_jump"] = jump
        record.write_text(json.dumps(content))
    told = "Where windows meet, the probability jumps 1.05 times as much as in one window"
    assert (told in city.page().text) == is_told


@pytest.mark.parametrize(
    ("reach", "words"),
    [
        (
            107,
            "of which 96 move its probabilities: a window's edge is not felt",
        ),
        (
            213,
            "of which 191 move its probabilities: a window's edge may be felt",
        ),
        (None, "the network looks at the whole window: a window's edge may be felt"),
    ],
)
def test_the_halo_and_its_cost_are_stated(tmp_path, reach, words):
    found = City(tmp_path, card=replace(CARD, reach=reach)).write().evaluate().page()
    assert found.headlines()["halo"] == "96 px"
    text = " ".join(found.words)
    assert words in text
    assert "it sees 2.56 pixels for each of a large sheet" in text


def test_pictures_show_the_bands_that_the_network_saw(tmp_path):
    pages = [
        City(tmp_path / name, bands=bands).write().evaluate().page()
        for name, bands in (("own", None), ("other", [3, 2, 1]))
    ]
    own, other = (found.all("img") for found in pages)
    for one, two in zip(own, other, strict=True):
        if one["alt"].startswith("Scene") or one["alt"].endswith(": picture"):
            assert one["src"] != two["src"]


def test_pictures_of_one_window_have_no_seams_to_measure(city):
    for name in city.scenes:
        seam = {"border_jump": None, "border_pairs": 0, "inner_jump": None, "inner_pairs": 0}
        record = city.results / "predictions" / f"{name}.json"
        record.write_text(json.dumps({"scene": name, "seam": seam} | WINDOWS))
    assert "<dt>seams</dt>" not in city.page().text


# --- the whole page ----------------------------------------------------------------------


def check_self_contained(found: Page) -> None:
    for tag, attributes in found.tags:
        assert tag not in ("script", "link", "iframe", "object", "embed", "base", "use", "image")
        for name, value in attributes.items():
            if name in ("src", "srcset", "data", "poster", "xlink:href"):
                assert value is not None
                assert value.startswith("data:image/")
            if name == "href":
                assert value is not None
                assert value.startswith("#")
            assert not name.startswith("on")
    assert "url(" not in found.text
    assert "@import" not in found.text
    assert "http://" not in found.text.replace("http-equiv", "")
    assert "https://" not in found.text
    assert found.open == []
    anchors = {attributes["href"] for attributes in found.all("a")}
    assert anchors <= {f"#{attributes.get('id')}" for _, attributes in found.tags}


def check_accessible(found: Page) -> None:
    assert found.all("html")[0]["lang"] == "en"
    assert len(found.all("h1")) == 1
    levels = [int(tag[1]) for tag, _ in found.tags if re.fullmatch(r"h[1-6]", tag)]
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    assert all(image["alt"] for image in found.all("img"))
    assert all("scope" in header for header in found.all("th"))
    for drawing in found.all("svg"):
        assert drawing.get("aria-label") or drawing.get("aria-hidden") == "true"


def check_pictures(found: Page) -> None:
    assert found.all("img")
    for image in found.all("img"):
        source = image["src"]
        assert source is not None
        data = base64.b64decode(source.partition("base64,")[2])
        with Image.open(io.BytesIO(data)) as opened:
            opened.load()
            assert opened.size == (int(image["width"] or 0), int(image["height"] or 0))


def test_nothing_comes_from_outside(city):
    found = city.page()
    check_self_contained(found)
    check_accessible(found)
    check_pictures(found)
    assert city.output.stat().st_size < 5e6
    assert str(city.root) not in found.text


def test_the_figures_are_those_of_the_stages(city):
    found, metrics = city.page(), city.metrics()
    top = found.headlines()
    for against, words in (("labels", "the labels"), ("reference", "the reference")):
        held = metrics[against]
        assert top[f"road IoU against {words}"] == f"{held['iou']['road']:.3f}"
        assert top[f"mean IoU against {words}"] == f"{held['mean_iou']:.3f}"
        index = 0 if against == "labels" else 1
        for key, name in page.figure_names(metrics).items():
            cells = found.rows(name)[index][1:]
            for cell, label in zip(cells, held["classes"], strict=True):
                assert cell == f"{held['classes'][label][key]:.4f}" + interval(
                    held["intervals"]["classes"][label][key]
                )
        accuracy = f"{held['pixel_accuracy']:.4f} ({interval(held['intervals']['pixel_accuracy'])})"
        assert accuracy in " ".join(found.words)
    assert top["mask IoU against the reference"] == f"{metrics['masks']['iou']:.3f}"
    assert top["of the labels not known"] == f"{100 * metrics['masks']['unknown_share']:.2f} %"
    assert top["tiles in the data set"] == "14"
    labels = metrics["labels"]
    confusion = labels["confusion"]
    [row] = found.rows("labelled road")
    for cell, number, limits in zip(
        row[1:], confusion[1], labels["intervals"]["confusion_shares"][1], strict=True
    ):
        share = number / sum(confusion[1])
        low, high = (f"{100 * limit:.1f}" for limit in limits)
        whole = f"{number:,}".replace(",", "\u202f")
        assert cell == f"{whole}{100 * share:.2f} %{low}{page.TO}{high}\u00a0%"


def interval(limits: list[float]) -> str:
    return f"{limits[0]:.4f}{page.TO}{limits[1]:.4f}"


def test_curves_of_precision_and_calibration_are_drawn(city):
    found, metrics = city.page(), city.metrics()
    drawings = {
        str(drawing["aria-label"]) for drawing in found.all("svg") if drawing.get("aria-label")
    }
    for title in ("Against the labels", "Against the reference"):
        assert f"{title}, precision over recall of road at every threshold" in drawings
        assert f"{title}, share of pixels that are road over the probability" in drawings
    # The table of calibration: probabilities were 30 and 200 of 254.
    for row in metrics["labels"]["reliability"]["road"]:
        [cells, _] = found.rows(f"{row['from']:.1f} to {row['to']:.1f}")
        assert cells[1] == f"{row['pixels']:,}".replace(",", "\u202f")
        assert cells[2] == page.figure(row["mean_probability"])
        assert (cells[3] == "–") == (row["pixels"] == 0)


def test_without_probabilities_nothing_is_drawn_of_them(city):
    path = city.results / "evaluation" / "metrics.json"
    arguments = city.evaluation_arguments()
    start = arguments.index("--probabilities")
    del arguments[start : start + 1 + len(city.scenes)]
    assert main(arguments) == 0
    assert json.loads(path.read_text())["labels"]["ece"] is None
    found = city.page()
    check_accessible(found)
    assert found.rows("calibration error") == [["calibration error", "–", "–"]] * 2
    assert not [d for d in found.all("svg") if "probability" in (d.get("aria-label") or "")]
    assert any("There are no probabilities" in words for words in found.words)


def test_what_was_made_is_told(city):
    found = city.page()
    [row] = found.rows("east")
    assert row[1] == "east.jp2"
    text = " ".join(found.words)
    assert "EPSG:2263, NAD83 / New York Long Island (ftUS)" in text
    assert "0.152 m (0.5 US survey foot)" in text
    assert found.rows("drop in training") == [["drop in training", "2"]]
    assert found.rows("road_share > selection.max_road_share 0.95")[0][1] == "2"
    assert found.rows("train") == [["train", "9", "8", "50.00 %", "50.00 %", "2.70 %"]]
    assert "val has no pixel of class <canal>" in text  # and is no tag
    assert "4 tiles show one flat colour" in text
    maps = [drawing for drawing in found.all("svg") if drawing.get("class") == "map"]
    assert maps[0]["aria-label"] == "Map of the blocks: 12 train, 0 val, 12 test"


def test_where_labels_lie_beside_their_pictures_is_told_sheet_by_sheet(city):
    path = city.results / "selection" / "summary.json"
    summary = json.loads(path.read_text())
    far = {"metres": 2.0, "sigma_metres": 0.031, "shift": ["6.6 ft", "0 ft"]}
    unclear = dict.fromkeys(far)
    summary["offsets"] = {
        "limit": "3 ft", "too_far": ["west"], "scenes": {"east": unclear, "west": far}
    }  # fmt: skip
    write_json(path, summary)
    found = city.page()
    check_accessible(found)
    told = [row for row in found.rows("west") + found.rows("east") if len(row) == 4]
    assert told == [
        ["west", "2.00", "0.03", "6.6 ft, 0 ft (too far)"],
        ["east", "–", "–", "no offset stands out"],
    ]


def test_the_same_results_give_the_same_bytes_wherever_they_lie(city, tmp_path):
    city.page()
    other = City(tmp_path / "elsewhere").write().evaluate()
    other.page()
    assert city.output.read_bytes() == other.output.read_bytes()


def test_samples_of_the_augmentation_are_shown_where_there_are_any(city):
    alt = "tiles, and how augmentation changes them"
    assert alt not in [image["alt"] for image in city.page().all("img")]
    sheet = city.results / "model" / "augmentation.png"
    Image.new("RGB", (40, 30), (9, 99, 9)).save(sheet)
    found = city.page()
    check_self_contained(found)
    check_pictures(found)
    assert alt in [image["alt"] for image in found.all("img")]


def test_a_ready_model_has_neither_labels_nor_training(city):
    found = city.page(trained=False)
    check_self_contained(found)
    check_accessible(found)
    check_pictures(found)
    text = " ".join(found.words)
    assert "A ready network was applied" in text
    assert found.headlines() == {"scenes predicted": "2", "seams": "1.05", "halo": "96 px"}
    for word in ("Training", "Evaluation", "Data set", "Confusion"):
        assert word not in found.words
    captions = [words for words in found.words if words in ("picture", "prediction", "probability")]
    assert captions == ["picture", "prediction", "probability"] * 2


def test_what_was_drawn_is_told_with_its_score(city):
    assert "Vectors" not in city.page().words
    folder = city.results / "vectors"
    drawn = {
        "file": "roads.gpkg",
        "scenes": list(city.scenes),
        **{"polygons": 3, "holes": 12, "area_m2": 4567.8, "edges": 1234, "length_m": 98765.4},
        "nodes": {"crossing": 71, "end": 8, "ring": 0},
    }
    figures = {"truth_to_proposal": 0.9, "proposal_to_truth": 0.8, "paths": 1000}
    scored = {
        "group": "epsg2263_0.5",
        "masks": {"apls": 0.9512, "apls_with_levels": 0.75} | figures,
        "predictions": {"apls": 0.9123, "apls_with_levels": 0.65} | figures,
    }
    write_json(folder / "vectors.json", {"files": [drawn]})
    write_json(folder / "network.json", {"snap_m": 6.0, "spacing_m": 50.0, "groups": [scored]})
    city.extra += ["--vectors", str(folder / "vectors.json")]
    row = ["roads.gpkg", "2", "3", "12", "4\u202f567", "1\u202f234", "98\u202f765", "71", "8"]
    assert city.page(trained=False).rows("roads.gpkg") == [row]
    city.extra += ["--network", str(folder / "network.json")]
    found = city.page()
    check_self_contained(found)
    check_accessible(found)
    assert found.rows("roads.gpkg") == [row]
    assert found.rows("masks", "0.951")[0][-1] == "0.750"
    assert found.rows("predictions", "0.912")[0][-1] == "0.650"


def test_places_where_map_and_picture_disagree_are_listed_and_shown(city):
    assert not city.page().rows("place", "kind")
    folder = city.results / "changes"
    folder.mkdir()
    west, north = city.grid(0).transform @ (0, 0)
    lane = box(west + 20, north - 40, west + 24, north - 10)
    table = gpd.GeoDataFrame(
        {
            "place": [1, 2], "kind": ["demolished", "new"], "confidence": [0.987, 0.6],
            "length_m": [30.4, 28.0], "width_m": [6.24, 5.0], "sheets": ["east,west", "east"],
            "source_fid": [7.0, np.nan], "flight": ["training", "next_year"],
        },
        geometry=[lane, lane],
        crs=city.crs,
    )  # fmt: skip
    pyogrio.write_dataframe(table, folder / "changes.gpkg", layer="changes")
    none = {"places": 0, "length_m": 0.0}
    kinds = {"demolished": none | {"places": 1, "length_m": 30.4}, "paper": none, "new": none}
    summary = {
        "compared_shares": {"east": 1.0, "west": 0.5},
        "not_compared": dict.fromkeys(("far", "farther"), "there is no map"),
        "kinds": kinds,
    }
    write_json(folder / "summary.json", summary)
    city.extra += ["--changes", str(folder / "summary.json")]
    found = city.page()
    check_self_contained(found)
    check_accessible(found)
    assert found.rows("1", "demolished") == [
        ["1", "demolished", "0.99", "30", "6.2", "7", "training", "east, west"]
    ]
    assert found.rows("2", "new") == [["2", "new", "0.60", "28", "5.0", "", "next_year", "east"]]
    assert "Not compared: there is no map (far, farther)." in found.words
    shown = [image["alt"] for image in found.all("img") if "outlined" in str(image["alt"])]
    assert shown == ["Place 1, demolished, outlined", "Place 2, new, outlined"]


def test_where_nothing_was_compared_the_page_says_why(city):
    folder = city.results / "changes"
    folder.mkdir()
    columns = {name: [] for name in ("place", "kind", "confidence", "sheets", "flight")}
    empty = gpd.GeoDataFrame(columns, geometry=[], crs=city.crs)
    pyogrio.write_dataframe(
        empty, folder / "changes.gpkg", layer="changes", geometry_type="MultiPolygon"
    )
    scenes = {f"scene_{number}": "there is no map" for number in range(14)}
    summary = {"compared_shares": {}, "not_compared": scenes, "kinds": {}}
    write_json(folder / "summary.json", summary)
    city.extra += ["--changes", str(folder / "summary.json")]
    [told] = [words for words in city.page().words if words.startswith("Nothing was compared")]
    assert told.startswith("Nothing was compared: there is no map (scene_0, scene_1,")
    assert told.endswith("scene_11 and 2 more).")


def test_without_a_reference_nothing_is_said_of_one(tmp_path):
    found = City(tmp_path, reference=False).write().evaluate().page()
    check_self_contained(found)
    assert "road IoU against the labels" in found.headlines()
    assert not any("reference" in name for name in found.headlines())
    assert "Against the reference" not in found.words


def test_pictures_that_lie_nowhere(tmp_path):
    card = replace(CARD, pixel_metres=None)
    found = City(tmp_path, crs=None, card=card).write().evaluate().page()
    check_self_contained(found)
    check_accessible(found)
    assert not [drawing for drawing in found.all("svg") if drawing.get("class") == "map"]
    assert any("a whole picture belongs to one split" in words for words in found.words)
    assert any(" pixels on 1 picture." in words for words in found.words)
    assert "Confusion matrix: pixels and their share of the row" in found.words


def test_a_label_of_one_value_is_named(city):
    words = "The label is one value all over in"
    assert words not in city.page().text
    path = city.results / "masks" / "east.json"
    shares = {"other": 1.0, "road": 0.0, "not known": 0.0}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"shares": shares}))
    assert f"{words} 1 scene: east (other)" in city.page().words


def test_more_than_one_class(tmp_path):
    card = replace(
        CARD,
        classes=("road", "water", "rail"),
        outputs=4,
        threshold=None,
        scale=((0.0, 250.0),) * 3,
        colours=((1, 2, 3), (60, 16, 152), (226, 169, 41)),
    )
    made = City(tmp_path, card=card, reference=False).write().evaluate()
    found, metrics = made.page(), made.metrics()
    check_self_contained(found)
    assert (
        found.headlines()["mean IoU against the labels"] == f"{metrics['labels']['mean_iou']:.3f}"
    )
    names = ["other", *card.classes]
    held = metrics["labels"]["classes"]
    for key, name in page.figure_names(metrics).items():
        [row] = found.rows(name)
        for cell, label in zip(row[1:], names, strict=False):
            assert cell[:6] == page.figure(held[label][key], 4)
        assert row[1 + names.index("water")] == "–"  # the masks hold none
        mean = "" if key == "iou" else page.figure(metrics["labels"][key], 4)
        assert row[-1][:6] == mean
    assert any(
        words.startswith("Against labels: No pixel of the truth is water") for words in found.words
    )
    swatches = [mark.get("style") for mark in found.all("span") if mark.get("class") == "swatch"]
    assert "background: rgb(60, 16, 152)" in swatches
    assert "wrong class" in found.text


def test_a_scene_of_other_pixels_than_those_trained_on_is_named(tmp_path):
    card = replace(CARD, pixel_metres=0.3)
    made = City(tmp_path, card=card).write()
    text = " ".join(made.page(trained=False).words)
    assert "east: its pixels measure 0.152 m, those that the network was trained on 0.3 m" in text


def test_a_scene_resampled_to_the_pixels_trained_on_is_not_named(tmp_path):
    made = City(tmp_path, card=replace(CARD, pixel_metres=0.3)).write()
    record = made.results / "predictions" / "east.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"pixel_metres": 0.3}))
    text = " ".join(made.page(trained=False).words)
    assert "east: its pixels measure" not in text
    assert "west: its pixels measure" in text


def test_what_is_to_be_looked_at_stays_readable(tmp_path, monkeypatch):
    monkeypatch.setattr(page, "MOST_REMARKS", 1)
    card = replace(CARD, pixel_metres=0.3)
    text = " ".join(City(tmp_path, card=card).write().page(trained=False).words)
    assert "east: its pixels" in text
    assert "and 2 more of these" in text
    assert "west: its pixels" not in text


def test_a_missing_file_is_named(city, capsys):
    (city.results / "dataset" / "split.gpkg").unlink()
    assert main(city.arguments()) == 1
    assert "split.gpkg: it can't be read" in capsys.readouterr().err
    assert not city.output.exists()


def test_settings_are_shown_without_the_folders_of_their_maker(city):
    city.extra = ["--setting", "imagery.paths=/home/ada/a.jp2,/mnt/b*.jp2"]
    city.extra += ["--setting", "street_lines.where=A = '/1'", "--setting", "results=/tmp/out/"]
    found = city.page()
    assert found.rows("imagery.paths") == [["imagery.paths", "a.jp2, b*.jp2"]]
    assert found.rows("street_lines.where") == [["street_lines.where", "A = '/1'"]]
    assert found.rows("results") == [["results", "out"]]
    assert "ada" not in found.text


def test_a_setting_without_a_value_is_refused():
    with pytest.raises(command.SettingError, match="has no ="):
        command.parse_settings(["tiles.size"])


def test_the_stage_needs_no_tensorflow(repository):
    code = "import sys, roadmask.report; sys.exit('tensorflow' in sys.modules)"
    environment = os.environ | {"PYTHONPATH": str(repository / "workflow")}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


# --- its parts ---------------------------------------------------------------------------


def rows_with(*ious: float | None) -> list[dict[str, str]]:
    return [
        {
            "tile": f"t{index}",
            "iou_road": "" if iou is None else str(iou),
            "truth_road": "50",
            "pixels": "1000",
        }
        for index, iou in enumerate(ious)
    ]


def test_the_worst_the_middle_and_the_best_tiles_are_shown():
    rows = rows_with(0.5, 0.9, None, 0.1, 0.8, 0.3, 0.7, 0.2, 0.6, 0.4)
    rows.append(rows_with(0.0)[0] | {"tile": "little", "truth_road": "9"})
    chosen = [(kind, row["iou_road"]) for kind, row in page.chosen_tiles(rows, "road")]
    assert chosen == [
        *(("worst", f"0.{tenth}") for tenth in (1, 2, 3, 4)),
        *(("middle", "0.5"), ("middle", "0.6")),
        *(("best", "0.8"), ("best", "0.9")),
    ]


@given(st.lists(st.floats(0, 1), max_size=30))
def test_no_tile_is_shown_twice(ious):
    chosen = [row["tile"] for _, row in page.chosen_tiles(rows_with(*ious), "road")]
    assert len(chosen) == len(set(chosen)) == min(len(ious), 8)


def test_only_test_ground_is_shown(city):
    with (city.results / "evaluation" / "tiles.csv").open() as file:
        splits = {row["tile"]: row["split"] for row in csv.DictReader(file)}
    assert set(splits.values()) == {"train", "test"}
    shown = [words for words in city.page().words if words in splits]
    assert len(shown) == 8
    assert {splits[tile] for tile in shown} == {"test"}


def test_the_page_of_many_scenes_stays_small(city, monkeypatch):
    monkeypatch.setattr(page, "MOST_SCENES", 1)
    found = city.page()
    assert len(found.rows("east")) == 1
    assert found.rows("west") == []
    assert any("The first 1 of 2 scenes are listed" in words for words in found.words)


def test_places_lie_where_their_figures_say():
    points = figures.Points("road", ((0.0, 0.0), (0.5, 1.0)), ((0.0, 0.25), None), (1.0, 1.0))
    drawing = figures.square_chart("t", [points], x_label="x", y_label="y", diagonal=True)
    frame = figures.Frame(figures.SQUARE_WIDTH, figures.SQUARE_HEIGHT, (0, 1), (0, 1))
    dots = [
        (float(x), float(y))
        for x, y in re.findall(r'<circle [^>]*cx="([\d.]+)" cy="([\d.]+)"', drawing)
    ]
    places = [(frame.across(x), frame.down(y)) for x, y in ((0, 0), (0.5, 1), (1, 1))]
    assert np.array(dots) == pytest.approx(np.array(places), abs=0.05)
    [(low, high)] = re.findall(r'class="bar[^>]*d="M[\d.]+ ([\d.]+)V([\d.]+)"', drawing)
    assert (float(low), float(high)) == pytest.approx((frame.down(0), frame.down(0.25)), abs=0.05)
    assert frame.down(0.25) < frame.down(0)


@given(st.floats(-1e6, 1e6), st.floats(1e-9, 1e6))
def test_ticks_enclose_the_values_in_even_steps(low, span):
    ticks = figures.nice_ticks(low, low + span)
    slack = 1e-6 * max(abs(low), span, 1e-9)
    assert ticks[0] <= low + slack
    assert ticks[-1] >= low + span - slack
    assert 2 <= len(ticks) <= 13
    steps = np.diff(ticks)
    assert np.allclose(steps, steps[0], atol=1e-9 * max(1, abs(low)))


def test_ticks_of_a_single_value_have_room():
    assert figures.nice_ticks(0.0, 0.0) == [-1.0, -0.5, 0.0, 0.5, 1.0]


def test_a_chart_leaves_a_gap_where_nothing_is_known():
    line = figures.Line("a & b", (1.0, None, 2.0, 3.0))
    drawing = figures.line_chart("t", [1, 2, 3, 4], [line], x_label="epoch")
    [path] = re.findall(r'class="line s0" d="([^"]*)"', drawing)
    assert path.count("M") == 2
    assert path.count("L") == 1
    assert "a &amp; b" in figures.legend([line])


def test_too_many_blocks_are_not_drawn(monkeypatch):
    monkeypatch.setattr(figures, "MOST_SHAPES", 2)
    blocks = {"train": [box(0, 0, 1, 1), box(1, 0, 2, 1)]}
    assert figures.split_map(blocks, [], {}) is not None
    assert figures.split_map(blocks, [box(0, 0, 1, 1)], {}) is None


def test_north_is_up_on_the_map():
    drawing = figures.split_map({"train": [box(0, 9, 10, 10)], "test": [box(0, 0, 10, 1)]}, [], {})
    rings = dict(re.findall(r'class="block (\w+)" d="M[\d ]+L[\d ]+L\d+ (\d+)', drawing or ""))
    assert int(rings["train"]) < int(rings["test"])


def test_an_outline_is_inside_its_class_and_not_along_the_picture():
    classes = np.zeros((6, 6), np.uint8)
    classes[:4, :4] = 1
    found = pictures.outline(classes)
    assert found.sum() == 7
    assert found[3, :4].all()
    assert found[:4, 3].all()


def test_errors_have_their_colours():
    background = np.full((1, 5, 3), 100, np.uint8)
    label = np.array([[0, 1, 1, 0, 255]], np.uint8)
    predicted = np.array([[0, 1, 0, 1, 1]], np.uint8)
    shown = pictures.error_picture(background, label, predicted, 1, CARD.colours)[0].astype(int)
    assert np.ptp(shown[0]) == 0  # nothing to show: grey
    assert shown[1][0] > shown[1][2]  # right: the road's warm colour
    assert tuple(shown[2]) == pictures.MISSED
    assert tuple(shown[3]) == pictures.FALSE_ALARM
    assert np.ptp(shown[4]) == 0  # not known


def test_a_scene_is_shown_as_the_network_sees_it(tmp_path):
    grid = Grid(40, 20, Affine(0.5, 0, 1e6, 0, -0.5, 2e5), FEET)
    values = np.stack([np.full((20, 40), value, np.uint16) for value in (1000, 2000, 3000, 9)])
    write_cog(tmp_path / "a.tif", grid, values)
    bands = pictures.Bands((3, 2, 1, 4), ((0.0, 3000.0),) * 4)
    shown = pictures.read_reduced(tmp_path / "a.tif", bands, 20)
    assert shown.shape == (10, 20, 3)
    assert (shown == (255, 170, 85)).all()
    single = pictures.read_reduced(tmp_path / "a.tif", pictures.Bands((2,), ((0.0, 4000.0),)), 99)
    assert single.shape == (20, 40, 3)
    assert (single == 128).all()


def test_some_of_many_scenes_are_shown():
    scenes = [object() for _ in range(1900)]
    shown = page.spread(scenes, 6)
    assert [scenes.index(scene) for scene in shown] == [0, 379, 759, 1139, 1519, 1899]
    assert page.spread(scenes[:3], 6) == scenes[:3]
