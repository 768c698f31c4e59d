"""RLCM: relative local contrast measure.

J. Han, K. Liang, B. Zhou, X. Zhu, J. Zhao, L. Zhao, "Infrared small target detection utilizing the multiscale
relative local contrast measure", IEEE Geoscience and Remote Sensing Letters 15(4), 2018. With m_0 the mean of
the K_1 largest pixels of the central cell and m_i that of the K_2 largest pixels of neighbour i::

    C = min_i (m_0 / m_i) * m_0 - m_0            (1)
    response = max over pairs (K_1, K_2) of C    (2)

All cells have one size; the number of pixels in the mean stands for the scale.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from infraspot.classical.cells import DARKEST, neighbours
from infraspot.classical.polarity import Polarity, Response, respond
from infraspot.core.errors import UsageError
from infraspot.core.options import require_whole, shown

_BAND = 1 << 16
"""Cells that are sorted at a time, so that a large frame does not fill the memory."""


def rlcm(
    image: NDArray[Any],
    *,
    cell: int = 9,
    largest: Sequence[tuple[int, int]] = ((2, 4), (5, 9), (9, 16)),
    polarity: Polarity = "bright",
) -> Response:
    """Contrast of a cell's largest pixels to those of its brightest neighbour.

    Parameters
    ----------
    image
        (H, W) in [0, 1].
    cell
        Side of a cell in pixels, odd.
    largest
        Pairs (K_1, K_2): pixels in the means of the centre and of the neighbours.
    polarity
        Look for targets that are brighter or darker than what surrounds them.

    Returns
    -------
    (H, W) float32 >= 0, grey levels on the scale of ``image``; neighbours darker than 1/255 count as 1/255.
    """
    require_whole(1, 99, cell=cell)
    pairs = _pairs(largest, cell)

    def bright(frame: NDArray[np.float32]) -> NDArray[np.float32]:
        means = largest_means(frame, cell, max(max(pair) for pair in pairs))
        return np.maximum.reduce([_contrast(means[a - 1], means[b - 1], cell) for a, b in pairs])  # (2)

    return respond(bright, image, polarity)


def _contrast(centre: NDArray[np.float32], around: NDArray[np.float32], cell: int) -> NDArray[np.float32]:
    brightest = np.maximum(neighbours(around, cell).max(axis=0), np.float32(DARKEST))
    return centre * centre / brightest - centre  # (1)


def largest_means(frame: NDArray[np.float32], cell: int, count: int) -> NDArray[np.float32]:
    """(count, H, W): the means of the 1, 2, .. ``count`` largest pixels of the cell around each pixel."""
    height, width = frame.shape
    half = cell // 2
    cells = sliding_window_view(np.pad(frame, half, mode="edge"), (cell, cell))
    means = np.empty((count, height, width), np.float32)
    shares = np.arange(1, count + 1, dtype=np.float32)
    rows = max(_BAND // width, 1)
    for top in range(0, height, rows):
        band = cells[top : top + rows].reshape(-1, cell * cell)
        highest = np.sort(np.partition(band, cell * cell - count, axis=1)[:, -count:], axis=1)[:, ::-1]
        totals = np.cumsum(highest, axis=1) / shares
        means[:, top : top + rows] = totals.T.reshape(count, -1, width)
    return means


def _pairs(largest: Any, cell: int) -> list[tuple[int, int]]:
    try:
        pairs = [(one, other) for one, other in largest]
    except (TypeError, ValueError) as error:
        raise UsageError(f"largest takes pairs of whole numbers, and {shown(largest)} came") from error
    if not pairs or cell % 2 == 0:
        raise UsageError("RLCM takes an odd cell and at least one pair of numbers of largest pixels")
    for k_1, k_2 in pairs:
        require_whole(1, cell * cell, k_1=k_1, k_2=k_2)
    return pairs
