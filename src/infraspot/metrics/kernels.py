"""The compiled inner loops: components of active pixels, and all thresholds in one descending sweep.

Import this module only through :mod:`infraspot.metrics.kernel_loader`, which does without it where numba is
missing. Every function has a plain counterpart that the tests hold it to.

The file is long on purpose: numba keeps compiled code per file, and would run a stale kernel if one that it
calls changed in another file.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[Any]

FAR = 1 << 62
CELL = 8

# Columns of a run: first flat index, flat index after the last, level.
START, STOP, LEVEL = 0, 1, 2
# Columns of a component's state while the sweep runs: pixels, sum of rows, sum of flat indices, smallest
# index.
AREA, SUM_Y, SUM_AT, FIRST = 0, 1, 2, 3


@njit(cache=True, nogil=True)
def _root(parent: Array, node: int) -> int:
    while parent[node] != node:
        parent[node] = parent[parent[node]]
        node = parent[node]
    return node


@njit(cache=True, nogil=True)
def _join(parent: Array, a: int, b: int) -> None:
    """Unite two sets; the smaller index becomes the root, so that a root is its set's first pixel."""
    a, b = _root(parent, a), _root(parent, b)
    if a < b:
        parent[b] = a
    else:
        parent[a] = b


@njit(cache=True, nogil=True)
def label_pixels(index: Array, width: int, eight: bool) -> tuple[Array, int]:
    """Component number of each active pixel, in raster order of first pixels, and the number of components.

    ``index`` (N,) int64 holds the flat indices of the active pixels, ascending; ``width`` is the row length.
    """
    count = index.size
    parent = np.arange(count)
    above = 0
    for k in range(count):
        here = index[k]
        column = here % width
        if column > 0 and k > 0 and index[k - 1] == here - 1:
            _join(parent, k - 1, k)
        low = here - width - (1 if eight and column > 0 else 0)
        high = here - width + (1 if eight and column < width - 1 else 0)
        while index[above] < low:
            above += 1
        j = above
        while index[j] <= high:
            _join(parent, j, k)
            j += 1
    labels = np.empty(count, np.int64)
    found = 0
    for k in range(count):
        if parent[k] == k:
            labels[k] = found
            found += 1
        else:
            labels[k] = labels[_root(parent, k)]
    return labels, found


@njit(cache=True, nogil=True)
def describe_regions(
    index: Array, labels: Array, count: int, width: int, values: Array
) -> tuple[Array, Array, Array, Array]:
    """Areas, centroid (y, x), half-open box (x0, y0, x1, y1) and highest value of each component."""
    areas = np.zeros(count, np.int64)
    sums = np.zeros((count, 2), np.float64)
    boxes = np.zeros((count, 4), np.int64)
    peaks = np.zeros(count, np.float64)
    for k in range(index.size):
        y, x = index[k] // width, index[k] % width
        one = labels[k]
        if areas[one] == 0:
            boxes[one, 0], boxes[one, 1], boxes[one, 2], boxes[one, 3] = x, y, x + 1, y + 1
            peaks[one] = values[k]
        areas[one] += 1
        sums[one, 0] += y
        sums[one, 1] += x
        boxes[one, 0] = min(boxes[one, 0], x)
        boxes[one, 2] = max(boxes[one, 2], x + 1)
        boxes[one, 3] = y + 1
        peaks[one] = max(peaks[one], values[k])
    for one in range(count):
        sums[one, 0] /= areas[one]
        sums[one, 1] /= areas[one]
    return areas, sums, boxes, peaks


@njit(cache=True, nogil=True)
def shared_pixels(index: Array, labels: Array, other_index: Array, other_labels: Array, width: int) -> Array:
    """(K, 3) int64: label, other label and pixels in common; ``width`` is the number of other labels."""
    codes = np.empty(min(index.size, other_index.size), np.int64)
    count = 0
    b = 0
    for a in range(index.size):
        while b < other_index.size and other_index[b] < index[a]:
            b += 1
        if b < other_index.size and other_index[b] == index[a]:
            codes[count] = labels[a] * width + other_labels[b]
            count += 1
    codes = np.sort(codes[:count])
    table = np.empty((count, 3), np.int64)
    last = -1
    for k in range(count):
        if k == 0 or codes[k] != codes[k - 1]:
            last += 1
            table[last, 0], table[last, 1], table[last, 2] = codes[k] // width, codes[k] % width, 0
        table[last, 2] += 1
    return table[: last + 1]


