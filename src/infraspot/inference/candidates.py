"""Everything in a frame that could be a target, down to what a model hardly believes in."""

from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from infraspot.core.geometry import Components
from infraspot.data import Frame
from infraspot.inference.frames import prepare_frame, seen_as, segment_frame
from infraspot.inference.predictor import TargetEngine, predict
from infraspot.inference.scores import Engine
from infraspot.inference.second_look import SecondLook, find_candidates, peaks_of

_BLUR = 0.12  # share of its peak that a point of light leaves to its neighbours at least
_SQUARE = np.arange(25).reshape(5, 5)
_NEIGHBOURS = [int(k) for k in _SQUARE[1:4, 1:4].flat if k != 12]
_RING = [int(k) for k in _SQUARE.flat if k not in _SQUARE[1:4, 1:4]]


class Candidates(NamedTuple):
    """Candidates of one frame.

    Attributes
    ----------
    places
        (N, 2) as (y, x) in pixels.
    scores
        (N,) in [0, 1]: the highest score of the engine within each.
    chances
        (N,) in [0, 1]: what the engine's second look makes of each, 0 for those that it does not look at; the
        scores where there is no second look.
    alone
        (N,) bool: one bright pixel, or two side by side, without the blur that every lens gives a point of
        light, as broken elements of the detector show it.
    """

    places: NDArray[np.float64]
    scores: NDArray[np.float64]
    chances: NDArray[np.float64]
    alone: NDArray[np.bool_]


def candidates_of(engine: Engine | TargetEngine, frame: Frame, low: float, outline: float) -> Candidates:
    """The candidates of a frame above the score ``low``.

    Parameters
    ----------
    engine
        See :mod:`infraspot.inference.engines`; its polarity counts.
    outline
        Candidates that touch above ``low`` alone are told apart at this score.

    Raises
    ------
    InputError
        If the engine fails.
    """
    if isinstance(engine, TargetEngine):
        prediction = predict(engine, frame)
        if prediction.score_map is not None:
            shown = find_candidates(prediction.score_map, low, outline)
            return _described(shown, prediction.score_map, frame.image)
        found = prediction.find_targets(low)
        places = np.array([(target.y, target.x) for target in found], np.float64).reshape(-1, 2)
        scores = np.array([target.score for target in found], np.float64)
        return Candidates(places, scores, scores, _stand_alone(frame.image, places))
    polarity = getattr(engine, "polarity", "bright")
    parts = [
        _in_view(engine, prepare_frame(stored, frame.bit_depth), stored, low, outline)
        for stored in seen_as(frame.image, polarity)
    ]
    return Candidates(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _in_view(
    engine: Engine, image: NDArray[np.float32], stored: NDArray[np.float32], low: float, outline: float
) -> Candidates:
    """The candidates of ``image``; ``stored`` is the same frame before it was stretched, and clipped."""
    scores = segment_frame(engine, image)
    found = find_candidates(scores, low, outline)
    look: SecondLook | None = getattr(engine, "second_look", None)
    plain = _described(found, scores, stored)
    return plain if look is None else plain._replace(chances=_judged(look, image, scores, found))


def _described(found: Components, scores: NDArray[np.float32], stored: NDArray[np.float32]) -> Candidates:
    """The candidates of a score map, their chances being their scores."""
    places = np.asarray(found.centroids, np.float64).reshape(-1, 2)
    peaks = peaks_of(scores, found).astype(np.float64)
    return Candidates(places, peaks, peaks, _stand_alone(stored, places))


def _stand_alone(image: NDArray[np.float32], places: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(N,) whether the brightest pixel at each place rises from neighbours that hardly do, but for one.

    A point of light that falls between two pixels brightens those beside both, so that at least two
    neighbours of its peak rise; two broken elements side by side show one.
    """
    whole = np.clip(np.rint(places).astype(np.int64), 0, np.array(image.shape) - 1)
    framed = np.pad(image, 3, mode="edge")
    near = sliding_window_view(framed, (3, 3))[whole[:, 0] + 2, whole[:, 1] + 2].reshape(-1, 9)
    peaks = whole + np.stack(np.divmod(near.argmax(axis=1), 3), axis=1) - 1
    around = sliding_window_view(framed, (5, 5))[peaks[:, 0] + 1, peaks[:, 1] + 1].reshape(-1, 25)
    level = np.median(around[:, _RING], axis=1)
    rise = around[:, 12] - level
    second = np.sort(around[:, _NEIGHBOURS], axis=1)[:, -2]
    alone: NDArray[np.bool_] = second - level < _BLUR * rise
    return alone & (rise > 0)


def _judged(
    look: SecondLook, image: NDArray[np.float32], scores: NDArray[np.float32], found: Components
) -> NDArray[np.float64]:
    """The best chance of what the second look finds within each candidate."""
    own = find_candidates(scores, look.level, look.outline)
    judged = look.chances(image, own.centroids, peaks_of(scores, own))
    chances = np.zeros(len(found))
    inside = (own.labels > 0) & (found.labels > 0)
    np.maximum.at(chances, found.labels[inside] - 1, judged[own.labels[inside] - 1])
    return chances
