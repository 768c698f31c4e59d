"""Is one detector better than another on the same frames? Tests that pair frames and targets.

Counts of a detector are (S, N, K): S trainings (seeds), N frames, and K numbers a frame as
:meth:`infraspot.metrics.Evaluation.count_rows` gives them. A number of the detector is the mean over its
trainings of the number of the set.

Average precision is no ratio of counts. It is computed from rankings, a :class:`DetectionRanking` for each
training.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from infraspot.metrics.precision_curve import DetectionRanking
from infraspot.metrics.reduction import DRAWS_AT_ONCE, INTERVALS, ratios

Counts = NDArray[np.float64]
Rankings = Sequence[DetectionRanking]

# Differences this much smaller than the observed one still count as equal to it: sums round.
ROUNDING = 1e-12


@dataclass(frozen=True)
class Comparison:
    """How much higher a number of the one detector is than that of the other.

    Attributes
    ----------
    difference
        As a fraction; NaN where the number does not exist.
    low, high
        95 % interval of the difference, over frames drawn with replacement.
    p
        Probability of a difference at least as large, either way, if the two answers to each frame were
        exchangeable (sign-flip test).
    """

    difference: float
    low: float
    high: float
    p: float


@dataclass(frozen=True)
class Precision:
    """Average precision of a detector.

    Attributes
    ----------
    mean, deviation
        Over its trainings; the deviation (of a sample, with n - 1) is NaN for one training.
    low, high
        95 % interval of the mean, over frames drawn with replacement, alike in every training.
    """

    mean: float
    deviation: float
    low: float
    high: float


@dataclass(frozen=True)
class McNemar:
    """McNemar's exact test on targets: those that only the one, or only the other, finds (McNemar, 1947)."""

    only_one: int
    only_other: int
    targets: int
    p: float


def numbers_of(counts: Counts) -> dict[str, float]:
    """The mean over the trainings of each number of the set; NaN where a training has none."""
    return {name: float(values.mean()) for name, values in ratios(_exact_totals(counts)).items()}


def deviations_of(counts: Counts) -> dict[str, float]:
    """Standard deviation over the trainings (of a sample, with n - 1); NaN for one training."""
    if len(counts) < 2:
        return dict.fromkeys(ratios(_exact_totals(counts)), math.nan)
    return {name: float(values.std(ddof=1)) for name, values in ratios(_exact_totals(counts)).items()}


def intervals_of(counts: Counts, *, draws: int = 1000, seed: int = 0) -> dict[str, tuple[float, float]]:
    """95 % interval of each number over frames drawn with replacement, alike in every training."""
    drawn = [ratios(block @ counts) for block in _weights(counts.shape[1], draws, seed)]
    return {
        name: _percentiles(np.concatenate([numbers[name].mean(axis=0) for numbers in drawn]))
        for name in INTERVALS
    }


def compare(
    one: Counts,
    other: Counts,
    names: Sequence[str] = ("iou", "niou", "pd", "fa_area"),
    *,
    draws: int = 1000,
    seed: int = 0,
) -> dict[str, Comparison]:
    """The difference of two detectors over the same frames, in the same order.

    Counts of one training are compared with each training of the other.

    Raises
    ------
    ValueError
        If the frames differ in number, or both have several trainings and not the same number of them.
    """
    one, other = np.broadcast_arrays(one, other)
    here, there = numbers_of(one), numbers_of(other)
    drawn: dict[str, list[NDArray[np.float64]]] = {name: [] for name in names}
    for block in _weights(one.shape[1], draws, seed):
        for name, values in _differences(block @ one, block @ other, names):
            drawn[name].append(values)
    flipped: dict[str, list[NDArray[np.float64]]] = {name: [] for name in names}
    totals, shift = (one.sum(axis=1)[:, None], other.sum(axis=1)[:, None]), other - one
    for block in _flips(one.shape[1], draws, seed):
        moved = block @ shift
        for name, values in _differences(totals[0] + moved, totals[1] - moved, names):
            flipped[name].append(values)
    return {
        name: _comparison(
            here[name] - there[name], np.concatenate(drawn[name]), np.concatenate(flipped[name])
        )
        for name in names
    }


def precision_of(rankings: Rankings, *, draws: int = 300, seed: int = 0) -> Precision:
    """Average precision of one or more trainings; NaN where the set has no targets."""
    values = np.array([one.precision(_once(one))[0] for one in rankings])
    deviation = float(values.std(ddof=1)) if len(values) > 1 else math.nan
    low, high = _percentiles(_drawn_precision(rankings, draws, seed))
    return Precision(float(values.mean()), deviation, low, high)


