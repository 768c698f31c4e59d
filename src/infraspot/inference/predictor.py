"""From a frame to what an engine says about it, whatever kind of answer the engine gives."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from infraspot.core.prediction import Prediction
from infraspot.core.sample import Clip, Sample
from infraspot.data import Frame
from infraspot.inference.frames import score_frame, seen_as
from infraspot.inference.peaks import parting_of

if TYPE_CHECKING:
    from infraspot.inference.engines import Engine


@runtime_checkable
class TargetEngine(Protocol):
    """An engine that prepares and tiles frames itself, and answers with targets: a detector of boxes.

    One with ``maps`` answers with a score map.
    """

    name: str
    card: dict[str, Any]

    def predict(self, frame: Frame | Sample, id: str) -> Prediction:
        """Every target that the engine proposes, with its score."""
        ...


def gives_maps(engine: "Engine | TargetEngine") -> bool:
    """Whether an engine answers with score maps, from which targets are read."""
    return not isinstance(engine, TargetEngine) or bool(getattr(engine, "maps", False))


def predict(engine: "Engine | TargetEngine", frame: Frame | Sample, id: str = "") -> Prediction:
    """What an engine says about one frame of any size and depth.

    Parameters
    ----------
    engine
        See :mod:`infraspot.inference.engines`; engines of score maps and of targets are both taken.
    frame
        A frame as :func:`infraspot.read_image` gives it, or a sample.
    id
        Name of the prediction; that of the sample where it is left out.
    """
    name = id or getattr(frame, "id", "")
    if isinstance(engine, TargetEngine):
        views = seen_as(frame.image, getattr(engine, "polarity", "bright"))
        return _united([engine.predict(replace(frame, image=view), name) for view in views])
    image = frame.stack if isinstance(frame, Clip) else frame.image
    parted = parting_of(engine.card) is not None
    return Prediction(name, score_frame(engine, image, frame.bit_depth), parted=parted)


def predict_displayed(engine: "Engine | TargetEngine", frame: Frame, shown: Frame, id: str) -> Prediction:
    """As :func:`predict`, where the frame is at hand at the contrast of a display
    (:func:`infraspot.inference.frames.as_displayed`): engines that seek bright targets in it need not stretch
    it once more.
    """
    stretches = isinstance(engine, TargetEngine) or getattr(engine, "polarity", "bright") != "bright"
    return predict(engine, frame if stretches else shown, id)


def _united(predictions: Sequence[Prediction]) -> Prediction:
    """The targets of one frame, seen once or twice."""
    if len(predictions) == 1:
        return predictions[0]
    if predictions[0].score_map is not None:
        maps = [one.score_map for one in predictions if one.score_map is not None]
        return Prediction(predictions[0].id, np.maximum(*maps))
    candidates = tuple(target for one in predictions for target in one.candidates or ())
    return replace(predictions[0], candidates=candidates)
