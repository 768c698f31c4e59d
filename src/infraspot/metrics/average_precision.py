"""Average precision of scored detections: over boxes, and over targets by centre, NWD or mask overlap.

At a few pixels box IoU is brittle: a 3x3 box shifted by (1, 1) has IoU 0.286. Hence the criteria by centre.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from infraspot.metrics.protocols import BoxRule, Interpolation
from infraspot.metrics.reduction import divide

FloatArray = NDArray[np.float64]

NWD_SCALE = 12.8
"""Mean target size of AI-TOD in pixels, the constant of the normalised Wasserstein distance."""


def box_ious(boxes: Any, others: Any, *, legacy: bool = False) -> FloatArray:
    """(P, T) intersection over union of (P, 4) and (T, 4) boxes (x0, y0, x1, y1), half-open.

    ``legacy`` adds 1 to every side, as programs for inclusive coordinates do.
    """
    a, b = _as_boxes(boxes)[:, None, :], _as_boxes(others)[None, :, :]
    extra = 1.0 if legacy else 0.0
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]) + extra
    common = np.maximum(sides, 0).prod(axis=-1)
    areas = [(one[..., 2:] - one[..., :2] + extra).prod(axis=-1) for one in (a, b)]
    return divide(common, areas[0] + areas[1] - common)


def centre_distances(boxes: Any, others: Any) -> FloatArray:
    """(P, T) distances between the centres of boxes in pixels."""
    centres = [(one[:, :2] + one[:, 2:]) / 2 for one in (_as_boxes(boxes), _as_boxes(others))]
    gap = centres[0][:, None, :] - centres[1][None, :, :]
    return np.hypot(gap[..., 0], gap[..., 1])


def wasserstein_similarities(boxes: Any, others: Any, *, scale: float = NWD_SCALE) -> FloatArray:
    """(P, T) normalised Wasserstein distances in (0, 1], 1 for equal boxes.

    exp(-W / scale), with W between the Gaussians that the boxes stand for (Wang et al., "A normalized
    Gaussian Wasserstein distance for tiny object detection", 2021).
    """
    a, b = _as_boxes(boxes), _as_boxes(others)
    halves = [(one[:, 2:] - one[:, :2]) / 2 for one in (a, b)]
    shape = ((halves[0][:, None, :] - halves[1][None, :, :]) ** 2).sum(axis=-1)
    return np.exp(-np.sqrt(centre_distances(a, b) ** 2 + shape) / scale)


def assign(
    quality: FloatArray, scores: FloatArray, least: float, policy: Literal["best", "first"]
) -> NDArray[np.bool_]:
    """Which detections of one frame are true, taking targets in descending order of score.

    Parameters
    ----------
    quality
        (P, T), higher is better.
    scores
        (P,).
    least
        Quality that a pair needs.
    policy
        ``best`` (COCO): the best target that is still free. ``first`` (VOC): the best target of all, and the
        detection is false when that one is taken.
    """
    true = np.zeros(len(scores), np.bool_)
    if not quality.size:
        return true
    free = np.ones(quality.shape[1], np.bool_)
    order = np.argsort(-scores, kind="stable")
    for one in order[quality[order].max(axis=1) >= least]:
        row = np.where(free, quality[one], -np.inf) if policy == "best" else quality[one]
        target = int(np.argmax(row))
        if row[target] >= least and free[target]:
            true[one], free[target] = True, False
    return true


def average_precision(
    scores: FloatArray, true: NDArray[np.bool_], targets: int, interpolation: Interpolation
) -> float:
    """Area under the precision envelope of a set's detections; NaN without targets.

    ``11-point``: VOC 2007. ``area``: VOC 2010-2012. ``101-point``: COCO.
    """
    if not targets:
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(true[order])
    recall = hits / targets
    precision = hits / np.arange(1, len(hits) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    if interpolation == "area":
        return float((np.diff(recall, prepend=0.0) * envelope).sum())
    wanted = np.linspace(0, 1, 11 if interpolation == "11-point" else 101)
    # Recalls are whole counts over targets: a billionth keeps 0.3 from missing 3 / 10.
    places = np.searchsorted(recall, wanted - 1e-9)
    return float(np.append(envelope, 0.0)[places].mean())


@dataclass(frozen=True)
class Criterion:
    """When a detection is true: a quality of at least ``least``, under a policy, over an interpolation."""

    quality: Literal["iou", "iou_legacy", "centre", "nwd", "mask"]
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
    "centre_3": Criterion("centre", -3.0, "area", "best"),
    "nwd": Criterion("nwd", 0.5, "area", "best"),
    "overlap": Criterion("mask", 0.5, "area", "best"),
}


def criteria_of(rule: BoxRule) -> list[Criterion]:
    """The criteria whose mean is a protocol's headline ``ap``."""
    policy: Literal["best", "first"] = "best" if rule.interpolation == "101-point" else "first"
    quality: Literal["iou", "iou_legacy"] = "iou_legacy" if rule.legacy else "iou"
    return [Criterion(quality, least, rule.interpolation, policy, rule.limit) for least in rule.ious]


@dataclass(frozen=True, eq=False)
class ScoredFrame:
    """The detections of one frame: (P,) scores, number of targets, and (P, T) qualities by name."""

    scores: FloatArray
    targets: int
    qualities: dict[str, FloatArray]


def scored_boxes(boxes: Any, scores: Any, true_boxes: Any) -> ScoredFrame:
    """Qualities of (P, 4) detected boxes with (P,) scores against (T, 4) true boxes."""
    return ScoredFrame(
        np.asarray(scores, np.float64).reshape(-1),
        len(_as_boxes(true_boxes)),
        {
            "iou": box_ious(boxes, true_boxes),
            "iou_legacy": box_ious(boxes, true_boxes, legacy=True),
            "centre": -centre_distances(boxes, true_boxes),
            "nwd": wasserstein_similarities(boxes, true_boxes),
        },
    )


def precision_at(frames: list[ScoredFrame], criterion: Criterion) -> float:
    """Average precision of a set under one criterion."""
    scores, true = [np.zeros(0)], [np.zeros(0, np.bool_)]
    for frame in frames:
        kept = np.argsort(-frame.scores, kind="stable")[: criterion.limit]
        quality = frame.qualities[criterion.quality][kept]
        scores.append(frame.scores[kept])
        # A billionth keeps a distance of exactly 3 px, or an IoU of exactly a half, on the right side.
        true.append(assign(quality, frame.scores[kept], criterion.least - 1e-9, criterion.policy))
    targets = sum(frame.targets for frame in frames)
    return average_precision(np.concatenate(scores), np.concatenate(true), targets, criterion.interpolation)


class BoxPrecision:
    """Average precision of box detectors, over a set.

    >>> metric = BoxPrecision()
    >>> metric.update([(0, 0, 3, 3)], [0.9], [(0, 0, 3, 3)])
    >>> metric.compute()["ap12"]
    1.0
    """

    def __init__(self) -> None:
        self.frames: list[ScoredFrame] = []

    def update(self, boxes: Any, scores: Any, true_boxes: Any) -> None:
        """Add one frame: (P, 4) boxes, (P,) scores, (T, 4) true boxes, all (x0, y0, x1, y1) half-open."""
        self.frames.append(scored_boxes(boxes, scores, true_boxes))

    def merge(self, other: "BoxPrecision") -> None:
        """Add the frames of another metric."""
        self.frames += other.frames

    def compute(self) -> dict[str, float]:
        """``BOX_CRITERIA`` and ``coco`` (mean over IoU 0.5 ... 0.95); NaN without targets."""
        numbers = {name: precision_at(self.frames, one) for name, one in BOX_CRITERIA.items()}
        steps = [Criterion("iou", 0.5 + 0.05 * k, "101-point", "best", 100) for k in range(10)]
        numbers["coco"] = float(np.mean([precision_at(self.frames, one) for one in steps]))
        return numbers


def _as_boxes(boxes: Any) -> FloatArray:
    return np.asarray(boxes, np.float64).reshape(-1, 4)
