"""The compiled inner loops: components of active pixels, matching, and all thresholds in one sweep.

Import this module only through :mod:`infraspot.metrics.kernel_loader`, which does without it where numba is
missing. Every function has a plain counterpart that the tests hold it to.

Compiling is slow, so the loops are written for the compiler. The caller allocates most arrays. Nothing here
sorts, slices or reduces by numpy, which costs the compiler seconds each. Every function sees one combination
of types: a counter that another function receives begins as ``ZERO``, since a plain 0 is a type of its own.
The file is long on purpose: numba keeps compiled code per file, and would run a stale kernel if one that it
calls changed in another file.
"""

from typing import Any, NamedTuple, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

from infraspot.core.compiled import Function, compiled

Array = NDArray[Any]

FAR = 1 << 62
ZERO: Any = np.int64(0)

# Columns of a run: first flat index, flat index after the last, level.
START, STOP, LEVEL = 0, 1, 2
# Columns of a component's state while the sweep runs: pixels, sum of rows, sum of flat indices, smallest
# index.
AREA, SUM_Y, SUM_AT, FIRST = 0, 1, 2, 3


def inner(function: Function) -> Function:
    """Compile without the code that lets Python call the result, for functions that only kernels call."""
    make: Any = njit
    return cast(Function, make(nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)(function))


class Grid(NamedTuple):
    """Target centroids sorted into square cells, with an empty cell all around.

    ``points`` (T, 2) float64; ``cells`` int32, where the members of each cell begin, row by row of ``across``
    cells; ``members`` (T,) int32. A pair is allowed below the distance ``limit``, which is below ``side``.
    """

    points: Array
    cells: Array
    members: Array
    side: int
    across: int
    limit: float


class Runs(NamedTuple):
    """Horizontal runs of equal level, in raster order.

    ``table`` (N, 3) int32; ``rows`` (H + 1,) int64, the first run of each row; ``near`` (N, 2) int32, the
    first run above and below that may touch each run; ``width`` of the frame; ``reach`` 1 with 8 neighbours.
    """

    table: Array
    rows: Array
    near: Array
    width: int
    reach: int


class Forest(NamedTuple):
    """Components that grow: ``parent`` (N,) int64, -1 before a run is placed; ``state`` (N, 4) int64;
    ``tally`` int64, the number of components by area, or empty where nobody asks."""

    parent: Array
    state: Array
    tally: Array


class Close(NamedTuple):
    """Room for the components near some target, and for their matching.

    For each run: ``stamp``, the last step in which its component changed; ``touched``, the components that
    changed in this step; ``components`` near a target with their first pixels as ``keys``, ``areas``,
    ``centroids`` (N, 2) float64 and ``owner``. ``match`` has one entry a target.
    """

    stamp: Array
    touched: Array
    components: Array
    keys: Array
    areas: Array
    centroids: Array
    owner: Array
    match: Array


@inner
def _root(parent: Array, node: int) -> int:
    while parent[node] != node:
        parent[node] = parent[parent[node]]
        node = parent[node]
    return node


@inner
def _join(parent: Array, a: int, b: int) -> None:
    """Unite two sets; the smaller index becomes the root, so that a root is its set's first pixel."""
    a, b = _root(parent, a), _root(parent, b)
    parent[max(a, b)] = min(a, b)


@inner
def _sort(keys: Array, values: Array, count: int) -> None:
    """Sort the first ``count`` int64 keys and their int64 values in place (Shell sort)."""
    gap = 1
    while gap < count:
        gap = 3 * gap + 1
    while gap > 0:
        for k in range(gap, count):
            key, value = keys[k], values[k]
            at = k
            while at >= gap and keys[at - gap] > key:
                keys[at], values[at] = keys[at - gap], values[at - gap]
                at -= gap
            keys[at], values[at] = key, value
        gap //= 3


@compiled
def label_pixels(index: Array, width: int, eight: bool, parent: Array, labels: Array) -> int:
    """Write the component of each active pixel, in raster order of first pixels; returns how many there are.

    ``index`` (N,) int64 holds the flat indices of the active pixels, ascending; ``width`` is the row length;
    ``parent`` (N,) int64 counts from 0; ``labels`` (N,) int64.
    """
    above = 0
    for k in range(index.size):
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
    found = 0
    for k in range(index.size):
        if parent[k] == k:
            labels[k] = found
            found += 1
        else:
            labels[k] = labels[_root(parent, k)]
    return found


