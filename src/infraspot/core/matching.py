"""One-to-one matching of targets and detections, from the pairs that are allowed and nothing else.

A list of pairs is (K,) target indices, ascending, and (K,) detection indices, ascending within a target. A
frame of thousands of targets has some pairs a target, and millions in a table of all of them.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]

NO_MATCH = -1
CELL = 32
SMALL = 4096
FEW = 64  # pairs: one table of all is quicker than to find which of them compete


def near_boxes(boxes: NDArray[Any], others: NDArray[Any], reach: float) -> tuple[IntArray, IntArray]:
    """All pairs of boxes with a gap of at most ``reach`` in x and in y, in time linear in their number.

    Parameters
    ----------
    boxes, others
        (T, 4) and (P, 4) as (x0, y0, x1, y1) in pixels; a point is a box with equal corners.
    reach
        Pixels.

    Returns
    -------
    (K,) indices into ``boxes``, ascending, and (K,) indices into ``others``, ascending within a box.
    """
    grown = np.asarray(boxes, np.float64) + np.array([-reach, -reach, reach, reach])
    others = np.asarray(others, np.float64)
    if len(grown) * len(others) <= SMALL:
        return _split(np.flatnonzero(_meet(grown[:, None], others[None]).ravel()), len(others))
    cells, rows = _covered_cells(grown)
    other_cells, columns = _covered_cells(others)
    order = np.argsort(other_cells, kind="stable")
    other_cells, columns = other_cells[order], columns[order]
    first = np.searchsorted(other_cells, cells)
    count = np.searchsorted(other_cells, cells, side="right") - first
    row = np.repeat(rows, count)
    column = columns[np.repeat(first, count) + _ranges(count)]
    kept = _meet(grown[row], others[column])
    return _split(np.unique(row[kept] * len(others) + column[kept]), len(others))


def _split(codes: NDArray[Any], width: int) -> tuple[IntArray, IntArray]:
    rows, columns = np.divmod(codes, max(width, 1))
    return rows.astype(np.int64), columns.astype(np.int64)


def _meet(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether boxes overlap or touch."""
    inside = (a[..., :2] <= b[..., 2:]) & (b[..., :2] <= a[..., 2:])
    return inside[..., 0] & inside[..., 1]


def _covered_cells(boxes: NDArray[np.float64]) -> tuple[IntArray, IntArray]:
    """The number of each square cell that each box covers, and the box's index."""
    corners = np.floor(boxes / CELL).astype(np.int64)
    across, down = corners[:, 2] - corners[:, 0] + 1, corners[:, 3] - corners[:, 1] + 1
    index = np.repeat(np.arange(len(boxes)), across * down)
    place = _ranges(across * down)
    x = corners[index, 0] + place % across[index]
    y = corners[index, 1] + place // across[index]
    return y * (1 << 31) + x, index


def _ranges(counts: IntArray) -> IntArray:
    """0, 1, ... count - 1 for each count, one after the other."""
    starts = np.cumsum(counts) - counts
    ranges: IntArray = np.arange(counts.sum()) - np.repeat(starts, counts)
    return ranges


def greedy_matching(rows: IntArray, columns: IntArray, shape: tuple[int, int]) -> IntArray:
    """Each target in turn takes its first allowed detection that is still free.

    This is what the published programs do, with targets and detections in raster order. The result depends on
    that order, and can have fewer pairs than :func:`best_matching`.

    Parameters
    ----------
    rows, columns
        The allowed pairs.
    shape
        Number of targets and of detections.

    Returns
    -------
    (T,) int64: the detection of each target, or -1.
    """
    match, taken = np.full(shape[0], NO_MATCH, np.int64), np.zeros(shape[1], np.bool_)
    for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
        if match[row] == NO_MATCH and not taken[column]:
            match[row], taken[column] = column, True
    return match


def best_matching(rows: IntArray, columns: IntArray, cost: NDArray[Any], shape: tuple[int, int]) -> IntArray:
    """As many allowed pairs as possible and, among such matchings, the least total cost.

    The gate acts before the assignment: a pair that is not allowed can never displace one that is.

    Parameters
    ----------
    rows, columns
        The allowed pairs.
    cost
        (K,) of each pair, not negative; any unit.
    shape
        Number of targets and of detections.

    Returns
    -------
    (T,) int64: the detection of each target, or -1.
    """
    match = np.full(shape[0], NO_MATCH, np.int64)
    alone = np.bincount(rows, minlength=shape[0])[rows] == 1
    alone &= np.bincount(columns, minlength=shape[1])[columns] == 1
    match[rows[alone]] = columns[alone]
    if alone.all():
        return match
    rows, columns, cost = rows[~alone], columns[~alone], np.asarray(cost[~alone], np.float64)
    if len(rows) <= FEW:
        _match_group(rows, columns, cost, match)
        return match
    from scipy.sparse import coo_array  # slow to import, and seldom needed
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(rows)), (rows, shape[0] + columns)), (sum(shape), sum(shape)))
    group = connected_components(graph, directed=False)[1][rows]
    order = np.argsort(group, kind="stable")
    for part in np.split(order, np.flatnonzero(np.diff(group[order])) + 1):
        _match_group(rows[part], columns[part], cost[part], match)
    return match


def _match_group(rows: IntArray, columns: IntArray, cost: NDArray[np.float64], match: IntArray) -> None:
    """Match targets and detections that compete, by the table of all their pairs."""
    from scipy.optimize import linear_sum_assignment

    row, y = np.unique(rows, return_inverse=True)
    column, x = np.unique(columns, return_inverse=True)
    # A forbidden pair costs more than all allowed ones together: it is used when nothing else is left.
    forbidden = (cost.max() + 1.0) * (min(len(row), len(column)) + 1)
    table = np.full((len(row), len(column)), forbidden)
    table[y, x] = cost
    picked = linear_sum_assignment(table)
    kept = table[picked] < forbidden
    match[row[picked[0][kept]]] = column[picked[1][kept]]
