"""Components of a thresholded map, found from its active pixels alone."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infraspot.core.geometry import find_components
from infraspot.metrics.kernel_loader import kernels


@dataclass(frozen=True, eq=False)
class Regions:
    """A table of components, in raster order of their first pixels.

    Attributes
    ----------
    areas
        (N,) int64, pixels.
    centroids
        (N, 2) float64, mean (y, x) of the pixel centres.
    boxes
        (N, 4), (x0, y0, x1, y1) half-open; int64, or float64 where a detector gives boxes.
    peaks
        (N,) float64, the highest score inside, or the score of the box; 1 for truth.
    """

    areas: NDArray[np.int64]
    centroids: NDArray[np.float64]
    boxes: NDArray[Any]
    peaks: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.areas)

    def take(self, index: NDArray[np.int64]) -> "Regions":
        """Some of the components, in the order of ``index``."""
        return Regions(self.areas[index], self.centroids[index], self.boxes[index], self.peaks[index])


@dataclass(frozen=True, eq=False)
class ActivePixels:
    """The pixels of a mask: flat indices, ascending, and the component that each belongs to."""

    index: NDArray[np.int64]
    labels: NDArray[np.int64]


def find_regions(
    mask: NDArray[np.bool_], scores: NDArray[Any] | None = None, connectivity: int = 8
) -> tuple[Regions, ActivePixels]:
    """Split a mask into components.

    Parameters
    ----------
    mask
        (H, W) bool.
    scores
        (H, W) scores for the peaks; None counts as 1 everywhere.
    """
    index = np.flatnonzero(mask)
    values = np.ones(index.size) if scores is None else scores.ravel()[index].astype(np.float64)
    compiled = kernels()
    if compiled is None:
        return _plain_regions(mask, index, values, connectivity)
    width, labels = mask.shape[1], np.empty(index.size, np.int64)
    count = compiled.label_pixels(index, width, connectivity == 8, np.arange(index.size), labels)
    regions = Regions(
        np.zeros(count, np.int64), np.zeros((count, 2)), np.zeros((count, 4), np.int64), np.zeros(count)
    )
    compiled.describe_regions(
        index, labels, width, values, regions.areas, regions.centroids, regions.boxes, regions.peaks
    )
    return regions, ActivePixels(index, labels)


def _plain_regions(
    mask: NDArray[np.bool_], index: NDArray[np.int64], values: NDArray[np.float64], connectivity: int
) -> tuple[Regions, ActivePixels]:
    """The same without numba."""
    parts = find_components(mask, connectivity)
    labels = parts.labels.ravel()[index].astype(np.int64) - 1
    peaks = np.zeros(len(parts))
    np.maximum.at(peaks, labels, values)
    return Regions(parts.areas, parts.centroids, parts.boxes, peaks), ActivePixels(index, labels)


def shared_pixels(truth: ActivePixels, found: ActivePixels) -> NDArray[np.int64]:
    """(K, 3) int64: target, detection and the number of pixels they share, for every pair that shares any."""
    if not truth.index.size or not found.index.size:
        return np.zeros((0, 3), np.int64)
    width = int(found.labels.max()) + 1
    compiled = kernels()
    if compiled is not None:
        room = min(truth.index.size, found.index.size)
        code, pixels = np.empty(room, np.int64), np.empty(room, np.int64)
        pairs = compiled.shared_pixels(
            truth.index, truth.labels, found.index, found.labels, width, code, pixels
        )
        code, pixels = code[:pairs], pixels[:pairs]
    else:
        place = np.minimum(np.searchsorted(found.index, truth.index), found.index.size - 1)
        common = found.index[place] == truth.index
        codes = truth.labels[common] * width + found.labels[place[common]]
        code, pixels = np.unique(codes, return_counts=True)
    return np.stack([code // width, code % width, pixels], axis=1).astype(np.int64, copy=False)
