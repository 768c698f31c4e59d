"""Contrast-limited adaptive histogram equalisation (Zuiderveld, Graphics Gems IV, 1994)."""

import numpy as np
from numpy.typing import NDArray

_BINS = 256


def equalise(image: NDArray[np.float32], tiles: int = 4, clip: float = 1.0) -> NDArray[np.float32]:
    """The frame with each of ``tiles`` x ``tiles`` regions equalised, blended between their centres.

    Parameters
    ----------
    image
        (H, W) in [0, 1].
    clip
        Highest count of a bin, in units of the mean count; what exceeds it is spread over all bins.
    """
    bins = np.minimum((image * _BINS).astype(np.intp), _BINS - 1)
    height, width = image.shape
    rows, columns = min(tiles, height), min(tiles, width)
    ys = np.linspace(0, height, rows + 1).astype(int)
    xs = np.linspace(0, width, columns + 1).astype(int)
    curves = np.empty((rows, columns, _BINS), np.float32)
    for i in range(rows):
        for j in range(columns):
            curves[i, j] = _curve(bins[ys[i] : ys[i + 1], xs[j] : xs[j + 1]], clip)
    i0, i1, v = _between(height, rows)
    j0, j1, u = _between(width, columns)
    top = (1 - u) * curves[i0[:, None], j0, bins] + u * curves[i0[:, None], j1, bins]
    bottom = (1 - u) * curves[i1[:, None], j0, bins] + u * curves[i1[:, None], j1, bins]
    return ((1 - v[:, None]) * top + v[:, None] * bottom).astype(np.float32)


def _curve(bins: NDArray[np.intp], clip: float) -> NDArray[np.float32]:
    counts = np.bincount(bins.ravel(), minlength=_BINS).astype(np.float64)
    limit = max(clip * bins.size / _BINS, 1.0)
    excess = np.maximum(counts - limit, 0).sum()
    counts = np.minimum(counts, limit) + excess / _BINS
    return (np.cumsum(counts) / bins.size).astype(np.float32)


def _between(length: int, tiles: int) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """For each pixel the tiles before and after it, and how far it is from the first to the second."""
    place = (np.arange(length) + 0.5) * tiles / length - 0.5
    before = np.clip(np.floor(place), 0, tiles - 1).astype(np.intp)
    after = np.minimum(before + 1, tiles - 1)
    return before, after, np.clip(place - before, 0, 1).astype(np.float32)
