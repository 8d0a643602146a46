"""Stage predictions: no seams, no lost rows, the same grid, in bounded memory."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
import threading
import time
import zipfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
import rasterio
from affine import Affine
from cards import plain_card
from hypothesis import given
from hypothesis import strategies as st
from rasterio.crs import CRS
from rasterio.enums import ColorInterp
from scipy.ndimage import uniform_filter
from shapely import box

from roadmask.__main__ import main
from roadmask.errors import SettingError
from roadmask.files import sha256
from roadmask.grid import Grid
from roadmask.model.card import Card, embed_card
from roadmask.predictions.blending import classes_of, lowest_byte, probability_bytes
from roadmask.predictions.lattice import Lattice, Span, lattice_origin
from roadmask.predictions.neighbours import sheets_beside
from roadmask.predictions.picture import mirrored, neighbours_of
from roadmask.predictions.resampling import interpolated, network_grid, open_on, scene_of
from roadmask.predictions.seams import SeamMeter
from roadmask.predictions.streaming import (
    SYMMETRIES,
    Strip,
    Window,
    averaged,
    blend_windows,
    in_thread,
)
from roadmask.raster import write_cog

LONG_ISLAND = CRS.from_epsg(2263)
LATTICES = st.builds(
    Lattice.of,
    window=st.sampled_from([32, 48, 64]),
    overlap=st.integers(0, 7),
    stride=st.sampled_from([1, 2, 4]),
)


def weights_over(spans: list[Span], size: int) -> np.ndarray:
    total = np.zeros(size)
    for span in spans:
        for pixel, weight in zip(range(span.first, span.stop), span.weights, strict=True):
            if 0 <= pixel < size:
                total[pixel] += weight
    return total


# --- the lattice -------------------------------------------------------------------------


@given(LATTICES, st.integers(-1000, 1000), st.integers(1, 200))
def test_weights_on_the_common_lattice_are_positive_and_add_up_to_one(lattice, origin, size):
    spans = lattice.anchored(origin, size)
    assert all(span.weights.min() > 0 for span in spans)
    assert np.allclose(weights_over(spans, size), 1, atol=1e-6)


@given(LATTICES, st.integers(1, 300))
def test_weights_in_a_picture_of_its_own_are_positive_and_add_up_to_one(lattice, size):
    spans = lattice.fitted(size)
    assert all(span.weights.min() > 0 for span in spans)
    assert np.allclose(weights_over(spans, size), 1, atol=1e-6)


@given(LATTICES, st.integers(-1000, 1000), st.integers(1, 200))
def test_what_a_window_decides_lies_inside_it_with_context(lattice, origin, size):
    for span in lattice.anchored(origin, size):
        assert span.start + lattice.margin - lattice.ramp == span.first
        assert span.stop + lattice.margin - lattice.ramp <= span.start + lattice.window
        assert (span.start + lattice.margin + origin) % lattice.step == 0


@given(LATTICES, st.integers(1, 300))
def test_a_fitted_window_sees_what_it_decides(lattice, size):
    spans = lattice.fitted(size)
    for span in spans:
        assert span.start <= max(span.first, 0)
        assert min(span.stop, size) <= span.start + lattice.window


@given(LATTICES, st.integers(-500, 500), st.integers(2, 200), st.data())
def test_two_halves_of_a_sheet_have_the_windows_of_the_whole(lattice, origin, size, data):
    cut = data.draw(st.integers(1, size - 1))
    whole = {span.start + origin for span in lattice.anchored(origin, size)}
    left = {span.start + origin for span in lattice.anchored(origin, cut)}
    right = {span.start + origin + cut for span in lattice.anchored(origin + cut, size - cut)}
    assert left | right == whole


def test_a_picture_no_larger_than_the_window_is_one_window():
    lattice = Lattice.of(512, 64, 16)
    assert lattice.step == 384
    assert len(lattice.fitted(400)) == len(lattice.fitted(512)) == 1
    assert len(lattice.fitted(513)) == 2


def test_the_step_is_a_multiple_of_the_stride_and_the_margin_at_least_the_overlap():
    lattice = Lattice.of(512, 50, 32)
    assert lattice.step == 384
    assert lattice.margin == 64


@pytest.mark.parametrize(("window", "grown"), [(497, 512), (512, 512), (513, 544), (3, 32)])
def test_a_window_that_the_stride_does_not_divide_sees_more_of_the_picture(window, grown):
    assert Lattice.of(window, 0, 32).window == grown


def test_a_halo_that_leaves_no_core_names_the_key_and_a_value_that_works():
    with pytest.raises(SettingError, match="Write 56 or") as caught:
        Lattice.of(128, 64, 16)
    assert caught.value.key == "prediction.overlap"


@given(
    st.integers(-4_000_000, 4_000_000),
    st.integers(-4_000_000, 4_000_000),
    st.integers(-20_000, 20_000),
    st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 0.999]),
    st.sampled_from([0.5, 1.0, 0.3, 0.15, 2.7e-6]),
)
def test_sheets_whole_pixels_apart_share_the_lattice(column, row, apart, fraction, pixel):
    def sheet(x: int) -> Grid:
        at = ((x + fraction) * pixel, (row + fraction) * pixel)
        return Grid(10, 10, Affine(pixel, 0, at[0], 0, -pixel, at[1]), LONG_ISLAND)

    first, second = lattice_origin(sheet(column)), lattice_origin(sheet(column + apart))
    assert second[0] - first[0] == apart
    assert second[1] == first[1]


@pytest.mark.parametrize(
    ("window", "stride", "reach", "halo", "cost"),
    [
        # The U-Net: 96 of 107 pixels are felt.
        (512, 16, 107, 96, 2.56),
        (1024, 16, 107, 96, 1.515),
        # Too far for a window of this size, or over all of it.
        (512, 32, 517, 64, 1.778),
        (512, 16, None, 64, 1.778),
        (128, 16, 107, 16, 1.778),
        (32, 4, 2, 2, 1.306),
    ],
)
def test_the_halo_comes_from_the_networks_reach(window, stride, reach, halo, cost):
    lattice = Lattice.of(window, None, stride, reach)
    assert lattice.margin == halo
    assert lattice.cost == pytest.approx(cost, abs=0.001)


@given(st.integers(1, 12), st.integers(-1000, 1000), st.integers(1, 200))
def test_with_the_chosen_halo_no_pixel_feels_its_windows_edge(reach, origin, size):
    lattice = Lattice.of(64, None, 4, reach)
    assert lattice.margin >= int(0.9 * reach)
    assert lattice.ramp <= max(8, lattice.margin - int(0.9 * reach))
    assert np.allclose(weights_over(lattice.anchored(origin, size), size), 1, atol=1e-6)


# --- seams -------------------------------------------------------------------------------


def measured(
    answer: Callable[[np.ndarray, np.ndarray, int], np.ndarray], lattice: Lattice, size: int
) -> SeamMeter:
    """Measure a square scene of windows that answer by rows, columns and their own number."""
    spans = lattice.anchored(5, size)
    meter = SeamMeter(spans, spans, size, size)

    def windows():
        number = 0
        for index, row in enumerate(spans):
            valid = np.ones((min(row.stop, size) - max(row.first, 0), size), dtype=bool)
            strip = Strip(index, valid)
            for column in spans:
                y = row.start + np.arange(lattice.window)[:, np.newaxis]
                x = column.start + np.arange(lattice.window)
                values = answer(y, x, number).astype(np.float32)[:, :, np.newaxis]
                yield Window(strip, column, values)
                number += 1

    for _ in blend_windows(windows(), spans, size, size, 1, meter):
        pass
    return meter


@given(LATTICES, st.integers(0, 3))
def test_windows_that_agree_have_no_seams(lattice, seed):
    noise = np.random.default_rng(seed).random((400, 400))
    meter = measured(lambda y, x, _: noise[y + 100, x + 100], lattice, 130)
    assert meter.as_json()["ratio"] == pytest.approx(1, abs=0.02 if lattice.margin else 0.3)
    assert meter.inner.pairs == 2 * meter.border.pairs


@pytest.mark.parametrize(("ramp", "excess"), [(0, 0.05), (4, 0.05 / 8)])
def test_windows_that_disagree_are_measured(ramp, excess):
    lattice = Lattice(32, 16, 8, ramp)
    # A slope of 0.01 a pixel along both axes; a window's neighbours answer 0.05 more or less.
    count = len(lattice.anchored(5, 96))

    def answer(y, x, number):
        odd = (number // count + number % count) % 2
        return 0.01 * (x + y) / 2 + 0.05 * odd

    meter = measured(answer, lattice, 96)
    assert meter.inner.mean == pytest.approx(0.005, rel=1e-3)
    # At one border the step goes with the slope, at the next against it.
    steps = [abs(0.005 + excess), abs(0.005 - excess)]
    assert meter.border.mean == pytest.approx(np.mean(steps), rel=0.25)
    assert meter.as_json()["ratio"] > 1.05 if ramp else meter.as_json()["ratio"] > 9


def test_ground_without_picture_counts_nowhere():
    spans = Lattice(32, 16, 8, 4).anchored(5, 96)
    meter = SeamMeter(spans, spans, 96, 96)
    values, valid = np.zeros((96, 96, 1), dtype=np.float32), np.ones((96, 96), dtype=bool)
    values[:, 40:], valid[:, 40:] = 1, False
    for first in range(0, 96, 20):
        meter.add_rows(first, values[first : first + 20], valid[first : first + 20])
    assert meter.border.mean == 0
    # Borders before the pixels 11 and 27 along the rows, and all six along the columns.
    assert meter.border.pairs == 96 * 2 + 40 * 6


# --- padding, bytes, threads -------------------------------------------------------------


@given(st.integers(-100, 100), st.integers(1, 60), st.integers(1, 20))
def test_mirroring_is_numpys_reflection(start, count, size):
    padded = np.pad(np.arange(size), 300, mode="reflect") if size > 1 else np.zeros(601, int)
    expected = padded[300 + start : 300 + start + count]
    indices = mirrored(np.arange(start, start + count), size)
    assert indices[: len(expected)].tolist() == expected.tolist()


def test_probabilities_become_the_nearest_byte_and_nodata_255():
    probabilities = np.array([[[0.0], [0.5], [1.0], [0.25 / 127], [np.nextafter(1, 2)]]])
    valid = np.array([[True, True, True, True, False]])
    values = probability_bytes(probabilities.astype(np.float32), valid)
    assert values.tolist() == [[[0, 127, 254, 1, 255]]]


@given(st.integers(0, 254))
def test_the_threshold_counts_the_byte_that_equals_it(byte):
    assert lowest_byte(byte / 254) == byte


def test_one_output_is_cut_at_the_threshold():
    values = np.array([[[0, 126, 127, 254, 255]]], dtype=np.uint8)
    assert classes_of(values, 0.5).tolist() == [[0, 0, 1, 1, 255]]


def test_of_more_outputs_the_first_highest_wins():
    values = np.array([[[10, 100, 255]], [[200, 100, 255]], [[44, 54, 255]]], dtype=np.uint8)
    assert classes_of(values, None).tolist() == [[1, 0, 255]]


def test_a_thread_runs_ahead_no_farther_than_told_and_ends():
    made = []

    def items():
        for number in range(100):
            made.append(number)
            yield number

    before = threading.active_count()
    with in_thread(items(), 3) as taken:
        assert [next(taken), next(taken)] == [0, 1]
        time.sleep(0.3)
        # Two were taken, three wait, one is in the hand of the thread.
        assert len(made) <= 6
    assert threading.active_count() == before


def test_what_a_thread_raises_reaches_the_taker():
    def items():
        yield 1
        raise ValueError("broken")

    with in_thread(items(), 2) as taken, pytest.raises(ValueError, match="broken"):
        list(taken)


# --- whole scenes ------------------------------------------------------------------------

ORIGIN = (987_500.0, 212_500.0)
HALF = Affine.translation(0.5, 0.5)
WEIGHTS, BIAS = np.array([3.0, -2.0, 1.5]), -0.7

Save = Callable[..., Path]


def card_for(**changes) -> Card:
    return plain_card(**({"threshold": 100 / 254, "pixel_metres": 0.5 * 1200 / 3937} | changes))


@pytest.fixture(scope="session")
def save_model(tmp_path_factory) -> Save:
    """Saves small networks whose answer is known."""
    import keras

    def save(layers, card: Card | None = None, shape=(None, None, 3)) -> Path:
        path = tmp_path_factory.mktemp("model") / "model.keras"
        inputs = keras.Input(shape)
        keras.Model(inputs, layers(keras.layers.Rescaling(1 / 255)(inputs))).save(path)
        if card is not None:
            embed_card(path, card)
        return path

    return save


@pytest.fixture(scope="session")
def pixelwise(save_model) -> Path:
    """A network that knows one formula for each pixel."""
    return save_model(pixelwise_layer, card_for())


def pixelwise_layer(tensor):
    import keras

    layer = keras.layers.Conv2D(1, 1, activation="sigmoid")
    answer = layer(tensor)
    layer.set_weights([WEIGHTS.reshape(1, 1, 3, 1), np.array([BIAS])])
    return answer


def blurring_layers(tensor):
    import keras

    layer = keras.layers.Conv2D(1, 5, padding="same", use_bias=False)
    answer = layer(tensor)
    kernel = np.zeros((5, 5, 3, 1))
    kernel[:, :, 0] = 1 / 25
    layer.set_weights([kernel])
    return answer


@pytest.fixture(scope="session")
def blurring(save_model) -> Path:
    """A network that answers the mean of the first band over 5 x 5 pixels."""
    return save_model(blurring_layers, card_for())


@pytest.fixture(scope="session")
def pooling(save_model) -> Path:
    """A network that sees its whole window at once, and pools on a stride of 4."""
    import keras

    def layers(tensor):
        keras.utils.set_random_seed(5)
        deep = keras.layers.AveragePooling2D(4)(keras.layers.Conv2D(4, 3, padding="same")(tensor))
        whole = keras.layers.GlobalAveragePooling2D(keepdims=True)(deep)
        up = keras.layers.UpSampling2D(4)(deep + whole)
        joined = keras.layers.Concatenate()([up, tensor])
        return keras.layers.Conv2D(1, 3, padding="same", activation="sigmoid")(joined)

    return save_model(layers, card_for())


def picture_of(width: int, height: int, seed: int = 0, bands: int = 4) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (bands, height, width), dtype=np.uint8)


def grid_at(x: int, y: int, width: int, height: int) -> Grid:
    whole = Grid(10_000, 10_000, Affine(0.5, 0, ORIGIN[0], 0, -0.5, ORIGIN[1]), LONG_ISLAND)
    return whole.window(x, y, width, height)


def write_scene(path: Path, grid: Grid, picture: np.ndarray, nodata: float | None = None) -> Path:
    write_cog(path, grid, picture, nodata=nodata, tags={"ROADMASK_SOURCE": f"{path.stem}.jp2"})
    return path


def predict(
    model: Path, folder: Path, *scenes: Path, window=32, overlap=8, others=(), extra=()
) -> int:
    """Predict by one network, or the mean with others, and tell the classes apart."""
    models = [str(model), *map(str, others)]
    arguments = ["predictions", *map(str, scenes), "--model", *models]
    arguments += ["--output-folder", str(folder), f"--prediction.window={window}"]
    code = main([*arguments, f"--prediction.overlap={overlap}", *extra])
    return code or classify(models, folder, *scenes)


def classify(models, folder: Path, *scenes: Path, extra=()) -> int:
    probability = [str(folder / "probability" / scene.name) for scene in scenes]
    return main(
        ["classes", *probability, "--model", *models, "--output-folder", str(folder), *extra]
    )


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as dataset:
        return dataset.read()


def assert_nearest(values: np.ndarray, probabilities: np.ndarray) -> None:
    """Each byte is the nearest to the probability, up to float32's rounding."""
    assert np.abs(values - probabilities * 254).max() <= 0.5 + 1e-3


