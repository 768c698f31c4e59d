"""Agreement with independent programs: pyirstdmetrics for targets and pixels, faster-coco-eval for boxes."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from infraspot.metrics import PROTOCOLS, BoxPrecision, Evaluation
from infraspot.metrics.average_precision import Criterion, PrecisionTable, scored_boxes
from infraspot.metrics.frame import prepare
from infraspot.metrics.paired import compare_precision, precision_of
from infraspot.metrics.precision_curve import DetectionRanking, average_precision
from infraspot.metrics.ranking import PixelRanking
from infraspot.metrics.sweep import SweepCounts, sweep_frame


def noisy_frames(rng, count=24, shape=(48, 64)):
    """Score maps with targets that are shifted, joined, missing or surrounded by clutter."""
    pairs = []
    for _ in range(count):
        truth = np.zeros(shape, bool)
        heat = np.zeros(shape)
        for _ in range(int(rng.integers(0, 6))):
            y, x, size = rng.integers(2, shape[0] - 8), rng.integers(2, shape[1] - 8), rng.integers(1, 5)
            truth[y : y + size, x : x + size] = True
            dy, dx = rng.integers(-2, 3, size=2)
            heat[max(y + dy, 0) : y + dy + size, max(x + dx, 0) : x + dx + size] = rng.uniform(0.2, 1.5)
        heat = gaussian_filter(heat, 0.7) + 0.7 * rng.random(shape) ** 6
        pairs.append((np.clip(heat, 0, 1).astype(np.float32), truth))
    return pairs


def test_pd_and_fa_at_every_threshold_equal_pyirstdmetrics(rng):
    peer = pytest.importorskip("py_irstd_metrics")
    oracle = peer.ProbabilityDetectionAndFalseAlarmRate(num_bins=50, distance_threshold=3)
    protocol, thresholds = PROTOCOLS["basicirstd"], oracle.thresholds
    ours = SweepCounts.empty(thresholds)
    for scores, truth in noisy_frames(rng):
        oracle.update(scores, truth)
        ours = ours + sweep_frame(*prepare(scores, truth, protocol), protocol, thresholds)
    assert np.array_equal(ours.column("hits"), oracle.tp_objs)
    assert np.array_equal(ours.column("false"), oracle.fp_objs)
    assert np.array_equal(ours.column("false_area"), oracle.fp_area)


def test_shooting_rule_equals_pyirstdmetrics(rng):
    peer = pytest.importorskip("py_irstd_metrics")
    oracle = peer.ShootingRuleBasedProbabilityDetectionAndFalseAlarmRate(num_bins=10)
    protocol, thresholds = PROTOCOLS["pim-shoot"], oracle.thresholds
    ours = SweepCounts.empty(thresholds)
    for scores, truth in noisy_frames(rng, 10):
        oracle.update(scores, truth)
        ours = ours + sweep_frame(*prepare(scores, truth, protocol), protocol, thresholds)
    assert np.array_equal(ours.column("hits"), oracle.tp_objs)
    assert np.array_equal(ours.column("false_area"), oracle.fp_area)


def test_iou_niou_and_the_hierarchy_equal_pyirstdmetrics(rng):
    peer = pytest.importorskip("py_irstd_metrics")
    handlers = {
        "iou": peer.IoUHandler(with_dynamic=False, with_binary=True, sample_based=False),
        "niou": peer.IoUHandler(with_dynamic=False, with_binary=True, sample_based=True),
    }
    pixels = peer.CMMetrics(num_bins=10, threshold=0.5, metric_handlers=handlers)
    errors = peer.HierarchicalIoUBasedErrorAnalysis(num_bins=1)
    evaluation = Evaluation("pim", thresholds=None)
    for scores, truth in noisy_frames(rng, 60):
        pixels.update(scores, truth)
        errors.update(scores, truth)
        evaluation.update(scores, truth)
    ours, split = evaluation.compute(), errors.get()
    assert ours["iou"] == pytest.approx(float(pixels.get()["iou"]["binary"]))
    assert ours["niou"] == pytest.approx(float(pixels.get()["niou"]["binary"]))
    names = {
        "seg_iou": "seg_iou",
        "seg_merging": "seg_mrg_err",
        "seg_interference": "seg_itf_err",
        "seg_perception": "seg_pcp_err",
        "loc_iou": "loc_iou",
        "loc_one_to_many": "loc_s2m_err",
        "loc_many_to_one": "loc_m2s_err",
        "loc_clutter": "loc_itf_err",
        "loc_missed": "loc_pcp_err",
    }
    for mine, theirs in names.items():
        assert ours[mine] == pytest.approx(float(split[theirs][0])), mine


def test_pixel_areas_equal_plain_definitions(rng):
    scores = np.round(rng.random((40, 50)), 2)
    truth = rng.random((40, 50)) < 0.2 * scores
    ranking = PixelRanking()
    ranking.update(scores[:20], truth[:20])
    other = PixelRanking()
    other.update(scores[20:], truth[20:])
    ranking.merge(other)
    positive, negative = scores[truth], scores[~truth]
    wins = (positive[:, None] > negative).mean() + 0.5 * (positive[:, None] == negative).mean()
    levels = np.unique(positive)[::-1]
    recall = np.array([(positive >= level).mean() for level in levels])
    precision = np.array([truth[scores >= level].mean() for level in levels])
    average = (np.diff(recall, prepend=0) * precision).sum()
    numbers = ranking.compute()
    assert numbers["pixel_auc"] == pytest.approx(wins)
    assert numbers["pixel_ap"] == pytest.approx(average)


def test_a_ranking_too_large_to_be_exact_says_so_and_stays_close(rng):
    scores = rng.random((120, 100))
    truth = rng.random((120, 100)) < 0.1 * scores
    exact, rounded = PixelRanking(), PixelRanking(limit=1000)
    for ranking in (exact, rounded):
        ranking.update(scores, truth)
    assert rounded.compute() == pytest.approx(exact.compute(), abs=1e-3)
    assert (exact.exact, rounded.exact) == (True, False)


def random_boxes(rng, count):
    start = rng.integers(0, 60, size=(count, 2))
    return np.concatenate([start, start + rng.integers(2, 9, size=(count, 2))], axis=1).astype(float)


def as_coco(frames):
    """The same boxes as COCO ground truth and COCO detections."""
    truth = {
        "images": [{"id": number + 1, "width": 80, "height": 80} for number in range(len(frames))],
        "categories": [{"id": 1, "name": "target"}],
        "annotations": [],
    }
    found = []
    for number, (boxes, scores, true_boxes) in enumerate(frames):
        for box in true_boxes:
            side = box[2:] - box[:2]
            entry = {"image_id": number + 1, "category_id": 1, "bbox": [*box[:2], *side], "iscrowd": 0}
            entry |= {"id": len(truth["annotations"]) + 1, "area": float(side.prod())}
            truth["annotations"].append(entry)
        for box, score in zip(boxes, scores, strict=True):
            bbox = [*box[:2], *(box[2:] - box[:2])]
            found.append({"image_id": number + 1, "category_id": 1, "bbox": bbox, "score": float(score)})
    return truth, found


def test_box_precision_equals_the_coco_program(rng):
    coco = pytest.importorskip("faster_coco_eval")
    frames, metric = [], BoxPrecision()
    for _ in range(40):
        true_boxes = random_boxes(rng, int(rng.integers(0, 6)))
        jitter = rng.integers(-1, 2, size=true_boxes.shape)
        moved = true_boxes + jitter
        moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2] + 1)
        boxes = np.concatenate([moved, random_boxes(rng, int(rng.integers(0, 4)))])
        scores = rng.permutation(1000)[: len(boxes)] / 1000 + len(frames) * 1e-6
        frames.append((boxes, scores, true_boxes))
        metric.update(boxes, scores, true_boxes)
    truth, found = as_coco(frames)
    expected = coco.COCO(truth)
    program = coco.COCOeval_faster(expected, expected.loadRes(found), "bbox", print_function=lambda *_: None)
    program.run()
    assert metric.compute()["coco"] == pytest.approx(program.stats[0], abs=1e-6)


def test_precision_and_recall_at_each_overlap_equal_the_coco_program(rng):
    coco = pytest.importorskip("faster_coco_eval")
    overlaps = (0.25, 0.5, 0.75)
    criteria = [Criterion("iou", least, "101-point", "best", 100) for least in overlaps]
    frames, table = [], PrecisionTable(criteria)
    for number in range(30):
        true_boxes = random_boxes(rng, int(rng.integers(1, 8)))
        moved = true_boxes + rng.integers(-1, 2, size=true_boxes.shape)
        moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2] + 1)
        scores = rng.permutation(1000)[: len(moved)] / 1000 + number * 1e-6
        frames.append((moved, scores, true_boxes))
        table.add(scored_boxes(moved, scores, true_boxes))
    truth, found = as_coco(frames)
    expected = coco.COCO(truth)
    program = coco.COCOeval_faster(expected, expected.loadRes(found), "bbox", print_function=lambda *_: None)
    program.params.iouThrs = np.array(overlaps)
    program.evaluate()
    program.accumulate()
    for k, criterion in enumerate(criteria):
        precision = program.eval["precision"][k, :, 0, 0, -1]
        assert table.at(criterion) == pytest.approx(precision.mean(), abs=1e-6)
        assert table.recall(criterion) == pytest.approx(program.eval["recall"][k, 0, 0, -1], abs=1e-6)


def test_resampled_intervals_hold_the_average_precision(rng):
    table, criterion = PrecisionTable([Criterion("iou", 0.5, "area")]), Criterion("iou", 0.5, "area")
    for _ in range(40):
        true_boxes = random_boxes(rng, 4)
        scores = rng.random(4)
        kept = rng.random(4) < 0.3 + 0.6 * scores
        table.add(scored_boxes(np.where(kept[:, None], true_boxes, true_boxes + 40), scores, true_boxes))
    low, high = table.interval(criterion, draws=200)
    assert low < table.at(criterion) < high
    assert table.interval(criterion, draws=200) == (low, high)
    empty = PrecisionTable([criterion])
    assert np.isnan(empty.interval(criterion, draws=10)).all()


@pytest.mark.parametrize("interpolation", ["11-point", "area", "101-point"])
def test_frames_with_weights_have_the_precision_of_frames_repeated(rng, interpolation):
    targets = rng.integers(0, 3, size=6)
    accepted = [(rng.integers(0, 8, size=n) / 8, rng.random(n) < 0.5) for n in rng.integers(0, 5, size=6)]
    weights = rng.multinomial(6, np.full(6, 1 / 6), size=40).astype(float)
    found = DetectionRanking.of(accepted, targets, interpolation).precision(weights)
    for row, value in zip(weights.astype(int), found, strict=True):
        frames = np.repeat(np.arange(6), row)
        scores, true = (np.concatenate([accepted[k][part] for k in frames]) for part in (0, 1))
        expected = average_precision(scores, true, int(targets[frames].sum()), interpolation)
        assert value == pytest.approx(expected, nan_ok=True)


def test_two_rankings_are_compared_by_what_an_exchange_of_frames_gives():
    right, wrong = (np.array([0.9]), np.array([True])), (np.array([0.9]), np.array([False]))
    one = DetectionRanking.of([right] * 8, [1] * 8, "area")
    other = DetectionRanking.of([wrong] * 8, [1] * 8, "area")
    result = compare_precision([one], [other, other], draws=1000)
    assert (result.difference, result.low, result.high) == (1, 1, 1)
    # Only no exchange and all exchanged, 2 of 256, lie as far apart.
    assert result.p == pytest.approx(2 / 256, abs=0.006)
    assert compare_precision([one], [one], draws=100).p == 1
    found = precision_of([one, other], draws=100)
    assert (found.mean, found.low, found.high) == (0.5, 0.5, 0.5)
    assert found.deviation == pytest.approx(0.5**0.5)
    with pytest.raises(ValueError, match="zip"):
        compare_precision([one, one], [other] * 3)


def test_eleven_point_precision_by_hand():
    metric = BoxPrecision()
    truth = [(0, 0, 4, 4), (20, 20, 24, 24)]
    metric.update([truth[0], (50, 50, 54, 54), truth[1]], [0.9, 0.8, 0.7], truth)
    numbers = metric.compute()
    # Precision 1 up to recall 0.5 (six of eleven points), 2/3 beyond.
    assert numbers["ap07"] == pytest.approx((6 * 1 + 5 * 2 / 3) / 11)
    assert numbers["ap12"] == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)


def test_a_second_detection_of_a_target_is_false():
    metric = BoxPrecision()
    metric.update([(0, 0, 4, 4), (0, 0, 4, 4)], [0.9, 0.8], [(0, 0, 4, 4), (30, 30, 34, 34)])
    assert metric.compute()["ap12"] == 0.5


def test_a_small_box_shifted_by_one_pixel_fails_overlap_and_passes_by_centre():
    metric = BoxPrecision()
    metric.update([(1, 1, 4, 4)], [0.9], [(0, 0, 3, 3)])  # IoU 4 / 14, centres 1.41 px apart
    numbers = metric.compute()
    assert (numbers["ap12"], numbers["ap25"], numbers["centre_1.5"], numbers["centre_3"]) == (0, 1, 1, 1)


def test_without_true_boxes_precision_is_not_a_number():
    metric = BoxPrecision()
    metric.update([(0, 0, 3, 3)], [0.5], [])
    assert all(np.isnan(number) for number in metric.compute().values())
