"""The accumulator, its inputs, strata, errors and intervals."""

import os
import subprocess
import sys
from dataclasses import replace
from threading import Event

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from infraspot.core.errors import InputError, UsageError
from infraspot.core.matching import best_matching, greedy_matching, near_boxes
from infraspot.core.prediction import Prediction
from infraspot.core.sample import Sample
from infraspot.metrics import Evaluation, Protocol, jsonable, kernel_loader, score_frame
from infraspot.metrics.frame import count_frame, prepare
from infraspot.metrics.pairing import match_regions, pair_cost
from infraspot.metrics.protocols import PROTOCOLS
from infraspot.metrics.regions import Regions
from infraspot.metrics.sweep import DEFAULT_THRESHOLDS, sweep_frame


def spots(*places, shape=(32, 32), size=3):
    mask = np.zeros(shape, bool)
    for y, x in places:
        mask[y : y + size, x : x + size] = True
    return mask


@pytest.fixture
def without_numba(monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)
    monkeypatch.delitem(sys.modules, "infraspot.metrics.kernels", raising=False)
    kernel_loader.kernels.cache_clear()
    yield
    kernel_loader.kernels.cache_clear()


def test_importing_the_metrics_loads_neither_numba_nor_torch():
    code = "import sys, infraspot.metrics; sys.exit('numba' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", ["infraspot", "basicirstd", "sctransnet", "pim-shoot"])
def test_without_numba_every_number_is_the_same(name, rng, request):
    scores = np.round(rng.random((30, 40)) ** 4, 2).astype(np.float32)
    truth = spots((3, 3), (20, 20), (20, 27), shape=(30, 40))
    scores[truth] = 0.9
    results = []
    for fixture in (None, "without_numba"):
        if fixture:
            request.getfixturevalue(fixture)
            assert kernel_loader.kernels() is None
        evaluation = Evaluation(name, thresholds=[0.0, 0.1, 0.5, 0.9], pixel_ranking=True)
        evaluation.update(scores, truth)
        results.append(jsonable(evaluation.compute()))
    assert results[0] == results[1]


def first_free(allowed):
    """Greedy matching in the table of all pairs."""
    match, taken = np.full(len(allowed), -1), set()
    for row in range(len(allowed)):
        free = [column for column in np.flatnonzero(allowed[row]) if column not in taken]
        match[row] = free[0] if free else -1
        taken |= set(free[:1])
    return match


def cheapest(cost, allowed):
    """Most pairs, then least cost, by one assignment over the table of all pairs."""
    match = np.full(len(allowed), -1)
    if allowed.any():
        forbidden = (cost[allowed].max() + 1) * (min(cost.shape) + 1)
        rows, columns = linear_sum_assignment(np.where(allowed, cost, forbidden))
        kept = allowed[rows, columns]
        match[rows[kept]] = columns[kept]
    return match


def regions_at(places, areas):
    boxes = np.zeros((len(places), 4), np.int64)
    return Regions(np.asarray(areas, np.int64), np.asarray(places, float), boxes, np.ones(len(places)))


@pytest.mark.parametrize("crowd", [4, 30, 200])
@pytest.mark.parametrize("radius", [1.5, 3.0, 9.0])
def test_matching_on_a_grid_equals_matching_on_the_table_of_all_pairs(crowd, radius, rng):
    for side in (12, 60):
        targets = regions_at(
            rng.integers(0, side, (crowd, 2)) + rng.integers(0, 2, (crowd, 1)) / 2, [1] * crowd
        )
        areas = rng.integers(1, 9, crowd + 3)
        found = regions_at(rng.integers(-2, side + 2, (crowd + 3, 2)), areas)
        gap = targets.centroids[:, None] - found.centroids[None]
        distances = np.hypot(gap[..., 0], gap[..., 1])
        cost = pair_cost(distances, areas)
        shared = np.zeros((0, 3), np.int64)
        for name in ("infraspot", "basicirstd"):
            protocol = replace(PROTOCOLS[name], radius=radius)
            allowed = distances < protocol.limit
            ours = match_regions(targets, found, shared, protocol)
            if name == "basicirstd":
                assert np.array_equal(ours, first_free(allowed))
                continue
            hit, plain = np.flatnonzero(ours >= 0), cheapest(cost, allowed)
            assert len(set(ours[hit])) == len(hit) == (plain >= 0).sum()
            assert allowed[hit, ours[hit]].all()
            kept = np.flatnonzero(plain >= 0)
            assert cost[hit, ours[hit]].sum() == cost[kept, plain[kept]].sum()


