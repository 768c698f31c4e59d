"""hIoU: how well targets are found times how well the found ones are drawn, and where each loses.

hIoU = (sum of IoU over the pairs / TP) * TP / (TP + FP + FN), after Pang et al., "Rethinking evaluation of
infrared small target detection" (2025). Pairs overlap by at least half; what is left is paired by distance.
"""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from infraspot.core.matching import best_matching
from infraspot.metrics.frame import FrameRecord
from infraspot.metrics.pairing import PairTable, match_by_distance, pair_cost
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


def count_hierarchy(record: FrameRecord, protocol: Protocol, pairs: PairTable) -> HierarchyCounts:
    """Pair the components of one frame and split its errors; ``pairs`` reach the protocol's radius.

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
    compat = protocol.hierarchy == "compat"
    match = _pair_compat(record, protocol) if compat else _pair_gated(record, protocol, pairs)
    linked = (pairs.ious >= LEAST_OVERLAP) | (pairs.distances < protocol.limit)
    tp = int(np.count_nonzero(match >= 0))
    fp, fn = len(found) - tp, len(targets) - tp
    clutter = len(found) - len(np.unique(pairs.columns[linked]))
    missed = len(targets) - len(np.unique(pairs.rows[linked]))
    return HierarchyCounts(
        tp, fp, fn, *_split_pairs(record, match, pairs), clutter, missed, fp - clutter, fn - missed
    )


def _split_pairs(
    record: FrameRecord, match: NDArray[np.int64], pairs: PairTable
) -> tuple[float, float, float, float]:
    """Sums over the matched pairs of overlap, merging, interference and perception."""
    kept = match[pairs.rows] == pairs.columns
    common, rows, columns = pairs.shared[kept], pairs.rows[kept], pairs.columns[kept]
    on_targets = np.bincount(pairs.columns, weights=pairs.shared, minlength=pairs.shape[1])[columns]
    union = record.targets.areas[rows] + record.detections.areas[columns] - common
    return (
        float(pairs.ious[kept].sum()),
        float(((on_targets - common) / union).sum()),
        float(((record.detections.areas[columns] - on_targets) / union).sum()),
        float(((record.targets.areas[rows] - common) / union).sum()),
    )


def _pair_gated(record: FrameRecord, protocol: Protocol, pairs: PairTable) -> NDArray[np.int64]:
    """By overlap first; what is left, by distance."""
    found = record.detections
    overlap = pairs.ious >= LEAST_OVERLAP
    cost = pair_cost(pairs.distances, found.areas[pairs.columns])
    match = best_matching(pairs.rows[overlap], pairs.columns[overlap], cost[overlap], pairs.shape)
    targets_left = np.flatnonzero(match < 0)
    found_left = np.setdiff1d(np.arange(len(found)), match)
    rest = match_by_distance(record.targets.take(targets_left), found.take(found_left), protocol.limit)
    paired = rest >= 0
    match[targets_left[paired]] = found_left[rest[paired]]
    return match


def _pair_compat(record: FrameRecord, protocol: Protocol) -> NDArray[np.int64]:
    """The released rule assigns over all pairs, so that its time and memory grow with their number."""
    from scipy.optimize import linear_sum_assignment

    targets, found = record.targets, record.detections
    gap = targets.centroids[:, None, :] - found.centroids[None, :, :]
    distances = np.hypot(gap[..., 0], gap[..., 1])
    cost = pair_cost(distances, found.areas)
    overlap = np.zeros(cost.shape, np.bool_)
    row, column, pixels = record.shared.T
    overlap[row, column] = pixels / (targets.areas[row] + found.areas[column] - pixels) >= LEAST_OVERLAP
    match = np.full(len(cost), -1, np.int64)
    if overlap.any():
        rows, columns = linear_sum_assignment(cost)
        kept = overlap[rows, columns]
        match[rows[kept]] = columns[kept]
    rows = np.flatnonzero(match < 0)
    columns = np.setdiff1d(np.arange(cost.shape[1]), match)
    picked_rows, picked_columns = linear_sum_assignment(cost[np.ix_(rows, columns)])
    for row, column in zip(rows[picked_rows], columns[picked_columns], strict=True):
        if distances[row, column] < protocol.limit:
            match[row] = column
    return match
