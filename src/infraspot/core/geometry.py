"""Connected components: how a mask becomes targets."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

_STRUCTURE = {4: ndimage.generate_binary_structure(2, 1), 8: ndimage.generate_binary_structure(2, 2)}


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
    rows = np.flatnonzero(mask.any(axis=1))
    # Targets are few: only the rows between the first and the last of them are labelled.
    band = slice(rows[0], rows[-1] + 1) if len(rows) else slice(0, 1)
    inner = labels[band]
    count = ndimage.label(mask[band], structure=_STRUCTURE[connectivity], output=inner)
    ys, xs = np.nonzero(inner)
    index = inner[ys, xs] - 1
    ys += band.start
    areas = np.bincount(index, minlength=count).astype(np.int64)
    centroids = (
        np.stack([np.bincount(index, weights=axis, minlength=count) for axis in (ys, xs)], axis=1)
        / np.maximum(areas, 1)[:, None]
    )
    slices = ndimage.find_objects(inner)
    boxes = np.array([(x.start, y.start, x.stop, y.stop) for y, x in slices], np.int64).reshape(count, 4)
    boxes[:, 1::2] += band.start
    return Components(labels, areas, centroids, boxes)
