"""Which detection finds which target: the protocols' rules, as pure functions over two region tables."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from infraspot.core.matching import best_matching, greedy_matching
from infraspot.metrics.kernel_loader import kernels
from infraspot.metrics.protocols import Protocol
from infraspot.metrics.regions import Regions

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


def centroid_distances(targets: Regions, found: Regions) -> FloatArray:
    """(T, P) distances between centroids in pixels."""
    gap = targets.centroids[:, None, :] - found.centroids[None, :, :]
    return np.hypot(gap[..., 0], gap[..., 1])


def pair_cost(distances: FloatArray, areas: IntArray) -> FloatArray:
    """Matching cost: the distance and, where two distances are equal, the larger detection first.

    Distances count in steps of 2**-20 pixel, so that a rounding error of 1e-15 cannot decide between two
    detections that lie equally far, and a mirrored image gives the same numbers.
    """
    steps = np.rint(distances * 1048576.0)
    return steps * 65536.0 + (65535 - np.minimum(areas, 65535))


def pair_ious(targets: Regions, found: Regions, shared: IntArray) -> FloatArray:
    """(T, P) intersection over union of the components' masks; ``shared`` comes from ``shared_pixels``."""
    ious = np.zeros((len(targets), len(found)))
    rows, columns, pixels = shared.T
    ious[rows, columns] = pixels / (targets.areas[rows] + found.areas[columns] - pixels)
    return ious


def match_regions(targets: Regions, found: Regions, shared: IntArray, protocol: Protocol) -> IntArray:
    """(T,) int64: the detection of each target under the protocol's gate and assignment, or -1."""
    if not len(targets) or not len(found):
        return np.full(len(targets), -1, np.int64)
    compiled = kernels()
    if compiled is not None and protocol.rule == "distance":
        match = np.full(len(targets), -1, np.int64)
        compiled.match_regions(
            found.centroids,
            found.areas,
            len(found),
            target_grid(compiled, targets.centroids, protocol.limit),
            protocol.assignment == "greedy",
            match,
            np.full(len(found), -1, np.int64),
        )
        return match
    distances = centroid_distances(targets, found)
    if protocol.rule == "overlap":
        ious = pair_ious(targets, found, shared)
        allowed = (ious > 0) & (ious >= protocol.overlap)
    else:
        allowed = distances < protocol.limit
    if protocol.assignment == "greedy":
        return greedy_matching(allowed)
    return best_matching(pair_cost(distances, found.areas), allowed)


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
