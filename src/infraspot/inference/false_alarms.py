"""The threshold of a model for a wanted rate of false alarms, from what was measured on held-out frames."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from infraspot.core.errors import DataError, UsageError
from infraspot.core.sample import Sample
from infraspot.inference.frames import score_frame

if TYPE_CHECKING:
    from infraspot.inference.engines import Engine


def measure_false_alarms(engine: "Engine", samples: Iterable[Sample], data: str) -> dict[str, Any]:
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
    from infraspot.metrics.frame import prepare
    from infraspot.metrics.protocols import PROTOCOLS
    from infraspot.metrics.sweep import DEFAULT_THRESHOLDS, SweepCounts, sweep_frame

    protocol = PROTOCOLS["infraspot"]
    counts = SweepCounts.empty(DEFAULT_THRESHOLDS)
    for sample in samples:
        if sample.mask is not None:
            scores = score_frame(engine, sample.image, sample.bit_depth)
            counts += sweep_frame(*prepare(scores, sample.mask, protocol, name=sample.id), protocol)
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
    """The lowest threshold at which no more than ``fa_per_mpx`` false alarms a megapixel were seen.

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
        If the model was not calibrated, or the rate is lower than the frames could show.
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
    # Rates need not fall with the threshold: blobs split. Take the last crossing, which is safe.
    safe = calibration["curve"][-1][0]
    for threshold, rate, _ in reversed(calibration["curve"]):
        if rate > fa_per_mpx:
            break
        safe = threshold
    return float(safe)