def formula(picture: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-(np.tensordot(WEIGHTS, picture[:3] / 255, 1) + BIAS)))


def test_a_brighter_flight_is_predicted_as_what_the_network_was_trained_on(tmp_path, save_model):
    trained = {"band_mean": (60.0, 50.0, 40.0), "band_deviation": (20.0, 10.0, 30.0)}
    model = save_model(pixelwise_layer, card_for(**trained))
    grid = grid_at(1237, 411, 70, 40)
    picture = np.maximum(picture_of(70, 40, bands=3) // 3, 1)
    picture[:, :5] = 0
    brighter = np.where(picture == 0, 0, 2 * picture + 20).astype(np.uint8)
    scenes = {"as_trained": picture, "brighter": brighter, "other": brighter}
    for name, pixels in scenes.items():
        write_scene(tmp_path / f"{name}.tif", grid, pixels, nodata=0)
    flight = {
        "scenes": ["brighter"],
        "pixels": 1,
        "mean": [2 * mean + 20 for mean in trained["band_mean"]],
        "deviation": [2 * deviation for deviation in trained["band_deviation"]],
    }
    (tmp_path / "flight.json").write_text(json.dumps(flight), encoding="utf-8")

    paths = [tmp_path / f"{name}.tif" for name in scenes]
    extra = ("--flights", str(tmp_path / "flight.json"))
    assert predict(model, tmp_path / "out", *paths, extra=extra) == 0

    found = {name: read(tmp_path / "out" / "probability" / f"{name}.tif") for name in scenes}
    assert np.array_equal(found["brighter"], found["as_trained"])
    # A scene of no flight is taken as it is.
    assert not np.array_equal(found["other"], found["as_trained"])
    with rasterio.open(tmp_path / "out" / "brighter.tif") as dataset:
        assert dataset.tags()["ROADMASK_TONE"].startswith("140.0 ± 40.0 to 60.0 ± 20.0, ")
    with rasterio.open(tmp_path / "out" / "other.tif") as dataset:
        assert dataset.tags()["ROADMASK_TONE"] == "as it is"
        assert json.loads(dataset.tags()["ROADMASK_SETTINGS"])["prediction.tone"] == "match"


def test_beyond_its_border_a_sheet_sees_its_neighbour_in_that_ones_own_tone(tmp_path, save_model):
    trained = {"band_mean": (60.0, 50.0, 40.0), "band_deviation": (20.0, 10.0, 30.0)}
    model = save_model(blurring_layers, card_for(**trained))
    picture = np.maximum(picture_of(128, 64, bands=3) // 3, 1)
    west, east = grid_at(0, 0, 64, 64), grid_at(64, 0, 64, 64)
    brighter = (2 * picture + 20).astype(np.uint8)
    for folder, pixels in (("alike", picture), ("apart", brighter)):
        write_scene(tmp_path / folder / "west.tif", west, picture[:, :, :64])
        write_scene(tmp_path / folder / "east.tif", east, pixels[:, :, 64:])
    flight = {
        "scenes": ["east"],
        "pixels": 1,
        "mean": [2 * mean + 20 for mean in trained["band_mean"]],
        "deviation": [2 * deviation for deviation in trained["band_deviation"]],
    }
    (tmp_path / "flight.json").write_text(json.dumps(flight), encoding="utf-8")

    found = {}
    for name, folder, flights in (
        ("alike", "alike", ()),
        ("matched", "apart", ("--flights", str(tmp_path / "flight.json"))),
        ("as it is", "apart", ()),
    ):
        extra = ("--neighbours", str(tmp_path / folder / "east.tif"), *flights)
        out = tmp_path / "out" / name
        assert predict(model, out, tmp_path / folder / "west.tif", extra=extra) == 0
        found[name] = read(out / "probability" / "west.tif")

    assert np.array_equal(found["matched"], found["alike"])
    assert not np.array_equal(found["as it is"], found["alike"])


def test_a_network_of_pixels_gives_its_formula_on_every_pixel(tmp_path, pixelwise):
    grid, picture = grid_at(1237, 411, 131, 67), picture_of(131, 67)
    scene = write_scene(tmp_path / "scenes" / "a.tif", grid, picture)
    assert predict(pixelwise, tmp_path / "out", scene) == 0
    probability = read(tmp_path / "out" / "probability" / "a.tif")
    assert probability.shape == (1, 67, 131)
    assert_nearest(probability[0], formula(picture))
    classes = read(tmp_path / "out" / "a.tif")[0]
    assert (classes == (probability[0] >= 100)).all()


def test_rasters_tell_all_about_themselves(tmp_path, pixelwise):
    grid = Grid(600, 530, Affine(0.15, 0, 1e6 / 3, 0, -0.15, 2e5 / 7), LONG_ISLAND)
    scene = write_scene(tmp_path / "scenes" / "a.tif", grid, picture_of(600, 530))
    assert predict(pixelwise, tmp_path / "out", scene, window=256, overlap=16) == 0
    for path, name in (("a.tif", "class"), ("probability/a.tif", "road")):
        with rasterio.open(tmp_path / "out" / path) as dataset:
            assert Grid.from_dataset(dataset) == grid
            assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
            assert dataset.overviews(1) == [2]
            assert dataset.descriptions == (name,)
            assert (dataset.nodata, dataset.dtypes) == (255, ("uint8",))
            tags = dataset.tags()
            assert tags["ROADMASK_SOURCE"] == "a.jp2"
            assert tags["ROADMASK_MODEL_SHA256"] == sha256(pixelwise)
            threshold = {"prediction.threshold": 100 / 254} if path == "a.tif" else {}
            assert json.loads(tags["ROADMASK_SETTINGS"]) == threshold | {
                "prediction.window": 256,
                "prediction.overlap": 16,
                "prediction.augmentation": "none",
                "prediction.bands": [1, 2, 3],
                "prediction.resample": False,
                "prediction.tone": "none",
                "area": None,
            }
            assert str(tmp_path) not in json.dumps(tags)
    with rasterio.open(tmp_path / "out" / "a.tif") as dataset:
        assert dataset.colormap(1)[1] == (240, 110, 30, 255)
    assert 'label="road"' in (tmp_path / "out" / "a.qml").read_text()


def test_gdal_itself_sees_overviews_colours_categories_and_the_same_grid(tmp_path, pixelwise):
    if shutil.which("gdalinfo") is None:
        pytest.skip("gdalinfo is not installed (apt-get install gdal-bin)")
    grid = Grid(600, 530, Affine(0.15, 0, 1e6 / 3, 0, -0.15, 2e5 / 7), LONG_ISLAND)
    scene = write_scene(tmp_path / "scenes" / "a.tif", grid, picture_of(600, 530))
    assert predict(pixelwise, tmp_path / "out", scene, window=256, overlap=16) == 0

    def told(path: Path, *arguments: str) -> str:
        command = ["gdalinfo", *arguments, str(path)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    text = told(tmp_path / "out" / "a.tif")
    assert "LAYOUT=COG" in text
    assert re.search(r"Categories:\s+0: other\s+1: road", text)
    assert "1: 240,110,30,255" in text
    for path in ("a.tif", "probability/a.tif"):
        found = json.loads(told(tmp_path / "out" / path, "-json"))
        source = json.loads(told(scene, "-json"))
        for key in ("geoTransform", "size", "coordinateSystem"):
            assert found[key] == source[key]
        assert found["bands"][0]["overviews"][0]["size"] == [300, 265]
        assert found["bands"][0]["noDataValue"] == 255


def test_a_network_with_reach_has_no_seams_and_mirrors_the_edge(tmp_path, blurring):
    grid, picture = grid_at(-311, 77, 150, 90), picture_of(150, 90)
    scene = write_scene(tmp_path / "scenes" / "a.tif", grid, picture)
    assert predict(blurring, tmp_path / "out", scene) == 0
    record = json.loads((tmp_path / "out" / "a.json").read_text())
    assert (record["window"], record["halo"], record["step"]) == (32, 8, 16)
    assert record["seam"]["ratio"] == pytest.approx(1, abs=0.02)
    # SciPy's mirror is NumPy's reflect: the edge pixel is not repeated.
    expected = uniform_filter(picture[0] / 255, 5, mode="mirror")
    assert_nearest(read(tmp_path / "out" / "probability" / "a.tif")[0], expected)


def test_a_sheet_cut_in_four_gives_the_prediction_of_the_whole(tmp_path, pooling):
    width, height, x, y = 170, 141, 83, 59
    picture = picture_of(width, height)
    whole = write_scene(tmp_path / "whole.tif", grid_at(13, 29, width, height), picture)
    assert predict(pooling, tmp_path / "whole", whole) == 0
    parts = {}
    for down, rows in enumerate((slice(0, y), slice(y, height))):
        for across, columns in enumerate((slice(0, x), slice(x, width))):
            part = picture[:, rows, columns]
            place = (13 + columns.start, 29 + rows.start, part.shape[2], part.shape[1])
            name = f"part_{down}{across}"
            path = write_scene(tmp_path / "parts" / f"{name}.tif", grid_at(*place), part)
            parts[path] = (rows, columns)
    extra = ("--neighbours", *map(str, parts))
    assert predict(pooling, tmp_path / "cut", *parts, extra=extra) == 0
    for kind in ("", "probability/"):
        expected = read(tmp_path / "whole" / f"{kind}whole.tif")[0]
        for path, part in parts.items():
            found = read(tmp_path / "cut" / f"{kind}{path.stem}.tif")[0]
            assert found.tolist() == expected[part].tolist()


def test_the_parts_of_a_sheet_find_one_another(tmp_path):
    places = {"nw": (0, 0, 60, 50), "ne": (60, 0, 70, 50), "far": (5000, 0, 60, 50)}
    scenes = [
        write_scene(tmp_path / "scenes" / f"{name}.tif", grid_at(*place), picture_of(*place[2:]))
        for name, place in places.items()
    ]
    off = replace(grid_at(0, 50, 60, 50), transform=grid_at(0, 50, 1, 1).transform @ HALF)
    scenes.append(write_scene(tmp_path / "scenes" / "off.tif", off, picture_of(60, 50)))
    other = replace(grid_at(130, 0, 60, 50), crs=CRS.from_epsg(32618))
    scenes.append(write_scene(tmp_path / "scenes" / "other.tif", other, picture_of(60, 50)))
    nowhere = Grid(20, 20, Affine.identity(), None)
    scenes.append(write_scene(tmp_path / "scenes" / "nowhere.tif", nowhere, picture_of(20, 20)))
    output = tmp_path / "neighbours.json"
    arguments = ["neighbours", *map(str, scenes), "--output", str(output)]
    assert main([*arguments, "--prediction.window=100"]) == 0
    content = json.loads(output.read_text())
    # The window may yet grow to a multiple of the stride.
    assert content["reach"] == 128
    beside = {"nw": ["ne"], "ne": ["nw"]}
    assert content["neighbours"] == {name.stem: beside.get(name.stem, []) for name in scenes}


@given(
    st.lists(
        st.tuples(st.integers(-300, 300), st.integers(-300, 300), st.integers(1, 90)),
        min_size=2,
        max_size=12,
        unique_by=lambda place: place,
    ),
    st.integers(1, 200),
)
def test_the_tree_finds_what_all_pairs_find(places, reach):
    grids = {
        f"s{index:02d}": grid_at(x, y, size, size) for index, (x, y, size) in enumerate(places)
    }
    names = list(grids)
    for name, found in sheets_beside(grids, reach).items():
        others = [other for other in names if other != name]
        pairs = neighbours_of(grids[name], [grids[other] for other in others], reach)
        assert found == [others[index] for index, _ in pairs]


def test_sheets_whose_crs_is_written_in_another_way_lie_beside_each_other():
    left, right = grid_at(0, 0, 60, 60), grid_at(60, 0, 60, 60)
    state_plane = replace(left, crs=CRS.from_epsg(2263))
    esri = replace(right, crs=CRS.from_string("ESRI:102718"))
    assert state_plane.crs.to_wkt() != esri.crs.to_wkt()
    assert sheets_beside({"l": state_plane, "r": esri}, 20) == {"l": ["r"], "r": ["l"]}
    other = replace(right, crs=CRS.from_epsg(32618))
    assert sheets_beside({"l": state_plane, "r": other}, 20) == {"l": [], "r": []}


def test_without_its_neighbours_a_part_differs_at_the_cut_alone(tmp_path, pooling):
    picture = picture_of(160, 64)
    whole = write_scene(tmp_path / "whole.tif", grid_at(0, 0, 160, 64), picture)
    left = write_scene(tmp_path / "left.tif", grid_at(0, 0, 80, 64), picture[:, :, :80])
    assert predict(pooling, tmp_path / "out", whole, left) == 0
    expected = read(tmp_path / "out" / "probability" / "whole.tif")[0]
    found = read(tmp_path / "out" / "probability" / "left.tif")[0]
    differs = np.flatnonzero((found != expected[:, :80]).any(axis=0))
    assert differs.min() > 80 - 32
    assert differs.size


def test_nodata_stays_nodata_and_windows_without_picture_are_skipped(
    tmp_path, pixelwise, monkeypatch
):
    from roadmask.predictions import command

    picture = picture_of(200, 40).clip(1)
    picture[:, :, 30:] = 0
    picture[:, 5:9, 3:6] = 0
    picture[0, 20, 20] = 0  # one band alone is no nodata
    scene = write_scene(tmp_path / "a.tif", grid_at(0, 0, 200, 40), picture, nodata=0)
    seen = []
    original = command.predict_windows

    def counting(windows, network, batch):
        def network_that_counts(pixels):
            seen.append(pixels.any(axis=(1, 2, 3)).sum())
            return network(pixels)

        return original(windows, network_that_counts, batch)

    monkeypatch.setattr(command, "predict_windows", counting)
    assert predict(pixelwise, tmp_path / "out", scene, window=32, overlap=8) == 0
    empty = (picture == 0).all(axis=0)
    assert empty.sum() == 170 * 40 + 12
    for path in ("a.tif", "probability/a.tif"):
        assert ((read(tmp_path / "out" / path)[0] == 255) == empty).all()
    # Cores of 16 pixels, ramps of 4: three windows across reach 30 columns, of 14 there are.
    assert sum(seen) <= 3 * 4


def test_a_scene_without_any_picture_is_all_nodata(tmp_path, pixelwise):
    picture = np.zeros((3, 40, 50), dtype=np.uint8)
    scene = write_scene(tmp_path / "a.tif", grid_at(0, 0, 50, 40), picture, nodata=0)
    assert predict(pixelwise, tmp_path / "out", scene) == 0
    assert (read(tmp_path / "out" / "a.tif") == 255).all()
    assert (read(tmp_path / "out" / "probability" / "a.tif") == 255).all()


def test_ground_outside_area_is_nodata(tmp_path, pixelwise):
    picture = picture_of(60, 60)
    scene = write_scene(tmp_path / "a.tif", grid_at(0, 0, 60, 60), picture)
    x, y = ORIGIN
    area = gpd.GeoDataFrame(geometry=[box(x + 5, y - 20, x + 15, y - 10)], crs=2263)
    pyogrio.write_dataframe(area, tmp_path / "area.gpkg", layer="area")
    extra = ("--area.path", str(tmp_path / "area.gpkg"))
    assert predict(pixelwise, tmp_path / "out", scene, extra=extra) == 0
    found = read(tmp_path / "out" / "probability" / "a.tif")[0]
    inside = np.zeros((60, 60), dtype=bool)
    inside[20:40, 10:30] = True
    assert ((found != 255) == inside).all()
    assert_nearest(found[inside], formula(picture)[inside])


@pytest.mark.parametrize("size", [(20, 25), (32, 32), (75, 33)])
def test_pictures_that_lie_nowhere_are_predicted_too(tmp_path, blurring, size):
    picture = picture_of(*size, bands=3)
    grid = Grid(*size, Affine.identity(), None)
    scene = write_scene(tmp_path / "a.tif", grid, picture)
    assert predict(blurring, tmp_path / "out", scene) == 0
    with rasterio.open(tmp_path / "out" / "probability" / "a.tif") as dataset:
        assert Grid.from_dataset(dataset) == grid
        found = dataset.read(1)
    inner = (slice(2, -2), slice(2, -2))
    assert_nearest(found[inner], uniform_filter(picture[0] / 255, 5, mode="mirror")[inner])


def test_of_several_classes_the_most_probable_wins(tmp_path, save_model):
    import keras

    def layers(tensor):
        layer = keras.layers.Conv2D(3, 1, activation="softmax")
        answer = layer(tensor)
        layer.set_weights([5 * np.eye(3).reshape(1, 1, 3, 3), np.zeros(3)])
        return answer

    colours = ((110, 193, 228), (226, 169, 41))
    card = card_for(classes=("road", "water"), outputs=3, threshold=None, colours=colours)
    picture = picture_of(50, 40)
    scene = write_scene(tmp_path / "a.tif", grid_at(0, 0, 50, 40), picture)
    assert predict(save_model(layers, card), tmp_path / "out", scene) == 0
    with rasterio.open(tmp_path / "out" / "probability" / "a.tif") as dataset:
        assert dataset.descriptions == ("other", "road", "water")
        probabilities = dataset.read()
    powers = np.exp(5 * (picture[:3] / 255))
    assert_nearest(probabilities, powers / powers.sum(axis=0))
    with rasterio.open(tmp_path / "out" / "a.tif") as dataset:
        classes, table = dataset.read(1), dataset.colormap(1)
    assert (table[1][:3], table[2][:3]) == colours
    assert (classes == probabilities.argmax(axis=0)).all()
    best = np.sort(picture[:3], axis=0)
    clear = best[2] > best[1] + 8.0
    assert (classes == picture[:3].argmax(axis=0))[clear].all()


def test_other_types_are_scaled_as_the_card_says_and_bands_taken_in_its_order(tmp_path, save_model):
    card = card_for(bands=(4, 2, 1), scale=((0.0, 4000.0),) * 3)
    picture = picture_of(40, 40).astype(np.uint16) * 20
    scene = write_scene(tmp_path / "a.tif", grid_at(0, 0, 40, 40), picture)
    assert predict(save_model(pixelwise_layer, card), tmp_path / "out", scene) == 0
    seen = np.rint(np.clip(picture[[3, 1, 0]] / 4000, 0, 1) * 255)
    assert_nearest(read(tmp_path / "out" / "probability" / "a.tif")[0], formula(seen))


def test_the_threshold_of_the_settings_goes_before_the_cards(tmp_path, pixelwise):
    scene = write_scene(tmp_path / "a.tif", grid_at(0, 0, 40, 40), picture_of(40, 40))
    assert predict(pixelwise, tmp_path / "out", scene) == 0
    extra = ("--prediction.threshold", "0.8")
    assert classify([str(pixelwise)], tmp_path / "out", scene, extra=extra) == 0
    probability = read(tmp_path / "out" / "probability" / "a.tif")
    assert (read(tmp_path / "out" / "a.tif") == (probability >= 0.8 * 254)).all()
    with rasterio.open(tmp_path / "out" / "a.tif") as dataset:
        assert json.loads(dataset.tags()["ROADMASK_SETTINGS"])["prediction.threshold"] == 0.8


def test_probabilities_of_another_network_are_told_apart_by_none(
    tmp_path, pixelwise, blurring, capsys
):
    scene = write_scene(tmp_path / "a.tif", grid_at(0, 0, 40, 40), picture_of(40, 40))
    assert predict(pixelwise, tmp_path / "out", scene) == 0
    message = message_of(capsys, classify([str(blurring)], tmp_path / "out", scene))
    assert "probability/a.tif: it was predicted with another model" in message


def test_scenes_have_the_same_bytes_alone_and_together(tmp_path, pooling):
    scenes = [
        write_scene(
            tmp_path / f"{name}.tif", grid_at(5000 * index, 0, size, size), picture_of(size, size)
        )
        for index, (name, size) in enumerate({"a": 50, "b": 33, "c": 70}.items())
    ]
    assert predict(pooling, tmp_path / "together", *scenes) == 0
    for scene in scenes:
        assert predict(pooling, tmp_path / "alone", scene) == 0
    for path in (tmp_path / "together").rglob("*.*"):
        twin = tmp_path / "alone" / path.relative_to(tmp_path / "together")
        assert path.read_bytes() == twin.read_bytes()


@pytest.mark.parametrize(
    ("names", "warned"),
    [("blue green red", "[3, 2, 1]"), ("red green blue", None), ("gray gray gray", None)],
)
def test_colours_in_another_order_raise_a_warning(tmp_path, pixelwise, capsys, names, warned):
    scene = write_scene(tmp_path / "a.tif", grid_at(0, 0, 40, 40), picture_of(40, 40))
    with rasterio.open(scene, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as dataset:
        dataset.colorinterp = [
            *(ColorInterp[name] for name in names.split()), *dataset.colorinterp[3:]
        ]  # fmt: skip
    assert predict(pixelwise, tmp_path / "out", scene) == 0
    said = capsys.readouterr().err
    assert ("not red, green and blue" in said) == (warned is not None)
    assert f"write prediction.bands: {warned}" in said or warned is None
    bands = ("--prediction.bands=3,2,1",)
    assert predict(pixelwise, tmp_path / "out", scene, extra=bands) == 0
    assert ("not red, green and blue" in capsys.readouterr().err) == (names == "red green blue")


def test_pixels_of_another_size_raise_a_warning(tmp_path, pixelwise, capsys):
    grid = Grid(40, 40, Affine(0.6, 0, ORIGIN[0], 0, -0.6, ORIGIN[1]), LONG_ISLAND)
    scene = write_scene(tmp_path / "a.tif", grid, picture_of(40, 40))
    assert predict(pixelwise, tmp_path / "out", scene) == 0
    assert "its pixels measure 0.183 m" in capsys.readouterr().err
    grid = Grid(40, 40, Affine(0.51, 0, ORIGIN[0], 0, -0.51, ORIGIN[1]), LONG_ISLAND)
    scene = write_scene(tmp_path / "b.tif", grid, picture_of(40, 40))
    assert predict(pixelwise, tmp_path / "out", scene) == 0
    assert "its pixels" not in capsys.readouterr().err


# --- averaging ---------------------------------------------------------------------------


def test_symmetries_are_what_they_are_called():
    square = np.arange(9).reshape(1, 3, 3, 1)
    shown: dict[str, list[bytes]] = {}
    for kind, symmetries in SYMMETRIES.items():
        seen = []

        def network(pixels, seen=seen):
            seen.append(pixels[0, :, :, 0].tobytes())
            return pixels.astype(np.float32)

        # Each answer is turned back, so the mean of all is the picture.
        assert (averaged([network], symmetries)(square) == square).all()
        shown[kind] = seen
    plain = square[0, :, :, 0]
    assert shown["none"] == [plain.tobytes()]
    assert set(shown["flips"]) == {
        part.tobytes() for part in (plain, plain[::-1], plain[:, ::-1], plain[::-1, ::-1])
    }
    assert len(set(shown["turns"])) == 8
    assert plain.T.tobytes() in shown["turns"]


def test_a_prediction_of_a_turned_picture_is_the_turned_prediction(tmp_path, pooling):
    picture = picture_of(32, 32, bands=3)
    grid = Grid(32, 32, Affine.identity(), None)
    scenes = [
        write_scene(tmp_path / f"{name}.tif", grid, np.ascontiguousarray(turned))
        for name, turned in (("plain", picture), ("turned", np.rot90(picture, axes=(1, 2))))
    ]
    extra = ("--prediction.augmentation", "turns")
    assert predict(pooling, tmp_path / "out", *scenes, extra=extra) == 0
    plain, turned = (read(tmp_path / f"out/probability/{path.stem}.tif")[0] for path in scenes)
    assert np.abs(np.rot90(plain).astype(int) - turned).max() <= 1
    assert predict(pooling, tmp_path / "bare", *scenes) == 0
    plain, turned = (read(tmp_path / f"bare/probability/{path.stem}.tif")[0] for path in scenes)
    assert np.abs(np.rot90(plain).astype(int) - turned).max() > 1


def test_several_models_are_averaged(tmp_path, save_model, pixelwise):

    def opposite(tensor):
        return 1 - pixelwise_layer(tensor)

    other = save_model(opposite, card_for(threshold=150 / 254))
    picture = picture_of(40, 40)
    scene = write_scene(tmp_path / "a.tif", grid_at(0, 0, 40, 40), picture)
    assert predict(pixelwise, tmp_path / "out", scene, others=[other]) == 0
    assert_nearest(read(tmp_path / "out/probability/a.tif")[0], np.full((40, 40), 0.5))
    with rasterio.open(tmp_path / "out" / "a.tif") as dataset:
        tags = dataset.tags()
        # Cut at the mean of 100 and 150: all is road.
        assert (dataset.read(1) == 1).all()
    assert tags["ROADMASK_MODEL_SHA256"] == f"{sha256(pixelwise)},{sha256(other)}"
    assert json.loads(tags["ROADMASK_SETTINGS"])["prediction.threshold"] == 125 / 254


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"bands": (3, 2, 1)}, "sees the bands 3, 2, 1, and"),
        ({"classes": ("canal",)}, "knows the classes canal, and"),
        ({"scale": ((0.0, 9.0),) * 3}, "takes its bands from the limits"),
        ({"pixel_metres": 0.3}, "was trained on pixels of 0.3 m, and"),
    ],
)
def test_models_that_see_or_tell_other_things_are_not_averaged(
    tmp_path, save_model, pixelwise, capsys, changes, words
):
    other = save_model(pixelwise_layer, card_for(**changes))
    scene = write_scene(tmp_path / "a.tif", grid_at(0, 0, 40, 40), picture_of(40, 40))
    extra = ("--model", str(pixelwise), str(other))
    message = message_of(capsys, predict(pixelwise, tmp_path / "out", scene, extra=extra))
    assert f"{other}: it {words}" in message
    assert "so the two can't be averaged" in message


