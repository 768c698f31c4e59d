"""What a place looks like: by this, a pasted target finds a place like the one that it came from."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from infraspot.core.sample import BoolArray, FloatArray

NEAR, WIDE = 8, 24  # pixels from the middle to the edge of the two windows
QUIETEST = 1 / 255  # spread that is as good as none
# Differences that weigh the same: a tenth of the full scale, and a factor of two.
LEVEL_UNIT, FACTOR_UNIT = 0.1, float(np.log(2))


def describe_place(image: FloatArray, y: float, x: float, targets: BoolArray | None = None) -> FloatArray:
    """(6,) what surrounds a place, in units that weigh the same.

    Of a window of 17x17 pixels and one of 49x49, cut at the edge of the frame: the median, the logarithm of
    the spread between the quartiles, and that of the mean step between neighbours in a row and in a column.

    Parameters
    ----------
    image
        (H, W) in [0, 1].
    y, x
        The place in pixels, within the frame.
    targets
        (H, W) pixels that do not count.
    """
    found = []
    for reach in (NEAR, WIDE):
        rows = slice(max(round(y) - reach, 0), round(y) + reach + 1)
        columns = slice(max(round(x) - reach, 0), round(x) + reach + 1)
        window = image[rows, columns]
        counts = np.ones(window.shape, bool) if targets is None else ~targets[rows, columns]
        found += _described(window, counts if counts.any() else np.ones(window.shape, bool))
    return np.array(found)


def _described(window: FloatArray, counts: BoolArray) -> list[float]:
    low, middle, high = np.percentile(window[counts], (25, 50, 75))
    steps = [
        np.abs(np.diff(window, axis=axis))[np.take(counts, range(1, window.shape[axis]), axis=axis)]
        for axis in (0, 1)
    ]
    values = np.concatenate(steps)
    step = float(values.mean()) if values.size else 0.0
    return [
        float(middle) / LEVEL_UNIT,
        float(np.log(high - low + QUIETEST)) / FACTOR_UNIT,
        float(np.log(step + QUIETEST)) / FACTOR_UNIT,
    ]


def most_alike(
    image: FloatArray, places: Sequence[tuple[float, float]], wanted: FloatArray
) -> NDArray[np.intp]:
    """The places (y, x) in the order of how well they fit a description, the best first."""
    gaps = [float(np.linalg.norm(describe_place(image, y, x) - wanted)) for y, x in places]
    return np.argsort(gaps, kind="stable")