@pytest.mark.parametrize("name", ["infraspot", "basicirstd", "sctransnet"])
def test_the_sweep_of_a_crowded_frame_equals_single_thresholds(name, rng):
    truth, scores = np.zeros((64, 64), bool), np.zeros((64, 64), np.float32)
    truth[1::4, 1::4] = True
    for y, x in np.argwhere(truth):
        down, right = rng.integers(0, 2, 2)
        scores[y + down : y + down + 2, x + right] = rng.integers(1, 8) / 8
    protocol, thresholds = PROTOCOLS[name], np.arange(8) / 8
    counts = sweep_frame(*prepare(scores, truth, protocol), protocol, thresholds)
    for threshold, hits, area in zip(
        thresholds, counts.column("hits"), counts.column("false_area"), strict=True
    ):
        record = count_frame(*prepare(scores, truth, protocol), protocol.at(threshold))
        assert (hits, area) == (record.hit.sum(), record.false_area)


@pytest.mark.parametrize("share", [0.05, 0.3, 0.8])
def test_matching_from_lists_of_pairs_equals_matching_in_the_table_of_all_pairs(share, rng):
    for _ in range(60):
        shape = tuple(rng.integers(1, 9, size=2))
        cost, allowed = rng.integers(0, 50, size=shape), rng.random(shape) < share
        rows, columns = np.nonzero(allowed)
        ours, plain = best_matching(rows, columns, cost[rows, columns], shape), cheapest(cost, allowed)
        hit, kept = np.flatnonzero(ours >= 0), np.flatnonzero(plain >= 0)
        assert len(hit) == len(kept)
        assert cost[hit, ours[hit]].sum() == cost[kept, plain[kept]].sum()
        assert np.array_equal(greedy_matching(rows, columns, shape), first_free(allowed))


def test_matching_handles_no_targets_and_no_detections():
    none = np.zeros(0, np.int64)
    for shape in [(0, 3), (3, 0), (0, 0)]:
        assert best_matching(none, none, none, shape).tolist() == [-1] * shape[0]
        assert greedy_matching(none, none, shape).tolist() == [-1] * shape[0]


@pytest.mark.parametrize("count", [3, 300])
@pytest.mark.parametrize("reach", [0, 2.5, 40])
def test_near_boxes_are_all_that_a_table_of_all_pairs_finds(count, reach, rng):
    corners = rng.uniform(-20, 400, (2, count, 2))
    sides = rng.uniform(0, 5, (2, count, 2)) * np.where(rng.random((2, count, 1)) < 0.02, 60, 1)
    first, second = np.concatenate([corners, corners + sides], axis=2)
    before = first[:, None, :2] - second[None, :, 2:]
    gaps = np.maximum(before, second[None, :, :2] - first[:, None, 2:])
    rows, columns = near_boxes(first, second, reach)
    assert np.array_equal(np.stack([rows, columns], axis=1), np.argwhere((gaps <= reach).all(axis=-1)))


def test_a_dense_field_is_matched_completely(rng):
    truth = np.zeros((200, 200), bool)
    truth[::4, ::4] = True
    moved = np.roll(truth, 1, axis=1)
    record = score_frame(moved, truth, PROTOCOLS["infraspot"])
    assert record.hit.all()
    assert not record.false.any()


def test_samples_and_predictions_are_taken_as_they_are(rng):
    truth = spots((4, 4))
    image = rng.random((32, 32)).astype(np.float32) * 0.1
    image[truth] = 0.9
    evaluation = Evaluation()
    record = evaluation.update(Prediction("frame", truth.astype(np.float32)), Sample("frame", image, truth))
    assert record.id == "frame"
    assert record.ratios[0] > 8
    assert [one["targets"] for one in evaluation.compute()["strata"]["scr"]] == [0, 0, 0, 0, 1]


def test_another_size_is_refused_with_both_sizes():
    with pytest.raises(InputError, match=r"frame 7: the prediction is 20x10 and the truth 32x32"):
        score_frame(np.zeros((10, 20)), np.zeros((32, 32)), PROTOCOLS["infraspot"], id="frame 7")


@pytest.mark.parametrize(
    ("value", "words"), [(np.nan, "NaN"), (3.5, "sigmoid"), (-0.1, "sigmoid"), (np.inf, "sigmoid")]
)
def test_scores_that_are_no_probabilities_are_refused(value, words):
    scores = np.zeros((5, 5), np.float32)
    scores[2, 2] = value
    with pytest.raises(InputError, match=words):
        score_frame(scores, np.zeros((5, 5)), PROTOCOLS["infraspot"])


