"""Operating curves of a set, from summed sweeps: Pd against false alarms (FROC), and points on them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from infraspot.metrics.reduction import divide
from infraspot.metrics.sweep import SweepCounts

FALSE_ALARMS_PER_IMAGE = (0.01, 0.1, 1.0)
FALSE_AREAS = (1e-6, 1e-5, 1e-4)


def operating_curve(sweep: SweepCounts) -> dict[str, NDArray[np.float64]]:
    """(L,) arrays over the thresholds; fractions, NaN where a number does not exist."""
    common, predicted = sweep.column("common"), sweep.column("predicted")
    hits, false = sweep.column("hits"), sweep.column("false")
    curve = {
        "threshold": sweep.thresholds,
        "iou": divide(common, sweep.true_pixels + predicted - common),
        "precision": divide(common, predicted),
        "recall": divide(common, np.full(len(common), sweep.true_pixels)),
        "pd": divide(hits, np.full(len(hits), sweep.targets)),
        "fa_area": divide(sweep.column("false_area"), sweep.pixels),
        "fa_pixel": divide(predicted - common, sweep.pixels),
        "false_alarms_per_image": divide(false, sweep.frames),
        "target_f1": divide(2 * hits, sweep.targets + hits + false),
    }
    if not sweep.by_pixel:
        curve |= {name: np.full(len(common), np.nan) for name in ("iou", "precision", "recall", "fa_pixel")}
    return curve


def average_precision_of(sweep: SweepCounts) -> float:
    """Area under the precision envelope of the targets over all thresholds; NaN without targets.

    Each threshold is a point: found over all targets, and found over found and false ones. Unlike the average
    precision of the components at one threshold, it takes in what lies below that threshold.
    """
    if not sweep.targets:
        return float("nan")
    hits, false = (sweep.column(name)[::-1].astype(np.float64) for name in ("hits", "false"))
    order = np.argsort(hits, kind="stable")  # components merge, so that hits may fall with the threshold
    recall, precision = hits[order] / sweep.targets, divide(hits, hits + false)[order]
    envelope = np.maximum.accumulate(np.nan_to_num(precision)[::-1])[::-1]
    return float((np.diff(recall, prepend=0.0) * envelope).sum())


def operating_points(curve: dict[str, NDArray[np.float64]]) -> dict[str, Any]:
    """The best Pd within each allowance of false alarms, with its threshold, and the thresholds of best IoU
    and F1.

    Pd and Fa are not monotone in the threshold (components merge as it falls), so the best Pd is sought over
    all thresholds within the allowance. A threshold that is chosen on the images that it is scored on
    flatters: choose it on validation images.
    """
    return {
        "pd_at_false_alarms_per_image": [
            _best_within(curve, "false_alarms_per_image", limit) for limit in FALSE_ALARMS_PER_IMAGE
        ],
        "pd_at_fa_area": [_best_within(curve, "fa_area", limit) for limit in FALSE_AREAS],
        "best_iou": _best(curve, "iou"),
        "best_target_f1": _best(curve, "target_f1"),
    }


def _best_within(curve: dict[str, NDArray[np.float64]], name: str, limit: float) -> dict[str, float]:
    within = np.flatnonzero(curve[name] <= limit)[::-1]  # of equals, the highest threshold
    if not within.size or np.isnan(curve["pd"][within]).all():
        return {"limit": limit, "pd": float("nan"), "threshold": float("nan")}
    best = within[np.nanargmax(curve["pd"][within])]
    return {
        "limit": limit,
        "pd": float(curve["pd"][best]),
        "threshold": float(curve["threshold"][best]),
    }


def _best(curve: dict[str, NDArray[np.float64]], name: str) -> dict[str, float]:
    if np.isnan(curve[name]).all():
        return {"value": float("nan"), "threshold": float("nan")}
    best = int(np.nanargmax(curve[name]))
    return {"value": float(curve[name][best]), "threshold": float(curve["threshold"][best])}
