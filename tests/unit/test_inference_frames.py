from typing import ClassVar

import numpy as np
import pytest
from scipy import ndimage

from infraspot.core.errors import UsageError
from infraspot.inference.false_alarms import threshold_for
from infraspot.inference.frames import score_frame, stretch


class Blur:
    """An engine that sees 21 pixels across: a frame cut into tiles must not show it."""

    name = "blur"
    card: ClassVar[dict] = {}

    def __init__(self):
        self.shapes = []

    def score(self, image):
        self.shapes.append(image.shape)
        return ndimage.uniform_filter(image, 21, mode="nearest").astype(np.float32)


@pytest.mark.parametrize("shape", [(100, 100), (101, 250), (333, 77), (512, 300)])
def test_tiles_give_the_same_map_as_the_whole_frame(shape, rng):
    image = rng.random(shape, np.float32)
    engine = Blur()
    whole = Blur().score(image)
    np.testing.assert_allclose(score_frame(engine, image, tile=100, overlap=24), whole, atol=1e-6)
    assert max(max(tile) for tile in engine.shapes) <= 100


def test_a_frame_that_fits_is_scored_whole(rng):
    engine = Blur()
    score_frame(engine, rng.random((100, 60), np.float32), tile=100, overlap=24)
    assert engine.shapes == [(100, 60)]


def test_a_deep_frame_is_scored_the_same_whatever_its_offset_and_gain(rng):
    image = rng.random((60, 80), np.float32)
    first = score_frame(Blur(), image * 0.1 + 0.3, 16)
    second = score_frame(Blur(), image * 0.02 + 0.01, 16)
    np.testing.assert_allclose(first, second, atol=1e-4)


def test_stretching_puts_the_clutter_low_and_leaves_room_for_targets(rng):
    image = 0.2 + 0.001 * rng.random((100, 100), np.float32)
    image[50, 50] = 0.2017
    wide = stretch(image)
    low, high = np.percentile(wide, (0.5, 99.5))
    assert low == pytest.approx(0.1, abs=1e-3)
    assert high == pytest.approx(0.7, abs=1e-3)
    assert wide[50, 50] == 1.0


@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
def test_a_constant_frame_is_stretched_to_a_constant(value):
    assert np.unique(stretch(np.full((5, 6), value, np.float32))).tolist() == [np.float32(0.4)]


CARD = {
    "false_alarms": {
        "data": "made-up val",
        "megapixels": 5.0,
        "curve": [[0.1, 20.0, 0.99], [0.3, 4.0, 0.98], [0.5, 5.0, 0.97], [0.7, 1.0, 0.95], [0.9, 0.0, 0.8]],
    }
}


@pytest.mark.parametrize(("wanted", "threshold"), [(30, 0.1), (10, 0.3), (4.5, 0.7), (1, 0.7), (0.5, 0.9)])
def test_the_threshold_for_a_rate_is_the_lowest_above_which_the_rate_is_never_exceeded(wanted, threshold):
    assert threshold_for(wanted, CARD, "m") == threshold


def test_thresholds_that_find_nothing_do_not_meet_a_rate():
    curve = [
        [0.1, 9.0, 1.0],
        [0.5, 2.0, 0.9],
        [0.7, 0.8, 0.9],
        [0.8, 0.9, 0.8],
        [0.9, 1.5, 0.7],
        [1.0, 0.0, 0.0],
    ]
    card = {"false_alarms": {"data": "val", "megapixels": 5.0, "curve": curve}}
    assert threshold_for(1, card, "m") == 0.7, "the highest threshold breaks the rate: blobs split"
    with pytest.raises(
        UsageError, match=r"cannot keep to --fa-per-mpx 0\.5: .* 0\.8 false alarms .* 0\.7, .* 90 %"
    ):
        threshold_for(0.5, card, "m")
    for row in curve:
        row[2] = 0.0
    with pytest.raises(UsageError, match="found no target of val at any threshold"):
        threshold_for(5, card, "m")


def test_a_rate_that_the_calibration_frames_cannot_show_is_refused():
    with pytest.raises(UsageError, match=r"below what the 5\.0 Mpx of made-up val can show \(0\.2\)"):
        threshold_for(0.1, CARD, "m")
    with pytest.raises(UsageError, match="carries no calibration"):
        threshold_for(10, {}, "m")
