"""Connected pieces, against SciPy's labelling."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage

from roadmask.masks.connected import Connected

RASTERS = arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=12))


@given(RASTERS)
def test_pieces_are_numbered_as_scipy_numbers_them(filled):
    expected, count = ndimage.label(filled)
    pieces = Connected.of(filled)
    assert pieces.count == count + 1
    np.testing.assert_array_equal(pieces.paint(np.arange(count + 1, dtype=np.int32)), expected)
    pixels, numbers = pieces.pixels()
    np.testing.assert_array_equal(pixels, np.flatnonzero(filled))
    np.testing.assert_array_equal(numbers, expected.reshape(-1)[pixels])
    np.testing.assert_array_equal(pieces.around(), np.flatnonzero(~filled))
    np.testing.assert_array_equal(pieces.numbers_at(pixels[::-1]), numbers[::-1])


@given(RASTERS, st.data())
def test_pixels_of_chosen_pieces_are_found(filled, data):
    expected, count = ndimage.label(filled)
    chosen = np.array([False, *(data.draw(st.booleans()) for _ in range(count))])
    pixels = Connected.of(filled).pixels_of(chosen)
    np.testing.assert_array_equal(pixels, np.flatnonzero(chosen[expected]))


@given(RASTERS, st.integers(0, 3))
def test_a_piece_is_cut_out_with_a_margin_within_the_raster(filled, margin):
    expected, _ = ndimage.label(filled)
    pieces = Connected.of(filled)
    for number, box in enumerate(ndimage.find_objects(expected), 1):
        window, here = pieces.cut_out(number, margin)
        assert window == tuple(
            slice(max(axis.start - margin, 0), min(axis.stop + margin, size))
            for axis, size in zip(box, filled.shape, strict=True)
        )
        np.testing.assert_array_equal(here, expected[window] == number)


def test_a_raster_is_painted_in_the_values_own_type():
    pieces = Connected.of(np.array([[True, False, True]]))
    painted = pieces.paint(np.array([9, 1, 255], np.uint8))
    assert painted.dtype == np.uint8
    np.testing.assert_array_equal(painted, [[1, 9, 255]])
