"""The compiled inner loops: components of active pixels, and all thresholds in one descending sweep.

Import this module only through :mod:`infraspot.metrics.compiled`, which does without it where numba is missing.
Every function has a plain counterpart that the tests hold it to.
"""

import numpy as np
from numba import njit

FAR = np.int64(1) << 62

# Columns of a component's state while the sweep runs: pixels, sum of padded rows, sum of padded flat indices,
# smallest padded flat index; then what is counted on the way.
AREA, SUM_Y, SUM_AT, FIRST = 0, 1, 2, 3
SLOTS, LIVE = 0, 1


@njit(cache=True, nogil=True)
def _root(parent, node):
    while parent[node] != node:
        parent[node] = parent[parent[node]]
        node = parent[node]
    return node


@njit(cache=True, nogil=True)
def _join(parent, a, b):
    """Unite two sets; the smaller index becomes the root, so that a root is its set's first pixel."""
    a, b = _root(parent, a), _root(parent, b)
    if a < b:
        parent[b] = a
    else:
        parent[a] = b


@njit(cache=True, nogil=True)
def label_pixels(index, width, eight):
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
def describe_regions(index, labels, count, width, values):
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
def greedy_pairs(cost):
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
def best_pairs(cost):
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
def _augment(start, match, owner, at_row, at_column, via):
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
def sort_by_level(values, thresholds, inclusive, guess, width):
    """Padded indices of the pixels above the lowest threshold, grouped by level, and where each group begins.

    A pixel's level is the number of thresholds that it passes. ``guess`` (B + 1,) int64 holds the number of
    thresholds below b / B, from which the level is found in a step or two.
    """
    bins = guess.size - 1
    levels = np.empty(values.size, np.int32)
    starts = np.zeros(thresholds.size + 2, np.int64)
    for k in range(values.size):
        value = values[k]
        level = guess[int(value * bins)]
        while level < thresholds.size and (
            value > thresholds[level] or (inclusive and value == thresholds[level])
        ):
            level += 1
        levels[k] = level
        starts[level + 1] += 1
    starts[1] = 0
    for level in range(1, starts.size):
        starts[level] += starts[level - 1]
    order = np.empty(starts[-1], np.int32)
    place = starts.copy()
    k = 0
    for row in range(values.size // width):
        base = (row + 1) * (width + 2) + 1
        for column in range(width):
            level = levels[k]
            if level > 0:
                order[place[level]] = base + column
                place[level] += 1
            k += 1
    return levels, order, starts


@njit(cache=True, nogil=True)
def mark_surroundings(shape, centroids, reach):
    """(H + 2, W + 2) bool, flat: the pixel lies within ``reach`` rows and columns of some centroid."""
    height, width = shape
    near = np.zeros((height + 2) * (width + 2), np.bool_)
    for t in range(centroids.shape[0]):
        top = max(int(centroids[t, 0]) - reach, 0)
        left = max(int(centroids[t, 1]) - reach, 0)
        for y in range(top, min(int(centroids[t, 0]) + reach + 2, height)):
            for x in range(left, min(int(centroids[t, 1]) + reach + 2, width)):
                near[(y + 1) * (width + 2) + x + 1] = True
    return near


@njit(cache=True, nogil=True)
def pair_costs(centroids, areas, true_centroids, limit):
    """(T, P) int64 matching costs under the distance gate; -1 beyond ``limit`` (see ``pairing.pair_cost``)."""
    cost = np.full((true_centroids.shape[0], areas.size), -1, np.int64)
    for p in range(areas.size):
        for t in range(true_centroids.shape[0]):
            distance = np.hypot(centroids[p, 0] - true_centroids[t, 0], centroids[p, 1] - true_centroids[t, 1])
            if distance < limit:
                steps = np.int64(np.rint(distance * 1048576.0))
                cost[t, p] = steps * 65536 + 65535 - min(areas[p], 65535)
    return cost


@njit(cache=True, nogil=True)
def _absorb(own, other, parent, state, tally):
    """Unite two components; the larger one stays. Returns it."""
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
    return own


@njit(cache=True, nogil=True)
def _place(at, wide, eight, label, parent, state, tally, counts):
    """Add one pixel, uniting the components that it touches. Returns its component."""
    around = (-wide, 1, wide, -1)
    corner = (1 - wide, wide + 1, wide - 1, -wide - 1)
    own = -1
    for side in range(4):
        other = label[at + around[side]]
        if other < 0:
            # A corner matters only where neither edge neighbour beside it has joined it already.
            if not eight or label[at + around[(side + 1) & 3]] >= 0:
                continue
            other = label[at + corner[side]]
        if other < 0 or other == own:
            continue
        other = _root(parent, other)
        if own < 0:
            own = other
        elif other != own:
            own = _absorb(own, other, parent, state, tally)
            counts[LIVE] -= 1
    if own < 0:
        own = counts[SLOTS]
        counts[SLOTS] += 1
        counts[LIVE] += 1
        parent[own] = own
        state[own, :] = 0
        state[own, FIRST] = at
    elif tally.size:
        tally[state[own, AREA]] -= 1
    label[at] = own
    state[own, AREA] += 1
    state[own, SUM_Y] += int((at + 0.5) / wide)
    state[own, SUM_AT] += at
    state[own, FIRST] = min(state[own, FIRST], at)
    if tally.size:
        tally[state[own, AREA]] += 1
    return own


@njit(cache=True, nogil=True)
def _centroid(state, one, wide):
    """(y, x) of a component, from sums over padded indices."""
    y = state[one, SUM_Y] / state[one, AREA] - 1.0
    x = (state[one, SUM_AT] - wide * state[one, SUM_Y]) / state[one, AREA] - 1.0
    return y, x


@njit(cache=True, nogil=True)
def _update_close(close, touched, stamp, step, parent, state, wide, near):
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
        y, x = _centroid(state, one, wide)
        if near[(int(y + 0.5) + 1) * wide + int(x + 0.5) + 1]:
            merged[count] = one
            count += 1
            fresh = True
    merged = merged[:count]
    if fresh and count > 1:
        merged = merged[np.argsort(state[merged, FIRST])]
    return merged, fresh


@njit(cache=True, nogil=True)
def _match_close(close, state, wide, true_centroids, limit, greedy, tally):
    """Targets hit, area of the matched components, and area of all that are as large as a matched one."""
    centroids = np.empty((close.size, 2), np.float64)
    for k in range(close.size):
        centroids[k, 0], centroids[k, 1] = _centroid(state, close[k], wide)
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
def sweep_levels(order, starts, shape, true_centroids, limit, greedy, eight, by_value):
    """Components at every threshold at once: pixels join in descending order of their level.

    Returns, for each threshold, an int64 row of (predicted pixels, components, targets hit, area of the
    matched components, area of the components that are as large as a matched one).
    """
    steps = starts.size - 2
    table = np.zeros((steps + 1, 5), np.int64)
    wide = shape[1] + 2
    label = np.full((shape[0] + 2) * wide, -1, np.int32)
    parent = np.empty(order.size, np.int32)
    state = np.empty((order.size, 4), np.int64)
    stamp = np.full(order.size, -1, np.int32)
    touched = np.empty(order.size, np.int32)
    tally = np.zeros(order.size + 1 if by_value else 0, np.int64)
    near = mark_surroundings(shape, true_centroids, int(limit) + 1)
    close = np.empty(0, np.int32)
    counts = np.zeros(2, np.int64)
    for step in range(steps - 1, -1, -1):
        changed = 0
        for k in range(starts[step + 1], starts[step + 2]):
            own = _place(order[k], wide, eight, label, parent, state, tally, counts)
            if stamp[own] != step:
                stamp[own] = step
                touched[changed] = own
                changed += 1
        table[step, 0] = order.size - starts[step + 1]
        table[step, 1] = counts[LIVE]
        close, fresh = _update_close(close, touched[:changed], stamp, step, parent, state, wide, near)
        if fresh or by_value:
            table[step, 2:] = _match_close(close, state, wide, true_centroids, limit, greedy, tally)
        else:
            table[step, 2:] = table[step + 1, 2:]
    return table[:steps]
