"""Stage evaluation: the figures, against scikit-learn, SciPy and counting by hand."""

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
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from rasterio.crs import CRS
from scipy import ndimage, stats
from shapely import box
from skimage.segmentation import find_boundaries
from sklearn.calibration import calibration_curve
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    confusion_matrix,
    f1_score,
    jaccard_score,
    precision_recall_curve,
    precision_score,
    recall_score,
)

from roadmask.__main__ import main
from roadmask.dataset.lattice import crs_key
from roadmask.distance import parse_distance
from roadmask.errors import SettingError
from roadmask.evaluation import bootstrap, comparison, probabilities
from roadmask.evaluation.bootstrap import Bootstrap, interval, stacked, times_drawn
from roadmask.evaluation.metrics import FIGURES, RELAXED, Counts, count, count_mask, scores
from roadmask.evaluation.nearness import Tolerance, edges, near
from roadmask.grid import Grid
from roadmask.polygon_windows import PolygonWindows
from roadmask.raster import write_cog

# Each example calls several slow library functions.
FEW = settings(max_examples=15, deadline=None)
LONG_ISLAND = CRS.from_epsg(2263)
EVERYWHERE = np.zeros((20, 20), dtype=np.int32)
THREE = ["other", "road", "water"]


def rasters(classes: int, size: int = 20) -> st.SearchStrategy[np.ndarray]:
    values = st.sampled_from([*range(classes), 255])
    return arrays.arrays(np.uint8, (size, size), elements=values)


def scored(truth, predicted, names, **options) -> dict:
    """The figures of two small rasters as one piece of ground."""
    counts = count(truth, predicted, EVERYWHERE, pieces=1, classes=len(names), **options)
    return scores(counts, names, outputs=len(names))


# --- metrics on arrays -------------------------------------------------------------------


@FEW
@given(rasters(3), rasters(3))
def test_scores_are_scikit_learns(truth, predicted):
    truth[0, :3] = predicted[0, :3] = [0, 1, 2]  # no class is absent
    known = (truth != 255) & (predicted != 255)
    y_true, y_pred = truth[known], predicted[known]
    found = scored(truth, predicted, THREE)
    confusion = confusion_matrix(y_true, y_pred, labels=[0, 1, 2])
    assert found["confusion"] == confusion.tolist()
    assert np.array(found["confusion_shares"]) == pytest.approx(
        confusion_matrix(y_true, y_pred, labels=[0, 1, 2], normalize="true")
    )
    ious = jaccard_score(y_true, y_pred, average=None)
    assert list(found["iou"].values()) == pytest.approx(ious)
    assert found["mean_iou"] == pytest.approx(ious.mean())
    options = {"labels": [1, 2], "average": "macro"}
    assert found["dice"] == pytest.approx(f1_score(y_true, y_pred, **options))
    assert found["precision"] == pytest.approx(precision_score(y_true, y_pred, **options))
    assert found["recall"] == pytest.approx(recall_score(y_true, y_pred, **options))


def expected_calibration_error(y_true: np.ndarray, y_prob: np.ndarray) -> float:
    """By scikit-learn's bins, whose sizes it keeps to itself."""
    observed, said = calibration_curve(y_true, y_prob, n_bins=10)
    members = np.searchsorted(np.linspace(0, 1, 11)[1:-1], y_prob)
    sizes = np.bincount(members, minlength=10)
    return float(np.abs(observed - said) @ sizes[sizes > 0] / len(y_true))


@FEW
@given(rasters(3), arrays.arrays(np.uint8, (3, 20, 20), elements=st.integers(0, 254)))
def test_what_is_made_from_probabilities_is_scikit_learns(truth, probability):
    truth[0, :3] = [0, 1, 2]
    predicted = probability.argmax(axis=0).astype(np.uint8)
    predicted[4, :5] = probability[:, 4, :5] = 255
    known = (truth != 255) & (predicted != 255)
    found = scored(truth, predicted, THREE, probability=probability)
    for index, name in enumerate(THREE):
        y_true, y_prob = (truth == index)[known], probability[index][known] / 254
        held = found["classes"][name]
        assert held["average_precision"] == pytest.approx(average_precision_score(y_true, y_prob))
        assert held["brier"] == pytest.approx(brier_score_loss(y_true, y_prob))
        assert held["ece"] == pytest.approx(expected_calibration_error(y_true, y_prob))
        observed, said = calibration_curve(y_true, y_prob, n_bins=10)
        table = [row for row in found["reliability"][name] if row["pixels"]]
        assert [row["observed"] for row in table] == pytest.approx(observed)
        assert [row["mean_probability"] for row in table] == pytest.approx(said)
        assert sum(row["pixels"] for row in table) == known.sum()
    for key in ("average_precision", "brier", "ece"):
        assert found[key] == pytest.approx(
            np.mean([found["classes"][name][key] for name in THREE[1:]])
        )


