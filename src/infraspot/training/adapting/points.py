"""Operating points for the new camera: thresholds by the false alarms that its frames would give."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from infraspot.inference.false_alarms import CERTAIN
from infraspot.inference.operating_points import DEFAULT_POINT
from infraspot.metrics.sweep import DEFAULT_THRESHOLDS, SweepCounts
from infraspot.training.adapting.judging import Counts, Seen, expected_false, figures_at, worths

LOWEST = 0.15  # threshold: of what scores less, six of seven are false
HIGHEST = 0.95  # threshold by held-out shots: higher scores differ from tuning to tuning
NEARLY = 0.9  # of the best worth
USUAL = {"quiet": 0.1, "balanced": 0.4, "keen": 1.0}


def wanted_rates(card: Mapping[str, Any], fa_per_mpx: float | None) -> dict[str, float]:
    """The rates that operating points are chosen for: those of the card, the middle one as asked for."""
    named = {
        name: float(point["fa_per_mpx"])
        for name, point in card.get("operating_points", {}).items()
        if point.get("fa_per_mpx") is not None
    }
    rates = named or dict(USUAL)
    return rates if fa_per_mpx is None else {**rates, DEFAULT_POINT: fa_per_mpx}


def choose_thresholds(
    rates: Mapping[str, float], labelled: Counts, empty: Sequence[Seen], unknown: Sequence[Seen]
) -> dict[str, float]:
    """The lowest threshold that keeps to each rate, over the frames of the new camera.

    False alarms of labelled frames and of empty ones are counted. Where there are no labelled ones, and the
    empty ones are too few to show a rate, the false alarms that are expected in unknown frames count too: of
    candidates that score 0.8, one in five is false. Where no threshold keeps to a rate, the highest is taken
    that leaves anything. Labelled frames bound all of them: no threshold is above 0.95, nor costs more than a
    tenth of what the best one is worth, since they were counted by models that were tuned apart.
    """
    whole = sum(labelled, start=SweepCounts.empty(DEFAULT_THRESHOLDS))
    counted = whole.column("false") + expected_false(empty, True)
    expected = expected_false(unknown, False)
    sizes = [
        whole.pixels / 1e6 + sum(seen.megapixels for seen in empty),
        sum(seen.megapixels for seen in unknown),
    ]
    seen = np.concatenate([np.zeros(0), *(one.scores for one in (*unknown, *empty))])
    left = whole.column("hits") + (seen[:, None] >= DEFAULT_THRESHOLDS).sum(0)
    end = HIGHEST + 1e-9 if labelled else 1.0
    levels = DEFAULT_THRESHOLDS
    usable = np.flatnonzero((left > 0) & (levels >= LOWEST) & (levels < end))
    if not len(usable):  # nothing is found in any of them, at any threshold
        return dict.fromkeys(rates, 0.5)
    highest, bound = usable[-1], _bound(labelled)
    thresholds = {}
    for name, rate in rates.items():
        shows = bool(labelled) or sizes[0] * rate >= CERTAIN or not unknown
        false, megapixels = (counted, sizes[0]) if shows else (counted + expected, sum(sizes))
        kept = [row for row in usable if (false[row : highest + 1] <= rate * megapixels + 1e-9).all()]
        row = min(kept[0] if kept else highest, bound)
        thresholds[name] = float(DEFAULT_THRESHOLDS[row])
    return thresholds


def _bound(labelled: Counts) -> int:
    """The place of the highest threshold that is nearly as good as the best for labelled frames."""
    if not labelled:
        return len(DEFAULT_THRESHOLDS)
    values = worths(labelled)[:-1]
    return int(np.flatnonzero(values >= NEARLY * values.max())[-1])


def described_points(
    thresholds: Mapping[str, float], rates: Mapping[str, float], labelled: Counts, data: str
) -> dict[str, dict[str, Any]]:
    """The ``operating_points`` of a card, with what each gave on held-out shots."""
    points: dict[str, dict[str, Any]] = {}
    for name, threshold in thresholds.items():
        points[name] = {"threshold": threshold, "fa_per_mpx": rates[name], "measured": []}
        if labelled:
            row = figures_at(labelled, threshold)
            clean = float(np.mean([figures_at([one], threshold).false_per_frame == 0 for one in labelled]))
            points[name]["measured"] = [
                {
                    "data": data,
                    "frames": row.frames,
                    "targets": row.targets,
                    "pd": row.pd,
                    "false_per_frame": row.false_per_frame,
                    "false_per_mpx": row.false_per_mpx,
                    "clean": round(clean, 4),
                }
            ]
    return points
