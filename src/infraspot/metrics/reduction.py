"""From per-frame counts to numbers: one row of sums a frame, and ratios of their totals."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infraspot.metrics.frame import FrameRecord
from infraspot.metrics.hierarchy import HIERARCHY_FIELDS, count_hierarchy
from infraspot.metrics.pairing import PairTable
from infraspot.metrics.protocols import Protocol

BASIC = (
    "frames",
    "pixels",
    "common",
    "predicted",
    "true",
    "targets",
    "hits",
    "false",
    "false_area",
    "frame_iou",
    "frame_ious",
)
COLUMNS = BASIC + tuple(f"h_{name}" for name in HIERARCHY_FIELDS)

INTERVALS = (
    "iou",
    "niou",
    "precision",
    "recall",
    "f1",
    "pd",
    "fa_area",
    "fa_pixel",
    "false_alarms_per_image",
    "false_alarms_per_megapixel",
    "target_precision",
    "target_f1",
    "hiou",
)
"""Numbers that get a bootstrap interval."""

DRAWS_AT_ONCE = 100

REASONS = {
    "iou": "no target and no predicted pixel in the set",
    "niou": "every image is empty and so is its prediction",
    "precision": "no predicted pixel in the set",
    "recall": "no targets in the set",
    "f1": "no target and no predicted pixel in the set",
    "pd": "no targets in the set",
    "target_precision": "no detection in the set",
    "target_recall": "no targets in the set",
    "target_f1": "no target and no detection in the set",
    "hiou": "no target and no detection in the set",
    "seg_iou": "no target was found",
    "loc_iou": "no target and no detection in the set",
    "ap": "no targets in the set",
}
"""Why a number is not a number."""

NO_PIXELS = "the detector gives targets without a score for every pixel"
OF_PIXELS = frozenset(
    {"iou", "niou", "precision", "recall", "f1", "fa_pixel", "hiou", "seg_iou", "loc_iou"}
) | {
    *("seg_merging", "seg_interference", "seg_perception"),
    *("loc_clutter", "loc_missed", "loc_many_to_one", "loc_one_to_many"),
}
"""Numbers that count predicted pixels."""


def frame_iou(record: FrameRecord) -> float:
    """IoU of one frame; NaN where truth and prediction are empty, and without a score map."""
    if not record.by_pixel:
        return math.nan
    union = record.true_pixels + record.predicted_pixels - record.common_pixels
    return record.common_pixels / union if union else math.nan


def count_row(record: FrameRecord, protocol: Protocol, pairs: PairTable) -> NDArray[np.float64]:
    """(K,) float64, one number for each of ``COLUMNS``; rows of frames add up."""
    if not record.by_pixel:
        return _target_row(record)
    iou = frame_iou(record)
    empty = math.isnan(iou)
    counted = not empty or protocol.empty != "skip"
    hierarchy = count_hierarchy(record, protocol, pairs)
    return np.array(
        [
            1,
            record.pixels,
            record.common_pixels,
            record.predicted_pixels,
            record.true_pixels,
            len(record.targets),
            np.count_nonzero(record.hit),
            np.count_nonzero(record.false),
            record.false_area,
            (1.0 if protocol.empty == "one" else 0.0) if empty else iou,
            counted,
            *(getattr(hierarchy, name) for name in HIERARCHY_FIELDS),
        ],
        np.float64,
    )


def _target_row(record: FrameRecord) -> NDArray[np.float64]:
    """The row of a frame without a score map: NaN wherever predicted pixels count."""
    known = {
        "frames": 1,
        "pixels": record.pixels,
        "true": record.true_pixels,
        "targets": len(record.targets),
        "hits": np.count_nonzero(record.hit),
        "false": np.count_nonzero(record.false),
        "false_area": record.false_area,
    }
    return np.array([known.get(name, math.nan) for name in COLUMNS], np.float64)


def add_rows(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """(K,) totals of (N, K) rows, exact to the last bit, so that the order of the frames does not matter."""
    return np.array([math.fsum(column) for column in rows.T]) if len(rows) else np.zeros(len(COLUMNS))


def ratios(totals: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """The numbers of (..., K) totals, each (...) float64; NaN where there is nothing to divide by."""
    total = {name: totals[..., k] for k, name in enumerate(COLUMNS)}
    union = total["true"] + total["predicted"] - total["common"]
    hits, false = total["hits"], total["false"]
    pairs = total["h_tp"]
    everything = pairs + total["h_fp"] + total["h_fn"]
    return {
        "iou": divide(total["common"], union),
        "niou": divide(total["frame_iou"], total["frame_ious"]),
        "precision": divide(total["common"], total["predicted"]),
        "recall": divide(total["common"], total["true"]),
        "f1": divide(2 * total["common"], total["true"] + total["predicted"]),
        "pd": divide(hits, total["targets"]),
        "fa_area": divide(total["false_area"], total["pixels"]),
        "fa_pixel": divide(total["predicted"] - total["common"], total["pixels"]),
        "false_alarms_per_image": divide(false, total["frames"]),
        "false_alarms_per_megapixel": divide(false, total["pixels"] / 1e6),
        "target_precision": divide(hits, hits + false),
        "target_recall": divide(hits, total["targets"]),
        "target_f1": divide(2 * hits, total["targets"] + hits + false),
        "hiou": divide(total["h_iou"], everything),
        "seg_iou": divide(total["h_iou"], pairs),
        "loc_iou": divide(pairs, everything),
        "seg_merging": divide(total["h_merging"], pairs),
        "seg_interference": divide(total["h_interference"], pairs),
        "seg_perception": divide(total["h_perception"], pairs),
        "loc_clutter": divide(total["h_clutter"], everything),
        "loc_missed": divide(total["h_missed"], everything),
        "loc_many_to_one": divide(total["h_many_to_one"], everything),
        "loc_one_to_many": divide(total["h_one_to_many"], everything),
    }


def divide(numerator: Any, denominator: Any) -> NDArray[np.float64]:
    """Quotient; NaN where the denominator is 0."""
    top, bottom = np.broadcast_arrays(np.asarray(numerator, np.float64), np.asarray(denominator, np.float64))
    return np.divide(top, bottom, out=np.full(top.shape, np.nan), where=bottom != 0)


def bootstrap_intervals(
    rows: NDArray[np.float64], *, draws: int, seed: int = 0, level: float = 0.95
) -> dict[str, tuple[float, float]]:
    """Percentile intervals, drawing whole frames with replacement (Efron, 1979).

    Parameters
    ----------
    rows
        (N, K), one row a frame (see :func:`count_row`).
    draws
        Number of resampled sets; 1000 and more give two stable digits.
    """
    generator = np.random.default_rng(seed)
    count = len(rows)
    shares = np.full(count, 1 / count) if count else np.zeros(0)
    # In blocks, since the weights of a thousand draws from a hundred thousand frames would take 800 MB.
    blocks = [min(DRAWS_AT_ONCE, draws - done) for done in range(0, draws, DRAWS_AT_ONCE)]
    totals = [generator.multinomial(count, shares, size=size) @ rows for size in blocks if count]
    numbers = ratios(np.concatenate([np.zeros((0, len(COLUMNS))), *totals]))
    tail = (1 - level) / 2
    return {name: _interval(numbers[name], tail) for name in INTERVALS}


def _interval(values: NDArray[np.float64], tail: float) -> tuple[float, float]:
    known = values[~np.isnan(values)]
    if not known.size:
        return math.nan, math.nan
    low, high = np.quantile(known, [tail, 1 - tail])
    return float(low), float(high)


def jsonable(value: Any) -> Any:
    """The same value with arrays as lists and NaN as None, since JSON has no NaN."""
    if isinstance(value, Mapping):
        return {str(key): jsonable(one) for key, one in value.items()}
    if isinstance(value, np.ndarray):
        return jsonable(value.tolist())
    if isinstance(value, str):
        return value
    if isinstance(value, Sequence):
        return [jsonable(one) for one in value]
    if isinstance(value, np.generic):
        return jsonable(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
