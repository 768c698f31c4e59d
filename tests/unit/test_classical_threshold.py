"""Thresholds: k sigma, wanted false alarms, and the score map that puts them at one half."""

import numpy as np
import pytest
from scipy import ndimage

from infraspot.classical.threshold import cfar, k_sigma, peak_values, score_map
from infraspot.core.errors import UsageError


def clutter(seed, shape=(512, 512)):
    field = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal(shape), 1.0)
    return np.maximum(field / field.std(), 0).astype(np.float32)


def test_k_sigma_is_mean_plus_k_deviations():
    assert k_sigma(np.array([[0.0, 2.0]]), 3) == pytest.approx(1 + 3 * 1)


@pytest.mark.parametrize("wanted", [30.0, 100.0, 1000.0])
def test_cfar_meets_the_wanted_rate_within_a_factor_of_two(wanted):
    responses = [clutter(seed) for seed in range(12)]
    found = sum(np.count_nonzero(peak_values(one) > cfar(one, wanted)) for one in responses)
    rate = found / (12 * 512 * 512 / 1e6)
    assert wanted / 2 < rate < wanted * 2


def test_cfar_does_not_see_a_dozen_targets():
    response = clutter(0)
    before = cfar(response, 100)
    places = np.random.default_rng(1).integers(20, 490, (12, 2))
    response[places[:, 0], places[:, 1]] += 50
    assert cfar(response, 100) == pytest.approx(before, rel=0.1)


def test_fewer_wanted_false_alarms_raise_the_threshold():
    thresholds = [cfar(clutter(3), wanted) for wanted in (1000, 100, 10, 1)]
    assert thresholds == sorted(thresholds)


def test_a_sparse_response_with_fewer_peaks_than_wanted_has_threshold_zero():
    response = np.zeros((1000, 1000), np.float32)
    response[10, 10] = 1
    assert cfar(response, 10) == 0
    assert np.count_nonzero(score_map(response, 0.0) > 0.5) == 1


def test_a_flat_top_is_one_peak():
    response = np.zeros((20, 20), np.float32)
    response[5:8, 5:8] = 2
    assert peak_values(response).tolist() == [2.0]


def test_the_score_is_above_one_half_exactly_where_the_response_is_above_the_threshold():
    rng = np.random.default_rng(0)
    response = rng.random((64, 64)).astype(np.float32)
    response[0, 0] = np.nextafter(np.float32(0.3), np.float32(1))
    threshold = float(np.float32(0.3))
    scores = score_map(response, threshold)
    np.testing.assert_array_equal(scores > 0.5, response > threshold)
    assert scores.dtype == np.float32
    order = np.argsort(response.ravel())
    assert (np.diff(scores.ravel()[order]) >= 0).all()
    assert scores.min() >= 0
    assert scores.max() <= 1


def test_senseless_thresholds_are_refused():
    with pytest.raises(UsageError, match="k=-1"):
        k_sigma(np.ones((2, 2)), -1)
    with pytest.raises(UsageError, match="fa_per_mpx=0"):
        cfar(np.ones((2, 2)), 0)
