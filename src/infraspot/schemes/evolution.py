"""Labels that grow from clicks towards what the network predicts: the step that LESPS and PAL take."""

import numpy as np
from numpy.typing import NDArray

from infraspot.core.geometry import find_components

Array = NDArray[np.float32]

HALF_WINDOW = 16
"""Pixels around a region's centroid in which it may grow: windows of 33x33."""
BASE, RISE, LARGEST_SHARE = 0.5, 0.5, 0.0015
"""T_b, k and r of the adaptive threshold."""


def evolve(label: Array, scores: Array) -> tuple[Array, NDArray[np.bool_]]:
    """One label update of LESPS (Ying et al., CVPR 2023), on each region of {label > 0.5}.

    Around a region of area A, predictions count as the target above

        T = max P (T_b + k (1 - T_b) A / (r H W))

    so that a region that has grown large finds it ever harder to grow. Of the components above T, those that
    touch the 3x3 pixels at the region's centroid are kept; there the label becomes (label + P) / 2. A label
    of 1 is never lowered.

    Parameters
    ----------
    label, scores
        (H, W) float32 in [0, 1]: the label in force, and what the network predicts.

    Returns
    -------
    label
        (H, W) float32 in [0, 1]; a fresh array.
    updated
        (H, W) bool: where it was updated.
    """
    updated = np.zeros(label.shape, np.bool_)
    regions = find_components(label > 0.5)
    largest = LARGEST_SHARE * label.size
    for area, centroid in zip(regions.areas, regions.centroids, strict=True):
        y, x = np.rint(centroid).astype(int)
        rows, columns = (slice(max(at - HALF_WINDOW, 0), at + HALF_WINDOW + 1) for at in (y, x))
        window = scores[rows, columns]
        threshold = window.max() * (BASE + RISE * (1 - BASE) * area / largest)
        updated[rows, columns] |= _around(window > threshold, y - rows.start, x - columns.start)
    fresh = np.where(updated & (label < 1), (label + scores) / 2, label)
    return fresh.astype(np.float32), updated


def _around(mask: NDArray[np.bool_], y: int, x: int) -> NDArray[np.bool_]:
    """The components of a mask that touch the 3x3 pixels at (y, x)."""
    parts = find_components(mask).labels
    touching = np.unique(parts[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2])
    kept: NDArray[np.bool_] = np.isin(parts, touching[touching > 0])
    return kept
