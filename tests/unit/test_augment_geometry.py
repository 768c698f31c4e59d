"""Frames on a new grid of pixels: masks stay masks, soft labels stay soft, targets go with all their rows."""

import numpy as np
import pytest

from infraspot.augment.geometry import Move
from infraspot.augment.transforms import TRANSFORMS
from infraspot.core.sample import Sample

GEOMETRIC = {
    "crop": {"size": 40, "zoom": (0.6, 1.7), "on_target": 1.0},
    "scale": {"zoom": (0.6, 1.7)},
    "flip": {},
    "transpose": {"p": 1.0},
    "rot90": {},
}


def spot(side=64, sigma=3.0):
    """A soft label: 1 at the centre, falling to 0."""
    y, x = np.mgrid[:side, :side] - side // 2
    label = np.exp(-(y**2 + x**2) / (2 * sigma**2)).astype(np.float32)
    return Sample("spot", label, label=np.where(label > 0.02, label, 0).astype(np.float32))


def whole(sample, zoom):
    height, width = (round(side * zoom) for side in sample.shape)
    return Move(shape=(height, width), zoom=zoom)(sample).supervision


@pytest.mark.parametrize("name", GEOMETRIC)
@pytest.mark.parametrize("seed", range(6))
def test_a_soft_label_stays_soft_and_within_0_and_1(name, seed):
    label = TRANSFORMS[name](**GEOMETRIC[name])(spot(), np.random.default_rng(seed)).label
    assert label.dtype == np.float32
    assert label.min() >= 0
    assert 0.5 < label.max() <= 1
    assert ((label > 0.1) & (label < 0.9)).any()


@pytest.mark.parametrize("zoom", [0.5, 0.75, 1.0, 1.3, 2.0])
def test_the_sum_of_a_soft_label_scales_with_the_area(zoom):
    sample = spot()
    assert whole(sample, zoom).sum() == pytest.approx(zoom**2 * sample.label.sum(), rel=0.01)


def test_a_label_of_ones_never_exceeds_1():
    ones = Sample("ones", np.ones((33, 47), np.float32), label=np.ones((33, 47), np.float32))
    for zoom in np.linspace(0.5, 2.0, 31):
        assert whole(ones, zoom).max() <= 1


def test_a_mask_is_the_soft_label_above_one_half():
    mask = spot().label > 0.4
    for zoom in (0.7, 1.0, 1.6):
        hard = whole(Sample("hard", np.zeros(mask.shape, np.float32), mask), zoom)
        soft = whole(Sample("soft", np.zeros(mask.shape, np.float32), label=mask.astype(np.float32)), zoom)
        assert hard.dtype == np.bool_
        np.testing.assert_array_equal(hard, soft >= 0.5)


def test_doubling_a_pixel_spreads_it_linearly():
    label = np.zeros((3, 3), np.float32)
    label[1, 1] = 0.8
    doubled = whole(Sample("one", label, label=label), 2.0)
    line = np.array([0, 0.25, 0.75, 0.75, 0.25, 0])
    np.testing.assert_allclose(doubled, 0.8 * np.outer(line, line), atol=1e-6)


def tracked(**changes):
    """Three targets with boxes, tracks and classes, one click each in another order."""
    boxes = np.array([[0, 0, 4, 4], [10, 12, 13, 14], [17, 1, 20, 5]], np.float64)
    points = np.array([[12.5, 11.0], [2.5, 18.0], [1.5, 1.5]])
    image = np.zeros((15, 20), np.float32)
    rows = {"tracks": np.array([7, 8, 9]), "classes": np.array([0, 1, 2])}
    return Sample("tracked", image, points=points, boxes=boxes, **rows).replace(**changes)


def test_a_target_out_of_sight_goes_with_all_its_rows():
    moved = Move(shape=(10, 10), corner=(5, 10))(tracked())
    np.testing.assert_array_equal(moved.boxes, [[0, 7, 3, 9]])
    np.testing.assert_array_equal(moved.tracks, [8])
    np.testing.assert_array_equal(moved.classes, [1])
    np.testing.assert_array_equal(moved.points, [[7.5, 1.0]])


def test_rows_follow_the_points_where_there_are_no_boxes():
    moved = Move(shape=(10, 10), corner=(5, 10))(tracked(boxes=None))
    np.testing.assert_array_equal(moved.tracks, [7])
    np.testing.assert_array_equal(moved.points, [[7.5, 1.0]])


def test_a_move_is_a_window_magnified_then_transposed_then_mirrored():
    moved = Move(shape=(8, 12), corner=(11, 9), zoom=2.0, transposed=True, mirrored=(True, False))(tracked())
    # The box (10, 12, 13, 14) lies at (1, 1, 4, 3) in the window, so at (2, 2, 8, 6) magnified and at
    # (2, 2, 6, 8) transposed; the window then has 12 rows, and row y becomes row 12 - y.
    np.testing.assert_array_equal(moved.boxes, [[2, 4, 6, 10]])
    # The click (12.5, 11) is the edge place (13, 11.5): (4, 5) magnified, (5, 4) transposed, (7, 4) mirrored.
    np.testing.assert_array_equal(moved.points, [[6.5, 3.5]])
    assert moved.shape == (12, 8)


def test_rows_that_belong_to_no_target_are_refused():
    with pytest.raises(ValueError, match="tracks has 2 rows for 3 targets"):
        tracked(tracks=np.array([1, 2]))
    with pytest.raises(ValueError, match="no boxes or points"):
        tracked(boxes=None, points=None)


def test_a_sample_without_truth_keeps_clicks_alone():
    bare = tracked(mask=np.zeros((15, 20), bool)).without_truth()
    assert bare.mask is None
    assert bare.boxes is None
    assert bare.tracks is None
    assert len(bare.points) == 3
    assert len(tracked(boxes=None).without_truth().tracks) == 3
