"""Classical detectors against values by hand and against plain second implementations."""

from importlib import import_module

import numpy as np
import pytest

from infraspot.classical import CLASSICAL
from infraspot.classical.lowrank import SingularValueThreshold, shrink, threshold_by_gram
from infraspot.classical.nolc import shrink_lp
from infraspot.classical.nram import lower_by_surrogate, shrink_columns
from infraspot.classical.patches import PatchGrid
from infraspot.classical.pstnn import adaptive_rank
from infraspot.classical.rlcm import largest_means
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


@pytest.mark.parametrize("polarity", ["bright", "dark", "both"])
def test_mpcm_does_not_mark_a_saddle_whose_products_are_all_positive(polarity):
    # brighter than the cells above and below, darker than those to both sides
    frame = np.full((27, 27), 0.5, np.float32)
    frame[12:15, 15:18] = frame[12:15, 9:12] = 0.6
    frame[9:12, 12:15] = frame[15:18, 12:15] = 0.4
    frame[9:12, 9:12] = frame[15:18, 15:18] = 0.6
    frame[9:12, 15:18] = frame[15:18, 9:12] = 0.4
    assert CLASSICAL["mpcm"](frame, cells=(3,), polarity=polarity)[13, 13] == 0


def test_mpcm_takes_bright_and_dark_spots_alike_when_both_are_wanted():
    for value in (0.5, 0.0):
        response = CLASSICAL["mpcm"](spot(value), cells=(3,), polarity="both")
        assert response[20, 20] == pytest.approx((0.25 / 9) ** 2, rel=1e-4)


def test_rlcm_compares_means_of_the_largest_pixels():
    frame = spot(0.5)
    frame[20, 21] = 0.35
    # centre: (.5 + .35) / 2 = .425; neighbours: .25
    response = CLASSICAL["rlcm"](frame, cell=5, largest=[(2, 4)])
    assert response[20, 20] == pytest.approx(0.425 * 0.425 / 0.25 - 0.425, rel=1e-5)
    # with one pixel on both sides the contrast is larger, and the largest pair counts
    response = CLASSICAL["rlcm"](frame, cell=5, largest=[(2, 4), (1, 1)])
    assert response[20, 20] == pytest.approx(0.5 * 0.5 / 0.25 - 0.5, rel=1e-5)


def test_means_of_largest_pixels_agree_with_sorting_each_cell(rng, monkeypatch):
    monkeypatch.setattr(import_module("infraspot.classical.rlcm"), "_BAND", 50)
    frame = rng.random((13, 17)).astype(np.float32)
    means = largest_means(frame, 3, 4)
    padded = np.pad(frame, 1, mode="edge")
    for y, x in ((0, 0), (5, 9), (12, 16)):
        ordered = sorted(padded[y : y + 3, x : x + 3].ravel(), reverse=True)
        for count in range(1, 5):
            assert means[count - 1, y, x] == pytest.approx(np.mean(ordered[:count]))


def test_ilcm_is_peak_times_mean_over_the_brightest_neighbour():
    # blocks of four pixels every two; one pixel of 1 on 0.2 lies in two blocks of a row and of a column
    frame = np.full((12, 12), 0.2, np.float32)
    frame[5, 5] = 1.0
    response = CLASSICAL["ilcm"](frame, block=4)
    # each of the four blocks has a neighbour as bright as itself: C = L_0
    assert response[5, 5] == pytest.approx(1.0)
    # the corner block: peak and mean of flat ground over the mean of a bright neighbour
    assert response[0, 0] == pytest.approx(0.2 * 0.2 / ((15 * 0.2 + 1) / 16), rel=1e-5)


@pytest.mark.parametrize("power", [0.3, 0.6, 1.0])
def test_lp_shrinkage_finds_the_least_of_the_cost(power):
    weight = 0.02
    values = np.linspace(0, 0.6, 61, dtype=np.float32)
    shrunk = shrink_lp(values, weight, power)
    x = np.linspace(0, 0.6, 60001)
    for a, found in zip(values, shrunk, strict=True):
        cost = (x - a) ** 2 / 2 + weight * x**power
        own = (found - a) ** 2 / 2 + weight * found**power
        assert own <= cost.min() + 1e-7


