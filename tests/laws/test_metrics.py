"""Laws that hold for every protocol, on made-up frames, against a reference written for reading alone."""

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from infraspot.metrics import PROTOCOLS, Evaluation
from infraspot.metrics.frame import count_frame, prepare
from infraspot.metrics.reduction import jsonable
from infraspot.metrics.sweep import COLUMNS, sweep_frame

THRESHOLDS = np.array([0.0, 0.2, 0.25, 0.5, 0.75, 0.9])
LEVELS = [0.0, 0.125, 0.25, 0.5, 0.625, 0.75, 1.0]
NATIVE = [name for name, protocol in PROTOCOLS.items() if protocol.grid is None]
lawful = settings(
    max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)


@st.composite
def frames(draw, largest=12):
    """A score map with many equal values, and a truth of the same size."""
    shape = draw(st.tuples(st.integers(1, largest), st.integers(1, largest)))
    scores = draw(arrays(np.float32, shape, elements=st.sampled_from(LEVELS)))
    truth = draw(arrays(np.bool_, shape, elements=st.sampled_from([False, False, False, True])))
    return scores, truth


def evaluate(protocol, pairs, **options):
    evaluation = Evaluation(protocol, thresholds=THRESHOLDS, pixel_ranking=True, **options)
    for number, (scores, truth) in enumerate(pairs):
        evaluation.update(scores, truth, id=f"{number:03}")
    return evaluation


def numbers_of(evaluation):
    """Everything that a result says, with NaN as None so that it compares equal."""
    return jsonable(evaluation.compute(bootstrap=20, seed=1))


def components(mask, connectivity):
    """Flood fill, pixel by pixel: lists of (y, x) in raster order of first pixels."""
    height, width = mask.shape
    steps = [(-1, 0), (1, 0), (0, -1), (0, 1)]
    if connectivity == 8:
        steps += [(-1, -1), (-1, 1), (1, -1), (1, 1)]
    seen, found = set(), []
    for start in zip(*np.nonzero(mask), strict=True):
        if start in seen:
            continue
        todo, part = [start], []
        seen.add(start)
        while todo:
            y, x = todo.pop()
            part.append((int(y), int(x)))
            for dy, dx in steps:
                there = (y + dy, x + dx)
                inside = 0 <= there[0] < height and 0 <= there[1] < width
                if inside and there not in seen and mask[there]:
                    seen.add(there)
                    todo.append(there)
        found.append(part)
    return found


def distance(one, other):
    return float(np.hypot(*(np.mean(one, axis=0) - np.mean(other, axis=0))))


def plain_counts(scores, truth, protocol):
    """Pixels in common, predicted pixels, targets hit and false area of the distance rule, by brute force."""
    predicted = scores > protocol.threshold
    targets = components(truth, protocol.connectivity)
    found = components(predicted, protocol.connectivity)
    near = {
        (t, p): distance(target, part)
        for t, target in enumerate(targets)
        for p, part in enumerate(found)
        if distance(target, part) < protocol.radius - 1e-9
    }
    pairs = _greedy(near) if protocol.assignment == "greedy" else _best(near, found)
    false_area = sum(len(part) for p, part in enumerate(found) if p not in {p for _, p in pairs})
    return int((truth & predicted).sum()), int(predicted.sum()), len(pairs), false_area


def _greedy(near):
    pairs = []
    for t, p in sorted(near):
        if all(t != other[0] and p != other[1] for other in pairs):
            pairs.append((t, p))
    return pairs


def _best(near, found):
    """Every matching is tried; most pairs, then least distance, then most area."""
    rows, columns = sorted({t for t, _ in near}), sorted({p for _, p in near})
    slots = columns + [None] * len(rows)
    best, score = [], (0, 0.0, 0)
    for order in set(permutations(slots, len(rows))):
        pairs = [pair for pair in zip(rows, order, strict=True) if pair in near]
        total = (
            len(pairs),
            -round(sum(near[pair] for pair in pairs), 6),
            sum(len(found[p]) for _, p in pairs),
        )
        if total > score:
            best, score = pairs, total
    return best


@pytest.mark.parametrize("name", ["infraspot", "basicirstd"])
@lawful
@given(frame=frames(7), threshold=st.sampled_from([0.25, 0.5]), connectivity=st.sampled_from([4, 8]))
def test_counts_agree_with_brute_force(name, frame, threshold, connectivity):
    scores, truth = frame
    protocol = replace(PROTOCOLS[name], connectivity=connectivity).at(threshold)
    if len(components(truth, connectivity)) > 4 or len(components(scores > threshold, connectivity)) > 5:
        return
    record = count_frame(*prepare(scores, truth, protocol), protocol)
    ours = record.common_pixels, record.predicted_pixels, int(record.hit.sum()), record.false_area
    assert ours == plain_counts(scores, truth, protocol)


@pytest.mark.parametrize("name", PROTOCOLS)
@lawful
@given(frame=frames())
def test_a_perfect_prediction_is_perfect(name, frame):
    truth = frame[1]
    result = evaluate(name, [(truth.astype(np.float32), truth)]).compute()
    if PROTOCOLS[name].grid is not None and min(truth.shape) > 1:
        return  # bilinear and nearest resizing do not agree on edges
    if truth.any():
        assert (result["iou"], result["pd"], result["fa_area"], result["fa_pixel"]) == (1, 1, 0, 0)
        assert (result["niou"], result["precision"], result["recall"], result["ap"]) == (1, 1, 1, 1)
        assert result["hiou"] == result["target_f1"] == 1
        assert result["errors"]["good"] == result["n_targets"]


