"""MPCM: multiscale patch-based contrast measure.

Y. Wei, X. You, H. Li, "Multiscale patch-based contrast measure for small infrared target detection", Pattern
Recognition 58, 2016. With m_0 the mean of the central cell and m_i that of neighbour i::

    D_i = m_0 - m_i                                       (1)
    d_i = D_i * D_(9-i), opposite neighbours together     (2)
    C   = min of the four d_i                             (3)
    response = max over cell sizes of C                   (4)

An edge has one neighbour as bright as itself, so that one product vanishes. The paper takes every product as
it is: then a saddle, brighter than two opposite neighbours and darker than the other two, has four positive
products and is marked. Here all eight differences must have one sign, positive for a bright target and
negative for a dark one; ``polarity="both"`` takes the larger of the two responses.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infraspot.classical.cells import cell_mean, neighbours, require_cells
from infraspot.classical.polarity import Polarity, Response, respond


def mpcm(
    image: NDArray[Any], *, cells: Sequence[int] = (3, 5, 7, 9), polarity: Polarity = "bright"
) -> Response:
    """Least product of a cell's contrasts to opposite neighbours.

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
        contrast = np.maximum(means - neighbours(means, cell), 0)  # (1), bright only
        return (contrast[:4] * contrast[:3:-1]).min(axis=0)  # (2), (3)

    def bright(frame: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.maximum.reduce([at(frame, cell) for cell in cells])  # (4)

    return respond(bright, image, polarity)
