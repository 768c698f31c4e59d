"""What an engine is, and its scores of one frame or tile, checked: the way to every engine."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from infraspot.core.errors import InfraspotError, InputError

ROUNDING = 1e-3


class Engine(Protocol):
    """Scores frames. ``card`` says what the engine is and how its threshold was chosen.

    An engine may have a ``second_look`` too (:class:`infraspot.inference.second_look.SecondLook`); its scores
    are those of :func:`infraspot.inference.score_frame`, while ``score`` is what was seen at first. With a
    ``polarity`` of ``"dark"`` or ``"both"`` it is shown the frame turned upside down, alone or as well.
    """

    name: str
    card: dict[str, Any]

    def score(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """(H, W) float32 image in [0, 1] to (H, W) float32 scores in [0, 1].

        Engines of sequences take (T, H, W): registered frames, of which the last one is scored.
        """
        ...


def scores_of(engine: Engine, image: NDArray[np.float32]) -> NDArray[np.float32]:
    """What ``engine`` says about ``image``, (H, W) float32 in [0, 1]; a map of the same height and width.

    Raises
    ------
    InputError
        If the engine fails, or its answer is no score map (see :func:`check_scores`).
    """
    try:
        scores = engine.score(image)
    except InfraspotError:
        raise
    except Exception as error:  # the errors of torch and of ONNX Runtime share no public base class
        raise InputError(
            f"{engine.name} failed on a frame of the shape {image.shape}: {first_line(error)}"
        ) from error
    check_scores(scores, image.shape[-2:], engine.name)
    return scores


def check_scores(scores: NDArray[np.float32], shape: tuple[int, ...], name: str) -> None:
    """Refuse what is no score map of a frame: a broken model must not look like an empty sky.

    Raises
    ------
    InputError
        If the map has another shape than the frame, or holds NaN or values outside [0, 1].
    """
    if scores.shape != shape:
        raise InputError(
            f"{name} answers a frame of the shape {shape} with scores of the shape {scores.shape}"
        )
    if scores.size and not (scores.min() >= -ROUNDING and scores.max() <= 1 + ROUNDING):
        raise InputError(
            f"{name} answers with scores from {scores.min():g} to {scores.max():g}, and they should lie in"
            " [0, 1]; its weights are damaged, or it is another kind of model"
        )


def check_boxes(boxes: NDArray[Any], scores: NDArray[Any], name: str) -> None:
    """Refuse what is no list of scored boxes: a broken model must not look like an empty sky.

    Raises
    ------
    InputError
        If shapes differ, or a number is not finite, or a score lies outside [0, 1].
    """
    if boxes.ndim != 2 or boxes.shape[1:] != (4,) or scores.shape != boxes.shape[:1]:
        raise InputError(
            f"{name} answers with boxes of the shape {boxes.shape} and scores of the shape {scores.shape};"
            " expected (K, 4) and (K,)"
        )
    if not np.isfinite(boxes).all():
        raise InputError(f"{name} answers with boxes that are not finite; its weights are damaged")
    if len(scores) and not (scores.min() >= -ROUNDING and scores.max() <= 1 + ROUNDING):
        raise InputError(
            f"{name} answers with scores from {scores.min():g} to {scores.max():g}, and they should lie in"
            " [0, 1]; its weights are damaged, or it is another kind of model"
        )


def first_line(error: Exception) -> str:
    """What an error of another library says, in one line."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:300]
