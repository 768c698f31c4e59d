"""ILCM: improved local contrast measure.

J. Han, Y. Ma, B. Zhou, F. Fan, K. Liang, Y. Fang, "A robust infrared small target detection algorithm based
on human visual system", IEEE Geoscience and Remote Sensing Letters 11(12), 2014. The frame is cut into blocks
that overlap by half. With L_0 the largest grey level of a block, m_0 its mean and m_i the mean of neighbour
i of the eight::

    C = min_i L_0 m_0 / m_i      (1)

Against LCM, one factor is a mean, so that a single hot pixel counts less, and blocks in place of pixels make
it fast. The paper thresholds blocks; here a pixel takes the median of the blocks that hold it.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from infraspot.classical.cells import DARKEST, neighbours
from infraspot.classical.patches import PatchGrid
from infraspot.classical.polarity import Polarity, Response, respond
from infraspot.core.options import require_whole


def ilcm(image: NDArray[Any], *, block: int = 8, polarity: Polarity = "bright") -> Response:
    """Contrast of half-overlapping blocks to their brightest neighbour.

    A constant frame answers with its own grey level everywhere, as that of
    :func:`~infraspot.classical.lcm.lcm`.

    Parameters
    ----------
    image
        (H, W) in [0, 1].
    block
        Side of a block in pixels; blocks stand half of it apart.
    polarity
        Look for targets that are brighter or darker than what surrounds them.

    Returns
    -------
    (H, W) float32 >= 0, grey levels on the scale of ``image`` (may exceed 1); neighbours darker than 1/255
    count as 1/255.
    """
    require_whole(2, 1000, block=block)

    def bright(frame: NDArray[np.float32]) -> NDArray[np.float32]:
        grid = PatchGrid.over(frame, block, block // 2)
        blocks = grid.split(frame)
        peak, mean = (
            values.reshape(grid.rows, grid.columns) for values in (blocks.max((1, 2)), blocks.mean((1, 2)))
        )
        brightest = np.maximum(neighbours(mean, 1).max(axis=0), np.float32(DARKEST))
        contrast = peak * mean / brightest  # (1)
        return grid.join(np.broadcast_to(contrast.reshape(-1, 1, 1), blocks.shape))

    return respond(bright, image, polarity)