@pytest.mark.parametrize("shape", [(0, 0), (4,), (2, 3, 4)])
def test_arrays_that_are_no_frames_are_refused(shape):
    with pytest.raises(InputError, match="score map must be"):
        score_frame(np.zeros(shape), np.zeros(shape), PROTOCOLS["infraspot"])


def test_a_grey_border_in_the_truth_is_binarised_with_a_warning():
    target = spots((10, 10))
    stored = np.where(target, 255, 0).astype(np.uint8)
    stored[9, 9:14] = 127
    with pytest.warns(UserWarning, match="5 pixels are neither 0 nor 255"):
        record = score_frame(target, stored, PROTOCOLS["infraspot"])
    assert record.true_pixels == record.common_pixels == 9


def test_a_truth_of_zeros_and_ones_is_read_as_it_is_meant():
    target = spots((10, 10))
    assert score_frame(target, target.astype(np.uint8), PROTOCOLS["infraspot"]).hit.all()


def test_unknown_protocols_are_refused_with_the_nearest_name():
    with pytest.raises(UsageError, match="did you mean 'basicirstd'"):
        Evaluation("basicirst")


def test_impossible_options_are_refused():
    with pytest.raises(ValueError, match="threshold"):
        Evaluation("infraspot", threshold=1.5)
    with pytest.raises(ValueError, match="ascending"):
        Evaluation("infraspot", thresholds=[0.5, 0.5])
    with pytest.raises(ValueError, match="radius"):
        Protocol("mine", "mine", radius=0)
    with pytest.raises(ValueError, match="cannot merge"):
        Evaluation("infraspot").merge(Evaluation("basicirstd"))


def test_three_perfect_rounds_of_a_fresh_evaluation_stay_perfect():
    for _ in range(3):
        evaluation = Evaluation("basicirstd")
        evaluation.update(spots((4, 4)), spots((4, 4)))
        assert evaluation.compute()["pd"] == 1


def test_each_kind_of_error_is_named():
    truth = spots((2, 2), (2, 12), (2, 22), (12, 2), (12, 12), (22, 2), (22, 6), (22, 20), shape=(40, 40))
    prediction = np.zeros_like(truth)
    prediction[2:5, 2:5] = True  # good
    prediction[3, 13] = True  # too small
    prediction[0:7, 20:27] = True  # too large
    prediction[14, 4:11] = True  # displaced: touches at one corner, centroid 4 px away
    prediction[12, 12], prediction[14, 14] = True, True  # split
    prediction[22:25, 2:9] = True  # merges two targets
    prediction[35, 35] = True  # clutter
    evaluation = Evaluation()
    evaluation.update(prediction, truth)
    assert evaluation.compute()["errors"] == {
        "good": 1,
        "too_small": 1,
        "too_large": 1,
        "merged_cluster": 2,
        "split": 1,
        "displaced": 1,
        "miss": 1,
        "clutter": 1,
    }


def test_strata_divide_the_targets_by_area():
    truth = np.zeros((60, 60), bool)
    for number, size in enumerate((1, 2, 3, 5, 9, 10)):
        truth[5 : 5 + size, number * 10 : number * 10 + size] = True
    prediction = truth.copy()
    prediction[5, 0] = False
    prediction[5:8, 20:22] = False  # the 3x3 target keeps one column
    evaluation = Evaluation()
    evaluation.update(prediction, truth)
    rows = evaluation.compute()["strata"]["area"]
    assert [one["targets"] for one in rows] == [2, 1, 1, 1, 1]
    assert [one["hits"] for one in rows] == [1, 1, 1, 1, 1]
    assert rows[1]["target_iou"] == pytest.approx(1 / 3)
    assert rows[0]["pixel_recall"] == pytest.approx(4 / 5)


def test_the_operating_curve_gives_the_best_pd_within_an_allowance():
    scores = np.zeros((100, 100), np.float32)
    truth = spots((10, 10), (50, 50), shape=(100, 100))
    scores[10:13, 10:13] = 0.9
    scores[50:53, 50:53] = 0.4
    scores[80, 80] = 0.6
    evaluation = Evaluation(thresholds=DEFAULT_THRESHOLDS, pixel_ranking=True)
    evaluation.update(scores, truth)
    points = evaluation.compute()["points"]
    assert [one["pd"] for one in points["pd_at_false_alarms_per_image"]] == [0.5, 0.5, 1]
    assert [one["pd"] for one in points["pd_at_fa_area"]] == [0.5, 0.5, 1]
    assert points["best_iou"]["value"] == pytest.approx(18 / 19)


