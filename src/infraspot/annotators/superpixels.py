"""Superpixels of a small window (SLIC: Achanta et al., IEEE TPAMI 2012)."""

import numpy as np
from numpy.typing import NDArray

from infraspot.core.compiled import compiled


def superpixel_under(
    feature: NDArray[np.float32], seed: tuple[int, int], *, segments: int, compactness: float, steps: int = 10
) -> NDArray[np.bool_]:
    """(H, W) bool: the 4-connected superpixel that holds the seed.

    Parameters
    ----------
    feature
        (H, W) grey values; distance in grey is divided by ``compactness``, distance in pixels by the side of
        a superpixel.
    segments
        About how many superpixels the window is cut into.
    """
    labels = cluster(np.ascontiguousarray(feature, np.float32), segments, compactness, steps)
    return connected_label(labels, seed[0], seed[1])


@compiled
def cluster(feature: NDArray[np.float32], segments: int, compactness: float, steps: int) -> NDArray[np.int32]:
    """(H, W) int32 label of the nearest cluster centre after ``steps`` rounds of k-means."""
    height, width = feature.shape
    side = np.sqrt(height * width / segments)
    rows, columns = max(round(height / side), 1), max(round(width / side), 1)
    centres = np.zeros((rows * columns, 3))
    for index in range(rows * columns):
        y = (index // columns + 0.5) * height / rows
        x = (index % columns + 0.5) * width / columns
        centres[index, 0], centres[index, 1], centres[index, 2] = y, x, feature[int(y), int(x)]
    labels = np.zeros((height, width), np.int32)
    nearest = np.empty((height, width))
    for _ in range(steps):
        nearest[:] = np.inf
        for index in range(len(centres)):
            cy, cx, cf = centres[index]
            top, bottom = max(int(cy - 2 * side), 0), min(int(cy + 2 * side) + 1, height)
            left, right = max(int(cx - 2 * side), 0), min(int(cx + 2 * side) + 1, width)
            for y in range(top, bottom):
                for x in range(left, right):
                    apart = ((y - cy) ** 2 + (x - cx) ** 2) / side**2
                    apart += ((feature[y, x] - cf) / compactness) ** 2
                    if apart < nearest[y, x]:
                        nearest[y, x] = apart
                        labels[y, x] = index
        sums = np.zeros((len(centres), 4))
        for y in range(height):
            for x in range(width):
                row = sums[labels[y, x]]
                row[0] += y
                row[1] += x
                row[2] += feature[y, x]
                row[3] += 1
        for index in range(len(centres)):
            if sums[index, 3] > 0:
                centres[index] = sums[index, :3] / sums[index, 3]
    return labels


@compiled
def connected_label(labels: NDArray[np.int32], y: int, x: int) -> NDArray[np.bool_]:
    """(H, W) bool: pixels 4-connected to (y, x) within its label."""
    height, width = labels.shape
    inside = np.zeros(labels.shape, np.bool_)
    waiting = np.empty(labels.size, np.int32)
    inside[y, x] = True
    waiting[0] = y * width + x
    count = 1
    while count > 0:
        count -= 1
        v, u = waiting[count] // width, waiting[count] % width
        for b, a in ((v - 1, u), (v + 1, u), (v, u - 1), (v, u + 1)):
            if 0 <= b < height and 0 <= a < width and not inside[b, a] and labels[b, a] == labels[y, x]:
                inside[b, a] = True
                waiting[count] = b * width + a
                count += 1
    return inside
