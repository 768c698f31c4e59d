"""Targets of an array in one call."""

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infraspot.core.errors import InputError
from infraspot.core.prediction import Target
from infraspot.data import Frame
from infraspot.inference.engines import DEFAULT_MODEL, Engine, open_engine
from infraspot.inference.predictor import predict

_open = lru_cache(maxsize=4)(open_engine)


def detect(
    image: Frame | NDArray[Any], *, model: str | Engine = DEFAULT_MODEL, threshold: float | None = None
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

    Returns
    -------
    Targets with centroid, area, box, score and SCR, the highest score first.

    Raises
    ------
    InputError
        If the image is not two-dimensional, or holds NaN or values outside [0, 1].
    """
    engine = _open(model) if isinstance(model, str) else model
    frame = image if isinstance(image, Frame) else _as_frame(image)
    if threshold is None:
        threshold = float(engine.card.get("threshold", 0.5))
    return predict(engine, frame).find_targets(threshold, frame.image)


def _as_frame(image: NDArray[Any]) -> Frame:
    if image.ndim != 2 or not image.size:
        raise InputError(f"expected a grey image of shape (H, W), and the shape is {image.shape}")
    if image.dtype in (np.uint8, np.uint16):
        return Frame(image.astype(np.float32) / np.float32(np.iinfo(image.dtype).max), 8 * image.itemsize)
    if not np.issubdtype(image.dtype, np.floating):
        raise InputError(f"expected uint8, uint16 or floating point, and the type is {image.dtype}")
    if not (image.min() >= 0 and image.max() <= 1):
        raise InputError("expected values in [0, 1] without NaN in a floating-point image; scale it first")
    return Frame(image.astype(np.float32), 8)
