"""Connected components: how a mask becomes targets."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_REACH = {4: 0, 8: 1}  # pixels to the left and right at which runs of adjacent rows still touch


@dataclass(frozen=True, eq=False)
class Components:
    """The connected components of a mask, in raster order of their first pixels.

    Attributes
    ----------
    labels
        (H, W) int32: 0 outside, k + 1 inside component k.
    areas
        (N,) int64, pixels.
    centroids
        (N, 2) float64, mean (y, x) of the pixel centres.
    boxes
        (N, 4) int64, (x0, y0, x1, y1) half-open.
    """

    labels: NDArray[np.int32]
    areas: NDArray[np.int64]
    centroids: NDArray[np.float64]
    boxes: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.areas)

    def mask(self, index: int) -> NDArray[np.bool_]:
        """The mask of one component, cropped to its box."""
        x0, y0, x1, y1 = self.boxes[index]
        return self.labels[y0:y1, x0:x1] == index + 1


def find_components(mask: NDArray[Any], connectivity: int = 8) -> Components:
    """Split a mask into connected components.

    Parameters
    ----------
    mask
        (H, W); every pixel that is not zero belongs to a target.
    connectivity
        8 (the convention of the field) or 4.
    """
    labels = np.zeros(mask.shape, np.int32)
    ys, xs = np.divmod(np.flatnonzero(mask), max(mask.shape[1], 1))  # faster than nonzero of a plane
    if not len(ys):
        return Components(labels, np.zeros(0, np.int64), np.zeros((0, 2)), np.zeros((0, 4), np.int64))
    # Runs of pixels side by side; a gap between the rows keeps runs of different rows apart.
    width = mask.shape[1] + 2
    place = ys * width + xs
    first = np.flatnonzero(np.diff(place, prepend=-2) != 1)
    last = np.append(first[1:], len(place)) - 1
    component = _join_runs(place[first], place[last], width, reach=_REACH[connectivity])
    index = np.repeat(component, last - first + 1)
    labels[ys, xs] = index + 1
    areas = np.bincount(index)
    centroids = np.stack([np.bincount(index, weights=axis) for axis in (ys, xs)], axis=1) / areas[:, None]
    x0, y0 = (np.full(len(areas), side) for side in reversed(mask.shape))
    x1, y1 = np.zeros_like(x0), np.zeros_like(y0)
    np.minimum.at(x0, component, xs[first])
    np.minimum.at(y0, component, ys[first])
    np.maximum.at(x1, component, xs[last] + 1)
    np.maximum.at(y1, component, ys[last] + 1)
    boxes = np.stack([x0, y0, x1, y1], axis=1)
    return Components(labels, areas, centroids, boxes)


def _join_runs(start: NDArray[np.int64], end: NDArray[np.int64], width: int, reach: int) -> NDArray[np.int64]:
    """Number of the component of each run, in the order of the components' first runs.

    Runs are given by the flat places of their first and last pixels, in raster order. Neighbours in adjacent
    rows are joined until nothing changes: each run points to the first run that it is known to hang on.
    """
    low = np.searchsorted(end, start + width - reach)
    high = np.searchsorted(start, end + width + reach, side="right")
    count = np.maximum(high - low, 0)
    upper = np.repeat(np.arange(len(start)), count)
    lower = np.arange(len(upper)) - np.repeat(np.cumsum(count) - count - low, count)
    parent = np.arange(len(start))
    while True:
        one, other = parent[upper], parent[lower]
        if (one == other).all():
            break
        np.minimum.at(parent, np.maximum(one, other), np.minimum(one, other))
        while ((further := parent[parent]) != parent).any():
            parent = further
    number = np.cumsum(parent == np.arange(len(parent))) - 1
    return number[parent]
