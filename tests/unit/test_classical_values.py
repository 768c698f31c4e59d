"""Classical detectors against values by hand and against plain second implementations."""

import numpy as np
import pytest

from infraspot.classical import CLASSICAL
from infraspot.classical.lowrank import SingularValueThreshold, shrink, threshold_by_gram
from infraspot.classical.patches import PatchGrid
from infraspot.core.errors import UsageError


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def spot(value=0.5, ground=0.25, size=41):
    frame = np.full((size, size), ground, np.float32)
    frame[size // 2, size // 2] = value
    return frame


def test_top_hat_leaves_what_the_structuring_element_does_not_fit_into():
    response = CLASSICAL["tophat"](spot(), size=5)
    assert response[20, 20] == pytest.approx(0.25)
    assert np.count_nonzero(response) == 1


def test_max_mean_compares_with_the_mean_of_the_line_through_the_pixel():
    # nine pixels on each line, one of them the target: mean .25 + .25 / 9
    assert CLASSICAL["maxmean"](spot(), reach=4)[20, 20] == pytest.approx(0.25 - 0.25 / 9, abs=1e-6)


def test_max_median_ignores_an_edge_and_keeps_a_spot():
    frame = spot()
    frame[:, 30:] = 0.9
    response = CLASSICAL["maxmedian"](frame, reach=4)
    assert response[20, 20] == pytest.approx(0.25)
    assert np.count_nonzero(response) == 1


def test_lcm_is_the_square_of_the_peak_over_the_brightest_neighbour():
    assert CLASSICAL["lcm"](spot(), cells=(3,))[20, 20] == pytest.approx(0.5 * 0.5 / 0.25)


def test_mpcm_is_the_least_product_of_opposite_contrasts():
    # the cell's mean stands .25 / 9 above every neighbour
    assert CLASSICAL["mpcm"](spot(), cells=(3,))[20, 20] == pytest.approx((0.25 / 9) ** 2, rel=1e-4)


def test_mpcm_and_admd_do_not_answer_to_a_straight_edge():
    frame = np.full((41, 41), 0.25, np.float32)
    frame[:, 20:] = 0.75
    for name in ("mpcm", "admd"):
        assert CLASSICAL[name](frame).max() < 1e-9


def test_unknown_polarity_is_refused_in_a_sentence():
    with pytest.raises(UsageError, match="'bright', 'dark' or 'both'"):
        CLASSICAL["tophat"](spot(), polarity="grey")


@pytest.mark.parametrize("shape", [(1, 1), (7, 40), (50, 50), (64, 83)])
def test_patches_join_to_the_frame_that_was_split(rng, shape):
    frame = rng.random(shape).astype(np.float32)
    grid = PatchGrid.over(frame, 20, 6)
    np.testing.assert_array_equal(grid.join(grid.split(frame)), frame)


def test_join_takes_the_median_of_what_overlapping_patches_say():
    grid = PatchGrid(height=1, width=6, size=4, step=1)
    patches = np.stack([np.full((4, 4), value, np.float32) for value in (1, 5, 9)])
    np.testing.assert_array_equal(grid.join(patches)[0], [1, 3, 5, 5, 7, 9])


def low_rank_with_noise(rng, shape=(60, 90)):
    parts = (
        rng.standard_normal((shape[0], 5)) @ np.diag([40, 20, 9, 4, 2]) @ rng.standard_normal((5, shape[1]))
    )
    return (parts + 0.05 * rng.standard_normal(shape)).astype(np.float32)


def by_full_decomposition(matrix, threshold):
    left, values, right = np.linalg.svd(matrix.astype(np.float64), full_matrices=False)
    return (left * np.maximum(values - threshold, 0)) @ right


@pytest.mark.parametrize("threshold", [1.5, 30.0, 1e6])
def test_both_thresholds_of_singular_values_equal_the_full_decomposition(rng, threshold):
    matrix = low_rank_with_noise(rng)
    expected = by_full_decomposition(matrix, threshold)
    scale = np.abs(matrix).max()
    np.testing.assert_allclose(threshold_by_gram(matrix, threshold) / scale, expected / scale, atol=2e-4)
    transposed = threshold_by_gram(matrix.T, threshold).T
    np.testing.assert_allclose(transposed / scale, expected / scale, atol=2e-4)
    lower = SingularValueThreshold(np.random.default_rng(1))
    for _ in range(3):
        answer = lower(matrix, threshold)
    np.testing.assert_allclose(answer / scale, expected / scale, atol=2e-4)


def test_shrink_moves_towards_zero_and_stops_there():
    np.testing.assert_allclose(shrink(np.float32([-3, -0.5, 0, 2]), 1.0), [-2, 0, 0, 1])


@pytest.mark.parametrize("name", ["ipi", "ript", "pstnn"])
def test_low_rank_detectors_are_zero_almost_everywhere(rng, name):
    y, x = np.mgrid[:100, :120]
    frame = (0.4 + 0.1 * np.sin(x / 15) + 0.1 * np.cos(y / 20)).astype(np.float32)
    frame += rng.normal(0, 0.003, frame.shape).astype(np.float32)
    frame[50:53, 70:73] += 0.3
    response = CLASSICAL[name](frame)
    assert response[50:53, 70:73].max() > 0.1
    assert np.mean(response > 0.05) < 0.01
