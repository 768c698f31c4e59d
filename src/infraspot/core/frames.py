"""Arrays from outside as the grey frames that everything else works on."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from infraspot.core.errors import InputError


def as_grey(image: Any) -> NDArray[np.float32]:
    """(H, W) float32 in [0, 1], contiguous and writable.

    Parameters
    ----------
    image
        (H, W) array, not empty: unsigned whole numbers, which are divided by the largest of their type, or
        floats in [0, 1].

    Raises
    ------
    InputError
        If it is anything else, or holds a pixel that is NaN or infinite.
    """
    frame = as_plane(image)
    if frame.dtype.kind == "u":
        frame = frame / np.float32(np.iinfo(frame.dtype).max)
    elif not np.isfinite(frame).all():
        wrong = np.count_nonzero(~np.isfinite(frame))
        raise InputError(f"{wrong} of {frame.size} pixels are NaN or infinite; replace them first")
    low, high = float(frame.min()), float(frame.max())
    if low < 0 or high > 1:
        raise InputError(
            f"expected grey values in [0, 1], and they reach from {low:g} to {high:g}; rescale them"
        )
    return np.require(frame, np.float32, ("C", "W"))


def as_plane(image: Any) -> NDArray[Any]:
    """The image as an array (H, W) of unsigned whole numbers or floats, its values unchecked.

    Raises
    ------
    InputError
        If it is no array, or one of another shape or type.
    """
    if not hasattr(image, "__array__"):
        raise InputError(f"expected an image as an array (H, W), and {type(image).__name__} came")
    try:
        plane = np.asarray(image)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"expected an image as an array (H, W), and it cannot be read: {error}") from error
    if plane.ndim != 2 or plane.size == 0:
        raise InputError(f"expected a grey image (H, W), and its shape is {plane.shape}; pass one channel")
    if plane.dtype.kind not in "uf":
        raise InputError(f"expected uint8, uint16 or floats in [0, 1], and the image is {plane.dtype}")
    return plane