def test_masks_have_no_curve_and_say_so():
    evaluation = Evaluation(pixel_ranking=True)
    evaluation.update(spots((4, 4)), spots((4, 4)))
    result = evaluation.compute()
    assert result["curve"] is None
    assert "masks" in result["curve_reason"]
    assert jsonable(result)["pixel_auc"] is None


def test_bootstrap_intervals_hold_the_value_and_repeat_with_the_seed(rng):
    evaluation = Evaluation(thresholds=None)
    for number in range(40):
        truth = spots(tuple(rng.integers(0, 29, 2)))
        evaluation.update(truth if number % 5 else np.zeros_like(truth), truth)
    result = evaluation.compute(bootstrap=500, seed=3)
    low, high = result["intervals"]["pd"]
    assert 0 < low < result["pd"] < high < 1
    # The standard error of 0.8 over 40 draws is 0.063, so that 95 % span about 0.25.
    assert high - low == pytest.approx(0.25, abs=0.06)
    assert evaluation.compute(bootstrap=500, seed=3)["intervals"] == result["intervals"]


def test_a_double_precision_map_keeps_its_precision():
    scores = np.array([[0.5 + 1e-12, 0.5]])
    record = score_frame(scores, np.zeros((1, 2)), PROTOCOLS["infraspot"])
    assert record.predicted_pixels == 1


def test_the_sweep_takes_a_large_noisy_frame(rng):
    scores = rng.random((300, 400)).astype(np.float32)
    truth = spots((20, 30), (200, 300), shape=(300, 400))
    protocol = PROTOCOLS["infraspot"]
    counts = sweep_frame(*prepare(scores, truth, protocol), protocol)
    expected = [(scores > np.float32(threshold)).sum() for threshold in DEFAULT_THRESHOLDS]
    assert counts.column("predicted").tolist() == expected


@pytest.mark.parametrize("name", PROTOCOLS)
def test_an_evaluation_of_nothing_has_no_numbers_and_no_error(name):
    result = Evaluation(name, pixel_ranking=True).compute(bootstrap=10)
    assert (result["n_images"], result["n_targets"]) == (0, 0)
    assert np.isnan(result["iou"])
    assert np.isnan(result["fa_area"])
    assert np.isnan(result["intervals"]["pd"]).all()


def test_a_long_preparation_is_announced_and_a_short_one_is_not(monkeypatch):
    measure, said = Evaluation().measure, []
    kernel_loader.warm_up(measure, said.append)
    said.clear()  # compiled from here on
    kernel_loader.warm_up(measure, said.append)
    assert said == []
    monkeypatch.setattr(kernel_loader, "PATIENCE", 0.0)
    spoken = Event()
    kernel_loader.warm_up(lambda *_, **__: spoken.wait(10), lambda text: (said.append(text), spoken.set()))
    assert said == [kernel_loader.PREPARING]


@pytest.mark.slow
def test_the_numbers_come_where_numba_cannot_keep_its_code(tmp_path):
    (tmp_path / "file").write_text("")
    code = "import numpy as np; from infraspot.metrics import Evaluation; truth = np.eye(9, dtype=bool);"
    code += "e = Evaluation(); e.update(truth, truth); print(e.compute()['pd'])"
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "file" / "cache")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, "1.0"), done.stderr


def test_the_average_precision_over_all_thresholds_counts_what_the_threshold_hides():
    scores, truth = np.zeros((40, 40)), np.zeros((40, 40), bool)
    scores[5, 5], scores[20, 20], scores[35, 35] = 0.9, 0.6, 0.3
    truth[5, 5] = truth[35, 35] = True
    evaluation = Evaluation("infraspot")
    evaluation.update(scores, truth)
    precisions = evaluation.compute()["target_ap"]
    assert precisions["all_thresholds"] == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert precisions["centre_3"] == pytest.approx(0.5), "at 0.5 the second target does not exist"


@pytest.mark.parametrize("thresholds", [None, DEFAULT_THRESHOLDS])
def test_no_average_precision_over_thresholds_without_scores_or_targets(thresholds):
    evaluation = Evaluation("infraspot", thresholds=thresholds)
    evaluation.update(np.zeros((9, 9)), np.zeros((9, 9), bool))
    assert np.isnan(evaluation.compute()["target_ap"]["all_thresholds"])
