"""Images and clicks as every annotator takes them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from infraspot.core.errors import InputError

_SHOWN = 5


def as_image(image: NDArray[Any]) -> NDArray[np.float32]:
    """(H, W) float32 in [0, 1] of a grey frame: whole numbers are divided by the largest of their type.

    Pixels that are NaN or infinite take the median of the others.

    Raises
    ------
    InputError
        If the frame is not two-dimensional, is empty, or holds numbers outside [0, 1] as floats.
    """
    frame = np.asarray(image)
    if frame.ndim != 2 or frame.size == 0:
        raise InputError(f"expected a grey image (H, W), and its shape is {frame.shape}; pass one channel")
    if frame.dtype == np.bool_:
        return frame.astype(np.float32)
    if np.issubdtype(frame.dtype, np.unsignedinteger):
        return (frame / np.iinfo(frame.dtype).max).astype(np.float32)
    if not np.issubdtype(frame.dtype, np.floating):
        raise InputError(f"expected uint8, uint16 or floats in [0, 1], and the image is {frame.dtype}")
    low, high = float(frame.min()), float(frame.max())
    if not np.isfinite(low + high):
        known = np.isfinite(frame)
        if not known.any():
            raise InputError("the image has no finite pixel; check how it was read")
        frame = np.where(known, frame, np.median(frame[known]))
        low, high = float(frame.min()), float(frame.max())
    if low < 0 or high > 1:
        raise InputError(
            f"expected grey values in [0, 1], and they reach from {low:g} to {high:g}; rescale them"
        )
    return frame.astype(np.float32, copy=False)


def as_points(points: Any, shape: tuple[int, int]) -> NDArray[np.float64]:
    """(N, 2) float64 clicks (y, x) inside the frame.

    Raises
    ------
    InputError
        Naming every click that is NaN or outside the frame.
    """
    try:
        clicks = np.asarray(points, np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"expected clicks (N, 2) as (y, x), and they are not numbers: {error}") from error
    if clicks.size == 0:
        return np.zeros((0, 2))
    if clicks.ndim != 2 or clicks.shape[1] != 2:
        raise InputError(f"expected clicks (N, 2) as (y, x), and their shape is {clicks.shape}")
    height, width = shape
    with np.errstate(invalid="ignore"):
        inside = (clicks > -0.5).all(1) & (clicks[:, 0] < height - 0.5) & (clicks[:, 1] < width - 0.5)
    if not inside.all():
        wrong = np.flatnonzero(~inside)
        named = ", ".join(f"{k} (x={clicks[k, 1]:g}, y={clicks[k, 0]:g})" for k in wrong[:_SHOWN])
        more = f" and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        raise InputError(
            f"clicks outside the image of {width}x{height} pixels: {named}{more}; remove or correct them"
        )
    return clicks


def pixel_of(point: NDArray[np.float64]) -> tuple[int, int]:
    """The pixel (y, x) that holds a click; pixel centres are whole numbers."""
    return int(np.floor(point[0] + 0.5)), int(np.floor(point[1] + 0.5))
