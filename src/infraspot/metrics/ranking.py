"""Pixels ranked by score: ROC, precision-recall and their areas, exact by sorting."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from infraspot.metrics.reduction import divide

BUFFERED = 1 << 22
PIXEL_NUMBERS = ("pixel_auc", "pixel_ap")


class PixelRanking:
    """Counts of true and false pixels at every score that occurs.

    Scores are kept as distinct values with two counts each, so 8- and 16-bit maps take next to no memory, and
    float maps 24 bytes a distinct score. Beyond ``limit`` of them (some 400 MB), scores are rounded down to
    15 bits of mantissa, neighbours that become equal are united, and ``exact`` turns False.

    ``bins`` rounds scores down to that many equal bins from the start, as programs with binned curves do;
    their areas can be far off (0.863 against 0.904 with 11 bins).
    """

    def __init__(self, bins: int | None = None, *, limit: int = 1 << 24) -> None:
        self.bins, self.limit = bins, limit
        self.exact = bins is None
        self._scores: NDArray[np.float64] = np.zeros(0)
        self._counts: NDArray[np.int64] = np.zeros((0, 2), np.int64)
        self._waiting: list[tuple[NDArray[np.float64], NDArray[np.int64]]] = []
        self._held = 0

    def update(self, score_map: NDArray[Any], truth: NDArray[np.bool_]) -> None:
        """Add the pixels of one frame: (H, W) scores in [0, 1] and (H, W) bool truth."""
        self.add(*count_scores(score_map, truth, self.bins))

    def merge(self, other: "PixelRanking") -> None:
        """Add everything that another ranking with the same bins has seen."""
        if self.bins != other.bins:
            raise ValueError(f"rankings with {self.bins} and {other.bins} bins cannot be merged")
        other._settle()
        self.exact &= other.exact
        self.add(other._scores, other._counts)

    def compute(self) -> dict[str, float]:
        """``pixel_auc`` (area under ROC) and ``pixel_ap`` (average precision); NaN where undefined."""
        _, true, false = self.cumulative()
        if not true.size or true[-1] == 0:
            return {"pixel_auc": float("nan"), "pixel_ap": float("nan")}
        steps = np.diff(true, prepend=0)
        precision = true / (true + false)
        average = float((steps * precision).sum() / true[-1])
        if false[-1] == 0:
            return {"pixel_auc": float("nan"), "pixel_ap": average}
        heights = (true + np.concatenate([[0], true[:-1]])) / 2
        area = float((np.diff(false, prepend=0) * heights).sum() / (true[-1] * false[-1]))
        return {"pixel_auc": area, "pixel_ap": average}

    def curves(self, points: int = 200) -> dict[str, NDArray[np.float64]]:
        """ROC and precision-recall at some ``points`` scores, evenly spread in recall and false positives."""
        scores, true, false = self.cumulative()
        if not scores.size:
            return {name: np.zeros(0) for name in ("threshold", "recall", "precision", "false_positive_rate")}
        recall, rate = divide(true, true[-1]), divide(false, false[-1])
        wanted = np.linspace(0, 1, points)
        picked = np.unique(
            np.concatenate(
                [np.searchsorted(true, wanted * true[-1]), np.searchsorted(false, wanted * false[-1])]
            )
        )
        picked = picked[picked < scores.size]
        return {
            "threshold": scores[picked],
            "recall": recall[picked],
            "precision": divide(true, true + false)[picked],
            "false_positive_rate": rate[picked],
        }

    def cumulative(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Distinct scores, descending, with the numbers of true and of false pixels at or above each."""
        self._settle()
        total = self._counts[::-1].cumsum(axis=0).astype(np.float64)
        return self._scores[::-1], total[:, 0], total[:, 1]

    def add(self, scores: NDArray[np.float64], counts: NDArray[np.int64]) -> None:
        """Add the distinct scores of one frame (see :func:`count_scores`)."""
        self._waiting.append((scores, counts))
        self._held += len(scores)
        if self._held > BUFFERED + len(self._scores):
            self._settle()

    def _settle(self) -> None:
        """Unite what waits with the table."""
        if not self._waiting:
            return
        scores = np.concatenate([self._scores, *(one for one, _ in self._waiting)])
        counts = np.concatenate([self._counts, *(one for _, one in self._waiting)])
        self._waiting, self._held = [], 0
        self._scores, self._counts = _unite(scores, counts)
        if self.bins is None and (not self.exact or len(self._scores) > self.limit):
            # All or none is rounded, so that the order in which frames come does not matter.
            self.exact = False
            self._scores, self._counts = _unite(_round_down(self._scores), self._counts)


def _unite(
    scores: NDArray[np.float64], counts: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Each score once, ascending, with the sums of its counts."""
    distinct, places = np.unique(scores, return_inverse=True)
    sums = [np.bincount(places, weights=column, minlength=len(distinct)) for column in counts.T]
    return distinct, np.stack(sums, axis=1).astype(np.int64)


def _round_down(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keep 15 bits of the mantissa: a relative error below 3.1e-5."""
    words = scores.astype(np.float32).view(np.uint32) & np.uint32(0xFFFFFF00)
    return words.view(np.float32).astype(np.float64)


def count_scores(
    score_map: NDArray[Any], truth: NDArray[np.bool_], bins: int | None = None
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Distinct scores of one frame, ascending, and (N, 2) numbers of true and of false pixels at each."""
    scores = score_map.ravel()
    if bins is not None:
        scores = np.floor(scores.astype(np.float64) * bins) / bins
    values, counts = np.unique(scores, return_counts=True)
    true_values, true_counts = np.unique(scores[truth.ravel()], return_counts=True)
    true = np.zeros(len(values), np.int64)
    true[np.searchsorted(values, true_values)] = true_counts
    return values.astype(np.float64), np.stack([true, counts - true], axis=1)
