"""Connected components, against those of scipy, and by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from infraspot.core.geometry import find_components

STRUCTURES = {4: ndimage.generate_binary_structure(2, 1), 8: np.ones((3, 3))}

shapes = st.tuples(st.integers(1, 14), st.integers(1, 14))
masks = st.one_of(
    arrays(bool, shapes),
    arrays(bool, shapes, elements=st.booleans(), fill=st.just(True)),
    arrays(np.uint8, shapes, elements=st.sampled_from([0, 0, 1, 255])),
    arrays(np.float32, shapes, elements=st.sampled_from([0.0, -1.0, 0.25, float("nan")])),
)


def assert_as_scipy_says(mask, connectivity):
    parts = find_components(mask, connectivity)
    labels, count = ndimage.label(mask, structure=STRUCTURES[connectivity])
    assert len(parts) == count
    assert parts.labels.dtype == np.int32
    np.testing.assert_array_equal(parts.labels, labels)
    np.testing.assert_array_equal(parts.areas, np.bincount(labels[labels > 0], minlength=count + 1)[1:])
    for k, (rows, columns) in enumerate(ndimage.find_objects(labels)):
        assert parts.boxes[k].tolist() == [columns.start, rows.start, columns.stop, rows.stop]
        ys, xs = np.nonzero(labels == k + 1)
        assert parts.centroids[k].tolist() == [ys.sum() / len(ys), xs.sum() / len(xs)]


@settings(max_examples=500, deadline=None)
@given(masks, st.sampled_from([4, 8]))
def test_components_are_those_of_scipy_bit_for_bit(mask, connectivity):
    assert_as_scipy_says(mask, connectivity)


@pytest.mark.parametrize("connectivity", [4, 8])
@pytest.mark.parametrize("share", [0.1, 0.4, 0.6, 0.9])
def test_so_are_those_of_large_noise(rng, share, connectivity):
    assert_as_scipy_says(rng.random((90, 120)) < share, connectivity)


def test_a_spiral_and_a_comb_are_one_component_each():
    spiral = np.zeros((31, 31), bool)
    y, x, (dy, dx) = 0, 0, (0, 1)
    for length in range(30, 1, -2):
        for _ in range(4):
            for _ in range(length):
                spiral[y, x] = True
                y, x = y + dy, x + dx
            dy, dx = dx, -dy
        y, x = y + 2, x + 2
    comb = np.zeros((20, 41), bool)
    comb[:, ::2] = True
    comb[-1] = True
    assert_as_scipy_says(spiral, 4)
    assert len(find_components(comb, 4)) == 1


def test_two_pixels_that_meet_at_a_corner_are_one_target_or_two():
    corner = np.eye(2, dtype=bool)
    assert len(find_components(corner)) == 1
    parts = find_components(corner, 4)
    assert parts.areas.tolist() == [1, 1]
    assert parts.boxes.tolist() == [[0, 0, 1, 1], [1, 1, 2, 2]]


def test_the_ends_of_adjacent_rows_do_not_touch_across_the_border():
    mask = np.zeros((3, 5), bool)
    mask[0, 4] = mask[1, 0] = mask[2, 4] = True
    assert len(find_components(mask)) == 3


def test_an_empty_mask_has_arrays_of_the_right_shape():
    parts = find_components(np.zeros((4, 6)))
    assert (len(parts), parts.labels.shape) == (0, (4, 6))
    assert (parts.areas.shape, parts.centroids.shape, parts.boxes.shape) == ((0,), (0, 2), (0, 4))
