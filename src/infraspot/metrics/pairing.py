"""Which detection finds which target: the protocols' rules, as pure functions over two region tables."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infraspot.core.matching import best_matching, greedy_matching, near_boxes
from infraspot.metrics.kernel_loader import kernels
from infraspot.metrics.protocols import Protocol
from infraspot.metrics.regions import Regions

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class PairTable:
    """The pairs of targets and detections of one frame that lie near each other, one entry a pair.

    Every pair that overlaps, or whose centroids lie within the reach that the table was made for, is in it.

    Attributes
    ----------
    rows, columns
        (K,) int64 target, ascending, and detection, ascending within a target.
    distances
        (K,) float64, between centroids in pixels.
    shared
        (K,) int64 pixels in common.
    ious
        (K,) float64, intersection over union of the masks.
    shape
        Number of targets and of detections.
    """

    rows: IntArray
    columns: IntArray
    distances: FloatArray
    shared: IntArray
    ious: FloatArray
    shape: tuple[int, int]


def pair_table(targets: Regions, found: Regions, shared: IntArray, reach: float) -> PairTable:
    """The near pairs of a frame; ``shared`` comes from ``shared_pixels``, ``reach`` is in pixels."""
    rows, columns = near_boxes(targets.boxes, found.boxes, reach)
    gap = targets.centroids[rows] - found.centroids[columns]
    common = np.zeros(len(rows), np.int64)
    width = max(len(found), 1)
    common[np.searchsorted(rows * width + columns, shared[:, 0] * width + shared[:, 1])] = shared[:, 2]
    ious = common / (targets.areas[rows] + found.areas[columns] - common)
    distances = np.hypot(gap[:, 0], gap[:, 1])
    return PairTable(rows, columns, distances, common, ious, (len(targets), len(found)))


def pair_cost(distances: FloatArray, areas: IntArray) -> FloatArray:
    """Matching cost: the distance and, where two distances are equal, the larger detection first.

    Distances count in steps of 2**-20 pixel, so that a rounding error of 1e-15 cannot decide between two
    detections that lie equally far, and a mirrored image gives the same numbers.
    """
    steps = np.rint(distances * 1048576.0)
    return steps * 65536.0 + (65535 - np.minimum(areas, 65535))


def match_regions(targets: Regions, found: Regions, shared: IntArray, protocol: Protocol) -> IntArray:
    """(T,) int64: the detection of each target under the protocol's gate and assignment, or -1."""
    greedy = protocol.assignment == "greedy"
    if protocol.rule != "overlap":
        return match_by_distance(targets, found, protocol.limit, greedy=greedy)
    pairs = pair_table(targets, found, shared, 0)
    return _match(pairs, (pairs.ious > 0) & (pairs.ious >= protocol.overlap), found.areas, greedy)


def match_by_distance(targets: Regions, found: Regions, limit: float, *, greedy: bool = False) -> IntArray:
    """(T,) int64: the detection of each target among those closer than ``limit`` pixels, or -1."""
    match = np.full(len(targets), -1, np.int64)
    if not len(targets) or not len(found):
        return match
    compiled = kernels()
    if compiled is None:
        pairs = pair_table(targets, found, np.zeros((0, 3), np.int64), limit)
        return _match(pairs, pairs.distances < limit, found.areas, greedy)
    grid, owner = target_grid(compiled, targets.centroids, limit), np.full(len(found), -1, np.int64)
    compiled.match_regions(found.centroids, found.areas, len(found), grid, greedy, match, owner)
    return match


def _match(pairs: PairTable, allowed: BoolArray, areas: IntArray, greedy: bool) -> IntArray:
    rows, columns = pairs.rows[allowed], pairs.columns[allowed]
    if greedy:
        return greedy_matching(rows, columns, pairs.shape)
    return best_matching(rows, columns, pair_cost(pairs.distances[allowed], areas[columns]), pairs.shape)


def target_grid(compiled: Any, centroids: FloatArray, limit: float) -> Any:
    """The targets as ``kernels.Grid``, in square cells that are longer than ``limit``."""
    side = max(4, int(limit) + 1)
    across = int(centroids[:, 1].max(initial=0)) // side + 3
    lines = int(centroids[:, 0].max(initial=0)) // side + 3
    cells = np.zeros(lines * across + 3, np.int32)
    grid = compiled.Grid(centroids, cells, np.empty(len(centroids), np.int32), side, across, limit)
    compiled.fill_grid(grid)
    return grid


def false_area(areas: IntArray, matched: BoolArray, protocol: Protocol) -> int:
    """Pixels of the components that the protocol counts as false alarms."""
    if protocol.bookkeeping == "by_value":
        return int(areas[~np.isin(areas, areas[matched])].sum())
    return int(areas[~matched].sum())


def grow(mask: BoolArray, reach: int) -> BoolArray:
    """(H, W) bool: some pixel of ``mask`` lies within ``reach`` rows and columns."""
    from scipy.ndimage import maximum_filter

    grown: BoolArray = maximum_filter(mask, size=2 * reach + 1, mode="constant", cval=0)
    return grown