@compiled
def describe_regions(
    index: Array,
    labels: Array,
    width: int,
    values: Array,
    areas: Array,
    centroids: Array,
    boxes: Array,
    peaks: Array,
) -> None:
    """Write areas, centroids (y, x), half-open boxes (x0, y0, x1, y1) and highest values into zeros."""
    for k in range(index.size):
        y, x = index[k] // width, index[k] % width
        one = labels[k]
        if areas[one] == 0:
            boxes[one, 0], boxes[one, 1], boxes[one, 2] = x, y, x + 1
            peaks[one] = values[k]
        areas[one] += 1
        centroids[one, 0] += y
        centroids[one, 1] += x
        boxes[one, 0] = min(boxes[one, 0], x)
        boxes[one, 2] = max(boxes[one, 2], x + 1)
        boxes[one, 3] = y + 1
        peaks[one] = max(peaks[one], values[k])
    for one in range(areas.size):
        centroids[one, 0] /= areas[one]
        centroids[one, 1] /= areas[one]


@compiled
def shared_pixels(
    index: Array,
    labels: Array,
    other_index: Array,
    other_labels: Array,
    width: int,
    codes: Array,
    counts: Array,
) -> int:
    """Write ``label * width + other label``, ascending, and the pixels in common; returns how many pairs.

    ``codes`` and ``counts`` (N,) int64 have room for the smaller of the two lists of pixels.
    """
    pieces = ZERO
    b = 0
    for a in range(index.size):
        while b < other_index.size and other_index[b] < index[a]:
            b += 1
        if b < other_index.size and other_index[b] == index[a]:
            code = labels[a] * width + other_labels[b]
            if pieces == 0 or codes[pieces - 1] != code:
                codes[pieces], counts[pieces] = code, 0
                pieces += 1
            counts[pieces - 1] += 1
    _sort(codes, counts, pieces)
    pairs = 0
    for k in range(pieces):
        if pairs == 0 or codes[pairs - 1] != codes[k]:
            codes[pairs], counts[pairs] = codes[k], counts[k]
            pairs += 1
        else:
            counts[pairs - 1] += counts[k]
    return pairs


