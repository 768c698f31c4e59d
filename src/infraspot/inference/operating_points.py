"""Operating points: thresholds with a name, and what each of them gives."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from infraspot.core.errors import UsageError, unknown_name
from infraspot.core.sample import Sample
from infraspot.inference.false_alarms import count_frames, false_alarms_of

if TYPE_CHECKING:
    from infraspot.inference.engines import Engine
    from infraspot.metrics.sweep import SweepCounts

DEFAULT_POINT = "balanced"


def threshold_at(point: str, card: Mapping[str, Any], model: str) -> float:
    """The threshold of an operating point that a model's card names.

    Raises
    ------
    UsageError
        If the card names no such point.
    """
    return float(_point(point, card, model)["threshold"])


def rate_at(point: str, card: Mapping[str, Any], model: str) -> float:
    """The false alarms a megapixel that an operating point was chosen for.

    Raises
    ------
    UsageError
        If the card names no such point, or no rate for it.
    """
    points = card.get("operating_points")
    rate = _point(point, card, model).get("fa_per_mpx") if points else None
    if rate is None:
        raise UsageError(f"{model} names no rate of false alarms for its point {point}; give --fa-per-mpx")
    return float(rate)


def _point(point: str, card: Mapping[str, Any], model: str) -> Mapping[str, Any]:
    points: Mapping[str, Mapping[str, Any]] | None = card.get("operating_points")
    if not points:
        raise UsageError(f"the model {model} names no operating points; give --threshold")
    if point not in points:
        raise unknown_name("operating point", point, points)
    return points[point]


def measure_points(
    engine: "Engine", sets: Mapping[str, Iterable[Sample]], points: Mapping[str, float]
) -> dict[str, Any]:
    """Measure a model at named thresholds, and at every other one.

    Parameters
    ----------
    engine
        See :mod:`infraspot.inference.engines`.
    sets
        Frames with masks that were not trained on, by a name that goes into the card.
    points
        Thresholds by name.

    Returns
    -------
    ``operating_points`` of a card and, where there are targets, its ``false_alarms`` over all sets together.
    """
    from infraspot.metrics.sweep import DEFAULT_THRESHOLDS, SweepCounts

    levels = np.union1d(DEFAULT_THRESHOLDS, list(points.values()))
    counted = {data: list(count_frames(engine, samples, levels)) for data, samples in sets.items()}
    whole = sum((one for counts in counted.values() for one in counts), start=SweepCounts.empty(levels))
    named: dict[str, Any] = {}
    for name, threshold in points.items():
        row = int(np.searchsorted(levels, threshold))
        measured = [_measured(data, counts, row) for data, counts in counted.items() if counts]
        named[name] = {"threshold": threshold, "measured": measured}
    measures: dict[str, Any] = {"operating_points": named}
    return measures | ({"false_alarms": false_alarms_of(whole, ", ".join(counted))} if whole.targets else {})


def _measured(data: str, counts: "Sequence[SweepCounts]", row: int) -> dict[str, Any]:
    false = np.array([one.column("false")[row] for one in counts])
    hits, targets = sum(int(one.column("hits")[row]) for one in counts), sum(one.targets for one in counts)
    return {
        "data": data,
        "frames": len(counts),
        "targets": targets,
        "pd": round(hits / targets, 4) if targets else None,
        "false_per_frame": round(float(false.mean()), 4),
        "false_per_mpx": round(float(false.sum()) / (sum(one.pixels for one in counts) / 1e6), 4),
        "clean": round(float((false == 0).mean()), 4),
    }
