"""hIoU: how well targets are found times how well the found ones are drawn, and where each loses.

hIoU = (sum of IoU over the pairs / TP) * TP / (TP + FP + FN), after Pang et al., "Rethinking evaluation of
infrared small target detection" (2025). Pairs overlap by at least half; what is left is paired by distance.
"""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from infraspot.core.matching import best_matching
from infraspot.metrics.frame import FrameRecord
from infraspot.metrics.pairing import centroid_distances, pair_cost, pair_ious
from infraspot.metrics.protocols import Protocol

LEAST_OVERLAP = 0.5


@dataclass(frozen=True)
class HierarchyCounts:
    """What one frame adds to hIoU and to its error split.

    Attributes
    ----------
    tp, fp, fn
        Pairs, detections without a target, targets without a detection.
    iou, merging, interference, perception
        Sums over the pairs, in shares of the pair's union: the overlap; false pixels on other targets; false
        pixels on background; missed pixels. They add up to ``tp``.
    clutter, missed
        Detections and targets that no gate links to anything.
    many_to_one, one_to_many
        Further detections of a target that is paired already; targets whose detection is paired already.
    """

    tp: float = 0.0
    fp: float = 0.0
    fn: float = 0.0
    iou: float = 0.0
    merging: float = 0.0
    interference: float = 0.0
    perception: float = 0.0
    clutter: float = 0.0
    missed: float = 0.0
    many_to_one: float = 0.0
    one_to_many: float = 0.0


HIERARCHY_FIELDS = tuple(field.name for field in fields(HierarchyCounts))


def count_hierarchy(record: FrameRecord, protocol: Protocol) -> HierarchyCounts:
    """Pair the components of one frame and split its errors.

    ``gated``: the gates act before the assignment, which takes the most pairs, then the least distance.
    ``compat`` repeats the released program: an assignment over all distances, of which only the pairs that
    pass the gate are kept (so that a far pair can displace a good one), and a phantom target or detection
    that an empty side adds.
    """
    targets, found = record.targets, record.detections
    if not len(targets) or not len(found):
        phantom = protocol.hierarchy == "compat"
        lone = float(len(found) or (phantom and not len(found)))
        missed = float(len(targets) or (phantom and not len(targets)))
        return HierarchyCounts(fp=lone, fn=missed, clutter=lone, missed=missed)
    distances = centroid_distances(targets, found)
    ious = pair_ious(targets, found, record.shared)
    overlap, close = ious >= LEAST_OVERLAP, distances < protocol.limit
    pair = _pair_compat if protocol.hierarchy == "compat" else _pair_gated
    match = pair(pair_cost(distances, found.areas), overlap, close)
    linked = overlap | close
    tp = int(np.count_nonzero(match >= 0))
    fp, fn = len(found) - tp, len(targets) - tp
    clutter = int(np.count_nonzero(~linked.any(axis=0)))
    missed = int(np.count_nonzero(~linked.any(axis=1)))
    return HierarchyCounts(
        tp, fp, fn, *_split_pairs(record, match, ious), clutter, missed, fp - clutter, fn - missed
    )


def _split_pairs(
    record: FrameRecord, match: NDArray[np.int64], ious: NDArray[np.float64]
) -> tuple[float, float, float, float]:
    """Sums over the pairs of overlap, merging, interference and perception."""
    rows = np.flatnonzero(match >= 0)
    columns = match[rows]
    shared = np.zeros(ious.shape, np.int64)
    shared[record.shared[:, 0], record.shared[:, 1]] = record.shared[:, 2]
    common = shared[rows, columns]
    on_targets = shared.sum(axis=0)[columns]
    union = record.targets.areas[rows] + record.detections.areas[columns] - common
    return (
        float(ious[rows, columns].sum()),
        float(((on_targets - common) / union).sum()),
        float(((record.detections.areas[columns] - on_targets) / union).sum()),
        float(((record.targets.areas[rows] - common) / union).sum()),
    )


def _pair_gated(
    cost: NDArray[np.float64], overlap: NDArray[np.bool_], close: NDArray[np.bool_]
) -> NDArray[np.int64]:
    match = best_matching(cost, overlap)
    free = np.ones(cost.shape[1], np.bool_)
    free[match[match >= 0]] = False
    second = best_matching(cost, close & free[None, :] & (match < 0)[:, None])
    return np.where(match >= 0, match, second)


def _pair_compat(
    cost: NDArray[np.float64], overlap: NDArray[np.bool_], close: NDArray[np.bool_]
) -> NDArray[np.int64]:
    from scipy.optimize import linear_sum_assignment

    match = np.full(len(cost), -1, np.int64)
    if overlap.any():
        rows, columns = linear_sum_assignment(cost)
        kept = overlap[rows, columns]
        match[rows[kept]] = columns[kept]
    rows = np.flatnonzero(match < 0)
    columns = np.setdiff1d(np.arange(cost.shape[1]), match)
    picked_rows, picked_columns = linear_sum_assignment(cost[np.ix_(rows, columns)])
    for row, column in zip(rows[picked_rows], columns[picked_columns], strict=True):
        if close[row, column]:
            match[row] = column
    return match
