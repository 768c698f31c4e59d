"""What the page offers: the masks under clicks, and rings around what a detector sees."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from infraspot.annotators import ANNOTATORS, Convention, LabelledMask, annotate
from infraspot.core.prediction import Prediction
from infraspot.data import Frame
from infraspot.inference import Engine, predict
from infraspot.inference.predictor import TargetEngine
from infraspot.web.actions import Lesson, MarkedTarget
from infraspot.web.learning import Level
from infraspot.web.runs import to_mask, to_patch

# Fast enough to follow the mouse; the others are for whole data sets.
METHODS = [
    name for name in ("profile", "diffusion", "otsu", "watershed", "random-walker") if name in ANNOTATORS
]
FAINT = 0.1
LEVEL_STEP = 0.02
RING_MARGIN, LEAST_MARGIN = 3.0, 0.5
MOST_CLICKS = 1000


class Place(BaseModel):
    """Where a person clicked, or a ring lies: (x, y) pixels."""

    model_config = ConfigDict(extra="forbid")

    x: float = Field(ge=0, le=1e5, allow_inf_nan=False)
    y: float = Field(ge=0, le=1e5, allow_inf_nan=False)


class ClickRequest(Place):
    """A click for target ``id``; ``level`` None lets the method choose.

    With ``grow`` 1 or -1, the level moves from ``level`` until the mask grows or shrinks.
    """

    window: str = Field(min_length=1, max_length=64)
    id: int = Field(ge=1)
    method: str
    level: float | None = Field(default=None, gt=0, lt=1)
    grow: Literal[-1, 0, 1] = 0


class ClicksRequest(BaseModel):
    """Several clicks at once; their targets are numbered from ``id``."""

    model_config = ConfigDict(extra="forbid")

    window: str = Field(min_length=1, max_length=64)
    id: int = Field(ge=1)
    method: str
    places: list[Place] = Field(min_length=1, max_length=MOST_CLICKS)


def mask_of_click(
    frame: Frame, click: ClickRequest, targets: Sequence[MarkedTarget], level: Level = "auto"
) -> MarkedTarget:
    """The target under a click; pixels that already belong to another target stay there.

    ``level`` is what ``profile`` chooses by where the click names none. A click that grows or shrinks a mask
    of ``profile`` gives the target a lesson.

    Raises
    ------
    InfraspotError
        If the click is outside the frame or the method unknown.
    """
    found = _annotated(frame, click, level)
    others = to_mask([target.patch for target in targets if target.id != click.id], frame.image.shape)
    before = next((target for target in targets if target.id == click.id), None)
    record = found.clicks[0]
    own = record.level if click.method == "profile" else None
    return MarkedTarget(
        id=click.id,
        x=click.x,
        y=click.y,
        method=click.method,
        level=own,
        confidence=record.confidence,
        doubtful=before is not None and before.doubtful,
        patch=to_patch(found.mask & ~others),
        lesson=_lesson(frame, click, own) if click.grow and own is not None else None,
    )


def _lesson(frame: Frame, click: ClickRequest, level: float) -> Lesson:
    """What the page learns from a click that moved a mask to a level."""
    point = (click.y, click.x)
    seen = Convention().observe_click(frame.image, point, level).observed[0]
    auto = annotate(frame.image, np.array([point])).clicks[0].level
    assert auto is not None
    return Lesson(contrast=seen.contrast, noise=seen.noise, area=seen.area, auto=auto)


def masks_of_clicks(
    frame: Frame, request: ClicksRequest, targets: Sequence[MarkedTarget], level: Level = "auto"
) -> list[MarkedTarget]:
    """The targets under several clicks, as if they came one by one; none where no free pixel is left."""
    found = list(targets)
    for place in request.places:
        number = request.id + len(found) - len(targets)
        click = ClickRequest(window=request.window, id=number, method=request.method, x=place.x, y=place.y)
        target = mask_of_click(frame, click, found, level)
        if target.patch.runs:
            found.append(target)
    return found[len(targets) :]


def _annotated(frame: Frame, click: ClickRequest, learned: Level) -> LabelledMask:
    """The mask at the click's level, or at the next level where it is larger or smaller."""

    def at(level: float | None) -> LabelledMask:
        options: dict[str, Any] = {}
        if click.method == "profile":
            options = {"level": learned} if level is None else {"level": level, "guarded": False}
        return annotate(frame.image, np.array([[click.y, click.x]]), method=click.method, **options)

    found = first = at(click.level)
    area = np.count_nonzero(first.mask)
    level = click.level
    while click.grow and level is not None and (np.count_nonzero(found.mask) - area) * click.grow <= 0:
        level -= click.grow * LEVEL_STEP
        if not LEVEL_STEP / 2 < level < 1:
            return first
        found = at(level)
    return found


def detector_rings(engine: Engine | TargetEngine, threshold: float, frame: Frame) -> list[dict[str, float]]:
    """A ring around each target above a threshold: x, y and radius in pixels, and its score.

    Rings of a cluster shrink until they leave each other's targets free.
    """
    targets, rings = predict(engine, frame).find_targets(threshold), []
    places = np.array([(target.x, target.y) for target in targets]).reshape(-1, 2)
    for target, place in zip(targets, places, strict=True):
        x0, y0, x1, y1 = target.box
        half = max(x1 - x0, y1 - y0) / 2
        gaps = np.hypot(*(places - place).T)
        nearest = float(gaps[gaps > 0].min(initial=np.inf))
        radius = max(min(half + RING_MARGIN, nearest / 2), half + LEAST_MARGIN)
        rings.append({"x": target.x, "y": target.y, "radius": radius, "score": target.score})
    return rings


def uncertainty_of(prediction: Prediction) -> float:
    """How undecided the detector is about its least certain target: 0 sure, 1 a coin toss."""
    peaks = [target.score for target in prediction.find_targets(FAINT)]
    return max((1 - abs(2 * peak - 1) for peak in peaks), default=0.0)