# --- imagery unlike that trained on ------------------------------------------------------

RESAMPLE = ("--prediction.resample", "true")


def test_the_networks_pixels_lie_on_one_lattice_and_cover_the_sheet():
    grid = Grid(301, 207, Affine(0.5, 0, 987_513.5, 0, -0.5, 212_500), LONG_ISLAND)
    metres = grid.ground_sample_distance
    seen = network_grid(grid, 2 * metres, Path("a.tif"))
    assert (seen.transform.a, seen.transform.e) == (1, -1)
    # 150.5 feet from 987,513.5 on: the centres from 987,513.5 to 987,663.5.
    assert (seen.transform.c, seen.width) == (987_513, 151)
    assert (seen.transform.f, seen.height) == (212_500, 103)
    beside = network_grid(grid.window(301, 0, 50, 207), 2 * metres, Path("b.tif"))
    assert seen.offset_of(beside) == (151, 0)


@given(
    st.floats(0.2, 5),
    st.integers(1, 60),
    st.integers(1, 60),
    st.integers(1, 30),
    st.floats(-3, 3),
    st.floats(-2, 2),
)
def test_a_plane_of_probabilities_comes_back_as_it_is(times, width, height, rows, slope, offset):
    own = Grid(width, height, Affine(1, 0, 0, 0, -1, 0), LONG_ISLAND)
    columns, lines = (math.ceil(side / times) + 2 for side in (width, height))
    seen = Grid(columns, lines, Affine(times, 0, -times, 0, -times, times), LONG_ISLAND)

    def plane(grid: Grid) -> np.ndarray:
        x = grid.transform.c + grid.transform.a * (np.arange(grid.width) + 0.5)
        y = grid.transform.f + grid.transform.e * (np.arange(grid.height) + 0.5)
        return (slope * x + offset * y[:, np.newaxis]).astype(np.float32)[:, :, np.newaxis]

    values = plane(seen)
    strips = ((first, values[first : first + rows]) for first in range(0, lines, rows))
    found = list(interpolated(strips, seen, own))
    firsts = np.cumsum([0, *(len(part) for _, part in found)])
    assert [first for first, _ in found] == firsts[:-1].tolist()
    joined = np.concatenate([part for _, part in found])
    assert joined.shape == (height, width, 1)
    assert np.allclose(joined, plane(own), atol=1e-3 * (1 + abs(slope) + abs(offset)) * 10)