@FEW
@given(arrays.arrays(np.uint8, 300, elements=st.integers(0, 254)), st.integers(0, 2**32))
def test_the_curve_is_scikit_learns(levels, seed):
    truth = np.random.default_rng(seed).random(300) < 0.4
    truth[0] = True
    histogram = np.stack([np.bincount(levels[truth == side], minlength=255) for side in (0, 1)])
    precision, recall, thresholds = precision_recall_curve(truth, levels / 254)
    points = {round(point["threshold"] * 254): point for point in probabilities.curve(histogram)}
    for level, right, found in zip(
        np.round(thresholds * 254), precision[:-1], recall[:-1], strict=True
    ):
        assert points[level]["precision"] == pytest.approx(right)
        assert points[level]["recall"] == pytest.approx(found)
        iou = jaccard_score(truth, levels >= level)
        assert points[level]["iou"] == pytest.approx(iou)


@FEW
@given(
    rasters(2),
    rasters(2),
    st.sampled_from([(1.0, 1.0), (0.8, 1.25)]),
    st.sampled_from([1.0, 4.7, 16.5]),
)
def test_relaxed_scores_are_those_of_distance_transforms(truth, predicted, sides, pixels):
    truth[3, 3] = predicted[17, 17] = 1
    known = (truth != 255) & (predicted != 255)
    tolerances = (RELAXED, Tolerance(pixels, sides))
    counts = count(truth, predicted, EVERYWHERE, pieces=1, classes=2, tolerances=tolerances)
    for place, (limit, sampling) in enumerate(((3, (1, 1)), (pixels, sides))):
        to_truth = ndimage.distance_transform_edt(truth != 1, sampling=sampling)
        to_predicted = ndimage.distance_transform_edt(predicted != 1, sampling=sampling)
        right = ((predicted == 1) & known & (to_truth <= limit + 0.02)).sum()
        found = ((truth == 1) & known & (to_predicted <= limit + 0.02)).sum()
        assert counts.predicted_near[0, place, 1] == right
        assert counts.truth_near[0, place, 1] == found


@FEW
@given(rasters(3))
def test_edges_are_scikit_images_where_all_is_known(classes):
    whole = np.where(classes == 255, 0, classes)
    found = edges(whole == 1, np.ones_like(whole, bool))
    assert (found == (find_boundaries(whole == 1, mode="inner") & (whole == 1))).all()


@FEW
@given(rasters(2), rasters(2))
def test_boundary_scores_are_those_of_distance_transforms(truth, predicted):
    truth[3, 3:5] = predicted[16, 16:18] = [0, 1]
    known = (truth != 255) & (predicted != 255)

    def edge(raster):
        beside = np.zeros_like(raster, bool)
        rows, columns = raster.shape
        for row in range(rows):
            for column in range(columns):
                for x, y in ((0, 1), (1, 0), (0, -1), (-1, 0)):
                    inside = 0 <= row + y < rows and 0 <= column + x < columns
                    if inside and raster[row + y, column + x] == 0:
                        beside[row, column] |= raster[row, column] == 1
        return beside

    truth_edge, predicted_edge = edge(truth), edge(predicted)
    close = ndimage.distance_transform_edt(~truth_edge) <= 3, predicted_edge & known
    found = ndimage.distance_transform_edt(~predicted_edge) <= 3, truth_edge & known
    precision, recall = (
        (mask & pixels).sum() / pixels.sum() if pixels.any() else 0.0
        for mask, pixels in (close, found)
    )
    held = scored(truth, predicted, ["other", "road"])["classes"]["road"]["boundary_f1"]
    if not (truth_edge & known).any():
        assert held is None
    else:
        f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0
        assert held == pytest.approx(f1)


def test_a_road_three_pixels_off_is_right_when_relaxed_and_wrong_when_not():
    truth, predicted = np.zeros((2, 20, 20), dtype=np.uint8)
    truth[:, 8], predicted[:, 11] = 1, 1
    found = scored(truth, predicted, ["other", "road"])
    assert found["relaxed_f1"] == found["boundary_f1"] == 1
    assert found["iou"]["road"] == 0
    further = np.roll(predicted, 1, axis=1)
    found = scored(truth, further, ["other", "road"])
    assert found["relaxed_f1"] == found["boundary_f1"] == 0
    tolerances = (RELAXED, Tolerance(4.0))
    found = scored(truth, further, ["other", "road"], tolerances=tolerances)
    assert found["relaxed_f1_ground"] == found["boundary_f1_ground"] == 1


def test_a_class_that_is_thick_enough_hides_a_wrong_outline_from_all_but_the_boundary():
    truth, predicted = np.zeros((2, 20, 20), dtype=np.uint8)
    truth[:, :15], predicted[:, :9] = 1, 1
    found = scored(truth, predicted, ["other", "road"])
    assert found["dice"] > 0.7
    assert found["boundary_f1"] == 0