@compiled
def fill_grid(grid: Grid) -> None:
    """Sort the points of a grid into its cells, which hold zeros."""
    cells, across, side = grid.cells, grid.across, grid.side
    for t in range(grid.points.shape[0]):
        cells[(int(grid.points[t, 0]) // side + 1) * across + int(grid.points[t, 1]) // side + 3] += 1
    for cell in range(2, cells.size):
        cells[cell] += cells[cell - 1]
    for t in range(grid.points.shape[0]):
        cell = (int(grid.points[t, 0]) // side + 1) * across + int(grid.points[t, 1]) // side + 2
        grid.members[cells[cell]] = t
        cells[cell] += 1


@inner
def near_pairs(centroids: Array, areas: Array, count: int, grid: Grid) -> tuple[Array, Array, Array]:
    """Allowed pairs of targets and the first ``count`` detections, by target and then detection.

    Returns (T + 1,) where each target's pairs begin, (K,) detections and (K,) costs, all int64. The cost is
    that of ``pairing.pair_cost``. A detection that lies outside the grid has no pair.
    """
    targets = grid.points.shape[0]
    begin = np.zeros(targets + 2, np.int64)
    columns, cost = np.empty(0, np.int64), np.empty(0, np.int64)
    for fill in range(2):
        for p in range(count):
            y, x = centroids[p, 0], centroids[p, 1]
            middle = (int(y) // grid.side + 1) * grid.across + int(x) // grid.side + 1
            for line in range(middle - grid.across, middle + grid.across + 1, grid.across):
                if line < 1 or line + 2 >= grid.cells.size:
                    continue
                for member in range(grid.cells[line - 1], grid.cells[line + 2]):
                    t = grid.members[member]
                    down, right = y - grid.points[t, 0], x - grid.points[t, 1]
                    distance = np.sqrt(down * down + right * right)
                    if distance >= grid.limit:
                        continue
                    if fill == 0:
                        begin[t + 2] += 1
                        continue
                    place = begin[t + 1]
                    begin[t + 1] += 1
                    columns[place] = p
                    cost[place] = (
                        np.int64(np.rint(distance * 1048576.0)) * 65536 + 65535 - min(areas[p], 65535)
                    )
        if fill == 0:
            for t in range(2, targets + 2):
                begin[t] += begin[t - 1]
            columns, cost = np.empty(begin[targets + 1], np.int64), np.empty(begin[targets + 1], np.int64)
    return begin, columns, cost


@inner
def greedy_pairs(begin: Array, columns: Array, match: Array, owner: Array) -> None:
    """Greedy matching in raster order of the pairs of :func:`near_pairs`; ``match`` and ``owner`` hold -1."""
    for row in range(match.size):
        for k in range(begin[row], begin[row + 1]):
            if owner[columns[k]] < 0:
                match[row], owner[columns[k]] = columns[k], row
                break


@inner
def best_pairs(begin: Array, columns: Array, cost: Array, count: int, match: Array, owner: Array) -> None:
    """Most allowed pairs, then least total cost; ``match`` (T,) and ``owner`` (P,) int64 hold -1.

    Rows enter one by one along the cheapest alternating path (the Hungarian method by label correction, on
    the pairs that are allowed).
    """
    at_row, at_column = np.empty(match.size, np.int64), np.empty(count, np.int64)
    via, seen, queue = np.empty(count, np.int64), np.empty(count, np.int64), np.empty(match.size, np.int64)
    waiting = np.zeros(match.size, np.int64)
    for row in range(match.size):
        at_row[row] = FAR
    for column in range(count):
        at_column[column] = FAR
    for start in range(match.size):
        at_row[start], queue[0], waiting[start] = 0, start, 1
        first, length, reached = 0, 1, ZERO
        while length > 0:
            row = queue[first]
            first, length, waiting[row] = (first + 1) % match.size, length - 1, 0
            for k in range(begin[row], begin[row + 1]):
                column = columns[k]
                there = at_row[row] + cost[k]
                if match[row] == column or there >= at_column[column]:
                    continue
                if at_column[column] == FAR:
                    seen[reached] = column
                    reached += 1
                at_column[column], via[column] = there, row
                other = owner[column]
                if other < 0:
                    continue
                for back in range(begin[other], begin[other + 1]):
                    if columns[back] == column:
                        at_row[other] = there - cost[back]
                if waiting[other] == 0:
                    queue[(first + length) % match.size] = other
                    length, waiting[other] = length + 1, 1
        _augment(start, match, owner, at_row, at_column, via, seen, reached)
        at_row[start] = FAR
        for k in range(reached):
            at_column[seen[k]] = FAR
            if owner[seen[k]] >= 0:
                at_row[owner[seen[k]]] = FAR


@inner
def _augment(
    start: int,
    match: Array,
    owner: Array,
    at_row: Array,
    at_column: Array,
    via: Array,
    seen: Array,
    reached: int,
) -> None:
    """Take the cheapest path to a free column or, if there is none, to the row that is best left alone."""
    end, least = -1, FAR
    spare, saving = start, 0
    for k in range(reached):
        column = seen[k]
        if owner[column] >= 0:
            row = owner[column]
            if at_row[row] < saving or (at_row[row] == saving and spare != start and row < spare):
                spare, saving = row, at_row[row]
        elif at_column[column] < least or (at_column[column] == least and column < end):
            end, least = column, at_column[column]
    if end < 0:
        if spare == start:
            return
        end = match[spare]
        match[spare] = -1
        at_row[spare] = FAR
    while True:
        row = via[end]
        before = match[row]
        match[row], owner[end] = end, row
        if row == start:
            return
        end = before


@compiled
def match_regions(
    centroids: Array, areas: Array, count: int, grid: Grid, greedy: bool, match: Array, owner: Array
) -> None:
    """Match the first ``count`` detections with the targets of a grid; ``match`` and ``owner`` hold -1."""
    begin, columns, cost = near_pairs(centroids, areas, count, grid)
    if greedy:
        greedy_pairs(begin, columns, match, owner)
    else:
        best_pairs(begin, columns, cost, count, match, owner)


@compiled
def find_runs(
    values: Array,
    thresholds: Array,
    guess: Array,
    width: int,
    table: Array,
    rows: Array,
    row: int,
) -> int:
    """Cut a frame into horizontal runs of equal level; level 0 (no threshold passed) is left out.

    A pixel's level is the number of thresholds below its value. ``thresholds`` end with infinity, and
    ``guess`` (B + 1,) holds the number of thresholds below b / B, from which the level is a step or two away.

    Begins at ``row``, writes ``table`` and ``rows`` (see :class:`Runs`), and returns the row after the last
    one done: where the table has no room for another row, the caller enlarges it and goes on from there.
    """
    bins = guess.size - 1
    count = rows[row]
    while row < rows.size - 1 and count + width <= table.shape[0]:
        k, end = row * width, (row + 1) * width
        while k < end:
            start = k
            level = guess[int(values[k] * bins)]
            while values[k] > thresholds[level]:
                level += 1
            low = thresholds[level - 1] if level > 0 else -thresholds[thresholds.size - 1]
            k = _end_of_run(values, k + 1, end, low, thresholds[level])
            if level > 0:
                table[count, START], table[count, STOP], table[count, LEVEL] = start, k, level
                count += 1
        row += 1
        rows[row] = count
    return row


@inner
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


@compiled
def arrange_runs(runs: Runs, starts: Array, order: Array) -> None:
    """Group the runs by level and link neighbouring rows.

    ``order`` (N,) int64 receives their indices by level, in raster order within a level, and ``starts``
    (levels + 3,) int64, which holds zeros, where each level begins; ``runs.near`` is filled in.
    """
    table, rows = runs.table, runs.rows
    for k in range(order.size):
        starts[table[k, LEVEL] + 2] += 1
    for level in range(1, starts.size):
        starts[level] += starts[level - 1]
    for k in range(order.size):
        order[starts[table[k, LEVEL] + 1]] = k
        starts[table[k, LEVEL] + 1] += 1
    height = rows.size - 1
    for row in range(height):
        for side in range(2):
            other = row - 1 if side == 0 else row + 1
            inside = 0 <= other < height
            at = rows[other] if inside else order.size
            stop = rows[other + 1] if inside else order.size
            shift = (other - row) * runs.width
            for k in range(rows[row], rows[row + 1]):
                while at < stop and table[at, STOP] + runs.reach <= table[k, START] + shift:
                    at += 1
                runs.near[k, side] = at


@inner
def _absorb(own: int, other: int, forest: Forest) -> tuple[int, int]:
    """Unite a component with that of a run; the larger one stays. Returns it, and 1 if there were two."""
    parent, state, tally = forest.parent, forest.state, forest.tally
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


@inner
def _place(k: int, runs: Runs, forest: Forest) -> tuple[int, int]:
    """Add one run and unite it with the runs that it touches. Returns its component and how many vanished."""
    table, rows, parent, state = runs.table, runs.rows, forest.parent, forest.state
    start, stop = np.int64(table[k, START]), np.int64(table[k, STOP])
    size = stop - start
    row = start // runs.width
    parent[k] = k
    state[k, AREA], state[k, SUM_Y], state[k, FIRST] = size, size * row, start
    state[k, SUM_AT] = (start + stop - 1) * size // 2
    if forest.tally.size:
        forest.tally[size] += 1
    own, vanished = k, 0
    for line in range(row - 1, row + 2):
        if line < 0 or line >= rows.size - 1:
            continue
        if line == row:
            at, end = max(k - 1, rows[row]), stop + 1
        else:
            at, end = (
                np.int64(runs.near[k, (line - row + 1) // 2]),
                stop + (line - row) * runs.width + runs.reach,
            )
        while at < rows[line + 1] and table[at, START] < end:
            touches = line != row or table[at, STOP] == start or table[at, START] == stop
            if touches and parent[at] >= 0:
                own, united = _absorb(own, at, forest)
                vanished += united
            at += 1
    return own, vanished


@inner
def _has_neighbours(y: float, x: float, grid: Grid) -> bool:
    """Whether a target lies in the cell of a place or in the eight around it."""
    middle = (int(y) // grid.side + 1) * grid.across + int(x) // grid.side + 1
    found = False
    for line in range(middle - grid.across, middle + grid.across + 1, grid.across):
        found |= grid.cells[line - 1] != grid.cells[line + 2]
    return found


@inner
def _update_close(
    close: Close, count: int, changed: int, step: int, forest: Forest, grid: Grid, width: int
) -> tuple[int, bool]:
    """Keep the components near some target, by first pixel, after those ``touched`` in this step changed.

    Returns how many there are, and whether any of them is new, changed or gone.
    """
    parent, state = forest.parent, forest.state
    kept = ZERO
    for k in range(count):
        one = close.components[k]
        if parent[one] == one and close.stamp[one] != step:
            close.components[kept], close.keys[kept] = one, close.keys[k]
            kept += 1
    fresh = kept != count
    for k in range(changed):
        one = close.touched[k]
        if parent[one] != one:
            continue
        y = state[one, SUM_Y] / state[one, AREA]
        x = (state[one, SUM_AT] - width * state[one, SUM_Y]) / state[one, AREA]
        if _has_neighbours(y, x, grid):
            close.components[kept], close.keys[kept] = one, state[one, FIRST]
            kept += 1
            fresh = True
    _sort(close.keys, close.components, kept)
    return kept, fresh


@inner
def _match_close(
    close: Close, count: int, forest: Forest, grid: Grid, width: int, greedy: bool
) -> tuple[int, int, int]:
    """Targets hit, area of the matched components, and area of all that are as large as a matched one."""
    state, tally = forest.state, forest.tally
    for k in range(count):
        one = close.components[k]
        close.areas[k] = state[one, AREA]
        close.centroids[k, 0] = state[one, SUM_Y] / state[one, AREA]
        close.centroids[k, 1] = (state[one, SUM_AT] - width * state[one, SUM_Y]) / state[one, AREA]
        close.owner[k] = -1
    for t in range(close.match.size):
        close.match[t] = -1
    match_regions(close.centroids, close.areas, count, grid, greedy, close.match, close.owner)
    hits, area, twins = 0, 0, 0
    for column in close.match:
        if column < 0:
            continue
        one = close.areas[column]
        hits += 1
        area += one
        if tally.size and tally[one] > 0:
            twins += one * tally[one]
            tally[one] = -tally[one]  # counted
    for column in close.match:
        if column >= 0 and tally.size and tally[close.areas[column]] < 0:
            tally[close.areas[column]] = -tally[close.areas[column]]
    return hits, area, twins


@compiled
def sweep_levels(
    runs: Runs,
    starts: Array,
    order: Array,
    forest: Forest,
    close: Close,
    grid: Grid,
    greedy: bool,
    table: Array,
) -> None:
    """Components at every threshold at once: runs join in descending order of their level.

    Writes, for each threshold, a row of (predicted pixels, components, targets hit, area of the matched
    components, area of the components that are as large as a matched one) into ``table`` (L + 1, 5) of zeros.
    """
    near, components, pixels = ZERO, 0, 0
    for step in range(table.shape[0] - 2, -1, -1):
        changed = ZERO
        for place in range(starts[step + 1], starts[step + 2]):
            k = order[place]
            own, vanished = _place(k, runs, forest)
            pixels += runs.table[k, STOP] - runs.table[k, START]
            components += 1 - vanished
            if close.stamp[own] != step:
                close.stamp[own] = step
                close.touched[changed] = own
                changed += 1
        for column in range(5):
            table[step, column] = table[step + 1, column]
        if changed == 0:
            continue
        table[step, 0], table[step, 1] = pixels, components
        near, fresh = _update_close(close, near, changed, step, forest, grid, runs.width)
        if fresh or forest.tally.size:
            hits, area, twins = _match_close(close, near, forest, grid, runs.width, greedy)
            table[step, 2], table[step, 3], table[step, 4] = hits, area, twins