@pytest.mark.parametrize("name", PROTOCOLS)
def test_an_empty_frame_without_prediction_adds_no_false_alarm(name):
    nothing = np.zeros((9, 5), bool)
    result = evaluate(name, [(nothing, nothing)]).compute()
    assert (result["fa_area"], result["fa_pixel"], result["false_alarms_per_image"]) == (0, 0, 0)
    assert np.isnan(result["pd"])
    assert np.isnan(result["iou"])
    assert np.isnan(result["niou"]) == (PROTOCOLS[name].empty == "skip")


@pytest.mark.parametrize("name", NATIVE)
@lawful
@given(pairs=st.lists(frames(8), min_size=1, max_size=5), cut=st.integers(0, 5))
def test_merging_two_parts_equals_one_pass(name, pairs, cut):
    whole = evaluate(name, pairs)
    first, second = evaluate(name, pairs[:cut]), Evaluation(name, thresholds=THRESHOLDS, pixel_ranking=True)
    for number, (scores, truth) in enumerate(pairs[cut:], start=len(pairs[:cut])):
        second.update(scores, truth, id=f"{number:03}")
    first.merge(second)
    assert numbers_of(first) == numbers_of(whole)


@pytest.mark.parametrize("name", NATIVE)
@lawful
@given(pairs=st.lists(frames(8), min_size=2, max_size=5), order=st.randoms(use_true_random=False))
def test_the_order_of_the_images_does_not_matter(name, pairs, order):
    numbered = [(f"{number:03}", *pair) for number, pair in enumerate(pairs)]
    shuffled = numbered.copy()
    order.shuffle(shuffled)
    results = []
    for listing in (numbered, shuffled):
        evaluation = Evaluation(name, thresholds=THRESHOLDS, pixel_ranking=True)
        for id_, scores, truth in listing:
            evaluation.update(scores, truth, id=id_)
        results.append(numbers_of(evaluation))
    assert results[0] == results[1]


TURNS = {
    "left-right": np.fliplr,
    "up-down": np.flipud,
    "transpose": np.transpose,
    "quarter": np.rot90,
}


@pytest.mark.parametrize("turn", TURNS)
@lawful
@given(frame=frames(10))
def test_flips_and_turns_leave_every_headline_number(turn, frame):
    scores, truth = frame
    before = evaluate("infraspot", [(scores, truth)])
    after = evaluate("infraspot", [(TURNS[turn](scores), TURNS[turn](truth))])
    straight, turned = before.compute(), after.compute()
    for name in ("iou", "niou", "precision", "recall", "pd", "fa_area", "fa_pixel", "target_f1", "pixel_auc"):
        assert turned[name] == pytest.approx(straight[name], nan_ok=True), name
    assert np.array_equal(before.sweep.table, after.sweep.table)


@lawful
@given(frame=frames())
def test_greedy_never_finds_more_than_the_best_matching(frame):
    greedy, best = (evaluate(name, [frame]).compute() for name in ("basicirstd", "infraspot"))
    if greedy["n_targets"]:
        assert greedy["pd"] <= best["pd"]


@pytest.mark.parametrize("name", NATIVE)
@pytest.mark.parametrize("inclusive", [False, True])
@lawful
@given(frame=frames())
def test_the_sweep_equals_single_thresholds(name, inclusive, frame):
    protocol = replace(PROTOCOLS[name], inclusive=inclusive)
    scores, truth, pixels = prepare(*frame, protocol)
    sweep = sweep_frame(scores, truth, pixels, protocol, THRESHOLDS)
    for row, threshold in zip(sweep.table, THRESHOLDS, strict=True):
        record = count_frame(scores, truth, pixels, protocol.at(threshold))
        single = {
            "common": record.common_pixels,
            "predicted": record.predicted_pixels,
            "components": len(record.detections),
            "hits": int(record.hit.sum()),
            "false": int(record.false.sum()),
            "false_area": record.false_area,
        }
        assert dict(zip(COLUMNS, row.tolist(), strict=True)) == single


@lawful
@given(frame=frames())
def test_every_target_gets_exactly_one_word(frame):
    result = evaluate("infraspot", [frame]).compute()
    errors = dict(result["errors"])
    clutter = errors.pop("clutter")
    assert sum(errors.values()) == result["n_targets"]
    assert clutter <= result["n_false_detections"]


@lawful
@given(frame=frames(), data=st.data())
def test_ignored_pixels_change_nothing(frame, data):
    scores, truth = frame
    ignore = data.draw(arrays(np.bool_, truth.shape))
    changed = np.where(ignore, np.float32(1) - scores, scores)
    results = []
    for one, mask in ((scores, truth), (changed, truth ^ ignore)):
        evaluation = Evaluation(thresholds=THRESHOLDS)
        evaluation.update(one, mask, id="a", ignore=ignore)
        results.append(jsonable(evaluation.compute()))
    assert results[0] == results[1]