def test_where_ground_is_not_known_a_class_does_not_end():
    classes = np.array([[1, 1, 255, 1, 0, 1]], np.uint8)
    found = edges(classes == 1, classes != 255)
    assert found.tolist() == [[False, False, False, True, False, True]]


def test_near_does_not_wrap_around_or_grow_at_the_border():
    pixels = np.zeros((9, 9), dtype=bool)
    pixels[0, 0] = True
    [found] = near(pixels, [RELAXED])
    assert found.sum() == 11  # a quarter of the disc of radius 3, centre included


@pytest.mark.parametrize(
    ("epsg", "pixel", "text", "pixels"),
    [
        (2263, 0.5, "5 ft", 10),
        (2263, 0.5, "5 us-ft", 10),
        (32618, 0.3, "1.5 m", 5),
        (2263, 0.5, "4 px", 4),
    ],
)
def test_a_tolerance_on_the_ground_in_pixels(epsg, pixel, text, pixels):
    place = {2263: (1e6, 2e5), 32618: (583_960, 4_507_523)}[epsg]
    grid = Grid(100, 80, Affine(pixel, 0, place[0], 0, -pixel, place[1]), CRS.from_epsg(epsg))
    found = Tolerance.on(parse_distance(text), grid, "evaluation.tolerance")
    assert found.pixels == pytest.approx(pixels, rel=1e-3)
    assert found.is_square
    # A pixel exactly that far off counts, whatever the projection's scale.
    line = np.zeros((1, 40), bool)
    line[0, 0] = True
    assert near(line, [found])[0].sum() == pixels + 1


def test_a_tolerance_in_degrees_is_as_long_along_both_axes():
    grid = Grid(100, 100, Affine(1e-6, 0, -74, 0, -1e-6, 60), CRS.from_epsg(4326))
    found = Tolerance.on(parse_distance("1 m"), grid, "evaluation.tolerance")
    spot = np.zeros((61, 61), bool)
    spot[30, 30] = True
    [grown] = near(spot, [found])
    across, down = grown[30].sum(), grown[:, 30].sum()
    # A degree along the parallel of 60 degrees is half as long.
    assert (across, down) == (2 * 17 + 1, 2 * 8 + 1)


def test_a_tolerance_of_half_a_city_is_refused():
    grid = Grid(100, 80, Affine(0.5, 0, 1e6, 0, -0.5, 2e5), LONG_ISLAND)
    with pytest.raises(SettingError, match=r"evaluation.tolerance: 1 km are 656\d pixels"):
        Tolerance.on(parse_distance("1 km"), grid, "evaluation.tolerance")


def test_nothing_predicted_is_zero_and_nothing_to_predict_is_null():
    nothing, road = np.zeros((2, 20, 20), dtype=np.uint8)
    road[:10] = 1
    missed = scored(road, nothing, ["other", "road"])
    assert missed["iou"] == {"other": 0.5, "road": 0.0}
    assert (missed["precision"], missed["recall"], missed["relaxed_f1"]) == (0.0, 0.0, 0.0)
    assert "No pixel is predicted as road: its precision counts as 0" in missed["notes"]
    absent = scored(nothing, road, ["other", "road"])
    assert absent["iou"] == {"other": 0.5, "road": None}
    assert absent["mean_iou"] == 0.5
    assert {absent[key] for key in FIGURES[1:]} == {None}
    assert absent["notes"][0].startswith("other ends nowhere in the truth")
    assert absent["notes"][1] == (
        "No pixel of the truth is road: its figures are null (200 pixels are predicted so)"
    )
    empty = scores(Counts.zero(2, 1, 1), ["other", "road"], outputs=1)
    assert empty["mean_iou"] is None
    assert empty["notes"] == [
        "No pixel of the test ground has both a truth and a prediction: all is null"
    ]


def test_what_was_not_counted_is_null_and_said():
    truth, predicted = np.zeros((2, 20, 20), dtype=np.uint8)
    truth[:10], predicted[:9] = 1, 1
    found = scored(truth, predicted, ["other", "road"])
    assert found["brier"] is found["relaxed_f1_ground"] is None
    assert any("no probabilities" in note for note in found["notes"])
    assert any("tolerance on the ground are null" in note for note in found["notes"])
    assert any("An interval needs 3 blocks" in note for note in found["notes"])


def test_unknown_on_true_road_is_a_miss_of_the_mask():
    mask = np.array([[1, 1, 255, 0, 255]], dtype=np.uint8)
    truth = np.array([[True, False, True, True, False]])
    counts = count_mask(mask, truth, np.zeros((1, 5), np.int32), pieces=1, value=1)
    found = counts.scores(with_truth=True)
    assert (found["iou"], found["unknown_share"], found["pixels"]) == (1 / 4, 2 / 5, 5)


