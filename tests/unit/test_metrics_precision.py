"""Average precision: no order of frames or boxes changes it; near pairs give what all pairs give."""

from itertools import permutations

import numpy as np
import pytest

from infraspot.metrics import BoxPrecision, Evaluation, PixelRanking
from infraspot.metrics.average_precision import BOX_CRITERIA, COCO_STEPS, Criterion


def random_frames(rng, count=12, levels=4, crowd=6, side=40):
    """Boxes with few distinct scores: most of them tie."""
    frames = []
    for _ in range(count):
        truth = rng.integers(0, side, (int(rng.integers(0, crowd)), 2))
        truth = np.concatenate([truth, truth + rng.integers(2, 9, truth.shape)], axis=1).astype(float)
        found = np.concatenate([truth + rng.integers(-1, 2, truth.shape), truth[: crowd // 3] + 4])
        found[:, 2:] = np.maximum(found[:, 2:], found[:, :2] + 1)
        frames.append((found, rng.integers(1, levels + 1, len(found)) / levels, truth))
    return frames


def precision_of(frames):
    metric = BoxPrecision()
    for frame in frames:
        metric.update(*frame)
    return metric.compute()


def test_the_order_of_frames_and_of_boxes_does_not_matter_when_scores_tie(rng):
    frames = random_frames(rng)
    expected = precision_of(frames)
    for _ in range(20):
        shuffled = [frames[k] for k in rng.permutation(len(frames))]
        turned = []
        for boxes, scores, truth in shuffled:
            order = rng.permutation(len(scores))
            turned.append((boxes[order], scores[order], truth))
        assert precision_of(turned) == expected


@pytest.mark.parametrize("protocol", ["infraspot", "voc07", "voc12", "coco"])
def test_twenty_binary_frames_have_one_average_precision_in_any_order(protocol, rng):
    pairs = []
    for number in range(20):
        truth, found = np.zeros((32, 32), bool), np.zeros((32, 32), bool)
        truth[4:7, 4:7] = number % 3 == 0
        found[4:7, 4:7] = number % 6 == 0
        found[20:23, 20:23] = number % 2 == 0
        pairs.append((found, truth))
    seen = []
    for _ in range(6):
        evaluation = Evaluation(protocol, pixel_ranking=True)
        for number, place in enumerate(rng.permutation(20)):
            evaluation.update(*pairs[place], id=f"{number:02}")
        result = evaluation.compute()
        seen.append((result["ap"], *result["box_ap"].values(), *result["target_ap"].values()))
    assert len(set(seen)) == 1
    if protocol == "voc12":
        # Four of seven targets among fourteen detections of one score: the curve has a single point.
        assert seen[0][0] == pytest.approx(4 / 7 * 4 / 14)


def test_equal_scores_count_as_the_least_that_any_order_of_them_gives(rng):
    frames = random_frames(rng, count=5, levels=1, crowd=3)
    frames = [frame for frame in frames if len(frame[1])][:4]
    nudged = []
    for order in permutations(range(len(frames))):
        ranked = [
            (boxes, scores - 1e-6 * place, truth)
            for place, (boxes, scores, truth) in zip(order, frames, strict=True)
        ]
        nudged.append(precision_of(ranked)["ap12"])
    assert precision_of(frames)["ap12"] <= min(nudged)


def test_pixel_areas_do_not_depend_on_the_order_when_scores_had_to_be_rounded(rng):
    frames = [(rng.random((20, 30)), rng.random((20, 30)) < 0.2) for _ in range(8)]
    seen = set()
    for _ in range(5):
        ranking = PixelRanking(limit=1500)
        for place in rng.permutation(8):
            ranking.update(*frames[place])
            if place % 2:
                ranking.cumulative()
        seen.add(tuple(ranking.compute().values()))
    assert len(seen) == 1


def all_qualities(name, boxes, others):
    """(P, T), box by box."""
    table = np.zeros((len(boxes), len(others)))
    for p, a in enumerate(boxes):
        for t, b in enumerate(others):
            gap = (a[:2] + a[2:] - b[:2] - b[2:]) / 2
            extra = name == "iou_legacy"
            sides = np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]) + extra, 0)
            areas = (a[2:] - a[:2] + extra).prod() + (b[2:] - b[:2] + extra).prod()
            shape = ((a[2:] - a[:2] - b[2:] + b[:2]) ** 2).sum() / 4
            table[p, t] = {
                "centre": -np.hypot(*gap),
                "nwd": np.exp(-np.sqrt((gap**2).sum() + shape) / 12.8),
            }.get(name, sides.prod() / (areas - sides.prod()))
    return table


def plain_precision(frames, criterion):
    """One detection after the other, over the table of all pairs; one point for each distinct score."""
    marks = []
    for boxes, scores, truth in frames:
        table = all_qualities(criterion.quality, boxes, truth)
        best = [max(row, default=-np.inf) for row in table]
        best = [value if value >= criterion.least - 1e-9 else -np.inf for value in best]
        places = [(y0, x0, y1, x1) for x0, y0, x1, y1 in boxes]
        keys = list(zip(-scores, [-value for value in best], places, strict=True))
        free = set(range(len(truth)))
        for p in sorted(range(len(boxes)), key=keys.__getitem__)[: criterion.limit]:
            options = sorted(free) if criterion.policy == "best" else range(len(truth))
            target = max(options, key=lambda t: table[p, t], default=None)
            hit = target in free and table[p, target] >= criterion.least - 1e-9
            free -= {target} if hit else set()
            marks.append((scores[p], hit))
    targets = sum(len(truth) for _, _, truth in frames)
    points = []
    for level in sorted({score for score, _ in marks}, reverse=True):
        above = [hit for score, hit in marks if score >= level]
        points.append((sum(above) / targets, sum(above) / len(above)))
    if criterion.interpolation == "area":
        edges = [0.0, *(recall for recall, _ in points)]
        tops = [max(precision for _, precision in points[k:]) for k in range(len(points))]
        return sum((b - a) * top for a, b, top in zip(edges, edges[1:], tops, strict=False))
    wanted = np.linspace(0, 1, 11 if criterion.interpolation == "11-point" else 101)
    return np.mean([max((p for r, p in points if r >= level - 1e-9), default=0) for level in wanted])


@pytest.mark.parametrize("crowd", [6, 40])
def test_every_criterion_equals_a_plain_pass_over_the_table_of_all_pairs(crowd, rng):
    frames = random_frames(rng, count=4, levels=30, crowd=crowd)
    ours = precision_of(frames)
    for name, criterion in BOX_CRITERIA.items():
        assert ours[name] == pytest.approx(plain_precision(frames, criterion)), name
    assert ours["coco"] == pytest.approx(np.mean([plain_precision(frames, one) for one in COCO_STEPS]))


def test_the_similarity_of_gaussians_equals_a_plain_pass_over_the_table_of_all_pairs(rng):
    from infraspot.metrics.average_precision import PrecisionTable, scored_boxes

    frames = random_frames(rng, count=3, levels=30, crowd=40)
    criterion = Criterion("nwd", 0.5, "area", "best")
    table = PrecisionTable([criterion])
    for frame in frames:
        table.add(scored_boxes(*frame))
    assert table.at(criterion) == pytest.approx(plain_precision(frames, criterion))
