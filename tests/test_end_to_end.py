"""The whole chain on a small city of two sheets: every output, one grid, nothing twice."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import yaml
from affine import Affine
from browser import browser
from qgis_program import look
from rasterio.crs import CRS
from rasterio.features import rasterize
from shapely import LineString, box

from planning.locking import RESULTS_LOCK
from planning.reruns import step_of
from roadmask.grid import Grid

FEET = CRS.from_epsg(2263)
WEST, NORTH = 1_000_000.0, 200_000.0
PIXEL = 0.5
SHEET = 768
SCENES = ("east", "west")


def draw_city(folder: Path) -> None:
    """Two JP2 sheets side by side, with streets that run from one into the other."""
    width, height = 2 * SHEET * PIXEL, SHEET * PIXEL
    step, half = 128.0, 15.0
    blocks = [
        box(
            WEST + column * step + half,
            NORTH - (row + 1) * step + half,
            WEST + (column + 1) * step - half,
            NORTH - row * step - half,
        )
        for column in range(-2, round(width / step) + 2)
        for row in range(-2, round(height / step) + 2)
    ]
    lines = [LineString(block.exterior.coords) for block in blocks]
    far = 2 * step
    axes = [
        LineString([(x, NORTH - height - far), (x, NORTH + far)])
        for x in np.arange(WEST - step, WEST + width + 2 * step, step)
    ] + [
        LineString([(WEST - far, y), (WEST + width + far, y)])
        for y in np.arange(NORTH + step, NORTH - height - 2 * step, -step)
    ]
    vectors = folder / "maps"
    vectors.mkdir()
    crs = FEET.to_wkt()
    gpd.GeoDataFrame({"FEAT_CODE": ["2260"] * len(lines)}, geometry=lines, crs=crs).to_file(
        vectors / "edges.shp"
    )
    status = ["2"] * len(axes)
    gpd.GeoDataFrame({"STATUS": status}, geometry=axes, crs=crs).to_file(vectors / "axes.shp")

    whole = Grid(2 * SHEET, SHEET, Affine(PIXEL, 0, WEST, 0, -PIXEL, NORTH), FEET)
    other = rasterize(blocks, whole.shape, transform=whole.transform)
    generator = np.random.default_rng(3)
    picture = np.where(other == 1, 170, 80) + generator.normal(0, 6, (4, *whole.shape))
    picture = np.clip(picture, 1, 255).astype(np.uint8)
    (folder / "sheets").mkdir()
    for number, name in enumerate(("west", "east")):
        x = number * SHEET
        grid = whole.window(x, 0, SHEET, SHEET)
        with rasterio.open(
            folder / "sheets" / f"{name}.jp2",
            "w",
            driver="JP2OpenJPEG",
            width=SHEET,
            height=SHEET,
            count=4,
            dtype="uint8",
            crs=FEET,
            transform=grid.transform,
            QUALITY="100",
            REVERSIBLE="YES",
        ) as dataset:
            dataset.write(picture[:, :, x : x + SHEET])


def write_config(folder: Path, **changes: object) -> Path:
    config = {
        "dataset": "small_city",
        "imagery": {"paths": ["sheets/*.jp2"]},
        "street_lines": {"path": "maps/edges.shp", "where": "FEAT_CODE = '2260'"},
        "centerlines": {"path": "maps/axes.shp", "where": "STATUS = '2'"},
        "lines": {"halo": "100 ft"},
        "tiles": {"size": 128},
        # Two groups of 4 x 4 blocks lie whole on the sheets.
        "split": {"block": "64 ft"},
        "training": {"epochs": 1, "crop": 64},
        "prediction": {"window": 256, "overlap": 32},
    } | changes
    path = folder / "small_city.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def snakemake(repository: Path, folder: Path, *arguments: str) -> str:
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        [
            sys.executable, "-m", "snakemake", "--snakefile", str(repository / "Snakefile"),
            "--directory", str(folder), "--configfile", str(folder / "small_city.yaml"),
            *arguments,
        ],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-8000:]
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def finished(tmp_path_factory, repository) -> Path:
    folder = tmp_path_factory.mktemp("city")
    draw_city(folder)
    write_config(folder)
    snakemake(repository, folder, "--cores", "2")
    return folder


def test_everything_of_the_contract_is_there(finished):
    results = finished / "results"
    expected = [
        "masks.vrt", "predictions.vrt", "selection/review.html", "dataset/dataset.json",
        "dataset/split.gpkg",
        "model/model.keras", "model/history.csv", "evaluation/metrics.json", "report/index.html",
        "scenes.vrt", "probability.vrt", "looks.vrt", "pieces.gpkg", "roads.qgz",
        "changes/changes.gpkg", "changes/changes.csv", "changes/summary.json",
    ]  # fmt: skip
    for scene in SCENES:
        expected += [
            f"scenes/{scene}.tif", f"lines/{scene}.tif", f"masks/{scene}.tif",
            f"masks/{scene}.qml", f"selection/{scene}.csv", f"selection/offsets/{scene}.json",
            f"selection/looks/{scene}.tif",
            f"predictions/{scene}.tif",
            f"predictions/probability/{scene}.tif",
        ]  # fmt: skip
        for stage in ("tiles", "lines/tiles", "masks/tiles"):
            tiles = sorted(path.name for path in (results / stage / scene).iterdir())
            assert tiles == [
                f"{scene}_r{row:03d}_c{column:03d}.tif" for row in range(6) for column in range(6)
            ]
    assert [name for name in expected if not (results / name).is_file()] == []


def test_qgis_opens_all_of_it(finished, tmp_path):
    told = look(finished / "results" / "roads.qgz", tmp_path / "out", "--size", "300", "150")
    groups = {name: [layer["name"] for layer in held] for name, held in told["groups"].items()}
    expected = {
        "Road network": ["Crossings and ends", "Centerlines", "Road polygons"],
        "Split": ["Tiles by split", "Blocks by split"],
        "Pieces of ground": ["Throats", "Pieces of ground"],
        "Predictions": ["Prediction", "Probability of road"],
        "Labels": ["Mask", "Looks like road"],
        "Pictures": ["Picture"],
    }
    assert {name: groups[name] for name in expected} == expected
    assert all(layer["valid"] for held in told["groups"].values() for layer in held)
    assert told["crs"] == "EPSG:2263"
    assert told["extent"] == [WEST, NORTH - SHEET * PIXEL, WEST + 2 * SHEET * PIXEL, NORTH]
    assert told["errors"] == []


def test_nothing_half_written_is_left(finished):
    assert [p for p in (finished / "results").rglob(".*") if "part" in p.name] == []


def test_all_outputs_of_a_place_share_its_grid(finished):
    results = finished / "results"

    def grid_of(name: str) -> Grid:
        with rasterio.open(results / name) as dataset:
            return Grid.from_dataset(dataset)

    for scene in SCENES:
        with rasterio.open(finished / "sheets" / f"{scene}.jp2") as source:
            grid = Grid.from_dataset(source)
        for name in ("scenes", "masks", "predictions", "predictions/probability"):
            assert grid_of(f"{name}/{scene}.tif").same_grid(grid), name
        x, y = grid.offset_of(grid_of(f"lines/{scene}.tif"))
        assert (x, y) == (-200, -200)
        for row in range(6):
            for column in range(6):
                tile = f"{scene}_r{row:03d}_c{column:03d}.tif"
                place = grid.window(column * 128, row * 128, 128, 128)
                for stage in ("tiles", "lines/tiles", "masks/tiles"):
                    assert grid_of(f"{stage}/{scene}/{tile}").same_grid(place)


def test_tiles_hold_the_pixels_of_their_scene(finished):
    results = finished / "results"
    for stage, whole, offset in (("tiles", "scenes", 0), ("lines/tiles", "lines", 200),
                                 ("masks/tiles", "masks", 0)):  # fmt: skip
        with (
            rasterio.open(results / whole / "west.tif") as scene,
            rasterio.open(results / stage / "west" / "west_r002_c003.tif") as tile,
        ):
            y, x = 2 * 128 + offset, 3 * 128 + offset
            expected = scene.read(list(tile.indexes))[:, y : y + 128, x : x + 128]
            np.testing.assert_array_equal(tile.read(), expected)


def test_the_masks_join_across_sheets_and_match_the_city(finished):
    with rasterio.open(finished / "results" / "masks.vrt") as mosaic:
        labels = mosaic.read(1)
        assert mosaic.crs == FEET
        assert labels.shape == (SHEET, 2 * SHEET)
    edges = gpd.read_file(finished / "maps" / "edges.shp")
    other = rasterize(
        [box(*line.bounds) for line in edges.geometry],
        labels.shape,
        transform=Affine(PIXEL, 0, WEST, 0, -PIXEL, NORTH),
    )
    assert (labels == 1 - other).mean() > 0.999


def test_the_metrics_are_those_of_the_rasters(finished):
    metrics = json.loads((finished / "results/evaluation/metrics.json").read_text())
    confusion = np.array(metrics["labels"]["confusion"])
    road = confusion[1, 1] / (confusion[1].sum() + confusion[:, 1].sum() - confusion[1, 1])
    assert metrics["labels"]["iou"]["road"] == pytest.approx(road, abs=1e-6)
    blocks = gpd.read_file(finished / "results/dataset/split.gpkg", layer="blocks")
    assert set(blocks["split"]) == {"train", "val", "test"}
    test_pixels = sum(
        rasterize(
            blocks.geometry[blocks["split"] == "test"],
            (SHEET, 2 * SHEET),
            transform=Affine(PIXEL, 0, WEST, 0, -PIXEL, NORTH),
        ).ravel()
    )
    assert confusion.sum() == test_pixels


def test_a_second_run_has_nothing_to_do(finished, repository):
    assert "Nothing to be done" in snakemake(repository, finished, "--cores", "8")


def test_a_limit_of_the_selection_cuts_no_tile_again(finished, repository):
    write_config(finished, selection={"max_road_share": 0.5})
    planned = snakemake(repository, finished, "--cores", "2", "--dry-run")
    write_config(finished)
    assert "select_tiles" in planned
    for rule in ("cut_scene", "label_scene", "convert_scene", "draw_lines", "cut_masks"):
        assert f"{rule} " not in planned


def test_nothing_in_the_results_says_which_process_made_them(finished):
    assert (finished / "results" / ".roadmask.lock").read_bytes() == b""


def states(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file of the results but logs, benchmarks and the lock, with its time and size."""
    left_out = {"logs", "benchmarks", RESULTS_LOCK}
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.stat().st_size)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.relative_to(folder).parts[0] not in left_out
    }


