"""From a response of any unit to a score map: thresholds that a person can state.

``k_sigma`` is the rule of the classical papers. ``cfar`` takes a wanted rate of false alarms and reads the
threshold off the response's own tail. ``score_map`` then puts the threshold at 0.5, so that a classical
detector gives a :class:`~infraspot.core.prediction.Prediction` like any network.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from infraspot.core.options import require_number

FloatArray = NDArray[np.floating[Any]]

_PEAK_WIDTH = 5
_SHARES = (0.5, 0.1, 0.02)
_FEWEST_PEAKS = 150
_TAIL_RATIO = (0.7, 2.5)


def k_sigma(response: FloatArray, k: float = 5.0) -> float:
    """Mean plus ``k`` standard deviations of the whole response, in the unit of the response.

    Raises
    ------
    UsageError
        If ``k`` is not a finite number >= 0.
    """
    require_number(0, 1e9, k=k)
    if not response.size:
        return 0.0
    return float(response.mean(dtype=np.float64) + k * response.std(dtype=np.float64))


def cfar(response: FloatArray, fa_per_mpx: float = 10.0) -> float:
    """Threshold with a wanted rate of false alarms, read off the tail of the response's own peaks.

    A false alarm is a local maximum (of a 5x5 window) above the threshold. The rate of peaks above t is
    modelled by a generalised Pareto tail, fitted in closed form through the values that 50, 10 and 2 % of
    the peaks exceed (J. Pickands, "Statistical inference using extreme order statistics", 1975), and
    extrapolated to the wanted rate. Quantiles do not see how high the highest peaks are, so targets leave
    the threshold alone as long as they are fewer than about one peak in a hundred. Where a response has too
    few peaks for that (low-rank methods give zero almost everywhere), an exponential tail goes through their
    median. The tail is kept between one that ends at 3.3 steps and one that grows 2.5 times each step, a
    step being a factor of five in the rate.

    On made noise the rate comes out within a factor of two down to about ten false alarms a frame, and up
    to three times too high further out, where one frame holds too few peaks to tell.

    Parameters
    ----------
    response
        (H, W) >= 0, any unit.
    fa_per_mpx
        Wanted false alarms in a million pixels of frames like this one.

    Returns
    -------
    Threshold in the unit of the response; 0 when fewer peaks than wanted exist.

    Raises
    ------
    UsageError
        If ``fa_per_mpx`` is not a number from 1e-9 to 1e6.
    """
    require_number(1e-9, 1e6, fa_per_mpx=fa_per_mpx)
    peaks = peak_values(response)
    wanted = fa_per_mpx * response.size / 1e6
    if len(peaks) <= wanted:
        return 0.0
    share = wanted / len(peaks)
    if len(peaks) < _FEWEST_PEAKS:
        return _exponential_tail(peaks, share)
    return _pareto_tail(peaks, share)


def peak_values(response: FloatArray) -> NDArray[np.float64]:
    """The values of the local maxima above zero, one for each flat top, in raster order."""
    if not response.size:
        return np.zeros(0)
    highest = ndimage.maximum_filter(response, size=_PEAK_WIDTH, mode="nearest")
    labels, count = ndimage.label((response == highest) & (response > 0), structure=np.ones((3, 3)))
    _, first = np.unique(labels, return_index=True)
    values: NDArray[np.float64] = (
        response.ravel()[first[-count:]].astype(np.float64) if count else np.zeros(0)
    )
    return values


def score_map(response: FloatArray, threshold: float) -> NDArray[np.float32]:
    """Response as a score in [0, 1] with the threshold at 0.5: ``r / (r + threshold)``.

    Monotone, and ``score > 0.5`` exactly where ``response > threshold``.

    Parameters
    ----------
    response
        (H, W) >= 0.
    threshold
        >= 0, in the unit of the response, from :func:`k_sigma` or :func:`cfar`.
    """
    r = response.astype(np.float64)
    total = r + threshold
    score = np.divide(r, total, out=np.zeros_like(r), where=total > 0).astype(np.float32)
    above = r > threshold
    score[above] = np.maximum(score[above], np.nextafter(np.float32(0.5), np.float32(1)))
    score[~above] = np.minimum(score[~above], np.float32(0.5))
    return score


def _pareto_tail(peaks: NDArray[np.float64], share: float) -> float:
    low, middle, high = np.quantile(peaks, [1 - share for share in _SHARES])
    if middle <= low:
        return float(peaks.max()) if high <= low else _exponential_tail(peaks, share)
    # Equal steps in log(share) lengthen the step in value by a constant factor: a geometric series.
    ratio = float(np.clip((high - middle) / (middle - low), *_TAIL_RATIO))
    steps = np.log(_SHARES[0] / share) / np.log(_SHARES[0] / _SHARES[1])
    length = steps if abs(ratio - 1) < 1e-6 else (ratio**steps - 1) / (ratio - 1)
    return max(float(low + (middle - low) * length), 0.0)


def _exponential_tail(peaks: NDArray[np.float64], share: float) -> float:
    return float(np.median(peaks) / np.log(2) * np.log(1 / share))