@pytest.mark.parametrize("times", [2, 0.5])
def test_imagery_with_other_pixels_is_seen_in_those_of_the_network(tmp_path, save_model, times):
    # A picture without detail below the network's pixels, so that both ways lose little.
    x, y = np.meshgrid(np.arange(180), np.arange(150))
    waves = [np.sin(x / 17), np.cos(y / 13), np.sin((x + y) / 23)]
    picture = np.rint(127 + 100 * np.stack(waves)).astype(np.uint8)
    picture[:, 40:60, 30:70] = 0
    grid = grid_at(7, 11, 180, 150)
    model = save_model(pixelwise_layer, card_for(pixel_metres=grid.ground_sample_distance * times))
    scene = write_scene(tmp_path / "a.tif", grid, picture, nodata=0)
    assert predict(model, tmp_path / "out", scene, extra=RESAMPLE) == 0
    with rasterio.open(tmp_path / "out" / "probability" / "a.tif") as dataset:
        assert Grid.from_dataset(dataset) == grid
        found = dataset.read(1)
    empty = (picture == 0).all(axis=0)
    assert ((found == 255) == empty).all()
    # Away from the hole, whose edge is sharper than the network's pixels, and from the sheet's
    # own edge, on which none of them is centred.
    edge = np.pad(np.zeros((144, 174), dtype=bool), 3, constant_values=True)
    far = ~edge & (uniform_filter(empty.astype(float), 9) == 0)
    assert np.abs(found - 254 * formula(picture))[far].max() < 8
    record = json.loads((tmp_path / "out" / "a.json").read_text())
    assert record["pixel_metres"] == pytest.approx(grid.ground_sample_distance * times, rel=0.01)


