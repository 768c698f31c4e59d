"""How good a model is on labelled frames of the new camera, whatever its threshold will be."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from infraspot.core.geometry import find_components
from infraspot.core.sample import Sample
from infraspot.inference.false_alarms import count_frames
from infraspot.inference.frames import score_frame
from infraspot.inference.second_look import peaks_of
from infraspot.metrics.sweep import DEFAULT_THRESHOLDS, SweepCounts
from infraspot.training.adapting.model import Model

Counts = list[SweepCounts]

LEAST_SCORE = 0.01  # of a candidate that an operating point could let through


def judge(model: Model, samples: Sequence[Sample]) -> Counts:
    """Counts of each labelled frame at every threshold."""
    return list(count_frames(model.engine, samples, DEFAULT_THRESHOLDS))


def worths(counts: Counts) -> NDArray[np.float64]:
    """(L,) how good the answers are at each threshold, in [0, 1].

    The mean of two numbers: the IoU as a mean over frames, and 2 hits / (targets + hits + false alarms) over
    all of them.
    """
    overlap = [
        one.column("common") / np.maximum(one.column("predicted") + one.true_pixels - one.column("common"), 1)
        for one in counts
        if one.true_pixels
    ]
    whole = sum(counts, start=SweepCounts.empty(DEFAULT_THRESHOLDS))
    hits, false = whole.column("hits"), whole.column("false")
    found = 2 * hits / np.maximum(whole.targets + hits + false, 1)
    return found if not overlap else (np.mean(overlap, axis=0) + found) / 2


def worth(counts: Counts) -> float:
    """The same at the best threshold."""
    return float(worths(counts)[5:-1].max())


@dataclass(frozen=True)
class Figures:
    """What a model gives at a threshold: shares as fractions, false alarms a frame and a megapixel."""

    frames: int
    targets: int
    iou: float | None
    frame_iou: float | None
    pd: float | None
    false_per_frame: float
    false_per_mpx: float
    worth: float


def figures_at(counts: Counts, threshold: float) -> Figures:
    """The figures of counted frames at a threshold."""
    whole = sum(counts, start=SweepCounts.empty(DEFAULT_THRESHOLDS))
    row = row_of(threshold)
    common, predicted, hits, false = (
        int(whole.column(name)[row]) for name in ("common", "predicted", "hits", "false")
    )
    overlap = [
        int(one.column("common")[row])
        / max(int(one.column("predicted")[row]) + one.true_pixels - int(one.column("common")[row]), 1)
        for one in counts
        if one.true_pixels
    ]
    known = whole.targets > 0
    return Figures(
        frames=whole.frames,
        targets=whole.targets,
        iou=round(common / max(predicted + whole.true_pixels - common, 1), 4) if known else None,
        frame_iou=round(float(np.mean(overlap)), 4) if overlap else None,
        pd=round(hits / whole.targets, 4) if known else None,
        false_per_frame=round(false / max(whole.frames, 1), 4),
        false_per_mpx=round(false / max(whole.pixels / 1e6, 1e-9), 4),
        worth=round(float(worths(counts)[row]), 4),
    )


def row_of(threshold: float) -> int:
    """The place of a threshold among those that are counted at."""
    return int(np.searchsorted(DEFAULT_THRESHOLDS, threshold - 1e-9))


@dataclass(frozen=True, eq=False)
class Seen:
    """What a model says about one frame without labels.

    Attributes
    ----------
    name
        The frame's.
    scores
        (N,) of its candidates.
    megapixels
        Size of the frame.
    places, values
        Pixels above the least score, as flat indices, and their scores.
    """

    name: str
    scores: NDArray[np.float32]
    megapixels: float
    places: NDArray[np.intp]
    values: NDArray[np.float32]


def look_at(model: Model, samples: Sequence[Sample]) -> list[Seen]:
    """What a model says about each frame, as a detector that runs would."""
    engine = model.engine
    return [_seen(sample, score_frame(engine, sample.image, sample.bit_depth)) for sample in samples]


def _seen(sample: Sample, scores: NDArray[np.float32]) -> Seen:
    found = find_components(scores > LEAST_SCORE)
    places = np.flatnonzero(scores > LEAST_SCORE)
    return Seen(sample.id, peaks_of(scores, found), scores.size / 1e6, places, scores.ravel()[places])


def difference(one: Seen, other: Seen) -> float:
    """How differently two models see a frame, and how unsure the second is: in pixels of targets."""
    places = np.union1d(one.places, other.places)
    maps = []
    for seen in (one, other):
        values = np.zeros(len(places))
        values[np.searchsorted(places, seen.places)] = seen.values
        maps.append(values)
    unsure = float((other.scores * (1 - other.scores)).sum())
    return float(np.abs(maps[0] - maps[1]).sum()) / 9 + unsure


def expected_false(frames: Sequence[Seen], empty: bool) -> NDArray[np.float64]:
    """(L,) false alarms that the frames hold at each threshold, in all.

    Of a candidate that scores p, 1 - p are false, if scores are as calibrated; where the frames are known to
    be ``empty``, each one is.
    """
    scores = np.concatenate([seen.scores for seen in frames]) if frames else np.zeros(0, np.float32)
    shares = np.ones(len(scores)) if empty else 1.0 - scores
    order = np.argsort(scores)
    rest = np.concatenate([np.cumsum(shares[order][::-1])[::-1], [0.0]])
    return rest[np.searchsorted(scores[order], DEFAULT_THRESHOLDS)]