def test_a_review_in_a_browser_reruns_selection_and_what_follows(finished, repository, tmp_path):
    results = finished / "results"
    before = states(results)
    with browser(tmp_path) as page:
        page.open(results / "selection" / "review.html")
        tile = page.value("document.getElementById('name').textContent").partition(",")[0]
        page.press("d")
        page.press("k")
        page.click("#save")
        saved = page.downloaded("review.csv")
    shutil.copy(saved, finished / "review.csv")
    write_config(finished, selection={"review": "review.csv"})

    planned = snakemake(repository, finished, "--cores", "2", "--dry-run")
    table = planned.partition("Job stats:\n")[2].partition("\ntotal ")[0]
    steps = {step_of(rule) for rule in re.findall(r"^(\w+) +\d+$", table, re.MULTILINE)}
    assert steps - {None} == {
        "selection", "dataset", "model", "exports", "predictions", "vectors", "changes",
        "evaluation", "project", "report",
    }  # fmt: skip
    assert "measure_tiles" not in planned

    snakemake(repository, finished, "--cores", "2", "selection")
    after = states(results)
    assert before.keys() <= after.keys()  # nothing is ever deleted
    touched = {name for name in after if after[name] != before.get(name)}
    assert touched
    assert {name.partition("/")[0] for name in touched} == {"selection"}
    kept = ("selection/looks", "selection/measures", "selection/offsets")
    assert not any(name.startswith(kept) for name in touched)
    scene = tile.partition("_r")[0]
    rows = csv.DictReader((results / "selection" / f"{scene}.csv").read_text().splitlines())
    [row] = [row for row in rows if row["tile"] == tile]
    assert (row["verdict"], row["reason"]) == ("drop", "drop by selection.review")
    assert (results / "tiles" / scene / f"{tile}.tif").is_file()
    assert f'"{tile}": "drop"' in (results / "selection" / "review.html").read_text()


@pytest.mark.slow
def test_one_core_and_eight_give_the_same_bytes(tmp_path, repository):
    digests = []
    for cores in ("1", "8"):
        folder = tmp_path / cores
        folder.mkdir()
        draw_city(folder)
        write_config(folder)
        snakemake(repository, folder, "--cores", cores, "lines", "dataset")
        results = folder / "results"
        digests.append(
            {
                str(path.relative_to(results)): hashlib.sha256(path.read_bytes()).hexdigest()
                for path in sorted(results.rglob("*"))
                if path.is_file()
                and path.relative_to(results).parts[0] not in {"logs", "benchmarks"}
            }
        )
    assert digests[0] == digests[1]
    assert len(digests[0]) > 200
