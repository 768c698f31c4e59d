"""One box for each target, without torch: what stands behind every engine of boxes."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from infraspot.core.compiled import compiled

Boxes = NDArray[np.float64]


def thin_out(
    boxes: NDArray[Any],
    scores: NDArray[Any],
    *,
    iou: float = 0.5,
    least: float = 0.01,
    before: int = 1000,
    most: int = 300,
) -> NDArray[np.intp]:
    """Places of the boxes that stay, the highest score first.

    Parameters
    ----------
    boxes, scores
        (N, 4) as (x0, y0, x1, y1), and (N,). Of equal scores the first comes first.
    iou, least, before, most
        See :class:`infraspot.weights.card.SuppressionCard`.
    """
    able = np.flatnonzero(scores >= least)
    order = able[np.argsort(-scores[able], kind="stable")][:before]
    stays = _greedy(np.ascontiguousarray(boxes[order], np.float64), float(iou))
    found: NDArray[np.intp] = order[stays][:most]
    return found


@compiled
def _greedy(boxes: Boxes, iou: float) -> NDArray[np.bool_]:
    """(N,) which of the boxes, best first, no better one that stays overlaps by more than ``iou``."""
    count = len(boxes)
    stays = np.ones(count, np.bool_)
    sizes = np.empty(count)
    for k in range(count):
        sizes[k] = (boxes[k, 2] - boxes[k, 0]) * (boxes[k, 3] - boxes[k, 1])
    for k in range(count):
        if not stays[k]:
            continue
        for j in range(k + 1, count):
            width = min(boxes[k, 2], boxes[j, 2]) - max(boxes[k, 0], boxes[j, 0])
            if width <= 0:
                continue
            height = min(boxes[k, 3], boxes[j, 3]) - max(boxes[k, 1], boxes[j, 1])
            common = width * height
            if height > 0 and common > iou * (sizes[k] + sizes[j] - common):
                stays[j] = False
    return stays
