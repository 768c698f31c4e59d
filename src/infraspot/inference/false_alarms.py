"""The threshold of a model for a wanted rate of false alarms, from what was measured on held-out frames."""

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import dropwhile, takewhile
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from infraspot.core.errors import DataError, UsageError, counted
from infraspot.core.sample import Sample
from infraspot.inference.predictor import TargetEngine, predict

CONFIDENCE = 0.95
LIKELY = 0.5  # the chance of a target, by a calibrated score, from which a frame may well not be empty
CERTAIN = -math.log(1 - CONFIDENCE)  # false alarms that show with this confidence, if there are any

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
    found = lowest_within(fa_per_mpx, useful)
    if found is None:
        raise UsageError(_unmet(fa_per_mpx, useful, calibration["data"], model))
    return float(found[0])


def known_at(threshold: float, fa_per_mpx: float, card: dict[str, Any]) -> str:
    """What the card says of a threshold that :func:`threshold_for` chose, as a sentence."""
    calibration = card["false_alarms"]
    _, rate, pd = next(row for row in calibration["curve"] if row[0] == threshold)
    return (
        f"asked for up to {fa_per_mpx:g} false alarms a megapixel: on {calibration['data']}, the threshold"
        f" {threshold:g} gave {rate:.3g}, and {100 * pd:.0f} % of the targets were found"
    )


def lowest_within(rate: float, curve: Sequence[Sequence[float]]) -> Sequence[float] | None:
    """Of the highest range of thresholds that keeps to a rate, the row of the lowest one."""
    falling = dropwhile(lambda row: row[1] > rate, reversed(curve))
    kept = list(takewhile(lambda row: row[1] <= rate, falling))
    return kept[-1] if kept else None


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


def calibrate_on(
    engine: "Engine | TargetEngine", frames: Iterable[Sample], fa_per_mpx: float
) -> dict[str, Any]:
    """The threshold at which frames without any target gave no more than a rate of false alarms.

    The threshold is chosen where the rate in these frames is met, not where the bound is: the bound says how
    far off the true rate may be. It is that of a Poisson process, and holds although the threshold was chosen
    on the same frames: the place of the (k + 1)-th highest score has k false alarms above it and a rate that
    is gamma distributed with k + 1 degrees. It takes frames as independent, which those of one video are not.

    Parameters
    ----------
    engine
        See :mod:`infraspot.inference.engines`.
    frames
        Frames of one camera that hold no target: whatever is found in them counts as false.
    fa_per_mpx
        Wanted false alarms in 10^6 pixels.

    Returns
    -------
    ``threshold``, ``frames``, ``megapixels``, ``asked``, ``false_alarms`` and ``rate`` at the threshold;
    ``upper``: with 95 % confidence the rate is below; and ``likely``: the names of frames in which something
    scores above 0.5, where the model's scores are calibrated. A target in a frame raises the threshold.

    Raises
    ------
    UsageError
        If the frames are too few to show the rate, or no threshold meets it.
    """
    from infraspot.metrics.sweep import DEFAULT_THRESHOLDS, SweepCounts

    counts, likely = SweepCounts.empty(DEFAULT_THRESHOLDS), list[str]()
    row = int(np.searchsorted(DEFAULT_THRESHOLDS, LIKELY)) if engine.card.get("calibration") else None
    for frame in frames:
        empty = frame.replace(mask=np.zeros(frame.shape, bool))
        (own,) = count_frames(engine, [empty], DEFAULT_THRESHOLDS)
        counts += own
        if row is not None and own.column("false")[row]:
            likely.append(frame.id)
    megapixels = counts.pixels / 1e6
    least = upper_rate(0, megapixels) if megapixels else float("inf")
    if fa_per_mpx < least:
        raise UsageError(
            f"{counted(counts.frames, 'frame')} of together {megapixels:.3g} Mpx cannot show {fa_per_mpx:g}"
            f" false alarms a megapixel: were there none at all, the rate could still be {least:.2g};"
            f" calibrate on {CERTAIN / fa_per_mpx:.3g} Mpx or more, or ask for more"
        )
    curve = list(zip(counts.thresholds, counts.column("false") / megapixels, strict=True))
    found = lowest_within(fa_per_mpx, [(float(at), float(rate)) for at, rate in curve if at < 1])
    if found is None:
        raise UsageError(
            f"the model {engine.name} cannot keep to {fa_per_mpx:g} false alarms a megapixel on these frames:"
            f" at its highest threshold there are {curve[-2][1]:.3g}; ask for more, or look whether the"
            " frames hold targets"
        )
    false = round(found[1] * megapixels)
    return {
        "threshold": found[0],
        "frames": counts.frames,
        "megapixels": round(megapixels, 3),
        "asked": fa_per_mpx,
        "false_alarms": false,
        "rate": round(found[1], 4),
        "upper": round(upper_rate(false, megapixels), 4),
        "likely": likely,
    }


def upper_rate(false_alarms: int, megapixels: float) -> float:
    """The rate a megapixel that is not exceeded with 95 % confidence where so many were counted."""
    from scipy.special import gammaincinv

    return float(gammaincinv(false_alarms + 1, CONFIDENCE)) / megapixels