def test_a_sheet_keeps_its_name_in_the_networks_pixels(tmp_path):
    grid = grid_at(0, 0, 40, 40)
    scene = write_scene(tmp_path / "a.b.tif", grid, picture_of(40, 40))
    seen = network_grid(grid, 2 * grid.ground_sample_distance, scene)
    with ExitStack() as stack:
        assert scene_of(open_on(scene, grid, grid, stack)) == "a.b"
        shown = open_on(scene, grid, seen, stack)
        assert (shown.width, shown.height) == (seen.width, seen.height)
        assert scene_of(shown) == "a.b"


def test_imagery_with_the_networks_pixels_is_not_resampled(tmp_path, pixelwise):
    scene = write_scene(tmp_path / "a.tif", grid_at(3, 0, 90, 70), picture_of(90, 70))
    assert predict(pixelwise, tmp_path / "plain", scene) == 0
    assert predict(pixelwise, tmp_path / "out", scene, extra=RESAMPLE) == 0
    plain, found = (read(tmp_path / name / "probability/a.tif") for name in ("plain", "out"))
    assert (plain == found).all()


@pytest.mark.parametrize(
    ("grid", "words"),
    [
        (Grid(40, 40, Affine.identity(), None), "it lies nowhere on the ground"),
        (Grid(40, 40, Affine(9, 0, 9e5, 0, -9, 2e5), LONG_ISLAND), "more than 8 times apart"),
    ],
)
def test_what_can_not_be_resampled_is_refused(tmp_path, pixelwise, capsys, grid, words):
    scene = write_scene(tmp_path / "a.tif", grid, picture_of(40, 40))
    message = message_of(capsys, predict(pixelwise, tmp_path / "out", scene, extra=RESAMPLE))
    assert f"{scene}: " in message
    assert words in message