@njit(cache=True, nogil=True)
def greedy_pairs(cost: Array) -> Array:
    """Greedy matching in raster order; ``cost`` (T, P) int64 is negative where a pair is not allowed."""
    match = np.full(cost.shape[0], -1, np.int64)
    taken = np.zeros(cost.shape[1], np.bool_)
    for row in range(cost.shape[0]):
        for column in range(cost.shape[1]):
            if cost[row, column] >= 0 and not taken[column]:
                match[row] = column
                taken[column] = True
                break
    return match


@njit(cache=True, nogil=True)
def best_pairs(cost: Array) -> Array:
    """Most allowed pairs, then least total cost; ``cost`` (T, P) int64 is negative where not allowed.

    Rows enter one by one along the cheapest alternating path (the Hungarian method by label correction).
    """
    rows, columns = cost.shape
    match = np.full(rows, -1, np.int64)
    owner = np.full(columns, -1, np.int64)
    at_row = np.empty(rows, np.int64)
    at_column = np.empty(columns, np.int64)
    via = np.empty(columns, np.int64)
    waiting = np.empty(rows, np.bool_)
    for start in range(rows):
        at_row[:] = FAR
        at_column[:] = FAR
        waiting[:] = False
        at_row[start] = 0
        waiting[start] = True
        busy = True
        while busy:
            busy = False
            for row in range(rows):
                if not waiting[row]:
                    continue
                waiting[row] = False
                for column in range(columns):
                    if cost[row, column] < 0 or match[row] == column:
                        continue
                    reached = at_row[row] + cost[row, column]
                    if reached < at_column[column]:
                        at_column[column] = reached
                        via[column] = row
                        other = owner[column]
                        if other >= 0:
                            at_row[other] = reached - cost[other, column]
                            waiting[other] = True
                            busy = True
        _augment(start, match, owner, at_row, at_column, via)
    return match


@njit(cache=True, nogil=True)
def _augment(start: int, match: Array, owner: Array, at_row: Array, at_column: Array, via: Array) -> None:
    """Take the cheapest path to a free column or, if there is none, to the row that is best left alone."""
    end, least = -1, FAR
    for column in range(owner.size):
        if owner[column] < 0 and at_column[column] < least:
            end, least = column, at_column[column]
    if end < 0:
        spare, least = start, 0
        for row in range(match.size):
            if match[row] >= 0 and at_row[row] < least:
                spare, least = row, at_row[row]
        if spare == start:
            return
        end = match[spare]
        match[spare] = -1
    while True:
        row = via[end]
        before = match[row]
        match[row] = end
        owner[end] = row
        if row == start:
            return
        end = before


@njit(cache=True, nogil=True)
def find_runs(values: Array, thresholds: Array, guess: Array, width: int) -> tuple[Array, Array]:
    """Cut a frame into horizontal runs of equal level; level 0 (no threshold passed) is left out.

    A pixel's level is the number of thresholds below its value. ``thresholds`` end with infinity, and
    ``guess`` (B + 1,) holds the number of thresholds below b / B, from which the level is a step or two away.

    Returns (N, 3) int32 of first flat index, flat index after the last, and level, in raster order; and (H +
    1,) int64, the first run of each row.
    """
    bins = guess.size - 1
    height = values.size // width
    # Small at first: asking the system for megabytes that are never touched can cost more than the pass
    # itself.
    runs = np.empty((4 * width + 1024, 3), np.int32)
    rows = np.empty(height + 1, np.int64)
    count = 0
    for row in range(height):
        rows[row] = count
        if count + width > runs.shape[0]:
            runs = _grown(runs, count + width)
        k, end = row * width, (row + 1) * width
        while k < end:
            start = k
            level = guess[int(values[k] * bins)]
            while values[k] > thresholds[level]:
                level += 1
            low = thresholds[level - 1] if level > 0 else -thresholds[-1]
            k = _end_of_run(values, k + 1, end, low, thresholds[level])
            if level > 0:
                runs[count, START] = start
                runs[count, STOP] = k
                runs[count, LEVEL] = level
                count += 1
    rows[height] = count
    return runs[:count], rows


@njit(cache=True, nogil=True)
def _end_of_run(values: Array, k: int, end: int, low: float, high: float) -> int:
    """The first index from ``k`` whose value is not in (low, high], or ``end``; 16 at a time."""
    while k + 16 <= end:
        outside = False
        for j in range(16):
            outside |= (values[k + j] > high) | (values[k + j] <= low)
        if outside:
            break
        k += 16
    while k < end and low < values[k] <= high:
        k += 1
    return k


@njit(cache=True, nogil=True)
def _grown(runs: Array, least: int) -> Array:
    """The same runs with room for more than twice as many."""
    larger = np.empty((2 * runs.shape[0] + least, runs.shape[1]), runs.dtype)
    larger[: runs.shape[0]] = runs
    return larger


