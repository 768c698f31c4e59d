"""Targets of an array in one call."""

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infraspot.core.frames import as_grey
from infraspot.core.prediction import Target
from infraspot.data import Frame
from infraspot.inference.engines import DEFAULT_MODEL, Engine, open_engine
from infraspot.inference.predictor import predict

_open = lru_cache(maxsize=4)(open_engine)


def detect(
    image: Frame | NDArray[Any],
    *,
    model: str | Engine = DEFAULT_MODEL,
    threshold: float | None = None,
    trust: str | tuple[str, ...] = (),
) -> list[Target]:
    """Find the targets in a grey frame.

    Parameters
    ----------
    image
        What :func:`infraspot.read_image` gives, or (H, W) uint8, uint16, or floating point in [0, 1]. Frames
        of more than 8 bits are stretched first, as a camera's gain control would.
    model
        A packaged model, a weight file, a run folder, or an engine; opened once and kept.
    threshold
        Least score of a target pixel, in [0, 1]; the model's own where it is not given.
    trust
        Names ``"module:attribute"`` of code outside infraspot that the model's file may import.

    Returns
    -------
    Targets with centroid, area, box, score and SCR, the highest score first.

    Raises
    ------
    InputError
        If the image is not two-dimensional, or holds NaN or values outside [0, 1].
    """
    engine = _open(model, trust=trust) if isinstance(model, str) else model
    frame = image if isinstance(image, Frame) else _as_frame(image)
    if threshold is None:
        threshold = float(engine.card.get("threshold", 0.5))
    return predict(engine, frame).find_targets(threshold, frame.image)


def _as_frame(image: Any) -> Frame:
    frame = as_grey(image)
    kind = np.asarray(image).dtype
    return Frame(frame, 8 * kind.itemsize if kind.kind == "u" else 8)