def test_bands_in_another_order_stand_for_the_networks(tmp_path, pixelwise):
    picture = picture_of(40, 40)
    scene = write_scene(tmp_path / "a.tif", grid_at(0, 0, 40, 40), picture[[3, 2, 1, 0]])
    extra = ("--prediction.bands", "4,3,2")
    assert predict(pixelwise, tmp_path / "out", scene, extra=extra) == 0
    assert_nearest(read(tmp_path / "out/probability/a.tif")[0], formula(picture))


def test_a_grey_picture_stands_for_all_colours(tmp_path, pixelwise):
    grey = picture_of(40, 40, bands=1)
    scene = write_scene(tmp_path / "a.tif", grid_at(0, 0, 40, 40), grey)
    assert predict(pixelwise, tmp_path / "out", scene, extra=("--prediction.bands", "1,1,1")) == 0
    probability = read(tmp_path / "out/probability/a.tif")[0]
    assert_nearest(probability, formula(np.repeat(grey, 4, axis=0)))


@pytest.mark.parametrize(
    ("dtype", "scale", "words"),
    [
        (np.uint16, None, "it holds uint16, and the network {} was trained on bytes"),
        (np.uint8, ((0.0, 4000.0),) * 3, "it holds uint8, and the network {} was trained on val"),
    ],
)
def test_values_of_another_kind_are_refused(tmp_path, save_model, capsys, dtype, scale, words):
    model = save_model(pixelwise_layer, card_for(scale=scale))
    picture = picture_of(40, 40).astype(dtype)
    scene = write_scene(tmp_path / "a.tif", grid_at(0, 0, 40, 40), picture)
    message = message_of(capsys, predict(model, tmp_path / "out", scene))
    assert f"{scene}: {words.format(model)}" in message


