"""Operating points: thresholds with a name, and what each of them gives."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from infraspot.core.errors import UsageError, unknown_name
from infraspot.core.sample import Sample
from infraspot.inference.false_alarms import count_frames, false_alarms_of, lowest_within

if TYPE_CHECKING:
    from infraspot.inference.engines import Engine
    from infraspot.metrics.sweep import SweepCounts

DEFAULT_POINT = "balanced"
ASKED = (0.1, 0.2, 0.5, 1.0, 2.0)  # false alarms a megapixel
RUNS = 10

Counted = dict[str, "list[SweepCounts]"]


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
        raise UsageError(f"the model {model} names no operating points; without one, its own threshold holds")
    if point not in points:
        raise unknown_name("operating point", point, points)
    return points[point]


def count_sets(engine: "Engine", sets: Mapping[str, Iterable[Sample]]) -> Counted:
    """Counts at many thresholds for each frame with a mask, in the order of the frames' names.

    Parameters
    ----------
    engine
        See :mod:`infraspot.inference.engines`.
    sets
        Frames that were not trained on, by a name that goes into the card.
    """
    from infraspot.metrics.sweep import DEFAULT_THRESHOLDS

    counted = {}
    for data, samples in sets.items():
        rows = [
            (sample.id, counts)
            for sample in samples
            for counts in count_frames(engine, [sample], DEFAULT_THRESHOLDS)
        ]
        counted[data] = [counts for _, counts in sorted(rows, key=lambda row: row[0])]
    return counted


def choose_points(
    counted: Counted, rates: Mapping[str, float]
) -> tuple[dict[str, dict[str, float]], dict[str, Any] | None]:
    """Thresholds with a name, by the false alarms a megapixel of the counted frames.

    Where no threshold keeps to a rate, the highest one that finds anything is taken.

    Returns
    -------
    ``threshold`` and ``fa_per_mpx`` of each name, and the ``false_alarms`` of a card; None without targets.
    """
    whole = _together(counted)
    points = {
        name: {"threshold": _threshold(whole, rate), "fa_per_mpx": rate} for name, rate in rates.items()
    }
    return points, false_alarms_of(whole, ", ".join(counted)) if whole.targets else None


def measure_at(
    counted: Counted, points: Mapping[str, Mapping[str, float]]
) -> dict[str, list[dict[str, Any]]]:
    """What each point gives on each set that holds frames: the rows ``measured`` of a card."""
    return {
        name: [_measured(data, counts, point["threshold"]) for data, counts in counted.items() if counts]
        for name, point in points.items()
    }


def in_halves(counted: Counted) -> tuple[Counted, Counted]:
    """Every other run of frames, and the runs between; names that are alike stay together."""
    halves: tuple[Counted, Counted] = ({}, {})
    for data, counts in counted.items():
        run = [place * RUNS // len(counts) % 2 for place in range(len(counts))]
        for half in (0, 1):
            halves[half][data] = [one for one, which in zip(counts, run, strict=True) if which == half]
    return halves


def compare_asked(pairs: Sequence[tuple[Counted, Counted]], data: str) -> dict[str, Any]:
    """False alarms a megapixel that were asked for, and what other frames gave.

    Parameters
    ----------
    pairs
        Frames that a threshold is chosen on, and those that it is judged by; pairs are added up.

    Returns
    -------
    ``data``, and ``rows`` of asked rate, given rate and Pd (None without targets).
    """
    rows = []
    for rate in ASKED:
        false = hits = targets = 0
        megapixels = 0.0
        for known, judged in pairs:
            whole = _together(judged)
            row = _row_of(whole, _threshold(_together(known), rate))
            false, hits = false + row["false"], hits + row["hits"]
            targets, megapixels = targets + whole.targets, megapixels + whole.pixels / 1e6
        given = round(false / megapixels, 4) if megapixels else None
        rows.append([rate, given, round(hits / targets, 4) if targets else None])
    return {"data": data, "rows": rows}


def _together(counted: Counted) -> "SweepCounts":
    from infraspot.metrics.sweep import DEFAULT_THRESHOLDS, SweepCounts

    every = (one for counts in counted.values() for one in counts)
    return sum(every, start=SweepCounts.empty(DEFAULT_THRESHOLDS))


def _threshold(counts: "SweepCounts", rate: float) -> float:
    """The lowest threshold of the highest range that keeps to a rate; the highest below 1 if none does."""
    rates = counts.column("false") / max(counts.pixels / 1e6, 1e-9)
    curve = list(zip(counts.thresholds.tolist(), rates.tolist(), strict=True))[:-1]
    found = lowest_within(rate, curve)
    return float((found or curve[-1])[0])


def _row_of(counts: "SweepCounts", threshold: float) -> dict[str, int]:
    row = int(np.searchsorted(counts.thresholds, threshold))
    return {name: int(counts.column(name)[row]) for name in ("false", "hits")}


def _measured(data: str, counts: "Sequence[SweepCounts]", threshold: float) -> dict[str, Any]:
    rows = [_row_of(one, threshold) for one in counts]
    false = np.array([row["false"] for row in rows])
    hits, targets = sum(row["hits"] for row in rows), sum(one.targets for one in counts)
    return {
        "data": data,
        "frames": len(counts),
        "targets": targets,
        "pd": round(hits / targets, 4) if targets else None,
        "false_per_frame": round(float(false.mean()), 4),
        "false_per_mpx": round(float(false.sum()) / (sum(one.pixels for one in counts) / 1e6), 4),
        "clean": round(float((false == 0).mean()), 4),
    }
