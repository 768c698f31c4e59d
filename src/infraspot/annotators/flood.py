"""From a seed outwards: the nested components of a window, and what each of them looks like.

Every threshold of a window has one component that holds the seed. They are nested, and all of them come from
one flood: pixels join in the order of the best path to the seed, where a path is as good as its worst pixel
(the grey-scale geodesic reconstruction of Vincent, IEEE TIP 1993, as a widest-path search). Sums over the
component and over its two boundaries are kept up to date while it grows, so that the description of all
levels costs no more than the flood.

The functions are compiled by numba where it is installed and run as plain Python, slower, where it is not.
"""

import numpy as np
from numpy.typing import NDArray

from infraspot.core.compiled import compiled

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
    values = window.ravel()
    reach = np.empty(window.shape, np.float32)
    order = np.empty(values.size, np.int32)
    met = np.zeros(window.shape, np.bool_)
    waiting, at_level = np.empty(values.size, np.int32), np.empty(values.size, np.int32)
    met[seed_y, seed_x] = True
    at_level[0] = seed_y * width + seed_x
    lowest = window[seed_y, seed_x]
    heap, stack = 0, 1
    for count in range(values.size):
        if stack > 0:
            stack -= 1
            index = at_level[stack]
        else:
            index = waiting[0]
            heap -= 1
            waiting[0] = waiting[heap]
            _sink(waiting, heap, values)
            lowest = values[index]
        y, x = index // width, index % width
        reach[y, x] = lowest
        order[count] = index
        for v in range(max(y - 1, 0), min(y + 2, height)):
            for u in range(max(x - 1, 0), min(x + 2, width)):
                if met[v, u]:
                    continue
                met[v, u] = True
                if window[v, u] >= lowest:
                    at_level[stack] = v * width + u
                    stack += 1
                else:
                    waiting[heap] = v * width + u
                    _rise(waiting, heap, values)
                    heap += 1
    return reach, order


@compiled
def _rise(heap: NDArray[np.int32], place: int, values: NDArray[np.float32]) -> None:
    """Move the last pixel of a heap up to its place: the brightest is first, on a tie the lowest index."""
    index = heap[place]
    while place > 0:
        above = heap[(place - 1) // 2]
        if values[above] > values[index] or (values[above] == values[index] and above < index):
            break
        heap[place] = above
        place = (place - 1) // 2
    heap[place] = index


@compiled
def _sink(heap: NDArray[np.int32], count: int, values: NDArray[np.float32]) -> None:
    """Move the first of the ``count`` pixels of a heap down to its place."""
    index = heap[0]
    place, below = 0, 1
    while below < count:
        if below + 1 < count:
            a, b = heap[below], heap[below + 1]
            if values[b] > values[a] or (values[b] == values[a] and b < a):
                below += 1
        best = heap[below]
        if values[index] > values[best] or (values[index] == values[best] and index < best):
            break
        heap[place] = best
        place, below = below, 2 * below + 1
    heap[place] = index


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


def median(values: NDArray[np.float32]) -> float:
    """Median of all values."""
    middle = values.size // 2
    ordered = np.partition(values.ravel(), (max(middle - 1, 0), middle))
    return float(ordered[middle]) if values.size % 2 else float(ordered[middle - 1 : middle + 1].mean())


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
def ring_statistics(
    values: NDArray[np.float32], mask: NDArray[np.bool_], blocked: NDArray[np.bool_], near: int, far: int
) -> tuple[int, float, float, float, float]:
    """Grey values at ``near`` to ``far`` king's moves from a mask, (H, W), less those that are blocked.

    Returns
    -------
    Their number, median, deviation from the median (1.4826 MAD), standard deviation, and standard deviation
    of those within 3.75 mean distances from the median (3 deviations of a Gaussian); zeros where none. Where
    grey values come in steps, the MAD does too, and the last does not.
    """
    top, bottom, left, right = _extent(mask, far)
    height, width = bottom - top, right - left
    distance = np.empty((height, width), np.int32)
    _measure_distance(mask, top, left, far, distance)
    found = np.empty(height * width, np.float64)
    count, total = 0, 0.0
    for y in range(height):
        for x in range(width):
            if near <= distance[y, x] <= far and not blocked[top + y, left + x]:
                found[count] = values[top + y, left + x]
                total += found[count]
                count += 1
    if count == 0:
        return 0, 0.0, 0.0, 0.0, 0.0
    mean, squares = total / count, 0.0
    for k in range(count):
        squares += (found[k] - mean) ** 2
    found = found[:count]
    middle = _median(found)
    away = 0.0
    for k in range(count):
        found[k] -= middle
        away += abs(found[k])
    kept, first, second = 0, 0.0, 0.0
    for k in range(count):
        if abs(found[k]) <= 3.75 * away / count:
            kept, first, second = kept + 1, first + found[k], second + found[k] ** 2
        found[k] = abs(found[k])
    near_middle = np.sqrt(max(second / kept - (first / kept) ** 2, 0.0))
    return count, middle, 1.4826 * _median(found), np.sqrt(squares / count), near_middle


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
def _measure_distance(
    mask: NDArray[np.bool_], top: int, left: int, reach: int, distance: NDArray[np.int32]
) -> None:
    """Fill ``distance`` (h, w), which lies at ``top`` and ``left`` of the mask, with the king's moves to the
    nearest True pixel, up to ``reach + 1``; all True pixels lie in it."""
    height, width = distance.shape
    for y in range(height):
        for x in range(width):
            least = 0 if mask[top + y, left + x] else reach + 1
            for v, u in ((y - 1, x - 1), (y - 1, x), (y - 1, x + 1), (y, x - 1)):
                if v >= 0 and 0 <= u < width:
                    least = min(least, distance[v, u] + 1)
            distance[y, x] = least
    for y in range(height - 1, -1, -1):
        for x in range(width - 1, -1, -1):
            for v, u in ((y + 1, x + 1), (y + 1, x), (y + 1, x - 1), (y, x + 1)):
                if v < height and 0 <= u < width:
                    distance[y, x] = min(distance[y, x], distance[v, u] + 1)


@compiled
def _median(values: NDArray[np.float64]) -> float:
    """Median of (N,) values, N > 0, which are put into another order (Hoare's quickselect)."""
    rank, low, high = values.size // 2, 0, values.size - 1
    while low < high:
        pivot = values[(low + high) // 2]
        i, j = low, high
        while i <= j:
            while values[i] < pivot:
                i += 1
            while values[j] > pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i, j = i + 1, j - 1
        if j < rank:
            low = i
        if i > rank:
            high = j
    if values.size % 2:
        return values[rank]
    below = values[0]
    for k in range(1, rank):
        below = max(below, values[k])
    return (below + values[rank]) / 2


@compiled
def filled(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The mask with its holes, which are pixels without a 4-connected way to the window's edge."""
    height, width = mask.shape
    result = np.empty(mask.shape, np.bool_)
    waiting = np.empty(mask.size, np.int32)
    count = 0
    for y in range(height):
        for x in range(width):
            edge = y == 0 or x == 0 or y == height - 1 or x == width - 1
            result[y, x] = mask[y, x] or not edge
            if not result[y, x]:
                waiting[count] = y * width + x
                count += 1
    while count > 0:
        count -= 1
        y, x = waiting[count] // width, waiting[count] % width
        for v, u in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
            if 0 <= v < height and 0 <= u < width and result[v, u] and not mask[v, u]:
                result[v, u] = False
                waiting[count] = v * width + u
                count += 1
    return result