@njit(cache=True, nogil=True)
def order_runs(runs: Array, steps: int) -> tuple[Array, Array]:
    """Indices of the runs grouped by level, in raster order within a level, and where each group begins."""
    starts = np.zeros(steps + 2, np.int64)
    for k in range(runs.shape[0]):
        starts[runs[k, LEVEL] + 1] += 1
    for level in range(1, starts.size):
        starts[level] += starts[level - 1]
    place = starts.copy()
    order = np.empty(runs.shape[0], np.int32)
    for k in range(runs.shape[0]):
        order[place[runs[k, LEVEL]]] = k
        place[runs[k, LEVEL]] += 1
    return order, starts


@njit(cache=True, nogil=True)
def link_rows(runs: Array, rows: Array, width: int, eight: bool) -> Array:
    """(N, 2) int32: the first run above and the first run below that may touch each run."""
    reach = 1 if eight else 0
    first = np.empty((runs.shape[0], 2), np.int32)
    height = rows.size - 1
    for row in range(height):
        for side in range(2):
            other = row - 1 if side == 0 else row + 1
            if other < 0 or other >= height:
                first[rows[row] : rows[row + 1], side] = runs.shape[0]
                continue
            at = rows[other]
            shift = (other - row) * width
            for k in range(rows[row], rows[row + 1]):
                while at < rows[other + 1] and runs[at, STOP] + reach <= runs[k, START] + shift:
                    at += 1
                first[k, side] = at
    return first