@FEW
@given(rasters(3), rasters(3), arrays.arrays(np.int32, (20, 20), elements=st.integers(-1, 3)))
def test_pieces_of_ground_add_up(truth, predicted, ground):
    tolerances = (RELAXED, Tolerance(5.0))
    options = {"classes": 3, "tolerances": tolerances}
    parts = count(truth, predicted, ground, pieces=4, **options)
    whole = count(truth, predicted, np.minimum(ground, 0), pieces=1, **options)
    for name, values in vars(parts.over_all()).items():
        assert values.tolist() == vars(whole[0])[name].tolist(), name


# --- intervals -----------------------------------------------------------------------------


def test_a_block_counts_once_a_draw_on_average_and_always_the_same():
    drawn = np.stack([times_drawn(f"block {index}") for index in range(400)])
    assert (drawn[:, 0] == 1).all()
    draws = drawn[:, 1:]
    assert (draws == np.round(draws)).all()
    assert draws.mean() == pytest.approx(1, abs=0.01)
    assert draws.var() == pytest.approx(1, abs=0.01)
    # Blocks are drawn independently of one another.
    assert abs(np.corrcoef(draws)[np.triu_indices(400, 1)]).max() < 0.2
    assert (times_drawn("block 7") == drawn[7]).all()


def some_blocks(number: int) -> Counts:
    """Counts of blocks that differ, as ground does."""
    random = np.random.default_rng(11)
    parts = []
    for _ in range(number):
        truth = (random.random((20, 20)) < random.uniform(0.1, 0.6)).astype(np.uint8)
        wrong = random.random((20, 20)) < random.uniform(0.02, 0.3)
        levels = random.integers(0, 255, (2, 20, 20), dtype=np.uint8)
        parts.append(
            count(
                truth,
                np.where(wrong, 1 - truth, truth).astype(np.uint8),
                EVERYWHERE,
                pieces=1,
                classes=2,
                probability=levels,
            )[0]
        )
    return stacked(parts)


def test_intervals_are_those_of_the_classic_bootstrap():
    blocks = some_blocks(80)
    names = [f"b{index}" for index in range(80)]
    drawn = Bootstrap(Counts.zero(2, 1), draws=4000)
    drawn.add(names, blocks)
    found = scores(drawn.total(), ["other", "road"], 80, outputs=1)
    confusion = blocks.confusion

    def iou(chosen):
        total = confusion[chosen].sum(axis=0)
        return total[1, 1] / (total[1].sum() + total[:, 1].sum() - total[1, 1])

    classic = stats.bootstrap(
        (np.arange(80),),
        iou,
        n_resamples=4000,
        vectorized=False,
        method="percentile",
        rng=np.random.default_rng(1),
    ).confidence_interval
    low, high = found["intervals"]["iou"]["road"]
    assert (low, high) == pytest.approx((classic.low, classic.high), abs=0.1 * (high - low))
    assert low < found["iou"]["road"] < high
    assert found["intervals"]["confusion_shares"][1][0] == pytest.approx(
        [1 - share for share in reversed(found["intervals"]["confusion_shares"][1][1])]
    )


@FEW
@given(st.permutations(range(12)), st.integers(1, 5))
def test_neither_order_nor_portions_change_an_interval(order, portion):
    blocks = some_blocks(12)
    names = [f"b{index}" for index in range(12)]
    whole = Bootstrap(Counts.zero(2, 1), draws=50)
    whole.add(names, blocks)
    parts = Bootstrap(Counts.zero(2, 1), draws=50)
    for start in range(0, 12, portion):
        chosen = order[start : start + portion]
        part = stacked([blocks[index] for index in chosen])
        parts.add([names[index] for index in chosen], part)
    for name, values in vars(whole.total()).items():
        assert (values == vars(parts.total())[name]).all()


def test_blocks_that_wait_are_added_in_time(monkeypatch):
    blocks, names = some_blocks(9), [f"b{index}" for index in range(9)]
    at_once = Bootstrap(Counts.zero(2, 1), draws=20)
    at_once.add(names, blocks)
    monkeypatch.setattr(bootstrap, "PENDING", 2)
    little_by_little = Bootstrap(Counts.zero(2, 1), draws=20)
    for index, name in enumerate(names):
        little_by_little.add([name], stacked([blocks[index]]))
    assert len(little_by_little.blocks) == 9
    for name, values in vars(at_once.total()).items():
        assert (values == vars(little_by_little.total())[name]).all()


def test_an_interval_that_nothing_stands_behind_is_null():
    values = np.linspace(0.4, 0.6, 1001)
    assert interval(values, 3) == pytest.approx([0.405, 0.595], abs=1e-3)
    assert interval(values, 2) is None
    values[1:60] = np.nan
    assert interval(values, 3) is None
    assert interval(np.array([np.nan, 0.5, 0.6]), 30) is None


def test_a_class_in_one_block_of_many_has_no_interval():
    blocks = some_blocks(30)
    blocks.confusion[1:, 1] = 0
    drawn = Bootstrap(Counts.zero(2, 1))
    drawn.add([f"b{index}" for index in range(30)], blocks)
    found = scores(drawn.total(), ["other", "road"], 30, outputs=1)
    assert found["iou"]["road"] is not None
    assert found["intervals"]["iou"]["road"] is None
    assert found["intervals"]["iou"]["other"] is not None
    assert found["notes"][-1].startswith("Too few blocks tell the intervals of road: iou, dice")


