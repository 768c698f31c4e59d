"""Images and clicks as every annotator takes them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from infraspot.core.errors import InputError, named
from infraspot.core.frames import as_grey, as_plane
from infraspot.core.options import shown


def as_image(image: Any) -> NDArray[np.float32]:
    """(H, W) float32 in [0, 1] of a grey frame: whole numbers are divided by the largest of their type.

    Pixels that are NaN or infinite take the median of the others.

    Raises
    ------
    InputError
        If the frame is not two-dimensional, is empty, has no finite pixel, or holds floats outside [0, 1].
    """
    frame = as_plane(image)
    if frame.dtype.kind == "f" and not (known := np.isfinite(frame)).all():
        if not known.any():
            raise InputError("the image has no finite pixel; check how it was read")
        frame = np.where(known, frame, np.median(frame[known]))
    return as_grey(frame)


def as_points(points: Any, shape: tuple[int, int]) -> NDArray[np.float64]:
    """(N, 2) float64 clicks (y, x) inside the frame.

    Raises
    ------
    InputError
        If they are not real numbers (N, 2); naming every click that is NaN or outside the frame.
    """
    try:
        given = np.asarray(points)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"expected clicks (N, 2) as (y, x), and they are no array: {error}") from error
    if given.shape in ((0,), (0, 2)):
        return np.zeros((0, 2))
    if given.dtype.kind not in "iuf":
        raise InputError(f"expected clicks (N, 2) as (y, x) in pixels, and {shown(points)} came")
    if given.ndim != 2 or given.shape[1] != 2:
        raise InputError(f"expected clicks (N, 2) as (y, x), and their shape is {given.shape}")
    clicks = np.ascontiguousarray(given, np.float64)
    height, width = shape
    with np.errstate(invalid="ignore"):
        inside = (clicks > -0.5).all(1) & (clicks[:, 0] < height - 0.5) & (clicks[:, 1] < width - 0.5)
    if not inside.all():
        beyond = np.flatnonzero(~inside)
        wrong = named([f"{k} (x={clicks[k, 1]:g}, y={clicks[k, 0]:g})" for k in beyond])
        raise InputError(
            f"clicks outside the image of {width}x{height} pixels: {wrong}; remove or correct them"
        )
    return clicks


def pixel_of(point: NDArray[np.float64]) -> tuple[int, int]:
    """The pixel (y, x) that holds a click; pixel centres are whole numbers."""
    return int(np.floor(point[0] + 0.5)), int(np.floor(point[1] + 0.5))
