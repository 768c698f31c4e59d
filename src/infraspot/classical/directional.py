"""Max-mean and max-median filters: the background is what the best of four directions predicts.

S. D. Deshpande, M. H. Er, R. Venkateswarlu, P. Chan, "Max-mean and max-median filters for detection of small
targets", Proc. SPIE 3809, 1999. With ``z_1 .. z_4`` the windows of 2 N + 1 pixels through a pixel, along the
row, the column and both diagonals::

    background = max(mean(z_1), .., mean(z_4))        max-mean
    background = max(median(z_1), .., median(z_4))    max-median
    response   = image - background

An edge fills at least one of the windows, so that it is predicted and disappears; a small target fills none.
"""

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from infraspot.classical.polarity import Polarity, Response, respond
from infraspot.core.options import require_whole


def max_mean(image: NDArray[Any], *, reach: int = 8, polarity: Polarity = "bright") -> Response:
    """Image less the largest of four directional means.

    Parameters
    ----------
    image
        (H, W) in [0, 1].
    reach
        N: the windows are ``2 * reach + 1`` pixels long.
    polarity
        Look for targets that are brighter or darker than what surrounds them.

    Returns
    -------
    (H, W) float32 >= 0, grey levels on the scale of ``image``.
    """
    require_whole(1, 1000, reach=reach)

    def bright(frame: NDArray[np.float32]) -> NDArray[np.float32]:
        return frame - np.maximum.reduce([window.mean(axis=-1) for window in _windows(frame, reach)])

    return respond(bright, image, polarity)


def max_median(image: NDArray[Any], *, reach: int = 8, polarity: Polarity = "bright") -> Response:
    """Image less the largest of four directional medians; parameters and unit as :func:`max_mean`."""
    require_whole(1, 1000, reach=reach)

    def bright(frame: NDArray[np.float32]) -> NDArray[np.float32]:
        return frame - np.maximum.reduce([_median(window) for window in _windows(frame, reach)])

    return respond(bright, image, polarity)


def _windows(frame: NDArray[np.float32], reach: int) -> list[NDArray[np.float32]]:
    """Four views (H, W, 2 * reach + 1): row, column, falling and rising diagonal."""
    length = 2 * reach + 1
    squares = sliding_window_view(np.pad(frame, reach, mode="edge"), (length, length))
    rising = np.diagonal(squares[:, :, ::-1], axis1=2, axis2=3)
    return [squares[:, :, reach], squares[..., reach], np.diagonal(squares, axis1=2, axis2=3), rising]


def _median(window: NDArray[np.float32]) -> NDArray[np.float32]:
    middle = window.shape[-1] // 2
    return np.partition(window, middle, axis=-1)[..., middle]