def test_the_surrogate_of_the_rank_spares_large_singular_values(rng):
    left, _ = np.linalg.qr(rng.standard_normal((12, 3)))
    right, _ = np.linalg.qr(rng.standard_normal((8, 3)))
    matrix = ((left * [30.0, 5.0, 0.02]) @ right.T).astype(np.float32)
    # from zero, each value first loses (1 + g) / (g mu) = 501 / 1000, then next to nothing
    lowered, values = lower_by_surrogate(matrix, 1000.0, np.zeros(8))
    assert values[:2] == pytest.approx([30, 5], abs=1e-5)
    assert (values[2:] == 0).all()
    np.testing.assert_allclose(lowered, (left[:, :2] * [30, 5]) @ right[:, :2].T, atol=1e-4)
    turned, _ = lower_by_surrogate(np.ascontiguousarray(matrix.T), 1000.0, np.zeros(8))
    np.testing.assert_allclose(turned.T, lowered, atol=1e-4)


def test_columns_shrink_by_their_length():
    matrix = np.float32([[3, 0.3, 0], [4, 0.4, 0]])
    np.testing.assert_allclose(shrink_columns(matrix, 1.0), [[2.4, 0, 0], [3.2, 0, 0]], rtol=1e-6)


def nram_by_full_decomposition(D):
    """The method written out with a full decomposition in each step, in double precision."""
    short, mu = np.sqrt(min(D.shape)), 3 * np.sqrt(max(D.shape))
    T, E, Y, values = np.zeros_like(D), np.zeros_like(D), np.zeros_like(D), np.zeros(min(D.shape))
    for _ in range(200):
        left, before, right = np.linalg.svd(D - T - E - Y / mu, full_matrices=False)
        for _ in range(100):
            last, values = values, np.maximum(before - 1.002 * 0.002 / (0.002 + values) ** 2 / mu, 0)
            if np.sum((values - last) ** 2) < 1e-6:
                break
        B = (left * values) @ right
        rest = D - Y / mu - B - E
        T = np.maximum(rest - short / 2.5 / (np.abs(rest) + 0.04) / short / mu, 0)
        edges = D - Y / mu - B - T
        E = edges * np.maximum(1 - 3 / short / mu / np.linalg.norm(edges, axis=0), 0)
        Y = Y + mu * (B + T + E - D)
        mu *= 1.1
        if np.linalg.norm(B + T + E - D) < 1e-7 * np.linalg.norm(D):
            break
    return T


def test_nram_agrees_with_a_plain_second_implementation(rng):
    x = np.arange(36)[None, :]
    frame = (0.4 + 0.1 * np.sin(x / 9) + 0.05 * rng.random((30, 36))).astype(np.float32)
    frame[14:16, 20:22] += 0.4
    grid = PatchGrid.over(frame, 10, 4)
    D = grid.split(frame).reshape(-1, 100).T.astype(np.float64)
    low, span = D.min(), np.ptp(D)
    expected = grid.join((span * nram_by_full_decomposition((D - low) / span)).T.reshape(-1, 10, 10))
    assert expected[14, 20] > 0.1
    np.testing.assert_allclose(CLASSICAL["nram"](frame, size=10, step=4), expected, atol=1e-3)


def test_adaptive_rank_counts_singular_values_of_a_tenth_of_the_largest():
    # two patches of 2x2, pixel by pixel down the columns: strips (1, 0), (0, .2), (0, 0), (0, 0)
    patches = np.zeros((2, 2, 2), np.float32)
    patches[0, 0, 0], patches[0, 1, 1] = 1.0, 0.2
    assert adaptive_rank(patches) == 2
    patches[0, 1, 1] = 0.05
    assert adaptive_rank(patches) == 1


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


@pytest.mark.parametrize("name", ["ipi", "nram", "nolc", "ript", "pstnn"])
def test_low_rank_detectors_are_zero_almost_everywhere(rng, name):
    y, x = np.mgrid[:100, :120]
    frame = (0.4 + 0.1 * np.sin(x / 15) + 0.1 * np.cos(y / 20)).astype(np.float32)
    frame += rng.normal(0, 0.003, frame.shape).astype(np.float32)
    frame[50:53, 70:73] += 0.3
    response = CLASSICAL[name](frame)
    assert response[50:53, 70:73].max() > 0.1
    assert np.mean(response > 0.05) < 0.01
