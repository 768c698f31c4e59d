"""Which part of a frame is sky, without labels: a border in each column that parts two unlike regions.

The first border is that of Y. Shen and Q. Wang, "Sky region detection in a single image for autonomous ground
robot navigation", International Journal of Advanced Robotic Systems 10(10), 2013: in each column the sky goes
down to the first strong gradient, and of many thresholds the one counts whose two regions are most even. Then
grey level, activity and height of the two regions are learned, and the border is moved to where they explain
the frame best; the border of all columns together is found exactly.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Image = NDArray[np.floating[Any]]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

LONGEST = 128  # columns or rows that the border is looked for in
# Both were chosen on the training split of DenseSIRST.
QUIET = 34 / 255  # a frame whose Laplacian stays below this nearly everywhere has no ground
APART = 20 / 255  # regions whose mean grey levels are closer are parts of one cloudy sky
_THRESHOLDS = np.geomspace(10, 600, 24) / 255
_ROUNDS = 15
_GREYS, _ACTIVITIES, _HEIGHTS = 32, 24, 16
_HEIGHT_WEIGHT = 0.5
_MOST = 3.0  # what one pixel can say, in nats
_STEP = 2.0  # cost of a border that moves by a row between two columns
_LEAST = 20  # pixels of a region whose evenness means something


def find_sky(image: Image) -> Mask:
    """The sky of a frame.

    The sky is above the ground in every column: what stands out above the border (a mast, a wire) counts as
    sky, and gaps in the ground count as ground. The result is a guess. Soft mountains, hard clouds and frames
    without sky mislead it (docs/dense.md has figures).

    Parameters
    ----------
    image
        (H, W) in [0, 1].

    Returns
    -------
    (H, W) bool, True on sky.
    """
    if _is_quiet(image):
        return np.ones(image.shape, np.bool_)
    grey, activity = _reduced(image.astype(np.float64))
    sky = _above(_first_border(grey), len(grey))
    levels = _levels(grey, activity)
    for _ in range(_ROUNDS):
        if sky.all() or not sky.any():
            break
        moved = _above(_best_border(_cost_of_sky(levels, sky)), len(grey))
        if (moved == sky).all():
            break
        sky = moved
    if sky.any() and not sky.all() and abs(grey[sky].mean() - grey[~sky].mean()) < APART:
        sky = np.ones_like(sky)
    return _enlarged(sky, image.shape)


def _is_quiet(image: Image) -> bool:
    laplacian = np.abs(ndimage.laplace(image.astype(np.float32), mode="mirror"))
    return bool(np.percentile(laplacian, 99) < QUIET)


def _reduced(image: Floats) -> tuple[Floats, Floats]:
    """Mean and activity (mean length of the gradient, by rows and columns) of the cells of a coarse grid."""
    factor = min(1.0, LONGEST / max(image.shape))
    rows, columns = (_starts(length, max(1, round(length * factor))) for length in image.shape)
    down = np.abs(np.diff(image, axis=0, append=image[-1:]))
    along = np.abs(np.diff(image, axis=1, append=image[:, -1:]))
    sizes = np.outer(np.diff(rows, append=image.shape[0]), np.diff(columns, append=image.shape[1]))
    grey, activity = (
        np.add.reduceat(np.add.reduceat(layer, rows, axis=0), columns, axis=1) / sizes
        for layer in (image, down + along)
    )
    return grey, activity


def _starts(length: int, cells: int) -> NDArray[np.int64]:
    return np.arange(cells) * length // cells


def _enlarged(sky: Mask, shape: tuple[int, ...]) -> Mask:
    rows, columns = (
        np.searchsorted(_starts(length, cells), np.arange(length), side="right") - 1
        for length, cells in zip(shape, sky.shape, strict=True)
    )
    return sky[np.ix_(rows, columns)]


def _above(border: NDArray[np.int64], height: int) -> Mask:
    return np.asarray(np.arange(height)[:, None] < border)


def _first_border(grey: Floats) -> NDArray[np.int64]:
    """The row of each column at which the ground begins, for the best of many thresholds."""
    height, width = grey.shape
    gradient = np.hypot(ndimage.sobel(grey, 0), ndimage.sobel(grey, 1))
    best, chosen = -1.0, np.full(width, height)
    for threshold in _THRESHOLDS:
        strong = gradient > threshold
        border = np.where(strong.any(axis=0), strong.argmax(axis=0), height)
        evenness = _evenness(grey, _above(border, height))
        if evenness > best:
            best, chosen = evenness, border
    return chosen


def _evenness(grey: Floats, sky: Mask) -> float:
    above, below = grey[sky], grey[~sky]
    if min(above.size, below.size) < _LEAST:
        return -1.0
    return float(1 / (2 * above.var() + below.var() + 1e-12))


def _levels(grey: Floats, activity: Floats) -> list[tuple[NDArray[np.int64], int, float]]:
    """Features of each cell as whole numbers, how many values each has, and how much it counts."""
    rows = np.arange(len(grey)) * _HEIGHTS // len(grey)
    near = np.log1p(255 * ndimage.uniform_filter(activity, 3)) * 6
    return [
        ((grey * _GREYS).astype(np.int64).clip(0, _GREYS - 1), _GREYS, 1.0),
        (near.astype(np.int64).clip(0, _ACTIVITIES - 1), _ACTIVITIES, 1.0),
        (np.broadcast_to(rows[:, None], grey.shape), _HEIGHTS, _HEIGHT_WEIGHT),
    ]


def _cost_of_sky(levels: list[tuple[NDArray[np.int64], int, float]], sky: Mask) -> Floats:
    """How much less likely each cell is as sky than as ground, in nats, by the regions as they are."""
    cost = np.zeros(sky.shape)
    for values, count, weight in levels:
        inside, outside = (
            ndimage.gaussian_filter1d(
                np.bincount(values[region], minlength=count).astype(np.float64), 1.0, mode="nearest"
            )
            + 1
            for region in (sky, ~sky)
        )
        cost += weight * np.log(outside / outside.sum() / (inside / inside.sum()))[values]
    return cost.clip(-_MOST, _MOST)


def _best_border(cost: Floats) -> NDArray[np.int64]:
    """The row at which the ground begins in each column, so that the sum of two costs is least.

    The costs are that of every cell above the border, and of every row that it moves by between columns. It
    is a shortest path, found by dynamic programming with a distance transform a column.
    """
    height, width = cost.shape
    total = np.concatenate([np.zeros((1, width)), np.cumsum(cost, axis=0)])
    rows = np.arange(height + 1)
    best, origins = total[:, 0], []
    for column in range(1, width):
        from_above, above = _least_so_far(best - _STEP * rows)
        from_below, below = (side[::-1] for side in _least_so_far((best + _STEP * rows)[::-1]))
        from_above, from_below = from_above + _STEP * rows, from_below - _STEP * rows
        origins.append(np.where(from_above <= from_below, above, height - below))
        best = np.minimum(from_above, from_below) + total[:, column]
    border = np.empty(width, np.int64)
    border[-1] = best.argmin()
    for column in range(width - 1, 0, -1):
        border[column - 1] = origins[column - 1][border[column]]
    return border


def _least_so_far(values: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """The running minimum, and where it stands."""
    least = np.minimum.accumulate(values)
    return least, np.maximum.accumulate(np.where(values == least, np.arange(len(values)), 0))
