"""Counts at many thresholds from one pass over a frame.

Pixels join their components in descending order of score, so that every threshold is counted exactly while
the components grow: area, centroid and first pixel are sums and minima that unions keep (Tarjan's
union-find, 1975).
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infraspot.metrics.frame import count_frame
from infraspot.metrics.kernel_loader import kernels
from infraspot.metrics.pairing import target_grid
from infraspot.metrics.protocols import Protocol
from infraspot.metrics.regions import find_regions

GUESS_BINS = 1024

DEFAULT_THRESHOLDS: NDArray[np.float64] = np.concatenate(
    [
        [0.0, 1e-6, 1e-5, 1e-4, 1e-3],
        np.linspace(0.01, 0.99, 99),
        [0.999, 0.9999, 0.99999, 0.999999, 1.0],
    ]
)
"""Even steps of 0.01, and tails where networks that are sure of themselves put their scores."""

COLUMNS = ("common", "predicted", "components", "hits", "false", "false_area")


@dataclass(frozen=True, eq=False)
class SweepCounts:
    """Counts at every threshold, of one frame or, added up, of many.

    Attributes
    ----------
    thresholds
        (L,) float64, ascending.
    table
        (L, 6) int64; the columns are ``COLUMNS``: pixels in common with the truth, predicted pixels,
        predicted components, targets hit, false components, pixels of false alarms.
    frames, pixels, true_pixels, targets
        Totals that do not depend on the threshold.
    by_pixel
        Whether every frame had a score map; the columns of pixels mean nothing otherwise.
    """

    thresholds: NDArray[np.float64]
    table: NDArray[np.int64]
    frames: int
    pixels: int
    true_pixels: int
    targets: int
    by_pixel: bool = True

    @classmethod
    def empty(cls, thresholds: NDArray[np.float64]) -> "SweepCounts":
        """Nothing counted yet."""
        return cls(thresholds, np.zeros((len(thresholds), len(COLUMNS)), np.int64), 0, 0, 0, 0)

    def __add__(self, other: "SweepCounts") -> "SweepCounts":
        if not np.array_equal(self.thresholds, other.thresholds):
            raise ValueError("two sweeps can only be added when their thresholds are equal")
        return SweepCounts(
            self.thresholds,
            self.table + other.table,
            self.frames + other.frames,
            self.pixels + other.pixels,
            self.true_pixels + other.true_pixels,
            self.targets + other.targets,
            self.by_pixel and other.by_pixel,
        )

    def column(self, name: str) -> NDArray[np.int64]:
        """(L,) int64, one of ``COLUMNS``."""
        return self.table[:, COLUMNS.index(name)]


def check_thresholds(thresholds: Any) -> NDArray[np.float64]:
    """(L,) float64, ascending, in [0, 1], without repetition.

    Raises
    ------
    ValueError
        If they are not.
    """
    levels = np.asarray(thresholds, np.float64)
    rising = levels.ndim == 1 and levels.size > 0 and bool(np.all(np.diff(levels) > 0))
    if not rising or not (levels[0] >= 0 and levels[-1] <= 1):
        raise ValueError("thresholds must be ascending numbers in [0, 1] without repetition")
    return levels


def sweep_frame(
    scores: NDArray[np.floating[Any]],
    truth: NDArray[np.bool_],
    pixels: int,
    protocol: Protocol,
    thresholds: NDArray[np.float64] = DEFAULT_THRESHOLDS,
) -> SweepCounts:
    """Count one prepared frame (see :func:`infraspot.metrics.frame.prepare`) at every threshold.

    The distance rule runs compiled, for all thresholds at once; the other rules, and all where numba is
    missing, threshold by threshold.
    """
    compiled = kernels()
    if compiled is None or protocol.rule != "distance":
        return _sweep_one_by_one(scores, truth, pixels, protocol, thresholds)
    targets, true_pixels = find_regions(truth, connectivity=protocol.connectivity)
    cuts, guess = _levels_of(thresholds.tobytes(), scores.dtype.str, protocol.inclusive)
    flat = scores.ravel()
    runs = _find_runs(compiled, scores, cuts, guess, 1 if protocol.connectivity == 8 else 0)
    grid = target_grid(compiled, targets.centroids, protocol.limit)
    found = _sweep_runs(compiled, runs, grid, len(thresholds), protocol)
    predicted, components, hits, matched, twins = found.T
    levels = np.searchsorted(cuts[:-1], flat[true_pixels.index])
    passed = np.bincount(levels, minlength=len(thresholds) + 1)
    common = passed[::-1].cumsum()[::-1][1:]
    forgiven = twins if protocol.bookkeeping == "by_value" else matched
    table = np.stack([common, predicted, components, hits, components - hits, predicted - forgiven], axis=1)
    return SweepCounts(thresholds, table, 1, pixels, true_pixels.index.size, len(targets))


def _find_runs(
    compiled: Any, scores: NDArray[Any], cuts: NDArray[Any], guess: NDArray[np.int64], reach: int
) -> Any:
    """The frame as ``kernels.Runs``."""
    height, width = scores.shape
    # Little room at first: asking the system for megabytes that are never touched can cost more than the
    # pass itself.
    table = np.empty((4 * width + 1024, 3), np.int32)
    rows, done = np.zeros(height + 1, np.int64), 0
    while (done := compiled.find_runs(scores.ravel(), cuts, guess, width, table, rows, done)) < height:
        table = np.concatenate([table, np.empty((len(table) + 2 * width, 3), np.int32)])
    table = table[: rows[-1]]
    return compiled.Runs(table, rows, np.empty((len(table), 2), np.int32), width, reach)


def _sweep_runs(compiled: Any, runs: Any, grid: Any, steps: int, protocol: Protocol) -> NDArray[np.int64]:
    """(L, 5) int64, the columns of ``kernels.sweep_levels``."""
    count, targets = len(runs.table), len(grid.points)
    starts, order = np.zeros(steps + 3, np.int64), np.empty(count, np.int64)
    compiled.arrange_runs(runs, starts, order)
    areas = (len(runs.rows) - 1) * runs.width + 1 if protocol.bookkeeping == "by_value" else 0
    forest = compiled.Forest(np.full(count, -1), np.empty((count, 4), np.int64), np.zeros(areas, np.int64))
    columns = [np.empty(count, np.int64) for _ in range(5)]
    close = compiled.Close(
        np.full(count, -1), *columns[:4], np.empty((count, 2)), columns[4], np.empty(targets, np.int64)
    )
    table = np.zeros((steps + 1, 5), np.int64)
    compiled.sweep_levels(runs, starts, order, forest, close, grid, protocol.assignment == "greedy", table)
    return table[:steps]


@lru_cache(maxsize=8)
def _levels_of(
    thresholds: bytes, dtype: str, inclusive: bool
) -> tuple[NDArray[np.floating[Any]], NDArray[np.int64]]:
    """Thresholds in the map's precision with infinity at the end, and how many of them lie below b / bins."""
    cuts = np.frombuffer(thresholds).astype(dtype)
    if inclusive:  # at or above a number is above the next smaller one
        cuts = np.nextafter(cuts, cuts.dtype.type(-1))
    guess = np.searchsorted(cuts, np.arange(GUESS_BINS + 1, dtype=dtype) / GUESS_BINS)
    return np.append(cuts, cuts.dtype.type(np.inf)), guess


def _sweep_one_by_one(
    scores: NDArray[np.floating[Any]],
    truth: NDArray[np.bool_],
    pixels: int,
    protocol: Protocol,
    thresholds: NDArray[np.float64],
) -> SweepCounts:
    """The plain way, and the reference of the compiled one."""
    table = np.zeros((len(thresholds), len(COLUMNS)), np.int64)
    for row, threshold in zip(table, thresholds, strict=True):
        record = count_frame(scores, truth, pixels, protocol.at(threshold))
        row[:] = (
            record.common_pixels,
            record.predicted_pixels,
            len(record.detections),
            np.count_nonzero(record.hit),
            np.count_nonzero(record.false),
            record.false_area,
        )
    lowest = count_frame(scores, truth, pixels, protocol.at(1.0))
    return SweepCounts(thresholds, table, 1, pixels, lowest.true_pixels, len(lowest.targets))
