"""Laws of classical detectors: any frame is answered, targets stand out, polarity turns the frame."""

import warnings

import numpy as np
import pytest

from infraspot.classical import CLASSICAL, SIGMAS
from infraspot.classical.threshold import cfar, k_sigma, score_map

LOCAL = ("tophat", "maxmean", "maxmedian", "lcm", "mpcm", "admd")


@pytest.fixture(params=list(CLASSICAL))
def detector(request):
    return CLASSICAL[request.param]


@pytest.fixture
def frame():
    rng = np.random.default_rng(0)
    slope = np.linspace(0.3, 0.5, 96)[None, :].repeat(80, axis=0)
    image = slope + rng.normal(0, 0.01, slope.shape)
    image[40:43, 60:63] += 0.3
    return image.astype(np.float32)


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (2, 3), (41, 50), (61, 33)])
@pytest.mark.parametrize("level", [0.0, 0.3, 1.0])
def test_a_constant_frame_of_any_size_has_no_target_and_raises_no_warning(detector, shape, level):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        response = detector(np.full(shape, level, np.float32), polarity="both")
        rules = (k_sigma(response), cfar(response))
        scores = [score_map(response, rule) for rule in rules]
    assert response.shape == shape
    assert response.dtype == np.float32
    assert np.isfinite(response).all()
    assert (response >= 0).all()
    assert not (scores[0] > 0.5 + 1e-6).any()


def test_the_target_answers_most(detector, frame):
    y, x = np.unravel_index(detector(frame).argmax(), frame.shape)
    assert abs(y - 41) <= 6
    assert abs(x - 61) <= 6


def test_a_dark_target_is_the_bright_one_of_the_turned_frame(detector, frame):
    np.testing.assert_array_equal(detector(1 - frame, polarity="dark"), detector(1 - (1 - frame)))


def test_both_polarities_take_the_larger_response(detector, frame):
    both = detector(frame, polarity="both")
    np.testing.assert_array_equal(both, np.maximum(detector(frame), detector(frame, polarity="dark")))


def test_the_frame_is_left_as_it_was(detector, frame):
    before = frame.copy()
    detector(frame, polarity="both")
    np.testing.assert_array_equal(frame, before)


def test_the_same_frame_gives_the_same_response(detector, frame):
    np.testing.assert_array_equal(detector(frame), detector(frame))


@pytest.mark.parametrize("name", LOCAL)
def test_local_detectors_move_with_the_frame(name, frame):
    response, moved = CLASSICAL[name](frame), CLASSICAL[name](np.roll(frame, (3, 5), (0, 1)))
    inner = slice(30, 50), slice(32, 64)
    np.testing.assert_allclose(np.roll(moved, (-3, -5), (0, 1))[inner], response[inner], atol=1e-6)


def test_every_detector_has_a_tuned_threshold():
    assert set(SIGMAS) == set(CLASSICAL)
