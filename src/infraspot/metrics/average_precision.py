"""Average precision of scored detections: over boxes, and over targets by centre, NWD or mask overlap.

At a few pixels box IoU is brittle: a 3x3 box shifted by (1, 1) has IoU 0.286. Hence the criteria by centre.

No number depends on the order of the frames, nor on the order of a frame's boxes. The precision-recall curve
has one point for each distinct score: detections of equal score enter together. That is the least value that
any order of the equals can give, so it never flatters. Within a frame, detections of equal score take their
targets in the order of how well they fit, then by position. The published programs rank equals as their files
happen to list them, so with ties their value lies at ours or above.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from infraspot.core.matching import near_boxes
from infraspot.metrics.precision_curve import DetectionRanking
from infraspot.metrics.protocols import BoxRule, Interpolation
from infraspot.metrics.reduction import divide

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

NWD_SCALE = 12.8
"""Mean target size of AI-TOD in pixels, the constant of the normalised Wasserstein distance."""

REACH = 9.0
"""Pixels between two boxes beyond which no criterion accepts a pair: NWD 0.5 is 8.9 px at most."""


def box_ious(boxes: FloatArray, others: FloatArray, *, legacy: bool = False) -> FloatArray:
    """(K,) intersection over union of (K, 4) boxes (x0, y0, x1, y1), half-open, with (K, 4) others.

    ``legacy`` adds 1 to every side, as programs for inclusive coordinates do.
    """
    extra = 1.0 if legacy else 0.0
    sides = np.minimum(boxes[:, 2:], others[:, 2:]) - np.maximum(boxes[:, :2], others[:, :2]) + extra
    common = np.maximum(sides, 0).prod(axis=-1)
    areas = [(one[:, 2:] - one[:, :2] + extra).prod(axis=-1) for one in (boxes, others)]
    return divide(common, areas[0] + areas[1] - common)


def centre_distances(boxes: FloatArray, others: FloatArray) -> FloatArray:
    """(K,) distances in pixels between the centres of (K, 4) boxes and (K, 4) others."""
    gap = (boxes[:, :2] + boxes[:, 2:] - others[:, :2] - others[:, 2:]) / 2
    return np.hypot(gap[:, 0], gap[:, 1])


def wasserstein_similarities(
    boxes: FloatArray, others: FloatArray, *, scale: float = NWD_SCALE
) -> FloatArray:
    """(K,) normalised Wasserstein distances in (0, 1], 1 for equal boxes.

    exp(-W / scale), with W between the Gaussians that the boxes stand for (Wang et al., "A normalized
    Gaussian Wasserstein distance for tiny object detection", 2021).
    """
    halves = [(one[:, 2:] - one[:, :2]) / 2 for one in (boxes, others)]
    shape = ((halves[0] - halves[1]) ** 2).sum(axis=-1)
    return np.exp(-np.sqrt(centre_distances(boxes, others) ** 2 + shape) / scale)


@dataclass(frozen=True)
class Criterion:
    """When a detection is true, and how the curve becomes a number.

    Detections take their targets in descending order of score. A pair needs a quality of at least ``least``.
    The policy ``best`` (COCO) takes the best target that is still free. ``first`` (VOC) takes the best target
    of all, and the detection is false when that one is taken. ``limit`` keeps the highest scores of a frame.
    """

    quality: Literal["iou", "iou_legacy", "centre", "nwd", "centroid", "mask"]
    least: float
    interpolation: Interpolation
    policy: Literal["best", "first"] = "first"
    limit: int | None = None


BOX_CRITERIA: dict[str, Criterion] = {
    "ap07": Criterion("iou", 0.5, "11-point"),
    "ap12": Criterion("iou", 0.5, "area"),
    "ap07_legacy": Criterion("iou_legacy", 0.5, "11-point"),
    "ap12_legacy": Criterion("iou_legacy", 0.5, "area"),
    "ap25": Criterion("iou", 0.25, "area"),
    "ap75": Criterion("iou", 0.75, "area"),
    "centre_1.5": Criterion("centre", -1.5, "area", "best"),
    "centre_3": Criterion("centre", -3.0, "area", "best"),
}
TARGET_CRITERIA: dict[str, Criterion] = {
    "centre_3": Criterion("centroid", -3.0, "area", "best"),
    "nwd": Criterion("nwd", 0.5, "area", "best"),
    "overlap": Criterion("mask", 0.5, "area", "best"),
}


def criteria_of(rule: BoxRule) -> list[Criterion]:
    """The criteria whose mean is a protocol's headline ``ap``."""
    policy: Literal["best", "first"] = "best" if rule.interpolation == "101-point" else "first"
    quality: Literal["iou", "iou_legacy"] = "iou_legacy" if rule.legacy else "iou"
    return [Criterion(quality, least, rule.interpolation, policy, rule.limit) for least in rule.ious]


COCO_STEPS = tuple(Criterion("iou", 0.5 + 0.05 * k, "101-point", "best", 100) for k in range(10))


@dataclass(frozen=True, eq=False)
class ScoredFrame:
    """The detections of one frame, and the pairs that any criterion could accept.

    Attributes
    ----------
    boxes, scores
        (P, 4) and (P,) of the detections.
    targets
        Number of targets.
    found, wanted
        (K,) detection and target of each pair.
    qualities
        (K,) by name, higher is better.
    """

    boxes: FloatArray
    scores: FloatArray
    targets: int
    found: NDArray[np.int64]
    wanted: NDArray[np.int64]
    qualities: dict[str, FloatArray]


def scored_boxes(boxes: Any, scores: Any, true_boxes: Any) -> ScoredFrame:
    """Qualities of (P, 4) detected boxes with (P,) scores against (T, 4) true boxes."""
    mine, theirs = _as_boxes(boxes), _as_boxes(true_boxes)
    wanted, found = near_boxes(theirs, mine, REACH)
    return score_pairs(mine, np.asarray(scores, np.float64).reshape(-1), theirs, found, wanted)


def score_pairs(
    boxes: FloatArray,
    scores: FloatArray,
    true_boxes: FloatArray,
    found: NDArray[np.int64],
    wanted: NDArray[np.int64],
    **qualities: FloatArray,
) -> ScoredFrame:
    """The same where the near pairs are known already; ``qualities`` adds further ones."""
    a, b = boxes[found], true_boxes[wanted]
    measured = {
        "iou": box_ious(a, b),
        "iou_legacy": box_ious(a, b, legacy=True),
        "centre": -centre_distances(a, b),
        "nwd": wasserstein_similarities(a, b),
    }
    return ScoredFrame(boxes, scores, len(true_boxes), found, wanted, measured | qualities)


def accept(frame: ScoredFrame, criterion: Criterion) -> tuple[FloatArray, BoolArray]:
    """Scores of the detections that count, and which of them are true, in descending order of score."""
    # A billionth keeps a distance of exactly 3 px, or an IoU of exactly a half, on the right side.
    kept = frame.qualities[criterion.quality] >= criterion.least - 1e-9
    found, wanted = frame.found[kept], frame.wanted[kept]
    quality = frame.qualities[criterion.quality][kept]
    best = np.full(len(frame.scores), -np.inf)
    np.maximum.at(best, found, quality)
    x0, y0, x1, y1 = frame.boxes.T
    order = np.lexsort((x1, y1, x0, y0, -best, -frame.scores))[: criterion.limit]
    rank = np.full(len(frame.scores), len(order))
    rank[order] = np.arange(len(order))
    pairs = np.lexsort((wanted, -quality, rank[found]))
    pairs = pairs[rank[found[pairs]] < len(order)]
    true = np.zeros(len(order), np.bool_)
    if criterion.policy == "first":
        # The best target of each detection, and of each target the first detection that wants it.
        pairs = pairs[np.unique(found[pairs], return_index=True)[1]]
        pairs = pairs[np.argsort(rank[found[pairs]])]
        true[rank[found[pairs[np.unique(wanted[pairs], return_index=True)[1]]]]] = True
    else:
        free = [True] * frame.targets
        for place, target in zip(rank[found[pairs]].tolist(), wanted[pairs].tolist(), strict=True):
            if free[target] and not true[place]:
                free[target], true[place] = False, True
    return frame.scores[order], true


class PrecisionTable:
    """Which detections of a set are true, under several criteria; frames add up in any order."""

    def __init__(self, criteria: Iterable[Criterion]) -> None:
        self.targets = 0
        self._counts: list[int] = []
        self._accepted: dict[Criterion, list[tuple[FloatArray, BoolArray]]] = {one: [] for one in criteria}

    def add(self, frame: ScoredFrame) -> None:
        """Add one frame."""
        self.targets += frame.targets
        self._counts.append(frame.targets)
        for criterion, accepted in self._accepted.items():
            accepted.append(accept(frame, criterion))

    def merge(self, other: "PrecisionTable") -> None:
        """Add the frames of a table of the same criteria."""
        self.targets += other.targets
        self._counts += other._counts
        for criterion, accepted in self._accepted.items():
            accepted += other._accepted[criterion]

    def at(self, criterion: Criterion) -> float:
        """Average precision under one of the criteria; NaN without targets."""
        return float(self._ranking(criterion).precision(np.ones((1, len(self._counts))))[0])

    def interval(self, criterion: Criterion, *, draws: int, seed: int = 0) -> tuple[float, float]:
        """95 % interval of the average precision, from sets of resampled frames; NaN without targets."""
        if not self.targets:
            return float("nan"), float("nan")
        rng, count = np.random.default_rng(seed), len(self._counts)
        drawn = [np.bincount(rng.integers(count, size=count), minlength=count) for _ in range(draws)]
        found = self._ranking(criterion).precision(np.array(drawn, np.float64))
        low, high = np.nanpercentile(found, [2.5, 97.5])
        return float(low), float(high)

    def _ranking(self, criterion: Criterion) -> DetectionRanking:
        return DetectionRanking.of(self._accepted[criterion], self._counts, criterion.interpolation)

    def recall(self, criterion: Criterion) -> float:
        """Share of the targets that some detection takes under a criterion; NaN without targets."""
        hits = sum(int(true.sum()) for _, true in self._accepted[criterion])
        return hits / self.targets if self.targets else float("nan")

    def boxes(self) -> dict[str, float]:
        """``BOX_CRITERIA`` and ``coco`` (mean over IoU 0.5 ... 0.95); NaN without targets."""
        numbers = {name: self.at(one) for name, one in BOX_CRITERIA.items()}
        numbers["coco"] = float(np.mean([self.at(one) for one in COCO_STEPS]))
        return numbers


class BoxPrecision:
    """Average precision of box detectors, over a set.

    >>> metric = BoxPrecision()
    >>> metric.update([(0, 0, 3, 3)], [0.9], [(0, 0, 3, 3)])
    >>> metric.compute()["ap12"]
    1.0
    """

    def __init__(self) -> None:
        self._table = PrecisionTable((*BOX_CRITERIA.values(), *COCO_STEPS))

    def update(self, boxes: Any, scores: Any, true_boxes: Any) -> None:
        """Add one frame: (P, 4) boxes, (P,) scores, (T, 4) true boxes, all (x0, y0, x1, y1) half-open."""
        self._table.add(scored_boxes(boxes, scores, true_boxes))

    def merge(self, other: "BoxPrecision") -> None:
        """Add the frames of another metric."""
        self._table.merge(other._table)

    def compute(self) -> dict[str, float]:
        """``BOX_CRITERIA`` and ``coco`` (mean over IoU 0.5 ... 0.95); NaN without targets."""
        return self._table.boxes()


def _as_boxes(boxes: Any) -> FloatArray:
    return np.asarray(boxes, np.float64).reshape(-1, 4)
