"""Scores that mean what they say: a logistic curve from logits to probabilities, and how far off it is.

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

BINS = 10
FOLDS = 5
STEEPEST, FLATTEST = 1e-2, 1e2  # temperatures


def calibrate(logits: NDArray[np.floating[Any]], true: NDArray[np.bool_]) -> tuple[float, float]:
    """Temperature and offset: ``(logit + offset) / temperature`` is the logit of a probability.

    Fitted by the log likelihood, with the truth drawn in a little as in Platt (1999), so that logits that
    split true from false perfectly do not make it endless.
    """
    logits = np.asarray(logits, np.float64)  # the gradient is measured in steps that float32 cannot see
    count, weights = true.sum(), as_counted(true)
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
    ``error``, the expected calibration error over ten bins of equal width; ``even_odds``, the error where
    true and false candidates together weigh the same; ``bins``, rows of (mean probability, share of true
    candidates, weight).
    """
    names = np.unique(frames)
    fold = np.searchsorted(names, frames) * FOLDS // len(names)
    probabilities = np.empty(len(logits))
    for number in np.unique(fold):
        inside = fold == number
        fitted = true[~inside]
        temperature, offset = calibrate(logits[~inside], fitted) if len(fitted) else (1.0, 0.0)
        probabilities[inside] = expit((logits[inside] + offset) / temperature)
    return {**_errors(probabilities, true), "folds": FOLDS}


def calibration_of_strangers(
    logits: NDArray[np.floating[Any]], true: NDArray[np.bool_], card: Mapping[str, Any]
) -> dict[str, Any]:
    """The same where a card's curve (``temperature``, ``offset``) meets cameras that it was not fitted on."""
    scaled = (np.asarray(logits, np.float64) + card["offset"]) / card["temperature"]
    return {**_errors(expit(scaled), true), "candidates": [int(true.sum()), int((~true).sum())]}


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