def test_bands_that_stand_for_others_and_are_not_there_are_named(tmp_path, pixelwise, capsys):
    scene = write_scene(tmp_path / "a.tif", grid_at(0, 0, 40, 40), picture_of(40, 40))
    extra = ("--prediction.bands", "1,2,9")
    message = message_of(capsys, predict(pixelwise, tmp_path / "out", scene, extra=extra))
    assert f"{scene}: it has 4 bands, and prediction.bands names band 9. Name in " in message


def test_another_number_of_bands_than_the_networks_is_refused(tmp_path, pixelwise, capsys):
    scene = write_scene(tmp_path / "a.tif", grid_at(0, 0, 40, 40), picture_of(40, 40))
    extra = ("--prediction.bands", "4,3")
    message = message_of(capsys, predict(pixelwise, tmp_path / "out", scene, extra=extra))
    assert "prediction.bands: 2 bands, and the network sees 3" in message


# --- what is refused ---------------------------------------------------------------------


@pytest.fixture
def scene(tmp_path) -> Path:
    return write_scene(tmp_path / "scenes" / "a.tif", grid_at(0, 0, 40, 40), picture_of(40, 40))


def message_of(capsys, code: int) -> str:
    assert code == 1
    message = capsys.readouterr().err
    assert "error in the program" not in message
    return message


