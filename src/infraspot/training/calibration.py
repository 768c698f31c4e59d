"""Scores that mean what they say: a logistic curve from logits to probabilities, and how far off it is.

How many false candidates come for a true one depends on how many empty frames a set has. Scores are therefore
calibrated at even odds: true candidates together weigh as much as false ones.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

BINS = 10
FOLDS = 5
STEEPEST, FLATTEST = 1e-2, 1e2  # temperatures


def calibrate(logits: NDArray[np.floating[Any]], true: NDArray[np.bool_]) -> tuple[float, float]:
    """Temperature and offset: ``(logit + offset) / temperature`` is the logit of a probability.

    Fitted by the log likelihood, with the truth drawn in a little as in Platt (1999), so that logits that
    split true from false perfectly do not make it endless.
    """
    logits = np.asarray(logits, np.float64)  # the gradient is measured in steps that float32 cannot see
    count, weights = true.sum(), even_odds(true)
    wanted = np.where(true, (count + 1) / (count + 2), 1 / (len(true) - count + 2))

    def loss(shape: NDArray[np.float64]) -> float:
        scaled = (logits + shape[1]) / np.exp(shape[0])
        return float(weights @ (np.logaddexp(0, scaled) - wanted * scaled))

    low, high = np.log(STEEPEST), np.log(FLATTEST)
    found = minimize(loss, np.zeros(2), method="L-BFGS-B", bounds=[(low, high), (-50, 50)]).x
    return float(np.exp(found[0])), float(found[1])


def describe_calibration(
    logits: NDArray[np.floating[Any]], true: NDArray[np.bool_], frames: NDArray[np.str_]
) -> dict[str, Any]:
    """How far probabilities are off, each given by a curve fitted to other frames.

    Names are sorted and cut into five runs, so that frames of one sequence stay together.

    Returns
    -------
    ``error``, the expected calibration error over ten bins of equal width at even odds; ``as_counted``, at
    the odds of these frames; ``bins``, rows of (mean probability, share of true candidates, weight).
    """
    names = np.unique(frames)
    fold = np.searchsorted(names, frames) * FOLDS // len(names)
    probabilities = np.empty(len(logits))
    for number in np.unique(fold):
        inside = fold == number
        fitted = true[~inside]
        temperature, offset = calibrate(logits[~inside], fitted) if len(fitted) else (1.0, 0.0)
        probabilities[inside] = expit((logits[inside] + offset) / temperature)
    error, bins = calibration_error(probabilities, true, even_odds(true))
    as_counted, _ = calibration_error(probabilities, true, np.full(len(true), 1 / len(true)))
    return {"error": round(error, 4), "as_counted": round(as_counted, 4), "folds": FOLDS, "bins": bins}


def even_odds(true: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Weights that sum to 1, half of it on what is true; all alike where one kind is missing."""
    count = int(true.sum())
    if count in (0, len(true)):
        return np.full(len(true), 1 / len(true))
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
