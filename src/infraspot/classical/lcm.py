"""LCM: local contrast measure.

C. L. P. Chen, H. Li, Y. Wei, T. Xia, Y. Y. Tang, "A local contrast method for small infrared target
detection", IEEE Transactions on Geoscience and Remote Sensing 52(1), 2014. With L_0 the largest grey level of
the central cell and m_i the mean of neighbour i::

    C = min_i L_0 * L_0 / m_i                     (1)
    response = max over cell sizes of C           (2)

The paper moves cells in steps of half a cell; here every pixel is the centre of a cell.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from infraspot.classical.cells import DARKEST, cell_mean, neighbours, require_cells
from infraspot.classical.polarity import Polarity, Response, respond


def lcm(
    image: NDArray[Any], *, cells: Sequence[int] = (3, 5, 7, 9), polarity: Polarity = "bright"
) -> Response:
    """Largest grey level of a cell, enhanced by its ratio to the brightest neighbour.

    A constant frame answers with its own grey level everywhere, as the paper's equation says; bright
    surroundings answer more than dark ones, which is this method's known weakness.

    Parameters
    ----------
    image
        (H, W) in [0, 1].
    cells
        Odd cell sizes in pixels.
    polarity
        Look for targets that are brighter or darker than what surrounds them.

    Returns
    -------
    (H, W) float32 >= 0, grey levels on the scale of ``image`` (may exceed 1); neighbours darker than 1/255
    count as 1/255.
    """

    require_cells(cells)

    def at(frame: NDArray[np.float32], cell: int) -> NDArray[np.float32]:
        brightest = neighbours(cell_mean(frame, cell), cell).max(axis=0)
        peak = ndimage.maximum_filter(frame, cell, mode="nearest")
        return peak * peak / np.maximum(brightest, np.float32(DARKEST))  # (1)

    def bright(frame: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.maximum.reduce([at(frame, cell) for cell in cells])  # (2)

    return respond(bright, image, polarity)
