"""Predictions that are lists of scored targets: what they add to the numbers that count targets.

The area of a false alarm is the area of its box. Numbers that count predicted pixels do not exist.
"""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infraspot.core.errors import InputError
from infraspot.core.matching import near_boxes
from infraspot.core.prediction import Prediction
from infraspot.metrics.frame import FrameRecord
from infraspot.metrics.inputs import as_truth
from infraspot.metrics.pairing import false_area, match_by_distance
from infraspot.metrics.protocols import Protocol
from infraspot.metrics.regions import Regions, find_regions
from infraspot.metrics.sweep import COLUMNS, SweepCounts


def count_targets(
    prediction: Prediction,
    truth: Any,
    protocol: Protocol,
    *,
    id: str = "",
    ratios: NDArray[np.float64] | None = None,
) -> FrameRecord:
    """Count one frame of a detector that gives targets.

    Parameters
    ----------
    prediction
        With ``candidates``.
    truth
        (H, W) mask, as :func:`infraspot.metrics.frame.score_frame` takes it.

    Raises
    ------
    InputError
        If the sizes differ, or the protocol compares pixels.
    """
    name = id or "the frame"
    if protocol.rule != "distance" or protocol.grid is not None or protocol.normalise:
        raise InputError(
            f"{name}: protocol {protocol.name} needs a score for every pixel, and this detector gives targets"
            " only; use infraspot, basicirstd, voc07, voc12 or coco"
        )
    mask = as_truth(truth, name=name)
    if prediction.shape != mask.shape:
        raise InputError(
            f"{name}: the prediction is {prediction.shape[1]}x{prediction.shape[0]} and the truth"
            f" {mask.shape[1]}x{mask.shape[0]}; give boxes in pixels of the truth"
        )
    targets, pixels = find_regions(mask, connectivity=protocol.connectivity)
    labels = np.full(mask.size, -1, np.int64)
    labels[pixels.index] = pixels.labels
    proposed = _as_regions(prediction)
    found = proposed.take(_above(proposed, protocol))
    match = match_by_distance(targets, found, protocol.limit, greedy=protocol.assignment == "greedy")
    hit, false = match >= 0, np.ones(len(found), np.bool_)
    false[match[hit]] = False
    return FrameRecord(
        id=id,
        pixels=mask.size,
        targets=targets,
        detections=found,
        shared=_covered_pixels(labels.reshape(mask.shape), targets, found),
        match=match,
        hit=hit,
        false=false,
        false_area=false_area(found.areas, ~false, protocol),
        ratios=np.full(len(targets), np.nan) if ratios is None else ratios,
        candidates=proposed,
    )


def sweep_targets(record: FrameRecord, protocol: Protocol, thresholds: NDArray[np.float64]) -> SweepCounts:
    """Targets hit and false alarms at every threshold, from the record of one frame."""
    proposed = record.candidates
    assert proposed is not None
    table, before = np.zeros((len(thresholds), len(COLUMNS)), np.int64), -1
    for step, threshold in enumerate(thresholds):
        chosen = _above(proposed, protocol.at(float(threshold)))
        if len(chosen) == before:
            table[step] = table[step - 1]
            continue
        before, found = len(chosen), proposed.take(chosen)
        match = match_by_distance(
            record.targets, found, protocol.limit, greedy=protocol.assignment == "greedy"
        )
        matched = np.zeros(len(found), np.bool_)
        matched[match[match >= 0]] = True
        hits = int(matched.sum())
        table[step, 2:] = len(found), hits, len(found) - hits, false_area(found.areas, matched, protocol)
    counts = SweepCounts.empty(thresholds)
    return replace(
        counts,
        table=table,
        frames=1,
        pixels=record.pixels,
        true_pixels=record.true_pixels,
        targets=len(record.targets),
        by_pixel=False,
    )


def _as_regions(prediction: Prediction) -> Regions:
    """The candidates in raster order of their boxes."""
    listed = sorted(prediction.candidates or (), key=lambda one: (one.box[1], one.box[0], one.y, one.x))
    return Regions(
        np.array([one.area for one in listed], np.int64),
        np.array([(one.y, one.x) for one in listed], np.float64).reshape(-1, 2),
        np.array([one.box for one in listed], np.float64).reshape(-1, 4),
        np.array([one.score for one in listed], np.float64),
    )


def _above(proposed: Regions, protocol: Protocol) -> NDArray[np.int64]:
    level = protocol.threshold
    return np.flatnonzero(proposed.peaks >= level if protocol.inclusive else proposed.peaks > level)


def _covered_pixels(labels: NDArray[np.int64], targets: Regions, found: Regions) -> NDArray[np.int64]:
    """(K, 3) int64: target, detection, and how many of the target's pixels have their centres in the box."""
    rows, columns = near_boxes(targets.boxes, found.boxes, 0)
    corners = np.maximum(np.ceil(found.boxes - 0.5), 0).astype(np.int64)
    shared = np.zeros((len(rows), 3), np.int64)
    for k, (row, column) in enumerate(zip(rows.tolist(), columns.tolist(), strict=True)):
        x0, y0, x1, y1 = corners[column]
        shared[k] = row, column, np.count_nonzero(labels[y0:y1, x0:x1] == row)
    return shared[shared[:, 2] > 0]
