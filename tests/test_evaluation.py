"""Stage evaluation: the figures, against scikit-learn and against counting by hand."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from rasterio.crs import CRS
from scipy.ndimage import distance_transform_edt
from shapely import box
from sklearn.metrics import (
    confusion_matrix,
    f1_score,
    jaccard_score,
    precision_score,
    recall_score,
)

from roadmask.__main__ import main
from roadmask.dataset.lattice import crs_key
from roadmask.evaluation import comparison
from roadmask.evaluation.metrics import Counts, count, count_mask, near, scores
from roadmask.grid import Grid
from roadmask.polygon_windows import PolygonWindows
from roadmask.raster import write_cog

LONG_ISLAND = CRS.from_epsg(2263)
EVERYWHERE = np.ones((20, 20), dtype=bool)


def rasters(classes: int, size: int = 20) -> st.SearchStrategy[np.ndarray]:
    values = st.sampled_from([*range(classes), 255])
    return arrays.arrays(np.uint8, (size, size), elements=values)


# --- metrics on arrays -------------------------------------------------------------------


@given(rasters(3), rasters(3))
def test_scores_are_scikit_learns(truth, predicted):
    truth[0, :3] = predicted[0, :3] = [0, 1, 2]  # no class is absent
    known = (truth != 255) & (predicted != 255)
    y_true, y_pred = truth[known], predicted[known]
    counts = count(truth, predicted, EVERYWHERE, 3)
    assert counts.confusion.tolist() == confusion_matrix(y_true, y_pred, labels=[0, 1, 2]).tolist()
    found = scores(counts, ["other", "road", "water"])
    ious = jaccard_score(y_true, y_pred, average=None)
    assert list(found["iou"].values()) == pytest.approx(ious)
    assert found["mean_iou"] == pytest.approx(ious.mean())
    options = {"labels": [1, 2], "average": "macro"}
    assert found["dice"] == pytest.approx(f1_score(y_true, y_pred, **options))
    assert found["precision"] == pytest.approx(precision_score(y_true, y_pred, **options))
    assert found["recall"] == pytest.approx(recall_score(y_true, y_pred, **options))


@given(rasters(2), rasters(2))
def test_relaxed_scores_are_those_of_distance_transforms(truth, predicted):
    truth[3, 3] = predicted[17, 17] = 1
    known = (truth != 255) & (predicted != 255)
    to_truth = distance_transform_edt(truth != 1)
    to_predicted = distance_transform_edt(predicted != 1)
    counts = count(truth, predicted, EVERYWHERE, 2)
    assert counts.predicted_near[1] == ((predicted == 1) & known & (to_truth <= 3)).sum()
    assert counts.truth_near[1] == ((truth == 1) & known & (to_predicted <= 3)).sum()


def test_a_road_three_pixels_off_is_right_when_relaxed_and_wrong_when_not():
    truth, predicted = np.zeros((2, 20, 20), dtype=np.uint8)
    truth[:, 8], predicted[:, 11] = 1, 1
    found = scores(count(truth, predicted, EVERYWHERE, 2), ["other", "road"])
    assert found["relaxed_f1"] == 1
    assert found["iou"]["road"] == 0
    further = np.roll(predicted, 1, axis=1)
    found = scores(count(truth, further, EVERYWHERE, 2), ["other", "road"])
    assert found["relaxed_f1"] == 0


def test_near_does_not_wrap_around_or_grow_at_the_border():
    pixels = np.zeros((9, 9), dtype=bool)
    pixels[0, 0] = True
    assert near(pixels, 3).sum() == 11  # a quarter of the disc of radius 3, centre included


def test_nothing_predicted_is_zero_and_nothing_to_predict_is_null():
    nothing, road = np.zeros((2, 20, 20), dtype=np.uint8)
    road[:10] = 1
    missed = scores(count(road, nothing, EVERYWHERE, 2), ["other", "road"])
    assert missed["iou"] == {"other": 0.5, "road": 0.0}
    assert (missed["precision"], missed["recall"], missed["relaxed_f1"]) == (0.0, 0.0, 0.0)
    assert missed["notes"] == []
    absent = scores(count(nothing, road, EVERYWHERE, 2), ["other", "road"])
    assert absent["iou"] == {"other": 0.5, "road": None}
    assert absent["mean_iou"] == 0.5
    assert absent["dice"] is absent["precision"] is absent["relaxed_f1"] is None
    assert absent["notes"] == ["No pixel of the truth is road: its figures are null"]
    empty = scores(Counts.zero(2), ["other", "road"])
    assert empty["mean_iou"] is None
    assert len(empty["notes"]) == 2


def test_unknown_on_true_road_is_a_miss_of_the_mask():
    mask = np.array([[1, 1, 255, 0, 255]], dtype=np.uint8)
    truth = np.array([[True, False, True, True, False]])
    counts = count_mask(mask, truth, np.ones((1, 5), bool), 1)
    found = counts.scores(with_truth=True)
    assert found == {"iou": 1 / 4, "unknown_share": 2 / 5, "pixels": 5}


# --- whole scenes ------------------------------------------------------------------------


@dataclass
class City:
    """Two scenes side by side with masks, predictions, a reference and a split."""

    folder: Path
    names: list[str]
    grids: list[Grid]
    masks: list[np.ndarray]
    predictions: list[np.ndarray]
    truths: list[np.ndarray]
    test: list[np.ndarray]

    def arguments(self, *extra: str) -> list[str]:
        folder = self.folder
        return [
            "evaluation",
            *("--predictions", *(str(folder / "predictions" / f"{x}.tif") for x in self.names)),
            *("--masks", *(str(folder / "masks" / f"{x}.tif") for x in self.names)),
            *("--dataset", str(folder / "dataset.json"), "--split", str(folder / "split.gpkg")),
            *("--output", str(folder / "evaluation" / "metrics.json"), *extra),
        ]

    def metrics(self) -> dict:
        return json.loads((self.folder / "evaluation" / "metrics.json").read_text())

    def rows(self) -> list[dict[str, str]]:
        with (self.folder / "evaluation" / "tiles.csv").open() as file:
            return list(csv.DictReader(file))


TAGS = {
    "ROADMASK_SETTINGS": json.dumps({"prediction.threshold": 0.4}),
    "ROADMASK_MODEL_SHA256": "0" * 64,
}


@pytest.fixture
def city(tmp_path: Path) -> City:
    random = np.random.default_rng(7)
    made = City(tmp_path, ["left", "right"], [], [], [], [], [])
    reference, blocks = [], []
    for index, name in enumerate(made.names):
        left = 1_000_000.0 + index * 100
        grid = Grid(200, 160, Affine(0.5, 0, left, 0, -0.5, 200_080), LONG_ISLAND)
        mask = (random.random(grid.shape) < 0.3).astype(np.uint8)
        predicted = np.where(random.random(grid.shape) < 0.2, 1 - mask, mask).astype(np.uint8)
        mask[random.random(grid.shape) < 0.05] = 255
        predicted[:, :7] = 255
        truth = np.zeros(grid.shape, dtype=bool)
        truth[20:60, 30 : 90 + 10 * index] = True
        reference.append(box(left + 15, 200_050, left + 45 + 5 * index, 200_070))
        test = np.zeros(grid.shape, dtype=bool)
        test[:64, :64] = True
        blocks += [
            ("test", left, 200_048, left + 32, 200_080),
            ("train", left + 32, 200_048, left + 64, 200_080),
        ]
        write_cog(tmp_path / "masks" / f"{name}.tif", grid, mask, nodata=255)
        write_cog(tmp_path / "predictions" / f"{name}.tif", grid, predicted, nodata=255, tags=TAGS)
        made.grids.append(grid)
        made.masks.append(mask)
        made.predictions.append(predicted)
        made.truths.append(truth)
        made.test.append(test)
    frame = gpd.GeoDataFrame({"class": ["road"] * 2}, geometry=reference, crs=2263)
    pyogrio.write_dataframe(frame, tmp_path / "truth.gpkg", layer="roads")
    write_split(tmp_path / "split.gpkg", blocks)
    write_dataset(tmp_path / "dataset.json")
    return made


def write_split(path: Path, blocks: list[tuple]) -> None:
    columns = ["split", "left", "bottom", "right", "top"]
    frame = gpd.GeoDataFrame(
        {name: [block[index] for block in blocks] for index, name in enumerate(columns)},
        geometry=[box(*block[1:]) for block in blocks],
        crs=2263,
    )
    pyogrio.write_dataframe(frame.assign(crs=crs_key(LONG_ISLAND)), path, layer="blocks")


def write_dataset(path: Path) -> None:
    content = {"classes": ["other", "road"], "tile_size": 32, "tile_overlap": 0}
    path.write_text(json.dumps(content))


def test_the_scenes_of_a_city_against_scikit_learn(city):
    assert main(city.arguments("--reference.path", str(city.folder / "truth.gpkg"))) == 0
    found = city.metrics()
    truths, predictions, references = [], [], []
    for mask, predicted, truth, test in zip(
        city.masks, city.predictions, city.truths, city.test, strict=True
    ):
        known = test & (mask != 255) & (predicted != 255)
        truths.append(mask[known])
        predictions.append(predicted[known])
        references.append((truth[test & (predicted != 255)], predicted[test & (predicted != 255)]))
    y_true, y_pred = np.concatenate(truths), np.concatenate(predictions)
    labels = found["labels"]
    assert labels["confusion"] == confusion_matrix(y_true, y_pred).tolist()
    assert labels["iou"]["road"] == pytest.approx(jaccard_score(y_true, y_pred), abs=1e-6)
    assert labels["dice"] == pytest.approx(f1_score(y_true, y_pred), abs=1e-6)
    assert labels["threshold"] == 0.4
    y_true, y_pred = (np.concatenate(parts) for parts in zip(*references, strict=True))
    assert found["reference"]["confusion"] == confusion_matrix(y_true, y_pred).tolist()
    assert set(found["labels"]) == set(found["reference"])


def test_masks_are_compared_with_the_reference_on_all_ground(city):
    assert main(city.arguments("--reference.path", str(city.folder / "truth.gpkg"))) == 0
    masks = city.metrics()["masks"]
    road = [mask == 1 for mask in city.masks]
    both = sum((r & t).sum() for r, t in zip(road, city.truths, strict=True))
    either = sum((r | t).sum() for r, t in zip(road, city.truths, strict=True))
    unknown = sum((mask == 255).sum() for mask in city.masks)
    assert masks["iou"] == pytest.approx(both / either, abs=1e-6)
    assert masks["unknown_share"] == pytest.approx(unknown / (2 * 200 * 160), abs=1e-6)
    first = (road[0] & city.truths[0]).sum() / (road[0] | city.truths[0]).sum()
    assert masks["scenes"]["left"]["iou"] == pytest.approx(first, abs=1e-6)


def test_without_a_reference_only_labels_are_scored(city):
    assert main(city.arguments()) == 0
    found = city.metrics()
    assert "reference" not in found
    assert found["masks"]["iou"] is None


def test_the_tiles_on_test_ground_add_up_to_it(city):
    assert main(city.arguments()) == 0
    rows = city.rows()
    # The block of 64 pixels holds 2 x 2 tiles of 32 in each scene.
    assert [row["tile"] for row in rows][:4] == [
        f"left_r{row:03d}_c{column:03d}" for row in range(2) for column in range(2)
    ]
    assert len(rows) == 8
    confusion = np.array(city.metrics()["labels"]["confusion"])
    assert sum(int(row["hits_road"]) for row in rows) == confusion[1, 1]
    assert sum(int(row["pixels"]) for row in rows) == confusion.sum()
    assert {row["reference_iou"] for row in rows} == {""}


@pytest.mark.parametrize("size", [17, 64])
def test_the_size_of_the_windows_changes_nothing(city, monkeypatch, size):
    arguments = city.arguments("--reference.path", str(city.folder / "truth.gpkg"))
    assert main(arguments) == 0
    whole = city.metrics()
    monkeypatch.setattr(comparison, "WINDOW", size)
    assert main(arguments) == 0
    assert city.metrics() == whole


def test_ground_outside_area_is_left_out(city):
    area = gpd.GeoDataFrame(geometry=[box(1_000_000, 200_060, 1_000_100, 200_080)], crs=2263)
    pyogrio.write_dataframe(area, city.folder / "area.gpkg", layer="area")
    assert main(city.arguments("--area.path", str(city.folder / "area.gpkg"))) == 0
    found = city.metrics()
    assert found["masks"]["pixels"] == 40 * 200
    known = (city.masks[0] != 255) & (city.predictions[0] != 255) & city.test[0]
    assert found["labels"]["pixels"] == known[:40].sum()


def test_no_test_ground_gives_null_and_a_note(city):
    write_split(city.folder / "split.gpkg", [("train", 1_000_000, 200_000, 1_000_200, 200_080)])
    assert main(city.arguments()) == 0
    found = city.metrics()
    assert found["labels"]["iou"] == {"other": None, "road": None}
    assert len(found["labels"]["notes"]) == 2
    assert city.rows() == []


def test_in_pixel_mode_the_test_ground_is_the_test_pictures(tmp_path):
    random = np.random.default_rng(3)
    names, confusion = ["a", "b"], np.zeros((2, 2), int)
    for name in names:
        grid = Grid(50, 40, Affine.identity(), None)
        mask, predicted = random.integers(0, 2, (2, 40, 50), dtype=np.uint8)
        write_cog(tmp_path / "masks" / f"{name}.tif", grid, mask, nodata=255)
        write_cog(tmp_path / "predictions" / f"{name}.tif", grid, predicted, nodata=255, tags=TAGS)
        if name == "b":
            confusion = confusion_matrix(mask.ravel(), predicted.ravel())
    frame = gpd.GeoDataFrame(
        {"split": ["train", "test"], "scene": names}, geometry=[box(0, 0, 50, 40)] * 2
    )
    pyogrio.write_dataframe(frame, tmp_path / "split.gpkg", layer="blocks")
    write_dataset(tmp_path / "dataset.json")
    city = City(tmp_path, names, [], [], [], [], [])
    assert main(city.arguments()) == 0
    assert city.metrics()["labels"]["confusion"] == confusion.tolist()
    assert {row["scene"] for row in city.rows()} == {"b"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("grid", "its pixel grid is not that of"),
        ("threshold", "another model or threshold"),
        ("tags", "don't say how it was predicted"),
    ],
)
def test_predictions_that_do_not_belong_together_are_refused(city, capsys, change, words):
    grid, tags = city.grids[1], dict(TAGS)
    if change == "grid":
        grid = grid.window(1, 0, grid.width, grid.height)
    elif change == "threshold":
        tags["ROADMASK_SETTINGS"] = json.dumps({"prediction.threshold": 0.5})
    else:
        tags = {}
    path = city.folder / "predictions" / "right.tif"
    write_cog(path, grid, city.predictions[1], nodata=255, tags=tags)
    assert main(city.arguments()) == 1
    message = capsys.readouterr().err
    assert words in message
    assert str(path) in message


def test_another_model_than_the_one_that_predicted_is_refused(city, capsys):
    other = city.folder / "other.keras"
    other.write_bytes(b"other")
    assert main(city.arguments("--model", str(other))) == 1
    assert "it was not predicted by" in capsys.readouterr().err


def test_a_broken_dataset_description_is_named(city, capsys):
    (city.folder / "dataset.json").write_text("{}")
    assert main(city.arguments()) == 1
    assert "dataset.json: it does not describe a data set" in capsys.readouterr().err


# --- polygons by window ------------------------------------------------------------------


@given(st.integers(-5, 30), st.integers(-5, 30), st.integers(1, 20), st.integers(1, 20))
def test_a_window_of_polygons_is_the_same_part_of_the_whole(x, y, width, height):
    grid = Grid(30, 30, Affine(0.5, 0, 100, 0, -0.5, 200), LONG_ISLAND)
    polygons = PolygonWindows(grid, [box(101.3, 187.2, 107.9, 196.1), box(106, 190, 113, 198.4)])
    whole = np.pad(polygons.read_indices(0, 0, 30, 30), 60, constant_values=-1)
    part = polygons.read_indices(x, y, width, height)
    inside = (slice(60 + y, 60 + y + height), slice(60 + x, 60 + x + width))
    assert part.tolist() == whole[inside].tolist()


def test_a_pixel_belongs_to_the_polygon_that_holds_its_centre():
    grid = Grid(4, 1, Affine(1, 0, 0, 0, -1, 1), LONG_ISLAND)
    polygons = PolygonWindows(grid, [box(0.4, 0, 1.6, 1), box(1.6, 0, 3.4, 1)])
    assert polygons.read_indices(0, 0, 4, 1).tolist() == [[0, 0, 1, -1]]
    assert not PolygonWindows(grid, []).read(0, 0, 4, 1).any()