# --- whole scenes ------------------------------------------------------------------------


@dataclass
class City:
    """Scenes side by side with masks, predictions, probabilities, a reference and a split."""

    folder: Path
    names: list[str]
    classes: list[str]
    grids: list[Grid]
    masks: list[np.ndarray]
    predictions: list[np.ndarray]
    levels: list[np.ndarray]
    truths: list[np.ndarray]
    test: list[np.ndarray]

    @classmethod
    def of(cls, folder: Path, classes: list[str], crs: CRS | None = LONG_ISLAND) -> City:
        """Two scenes of 200 x 160 pixels, on which nothing is as regular as it could be."""
        random = np.random.default_rng(7)
        made = cls(folder, ["left", "right"], classes, [], [], [], [], [], [])
        count_of = len(classes)
        for index in range(2):
            left = 1_000_000.0 + index * 100
            transform = Affine(0.5, 0, left, 0, -0.5, 200_080) if crs else Affine.identity()
            grid = Grid(200, 160, transform, crs)
            smooth = ndimage.gaussian_filter(random.random((count_of, 160, 200)), (0, 4, 4))
            mask = smooth.argmax(axis=0).astype(np.uint8)
            noisy = smooth + random.normal(0, 0.02, smooth.shape)
            shares = np.exp(60 * noisy) / np.exp(60 * noisy).sum(axis=0)
            levels = np.round(254 * shares).astype(np.uint8)
            if count_of == 2:
                levels = levels[1:]
                predicted = (levels[0] >= 102).astype(np.uint8)
            else:
                predicted = levels.argmax(axis=0).astype(np.uint8)
            mask[random.random(grid.shape) < 0.05] = 255
            predicted[:, :7] = levels[:, :, :7] = 255
            truth = np.zeros(grid.shape, dtype=bool)
            truth[20:60, 3:190] = True
            made.grids.append(grid)
            made.masks.append(mask)
            made.predictions.append(predicted)
            made.levels.append(levels)
            made.truths.append(truth)
            made.test.append(np.zeros(grid.shape, dtype=bool))
        return made

    def write(self) -> City:
        folder = self.folder
        for index, (name, grid) in enumerate(zip(self.names, self.grids, strict=True)):
            write_cog(folder / "masks" / f"{name}.tif", grid, self.masks[index], nodata=255)
            self.write_prediction(name, grid, self.predictions[index], TAGS)
            write_cog(folder / "probability" / f"{name}.tif", grid, self.levels[index], nodata=255)
        content = {"classes": self.classes, "tile_size": 32, "tile_overlap": 0}
        (folder / "dataset.json").write_text(json.dumps(content))
        return self

    def write_prediction(self, name, grid, values, tags):
        path = self.folder / "predictions" / f"{name}.tif"
        write_cog(path, grid, values, nodata=255, tags=tags)

    def arguments(self, *extra: str, without: str = "") -> list[str]:
        folder = self.folder
        rasters = {
            "predictions": folder / "predictions",
            "probabilities": folder / "probability",
            "masks": folder / "masks",
        }
        return [
            "evaluation",
            *(
                part
                for key, place in rasters.items()
                if key != without
                for part in (f"--{key}", *(str(place / f"{name}.tif") for name in self.names))
            ),
            *("--dataset", str(folder / "dataset.json"), "--split", str(folder / "split.gpkg")),
            *("--evaluation.tolerance", "2 ft"),
            *("--output", str(folder / "evaluation" / "metrics.json"), *extra),
        ]

    def metrics(self) -> dict:
        return json.loads((self.folder / "evaluation" / "metrics.json").read_text())

    def rows(self, name: str = "tiles.csv") -> list[dict[str, str]]:
        with (self.folder / "evaluation" / name).open() as file:
            return list(csv.DictReader(file))

    def known_test(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Label, prediction and levels of all pixels of test ground that count."""
        parts = []
        for mask, predicted, levels, test in zip(
            self.masks, self.predictions, self.levels, self.test, strict=True
        ):
            known = test & (mask != 255) & (predicted != 255)
            parts.append((mask[known], predicted[known], levels[:, known]))
        masks, predictions, levels = zip(*parts, strict=True)
        return np.concatenate(masks), np.concatenate(predictions), np.concatenate(levels, axis=1)


TAGS = {
    "ROADMASK_SETTINGS": json.dumps({"prediction.threshold": 0.4}),
    "ROADMASK_MODEL_SHA256": "0" * 64,
}


def placed(folder: Path, classes: list[str]) -> City:
    """A city with a reference, and blocks of 32 ft: four for the test, one on both sheets."""
    made = City.of(folder, classes).write()
    reference = [
        box(1_000_001.5 + 100 * index, 200_050, 1_000_095 + 100 * index, 200_070)
        for index in (0, 1)
    ]
    frame = gpd.GeoDataFrame({"class": ["road"] * 2}, geometry=reference, crs=2263)
    pyogrio.write_dataframe(frame, folder / "truth.gpkg", layer="roads")
    blocks = []
    for left, split in (
        *((0, "test"), (32, "train"), (64, "test"), (96, "test"), (128, "val")),
        *((160, "test"), (192, "train")),
    ):
        corner = 1_000_000.0 + left
        blocks.append((split, corner, 200_048, corner + 32, 200_080))
        if split == "test":
            for index, test in enumerate(made.test):
                start, stop = (2 * (left - 100 * index) + 64 * side for side in (0, 1))
                test[:64, max(start, 0) : max(stop, 0)] = True
    write_split(folder / "split.gpkg", blocks)
    return made


@pytest.fixture
def city(tmp_path: Path) -> City:
    return placed(tmp_path, ["other", "road"])


def write_split(path: Path, blocks: list[tuple]) -> None:
    columns = ["split", "left", "bottom", "right", "top"]
    frame = gpd.GeoDataFrame(
        {name: [block[index] for block in blocks] for index, name in enumerate(columns)},
        geometry=[box(*block[1:]) for block in blocks],
        crs=2263,
    )
    pyogrio.write_dataframe(frame.assign(crs=crs_key(LONG_ISLAND)), path, layer="blocks")


def test_the_scenes_of_a_city_against_scikit_learn(city):
    assert main(city.arguments("--reference.path", str(city.folder / "truth.gpkg"))) == 0
    found = city.metrics()
    y_true, y_pred, levels = city.known_test()
    y_prob = levels[0] / 254
    labels = found["labels"]
    assert labels["confusion"] == confusion_matrix(y_true, y_pred).tolist()
    assert labels["iou"]["road"] == pytest.approx(jaccard_score(y_true, y_pred), abs=1e-6)
    assert labels["dice"] == pytest.approx(f1_score(y_true, y_pred), abs=1e-6)
    assert labels["threshold"] == 0.4
    assert labels["average_precision"] == pytest.approx(
        average_precision_score(y_true, y_prob), abs=1e-6
    )
    assert labels["brier"] == pytest.approx(brier_score_loss(y_true, y_prob), abs=1e-6)
    assert labels["ece"] == pytest.approx(expected_calibration_error(y_true, y_prob), abs=1e-6)
    assert list(labels["reliability"]) == ["road"]
    parts = []
    for predicted, truth, test in zip(city.predictions, city.truths, city.test, strict=True):
        known = test & ((predicted != 255) | truth)
        parts.append((truth[known], predicted[known] == 1))
    y_true, y_pred = (np.concatenate(part) for part in zip(*parts, strict=True))
    assert found["reference"]["confusion"] == confusion_matrix(y_true, y_pred).tolist()
    assert found["reference"]["iou"]["road"] == pytest.approx(
        jaccard_score(y_true, y_pred), abs=1e-6
    )
    assert set(found["labels"]) == set(found["reference"])


def test_several_classes_against_scikit_learn(tmp_path):
    city = placed(tmp_path, ["other", "road", "water", "rail"])
    assert main(city.arguments("--reference.path", str(city.folder / "truth.gpkg"))) == 0
    found = city.metrics()["labels"]
    y_true, y_pred, levels = city.known_test()
    assert found["confusion"] == confusion_matrix(y_true, y_pred).tolist()
    ious = jaccard_score(y_true, y_pred, average=None)
    assert list(found["iou"].values()) == pytest.approx(ious, abs=1e-6)
    assert found["mean_iou"] == pytest.approx(ious.mean(), abs=1e-6)
    assert found["dice"] == pytest.approx(
        f1_score(y_true, y_pred, labels=[1, 2, 3], average="macro"), abs=1e-6
    )
    for index, name in enumerate(city.classes):
        precise = average_precision_score(y_true == index, levels[index] / 254)
        assert found["classes"][name]["average_precision"] == pytest.approx(precise, abs=1e-6)
    assert list(found["reliability"]) == city.classes
    assert {row["class"] for row in city.rows("precision_recall.csv")} == {"road", "water", "rail"}


def test_the_figures_of_whole_rasters_are_those_of_arrays(city):
    """Relaxed and boundary scores look beyond a window: against one call on a whole scene."""
    city.names, city.test = city.names[:1], city.test[:1]
    assert main(city.arguments()) == 0
    ground = np.where(city.test[0], 0, -1).astype(np.int32)
    tolerances = (RELAXED, Tolerance(4.0))
    counts = count(
        city.masks[0], city.predictions[0], ground, pieces=1, classes=2, tolerances=tolerances
    )
    whole, found = scores(counts, city.classes), city.metrics()["labels"]
    for key in ("relaxed_f1", "relaxed_f1_ground", "boundary_f1", "boundary_f1_ground"):
        assert found[key] == pytest.approx(whole[key], abs=1e-6)
        assert 0 < found[key] < 1


def test_every_figure_has_an_interval_beside_it(city):
    assert main(city.arguments("--reference.path", str(city.folder / "truth.gpkg"))) == 0
    metrics = city.metrics()
    assert metrics["bootstrap"] == {
        "level": 0.95,
        "draws": 1000,
        "unit": "block",
        "weights": "Poisson",
    }
    for against in ("labels", "reference"):
        found = metrics[against]
        # Of the four, one lies on both sheets.
        assert found["blocks"] == 4
        assert "Only 4 blocks of ground: the intervals are too narrow" in found["notes"]
        limits = found["intervals"]
        for key in ("mean_iou", "pixel_accuracy", *FIGURES[1:]):
            low, high = limits[key]
            assert 0 <= low <= found[key] <= high <= 1, key
        for name in city.classes:
            assert limits["iou"][name] == limits["classes"][name]["iou"]
            assert limits["classes"][name].keys() == found["classes"][name].keys()
    assert metrics["masks"]["intervals"]["iou"][0] < metrics["masks"]["iou"]


def test_the_figures_are_the_same_every_time(city):
    first = []
    for _ in range(2):
        assert main(city.arguments("--reference.path", str(city.folder / "truth.gpkg"))) == 0
        folder = city.folder / "evaluation"
        first.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert first[0] == first[1]
    assert sorted(first[0]) == ["metrics.json", "precision_recall.csv", "tiles.csv"]


def test_the_curve_goes_through_the_prediction(city):
    assert main(city.arguments()) == 0
    labels, rows = city.metrics()["labels"], city.rows("precision_recall.csv")
    assert {row["against"] for row in rows} == {"labels"}
    assert len(rows) == 255
    # The lowest level that counts as road is 102 of 254.
    assert float(rows[102]["threshold"]) == pytest.approx(102 / 254, abs=1e-6)
    for key in ("precision", "recall"):
        assert float(rows[102][key]) == pytest.approx(labels[key], abs=1e-6)
    assert float(rows[102]["iou"]) == pytest.approx(labels["iou"]["road"], abs=1e-6)
    assert float(rows[0]["recall"]) == 1


def test_without_probabilities_only_what_is_made_from_them_is_null(city):
    assert main(city.arguments(without="probabilities")) == 0
    found = city.metrics()["labels"]
    assert found["brier"] is found["ece"] is found["average_precision"] is None
    assert found["intervals"]["ece"] is None
    assert found["dice"] > 0
    assert any("no probabilities" in note for note in found["notes"])
    assert city.rows("precision_recall.csv") == []


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


def test_the_tiles_of_a_split_add_up_to_it(city):
    assert main(city.arguments("--reference.path", str(city.folder / "truth.gpkg"))) == 0
    rows = city.rows()
    # A block of 64 pixels holds 2 x 2 tiles of 32; the second sheet begins inside one.
    splits = {row["tile"]: row["split"] for row in rows if row["row"] == "0"}
    assert {tile: split for tile, split in splits.items() if tile.startswith("left")} == {
        f"left_r000_c{column:03d}": split
        for column, split in enumerate(["test", "test", "train", "train", "test", "test", "test"])
    }
    assert splits["right_r000_c000"] == "test"
    assert "right_r000_c001" not in splits  # half test, half validation
    truth, predicted = city.masks[0][:32, 64:96], city.predictions[0][:32, 64:96]
    known = truth != 255
    [row] = [row for row in rows if row["tile"] == "left_r000_c002"]
    assert int(row["pixels"]) == known.sum()
    assert float(row["unknown_share"]) == pytest.approx((~known).mean(), abs=1e-6)
    assert float(row["error_share"]) == pytest.approx((truth != predicted)[known].mean(), abs=1e-6)
    missed = ((truth == 1) & (predicted == 0)).sum() / known.sum()
    assert float(row["missed_share_road"]) == pytest.approx(missed, abs=1e-6)
    alarm = ((truth == 0) & (predicted == 1)).sum() / known.sum()
    assert float(row["false_share_road"]) == pytest.approx(alarm, abs=1e-6)
    assert float(row["iou_road"]) == pytest.approx(
        jaccard_score(truth[known], predicted[known]), abs=1e-6
    )
    reference = jaccard_score(city.truths[0][:32, 64:96].ravel(), predicted.ravel())
    assert float(row["reference_iou"]) == pytest.approx(reference, abs=1e-6)
    # Its first seven columns have no prediction: there true road is missed.
    [row] = [row for row in rows if row["tile"] == "left_r000_c000"]
    reference = jaccard_score(
        city.truths[0][:32, :32].ravel(), city.predictions[0][:32, :32].ravel() == 1
    )
    assert float(row["reference_iou"]) == pytest.approx(reference, abs=1e-6)


def test_tiles_that_cover_the_test_ground_add_up_to_its_figures(city):
    city.names = ["left"]
    assert main(city.arguments()) == 0
    rows = [row for row in city.rows() if row["split"] == "test"]
    confusion = np.array(city.metrics()["labels"]["confusion"])
    assert sum(int(row["hits_road"]) for row in rows) == confusion[1, 1]
    assert sum(int(row["truth_road"]) for row in rows) == confusion[1].sum()
    assert sum(int(row["predicted_road"]) for row in rows) == confusion[:, 1].sum()
    assert sum(int(row["pixels"]) for row in rows) == confusion.sum()


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
    assert main(city.arguments("--reference.path", str(city.folder / "truth.gpkg"))) == 0
    metrics = city.metrics()
    for against in ("labels", "reference"):
        found = metrics[against]
        assert found["iou"] == {"other": None, "road": None}
        assert {found[key] for key in ("mean_iou", "pixel_accuracy", *FIGURES[1:])} == {None}
        assert found["notes"] == [
            "No pixel of the test ground has both a truth and a prediction: all is null"
        ]
    assert metrics["masks"]["iou"] > 0
    assert {row["split"] for row in city.rows()} == {"train"}
    assert city.rows("precision_recall.csv") == []


def test_a_class_that_the_test_ground_lacks_is_null_and_left_out_of_means(tmp_path):
    city = placed(tmp_path, ["other", "road", "water", "rail"])
    for mask in city.masks:
        mask[mask == 2] = 255
    city.write()
    assert main(city.arguments()) == 0
    found = city.metrics()["labels"]
    y_true, y_pred, _ = city.known_test()
    assert found["iou"]["water"] is None
    assert set(found["classes"]["water"].values()) == {None}
    assert set(found["intervals"]["classes"]["water"].values()) == {None}
    assert found["dice"] == pytest.approx(
        f1_score(y_true, y_pred, labels=[1, 3], average="macro"), abs=1e-6
    )
    assert found["intervals"]["dice"] is not None
    assert any(note.startswith("No pixel of the truth is water") for note in found["notes"])


@pytest.mark.parametrize(("tolerance", "is_known"), [("2 ft", False), ("2 px", True)])
def test_in_pixel_mode_the_test_ground_is_the_test_pictures(tmp_path, tolerance, is_known):
    city = City.of(tmp_path, ["other", "road"], crs=None).write()
    frame = gpd.GeoDataFrame(
        {"split": ["train", "test"], "scene": city.names}, geometry=[box(0, 0, 200, 160)] * 2
    )
    pyogrio.write_dataframe(frame, tmp_path / "split.gpkg", layer="blocks")
    city.test[1][:] = True
    assert main(city.arguments("--evaluation.tolerance", tolerance)) == 0
    found = city.metrics()["labels"]
    y_true, y_pred, _ = city.known_test()
    assert found["confusion"] == confusion_matrix(y_true, y_pred).tolist()
    assert {row["scene"]: row["split"] for row in city.rows()} == {"left": "train", "right": "test"}
    assert found["blocks"] == 1
    assert found["intervals"]["iou"] == {"other": None, "road": None}
    assert any("An interval needs 3 blocks" in note for note in found["notes"])
    assert (found["relaxed_f1_ground"] is not None) == is_known


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
    city.write_prediction("right", grid, city.predictions[1], tags)
    assert main(city.arguments()) == 1
    message = capsys.readouterr().err
    assert words in message
    assert str(path) in message


def test_another_model_than_the_one_that_predicted_is_refused(city, capsys):
    other = city.folder / "other.keras"
    other.write_bytes(b"other")
    assert main(city.arguments("--model", str(other))) == 1
    assert "it was not predicted by" in capsys.readouterr().err


def test_rasters_that_do_not_belong_together_are_refused(city, capsys):
    city.predictions[1][3, 130] = 7
    city.masks[1][3, 130] = 1
    city.write()
    assert main(city.arguments()) == 1
    assert "predictions/right.tif: it holds the value 7" in capsys.readouterr().err
    city.predictions[1][3, 130] = 1
    city.levels[1][:, 3, 130] = 255
    city.write()
    assert main(city.arguments()) == 1
    assert "pixels with a class and no probability" in capsys.readouterr().err
    city.levels[1] = np.repeat(city.levels[1], 3, axis=0)
    city.write()
    assert main(city.arguments()) == 1
    assert "it has 3 bands, and the classes of the data set ask for 1" in capsys.readouterr().err


def test_a_missing_probability_raster_is_named(city, capsys):
    arguments = city.arguments()
    arguments.remove(str(city.folder / "probability" / "right.tif"))
    assert main(arguments) == 1
    message = capsys.readouterr().err
    assert "right.tif: its probability raster is not given" in message


def test_a_broken_dataset_description_is_named(city, capsys):
    (city.folder / "dataset.json").write_text("{}")
    assert main(city.arguments()) == 1
    assert "dataset.json: it does not describe a data set" in capsys.readouterr().err


# --- polygons by window ------------------------------------------------------------------


@FEW
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
