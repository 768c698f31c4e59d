"""A cell and its eight neighbours: the window of every local contrast measure.

::

    1 2 3
    4 0 5        neighbour i lies opposite to neighbour 9 - i
    6 7 8
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from infraspot.core.errors import UsageError
from infraspot.core.options import shown

DARKEST = 1 / 255
"""Ratios of grey levels take this for darker cells, so that they stay finite."""
_OFFSETS = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if (y, x) != (0, 0)]


def require_cells(cells: Sequence[int]) -> None:
    """Check that cell sizes are odd whole numbers from 1 to 99.

    Raises
    ------
    UsageError
        If they are anything else, or none came.
    """
    sizes = list(cells) if isinstance(cells, Sequence) else []
    if not sizes or not all(type(size) is int and size % 2 and 0 < size < 100 for size in sizes):
        raise UsageError(f"cells are odd sizes in pixels from 1 to 99, and {shown(cells)} came")


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
