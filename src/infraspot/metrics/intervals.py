"""95 % intervals of shares, of rates and of operating curves."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from infraspot.metrics.reduction import DRAWS_AT_ONCE, divide

Z = 1.959964


def share_interval(hits: Any, count: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Wilson's score interval of ``hits`` out of ``count`` (Wilson, 1927); NaN where ``count`` is 0.

    >>> low, high = share_interval(9, 10)
    >>> round(float(low), 3), round(float(high), 3)
    (0.596, 0.982)
    """
    hits, count = np.asarray(hits, np.float64), np.asarray(count, np.float64)
    share, wide = divide(hits, count), divide(Z**2, count)
    centre = (share + wide / 2) / (1 + wide)
    half = Z * np.sqrt(divide(share * (1 - share), count) + wide / (4 * count + (count == 0))) / (1 + wide)
    return np.clip(centre - half, 0, 1), np.clip(centre + half, 0, 1)


def rate_interval(events: Any, amount: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Exact interval of a Poisson rate: ``events`` in an ``amount`` of anything (Garwood, 1936).

    >>> low, high = rate_interval(0, 10.0)
    >>> float(low), round(float(high), 3)
    (0.0, 0.369)
    """
    events = np.asarray(events, np.float64)
    low = np.where(events > 0, chi2.ppf(0.025, 2 * np.maximum(events, 0.5)) / 2, 0.0)
    return low / amount, chi2.ppf(0.975, 2 * events + 2) / 2 / amount


@dataclass(frozen=True, eq=False)
class CurveBands:
    """95 % bands over L thresholds: of Pd, and of false alarms a megapixel."""

    pd_low: NDArray[np.float64]
    pd_high: NDArray[np.float64]
    false_low: NDArray[np.float64]
    false_high: NDArray[np.float64]


def curve_bands(
    hits: NDArray[Any],
    false: NDArray[Any],
    targets: NDArray[Any],
    pixels: NDArray[Any],
    *,
    draws: int = 1000,
    seed: int = 0,
) -> CurveBands:
    """Bands of an operating curve, drawing whole frames with replacement (Efron, 1979).

    Where no frame has a false alarm, no resampled set has one either; the upper end is then Garwood's.

    Parameters
    ----------
    hits, false
        (N, L): targets found and false alarms of each frame at each threshold.
    targets, pixels
        (N,): of each frame.
    """
    generator, frames = np.random.default_rng(seed), len(targets)
    shares = np.full(frames, 1 / frames)
    found, alarms = [], []
    for done in range(0, draws, DRAWS_AT_ONCE):
        weights = generator.multinomial(frames, shares, min(DRAWS_AT_ONCE, draws - done)).astype(np.float64)
        found.append(divide(weights @ hits, (weights @ targets)[:, None]))
        alarms.append(divide(weights @ false, (weights @ pixels)[:, None] / 1e6))
    pd_low, pd_high = _percentiles(np.concatenate(found))
    false_low, false_high = _percentiles(np.concatenate(alarms))
    none = false.sum(axis=0) == 0
    return CurveBands(
        pd_low,
        pd_high,
        false_low,
        np.where(none, rate_interval(0, max(float(pixels.sum()), 1.0) / 1e6)[1], false_high),
    )


def _percentiles(drawn: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if np.isnan(drawn).all():
        return np.full(drawn.shape[1], np.nan), np.full(drawn.shape[1], np.nan)
    low, high = np.nanquantile(drawn, [0.025, 0.975], axis=0)
    return low, high
