"""A cell and its eight neighbours: the window of every local contrast measure.

::

    1 2 3
    4 0 5        neighbour i lies opposite to neighbour 9 - i
    6 7 8
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

_OFFSETS = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if (y, x) != (0, 0)]


def cell_mean(frame: NDArray[np.float32], cell: int) -> NDArray[np.float32]:
    """Mean of the ``cell`` x ``cell`` square around each pixel; the frame's edge is repeated outward."""
    mean: NDArray[np.float32] = ndimage.uniform_filter(frame, cell, mode="nearest")
    return mean


def neighbours(means: NDArray[np.float32], cell: int) -> NDArray[np.float32]:
    """(8, H, W): the means of the eight cells around each cell, in the order of the drawing above."""
    height, width = means.shape
    padded = np.pad(means, cell, mode="edge")
    return np.stack(
        [padded[cell + y * cell :, cell + x * cell :][:height, :width] for y, x in _OFFSETS],
    )
