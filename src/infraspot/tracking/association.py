"""Which detection belongs to which track: the best assignment of what lies within the gates."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from infraspot.core.matching import best_matching, near_boxes

_CHANCE = 13.8  # of two squared normals: one true detection in a thousand lies outside


def associate(
    places: NDArray[np.float64], variances: NDArray[Any], points: NDArray[np.float64], farthest: float
) -> NDArray[np.int64]:
    """One detection at most for each track and the other way round, with the least sum of distances.

    Distances are counted in standard deviations, so that a track whose place is known well has a small gate.

    Parameters
    ----------
    places
        (T, 2) predicted places as (y, x).
    variances
        (T,) of the distance between prediction and detection along one axis, pixels squared.
    points
        (D, 2) detections as (y, x).
    farthest
        No gate is wider than this, pixels.

    Returns
    -------
    (T,) the detection of each track, -1 where there is none.
    """
    if not len(places) or not len(points):
        return np.full(len(places), -1, np.int64)
    gates = np.minimum(np.sqrt(_CHANCE * variances), farthest)
    rows, columns = near_boxes(np.tile(places, 2), np.tile(points, 2), float(gates.max()))
    apart = np.hypot(*(places[rows] - points[columns]).T)
    inside = apart <= gates[rows]
    rows, columns, apart = rows[inside], columns[inside], apart[inside]
    cost = apart**2 / variances[rows] + 2 * np.log1p(variances[rows])
    return best_matching(rows, columns, cost, (len(places), len(points)))
