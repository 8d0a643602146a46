"""Stage predictions: no seams, no lost rows, the same grid, in bounded memory."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio.crs import CRS

from roadmask.errors import SettingError
from roadmask.grid import Grid
from roadmask.predictions.blending import classes_of, lowest_byte, probability_bytes
from roadmask.predictions.lattice import Lattice, Span, lattice_origin
from roadmask.predictions.picture import mirrored
from roadmask.predictions.streaming import in_thread

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


@pytest.mark.parametrize(
    ("window", "overlap", "key", "remedy"),
    [(500, 64, "prediction.window", "Write 496"), (128, 64, "prediction.overlap", "Write 56 or")],
)
def test_impossible_windows_name_the_key_and_a_value_that_works(window, overlap, key, remedy):
    with pytest.raises(SettingError, match=remedy) as caught:
        Lattice.of(window, overlap, 16)
    assert caught.value.key == key


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
    assert classes_of(values, 0.5).tolist() == [[1, 0, 255]]


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
