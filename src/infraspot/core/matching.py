"""One-to-one matching of targets (rows) and detections (columns); pure functions over small matrices."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

NO_MATCH = -1


def greedy_matching(allowed: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Each row in turn takes the first allowed column that is still free.

    This is what the published programs do, with rows and columns in raster order. The result depends on that
    order, and can have fewer pairs than :func:`best_matching`.

    Parameters
    ----------
    allowed
        (T, P) bool: the pair passes the gate.

    Returns
    -------
    (T,) int64: the column of each row, or -1.
    """
    match = np.full(len(allowed), NO_MATCH, np.int64)
    taken = np.zeros(allowed.shape[1], np.bool_)
    for row in np.flatnonzero(allowed.any(axis=1)):
        for column in np.flatnonzero(allowed[row]):
            if not taken[column]:
                match[row], taken[column] = column, True
                break
    return match


def best_matching(cost: NDArray[Any], allowed: NDArray[np.bool_]) -> NDArray[np.int64]:
    """As many allowed pairs as possible and, among such matchings, the least total cost.

    The gate acts before the assignment: a pair that is not allowed can never displace one that is.

    Parameters
    ----------
    cost
        (T, P), not negative where ``allowed``; any unit.
    allowed
        (T, P) bool: the pair passes the gate.

    Returns
    -------
    (T,) int64: the column of each row, or -1.
    """
    match = np.full(len(allowed), NO_MATCH, np.int64)
    rows, columns = np.nonzero(allowed)
    alone = (np.bincount(rows, minlength=len(allowed))[rows] == 1) & (
        np.bincount(columns, minlength=allowed.shape[1])[columns] == 1
    )
    match[rows[alone]] = columns[alone]
    if alone.all():
        return match
    from scipy.optimize import linear_sum_assignment  # slow to import, and seldom needed

    rows, columns = np.unique(rows[~alone]), np.unique(columns[~alone])
    window = np.ix_(rows, columns)
    gate, price = allowed[window], cost[window].astype(np.float64)
    # A forbidden pair costs more than every allowed pair together, so it is used only when nothing else is
    # left.
    forbidden = (price[gate].max() + 1.0) * (min(gate.shape) + 1)
    picked_rows, picked_columns = linear_sum_assignment(np.where(gate, price, forbidden))
    kept = gate[picked_rows, picked_columns]
    match[rows[picked_rows[kept]]] = columns[picked_columns[kept]]
    return match
