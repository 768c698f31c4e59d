"""The precision-recall curve of scored detections: the area below it, for a set and for resampled sets."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from infraspot.metrics.protocols import Interpolation
from infraspot.metrics.reduction import DRAWS_AT_ONCE

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]

Accepted = tuple[FloatArray, BoolArray]
"""Scores of the detections of a frame, and which of them are true."""


def average_precision(
    scores: FloatArray, true: BoolArray, targets: int, interpolation: Interpolation
) -> float:
    """Area under the precision envelope of a set's detections; NaN without targets.

    ``11-point``: VOC 2007. ``area``: VOC 2010-2012. ``101-point``: COCO.
    """
    everywhere = np.zeros(len(scores), np.int64)
    ranking = DetectionRanking(scores, true, everywhere, np.array([targets]), interpolation)
    return float(ranking.precision(np.ones((1, 1)))[0])


@dataclass(frozen=True, eq=False)
class DetectionRanking:
    """The detections of N frames under one criterion.

    Attributes
    ----------
    scores, true
        (M,) of the detections, in any order.
    frames
        (M,) the frame of each detection.
    targets
        (N,) targets of each frame.
    interpolation
        How the curve becomes a number, see :func:`average_precision`.
    """

    scores: FloatArray
    true: BoolArray
    frames: IntArray
    targets: IntArray
    interpolation: Interpolation

    @classmethod
    def of(
        cls, accepted: Sequence[Accepted], targets: Sequence[int] | IntArray, interpolation: Interpolation
    ) -> "DetectionRanking":
        """From the detections of each frame."""
        parts = [(np.zeros(0), np.zeros(0, np.bool_)), *accepted]
        scores, true = (np.concatenate(part) for part in zip(*parts, strict=True))
        frames = np.repeat(np.arange(len(accepted)), [len(part) for part, _ in accepted])
        return cls(scores, true, frames, np.asarray(targets, np.int64), interpolation)

    def beside(self, other: "DetectionRanking") -> "DetectionRanking":
        """Both sets as one: the frames of the other come after these."""
        return DetectionRanking(
            np.concatenate([self.scores, other.scores]),
            np.concatenate([self.true, other.true]),
            np.concatenate([self.frames, other.frames + len(self.targets)]),
            np.concatenate([self.targets, other.targets]),
            self.interpolation,
        )

    def precision(self, weights: FloatArray) -> FloatArray:
        """(D,) average precisions of D sets, in which frame n stands ``weights[d, n]`` times.

        NaN for a set without targets.
        """
        order = np.argsort(-self.scores, kind="stable")
        last = np.flatnonzero(np.diff(self.scores[order], append=-np.inf))  # of each group of equal scores
        frames, true = self.frames[order], self.true[order]
        found = [np.zeros(0)]
        for begin in range(0, len(weights), DRAWS_AT_ONCE):
            block = weights[begin : begin + DRAWS_AT_ONCE]
            entering = block[:, frames]
            hits, all_found = (np.cumsum(part, axis=1)[:, last] for part in (entering * true, entering))
            found.append(_areas(hits, all_found, block @ self.targets, self.interpolation))
        return np.concatenate(found)


def _areas(
    hits: FloatArray, found: FloatArray, targets: FloatArray, interpolation: Interpolation
) -> FloatArray:
    """(D,) areas, from (D, K) true detections and all detections down to each score, and (D,) targets."""
    recall, precision = hits / np.maximum(targets, 1)[:, None], hits / np.maximum(found, 1)
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    if interpolation == "area":
        areas = (np.diff(recall, axis=1, prepend=0.0) * envelope).sum(axis=1)
    else:
        wanted = np.linspace(0, 1, 11 if interpolation == "11-point" else 101)
        # Recalls are whole counts over targets: a billionth keeps 0.3 from missing 3 / 10.
        places = [np.searchsorted(line, wanted - 1e-9) for line in recall]
        beyond = np.pad(envelope, ((0, 0), (0, 1)))
        areas = np.take_along_axis(beyond, np.array(places), axis=1).mean(axis=1)
    return np.where(targets > 0, areas, np.nan)
