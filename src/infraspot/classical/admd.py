"""ADMD: absolute directional mean difference.

S. Moradi, P. Moallem, M. F. Sabahi, "Fast and robust small infrared target detection using absolute
directional mean difference algorithm", Signal Processing 177, 2020. With m_0 the mean of the central cell and
m_i that of neighbour i::

    C = min_i (m_0 - m_i)^2 where m_0 > m_i for every i, else 0     (1)
    response = max over cell sizes of C                             (2)
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infraspot.classical.cells import cell_mean, neighbours, require_cells
from infraspot.classical.polarity import Polarity, Response, respond


def admd(
    image: NDArray[Any], *, cells: Sequence[int] = (3, 5, 7, 9), polarity: Polarity = "bright"
) -> Response:
    """Squared contrast of a cell to its brightest neighbour.

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
    (H, W) float32 >= 0, squared grey levels on the scale of ``image``.
    """

    require_cells(cells)

    def at(frame: NDArray[np.float32], cell: int) -> NDArray[np.float32]:
        means = cell_mean(frame, cell)
        return np.maximum(means - neighbours(means, cell).max(axis=0), 0)

    def bright(frame: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.square(np.maximum.reduce([at(frame, cell) for cell in cells]))  # (1), (2)

    return respond(bright, image, polarity)
