"""Bright targets, dark targets, or both: detectors look for bright ones, and this turns the frame."""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from infraspot.core.errors import UsageError
from infraspot.core.frames import as_grey
from infraspot.core.options import shown

Polarity = Literal["bright", "dark", "both"]
Response = NDArray[np.float32]


def respond(
    bright: Callable[[NDArray[np.float32]], NDArray[Any]], image: NDArray[Any], polarity: Polarity
) -> Response:
    """Run a detector of bright targets for the wanted polarity.

    A dark target in ``image`` is a bright one in ``1 - image``; for ``"both"`` the larger response counts.

    Parameters
    ----------
    bright
        From a frame (H, W) float32 in [0, 1] to a response (H, W); negative values are clipped to 0.
    image
        (H, W) floats in [0, 1], or unsigned whole numbers.

    Returns
    -------
    (H, W) float32, >= 0, in the detector's own unit.

    Raises
    ------
    InputError
        If the image is not such an array, is empty, or holds a pixel that is not finite.
    UsageError
        If ``polarity`` is none of the three.
    """
    check_polarity(polarity)
    frame = as_grey(image)
    frames = {"bright": (frame,), "dark": (1 - frame,), "both": (frame, 1 - frame)}[polarity]
    response = np.maximum.reduce([bright(one) for one in frames])
    return np.maximum(response, 0).astype(np.float32, copy=False)


def check_polarity(polarity: object) -> None:
    """Refuse what is none of the three.

    Raises
    ------
    UsageError
        If it is not.
    """
    if not isinstance(polarity, str) or polarity not in ("bright", "dark", "both"):
        raise UsageError(f"polarity must be 'bright', 'dark' or 'both', and {shown(polarity)} came")