def test_a_scene_without_the_networks_bands_is_refused(tmp_path, save_model, scene, capsys):
    model = save_model(pixelwise_layer, card_for(bands=(1, 2, 5)))
    message = message_of(capsys, predict(model, tmp_path / "out", scene))
    assert f"{scene}: it has 4 bands, and the network {model} sees its bands 1, 2, 5" in message


@pytest.mark.parametrize("kind", ["missing", "text", "no card", "no network"])
def test_a_file_that_is_no_network_is_refused(tmp_path, pixelwise, scene, capsys, kind):
    path = tmp_path / "other.keras"
    if kind == "text":
        path.write_text("no model")
    elif kind == "no card":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("config.json", "{}")
    elif kind == "no network":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("config.json", "{}")
        embed_card(path, card_for())
    message = message_of(capsys, predict(path, tmp_path / "out", scene))
    assert str(path) in message
    assert ".keras file" in message


def test_a_network_for_one_size_refuses_another_window(tmp_path, save_model, scene, capsys):
    model = save_model(pixelwise_layer, card_for(), shape=(64, 64, 3))
    message = message_of(capsys, predict(model, tmp_path / "out", scene))
    assert "prediction.window: the network" in message
    assert "Write 64." in message


def test_a_network_that_gives_no_probabilities_is_refused(tmp_path, save_model, scene, capsys):
    import keras

    model = save_model(
        lambda tensor: keras.layers.Conv2D(1, 1, bias_initializer="ones")(tensor) * 9, card_for()
    )
    message = message_of(capsys, predict(model, tmp_path / "out", scene))
    assert "which are no probabilities" in message
    assert not list((tmp_path / "out").rglob("*.tif"))


def test_a_network_with_another_output_is_refused(tmp_path, save_model, scene, capsys):
    import keras

    model = save_model(keras.layers.Conv2D(2, 1), card_for())
    message = message_of(capsys, predict(model, tmp_path / "out", scene))
    assert "shape (32, 32, 2) instead of (32, 32, 1)" in message


def test_two_scenes_of_one_name_are_refused(tmp_path, pixelwise, scene, capsys):
    other = write_scene(tmp_path / "b" / "a.tif", grid_at(0, 0, 40, 40), picture_of(40, 40))
    message = message_of(capsys, predict(pixelwise, tmp_path / "out", scene, other))
    assert "two scenes have this name" in message


@pytest.mark.parametrize("threshold", ["0", "1.5", "nan"])
def test_an_impossible_threshold_is_refused(tmp_path, pixelwise, scene, capsys, threshold):
    assert predict(pixelwise, tmp_path / "out", scene) == 0
    extra = ("--prediction.threshold", threshold)
    message = message_of(capsys, classify([str(pixelwise)], tmp_path / "out", scene, extra=extra))
    assert "prediction.threshold:" in message