@njit(cache=True, nogil=True)
def mark_surroundings(height: int, width: int, centroids: Array, reach: int) -> Array:
    """Bool, by cells of 8x8 pixels: some pixel lies within ``reach`` rows and columns of a centroid."""
    near = np.zeros((height // CELL + 1, width // CELL + 1), np.bool_)
    for t in range(centroids.shape[0]):
        top, left = max(int(centroids[t, 0]) - reach, 0), max(int(centroids[t, 1]) - reach, 0)
        bottom, right = int(centroids[t, 0]) + reach + 1, int(centroids[t, 1]) + reach + 1
        near[top // CELL : bottom // CELL + 1, left // CELL : right // CELL + 1] = True
    return near


@njit(cache=True, nogil=True)
def pair_costs(centroids: Array, areas: Array, true_centroids: Array, limit: float) -> Array:
    """(T, P) int64 costs as in ``pairing.pair_cost``; -1 where the distance is not below ``limit``."""
    cost = np.full((true_centroids.shape[0], areas.size), -1, np.int64)
    for p in range(areas.size):
        for t in range(true_centroids.shape[0]):
            down = centroids[p, 0] - true_centroids[t, 0]
            right = centroids[p, 1] - true_centroids[t, 1]
            distance = np.sqrt(down * down + right * right)
            if distance < limit:
                steps = np.int64(np.rint(distance * 1048576.0))
                cost[t, p] = steps * 65536 + 65535 - min(areas[p], 65535)
    return cost


@njit(cache=True, nogil=True)
def _absorb(own: int, other: int, parent: Array, state: Array, tally: Array) -> tuple[int, int]:
    """Unite a component with that of a run; the larger one stays. Returns it, and 1 if there were two."""
    other = _root(parent, other)
    if other == own:
        return own, 0
    if tally.size:
        tally[state[own, AREA]] -= 1
        tally[state[other, AREA]] -= 1
        tally[state[own, AREA] + state[other, AREA]] += 1
    if state[other, AREA] > state[own, AREA]:
        own, other = other, own
    parent[other] = own
    state[own, AREA] += state[other, AREA]
    state[own, SUM_Y] += state[other, SUM_Y]
    state[own, SUM_AT] += state[other, SUM_AT]
    state[own, FIRST] = min(state[own, FIRST], state[other, FIRST])
    return own, 1


@njit(cache=True, nogil=True)
def _place(
    k: int,
    runs: Array,
    rows: Array,
    first: Array,
    width: int,
    reach: int,
    parent: Array,
    state: Array,
    tally: Array,
) -> tuple[int, int]:
    """Add one run and unite it with the runs that it touches. Returns its component and how many vanished."""
    start, stop = runs[k, START], runs[k, STOP]
    size = stop - start
    row = start // width
    parent[k] = k
    state[k, AREA] = size
    state[k, SUM_Y] = np.int64(size) * row
    state[k, SUM_AT] = (np.int64(start) + stop - 1) * size // 2
    state[k, FIRST] = start
    if tally.size:
        tally[size] += 1
    own, vanished = k, 0
    for beside in range(max(k - 1, rows[row]), min(k + 2, rows[row + 1])):
        touches = runs[beside, STOP] == start or runs[beside, START] == stop
        if touches and parent[beside] >= 0:
            own, united = _absorb(own, beside, parent, state, tally)
            vanished += united
    for other_row in range(row - 1, row + 2, 2):
        if other_row < 0 or other_row >= rows.size - 1:
            continue
        end = stop + (other_row - row) * width + reach
        at = first[k, (other_row - row + 1) // 2]
        while at < rows[other_row + 1] and runs[at, START] < end:
            if parent[at] >= 0:
                own, united = _absorb(own, at, parent, state, tally)
                vanished += united
            at += 1
    return own, vanished


@njit(cache=True, nogil=True)
def _centroid(state: Array, one: int, width: int) -> tuple[float, float]:
    """(y, x) of a component."""
    y = state[one, SUM_Y] / state[one, AREA]
    x = (state[one, SUM_AT] - width * state[one, SUM_Y]) / state[one, AREA]
    return y, x


@njit(cache=True, nogil=True)
def _update_close(
    close: Array,
    touched: Array,
    stamp: Array,
    step: int,
    parent: Array,
    state: Array,
    width: int,
    near: Array,
) -> tuple[Array, bool]:
    """The components near some target, by first pixel, and whether any of them is new or changed."""
    merged = np.empty(close.size + touched.size, np.int32)
    count = 0
    for one in close:
        if parent[one] == one and stamp[one] != step:
            merged[count] = one
            count += 1
    fresh = count != close.size
    for one in touched:
        if parent[one] != one:
            continue
        y, x = _centroid(state, one, width)
        if near[int(y + 0.5) // CELL, int(x + 0.5) // CELL]:
            merged[count] = one
            count += 1
            fresh = True
    merged = merged[:count]
    if fresh and count > 1:
        merged = merged[np.argsort(state[merged, FIRST])]
    return merged, fresh


@njit(cache=True, nogil=True)
def _match_close(
    close: Array, state: Array, width: int, true_centroids: Array, limit: float, greedy: bool, tally: Array
) -> tuple[int, int, int]:
    """Targets hit, area of the matched components, and area of all that are as large as a matched one."""
    centroids = np.empty((close.size, 2), np.float64)
    for k in range(close.size):
        centroids[k, 0], centroids[k, 1] = _centroid(state, close[k], width)
    areas = state[close, AREA]
    cost = pair_costs(centroids, areas, true_centroids, limit)
    match = greedy_pairs(cost) if greedy else best_pairs(cost)
    hit = areas[match[match >= 0]]
    twins = 0
    if tally.size:
        for one in np.unique(hit):
            twins += one * tally[one]
    return hit.size, hit.sum(), twins


@njit(cache=True, nogil=True)
def sweep_levels(
    runs: Array,
    rows: Array,
    steps: int,
    width: int,
    true_centroids: Array,
    limit: float,
    greedy: bool,
    eight: bool,
    by_value: bool,
) -> Array:
    """Components at every threshold at once: runs join in descending order of their level.

    Returns, for each threshold, an int64 row of (predicted pixels, components, targets hit, area of the
    matched components, area of the components that are as large as a matched one).
    """
    table = np.zeros((steps + 1, 5), np.int64)
    order, starts = order_runs(runs, steps)
    first = link_rows(runs, rows, width, eight)
    parent = np.full(order.size, -1, np.int32)
    state = np.empty((order.size, 4), np.int64)
    stamp = np.full(order.size, -1, np.int32)
    touched = np.empty(order.size, np.int32)
    tally = np.zeros((rows.size - 1) * width + 1 if by_value else 0, np.int64)
    near = mark_surroundings(rows.size - 1, width, true_centroids, int(limit) + 1)
    close = np.empty(0, np.int32)
    pixels, components = 0, 0
    for step in range(steps - 1, -1, -1):
        changed = 0
        for k in order[starts[step + 1] : starts[step + 2]]:
            own, vanished = _place(k, runs, rows, first, width, 1 if eight else 0, parent, state, tally)
            pixels += runs[k, STOP] - runs[k, START]
            components += 1 - vanished
            if stamp[own] != step:
                stamp[own] = step
                touched[changed] = own
                changed += 1
        if changed == 0:
            table[step] = table[step + 1]
            continue
        table[step, 0] = pixels
        table[step, 1] = components
        close, fresh = _update_close(close, touched[:changed], stamp, step, parent, state, width, near)
        if fresh or by_value:
            table[step, 2:] = _match_close(close, state, width, true_centroids, limit, greedy, tally)
        else:
            table[step, 2:] = table[step + 1, 2:]
    return table[:steps]