def compare_precision(one: Rankings, other: Rankings, *, draws: int = 300, seed: int = 0) -> Comparison:
    """The difference in average precision of two detectors over the same frames, in the same order.

    One training is compared with each training of the other. A sign flip exchanges all detections of a frame.

    Raises
    ------
    ValueError
        If both have several trainings and not the same number of them.
    """
    most = max(len(one), len(other))
    one, other = (list(given) * most if len(given) == 1 else list(given) for given in (one, other))
    here, there = (np.mean([each.precision(_once(each))[0] for each in given]) for given in (one, other))
    drawn = _drawn_precision(one, draws, seed) - _drawn_precision(other, draws, seed)
    swaps = np.concatenate(list(_flips(len(one[0].targets), draws, seed)))
    stay, go = np.hstack([1 - swaps, swaps]), np.hstack([swaps, 1 - swaps])
    both = [first.beside(second) for first, second in zip(one, other, strict=True)]
    flipped = np.mean([each.precision(stay) - each.precision(go) for each in both], axis=0)
    return _comparison(float(here - there), drawn, flipped)


def mcnemar(one: Sequence[bool], other: Sequence[bool]) -> McNemar:
    """Compare which targets two detectors find; both lists go over the same targets."""
    first, second = np.asarray(one, bool), np.asarray(other, bool)
    if first.shape != second.shape:
        raise ValueError(f"expected the same targets, and {first.shape} and {second.shape} came")
    only_one, only_other = int((first & ~second).sum()), int((second & ~first).sum())
    apart = only_one + only_other
    p = float(binomtest(only_one, apart).pvalue) if apart else 1.0
    return McNemar(only_one, only_other, first.size, p)


def holm(values: Sequence[float]) -> list[float]:
    """Probabilities of a family of tests, raised so that the family is wrong as seldom as one (Holm, 1979).

    NaN stays NaN and counts for nothing.
    """
    known = sorted((value, place) for place, value in enumerate(values) if not math.isnan(value))
    raised, highest = [math.nan] * len(values), 0.0
    for rank, (value, place) in enumerate(known):
        highest = max(highest, min(1.0, value * (len(known) - rank)))
        raised[place] = highest
    return raised


def _exact_totals(counts: Counts) -> NDArray[np.float64]:
    """(S, K), each sum exact, so that the order of the frames does not matter."""
    return np.array([[math.fsum(column) for column in rows.T] for rows in counts])


def _weights(frames: int, draws: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """How often each frame is drawn: blocks of (D, N)."""
    generator, shares = np.random.default_rng(seed), np.full(frames, 1 / frames)
    for done in range(0, draws, DRAWS_AT_ONCE):
        yield generator.multinomial(frames, shares, min(DRAWS_AT_ONCE, draws - done)).astype(np.float64)


def _once(ranking: DetectionRanking) -> NDArray[np.float64]:
    """Weights of one set that has every frame once."""
    return np.ones((1, len(ranking.targets)))


def _drawn_precision(rankings: Rankings, draws: int, seed: int) -> NDArray[np.float64]:
    """(D,) means over trainings of the average precision, for frames drawn with replacement."""
    weights = np.concatenate(list(_weights(len(rankings[0].targets), draws, seed)))
    found: NDArray[np.float64] = np.mean([one.precision(weights) for one in rankings], axis=0)
    return found


def _flips(frames: int, draws: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """Which frames change sides, each with probability 1/2: blocks of (D, N) of 0 and 1."""
    generator = np.random.default_rng([seed, 1])
    for done in range(0, draws, DRAWS_AT_ONCE):
        size = (min(DRAWS_AT_ONCE, draws - done), frames)
        yield generator.integers(0, 2, size).astype(np.float64)


def _differences(
    one: NDArray[np.float64], other: NDArray[np.float64], names: Sequence[str]
) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """Differences of the means over trainings, for (S, D, K) totals."""
    here, there = ratios(one), ratios(other)
    for name in names:
        yield name, here[name].mean(axis=0) - there[name].mean(axis=0)


def _comparison(difference: float, drawn: NDArray[np.float64], flipped: NDArray[np.float64]) -> Comparison:
    if math.isnan(difference):
        return Comparison(math.nan, math.nan, math.nan, math.nan)
    low, high = _percentiles(drawn)
    flipped = flipped[~np.isnan(flipped)]
    as_large = np.count_nonzero(np.abs(flipped) >= abs(difference) - ROUNDING)
    return Comparison(difference, low, high, (1 + as_large) / (1 + len(flipped)))


def _percentiles(values: NDArray[np.float64]) -> tuple[float, float]:
    known = values[~np.isnan(values)]
    if not known.size:
        return math.nan, math.nan
    low, high = np.quantile(known, [0.025, 0.975])
    return float(low), float(high)
