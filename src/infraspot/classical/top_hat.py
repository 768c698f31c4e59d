"""White top-hat: what is brighter than its surroundings and smaller than the structuring element.

J.-F. Rivest, R. Fortin, "Detection of dim targets in digital infrared imagery by morphological image
processing", Optical Engineering 35(7), 1996.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from infraspot.classical.polarity import Polarity, Response, respond
from infraspot.core.options import require_whole


def top_hat(image: NDArray[Any], *, size: int = 9, polarity: Polarity = "bright") -> Response:
    """Image less its opening by a flat square of ``size`` pixels a side.

    A square opening splits into rows and columns, so that the cost does not grow with ``size``.

    Parameters
    ----------
    image
        (H, W) in [0, 1].
    size
        Side of the square in pixels; targets must be narrower.
    polarity
        Look for targets that are brighter or darker than what surrounds them.

    Returns
    -------
    (H, W) float32 >= 0, grey levels on the scale of ``image``.
    """
    require_whole(1, 1000, size=size)

    def bright(frame: NDArray[np.float32]) -> NDArray[np.float32]:
        return frame - ndimage.grey_opening(frame, size=(size, size), mode="nearest")

    return respond(bright, image, polarity)
