"""Tests that pair frames and targets, against counting by hand and against every possible flip."""

from itertools import product

import numpy as np
import pytest

from infraspot.metrics import Evaluation
from infraspot.metrics.paired import compare, deviations_of, holm, intervals_of, mcnemar, numbers_of
from infraspot.metrics.reduction import COLUMNS


def counts(common: list[float], predicted: list[float], true: list[float]) -> np.ndarray:
    """One training: N frames with these pixels."""
    rows = np.zeros((1, len(common), len(COLUMNS)))
    for name, values in {"common": common, "predicted": predicted, "true": true}.items():
        rows[0, :, COLUMNS.index(name)] = values
    rows[..., COLUMNS.index("frames")] = 1
    return rows


def iou(rows: np.ndarray) -> float:
    totals = dict(zip(COLUMNS, rows.sum(axis=0), strict=True))
    return totals["common"] / (totals["true"] + totals["predicted"] - totals["common"])


def test_numbers_are_means_over_trainings() -> None:
    both = np.concatenate([counts([5, 5], [10, 10], [10, 10]), counts([10, 10], [10, 10], [10, 10])])
    assert numbers_of(both)["iou"] == pytest.approx((1 / 3 + 1) / 2)
    assert deviations_of(both)["iou"] == pytest.approx((2 / 3) / np.sqrt(2))
    assert np.isnan(deviations_of(both[:1])["iou"])
    assert np.isnan(numbers_of(both)["pd"])


def test_the_rows_of_an_evaluation_give_its_numbers() -> None:
    rng = np.random.default_rng(0)
    evaluation = Evaluation("basicirstd", thresholds=None)
    for k in range(6):
        truth = np.zeros((20, 20), bool)
        truth[3 : 6 + k, 4:8] = True
        evaluation.update((truth & (rng.random(truth.shape) > 0.4)).astype(np.float32), truth, id=str(k))
    rows, expected = evaluation.count_rows()[None], evaluation.compute(bootstrap=500)
    found = numbers_of(rows)
    for name in ("iou", "niou", "pd", "fa_area"):
        assert found[name] == expected[name]
    low, high = intervals_of(rows, draws=500)["iou"]
    assert (low, high) == pytest.approx(expected["intervals"]["iou"], abs=0.01)


def test_the_sign_flip_test_agrees_with_every_possible_flip() -> None:
    rng = np.random.default_rng(1)
    true = [10.0] * 6
    one = counts(list(rng.integers(5, 10, 6)), [10] * 6, true)
    other = counts(list(rng.integers(3, 9, 6)), [10] * 6, true)
    observed = iou(one[0]) - iou(other[0])
    flips = []
    for sides in product([False, True], repeat=6):
        swap = np.array(sides)[:, None]
        first, second = np.where(swap, other[0], one[0]), np.where(swap, one[0], other[0])
        flips.append(abs(iou(first) - iou(second)) >= abs(observed) - 1e-12)
    found = compare(one, other, ["iou"], draws=4000)["iou"]
    assert found.difference == pytest.approx(observed)
    assert found.p == pytest.approx(np.mean(flips), abs=0.03)
    assert found.low < observed < found.high


def test_a_detector_does_not_differ_from_itself() -> None:
    rows = counts([5, 6, 7], [9, 9, 9], [10, 10, 10])
    found = compare(rows, rows, ["iou"])["iou"]
    assert (found.difference, found.low, found.high, found.p) == (0, 0, 0, 1)


def test_one_training_is_compared_with_each_of_several() -> None:
    alone = counts([5, 6, 7], [9, 9, 9], [10, 10, 10])
    three = np.concatenate([counts([5 + k, 6, 7], [9, 9, 9], [10, 10, 10]) for k in range(3)])
    expected = numbers_of(three)["iou"] - numbers_of(alone)["iou"]
    assert compare(three, alone, ["iou"])["iou"].difference == pytest.approx(expected)
    with pytest.raises(ValueError, match="shape"):
        compare(three, three[:2], ["iou"])


def test_mcnemar_counts_what_only_one_finds() -> None:
    one = [True] * 8 + [False, True]
    other = [False] * 7 + [True, True, True]
    found = mcnemar(one, other)
    assert (found.only_one, found.only_other) == (7, 1)
    # Two-sided binomial with n = 8: 2 (1 + 8) / 256.
    assert found.p == pytest.approx(18 / 256)
    assert mcnemar([True], [True]).p == 1


def test_holm_raises_the_smallest_most() -> None:
    assert holm([0.01, 0.04, 0.03, float("nan")])[:3] == pytest.approx([0.03, 0.06, 0.06])
    assert np.isnan(holm([float("nan")])[0])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
