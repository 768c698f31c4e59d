"""From a seed outwards: the nested components of a window, and what each of them looks like.

Every threshold of a window has one component that holds the seed. They are nested, and all of them come from
one flood: pixels join in the order of the best path to the seed, where a path is as good as its worst pixel
(the grey-scale geodesic reconstruction of Vincent, IEEE TIP 1993, as a widest-path search). Sums over the
component and over its two boundaries are kept up to date while it grows, so that the description of all
levels costs no more than the flood.

The functions are compiled by numba where it is installed and run as plain Python, slower, where it is not.
"""

import heapq

import numpy as np
from numpy.typing import NDArray

from infraspot.core.compiled import compiled

_INDEX = (1 << 31) - 1
"""The low bits of a sortable number."""

AREA, INNER, OUTER, INNER_SUM, OUTER_SUM, SLOPE_SUM, RIM, SUM, YY, XX, YX = range(11)
"""Columns of :func:`describe`."""


@compiled
def flood(
    window: NDArray[np.float32], seed_y: int, seed_x: int
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Reach of every pixel from the seed, and the pixels in the order in which they are reached.

    Returns
    -------
    reach
        (H, W): the largest t such that the pixel is 8-connected to the seed in ``window >= t``.
    order
        (H * W,) flat indices; ``reach`` falls along it.
    """
    height, width = window.shape
    keys = _sortable(window)
    reach = np.empty((height, width), np.float32)
    order = np.empty(height * width, np.int32)
    met = np.zeros((height, width), np.bool_)
    met[seed_y, seed_x] = True
    waiting = [keys[seed_y, seed_x]]
    at_level = [np.int64(0) for _ in range(0)]
    lowest = window[seed_y, seed_x]
    count = 0
    while len(waiting) + len(at_level) > 0:
        if len(at_level) > 0:
            index = int(at_level.pop())
        else:
            index = int(heapq.heappop(waiting) & _INDEX)
            lowest = min(lowest, window[index // width, index % width])
        y, x = index // width, index % width
        reach[y, x] = lowest
        order[count] = index
        count += 1
        for v in range(max(y - 1, 0), min(y + 2, height)):
            for u in range(max(x - 1, 0), min(x + 2, width)):
                if not met[v, u]:
                    met[v, u] = True
                    if window[v, u] >= lowest:
                        at_level.append(keys[v, u] & _INDEX)
                    else:
                        heapq.heappush(waiting, keys[v, u])
    return reach, order


@compiled
def _sortable(window: NDArray[np.float32]) -> NDArray[np.int64]:
    """(H, W) a number per pixel that falls as its grey value rises; its flat index is in the low bits."""
    bits = window.view(np.int32).astype(np.int64)
    places = np.arange(window.size).reshape(window.shape)
    rising = np.where(bits < 0, -(bits & 0x7FFFFFFF), bits)
    return -rising * (_INDEX + 1) + places


@compiled
def describe(
    window: NDArray[np.float32],
    slope: NDArray[np.float32],
    reach: NDArray[np.float32],
    order: NDArray[np.int32],
    rim: NDArray[np.bool_],
    thresholds: NDArray[np.float32],
) -> NDArray[np.float64]:
    """Sums over the seeded component at each threshold.

    Parameters
    ----------
    window, slope
        (H, W): grey values, and the size of their gradient.
    reach, order
        From :func:`flood`.
    rim
        (H, W): pixels where the window, not the frame, ends.
    thresholds
        (L,) falling.

    Returns
    -------
    (L, 11): area; pixels of the inner and of the outer boundary; grey values summed over either; slope
    summed over both; pixels on the rim; grey values summed over the component; its second central moments
    yy, xx, yx, times area.
    """
    height, width = window.shape
    table = np.zeros((len(thresholds), 11))
    inside = np.zeros((height, width), np.bool_)
    touching = np.zeros((height, width), np.int8)
    area, inner, outer, on_rim = 0, 0, 0, 0
    inner_sum, outer_sum, slope_sum, total = 0.0, 0.0, 0.0, 0.0
    sy, sx, syy, sxx, syx = 0.0, 0.0, 0.0, 0.0, 0.0
    level = 0
    for step in range(len(order) + 1):
        stop = step == len(order)
        y, x = (0, 0) if stop else (order[step] // width, order[step] % width)
        while level < len(thresholds) and (stop or reach[y, x] < thresholds[level]):
            n = max(area, 1)
            table[level, 0], table[level, 1], table[level, 2] = area, inner, outer
            table[level, 3], table[level, 4], table[level, 5] = inner_sum, outer_sum, slope_sum
            table[level, 6], table[level, 7] = on_rim, total
            table[level, 8], table[level, 9] = syy - sy * sy / n, sxx - sx * sx / n
            table[level, 10] = syx - sy * sx / n
            level += 1
        if stop or level == len(thresholds):
            break
        area += 1
        total += window[y, x]
        on_rim += rim[y, x]
        sy, sx, syy, sxx, syx = sy + y, sx + x, syy + y * y, sxx + x * x, syx + y * x
        if touching[y, x] > 0:
            outer -= 1
            outer_sum -= window[y, x]
            slope_sum -= slope[y, x]
        inside[y, x] = True
        around = (min(y + 2, height) - max(y - 1, 0)) * (min(x + 2, width) - max(x - 1, 0)) - 1
        if touching[y, x] < around:
            inner += 1
            inner_sum += window[y, x]
            slope_sum += slope[y, x]
        for v in range(max(y - 1, 0), min(y + 2, height)):
            for u in range(max(x - 1, 0), min(x + 2, width)):
                if v == y and u == x:
                    continue
                touching[v, u] += 1
                if not inside[v, u]:
                    if touching[v, u] == 1:
                        outer += 1
                        outer_sum += window[v, u]
                        slope_sum += slope[v, u]
                else:
                    full = (min(v + 2, height) - max(v - 1, 0)) * (min(u + 2, width) - max(u - 1, 0)) - 1
                    if touching[v, u] == full:
                        inner -= 1
                        inner_sum -= window[v, u]
                        slope_sum -= slope[v, u]
    return table


@compiled
def median(values: NDArray[np.float32]) -> float:
    """Median of all values."""
    return float(np.median(values))


@compiled
def slope(window: NDArray[np.float32]) -> NDArray[np.float32]:
    """(H, W) size of the gradient: central differences, one-sided at the edge, 0 along a single pixel."""
    height, width = window.shape
    result = np.empty((height, width), np.float32)
    for y in range(height):
        above, below = max(y - 1, 0), min(y + 1, height - 1)
        for x in range(width):
            left, right = max(x - 1, 0), min(x + 1, width - 1)
            dy = (window[below, x] - window[above, x]) / np.float32(max(below - above, 1))
            dx = (window[y, right] - window[y, left]) / np.float32(max(right - left, 1))
            result[y, x] = np.sqrt(dy * dy + dx * dx)
    return result


@compiled
def chessboard_distance(mask: NDArray[np.bool_], reach: int) -> NDArray[np.int32]:
    """(H, W) distance in king's moves to the nearest True pixel, up to ``reach + 1``."""
    height, width = mask.shape
    distance = np.full((height, width), reach + 1, np.int32)
    for y in range(height):
        for x in range(width):
            if mask[y, x]:
                distance[y, x] = 0
                continue
            for v, u in ((y - 1, x - 1), (y - 1, x), (y - 1, x + 1), (y, x - 1)):
                if v >= 0 and 0 <= u < width:
                    distance[y, x] = min(distance[y, x], distance[v, u] + 1)
    for y in range(height - 1, -1, -1):
        for x in range(width - 1, -1, -1):
            for v, u in ((y + 1, x + 1), (y + 1, x), (y + 1, x - 1), (y, x + 1)):
                if v < height and 0 <= u < width:
                    distance[y, x] = min(distance[y, x], distance[v, u] + 1)
    return distance


@compiled
def _extent(mask: NDArray[np.bool_], margin: int) -> tuple[int, int, int, int]:
    """Top, bottom, left, right, half-open, of what is True with a margin; zeros where nothing is."""
    height, width = mask.shape
    top, bottom, left, right = height, 0, width, 0
    for y in range(height):
        for x in range(width):
            if mask[y, x]:
                top, bottom = min(top, y), y + 1
                left, right = min(left, x), max(right, x + 1)
    if bottom == 0:
        return 0, 0, 0, 0
    return (
        max(top - margin, 0),
        min(bottom + margin, height),
        max(left - margin, 0),
        min(right + margin, width),
    )


@compiled
def ring_statistics(
    values: NDArray[np.float32], mask: NDArray[np.bool_], blocked: NDArray[np.bool_], near: int, far: int
) -> tuple[int, float, float, float]:
    """Grey values at ``near`` to ``far`` king's moves from a mask, (H, W), less those that are blocked.

    Returns
    -------
    Their number, median, deviation from the median (1.4826 MAD), and standard deviation; zeros where none.
    """
    top, bottom, left, right = _extent(mask, far)
    distance = chessboard_distance(np.ascontiguousarray(mask[top:bottom, left:right]), far)
    found = np.empty(distance.size, np.float32)
    count = 0
    for y in range(top, bottom):
        for x in range(left, right):
            if near <= distance[y - top, x - left] <= far and not blocked[y, x]:
                found[count] = values[y, x]
                count += 1
    if count == 0:
        return 0, 0.0, 0.0, 0.0
    found = found[:count]
    middle = float(np.median(found))
    deviation = 1.4826 * float(np.median(np.abs(found - middle)))
    return count, middle, deviation, float(np.std(found))


@compiled
def filled(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The mask with its holes, which are pixels without a 4-connected way to the window's edge."""
    height, width = mask.shape
    result = np.ones((height, width), np.bool_)
    waiting = [(0, 0) for _ in range(0)]
    for y in range(height):
        for x in range(width):
            edge = y in (0, height - 1) or x in (0, width - 1)
            if edge and not mask[y, x]:
                result[y, x] = False
                waiting.append((y, x))
    while len(waiting) > 0:
        y, x = waiting.pop()
        for v, u in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
            if 0 <= v < height and 0 <= u < width and result[v, u] and not mask[v, u]:
                result[v, u] = False
                waiting.append((v, u))
    return result
