"""Six colour-coded classes through every stage: pictures and masks as Dubai's users have them."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
import yaml
from PIL import Image
from scipy.spatial import cKDTree

pytestmark = pytest.mark.slow

CLASSES = {
    "building": "#3C1098",
    "land": [132, 41, 246],
    "road": [110, 193, 228],
    "vegetation": [254, 221, 58],
    "water": [226, 169, 41],
    "unlabeled": [155, 155, 155],
}
COLOURS = [(60, 16, 152), (132, 41, 246), (110, 193, 228), (254, 221, 58), (226, 169, 41),
           (155, 155, 155)]  # fmt: skip
NAMES = ["other", *CLASSES]
# What the ground looks like, one for each class; to be told apart by a network in no time.
LOOKS = [
    (190, 60, 50),
    (200, 170, 120),
    (70, 70, 80),
    (40, 130, 40),
    (30, 60, 190),
    (240, 240, 240),
]
SIZES = [
    (150, 130),
    (128, 128),
    (141, 197),
    (200, 96),
    (128, 160),
    (170, 170),
    (99, 140),
    (160, 129),
]


def draw(folder: Path) -> dict[str, np.ndarray]:
    """Write pictures of different sizes and their masks; return the labels by name."""
    (folder / "images").mkdir()
    (folder / "masks").mkdir()
    labels = {}
    for number, (width, height) in enumerate(SIZES):
        name = f"image_part_{number:03d}"
        generator = np.random.default_rng(number)
        seeds = generator.uniform(0, (width, height), (18, 2))
        columns, rows = np.meshgrid(np.arange(width), np.arange(height))
        places = np.column_stack([columns.ravel(), rows.ravel()])
        nearest = cKDTree(seeds).query(places)[1].reshape(height, width)
        label = (nearest % 6 + 1).astype(np.uint8)
        mask = np.array([(0, 0, 0), *COLOURS], np.uint8)[label]
        picture = np.array([(0, 0, 0), *LOOKS])[label] + generator.normal(0, 9, (height, width, 3))
        Image.fromarray(mask).save(folder / "masks" / f"{name}.png")
        Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(
            folder / "images" / f"{name}.png"
        )
        labels[name] = label
    return labels


CONFIG = {
    "dataset": "dubai",
    "imagery": {"paths": ["images/*.png"], "georeference": "pixel"},
    "labels": {"method": "raster", "raster": "masks/{scene}.png"},
    "classes": CLASSES,
    "tiles": {"size": 64},
    "split": {"train": 0.6, "val": 0.2, "test": 0.2},
    "training": {"epochs": 6, "crop": 64, "learning_rate": 0.004, "patience": 6},
    "prediction": {"window": 96, "overlap": 16},
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory, repository) -> tuple[Path, dict[str, np.ndarray]]:
    folder = tmp_path_factory.mktemp("dubai")
    labels = draw(folder)
    (folder / "dubai.yaml").write_text(yaml.safe_dump(CONFIG, sort_keys=False))
    done = subprocess.run(
        [
            sys.executable, "-m", "snakemake", "--snakefile", str(repository / "Snakefile"),
            "--directory", str(folder), "--configfile", str(folder / "dubai.yaml"),
            "--cores", "2",
        ],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-8000:]
    return folder / "results", labels


def category_names(raster: Path) -> list[str]:
    text = raster.with_name(f"{raster.name}.aux.xml").read_text()
    return re.findall("<Category>(.*)</Category>", text)


def test_masks_hold_the_classes_in_order_and_the_sources_colours(finished):
    results, labels = finished
    for name, label in labels.items():
        mask = results / "masks" / f"{name}.tif"
        with rasterio.open(mask) as dataset:
            np.testing.assert_array_equal(dataset.read(1), label)
            colours = dataset.colormap(1)
        assert [colours[value][:3] for value in range(1, 7)] == COLOURS
        assert category_names(mask) == NAMES
        tiles = sorted((results / "masks" / "tiles" / name).glob("*.tif"))
        with rasterio.open(tiles[0]) as dataset:
            np.testing.assert_array_equal(dataset.read(1), label[:64, :64])


def test_no_tile_is_dropped_for_being_full_of_classes(finished):
    results, labels = finished
    for name in labels:
        with (results / "selection" / f"{name}.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert {row["road_share"] for row in rows} == {"1.000000"}
        assert {row["verdict"] for row in rows if float(row["nodata_share"]) <= 0.5} == {"keep"}


def test_the_data_set_counts_and_weighs_every_class(finished):
    results, _ = finished
    dataset = json.loads((results / "dataset" / "dataset.json").read_text())
    assert dataset["classes"] == NAMES
    assert dataset["colours"] == [list(colour) for colour in COLOURS]
    train = dataset["splits"]["train"]["pixels"]
    assert all(train[name] > 0 for name in CLASSES)
    total = sum(train[name] for name in NAMES)
    for name in CLASSES:
        assert dataset["class_weights"][name] == pytest.approx(total / 6 / train[name], abs=1e-6)
    assert dataset["warnings"] == []


def test_the_network_is_a_softmax_that_learns(finished):
    results, _ = finished
    card = json.loads((results / "model" / "model.json").read_text())
    assert (card["outputs"], card["threshold"]) == (7, None)
    assert (card["classes"], card["colours"]) == (NAMES[1:], [list(colour) for colour in COLOURS])
    with (results / "model" / "history.csv").open(newline="") as file:
        history = list(csv.DictReader(file))
    assert {f"val_iou_{name}" for name in CLASSES} <= set(history[0])
    metrics = json.loads((results / "evaluation" / "metrics.json").read_text())["labels"]
    assert list(metrics["iou"]) == NAMES
    assert metrics["iou"]["other"] is None
    assert np.shape(metrics["confusion"]) == (7, 7)
    assert metrics["mean_iou"] > 0.4
    assert metrics["mean_iou"] == pytest.approx(
        np.mean([metrics["iou"][name] for name in CLASSES]), abs=1e-5
    )


def test_predictions_are_the_most_probable_class_in_the_sources_colours(finished):
    results, labels = finished
    for name, label in labels.items():
        path = results / "predictions" / f"{name}.tif"
        with rasterio.open(path) as dataset:
            classes, colours = dataset.read(1), dataset.colormap(1)
            assert json.loads(dataset.tags()["ROADMASK_CLASSES"]) == NAMES
        with rasterio.open(results / "predictions" / "probability" / f"{name}.tif") as dataset:
            probability, bands = dataset.read(), dataset.descriptions
        assert classes.shape == label.shape
        assert bands == tuple(NAMES)
        np.testing.assert_array_equal(classes, probability.argmax(axis=0))
        # Each is rounded for itself to 254ths.
        assert np.abs(probability.sum(axis=0).astype(int) - 254).max() <= 4
        assert [colours[value][:3] for value in range(1, 7)] == COLOURS
        assert category_names(path) == NAMES
        style = path.with_suffix(".qml").read_text()
        assert 'value="1" label="building" color="#3c1098"' in style


def test_the_report_shows_every_class(finished):
    results, _ = finished
    page = (results / "report" / "index.html").read_text()
    for name, (red, green, blue) in zip(CLASSES, COLOURS, strict=True):
        assert f"labelled {name}" in page
        assert f"background: rgb({red}, {green}, {blue})" in page
    metrics = json.loads((results / "evaluation" / "metrics.json").read_text())["labels"]
    assert f"{metrics['iou']['road']:.4f}" in page
