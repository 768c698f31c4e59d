"""Scores that mean what they say: a logistic curve from logits to probabilities, and how far off it is."""

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
    count = true.sum()
    wanted = np.where(true, (count + 1) / (count + 2), 1 / (len(true) - count + 2))

    def loss(shape: NDArray[np.float64]) -> float:
        scaled = (logits + shape[1]) / np.exp(shape[0])
        return float(np.mean(np.logaddexp(0, scaled) - wanted * scaled))

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
    ``error``, the expected calibration error over ten bins of equal width; ``bins``, rows of (mean
    probability, share of true candidates, candidates).
    """
    names = np.unique(frames)
    fold = np.searchsorted(names, frames) * FOLDS // len(names)
    probabilities = np.empty(len(logits))
    for number in np.unique(fold):
        inside = fold == number
        fitted = true[~inside]
        temperature, offset = calibrate(logits[~inside], fitted) if len(fitted) else (1.0, 0.0)
        probabilities[inside] = expit((logits[inside] + offset) / temperature)
    error, bins = calibration_error(probabilities, true)
    return {"error": round(error, 4), "folds": FOLDS, "bins": bins}


def calibration_error(
    probabilities: NDArray[np.floating[Any]], true: NDArray[np.bool_]
) -> tuple[float, list[list[float]]]:
    """Expected calibration error, and its bins as rows of (mean probability, share of true ones, number)."""
    place = np.minimum((probabilities * BINS).astype(int), BINS - 1)
    error, rows = 0.0, []
    for number in np.unique(place):
        inside = place == number
        said, seen = float(probabilities[inside].mean()), float(true[inside].mean())
        error += abs(said - seen) * float(inside.mean())
        rows.append([round(said, 4), round(seen, 4), int(inside.sum())])
    return error, rows
