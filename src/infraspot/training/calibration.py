"""Scores that mean what they say: a logistic curve from evidence to probabilities, and how far off it is.

Scores are calibrated as the candidates of held-out frames are: of those that score 0.8, 8 in 10 are targets.
How many false candidates come for a true one depends on the frames, so that the same score is worth less
where there are more. Calibrated at even odds instead, a score would mean the same everywhere, and be right
nowhere: in the frames at hand, false candidates are several for each true one. What even odds would give is
measured beside it.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from infraspot.inference.logistic import Logistic
from infraspot.inference.second_look import EVIDENCE

BINS = 10
FOLDS = 5
Bounds = tuple[float | None, float | None]
OF_LOOKS: dict[str, Bounds] = dict(zip(EVIDENCE, ((0, None), (0, None), (None, 0)), strict=True))
PRICE = 2.0  # of a standardised weight of 1, in candidates


def calibrate(
    evidence: NDArray[np.float64], true: NDArray[np.bool_], bounds: Mapping[str, Bounds] = OF_LOOKS
) -> dict[str, float]:
    """Weights of the evidence (N, K) and an ``offset``, whose sum is the logit of a probability.

    Fitted by the log likelihood, each weight within the bounds of its name. In a second look, more sureness
    never lowers a probability, and more candidates in the frame never raise it. The truth is drawn in a
    little as in Platt (1999), and weights of standardised columns have a price, so that evidence that splits
    true from false perfectly does not make them endless.

    Returns
    -------
    The weight of each name, and ``offset``.
    """
    count = true.sum()
    wanted = np.where(true, (count + 1) / (count + 2), 1 / (len(true) - count + 2))
    middle, spread = evidence.mean(0), np.maximum(evidence.std(0), 1e-6)
    columns = np.column_stack([(evidence - middle) / spread, np.ones(len(true))])
    prices = np.array([PRICE] * len(bounds) + [0.0]) / len(true)

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        logits = columns @ weights
        value = (np.logaddexp(0, logits) - wanted * logits).mean() + prices @ weights**2 / 2
        return float(value), columns.T @ (expit(logits) - wanted) / len(true) + prices * weights

    limits = [*bounds.values(), (None, None)]
    found = minimize(loss, np.zeros(len(limits)), jac=True, method="L-BFGS-B", bounds=limits).x
    weights = found[:-1] / spread
    return dict(zip(bounds, weights.tolist(), strict=True)) | {"offset": float(found[-1] - weights @ middle)}


def chances(evidence: NDArray[np.float64], card: Mapping[str, Any]) -> NDArray[np.float64]:
    """(N,) probabilities that a calibration gives."""
    return Logistic(card, EVIDENCE)(evidence)


def describe_calibration(
    evidence: NDArray[np.float64], true: NDArray[np.bool_], frames: NDArray[np.str_]
) -> dict[str, Any]:
    """How far probabilities are off, each given by a calibration on other frames.

    Names are sorted and cut into five runs, so that frames of one sequence stay together.

    Returns
    -------
    ``error``, the expected calibration error over ten bins of equal width; ``even_odds``, the error where
    true and false candidates together weigh the same; ``bins``, rows of (mean probability, share of true
    candidates, weight).
    """
    names = np.unique(frames)
    fold = np.searchsorted(names, frames) * FOLDS // len(names)
    probabilities = np.empty(len(true))
    for number in np.unique(fold):
        inside = fold == number
        others = inside if inside.all() else ~inside
        probabilities[inside] = chances(evidence[inside], calibrate(evidence[others], true[others]))
    return {**_errors(probabilities, true), "folds": FOLDS}


def calibration_of_strangers(
    evidence: NDArray[np.float64], true: NDArray[np.bool_], card: Mapping[str, Any]
) -> dict[str, Any]:
    """The same where a card's calibration meets cameras that it was not fitted on."""
    errors = _errors(chances(evidence, card), true)
    return {**errors, "candidates": [int(true.sum()), int((~true).sum())]}


def _errors(probabilities: NDArray[np.floating[Any]], true: NDArray[np.bool_]) -> dict[str, Any]:
    error, bins = calibration_error(probabilities, true, as_counted(true))
    even, _ = calibration_error(probabilities, true, even_odds(true))
    return {"error": round(error, 4), "even_odds": round(even, 4), "bins": bins}


def as_counted(true: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The same weight for every candidate, 1 in all."""
    return np.full(len(true), 1 / max(len(true), 1))


def even_odds(true: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Weights that sum to 1, half of it on what is true; all alike where one kind is missing."""
    count = int(true.sum())
    if count in (0, len(true)):
        return as_counted(true)
    return np.where(true, 0.5 / count, 0.5 / (len(true) - count))


def calibration_error(
    probabilities: NDArray[np.floating[Any]], true: NDArray[np.bool_], weights: NDArray[np.float64]
) -> tuple[float, list[list[float]]]:
    """Expected calibration error, and its bins as rows of (mean probability, share of true ones, weight)."""
    place = np.minimum((probabilities * BINS).astype(int), BINS - 1)
    error, rows = 0.0, []
    for number in np.unique(place):
        inside = place == number
        share = float(weights[inside].sum())
        said, seen = (float(weights[inside] @ part[inside]) / share for part in (probabilities, true))
        error += abs(said - seen) * share
        rows.append([round(said, 4), round(seen, 4), round(share, 4)])
    return error, rows
