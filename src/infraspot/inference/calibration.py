"""The threshold of a model for a wanted rate of false alarms, from what was measured on held-out frames."""

from typing import Any

from infraspot.core.errors import UsageError


def threshold_for(fa_per_mpx: float, card: dict[str, Any], model: str) -> float:
    """The lowest threshold at which no more than ``fa_per_mpx`` false alarms a megapixel were seen.

    Parameters
    ----------
    fa_per_mpx
        Wanted unmatched detections in 10^6 pixels.
    card
        Of the model; ``card["calibration"]`` holds ``megapixels``, ``data`` and ``curve``: rows of
        (threshold, false alarms a megapixel, Pd) with rising thresholds.

    Raises
    ------
    UsageError
        If the model was not calibrated, or the rate is lower than the frames could show.
    """
    calibration = card.get("calibration")
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
