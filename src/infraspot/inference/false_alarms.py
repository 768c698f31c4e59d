"""The threshold of a model for a wanted rate of false alarms, from what was measured on held-out frames."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import dropwhile, takewhile
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from infraspot.core.errors import DataError, UsageError
from infraspot.core.sample import Sample
from infraspot.inference.predictor import TargetEngine, predict

if TYPE_CHECKING:
    from infraspot.inference.engines import Engine
    from infraspot.metrics.sweep import SweepCounts


def measure_false_alarms(
    engine: "Engine | TargetEngine", samples: Iterable[Sample], data: str
) -> dict[str, Any]:
    """Measure the false alarms and the Pd of an engine at many thresholds.

    Parameters
    ----------
    samples
        Frames with masks that were not trained on.
    data
        Says which frames these are; it goes into the card.

    Returns
    -------
    ``{"data", "megapixels", "targets", "curve"}``; the curve's rows are (threshold, false alarms in 10^6
    pixels, Pd) under the protocol ``infraspot``.

    Raises
    ------
    DataError
        If no sample has a mask with a target.
    """
    from infraspot.metrics.sweep import DEFAULT_THRESHOLDS, SweepCounts

    counts = sum(
        count_frames(engine, samples, DEFAULT_THRESHOLDS), start=SweepCounts.empty(DEFAULT_THRESHOLDS)
    )
    return false_alarms_of(counts, data)


def count_frames(
    engine: "Engine | TargetEngine", samples: Iterable[Sample], thresholds: NDArray[np.float64]
) -> Iterator["SweepCounts"]:
    """The counts of each frame that has a mask at every threshold, under the protocol ``infraspot``."""
    from infraspot.metrics import Evaluation

    evaluation = Evaluation("infraspot", thresholds=thresholds)
    for sample in samples:
        if sample.mask is not None:
            measured = evaluation.measure(predict(engine, sample), sample.mask, id=sample.id)
            assert measured.sweep is not None
            yield measured.sweep


def false_alarms_of(counts: "SweepCounts", data: str) -> dict[str, Any]:
    """Counts as the ``false_alarms`` of a card (see :func:`measure_false_alarms`)."""
    if not counts.targets:
        raise DataError(f"{data}: expected frames with masks and targets to calibrate on, and there are none")
    megapixels = counts.pixels / 1e6
    rates, hits = counts.column("false") / megapixels, counts.column("hits") / counts.targets
    curve = [
        [float(threshold), round(float(rate), 4), round(float(pd), 4)]
        for threshold, rate, pd in zip(counts.thresholds, rates, hits, strict=True)
    ]
    return {"data": data, "megapixels": round(megapixels, 3), "targets": counts.targets, "curve": curve}


def threshold_for(fa_per_mpx: float, card: dict[str, Any], model: str) -> float:
    """The threshold at which no more than ``fa_per_mpx`` false alarms a megapixel were seen.

    Blobs split, so that the rate need not fall with the threshold. The lowest threshold of the highest range
    that keeps to the rate is taken.

    Parameters
    ----------
    fa_per_mpx
        Wanted unmatched detections in 10^6 pixels.
    card
        Of the model; ``card["false_alarms"]`` holds ``megapixels``, ``data`` and ``curve``: rows of
        (threshold, false alarms a megapixel, Pd) with rising thresholds.

    Raises
    ------
    UsageError
        If the model was not calibrated, the rate is lower than the frames could show, or no threshold meets
        it that still finds targets.
    """
    calibration = card.get("false_alarms")
    if not calibration:
        raise UsageError(f"the model {model} carries no calibration; give --threshold, not --fa-per-mpx")
    least = 1 / calibration["megapixels"]
    if fa_per_mpx < least:
        raise UsageError(
            f"--fa-per-mpx {fa_per_mpx:g} is below what the {calibration['megapixels']:.1f} Mpx of"
            f" {calibration['data']} can show ({least:.2g}); ask for more, or give --threshold"
        )
    # At the highest threshold nothing is found: that meets every rate, and helps nobody.
    useful = [row for row in calibration["curve"] if row[2] > 0]
    falling = dropwhile(lambda row: row[1] > fa_per_mpx, reversed(useful))
    kept = [threshold for threshold, _, _ in takewhile(lambda row: row[1] <= fa_per_mpx, falling)]
    if not kept:
        raise UsageError(_unmet(fa_per_mpx, useful, calibration["data"], model))
    return float(kept[-1])


def _unmet(fa_per_mpx: float, useful: Sequence[Sequence[float]], data: str, model: str) -> str:
    """What the model can do instead of a rate that it cannot meet."""
    if not useful:
        return f"the model {model} found no target of {data} at any threshold; give --threshold"
    threshold, rate, pd = min(useful, key=lambda row: row[1])
    return (
        f"the model {model} cannot keep to --fa-per-mpx {fa_per_mpx:g}: its lowest rate on {data} is"
        f" {rate:.3g} false alarms a megapixel, at the threshold {threshold:g}, where it found"
        f" {100 * pd:.0f} % of the targets; ask for that rate, or give --threshold"
    )
