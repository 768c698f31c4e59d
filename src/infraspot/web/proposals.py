"""What the page offers: the mask under a click, and rings around what the packaged detector sees."""

from collections.abc import Sequence
from functools import lru_cache
from threading import Event, Thread
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from infraspot.annotators import ANNOTATORS, LabelledMask, annotate
from infraspot.core.errors import InfraspotError
from infraspot.core.prediction import Prediction
from infraspot.data import Frame
from infraspot.inference import Engine, open_engine, predict
from infraspot.web.actions import MarkedTarget
from infraspot.web.runs import to_mask, to_patch
from infraspot.web.session import Session

# Fast enough to follow the mouse; the others are for whole data sets.
METHODS = [
    name for name in ("profile", "diffusion", "otsu", "watershed", "random-walker") if name in ANNOTATORS
]
FAINT = 0.1
LEVEL_STEP = 0.02
RING_MARGIN = 3.0


class ClickRequest(BaseModel):
    """A click at (x, y) pixels; ``level`` None lets the method choose.

    With ``grow`` 1 or -1, the level moves from ``level`` until the mask grows or shrinks.
    """

    model_config = ConfigDict(extra="forbid")

    window: str = Field(min_length=1, max_length=64)
    id: int = Field(ge=1)
    x: float = Field(ge=0, le=1e5, allow_inf_nan=False)
    y: float = Field(ge=0, le=1e5, allow_inf_nan=False)
    method: str
    level: float | None = Field(default=None, gt=0, lt=1)
    grow: Literal[-1, 0, 1] = 0


def mask_of_click(frame: Frame, click: ClickRequest, targets: Sequence[MarkedTarget]) -> MarkedTarget:
    """The target under a click; pixels that already belong to another target stay there.

    Raises
    ------
    InfraspotError
        If the click is outside the frame or the method unknown.
    """
    found = _annotated(frame, click)
    others = to_mask([target.patch for target in targets if target.id != click.id], frame.image.shape)
    record = found.clicks[0]
    return MarkedTarget(
        id=click.id,
        x=click.x,
        y=click.y,
        method=click.method,
        level=record.level if click.method == "profile" else None,
        confidence=record.confidence,
        patch=to_patch(found.mask & ~others),
    )


def _annotated(frame: Frame, click: ClickRequest) -> LabelledMask:
    """The mask at the click's level, or at the next level where it is larger or smaller."""

    def at(level: float | None) -> LabelledMask:
        options = {} if level is None or click.method != "profile" else {"level": level}
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


@lru_cache(maxsize=1)
def _engine() -> Engine:
    return open_engine(threads=1)


def detector_rings(frame: Frame) -> list[dict[str, float]]:
    """A ring around each target of the packaged detector: x, y and radius in pixels, and its score."""
    threshold = float(_engine().card.get("threshold", 0.5))
    rings = []
    for target in predict(_engine(), frame).find_targets(threshold):
        x0, y0, x1, y1 = target.box
        radius = max(x1 - x0, y1 - y0) / 2 + RING_MARGIN
        rings.append({"x": target.x, "y": target.y, "radius": radius, "score": target.score})
    return rings


def uncertainty_of(prediction: Prediction) -> float:
    """How undecided the detector is about its least certain target: 0 sure, 1 a coin toss."""
    peaks = [target.score for target in prediction.find_targets(FAINT)]
    return max((1 - abs(2 * peak - 1) for peak in peaks), default=0.0)


class Uncertainty:
    """Fills in while the page is in use; ``values`` holds what is known so far."""

    def __init__(self, session: Session) -> None:
        self.values: dict[str, float] = {}
        self._session = session
        self._stopped = Event()
        self._thread = Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin in the background."""
        self._thread.start()

    def stop(self) -> None:
        """Wait for the frame in work; a thread inside the runtime would abort a process that ends."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        from infraspot.data import read_image

        for image, path in self._session.images.items():
            if self._stopped.is_set():
                return
            try:
                frame = read_image(path)
                prediction = predict(_engine(), frame, image)
            except InfraspotError:
                continue  # the page says what is wrong with an image when it is opened
            self.values[image] = uncertainty_of(prediction)
